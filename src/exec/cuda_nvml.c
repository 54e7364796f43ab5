/* cuda_nvml.c - clocks, throttling, free memory and other processes, as far as NVML tells.
 */
#include "cuda_nvml.h"

#include <dlfcn.h>
#include <string.h>

enum { TOO_SMALL = 7, CLOCK_SM = 1, CLOCK_MEMORY = 2, MAX_PROCESSES = 64 };

/* Reasons for a clock that throttle nothing: no work, and what somebody asked for. */
enum { IDLE = 0x1, CLOCK_SETTING = 0x2, DISPLAY_SETTING = 0x100 };

static bool find(void *library, const char *symbol, void *function) {
    void *address = dlsym(library, symbol);
    memcpy(function, &address, sizeof address);
    return address != NULL;
}

void kb_nvml_load(struct kb_nvml *out) {
    *out = (struct kb_nvml){0};
    void *library = dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return;
    bool all = true;
#define X(name, symbol, args) all = find(library, symbol, &out->name) && all;
    KB_NVML_FUNCTIONS(X)
#undef X
    out->there = all && out->Init() == 0;
}

void kb_nvml_close(struct kb_nvml *nvml) {
    if (nvml->there)
        nvml->Shutdown();
    nvml->there = false;
    nvml->device = NULL;
}

void kb_nvml_select(struct kb_nvml *nvml, const char *pci_bus_id) {
    if (!nvml->there || nvml->DeviceByPciBusId(pci_bus_id, &nvml->device))
        nvml->device = NULL;
}

bool kb_nvml_driver(const struct kb_nvml *nvml, char *out, size_t size) {
    return nvml->there && nvml->SystemGetDriverVersion(out, (unsigned)size) == 0;
}

bool kb_nvml_free_bytes(const struct kb_nvml *nvml, int64_t *out) {
    struct kb_nvml_memory memory;
    if (!nvml->device || nvml->DeviceGetMemoryInfo(nvml->device, &memory))
        return false;
    *out = (int64_t)memory.free;
    return true;
}

static int clock_mhz(const struct kb_nvml *nvml, int clock) {
    unsigned mhz;
    return nvml->DeviceGetClockInfo(nvml->device, clock, &mhz) ? 0 : (int)mhz;
}

/* NVML does not say whether clocks are locked. It says that application clocks are not
 * those of the factory, and that a setting is what holds the clock now. */
bool kb_nvml_locked(const struct kb_nvml *nvml) {
    unsigned long long reasons = 0;
    unsigned set, standard;
    if (!nvml->device)
        return false;
    if (nvml->DeviceGetThrottleReasons(nvml->device, &reasons) == 0 &&
        reasons & CLOCK_SETTING)
        return true;
    return nvml->DeviceGetApplicationsClock(nvml->device, CLOCK_SM, &set) == 0 &&
           nvml->DeviceGetDefaultApplicationsClock(nvml->device, CLOCK_SM, &standard) ==
               0 &&
           set != standard;
}

/* Those that compute here beside us. We are one of them, under a number of our own where a
 * container hides the machine's. */
static int count_others(const struct kb_nvml *nvml) {
    struct kb_nvml_process processes[MAX_PROCESSES];
    unsigned count = MAX_PROCESSES;
    int rc = nvml->DeviceGetProcesses(nvml->device, &count, processes);
    if (rc && rc != TOO_SMALL)
        return -1;
    return count ? (int)count - 1 : 0;
}

void kb_nvml_clocks(const struct kb_nvml *nvml, struct kb_clocks *out) {
    unsigned long long reasons = 0;
    *out = (struct kb_clocks){.throttle = KB_THROTTLE_UNKNOWN, .other_processes = -1};
    if (!nvml->device)
        return;
    out->sm_mhz = clock_mhz(nvml, CLOCK_SM);
    out->memory_mhz = clock_mhz(nvml, CLOCK_MEMORY);
    if (nvml->DeviceGetThrottleReasons(nvml->device, &reasons) == 0)
        out->throttle = reasons & ~(uint64_t)(IDLE | CLOCK_SETTING | DISPLAY_SETTING);
    out->other_processes = count_others(nvml);
}
