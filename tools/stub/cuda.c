/* cuda.c - a libcuda.so.1 without a GPU, for tests: memory is the host's, time is counted,
 * errors come as the script in $KB_STUB says. What it is given to do is in cuda_work.c.
 *
 *     KB_STUB="init=803"        cuInit fails so; also count=0, version=11080 (what the
 * driver says it is), load=200, launch=700 (from then on everything fails), memory=1000000
 * (bytes there are), late=2 (so many holds run out, from then on)
 *
 * A kernel takes 1000 ns, 800 with a programmatic edge before it, kb_empty half of either;
 * the parts of a flush take 40000 each; all twice as long behind a hold that ran out; a
 * graph takes 3000 to start, an event nothing. A kernel with "keep" in its name takes half
 * as long from the second time on, until kb_flush_last has run, one with "long_one" 50
 * times as long. One with "bump" adds 1 to the byte that its first argument points to. */
#include "stub_device.h"

#include <cudaProfiler.h>
#include <elf.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEFAULT_MEMORY = 1 << 30 };

struct CUmod_st {
    const char *cubin;
    struct CUfunc_st functions[16];
    char names[16][256];
    int count;
};

struct stub_device stub;

/* For tests: what a profiler that waits for its start and stop has seen. */
int stub_profiled(void) {
    return stub.profiled;
}

CUresult cuProfilerStart(void) {
    stub.launches = 0;
    return CUDA_SUCCESS;
}

CUresult cuProfilerStop(void) {
    stub.profiled += stub.launches;
    return CUDA_SUCCESS;
}

long stub_script(const char *key, long otherwise) {
    const char *text = getenv("KB_STUB");
    char wanted[64];
    snprintf(wanted, sizeof wanted, "%s=", key);
    const char *at = text ? strstr(text, wanted) : NULL;
    return at ? strtol(at + strlen(wanted), NULL, 10) : otherwise;
}

#define RESULT(key) ((CUresult)(stub.sticky ? stub.sticky : stub_script(key, 0)))

/* ---- the driver and the device ---------------------------------------------------------
 */

CUresult cuInit(unsigned flags) {
    (void)flags;
    stub.sticky = 0;
    stub.ns = 0;
    return (CUresult)stub_script("init", 0);
}
/* NVRTC looks for a driver too, and calls this without asking whether it is there. */
CUresult cuGetExportTable(const void **table, const CUuuid *id) {
    (void)id;
    *table = NULL;
    return CUDA_ERROR_NOT_FOUND;
}
CUresult cuDriverGetVersion(int *version) {
    *version = (int)stub_script("version", 13000);
    return CUDA_SUCCESS;
}
CUresult cuGetErrorName(CUresult rc, const char **name) {
    *name = rc == CUDA_ERROR_ILLEGAL_STATE ? "CUDA_ERROR_ILLEGAL_STATE" : NULL;
    return *name ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}
CUresult cuDeviceGetCount(int *count) {
    *count = (int)stub_script("count", 2);
    return CUDA_SUCCESS;
}
CUresult cuDeviceGet(CUdevice *out, int ordinal) {
    *out = ordinal;
    return CUDA_SUCCESS;
}
CUresult cuDeviceGetName(char *name, int len, CUdevice dev) {
    snprintf(name, (size_t)len, "Stub %d", dev);
    return CUDA_SUCCESS;
}
CUresult cuDeviceGetUuid_v2(CUuuid *uuid, CUdevice dev) {
    for (size_t i = 0; i < sizeof uuid->bytes; i++)
        uuid->bytes[i] = (char)(0xa0 + i + (size_t)dev);
    return CUDA_SUCCESS;
}
CUresult cuDeviceGetPCIBusId(char *out, int len, CUdevice dev) {
    snprintf(out, (size_t)len, "0000:%02x:00.0", (unsigned)dev);
    return CUDA_SUCCESS;
}
CUresult cuDeviceGetAttribute(int *value, CUdevice_attribute which, CUdevice dev) {
    (void)dev;
    switch ((int)which) {
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR:
        *value = (int)stub_script("sm", 90) / 10;
        break;
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR:
        *value = (int)stub_script("sm", 90) % 10;
        break;
    case CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT:
        *value = 4;
        break;
    case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN:
        *value = 227 << 10;
        break;
    case CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE:
        *value = 1 << 20;
        break;
    case CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_MULTIPROCESSOR:
        *value = 2048;
        break;
    case CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_X:
        *value = 2147483647;
        break;
    default:
        *value = 1024;
        break;
    }
    return CUDA_SUCCESS;
}
CUresult cuDeviceTotalMem_v2(size_t *bytes, CUdevice dev) {
    (void)dev;
    *bytes = (size_t)stub_script("memory", DEFAULT_MEMORY);
    return CUDA_SUCCESS;
}
CUresult cuDevicePrimaryCtxRetain(CUcontext *out, CUdevice dev) {
    *out = (CUcontext)(uintptr_t)(dev + 1);
    return RESULT("context");
}
CUresult cuDevicePrimaryCtxRelease_v2(CUdevice dev) {
    (void)dev;
    return STICKY;
}
CUresult cuCtxSetCurrent(CUcontext ctx) {
    (void)ctx;
    return STICKY;
}

/* ---- code ------------------------------------------------------------------------------
 */

CUresult cuModuleLoadData(CUmodule *out, const void *cubin) {
    CUresult rc = RESULT("load");
    if (rc)
        return rc;
    *out = calloc(1, sizeof **out);
    (*out)->cubin = cubin;
    return CUDA_SUCCESS;
}
CUresult cuModuleUnload(CUmodule module) {
    free(module);
    return STICKY;
}
/* .nv.info.NAME holds attributes: a format, a name and, in format 4, so many bytes. That of
 * a parameter (0x17) has its number, its offset and its size in the upper 14 bits. */
static void read_parameters(struct CUfunc_st *function, const char *cubin) {
    char wanted[300];
    Elf64_Ehdr header;
    Elf64_Shdr names, info;
    memcpy(&header, cubin, sizeof header);
    memcpy(&names, cubin + header.e_shoff + header.e_shstrndx * sizeof names, sizeof names);
    snprintf(wanted, sizeof wanted, ".nv.info.%s", function->kernel.name);
    for (int i = 0; i < header.e_shnum; i++) {
        memcpy(&info, cubin + header.e_shoff + (size_t)i * sizeof info, sizeof info);
        if (strcmp(cubin + names.sh_offset + info.sh_name, wanted) != 0)
            continue;
        for (size_t at = 0, size; at + 4 <= info.sh_size; at += size) {
            const char *a = cubin + info.sh_offset + at;
            uint16_t bytes, place[2];
            uint32_t packed;
            memcpy(&bytes, a + 2, sizeof bytes);
            size = a[0] == 4 ? 4u + bytes : 4u;
            if (a[0] != 4 || a[1] != 0x17)
                continue;
            memcpy(place, a + 8, sizeof place);
            memcpy(&packed, a + 12, sizeof packed);
            if (place[0] >= MAX_PARAMETERS)
                continue;
            function->parameters[place[0]].offset = place[1];
            function->parameters[place[0]].bytes = packed >> 18;
        }
    }
}
CUresult cuModuleGetFunction(CUfunction *out, CUmodule module, const char *name) {
    Elf64_Ehdr header;
    char symbol[300];
    int len = snprintf(symbol, sizeof symbol, "%s", name) + 1; /* with its NUL */
    memcpy(&header, module->cubin, sizeof header);
    if (!memmem(module->cubin, header.e_shoff, symbol, (size_t)len) || module->count == 16)
        return CUDA_ERROR_NOT_FOUND;
    struct CUfunc_st *function = &module->functions[module->count];
    snprintf(module->names[module->count], sizeof module->names[0], "%s", name);
    function->kernel.name = module->names[module->count++];
    read_parameters(function, module->cubin);
    *out = function;
    return CUDA_SUCCESS;
}

CUresult cuFuncGetParamInfo(CUfunction function, size_t index, size_t *offset,
                            size_t *bytes) {
    if (index >= MAX_PARAMETERS || !function->parameters[index].bytes)
        return CUDA_ERROR_INVALID_VALUE;
    *offset = function->parameters[index].offset;
    *bytes = function->parameters[index].bytes;
    return STICKY;
}
CUresult cuFuncGetAttribute(int *value, CUfunction_attribute which, CUfunction function) {
    (void)function;
    *value = which == CU_FUNC_ATTRIBUTE_NUM_REGS ? 22 : 0;
    return STICKY;
}
CUresult cuFuncSetAttribute(CUfunction function, CUfunction_attribute which, int value) {
    if (which == CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES) {
        if (value > 227 << 10)
            return CUDA_ERROR_INVALID_VALUE;
        function->kernel.dynamic = value;
    }
    return STICKY;
}

/* ---- memory ----------------------------------------------------------------------------
 */

CUresult cuMemGetInfo_v2(size_t *free_bytes, size_t *total) {
    *total = (size_t)stub_script("memory", DEFAULT_MEMORY);
    *free_bytes = *total > stub.used ? *total - stub.used : 0;
    return STICKY;
}
CUresult cuMemAlloc_v2(CUdeviceptr *out, size_t bytes) {
    if (stub.sticky)
        return STICKY;
    if (stub.used + bytes > (size_t)stub_script("memory", DEFAULT_MEMORY))
        return CUDA_ERROR_OUT_OF_MEMORY;
    size_t *block = aligned_alloc(512, (bytes + 512 + 511) / 512 * 512);
    if (!block)
        return CUDA_ERROR_OUT_OF_MEMORY;
    *block = bytes;
    stub.used += bytes;
    *out = (CUdeviceptr)(uintptr_t)block + 512;
    return CUDA_SUCCESS;
}
CUresult cuMemFree_v2(CUdeviceptr memory) {
    size_t *block = (size_t *)(uintptr_t)(memory - 512);
    stub.used -= *block;
    free(block);
    return STICKY;
}
CUresult cuMemHostAlloc(void **out, size_t bytes, unsigned flags) {
    (void)flags;
    *out = calloc(1, bytes);
    return STICKY;
}
CUresult cuMemHostGetDevicePointer_v2(CUdeviceptr *out, void *host, unsigned flags) {
    (void)flags;
    *out = (CUdeviceptr)(uintptr_t)host;
    return STICKY;
}
CUresult cuMemFreeHost(void *host) {
    free(host);
    return STICKY;
}
CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr to, const void *from, size_t bytes, CUstream s) {
    (void)s;
    memcpy((void *)(uintptr_t)to, from, bytes);
    return STICKY;
}
CUresult cuMemcpyDtoHAsync_v2(void *to, CUdeviceptr from, size_t bytes, CUstream s) {
    (void)s;
    memcpy(to, (const void *)(uintptr_t)from, bytes);
    return STICKY;
}
CUresult cuMemcpyDtoDAsync_v2(CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream s) {
    (void)s;
    memcpy((void *)(uintptr_t)to, (const void *)(uintptr_t)from, bytes);
    return STICKY;
}

CUresult cuTensorMapEncodeTiled(CUtensorMap *map, CUtensorMapDataType type, cuuint32_t rank,
                                void *address, const cuuint64_t *dims,
                                const cuuint64_t *strides, const cuuint32_t *box,
                                const cuuint32_t *steps, CUtensorMapInterleave interleave,
                                CUtensorMapSwizzle swizzle, CUtensorMapL2promotion l2,
                                CUtensorMapFloatOOBfill fill) {
    (void)dims;
    (void)strides;
    (void)steps;
    (void)interleave;
    (void)l2;
    (void)fill;
    if (rank > 5 || box[0] == 0 || box[0] > 256)
        return CUDA_ERROR_INVALID_VALUE;
    memset(map, 0, sizeof *map);
    memcpy(map, &address, sizeof address); /* so that "bump" finds it as its argument */
    (void)type;
    (void)swizzle;
    return STICKY;
}
