/* compile_test.c - compiling ahead for a GPU: who is told of what, and when. Needs NVRTC,
 * no driver and no GPU. */
#include "h200_fixture.h"
#include "prefetch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char plain_cu[] =
    "/* kbench\n"
    "{ \"ops\": [\"silu\"], \"grid\": 1, \"block\": 32, \"args\": [\"input\", \"out\"],\n"
    "  \"variants\": { \"right\": { \"entry\": \"plain<0>\" },\n"
    "                \"wrong\": { \"entry\": \"plain<1>\" } } }\n"
    "*/\n"
    "template <int kWrong> __global__ void plain(const void *input, void *out) {\n"
    "    static_assert(!kWrong, \"wrong\");\n"
    "}\n";

enum { MOST = 16 };

struct fixture {
    struct kb_temp temp;
    struct kb_arena arena;
    struct kb_device_info device;
    struct kb_job jobs[MOST];
    int n;
    struct kb_compiles made;
    int told[MOST], n_told;
    size_t made_before; /* what was compiled when the first was told of */
    int lacking;        /* told of, and a worker would have had to compile */
};

static void add(struct fixture *f, const char *id, const char *variant, const char *build) {
    f->jobs[f->n++] = (struct kb_job){
        .case_id = id,
        .variant = variant,
        .build = build,
        .mode = KB_BUILD_ONLY,
        .trusted_flags = true,
    };
}

static bool is_in_cache(struct fixture *f, struct kb_session *session,
                        const struct kb_job *job, struct kb_asked *asked) {
    const struct kb_exec_options frugal = {.no_compile = true};
    struct kb_compiler *compiler = NULL;
    struct kb_err err = {0};
    assert_true(kb_session_plan(session, "cuda", &f->device.limits, job, &session->arena,
                                asked, &err));
    struct kb_compiled code = {.plan = &asked->plan};
    assert_true(kb_compiler_open(&frugal, &compiler, &err));
    kb_compiler_build_together(compiler, f->device.limits.sm, &asked->build, &code, 1);
    kb_compiler_close(compiler);
    return code.ok;
}

/* By one compiler at a time: prefetch holds a lock around it. */
static void tell(void *context, int number) {
    struct fixture *f = context;
    struct kb_session session = {0};
    struct kb_asked *asked = kb_arena_alloc(&session.arena, 2 * sizeof *asked);
    struct kb_job ceiling;
    struct kb_err err = {0};
    pthread_mutex_lock(&f->made.lock); /* others may have compiled more by now */
    if (!f->n_told++)
        f->made_before = f->made.keys.count;
    pthread_mutex_unlock(&f->made.lock);
    f->told[number]++;
    bool there = is_in_cache(f, &session, &f->jobs[number], &asked[0]) &&
                 kb_ceiling_job(&asked[0].problem, f->device.limits.sm_count,
                                &session.arena, &ceiling, &err) &&
                 is_in_cache(f, &session, &ceiling, &asked[1]);
    f->lacking += !there;
    kb_session_free(&session);
}

static void compile(struct fixture *f, int processes) {
    const struct kb_worker_options options = {.backend = "cuda"};
    const struct kb_ready ready = {tell, f};
    f->n_told = f->lacking = 0;
    memset(f->told, 0, sizeof f->told);
    kb_prefetch(&options, &f->device, f->jobs, f->n, processes, &f->made, &ready);
}

static void add_silu(struct fixture *f) {
    static const char *const builds[] = {"precise", "fast-math", "auto"};
    for (int i = 0; i < 3; i++) {
        add(f, "silu/7x16/bf16", NULL, builds[i]);
        add(f, "silu/7x16/fp16", NULL, builds[i]);
        add(f, "silu/64x2048/fp32", NULL, builds[i]);
    }
}

static void each_job_is_told_of_once_when_all_that_it_needs_is_there(void **state) {
    struct fixture *f = *state;
    add_silu(f);
    compile(f, 2);
    assert_int_equal(f->n_told, f->n);
    for (int i = 0; i < f->n; i++)
        assert_int_equal(f->told[i], 1);
    assert_int_equal(f->lacking, 0);
    assert_true(f->made.keys.count > 6); /* auto is fast-math here, ceilings are more */
}

/* By one compiler, whose tasks come one after the other: two may end together. */
static void the_first_is_told_of_while_others_are_compiled(void **state) {
    struct fixture *f = *state;
    add_silu(f);
    compile(f, 1);
    assert_true(f->n_told && f->made_before < f->made.keys.count);
}

static void what_the_cache_has_is_told_of_too(void **state) {
    struct fixture *f = *state;
    add_silu(f);
    compile(f, 2);
    size_t made = f->made.keys.count;
    compile(f, 2);
    assert_int_equal(f->n_told, f->n);
    assert_int_equal(f->made.keys.count, made);
}

static void what_does_not_compile_is_told_of_nobody(void **state) {
    struct fixture *f = *state;
    struct kb_err err = {0};
    const char *path = kb_arena_printf(&f->arena, "%s/plain.cu", f->temp.path);
    assert_true(kb_file_replace(path, plain_cu, strlen(plain_cu), &err));
    add(f, "silu/7x16/bf16", "right", "precise");
    add(f, "silu/7x16/bf16", "wrong", "precise");
    f->jobs[0].kernel = f->jobs[1].kernel = path;
    compile(f, 1);
    assert_int_equal(f->told[0], 1);
    assert_int_equal(f->told[1], 0);
}

static int set_up(void **state) {
    struct fixture *f = test_calloc(1, sizeof *f);
    struct kb_err err = {0};
    if (!kb_temp_make(&f->temp, &err))
        return -1;
    f->device = h200;
    pthread_mutex_init(&f->made.lock, NULL);
    *state = f;
    return setenv("KBENCH_CACHE", kb_arena_printf(&f->arena, "%s/cache", f->temp.path), 1);
}

static int tear_down(void **state) {
    struct fixture *f = *state;
    kb_compiles_free(&f->made);
    kb_arena_free(&f->arena);
    kb_temp_free(&f->temp);
    test_free(f);
    return 0;
}

int main(int argc, char *argv[]) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            each_job_is_told_of_once_when_all_that_it_needs_is_there, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_first_is_told_of_while_others_are_compiled,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_the_cache_has_is_told_of_too, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(what_does_not_compile_is_told_of_nobody, set_up,
                                        tear_down),
    };
    if (argc > 2 && kb_streq(argv[1], "--worker") && kb_streq(argv[2], "nvrtc"))
        return kb_nvrtc_worker_main();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
