/* baseline.c - a run held against a baseline: what looks slower is measured again before it
 * is, and at the end all of it is gated. */
#include "cli/baseline.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MORE_RUNS = 2 };

/* ---- the baseline ----------------------------------------------------------------------
 */

static int by_case(const void *a, const void *b) {
    return strcmp((*(const struct kb_entry *const *)a)->case_id,
                  (*(const struct kb_entry *const *)b)->case_id);
}

bool kb_baseline_open(const struct kb_options *options, struct kb_baseline *baseline,
                      struct kb_err *err) {
    if (!options->baseline)
        return true;
    if (!kb_loaded_read(options->baseline, &baseline->base, err))
        return false;
    struct kb_loaded *base = &baseline->base;
    baseline->there = true;
    baseline->by_case =
        kb_arena_array(&base->arena, base->n_rows + 1, sizeof *baseline->by_case);
    for (size_t i = 0; i < base->n_rows; i++)
        baseline->by_case[i] = &base->rows[i];
    qsort(baseline->by_case, base->n_rows, sizeof *baseline->by_case, by_case);
    return true;
}

void kb_baseline_free(struct kb_baseline *baseline) {
    if (baseline->there)
        kb_loaded_free(&baseline->base);
    *baseline = (struct kb_baseline){0};
}

static bool is_of(const struct kb_baseline *baseline, const struct kb_entry *entry,
                  const struct kb_device_info *device, const struct kb_row *row) {
    const struct kb_machine *m = kb_loaded_machine(&baseline->base, entry);
    return kb_streq(entry->case_id, row->case_id) && kb_streq(entry->build, row->build) &&
           row->variant && kb_streq(entry->variant, row->variant) && row->kernel &&
           kb_streq(entry->kernel, row->kernel) && m && kb_streq(m->name, device->name);
}

/* The row's like in the baseline, or NULL. */
static const struct kb_entry *like_of(const struct kb_baseline *baseline,
                                      const struct kb_device_info *device,
                                      const struct kb_row *row) {
    size_t low = 0, high = baseline->base.n_rows;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (strcmp(baseline->by_case[middle]->case_id, row->case_id) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    for (; low < baseline->base.n_rows &&
           kb_streq(baseline->by_case[low]->case_id, row->case_id);
         low++)
        if (is_of(baseline, baseline->by_case[low], device, row))
            return baseline->by_case[low];
    return NULL;
}

/* ---- again -----------------------------------------------------------------------------
 */

/* By the method that the gate will take: the first that was asked for, or of both. */
static bool is_suspicious(const struct kb_options *options, const struct kb_entry *like,
                          const struct kb_row *row) {
    double bad;
    for (int m = 0; m < KB_METHOD_COUNT; m++) {
        enum kb_method method =
            options->n_methods ? options->methods[0] : (enum kb_method)m;
        const struct kb_timing *t = kb_entry_time(like, method);
        if (!row->times[method].there || !t)
            continue;
        return kb_timing_is_valid(t, &bad) &&
               kb_is_past(t->median_ns, row->times[method].median_ns,
                          options->limits.slowdown);
    }
    return false;
}

/* `into` is none of the runs. */
static void join_samples(struct kb_time *into, const struct kb_time *const *runs, int n) {
    const double *samples[1 + MORE_RUNS];
    int counts[1 + MORE_RUNS];
    for (int r = 0; r < n; r++) {
        samples[r] = runs[r]->samples_ns;
        counts[r] = runs[r]->n_samples;
    }
    into->n_samples = kb_join_samples(samples, counts, n, into->samples_ns);
}

static void join_throttles(struct kb_time *into, const struct kb_time *const *runs, int n,
                           struct kb_arena *arena) {
    struct kb_strings told = {0}, reasons = {0};
    struct kb_buf text = {0};
    for (int r = 0; r < n; r++)
        if (runs[r]->throttle)
            kb_split(arena, runs[r]->throttle, ',', &told);
    for (size_t i = 0; i < told.count; i++) {
        if (!*told.items[i] || kb_strings_has(&reasons, told.items[i]))
            continue;
        kb_strings_add(&reasons, arena, told.items[i]);
        kb_buf_printf(&text, "%s%s", text.len ? "," : "", told.items[i]);
    }
    into->throttle = kb_arena_strdup(arena, kb_buf_text(&text));
    kb_buf_free(&text);
}

/* What was seen while any of them was timed. */
static void join_clocks(struct kb_time *into, const struct kb_time *const *runs, int n,
                        struct kb_arena *arena) {
    into->n_taken = into->throttled = 0;
    for (int r = 0; r < n; r++) {
        const struct kb_time *t = runs[r];
        into->n_taken += t->n_taken;
        into->throttled += t->throttled;
        if (t->sm_mhz_max <= 0)
            continue;
        if (into->sm_mhz_max <= 0 || t->sm_mhz_min < into->sm_mhz_min)
            into->sm_mhz_min = t->sm_mhz_min;
        if (t->sm_mhz_max > into->sm_mhz_max)
            into->sm_mhz_max = t->sm_mhz_max;
    }
    join_throttles(into, runs, n, arena);
}

/* What is said of the run that is nearest to the median of all: one that was disturbed and
 * lies off has no part in it, but is named. A time that cannot be true stays one. */
static void join_quality(struct kb_time *into, const struct kb_time *const *runs, int n,
                         struct kb_arena *arena) {
    const struct kb_time *of = runs[0], *off = NULL;
    for (int r = 1; r < n; r++)
        if (fabs(runs[r]->median_ns - into->median_ns) <
            fabs(of->median_ns - into->median_ns))
            of = runs[r];
    for (int r = 0; r < n; r++)
        if (runs[r]->quality == KB_Q_SUSPECT)
            of = runs[r];
    for (int r = 0; r < n; r++)
        if (runs[r] != of && runs[r]->quality > KB_Q_NOISY)
            off = runs[r];
    into->quality = of->quality;
    into->why = of->why;
    into->stopped = of->stopped;
    if (off)
        into->why = kb_arena_printf(arena, "%s%sanother of the %d runs was %s",
                                    of->why ? of->why : "", of->why ? "; " : "", n,
                                    kb_quality_word(off->quality));
}

/* `into` is the first of the runs. */
static void join_times(struct kb_time *into, const struct kb_time *const *runs, int n,
                       struct kb_arena *arena) {
    double medians[1 + MORE_RUNS];
    struct kb_time first = *into;
    const struct kb_time *all[1 + MORE_RUNS] = {&first};
    for (int r = 0; r < n; r++) {
        all[r] = r ? runs[r] : &first;
        medians[r] = into->runs_ns[r] = all[r]->median_ns;
        into->low_ns = fmin(into->low_ns, all[r]->low_ns);
        into->high_ns = fmax(into->high_ns, all[r]->high_ns);
        into->min_ns = fmin(into->min_ns, all[r]->min_ns);
        into->p99_ns = fmax(into->p99_ns, all[r]->p99_ns);
        into->n += r ? all[r]->n : 0;
    }
    into->n_runs = n;
    into->median_ns = kb_middle_of(medians, n);
    into->ceiling = into->ceiling_ns / into->median_ns;
    into->gb_per_s = first.gb_per_s * first.median_ns / into->median_ns;
    join_samples(into, all, n);
    join_clocks(into, all, n, arena);
    join_quality(into, all, n, arena);
}

bool kb_baseline_look(struct kb_baseline *baseline, const struct kb_options *options,
                      const struct kb_device_info *device, const struct kb_job *job,
                      const struct kb_again *again, struct kb_arena *arena,
                      struct kb_row *row) {
    struct kb_row *more = kb_arena_array(arena, MORE_RUNS, sizeof *more);
    const struct kb_entry *like =
        baseline->there && row->reason == KB_R_NONE ? like_of(baseline, device, row) : NULL;
    int n = 0;
    if (!like || !is_suspicious(options, like, row))
        return false;
    for (int i = 0; i < MORE_RUNS; i++) {
        if (!again->run(again->context, job, arena, &more[n]))
            break; /* one run is what there is, then */
        if (kb_row_is_repeated(&more[n])) {
            *row = more[n];
            return true;
        }
        n += more[n].reason == KB_R_NONE;
    }
    baseline->again++;
    for (int m = 0; m < KB_METHOD_COUNT; m++) {
        const struct kb_time *runs[1 + MORE_RUNS];
        int got = 1;
        for (int i = 0; i < n; i++)
            if (more[i].times[m].there)
                runs[got++] = &more[i].times[m];
        if (row->times[m].there && got > 1)
            join_times(&row->times[m], runs, got, arena);
    }
    return true;
}

/* ---- the gate --------------------------------------------------------------------------
 */

/* Without patterns everything matches. */
static bool is_in(const struct kb_strings *list, const char *text, bool glob) {
    for (size_t i = 0; i < list->count; i++)
        if (glob ? kb_glob(list->items[i], text) : kb_streq(list->items[i], text))
            return true;
    return list->count == 0;
}

static bool has_tag(const struct kb_strings *wanted, const struct kb_strings *tags) {
    for (size_t i = 0; i < wanted->count; i++)
        if (kb_strings_has(tags, wanted->items[i]))
            return true;
    return wanted->count == 0;
}

static const char *name_of(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* "cases/silu.json:12" is of cases/silu.json, and of every folder. */
static bool is_of_files(const struct kb_strings *files, const char *origin) {
    for (size_t i = 0; i < files->count; i++) {
        const char *name = name_of(files->items[i]), *own = name_of(origin);
        size_t len = strlen(name);
        if (!kb_ends_with(name, ".json") ||
            (strncmp(own, name, len) == 0 && (own[len] == ':' || !own[len])))
            return true;
    }
    return files->count == 0;
}

/* "fast=-O3" is the build fast. */
static bool is_built(const struct kb_strings *builds, const char *name) {
    size_t len = strlen(name);
    for (size_t i = 0; i < builds->count; i++)
        if (kb_starts_with(builds->items[i], name) &&
            (builds->items[i][len] == '=' || !builds->items[i][len]))
            return true;
    return builds->count == 0 && kb_streq(name, "precise");
}

static bool is_dtype(const struct kb_strings *dtypes, const char *name) {
    enum kb_dtype own, asked;
    for (size_t i = 0; i < dtypes->count; i++)
        if (kb_dtype_parse(dtypes->items[i], &asked) && kb_dtype_parse(name, &own) &&
            own == asked)
            return true;
    return dtypes->count == 0;
}

/* Whether a row of the baseline is among those that this run asked for. */
static bool is_asked_for(const void *context, const struct kb_entry *entry) {
    const struct kb_options *o = context;
    const struct kb_query *q = &o->query;
    if (q->fuzz || q->shapes.count || q->set.count || o->rerun || o->defines.count)
        return false; /* cases of its own: nothing of the baseline was promised */
    return is_in(&q->ids, entry->case_id, false) && is_in(&q->ops, entry->op, false) &&
           is_dtype(&q->dtypes, entry->dtype) &&
           (kb_strings_has(&q->fills, "all") || is_in(&q->fills, entry->fill, false)) &&
           is_in(&q->match, entry->case_id, true) && has_tag(&q->tags, &entry->tags) &&
           is_of_files(&q->files, entry->origin) && is_built(&o->builds, entry->build) &&
           (kb_strings_has(&o->variants, "all") ||
            is_in(&o->variants, entry->variant, false)) &&
           (o->devices.count == 0 || kb_strings_has(&o->devices, "all") ||
            kb_strings_has(&o->devices, entry->device));
}

bool kb_baseline_gate(const struct kb_baseline *baseline, const struct kb_options *options,
                      struct kb_rows *rows, const struct kb_look *look,
                      struct kb_gated *out, struct kb_err *err) {
    struct kb_arena arena = {0};
    struct kb_loaded fresh;
    struct kb_gate gate;
    if (!kb_loaded_of_rows(rows, "this run", &fresh, err))
        return false;
    kb_gate_make(&baseline->base, &fresh, &options->limits, options->methods,
                 options->n_methods, is_asked_for, options, &arena, &gate);
    out->status = kb_gate_status(&gate);
    kb_gate_print(&gate, look, options->all, &out->screen);
    if (baseline->again)
        kb_buf_printf(&out->screen,
                      "%d row%s looked slower and %s measured again, in new "
                      "processes\n",
                      baseline->again, baseline->again == 1 ? "" : "s",
                      baseline->again == 1 ? "was" : "were");
    kb_gate_words(&gate, &out->why);
    bool any_wrong = gate.count[KB_GATE_WRONG] || gate.count[KB_GATE_MISTRUSTED];
    kb_github_of_gate(&gate, any_wrong ? KB_GITHUB_ANNOTATIONS / 2 : KB_GITHUB_ANNOTATIONS,
                      true, &out->github);
    kb_loaded_free(&fresh);
    kb_arena_free(&arena);
    return true;
}
