/* compare.c - two reports, cut from one input at its first NUL, read back and held against
 * each other: whatever stands in them, the diff is the same from both sides, the gate
 * passes nothing that is no time, and what is shown is clean. */
#include "fuzz.h"
#include "gate.h"

#include <math.h>

/* What our own strict reader takes, a report that is one text must be for the other one: it
 * may refuse more, by what a report must have, but takes nothing that is no JSON. */
static bool load(const uint8_t *data, size_t size, const char *name,
                 struct kb_loaded *out) {
    struct kb_buf text = {0};
    struct kb_err err = {0};
    kb_buf_add(&text, data, size);
    if (kb_loaded_of_text(name, &text, out, &err))
        return true;
    want_message(&err);
    if (strchr(err.msg, '\n'))
        DISAGREE("a message of several lines: %s", err.msg);
    kb_buf_free(&text);
    return false;
}

/* Each row is JSON of its own, at the place that was kept. */
static void want_rows(const struct kb_loaded *report) {
    for (size_t i = 0; i < report->n_rows; i++) {
        const struct kb_entry *e = &report->rows[i];
        const char *text = report->text.data + e->at;
        struct kb_json doc = {0};
        struct kb_err err = {0};
        if (e->at + e->size > report->text.len || *text != '{' || text[e->size - 1] != '}')
            DISAGREE("row %zu is not where it was kept", i);
        /* Keys that are stepped over may stand twice, and whole numbers be too large: our
         * other reader has more to say. */
        if (!kb_json_parse(&doc, "row", text, e->size, &err) &&
            !strstr(err.msg, "second time") && !strstr(err.msg, "2^53"))
            DISAGREE("row %zu is no JSON: %s", i, err.msg);
        const char *id = cJSON_GetStringValue(kb_json_get(doc.root, "case"));
        if (doc.root && (!id || strcmp(id, e->case_id) != 0))
            DISAGREE("the case is %s, and was read as %s", id ? id : "none", e->case_id);
        kb_json_free(&doc);
    }
}

static void judge(const struct kb_loaded *a, const struct kb_loaded *b,
                  struct kb_arena *arena, struct kb_pairs *out) {
    const struct kb_side x = {.report = a}, y = {.report = b};
    kb_pairs_make(&x, &y, NULL, 0, KB_RELAX_BUILD, arena, out);
    kb_pairs_shift(out, arena);
    kb_pairs_judge(out, arena);
}

static enum kb_speed_verdict mirror(enum kb_speed_verdict v) {
    return v == KB_SLOWER ? KB_FASTER : v == KB_FASTER ? KB_SLOWER : v;
}

static const struct kb_pair *same_pair(const struct kb_pairs *pairs,
                                       const struct kb_pair *like) {
    for (size_t i = 0; i < pairs->n; i++)
        if (pairs->items[i].a == like->b && pairs->items[i].b == like->a)
            return &pairs->items[i];
    return NULL;
}

/* Rows are paired in the same way from both sides, and judged the other way round. Devices
 * are named by A, so that this holds where both name the same ones. */
static void want_symmetry(const struct kb_pairs *there, const struct kb_pairs *back) {
    if (there->n != back->n || there->only_a != back->only_b)
        DISAGREE("%zu pairs, and %zu from the other side", there->n, back->n);
    for (size_t i = 0; i < there->n && there->n < 100; i++) {
        const struct kb_pair *pair = &there->items[i], *other = same_pair(back, pair);
        if (!other)
            DISAGREE("pair %zu is none from the other side", i);
        if (other->invalid != pair->invalid)
            DISAGREE("pair %zu is a time from one side alone", i);
        bool close = fabs(fabs(log1p(pair->shift.ratio)) - log(1.01)) < 1e-9 ||
                     fabs(pair->shift.rank_p - 0.05) < 1e-9;
        if (other->speed != mirror(pair->speed) && !close && pair->ta && pair->tb)
            DISAGREE("pair %zu is %s, and %s from the other side", i,
                     kb_speed_word(pair->speed), kb_speed_word(other->speed));
    }
}

static bool is_same_place(const struct kb_loaded *a, const struct kb_loaded *b) {
    bool same = a->n_machines == b->n_machines;
    for (int i = 0; same && i < a->n_machines; i++) {
        same = strcmp(a->machines[i].id, b->machines[i].id) == 0;
        for (int k = 0; k < i; k++)
            same = same && strcmp(a->machines[i].id, a->machines[k].id) != 0;
    }
    return same && a->n_machines == 1;
}

static void want_gate(const struct kb_loaded *a, const struct kb_loaded *b,
                      struct kb_arena *arena) {
    const struct kb_limits_of_gate limits = {
        .slowdown = 0.03, .error_growth = 2, .cross = true, .strict = true};
    const struct kb_look look = {0};
    struct kb_gate gate;
    struct kb_buf screen = {0}, json = {0}, words = {0};
    kb_gate_make(a, b, &limits, NULL, 0, NULL, NULL, arena, &gate);
    int status = kb_gate_status(&gate);
    for (size_t i = 0; i < gate.pairs.n; i++) {
        const struct kb_pair *p = &gate.pairs.items[i];
        double bad;
        if (p->a && p->b && p->ta && p->tb && p->b->verdict == KB_PASS && status == 0 &&
            !(kb_timing_is_valid(p->ta, &bad) && kb_timing_is_valid(p->tb, &bad)))
            DISAGREE("%g is no time, and passes", bad);
        if (p->b && p->b->verdict != KB_PASS && p->b->verdict != KB_SKIP && status == 0)
            DISAGREE("%s is no pass, and passes", p->b->case_id);
        if (!p->b && status == 0)
            DISAGREE("%s is missing, and passes", p->a->case_id);
    }
    kb_gate_words(&gate, &words);
    if ((status != 0) != (words.len != 0))
        DISAGREE("status %d, and why: %s", status, kb_buf_text(&words));
    kb_gate_print(&gate, &look, true, &screen);
    kb_gate_json(&gate, &json);
    want_clean(kb_buf_text(&screen), screen.len, true);
    struct kb_json doc = {0};
    struct kb_err err = {0};
    if (!kb_json_parse(&doc, "gate", json.data, json.len, &err))
        DISAGREE("the gate is no JSON: %s", err.msg);
    kb_json_free(&doc);
    kb_buf_free(&screen);
    kb_buf_free(&json);
    kb_buf_free(&words);
}

static void want_diff(const struct kb_pairs *pairs) {
    const struct kb_look look = {0};
    struct kb_buf text = {0};
    struct kb_json doc = {0};
    struct kb_err err = {0};
    kb_diff_print(pairs, &look, true, &text);
    want_clean(kb_buf_text(&text), text.len, true);
    kb_buf_clear(&text);
    kb_diff_json(pairs, &text);
    if (!kb_json_parse(&doc, "diff", text.data, text.len, &err))
        DISAGREE("the diff is no JSON: %s", err.msg);
    kb_json_free(&doc);
    kb_buf_free(&text);
}

/* What is joined is a report, and joined runs have as many rows as the first. */
static void want_join(const struct kb_loaded *a, const struct kb_loaded *b) {
    struct kb_loaded reports[2] = {*a, *b}, joined;
    for (int how = KB_JOIN_PARTS; how <= KB_JOIN_RUNS; how++) {
        struct kb_buf note = {0};
        struct kb_err err = {0};
        size_t n = 0;
        char path[64];
        snprintf(path, sizeof path, "/dev/shm/kbench-fuzz-%d.json", (int)getpid());
        if (!kb_join_write((enum kb_join)how, reports, 2, path, &n, &note, &err))
            want_message(&err);
        else if (!kb_loaded_read(path, &joined, &err))
            DISAGREE("what was joined is no report: %s", err.msg);
        else {
            size_t wanted = how == KB_JOIN_RUNS ? a->n_rows : a->n_rows + b->n_rows;
            if (joined.n_rows != wanted || n != wanted)
                DISAGREE("%zu rows were joined, %zu read back, of %zu", n, joined.n_rows,
                         wanted);
            kb_loaded_free(&joined);
        }
        unlink(path);
        kb_buf_free(&note);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const uint8_t *cut = size ? memchr(data, 0, size) : NULL;
    size_t first = cut ? (size_t)(cut - data) : size;
    struct kb_loaded a, b;
    struct kb_arena arena = {0};
    struct kb_pairs there, back;
    if (!load(data, first, "a", &a))
        return 0;
    if (!load(cut ? cut + 1 : data, cut ? size - first - 1 : size, "b", &b)) {
        kb_loaded_free(&a);
        return 0;
    }
    want_rows(&a);
    want_rows(&b);
    judge(&a, &b, &arena, &there);
    judge(&b, &a, &arena, &back);
    if (is_same_place(&a, &b))
        want_symmetry(&there, &back);
    want_diff(&there);
    want_gate(&a, &b, &arena);
    want_join(&a, &b);
    kb_loaded_free(&a);
    kb_loaded_free(&b);
    kb_arena_free(&arena);
    return 0;
}
