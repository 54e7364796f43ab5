/* cuda_clockwork.c - what timers of a device share: events, the hold in front of a batch,
 * the L2 flush, the events' resolution. */
#include "cuda_timer.h"

#include <stdlib.h>
#include <string.h>

enum {
    FLUSH_TIMES_L2 = 2,
    FLUSH_AT_LEAST = 32 << 20, /* where the L2's size is not told */
    BLOCKS_PER_SM = 8,
    HOLD_CYCLES = 200000000, /* 0.1 s: far longer than a batch takes to queue */
    TICK_PAIRS = 60,
    TICK_TRIES = 4,
};

/* ---- making and freeing ----------------------------------------------------------------
 */

static bool compile_helpers(struct kb_compiler *compiler, int64_t sm,
                            struct kb_arena *arena, struct kb_nvrtc_result *out,
                            struct kb_err *err) {
    static const char *const names[KB_HELPER_COUNT] = {
        [KB_EMPTY] = "kb_empty",
        [KB_HOLD] = "kb_hold",
        [KB_FLUSH_WRITE] = "kb_flush_write",
        [KB_FLUSH_READ] = "kb_flush_read",
        [KB_FLUSH_LAST] = "kb_flush_last",
        [KB_FLUSH_NORMAL] = "kb_flush_normal",
    };
    _Static_assert((int)KB_HELPER_COUNT <= (int)KB_MAX_LAUNCHES,
                   "a kb_code holds them all");
    struct kb_strings entries = {0};
    for (size_t i = 0; i < KB_COUNT(names); i++)
        kb_strings_add(&entries, arena, names[i]);
    return kb_compiler_asset(compiler, sm, "kernels/timer.cu", &entries, arena, out, err);
}

bool kb_clockwork_compile(struct kb_compiler *compiler, int64_t sm, struct kb_err *err) {
    struct kb_arena arena = {0};
    struct kb_nvrtc_result result = {0};
    bool ok = compile_helpers(compiler, sm, &arena, &result, err);
    kb_nvrtc_result_free(&result);
    kb_arena_free(&arena);
    return ok;
}

static bool load_helpers(struct kb_device *device, struct kb_code **out,
                         struct kb_err *err) {
    struct kb_arena arena = {0};
    struct kb_nvrtc_result result = {0};
    bool ok =
        compile_helpers(device->compiler, device->info.limits.sm, &arena, &result, err) &&
        kb_cuda_module(device, result.cubin.data, &result.lowered, out, err);
    kb_nvrtc_result_free(&result);
    kb_arena_free(&arena);
    return ok;
}

static bool make_flags(struct kb_device *device, struct kb_clockwork *c,
                       struct kb_err *err) {
    const struct kb_cuda *cu = &device->cu;
    void *flags = NULL;
    CUresult rc = cu->MemHostAlloc(&flags, 64, CU_MEMHOSTALLOC_DEVICEMAP);
    if (!rc) {
        c->flags = flags;
        rc = cu->MemHostGetDevicePointer(&c->flags_device, flags, 0);
    }
    for (size_t i = 0; i < KB_COUNT(c->events) && !rc; i++)
        rc = cu->EventCreate(&c->events[i], CU_EVENT_DEFAULT);
    return !rc || kb_cuda_fail(cu, rc, "timer", err);
}

static bool launch_helper(struct kb_device *device, enum kb_helper helper, int64_t grid,
                          int block, void **arguments, struct kb_err *err) {
    CUlaunchConfig config = {
        .gridDimX = (unsigned)grid,
        .gridDimY = 1,
        .gridDimZ = 1,
        .blockDimX = (unsigned)block,
        .blockDimY = 1,
        .blockDimZ = 1,
        .hStream = device->stream,
    };
    CUfunction function = device->clockwork->code->functions[helper];
    CUresult rc = device->cu.LaunchKernelEx(&config, function, arguments, NULL);
    return !rc || kb_cuda_fail(&device->cu, rc, "timer", err);
}

static bool go_over_flush(struct kb_device *device, enum kb_helper helper,
                          struct kb_err *err) {
    struct kb_clockwork *c = device->clockwork;
    long long vecs = (long long)(c->flush_bytes / 16);
    unsigned value = 1;
    int64_t grid = device->info.limits.sm_count * BLOCKS_PER_SM;
    void *write[] = {&c->flush, &vecs, &value}, *read[] = {&c->flush, &vecs, &c->sink};
    return launch_helper(device, helper, grid, 256, helper == KB_FLUSH_WRITE ? write : read,
                         err);
}

static bool make_flush(struct kb_device *device, struct kb_clockwork *c,
                       struct kb_err *err) {
    size_t bytes = (size_t)device->info.l2_bytes * FLUSH_TIMES_L2;
    c->flush_bytes = bytes > FLUSH_AT_LEAST ? bytes : FLUSH_AT_LEAST;
    if (!kb_cuda_alloc(device, c->flush_bytes, &c->flush, err) ||
        !kb_cuda_alloc(device, 64, &c->sink, err))
        return false;
    CUresult rc = device->cu.MemsetD8Async(c->sink, 0, 64, device->stream);
    return rc ? kb_cuda_fail(&device->cu, rc, "timer", err)
              : go_over_flush(device, KB_FLUSH_WRITE, err);
}

double kb_least_step(double *ns, int n, double rounding) {
    double least = 0;
    kb_sort(ns, (size_t)n);
    for (int i = 1; i < n; i++) {
        double step = ns[i] - ns[i - 1];
        if (step > rounding && (least == 0 || step < least))
            least = step;
    }
    if (least == 0)
        least = ns[0] > 1 ? ns[0] : 1;
    return least;
}

/* Events with nothing between them, behind one hold. */
static bool record_pairs(struct kb_device *device, bool *late, struct kb_err *err) {
    if (!kb_clockwork_hold(device, err))
        return false;
    for (int i = 0; i < TICK_PAIRS + 1; i++)
        if (!kb_clockwork_record(device, i, err))
            return false;
    return kb_clockwork_release(device, late, err);
}

/* The times between events are multiples of a tick that no call tells: the least difference
 * between many short ones is it, or a small multiple. Where the hold ran out they are the
 * host's, and all that is timed from here on would be held against them. */
static bool measure_tick(struct kb_device *device, struct kb_clockwork *c,
                         struct kb_err *err) {
    double ns[TICK_PAIRS];
    bool late = true;
    for (int i = 0; i < TICK_TRIES && late; i++)
        if (!record_pairs(device, &late, err))
            return false;
    if (late)
        return kb_fail(err, KB_DEVICE,
                       "events cannot be queued ahead of the device: this host is too busy "
                       "to time anything");
    for (int i = 0; i < TICK_PAIRS; i++)
        if (!kb_clockwork_between(device, i, i + 1, &ns[i], err))
            return false;
    c->tick_ns = kb_least_step(ns, TICK_PAIRS, 0.5); /* they come as floats of ms */
    c->pair_ns = ns[TICK_PAIRS / 2];
    return true;
}

bool kb_clockwork_get(struct kb_device *device, struct kb_clockwork **out,
                      struct kb_err *err) {
    if (!device->clockwork) {
        struct kb_clockwork *c = calloc(1, sizeof *c);
        if (!c)
            kb_out_of_memory();
        device->clockwork = c;
        if (!load_helpers(device, &c->code, err) || !make_flags(device, c, err) ||
            !make_flush(device, c, err) || !measure_tick(device, c, err)) {
            kb_clockwork_free(device);
            return false;
        }
    }
    *out = device->clockwork;
    return true;
}

void kb_clockwork_free(struct kb_device *device) {
    struct kb_clockwork *c = device->clockwork;
    if (!c)
        return;
    kb_sets_drop_idle(device);
    kb_cupti_stop(&c->cupti);
    for (size_t i = 0; i < KB_COUNT(c->events); i++)
        if (c->events[i])
            device->cu.EventDestroy(c->events[i]);
    if (c->flags)
        device->cu.MemFreeHost((void *)(uintptr_t)c->flags);
    kb_cuda_free(device, &c->flush);
    kb_cuda_free(device, &c->sink);
    kb_cuda_unload(device, c->code);
    free(c);
    device->clockwork = NULL;
}

/* ---- helpers on the stream -------------------------------------------------------------
 */

bool kb_clockwork_hold(struct kb_device *device, struct kb_err *err) {
    struct kb_clockwork *c = device->clockwork;
    CUdeviceptr go = c->flags_device, late = c->flags_device + sizeof *c->flags;
    long long limit = HOLD_CYCLES;
    void *arguments[] = {&go, &late, &limit};
    c->flags[0] = 0;
    c->flags[1] = 0;
    return launch_helper(device, KB_HOLD, 1, 1, arguments, err);
}

bool kb_clockwork_release(struct kb_device *device, bool *late, struct kb_err *err) {
    struct kb_clockwork *c = device->clockwork;
    c->flags[0] = 1;
    bool ok = kb_cuda_sync(device, err);
    *late = c->flags[1] != 0;
    c->lates += *late;
    return ok;
}

bool kb_clockwork_forget(struct kb_device *device, struct kb_err *err) {
    return go_over_flush(device, KB_FLUSH_LAST, err) &&
           go_over_flush(device, KB_FLUSH_NORMAL, err);
}

bool kb_clockwork_flush(struct kb_device *device, struct kb_err *err) {
    return go_over_flush(device, KB_FLUSH_READ, err);
}

bool kb_clockwork_record(struct kb_device *device, int event, struct kb_err *err) {
    CUresult rc = device->cu.EventRecord(device->clockwork->events[event], device->stream);
    return !rc || kb_cuda_fail(&device->cu, rc, "timer", err);
}

bool kb_clockwork_between(struct kb_device *device, int from, int to, double *ns,
                          struct kb_err *err) {
    const struct kb_clockwork *c = device->clockwork;
    float ms = 0;
    CUresult rc = device->cu.EventElapsedTime(&ms, c->events[from], c->events[to]);
    *ns = (double)ms * 1e6;
    return !rc || kb_cuda_fail(&device->cu, rc, "timer", err);
}
