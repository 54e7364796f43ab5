/* time.c - how long a checked kernel takes: warm up, sample until the median's interval is
 * narrow enough, check the timed output again.
 *
 * The ceiling is the stream kernel of the same bytes, timed by the same code and method in
 * the same run, once per (pattern, size, dtype, method). */
#include "session.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MIN_SAMPLES = 10, MAX_SAMPLES = 4096, FIRST_BATCH = 8, MAX_BATCH = 128 };

struct timed {
    const struct kb_plan *plan;
    struct kb_code *code;
    const struct kb_slab *initial;
};

struct samples {
    double *ns;
    int64_t n;
};

/* The asked relative half-width: kernels over 20 us repeat well enough for half a percent.
 */
static double precision_for(const struct kb_job *job, double median_ns) {
    if (job->precision > 0)
        return job->precision;
    return median_ns > 20e3 ? 0.005 : 0.01;
}

static void watch_clocks(struct kb_session *s, struct kb_time *out, uint64_t *throttle) {
    struct kb_clocks clocks = {0};

    if (!s->backend->clocks)
        return;
    s->backend->clocks(s->device, &clocks);
    *throttle |= clocks.throttle;
    if (clocks.sm_mhz <= 0)
        return;
    if (out->sm_mhz_max == 0 || clocks.sm_mhz < out->sm_mhz_min)
        out->sm_mhz_min = clocks.sm_mhz;
    if (clocks.sm_mhz > out->sm_mhz_max)
        out->sm_mhz_max = clocks.sm_mhz;
}

/* Until two batches in a row agree within 1 %, or for 0.3 s: clocks rise from idle. */
static bool warm_up(struct kb_session *s, struct kb_timer *timer, struct kb_err *err) {
    int64_t start = kb_now_ns();
    double ns[FIRST_BATCH], last = 0;

    do {
        double sum = 0;
        if (!s->backend->timer_sample(timer, FIRST_BATCH, ns, err))
            return false;
        for (int i = 0; i < FIRST_BATCH; i++)
            sum += ns[i];
        if (last > 0 && fabs(sum - last) <= 0.01 * last)
            return true;
        last = sum;
    } while (kb_now_ns() - start < 300000000);
    return true;
}

/* Sample until precise, or say why not. */
static bool collect(struct kb_session *s, const struct kb_job *job, struct kb_timer *timer,
                    struct samples *all, struct kb_time *out, uint64_t *throttle,
                    struct kb_err *err) {
    double limit_s = job->max_time_s > 0 ? job->max_time_s : 5;
    int64_t start = kb_now_ns();
    struct kb_arena arena = {0};
    struct kb_stats stats;
    int batch = FIRST_BATCH;
    bool ok = false;

    for (;;) {
        if (!s->backend->timer_sample(timer, batch, all->ns + all->n, err))
            goto out;
        all->n += batch;
        watch_clocks(s, out, throttle);
        kb_stats_of(all->ns, all->n, &arena, &stats);
        kb_arena_reset(&arena);
        double half = (stats.high - stats.low) / 2;
        if (all->n >= MIN_SAMPLES &&
            half <= precision_for(job, stats.median) * stats.median) {
            out->stopped = "precision";
            break;
        }
        if ((double)(kb_now_ns() - start) > limit_s * 1e9) {
            out->stopped = "time";
            break;
        }
        if (all->n >= MAX_SAMPLES) {
            out->stopped = "samples";
            break;
        }
        batch = (int)(all->n / 2 < MAX_BATCH ? all->n / 2 : MAX_BATCH);
        if (all->n + batch > MAX_SAMPLES)
            batch = (int)(MAX_SAMPLES - all->n);
    }
    out->median_ns = stats.median;
    out->low_ns = stats.low;
    out->high_ns = stats.high;
    out->min_ns = stats.min;
    out->p99_ns = stats.p99;
    ok = true;
out:
    kb_arena_free(&arena);
    return ok;
}

/* At most 64 medians of neighbours in time: what a report keeps of the samples. */
static void keep_blocks(const struct samples *all, struct kb_time *out) {
    struct kb_arena arena = {0};
    int64_t blocks = all->n < KB_BLOCK_MEDIANS ? all->n : KB_BLOCK_MEDIANS;

    for (int64_t b = 0; b < blocks; b++) {
        int64_t from = all->n * b / blocks, to = all->n * (b + 1) / blocks;
        struct kb_stats stats;
        kb_stats_of(all->ns + from, to - from, &arena, &stats);
        out->samples_ns[out->n_samples++] = stats.median;
    }
    kb_arena_free(&arena);
}

/* Time one plan by one method. With `check`, what the timed launches left is put there. */
static bool time_plan(struct kb_session *s, const struct kb_job *job, const struct timed *t,
                      enum kb_method method, struct kb_slab *check, struct kb_arena *arena,
                      struct kb_time *out, struct kb_err *err) {
    struct kb_timer_facts facts = {0};
    struct kb_timer *timer = NULL;
    struct samples all = {0};
    uint64_t throttle = 0;
    bool ok = false;

    *out = (struct kb_time){.ceiling_ns = NAN, .gb_per_s = NAN, .floor_ns = NAN};
    all.ns = malloc(MAX_SAMPLES * sizeof *all.ns);
    if (!all.ns)
        kb_out_of_memory();
    if (!s->backend->floor(s->device, method, &out->floor_ns, err) ||
        !s->backend->timer_open(s->device, t->code, t->plan, t->initial, method, job->sets,
                                &timer, &facts, err))
        goto out;
    if (!warm_up(s, timer, err) || !collect(s, job, timer, &all, out, &throttle, err))
        goto out;
    if (check && !s->backend->timer_result(timer, facts.sets - 1, check, err))
        goto out;
    out->there = true;
    out->n = all.n * facts.launches_per_sample;
    out->sets = facts.sets;
    out->footprint_bytes = facts.footprint_bytes;
    out->cache = facts.cache;
    /* No interval is narrower than the timer's tick. */
    out->low_ns = fmin(out->low_ns, out->median_ns - facts.tick_ns / 2);
    out->high_ns = fmax(out->high_ns, out->median_ns + facts.tick_ns / 2);
    struct kb_buf words = {0};
    kb_throttle_words(throttle, &words);
    out->throttle = kb_arena_strdup(arena, kb_buf_text(&words));
    kb_buf_free(&words);
    out->quality = throttle                              ? KB_Q_THROTTLED
                   : kb_streq(out->stopped, "precision") ? KB_Q_OK
                                                         : KB_Q_NOISY;
    keep_blocks(&all, out);
    ok = true;
out:
    if (timer)
        s->backend->timer_close(timer);
    free(all.ns);
    return ok;
}

static bool stream_case(struct kb_session *s, const struct kb_problem *problem,
                        struct kb_case *c, struct kb_err *err) {
    *c = (struct kb_case){.op = kb_op_find("stream"), .dtype = problem->c->dtype};
    if (!c->op)
        return kb_fail(err, KB_UNSUPPORTED, "no op stream to measure the ceiling with");
    for (int i = 0; i < c->op->n_params; i++)
        c->set[i].v = c->op->params[i].def;
    c->rank = 1;
    c->shape[0] = problem->ceiling_elements;
    c->fill = c->op->fills[0];
    c->id = kb_case_id(c, &s->arena);
    return kb_case_set(c, "pattern", problem->ceiling_pattern, err);
}

/* The stream kernel's median for the bytes of `problem`; NAN where there is none to take.
 */
static bool ceiling_of(struct kb_session *s, const struct kb_job *job,
                       const struct kb_problem *problem, enum kb_method method, double *ns,
                       struct kb_err *err) {
    struct kb_problem *stream = kb_arena_alloc(&s->arena, sizeof *stream);
    struct kb_plan *plan = kb_arena_alloc(&s->arena, sizeof *plan);
    struct kb_case *c = kb_arena_alloc(&s->arena, sizeof *c);
    struct kb_build build = {0};
    struct kb_built *built;
    struct kb_slab slab = {0};
    struct kb_time time;

    for (struct kb_ceiling *k = s->ceilings; k; k = k->next) {
        if (kb_streq(k->pattern, problem->ceiling_pattern) && k->method == method &&
            k->elements == problem->ceiling_elements && k->dtype == problem->c->dtype &&
            k->sets == job->sets) {
            *ns = k->median_ns;
            return true;
        }
    }
    const struct kb_device_info *device = s->backend->info(s->device);
    if (!stream_case(s, problem, c, err) || !kb_case_resolve(c, stream, err) ||
        !kb_build_parse("precise", false, &s->arena, &build, err))
        return false;
    kb_build_resolve(&build, device->limits.sm, &s->arena);
    const struct kb_kernel *kernel = kb_session_kernel(s, c->op, NULL, err);
    if (!kernel ||
        !kb_plan_default(kernel, stream, s->backend->name, &device->limits, &s->arena, plan,
                         err) ||
        !kb_session_build(s, plan, &build, &built, err) ||
        !kb_session_slab(stream, plan, job->seed, &slab, err))
        return false;
    struct timed t = {plan, built->code, &slab};
    bool ok = time_plan(s, job, &t, method, NULL, &s->arena, &time, err);
    kb_slab_free(&slab);
    if (!ok)
        return kb_at(err, "ceiling");
    struct kb_ceiling *k = kb_arena_alloc(&s->arena, sizeof *k);
    *k = (struct kb_ceiling){problem->ceiling_pattern,
                             problem->ceiling_elements,
                             problem->c->dtype,
                             method,
                             job->sets,
                             time.median_ns,
                             s->ceilings};
    s->ceilings = k;
    *ns = time.median_ns;
    return true;
}

/* What one launch is made of says what limits it: see `kbench help methods`. */
static const char *limited_by(const struct kb_row *row, const struct kb_time *t,
                              const struct kb_device_info *device) {
    if (t->floor_ns > 0.7 * t->median_ns)
        return "launch";
    if (row->bytes < device->l2_bytes / 4)
        return "latency";
    return t->ceiling >= 0.8 || isnan(t->ceiling) ? "bandwidth" : "compute";
}

static void finish_time(struct kb_session *s, const struct kb_problem *problem,
                        enum kb_method method, double ceiling_ns, struct kb_time *t) {
    const struct kb_device_info *device = s->backend->info(s->device);
    /* An event pair's own time is in every cold and hot number; a graph's nodes follow each
     * other, so that nothing of the timer is left in them. */
    bool event_pair = method == KB_COLD || method == KB_HOT;
    bool buried = event_pair && t->floor_ns > 0.1 * t->median_ns;

    t->ceiling = NAN;
    if (problem->bytes > 0 && !buried) {
        t->gb_per_s = (double)problem->bytes / t->median_ns;
        t->ceiling_ns = ceiling_ns;
        t->ceiling = ceiling_ns / t->median_ns;
        if (t->ceiling > 1.05 && t->footprint_bytes > device->l2_bytes)
            t->quality = KB_Q_SUSPECT;
    }
}

/* The timed kernel must have computed what was checked. */
static bool timed_output_right(const struct kb_problem *problem,
                               const struct kb_slab *result, const struct kb_slab *check,
                               struct kb_row *row, const char *method,
                               struct kb_arena *arena) {
    for (int t = 0; t < problem->n_tensors; t++) {
        size_t bytes = result->slots[t].bytes;
        if (problem->tensors[t].role != KB_OUT || bytes == 0)
            continue;
        const unsigned char *a = kb_slab_at(result, t), *b = kb_slab_at(check, t);
        if (memcmp(a, b, bytes) == 0)
            continue;
        row->reason = KB_R_TIMED_OUTPUT;
        row->text = kb_arena_printf(arena, "%s: other bits from the launches timed by %s",
                                    problem->tensors[t].name, method);
        return false;
    }
    return true;
}

bool kb_session_time(struct kb_session *session, const struct kb_job *job,
                     const struct kb_problem *problem, const struct kb_plan *plan,
                     struct kb_code *code, const struct kb_slab *initial,
                     const struct kb_slab *result, struct kb_arena *arena,
                     struct kb_row *row, struct kb_err *err) {
    struct timed t = {plan, code, initial};
    struct kb_slab check = {0};
    bool ok = false;

    for (int i = 0; i < 3; i++) {
        if (plan->launches[0].grid[i] == 0)
            return true; /* nothing is launched, so there is nothing to time */
    }
    if (!kb_slab_copy(&check, initial, err))
        return false;
    for (int m = 0; m < KB_METHOD_COUNT; m++) {
        enum kb_method method = (enum kb_method)m;
        struct kb_time *time = &row->times[m];
        double ceiling_ns = NAN;
        if (!(job->methods & 1u << m))
            continue;
        if (problem->ceiling_pattern && problem->ceiling_elements > 0 &&
            !ceiling_of(session, job, problem, method, &ceiling_ns, err))
            goto out;
        if (!time_plan(session, job, &t, method, &check, arena, time, err))
            goto out;
        finish_time(session, problem, method, ceiling_ns, time);
        if (row->reason == KB_R_NONE &&
            !timed_output_right(problem, result, &check, row, kb_method_word(method),
                                arena)) {
            time->there = false;
            break;
        }
    }
    if (row->times[KB_GRAPH].there)
        row->limited_by =
            limited_by(row, &row->times[KB_GRAPH], session->backend->info(session->device));
    ok = true;
out:
    kb_slab_free(&check);
    return ok;
}
