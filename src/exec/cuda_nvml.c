/* cuda_nvml.c - clocks, throttling, free memory and other processes, as far as NVML tells.
 */
#include "cuda_nvml.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { TOO_SMALL = 7, CLOCK_SM = 1, CLOCK_MEMORY = 2 };

/* Reasons for a clock that throttle nothing: no work, and what somebody asked for. */
enum { IDLE = 0x1, CLOCK_SETTING = 0x2, DISPLAY_SETTING = 0x100 };

static bool find(void *library, const char *symbol, void *function) {
    void *address = dlsym(library, symbol);
    memcpy(function, &address, sizeof address);
    return address != NULL;
}

/* Who computes on a device; -1: not known. Of more than there is room for NVML tells how
 * many they are, but need not name any: those are 0. */
static int list_processes(const struct kb_nvml *nvml, void *device, unsigned *pids,
                          int max) {
    struct kb_nvml_process processes[KB_NVML_PROCESSES] = {0};
    unsigned count = KB_NVML_PROCESSES;
    int rc = nvml->DeviceGetProcesses(device, &count, processes);
    if (rc && rc != TOO_SMALL)
        return -1;
    count = count < (unsigned)max ? count : (unsigned)max;
    for (unsigned i = 0; i < count; i++)
        pids[i] = processes[i].pid;
    return (int)count;
}

static void look_before(struct kb_nvml *nvml) {
    void *device;
    nvml->n_before = nvml->DeviceByIndex ? 0 : -1;
    for (unsigned i = 0; nvml->n_before >= 0 && nvml->DeviceByIndex(i, &device) == 0; i++) {
        int n = list_processes(nvml, device, nvml->before + nvml->n_before,
                               KB_NVML_PROCESSES - nvml->n_before);
        nvml->n_before = n < 0 ? -1 : nvml->n_before + n;
    }
}

void kb_nvml_load(struct kb_nvml *out) {
    *out = (struct kb_nvml){.n_before = -1};
    void *library = dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return;
    bool all = true;
#define X(name, symbol, args) all = find(library, symbol, &out->name) && all;
    KB_NVML_FUNCTIONS(X)
#undef X
#define X(name, symbol, args) find(library, symbol, &out->name);
    KB_NVML_MAYBE(X)
#undef X
    out->there = all && out->Init() == 0;
    if (out->there)
        look_before(out);
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

static int lock_mhz(const struct kb_nvml *nvml) {
    unsigned mhz;
    if (nvml->DeviceGetDefaultApplicationsClock(nvml->device, CLOCK_SM, &mhz) == 0 && mhz)
        return (int)mhz;
    if (!nvml->DeviceGetMaxClockInfo ||
        nvml->DeviceGetMaxClockInfo(nvml->device, CLOCK_SM, &mhz))
        return 0;
    return (int)mhz;
}

void kb_nvml_lock_words(const struct kb_nvml *nvml, char *out, size_t size) {
    int mhz = nvml->device ? lock_mhz(nvml) : 0;
    unsigned index;
    *out = '\0';
    if (mhz > 0 && nvml->DeviceGetIndex && nvml->DeviceGetIndex(nvml->device, &index) == 0)
        snprintf(out, size, "nvidia-smi -i %u -lgc %d", index, mhz);
}

bool kb_nvml_energy(const struct kb_nvml *nvml, int64_t *mj) {
    unsigned long long value;
    if (!nvml->device || !nvml->DeviceGetTotalEnergy ||
        nvml->DeviceGetTotalEnergy(nvml->device, &value))
        return false;
    *mj = (int64_t)value;
    return true;
}

/* ---- who else computes here ------------------------------------------------------------
 */

static bool has_pid(const unsigned *pids, int n, unsigned pid) {
    for (int i = 0; i < n; i++)
        if (pids[i] == pid)
            return true;
    return false;
}

/* Which of them we are; -1: none, or not known. */
static int find_self(const struct kb_nvml *nvml, const unsigned *pids, int n) {
    int self = -1, later = 0;
    for (int i = 0; i < n; i++)
        if (pids[i] == (unsigned)getpid())
            return i;
    if (n == 1 && nvml->n_before <= 0)
        return 0;
    for (int i = 0; i < n && nvml->n_before >= 0; i++) {
        if (has_pid(nvml->before, nvml->n_before, pids[i]))
            continue;
        self = i;
        later++;
    }
    return later == 1 ? self : -1;
}

/* "/proc/self/exe" is how our own workers are called: it says nothing of whose they are. */
static void find_name(const struct kb_nvml *nvml, unsigned pid, char *name, size_t size) {
    char link[64];
    *name = '\0';
    if (!nvml->SystemGetProcessName ||
        nvml->SystemGetProcessName(pid, name, (unsigned)size))
        *name = '\0';
    name[size - 1] = '\0';
    if (!kb_starts_with(name, "/proc/"))
        return;
    snprintf(link, sizeof link, "/proc/%u/exe", pid);
    ssize_t len = readlink(link, name, size - 1);
    name[len > 0 ? len : 0] = '\0';
}

static void name_process(const struct kb_nvml *nvml, unsigned pid, struct kb_buf *out) {
    char name[256];
    kb_buf_printf(out, "%spid %u", out->len ? ", " : "", pid);
    find_name(nvml, pid, name, sizeof name);
    if (!*name)
        return;
    const char *slash = strrchr(name, '/');
    kb_buf_puts(out, " (");
    kb_escape(out, slash ? slash + 1 : name, strlen(slash ? slash + 1 : name));
    kb_buf_putc(out, ')');
}

static void find_others(const struct kb_nvml *nvml, struct kb_clocks *out) {
    unsigned pids[KB_NVML_PROCESSES];
    struct kb_buf names = {0};
    int n = list_processes(nvml, nvml->device, pids, KB_NVML_PROCESSES);
    int self = n > 0 ? find_self(nvml, pids, n) : -1;
    out->other_processes = n > 0 ? n - 1 : n;
    if (out->other_processes > 0) {
        for (int i = 0; i < n; i++)
            if (i != self && pids[i])
                name_process(nvml, pids[i], &names);
        if (!names.len)
            kb_buf_printf(&names, "%d processes and more", n);
        else if (self < 0)
            kb_buf_puts(&names, ", one of them this one");
        kb_text_copy(out->others, sizeof out->others, kb_buf_text(&names));
    }
    kb_buf_free(&names);
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
    find_others(nvml, out);
}
