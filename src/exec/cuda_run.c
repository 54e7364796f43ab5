/* cuda_run.c - one run of a plan over a slab: up, launch, down, guards included. */
#include "cuda_passes.h"

#include <stdlib.h>
#include <string.h>

static bool hold_slab(struct kb_device *device, size_t bytes, struct kb_err *err) {
    if (device->slab_bytes >= bytes)
        return true;
    kb_cuda_free(device, &device->slab);
    device->slab_bytes = 0;
    if (!kb_cuda_alloc(device, bytes, &device->slab, err))
        return false;
    device->slab_bytes = bytes;
    return true;
}

/* Scratch starts as the contract says, whatever the slab held. */
static void start_scratch(const struct kb_plan *plan, const struct kb_slab *slab) {
    for (int i = 0; i < plan->n_scratch; i++) {
        int slot = slab->n_slots - plan->n_scratch + i;
        if (!slab->slots[slot].bytes)
            continue;
        if (plan->scratch[i].start == KB_SCRATCH_ZERO)
            memset(kb_slab_at(slab, slot), 0, slab->slots[slot].bytes);
        else if (plan->scratch[i].start == KB_SCRATCH_POISON)
            kb_poison(kb_slab_at(slab, slot), slab->slots[slot].bytes, 0);
    }
}

static bool launch_all(struct kb_device *device, struct kb_code *code,
                       const struct kb_plan *plan, const struct kb_on_device *at,
                       const struct kb_run_options *options, struct kb_run_result *result,
                       struct kb_err *err) {
    bool same = true;
    if (options->repeats > 0 &&
        !kb_passes_run(device, code, plan, at, options, &same, &result->runs, err))
        return false;
    if (!same)
        return true;
    result->runs++;
    if (options->late)
        return kb_passes_late(device, code, plan, at, &result->late, err);
    return kb_cuda_launch(device, code, plan, at->slots, at->n_slots, !options->no_pdl,
                          err);
}

static bool is_taken(const struct kb_slab *slab, const struct kb_run_options *options,
                     int slot) {
    return options->taken >> slot & 1 && slab->slots[slot].bytes;
}

/* The slab, but for slots that are taken from another one. */
static bool upload(struct kb_device *device, const struct kb_slab *slab,
                   const struct kb_run_options *options, struct kb_err *err) {
    const unsigned char *data = (options->from ? options->from : slab)->data;
    size_t done = 0;

    for (int i = 0; i < slab->n_slots; i++) {
        const struct kb_slot *slot = &slab->slots[i];
        if (!is_taken(slab, options, i))
            continue;
        if (!kb_cuda_upload(device, device->slab + done, data + done, slot->offset - done,
                            err) ||
            !kb_cuda_upload(device, device->slab + slot->offset,
                            kb_slab_at(options->inputs, i), slot->bytes, err))
            return false;
        done = slot->offset + slot->bytes;
    }
    return kb_cuda_upload(device, device->slab + done, data + done, slab->bytes - done,
                          err);
}

static bool run_on_slab(struct kb_device *device, struct kb_code *code,
                        const struct kb_plan *plan, struct kb_slab *slab,
                        const struct kb_run_options *options, struct kb_run_result *result,
                        struct kb_err *err) {
    struct kb_on_device at = {.n_slots = slab->n_slots, .slab = slab};
    for (int i = 0; i < slab->n_slots; i++)
        at.slots[i] = slab->slots[i].bytes ? device->slab + slab->slots[i].offset : 0;
    if (!options->from)
        start_scratch(plan, slab);
    if (!upload(device, slab, options, err))
        return false;
    int64_t start_ns = kb_now_ns();
    if (!launch_all(device, code, plan, &at, options, result, err) ||
        !kb_cuda_sync(device, err))
        return false;
    result->wall_ns = (double)(kb_now_ns() - start_ns);
    return kb_cuda_download(device, slab->data, device->slab, slab->bytes, err);
}

/* ---- under a tool that watches memory --------------------------------------------------
 * In a slab a read past a tensor's end is a read of the guard zone behind it, which no tool
 * can object to. There each tensor is an allocation of its own, whose ends the tool knows,
 * and poisoned scratch stays as it was allocated: unwritten. */

bool kb_cuda_watched(void) {
    static const char *const signs[] = {
        "NV_SANITIZER_INJECTION_PORT_BASE", "NV_SANITIZER_INJECTION_PORT_RANGE_BEGIN",
        "NV_SANITIZER_INJECTION_TRANSPORT_TYPE"}; /* compute-sanitizer's, by version */
    for (size_t i = 0; i < KB_COUNT(signs); i++)
        if (getenv(signs[i]))
            return true;
    return false;
}

/* The scratch of slot `slot`, or NULL: it is a tensor's. */
static const struct kb_scratch *scratch_of(const struct kb_plan *plan,
                                           const struct kb_slab *slab, int slot) {
    int index = slot - (slab->n_slots - plan->n_scratch);
    return index < 0 ? NULL : &plan->scratch[index];
}

static bool is_carried(const struct kb_plan *plan, const struct kb_slab *slab, int slot) {
    const struct kb_scratch *scratch = scratch_of(plan, slab, slot);
    return slab->slots[slot].bytes && (!scratch || scratch->start != KB_SCRATCH_POISON);
}

/* At the same remainder from a multiple of KB_SLAB_ALIGN as in the slab. */
static bool place_apart(struct kb_device *device, const struct kb_plan *plan,
                        const struct kb_slab *slab, CUdeviceptr *blocks, CUdeviceptr *slots,
                        struct kb_err *err) {
    for (int i = 0; i < slab->n_slots; i++) {
        const struct kb_slot *slot = &slab->slots[i];
        size_t shift = slot->offset % KB_SLAB_ALIGN;
        if (!slot->bytes)
            continue;
        if (!kb_cuda_alloc(device, shift + slot->bytes, &blocks[i], err))
            return false;
        slots[i] = blocks[i] + shift;
        if (is_carried(plan, slab, i) &&
            !kb_cuda_upload(device, slots[i], kb_slab_at(slab, i), slot->bytes, err))
            return false;
    }
    return true;
}

static bool fetch_apart(struct kb_device *device, const struct kb_plan *plan,
                        struct kb_slab *slab, const CUdeviceptr *slots,
                        struct kb_err *err) {
    for (int i = 0; i < slab->n_slots; i++)
        if (is_carried(plan, slab, i) &&
            !kb_cuda_download(device, kb_slab_at(slab, i), slots[i], slab->slots[i].bytes,
                              err))
            return false;
    return true;
}

static bool run_apart(struct kb_device *device, struct kb_code *code,
                      const struct kb_plan *plan, struct kb_slab *slab,
                      const struct kb_run_options *options, struct kb_run_result *result,
                      struct kb_err *err) {
    CUdeviceptr blocks[KB_MAX_SLOTS] = {0}, slots[KB_MAX_SLOTS] = {0};
    start_scratch(plan, slab);
    bool ok = place_apart(device, plan, slab, blocks, slots, err);
    int64_t start_ns = kb_now_ns();
    ok = ok &&
         kb_cuda_launch(device, code, plan, slots, slab->n_slots, !options->no_pdl, err) &&
         kb_cuda_sync(device, err);
    result->wall_ns = (double)(kb_now_ns() - start_ns);
    result->runs = 1;
    ok = ok && fetch_apart(device, plan, slab, slots, err);
    for (int i = 0; i < slab->n_slots; i++)
        kb_cuda_free(device, &blocks[i]);
    return ok;
}

bool kb_cuda_run(struct kb_device *device, struct kb_code *code, const struct kb_plan *plan,
                 struct kb_slab *slab, const struct kb_run_options *options,
                 struct kb_run_result *result, struct kb_err *err) {
    bool nothing = !kb_cuda_launches(plan);
    *result = (struct kb_run_result){0};
    if (options->from && (nothing || device->watched))
        kb_copy(slab->data, options->from->data, slab->bytes);
    for (int i = 0; i < slab->n_slots && (nothing || device->watched); i++)
        if (is_taken(slab, options, i))
            kb_copy(kb_slab_at(slab, i), kb_slab_at(options->inputs, i),
                    slab->slots[i].bytes);
    if (nothing)
        return true;
    if (!kb_cuda_current(device, err) || !kb_cuda_prepare(device, code, plan, err))
        return false;
    if (device->watched)
        return run_apart(device, code, plan, slab, options, result, err);
    return hold_slab(device, slab->bytes, err) &&
           run_on_slab(device, code, plan, slab, options, result, err);
}
