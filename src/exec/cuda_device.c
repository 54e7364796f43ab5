/* cuda_device.c - which GPUs there are, and opening one. */
#include "cuda_device.h"

#include "cuda_passes.h"
#include "cuda_timer.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- facts -----------------------------------------------------------------------------
 */

static int64_t attribute(const struct kb_cuda *cu, CUdevice handle,
                         CUdevice_attribute which) {
    int value = 0;
    return cu->DeviceGetAttribute(&value, which, handle) == CUDA_SUCCESS ? value : 0;
}

static void read_limits(const struct kb_cuda *cu, CUdevice handle,
                        struct kb_device_limits *out) {
    static const CUdevice_attribute grid[] = {CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_X,
                                              CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Y,
                                              CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Z};
    static const CUdevice_attribute block[] = {CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_X,
                                               CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Y,
                                               CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Z};
    out->sm = 10 * attribute(cu, handle, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR) +
              attribute(cu, handle, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR);
    out->sm_count = attribute(cu, handle, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT);
    out->smem_per_block =
        attribute(cu, handle, CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN);
    out->max_threads = attribute(cu, handle, CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK);
    for (int i = 0; i < 3; i++) {
        out->max_grid[i] = attribute(cu, handle, grid[i]);
        out->max_block[i] = attribute(cu, handle, block[i]);
    }
}

/* "GPU-6f0c8c3e-...", as nvidia-smi and CUDA_VISIBLE_DEVICES have it. */
static void read_uuid(const struct kb_cuda *cu, CUdevice handle, char out[64]) {
    CUuuid uuid;
    if (cu->DeviceGetUuid(&uuid, handle) != CUDA_SUCCESS)
        return;
    size_t at = (size_t)snprintf(out, 64, "GPU");
    for (size_t i = 0; i < sizeof uuid.bytes; i++) {
        bool dash = i == 0 || i == 4 || i == 6 || i == 8 || i == 10;
        at += (size_t)snprintf(out + at, 64 - at, "%s%02x", dash ? "-" : "",
                               (unsigned)(unsigned char)uuid.bytes[i]);
    }
}

/* What NVML knows better. It may be missing, and then less is known. */
static void read_nvml(const struct kb_cuda *cu, struct kb_nvml *nvml, CUdevice handle,
                      struct kb_device_info *out) {
    char bus[32] = "";
    if (cu->DeviceGetPCIBusId(bus, sizeof bus, handle) == CUDA_SUCCESS)
        kb_nvml_select(nvml, bus);
    if (!kb_nvml_driver(nvml, out->driver, sizeof out->driver))
        snprintf(out->driver, sizeof out->driver, "CUDA %d.%d", cu->version / 1000,
                 cu->version % 1000 / 10);
    if (!kb_nvml_free_bytes(nvml, &out->free_bytes))
        out->free_bytes = out->memory_bytes;
    out->clocks_locked = kb_nvml_locked(nvml);
    kb_nvml_lock_words(nvml, out->lock, sizeof out->lock);
}

static bool read_info(const struct kb_cuda *cu, int ordinal, CUdevice *handle,
                      struct kb_device_info *out, struct kb_err *err) {
    char what[48], name[sizeof out->name] = "";
    size_t bytes = 0;
    snprintf(what, sizeof what, "GPU %d", ordinal);
    CUresult rc = cu->DeviceGet(handle, ordinal);
    if (!rc)
        rc = cu->DeviceGetName(name, (int)sizeof name, *handle);
    if (!rc)
        rc = cu->DeviceTotalMem(&bytes, *handle);
    if (rc)
        return kb_cuda_fail(cu, rc, what, err);
    *out = (struct kb_device_info){
        .backend = "cuda",
        .memory_bytes = (int64_t)bytes,
        .l2_bytes = attribute(cu, *handle, CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE),
    };
    snprintf(out->id, sizeof out->id, "%d", ordinal);
    kb_text_copy(out->name, sizeof out->name, name);
    read_uuid(cu, *handle, out->uuid);
    read_limits(cu, *handle, &out->limits);
    return true;
}

/* ---- probe -----------------------------------------------------------------------------
 */

int kb_cuda_probe(struct kb_device_info *devices, int max, struct kb_buf *gaps) {
    struct kb_cuda cu;
    struct kb_nvml nvml;
    struct kb_nvrtc *nvrtc = NULL;
    struct kb_err err = {0};
    int count = 0, found = 0;
    if (!kb_cuda_load(&cu, &err)) {
        kb_buf_printf(gaps, "%s%s\n", err.msg,
                      strstr(err.msg, "libcuda.so.1 not found")
                          ? ": a GPU's driver package brings it; without one kernels are "
                            "checked on the CPU"
                          : "");
        return 0;
    }
    CUresult rc = cu.DeviceGetCount(&count);
    if (rc || count == 0) {
        kb_cuda_fail(&cu, rc ? rc : CUDA_ERROR_NO_DEVICE, "NVIDIA driver", &err);
        kb_buf_printf(gaps, "%s\n", err.msg);
        return 0;
    }
    if (!kb_nvrtc_open(0, &nvrtc, &err))
        kb_buf_printf(gaps, "%s\n", err.msg);
    kb_nvml_load(&nvml);
    for (int i = 0; i < count && found < max; i++) {
        CUdevice handle;
        struct kb_device_info *info = &devices[found];
        if (!read_info(&cu, i, &handle, info, &err)) {
            kb_buf_printf(gaps, "%s\n", err.msg);
            continue;
        }
        read_nvml(&cu, &nvml, handle, info);
        if (nvrtc)
            kb_text_copy(info->nvrtc, sizeof info->nvrtc, kb_nvrtc_version(nvrtc));
        found++;
    }
    kb_nvml_close(&nvml);
    kb_nvrtc_close(nvrtc);
    return found;
}

/* ---- open and close --------------------------------------------------------------------
 */

/* NVML starts up beside cuInit and the context, which take ten times as long. */
static void *load_nvml(void *nvml) {
    kb_nvml_load(nvml);
    return NULL;
}

static bool open_context(struct kb_device *device, int ordinal, struct kb_err *err) {
    struct kb_cuda *cu = &device->cu;
    int count = 0;
    if (!kb_cuda_load(cu, err))
        return false;
    CUresult rc = cu->DeviceGetCount(&count);
    if (!rc && count == 0)
        rc = CUDA_ERROR_NO_DEVICE;
    if (rc)
        return kb_cuda_fail(cu, rc, "NVIDIA driver", err);
    if (ordinal < 0 || ordinal >= count)
        return kb_fail(err, KB_DEVICE, "no GPU %d: there are %d, numbered from 0", ordinal,
                       count);
    if (!read_info(cu, ordinal, &device->handle, &device->info, err))
        return false;
    rc = cu->DevicePrimaryCtxRetain(&device->context, device->handle);
    if (!rc)
        rc = cu->CtxSetCurrent(device->context);
    if (!rc)
        rc = cu->StreamCreate(&device->stream, CU_STREAM_NON_BLOCKING);
    return !rc || kb_cuda_fail(cu, rc, "context", err);
}

static bool open_device(struct kb_device *device, int ordinal,
                        const struct kb_exec_options *options, struct kb_err *err) {
    pthread_t thread;
    /* A missing driver is said before a missing toolkit: the first hides the second. */
    bool beside = pthread_create(&thread, NULL, load_nvml, &device->nvml) == 0;
    bool ok = open_context(device, ordinal, err);
    if (beside)
        pthread_join(thread, NULL);
    if (!ok || !kb_compiler_open(options, &device->compiler, err))
        return false;
    read_nvml(&device->cu, &device->nvml, device->handle, &device->info);
    kb_text_copy(device->info.nvrtc, sizeof device->info.nvrtc,
                 kb_nvrtc_version(device->compiler->nvrtc));
    return true;
}

bool kb_cuda_open(int ordinal, const struct kb_exec_options *options,
                  struct kb_device **out, struct kb_err *err) {
    struct kb_device *device = calloc(1, sizeof *device);
    if (!device)
        kb_out_of_memory();
    device->watched = kb_cuda_watched();
    if (!open_device(device, ordinal, options, err)) {
        kb_cuda_close(device);
        return false;
    }
    *out = device;
    return true;
}

void kb_cuda_close(struct kb_device *device) {
    if (!device)
        return;
    if (device->context) {
        kb_clockwork_free(device);
        kb_passes_free(device);
        kb_cuda_copy_free(device);
        kb_cuda_free(device, &device->slab);
        if (device->stream)
            device->cu.StreamDestroy(device->stream);
        device->cu.DevicePrimaryCtxRelease(device->handle);
    }
    kb_nvml_close(&device->nvml);
    kb_compiler_close(device->compiler);
    free(device);
}

bool kb_cuda_current(struct kb_device *device, struct kb_err *err) {
    CUresult rc = device->cu.CtxSetCurrent(device->context);
    return !rc || kb_cuda_fail(&device->cu, rc, "context", err);
}

/* ---- memory ----------------------------------------------------------------------------
 */

static bool fail_memory(struct kb_device *device, size_t bytes, struct kb_err *err) {
    struct kb_size_text need = kb_size_text((double)bytes);
    struct kb_size_text have = kb_size_text((double)kb_cuda_free_bytes(device));
    return kb_fail(err, KB_MEMORY, "needs %s, %s are free", need.text, have.text);
}

/* What is kept for the next case or method; whether there was any. */
static bool give_up_kept(struct kb_device *device) {
    bool any = kb_sets_drop_idle(device) || device->slab;
    any |= kb_passes_drop(device);
    kb_cuda_free(device, &device->slab);
    device->slab_bytes = 0;
    return any;
}

int64_t kb_cuda_free_bytes(struct kb_device *device) {
    size_t free_bytes = 0, total = 0;
    if (device->cu.MemGetInfo(&free_bytes, &total))
        return device->info.memory_bytes;
    return (int64_t)(free_bytes + device->slab_bytes + kb_sets_idle_bytes(device));
}

bool kb_cuda_alloc(struct kb_device *device, size_t bytes, CUdeviceptr *out,
                   struct kb_err *err) {
    *out = 0;
    CUresult rc = device->cu.MemAlloc(out, bytes ? bytes : 1);
    if (rc == CUDA_ERROR_OUT_OF_MEMORY && give_up_kept(device))
        rc = device->cu.MemAlloc(out, bytes ? bytes : 1);
    if (rc == CUDA_ERROR_OUT_OF_MEMORY)
        return fail_memory(device, bytes, err);
    return !rc || kb_cuda_fail(&device->cu, rc, "device memory", err);
}

void kb_cuda_free(struct kb_device *device, CUdeviceptr *memory) {
    if (*memory)
        device->cu.MemFree(*memory);
    *memory = 0;
}

bool kb_cuda_sync(struct kb_device *device, struct kb_err *err) {
    CUresult rc = device->cu.StreamSynchronize(device->stream);
    return !rc || kb_cuda_fail(&device->cu, rc, "launch", err);
}
