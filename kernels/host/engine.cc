/* engine.cc - the scheduler of a block: threads, barriers, warp collectives. Included by
 * runner.cc. */
#include "engine.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>

__thread uint3 threadIdx, blockIdx;
__thread dim3 blockDim, gridDim;
__thread kbh_state kbh_now;
static __thread kbh_engine *engine;

static void kbh_dynamic_begin(kbh_engine *e, bool single);
static size_t early_left; /* bytes that may be copied for threads that start early */
static void kbh_start_early(void);
static void kbh_end_early(void);
static void kbh_shared_begin(kbh_engine *e);
static void drop_copies(kbh_engine *e);

static const char *const kind_names[] = {
#define X(id, name) name,
    KBH_KINDS(X)
#undef X
};

/* ---- order --------------------------------------------------------------------------- */

static uint64_t next_random(uint64_t *state) {
    uint64_t x = *state += 0x9e3779b97f4a7c15ull; /* splitmix64 */
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ x >> 27) * 0x94d049bb133111ebull;
    return x ^ x >> 31;
}

/* Lane by lane, round and round in one warp while any lane of it can run, then the next
 * warp. */
static int pick_forward(kbh_engine *e) {
    for (unsigned i = 0; i <= e->n_warps; i++) {
        unsigned ready = e->runnable[e->warp];
        unsigned later = e->lane < 32 ? ready & ~0u << e->lane : 0;
        if (ready)
            return (int)(e->warp * 32) + __builtin_ctz(later ? later : ready);
        e->warp = e->warp + 1 < e->n_warps ? e->warp + 1 : 0;
        e->lane = 0;
    }
    return -1;
}

static int pick_reversed(kbh_engine *e) {
    for (unsigned i = 0; i <= e->n_warps; i++) {
        unsigned ready = e->runnable[e->warp];
        unsigned below = e->lane < 32 ? ready & ((1u << e->lane) - 1) : ready;
        if (ready)
            return (int)(e->warp * 32) + 31 - __builtin_clz(below ? below : ready);
        e->warp = e->warp ? e->warp - 1 : e->n_warps - 1;
        e->lane = 32;
    }
    return -1;
}

static int pick_random(kbh_engine *e) {
    uint64_t r = next_random(&e->random);
    unsigned first = (unsigned)(r >> 32) % e->n_warps, turn = r & 31;
    for (unsigned i = 0; i < e->n_warps; i++) {
        unsigned w = first + i < e->n_warps ? first + i : first + i - e->n_warps;
        unsigned ready = e->runnable[w];
        if (!ready)
            continue;
        unsigned turned = turn ? ready >> turn | ready << (32 - turn) : ready;
        return (int)(w * 32 + (((unsigned)__builtin_ctz(turned) + turn) & 31));
    }
    return -1;
}

/* The thread to run next, taken off the runnable ones; -1 when all wait or have left. */
static int pick(kbh_engine *e) {
    int t = e->seed == 0   ? pick_forward(e)
            : e->seed == 1 ? pick_reversed(e)
                           : pick_random(e);
    if (t >= 0) {
        e->runnable[t >> 5] &= ~(1u << (t & 31));
        e->warp = (unsigned)t >> 5;
        e->lane = ((unsigned)t & 31) + (e->seed == 0);
    }
    return t;
}

/* Whether the running lane is the last of its warp in this round. */
static bool is_last_of_round(const kbh_engine *e) {
    unsigned ready = e->runnable[kbh_now.warp], lane = kbh_now.lane;
    return !(e->seed == 0 ? ready >> lane : ready & ((1u << lane) - 1));
}

/* ---- switching ------------------------------------------------------------------------- */

/* Thread t's built-in variables. */
static void become(kbh_engine *e, unsigned t) {
    kbh_now.thread = t;
    kbh_now.lane = t & 31;
    kbh_now.warp = t >> 5;
    threadIdx = e->indices[t];
    e->spins = 0;
    if (kbh_tsan())
        __tsan_switch_to_fiber(e->contexts[t], KBH_TSAN_NO_SYNC);
}

static void prepare_chunk(kbh_engine *e, kbh_fiber *chunk) {
    for (unsigned i = 0; i < KBH_STACKS_AT_ONCE; i++) {
        kbh_fiber_prepare(&chunk[i], i);
        chunk[i].next = e->free;
        e->free = &chunk[i];
    }
}

static kbh_fiber *take_free(kbh_engine *e) {
    if (!e->free) {
        kbh_fiber *more = kbh_fibers_make();
        if (!more)
            kbh_stop(KBH_LIMIT, "no memory for the stacks of %u waiting threads",
                     e->n_chunks * KBH_STACKS_AT_ONCE);
        e->chunks[e->n_chunks++] = more;
        prepare_chunk(e, more);
    }
    kbh_fiber *f = e->free;
    e->free = f->next;
    return f;
}

static void jump(kbh_engine *e, kbh_fiber *to) {
    kbh_fiber *from = e->fiber;
    e->fiber = to;
    kbh_fiber_jump(from, to);
}

[[noreturn]] static void report_deadlock(kbh_engine *e);

/* Go on with thread t from a fiber that shall be resumed later. */
static void run_elsewhere(kbh_engine *e, int t) {
    if (t < 0) {
        report_deadlock(e);
    } else if (e->owner[t]) {
        become(e, (unsigned)t);
        jump(e, e->owner[t]);
    } else {
        e->start = t;
        jump(e, take_free(e));
    }
}

/* The running thread stops here until it is picked again. */
static void suspend(kbh_engine *e, int next) {
    unsigned t = kbh_now.thread;
    kbh_end_early();
    e->owner[t] = e->fiber;
    if (next == (int)t)
        become(e, t);
    else
        run_elsewhere(e, next);
    e->owner[t] = NULL;
}

void kbh_yield(void) {
    kbh_engine *e = engine;
    unsigned warp = kbh_now.warp;
    /* A warp of spinning lanes must not keep the block to itself. */
    if (is_last_of_round(e)) {
        e->warp = e->seed == 0 ? (warp + 1) % e->n_warps : (warp ? warp : e->n_warps) - 1;
        e->lane = e->seed == 0 ? 0 : 32;
    }
    int next = pick(e);
    if (next < 0)
        return;
    e->runnable[warp] |= 1u << kbh_now.lane;
    suspend(e, next);
}

void kbh_spin(void) {
    if (++engine->spins >= KBH_SPINS)
        kbh_yield();
}

/* ---- meetings of a warp ---------------------------------------------------------------- */

/* An address that stands for one barrier or collective in TSan's eyes. Old ones come back
 * after so many others that nobody is left at them. */
static void *new_sync(kbh_engine *e) {
    return &e->syncs[e->n_syncs++ % KBH_SYNCS];
}

static void complete(kbh_engine *e, unsigned warp, kbh_meeting *m) {
    m->open = false;
    m->inside = m->arrived;
    e->runnable[warp] |= m->arrived;
}

static bool all_here(const kbh_engine *e, unsigned warp, const kbh_meeting *m) {
    return (m->mask & ~(m->arrived | e->left[warp])) == 0;
}

static kbh_meeting *find_meeting(kbh_engine *e, unsigned warp, enum kbh_kind kind,
                                 unsigned mask, const char *file, int line) {
    kbh_meeting *all = e->meetings[warp];
    for (unsigned rest = e->in_use[warp]; rest; rest &= rest - 1) {
        kbh_meeting *m = &all[__builtin_ctz(rest)];
        if (m->open && m->kind == kind && m->mask == mask &&
            (kind != KBH_ACTIVEMASK || (m->line == line && m->file == file)))
            return m;
    }
    unsigned i = (unsigned)__builtin_ctz(~e->in_use[warp]);
    e->in_use[warp] |= 1u << i;
    if (kind == KBH_ACTIVEMASK)
        e->active[warp] |= 1u << i;
    kbh_meeting *m = &all[i];
    m->kind = kind;
    m->mask = mask;
    m->arrived = m->inside = 0;
    m->file = file;
    m->line = line;
    m->open = true;
    m->sync = kbh_tsan() && kind == KBH_SYNCWARP ? new_sync(e) : NULL;
    return m;
}

/* No lane of the warp can go on: those at an __activemask are all that will come. */
static void settle_warp(kbh_engine *e, unsigned warp) {
    while (!e->runnable[warp] && e->active[warp]) {
        unsigned i = (unsigned)__builtin_ctz(e->active[warp]);
        e->active[warp] &= e->active[warp] - 1;
        complete(e, warp, &e->meetings[warp][i]);
    }
}

kbh_meeting *kbh_meet(enum kbh_kind kind, unsigned mask, uint64_t value, const char *file,
                      int line) {
    kbh_engine *e = engine;
    unsigned warp = kbh_now.warp, lane = kbh_now.lane;
    if (!(mask >> lane & 1)) {
        kbh_warn("%s:%d: lane %u calls %s with the mask 0x%08x, which leaves it out", file,
                 line, lane, kind_names[kind], mask);
        return NULL;
    }
    kbh_meeting *m = find_meeting(e, warp, kind, mask, file, line);
    m->arrived |= 1u << lane;
    m->value[lane] = value;
    if (m->sync)
        __tsan_release(m->sync);
    if (kind != KBH_ACTIVEMASK && all_here(e, warp, m))
        complete(e, warp, m);
    settle_warp(e, warp);
    suspend(e, pick(e));
    if (m->sync)
        __tsan_acquire(m->sync);
    return m;
}

void kbh_part(kbh_meeting *m) {
    unsigned warp = kbh_now.warp;
    m->inside &= ~(1u << kbh_now.lane);
    if (!m->inside)
        engine->in_use[warp] &= ~(1u << (m - engine->meetings[warp]));
}

void kbh_absent_lane(enum kbh_kind kind, int lane, const char *file, int line) {
    kbh_warn("%s:%d: %s reads from lane %d, which does not take part", file, line,
             kind_names[kind], lane);
}

/* ---- barriers -------------------------------------------------------------------------- */

static bool gate_full(const kbh_engine *e, const kbh_gate *g) {
    return g->arrived >= (g->count ? g->count : (int)e->live);
}

static void open_gate(kbh_engine *e, kbh_gate *g) {
    if (!g->count && e->live < e->n_threads)
        kbh_warn("%s:%d: %u of %u threads had left the kernel before this %s", g->file,
                 g->line, e->n_threads - e->live, e->n_threads, kind_names[g->kind]);
    bool sums = g->kind != KBH_SYNCTHREADS;
    for (unsigned w = 0; w < e->n_warps; w++) {
        e->runnable[w] |= g->waiting[w];
        for (unsigned rest = sums ? g->waiting[w] : 0; rest; rest &= rest - 1)
            e->result[w * 32 + (unsigned)__builtin_ctz(rest)] = g->sum;
    }
    e->gates_used &= ~(1ull << (g - e->gates));
}

static bool same_gate(const kbh_gate *g, enum kbh_kind kind, int id, int count,
                      const char *file, int line) {
    if (g->id != id || g->count != count || g->kind != kind)
        return false;
    return count || (g->line == line && (g->file == file || strcmp(g->file, file) == 0));
}

/* Where threads wait at different calls of __syncthreads, each call is a barrier of its
 * own: CUDA wants all threads of the block at the same one. */
static kbh_gate *find_gate(kbh_engine *e, enum kbh_kind kind, int id, int count,
                           const char *file, int line) {
    for (uint64_t rest = e->gates_used; rest; rest &= rest - 1) {
        kbh_gate *g = &e->gates[__builtin_ctzll(rest)];
        if (same_gate(g, kind, id, count, file, line))
            return g;
    }
    if (!~e->gates_used)
        kbh_stop(KBH_LIMIT, "%s:%d: threads wait at more than %d barriers at once", file,
                 line, KBH_MAX_BARRIERS);
    int i = __builtin_ctzll(~e->gates_used);
    e->gates_used |= 1ull << i;
    kbh_gate *g = &e->gates[i];
    memset(g->waiting, 0, sizeof g->waiting);
    g->arrived = g->sum = 0;
    g->id = id;
    g->count = count;
    g->kind = kind;
    g->file = file;
    g->line = line;
    g->sync = kbh_tsan() ? new_sync(e) : NULL;
    return g;
}

static kbh_gate *arrive(kbh_engine *e, enum kbh_kind kind, int id, int count, int value,
                        const char *file, int line) {
    kbh_gate *g = find_gate(e, kind, id, count, file, line);
    g->arrived++;
    g->sum += value != 0;
    if (g->sync)
        __tsan_release(g->sync);
    return g;
}

int kbh_barrier(enum kbh_kind kind, int id, int count, int value, const char *file,
                int line) {
    kbh_engine *e = engine;
    unsigned t = kbh_now.thread;
    kbh_gate *g = arrive(e, kind, id, count, value, file, line);
    void *sync = g->sync;
    g->waiting[t >> 5] |= 1u << (t & 31);
    if (gate_full(e, g))
        open_gate(e, g);
    settle_warp(e, t >> 5);
    suspend(e, pick(e));
    if (sync)
        __tsan_acquire(sync);
    return e->result[t];
}

void kbh_barrier_arrive(int id, int count, const char *file, int line) {
    kbh_gate *g = arrive(engine, KBH_BARRIER, id, count, 0, file, line);
    if (gate_full(engine, g))
        open_gate(engine, g);
}

/* ---- deadlock -------------------------------------------------------------------------- */

struct kbh_text {
    char data[800];
    size_t length;
};

__attribute__((format(printf, 2, 3))) static void add(kbh_text *text, const char *format,
                                                      ...) {
    va_list args;
    va_start(args, format);
    size_t room = sizeof text->data - text->length;
    int n = vsnprintf(text->data + text->length, room, format, args);
    va_end(args);
    if (n > 0)
        text->length += (size_t)n < room ? (size_t)n : room - 1;
}

/* "lanes 0-3,8", "lane 5" */
static void add_lanes(kbh_text *text, unsigned lanes) {
    add(text, lanes & (lanes - 1) ? "lanes " : "lane ");
    for (int i = 0, first = 1; i < 32; i++) {
        if (!(lanes >> i & 1))
            continue;
        int from = i;
        while (i < 31 && lanes >> (i + 1) & 1)
            i++;
        add(text, first ? "%d" : ",%d", from);
        if (i > from)
            add(text, "-%d", i);
        first = 0;
    }
}

static void report_deadlock(kbh_engine *e) {
    kbh_text text = {};
    int named = 0;
    for (uint64_t rest = e->gates_used; rest; rest &= rest - 1) {
        const kbh_gate *g = &e->gates[__builtin_ctzll(rest)];
        add(&text, "%s%d threads at %s %s:%d", named++ ? "; " : "", g->arrived,
            kind_names[g->kind], g->file, g->line);
        if (g->count)
            add(&text, " (barrier %d of %d threads)", g->id, g->count);
    }
    for (unsigned w = 0; w < e->n_warps; w++) {
        for (unsigned rest = e->in_use[w]; rest; rest &= rest - 1) {
            const kbh_meeting *m = &e->meetings[w][__builtin_ctz(rest)];
            if (!m->open || ++named > 6)
                continue;
            add(&text, "%s", named > 1 ? "; " : "");
            add_lanes(&text, m->arrived);
            add(&text, " of warp %u at %s(0x%08x) %s:%d, without ", w, kind_names[m->kind],
                m->mask, m->file, m->line);
            add_lanes(&text, m->mask & ~(m->arrived | e->left[w]));
        }
    }
    if (named > 6)
        add(&text, "; and %d more", named - 6);
    if (e->live < e->n_threads)
        add(&text, "; %u threads had left the kernel", e->n_threads - e->live);
    kbh_stop(KBH_DEADLOCK, "block (%u,%u,%u) waits for ever: %s", blockIdx.x, blockIdx.y,
             blockIdx.z, text.data);
}

/* ---- threads --------------------------------------------------------------------------- */

/* The running thread has returned from the kernel: who waited for it may go on. */
static void leave_kernel(kbh_engine *e) {
    unsigned t = kbh_now.thread, warp = t >> 5;
    e->left[warp] |= 1u << (t & 31);
    e->live--;
    for (unsigned rest = e->in_use[warp]; rest; rest &= rest - 1) {
        kbh_meeting *m = &e->meetings[warp][__builtin_ctz(rest)];
        if (m->open && m->kind != KBH_ACTIVEMASK && all_here(e, warp, m))
            complete(e, warp, m);
    }
    settle_warp(e, warp);
    for (uint64_t rest = e->live ? e->gates_used : 0; rest; rest &= rest - 1) {
        kbh_gate *g = &e->gates[__builtin_ctzll(rest)];
        if (!g->count && gate_full(e, g))
            open_gate(e, g);
    }
    if (kbh_tsan())
        __tsan_release(&e->block_end);
}

/* The loop over the block's threads, on whatever fiber has nothing better to do. */
static void kbh_fiber_main(void) {
    if (__sanitizer_finish_switch_fiber)
        __sanitizer_finish_switch_fiber(NULL, NULL, NULL);
    kbh_engine *e = engine;
    for (;;) {
        int t = e->start >= 0 ? e->start : pick(e);
        e->start = -1;
        if (t >= 0 && !e->owner[t]) {
            become(e, (unsigned)t);
            if (kbh_tsan())
                __tsan_acquire(&e->block_begin);
            if (early_left)
                kbh_start_early();
            e->launch->entry->call(e->launch->args);
            kbh_end_early();
            leave_kernel(e);
            if (!kbh_tsan() || !e->live)
                continue;
            /* To TSan the next thread must not share a stack with this one. */
            kbh_fiber *self = e->fiber;
            self->next = e->used;
            e->used = self;
            run_elsewhere(e, pick(e));
            continue;
        }
        if (t < 0 && e->live)
            report_deadlock(e);
        kbh_fiber *self = e->fiber;
        self->next = e->free;
        e->free = self;
        if (t >= 0) {
            become(e, (unsigned)t);
            jump(e, e->owner[t]);
        } else {
            jump(e, &e->base);
        }
    }
}

/* ---- blocks ---------------------------------------------------------------------------- */

/* ASan wants to know where a switch leads to. */
static void find_own_stack(kbh_fiber *base) {
    pthread_attr_t attr;
    void *stack;
    if (pthread_getattr_np(pthread_self(), &attr))
        return;
    pthread_attr_getstack(&attr, &stack, &base->stack_bytes);
    base->stack = (char *)stack;
    pthread_attr_destroy(&attr);
}

void kbh_engine_begin(kbh_engine *e, const kbh_launch *launch, const uint3 *indices,
                      uint64_t seed, bool single) {
    engine = e;
    e->launch = launch;
    e->indices = indices;
    e->seed = seed;
    e->n_threads = launch->block[0] * launch->block[1] * launch->block[2];
    e->n_warps = (e->n_threads + 31) / 32;
    kbh_now.threads = e->n_threads;
    /* From their beginning: a fiber that another OS thread left half-way would still hold
     * addresses of that one's thread-local variables. */
    e->free = NULL;
    for (unsigned i = 0; i < e->n_chunks; i++)
        prepare_chunk(e, e->chunks[i]);
    if (kbh_asan())
        find_own_stack(&e->base);
    blockDim = dim3(launch->block[0], launch->block[1], launch->block[2]);
    gridDim = dim3(launch->grid[0], launch->grid[1], launch->grid[2]);
    kbh_dynamic_begin(e, single);
}

static void reset(kbh_engine *e) {
    e->live = e->n_threads;
    for (unsigned w = 0; w < e->n_warps; w++) {
        unsigned there = e->n_threads - w * 32;
        unsigned lanes = there < 32 ? (1u << there) - 1 : ~0u;
        e->runnable[w] = lanes;
        e->left[w] = ~lanes;
    }
    e->warp = e->seed == 1 ? e->n_warps - 1 : 0;
    e->lane = e->seed == 1 ? 32 : 0;
    e->start = -1;
}

/* A context of TSan's takes a millisecond to make: thread t of every block has the same one.
 * Blocks are ordered one after the other. */
static void tsan_begin(kbh_engine *e) {
    e->base_context = __tsan_get_current_fiber();
    for (; e->n_contexts < e->n_threads; e->n_contexts++)
        e->contexts[e->n_contexts] = __tsan_create_fiber(0);
    __tsan_release(&e->block_begin);
}

static void tsan_end(kbh_engine *e) {
    __tsan_switch_to_fiber(e->base_context, KBH_TSAN_NO_SYNC);
    __tsan_acquire(&e->block_end);
    while (kbh_fiber *f = e->used) {
        e->used = f->next;
        f->next = e->free;
        e->free = f;
    }
}

void kbh_run_block(kbh_engine *e, uint64_t index) {
    unsigned gx = e->launch->grid[0], gy = e->launch->grid[1];
    blockIdx.x = (unsigned)(index % gx);
    blockIdx.y = (unsigned)(index / gx % gy);
    blockIdx.z = (unsigned)(index / gx / gy);
    kbh_now.block++;
    e->random = e->seed * 0x9e3779b97f4a7c15ull + index;
    reset(e);
    kbh_shared_begin(e);
    if (kbh_tsan())
        tsan_begin(e);
    e->fiber = &e->base;
    jump(e, take_free(e));
    if (kbh_tsan())
        tsan_end(e);
    e->gates_used = 0; /* named barriers that threads arrived at and nobody waited for */
    drop_copies(e);
}
