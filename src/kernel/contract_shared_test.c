/* contract_shared_test.c - what a contract's file gives to all launches: a launch's own
 * comes first, and what is wrong is told once. */
#include "kernel/contract_fixture.h"

static void must_parse(struct fixture *f, const char *text) {
    if (!parse(f, text))
        fail_msg("%s", kb_buf_text(&f->c.text));
}

static void says(const char *text, const char *complaints) {
    struct fixture f;
    assert_false(parse(&f, text));
    assert_string_equal(kb_buf_text(&f.c.text), complaints);
    drop(&f);
}

#define SOURCE " */ __global__ void k();\n"
#define ARGS "\"args\": [\"input\", \"out\", \"i32 vecs\"]"

static void a_launch_takes_what_it_lacks_from_the_file(void **state) {
    (void)state;
    struct fixture f;
    must_parse(&f,
               "/* kbench { \"ops\": [\"silu\"], \"grid\": [\"vecs\", 2], \"block\": 64,\n"
               "\"smem\": 128, \"cluster\": 2, \"pdl\": true, \"cooperative\": true,\n" ARGS
               ", \"variants\": { \"a\": { \"entry\": \"k\",\n"
               "  \"let\": { \"vecs\": \"hidden / 2\" } } } }" SOURCE);
    const struct kb_launch_text *l = &f.kernel.variants[0].launches[0];
    assert_string_equal(l->grid[0], "vecs");
    assert_string_equal(l->grid[1], "2");
    assert_string_equal(l->block[0], "64");
    assert_string_equal(l->smem, "128");
    assert_string_equal(l->cluster[0], "2");
    assert_int_equal(l->n_args, 3);
    assert_string_equal(l->args[2], "i32 vecs");
    assert_true(l->pdl && l->cooperative);
    drop(&f);
}

static void what_a_launch_has_itself_comes_first(void **state) {
    (void)state;
    struct fixture f;
    must_parse(&f,
               "/* kbench { \"ops\": [\"silu\"], \"grid\": [1, 2], \"block\": 64,\n"
               "\"smem\": 128, \"pdl\": true, " ARGS ",\n"
               "\"variants\": { \"a\": { \"entry\": \"k\", \"grid\": 3, \"pdl\": false,\n"
               "  \"smem\": 0, \"args\": [\"input\", \"out\"] } } }" SOURCE);
    const struct kb_launch_text *l = &f.kernel.variants[0].launches[0];
    assert_string_equal(l->grid[0], "3");
    assert_null(l->grid[1]);
    assert_string_equal(l->smem, "0");
    assert_int_equal(l->n_args, 2);
    assert_false(l->pdl);
    drop(&f);
}

static void launches_of_a_chain_take_it_too(void **state) {
    (void)state;
    struct fixture f;
    must_parse(
        &f, "/* kbench { \"ops\": [\"silu\"], \"grid\": 1, \"block\": 64, \"pdl\": true,\n"
            "\"args\": [\"input\", \"out\"], \"variants\": { \"a\": { \"launches\": [\n"
            "  { \"entry\": \"k\" }, { \"entry\": \"k\", \"block\": 32 } ] } } }" SOURCE);
    const struct kb_variant *v = &f.kernel.variants[0];
    assert_int_equal(v->n_launches, 2);
    assert_string_equal(v->launches[0].block[0], "64");
    assert_string_equal(v->launches[1].block[0], "32");
    assert_true(v->launches[0].pdl && v->launches[1].pdl);
    assert_int_equal(v->launches[1].n_args, 2);
    drop(&f);
}

static void what_neither_has_is_missing(void **state) {
    (void)state;
    says("/* kbench { \"ops\": [\"silu\"], \"block\": 64, " ARGS ",\n"
         "\"variants\": { \"a\": { \"entry\": \"k\", \"let\": {\"vecs\": 1} } } }" SOURCE,
         "mine.cu:2:20: error: variants.a: \"grid\" is missing\n");
}

static void entries_and_conditions_are_each_variants_own(void **state) {
    (void)state;
    says("/* kbench { \"ops\": [\"silu\"], \"entry\": \"k\", \"grid\": 1, \"block\": 64,\n"
         "\"variants\": { \"a\": { \"entry\": \"k\", \"args\": [\"input\", \"out\"] } } "
         "}" SOURCE,
         "mine.cu:1:30: error: unknown key \"entry\"\n");
}

/* Twice in the first variant, where both are read, and not in the second; what is wrong in
 * the second's own is said. */
static void what_is_wrong_with_it_is_said_for_the_first_variant_alone(void **state) {
    (void)state;
    says("/* kbench { \"ops\": [\"silu\"], \"grid\": \"many\", \"block\": true,\n"
         "\"args\": [\"input\", \"out\", \"f16 1\"],\n"
         "\"variants\": { \"a\": { \"entry\": \"k\" },\n"
         "  \"b\": { \"entry\": \"k\", \"pdl\": 1 } } }" SOURCE,
         "mine.cu:1:38: error: grid: `many`, column 1: unknown name `many`, did you mean "
         "`min`? (for a)\n"
         "mine.cu:1:55: error: block: must be an expression (text) or a whole number (for "
         "a)\n"
         "mine.cu:2:26: error: args[2]: no type in front: i32 i64 u32 u64 f32 f64 (for a)\n"
         "mine.cu:4:31: error: variants.b.pdl: must be true or false\n");
}

/* Each variant's own names are what the file's expressions are read with. */
static void a_name_that_one_variant_lacks_is_said_of_that_one(void **state) {
    (void)state;
    says("/* kbench { \"ops\": [\"silu\"], \"grid\": \"vecs\", \"block\": 64,\n"
         "\"args\": [\"input\", \"out\"],\n"
         "\"variants\": { \"a\": { \"entry\": \"k\", \"let\": {\"vecs\": 1} },\n"
         "  \"b\": { \"entry\": \"k\" }, \"c\": { \"entry\": \"k\" } } }" SOURCE,
         "mine.cu:1:38: error: grid: `vecs`, column 1: unknown name `vecs` (for b)\n");
}

static void
an_output_that_the_file_s_arguments_lack_is_missing_in_each_variant(void **state) {
    (void)state;
    says("/* kbench { \"ops\": [\"silu\"], \"grid\": 1, \"block\": 64, \"args\": "
         "[\"input\"],\n"
         "\"variants\": { \"a\": { \"entry\": \"k\" }, \"b\": { \"entry\": \"k\" } } "
         "}" SOURCE,
         "mine.cu:2:15: error: variants.a: `out`, an output of silu, is no argument of any "
         "launch\n"
         "mine.cu:2:38: error: variants.b: `out`, an output of silu, is no argument of any "
         "launch\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_launch_takes_what_it_lacks_from_the_file),
        cmocka_unit_test(what_a_launch_has_itself_comes_first),
        cmocka_unit_test(launches_of_a_chain_take_it_too),
        cmocka_unit_test(what_neither_has_is_missing),
        cmocka_unit_test(entries_and_conditions_are_each_variants_own),
        cmocka_unit_test(what_is_wrong_with_it_is_said_for_the_first_variant_alone),
        cmocka_unit_test(a_name_that_one_variant_lacks_is_said_of_that_one),
        cmocka_unit_test(
            an_output_that_the_file_s_arguments_lack_is_missing_in_each_variant),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
