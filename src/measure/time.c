/* time.c - how long a checked kernel takes: warm up, sample until the median's interval is
 * narrow enough, check the timed output again. */
#include "sampling.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

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

void kb_samples_make(struct kb_samples *samples, bool marks) {
    *samples = (struct kb_samples){.ns = malloc(KB_MAX_SAMPLES * sizeof *samples->ns)};
    if (marks)
        samples->held_back = calloc(KB_MAX_SAMPLES, sizeof *samples->held_back);
    if (!samples->ns || (marks && !samples->held_back))
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

/* Those since the last look. */
static void mark(struct kb_samples *samples, uint64_t throttle) {
    bool held_back = throttle & ~KB_THROTTLE_UNKNOWN;

    if (!samples || !samples->held_back)
        return;
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

/* `n` samples; a time that no kernel can take is the device's error. */
bool kb_sample(struct kb_session *s, struct kb_timer *timer, int n, double *ns,
               struct kb_err *err) {
    if (!s->backend->timer_sample(timer, n, ns, err))
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
bool kb_warm_up(struct kb_session *s, struct kb_timer *timer, struct kb_err *err) {
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
    double limit_s = job->max_time_s > 0 ? job->max_time_s : 5;
    int most = kb_streq(facts->cache, "none") ? MAX_HOST_SAMPLES : KB_MAX_SAMPLES;
    int64_t start = kb_now_ns();
    struct kb_arena arena = {0};
    struct kb_stats stats;
    int batch = FIRST_BATCH;

    do {
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
    seen->at_ns = 0; /* and once when all is done */
    kb_watch_clocks(s, out, seen);
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

/* What is to be known of a time before its number is believed, worst first. */
static void judge_quality(const struct kb_samples *all, const struct kb_seen *seen,
                          struct kb_arena *arena, struct kb_time *out) {
    bool throttled = seen->throttle & ~KB_THROTTLE_UNKNOWN;

    out->quality = kb_streq(out->stopped, "precision") ? KB_Q_OK : KB_Q_NOISY;
    if (throttled) {
        out->quality = KB_Q_THROTTLED;
        out->why = all->held_back
                       ? kb_arena_printf(arena,
                                         "clocks held back (%s) for %lld of %lld "
                                         "samples, which count",
                                         out->throttle, (long long)all->n_held_back,
                                         (long long)all->n)
                       : kb_arena_printf(arena, "clocks held back (%s)", out->throttle);
    }
    if (seen->contended) {
        out->quality = KB_Q_CONTENDED;
        out->why =
            kb_arena_printf(arena, "somebody else computes on this GPU: %s", seen->others);
    }
    /* The interval, not the median alone: an empty kernel's time is a measured one, too.
     * The host's has no floor: it depends on what else the host does. */
    if (out->high_ns < out->floor_ns && !kb_streq(out->cache, "none")) {
        out->quality = KB_Q_SUSPECT;
        out->why = kb_arena_printf(arena, "an empty kernel takes longer: %.3g us",
                                   out->floor_ns / 1e3);
    }
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

/* The one method whose launches are all that runs, in the order in which they head tables;
 * one number is enough for the second that it takes. */
static bool has_energy(const struct kb_job *job, enum kb_method method) {
    static const enum kb_method methods[] = {KB_GRAPH, KB_PDL, KB_HOT};

    for (size_t i = 0; i < KB_COUNT(methods); i++)
        if (job->methods & 1u << methods[i])
            return methods[i] == method;
    return false;
}

bool kb_time_extras(struct kb_session *s, const struct kb_job *job, struct kb_row *row,
                    enum kb_method method, struct kb_timer *timer,
                    const struct kb_samples *all, const struct kb_timer_facts *facts,
                    struct kb_arena *arena, struct kb_time *out, struct kb_err *err) {
    struct kb_err why = {0};
    double joules;

    if (job->samples && !kb_samples_write(job, row, method, all, facts, &why))
        kb_row_warn(row, arena, why.msg);
    why = (struct kb_err){0};
    if (!job->energy || !has_energy(job, method) || !s->backend->timer_energy)
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
    kb_samples_make(&all, true);
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

bool kb_time_of_mma(const struct kb_time *time) {
    return time->ceiling_op && kb_streq(time->ceiling_op, "mma");
}

/* ---- all methods of a row ---------------------------------------------------------- */

/* What limits a kernel, as far as times tell: see `kbench help methods`. A launch that does
 * nothing takes most of its time; or it keeps up with a kernel that only moves its bytes,
 * which are many, or so few that waiting for them is all there is; or it does not, and what
 * it computes keeps it. */
static const char *limited_by(const struct kb_row *row, const struct kb_time *t,
                              const struct kb_device_info *device) {
    bool few = row->bytes < device->l2_bytes / 4;

    if (t->floor_ns > 0.7 * t->median_ns)
        return "launch";
    if (kb_time_of_mma(t))
        return "compute";
    if (isnan(t->ceiling))
        return few && t->floor_ns > 0.1 * t->median_ns ? "latency" : NULL;
    if (few)
        return t->ceiling >= 0.33 ? "latency" : "compute";
    return t->ceiling >= 0.8 ? "bandwidth" : "compute";
}

/* Whether a time says what the bytes took. An event pair's own time is in every cold and
 * hot number, and CUPTI's stamps stand apart as well; a graph's nodes follow each other, so
 * that nothing of the timer is left in them. */
static bool tells_bytes(const struct kb_problem *problem, enum kb_method method,
                        const struct kb_time *t) {
    bool nodes = method == KB_GRAPH || method == KB_PDL;

    return problem->bytes > 0 && method != KB_LAUNCH &&
           (nodes || t->floor_ns <= 0.1 * t->median_ns);
}

/* A time of bytes that came from memory, all of them. */
static bool is_cold(const struct kb_time *t, const struct kb_device_info *device) {
    return kb_streq(t->cache, "flushed") || t->footprint_bytes > device->l2_bytes;
}

/* What the bytes make of a time, and what the ceiling's kernel does. */
bool kb_time_finish(struct kb_session *s, const struct kb_job *job,
                    const struct kb_problem *problem, enum kb_method method,
                    struct kb_arena *arena, struct kb_row *row, struct kb_err *err) {
    const struct kb_device_info *device = s->backend->info(s->device);
    struct kb_time *t = &row->times[method];

    t->ceiling = NAN;
    if (!tells_bytes(problem, method, t))
        return true;
    if (!kb_session_ceiling(s, job, problem, method, arena, row, &t->ceiling_ns, err))
        return false;
    t->gb_per_s = (double)problem->bytes / t->median_ns;
    t->ceiling = t->ceiling_ns / t->median_ns;
    t->ceiling_op = kb_ceiling_op(problem);
    bool moves = !kb_time_of_mma(t);
    if (t->ceiling > 1.05 && (!moves || is_cold(t, device))) {
        t->quality = KB_Q_SUSPECT;
        t->why =
            kb_arena_printf(arena,
                            moves ? "faster than a kernel that only moves its bytes (%.3g "
                                    "us): were they cold?"
                                  : "faster than tensor cores that do no more than its "
                                    "products (%.3g us)",
                            t->ceiling_ns / 1e3);
    }
    return true;
}

/* A kernel that keeps up with moving its bytes from memory is faster where they lie in the
 * L2. Where they do, and cold is no slower than hot, the flush has left them there. Of more
 * bytes than the L2 holds hot is no hotter than cold, and of few that much is computed on
 * neither shows. */
static void audit_cold(struct kb_row *row, const struct kb_device_info *device) {
    struct kb_time *graph = &row->times[KB_GRAPH], *cold = &row->times[KB_COLD];
    const struct kb_time *hot = &row->times[KB_HOT];
    const struct kb_time *moving = graph->there ? graph : cold;

    if (!hot->there || !(moving->ceiling >= 0.5) || kb_time_of_mma(moving) ||
        hot->footprint_bytes > device->l2_bytes / 4)
        return;
    if (cold->there && cold->low_ns <= hot->high_ns) {
        cold->quality = KB_Q_SUSPECT;
        cold->why =
            "no slower than hot, though its bytes fit into the L2: were they flushed?";
    }
    /* Beside a graph's node an event pair is left out, and an empty node put in. */
    double node_ns = hot->high_ns - hot->floor_ns + graph->floor_ns;
    if (graph->there && graph->footprint_bytes > device->l2_bytes &&
        graph->low_ns <= node_ns) {
        graph->quality = KB_Q_SUSPECT;
        graph->why =
            "no slower than hot, though its buffers are more than the L2 holds: do "
            "they rotate?";
    }
}

/* The timed kernel must have computed what was checked, and left its inputs alone. */
bool kb_timed_output_right(const struct kb_problem *problem, const struct kb_slab *initial,
                           const struct kb_slab *result, const struct kb_slab *check,
                           enum kb_method method, struct kb_arena *arena,
                           struct kb_row *row) {
    for (int t = 0; t < problem->n_tensors; t++) {
        bool input = problem->tensors[t].role == KB_IN;
        const struct kb_slab *wanted = input ? initial : result;
        size_t bytes = wanted->slots[t].bytes;
        if (bytes == 0 || kb_same(kb_slab_at(wanted, t), kb_slab_at(check, t), bytes))
            continue;
        row->reason = input ? KB_R_INPUT_CHANGED : KB_R_TIMED_OUTPUT;
        row->text =
            kb_arena_printf(arena,
                            input ? "input %s was written to by launches timed by %s"
                                  : "%s: other bits from the launches timed by %s",
                            problem->tensors[t].name, kb_method_word(method));
        return false;
    }
    return true;
}

bool kb_ends_case(const struct kb_session *session, const struct kb_err *err) {
    enum kb_reason reason = kb_reason_of(err, KB_R_VARIANT, session->exec.no_compile);

    return reason == KB_R_LAUNCH || reason == KB_R_CRASH || reason == KB_R_TIMEOUT ||
           reason == KB_R_NO_COMPILE;
}

static bool time_method(struct kb_session *s, const struct kb_job *job,
                        const struct kb_problem *problem, const struct kb_timed *timed,
                        enum kb_method method, struct kb_slab *check,
                        struct kb_arena *arena, struct kb_row *row, struct kb_err *err) {
    struct kb_time *time = &row->times[method];
    struct kb_err why = {0};

    if (kb_time_plan(s, job, timed, method, check, arena, time, &why))
        return kb_time_finish(s, job, problem, method, arena, row, err);
    *time = (struct kb_time){0};
    kb_at(&why, "not timed by %s", kb_method_word(method));
    if (kb_ends_case(s, &why)) {
        *err = why;
        return false;
    }
    kb_row_warn(row, arena, why.msg);
    return true;
}

bool kb_launches_nothing(const struct kb_plan *plan) {
    for (int i = 0; i < plan->n_launches; i++) {
        const int64_t *grid = plan->launches[i].grid;
        if (grid[0] != 0 && grid[1] != 0 && grid[2] != 0)
            return false;
    }
    return true;
}

static bool is_inplace(const struct kb_problem *problem) {
    for (int t = 0; t < problem->n_tensors; t++)
        if (problem->tensors[t].role == KB_INOUT)
            return true;
    return false;
}

void kb_time_warn(const struct kb_problem *problem, struct kb_arena *arena,
                  struct kb_row *row) {
    if (is_inplace(problem))
        kb_row_warn(row, arena,
                    "timed in place: each launch reads what the last one on its buffers "
                    "left; the output was checked on buffers that were put back");
}

void kb_time_close(struct kb_session *session, bool right, struct kb_row *row) {
    /* The times of a kernel that turned out wrong, or ended with its device, are none. */
    if (!right)
        memset(row->times, 0, sizeof row->times);
    const struct kb_device_info *device = session->backend->info(session->device);
    audit_cold(row, device);
    if (row->times[KB_GRAPH].there)
        row->limited_by = limited_by(row, &row->times[KB_GRAPH], device);
}

bool kb_session_time(struct kb_session *session, const struct kb_job *job,
                     const struct kb_problem *problem, const struct kb_plan *plan,
                     struct kb_code *code, const struct kb_slab *initial,
                     const struct kb_slab *result, struct kb_arena *arena,
                     struct kb_row *row, struct kb_err *err) {
    const struct kb_timed timed = {plan, code, initial, row};
    struct kb_slab check;
    struct kb_err why = {0};
    bool checked = row->reason == KB_R_NONE, ok = true;

    if (kb_launches_nothing(plan))
        return true; /* so there is nothing to time */
    kb_time_warn(problem, arena, row);
    check = kb_session_take(session, KB_SPARE_WORK);
    if (!kb_slab_like(&check, initial, 0, &why)) {
        kb_at(&why, "not timed");
        kb_row_warn(row, arena, why.msg);
        return true;
    }
    for (int m = 0; ok && m < KB_METHOD_COUNT; m++) {
        enum kb_method method = (enum kb_method)m;
        if (!(job->methods & 1u << m))
            continue;
        ok = time_method(session, job, problem, &timed, method, &check, arena, row, err);
        if (ok && checked && row->times[m].there &&
            !kb_timed_output_right(problem, initial, result, &check, method, arena, row))
            break;
    }
    kb_session_give(session, KB_SPARE_WORK, &check);
    kb_time_close(session, ok && !(checked && row->reason != KB_R_NONE), row);
    return ok;
}
