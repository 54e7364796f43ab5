/* cuda_occupancy.c - how a plan's launches fill the device, as the driver counts it. */
#include "cuda_device.h"

/* In double: the threads of the largest grid are more than 63 bits count. */
static double volume(const int64_t size[3]) {
    return (double)size[0] * (double)size[1] * (double)size[2];
}

/* The launch that most of the threads are in; -1: none launches anything. */
static int main_launch(const struct kb_plan *plan) {
    double most = 0;
    int which = -1;
    for (int i = 0; i < plan->n_launches; i++) {
        const struct kb_launch *launch = &plan->launches[i];
        double threads = volume(launch->grid) * volume(launch->block);
        if (threads > most) {
            most = threads;
            which = i;
        }
    }
    return which;
}

/* Blocks that the device runs at once: whole clusters, where the launch has such. */
static bool count_blocks(struct kb_device *device, CUfunction function,
                         const struct kb_launch *launch, int64_t *blocks) {
    const struct kb_cuda *cu = &device->cu;
    int64_t cluster = (int64_t)volume(launch->cluster);
    int n = 0;
    if (cluster <= 1) {
        CUresult rc = cu->OccupancyMaxActiveBlocksPerMultiprocessor(
            &n, function, (int)volume(launch->block), launch->smem_bytes);
        *blocks = n * device->info.limits.sm_count;
        return !rc && n > 0;
    }
    CUlaunchAttribute attribute = {
        .id = CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION,
        .value.clusterDim = {(unsigned)launch->cluster[0], (unsigned)launch->cluster[1],
                             (unsigned)launch->cluster[2]},
    };
    CUlaunchConfig config = {
        .gridDimX = (unsigned)launch->grid[0],
        .gridDimY = (unsigned)launch->grid[1],
        .gridDimZ = (unsigned)launch->grid[2],
        .blockDimX = (unsigned)launch->block[0],
        .blockDimY = (unsigned)launch->block[1],
        .blockDimZ = (unsigned)launch->block[2],
        .sharedMemBytes = (unsigned)launch->smem_bytes,
        .attrs = &attribute,
        .numAttrs = 1,
    };
    CUresult rc = cu->OccupancyMaxActiveClusters(&n, function, &config);
    *blocks = n * cluster;
    return !rc && n > 0;
}

void kb_cuda_occupancy(struct kb_device *device, struct kb_code *code,
                       const struct kb_plan *plan, struct kb_occupancy *out) {
    struct kb_err err = {0};
    int64_t blocks, sms = device->info.limits.sm_count;
    int threads = 0, which = main_launch(plan);
    *out = (struct kb_occupancy){0};
    if (which < 0 || sms < 1 || !kb_cuda_current(device, &err))
        return;
    const struct kb_launch *launch = &plan->launches[which];
    if (device->cu.DeviceGetAttribute(
            &threads, CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_MULTIPROCESSOR, device->handle) ||
        threads < 1 || !count_blocks(device, code->functions[which], launch, &blocks))
        return;
    out->blocks_per_sm = (int)((blocks + sms - 1) / sms);
    out->share = (double)blocks * volume(launch->block) / ((double)sms * (double)threads);
    out->waves = volume(launch->grid) / (double)blocks;
}
