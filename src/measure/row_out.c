/* row_out.c - a row as the line of JSON that reports hold; reports/README.md is its manual.
 * What was not measured is left out, or null where the field always stands. */
#include "row_local.h"

#include <assert.h>
#include <math.h>
#include <string.h>

enum { DIGITS = 6, NS_DIGITS = 8 };

static cJSON *shape_item(const int64_t *shape, int rank) {
    cJSON *array = kb_json_array();

    for (int i = 0; i < rank; i++)
        kb_json_push(array, kb_json_i64_item(shape[i]));
    return array;
}

static cJSON *triple_item(const int64_t v[3]) {
    return shape_item(v, 3);
}

/* "key=value" strings as an object; numbers as numbers. */
static cJSON *pairs_item(const struct kb_strings *pairs) {
    cJSON *object = kb_json_object();

    for (size_t i = 0; i < pairs->count; i++) {
        const char *text = pairs->items[i], *eq = strchr(text, '=');
        struct kb_buf key = {0};
        int64_t whole;
        double number;
        assert(eq);
        kb_buf_add(&key, text, (size_t)(eq - text));
        if (kb_parse_i64(eq + 1, &whole))
            kb_json_add_i64(object, kb_buf_text(&key), whole);
        else if (kb_parse_f64(eq + 1, &number))
            kb_json_add_f64(object, kb_buf_text(&key), number, 17);
        else
            kb_json_add_text(object, kb_buf_text(&key), eq + 1);
        kb_buf_free(&key);
    }
    return object;
}

static cJSON *list_item(const struct kb_strings *list) {
    cJSON *array = kb_json_array();

    for (size_t i = 0; i < list->count; i++)
        kb_json_push(array, kb_json_text_item(list->items[i]));
    return array;
}

/* "a,b" as an array of strings. */
static cJSON *comma_item(const char *text) {
    struct kb_arena arena = {0};
    struct kb_strings list = {0};

    if (text && *text)
        kb_split(&arena, text, ',', &list);
    cJSON *array = list_item(&list);
    kb_arena_free(&arena);
    return array;
}

static cJSON *element_item(const struct kb_output_report *o, const struct kb_element *e) {
    cJSON *object = kb_json_object(), *index = kb_json_array();
    int64_t at[KB_MAX_RANK], rest = e->index;

    for (int i = o->rank - 1; i >= 0; i--) {
        at[i] = rest % o->shape[i];
        rest /= o->shape[i];
    }
    for (int i = 0; i < o->rank; i++)
        kb_json_push(index, kb_json_i64_item(at[i]));
    kb_json_add(object, "index", index);
    /* Nine digits tell any two floats apart, ten hold the bits of 32. */
    kb_json_add_f64(object, "got", e->got, o->exact ? 10 : 9);
    kb_json_add_f64(object, "want", e->want, o->exact ? 10 : 9);
    /* JSON has no word for these; the number beside it is null then. */
    if (!isfinite(e->got))
        kb_json_add_text(object, "got_is",
                         isnan(e->got) ? "nan"
                         : e->got > 0  ? "inf"
                                       : "-inf");
    if (!isfinite(e->want))
        kb_json_add_text(object, "want_is",
                         isnan(e->want) ? "nan"
                         : e->want > 0  ? "inf"
                                        : "-inf");
    if (e->poison)
        kb_json_add_bool(object, "poison", true);
    return object;
}

static cJSON *tolerance_item(const struct kb_output_report *o) {
    static const char *const words[] = {"bound", "peer", "given"};
    cJSON *object = kb_json_object();

    /* "bound": the bound decides, and the peers' rule is only shown. */
    kb_json_add_text(object, "rule", o->tolerance.rule == KB_TOL_GIVEN ? "given" : "peer");
    kb_json_add_text(object, "decides", words[o->tolerance.rule]);
    kb_json_add_f64(object, "atol", o->tolerance.atol, DIGITS);
    kb_json_add_f64(object, "rtol", o->tolerance.rtol, DIGITS);
    kb_json_add_f64(object, "used", o->tolerance_used, DIGITS);
    kb_json_add_i64(object, "over", o->tolerance_over);
    return object;
}

static cJSON *output_item(const struct kb_output_report *o) {
    cJSON *object = kb_json_object();

    kb_json_add(object, "shape", shape_item(o->shape, o->rank));
    kb_json_add_text(object, "dtype", kb_dtype_name(o->dtype));
    kb_json_add_text(object, "rule", o->exact ? "exact" : "bound");
    kb_json_add_i64(object, "elements", o->elements);
    kb_json_add_i64(object, "checked", o->checked);
    kb_json_add_i64(object, "over", o->over);
    kb_json_add_i64(object, "kind_mismatches", o->kind_mismatches);
    kb_json_add_i64(object, "unwritten", o->unwritten);
    kb_json_add_i64(object, "differing", o->differing);
    if (o->kept > 0) {
        kb_json_add_i64(object, "kept", o->kept);
        kb_json_add_i64(object, "touched", o->touched);
    }
    if (o->follows) {
        kb_json_add_text(object, "follows", o->follows);
        kb_json_add_i64(object, "follows_over", o->follows_over);
    }
    if (!o->exact) {
        kb_json_add_f64(object, "err_over_bound", o->err_over_bound, DIGITS);
        kb_json_add_f64(object, "limit", o->limit, DIGITS);
        kb_json_add_i64(object, "over_bound", o->over_bound);
        kb_json_add_f64(object, "ulp_max", o->ulp_max, DIGITS);
        kb_json_add_f64(object, "ulp_p99", o->ulp_p99, DIGITS);
        kb_json_add_f64(object, "ulp_p50", o->ulp_p50, DIGITS);
        kb_json_add_f64(object, "bias_ulp", o->bias_ulp, DIGITS);
        kb_json_add_f64(object, "abs_max", o->abs_max, DIGITS);
        kb_json_add_f64(object, "rel_max", o->rel_max, DIGITS);
        kb_json_add_f64(object, "nmse", o->nmse, DIGITS);
        kb_json_add_f64(object, "want_rms", o->want_rms, DIGITS);
        kb_json_add(object, "tolerance", tolerance_item(o));
    }
    if (o->worst.index >= 0)
        kb_json_add(object, "worst", element_item(o, &o->worst));
    if (o->n_first > 0) {
        cJSON *first = kb_json_array();
        for (int i = 0; i < o->n_first; i++)
            kb_json_push(first, element_item(o, &o->first[i]));
        kb_json_add(object, "first", first);
        kb_json_add_i64(object, "first_bad", o->first_bad);
        kb_json_add_i64(object, "last_bad", o->last_bad);
    }
    if (o->local)
        kb_json_add(object, "local", kb_local_item(o->local));
    return object;
}

static void add_runs(cJSON *object, const struct kb_time *t) {
    if (t->n_runs == 0)
        return;
    cJSON *runs = kb_json_array();
    for (int i = 0; i < t->n_runs; i++)
        kb_json_push(runs, kb_json_f64_item(t->runs_ns[i], NS_DIGITS));
    kb_json_add(object, "runs_ns", runs);
}

static cJSON *time_item(const struct kb_time *t) {
    cJSON *object = kb_json_object(), *interval = kb_json_array(),
          *samples = kb_json_array();

    kb_json_add_f64(object, "median_ns", t->median_ns, NS_DIGITS);
    kb_json_push(interval, kb_json_f64_item(t->low_ns, NS_DIGITS));
    kb_json_push(interval, kb_json_f64_item(t->high_ns, NS_DIGITS));
    kb_json_add(object, "ci95_ns", interval);
    kb_json_add_f64(object, "min_ns", t->min_ns, NS_DIGITS);
    if (isfinite(t->p99_ns))
        kb_json_add_f64(object, "p99_ns", t->p99_ns, NS_DIGITS);
    kb_json_add_i64(object, "n", t->n);
    kb_json_add_text(object, "stopped", t->stopped);
    kb_json_add_text(object, "quality", kb_quality_word(t->quality));
    if (t->why)
        kb_json_add_text(object, "quality_why", t->why);
    if (t->duty > 0)
        kb_json_add_f64(object, "duty", t->duty, DIGITS);
    kb_json_add_text(object, "cache", t->cache);
    kb_json_add_i64(object, "sets", t->sets);
    kb_json_add_i64(object, "footprint_bytes", t->footprint_bytes);
    if (isfinite(t->gb_per_s))
        kb_json_add_f64(object, "gb_per_s", t->gb_per_s, DIGITS);
    if (isfinite(t->ceiling_ns)) {
        kb_json_add_text(object, "ceiling", t->ceiling_op);
        kb_json_add_f64(object, "ceiling_ns", t->ceiling_ns, NS_DIGITS);
    }
    if (isfinite(t->floor_ns))
        kb_json_add_f64(object, "floor_ns", t->floor_ns, NS_DIGITS);
    if (isfinite(t->timer_ns))
        kb_json_add_f64(object, "timer_ns", t->timer_ns, NS_DIGITS);
    if (isfinite(t->energy_uj))
        kb_json_add_f64(object, "energy_uj", t->energy_uj, DIGITS);
    if (t->sm_mhz_max > 0) {
        kb_json_add_i64(object, "sm_mhz", t->sm_mhz_max);
        kb_json_add_i64(object, "sm_mhz_min", t->sm_mhz_min);
    }
    kb_json_add(object, "throttle", comma_item(t->throttle));
    if (t->n_taken > 0) {
        kb_json_add_i64(object, "samples", t->n_taken);
        kb_json_add_i64(object, "samples_throttled", t->throttled);
    }
    for (int i = 0; i < t->n_samples; i++)
        kb_json_push(samples, kb_json_f64_item(t->samples_ns[i], NS_DIGITS));
    kb_json_add(object, "samples_ns", samples);
    add_runs(object, t);
    return object;
}

static cJSON *code_item(const struct kb_row *row) {
    const struct kb_code_info *c = &row->code;
    cJSON *object = kb_json_object();

    kb_json_add_text(object, "file", row->kernel);
    kb_json_add_text(object, "source_hash", c->source_hash);
    if (*c->code_hash)
        kb_json_add_text(object, "code_hash", c->code_hash);
    if (*c->key)
        kb_json_add_text(object, "build_key", c->key);
    kb_json_add_text(object, "arch", c->arch);
    kb_json_add(object, "grid", triple_item(row->grid));
    kb_json_add(object, "block", triple_item(row->block));
    kb_json_add_i64(object, "launches", row->n_launches);
    if (c->registers >= 0)
        kb_json_add_i64(object, "registers", c->registers);
    if (c->spill_bytes >= 0)
        kb_json_add_i64(object, "spill_bytes", c->spill_bytes);
    if (c->shared_bytes >= 0)
        kb_json_add_i64(object, "shared_bytes", c->shared_bytes);
    if (c->code_bytes >= 0)
        kb_json_add_i64(object, "code_bytes", c->code_bytes);
    if (row->occupancy.blocks_per_sm > 0) {
        kb_json_add_i64(object, "blocks_per_sm", row->occupancy.blocks_per_sm);
        kb_json_add_f64(object, "occupancy", row->occupancy.share, 4);
        kb_json_add_f64(object, "waves", row->occupancy.waves, 4);
    }
    kb_json_add_f64(object, "compile_ms", c->compile_ms, 4);
    kb_json_add_f64(object, "load_ms", c->load_ms, 4);
    kb_json_add_bool(object, "cached", c->cached);
    return object;
}

static cJSON *numbers_item(const int64_t *numbers, int n) {
    cJSON *array = kb_json_array();

    for (int i = 0; i < n; i++)
        kb_json_push(array, kb_json_i64_item(numbers[i]));
    return array;
}

/* What left the same bits as the first run. */
static void add_tried(const struct kb_row *row, cJSON *object) {
    if (row->repeats > 0)
        kb_json_add_i64(object, "repeats", row->repeats);
    if (row->n_shifts > 0)
        kb_json_add(object, "shifts", numbers_item(row->shifts, row->n_shifts));
    if (row->late_producer)
        kb_json_add_bool(object, "late_producer", true);
    if (row->other_inputs)
        kb_json_add_bool(object, "other_inputs", true);
    if (row->n_batch > 0)
        kb_json_add(object, "batch", numbers_item(row->batch, row->n_batch));
}

static cJSON *impostors_item(const struct kb_impostors *i) {
    cJSON *object = kb_json_object();

    kb_json_add_i64(object, "tried", i->tried);
    kb_json_add_i64(object, "left_out", i->left_out);
    kb_json_add(object, "let_through", list_item(&i->let_through));
    return object;
}

static void add_checked(const struct kb_row *row, cJSON *object) {
    cJSON *outputs = kb_json_object(), *memory = kb_json_object();

    for (int i = 0; i < row->n_outputs; i++)
        kb_json_add(outputs, row->outputs[i].name, output_item(&row->outputs[i]));
    kb_json_add(object, "outputs", outputs);
    kb_json_add_i64(memory, "unwritten", row->unwritten);
    kb_json_add_i64(memory, "out_of_bounds", row->out_of_bounds);
    kb_json_add_i64(memory, "inputs_changed", row->inputs_changed);
    kb_json_add(object, "memory", memory);
    if (row->proved)
        kb_json_add(object, "impostors", impostors_item(&row->impostors));
    kb_json_add_i64(object, "runs_same_bits", row->orders);
    add_tried(row, object);
}

static void add_times(const struct kb_row *row, cJSON *object) {
    cJSON *times = NULL;

    for (int m = 0; m < KB_METHOD_COUNT; m++) {
        if (!row->times[m].there)
            continue;
        times = times ? times : kb_json_object();
        kb_json_add(times, kb_method_word((enum kb_method)m), time_item(&row->times[m]));
    }
    if (times)
        kb_json_add(object, "times", times);
}

static void add_head(const struct kb_row *row, cJSON *object) {
    kb_json_add_text(object, "case", row->case_id);
    kb_json_add_text(object, "device", row->device);
    kb_json_add_text(object, "backend", row->backend);
    kb_json_add_text(object, "build", row->build);
    kb_json_add_text(object, "variant", row->variant);
    kb_json_add_text(object, "kernel", row->kernel);
    kb_json_add_text(object, "op", row->op);
    kb_json_add(object, "shape", shape_item(row->shape, row->rank));
    kb_json_add_text(object, "dtype", kb_dtype_name(row->dtype));
    kb_json_add(object, "set", pairs_item(&row->set));
    kb_json_add_text(object, "fill", row->fill);
    kb_json_add(object, "axes", pairs_item(&row->axes));
    if (row->seed <= (UINT64_C(1) << 53))
        kb_json_add_i64(object, "seed", (int64_t)row->seed);
    else {
        struct kb_buf text = {0};
        kb_buf_printf(&text, "%llu", (unsigned long long)row->seed);
        kb_json_add_text(object, "seed", text.data);
        kb_buf_free(&text);
    }
    if (row->load)
        kb_json_add_text(object, "load", row->load);
    if (row->sample_rows)
        kb_json_add_i64(object, "sample_rows", row->sample_rows);
    kb_json_add(object, "tags", comma_item(row->tags));
    kb_json_add_text(object, "origin", row->origin);
    kb_json_add(object, "flags", list_item(&row->flags));
    kb_json_add_text(object, "verdict", kb_verdict_word(kb_reason_verdict(row->reason)));
    kb_json_add_text(object, "reason", row->text);
    if (row->reason != KB_R_NONE)
        kb_json_add_text(object, "reason_kind", kb_reason_word(row->reason));
    if (row->warning)
        kb_json_add_text(object, "warning", row->warning);
}

void kb_row_print(const struct kb_row *row, struct kb_buf *out) {
    cJSON *object = kb_json_object(), *ms = kb_json_object();

    add_head(row, object);
    if (row->checked)
        add_checked(row, object);
    kb_json_add_i64(object, "bytes", row->bytes);
    kb_json_add_i64(object, "flops", row->flops);
    if (row->limited_by)
        kb_json_add_text(object, "limited_by", row->limited_by);
    add_times(row, object);
    if (row->built)
        kb_json_add(object, "code", code_item(row));
    kb_json_add_f64(ms, "total", row->ms_total, 4);
    kb_json_add_f64(ms, "build", row->ms_build, 4);
    kb_json_add_f64(ms, "check", row->ms_check, 4);
    kb_json_add_f64(ms, "time", row->ms_time, 4);
    kb_json_add(object, "spent_ms", ms);
    if (row->against)
        kb_json_add(object, "against", kb_against_item(row->against));
    if (row->smallest)
        kb_json_add(object, "smallest", kb_smallest_item(row->smallest));
    kb_json_add_text(object, "repeat", row->repeat);
    kb_json_print(object, out);
    cJSON_Delete(object);
}
