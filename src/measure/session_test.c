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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slabs_do_not_depend_on_what_their_memory_held),
        cmocka_unit_test(memory_that_is_too_small_or_of_the_other_kind_is_not_used),
        cmocka_unit_test(nothing_given_takes_nothing_away),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
