/* runtime.h - the seam between the shim's inline functions, which are compiled with the
 * kernel, and the runner, which is compiled once for all kernels.
 *
 * The runner is never instrumented by a sanitizer; the kernel's side is, so what both touch
 * goes through the functions here or is written by the runner alone. */
#ifndef KBH_RUNTIME_H
#define KBH_RUNTIME_H

#include <stddef.h>
#include <stdint.h>

#include <vector_types.h>

/* The call's place in the .cu, as last parameters with defaults. */
#define KBH_SITE const char *file = __builtin_FILE(), int line = __builtin_LINE()

/* The CUDA thread that runs now on this OS thread. Written at every switch. */
extern __thread uint3 threadIdx, blockIdx;
extern __thread dim3 blockDim, gridDim;

struct kbh_state {
    uint64_t block;  /* number of the block that runs on this OS thread, from 1 */
    unsigned thread; /* linear index inside the block */
    unsigned lane, warp;
    unsigned threads; /* in a block */
};
extern __thread kbh_state kbh_now;

/* ---- warp collectives ------------------------------------------------------------------
 * Lanes of a warp that meet with the same kind and mask exchange 8-byte values. */

/* id, how a report names it */
#define KBH_KINDS(X)                                                                       \
    X(KBH_SYNCTHREADS, "__syncthreads")                                                    \
    X(KBH_SYNCTHREADS_COUNT, "__syncthreads_count")                                        \
    X(KBH_SYNCTHREADS_AND, "__syncthreads_and")                                            \
    X(KBH_SYNCTHREADS_OR, "__syncthreads_or")                                              \
    X(KBH_BARRIER, "named barrier")                                                        \
    X(KBH_SYNCWARP, "__syncwarp")                                                          \
    X(KBH_SHFL, "__shfl_sync")                                                             \
    X(KBH_SHFL_UP, "__shfl_up_sync")                                                       \
    X(KBH_SHFL_DOWN, "__shfl_down_sync")                                                   \
    X(KBH_SHFL_XOR, "__shfl_xor_sync")                                                     \
    X(KBH_BALLOT, "__ballot_sync")                                                         \
    X(KBH_ANY, "__any_sync")                                                               \
    X(KBH_ALL, "__all_sync")                                                               \
    X(KBH_MATCH_ANY, "__match_any_sync")                                                   \
    X(KBH_MATCH_ALL, "__match_all_sync")                                                   \
    X(KBH_REDUCE_ADD, "__reduce_add_sync")                                                 \
    X(KBH_REDUCE_MIN, "__reduce_min_sync")                                                 \
    X(KBH_REDUCE_MAX, "__reduce_max_sync")                                                 \
    X(KBH_REDUCE_AND, "__reduce_and_sync")                                                 \
    X(KBH_REDUCE_OR, "__reduce_or_sync")                                                   \
    X(KBH_REDUCE_XOR, "__reduce_xor_sync")                                                 \
    X(KBH_ACTIVEMASK, "__activemask")                                                      \
    X(KBH_GATHER, "kb_host_gather")                                                        \
    X(KBH_MMA, "mma")                                                                      \
    X(KBH_LDMATRIX, "ldmatrix")

enum kbh_kind {
#define X(id, name) id,
    KBH_KINDS(X)
#undef X
};

struct kbh_meeting {
    unsigned arrived; /* lanes that are in it */
    uint64_t value[32];
    /* the runner's */
    unsigned mask, inside;
    enum kbh_kind kind;
    const char *file;
    int line;
    bool open;
    void *sync;
};

/* Arrive and wait for the lanes of `mask` that have not left the kernel. NULL, and a
 * warning, where the mask leaves the calling lane out. Every lane that got one gives it
 * back by kbh_part. */
kbh_meeting *kbh_meet(enum kbh_kind kind, unsigned mask, uint64_t value, const char *file,
                      int line);
void kbh_part(kbh_meeting *meeting);
/* Whether nobody has given it back yet: the lane that goes on first. */
static inline bool kbh_is_first(const kbh_meeting *meeting) {
    return meeting->inside == meeting->arrived;
}
/* A lane reads from one that is not in the meeting: a warning. */
void kbh_absent_lane(enum kbh_kind kind, int lane, const char *file, int line);

/* ---- barriers --------------------------------------------------------------------------
 * `count` 0: all threads that have not left the kernel; else a named barrier of that many.
 * Returns the number of threads for which `value` was not 0. */
int kbh_barrier(enum kbh_kind kind, int id, int count, int value, const char *file,
                int line);
/* Counts as arrived at a named barrier, without waiting. */
void kbh_barrier_arrive(int id, int count, const char *file, int line);

/* ---- scheduling ------------------------------------------------------------------------ */

/* Let another thread of the block run. */
void kbh_yield(void);
/* Called by what a spin loop calls: yields every so often. */
void kbh_spin(void);

/* ---- shared memory --------------------------------------------------------------------- */

/* One per `__shared__` variable, instantiation and OS thread. */
struct kbh_shared_site {
    uint64_t block; /* the last block that entered it */
};
/* First passage of a block: the variable starts poisoned. `before` and `after` are guard
 * bytes around it (0 where there are none). */
void kbh_shared_enter(kbh_shared_site *site, void *data, size_t bytes, size_t before,
                      size_t after, const char *name);
/* A `__shared__` variable outside a function: poisoned at every block's start. */
struct kbh_shared_global {
    void *(*address)(void);
    size_t bytes;
    kbh_shared_global *next;
    kbh_shared_global(void *(*where)(void), size_t size);
};
/* The block's dynamic shared memory; fixed for an OS thread, 1024-byte aligned. */
void *kbh_dynamic(void);
enum { KBH_DYNAMIC_MAX = 256 << 10 };
extern char kbh_dynamic_single[KBH_DYNAMIC_MAX]; /* the same, where there is one OS thread */

/* Copies that take effect at their wait: kbh_async_next gives them back, oldest first, until
 * at most so many groups of the thread are pending. */
struct kbh_copy {
    void *to;
    const void *from;
    size_t bytes, valid;
};
void kbh_async_copy(const kbh_copy *copy);
void kbh_async_commit(void);
bool kbh_async_next(int pending_groups, kbh_copy *copy);

/* ---- launch order ----------------------------------------------------------------------
 * Set while a block is to find that what the kernels ahead write is not there yet: the first
 * wait of one of its threads brings it. */
extern bool kbh_early;
void kbh_wait_inputs(void);

/* ---- endings --------------------------------------------------------------------------- */

[[noreturn]] void kbh_trap(const char *file, int line);
/* Inline PTX was reached. */
[[noreturn]] void kbh_no_ptx(const char *file, int line);
/* An access that the address is not aligned for; `data` is the compiler's. */
[[noreturn]] void kbh_misaligned(const void *data, uintptr_t address);
/* A block of more threads than __launch_bounds__ allows: a GPU does not launch it. */
[[noreturn]] void kbh_over_bounds(int threads, int line);
static inline void kbh_bounds(int line, int threads, int = 0, int = 0) {
    if (kbh_now.threads > (unsigned)threads)
        kbh_over_bounds(threads, line);
}

/* ---- the kernels of this executable ---------------------------------------------------- */

struct kbh_param {
    size_t bytes;
    bool pointer;
};
struct kbh_entry {
    const char *name;
    int n_params;
    const kbh_param *params;
    void (*call)(void *const *args); /* one CUDA thread, to its end */
};
extern const kbh_entry kbh_entries[];
extern const int kbh_entry_count;

#endif
