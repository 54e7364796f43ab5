/* cuda_timer.c - a timer: opened over buffer sets, sampled in batches that the host queues
 * ahead, its launches' output read back. */
#include "cuda_timer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    MEMORY_SHARE =
        4, /* of free memory, a quarter at most for sets that are not asked for */
    GRAPH_BATCH = 16, /* replays queued behind one hold */
    COMMANDS = 16,    /* kernels and events queued behind one hold, with single launches */
    LATE_TRIES = 4,
    FLOOR_SAMPLES = 15,
};

static bool is_graph(enum kb_method method) {
    return method == KB_GRAPH || method == KB_PDL;
}

/* Each launch on the set after the last one's. */
static bool is_rotated(enum kb_method method) {
    return is_graph(method) || method == KB_CUPTI;
}

/* ---- open and close --------------------------------------------------------------------
 */

static int count_sets(struct kb_device *device, const struct kb_slab *initial,
                      enum kb_method method, int wanted) {
    size_t bytes = 0, spaced = 0;
    for (int i = 0; i < initial->n_slots; i++) {
        bytes += initial->slots[i].bytes;
        spaced += initial->slots[i].bytes + 512;
    }
    if (!is_rotated(method) || !bytes)
        return 1;
    if (wanted > 0)
        return wanted < KB_MAX_SETS ? wanted : KB_MAX_SETS;
    size_t enough = (size_t)device->info.l2_bytes * KB_ROTATE_TIMES_L2;
    size_t sets = (enough + bytes - 1) / bytes;
    size_t fit = (size_t)kb_cuda_free_bytes(device) / MEMORY_SHARE / spaced;
    sets = sets < fit ? sets : fit;
    sets = sets < KB_MAX_SETS ? sets : KB_MAX_SETS;
    return sets > 1 ? (int)sets : 1;
}

static bool has_pdl(const struct kb_device *device, const struct kb_plan *plan,
                    struct kb_err *err) {
    if (device->info.limits.sm < 90)
        return kb_fail(err, KB_UNSUPPORTED,
                       "programmatic launches want sm_90 or later, this is sm_%d",
                       (int)device->info.limits.sm);
    for (int i = 0; i < plan->n_launches; i++)
        if (plan->launches[i].pdl)
            return true;
    return kb_fail(err, KB_UNSUPPORTED, "the variant has no \"pdl\"");
}

static void tell_facts(const struct kb_timer *timer, struct kb_timer_facts *facts) {
    static const char *const caches[KB_METHOD_COUNT] = {
        [KB_GRAPH] = "rotated", [KB_PDL] = "rotated",   [KB_COLD] = "flushed",
        [KB_HOT] = "warm",      [KB_CUPTI] = "rotated", [KB_LAUNCH] = "none",
    };
    const struct kb_clockwork *c = timer->device->clockwork;
    size_t bytes = timer->tensors->bytes + timer->scratch->bytes;
    int launches = is_graph(timer->method)      ? kb_timer_launches(timer, 0)
                   : timer->method == KB_LAUNCH ? timer->turns
                                                : 1;
    *facts = (struct kb_timer_facts){
        .sets = timer->n_sets,
        .footprint_bytes = (int64_t)bytes * timer->n_sets,
        .launches_per_sample = launches,
        .tick_ns = c->tick_ns / launches,
        .cache = caches[timer->method],
        .timer_ns = c->pair_ns / launches,
    };
    if (timer->method == KB_CUPTI) {
        facts->tick_ns = c->cupti_tick_ns;
        facts->timer_ns = NAN; /* nothing leaves no stamps */
    } else if (timer->method == KB_LAUNCH) {
        facts->tick_ns = 1.0 / launches;
        facts->timer_ns = timer->clock_ns / launches;
    }
}

/* Code that was never launched may not be on the device yet, and a capture must not be what
 * loads it. */
static bool warm_up(struct kb_timer *timer, struct kb_err *err) {
    timer->tensors->fresh = NULL;
    timer->scratch->fresh = NULL;
    return kb_timer_launch(timer, 0, err) && kb_cuda_sync(timer->device, err);
}

/* What a method needs before its first sample. */
static bool prepare(struct kb_timer *timer, struct kb_err *err) {
    if (is_graph(timer->method)) /* the first rotation finds the L2 as others left it */
        return kb_timer_make_graphs(timer, err) && kb_timer_rotate(timer, err);
    if (timer->method == KB_CUPTI)
        return kb_stamps_trace(timer, err);
    return timer->method != KB_LAUNCH || kb_stamps_count_calls(timer, err);
}

static bool open_timer(struct kb_timer *timer, const struct kb_slab *initial, int sets,
                       struct kb_err *err) {
    struct kb_device *device = timer->device;
    struct kb_clockwork *clockwork;
    if (!kb_cuda_current(device, err) || !kb_clockwork_get(device, &clockwork, err) ||
        !kb_cuda_prepare(device, timer->code, &timer->plan, err))
        return false;
    timer->n_sets = count_sets(device, initial, timer->method, sets);
    timer->n_tensors = initial->n_slots - timer->plan.n_scratch;
    return kb_sets_open(device, initial, 0, timer->n_tensors, timer->n_sets,
                        &timer->tensors, err) &&
           kb_sets_open(device, initial, timer->n_tensors, timer->plan.n_scratch,
                        timer->n_sets, &timer->scratch, err) &&
           warm_up(timer, err) && prepare(timer, err);
}

bool kb_timer_open(struct kb_device *device, struct kb_code *code,
                   const struct kb_plan *plan, const struct kb_slab *initial,
                   enum kb_method method, int sets, struct kb_timer **out,
                   struct kb_timer_facts *facts, struct kb_err *err) {
    if (!kb_cuda_launches(plan))
        return kb_fail(err, KB_UNSUPPORTED, "the plan launches nothing to time");
    if (method == KB_PDL && !has_pdl(device, plan, err))
        return false;
    struct kb_timer *timer = calloc(1, sizeof *timer);
    if (!timer)
        kb_out_of_memory();
    *timer = (struct kb_timer){
        .device = device,
        .code = code,
        .plan = *plan,
        .method = method,
    };
    if (!open_timer(timer, initial, sets, err)) {
        kb_timer_close(timer);
        return false;
    }
    tell_facts(timer, facts);
    *out = timer;
    return true;
}

void kb_timer_close(struct kb_timer *timer) {
    if (!timer)
        return;
    struct kb_device *device = timer->device;
    kb_timer_free_graphs(timer);
    if (device->clockwork)
        kb_stamps_untrace(timer);
    struct kb_sets *both[] = {timer->tensors, timer->scratch};
    for (size_t i = 0; i < KB_COUNT(both); i++) {
        if (both[i] && both[i]->fresh == timer)
            both[i]->fresh = NULL;
        kb_sets_close(device, both[i]);
    }
    free(timer);
}

/* ---- samples ---------------------------------------------------------------------------
 */

/* Replays with an event after each: one's end is the next one's start. */
static bool queue_graphs(struct kb_timer *timer, int n, struct kb_err *err) {
    struct kb_device *device = timer->device;
    bool ok = kb_clockwork_record(device, 0, err);
    for (int i = 0; i < n && ok; i++) {
        CUgraphExec graph = timer->graphs[(timer->next + i) % timer->n_graphs];
        CUresult rc = device->cu.GraphLaunch(graph, device->stream);
        ok = rc ? kb_cuda_fail(&device->cu, rc, "launch", err)
                : kb_clockwork_record(device, i + 1, err);
    }
    return ok;
}

/* The event before single launch `i` of a batch; the one after it is the next. Where an
 * event lies is in the time between two: batch by batch they are others. */
static int first_event(const struct kb_timer *timer, int i) {
    return (timer->next + 2 * i) % KB_MAX_EVENTS;
}

/* Single launches, each between events of its own; the flush lies outside. */
static bool queue_launches(struct kb_timer *timer, int n, struct kb_err *err) {
    struct kb_device *device = timer->device;
    bool ok = timer->method == KB_COLD || kb_timer_launch(timer, 0, err);
    for (int i = 0; i < n && ok; i++)
        ok = (timer->method != KB_COLD || kb_clockwork_flush(device, err)) &&
             kb_clockwork_record(device, first_event(timer, i), err) &&
             kb_timer_launch(timer, 0, err) &&
             kb_clockwork_record(device, first_event(timer, i) + 1, err);
    return ok;
}

/* What is queued behind a launch comes between its events: on an H200, with 16 commands and
 * more behind it, a cold copy of 12 MB takes 6.9 us, with quartiles 9 % apart, and 6.2 us
 * with quartiles 4 % apart where four launches are queued at a time. */
static int batch_size(const struct kb_timer *timer) {
    if (timer->method == KB_COLD)
        return 1; /* its flush alone is several kernels */
    int per_sample = 3 + timer->plan.n_launches + timer->plan.n_scratch;
    if (is_graph(timer->method))
        return GRAPH_BATCH;
    return per_sample < COMMANDS ? COMMANDS / per_sample : 1;
}

static bool read_times(struct kb_timer *timer, int n, double *ns, struct kb_err *err) {
    bool graph = is_graph(timer->method);
    for (int i = 0; i < n; i++) {
        int from = graph ? i : first_event(timer, i);
        if (!kb_clockwork_between(timer->device, from, from + 1, &ns[i], err))
            return false;
        if (graph)
            ns[i] /= kb_timer_launches(timer, (timer->next + i) % timer->n_graphs);
    }
    return true;
}

static bool queue_batch(struct kb_timer *timer, int n, struct kb_err *err) {
    return is_graph(timer->method) ? queue_graphs(timer, n, err)
                                   : queue_launches(timer, n, err);
}

/* The first graph that begins where samples go on from, or behind that. */
static int next_graph(const struct kb_timer *timer) {
    for (int i = 0; i < timer->n_graphs; i++)
        if (kb_timer_first(timer, i) >= timer->tensors->at)
            return i;
    return 0;
}

static void go_on(struct kb_timer *timer, int n) {
    if (!is_graph(timer->method)) {
        timer->next = (timer->next + 2 * n) % KB_MAX_EVENTS;
        return;
    }
    timer->next = (timer->next + n) % timer->n_graphs;
    timer->tensors->at = kb_timer_first(timer, timer->next);
}

/* One batch between events behind one hold. */
static bool events_batch(struct kb_timer *timer, int n, double *ns, bool *late,
                         struct kb_err *err) {
    struct kb_device *device = timer->device;
    if ((timer->method == KB_COLD && !kb_clockwork_forget(device, err)) ||
        !kb_clockwork_hold(device, err))
        return false;
    bool queued = queue_batch(timer, n, err);
    if (!kb_clockwork_release(device, late, queued ? err : &(struct kb_err){0}) || !queued)
        return false;
    bool read = *late || read_times(timer, n, ns, err);
    go_on(timer, n);
    return read;
}

bool kb_timer_ahead(struct kb_timer *timer,
                    bool (*batch)(struct kb_timer *timer, int n, double *ns, bool *late,
                                  struct kb_err *err),
                    int *n, double *ns, struct kb_err *err) {
    for (int i = 0; i < LATE_TRIES; i++) {
        bool late = true;
        if (!batch(timer, *n, ns, &late, err))
            return false;
        if (!late)
            return true;
        *n = *n > 1 ? *n / 2 : 1;
    }
    return kb_fail(
        err, KB_DEVICE,
        "launches cannot be queued ahead of the device: this host is too busy to "
        "time by %s",
        kb_method_word(timer->method));
}

static bool sample_events(struct kb_timer *timer, int *n, double *ns, struct kb_err *err) {
    *n = *n < batch_size(timer) ? *n : batch_size(timer);
    if (is_graph(timer->method))
        timer->next = next_graph(timer);
    return kb_timer_ahead(timer, events_batch, n, ns, err);
}

static bool sample_batch(struct kb_timer *timer, int *n, double *ns, struct kb_err *err) {
    if (timer->method == KB_CUPTI)
        return kb_stamps_traced(timer, n, ns, err);
    if (timer->method != KB_LAUNCH)
        return sample_events(timer, n, ns, err);
    *n = 1;
    return kb_stamps_called(timer, ns, err);
}

bool kb_timer_sample(struct kb_timer *timer, int n, double *ns, struct kb_err *err) {
    timer->tensors->fresh = NULL;
    timer->scratch->fresh = NULL;
    if (!kb_cuda_current(timer->device, err))
        return false;
    for (int done = 0; done < n;) {
        int batch = n - done;
        if (!sample_batch(timer, &batch, ns + done, err))
            return false;
        done += batch;
    }
    return true;
}

/* ---- what the launches leave -----------------------------------------------------------
 */

/* One launch on each set, in the way that is timed. */
static bool queue_each(struct kb_timer *timer, struct kb_err *err) {
    bool ok = true;
    if (is_graph(timer->method))
        return kb_timer_rotate(timer, err);
    if (timer->method == KB_COLD)
        ok = kb_clockwork_forget(timer->device, err) &&
             kb_clockwork_flush(timer->device, err);
    for (int set = 0; set < timer->n_sets && ok; set++)
        ok = kb_timer_launch(timer, set, err);
    return ok;
}

/* Each set from its initial state. */
static bool rotate_once(struct kb_timer *timer, struct kb_err *err) {
    struct kb_device *device = timer->device;
    if (!kb_sets_reset(device, timer->tensors, timer->n_sets, err) ||
        !kb_sets_reset(device, timer->scratch, timer->n_sets, err))
        return false;
    if (!queue_each(timer, err) || !kb_cuda_sync(device, err))
        return false;
    timer->tensors->fresh = timer;
    timer->scratch->fresh = timer;
    return true;
}

bool kb_timer_result(struct kb_timer *timer, int set, struct kb_slab *out,
                     struct kb_err *err) {
    struct kb_device *device = timer->device;
    if (set < 0 || set >= timer->n_sets)
        return kb_fail(err, KB_INPUT, "no set %d: there are %d", set, timer->n_sets);
    if (!kb_cuda_current(device, err))
        return false;
    if ((timer->tensors->fresh != timer || timer->scratch->fresh != timer) &&
        !rotate_once(timer, err))
        return false;
    return kb_sets_read(device, timer->tensors, set, 0, out, err) &&
           kb_sets_read(device, timer->scratch, set, timer->n_tensors, out, err);
}

/* ---- the floor -------------------------------------------------------------------------
 */

struct kb_launch kb_timer_empty(void) {
    return (struct kb_launch){
        .entry = "kb_empty",
        .grid = {1, 1, 1},
        .block = {256, 1, 1},
        .cluster = {1, 1, 1},
        .pdl = true,
    };
}

static bool measure_floor(struct kb_device *device, enum kb_method method, double *ns,
                          struct kb_err *err) {
    struct kb_code code = {.n_launches = 1};
    struct kb_slab nothing = {.fd = -1};
    struct kb_plan *plan = calloc(1, sizeof *plan);
    struct kb_timer *timer = NULL;
    struct kb_timer_facts facts;
    double samples[FLOOR_SAMPLES];
    if (!plan)
        kb_out_of_memory();
    code.functions[0] = device->clockwork->code->functions[KB_EMPTY];
    plan->n_launches = 1;
    plan->launches[0] = kb_timer_empty();
    bool ok =
        kb_timer_open(device, &code, plan, &nothing, method, 0, &timer, &facts, err) &&
        kb_timer_sample(timer, FLOOR_SAMPLES, samples, err); /* clocks rise */
    ok = ok && kb_timer_sample(timer, FLOOR_SAMPLES, samples, err);
    if (ok) {
        kb_sort(samples, FLOOR_SAMPLES);
        *ns = samples[FLOOR_SAMPLES / 2];
    }
    kb_timer_close(timer);
    free(plan);
    return ok;
}

bool kb_timer_floor(struct kb_device *device, enum kb_method method, double *ns,
                    struct kb_err *err) {
    struct kb_clockwork *clockwork;
    if (!kb_cuda_current(device, err) || !kb_clockwork_get(device, &clockwork, err))
        return false;
    if (clockwork->floor_ns[method] == 0 &&
        !measure_floor(device, method, &clockwork->floor_ns[method], err))
        /* A method that cannot be had is not a matter of the floor. */
        return err->kind != KB_UNSUPPORTED && kb_at(err, "timer's floor");
    *ns = clockwork->floor_ns[method];
    return true;
}
