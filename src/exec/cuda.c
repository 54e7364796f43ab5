/* cuda.c - the cuda backend's table. */
#include "cuda_timer.h"

static const struct kb_device_info *info(struct kb_device *device) {
    struct kb_err err = {0};
    if (kb_cuda_current(device, &err))
        device->info.free_bytes = kb_cuda_free_bytes(device);
    return &device->info;
}

static void clocks(struct kb_device *device, struct kb_clocks *out) {
    kb_nvml_clocks(&device->nvml, out);
}

const struct kb_backend kb_cuda = {
    .name = "cuda",
    .probe = kb_cuda_probe,
    .open = kb_cuda_open,
    .close = kb_cuda_close,
    .info = info,
    .build = kb_cuda_build,
    .unload = kb_cuda_unload,
    .run = kb_cuda_run,
    .timer_open = kb_timer_open,
    .timer_sample = kb_timer_sample,
    .timer_result = kb_timer_result,
    .timer_renew = kb_timer_renew,
    .timer_energy = kb_timer_energy,
    .timer_close = kb_timer_close,
    .floor = kb_timer_floor,
    .clocks = clocks,
    .occupancy = kb_cuda_occupancy,
    .profile = kb_cuda_profile,
};
