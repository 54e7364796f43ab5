/* cuda_code.h - from a plan to machine code in memory; no driver is needed up to here. */
#ifndef KB_EXEC_CUDA_CODE_H
#define KB_EXEC_CUDA_CODE_H

#include "exec.h"

struct kb_compiler {
    struct kb_exec_options options;
    struct kb_nvrtc *nvrtc;
    struct kb_cache *cache; /* NULL: none */
    struct kb_buf note;     /* of opening the cache, until a build has carried it away */
};

/* The code of a plan, with entries named; `lowered` is in the order of its launches. */
bool kb_compiler_code(struct kb_compiler *compiler, int64_t sm, const struct kb_plan *plan,
                      const struct kb_build *build, struct kb_arena *arena,
                      struct kb_nvrtc_result *out, struct kb_code_info *info,
                      struct kb_err *err);
/* A source of our own with no contract: "kernels/timer.cu". */
bool kb_compiler_asset(struct kb_compiler *compiler, int64_t sm, const char *path,
                       const struct kb_strings *entries, struct kb_arena *arena,
                       struct kb_nvrtc_result *out, struct kb_err *err);
/* 90 -> "sm_90a": the target that has all of the device's own instructions. */
void kb_cuda_arch(int64_t sm, char out[16]);

/* What decides whether two builds are the same machine code: instructions, constants and
 * launch attributes of the entries and of what they call, not names of files, notes or the
 * order of symbols. False if it is no cubin that we understand. */
bool kb_cubin_digest(const void *cubin, size_t size, const struct kb_strings *entries,
                     struct kb_hash *hash, int64_t *code_bytes);

#endif
