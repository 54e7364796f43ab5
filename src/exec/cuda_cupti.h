/* cuda_cupti.h - libcupti, loaded by name: when kernels began and ended, by the GPU's own
 * clock. */
#ifndef KB_EXEC_CUDA_CUPTI_H
#define KB_EXEC_CUDA_CUPTI_H

#include "exec.h"

/* cupti.h is no part of every toolkit, so what is used of it stands here: name without its
 * cupti, symbol, arguments. Each returns 0 for success. */
#define KB_CUPTI_FUNCTIONS(X)                                                              \
    X(GetResultString, "cuptiGetResultString", (int, const char **))                       \
    X(ActivityEnable, "cuptiActivityEnable", (int))                                        \
    X(ActivityDisable, "cuptiActivityDisable", (int))                                      \
    X(ActivityRegisterCallbacks, "cuptiActivityRegisterCallbacks",                         \
      (void (*)(uint8_t **, size_t *, size_t *),                                           \
       void (*)(void *, uint32_t, uint8_t *, size_t, size_t)))                             \
    X(ActivityGetNextRecord, "cuptiActivityGetNextRecord", (uint8_t *, size_t, void **))   \
    X(ActivityFlushAll, "cuptiActivityFlushAll", (uint32_t))                               \
    X(Finalize, "cuptiFinalize", (void))

enum { KB_CUPTI_MEMSET = 2, KB_CUPTI_KERNEL = 10 }; /* kinds of records */

/* How records of these two kinds begin, in every libcupti since that of CUDA 8. */
struct kb_cupti_kernel {
    uint32_t kind;
    uint8_t cache, shared;
    uint16_t registers;
    uint32_t partition_asked, partition_had;
    uint64_t start_ns, end_ns;
};
struct kb_cupti_memset {
    uint32_t kind, value;
    uint64_t bytes, start_ns, end_ns;
};

struct kb_cupti {
    bool there, traced; /* traced: between start and stop */
#define X(name, symbol, args) int(*name) args;
    KB_CUPTI_FUNCTIONS(X)
#undef X
};
struct kb_cupti_span {
    uint64_t start_ns, end_ns;
};

/* The first of these libraries that loads; KB_UNSUPPORTED with a line and the remedy where
 * none does. NULL ends the names. */
bool kb_cupti_load_from(const char *const *names, struct kb_cupti *out, struct kb_err *err);
/* From the places where it may lie. */
bool kb_cupti_load(struct kb_cupti *out, struct kb_err *err);
/* From here on each kernel and each memset of this process is traced, which costs host
 * time; what was traced before is forgotten. */
bool kb_cupti_start(struct kb_cupti *cupti, struct kb_err *err);
/* CUPTI leaves the process, and with it what it costs launches that nobody traces. */
void kb_cupti_stop(struct kb_cupti *cupti);
/* What has run since the last call, in the order of its start, up to `max` (0: it is only
 * forgotten); all of it must have ended. *n: how many there were. */
bool kb_cupti_take(struct kb_cupti *cupti, struct kb_cupti_span *spans, int max, int *n,
                   struct kb_err *err);

#endif
