/* join_times.c - the times of one row in several runs, as one. */
#include "report/join.h"

#include <math.h>
#include <string.h>

enum { DIGITS = 8 };

static double number_at(const cJSON *object, const char *name) {
    const cJSON *item = kb_json_get(object, name);
    return cJSON_IsNumber(item) ? item->valuedouble : NAN;
}

static double median_of(const double *values, int n) {
    double sorted[KB_MAX_RUNS];
    if (n == 0)
        return NAN;
    memcpy(sorted, values, (size_t)n * sizeof *sorted);
    return kb_middle_of(sorted, n);
}

static void put(cJSON *time, const char *name, double value) {
    if (isfinite(value))
        kb_json_add_f64(time, name, value, DIGITS);
}

static void put_list(cJSON *time, const char *name, const double *values, int n) {
    cJSON *array = kb_json_array();
    for (int i = 0; i < n; i++)
        kb_json_push(array, kb_json_f64_item(values[i], DIGITS));
    kb_json_add(time, name, array);
}

int kb_join_samples(const double *const *samples, const int *counts, int n, double *out) {
    int total = 0;
    for (int r = 0; r < n; r++) {
        int have = counts[r], take = KB_BLOCK_MEDIANS / n;
        take = take < have ? take : have;
        for (int i = 0; i < take; i++)
            out[total++] = samples[r][i * have / take];
    }
    return total;
}

static int samples_of(const struct kb_timing *const *times, int n, double *out) {
    const double *samples[KB_MAX_RUNS];
    int counts[KB_MAX_RUNS];
    for (int r = 0; r < n; r++) {
        samples[r] = times[r]->samples_ns;
        counts[r] = times[r]->n_samples;
    }
    return kb_join_samples(samples, counts, n, out);
}

/* The run whose quality is the joined time's: the worst. */
static int worst_of(const struct kb_timing *const *times, int n) {
    /* From the least harm to the most. */
    static const int order[] = {[KB_Q_OK] = 0,
                                [KB_Q_NOISY] = 1,
                                [KB_Q_THROTTLED] = 2,
                                [KB_Q_CONTENDED] = 3,
                                [KB_Q_SUSPECT] = 4};
    int worst = 0;
    for (int r = 1; r < n; r++)
        if (order[times[r]->quality] > order[times[worst]->quality])
            worst = r;
    return worst;
}

static const char *text_at(const cJSON *object, const char *name) {
    const char *text = cJSON_GetStringValue(kb_json_get(object, name));
    return text ? text : "";
}

/* That of the worst run, whose numbers of samples are in the words; a run that is joined
 * itself says so already. */
static void put_quality(cJSON *time, const cJSON *const *items,
                        const struct kb_timing *const *times, int n) {
    static const char of_one[] = "in one of the runs: ";
    int worst = worst_of(times, n);
    const char *why = text_at(items[worst], "quality_why");
    struct kb_buf text = {0};
    kb_json_add_text(time, "quality", kb_quality_word(times[worst]->quality));
    cJSON_DeleteItemFromObjectCaseSensitive(time, "quality_why");
    if (!*why)
        return;
    kb_buf_printf(&text, "%s%s", n > 1 && !kb_starts_with(why, of_one) ? of_one : "", why);
    kb_json_add_text(time, "quality_why", kb_buf_text(&text));
    kb_buf_free(&text);
}

/* Why one of them was not precise; "precision" where all were. */
static void put_stopped(cJSON *time, const cJSON *const *items, int n) {
    for (int r = 0; r < n; r++) {
        const char *stopped = text_at(items[r], "stopped");
        if (*stopped && !kb_streq(stopped, "precision")) {
            kb_json_add_text(time, "stopped", stopped);
            return;
        }
    }
}

/* Of all of them together; older reports do not have it. */
static void put_sum(cJSON *time, const cJSON *const *items, int n, const char *name) {
    int64_t sum = 0, value;
    bool all = true;
    for (int r = 0; r < n && all; r++) {
        all = kb_json_i64(kb_json_get(items[r], name), &value);
        sum += all ? value : 0;
    }
    if (all)
        kb_json_add_i64(time, name, sum);
    else
        cJSON_DeleteItemFromObjectCaseSensitive(time, name);
}

static bool has_text(const cJSON *array, const char *text) {
    const cJSON *item;
    cJSON_ArrayForEach(item, array) {
        if (cJSON_IsString(item) && kb_streq(item->valuestring, text))
            return true;
    }
    return false;
}

/* Each reason that any of them had. */
static void put_throttle(cJSON *time, const cJSON *const *items, int n) {
    cJSON *all = kb_json_array();
    const cJSON *item;
    for (int r = 0; r < n; r++)
        cJSON_ArrayForEach(item, kb_json_get(items[r], "throttle")) {
            if (cJSON_IsString(item) && !has_text(all, item->valuestring))
                kb_json_push(all, kb_json_text_item(item->valuestring));
        }
    kb_json_add(time, "throttle", all);
}

static void put_middle(cJSON *time, const cJSON *const *items, int n, const char *name) {
    double values[KB_MAX_RUNS];
    int have = 0;
    for (int r = 0; r < n; r++) {
        values[have] = number_at(items[r], name);
        have += isfinite(values[have]);
    }
    put(time, name, median_of(values, have));
}

/* The least and the most of a member over the runs; NAN: none has it. */
static void range_of(const cJSON *const *items, int n, const char *name, double *least,
                     double *most) {
    *least = *most = NAN;
    for (int r = 0; r < n; r++) {
        double value = number_at(items[r], name);
        *least = fmin(*least, value);
        *most = fmax(*most, value);
    }
}

static void put_extremes(cJSON *time, const cJSON *const *items, int n) {
    double least, most, least_min, most_min;
    range_of(items, n, "min_ns", &least, &most);
    put(time, "min_ns", least);
    range_of(items, n, "p99_ns", &least, &most);
    put(time, "p99_ns", most);
    range_of(items, n, "sm_mhz", &least, &most);
    range_of(items, n, "sm_mhz_min", &least_min, &most_min);
    put(time, "sm_mhz", most);
    put(time, "sm_mhz_min", least_min);
}

static void put_medians(cJSON *time, const struct kb_timing *const *times, int n,
                        const double *runs, int n_runs, double bytes) {
    double low = NAN, high = NAN, ends[2], ceilings[KB_MAX_RUNS];
    int64_t launches = 0;
    int n_ceilings = 0;
    for (int r = 0; r < n; r++) {
        low = fmin(low, times[r]->low_ns);
        high = fmax(high, times[r]->high_ns);
        launches += times[r]->n;
        if (times[r]->ceiling_ns > 0)
            ceilings[n_ceilings++] = times[r]->ceiling_ns;
    }
    double median = median_of(runs, n_runs);
    put(time, "median_ns", median);
    ends[0] = low;
    ends[1] = high;
    put_list(time, "ci95_ns", ends, 2);
    kb_json_add_i64(time, "n", launches);
    put(time, "ceiling_ns", median_of(ceilings, n_ceilings));
    if (kb_json_get(time, "gb_per_s") && bytes > 0)
        kb_json_add_f64(time, "gb_per_s", bytes / median, 6);
}

bool kb_join_times(cJSON *time, const cJSON *const *items,
                   const struct kb_timing *const *times, int n, double bytes,
                   struct kb_err *err) {
    double runs[KB_MAX_RUNS], samples[KB_BLOCK_MEDIANS];
    int n_runs = 0;
    for (int r = 0; r < n; r++) {
        if (times[r]->duty != times[0]->duty)
            return kb_fail(err, KB_UNSUPPORTED, "timed at a duty of %.3g %% and of %.3g %%",
                           100 * times[0]->duty, 100 * times[r]->duty);
        int own = times[r]->n_runs ? times[r]->n_runs : 1;
        if (n_runs + own > KB_MAX_RUNS)
            return kb_fail(err, KB_INPUT, "more than the %d process runs that a row holds",
                           KB_MAX_RUNS);
        for (int i = 0; i < own; i++)
            runs[n_runs++] = times[r]->n_runs ? times[r]->runs_ns[i] : times[r]->median_ns;
    }
    put_medians(time, times, n, runs, n_runs, bytes);
    put_extremes(time, items, n);
    put_quality(time, items, times, n);
    put_stopped(time, items, n);
    put_sum(time, items, n, "samples");
    put_sum(time, items, n, "samples_throttled");
    put_throttle(time, items, n);
    put_middle(time, items, n, "floor_ns");
    put_middle(time, items, n, "timer_ns");
    put_middle(time, items, n, "energy_uj");
    put_list(time, "samples_ns", samples, samples_of(times, n, samples));
    put_list(time, "runs_ns", runs, n_runs);
    return true;
}
