/* case_file.c - a case file as text, expanded: every case has an id that gives it back and
 * resolves; the counts announced are those that come; and a case file that gives each of
 * them by itself comes to the same suite. */
#include "case.h"
#include "fuzz.h"

enum { CASES_WRITTEN = 40, CASES_READ = 2000 };

static void want_same_case(const struct kb_case *a, const struct kb_case *b) {
    bool same = a->op == b->op && a->dtype == b->dtype && a->rank == b->rank &&
                a->fill == b->fill && kb_streq(a->id, b->id);
    for (int i = 0; same && i < a->rank; i++)
        same = a->shape[i] == b->shape[i];
    for (int i = 0; same && i < a->op->n_params; i++)
        same = kb_value_same(&a->set[i], &b->set[i]);
    if (!same)
        DISAGREE("%s is another case than %s", a->id, b->id);
}

static void want_right(const struct kb_case *c) {
    struct kb_arena arena = {0};
    struct kb_complaints complaints = {0};
    struct kb_case again;
    static struct kb_problem problem;
    struct kb_err err = {0};
    if (!kb_case_parse(c->id, &arena, &again, &complaints))
        DISAGREE("its own id is refused: %s", kb_buf_text(&complaints.text));
    want_same_case(c, &again);
    memset(&problem, 0, sizeof problem);
    if (!kb_case_resolve(c, &problem, &err))
        DISAGREE("%s does not resolve: %s", c->id, err.msg);
    if (!c->why || !*c->why)
        DISAGREE("%s has no why", c->id);
    kb_arena_free(&arena);
}

/* ---- a suite, written by hand ----------------------------------------------------------
 */

static cJSON *list_of(cJSON *item) {
    cJSON *list = kb_json_array();
    kb_json_push(list, item);
    return list;
}

static cJSON *set_of(const struct kb_case *c) {
    cJSON *set = kb_json_object();
    for (int i = 0; i < c->op->n_params; i++) {
        const struct kb_param *param = &c->op->params[i];
        bool number = param->kind == KB_PARAM_INT || param->kind == KB_PARAM_FLOAT;
        struct kb_buf text = {0};
        kb_value_print(param, c->set[i], &text);
        if (number)
            kb_json_add_f64(set, param->name, c->set[i].v, 17);
        else if (text.len) /* no list is what there is without it */
            kb_json_add_text(set, param->name, kb_buf_text(&text));
        kb_buf_free(&text);
    }
    return set;
}

static cJSON *tolerance_of(const struct kb_tolerance *t) {
    static const char *const words[] = {
        [KB_TOL_BOUND] = "bound", [KB_TOL_PEER] = "peer", [KB_TOL_GIVEN] = "given"};
    cJSON *object = kb_json_object();
    kb_json_add_text(object, "rule", words[t->rule]);
    if (t->rule != KB_TOL_BOUND) {
        kb_json_add_f64(object, "atol", t->atol, 17);
        kb_json_add_f64(object, "rtol", t->rtol, 17);
    }
    return object;
}

static cJSON *group_of(const struct kb_case *c) {
    struct kb_arena arena = {0};
    struct kb_strings tags = {0};
    cJSON *group = kb_json_object(), *shape = kb_json_array(), *list = kb_json_array();
    for (int i = 0; i < c->rank; i++)
        kb_json_push(shape, kb_json_i64_item(c->shape[i]));
    kb_json_add_text(group, "why", c->why);
    kb_json_add(group, "ops", list_of(kb_json_text_item(c->op->name)));
    kb_json_add(group, "dtypes", list_of(kb_json_text_item(kb_dtype_name(c->dtype))));
    kb_json_add(group, "shapes", list_of(shape));
    kb_json_add(group, "fills", list_of(kb_json_text_item(kb_fill_word(c->fill))));
    kb_json_add(group, "set", set_of(c));
    kb_json_add(group, "tolerance", tolerance_of(&c->tolerance));
    if (c->sample_rows)
        kb_json_add_i64(group, "sample", c->sample_rows);
    if (*c->tags)
        kb_split(&arena, c->tags, ',', &tags);
    for (size_t i = 0; i < tags.count; i++)
        kb_json_push(list, kb_json_text_item(tags.items[i]));
    if (tags.count)
        kb_json_add(group, "tags", list);
    else
        cJSON_Delete(list);
    kb_arena_free(&arena);
    return group;
}

/* ---- suites ----------------------------------------------------------------------------
 */

static struct kb_suite *open_suite(const void *data, size_t size,
                                   struct kb_complaints *complaints) {
    char path[32];
    const char *items[] = {path};
    struct kb_query query = {.files = {items, 1, 1}, .by_tag_too = true};
    struct kb_suite *suite = NULL;
    int fd = file_of(data, size, path);
    if (!kb_suite_open(&suite, &query, complaints))
        suite = NULL;
    close(fd);
    return suite;
}

static void want_same_suite(struct kb_suite *suite, const struct kb_buf *text, int n) {
    struct kb_arena arena = {0};
    struct kb_complaints complaints = {0};
    struct kb_suite *other = open_suite(text->data, text->len, &complaints);
    struct kb_case a, b;
    if (!other)
        DISAGREE("the suite written by hand: %s%s", kb_buf_text(&complaints.text),
                 text->data);
    if (kb_suite_count(other) != n)
        DISAGREE("%d cases written, %lld read", n, (long long)kb_suite_count(other));
    kb_suite_rewind(suite);
    while (kb_suite_next(other, &arena, &b)) {
        if (!kb_suite_next(suite, &arena, &a))
            DISAGREE("ended before %s", b.id);
        want_same_case(&a, &b);
        if (!kb_streq(a.tags, b.tags) || !kb_streq(a.why, b.why) ||
            a.sample_rows != b.sample_rows || a.tolerance.rule != b.tolerance.rule ||
            a.tolerance.atol != b.tolerance.atol || a.tolerance.rtol != b.tolerance.rtol)
            DISAGREE("%s has other tags, why, sample or tolerance", a.id);
    }
    kb_suite_free(other);
    kb_arena_free(&arena);
}

static void want_cases(struct kb_suite *suite) {
    struct kb_arena arena = {0};
    struct kb_case c;
    struct kb_buf text = {0};
    cJSON *root = kb_json_object(), *groups = kb_json_array();
    int64_t n = 0;
    int width = 0;
    for (; kb_suite_next(suite, &arena, &c); n++) {
        if (n < CASES_READ)
            want_right(&c);
        if (n < CASES_WRITTEN)
            kb_json_push(groups, group_of(&c));
        if (kb_columns(c.id) > width)
            width = kb_columns(c.id);
        kb_arena_reset(&arena);
    }
    if (n != kb_suite_count(suite) || width != kb_suite_id_width(suite) || !n)
        DISAGREE("%lld cases and %d columns, announced were %lld and %d", (long long)n,
                 width, (long long)kb_suite_count(suite), kb_suite_id_width(suite));
    kb_json_add_text(root, "schema", "kbench-cases/1");
    kb_json_add(root, "groups", groups);
    kb_json_print(root, &text);
    cJSON_Delete(root);
    want_same_suite(suite, &text, (int)(n < CASES_WRITTEN ? n : CASES_WRITTEN));
    kb_buf_free(&text);
    kb_arena_free(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct kb_complaints complaints = {0};
    struct kb_suite *suite = open_suite(data, size, &complaints);
    if (suite) {
        if (complaints.count)
            DISAGREE("a suite, and complaints: %s", kb_buf_text(&complaints.text));
        want_cases(suite);
        kb_suite_free(suite);
    } else {
        if (!complaints.count || !complaints.text.len)
            DISAGREE("no suite, and no complaint");
        want_clean(complaints.text.data, complaints.text.len, true);
    }
    kb_complaints_free(&complaints);
    return 0;
}
