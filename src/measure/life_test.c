/* life_test.c - whole cases on the host backend, in a worker: what each kind of kernel is
 * told, and that the next one is not harmed. */
#include "worker_fixture.h"

#include <math.h>

/* ---- verdicts ---------------------------------------------------------------------- */

static void the_built_in_kernel_passes(void **state) {
    struct fixture *f = *state;
    struct kb_job job = {.case_id = "silu/7x16/bf16",
                         .build = "precise",
                         .mode = KB_BENCH, /* which host cannot: it checks */
                         .seed = 1,
                         .methods = 1u << KB_GRAPH,
                         .tags = "ci,full",
                         .origin = "cases/x.json:3"};
    const struct kb_row *row = run_job(f, &job, 60000);
    assert_reason(row, KB_R_NONE, NULL);
    assert_null(row->text);
    assert_string_equal(row->case_id, "silu/7x16/bf16");
    assert_string_equal(row->kernel, "kernels/activation.cu");
    assert_string_equal(row->backend, "host");
    assert_string_equal(row->device, "host");
    assert_string_equal(row->build, "precise");
    assert_string_equal(row->flags.items[0], "-std=c++17");
    assert_string_equal(row->tags, "ci,full");
    assert_string_equal(row->origin, "cases/x.json:3");
    assert_string_equal(row->axes.items[0], "tokens=7");
    assert_string_equal(row->axes.items[1], "hidden=8");
    assert_int_equal(row->set.count, 0);
    assert_true(row->built && row->checked);
    assert_int_equal(row->orders, 3);
    assert_int_equal(row->n_outputs, 1);
    assert_string_equal(row->outputs[0].name, "out");
    assert_int_equal(row->outputs[0].checked, 56);
    assert_true(row->outputs[0].ulp_max <= 0.51 && row->outputs[0].err_over_bound < 0.3);
    assert_int_equal(row->bytes, 336);
    assert_null(row->limited_by);
    for (int m = 0; m < KB_METHOD_COUNT; m++)
        assert_false(row->times[m].there);
    assert_true(row->ms_total > 0 && row->ms_check > 0);
    char *repeat = kb_arena_printf(&f->arena,
                                   "kbench --case silu/7x16/bf16 --build precise "
                                   "--variant %s --seed 1",
                                   row->variant);
    assert_string_equal(row->repeat, repeat);
}

static void no_rows_at_all_pass(void **state) {
    struct fixture *f = *state;
    struct kb_job job = job_of(f, "good");
    job.case_id = "silu/0x16/bf16";
    assert_reason(run_job(f, &job, 60000), KB_R_NONE, NULL);
    assert_true(f->row.checked);
    assert_int_equal(f->row.outputs[0].elements, 0);
}

static void a_wrong_element_is_a_mismatch_and_is_shown(void **state) {
    struct fixture *f = *state;
    const struct kb_row *row = run_variant(f, "wrong");
    assert_reason(row, KB_R_MISMATCH, "out: 1 of 56 elements are past the bound");
    assert_int_equal(row->outputs[0].over, 1);
    assert_int_equal(row->outputs[0].worst.index, 40);
    assert_int_equal(row->outputs[0].n_first, 1);
    assert_int_equal(row->out_of_bounds + row->inputs_changed + row->unwritten, 0);
    assert_good_passes(f);
}

/* The kernels here know neither layouts nor filters. */
static void a_wrong_output_is_told_by_the_convention_it_follows(void **state) {
    struct fixture *f = *state;
    struct kb_job job = job_of(f, "good");
    job.case_id = "silu/7x16/bf16/layout=up_gate";
    assert_reason(run_job(f, &job, 60000), KB_R_MISMATCH,
                  "past the bound; matches with the halves swapped");
    assert_string_equal(f->row.outputs[0].follows, "with the halves swapped");
    job.case_id = "gelu/7x16/bf16";
    assert_reason(run_job(f, &job, 60000), KB_R_VARIANT, NULL);
    job.case_id = "silu/7x16/bf16";
    assert_reason(run_job(f, &job, 60000), KB_R_NONE, NULL);
    assert_null(f->row.outputs[0].follows);
}

static void rows_that_were_to_stay_as_they_were_are_told(void **state) {
    struct fixture *f = *state;
    struct kb_job job = job_of(f, "good");
    job.case_id = "silu/7x16/bf16/filter=ids";
    assert_reason(run_job(f, &job, 60000), KB_R_TOUCHED,
                  "out: 24 of 56 elements were written to, though they must stay as they "
                  "were; matches without the filter");
    assert_int_equal(f->row.outputs[0].kept, 24);
    assert_int_equal(f->row.outputs[0].touched, 24);
    assert_int_equal(f->row.unwritten, 0);
    assert_good_passes(f);
}

/* In every order, from both poisons: what stays holds another one each time. */
static void rows_that_stay_as_they_were_pass_in_every_order(void **state) {
    struct fixture *f = *state;
    static const struct {
        const char *id, *output;
        int kept;
    } cases[] = {
        {"silu/7x16/bf16/filter=ids", "out", 24},
        {"gelu/7x16/fp32/filter=ids/skip=1", "out", 56},
        {"silu/7x16/fp16/inplace=yes", "input", 56},
        {"silu/7x16/bf16/filter=ids/inplace=yes", "input", 80},
    };
    for (size_t i = 0; i < KB_COUNT(cases); i++) {
        struct kb_job job = {.case_id = cases[i].id, .build = "precise", .seed = 1};
        job.mode = KB_CHECK;
        assert_reason(run_job(f, &job, 60000), KB_R_NONE, NULL);
        assert_int_equal(f->row.orders, 3);
        assert_int_equal(f->row.n_outputs, 1);
        assert_string_equal(f->row.outputs[0].name, cases[i].output);
        assert_int_equal(f->row.outputs[0].kept, cases[i].kept);
        assert_int_equal(f->row.outputs[0].touched, 0);
    }
}

static void tolerance_of_the_job_decides(void **state) {
    struct fixture *f = *state;
    struct kb_job job = job_of(f, "wrong");
    job.tolerance = (struct kb_tolerance){KB_TOL_GIVEN, 0.2, 0.1};
    assert_reason(run_job(f, &job, 60000), KB_R_NONE, NULL);
    assert_int_equal(f->row.outputs[0].over_bound, 1);
    assert_true(f->row.proved && f->row.impostors.tried == 8);
    job.tolerance = (struct kb_tolerance){KB_TOL_GIVEN, 1e-6, 0};
    assert_reason(run_job(f, &job, 60000), KB_R_MISMATCH, "past the tolerance");
}

static void a_tolerance_that_lets_impostors_pass_is_mistrusted(void **state) {
    struct fixture *f = *state;
    struct kb_job job = job_of(f, "good");
    job.tolerance = (struct kb_tolerance){KB_TOL_GIVEN, 10, 0};
    assert_reason(run_job(f, &job, 60000), KB_R_IMPOSTOR,
                  "\"all zeros\" and 7 others would pass: atol 10 is ");
    assert_int_equal(f->row.impostors.let_through.count, 8);
    assert_int_equal(kb_reason_verdict(f->row.reason), KB_MISTRUSTED);
    /* What is wrong in itself is said first. */
    job = job_of(f, "order");
    job.tolerance = (struct kb_tolerance){KB_TOL_GIVEN, 10, 0};
    assert_reason(run_job(f, &job, 60000), KB_R_ORDER, NULL);
    job = job_of(f, "wrong");
    assert_reason(run_job(f, &job, 60000), KB_R_MISMATCH, NULL);
    assert_false(f->row.proved);
    assert_good_passes(f);
}

static void writes_outside_are_found_on_both_sides(void **state) {
    struct fixture *f = *state;
    assert_reason(run_variant(f, "past"), KB_R_OUT_OF_BOUNDS,
                  "2 bytes right past the end of out were overwritten");
    assert_int_equal(f->row.out_of_bounds, 2);
    assert_int_equal(f->row.outputs[0].over, 0);
    assert_reason(
        run_variant(f, "far"), KB_R_OUT_OF_BOUNDS,
        "2 bytes past the end of out were overwritten, the nearest 20 bytes away from it");
    assert_reason(run_variant(f, "before"), KB_R_OUT_OF_BOUNDS,
                  "2 bytes right before the start of out were overwritten");
    assert_good_passes(f);
}

static void an_input_that_was_written_to_is_a_failure(void **state) {
    struct fixture *f = *state;
    assert_reason(run_variant(f, "clobber"), KB_R_INPUT_CHANGED,
                  "input input was written to: 1 byte changed, the first is byte 10");
    assert_int_equal(f->row.inputs_changed, 1);
    assert_good_passes(f);
}

static void an_unwritten_tail_is_told_from_a_wrong_one(void **state) {
    struct fixture *f = *state;
    assert_reason(run_variant(f, "tail"), KB_R_UNWRITTEN,
                  "out: 3 of 56 elements were never written: the poison is still in them; "
                  "the rest is right");
    assert_int_equal(f->row.unwritten, 3);
    assert_int_equal(f->row.outputs[0].first_bad, 53);
    assert_true(f->row.outputs[0].first[0].poison);
    assert_good_passes(f);
}

static void dependence_on_the_order_of_blocks_is_found(void **state) {
    struct fixture *f = *state;
    assert_reason(run_variant(f, "order"), KB_R_ORDER, "with blocks in reversed order");
    assert_int_equal(f->row.outputs[0].over, 0);
    assert_int_equal(f->row.orders, 1);
    assert_good_passes(f);
}

static void threads_that_wait_in_vain_are_a_deadlock(void **state) {
    struct fixture *f = *state;
    assert_reason(run_variant(f, "deadlock"), KB_R_DEADLOCK, NULL);
    assert_good_passes(f);
}

/* ---- kernels that end badly -------------------------------------------------------- */

static void a_crash_costs_its_case(void **state) {
    struct fixture *f = *state;
    assert_reason(run_variant(f, "crash"), KB_R_CRASH, "signal 11");
    assert_false(f->row.checked);
    assert_true(f->row.built);
    assert_good_passes(f);
    assert_int_equal(kb_worker_restarts(f->worker), 0);
}

static void a_kernel_that_never_ends_costs_its_case(void **state) {
    struct fixture *f = *state;
    const struct kb_exec_options impatient = {.launch_ms = 300}, ordinary = {0};
    start_worker(f, &impatient);
    assert_reason(run_variant(f, "hang"), KB_R_TIMEOUT, "still running after 0.3 s");
    assert_good_passes(f);
    assert_int_equal(kb_worker_restarts(f->worker), 0);
    start_worker(f, &ordinary);
}

static void a_kernel_that_leaves_costs_its_case(void **state) {
    struct fixture *f = *state;
    assert_reason(run_variant(f, "leave"), KB_R_CRASH, NULL);
    assert_good_passes(f);
    assert_int_equal(kb_worker_restarts(f->worker), 0);
}

static void a_kernel_that_prints_and_prints_is_judged_by_its_output(void **state) {
    struct fixture *f = *state;
    assert_reason(run_variant(f, "flood"), KB_R_NONE, NULL);
    assert_good_passes(f);
}

/* ---- skips and errors -------------------------------------------------------------- */

static void a_when_that_is_false_is_a_skip_that_says_so(void **state) {
    struct fixture *f = *state;
    assert_reason(run_variant(f, "wide"), KB_R_VARIANT, "hidden > 1000000");
    assert_int_equal(kb_reason_verdict(f->row.reason), KB_SKIP);
    assert_string_equal(f->row.variant, "wide");
    struct kb_job job = job_of(f, "good");
    job.case_id = "silu/7x16/fp32";
    assert_reason(run_job(f, &job, 60000), KB_R_VARIANT, "dtypes");
    job.case_id = "gelu/7x16/bf16";
    assert_reason(run_job(f, &job, 60000), KB_R_VARIANT, "gelu");
}

static void a_build_that_host_has_not_is_a_skip(void **state) {
    struct fixture *f = *state;
    struct kb_job job = job_of(f, "good");
    job.build = "fast-math";
    assert_reason(run_job(f, &job, 60000), KB_R_BUILD_HERE, "fast-math");
    assert_string_equal(f->row.build, "fast-math");
    assert_int_equal(f->row.flags.count, 2);
}

static void what_does_not_fit_is_a_skip_with_the_bytes_it_needs(void **state) {
    struct fixture *f = *state;
    const struct kb_exec_options small = {.memory_limit = 2000000}, ordinary = {0};
    start_worker(f, &small);
    struct kb_job job = job_of(f, "good");
    job.case_id = "silu/1000x1024/bf16";
    assert_reason(run_job(f, &job, 60000), KB_R_MEMORY, "needs 3.07 MB, 2 MB is the limit");
    assert_good_passes(f);
    start_worker(f, &ordinary);
    job.case_id = "silu/1000000000x1024/bf16";
    job.kernel = job.variant = NULL; /* the built-in's grid is large enough */
    assert_reason(run_job(f, &job, 60000), KB_R_MEMORY, "needs 3.07 TB");
}

static void a_case_that_fits_only_once_into_what_is_free_is_a_skip(void **state) {
    struct fixture *f = *state;
    int64_t rows = kb_worker_device(f->worker)->free_bytes / 10 * 6 / 6144;
    char id[64];
    snprintf(id, sizeof id, "silu/%lldx2048/bf16", (long long)rows);
    struct kb_job job = job_of(f, "good");
    job.case_id = id;
    assert_reason(run_job(f, &job, 60000), KB_R_MEMORY,
                  "are free for two copies and the outputs");
}

static void a_contract_that_is_wrong_for_the_case_is_an_error(void **state) {
    struct fixture *f = *state;
    assert_reason(run_variant(f, "zero"), KB_R_CONTRACT, "division by zero");
    assert_reason(run_variant(f, "none"), KB_R_CONTRACT, "has no variant none");
    struct kb_job job = job_of(f, NULL);
    job.kernel = f->other;
    assert_reason(run_job(f, &job, 60000), KB_R_CONTRACT, "other.cu");
    job = job_of(f, "good");
    job.case_id = "silu/7x15/bf16";
    assert_reason(run_job(f, &job, 60000), KB_R_CONTRACT, "15 is odd");
    assert_good_passes(f);
}

static void a_kernel_that_does_not_compile_says_where(void **state) {
    struct fixture *f = *state;
    const struct kb_exec_options ordinary = {0};
    write_text(f->other, "/* kbench\n"
                         "{ \"ops\": [\"silu\"], \"variants\": { \"v\": {\n"
                         "  \"entry\": \"broken\", \"grid\": 1, \"block\": 1,\n"
                         "  \"args\": [\"out\"] } } }\n"
                         "*/\n"
                         "__global__ void broken(void *out) {\n"
                         "    int x = unknown_name;\n"
                         "}\n");
    start_worker(f, &ordinary);
    struct kb_job job = job_of(f, NULL);
    job.kernel = f->other;
    assert_reason(run_job(f, &job, 60000), KB_R_COMPILE, "other.cu:7");
    assert_false(f->row.built);
    assert_good_passes(f);
}

/* ---- modes ------------------------------------------------------------------------- */

static void mode_build_stops_after_the_build(void **state) {
    struct fixture *f = *state;
    struct kb_job job = job_of(f, "wrong");
    job.mode = KB_BUILD_ONLY;
    assert_reason(run_job(f, &job, 60000), KB_R_NONE, NULL);
    assert_true(f->row.built && !f->row.checked);
    assert_int_equal(f->row.n_outputs, 0);
    assert_true(*f->row.code.code_hash && *f->row.code.source_hash);
}

static void seeds_make_other_inputs(void **state) {
    struct fixture *f = *state;
    struct kb_job job = job_of(f, "good");
    double worst[2];
    for (int i = 0; i < 2; i++) {
        job.seed = i ? UINT64_MAX : 1;
        assert_reason(run_job(f, &job, 60000), KB_R_NONE, NULL);
        assert_true(f->row.seed == job.seed);
        worst[i] = f->row.outputs[0].worst.want;
    }
    assert_true(worst[0] != worst[1]);
}

static void repeat_line_is_quoted_for_a_shell(void **state) {
    struct fixture *f = *state;
    struct kb_job job = job_of(f, "good");
    const char *path = kb_arena_printf(&f->arena, "%s/it's $HOME;.cu", f->folder);
    write_kernels(path);
    job.kernel = path;
    job.build = "mine=-DX=1 -DY";
    job.mode = KB_BUILD_ONLY;
    job.repeat_options = "--host-sm 90";
    assert_reason(run_job(f, &job, 60000), KB_R_BUILD_HERE, NULL);
    char *want = kb_arena_printf(&f->arena,
                                 "kbench --case silu/7x16/bf16 --kernel "
                                 "'%s/it'\\''s $HOME;.cu:good' --build 'mine=-DX=1 -DY' "
                                 "--seed 1 --host-sm 90",
                                 f->folder);
    assert_string_equal(f->row.repeat, want);
}

static int open_life(void **state) {
    const struct kb_exec_options ordinary = {0};

    open_folder(state);
    start_worker(*state, &ordinary);
    return 0;
}

int main(int argc, char **argv) {
    int status = 0;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_built_in_kernel_passes),
        cmocka_unit_test(no_rows_at_all_pass),
        cmocka_unit_test(a_wrong_element_is_a_mismatch_and_is_shown),
        cmocka_unit_test(a_wrong_output_is_told_by_the_convention_it_follows),
        cmocka_unit_test(rows_that_were_to_stay_as_they_were_are_told),
        cmocka_unit_test(rows_that_stay_as_they_were_pass_in_every_order),
        cmocka_unit_test(tolerance_of_the_job_decides),
        cmocka_unit_test(a_tolerance_that_lets_impostors_pass_is_mistrusted),
        cmocka_unit_test(writes_outside_are_found_on_both_sides),
        cmocka_unit_test(an_input_that_was_written_to_is_a_failure),
        cmocka_unit_test(an_unwritten_tail_is_told_from_a_wrong_one),
        cmocka_unit_test(dependence_on_the_order_of_blocks_is_found),
        cmocka_unit_test(threads_that_wait_in_vain_are_a_deadlock),
        cmocka_unit_test(a_crash_costs_its_case),
        cmocka_unit_test(a_kernel_that_never_ends_costs_its_case),
        cmocka_unit_test(a_kernel_that_leaves_costs_its_case),
        cmocka_unit_test(a_kernel_that_prints_and_prints_is_judged_by_its_output),
        cmocka_unit_test(a_when_that_is_false_is_a_skip_that_says_so),
        cmocka_unit_test(a_build_that_host_has_not_is_a_skip),
        cmocka_unit_test(what_does_not_fit_is_a_skip_with_the_bytes_it_needs),
        cmocka_unit_test(a_case_that_fits_only_once_into_what_is_free_is_a_skip),
        cmocka_unit_test(a_contract_that_is_wrong_for_the_case_is_an_error),
        cmocka_unit_test(a_kernel_that_does_not_compile_says_where),
        cmocka_unit_test(mode_build_stops_after_the_build),
        cmocka_unit_test(seeds_make_other_inputs),
        cmocka_unit_test(repeat_line_is_quoted_for_a_shell),
    };

    if (is_worker(argc, argv, &status))
        return status;
    return cmocka_run_group_tests(tests, open_life, remove_folder);
}
