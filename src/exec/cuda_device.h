/* cuda_device.h - inside of the cuda backend: the device that is open, code on it,
 * launches.
 *
 * cuda.c holds the table, cuda_device.c opens, cuda_build.c loads, cuda_launch.c launches,
 * cuda_run.c runs once, cuda_timer.h times. */
#ifndef KB_EXEC_CUDA_DEVICE_H
#define KB_EXEC_CUDA_DEVICE_H

#include "cuda_code.h"
#include "cuda_driver.h"
#include "cuda_nvml.h"

enum { KB_MAX_SLOTS = KB_MAX_TENSORS + KB_MAX_SCRATCH };

struct kb_device {
    struct kb_cuda cu;
    struct kb_nvml nvml;
    CUdevice handle;
    CUcontext context;
    CUstream stream; /* the only one: see kb_clockwork_forget of what more of them cost */
    struct kb_device_info info;
    struct kb_compiler *compiler;
    bool watched;     /* as kb_cuda_watched said when it was opened */
    CUdeviceptr slab; /* of run: kept, grows */
    size_t slab_bytes;
    void *stage[2];                 /* page-locked, for large copies; made at the first */
    struct kb_passes *passes;       /* what runs of several launches share */
    struct kb_clockwork *clockwork; /* what timers share; made at the first */
};

struct kb_code {
    CUmodule module;
    int n_launches;
    CUfunction functions[KB_MAX_LAUNCHES];
    bool clustered[KB_MAX_LAUNCHES];       /* may have more than 8 blocks in a cluster */
    size_t shared_bytes[KB_MAX_LAUNCHES];  /* static */
    size_t dynamic_limit[KB_MAX_LAUNCHES]; /* dynamic shared memory opted into so far */
};

/* Everything of the backend that runs in this process goes to the device's context. */
bool kb_cuda_current(struct kb_device *device, struct kb_err *err);
/* Device memory; KB_MEMORY "needs 206 GB, 149 GB are free". What run keeps is given up
 * first. */
bool kb_cuda_alloc(struct kb_device *device, size_t bytes, CUdeviceptr *out,
                   struct kb_err *err);
void kb_cuda_free(struct kb_device *device, CUdeviceptr *memory);
/* What could be had, what is only kept for later included. */
int64_t kb_cuda_free_bytes(struct kb_device *device);
/* Until the stream has nothing left; errors of kernels surface here as "launch: ...". */
bool kb_cuda_sync(struct kb_device *device, struct kb_err *err);

/* Copies that are done on return, by all cores where they are large. */
bool kb_cuda_upload(struct kb_device *device, CUdeviceptr to, const void *from,
                    size_t bytes, struct kb_err *err);
bool kb_cuda_download(struct kb_device *device, void *to, CUdeviceptr from, size_t bytes,
                      struct kb_err *err);
void kb_cuda_copy_free(struct kb_device *device);

/* Load code, find `lowered` (one per launch). */
bool kb_cuda_module(struct kb_device *device, const void *cubin,
                    const struct kb_strings *lowered, struct kb_code **out,
                    struct kb_err *err);
/* Hold the arguments against the kernels' parameters (KB_BUILD) and raise the limits that
 * the plan's launches need; before launches and captures. */
bool kb_cuda_prepare(struct kb_device *device, struct kb_code *code,
                     const struct kb_plan *plan, struct kb_err *err);
/* Queue the plan's launches over slots at these addresses (0: absent): tensors, then
 * scratch, whose zeroes are part of it. `pdl`: programmatic edges where the plan has them.
 */
bool kb_cuda_launch(struct kb_device *device, const struct kb_code *code,
                    const struct kb_plan *plan, const CUdeviceptr *slots, int n_slots,
                    bool pdl, struct kb_err *err);
/* Whether any launch of the plan does anything. */
bool kb_cuda_launches(const struct kb_plan *plan);

/* The backend's profile, and files of --dump-ptx, --dump-sass and --keep. */
bool kb_cuda_profile(struct kb_device *device, struct kb_code *code,
                     const struct kb_plan *plan, const struct kb_slab *initial,
                     struct kb_err *err);
void kb_cuda_occupancy(struct kb_device *device, struct kb_code *code,
                       const struct kb_plan *plan, struct kb_occupancy *out);

/* Whether a tool that knows each allocation's ends watches this process
 * (compute-sanitizer): run then gives each tensor one of its own. */
bool kb_cuda_watched(void);

/* The entries of kb_backend, by file. */
int kb_cuda_probe(struct kb_device_info *devices, int max, struct kb_buf *gaps);
bool kb_cuda_open(int ordinal, const struct kb_exec_options *options,
                  struct kb_device **out, struct kb_err *err);
void kb_cuda_close(struct kb_device *device);
bool kb_cuda_build(struct kb_device *device, const struct kb_plan *plan,
                   const struct kb_build *build, struct kb_code **out,
                   struct kb_code_info *info, struct kb_err *err);
void kb_cuda_unload(struct kb_device *device, struct kb_code *code);
bool kb_cuda_run(struct kb_device *device, struct kb_code *code, const struct kb_plan *plan,
                 struct kb_slab *slab, const struct kb_run_options *options,
                 struct kb_run_result *result, struct kb_err *err);

#endif
