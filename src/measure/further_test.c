/* further_test.c - a run of a case besides the first, on a device that is right but for one
 * thing: which of its ways is told, in which words. */
#include "script_fixture.h"

/* The case on a device that meddles so. */
static void expect(const char *case_id,
                   bool (*meddle)(struct kb_device *, const struct kb_problem *,
                                  struct kb_slab *, const struct kb_run_options *,
                                  struct kb_err *),
                   enum kb_reason reason, const char *text) {
    char context[1 << 16] = {0};
    const struct fake_script script = {
        .ns = constant, .meddle = meddle, .context = context};
    struct fake f;
    check_variant(&f, &script, case_id, "vec16");
    assert_reason(&f, reason, text);
    assert_int_equal(f.row.outputs[0].over, 0); /* the first run is right */
    fake_free(&f);
}

/* ---- what is tried ----------------------------------------------------------------- */

static void a_right_kernel_is_tried_in_every_way(void **state) {
    (void)state;
    const struct fake_script script = {.ns = constant};
    struct fake f;
    check_variant(&f, &script, "silu/83x64/bf16", "vec16");
    assert_reason(&f, KB_R_NONE, NULL);
    assert_int_equal(f.row.n_shifts, 1);
    assert_int_equal(f.row.shifts[0], 16);
    assert_true(f.row.late_producer && f.row.other_inputs);
    assert_int_equal(f.row.n_batch, 2);
    assert_int_equal(f.row.batch[0], 41);
    assert_int_equal(f.row.batch[1], 1);
    assert_true(f.row.repeats >= 4 && f.row.repeats < 20);
    fake_free(&f);
}

static void in_place_it_is_launched_twenty_times(void **state) {
    (void)state;
    const struct fake_script script = {.ns = constant};
    struct fake f;
    check_variant(&f, &script, "silu/83x64/bf16/inplace=yes", "vec16");
    assert_reason(&f, KB_R_NONE, NULL);
    assert_true(f.row.repeats >= 20);
    fake_free(&f);
}

static void one_row_and_none_have_no_fewer_rows(void **state) {
    (void)state;
    static const char *const ids[] = {"silu/1x64/bf16", "silu/0x64/bf16",
                                      "stream/4096/bf16"};
    const struct fake_script script = {.ns = constant};
    for (size_t i = 0; i < KB_COUNT(ids); i++) {
        struct fake f;
        check_variant(&f, &script, ids[i], "vec16");
        assert_reason(&f, KB_R_NONE, NULL);
        assert_int_equal(f.row.n_batch, 0);
        fake_free(&f);
    }
}

/* ---- what is found ----------------------------------------------------------------- */

static void spoil(struct kb_slab *slab, int64_t byte) {
    ((unsigned char *)kb_slab_at(slab, 1))[byte] ^= 1;
}

static bool minds_shifts(struct kb_device *device, const struct kb_problem *p,
                         struct kb_slab *slab, const struct kb_run_options *options,
                         struct kb_err *err) {
    (void)device, (void)p, (void)options, (void)err;
    if (slab->slots[0].offset % KB_SLAB_ALIGN)
        spoil(slab, 6);
    return true;
}

static bool breaks_off_where_shifted(struct kb_device *device, const struct kb_problem *p,
                                     struct kb_slab *slab,
                                     const struct kb_run_options *options,
                                     struct kb_err *err) {
    (void)device, (void)p, (void)options;
    return slab->slots[0].offset % KB_SLAB_ALIGN == 0 ||
           kb_fail(err, KB_DEVICE, "launch: misaligned address (716)");
}

static void a_kernel_that_minds_shifts_is_named(void **state) {
    (void)state;
    expect("silu/83x64/fp32", minds_shifts, KB_R_ALIGNMENT,
           "out: other bits in 1 of 2656 elements with tensors shifted by 16 bytes, which "
           "align 16 allows");
    expect("silu/83x64/fp32", breaks_off_where_shifted, KB_R_ALIGNMENT,
           "with tensors shifted by 16 bytes, which align 16 allows: launch: misaligned "
           "address (716)");
}

static bool reads_early(struct kb_device *device, const struct kb_problem *p,
                        struct kb_slab *slab, const struct kb_run_options *options,
                        struct kb_err *err) {
    (void)device, (void)p, (void)err;
    if (options->late)
        spoil(slab, 40);
    return true;
}

static bool writes_early(struct kb_device *device, const struct kb_problem *p,
                         struct kb_slab *slab, const struct kb_run_options *options,
                         struct kb_err *err) {
    (void)device, (void)p, (void)err;
    if (options->late)
        kb_poison(kb_slab_at(slab, 1), 64, 1);
    return true;
}

static bool breaks_off_where_late(struct kb_device *device, const struct kb_problem *p,
                                  struct kb_slab *slab,
                                  const struct kb_run_options *options,
                                  struct kb_err *err) {
    (void)device, (void)p, (void)slab;
    return !options->late || kb_fail(err, KB_DEVICE, "launch: illegal address (700)");
}

static void a_kernel_that_does_not_wait_is_named(void **state) {
    (void)state;
    expect("silu/83x64/fp32", reads_early, KB_R_EARLY_READ,
           "out: other bits in 1 of 2656 elements when the kernel ahead writes its results "
           "late: an input is read before the wait");
    expect("silu/83x64/fp32", writes_early, KB_R_EARLY_WRITE,
           "out: 16 of 2656 elements are lost where the kernel ahead ends late");
    expect("silu/83x64/fp32", breaks_off_where_late, KB_R_EARLY_READ,
           "an input is read before the wait for the kernel ahead: launch: illegal address "
           "(700)");
}

/* The output of the first run, given out again whenever the first elements are the same. */
static bool keeps_by_content(struct kb_device *device, const struct kb_problem *p,
                             struct kb_slab *slab, const struct kb_run_options *options,
                             struct kb_err *err) {
    (void)p, (void)options, (void)err;
    unsigned char *kept = device->script->context, *key = kept + 60000;
    size_t bytes = slab->slots[1].bytes;
    assert_true(bytes <= 60000);
    if (memcmp(key, kb_slab_at(slab, 0), 64))
        memcpy(kept, kb_slab_at(slab, 1), bytes);
    else
        memcpy(kb_slab_at(slab, 1), kept, bytes);
    memcpy(key, kb_slab_at(slab, 0), 64);
    return true;
}

static bool keeps_for_ever(struct kb_device *device, const struct kb_problem *p,
                           struct kb_slab *slab, const struct kb_run_options *options,
                           struct kb_err *err) {
    (void)p, (void)options, (void)err;
    unsigned char *kept = device->script->context;
    if (device->runs == 1)
        memcpy(kept, kb_slab_at(slab, 1), slab->slots[1].bytes);
    else
        memcpy(kb_slab_at(slab, 1), kept, slab->slots[1].bytes);
    return true;
}

static void results_that_are_kept_are_named(void **state) {
    (void)state;
    expect("silu/83x64/fp32", keeps_by_content, KB_R_STALE,
           "after a launch over other inputs, whose results are kept");
    /* from the first launch on, so that the case's own results are always right */
    expect("silu/83x64/fp32", keeps_for_ever, KB_R_MISMATCH,
           "wrong with the inputs turned by a third, launched after those of the case");
}

static bool minds_fewer_rows(struct kb_device *device, const struct kb_problem *p,
                             struct kb_slab *slab, const struct kb_run_options *options,
                             struct kb_err *err) {
    (void)device, (void)options, (void)err;
    if (p->tensors[0].shape[0] == 41)
        spoil(slab, 7 * 32 * 4);
    return true;
}

static void a_row_that_minds_others_is_named(void **state) {
    (void)state;
    expect("silu/83x64/fp32", minds_fewer_rows, KB_R_BATCH,
           "out: row 7 has other bits when only the first 41 rows are there");
}

static bool minds_pdl(struct kb_device *device, const struct kb_problem *p,
                      struct kb_slab *slab, const struct kb_run_options *options,
                      struct kb_err *err) {
    (void)device, (void)p, (void)err;
    if (options->no_pdl)
        spoil(slab, 0);
    return true;
}

static bool minds_both(struct kb_device *device, const struct kb_problem *p,
                       struct kb_slab *slab, const struct kb_run_options *options,
                       struct kb_err *err) {
    (void)device, (void)p, (void)err;
    if (options->no_pdl && slab->slots[0].offset % KB_SLAB_ALIGN)
        spoil(slab, 0);
    return true;
}

static void ways_are_told_apart_and_named_together(void **state) {
    (void)state;
    expect("silu/83x64/fp32", minds_pdl, KB_R_ORDER,
           "elements when no launch starts before the one ahead has ended");
    expect("silu/83x64/fp32", minds_both, KB_R_ORDER,
           "elements when launched again, when no launch starts before the one ahead has "
           "ended, with tensors shifted by 16 bytes");
}

static bool writes_nothing_again(struct kb_device *device, const struct kb_problem *p,
                                 struct kb_slab *slab, const struct kb_run_options *options,
                                 struct kb_err *err) {
    (void)p, (void)options, (void)err;
    if (device->runs > 1)
        kb_poison(kb_slab_at(slab, 1), slab->slots[1].bytes, 1);
    return true;
}

static void a_second_launch_that_writes_nothing_is_named(void **state) {
    (void)state;
    expect("silu/83x64/fp32", writes_nothing_again, KB_R_UNWRITTEN,
           "out: 2656 of 2656 elements are not written when launched again");
}

static bool writes_past_a_part(struct kb_device *device, const struct kb_problem *p,
                               struct kb_slab *slab, const struct kb_run_options *options,
                               struct kb_err *err) {
    (void)device, (void)options, (void)err;
    if (p->tensors[0].shape[0] == 1)
        ((unsigned char *)kb_slab_at(slab, 1))[slab->slots[1].bytes] ^= 1;
    return true;
}

static void guards_of_fewer_rows_are_looked_at(void **state) {
    (void)state;
    expect("silu/83x64/fp32", writes_past_a_part, KB_R_OUT_OF_BOUNDS,
           "1 byte right past the end of out was overwritten");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_right_kernel_is_tried_in_every_way),
        cmocka_unit_test(in_place_it_is_launched_twenty_times),
        cmocka_unit_test(one_row_and_none_have_no_fewer_rows),
        cmocka_unit_test(a_kernel_that_minds_shifts_is_named),
        cmocka_unit_test(a_kernel_that_does_not_wait_is_named),
        cmocka_unit_test(results_that_are_kept_are_named),
        cmocka_unit_test(a_row_that_minds_others_is_named),
        cmocka_unit_test(ways_are_told_apart_and_named_together),
        cmocka_unit_test(a_second_launch_that_writes_nothing_is_named),
        cmocka_unit_test(guards_of_fewer_rows_are_looked_at),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
