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
/* A plan's files in the folders that the compiler's options name: PTX, SASS, and sources
 * with the nvcc command that compiles them. `result` has its code. */
bool kb_compiler_leave(struct kb_compiler *compiler, const struct kb_plan *plan,
                       const struct kb_build *build, const struct kb_code_info *info,
                       const struct kb_nvrtc_result *result, struct kb_err *err);
/* A name for a plan's files, of its label, variant and build: letters, digits and -_.+
 * alone; where others were replaced or it is long, a hash tells it from its like. */
void kb_plan_stem(const struct kb_plan *plan, const struct kb_build *build,
                  struct kb_buf *out);
/* A source of our own with no contract: "kernels/timer.cu". */
bool kb_compiler_asset(struct kb_compiler *compiler, int64_t sm, const char *path,
                       const struct kb_strings *entries, struct kb_arena *arena,
                       struct kb_nvrtc_result *out, struct kb_err *err);
/* Our own kernels that timers and further runs launch, into the cache. */
bool kb_clockwork_compile(struct kb_compiler *compiler, int64_t sm, struct kb_err *err);
bool kb_passes_compile(struct kb_compiler *compiler, int64_t sm, struct kb_err *err);
/* 90 -> "sm_90a": the target that has all of the device's own instructions. */
void kb_cuda_arch(int64_t sm, char out[16]);

/* What decides whether two builds are the same machine code: instructions, constants and
 * launch attributes of the entries and of what they refer to, whatever else stands in the
 * cubin; not names, notes, nor where something lies. All of a bank of constants counts
 * where one is found by a computed index. False if it is no cubin that we understand. */
bool kb_cubin_digest(const void *cubin, size_t size, const struct kb_strings *entries,
                     struct kb_hash *hash, int64_t *code_bytes);

#endif
