/* row_in.c - a line of a journal, or of a worker, back into a row. What a row must have and
 * has not, or has in another form, is an error by its name: a baseline may come from
 * anybody. */
#include "row_local.h"

#include <limits.h>
#include <math.h>

/* Sizes of one axis each, from 0; returns how many. */
static int shape_of(struct kb_fields *f, const cJSON *object, const char *name,
                    int64_t *shape, int max) {
    const cJSON *item;
    int rank = 0;

    cJSON_ArrayForEach(item, kb_field_array(f, object, name)) {
        if (rank == max || !kb_json_i64(item, &shape[rank]) || shape[rank] < 0) {
            kb_field_wrong(f, name);
            return 0;
        }
        rank++;
    }
    return rank;
}

static void pairs_of(struct kb_fields *f, const cJSON *object, const char *name,
                     struct kb_strings *out) {
    const cJSON *item;

    cJSON_ArrayForEach(item, kb_field_object(f, object, name)) {
        struct kb_buf text = {0};
        kb_buf_printf(&text, "%s=", item->string);
        if (cJSON_IsString(item))
            kb_buf_puts(&text, item->valuestring);
        else
            kb_json_print(item, &text);
        kb_strings_add(out, f->arena, kb_arena_strdup(f->arena, text.data));
        kb_buf_free(&text);
    }
}

static void list_of(struct kb_fields *f, const cJSON *object, const char *name,
                    struct kb_strings *out) {
    const cJSON *item;

    cJSON_ArrayForEach(item, kb_field_array(f, object, name)) {
        if (!cJSON_IsString(item)) {
            kb_field_wrong(f, name);
            return;
        }
        kb_strings_add(out, f->arena, kb_arena_strdup(f->arena, item->valuestring));
    }
}

static const char *commas_of(struct kb_fields *f, const cJSON *object, const char *name) {
    struct kb_strings list = {0};
    struct kb_buf text = {0};

    list_of(f, object, name, &list);
    for (size_t i = 0; i < list.count; i++)
        kb_buf_printf(&text, "%s%s", i ? "," : "", list.items[i]);
    const char *copy = kb_arena_strdup(f->arena, kb_buf_text(&text));
    kb_buf_free(&text);
    return copy;
}

/* A number whose null has a word beside it. */
static double special_of(struct kb_fields *f, const cJSON *object, const char *number,
                         const char *word) {
    static const char *const words[] = {"nan", "inf", "-inf"};
    const double values[] = {NAN, INFINITY, -INFINITY};

    const cJSON *item = kb_json_get(object, number);
    bool is_special = kb_json_get(object, word) != NULL;

    if (is_special ? !cJSON_IsNull(item) : !cJSON_IsNumber(item))
        kb_field_wrong(f, number);
    if (is_special)
        return values[kb_field_word(f, object, word, words, KB_COUNT(words))];
    return kb_field_number(f, object, number, NAN);
}

static void element_of(struct kb_fields *f, const struct kb_output_report *o,
                       const cJSON *object, struct kb_element *e) {
    int64_t at[KB_MAX_RANK];
    int rank = shape_of(f, object, "index", at, KB_MAX_RANK);

    *e = (struct kb_element){0};
    if (rank != o->rank)
        kb_field_wrong(f, "index");
    for (int i = 0; i < rank && rank == o->rank; i++) {
        if (at[i] >= o->shape[i] || !kb_mul_i64(e->index, o->shape[i], &e->index) ||
            e->index > INT64_MAX - at[i]) {
            kb_field_wrong(f, "index");
            return;
        }
        e->index += at[i];
    }
    e->got = special_of(f, object, "got", "got_is");
    e->want = special_of(f, object, "want", "want_is");
    e->poison = cJSON_IsTrue(kb_json_get(object, "poison"));
}

/* Elements of a shape; INT64_MAX where there are more. */
static int64_t volume_of(const struct kb_output_report *o) {
    int64_t volume = 1;

    for (int i = 0; i < o->rank; i++)
        if (o->shape[i] == 0)
            return 0;
    for (int i = 0; i < o->rank; i++)
        if (!kb_mul_i64(volume, o->shape[i], &volume))
            return INT64_MAX;
    return volume;
}

static int64_t count_of(struct kb_fields *f, const cJSON *object, const char *name) {
    return kb_field_whole(f, object, name, 0, INT64_MAX);
}

static void tolerance_of(struct kb_fields *f, const cJSON *object,
                         struct kb_output_report *o) {
    static const char *const words[] = {"bound", "peer", "given"};

    o->tolerance.rule =
        (enum kb_tolerance_rule)kb_field_word(f, object, "decides", words, KB_COUNT(words));
    o->tolerance.atol = kb_field_number(f, object, "atol", 0);
    o->tolerance.rtol = kb_field_number(f, object, "rtol", 0);
    o->tolerance_used = kb_field_number(f, object, "used", INFINITY);
    o->tolerance_over = count_of(f, object, "over");
}

/* null stands for infinity in a share: another kind of number altogether. */
static void errors_of(struct kb_fields *f, const cJSON *object,
                      struct kb_output_report *o) {
    o->err_over_bound = kb_field_number(f, object, "err_over_bound", INFINITY);
    o->over_bound = count_of(f, object, "over_bound");
    o->ulp_max = kb_field_number(f, object, "ulp_max", NAN);
    o->ulp_p99 = kb_field_number(f, object, "ulp_p99", NAN);
    o->ulp_p50 = kb_field_number(f, object, "ulp_p50", NAN);
    o->bias_ulp = kb_field_number(f, object, "bias_ulp", NAN);
    o->abs_max = kb_field_number(f, object, "abs_max", NAN);
    o->rel_max = kb_field_number(f, object, "rel_max", NAN);
    o->nmse = kb_field_number(f, object, "nmse", NAN);
    o->want_rms = kb_field_number(f, object, "want_rms", NAN);
    tolerance_of(f, kb_field_object(f, object, "tolerance"), o);
}

static void output_of(struct kb_fields *f, const cJSON *object,
                      struct kb_output_report *o) {
    static const char *const rules[] = {"bound", "exact"};
    const cJSON *item;

    *o = (struct kb_output_report){.worst = {.index = -1}};
    o->name = kb_arena_strdup(f->arena, object->string);
    if (!kb_dtype_parse(kb_field_text(f, object, "dtype"), &o->dtype))
        kb_field_wrong(f, "dtype");
    o->rank = shape_of(f, object, "shape", o->shape, KB_MAX_RANK);
    o->exact = kb_field_word(f, object, "rule", rules, KB_COUNT(rules));
    o->elements = count_of(f, object, "elements");
    o->checked = count_of(f, object, "checked");
    o->over = count_of(f, object, "over");
    o->kind_mismatches = count_of(f, object, "kind_mismatches");
    o->unwritten = count_of(f, object, "unwritten");
    o->differing = count_of(f, object, "differing");
    o->kept = kb_field_whole_or(f, object, "kept", 0, INT64_MAX, 0);
    o->touched = kb_field_whole_or(f, object, "touched", 0, INT64_MAX, 0);
    o->follows = kb_field_maybe(f, object, "follows");
    o->follows_over = kb_field_whole_or(f, object, "follows_over", 0, INT64_MAX, 0);
    o->limit = kb_field_number(f, object, "limit", 1);
    if (!o->exact)
        errors_of(f, object, o);
    if (kb_json_get(object, "worst"))
        element_of(f, o, kb_field_object(f, object, "worst"), &o->worst);
    if (kb_json_get(object, "local"))
        o->local = kb_local_of(f, kb_field_object(f, object, "local"));
    o->first_bad = o->last_bad = -1;
    if (!kb_json_get(object, "first"))
        return;
    o->first_bad = kb_field_whole(f, object, "first_bad", 0, volume_of(o) - 1);
    o->last_bad = kb_field_whole(f, object, "last_bad", o->first_bad, volume_of(o) - 1);
    cJSON_ArrayForEach(item, kb_field_array(f, object, "first")) {
        if (o->n_first == KB_SHOWN)
            kb_field_wrong(f, "first");
        else
            element_of(f, o, item, &o->first[o->n_first++]);
    }
}

static double at_of(struct kb_fields *f, const cJSON *array, int i, const char *name) {
    const cJSON *item = cJSON_GetArrayItem(array, i);

    if (!item || !(cJSON_IsNumber(item) || cJSON_IsNull(item)))
        kb_field_wrong(f, name);
    return cJSON_IsNumber(item) ? item->valuedouble : NAN;
}

static void samples_of(struct kb_fields *f, const cJSON *object, struct kb_time *t) {
    const cJSON *samples = kb_field_array(f, object, "samples_ns"), *item;

    cJSON_ArrayForEach(item, samples) {
        if (t->n_samples == KB_BLOCK_MEDIANS || !cJSON_IsNumber(item)) {
            kb_field_wrong(f, "samples_ns");
            return;
        }
        t->samples_ns[t->n_samples++] = item->valuedouble;
    }
}

static void runs_of(struct kb_fields *f, const cJSON *object, struct kb_time *t) {
    const cJSON *item;

    if (!kb_json_get(object, "runs_ns"))
        return;
    cJSON_ArrayForEach(item, kb_field_array(f, object, "runs_ns")) {
        if (t->n_runs == KB_MAX_RUNS || !cJSON_IsNumber(item)) {
            kb_field_wrong(f, "runs_ns");
            return;
        }
        t->runs_ns[t->n_runs++] = item->valuedouble;
    }
}

static void time_of(struct kb_fields *f, const cJSON *object, struct kb_time *t) {
    static const char *const qualities[] = {
#define X(id, word) word,
        KB_QUALITIES(X)
#undef X
    };
    const cJSON *interval = kb_field_array(f, object, "ci95_ns");

    *t = (struct kb_time){.there = true};
    t->median_ns = kb_field_number(f, object, "median_ns", NAN);
    t->low_ns = at_of(f, interval, 0, "ci95_ns");
    t->high_ns = at_of(f, interval, 1, "ci95_ns");
    t->min_ns = kb_field_number(f, object, "min_ns", NAN);
    t->p99_ns = kb_field_number(f, object, "p99_ns", NAN);
    t->n = count_of(f, object, "n");
    t->stopped = kb_field_text(f, object, "stopped");
    t->quality = (enum kb_quality)kb_field_word(f, object, "quality", qualities,
                                                KB_COUNT(qualities));
    t->why = kb_field_maybe(f, object, "quality_why");
    t->n_taken = kb_field_whole_or(f, object, "samples", 0, INT64_MAX, 0);
    t->throttled = kb_field_whole_or(f, object, "samples_throttled", 0, t->n_taken, 0);
    t->duty = kb_field_number(f, object, "duty", 0);
    t->cache = kb_field_text(f, object, "cache");
    t->sets = (int)kb_field_whole(f, object, "sets", 0, INT_MAX);
    t->footprint_bytes = count_of(f, object, "footprint_bytes");
    t->gb_per_s = kb_field_number(f, object, "gb_per_s", NAN);
    t->ceiling_op = kb_field_maybe(f, object, "ceiling");
    t->ceiling_ns = t->ceiling_op ? kb_field_number(f, object, "ceiling_ns", NAN) : NAN;
    t->ceiling = t->ceiling_ns / t->median_ns;
    t->floor_ns = kb_field_number(f, object, "floor_ns", NAN);
    t->timer_ns = kb_field_number(f, object, "timer_ns", NAN);
    t->energy_uj = kb_field_number(f, object, "energy_uj", NAN);
    t->sm_mhz_max = (int)kb_field_whole_or(f, object, "sm_mhz", 0, INT_MAX, 0);
    t->sm_mhz_min = (int)kb_field_whole_or(f, object, "sm_mhz_min", 0, INT_MAX, 0);
    t->throttle = commas_of(f, object, "throttle");
    samples_of(f, object, t);
    runs_of(f, object, t);
}

static void triple_of(struct kb_fields *f, const cJSON *object, const char *name,
                      int64_t out[3]) {
    if (shape_of(f, object, name, out, 3) != 3)
        kb_field_wrong(f, name);
}

static void hash_of(struct kb_fields *f, const cJSON *object, const char *name,
                    char out[KB_HASH_HEX]) {
    kb_text_copy(out, KB_HASH_HEX, kb_field_maybe(f, object, name));
}

static void code_of(struct kb_fields *f, const cJSON *object, struct kb_row *row) {
    struct kb_code_info *c = &row->code;

    row->built = true;
    hash_of(f, object, "source_hash", c->source_hash);
    hash_of(f, object, "code_hash", c->code_hash);
    hash_of(f, object, "build_key", c->key);
    kb_text_copy(c->arch, sizeof c->arch, kb_field_text(f, object, "arch"));
    triple_of(f, object, "grid", row->grid);
    triple_of(f, object, "block", row->block);
    row->n_launches = (int)kb_field_whole(f, object, "launches", 0, INT_MAX);
    c->registers = (int)kb_field_whole_or(f, object, "registers", 0, INT_MAX, -1);
    c->spill_bytes = kb_field_whole_or(f, object, "spill_bytes", 0, INT64_MAX, -1);
    c->shared_bytes = kb_field_whole_or(f, object, "shared_bytes", 0, INT64_MAX, -1);
    c->code_bytes = kb_field_whole_or(f, object, "code_bytes", 0, INT64_MAX, -1);
    row->occupancy.blocks_per_sm =
        (int)kb_field_whole_or(f, object, "blocks_per_sm", 0, INT_MAX, 0);
    row->occupancy.share = kb_field_number(f, object, "occupancy", 0);
    row->occupancy.waves = kb_field_number(f, object, "waves", 0);
    c->compile_ms = kb_field_number(f, object, "compile_ms", 0);
    c->load_ms = kb_field_number(f, object, "load_ms", 0);
    c->cached = kb_field_bool(f, object, "cached");
}

static uint64_t seed_of(struct kb_fields *f, const cJSON *root) {
    const cJSON *item = kb_json_get(root, "seed");
    uint64_t seed = 0;
    int64_t small = 0;

    if (cJSON_IsString(item) ? kb_parse_u64(item->valuestring, &seed)
                             : kb_json_i64(item, &small) && small >= 0)
        return cJSON_IsString(item) ? seed : (uint64_t)small;
    kb_field_wrong(f, "seed");
    return 0;
}

static void verdict_of(struct kb_fields *f, const cJSON *root, struct kb_row *row) {
    const char *kind = kb_field_maybe(f, root, "reason_kind");

    if (kind && !kb_reason_parse(kind, &row->reason))
        kb_field_wrong(f, "reason_kind");
    /* The verdict follows from the reason: a row that says otherwise is not ours. */
    if (!kb_streq(kb_field_text(f, root, "verdict"),
                  kb_verdict_word(kb_reason_verdict(row->reason))))
        kb_field_wrong(f, "verdict");
    row->text = kb_field_maybe(f, root, "reason");
    if (!row->text != (row->reason == KB_R_NONE))
        kb_field_wrong(f, "reason");
    row->warning = kb_field_maybe(f, root, "warning");
}

static void head_of(struct kb_fields *f, const cJSON *root, struct kb_row *row) {
    row->case_id = kb_field_text(f, root, "case");
    row->device = kb_field_text(f, root, "device");
    row->backend = kb_field_text(f, root, "backend");
    row->build = kb_field_text(f, root, "build");
    row->variant = kb_field_maybe(f, root, "variant");
    row->kernel = kb_field_maybe(f, root, "kernel");
    row->op = kb_field_text(f, root, "op");
    row->rank = shape_of(f, root, "shape", row->shape, KB_MAX_RANK);
    if (!kb_dtype_parse(kb_field_text(f, root, "dtype"), &row->dtype))
        kb_field_wrong(f, "dtype");
    pairs_of(f, root, "set", &row->set);
    pairs_of(f, root, "axes", &row->axes);
    row->fill = kb_field_text(f, root, "fill");
    row->seed = seed_of(f, root);
    row->load = kb_field_maybe(f, root, "load");
    row->sample_rows = kb_field_whole_or(f, root, "sample_rows", 2, INT64_MAX, 0);
    row->tags = commas_of(f, root, "tags");
    row->origin = kb_field_maybe(f, root, "origin");
    list_of(f, root, "flags", &row->flags);
    verdict_of(f, root, row);
    row->repeat = kb_field_text(f, root, "repeat");
}

/* Absent: not tried. */
static void tried_of(struct kb_fields *f, const cJSON *root, struct kb_row *row) {
    row->repeats = (int)kb_field_whole_or(f, root, "repeats", 1, INT_MAX, 0);
    if (kb_json_get(root, "shifts"))
        row->n_shifts = shape_of(f, root, "shifts", row->shifts, KB_MAX_SHIFTS);
    if (kb_json_get(root, "batch"))
        row->n_batch = shape_of(f, root, "batch", row->batch, KB_MAX_BATCH);
    if (kb_json_get(root, "late_producer"))
        row->late_producer = kb_field_bool(f, root, "late_producer");
    if (kb_json_get(root, "other_inputs"))
        row->other_inputs = kb_field_bool(f, root, "other_inputs");
}

static void impostors_of(struct kb_fields *f, const cJSON *object, struct kb_row *row) {
    row->proved = true;
    row->impostors.tried = (int)kb_field_whole(f, object, "tried", 0, INT_MAX);
    row->impostors.left_out = (int)kb_field_whole(f, object, "left_out", 0, INT_MAX);
    list_of(f, object, "let_through", &row->impostors.let_through);
}

static void checked_of(struct kb_fields *f, const cJSON *root, struct kb_row *row) {
    const cJSON *item, *memory;

    row->checked = kb_json_get(root, "outputs") != NULL;
    if (!row->checked)
        return;
    cJSON_ArrayForEach(item, kb_field_object(f, root, "outputs")) {
        if (row->n_outputs == KB_MAX_OUTPUTS)
            kb_field_wrong(f, "outputs");
        else
            output_of(f, item, &row->outputs[row->n_outputs++]);
    }
    memory = kb_field_object(f, root, "memory");
    row->unwritten = count_of(f, memory, "unwritten");
    row->out_of_bounds = count_of(f, memory, "out_of_bounds");
    row->inputs_changed = count_of(f, memory, "inputs_changed");
    row->orders = (int)kb_field_whole(f, root, "runs_same_bits", 0, INT_MAX);
    tried_of(f, root, row);
    if (kb_json_get(root, "impostors"))
        impostors_of(f, kb_field_object(f, root, "impostors"), row);
}

static void times_of(struct kb_fields *f, const cJSON *root, struct kb_row *row) {
    const cJSON *times = kb_json_get(root, "times");

    if (times && !cJSON_IsObject(times))
        kb_field_wrong(f, "times");
    for (int m = 0; m < KB_METHOD_COUNT; m++) {
        const cJSON *item = kb_json_get(times, kb_method_word((enum kb_method)m));
        if (item)
            time_of(f, item, &row->times[m]);
    }
}

bool kb_row_parse(const char *name, const char *text, size_t size, struct kb_arena *arena,
                  struct kb_row *out, struct kb_err *err) {
    struct kb_json doc = {0};
    struct kb_fields f = {.arena = arena};

    *out = (struct kb_row){0};
    if (!kb_json_parse(&doc, name, text, size, err))
        return false;
    head_of(&f, doc.root, out);
    checked_of(&f, doc.root, out);
    out->bytes = count_of(&f, doc.root, "bytes");
    out->flops = count_of(&f, doc.root, "flops");
    out->limited_by = kb_field_maybe(&f, doc.root, "limited_by");
    times_of(&f, doc.root, out);
    if (kb_json_get(doc.root, "code"))
        code_of(&f, kb_field_object(&f, doc.root, "code"), out);
    if (kb_json_get(doc.root, "against"))
        out->against = kb_against_of(&f, kb_field_object(&f, doc.root, "against"));
    if (kb_json_get(doc.root, "smallest"))
        out->smallest = kb_smallest_of(&f, kb_field_object(&f, doc.root, "smallest"));
    const cJSON *ms = kb_field_object(&f, doc.root, "spent_ms");
    out->ms_total = kb_field_number(&f, ms, "total", 0);
    out->ms_build = kb_field_number(&f, ms, "build", 0);
    out->ms_check = kb_field_number(&f, ms, "check", 0);
    out->ms_time = kb_field_number(&f, ms, "time", 0);
    kb_json_free(&doc);
    if (f.wrong)
        return kb_fail(err, KB_INPUT, "%s: no right \"%s\" in the row", name, f.wrong);
    return true;
}
