/* suite_own_test.c - the tool's own case files. */
#include "op/entries.h"
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

/* ---- counting --------------------------------------------------------------------------
 */

/* Ops and tags of the cases as they are made, one by one. */
struct recount {
    int64_t all, of_op[64], of_tag[KB_MAX_TAGS];
    struct kb_strings tags;
};

static void count_case(const struct kb_case *c, struct kb_arena *a, struct recount *n) {
    struct kb_strings tags = {0};
    n->all++;
    for (int i = 0; i < kb_op_count; i++)
        n->of_op[i] += kb_ops[i] == c->op;
    kb_split(a, c->tags, ',', &tags);
    for (size_t i = 0; i < tags.count && *c->tags; i++) {
        size_t t = 0;
        while (t < n->tags.count && !kb_streq(n->tags.items[t], tags.items[i]))
            t++;
        if (t == n->tags.count)
            kb_strings_add(&n->tags, a, tags.items[i]);
        n->of_tag[t]++;
    }
}

static void assert_counts(const struct kb_case_counts *counts, const struct recount *n) {
    int64_t all = 0;
    assert_in_range(kb_op_count, 1, KB_COUNT(n->of_op));
    for (int i = 0; i < kb_op_count; i++) {
        assert_int_equal(counts->of_op[i], n->of_op[i]);
        all += counts->of_op[i];
    }
    assert_int_equal(all, n->all);
    assert_int_equal(counts->n_tags, n->tags.count);
    for (int i = 0; i < counts->n_tags; i++) {
        assert_string_equal(counts->tags[i], n->tags.items[i]);
        assert_int_equal(counts->of_tag[i], n->of_tag[i]);
    }
}

static int by_text(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* How many different ids the groups of a file come to. Each case has the key by which the
 * suite knows it. */
static int64_t different_ids(const struct kb_asset *file, struct kb_arena *a) {
    struct kb_groups groups = {.arena = a};
    struct kb_complaints c = {0};
    struct kb_strings ids = {0};
    kb_casefile_read(file->path, file->text, file->size, &groups, &c);
    assert_int_equal(c.count, 0);
    for (size_t g = 0; g < kb_groups_len(&groups); g++) {
        const struct kb_group *group = kb_groups_at(&groups, g);
        const struct kb_keys keys = kb_keys_make(group, a);
        struct kb_case one, turned = *group->base;
        for (int64_t i = 0; i < kb_group_count(group); i++) {
            kb_group_case(group, i, &one);
            kb_group_turn(group, i, &turned);
            assert_true(kb_keys_at(&keys, i) == kb_case_key(&one));
            assert_true(kb_keys_at(&keys, i) == kb_case_key(&turned));
            kb_strings_add(&ids, a, kb_case_id(&one, a));
        }
    }
    kb_buf_free(&groups.list);
    int64_t n = ids.count > 0;
    qsort(ids.items, ids.count, sizeof *ids.items, by_text);
    for (size_t i = 1; i < ids.count; i++)
        n += !kb_streq(ids.items[i], ids.items[i - 1]);
    return n;
}

static int64_t assert_counted(const struct kb_query *query, struct kb_arena *a) {
    struct kb_complaints c = {0};
    struct kb_suite *suite = NULL;
    struct kb_case_counts counts;
    struct kb_case one;
    struct recount made = {0};
    assert_true(kb_suite_open(&suite, query, &c));
    kb_suite_counts(suite, a, &counts);
    while (kb_suite_next(suite, a, &one))
        count_case(&one, a, &made);
    kb_suite_free(suite);
    assert_counts(&counts, &made);
    return made.all;
}

static void each_file_has_as_many_cases_as_are_counted(void **state) {
    struct room *room = *state;
    struct kb_strings files = {0};
    kb_asset_list("cases/", &room->arena, &files);
    assert_true(files.count > 0);
    for (size_t f = 0; f < files.count; f++) {
        const struct kb_asset *file = kb_asset_find(files.items[f]);
        const struct kb_query query = {.files = {&files.items[f], 1, 1},
                                       .by_tag_too = true};
        assert_int_equal(assert_counted(&query, &room->arena),
                         different_ids(file, &room->arena));
    }
}

static void all_that_is_selected_is_counted(void **state) {
    struct room *room = *state;
    struct kb_query query = ask(&room->arena, "--match *"), fuzz = query;
    query.by_tag_too = true;
    assert_counted(&query, &room->arena);
    query = ask(&room->arena, "--tag smoke,big --op silu,stream");
    assert_counted(&query, &room->arena);
    fuzz.fuzz = 3;
    assert_int_equal(assert_counted(&fuzz, &room->arena), 3 * kb_op_count);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(own_files_are_meant_where_they_are_not_on_disk),
        TEST(the_peers_matrix_is_144_cases),
        TEST(tags_of_own_files_are_nested_and_smoke_is_small),
        TEST(own_ids_are_canonical),
        TEST(each_file_has_as_many_cases_as_are_counted),
        TEST(all_that_is_selected_is_counted),
    };
    return cmocka_run_group_tests_name("suite own", tests, NULL, NULL);
}
