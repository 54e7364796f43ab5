/* cuda_gpu_passes_test.c - on a real GPU: inputs that come late, many launches from the
 * same contents. */
#include "gpu_fixture.h"

static const char kernels[] =
    "#define WAIT asm volatile(\"griddepcontrol.wait;\" ::: \"memory\")\n"
    "__global__ void right(const int *x, int *y) {\n"
    "    int i = blockIdx.x * blockDim.x + threadIdx.x;\n"
    "    WAIT;\n"
    "    y[i] = x[i];\n"
    "}\n"
    "__global__ void reads_early(const volatile int *x, int *y) {\n"
    "    int i = blockIdx.x * blockDim.x + threadIdx.x, early = x[i];\n"
    "    WAIT;\n"
    "    y[i] = early;\n"
    "}\n"
    "__global__ void writes_early(const int *x, volatile int *y) {\n"
    "    int i = blockIdx.x * blockDim.x + threadIdx.x;\n"
    "    y[i] = i;\n"
    "    WAIT;\n"
    "}\n"
    "__global__ void never_waits(const int *x, int *y) {\n"
    "    int i = blockIdx.x * blockDim.x + threadIdx.x;\n"
    "    y[i] = x[i];\n"
    "}\n"
    "__device__ int launches;\n"
    "__global__ void counts(const int *x, int *y) {\n"
    "    int i = blockIdx.x * blockDim.x + threadIdx.x;\n"
    "    y[i] += x[i];\n"
    "    if (i == 0) y[0] = launches++ / 5;\n"
    "}\n";

enum { N = 3000, POISON = 0x7fb37fb3 };

/* x[i] = 7 i; y is poison. */
static void launch(struct fixture *f, const char *entry,
                   const struct kb_run_options *options, struct kb_run_result *result,
                   int *y) {
    static const size_t bytes[] = {N * 4, N * 4}, shifts[] = {4, 8};
    struct kb_slab slab;
    f->kernel.text = kernels;
    f->kernel.size = strlen(kernels);
    make_slab(f, &slab, 2, bytes);
    assert_true(kb_slab_place(&slab, 2, bytes, shifts, &f->err));
    int *x = kb_slab_at(&slab, 0);
    kb_poison(kb_slab_at(&slab, 1), bytes[1], 1);
    for (int i = 0; i < N; i++)
        x[i] = 7 * i;
    struct kb_plan *plan = plan_of(f, entry, N / 100, 100, 2);
    if (!kb_cuda.run(f->device, build(f, plan), plan, &slab, options, result, &f->err))
        fail_msg("%s", f->err.msg);
    memcpy(y, kb_slab_at(&slab, 1), bytes[1]);
    for (int i = 0; i < N; i++)
        assert_int_equal(x[i], 7 * i);
    assert_int_equal(kb_slab_guards(&slab, NULL, 0), 0);
    kb_slab_free(&slab);
}

static bool has_pdl(const struct fixture *f) {
    return kb_cuda.info(f->device)->limits.sm >= 90;
}

static void what_waits_sees_inputs_that_come_late(void **state) {
    struct fixture *f = *state;
    const struct kb_run_options late = {.late = true};
    struct kb_run_result result;
    int y[N];
    launch(f, "right", &late, &result, y);
    assert_int_equal(result.late, has_pdl(f));
    assert_int_equal(result.runs, 1);
    for (int i = 0; i < N; i++)
        assert_int_equal(y[i], 7 * i);
}

static void what_is_read_before_the_wait_is_poison(void **state) {
    struct fixture *f = *state;
    const struct kb_run_options late = {.late = true}, plain = {.no_pdl = true};
    struct kb_run_result result;
    int y[N];
    if (!has_pdl(f))
        skip();
    launch(f, "reads_early", &plain, &result, y);
    for (int i = 0; i < N; i++)
        assert_int_equal(y[i], 7 * i);
    launch(f, "reads_early", &late, &result, y);
    for (int i = 0; i < N; i++)
        assert_int_equal(y[i], POISON);
}

static void what_is_written_before_the_wait_is_lost(void **state) {
    struct fixture *f = *state;
    static const char *const entries[] = {"writes_early", "never_waits"};
    const struct kb_run_options late = {.late = true}, plain = {0};
    struct kb_run_result result;
    int y[N];
    if (!has_pdl(f))
        skip();
    for (size_t k = 0; k < KB_COUNT(entries); k++) {
        launch(f, entries[k], &plain, &result, y);
        for (int i = 0; i < N; i++)
            assert_int_equal(y[i], k ? 7 * i : i);
        launch(f, entries[k], &late, &result, y);
        for (int i = 0; i < N; i++)
            assert_int_equal(y[i], (int)0x804c804c);
    }
}

static void passes_begin_from_the_same_contents(void **state) {
    struct fixture *f = *state;
    const struct kb_run_options options = {
        .repeats = 19, .repeat_ns = INT64_MAX / 4, .compared = 2};
    struct kb_run_result result;
    int y[N];
    launch(f, "right", &options, &result, y);
    assert_int_equal(result.runs, 20);
    for (int i = 0; i < N; i++)
        assert_int_equal(y[i], 7 * i);
}

static void the_first_pass_with_other_bytes_is_the_last(void **state) {
    struct fixture *f = *state;
    const struct kb_run_options options = {.repeats = 19,
                                           .repeat_ns = INT64_MAX / 4,
                                           .compared = 2},
                                blind = {.repeats = 19, .repeat_ns = INT64_MAX / 4};
    struct kb_run_result result;
    int y[N];
    launch(f, "counts", &options, &result, y);
    assert_int_equal(result.runs, 6);
    assert_int_equal(y[0], 1);
    for (int i = 1; i < N; i++)
        assert_int_equal(y[i], (int)(0x804c804c + 7u * (unsigned)i));
    launch(f, "counts", &blind, &result, y); /* of slots that do not count */
    assert_int_equal(result.runs, 20);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        TEST(what_waits_sees_inputs_that_come_late),
        TEST(what_is_read_before_the_wait_is_poison),
        TEST(what_is_written_before_the_wait_is_lost),
        TEST(passes_begin_from_the_same_contents),
        TEST(the_first_pass_with_other_bytes_is_the_last),
    };
    int status = begin_tests(argc, argv);
    return status >= 0 ? status : cmocka_run_group_tests(tests, NULL, NULL);
}
