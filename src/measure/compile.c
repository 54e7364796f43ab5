/* compile.c - compile ahead for a GPU: threads that each keep a compiler, which is a
 * process of its own and opens no device, and take the distinct compiles one by one.
 *
 * They are taken some at a time, since headers take half a second of each run of nvcc and
 * 0.03 s of each of NVRTC, where an entry takes from 0.01 s to 2 s. What takes long comes
 * first. How long is not known before; the longest files have the largest kernels, and
 * those with headers of their own more than they hold. */
#include "brood.h"
#include "prefetch.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* All ops in five builds took 16 cores 7.6 and 9.3 s, 113 and 133 s of CPU time, with 3 of
 * nvcc's tasks per lane, what NVRTC compiles one by one, and all headers (see nvrtc.c); so,
 * 5.4 and 6.4 s, 81 and 96 s: pairs, since the machine's own speed changes. Beside those
 * 1 and 3 for nvcc gave 6.5 and 5.8 s, 3 and 12 for NVRTC 6.3 and 7.8 s, 20 lanes 6.7 s.
 * On a slower machine, 119 to 137 s of CPU time, the process took 10.3 to 10.9 s with 24
 * entries to a task at most, rows loaded behind the last and plans of one thread, and takes
 * 8.1 to 9.4 s. A tenth of that is the start of nvcc, 0.4 s each time. */
enum { POLL_MS = 100, NVCC_PER_LANE = 2, NVRTC_PER_LANE = 6, NVRTC_PARTS = 3 };

/* One distinct compile. */
struct pick {
    struct kb_hash code, group; /* group: all that decides it but its entries */
    const struct kb_job *job;
    int first_job; /* of those that come to it: further ones by a->same; -1: none does */
    size_t weight; /* of its file, see weight_of */
    bool from_nvcc;
    bool is_ceiling; /* which a worker builds beside the first case that has it */
    bool is_early;   /* in a group with a ceiling */
};

/* Picks that are compiled together: the first, and `count` in all, each `step` further. */
struct task {
    int first, count, step;
};

struct ahead {
    const struct kb_exec_options *exec;
    const struct kb_device_info *device;
    struct kb_session session; /* no device: kernel files and extra jobs */
    pthread_mutex_t plan_lock; /* the session's */
    struct pick *picks;
    struct task *tasks;
    int n_picks, n_tasks;
    int *same;       /* of a job the next of the same code, -1: none */
    int own_at;      /* the task before which the backend's own kernels are compiled */
    atomic_int next; /* task */
    struct kb_compiles *made;
    pthread_mutex_t end_lock; /* of all below */
    pthread_cond_t ended;
    int n_ended;
    const struct kb_ready *ready; /* NULL: nobody asked */
    int *held;                    /* jobs whose code is there, until all ceilings are */
    int n_held, n_ceilings;       /* that are missing */
};

/* ---- what is to compile -----------------------------------------------------------------
 */

/* Its size, as often as it includes a header beside it. */
static size_t weight_of(const struct kb_kernel *kernel) {
    static const char include[] = "#include \"";
    size_t n = 0;
    for (const char *at = kernel->text; (at = strstr(at, include));
         at += sizeof include - 1)
        n++;
    return kernel->size * (n ? n : 1);
}

/* `asked` as a pick. Builds of other names and the same flags are the same code, and would
 * wait for each other. */
static struct pick pick_of(const struct kb_asked *asked, const struct kb_job *job,
                           int number) {
    const struct kb_plan *plan = &asked->plan;
    struct kb_buf text = {0};
    struct pick pick = {
        .job = job,
        .first_job = number,
        .weight = weight_of(plan->kernel),
        .from_nvcc = asked->build.from_nvcc,
    };
    struct kb_build unnamed = asked->build;
    unnamed.name = unnamed.from_nvcc ? "nvcc" : "NVRTC";
    kb_build_key(plan, &unnamed, &text);
    pick.code = kb_hash_of(text.data, text.len);
    for (int i = 0; i < plan->n_launches; i++)
        kb_buf_cut(&text, text.len - strlen(plan->launches[i].entry) - 1);
    pick.group = kb_hash_of(text.data, text.len);
    kb_buf_free(&text);
    return pick;
}

/* The ceiling's kernel of a problem, if none of its kind was added before. */
static bool add_ceiling(struct ahead *a, const struct kb_asked *asked,
                        struct kb_strings *seen, struct kb_asked *own,
                        struct kb_arena *arena) {
    const struct kb_problem *problem = &asked->problem;
    struct kb_err none = {0};
    if (!kb_ceiling_op(problem))
        return false;
    const char *kind =
        kb_arena_printf(arena, "%s %s %s", kb_ceiling_op(problem),
                        problem->ceiling_pattern ? problem->ceiling_pattern : "",
                        kb_dtype_name(problem->c->dtype));
    struct kb_job *job = kb_arena_alloc(&a->session.arena, sizeof *job);
    if (!kb_ceiling_job(problem, a->device->limits.sm_count, &a->session.arena, job,
                        &none) ||
        !kb_session_plan(&a->session, a->device->backend, &a->device->limits, job, arena,
                         own, &none))
        return false;
    /* A pattern may have several variants, by size. */
    kind = kb_arena_printf(arena, "%s %s", kind, own->plan.variant->name);
    if (kb_strings_has(seen, kind))
        return false;
    kb_strings_add(seen, &a->session.arena, kb_arena_strdup(&a->session.arena, kind));
    a->picks[a->n_picks] = pick_of(own, job, -1);
    a->picks[a->n_picks++].is_ceiling = true;
    return true;
}

/* Of the same code the last job first: joined one by one, the first is in front. */
static int by_code(const void *x, const void *y) {
    const struct pick *a = x, *b = y;
    int order = memcmp(&a->code, &b->code, sizeof a->code);
    return order ? order : (a->first_job < b->first_job) - (a->first_job > b->first_job);
}

/* Ceilings with their like, since workers wait for them; then nvcc's, of them the heaviest
 * files; those of a group together. */
static int by_group(const void *x, const void *y) {
    const struct pick *a = x, *b = y;
    if (a->is_early != b->is_early)
        return a->is_early ? -1 : 1;
    if (a->from_nvcc != b->from_nvcc)
        return a->from_nvcc ? -1 : 1;
    if (a->weight != b->weight)
        return a->weight > b->weight ? -1 : 1;
    int order = memcmp(&a->group, &b->group, sizeof a->group);
    return order ? order : (a->first_job > b->first_job) - (a->first_job < b->first_job);
}

/* Each code once, with all jobs that come to it. */
static void join_same(struct ahead *a) {
    int n = 0;
    qsort(a->picks, (size_t)a->n_picks, sizeof *a->picks, by_code);
    for (int i = 0; i < a->n_picks; i++) {
        const struct pick *pick = &a->picks[i];
        struct pick *last = &a->picks[n ? n - 1 : 0];
        if (!n || memcmp(&pick->code, &last->code, sizeof pick->code) != 0) {
            a->picks[n++] = *pick;
            continue;
        }
        last->is_ceiling |= pick->is_ceiling;
        if (pick->first_job < 0)
            continue;
        a->same[pick->first_job] = last->first_job;
        last->first_job = pick->first_job;
        last->job = pick->job;
    }
    a->n_picks = n;
}

static void mark_early(struct ahead *a) {
    for (int i = 0; i < a->n_picks; i++) {
        const struct pick *ceiling = &a->picks[i];
        a->n_ceilings += ceiling->is_ceiling;
        for (int k = 0; ceiling->is_ceiling && k < a->n_picks; k++)
            a->picks[k].is_early |=
                !memcmp(&a->picks[k].group, &ceiling->group, sizeof ceiling->group);
    }
}

static void pick_all(struct ahead *a, const struct kb_job *jobs, int n_jobs) {
    struct kb_arena arena = {0};
    struct kb_strings seen = {0};
    const char *last = NULL; /* case */
    struct kb_asked *asked = kb_arena_alloc(&a->session.arena, 2 * sizeof *asked);
    a->picks = kb_arena_array(&a->session.arena, 2 * (size_t)n_jobs, sizeof *a->picks);
    a->same = kb_arena_array(&a->session.arena, (size_t)n_jobs, sizeof *a->same);
    a->held = kb_arena_array(&a->session.arena, (size_t)n_jobs, sizeof *a->held);
    for (int i = 0; i < n_jobs; i++) {
        struct kb_err none = {0}; /* what comes to no plan says so in the run */
        a->same[i] = -1;
        kb_arena_reset(&arena);
        if (!kb_session_plan(&a->session, a->device->backend, &a->device->limits, &jobs[i],
                             &arena, &asked[0], &none))
            continue;
        a->picks[a->n_picks++] = pick_of(&asked[0], &jobs[i], i);
        if (!last || !kb_streq(jobs[i].case_id, last)) /* builds of a case have one */
            add_ceiling(a, &asked[0], &seen, &asked[1], &arena);
        last = jobs[i].case_id;
    }
    kb_arena_free(&arena);
    join_same(a);
    mark_early(a);
    qsort(a->picks, (size_t)a->n_picks, sizeof *a->picks, by_group);
}

/* How many of a group's picks go into a task, so that each of several lanes has a few. What
 * NVRTC compiles comes last, and weight knows little of a single file: none of it is one
 * task. */
static int most_together(const struct ahead *a, const struct pick *pick, int n, int lanes) {
    size_t all = 0;
    if (!pick->weight)
        return 1;
    if (lanes < 2)
        return KB_MAX_TOGETHER;
    for (int i = 0; i < a->n_picks; i++)
        all += a->picks[i].weight;
    int per_lane = pick->from_nvcc ? NVCC_PER_LANE : NVRTC_PER_LANE;
    size_t most = all / ((size_t)(per_lane * lanes) * pick->weight);
    size_t part = (size_t)(n + NVRTC_PARTS - 1) / NVRTC_PARTS;
    size_t limit = pick->from_nvcc || part > KB_MAX_TOGETHER ? KB_MAX_TOGETHER : part;
    return most < 1 ? 1 : most > limit ? (int)limit : (int)most;
}

/* A group's picks are dealt: what is much alike, and may be heavy, stands together. The
 * backend's own, 0.3 s, stand between nvcc's and NVRTC's: behind all they were the end. */
static void make_tasks(struct ahead *a, int lanes) {
    a->tasks = kb_arena_array(&a->session.arena, (size_t)a->n_picks, sizeof *a->tasks);
    for (int first = 0, n; first < a->n_picks; first += n) {
        const struct pick *pick = &a->picks[first];
        n = 1;
        while (first + n < a->n_picks &&
               !memcmp(&pick[n].group, &pick->group, sizeof pick->group))
            n++;
        int most = most_together(a, pick, n, lanes), step = (n + most - 1) / most;
        for (int i = 0; i < step; i++)
            a->tasks[a->n_tasks++] =
                (struct task){first + i, (n - i + step - 1) / step, step};
        if (pick->from_nvcc)
            a->own_at = a->n_tasks;
    }
}

/* ---- who waits -------------------------------------------------------------------------
 */

static void tell_held(struct ahead *a) {
    for (int i = 0; i < a->n_held; i++)
        a->ready->tell(a->ready->context, a->held[i]);
    a->n_held = 0;
}

/* A pick was tried, and its code is there or not. A ceiling that is not is the worker's to
 * find out, as everything that is told of nobody. */
static void tell(struct ahead *a, const struct pick *pick, bool is_there) {
    if (!a->ready)
        return;
    pthread_mutex_lock(&a->end_lock);
    for (int job = is_there ? pick->first_job : -1; job >= 0; job = a->same[job])
        a->held[a->n_held++] = job;
    a->n_ceilings -= pick->is_ceiling;
    if (!a->n_ceilings)
        tell_held(a);
    pthread_mutex_unlock(&a->end_lock);
}

/* ---- compiling -------------------------------------------------------------------------
 */

static void compile_task(struct ahead *a, struct kb_compiler *compiler,
                         const struct task *task, struct kb_asked *asked,
                         struct kb_arena *arena) {
    struct kb_compiled items[KB_MAX_TOGETHER] = {0};
    const struct pick *picks[KB_MAX_TOGETHER];
    int n = 0;
    pthread_mutex_lock(&a->plan_lock);
    for (int i = 0; i < task->count; i++) {
        struct kb_err none = {0};
        picks[n] = &a->picks[task->first + i * task->step];
        if (kb_session_plan(&a->session, a->device->backend, &a->device->limits,
                            picks[n]->job, arena, &asked[n], &none)) {
            items[n].plan = &asked[n].plan;
            n++;
        }
    }
    pthread_mutex_unlock(&a->plan_lock);
    if (n)
        kb_compiler_build_together(compiler, a->device->limits.sm, &asked[0].build, items,
                                   n);
    for (int i = 0; i < n; i++) {
        if (items[i].ok && !items[i].info.cached)
            kb_compiles_add(a->made, items[i].info.key, items[i].info.compile_ms);
        tell(a, picks[i], items[i].ok);
    }
}

static void end_lane(struct ahead *a) {
    pthread_mutex_lock(&a->end_lock);
    a->n_ended++;
    pthread_cond_signal(&a->ended);
    pthread_mutex_unlock(&a->end_lock);
}

static void *run_lane(void *context) {
    struct ahead *a = context;
    struct kb_arena arena = {0}, kept = {0};
    struct kb_compiler *compiler = NULL;
    struct kb_err none = {0}; /* the run itself will say so */
    struct kb_asked *asked = kb_arena_array(&kept, KB_MAX_TOGETHER, sizeof *asked);
    bool open = kb_compiler_open(a->exec, &compiler, &none);
    while (open && !kb_prefetch_killed()) {
        int at = atomic_fetch_add(&a->next, 1);
        if (at == a->own_at)
            kb_compiler_build_own(compiler, a->device->limits.sm, &none);
        if (at >= a->n_tasks)
            break;
        compile_task(a, compiler, &a->tasks[at], asked, &arena);
        kb_arena_reset(&arena);
    }
    kb_compiler_close(compiler);
    kb_arena_free(&arena);
    kb_arena_free(&kept);
    end_lane(a);
    return NULL;
}

/* Until all have ended; when that is not to be waited for, the compilers die. */
static void await(struct ahead *a, int lanes) {
    pthread_mutex_lock(&a->end_lock);
    while (a->n_ended < lanes) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += POLL_MS * 1000000L;
        until.tv_sec += until.tv_nsec / 1000000000L;
        until.tv_nsec %= 1000000000L;
        if (pthread_cond_timedwait(&a->ended, &a->end_lock, &until) == ETIMEDOUT &&
            kb_prefetch_killed())
            kb_brood_kill(getpid());
    }
    pthread_mutex_unlock(&a->end_lock);
}

void kb_compile_ahead(const struct kb_exec_options *exec,
                      const struct kb_device_info *device, const struct kb_job *jobs,
                      int n_jobs, int lanes, struct kb_compiles *made,
                      const struct kb_ready *ready) {
    struct ahead a = {
        .exec = exec,
        .device = device,
        .plan_lock = PTHREAD_MUTEX_INITIALIZER,
        .made = made,
        .end_lock = PTHREAD_MUTEX_INITIALIZER,
        .ended = PTHREAD_COND_INITIALIZER,
        .ready = ready,
    };
    pick_all(&a, jobs, n_jobs);
    make_tasks(&a, lanes);
    lanes = lanes < a.n_tasks ? lanes : a.n_tasks;
    pthread_t *threads = kb_arena_array(&a.session.arena, (size_t)lanes, sizeof *threads);
    int started = 0;
    while (started < lanes && !pthread_create(&threads[started], NULL, run_lane, &a))
        started++;
    if (!started && a.n_tasks)
        run_lane(&a); /* no thread to be had: then one after the other */
    else
        await(&a, started);
    for (int i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
    kb_session_free(&a.session);
}
