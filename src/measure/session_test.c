/* session_test.c - what a worker keeps between cases changes nothing about them. */
#include "session.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct asked {
    struct kb_arena arena;
    struct kb_case c;
    struct kb_problem problem;
    struct kb_plan plan;
};

/* False where the op does not take the fill. */
static bool ask(struct asked *a, const struct kb_op *op, enum kb_fill fill) {
    struct kb_complaints c = {0};
    struct kb_err err = {0};

    memset(a, 0, sizeof *a);
    const char *id = kb_arena_printf(&a->arena, "%s/%s/%s/fill=%s", op->name, op->sample,
                                     kb_dtype_name(op->dtypes[0]), kb_fill_word(fill));
    bool ok = kb_case_parse(id, &a->arena, &a->c, &c) &&
              kb_case_resolve(&a->c, &a->problem, &err);
    kb_complaints_free(&c);
    a->plan.n_scratch = 3;
    for (int i = 0; i < 3; i++)
        a->plan.scratch[i] = (struct kb_scratch){5000, (enum kb_scratch_start)i};
    return ok;
}

static void soil(struct kb_slab *slab) {
    memset(slab->data, 0xa5, slab->room);
}

static void slabs_do_not_depend_on_what_their_memory_held(void **state) {
    (void)state;
    struct kb_session session = {.backend = &kb_host};
    struct asked *a = malloc(sizeof *a);
    struct kb_err err = {0};
    int tried = 0;

    assert_non_null(a);
    for (int i = 0; i < kb_op_count; i++) {
        for (int f = 0; f < kb_ops[i]->n_fills; f++) {
            struct kb_slab fresh = {0}, used = {0};
            if (!ask(a, kb_ops[i], kb_ops[i]->fills[f])) {
                kb_arena_free(&a->arena);
                continue;
            }
            assert_true(kb_session_slab(&session, &a->problem, &a->plan, 7, &fresh, &err));
            assert_true(kb_session_slab(&session, &a->problem, &a->plan, 8, &used, &err));
            soil(&used);
            kb_session_give(&session, KB_SPARE_INITIAL, &used);
            used = kb_session_take(&session, KB_SPARE_INITIAL);
            unsigned char *memory = used.data;
            assert_non_null(memory);
            assert_true(kb_session_slab(&session, &a->problem, &a->plan, 7, &used, &err));
            assert_ptr_equal(used.data, memory);
            assert_int_equal(used.bytes, fresh.bytes);
            for (int s = 0; s < fresh.n_slots; s++) /* what lies between is guards */
                assert_memory_equal(kb_slab_at(&fresh, s), kb_slab_at(&used, s),
                                    fresh.slots[s].bytes);
            assert_int_equal(kb_slab_guards(&used, NULL, 0), 0);
            kb_slab_free(&fresh);
            kb_slab_free(&used);
            kb_arena_free(&a->arena);
            tried++;
        }
    }
    assert_true(tried >= kb_op_count);
    kb_session_free(&session);
    free(a);
}

static void memory_that_is_too_small_or_of_the_other_kind_is_not_used(void **state) {
    (void)state;
    struct kb_slab slab = {0};
    struct kb_err err = {0};
    const size_t small[] = {100}, large[] = {100, 1 << 20};

    assert_true(kb_slab_remake(&slab, KB_SLAB_PRIVATE, 1, small, &err));
    size_t room = slab.room;
    assert_true(kb_slab_remake(&slab, KB_SLAB_PRIVATE, 2, large, &err));
    assert_true(slab.room > room && slab.fd < 0);
    assert_true(kb_slab_remake(&slab, KB_SLAB_SHARED, 1, small, &err));
    assert_true(slab.fd >= 0 && slab.n_slots == 1);
    kb_slab_free(&slab);
}

static void nothing_given_takes_nothing_away(void **state) {
    (void)state;
    struct kb_session session = {.backend = &kb_host};
    struct kb_slab slab = {0}, none = {.fd = -1};
    struct kb_err err = {0};
    const size_t bytes[] = {100};

    assert_true(kb_slab_make(&slab, KB_SLAB_PRIVATE, 1, bytes, 0, &err));
    kb_session_give(&session, KB_SPARE_WORK, &slab);
    assert_null(slab.data);
    kb_session_give(&session, KB_SPARE_WORK, &none);
    slab = kb_session_take(&session, KB_SPARE_WORK);
    assert_non_null(slab.data);
    assert_int_equal(slab.n_slots, 0);
    kb_slab_free(&slab);
    kb_session_free(&session);
}

/* Is the code of `id` there once that of a first case of qknorm_rope is built? */
static bool has_code_of(const char *id, const char *variant) {
    static const struct kb_device_limits limits = {.sm = 90,
                                                   .sm_count = 132,
                                                   .smem_per_block = 232448,
                                                   .max_threads = 1024,
                                                   .max_grid = {2147483647, 65535, 65535},
                                                   .max_block = {1024, 1024, 64}};
    const char *const ids[] = {"qknorm_rope/3x3x1x64/bf16", id};
    struct kb_session session = {.backend = &kb_host};
    struct kb_asked *asked = kb_arena_alloc(&session.arena, 2 * sizeof *asked);
    struct kb_buf key = {0}, code = {0};
    struct kb_err err = {0};

    for (int i = 0; i < 2; i++) {
        const struct kb_job job = {
            .case_id = ids[i], .variant = i ? variant : "block", .build = "precise"};
        if (!kb_session_plan(&session, "host", &limits, &job, &session.arena, &asked[i],
                             &err))
            fail_msg("%s", err.msg);
    }
    kb_build_key(&asked[0].plan, &asked[0].build, &key);
    kb_code_key("host", &asked[0].plan, &asked[0].build, &code);
    struct kb_built built = {.key = key.data, .code_hash = kb_hash_of(code.data, code.len)};
    session.built = &built;
    bool has = kb_session_has_code(&session, &asked[1]);
    session.built = NULL;
    kb_buf_free(&key);
    kb_buf_free(&code);
    kb_session_free(&session);
    return has;
}

static void on_host_code_is_there_when_all_entries_of_the_case_are(void **state) {
    (void)state;
    assert_true(has_code_of("qknorm_rope/3x3x1x64/bf16", "block"));
    assert_true(has_code_of("qknorm_rope/7x5x1x64/bf16", "block"));
    assert_false(has_code_of("qknorm_rope/3x3x1x128/bf16", "block"));
    assert_false(has_code_of("qknorm_rope/3x3x1x64/bf16/round=norm", "chain"));
    assert_false(has_code_of("silu/3x64/bf16", "vec16"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slabs_do_not_depend_on_what_their_memory_held),
        cmocka_unit_test(memory_that_is_too_small_or_of_the_other_kind_is_not_used),
        cmocka_unit_test(nothing_given_takes_nothing_away),
        cmocka_unit_test(on_host_code_is_there_when_all_entries_of_the_case_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
