/* cuda_timer.h - inside of timing on the GPU.
 *
 * cuda_clockwork.c holds what all timers of a device share (events, the hold, the flush),
 * cuda_sets.c the buffers, cuda_graph.c captures, cuda_stamps.c samples by other clocks
 * than events, cuda_energy.c energy, cuda_timer.c is the timer itself. */
#ifndef KB_EXEC_CUDA_TIMER_H
#define KB_EXEC_CUDA_TIMER_H

#include "cuda_cupti.h"
#include "cuda_device.h"

/* ---- what timers of a device share ------------------------------------------------------
 */

enum { KB_MAX_EVENTS = 128 };
enum kb_helper {
    KB_EMPTY,
    KB_HOLD,
    KB_FLUSH_WRITE,
    KB_FLUSH_READ,
    KB_FLUSH_LAST,
    KB_FLUSH_NORMAL,
    KB_HELPER_COUNT
};

struct kb_clockwork {
    struct kb_code *code; /* kernels/timer.cu, by enum kb_helper */
    CUevent events[KB_MAX_EVENTS];
    volatile unsigned *flags; /* pinned: [0] go, [1] late */
    CUdeviceptr flags_device, sink, flush;
    size_t flush_bytes;
    unsigned lates;                   /* holds that ran out */
    double tick_ns;                   /* the least difference of two times between events */
    double pair_ns;                   /* between two events with nothing in between */
    struct kb_cupti cupti;            /* loaded at the first use */
    int traced;                       /* timers that are open with it */
    double cupti_tick_ns;             /* 0: not measured yet */
    double floor_ns[KB_METHOD_COUNT]; /* 0: not measured yet */
    struct kb_sets *sets;
};
/* Made at the first call, kept in device->clockwork. */
bool kb_clockwork_get(struct kb_device *device, struct kb_clockwork **out,
                      struct kb_err *err);
void kb_clockwork_free(struct kb_device *device);
/* Queue a kernel that stands in front of all that is queued until the release. */
bool kb_clockwork_hold(struct kb_device *device, struct kb_err *err);
/* Let it go and wait for the end of the queue. *late: it had let go by itself, so what was
 * queued behind it did not wait for the whole of it. */
bool kb_clockwork_release(struct kb_device *device, bool *late, struct kb_err *err);
/* Queue: lines that kernels asked the L2 to keep are lines like all others from here on,
 * else the flush goes past them. By kernels, not by cuCtxResetPersistingL2Cache: after a
 * few calls of it (1 to 3, on an H200 with driver 580), as after work on a third stream,
 * each kernel of the context takes longer till its end, one in a graph 0.2 to 0.4 us, and
 * graphs of the same kernels are half a percent apart. */
bool kb_clockwork_forget(struct kb_device *device, struct kb_err *err);
/* Queue: read twice the L2's size, so that nothing of use and nothing dirty is left in it.
 * On an H200, copies of 4 KB to 192 MB take the same cold time after reading it once, after
 * this, and after writing and reading it three times, which takes 133 us and not 48. */
bool kb_clockwork_flush(struct kb_device *device, struct kb_err *err);
bool kb_clockwork_record(struct kb_device *device, int event, struct kb_err *err);
bool kb_clockwork_between(struct kb_device *device, int from, int to, double *ns,
                          struct kb_err *err);
/* The least difference between times that is more than `rounding`; sorts them. All the
 * same: the step is at least as long as what was timed. */
double kb_least_step(double *ns, int n, double rounding);

/* ---- buffer sets ------------------------------------------------------------------------
 * Copies of some slots of a slab, one after the other, and a pristine one behind them. */
struct kb_sets {
    struct kb_sets *next;
    int users, count, n;
    uint64_t age; /* of those without users the oldest goes first */
    struct kb_hash key;
    size_t stride, bytes; /* bytes: of the slots themselves, in one set */
    size_t offsets[KB_MAX_SLOTS], sizes[KB_MAX_SLOTS];
    CUdeviceptr memory;
    const struct kb_timer *fresh; /* whose one rotation, and nothing else, they hold */
    /* The set that samples go on from, of whichever timer: what one has just been over is
     * in the L2 for the next. */
    int at;
};
/* Slots [first, first + n) of `slab`, `count` times at least. Shared with other timers over
 * equal slots. */
bool kb_sets_open(struct kb_device *device, const struct kb_slab *slab, int first, int n,
                  int count, struct kb_sets **out, struct kb_err *err);
void kb_sets_close(struct kb_device *device, struct kb_sets *sets);
/* Queue copies that put the first `count` back to what the slab was. */
bool kb_sets_reset(struct kb_device *device, struct kb_sets *sets, int count,
                   struct kb_err *err);
CUdeviceptr kb_sets_at(const struct kb_sets *sets, int set, int slot); /* 0: absent */
/* Read set `set` back into the same slots of a slab of the same layout. */
bool kb_sets_read(struct kb_device *device, const struct kb_sets *sets, int set, int first,
                  struct kb_slab *out, struct kb_err *err);
/* Give up what no timer uses; whether there was any. */
bool kb_sets_drop_idle(struct kb_device *device);
size_t kb_sets_idle_bytes(const struct kb_device *device);

/* ---- timers ----------------------------------------------------------------------------
 */

struct kb_timer {
    struct kb_device *device;
    struct kb_code *code;
    struct kb_plan plan;
    enum kb_method method;
    int n_tensors, n_sets;
    struct kb_sets *tensors, *scratch;
    /* graph and pdl: a sample is one of the graphs, in turn; each has a share of the sets,
     * `turns` times over (more than once only where there is one graph) */
    CUgraphExec *graphs, rotation; /* rotation: each set once, made where turns > 1 */
    int n_graphs, turns, next;
    /* cupti: the next launch's set is `next`; launch: a sample is `turns` of them */
    bool traced;
    double clock_ns; /* of reading the host's clock */
};
/* Queue one launch of the plan over set `set`. */
bool kb_timer_launch(const struct kb_timer *timer, int set, struct kb_err *err);
/* A graph of `launches` of them, set after set from `first` on, ready to be launched. */
bool kb_timer_capture(struct kb_timer *timer, int first, int launches, CUgraphExec *out,
                      struct kb_err *err);
bool kb_timer_make_graphs(struct kb_timer *timer, struct kb_err *err);
void kb_timer_free_graphs(struct kb_timer *timer);
/* The first set of a graph, and the launches in it. */
int kb_timer_first(const struct kb_timer *timer, int graph);
int kb_timer_launches(const struct kb_timer *timer, int graph);
/* The graph anew, in memory of its own: the old one goes after that. Of several each is a
 * part of the rotation, and stays: the next sample of one that was just replayed, as the
 * first replay of a new one has to be, would find its buffers in the L2. */
bool kb_timer_renew(struct kb_timer *timer, struct kb_err *err);
/* Queue each set once. */
bool kb_timer_rotate(struct kb_timer *timer, struct kb_err *err);
/* The launch that does nothing. */
struct kb_launch kb_timer_empty(void);

/* `batch` of *n samples behind one hold, again and of half as many (*n: how many there are)
 * where the hold ran out; fails where it does so each time. */
bool kb_timer_ahead(struct kb_timer *timer,
                    bool (*batch)(struct kb_timer *timer, int n, double *ns, bool *late,
                                  struct kb_err *err),
                    int *n, double *ns, struct kb_err *err);

/* Trace with CUPTI from here on, as long as a timer wants it. */
bool kb_stamps_trace(struct kb_timer *timer, struct kb_err *err);
void kb_stamps_untrace(struct kb_timer *timer);
/* Up to *n samples by CUPTI's stamps; *n: how many there are. */
bool kb_stamps_traced(struct kb_timer *timer, int *n, double *ns, struct kb_err *err);
/* Before the first sample of the host's time, and one. */
bool kb_stamps_count_calls(struct kb_timer *timer, struct kb_err *err);
bool kb_stamps_called(struct kb_timer *timer, double *ns, struct kb_err *err);

bool kb_timer_open(struct kb_device *device, struct kb_code *code,
                   const struct kb_plan *plan, const struct kb_slab *initial,
                   enum kb_method method, int sets, struct kb_timer **out,
                   struct kb_timer_facts *facts, struct kb_err *err);
bool kb_timer_sample(struct kb_timer *timer, int n, double *ns, struct kb_err *err);
bool kb_timer_result(struct kb_timer *timer, int set, struct kb_slab *out,
                     struct kb_err *err);
bool kb_timer_energy(struct kb_timer *timer, double seconds, double *joules,
                     struct kb_err *err);
void kb_timer_close(struct kb_timer *timer);
bool kb_timer_floor(struct kb_device *device, enum kb_method method, double *ns,
                    struct kb_err *err);

#endif
