/* suite_own_test.c - the tool's own case files. */
#include "op/suite_fixture.h"

/* "cases/activation.json cases/stream.json": one for each family of ops. */
static const char *files_of_all_families(struct kb_arena *a) {
    const char *files = "";
    for (int i = 0; i < kb_op_count; i++) {
        const char *file = kb_arena_printf(a, "cases/%s.json", kb_ops[i]->family);
        if (!strstr(files, file))
            files = kb_arena_printf(a, "%s%s%s", files, *files ? " " : "", file);
    }
    return files;
}

static void own_files_are_meant_where_they_are_not_on_disk(void **state) {
    struct room *room = *state;
    struct kb_arena *a = &room->arena;
    int64_t all = count_of(a, "cases/");
    assert_int_equal(count_of(a, "cases"), all);
    assert_int_equal(count_of(a, "./cases"), all);
    assert_int_equal(count_of(a, "--match *"), all);
    assert_int_equal(count_of(a, files_of_all_families(a)), all);
    assert_int_equal(count_of(a, "--tag full"), all);
    assert_int_equal(count_of(a, "--tag smoke --op stream"),
                     count_of(a, "cases/stream.json --tag smoke"));
    assert_int_equal(count_of(a, "--match gelu/* --op gelu"),
                     count_of(a, "cases/activation.json --op gelu"));
    assert_int_equal(
        count_of(a, "--tag ci --shape 83x1024 --op silu --fill normal "
                    "--set round=once,layout=gate_up,filter=none,clamp=0,inplace=no,"
                    "in_pitch=0,out_pitch=0"),
        3);
}

static void the_peers_matrix_is_144_cases(void **state) {
    struct room *room = *state;
    struct kb_arena *a = &room->arena;
    static const char *const ops[] = {"silu", "gelu", "gelu_tanh"};
    static const char *const dtypes[] = {"bf16", "fp16", "fp32"};
    static const char *const shapes[] = {
        "7x16",       "83x1024", "3x5x16",  "2x3x512",  "1x17x4096", "1x2048",
        "4x2048",     "16x2048", "64x2048", "256x2048", "1024x2048", "4096x2048",
        "16384x2048", "1x65536", "4x65536", "16x65536",
    };
    struct kb_buf wanted = {0};
    for (size_t o = 0; o < 3; o++)
        for (size_t s = 0; s < KB_COUNT(shapes); s++)
            for (size_t d = 0; d < 3; d++) {
                kb_buf_printf(&wanted, "%s/%s/%s", ops[o], shapes[s], dtypes[d]);
                kb_buf_putc(&wanted, '\n');
            }
    assert_int_equal(count_of(a, "cases/activation.json --tag matrix"), 144);
    struct kb_suite *suite = open_suite(a, "cases/activation.json --tag matrix");
    struct kb_case c;
    while (kb_suite_next(suite, a, &c)) {
        const char *line = kb_arena_printf(a, "%s\n", c.id);
        char *at = strstr(wanted.data, line);
        assert_non_null(at);
        memset(at, '.', strlen(line) - 1); /* each once */
    }
    kb_suite_free(suite);
    kb_buf_free(&wanted);
}

static void tags_of_own_files_are_nested_and_smoke_is_small(void **state) {
    struct room *room = *state;
    struct kb_case c;
    int64_t elements = 0;
    bool seen[3][3] = {{false}}, act = false, empty = false, stream = false;
    struct kb_suite *suite = open_suite(&room->arena, "cases");
    while (kb_suite_next(suite, &room->arena, &c)) {
        struct kb_strings tags = {0};
        struct kb_problem p;
        struct kb_err err = {0};
        kb_split(&room->arena, c.tags, ',', &tags);
        assert_true(kb_strings_has(&tags, "full"));
        assert_true(kb_case_resolve(&c, &p, &err));
        assert_non_null(c.why);
        assert_int_equal(c.tolerance.rule, KB_TOL_BOUND);
        if (!kb_strings_has(&tags, "smoke"))
            continue;
        assert_true(kb_strings_has(&tags, "ci"));
        elements += p.tensors[0].elements;
        stream |= kb_streq(c.op->name, "stream");
        empty |= p.tensors[0].elements == 0;
        if (!kb_streq(c.op->family, "activation"))
            continue;
        seen[c.op->variant][c.dtype] = true;
        act |= c.set[0].v == 1;
    }
    kb_suite_free(suite);
    for (int i = 0; i < 9; i++)
        assert_true(seen[i / 3][i % 3]);
    assert_true(act && empty && stream);
    assert_true(elements < 410000);
}

static void own_ids_are_canonical(void **state) {
    struct room *room = *state;
    struct kb_case c, back;
    struct kb_complaints complaints = {0};
    struct kb_suite *suite = open_suite(&room->arena, "cases");
    while (kb_suite_next(suite, &room->arena, &c)) {
        assert_true(kb_case_parse(c.id, &room->arena, &back, &complaints));
        assert_string_equal(back.id, c.id);
    }
    kb_suite_free(suite);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(own_files_are_meant_where_they_are_not_on_disk),
        TEST(the_peers_matrix_is_144_cases),
        TEST(tags_of_own_files_are_nested_and_smoke_is_small),
        TEST(own_ids_are_canonical),
    };
    return cmocka_run_group_tests_name("suite own", tests, NULL, NULL);
}
