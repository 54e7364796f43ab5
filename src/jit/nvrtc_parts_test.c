/* nvrtc_parts_test.c - several entries of a file that are compiled together, each kept by
 * itself. */
#include "nvrtc_fixture.h"

enum { PARTS = 3 };

struct parts {
    struct kb_nvrtc_job jobs[PARTS];
    struct kb_nvrtc_result results[PARTS];
    struct kb_err errs[PARTS];
    struct kb_nvrtc_part parts[PARTS];
    struct kb_cache *cache;
    struct kb_buf note;
};

static bool has_nvcc(void) {
    char nvcc[PATH_MAX];
    snprintf(nvcc, sizeof nvcc, "%s/bin/nvcc", kb_cuda_home());
    return access(nvcc, X_OK) == 0;
}

/* The fixture's job with one entry each, compiled together. */
static void compile_parts(struct fixture *f, struct parts *p, bool from_nvcc,
                          const char *const entries[PARTS]) {
    *p = (struct parts){0};
    if (from_nvcc && !has_nvcc())
        skip();
    p->cache = kb_cache_open(&p->note);
    f->job.from_nvcc = from_nvcc;
    for (int i = 0; i < PARTS; i++) {
        p->jobs[i] = f->job;
        kb_strings_add(&p->jobs[i].entries, &f->arena, entries[i]);
        p->parts[i] = (struct kb_nvrtc_part){&p->jobs[i], &p->results[i], &p->note,
                                             &p->errs[i], false};
    }
    kb_nvrtc_build_parts(f->nvrtc, p->cache, false, p->parts, PARTS, &f->arena);
}

static void drop(struct parts *p) {
    for (int i = 0; i < PARTS; i++)
        kb_nvrtc_result_free(&p->results[i]);
    kb_cache_close(p->cache);
    kb_buf_free(&p->note);
}

/* Does it have a kernel of that name? */
static bool has_text(const struct kb_buf *cubin, const char *name) {
    char section[300];
    snprintf(section, sizeof section, ".text.%s", name);
    return memmem(cubin->data, cubin->len, section, strlen(section) + 1) != NULL;
}

static void compile_shared(struct fixture *f, bool from_nvcc) {
    static const char *const entries[] = {"scale<__nv_bfloat16, 2>", "plain",
                                          "scale<__nv_bfloat16, 5>"};
    struct parts p;
    compile_parts(f, &p, from_nvcc, entries);
    for (int i = 0; i < PARTS; i++) {
        if (!p.parts[i].ok)
            fail_msg("%s", p.errs[i].msg);
        assert_false(p.results[i].cached);
        assert_int_equal(p.results[i].lowered.count, 1);
        assert_int_equal(p.results[i].spill_bytes, 0);
        assert_int_equal(p.results[i].cubin.len, p.results[0].cubin.len);
        assert_true(p.results[i].compile_ms > 0);
        for (int k = 0; k < PARTS; k++)
            assert_true(has_text(&p.results[i].cubin, p.results[k].lowered.items[0]));
    }
    assert_string_equal(p.results[1].lowered.items[0], "_Z5plainPi");
    assert_string_not_equal(p.results[0].lowered.items[0], p.results[2].lowered.items[0]);
    /* What a run asks for one by one is there. */
    for (int i = 0; i < PARTS; i++) {
        struct kb_nvrtc_result alone = {0};
        assert_true(kb_nvrtc_build(f->nvrtc, p.cache, true, &p.jobs[i], &f->arena, &alone,
                                   &p.note, &f->err));
        assert_true(alone.cached);
        assert_memory_equal(&alone.key, &p.results[i].key, sizeof alone.key);
        assert_string_equal(alone.lowered.items[0], p.results[i].lowered.items[0]);
        kb_nvrtc_result_free(&alone);
    }
    drop(&p);
}

static void parts_share_the_code_and_have_keys_of_their_own(void **state) {
    compile_shared(*state, false);
}

static void parts_of_nvcc_share_the_code_and_have_keys_of_their_own(void **state) {
    compile_shared(*state, true);
}

/* A kernel of 50 steps that cannot be told ahead, beside one of none. */
static void compile_steps(struct fixture *f, bool from_nvcc) {
    static const char *const entries[] = {"steps<0>", "steps<50>", "steps<1>"};
    struct parts p;
    set_source(f, "template <int N> __global__ void steps(float *p) {\n"
                  "#pragma unroll\n"
                  "    for (int i = 0; i < N; i++) p[p[i] > 0] = __sinf(p[i]);\n"
                  "}\n");
    compile_parts(f, &p, from_nvcc, entries);
    for (int i = 0; i < PARTS; i++)
        if (!p.parts[i].ok)
            fail_msg("%s", p.errs[i].msg);
    assert_true(p.results[1].compile_ms > 3 * p.results[0].compile_ms);
    drop(&p);
}

static void share_of_compile_ms_is_by_what_ptxas_took(void **state) {
    compile_steps(*state, false);
}

static void share_of_what_nvcc_took_is_by_what_ptxas_took(void **state) {
    compile_steps(*state, true);
}

static void compile_one_wrong(struct fixture *f, bool from_nvcc) {
    static const char *const entries[] = {"plain", "scale<no_such_type, 2>",
                                          "scale<__nv_bfloat16, 2>"};
    struct parts p;
    compile_parts(f, &p, from_nvcc, entries);
    assert_true(p.parts[0].ok);
    assert_false(p.parts[1].ok);
    assert_true(p.parts[2].ok);
    assert_non_null(strstr(p.errs[1].msg, "no_such_type"));
    drop(&p);
}

static void a_part_that_does_not_compile_costs_no_other(void **state) {
    compile_one_wrong(*state, false);
}

static void a_part_that_nvcc_does_not_compile_costs_no_other(void **state) {
    compile_one_wrong(*state, true);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int argc, char **argv) {
    if (argc == 3 && kb_streq(argv[1], "--worker") && kb_streq(argv[2], "nvrtc"))
        return kb_nvrtc_worker_main();
    signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        TEST(parts_share_the_code_and_have_keys_of_their_own),
        TEST(parts_of_nvcc_share_the_code_and_have_keys_of_their_own),
        TEST(share_of_compile_ms_is_by_what_ptxas_took),
        TEST(share_of_what_nvcc_took_is_by_what_ptxas_took),
        TEST(a_part_that_does_not_compile_costs_no_other),
        TEST(a_part_that_nvcc_does_not_compile_costs_no_other),
    };
    return cmocka_run_group_tests_name("nvrtc parts", tests, NULL, NULL);
}
