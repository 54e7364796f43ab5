/* selftest.c - the probes of kbench selftest: cases of ops stream and mma, run like any
 * other, and pairs of the same build. */
#include "selftest.h"

#include <math.h>
#include <string.h>
#include <time.h>

enum { ROUND_TO = 1024, MMA_STEPS = 1024, MOST_PAIRS = 40, BLOCK_ELEMENTS = 2048 };

const char *const kb_selftest_patterns[KB_ST_PATTERNS] = {"copy", "r2w1", "r2w05", "read",
                                                          "write"};
const int kb_selftest_mib[KB_ST_SIZES] = {8, 16, 32, 64, 128, 256, 512};
const char *const kb_selftest_dtypes[KB_ST_DTYPES] = {"bf16", "fp16", "e4m3"};
static const int grids_per_sm[KB_ST_GRIDS] = {1, 8};
/* Of a kernel as short as kernels are (83x1024 of an activation) and longer ones. Filling
 * and checking 600 MB takes longer than to time it. */
static const struct {
    double ns;
    int pairs;
} kernels[KB_ST_KERNELS] = {{1e3, 40}, {5e3, 30}, {25e3, 20}, {150e3, 10}};
static const char shortest[] = "stream/84992/bf16";

struct run {
    const struct kb_selftest_how *how;
    struct kb_arena *arena; /* the caller's */
    struct kb_arena rows;   /* of one case */
    struct kb_selftest *out;
    struct kb_err *err;
};

/* ---- a case ---------------------------------------------------------------------------
 */

static struct kb_job job_of(const struct run *r, const char *case_id, unsigned methods) {
    return (struct kb_job){
        .case_id = case_id,
        .tags = "",
        .origin = "",
        .build = "precise",
        .mode = KB_BENCH,
        .seed = r->how->seed,
        .methods = methods,
        .precision = r->how->precision,
        .max_time_s = r->how->max_time_s,
        .time_failing = r->how->time_failing,
        .one_run = true,
        .repeat_options = "",
    };
}

static void note(struct run *r, const char *text) {
    if (!kb_strings_has(&r->out->notes, text))
        kb_strings_add(&r->out->notes, r->arena, kb_arena_strdup(r->arena, text));
}

static void note_row(struct run *r, const struct kb_row *row) {
    struct kb_buf text = {0};
    const struct kb_time *t = &row->times[KB_GRAPH];

    r->out->status = kb_status_worse(r->out->status, kb_reason_status(row->reason));
    if (row->reason != KB_R_NONE)
        kb_buf_printf(&text, "%s: %s: %s", row->case_id,
                      kb_verdict_word(kb_reason_verdict(row->reason)),
                      row->text ? row->text : kb_reason_word(row->reason));
    else if (t->there && t->quality != KB_Q_OK)
        kb_buf_printf(&text, "%s: %s: %s", row->case_id, kb_quality_word(t->quality),
                      t->why ? t->why : "not as precise as was asked");
    else if (row->warning)
        kb_buf_printf(&text, "%s: %s", row->case_id, row->warning);
    if (text.len)
        note(r, text.data);
    kb_buf_free(&text);
}

/* One case by itself; *row lives until the next one is run. */
static bool run_one(struct run *r, const char *case_id, unsigned methods,
                    struct kb_row *row) {
    struct kb_job job = job_of(r, case_id, methods);

    kb_arena_reset(&r->rows);
    r->how->tell(r->how->context, case_id);
    if (!r->how->run(r->how->context, &job, 1, &r->rows, row, r->err))
        return false;
    note_row(r, row);
    return true;
}

static double median_of(const struct kb_row *row) {
    const struct kb_time *t = &row->times[KB_GRAPH];

    return t->there && t->median_ns > 0 ? t->median_ns : (double)NAN;
}

/* Of `n` elements of two bytes. */
static const char *stream_id(struct run *r, const char *pattern, int64_t n) {
    if (kb_streq(pattern, "r2w1")) /* the op's default, which ids leave out */
        return kb_arena_printf(r->arena, "stream/%lld/bf16", (long long)n);
    return kb_arena_printf(r->arena, "stream/%lld/bf16/pattern=%s", (long long)n, pattern);
}

/* ---- probes ---------------------------------------------------------------------------
 */

static bool probe_floors(struct run *r) {
    struct kb_row row;

    if (!run_one(r, shortest, (1u << KB_METHOD_COUNT) - 1, &row))
        return false;
    for (int m = 0; m < KB_METHOD_COUNT; m++) {
        if (!row.times[m].there)
            continue;
        r->out->floors[m].null_ns = row.times[m].floor_ns;
        r->out->floors[m].timer_ns = row.times[m].timer_ns;
    }
    return true;
}

static bool probe_grids(struct run *r) {
    struct kb_row row;

    for (int g = 0; g < KB_ST_GRIDS; g++) {
        int64_t blocks = r->out->device->limits.sm_count * grids_per_sm[g];
        r->out->grids[g].blocks = blocks;
        if (!run_one(r, stream_id(r, "none", blocks * BLOCK_ELEMENTS),
                     (1u << KB_METHOD_COUNT) - 1, &row))
            return false;
        for (int m = 0; m < KB_METHOD_COUNT; m++)
            if (row.times[m].there)
                r->out->grids[g].ns[m] = row.times[m].median_ns;
    }
    return true;
}

static bool probe_streams(struct run *r) {
    struct kb_row row;

    for (int p = 0; p < KB_ST_PATTERNS; p++) {
        for (int s = 0; s < KB_ST_SIZES; s++) {
            int64_t n = kb_selftest_mib[s] * INT64_C(1048576) / 2;
            if (!run_one(r, stream_id(r, kb_selftest_patterns[p], n), 1u << KB_GRAPH, &row))
                return false;
            r->out->gb_per_s[p][s] = (double)row.bytes / median_of(&row);
        }
    }
    return true;
}

static bool probe_mma(struct run *r) {
    struct kb_row row;

    for (int d = 0; d < KB_ST_DTYPES; d++) {
        const char *id = kb_arena_printf(r->arena, "mma/%lldx%d/%s",
                                         (long long)r->out->device->limits.sm_count,
                                         MMA_STEPS, kb_selftest_dtypes[d]);
        if (!run_one(r, id, 1u << KB_GRAPH, &row))
            return false;
        r->out->tflop_per_s[d] = (double)row.flops / median_of(&row) / 1e3;
    }
    return true;
}

/* ---- pairs ----------------------------------------------------------------------------
 */

/* Of the largest size that was measured; NAN: of none. */
static double rate_of(const struct kb_selftest *t, int pattern) {
    double rate = NAN;

    for (int s = 0; s < KB_ST_SIZES; s++)
        if (isfinite(t->gb_per_s[pattern][s]))
            rate = t->gb_per_s[pattern][s];
    return rate;
}

static struct kb_speed_rule rule_of_run(void) {
    struct kb_speed_rule rule = kb_speed_rule_for(0);

    rule.level /= KB_SPEED_LOOKS;
    return rule;
}

struct pairs { /* that were timed */
    int n;
    struct kb_speed speeds[MOST_PAIRS];
    double smallest[MOST_PAIRS], median_ns[MOST_PAIRS];
};

/* The same build under two names: what is loaded is loaded twice. */
static bool run_pair(struct run *r, const char *case_id, int pair, struct pairs *p) {
    struct kb_row rows[2];
    struct kb_job jobs[2] = {job_of(r, case_id, 1u << KB_GRAPH),
                             job_of(r, case_id, 1u << KB_GRAPH)};

    for (int i = 0; i < 2; i++)
        jobs[i].seed += (uint64_t)pair; /* which comes first is drawn by it */
    jobs[1].build = "again=-DKB_AGAIN=1";
    jobs[1].trusted_flags = true;
    kb_arena_reset(&r->rows);
    if (!r->how->run(r->how->context, jobs, 2, &r->rows, rows, r->err))
        return false;
    for (int i = 0; i < 2; i++)
        note_row(r, &rows[i]);
    if (!rows[1].against || !rows[1].against->speeds[KB_GRAPH].there)
        return true;
    p->median_ns[p->n] = median_of(&rows[0]);
    p->smallest[p->n] = rows[1].against->detectable[KB_GRAPH];
    p->speeds[p->n++] = rows[1].against->speeds[KB_GRAPH];
    return true;
}

static bool probe_kernel(struct run *r, int k) {
    struct pairs p = {0};
    double bytes = rate_of(r->out, 1) * kernels[k].ns; /* 3 to an element of r2w1 */
    const struct kb_speed_rule rule = rule_of_run();
    struct kb_stats stats;

    if (k > 0 && !isfinite(bytes))
        return true;
    const char *id =
        k > 0 ? stream_id(r, "r2w1", (int64_t)(bytes / 3) / ROUND_TO * ROUND_TO) : shortest;
    r->out->kernels[k].case_id = id;
    for (int pair = 0; pair < kernels[k].pairs; pair++) {
        char *what = kb_arena_printf(&r->rows, "%s against itself, %d of %d", id, pair + 1,
                                     kernels[k].pairs);
        r->how->tell(r->how->context, what);
        if (!run_pair(r, id, pair, &p))
            return false;
        if (p.n == 0) /* it is noted why, and would be each time */
            return true;
    }
    kb_stats_of(p.median_ns, p.n, &r->rows, &stats);
    r->out->kernels[k].median_ns = stats.median;
    kb_twins_of(p.speeds, p.smallest, p.n, &rule, &r->out->kernels[k].twins);
    return true;
}

/* ---- all of it ------------------------------------------------------------------------
 */

static void nothing_known(struct kb_selftest *t) {
    for (int m = 0; m < KB_METHOD_COUNT; m++)
        t->floors[m].null_ns = t->floors[m].timer_ns = NAN;
    for (int g = 0; g < KB_ST_GRIDS; g++)
        for (int m = 0; m < KB_METHOD_COUNT; m++)
            t->grids[g].ns[m] = NAN;
    for (int p = 0; p < KB_ST_PATTERNS; p++)
        for (int s = 0; s < KB_ST_SIZES; s++)
            t->gb_per_s[p][s] = NAN;
    for (int d = 0; d < KB_ST_DTYPES; d++)
        t->tflop_per_s[d] = NAN;
    for (int k = 0; k < KB_ST_KERNELS; k++) {
        t->kernels[k].target_ns = kernels[k].ns;
        t->kernels[k].median_ns = NAN;
        t->kernels[k].twins =
            (struct kb_twins){.blocks = NAN, .noise = NAN, .smallest = NAN};
    }
}

bool kb_selftest_run(const struct kb_selftest_how *how, const struct kb_device_info *device,
                     struct kb_arena *arena, struct kb_selftest *out, struct kb_err *err) {
    struct run r = {.how = how, .arena = arena, .out = out, .err = err};

    *out = (struct kb_selftest){.device = device};
    nothing_known(out);
    bool ok = probe_floors(&r) && probe_grids(&r) && probe_streams(&r) && probe_mma(&r);
    for (int k = 0; ok && k < KB_ST_KERNELS; k++)
        ok = probe_kernel(&r, k);
    kb_arena_free(&r.rows);
    return ok;
}

bool kb_selftest_ceilings(const struct kb_selftest *t, struct kb_ceilings *out) {
    time_t now = time(NULL);
    struct tm utc;

    *out = (struct kb_ceilings){0};
    for (int p = 0; p < KB_ST_PATTERNS; p++)
        out->gb_per_s[p] = rate_of(t, p);
    memcpy(out->mma_tflop_per_s, t->tflop_per_s, sizeof out->mma_tflop_per_s);
    return t->status == 0 && isfinite(out->gb_per_s[0]) && gmtime_r(&now, &utc) &&
           strftime(out->date, sizeof out->date, "%Y-%m-%d", &utc) > 0;
}
