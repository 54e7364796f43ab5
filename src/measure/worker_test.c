/* worker_test.c - workers that are killed, hang or will not start: what it costs, and what
 * is left behind. */
#include "worker_fixture.h"

#include "hello.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

/* ---- processes --------------------------------------------------------------------- */

/* The fields of /proc/PID/stat that count here; false if there is no such process. */
static bool read_stat(pid_t pid, pid_t *parent, char *state) {
    char path[64], text[512];
    int ppid = 0;

    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "r");
    if (!file)
        return false;
    size_t n = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[n] = '\0';
    const char *end = strrchr(text, ')');
    if (!end || sscanf(end, ") %c %d", state, &ppid) != 2)
        return false;
    *parent = ppid;
    return true;
}

/* Living processes whose parent is `parent`; the first of them in *first. */
static int count_children(pid_t parent, pid_t *first) {
    DIR *proc = opendir("/proc");
    int n = 0;

    assert_non_null(proc);
    for (struct dirent *entry; (entry = readdir(proc)) != NULL;) {
        int64_t pid;
        pid_t of;
        char state;
        if (!kb_parse_i64(entry->d_name, &pid) || !read_stat((pid_t)pid, &of, &state) ||
            of != parent || state == 'Z')
            continue;
        if (n++ == 0 && first)
            *first = (pid_t)pid;
    }
    closedir(proc);
    return n;
}

static void pause_ms(long ms) {
    struct timespec time = {.tv_nsec = ms * 1000000};

    nanosleep(&time, NULL);
}

/* Whether `parent` comes to have `n` children within 5 s. */
static bool comes_to_have(pid_t parent, int n, pid_t *first) {
    for (int i = 0; i < 1000; i++) {
        if (count_children(parent, first) == n)
            return true;
        pause_ms(5);
    }
    return false;
}

/* Folders of workers in the fixture's, which is their TMPDIR. */
static int count_workplaces(const struct fixture *f) {
    DIR *folder = opendir(f->folder);
    int n = 0;

    assert_non_null(folder);
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;)
        n += kb_starts_with(entry->d_name, "kbench-");
    closedir(folder);
    return n;
}

static pid_t worker_pid(void) {
    pid_t pid = 0;

    assert_int_equal(count_children(getpid(), &pid), 1);
    return pid;
}

/* ---- death ------------------------------------------------------------------------- */

static void a_worker_killed_between_jobs_costs_no_case(void **state) {
    struct fixture *f = *state;
    assert_good_passes(f);
    for (int i = 1; i <= 2; i++) {
        int before = kb_worker_restarts(f->worker);
        pid_t pid = worker_pid();
        assert_int_equal(kill(pid, SIGKILL), 0);
        assert_true(comes_to_have(getpid(), 0, NULL));
        assert_good_passes(f);
        assert_int_equal(kb_worker_restarts(f->worker), before + 1);
        assert_int_not_equal(worker_pid(), pid);
    }
}

static void a_worker_killed_an_instant_before_its_job_costs_no_case(void **state) {
    struct fixture *f = *state;
    struct kb_job job = job_of(f, "good");
    job.mode = KB_BUILD_ONLY;
    for (int i = 0; i < 20; i++) {
        assert_reason(run_job(f, &job, 60000), KB_R_NONE, NULL);
        assert_int_equal(kill(worker_pid(), SIGKILL), 0);
    }
    assert_good_passes(f);
}

/* Wait until the worker has a kernel running, then kill the worker. */
static void *kill_at_work(void *context) {
    pid_t worker = *(pid_t *)context;

    if (comes_to_have(worker, 1, NULL))
        kill(worker, SIGKILL);
    return NULL;
}

static void a_worker_killed_at_work_costs_that_case_and_leaves_nobody(void **state) {
    struct fixture *f = *state;
    pthread_t thread;
    assert_good_passes(f);
    int before = kb_worker_restarts(f->worker);
    pid_t pid = worker_pid();
    assert_int_equal(pthread_create(&thread, NULL, kill_at_work, &pid), 0);
    const struct kb_row *row = run_variant(f, "hang");
    pthread_join(thread, NULL);
    assert_reason(row, KB_R_CRASH,
                  "the worker ended without a result: signal 9 (Killed); went on with a "
                  "new worker");
    assert_string_equal(row->case_id, "silu/7x16/bf16");
    assert_string_equal(row->variant, "hang");
    assert_string_equal(row->kernel, f->kernel);
    assert_string_equal(row->op, "silu");
    assert_string_equal(row->axes.items[0], "tokens=7");
    assert_string_equal(row->device, "host");
    assert_non_null(strstr(row->repeat, "mine.cu:hang --build precise --seed 1"));
    assert_false(row->checked || row->built);
    assert_true(comes_to_have(getpid(), 0, NULL)); /* the kernel's process, too */
    assert_good_passes(f);
    assert_int_equal(kb_worker_restarts(f->worker), before + 1);
}

static void a_job_past_its_time_is_killed_with_all_it_started(void **state) {
    struct fixture *f = *state;
    const struct kb_job hang = job_of(f, "hang");
    assert_good_passes(f);
    int before = kb_worker_restarts(f->worker);
    int64_t start = kb_now_ns();
    const struct kb_row *row = run_job(f, &hang, 400);
    double seconds = (double)(kb_now_ns() - start) / 1e9;
    assert_reason(row, KB_R_TIMEOUT, "still running after 0.4 s, worker killed");
    assert_true(seconds >= 0.4 && seconds < 3);
    assert_true(comes_to_have(getpid(), 0, NULL));
    assert_good_passes(f);
    assert_int_equal(kb_worker_restarts(f->worker), before + 1);
}

/* A kernel that a compiler has minutes of work with: constants that it has to step through.
 */
static struct kb_job slow_job(struct fixture *f) {
    struct kb_buf text = {0};
    struct kb_job job = job_of(f, NULL);

    kb_buf_puts(&text, "/* kbench\n"
                       "{ \"ops\": [\"silu\"], \"variants\": { \"v\": {\n"
                       "  \"entry\": \"slow\", \"grid\": 1, \"block\": 1,\n"
                       "  \"args\": [\"out\"] } } }\n"
                       "*/\n"
                       "template <int k> constexpr int steps() {\n"
                       "    int sum = k;\n"
                       "    for (int i = 0; i < 200000; i++) sum ^= i;\n"
                       "    return sum;\n"
                       "}\n");
    for (int k = 0; k < 3000; k++)
        kb_buf_printf(&text, "static_assert(steps<%d>() != -1, \"\");\n", k);
    kb_buf_puts(&text, "__global__ void slow(void *out) {}\n");
    write_text(f->other, text.data);
    kb_buf_free(&text);
    job.kernel = f->other;
    return job;
}

/* A compiler is in a group of its own and does not know us. */
static void a_compiler_ends_with_its_worker(void **state) {
    struct fixture *f = *state;
    struct kb_job job = slow_job(f);
    assert_reason(run_job(f, &job, 300), KB_R_TIMEOUT, NULL);
    assert_true(comes_to_have(getpid(), 0, NULL));
    assert_int_equal(count_workplaces(f), 0); /* its files are gone as well */
    assert_good_passes(f);
    assert_int_equal(count_workplaces(f), 1);
}

/* What a signal handler would do, once the worker is compiling. */
static void *interrupt_at_work(void *context) {
    struct kb_worker *worker = context;
    pid_t pid;

    if (count_children(getpid(), &pid) == 1 && comes_to_have(pid, 1, NULL))
        kb_worker_kill(worker);
    return NULL;
}

static void kill_ends_a_job_with_all_it_started(void **state) {
    struct fixture *f = *state;
    struct kb_job job = slow_job(f);
    pthread_t thread;
    kb_worker_kill(NULL);
    assert_good_passes(f);
    assert_int_equal(pthread_create(&thread, NULL, interrupt_at_work, f->worker), 0);
    assert_reason(run_job(f, &job, 20000), KB_R_CRASH, "exit status 143");
    pthread_join(thread, NULL);
    assert_true(comes_to_have(getpid(), 0, NULL));
    kb_worker_kill(f->worker); /* again, with nobody there */
    assert_good_passes(f);
}

static void rows_outlive_their_worker_and_their_job(void **state) {
    struct fixture *f = *state;
    const struct kb_exec_options ordinary = {0};
    char *case_id = strdup("silu/7x16/bf16"), *variant = strdup("hang");
    struct kb_job job = job_of(f, variant);
    job.case_id = case_id;
    run_job(f, &job, 300);
    kb_worker_end(f->worker);
    f->worker = NULL;
    memset(case_id, 'x', strlen(case_id));
    memset(variant, 'x', strlen(variant));
    free(case_id);
    free(variant);
    assert_string_equal(f->row.case_id, "silu/7x16/bf16");
    assert_string_equal(f->row.variant, "hang");
    assert_string_equal(f->row.device, "host");
    assert_string_equal(f->row.backend, "host");
    assert_string_equal(f->row.build, "precise");
    start_worker(f, &ordinary);
}

/* Each from a thread that ends: a worker must not end with the thread that started it. */
static void *start_elsewhere(void *context) {
    struct fixture *f = context;
    const struct kb_exec_options ordinary = {0};

    start_worker(f, &ordinary);
    return NULL;
}

static void a_worker_outlives_the_thread_that_started_it(void **state) {
    struct fixture *f = *state;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, start_elsewhere, f), 0);
    pthread_join(thread, NULL);
    pid_t pid = worker_pid();
    for (int i = 0; i < 2; i++)
        assert_good_passes(f);
    assert_int_equal(worker_pid(), pid);
    assert_int_equal(kb_worker_restarts(f->worker), 0);
}

static void a_worker_that_is_left_ends_before_it_is_waited_for(void **state) {
    struct fixture *f = *state;
    siginfo_t info = {0};
    pid_t pid = 0;
    assert_good_passes(f);
    assert_int_equal(count_children(getpid(), &pid), 1);
    kb_worker_leave(f->worker);
    assert_true(comes_to_have(getpid(), 0, NULL));
    assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT | WNOHANG), 0);
    assert_int_equal(info.si_code, CLD_EXITED);
    assert_int_equal(info.si_status, 0);
    kb_worker_leave(f->worker); /* twice is once */
    kb_worker_end(f->worker);
    f->worker = NULL;
    assert_int_equal(count_children(getpid(), NULL), 0);
    const struct kb_exec_options ordinary = {0};
    start_worker(f, &ordinary);
}

static void a_worker_ends_with_its_parent_and_so_does_its_compiler(void **state) {
    struct fixture *f = *state;
    char exe[] = "/proc/self/exe", role[] = "--worker", kind[] = "case";
    char *argv[] = {exe, role, kind, NULL};
    const struct kb_worker_options options = {.backend = "host"};
    struct kb_job job = slow_job(f);
    struct kb_child child;
    struct kb_buf text = {0}, hello = {0}, log = {0};
    uint64_t nonce = 7;
    int status = 0;
    kb_worker_end(f->worker);
    f->worker = NULL;
    assert_true(kb_child_start(&child, argv, NULL, -1, &f->err));
    kb_worker_options_print(&options, &text);
    assert_true(kb_write_all(child.in, &nonce, sizeof nonce));
    assert_true(kb_frame_write(child.in, nonce, text.data, text.len, &f->err));
    assert_true(kb_child_reply(&child, nonce, 20000, &hello, &log, &f->err));
    kb_buf_clear(&text);
    kb_job_print(&job, &text);
    assert_true(kb_frame_write(child.in, nonce, text.data, text.len, &f->err));
    assert_true(comes_to_have(child.pid, 1, NULL));
    close(child.in); /* as the kernel does with what a dead process had open */
    child.in = -1;
    assert_true(kb_child_wait(&child, 4000, &status));
    assert_true(comes_to_have(getpid(), 0, NULL));
    kb_child_end(&child);
    kb_buf_free(&text);
    kb_buf_free(&hello);
    kb_buf_free(&log);
    const struct kb_exec_options ordinary = {0};
    start_worker(f, &ordinary);
}

/* ---- start ------------------------------------------------------------------------- */

static void what_cannot_start_says_why(void **state) {
    (void)state;
    const struct {
        struct kb_worker_options options;
        enum kb_err_kind kind;
        const char *text;
    } cases[] = {
        {{.backend = "abacus"}, KB_INPUT, "unknown backend \"abacus\""},
        {{.backend = "host", .ordinal = 3}, KB_DEVICE, "3"},
        {{.backend = "host", .exec = {.sanitize = "thread,address"}}, KB_INPUT, "exclude"},
    };
    for (size_t i = 0; i < KB_COUNT(cases); i++) {
        struct kb_worker *worker = NULL;
        struct kb_err err = {0};
        assert_false(kb_worker_start(&cases[i].options, &worker, &err));
        assert_null(worker);
        assert_int_equal(err.kind, cases[i].kind);
        assert_non_null(strstr(err.msg, cases[i].text));
    }
}

static void auto_without_a_gpu_is_host_and_says_why(void **state) {
    struct fixture *f = *state;
    const struct kb_worker_options options = {.backend = "auto"};
    struct kb_device_info gpu;
    struct kb_buf gaps = {0};
    int gpus = kb_cuda.probe(&gpu, 1, &gaps);
    kb_worker_end(f->worker);
    f->worker = NULL;
    assert_true(kb_worker_start(&options, &f->worker, &f->err));
    const struct kb_device_info *device = kb_worker_device(f->worker);
    if (gpus == 0) {
        assert_string_equal(device->backend, "host");
        assert_true(strlen(device->note) > 0);
        /* A restart keeps the place and the reason. */
        char *note = kb_arena_strdup(&f->arena, device->note);
        kb_worker_kill(f->worker);
        assert_true(comes_to_have(getpid(), 0, NULL));
        assert_good_passes(f);
        assert_string_equal(kb_worker_device(f->worker)->note, note);
    } else {
        assert_string_equal(device->backend, "cuda");
    }
    kb_buf_free(&gaps);
    const struct kb_exec_options ordinary = {0};
    start_worker(f, &ordinary);
}

/* ---- compiling ahead --------------------------------------------------------------- */

static void no_compile_names_what_is_not_there_and_prefetch_brings_it(void **state) {
    struct fixture *f = *state;
    const struct kb_exec_options frugal = {.no_compile = true}, ordinary = {0};
    const struct kb_worker_options options = {.backend = "host"};
    const char *cache = kb_arena_printf(&f->arena, "%s/cache2", f->folder);
    assert_int_equal(setenv("KBENCH_CACHE", cache, 1), 0);
    start_worker(f, &frugal);
    assert_reason(run_variant(f, "good"), KB_R_NO_COMPILE, "would have to compile");
    assert_int_equal(kb_reason_status(f->row.reason), 5);

    struct kb_job jobs[6];
    static const char *const names[] = {"good", "hang", "crash", "wide", "zero", "none"};
    for (int i = 0; i < 6; i++)
        jobs[i] = job_of(f, names[i]);
    struct kb_compiles made = {.lock = PTHREAD_MUTEX_INITIALIZER};
    kb_prefetch(&options, kb_worker_device(f->worker), jobs, 6, 2, &made, NULL);
    assert_int_equal(made.keys.count, 1); /* a file is one compile */
    assert_true(made.compile_ms > 0 && made.wall_ms > 0);
    assert_int_equal(count_children(getpid(), NULL), 1);
    assert_good_passes(f);
    kb_prefetch(&options, kb_worker_device(f->worker), jobs, 0, 2, &made, NULL);
    assert_int_equal(made.keys.count, 1);
    kb_compiles_free(&made);
    start_worker(f, &ordinary);
}

static int open_workers(void **state) {
    const struct kb_exec_options ordinary = {0};

    /* What a worker leaves behind becomes ours, and can be counted. */
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    open_folder(state);
    start_worker(*state, &ordinary);
    return 0;
}

int main(int argc, char **argv) {
    int status = 0;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_worker_killed_between_jobs_costs_no_case),
        cmocka_unit_test(a_worker_killed_an_instant_before_its_job_costs_no_case),
        cmocka_unit_test(a_worker_killed_at_work_costs_that_case_and_leaves_nobody),
        cmocka_unit_test(a_job_past_its_time_is_killed_with_all_it_started),
        cmocka_unit_test(a_compiler_ends_with_its_worker),
        cmocka_unit_test(kill_ends_a_job_with_all_it_started),
        cmocka_unit_test(rows_outlive_their_worker_and_their_job),
        cmocka_unit_test(a_worker_outlives_the_thread_that_started_it),
        cmocka_unit_test(a_worker_that_is_left_ends_before_it_is_waited_for),
        cmocka_unit_test(a_worker_ends_with_its_parent_and_so_does_its_compiler),
        cmocka_unit_test(what_cannot_start_says_why),
        cmocka_unit_test(auto_without_a_gpu_is_host_and_says_why),
        cmocka_unit_test(no_compile_names_what_is_not_there_and_prefetch_brings_it),
    };

    if (is_worker(argc, argv, &status))
        return status;
    return cmocka_run_group_tests(tests, open_workers, remove_folder);
}
