/* row_in.c - a line of a journal, or of a worker, back into a row. */
#include "measure.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A row being read: the first thing missing or of the wrong kind is remembered. */
struct reader {
    struct kb_arena *arena;
    const char *missing;
};

static const char *text_of(struct reader *r, const cJSON *object, const char *name,
                           bool must) {
    const cJSON *item = kb_json_get(object, name);

    if (cJSON_IsString(item))
        return kb_arena_strdup(r->arena, item->valuestring);
    if (must && !r->missing)
        r->missing = name;
    return NULL;
}

static int64_t whole_of(struct reader *r, const cJSON *object, const char *name, bool must,
                        int64_t otherwise) {
    int64_t value;

    if (kb_json_i64(kb_json_get(object, name), &value))
        return value;
    if (must && !r->missing)
        r->missing = name;
    return otherwise;
}

static double number_of(const cJSON *object, const char *name, double otherwise) {
    const cJSON *item = kb_json_get(object, name);

    return cJSON_IsNumber(item) ? item->valuedouble : otherwise;
}

static int shape_of(struct reader *r, const cJSON *object, const char *name, int64_t *shape,
                    int max) {
    const cJSON *array = kb_json_get(object, name), *item;
    int rank = 0;

    cJSON_ArrayForEach(item, array) {
        if (rank == max || !kb_json_i64(item, &shape[rank])) {
            r->missing = r->missing ? r->missing : name;
            return 0;
        }
        rank++;
    }
    if (!cJSON_IsArray(array) && !r->missing)
        r->missing = name;
    return rank;
}

static void pairs_of(struct reader *r, const cJSON *object, const char *name,
                     struct kb_strings *out) {
    const cJSON *item;

    cJSON_ArrayForEach(item, kb_json_get(object, name)) {
        struct kb_buf text = {0};
        kb_buf_printf(&text, "%s=", item->string);
        if (cJSON_IsString(item))
            kb_buf_puts(&text, item->valuestring);
        else
            kb_json_print(item, &text);
        kb_strings_add(out, r->arena, kb_arena_strdup(r->arena, text.data));
        kb_buf_free(&text);
    }
}

static void list_of(struct reader *r, const cJSON *object, const char *name,
                    struct kb_strings *out) {
    const cJSON *item;

    cJSON_ArrayForEach(item, kb_json_get(object, name)) {
        if (cJSON_IsString(item))
            kb_strings_add(out, r->arena, kb_arena_strdup(r->arena, item->valuestring));
    }
}

static const char *commas_of(struct reader *r, const cJSON *object, const char *name) {
    struct kb_strings list = {0};
    struct kb_buf text = {0};

    list_of(r, object, name, &list);
    for (size_t i = 0; i < list.count; i++)
        kb_buf_printf(&text, "%s%s", i ? "," : "", list.items[i]);
    const char *copy = kb_arena_strdup(r->arena, kb_buf_text(&text));
    kb_buf_free(&text);
    return copy;
}

static double special_of(const cJSON *object, const char *number, const char *word) {
    const cJSON *item = kb_json_get(object, word);

    if (!cJSON_IsString(item))
        return number_of(object, number, NAN);
    if (kb_streq(item->valuestring, "nan"))
        return NAN;
    return kb_streq(item->valuestring, "inf") ? INFINITY : -INFINITY;
}

static void element_of(struct reader *r, const struct kb_output_report *o,
                       const cJSON *object, struct kb_element *e) {
    int64_t at[KB_MAX_RANK];
    int rank = shape_of(r, object, "index", at, KB_MAX_RANK);

    e->index = 0;
    for (int i = 0; i < rank && i < o->rank; i++)
        e->index = e->index * o->shape[i] + at[i];
    e->got = special_of(object, "got", "got_is");
    e->want = special_of(object, "want", "want_is");
    e->poison = cJSON_IsTrue(kb_json_get(object, "poison"));
}

static void tolerance_of(struct reader *r, const cJSON *object,
                         struct kb_output_report *o) {
    const char *decides = text_of(r, object, "decides", true);

    o->tolerance.rule = kb_streq(decides, "peer")    ? KB_TOL_PEER
                        : kb_streq(decides, "given") ? KB_TOL_GIVEN
                                                     : KB_TOL_BOUND;
    o->tolerance.atol = number_of(object, "atol", 0);
    o->tolerance.rtol = number_of(object, "rtol", 0);
    o->tolerance_used = number_of(object, "used", INFINITY);
    o->tolerance_over = whole_of(r, object, "over", true, 0);
}

static void output_of(struct reader *r, const cJSON *object, struct kb_output_report *o) {
    const cJSON *item;
    const char *dtype = text_of(r, object, "dtype", true);

    *o = (struct kb_output_report){.worst = {.index = -1}};
    o->name = kb_arena_strdup(r->arena, object->string);
    if (!dtype || !kb_dtype_parse(dtype, &o->dtype))
        r->missing = r->missing ? r->missing : "dtype";
    o->rank = shape_of(r, object, "shape", o->shape, KB_MAX_RANK);
    o->exact = kb_streq(text_of(r, object, "rule", true), "exact");
    o->elements = whole_of(r, object, "elements", true, 0);
    o->checked = whole_of(r, object, "checked", true, 0);
    o->over = whole_of(r, object, "over", true, 0);
    o->kind_mismatches = whole_of(r, object, "kind_mismatches", true, 0);
    o->unwritten = whole_of(r, object, "unwritten", true, 0);
    o->differing = whole_of(r, object, "differing", true, 0);
    o->limit = number_of(object, "limit", 1);
    if (!o->exact) { /* null stands for infinity: another kind of number altogether */
        o->err_over_bound = number_of(object, "err_over_bound", INFINITY);
        o->over_bound = whole_of(r, object, "over_bound", true, 0);
        o->ulp_max = number_of(object, "ulp_max", NAN);
        o->ulp_p99 = number_of(object, "ulp_p99", NAN);
        o->bias_ulp = number_of(object, "bias_ulp", NAN);
        o->abs_max = number_of(object, "abs_max", NAN);
        o->rel_max = number_of(object, "rel_max", NAN);
        tolerance_of(r, kb_json_get(object, "tolerance"), o);
    }
    o->first_bad = whole_of(r, object, "first_bad", false, -1);
    o->last_bad = whole_of(r, object, "last_bad", false, -1);
    if (kb_json_get(object, "worst"))
        element_of(r, o, kb_json_get(object, "worst"), &o->worst);
    cJSON_ArrayForEach(item, kb_json_get(object, "first")) {
        if (o->n_first < KB_SHOWN)
            element_of(r, o, item, &o->first[o->n_first++]);
    }
}

static enum kb_quality quality_of(const char *word) {
    for (int q = 0; q <= KB_Q_CONTENDED; q++) {
        if (kb_streq(word, kb_quality_word((enum kb_quality)q)))
            return (enum kb_quality)q;
    }
    return KB_Q_SUSPECT;
}

static void time_of(struct reader *r, const cJSON *object, struct kb_time *t) {
    const cJSON *interval = kb_json_get(object, "ci95_ns"), *item;

    *t = (struct kb_time){.there = true};
    t->median_ns = number_of(object, "median_ns", NAN);
    item = cJSON_GetArrayItem(interval, 0);
    t->low_ns = cJSON_IsNumber(item) ? item->valuedouble : NAN;
    item = cJSON_GetArrayItem(interval, 1);
    t->high_ns = cJSON_IsNumber(item) ? item->valuedouble : NAN;
    t->min_ns = number_of(object, "min_ns", NAN);
    t->p99_ns = number_of(object, "p99_ns", NAN);
    t->n = whole_of(r, object, "n", true, 0);
    t->stopped = text_of(r, object, "stopped", true);
    t->quality = quality_of(text_of(r, object, "quality", true));
    t->cache = text_of(r, object, "cache", true);
    t->sets = (int)whole_of(r, object, "sets", true, 0);
    t->footprint_bytes = whole_of(r, object, "footprint_bytes", true, 0);
    t->gb_per_s = number_of(object, "gb_per_s", NAN);
    t->ceiling_ns = number_of(object, "ceiling_ns", NAN);
    t->ceiling = t->ceiling_ns / t->median_ns;
    t->floor_ns = number_of(object, "floor_ns", NAN);
    t->sm_mhz_max = (int)whole_of(r, object, "sm_mhz", false, 0);
    t->sm_mhz_min = (int)whole_of(r, object, "sm_mhz_min", false, 0);
    t->throttle = commas_of(r, object, "throttle");
    cJSON_ArrayForEach(item, kb_json_get(object, "samples_ns")) {
        if (t->n_samples < KB_BLOCK_MEDIANS && cJSON_IsNumber(item))
            t->samples_ns[t->n_samples++] = item->valuedouble;
    }
}

static void code_of(struct reader *r, const cJSON *object, struct kb_row *row) {
    struct kb_code_info *c = &row->code;

    row->built = true;
    kb_text_copy(c->source_hash, sizeof c->source_hash,
                 text_of(r, object, "source_hash", true));
    kb_text_copy(c->code_hash, sizeof c->code_hash, text_of(r, object, "code_hash", false));
    kb_text_copy(c->key, sizeof c->key, text_of(r, object, "build_key", false));
    kb_text_copy(c->arch, sizeof c->arch, text_of(r, object, "arch", true));
    shape_of(r, object, "grid", row->grid, 3);
    shape_of(r, object, "block", row->block, 3);
    row->n_launches = (int)whole_of(r, object, "launches", true, 1);
    c->registers = (int)whole_of(r, object, "registers", false, -1);
    c->spill_bytes = whole_of(r, object, "spill_bytes", false, -1);
    c->shared_bytes = whole_of(r, object, "shared_bytes", false, -1);
    c->code_bytes = whole_of(r, object, "code_bytes", false, -1);
    c->compile_ms = number_of(object, "compile_ms", 0);
    c->load_ms = number_of(object, "load_ms", 0);
    c->cached = cJSON_IsTrue(kb_json_get(object, "cached"));
}

static void head_of(struct reader *r, const cJSON *root, struct kb_row *row) {
    const char *dtype = text_of(r, root, "dtype", true);
    const char *kind = text_of(r, root, "reason_kind", false);
    const char *seed = text_of(r, root, "seed", false);

    row->case_id = text_of(r, root, "case", true);
    row->device = text_of(r, root, "device", true);
    row->backend = text_of(r, root, "backend", true);
    row->build = text_of(r, root, "build", true);
    row->variant = text_of(r, root, "variant", false);
    row->kernel = text_of(r, root, "kernel", false);
    row->op = text_of(r, root, "op", true);
    row->rank = shape_of(r, root, "shape", row->shape, KB_MAX_RANK);
    if (!dtype || !kb_dtype_parse(dtype, &row->dtype))
        r->missing = r->missing ? r->missing : "dtype";
    pairs_of(r, root, "set", &row->set);
    pairs_of(r, root, "axes", &row->axes);
    row->fill = text_of(r, root, "fill", true);
    if (!seed || !kb_parse_u64(seed, &row->seed))
        row->seed = (uint64_t)whole_of(r, root, "seed", true, 0);
    row->tags = commas_of(r, root, "tags");
    row->origin = text_of(r, root, "origin", false);
    list_of(r, root, "flags", &row->flags);
    if (kind && !kb_reason_parse(kind, &row->reason))
        r->missing = r->missing ? r->missing : "reason_kind";
    row->text = text_of(r, root, "reason", false);
    row->warning = text_of(r, root, "warning", false);
    row->repeat = text_of(r, root, "repeat", false);
}

static void checked_of(struct reader *r, const cJSON *root, struct kb_row *row) {
    const cJSON *outputs = kb_json_get(root, "outputs"), *item;
    const cJSON *memory = kb_json_get(root, "memory");

    row->checked = outputs != NULL;
    if (!row->checked)
        return;
    cJSON_ArrayForEach(item, outputs) {
        if (row->n_outputs < KB_MAX_OUTPUTS)
            output_of(r, item, &row->outputs[row->n_outputs++]);
    }
    row->unwritten = whole_of(r, memory, "unwritten", true, 0);
    row->out_of_bounds = whole_of(r, memory, "out_of_bounds", true, 0);
    row->inputs_changed = whole_of(r, memory, "inputs_changed", true, 0);
    row->orders = (int)whole_of(r, root, "runs_same_bits", true, 0);
}

bool kb_row_parse(const char *name, const char *text, size_t size, struct kb_arena *arena,
                  struct kb_row *out, struct kb_err *err) {
    struct kb_json doc = {0};
    struct reader r = {.arena = arena};

    *out = (struct kb_row){0};
    if (!kb_json_parse(&doc, name, text, size, err))
        return false;
    head_of(&r, doc.root, out);
    checked_of(&r, doc.root, out);
    out->bytes = whole_of(&r, doc.root, "bytes", true, 0);
    out->flops = whole_of(&r, doc.root, "flops", true, 0);
    out->limited_by = text_of(&r, doc.root, "limited_by", false);
    for (int m = 0; m < KB_METHOD_COUNT; m++) {
        const cJSON *times = kb_json_get(doc.root, "times");
        const cJSON *item = kb_json_get(times, kb_method_word((enum kb_method)m));
        if (item)
            time_of(&r, item, &out->times[m]);
    }
    if (kb_json_get(doc.root, "code"))
        code_of(&r, kb_json_get(doc.root, "code"), out);
    const cJSON *ms = kb_json_get(doc.root, "spent_ms");
    out->ms_total = number_of(ms, "total", 0);
    out->ms_build = number_of(ms, "build", 0);
    out->ms_check = number_of(ms, "check", 0);
    out->ms_time = number_of(ms, "time", 0);
    kb_json_free(&doc);
    if (r.missing)
        return kb_fail(err, KB_INPUT, "%s: no right \"%s\" in the row", name, r.missing);
    return true;
}
