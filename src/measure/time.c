/* time.c - how long a plan takes by one method: warm up, sample until the median's interval
 * is narrow enough, say what the number is worth. */
#include "sampling.h"

#include <math.h>
#include <stdlib.h>

enum { FIRST_BATCH = 8, MAX_BATCH = 64 };
enum { WARM_NS = 300000000 };
/* Clocks of a device that idles stay up for some seconds (seen on an H200: for 3 s at
 * least). What is new is a timer's code, graphs and buffers, which a launch of each brings
 * up. */
enum { STAYS_WARM_NS = 1000000000, FRESH_BATCH = 2 };
/* Looking at the clocks takes 18 us on an H200: between samples it is done no more often.
 */
enum { WATCH_NS = 5000000 };
/* Samples whose launches take less in all say too little of the device's moods. */
static const double least_timed_ns = 500e3;
static const double energy_s = 1;
/* The host's time depends on what else the host does: more of it is no better. */
enum { MAX_HOST_SAMPLES = 512 };

void kb_samples_make(struct kb_samples *samples) {
    *samples = (struct kb_samples){
        .ns = malloc(KB_MAX_SAMPLES * sizeof *samples->ns),
        .held_back = calloc(KB_MAX_SAMPLES, sizeof *samples->held_back),
    };
    if (!samples->ns || !samples->held_back)
        kb_out_of_memory();
}

void kb_samples_free(struct kb_samples *samples) {
    free(samples->ns);
    free(samples->held_back);
    *samples = (struct kb_samples){0};
}

/* The asked relative half-width: kernels over 20 us repeat well enough for half a percent.
 */
double kb_precision_for(const struct kb_job *job, double median_ns) {
    if (job->precision > 0)
        return job->precision;
    return median_ns > 20e3 ? 0.005 : 0.01;
}

double kb_max_time_s(const struct kb_job *job) {
    return job->max_time_s > 0 ? job->max_time_s : 5;
}

/* Those since the last look. */
static void mark(struct kb_samples *samples, uint64_t throttle) {
    bool held_back = throttle & ~KB_THROTTLE_UNKNOWN;

    for (int64_t i = samples->marked; i < samples->n && held_back; i++)
        samples->held_back[i] = true;
    samples->n_held_back += held_back ? samples->n - samples->marked : 0;
    samples->marked = samples->n;
}

void kb_watch_clocks(struct kb_session *s, struct kb_time *out, struct kb_seen *seen) {
    struct kb_clocks clocks = {0};

    if (!s->backend->clocks || kb_now_ns() - seen->at_ns < WATCH_NS)
        return;
    seen->at_ns = kb_now_ns();
    s->backend->clocks(s->device, &clocks);
    seen->throttle |= clocks.throttle;
    mark(seen->samples, clocks.throttle);
    if (clocks.other_processes > 0) {
        seen->contended = true;
        kb_text_copy(seen->others, sizeof seen->others, clocks.others);
    }
    if (clocks.sm_mhz <= 0)
        return;
    if (out->sm_mhz_max == 0 || clocks.sm_mhz < out->sm_mhz_min)
        out->sm_mhz_min = clocks.sm_mhz;
    if (clocks.sm_mhz > out->sm_mhz_max)
        out->sm_mhz_max = clocks.sm_mhz;
}

/* What the clocks do after the last sample is none's. */
void kb_watch_last(struct kb_session *s, struct kb_time *out, struct kb_seen *seen) {
    if (seen->samples->marked == seen->samples->n)
        return;
    seen->at_ns = 0;
    kb_watch_clocks(s, out, seen);
}

/* `n` samples; a time that no kernel can take is the device's error. */
bool kb_sample(struct kb_session *s, struct kb_timer *timer, int n, double *ns,
               struct kb_err *err) {
    if (!kb_pace_sample(s, timer, n, ns, err))
        return false;
    s->busy_ns = kb_now_ns();
    for (int i = 0; i < n; i++) {
        if (!(ns[i] > 0) || !isfinite(ns[i]))
            return kb_fail(err, KB_DEVICE, "the device's timer gave %g ns for a launch",
                           ns[i]);
    }
    return true;
}

/* Until two batches in a row agree within 1 %, or for 0.3 s: clocks rise from idle. Where
 * they are up already a few launches do. */
static bool bring_up(struct kb_session *s, struct kb_timer *timer, struct kb_err *err) {
    int64_t start = kb_now_ns();
    double ns[FIRST_BATCH], last = 0;

    if (s->busy_ns && start - s->busy_ns < STAYS_WARM_NS)
        return kb_sample(s, timer, FRESH_BATCH, ns, err);
    do {
        double sum = 0;
        if (!kb_sample(s, timer, FIRST_BATCH, ns, err))
            return false;
        for (int i = 0; i < FIRST_BATCH; i++)
            sum += ns[i];
        if (last > 0 && fabs(sum - last) <= 0.01 * last)
            return true;
        last = sum;
    } while (kb_now_ns() - start < WARM_NS);
    return true;
}

bool kb_warm_up(struct kb_session *s, struct kb_timer *timer, struct kb_err *err) {
    return bring_up(s, timer, err) && kb_pace_settle(s, timer, err);
}

static double median_of(const double *ns, int64_t n) {
    struct kb_arena arena = {0};
    struct kb_stats stats;

    kb_stats_of(ns, n, &arena, &stats);
    kb_arena_free(&arena);
    return stats.median;
}

/* Why sampling may end, or NULL. The interval is one of samples that do not depend on when
 * they were taken: while the halves are further apart than it is wide they do depend, and
 * it is too narrow. */
const char *kb_sampling_reached(const struct kb_samples *all, const struct kb_stats *stats,
                                const struct kb_job *job, double tick_ns) {
    double target = kb_precision_for(job, stats->median) * stats->median;
    double wanted = fmax(target, tick_ns / 2), half = (stats->high - stats->low) / 2;
    int64_t middle = all->n / 2;

    if (all->n < KB_MIN_SAMPLES || !(half <= wanted))
        return NULL;
    double first = median_of(all->ns, middle);
    double second = median_of(all->ns + middle, all->n - middle);
    if (!(fabs(second - first) <= wanted))
        return NULL;
    return wanted <= target ? "precision" : "tick";
}

/* Up to the fewest, then half as many again as there are, but no more than the time that is
 * left allows. */
static int next_batch(int64_t n, int64_t most, double spent_s, double limit_s) {
    double left = (limit_s - spent_s) / spent_s * (double)n;
    int64_t batch = n < KB_MIN_SAMPLES ? KB_MIN_SAMPLES - n : n / 2;

    batch = batch < MAX_BATCH ? batch : MAX_BATCH;
    if (left < (double)batch)
        batch = left > 1 ? (int64_t)left : 1;
    return (int)(n + batch > most ? most - n : batch);
}

/* Sample until precise, or say why not. */
static bool collect(struct kb_session *s, const struct kb_job *job, struct kb_timer *timer,
                    const struct kb_timer_facts *facts, struct kb_samples *all,
                    struct kb_time *out, struct kb_seen *seen, struct kb_err *err) {
    double limit_s = kb_max_time_s(job);
    int most = kb_streq(facts->cache, "none") ? MAX_HOST_SAMPLES : KB_MAX_SAMPLES;
    int64_t start = kb_now_ns();
    struct kb_arena arena = {0};
    struct kb_stats stats;
    int batch = FIRST_BATCH;

    do {
        batch = batch < kb_pace_most(s) ? batch : kb_pace_most(s);
        if (!kb_sample(s, timer, batch, all->ns + all->n, err)) {
            kb_arena_free(&arena);
            return false;
        }
        all->n += batch;
        kb_watch_clocks(s, out, seen);
        kb_stats_of(all->ns, all->n, &arena, &stats);
        kb_arena_reset(&arena);
        double spent_s = (double)(kb_now_ns() - start) / 1e9;
        double timed_ns = stats.median * (double)(all->n * facts->launches_per_sample);
        out->stopped = timed_ns < least_timed_ns
                           ? NULL
                           : kb_sampling_reached(all, &stats, job, facts->tick_ns);
        if (!out->stopped && all->n >= most)
            out->stopped = "samples";
        if (!out->stopped && spent_s > limit_s)
            out->stopped = "time";
        batch = next_batch(all->n, most, spent_s, limit_s);
    } while (!out->stopped);
    kb_watch_last(s, out, seen);
    kb_arena_free(&arena);
    out->median_ns = stats.median;
    out->low_ns = stats.low;
    out->high_ns = stats.high;
    out->min_ns = stats.min;
    out->p99_ns = stats.p99;
    return true;
}

/* At most 64 medians of neighbours in time: what a report keeps of the samples. */
static void keep_blocks(const struct kb_samples *all, struct kb_time *out) {
    int64_t blocks = all->n < KB_BLOCK_MEDIANS ? all->n : KB_BLOCK_MEDIANS;

    for (int64_t b = 0; b < blocks; b++) {
        int64_t from = all->n * b / blocks, to = all->n * (b + 1) / blocks;
        out->samples_ns[out->n_samples++] = median_of(all->ns + from, to - from);
    }
}

void kb_time_worsen(struct kb_time *time, enum kb_quality quality, const char *why,
                    struct kb_arena *arena) {
    time->quality = quality;
    time->why = time->why ? kb_arena_printf(arena, "%s; %s", why, time->why) : why;
}

/* What is to be known of a time before its number is believed, the worst last. */
static void judge_quality(const struct kb_samples *all, const struct kb_seen *seen,
                          struct kb_arena *arena, struct kb_time *out) {
    out->quality = kb_streq(out->stopped, "precision") ? KB_Q_OK : KB_Q_NOISY;
    if (out->duty > 0)
        out->why =
            kb_arena_printf(arena, "busy for at most %.3g %% of the time", 100 * out->duty);
    if (all->n_held_back)
        kb_time_worsen(out, KB_Q_THROTTLED,
                       kb_arena_printf(arena,
                                       "clocks held back (%s) for %lld of %lld samples, "
                                       "which count",
                                       out->throttle, (long long)all->n_held_back,
                                       (long long)all->n),
                       arena);
    if (seen->contended)
        kb_time_worsen(
            out, KB_Q_CONTENDED,
            kb_arena_printf(arena, "somebody else computes on this GPU: %s", seen->others),
            arena);
    /* The interval, not the median alone: an empty kernel's time is a measured one, too.
     * The host's has no floor: it depends on what else the host does. */
    if (out->high_ns < out->floor_ns && !kb_streq(out->cache, "none"))
        kb_time_worsen(out, KB_Q_SUSPECT,
                       kb_arena_printf(arena, "an empty kernel takes longer: %.3g us",
                                       out->floor_ns / 1e3),
                       arena);
}

void kb_time_describe(const struct kb_samples *all, const struct kb_timer_facts *facts,
                      const struct kb_seen *seen, struct kb_arena *arena,
                      struct kb_time *out) {
    struct kb_buf words = {0};

    out->there = true;
    out->n = all->n * facts->launches_per_sample;
    out->n_taken = all->n;
    out->throttled = all->n_held_back;
    out->sets = facts->sets;
    out->footprint_bytes = facts->footprint_bytes;
    out->cache = facts->cache;
    out->timer_ns = facts->timer_ns;
    /* No interval is narrower than the timer's tick. */
    out->low_ns = fmin(out->low_ns, out->median_ns - facts->tick_ns / 2);
    out->high_ns = fmax(out->high_ns, out->median_ns + facts->tick_ns / 2);
    kb_throttle_words(seen->throttle, &words);
    out->throttle = kb_arena_strdup(arena, kb_buf_text(&words));
    kb_buf_free(&words);
    judge_quality(all, seen, arena, out);
    keep_blocks(all, out);
}

/* The set that is looked at after timing: one that a kernel cannot guess. */
int kb_any_set(const struct kb_job *job, enum kb_method method, int sets) {
    uint32_t random[4];

    kb_philox(job->seed, (uint64_t)method, (uint64_t)sets, random);
    return sets > 0 ? (int)(random[0] % (uint32_t)sets) : 0;
}

struct kb_time kb_time_none(void) {
    return (struct kb_time){.gb_per_s = NAN,
                            .ceiling_ns = NAN,
                            .floor_ns = NAN,
                            .timer_ns = NAN,
                            .energy_uj = NAN};
}

/* The one method whose launches are all that runs, in the order in which they head tables:
 * the first that the row was timed by; one number is enough for the second that it takes.
 */
static bool has_energy(const struct kb_row *row, enum kb_method method) {
    static const enum kb_method methods[] = {KB_GRAPH, KB_PDL, KB_HOT};

    for (size_t i = 0; i < KB_COUNT(methods); i++)
        if (methods[i] == method || row->times[methods[i]].there)
            return methods[i] == method;
    return false;
}

static void keep_samples(struct kb_session *s, const struct kb_job *job, struct kb_row *row,
                         enum kb_method method, const struct kb_samples *all,
                         const struct kb_timer_facts *facts, struct kb_arena *arena) {
    struct kb_buf lines = {0};
    struct kb_err why = {0};

    kb_samples_print(job, row, method, all, facts, s->samples ? s->samples : &lines);
    if (!s->samples && !kb_samples_add(job, &lines, &why))
        kb_row_warn(row, arena, why.msg);
    kb_buf_free(&lines);
}

bool kb_time_extras(struct kb_session *s, const struct kb_job *job, struct kb_row *row,
                    enum kb_method method, struct kb_timer *timer,
                    const struct kb_samples *all, const struct kb_timer_facts *facts,
                    struct kb_arena *arena, struct kb_time *out, struct kb_err *err) {
    struct kb_err why = {0};
    double joules;

    if (job->samples)
        keep_samples(s, job, row, method, all, facts, arena);
    if (!job->energy || !has_energy(row, method) || !s->backend->timer_energy)
        return true;
    if (s->backend->timer_energy(timer, energy_s, &joules, &why)) {
        s->busy_ns = kb_now_ns();
        out->energy_uj = joules * 1e6;
        return true;
    }
    if (kb_ends_case(s, &why)) {
        *err = why;
        return false;
    }
    kb_row_warn(row, arena, why.msg);
    return true;
}

bool kb_time_plan(struct kb_session *s, const struct kb_job *job,
                  const struct kb_timed *timed, enum kb_method method,
                  struct kb_slab *check, struct kb_arena *arena, struct kb_time *out,
                  struct kb_err *err) {
    struct kb_timer_facts facts = {0};
    struct kb_timer *timer = NULL;
    struct kb_samples all;
    struct kb_seen seen = {.samples = &all};
    bool ok = false;

    *out = kb_time_none();
    kb_pace_begin(s, job, method);
    out->duty = s->pace.duty;
    kb_samples_make(&all);
    if (!s->backend->floor(s->device, method, &out->floor_ns, err) ||
        !s->backend->timer_open(s->device, timed->code, timed->plan, timed->initial, method,
                                job->sets, &timer, &facts, err))
        goto out;
    if (!kb_warm_up(s, timer, err) ||
        !collect(s, job, timer, &facts, &all, out, &seen, err))
        goto out;
    kb_time_describe(&all, &facts, &seen, arena, out);
    if (timed->row &&
        !kb_time_extras(s, job, timed->row, method, timer, &all, &facts, arena, out, err))
        goto out;
    if (check &&
        !s->backend->timer_result(timer, kb_any_set(job, method, facts.sets), check, err))
        goto out;
    ok = true;
out:
    if (timer)
        s->backend->timer_close(timer);
    kb_samples_free(&all);
    return ok;
}
