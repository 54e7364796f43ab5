/* cuda_passes.h - inside of the cuda backend: runs that are made of several, as
 * kb_run_options has them. */
#ifndef KB_EXEC_CUDA_PASSES_H
#define KB_EXEC_CUDA_PASSES_H

#include "cuda_device.h"

/* A slab on the device, in device->slab: its slots, and all of its bytes. */
struct kb_on_device {
    CUdeviceptr slots[KB_MAX_SLOTS];
    int n_slots;
    const struct kb_slab *slab;
};

/* Launch `options->repeats` times more, each from what is there, which is put back; *same
 * is false with what the first that left other bytes left, and nothing is to follow. *runs
 * counts them. */
bool kb_passes_run(struct kb_device *device, struct kb_code *code,
                   const struct kb_plan *plan, const struct kb_on_device *at,
                   const struct kb_run_options *options, bool *same, int *runs,
                   struct kb_err *err);
/* Queue the launches behind a kernel that writes all of the slab late: until then it holds
 * poison. *late: they may start before that one ends. */
bool kb_passes_late(struct kb_device *device, struct kb_code *code,
                    const struct kb_plan *plan, const struct kb_on_device *at, bool *late,
                    struct kb_err *err);
/* Give up what is kept for the next run; whether there was any. */
bool kb_passes_drop(struct kb_device *device);
void kb_passes_free(struct kb_device *device);

#endif
