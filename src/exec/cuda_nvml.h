/* cuda_nvml.h - libnvidia-ml, loaded by name: what the driver API does not tell. Every call
 * works on a zeroed struct kb_nvml; nothing is known then. */
#ifndef KB_EXEC_CUDA_NVML_H
#define KB_EXEC_CUDA_NVML_H

#include "exec.h"

struct kb_nvml_memory {
    unsigned long long total, free, used;
};
struct kb_nvml_process {
    unsigned pid;
    unsigned long long used_bytes;
    unsigned gpu_instance, compute_instance;
};

/* nvml.h is no part of every toolkit, so the prototypes stand here: name without its nvml,
 * symbol, arguments. Each returns 0 for success. */
#define KB_NVML_FUNCTIONS(X)                                                               \
    X(Init, "nvmlInit_v2", (void))                                                         \
    X(Shutdown, "nvmlShutdown", (void))                                                    \
    X(SystemGetDriverVersion, "nvmlSystemGetDriverVersion", (char *, unsigned))            \
    X(DeviceByPciBusId, "nvmlDeviceGetHandleByPciBusId_v2", (const char *, void **))       \
    X(DeviceGetMemoryInfo, "nvmlDeviceGetMemoryInfo", (void *, struct kb_nvml_memory *))   \
    X(DeviceGetClockInfo, "nvmlDeviceGetClockInfo", (void *, int, unsigned *))             \
    X(DeviceGetApplicationsClock, "nvmlDeviceGetApplicationsClock",                        \
      (void *, int, unsigned *))                                                           \
    X(DeviceGetDefaultApplicationsClock, "nvmlDeviceGetDefaultApplicationsClock",          \
      (void *, int, unsigned *))                                                           \
    X(DeviceGetThrottleReasons, "nvmlDeviceGetCurrentClocksThrottleReasons",               \
      (void *, unsigned long long *))                                                      \
    X(DeviceGetProcesses, "nvmlDeviceGetComputeRunningProcesses_v3",                       \
      (void *, unsigned *, struct kb_nvml_process *))

struct kb_nvml {
    bool there;
    void *device; /* NULL: it could not be had */
#define X(name, symbol, args) int(*name) args;
    KB_NVML_FUNCTIONS(X)
#undef X
};

void kb_nvml_load(struct kb_nvml *out);
void kb_nvml_close(struct kb_nvml *nvml);
/* The device that cuDeviceGetPCIBusId names: NVML counts all, whatever is visible. */
void kb_nvml_select(struct kb_nvml *nvml, const char *pci_bus_id);
bool kb_nvml_driver(const struct kb_nvml *nvml, char *out, size_t size); /* "580.159.04" */
bool kb_nvml_free_bytes(const struct kb_nvml *nvml, int64_t *out);
/* Two of its questions take half a millisecond each: not for between samples. */
bool kb_nvml_locked(const struct kb_nvml *nvml);
void kb_nvml_clocks(const struct kb_nvml *nvml, struct kb_clocks *out);

#endif
