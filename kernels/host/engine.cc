/* engine.cc - the scheduler of a block: which thread runs, on which stack, from its start to
 * its end. Included by runner.cc. */
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

#include "meetings.cc"

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
