/* moe_routing_pitch_test.c - logits in rows of a wider buffer: the same experts, and what
 * lies between rows is nobody's. */
#include "ops/moe_routing_fixture.h"

enum { SEED = 5, TOKENS = 7, EXPERTS = 20, PITCH = 23, TOPK = 4, SLOTS = TOKENS * TOPK };

static void a_pitch_makes_the_logits_wider_and_costs_nothing(void **state) {
    (void)state;
    struct kb_case c = case_of("7x20", KB_BF16, "topk=4,in_pitch=23");
    struct kb_case plain = case_of("7x20", KB_BF16, "topk=4");
    struct kb_problem p, q;
    resolve(&c, &p);
    resolve(&plain, &q);
    assert_int_equal(p.tensors[LOGITS].shape[1], 23);
    assert_int_equal(p.tensors[SCALE].elements, 20);
    assert_int_equal(p.tensors[WEIGHTS].elements, q.tensors[WEIGHTS].elements);
    assert_true(p.bytes == q.bytes && p.ceiling_elements == q.ceiling_elements);
}

static void rows_that_would_overlap_are_refused(void **state) {
    (void)state;
    struct kb_case c = case_of("7x20", KB_BF16, "topk=4,in_pitch=19");
    assert_case_refused(&c, "in_pitch must be 0 or at least EXPERTS, 19 is less than 20");
}

struct routes {
    struct kb_case c;
    struct kb_problem p;
    float logits[TOKENS * PITCH], scale[EXPERTS];
    double want[2][SLOTS], bound[2][SLOTS];
};

static void make(struct routes *r, enum kb_fill fill, const char *set) {
    *r = (struct routes){.c = case_of("7x20", KB_FP32, set)};
    r->c.fill = fill;
    resolve(&r->c, &r->p);
    const void *in[] = {r->logits, r->scale, NULL, NULL};
    r->c.op->fill(&r->p, LOGITS, SEED, 0, r->p.tensors[LOGITS].elements, r->logits);
    r->c.op->fill(&r->p, SCALE, SEED, 0, EXPERTS, r->scale);
    for (int t = WEIGHTS; t <= IDS; t++)
        r->c.op->reference(&r->p, in, NULL, t, 0, SLOTS, r->want[t - WEIGHTS],
                           r->bound[t - WEIGHTS]);
}

static void rows_are_those_of_the_case_without_a_pitch(void **state) {
    (void)state;
    static const char *const sets[][2] = {
        {"topk=4", "topk=4,in_pitch=23"},
        {"topk=4,norm=all", "topk=4,norm=all,in_pitch=23"},
        {"topk=4,scale=before", "topk=4,scale=before,in_pitch=23"},
    };
    for (size_t i = 0; i < KB_COUNT(sets); i++) {
        const struct kb_op *op = kb_op_find("moe_routing");
        for (int f = 0; f < op->n_fills; f++) {
            struct routes plain, pitched;
            make(&plain, op->fills[f], sets[i][0]);
            make(&pitched, op->fills[f], sets[i][1]);
            for (int row = 0; row < TOKENS; row++) {
                assert_memory_equal(plain.logits + row * EXPERTS,
                                    pitched.logits + row * PITCH, EXPERTS * sizeof(float));
                for (int e = EXPERTS; e < PITCH; e++)
                    assert_true(isnan(pitched.logits[row * PITCH + e]));
            }
            assert_memory_equal(plain.want, pitched.want, sizeof plain.want);
            assert_memory_equal(plain.bound, pitched.bound, sizeof plain.bound);
        }
    }
}

static void any_part_of_a_row_is_filled_alike(void **state) {
    (void)state;
    static const enum kb_fill fills[] = {KB_FILL_NORMAL, KB_FILL_MASKED};
    struct routes r;
    for (size_t f = 0; f < KB_COUNT(fills); f++) {
        make(&r, fills[f], "topk=4,in_pitch=23");
        for (int first = 0; first < TOKENS * PITCH; first++)
            for (int count = 1; count < 50 && first + count <= TOKENS * PITCH; count++) {
                float part[50];
                r.c.op->fill(&r.p, LOGITS, SEED, first, count, part);
                assert_memory_equal(part, r.logits + first, (size_t)count * sizeof *part);
            }
    }
}

static void a_weight_is_made_of_the_logit_in_its_row(void **state) {
    (void)state;
    struct routes r;
    struct kb_source s[KB_MAX_SOURCES];
    make(&r, KB_FILL_NORMAL, "topk=4,in_pitch=23");
    const void *in[] = {r.logits, r.scale, NULL, NULL};
    r.c.op->sources(&r.p, in, WEIGHTS, 5 * TOPK + 2, s);
    int expert = (int)r.want[IDS - WEIGHTS][5 * TOPK + 2];
    assert_true(s[0].value == (double)r.logits[5 * PITCH + expert]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pitch_makes_the_logits_wider_and_costs_nothing),
        cmocka_unit_test(rows_that_would_overlap_are_refused),
        cmocka_unit_test(rows_are_those_of_the_case_without_a_pitch),
        cmocka_unit_test(any_part_of_a_row_is_filled_alike),
        cmocka_unit_test(a_weight_is_made_of_the_logit_in_its_row),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
