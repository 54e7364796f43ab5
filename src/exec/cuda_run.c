/* cuda_run.c - one run of a plan over a slab: up, launch, down, guards included. */
#include "cuda_device.h"

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

static bool run_on_slab(struct kb_device *device, struct kb_code *code,
                        const struct kb_plan *plan, struct kb_slab *slab,
                        struct kb_run_result *result, struct kb_err *err) {
    CUdeviceptr slots[KB_MAX_SLOTS] = {0};
    for (int i = 0; i < slab->n_slots; i++)
        slots[i] = slab->slots[i].bytes ? device->slab + slab->slots[i].offset : 0;
    start_scratch(plan, slab);
    if (!kb_cuda_upload(device, device->slab, slab->data, slab->bytes, err))
        return false;
    int64_t start_ns = kb_now_ns();
    if (!kb_cuda_launch(device, code, plan, slots, slab->n_slots, true, err) ||
        !kb_cuda_sync(device, err))
        return false;
    result->wall_ns = (double)(kb_now_ns() - start_ns);
    return kb_cuda_download(device, slab->data, device->slab, slab->bytes, err);
}

bool kb_cuda_run(struct kb_device *device, struct kb_code *code, const struct kb_plan *plan,
                 struct kb_slab *slab, const struct kb_run_options *options,
                 struct kb_run_result *result, struct kb_err *err) {
    (void)options; /* a GPU orders its blocks itself */
    *result = (struct kb_run_result){0};
    if (!kb_cuda_launches(plan))
        return true;
    return kb_cuda_current(device, err) && kb_cuda_prepare(device, code, plan, err) &&
           hold_slab(device, slab->bytes, err) &&
           run_on_slab(device, code, plan, slab, result, err);
}
