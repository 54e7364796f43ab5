/* cuda_launch.c - a plan's launches onto the stream: arguments, attributes, descriptors. */
#include "cuda_device.h"

#include <stdio.h>
#include <string.h>

enum { FREE_DYNAMIC = 48 << 10, PORTABLE_CLUSTER = 8, PDL_FROM_SM = 90 };

static int64_t volume(const int64_t size[3]) {
    return size[0] * size[1] * size[2];
}

static bool is_empty(const struct kb_launch *launch) {
    return launch->grid[0] == 0 || launch->grid[1] == 0 || launch->grid[2] == 0;
}

bool kb_cuda_launches(const struct kb_plan *plan) {
    for (int i = 0; i < plan->n_launches; i++)
        if (!is_empty(&plan->launches[i]))
            return true;
    return false;
}

/* ---- parameters ------------------------------------------------------------------------
 */

static size_t bytes_passed(const struct kb_arg *arg) {
    return arg->kind == KB_ARG_SCALAR ? arg->bytes
           : arg->kind == KB_ARG_TMA  ? sizeof(CUtensorMap)
                                      : sizeof(CUdeviceptr);
}

/* A launch says nothing of how many arguments it passes, nor of their sizes: the driver
 * reads as many as the kernel has, from wherever they would stand. */
static bool check_arguments(const struct kb_cuda *cu, CUfunction function,
                            const struct kb_launch *launch, struct kb_err *err) {
    int n = 0;
    size_t offset, bytes;
    if (!cu->FuncGetParamInfo)
        return true; /* a driver before 12.4 does not tell */
    for (; !cu->FuncGetParamInfo(function, (size_t)n, &offset, &bytes); n++)
        if (n < launch->n_args && bytes != bytes_passed(&launch->args[n]))
            return kb_fail(err, KB_BUILD,
                           "argument %d of %s is of %zu bytes, the contract passes %zu",
                           n + 1, launch->entry, bytes, bytes_passed(&launch->args[n]));
    if (n != launch->n_args)
        return kb_fail(err, KB_BUILD,
                       "%s has %d parameter%s, the contract passes %d argument%s",
                       launch->entry, n, n == 1 ? "" : "s", launch->n_args,
                       launch->n_args == 1 ? "" : "s");
    return true;
}

/* ---- limits ----------------------------------------------------------------------------
 */

static bool set_attribute(struct kb_device *device, CUfunction function,
                          CUfunction_attribute which, size_t value, const char *what,
                          struct kb_err *err) {
    CUresult rc = device->cu.FuncSetAttribute(function, which, (int)value);
    if (!rc)
        return true;
    kb_cuda_fail(&device->cu, rc, what, err);
    if (rc == CUDA_ERROR_INVALID_VALUE)
        err->kind = KB_INPUT; /* the contract asks for what the device does not have */
    return false;
}

bool kb_cuda_prepare(struct kb_device *device, struct kb_code *code,
                     const struct kb_plan *plan, struct kb_err *err) {
    char what[96];
    for (int i = 0; i < plan->n_launches; i++) {
        const struct kb_launch *launch = &plan->launches[i];
        size_t dynamic = launch->smem_bytes;
        if (is_empty(launch))
            continue;
        if (!check_arguments(&device->cu, code->functions[i], launch, err))
            return false;
        snprintf(what, sizeof what, "%zu bytes of dynamic shared memory beside %zu static",
                 dynamic, code->shared_bytes[i]);
        if (dynamic + code->shared_bytes[i] > FREE_DYNAMIC &&
            dynamic > code->dynamic_limit[i]) {
            if (!set_attribute(device, code->functions[i],
                               CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, dynamic,
                               what, err))
                return false;
            code->dynamic_limit[i] = dynamic;
        }
        if (volume(launch->cluster) > PORTABLE_CLUSTER && !code->clustered[i]) {
            if (!set_attribute(device, code->functions[i],
                               CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED, 1,
                               "a cluster of more than 8 blocks", err))
                return false;
            code->clustered[i] = true;
        }
    }
    return true;
}

/* ---- arguments -------------------------------------------------------------------------
 */

/* Only what is filled in for elements outside cares for more than an element's size. */
static CUtensorMapDataType element_type(const struct kb_tma *tma) {
    switch (tma->strides_bytes[0]) {
    case 1:
        return CU_TENSOR_MAP_DATA_TYPE_UINT8;
    case 2:
        return tma->nan_fill ? CU_TENSOR_MAP_DATA_TYPE_BFLOAT16
                             : CU_TENSOR_MAP_DATA_TYPE_UINT16;
    default:
        return tma->nan_fill ? CU_TENSOR_MAP_DATA_TYPE_FLOAT32
                             : CU_TENSOR_MAP_DATA_TYPE_UINT32;
    }
}

static CUtensorMapSwizzle swizzle(int bytes) {
    return bytes == 128  ? CU_TENSOR_MAP_SWIZZLE_128B
           : bytes == 64 ? CU_TENSOR_MAP_SWIZZLE_64B
           : bytes == 32 ? CU_TENSOR_MAP_SWIZZLE_32B
                         : CU_TENSOR_MAP_SWIZZLE_NONE;
}

static CUtensorMapL2promotion promotion(int bytes) {
    return bytes == 256   ? CU_TENSOR_MAP_L2_PROMOTION_L2_256B
           : bytes == 128 ? CU_TENSOR_MAP_L2_PROMOTION_L2_128B
           : bytes == 64  ? CU_TENSOR_MAP_L2_PROMOTION_L2_64B
                          : CU_TENSOR_MAP_L2_PROMOTION_NONE;
}

static bool encode_map(const struct kb_cuda *cu, const struct kb_tma *tma,
                       CUdeviceptr address, CUtensorMap *out, struct kb_err *err) {
    cuuint64_t dims[5], strides[5];
    cuuint32_t box[5], steps[5];
    for (int i = 0; i < tma->rank; i++) {
        dims[i] = (cuuint64_t)tma->dims[i];
        strides[i] = (cuuint64_t)tma->strides_bytes[i];
        box[i] = (cuuint32_t)tma->box[i];
        steps[i] = 1;
    }
    CUresult rc = cu->TensorMapEncodeTiled(
        out, element_type(tma), (cuuint32_t)tma->rank, (void *)(uintptr_t)address, dims,
        strides + 1, box, steps, CU_TENSOR_MAP_INTERLEAVE_NONE, swizzle(tma->swizzle_bytes),
        promotion(tma->l2_bytes),
        tma->nan_fill ? CU_TENSOR_MAP_FLOAT_OOB_FILL_NAN_REQUEST_ZERO_FMA
                      : CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
    if (!rc)
        return true;
    kb_cuda_fail(cu, rc, "TMA descriptor", err);
    if (rc == CUDA_ERROR_INVALID_VALUE)
        err->kind = KB_INPUT;
    return false;
}

/* What cuLaunchKernelEx is pointed to; it copies all of it. */
struct packed {
    void *pointers[KB_MAX_ARGS];
    CUdeviceptr addresses[KB_MAX_ARGS];
    unsigned char scalars[KB_MAX_ARGS][8];
    CUtensorMap maps[KB_MAX_ARGS];
};

static bool pack(const struct kb_cuda *cu, const struct kb_plan *plan,
                 const struct kb_launch *launch, const CUdeviceptr *slots, int n_slots,
                 struct packed *out, struct kb_err *err) {
    int n_tensors = n_slots - plan->n_scratch;
    for (int i = 0; i < launch->n_args; i++) {
        const struct kb_arg *arg = &launch->args[i];
        out->addresses[i] = arg->kind == KB_ARG_SCALAR    ? 0
                            : arg->kind == KB_ARG_SCRATCH ? slots[n_tensors + arg->index]
                                                          : slots[arg->index];
        out->pointers[i] = &out->addresses[i];
        if (arg->kind == KB_ARG_SCALAR) {
            memcpy(out->scalars[i], arg->value, sizeof arg->value);
            out->pointers[i] = out->scalars[i];
        } else if (arg->kind == KB_ARG_TMA) {
            if (!encode_map(cu, &arg->tma, out->addresses[i], &out->maps[i], err))
                return false;
            out->pointers[i] = &out->maps[i];
        }
    }
    return true;
}

/* ---- launches --------------------------------------------------------------------------
 */

static unsigned add_attributes(const struct kb_launch *launch, bool pdl,
                               CUlaunchAttribute out[3]) {
    unsigned n = 0;
    if (pdl && launch->pdl)
        out[n++] = (CUlaunchAttribute){
            .id = CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION,
            .value.programmaticStreamSerializationAllowed = 1,
        };
    if (volume(launch->cluster) > 1)
        out[n++] = (CUlaunchAttribute){
            .id = CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION,
            .value.clusterDim = {(unsigned)launch->cluster[0], (unsigned)launch->cluster[1],
                                 (unsigned)launch->cluster[2]},
        };
    if (launch->cooperative)
        out[n++] = (CUlaunchAttribute){
            .id = CU_LAUNCH_ATTRIBUTE_COOPERATIVE,
            .value.cooperative = 1,
        };
    return n;
}

static bool launch_one(struct kb_device *device, CUfunction function,
                       const struct kb_plan *plan, const struct kb_launch *launch,
                       const CUdeviceptr *slots, int n_slots, bool pdl,
                       struct kb_err *err) {
    struct packed packed;
    CUlaunchAttribute attributes[3];
    CUlaunchConfig config = {
        .gridDimX = (unsigned)launch->grid[0],
        .gridDimY = (unsigned)launch->grid[1],
        .gridDimZ = (unsigned)launch->grid[2],
        .blockDimX = (unsigned)launch->block[0],
        .blockDimY = (unsigned)launch->block[1],
        .blockDimZ = (unsigned)launch->block[2],
        .sharedMemBytes = (unsigned)launch->smem_bytes,
        .hStream = device->stream,
        .attrs = attributes,
        .numAttrs = add_attributes(launch, pdl, attributes),
    };
    if (!pack(&device->cu, plan, launch, slots, n_slots, &packed, err))
        return false;
    CUresult rc = device->cu.LaunchKernelEx(&config, function, packed.pointers, NULL);
    return !rc || kb_cuda_fail(&device->cu, rc, "launch", err);
}

bool kb_cuda_launch(struct kb_device *device, const struct kb_code *code,
                    const struct kb_plan *plan, const CUdeviceptr *slots, int n_slots,
                    bool pdl, struct kb_err *err) {
    pdl = pdl && device->info.limits.sm >= PDL_FROM_SM;
    for (int i = 0; i < plan->n_scratch; i++) {
        const struct kb_scratch *scratch = &plan->scratch[i];
        CUdeviceptr address = slots[n_slots - plan->n_scratch + i];
        if (scratch->start != KB_SCRATCH_ZERO || !scratch->bytes)
            continue;
        CUresult rc = device->cu.MemsetD8Async(address, 0, scratch->bytes, device->stream);
        if (rc)
            return kb_cuda_fail(&device->cu, rc, "zeroes in scratch", err);
    }
    for (int i = 0; i < plan->n_launches; i++)
        if (!is_empty(&plan->launches[i]) &&
            !launch_one(device, code->functions[i], plan, &plan->launches[i], slots,
                        n_slots, pdl, err))
            return false;
    return true;
}
