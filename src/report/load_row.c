/* load_row.c - a row of a report, as far as rows are compared. */
#include "report/load.h"

#include <math.h>
#include <string.h>

/* A row while it is read. */
struct reading {
    struct kb_pull *p;
    struct kb_arena *arena;
    struct kb_entry *out;
    struct kb_line *line;
    struct kb_buf code;
    double last[KB_BLOCK_MEDIANS];
};

static void wrong(struct reading *r, const char *field) {
    if (!r->line->wrong)
        r->line->wrong = field;
}

/* ---- values: one of another kind is stepped over, and named --------------------------
 */

static bool text(struct reading *r, const char *field, bool nullable, const char **out) {
    enum kb_pull_kind kind = kb_pull_peek(r->p);
    if (kind == KB_PULL_TEXT)
        return kb_pull_text(r->p, r->arena, out);
    if (!(nullable && kind == KB_PULL_NULL))
        wrong(r, field);
    return kb_pull_skip(r->p, NULL);
}

/* null: NAN. */
static bool number(struct reading *r, const char *field, double *out) {
    enum kb_pull_kind kind = kb_pull_peek(r->p);
    *out = NAN;
    if (kind == KB_PULL_NUMBER)
        return kb_pull_number(r->p, out);
    if (kind != KB_PULL_NULL)
        wrong(r, field);
    return kb_pull_skip(r->p, NULL);
}

/* A whole number from 0, for counts; what is none is named. */
static bool count(struct reading *r, const char *field, int64_t *out) {
    double value;
    if (!number(r, field, &value))
        return false;
    if (value >= 0 && value <= 0x1p53 && value == floor(value))
        *out = (int64_t)value;
    else
        wrong(r, field);
    return true;
}

/* Opens what must be an object; if it is not, it is stepped over and named. */
static bool opens(struct reading *r, const char *field, enum kb_pull_kind kind) {
    if (kb_pull_peek(r->p) == kind)
        return kb_pull_open(r->p, kind);
    wrong(r, field);
    kb_pull_skip(r->p, NULL);
    return false;
}

static bool numbers(struct reading *r, const char *field, int max, const double **out,
                    int *n) {
    double value;
    int got = 0;
    if (!opens(r, field, KB_PULL_ARRAY))
        return !r->p->failed;
    while (kb_pull_item(r->p)) {
        if (!number(r, field, &value))
            return false;
        if (got < max)
            r->last[got] = value;
        got++;
    }
    if (got > max) {
        wrong(r, field);
        got = max;
    }
    double *copy = kb_arena_array(r->arena, (size_t)got + 1, sizeof *copy);
    memcpy(copy, r->last, (size_t)got * sizeof *copy);
    *out = copy;
    *n = got;
    return !r->p->failed;
}

static bool texts(struct reading *r, const char *field, struct kb_strings *out) {
    const char *item = "";
    if (!opens(r, field, KB_PULL_ARRAY))
        return !r->p->failed;
    while (kb_pull_item(r->p)) {
        if (!text(r, field, false, &item))
            return false;
        kb_strings_add(out, r->arena, item);
    }
    return !r->p->failed;
}

/* ---- times -----------------------------------------------------------------------------
 */

static bool quality(struct reading *r, enum kb_quality *out) {
    const char *word = "ok";
    if (!text(r, "quality", false, &word))
        return false;
    for (int q = 0; q <= KB_Q_CONTENDED; q++) {
        if (kb_streq(kb_quality_word((enum kb_quality)q), word)) {
            *out = (enum kb_quality)q;
            return true;
        }
    }
    wrong(r, "quality");
    return true;
}

static bool interval(struct reading *r, struct kb_timing *t) {
    const double *ends;
    int n = 0;
    if (!numbers(r, "ci95_ns", 2, &ends, &n))
        return false;
    if (n != 2) {
        wrong(r, "ci95_ns");
        return true;
    }
    t->low_ns = ends[0];
    t->high_ns = ends[1];
    return true;
}

static bool time_member(struct reading *r, const struct kb_slice *key,
                        struct kb_timing *t) {
    if (kb_slice_is(key, "median_ns"))
        return number(r, "median_ns", &t->median_ns);
    if (kb_slice_is(key, "ci95_ns"))
        return interval(r, t);
    if (kb_slice_is(key, "ceiling_ns"))
        return number(r, "ceiling_ns", &t->ceiling_ns);
    if (kb_slice_is(key, "duty"))
        return number(r, "duty", &t->duty);
    if (kb_slice_is(key, "n"))
        return count(r, "n", &t->n);
    if (kb_slice_is(key, "sets"))
        return count(r, "sets", &t->sets);
    if (kb_slice_is(key, "footprint_bytes"))
        return count(r, "footprint_bytes", &t->footprint_bytes);
    if (kb_slice_is(key, "sm_mhz"))
        return count(r, "sm_mhz", &t->sm_mhz);
    if (kb_slice_is(key, "sm_mhz_min"))
        return count(r, "sm_mhz_min", &t->sm_mhz_min);
    if (kb_slice_is(key, "quality"))
        return quality(r, &t->quality);
    if (kb_slice_is(key, "samples_ns"))
        return numbers(r, "samples_ns", KB_BLOCK_MEDIANS, &t->samples_ns, &t->n_samples);
    if (kb_slice_is(key, "runs_ns"))
        return numbers(r, "runs_ns", KB_MAX_RUNS, &t->runs_ns, &t->n_runs);
    return kb_pull_skip(r->p, NULL);
}

static bool times(struct reading *r) {
    struct kb_timing all[KB_METHOD_COUNT];
    int n = 0;
    struct kb_slice key;
    if (!opens(r, "times", KB_PULL_OBJECT))
        return !r->p->failed;
    while (kb_pull_member(r->p, &key)) {
        int m = 0;
        while (m < KB_METHOD_COUNT && !kb_slice_is(&key, kb_method_word((enum kb_method)m)))
            m++;
        if (m == KB_METHOD_COUNT || n == KB_METHOD_COUNT) { /* of another kbench */
            if (!kb_pull_skip(r->p, NULL))
                return false;
            continue;
        }
        struct kb_timing *t = &all[n++];
        *t = (struct kb_timing){.method = (enum kb_method)m,
                                .median_ns = NAN,
                                .low_ns = NAN,
                                .high_ns = NAN,
                                .ceiling_ns = NAN,
                                .duty = 1};
        if (!opens(r, "times", KB_PULL_OBJECT))
            continue;
        while (kb_pull_member(r->p, &key))
            if (!time_member(r, &key, t))
                return false;
    }
    r->out->times = kb_arena_array(r->arena, (size_t)n + 1, sizeof *all);
    memcpy(r->out->times, all, (size_t)n * sizeof *all);
    r->out->n_times = n;
    return !r->p->failed;
}

/* ---- outputs and code ------------------------------------------------------------------
 */

/* null stands for an infinite error; exact outputs have none. */
static bool output(struct reading *r) {
    struct kb_slice key;
    if (!opens(r, "outputs", KB_PULL_OBJECT))
        return !r->p->failed;
    while (kb_pull_member(r->p, &key)) {
        double value;
        if (kb_slice_is(&key, "err_over_bound")) {
            if (!number(r, "err_over_bound", &value))
                return false;
            r->out->error = fmax(r->out->error, isnan(value) ? INFINITY : value);
        } else if (kb_slice_is(&key, "checked")) {
            if (!number(r, "checked", &value))
                return false;
            r->out->checked += isnan(value) ? 0 : value;
        } else if (!kb_pull_skip(r->p, NULL)) {
            return false;
        }
    }
    return !r->p->failed;
}

static bool outputs(struct reading *r) {
    struct kb_slice key;
    if (!opens(r, "outputs", KB_PULL_OBJECT))
        return !r->p->failed;
    while (kb_pull_member(r->p, &key))
        if (!output(r))
            return false;
    return !r->p->failed;
}

/* Whoever wrote the file: jq and Python put blanks where kbench puts none. */
static void add_without_blanks(struct kb_buf *buf, struct kb_slice text) {
    for (size_t i = 0; i < text.len; i++)
        if (!strchr(" \t\r\n", text.text[i]))
            kb_buf_putc(buf, text.text[i]);
}

/* What makes two codes the same: without the hash of the machine code, nothing. */
static bool code(struct reading *r) {
    static const char *const parts[] = {"arch", "grid", "block", "launches"};
    struct kb_slice key, value;
    bool hashed = false;
    if (!opens(r, "code", KB_PULL_OBJECT))
        return !r->p->failed;
    kb_buf_clear(&r->code);
    while (kb_pull_member(r->p, &key)) {
        bool is_hash = kb_slice_is(&key, "code_hash"), is_part = is_hash;
        for (size_t i = 0; i < KB_COUNT(parts); i++)
            is_part |= kb_slice_is(&key, parts[i]);
        if (!is_part) {
            if (!kb_pull_skip(r->p, NULL))
                return false;
            continue;
        }
        kb_buf_add(&r->code, key.text, key.len);
        if (!kb_pull_skip(r->p, &value))
            return false;
        add_without_blanks(&r->code, value);
        hashed |= is_hash && value.len > 2 && *value.text == '"';
    }
    if (hashed)
        r->out->code = kb_arena_strdup(r->arena, kb_buf_text(&r->code));
    return !r->p->failed;
}

/* ---- the row ---------------------------------------------------------------------------
 */

static bool verdict(struct reading *r) {
    const char *word = "";
    if (!text(r, "verdict", false, &word))
        return false;
    for (int v = 0; v < KB_VERDICT_COUNT; v++) {
        if (kb_streq(kb_verdict_word((enum kb_verdict)v), word)) {
            r->out->verdict = (enum kb_verdict)v;
            return true;
        }
    }
    wrong(r, "verdict");
    return true;
}

static bool reason(struct reading *r) {
    const char *word = "";
    if (!text(r, "reason_kind", true, &word))
        return false;
    kb_reason_parse(word, &r->out->reason);
    return true;
}

/* A number, or a text where a number would not hold it. */
static bool seed(struct reading *r) {
    struct kb_slice value;
    if (kb_pull_peek(r->p) == KB_PULL_TEXT)
        return kb_pull_text(r->p, r->arena, &r->out->seed);
    if (!kb_pull_skip(r->p, &value))
        return false;
    r->out->seed = kb_arena_strndup(r->arena, value.text, value.len);
    return true;
}

/* The texts of a row, and whether null will do. */
static const struct {
    const char *name;
    size_t at;
    bool nullable;
} fields[] = {
#define FIELD(name, nullable)                                                              \
    { #name, offsetof(struct kb_entry, name), nullable }
    {"case", offsetof(struct kb_entry, case_id), false},
    FIELD(device, false),
    FIELD(backend, false),
    FIELD(build, true),
    FIELD(variant, true),
    FIELD(kernel, true),
    FIELD(op, false),
    FIELD(dtype, false),
    FIELD(fill, true),
    FIELD(origin, true),
    {"reason", offsetof(struct kb_entry, reason_text), true},
#undef FIELD
};

/* Every key that is read, for the one that stands twice; the first KB_COUNT(fields) as
 * above. */
static const struct {
    const char *name;
    bool (*take)(struct reading *r);
} parts[] = {
    {"verdict", verdict}, {"reason_kind", reason}, {"seed", seed},
    {"outputs", outputs}, {"times", times},        {"code", code},
};

static bool other_member(struct reading *r, const struct kb_slice *key) {
    if (kb_slice_is(key, "bytes"))
        return number(r, "bytes", &r->out->bytes);
    if (kb_slice_is(key, "tags"))
        return texts(r, "tags", &r->out->tags);
    if (kb_slice_is(key, "flags"))
        return texts(r, "flags", &r->out->flags);
    r->line->is_end |= kb_slice_is(key, "complete");
    return kb_pull_skip(r->p, NULL);
}

static bool member(struct reading *r, const struct kb_slice *key, unsigned *seen) {
    for (size_t i = 0; i < KB_COUNT(fields) + KB_COUNT(parts); i++) {
        bool is_text = i < KB_COUNT(fields);
        size_t k = is_text ? i : i - KB_COUNT(fields);
        if (!kb_slice_is(key, is_text ? fields[k].name : parts[k].name))
            continue;
        if (*seen & 1u << i)
            return kb_pull_fail(r->p, r->p->pos, "\"%s\" stands here for the second time",
                                is_text ? fields[k].name : parts[k].name);
        *seen |= 1u << i;
        if (!is_text)
            return parts[k].take(r);
        const char **to = (const char **)((char *)r->out + fields[k].at);
        return text(r, fields[k].name, fields[k].nullable, to);
    }
    return other_member(r, key);
}

/* Op and dtype are the case's first and third part; old files and peers may leave them to
 * it. */
static void complete(struct reading *r) {
    struct kb_entry *e = r->out;
    struct kb_strings id = {0};
    kb_split(r->arena, e->case_id, '/', &id);
    if (!*e->op)
        e->op = id.items[0];
    if (!*e->dtype && id.count > 2)
        e->dtype = id.items[2];
    if (e->reason && kb_reason_verdict(e->reason) != e->verdict)
        e->reason = KB_R_NONE;
}

bool kb_entry_pull(struct kb_pull *p, struct kb_arena *arena, struct kb_entry *out,
                   struct kb_line *line) {
    struct reading r = {.p = p, .arena = arena, .out = out, .line = line};
    struct kb_slice key;
    unsigned seen = 0;
    bool ok;
    *line = (struct kb_line){0};
    *out = (struct kb_entry){.error = NAN, .bytes = NAN};
    out->case_id = out->kernel = out->variant = out->build = out->backend = out->device =
        "";
    out->op = out->dtype = out->fill = out->origin = out->reason_text = "";
    out->code = out->seed = "";
    ok = kb_pull_open(p, KB_PULL_OBJECT);
    out->at = ok ? p->pos - 1 : 0;
    while (ok && kb_pull_member(p, &key))
        ok = member(&r, &key, &seen);
    ok = ok && !p->failed;
    out->size = p->pos - out->at;
    kb_buf_free(&r.code);
    if (!ok)
        return false;
    if (!(seen & 1u)) /* "case" */
        wrong(&r, "case");
    if (!(seen & 1u << KB_COUNT(fields)))
        wrong(&r, "verdict");
    complete(&r);
    return true;
}
