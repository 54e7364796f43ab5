/* cuda_profile.c - one launch that profilers see: between cuProfilerStart and Stop, in an
 * NVTX range of its own. */
#include "cuda_device.h"

#if defined __has_include
#if __has_include(<nvtx3/nvToolsExt.h>)
#include <nvtx3/nvToolsExt.h>
#define HAS_NVTX 1
#endif
#endif

#ifdef HAS_NVTX
const bool kb_has_nvtx = true;
static void begin_range(const char *name) {
    nvtxRangePushA(name);
}
static void end_range(void) {
    nvtxRangePop();
}
#else /* a Toolkit without its headers: profilers see the launch all the same */
const bool kb_has_nvtx = false;
static void begin_range(const char *name) {
    (void)name;
}
static void end_range(void) {
}
#endif

static bool launch(struct kb_device *device, struct kb_code *code,
                   const struct kb_plan *plan, const struct kb_slab *initial,
                   CUdeviceptr memory, struct kb_err *err) {
    CUdeviceptr slots[KB_MAX_SLOTS] = {0};
    for (int i = 0; i < initial->n_slots; i++)
        slots[i] = initial->slots[i].bytes ? memory + initial->slots[i].offset : 0;
    return kb_cuda_launch(device, code, plan, slots, initial->n_slots, false, err) &&
           kb_cuda_sync(device, err);
}

static bool launch_between(struct kb_device *device, struct kb_code *code,
                           const struct kb_plan *plan, const struct kb_slab *initial,
                           CUdeviceptr memory, struct kb_err *err) {
    const struct kb_cuda *cu = &device->cu;
    begin_range(plan->label ? plan->label : plan->variant->name);
    CUresult rc = cu->ProfilerStart();
    bool ok = rc ? kb_cuda_fail(cu, rc, "cuProfilerStart", err)
                 : launch(device, code, plan, initial, memory, err);
    if (!rc)
        rc = cu->ProfilerStop();
    end_range();
    return ok && (!rc || kb_cuda_fail(cu, rc, "cuProfilerStop", err));
}

bool kb_cuda_profile(struct kb_device *device, struct kb_code *code,
                     const struct kb_plan *plan, const struct kb_slab *initial,
                     struct kb_err *err) {
    CUdeviceptr memory = 0;
    if (!kb_cuda_launches(plan))
        return true;
    if (!device->cu.ProfilerStart || !device->cu.ProfilerStop)
        return kb_fail(err, KB_UNSUPPORTED, "the driver has no cuProfilerStart");
    bool ok = kb_cuda_current(device, err) && kb_cuda_prepare(device, code, plan, err) &&
              kb_cuda_alloc(device, initial->bytes, &memory, err);
    for (int warm = 1; ok && warm >= 0; warm--)
        ok = kb_cuda_upload(device, memory, initial->data, initial->bytes, err) &&
             (warm ? launch : launch_between)(device, code, plan, initial, memory, err);
    kb_cuda_free(device, &memory);
    return ok;
}
