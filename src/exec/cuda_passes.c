/* cuda_passes.c - a launch many times from the same contents, compared on the device, and a
 * launch behind a kernel that writes its inputs late. */
#include "cuda_passes.h"

#include <stdlib.h>

enum { POISON, PRODUCE, DIFFER, N_KERNELS };
enum {
    PRODUCERS = 4,        /* blocks */
    LATE_CYCLES = 200000, /* 0.1 ms: longer than a launch takes to queue */
    BLOCKS_PER_SM = 8,
    PDL_FROM_SM = 90,
};

struct kb_passes {
    struct kb_code *code; /* kernels/producer.cu */
    CUdeviceptr initial, first, flag;
    size_t initial_bytes, first_bytes, flag_bytes; /* that there is memory for */
};

/* ---- making and freeing ------------------------------------------------------------- */

/* Memory beside the slab, which is not to be given up for it. */
static bool hold(struct kb_device *device, CUdeviceptr *memory, size_t *have, size_t bytes,
                 struct kb_err *err) {
    if (*have >= bytes)
        return true;
    kb_cuda_free(device, memory);
    *have = 0;
    CUresult rc = device->cu.MemAlloc(memory, bytes);
    if (rc == CUDA_ERROR_OUT_OF_MEMORY)
        return kb_fail(err, KB_MEMORY, "needs %s more on the device for a copy",
                       kb_size_text((double)bytes).text);
    if (rc)
        return kb_cuda_fail(&device->cu, rc, "memory", err);
    *have = bytes;
    return true;
}

static bool compile(struct kb_compiler *compiler, int64_t sm, struct kb_arena *arena,
                    struct kb_nvrtc_result *out, struct kb_err *err) {
    static const char *const names[N_KERNELS] = {
        [POISON] = "kb_poison", [PRODUCE] = "kb_produce", [DIFFER] = "kb_differ"};
    struct kb_strings entries = {0};

    for (size_t i = 0; i < KB_COUNT(names); i++)
        kb_strings_add(&entries, arena, names[i]);
    return kb_compiler_asset(compiler, sm, "kernels/producer.cu", &entries, arena, out,
                             err);
}

bool kb_passes_compile(struct kb_compiler *compiler, int64_t sm, struct kb_err *err) {
    struct kb_arena arena = {0};
    struct kb_nvrtc_result result = {0};
    bool ok = compile(compiler, sm, &arena, &result, err);

    kb_nvrtc_result_free(&result);
    kb_arena_free(&arena);
    return ok;
}

static bool load(struct kb_device *device, struct kb_passes *p, struct kb_err *err) {
    struct kb_arena arena = {0};
    struct kb_nvrtc_result result = {0};
    bool ok = compile(device->compiler, device->info.limits.sm, &arena, &result, err) &&
              kb_cuda_module(device, result.cubin.data, &result.lowered, &p->code, err) &&
              hold(device, &p->flag, &p->flag_bytes, sizeof(unsigned), err);
    kb_nvrtc_result_free(&result);
    kb_arena_free(&arena);
    return ok;
}

static struct kb_passes *passes_of(struct kb_device *device, struct kb_err *err) {
    if (device->passes)
        return device->passes;
    device->passes = calloc(1, sizeof *device->passes);
    if (!device->passes)
        kb_out_of_memory();
    if (!load(device, device->passes, err))
        kb_passes_free(device);
    return device->passes;
}

bool kb_passes_drop(struct kb_device *device) {
    struct kb_passes *p = device->passes;

    if (!p || (!p->initial && !p->first))
        return false;
    kb_cuda_free(device, &p->initial);
    kb_cuda_free(device, &p->first);
    p->initial_bytes = p->first_bytes = 0;
    return true;
}

void kb_passes_free(struct kb_device *device) {
    struct kb_passes *p = device->passes;

    if (!p)
        return;
    kb_passes_drop(device);
    kb_cuda_free(device, &p->flag);
    if (p->code)
        kb_cuda_unload(device, p->code);
    free(p);
    device->passes = NULL;
}

/* ---- helpers on the stream ---------------------------------------------------------- */

static bool queue(struct kb_device *device, int kernel, int64_t grid, unsigned block,
                  void **arguments, struct kb_err *err) {
    CUlaunchConfig config = {
        .gridDimX = (unsigned)grid,
        .gridDimY = 1,
        .gridDimZ = 1,
        .blockDimX = block,
        .blockDimY = 1,
        .blockDimZ = 1,
        .hStream = device->stream,
    };
    CUresult rc = device->cu.LaunchKernelEx(
        &config, device->passes->code->functions[kernel], arguments, NULL);
    return !rc || kb_cuda_fail(&device->cu, rc, "launch of a kernel around it", err);
}

/* Blocks of 256 threads for so many items. */
static int64_t blocks_for(const struct kb_device *device, size_t items) {
    int64_t most = device->info.limits.sm_count * BLOCKS_PER_SM;
    int64_t n = (int64_t)((items + 255) / 256);
    return n < 1 ? 1 : n < most ? n : most;
}

static bool copy(struct kb_device *device, CUdeviceptr to, CUdeviceptr from, size_t bytes,
                 struct kb_err *err) {
    CUresult rc = device->cu.MemcpyDtoDAsync(to, from, bytes, device->stream);
    return !rc || kb_cuda_fail(&device->cu, rc, "copy on the device", err);
}

/* ---- many launches ------------------------------------------------------------------ */

/* Whether a slot that counts has other bytes than in the copy at `first`. */
static bool compare(struct kb_device *device, const struct kb_on_device *at,
                    uint64_t compared, bool *same, struct kb_err *err) {
    struct kb_passes *p = device->passes;
    unsigned flag = 0;

    CUresult rc = device->cu.MemsetD8Async(p->flag, 0, sizeof flag, device->stream);
    for (int i = 0; i < at->n_slots && !rc; i++) {
        long long bytes = (long long)at->slab->slots[i].bytes;
        /* from a multiple of 16 on: what lies before is the guard zone's */
        size_t lead = at->slab->slots[i].offset % 16;
        CUdeviceptr a = at->slots[i] - lead;
        CUdeviceptr b = p->first + at->slab->slots[i].offset - lead;
        if (!(compared >> i & 1) || !bytes)
            continue;
        bytes += (long long)lead;
        void *arguments[] = {&a, &b, &bytes, &p->flag};
        if (!queue(device, DIFFER, blocks_for(device, (size_t)bytes / 16 + 1), 256,
                   arguments, err))
            return false;
    }
    if (!rc)
        rc = device->cu.MemcpyDtoHAsync(&flag, p->flag, sizeof flag, device->stream);
    if (rc)
        return kb_cuda_fail(&device->cu, rc, "comparison on the device", err);
    if (!kb_cuda_sync(device, err))
        return false;
    *same = flag == 0;
    return true;
}

bool kb_passes_run(struct kb_device *device, struct kb_code *code,
                   const struct kb_plan *plan, const struct kb_on_device *at,
                   const struct kb_run_options *options, bool *same, int *runs,
                   struct kb_err *err) {
    struct kb_passes *p = passes_of(device, err);
    size_t bytes = at->slab->bytes;
    int64_t start_ns = kb_now_ns();

    *same = true;
    *runs = 0;
    if (!p || !hold(device, &p->initial, &p->initial_bytes, bytes, err) ||
        !hold(device, &p->first, &p->first_bytes, bytes, err) ||
        !copy(device, p->initial, device->slab, bytes, err))
        return false;
    for (int i = 0; i < options->repeats; i++) {
        if (i > 0 && kb_now_ns() - start_ns > options->repeat_ns)
            break;
        if (!kb_cuda_launch(device, code, plan, at->slots, at->n_slots, !options->no_pdl,
                            err))
            return false;
        ++*runs;
        if (i == 0 ? !copy(device, p->first, device->slab, bytes, err)
                   : !compare(device, at, options->compared, same, err))
            return false;
        if (!*same)
            return true;
        if (!copy(device, device->slab, p->initial, bytes, err))
            return false;
    }
    return true;
}

/* ---- inputs that come late ---------------------------------------------------------- */

/* Zeroes that scratch starts with are in the slab already: to set them once more would put
 * something between the producer and the first launch. */
static struct kb_plan without_zeroes(const struct kb_plan *plan) {
    struct kb_plan copied = *plan;

    for (int i = 0; i < copied.n_scratch; i++)
        copied.scratch[i].start = KB_SCRATCH_KEEP;
    return copied;
}

bool kb_passes_late(struct kb_device *device, struct kb_code *code,
                    const struct kb_plan *plan, const struct kb_on_device *at, bool *late,
                    struct kb_err *err) {
    struct kb_passes *p = passes_of(device, err);
    const struct kb_plan same = without_zeroes(plan);
    size_t bytes = at->slab->bytes / 16 * 16; /* the rest is guard zone */
    long long words = (long long)(bytes / 4), vecs = (long long)(bytes / 16);
    long long cycles = LATE_CYCLES;

    *late = false;
    if (!p || !hold(device, &p->initial, &p->initial_bytes, bytes, err) ||
        !copy(device, p->initial, device->slab, bytes, err))
        return false;
    for (int i = 0; i < plan->n_launches; i++)
        *late |= plan->launches[i].pdl && device->info.limits.sm >= PDL_FROM_SM;
    void *poison[] = {&device->slab, &words};
    void *produce[] = {&p->initial, &device->slab, &vecs, &cycles};
    return queue(device, POISON, blocks_for(device, (size_t)words), 256, poison, err) &&
           queue(device, PRODUCE, PRODUCERS, 512, produce, err) &&
           kb_cuda_launch(device, code, &same, at->slots, at->n_slots, true, err);
}
