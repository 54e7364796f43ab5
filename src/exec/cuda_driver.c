/* cuda_driver.c - libcuda by dlopen, and its errors in words. */
#include "cuda_driver.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

enum { OLDEST_DRIVER = 12000 };

/* What a code means to who reads a report, and what can be done about it. */
static const struct {
    int code;
    const char *words, *remedy;
} meanings[] = {
    {1, "invalid value", NULL},
    {2, "out of memory", NULL},
    {3, "driver not initialised", NULL},
    {46, "device busy or unavailable", "another process may hold it exclusively"},
    {100, "no CUDA device", "is one fitted, and does CUDA_VISIBLE_DEVICES show it?"},
    {101, "no such device", NULL},
    {200, "not code for a GPU", NULL},
    {209, "no code for this device", "is the driver older than the CUDA Toolkit?"},
    {214, "uncorrectable ECC error", "the GPU wants a reset: nvidia-smi -q -d ECC"},
    {218, "code that the driver cannot read", "is it older than the CUDA Toolkit?"},
    {220, "NVLink error", "nvidia-smi nvlink -e"},
    {222, "code of a newer toolkit than the driver's", "update the driver"},
    {304, "the operating system refused", NULL},
    {500, "no such kernel in the code", NULL},
    {700, "illegal address", NULL},
    {701, "too many registers, threads or too much shared memory", NULL},
    {702, "the device's own watchdog ended it", NULL},
    {710, "assertion in the kernel", NULL},
    {714, "hardware stack error", NULL},
    {715, "illegal instruction", NULL},
    {716, "misaligned address", NULL},
    {717, "address of the wrong space", NULL},
    {718, "invalid program counter", NULL},
    {719, "launch failure", NULL},
    {720, "cooperative launch too large", NULL},
    {800, "not permitted", NULL},
    {801, "not supported", NULL},
    {802, "system not ready", "is nvidia-fabricmanager running?"},
    {803, "driver and its library differ in version", "reboot, or reload the driver"},
    {804, "compatibility package on a GPU that it does not support",
     "remove cuda-compat from the library path"},
    {912, "cluster too large for the device", NULL},
    {999, "unknown error", "the GPU may be lost: dmesg | grep Xid"},
};

/* dlsym's result is no function pointer in C; memcpy is how one becomes one. */
static bool find(void *library, const char *symbol, void *function) {
    void *address = dlsym(library, symbol);
    memcpy(function, &address, sizeof address);
    return address != NULL;
}

/* NULL, or the symbol that the library lacks. */
static const char *bind(void *library, struct kb_cuda *out) {
    const char *missing = NULL;
#define X(name, symbol)                                                                    \
    if (!find(library, symbol, &out->name) && !missing)                                    \
        missing = symbol;
    KB_CUDA_FUNCTIONS(X)
#undef X
#define X(name, symbol) find(library, symbol, &out->name);
    KB_CUDA_LATER(X)
#undef X
    return missing;
}

/* Its own folders come last: who sets a library path means it. */
static void *open_library(void) {
    static const char *const names[] = {
        "libcuda.so.1",
        "/usr/lib/wsl/lib/libcuda.so.1",
        "/usr/local/nvidia/lib64/libcuda.so.1",
    };
    void *library = NULL;
    for (size_t i = 0; i < KB_COUNT(names) && !library; i++)
        library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
    return library;
}

void kb_cuda_words(const struct kb_cuda *cu, CUresult rc, struct kb_buf *out) {
    const char *name = NULL;
    for (size_t i = 0; i < KB_COUNT(meanings) && !name; i++)
        if (meanings[i].code == (int)rc)
            name = meanings[i].words;
    if (!name && (!cu->GetErrorName || cu->GetErrorName(rc, &name)))
        name = "unknown to the driver";
    kb_buf_printf(out, "%s (%d)", name, (int)rc);
}

bool kb_cuda_fail(const struct kb_cuda *cu, CUresult rc, const char *what,
                  struct kb_err *err) {
    struct kb_buf text = {0};
    kb_cuda_words(cu, rc, &text);
    for (size_t i = 0; i < KB_COUNT(meanings); i++)
        if (meanings[i].code == (int)rc && meanings[i].remedy)
            kb_buf_printf(&text, ": %s", meanings[i].remedy);
    kb_fail(err, rc == CUDA_ERROR_OUT_OF_MEMORY ? KB_MEMORY : KB_DEVICE, "%s: %s", what,
            kb_buf_text(&text));
    kb_buf_free(&text);
    return false;
}

bool kb_cuda_load(struct kb_cuda *out, struct kb_err *err) {
    *out = (struct kb_cuda){0};
    /* Never closed: the driver starts threads of its own. */
    void *library = open_library();
    if (!library)
        return kb_fail(err, KB_DEVICE, "no NVIDIA driver (libcuda.so.1 not found)");
    const char *missing = bind(library, out);
    if (out->DriverGetVersion)
        out->DriverGetVersion(&out->version);
    if (missing || out->version < OLDEST_DRIVER)
        return kb_fail(err, KB_DEVICE,
                       "the NVIDIA driver is too old (CUDA %d.%d%s%s): 525 or newer is "
                       "wanted",
                       out->version / 1000, out->version % 1000 / 10,
                       missing ? ", without " : "", missing ? missing : "");
    CUresult rc = out->Init(0);
    return rc == CUDA_SUCCESS || kb_cuda_fail(out, rc, "NVIDIA driver", err);
}
