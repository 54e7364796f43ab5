/* cuda_nvml.h - libnvidia-ml, loaded by name: what the driver API does not tell. Every call
 * works on a zeroed struct kb_nvml; nothing is known then. */
#ifndef KB_EXEC_CUDA_NVML_H
#define KB_EXEC_CUDA_NVML_H

#include "exec.h"

enum { KB_NVML_PROCESSES = 64 };

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

/* Those that some devices or drivers lack. */
#define KB_NVML_MAYBE(X)                                                                   \
    X(DeviceGetTotalEnergy, "nvmlDeviceGetTotalEnergyConsumption",                         \
      (void *, unsigned long long *))                                                      \
    X(DeviceGetMaxClockInfo, "nvmlDeviceGetMaxClockInfo", (void *, int, unsigned *))       \
    X(DeviceGetIndex, "nvmlDeviceGetIndex", (void *, unsigned *))                          \
    X(DeviceByIndex, "nvmlDeviceGetHandleByIndex_v2", (unsigned, void **))                 \
    X(SystemGetProcessName, "nvmlSystemGetProcessName", (unsigned, char *, unsigned))

struct kb_nvml {
    bool there;
    void *device; /* NULL: it could not be had */
    /* Who computed on a GPU when it was loaded, which is before this process does: where a
     * container numbers processes by itself, that tells who of those seen later it is. */
    int n_before; /* -1: not known */
    unsigned before[KB_NVML_PROCESSES];
#define X(name, symbol, args) int(*name) args;
    KB_NVML_FUNCTIONS(X)
    KB_NVML_MAYBE(X)
#undef X
};

void kb_nvml_load(struct kb_nvml *out);
void kb_nvml_close(struct kb_nvml *nvml);
/* The device that cuDeviceGetPCIBusId names: NVML counts all, whatever is visible. */
void kb_nvml_select(struct kb_nvml *nvml, const char *pci_bus_id);
bool kb_nvml_driver(const struct kb_nvml *nvml, char *out, size_t size); /* "580.159.04" */
bool kb_nvml_free_bytes(const struct kb_nvml *nvml, int64_t *out);
/* Millijoules since the driver was loaded. */
bool kb_nvml_energy(const struct kb_nvml *nvml, int64_t *mj);
/* The command that locks clocks, "nvidia-smi -i 0 -lgc 1980": to the factory's SM clock for
 * applications, else to the highest; "" where these are not known. */
void kb_nvml_lock_words(const struct kb_nvml *nvml, char *out, size_t size);
/* Two of its questions take half a millisecond each: not for between samples. */
bool kb_nvml_locked(const struct kb_nvml *nvml);
void kb_nvml_clocks(const struct kb_nvml *nvml, struct kb_clocks *out);

#endif
