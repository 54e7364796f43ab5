/* engine.h - what one OS thread needs to run blocks, one after another.
 *
 * CUDA threads start lazily: a fiber runs the threads of a block in a loop, as plain calls,
 * and only when one of them has to wait does another fiber take the loop over. A kernel
 * without barriers and collectives never leaves its first fiber. */
#ifndef KBH_ENGINE_H
#define KBH_ENGINE_H

#include "fiber.h"
#include "runtime.h"

enum {
    KBH_MAX_THREADS = 1024,
    KBH_MAX_WARPS = 32,
    KBH_MAX_BARRIERS = 64, /* barriers that threads wait at at once */
    KBH_SPINS = 1024,      /* atomics in a row before a thread lets others run */
    KBH_SYNCS = 4096,
    KBH_MAX_SHARED = 64,
};

struct kbh_launch {
    const kbh_entry *entry;
    unsigned grid[3], block[3];
    size_t smem;
    bool early; /* may start before the kernels ahead have ended */
    void *args[32];
    unsigned char values[32][8];
};

enum kbh_order { KBH_FORWARD, KBH_REVERSED, KBH_SHUFFLED };

/* Threads at one barrier: the same id, count, kind and call. */
struct kbh_gate {
    int id, count, arrived, sum;
    enum kbh_kind kind;
    const char *file;
    int line;
    unsigned waiting[KBH_MAX_WARPS];
    void *sync;
};

struct kbh_pending {
    kbh_pending *next;
    int group;
    kbh_copy copy;
};

/* A __shared__ variable that the block has entered, for reports. */
struct kbh_shared {
    const char *name;
    const char *data;
    size_t bytes;
};

struct kbh_engine {
    const kbh_launch *launch;
    const uint3 *indices; /* of every thread of a block */
    uint64_t seed, random;
    unsigned n_threads, n_warps;

    /* threads */
    unsigned live;
    unsigned runnable[KBH_MAX_WARPS]; /* not started, or ready to go on */
    unsigned left[KBH_MAX_WARPS];     /* returned from the kernel, or never there */
    kbh_fiber *owner[KBH_MAX_THREADS]; /* of one that waits or is ready to go on */
    int result[KBH_MAX_THREADS];       /* of its last barrier */
    unsigned warp, lane; /* where the search for the next thread begins */
    unsigned spins;

    /* fibers */
    kbh_fiber base, *fiber, *free, *used;
    kbh_fiber *chunks[KBH_MAX_THREADS / KBH_STACKS_AT_ONCE + 1];
    unsigned n_chunks;
    int start; /* the thread that the fiber jumped to shall start; -1: none */
    void *contexts[KBH_MAX_THREADS], *base_context; /* TSan's */
    unsigned n_contexts;
    void *sync;                                     /* TSan's, of the last wait */
    unsigned n_syncs;
    char syncs[KBH_SYNCS]; /* addresses that stand for barriers */
    char block_begin, block_end;

    /* who waits for what */
    kbh_gate gates[KBH_MAX_BARRIERS];
    uint64_t gates_used; /* a bit each */
    kbh_meeting meetings[KBH_MAX_WARPS][32];
    unsigned in_use[KBH_MAX_WARPS]; /* meetings, a bit each */
    unsigned active[KBH_MAX_WARPS]; /* the open __activemask ones among them */

    /* shared memory */
    char *dynamic;
    size_t static_bytes;
    kbh_shared shared[KBH_MAX_SHARED];
    unsigned n_shared;

    /* asynchronous copies */
    kbh_pending *copies[KBH_MAX_THREADS], **copies_end[KBH_MAX_THREADS], *spare_copies;
    int groups[KBH_MAX_THREADS]; /* committed so far */
    bool any_copies;
};

/* Run block number `index` of the launch to its end. */
void kbh_run_block(kbh_engine *engine, uint64_t index);
/* For a launch; `single` when this is its only OS thread. */
void kbh_engine_begin(kbh_engine *engine, const kbh_launch *launch, const uint3 *indices,
                      uint64_t seed, bool single);

/* ---- what ends a run (runner.cc) ------------------------------------------------------- */

/* status words of the reply */
enum kbh_status {
    KBH_OK,
    KBH_DEADLOCK,
    KBH_TRAP,
    KBH_NO_PTX,
    KBH_ARGUMENTS,
    KBH_LIMIT,
    KBH_MISALIGNED,
};
[[noreturn]] void kbh_stop(enum kbh_status status, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* The first one of a run is kept. */
void kbh_warn(const char *format, ...) __attribute__((format(printf, 1, 2)));
extern size_t kbh_smem_limit;

#endif
