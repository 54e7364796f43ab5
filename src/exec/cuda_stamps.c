/* cuda_stamps.c - samples of single launches by other clocks than events: the GPU's own, as
 * CUPTI tells it, and the host's. */
#include "cuda_timer.h"

#include <stdlib.h>

enum {
    TRACED = 32, /* launches behind one hold, set after set */
    CALLS = 32,  /* launches that the host queues for one sample of its time */
    CALLS_NS = 2000000,
    CLOCK_READS = 101,
};

/* ---- cupti -----------------------------------------------------------------------------
 */

/* Kernels and memsets in one launch of the plan. */
static int records_of(const struct kb_plan *plan) {
    int n = 0;
    for (int i = 0; i < plan->n_scratch; i++)
        n += plan->scratch[i].start == KB_SCRATCH_ZERO && plan->scratch[i].bytes > 0;
    for (int i = 0; i < plan->n_launches; i++) {
        const int64_t *grid = plan->launches[i].grid;
        n += grid[0] != 0 && grid[1] != 0 && grid[2] != 0;
    }
    return n;
}

/* What was traced before is not asked for. */
static bool start_batch(struct kb_device *device, struct kb_err *err) {
    int before;
    return kb_cupti_take(&device->clockwork->cupti, NULL, 0, &before, err) &&
           kb_clockwork_hold(device, err);
}

static bool queue(struct kb_timer *timer, int n, struct kb_err *err) {
    bool ok = true;
    for (int i = 0; i < n && ok; i++)
        ok = kb_timer_launch(timer, (timer->next + i) % timer->n_sets, err);
    timer->next = (timer->next + n) % timer->n_sets;
    return ok;
}

/* `n` launches, each from the start of its first record to the end of its last. */
static bool trace_batch(struct kb_timer *timer, int n, double *ns, bool *late,
                        struct kb_err *err) {
    struct kb_device *device = timer->device;
    int per_launch = records_of(&timer->plan), wanted = 1 + n * per_launch, got = 0;
    if (!start_batch(device, err))
        return false;
    bool ok = queue(timer, n, err);
    if (!kb_clockwork_release(device, late, ok ? err : &(struct kb_err){0}) || !ok)
        return false;
    struct kb_cupti_span *spans = calloc((size_t)wanted, sizeof *spans);
    if (!spans)
        kb_out_of_memory();
    ok = kb_cupti_take(&device->clockwork->cupti, spans, wanted, &got, err);
    if (ok && got != wanted)
        ok = kb_fail(err, KB_UNSUPPORTED, "CUPTI told of %d kernels where %d ran", got,
                     wanted);
    for (int i = 0; i < n && ok; i++) { /* the first one is the hold */
        const struct kb_cupti_span *first = &spans[1 + i * per_launch];
        ns[i] = (double)(first[per_launch - 1].end_ns - first->start_ns);
    }
    free(spans);
    return ok;
}

/* Stamps come in steps that no call tells: the least difference between the times of many
 * empty kernels is one, or a small multiple. */
static bool measure_tick(struct kb_device *device, double *tick_ns, struct kb_err *err) {
    struct kb_code code = {.n_launches = 1};
    struct kb_timer *timer = calloc(1, sizeof *timer);
    double ns[TRACED];
    int n = TRACED;
    if (!timer)
        kb_out_of_memory();
    code.functions[0] = device->clockwork->code->functions[KB_EMPTY];
    timer->device = device;
    timer->code = &code;
    timer->method = KB_CUPTI;
    timer->n_sets = 1;
    timer->plan.n_launches = 1;
    timer->plan.launches[0] = kb_timer_empty();
    bool ok = kb_timer_ahead(timer, trace_batch, &n, ns, err);
    free(timer);
    if (ok)
        *tick_ns = kb_least_step(ns, n, 4); /* made to fit the host's clock: +- 1 ns */
    return ok;
}

bool kb_stamps_trace(struct kb_timer *timer, struct kb_err *err) {
    struct kb_clockwork *c = timer->device->clockwork;
    if (!c->cupti.there && !kb_cupti_load(&c->cupti, err))
        return false;
    if (!c->traced && !kb_cupti_start(&c->cupti, err))
        return false;
    c->traced++;
    timer->traced = true;
    return c->cupti_tick_ns > 0 || measure_tick(timer->device, &c->cupti_tick_ns, err);
}

void kb_stamps_untrace(struct kb_timer *timer) {
    struct kb_clockwork *c = timer->device->clockwork;
    if (timer->traced && --c->traced == 0)
        kb_cupti_stop(&c->cupti);
    timer->traced = false;
}

bool kb_stamps_traced(struct kb_timer *timer, int *n, double *ns, struct kb_err *err) {
    *n = *n < TRACED ? *n : TRACED;
    timer->next = timer->tensors->at % timer->n_sets;
    bool ok = kb_timer_ahead(timer, trace_batch, n, ns, err);
    timer->tensors->at = timer->next;
    return ok;
}

/* ---- launch ----------------------------------------------------------------------------
 */

/* Reading the host's clock twice. */
static double clock_ns(void) {
    double ns[CLOCK_READS];
    for (int i = 0; i < CLOCK_READS; i++) {
        int64_t start = kb_now_ns();
        ns[i] = (double)(kb_now_ns() - start);
    }
    kb_sort(ns, CLOCK_READS);
    return ns[CLOCK_READS / 2];
}

/* As many launches for a sample as the GPU gets through in 2 ms: they are all done before
 * the next. */
bool kb_stamps_count_calls(struct kb_timer *timer, struct kb_err *err) {
    struct kb_device *device = timer->device;
    double ns;
    bool late;
    if (!kb_clockwork_hold(device, err) || !kb_clockwork_record(device, 0, err) ||
        !kb_timer_launch(timer, 0, err) || !kb_clockwork_record(device, 1, err) ||
        !kb_clockwork_release(device, &late, err) ||
        !kb_clockwork_between(device, 0, 1, &ns, err))
        return false;
    timer->turns = ns * CALLS <= CALLS_NS ? CALLS
                   : ns < CALLS_NS        ? (int)(CALLS_NS / ns)
                                          : 1;
    timer->clock_ns = clock_ns();
    return true;
}

/* While the hold stands the queue has room for all of them, and nothing that runs makes the
 * host wait. One that ran out says that the host took long, which is what is measured. */
bool kb_stamps_called(struct kb_timer *timer, double *ns, struct kb_err *err) {
    struct kb_device *device = timer->device;
    bool late, ok = true;
    if (!kb_clockwork_hold(device, err))
        return false;
    int64_t start = kb_now_ns();
    for (int i = 0; i < timer->turns && ok; i++)
        ok = kb_timer_launch(timer, 0, err);
    *ns = ((double)(kb_now_ns() - start) - timer->clock_ns) / timer->turns;
    return kb_clockwork_release(device, &late, ok ? err : &(struct kb_err){0}) && ok;
}
