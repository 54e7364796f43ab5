/* jit.h - from source to machine code: the JIT cache, includes, NVRTC in a process of its
 * own.
 *
 * Knows kernels and flags, no devices: it works where there is no GPU. */
#ifndef KB_JIT_H
#define KB_JIT_H

#include "kernel.h"

/* ---- the JIT cache ----------------------------------------------------------------------
 * Content-addressed, one file per entry: magic, version, key, length, hash, payload;
 * verified before use; written to a temporary name and renamed; a lock file per key
 * (flock), never deleted, so that one of many cold processes compiles; private to the user
 * ($KBENCH_CACHE, $XDG_CACHE_HOME/kbench, $HOME/.cache/kbench, none); bounded in size,
 * oldest use goes first. Nothing that goes wrong with it fails a run: it becomes a note and
 * the work is done anyway. */
struct kb_cache;
/* NULL when there is none; `note` then says why. */
struct kb_cache *kb_cache_open(struct kb_buf *note);
void kb_cache_close(struct kb_cache *cache);
const char *kb_cache_folder(const struct kb_cache *cache);
/* How long to wait for another process that makes the same entry, 150 s unless set; then
 * the work is done beside it. */
void kb_cache_wait(struct kb_cache *cache, int64_t ms);
/* The payload from the cache or from `make`, which appends it and is called with the key's
 * lock held. `cache` may be NULL. no_compile: KB_BUILD on a miss. *hit says which; a
 * damaged entry, a lock that took too long and a failed write are noted, a line each. */
bool kb_cache_fetch(struct kb_cache *cache, const struct kb_hash *key, bool no_compile,
                    bool (*make)(void *context, struct kb_buf *payload, struct kb_err *err),
                    void *context, struct kb_buf *payload, bool *hit, struct kb_buf *note,
                    struct kb_err *err);

/* The same for what is not made on a miss: small facts that may be lost at any time. What
 * was there is replaced. False, and a note, where it cannot be written. */
bool kb_cache_put(struct kb_cache *cache, const struct kb_hash *key, const void *payload,
                  size_t size, struct kb_buf *note);
/* False where there is none, or a damaged one. */
bool kb_cache_get(struct kb_cache *cache, const struct kb_hash *key,
                  struct kb_buf *payload);

struct kb_cache_stats {
    int64_t entries, bytes; /* that are there now */
    int64_t removed;
};
/* Remove the entries that were not used for longest until at most max_bytes are left (0:
 * all). Done by itself at $KBENCH_CACHE_MAX, 1G unless set. */
bool kb_cache_trim(struct kb_cache *cache, int64_t max_bytes, struct kb_cache_stats *out,
                   struct kb_err *err);
/* ---- compilers ------------------------------------------------------------------------
 */

/* A source with all it includes by quotes, found beside it or among the assets of kernels/.
 */
struct kb_include {
    const char *name, *text; /* as written between the quotes */
    size_t size;
};
struct kb_includes {
    struct kb_include items[64];
    int count;
};
bool kb_includes_collect(const struct kb_kernel *kernel, struct kb_arena *arena,
                         struct kb_includes *out, struct kb_err *err);

/* NVRTC in a worker process of its own (started at the first compile, kept, limited in
 * memory and time); needs no driver and no GPU, so `make nvrtc` uses it anywhere. One of
 * these compiles one job at a time; several at once are several of these. */
struct kb_nvrtc_job {
    const struct kb_kernel *kernel;
    struct kb_strings defines, flags, entries;
    const char *arch; /* "sm_90a" */
    bool from_nvcc;   /* code by nvcc ahead of time; NVRTC gives the names only */
    bool ptx;         /* PTX in place of machine code; never through the cache */
};
struct kb_nvrtc_result {
    struct kb_buf cubin, log;  /* the log escaped, line by line, at most 64 KiB */
    struct kb_strings lowered; /* in the order of entries; in `arena` */
    double compile_ms;
    int64_t spill_bytes; /* of all entries, as ptxas reports them; -1 unknown */
    struct kb_hash key;  /* kb_nvrtc_build only */
    bool cached;
};
void kb_nvrtc_result_free(struct kb_nvrtc_result *result);
struct kb_nvrtc;
/* KB_DEVICE with the remedy when libnvrtc or its headers are not found. compile_ms: wall
 * limit of one compile, 0: 120 s. */
bool kb_nvrtc_open(int64_t compile_ms, struct kb_nvrtc **out, struct kb_err *err);
const char *kb_nvrtc_version(const struct kb_nvrtc *nvrtc); /* "13.0" */
/* KB_BUILD with the first errors on one line, out->log then holds all of them. A compiler
 * that crashes, hangs or wants too much memory is KB_BUILD too; the next job gets a new
 * process. On failure only out->log is there to free. */
bool kb_nvrtc_compile(struct kb_nvrtc *nvrtc, const struct kb_nvrtc_job *job,
                      struct kb_arena *arena, struct kb_nvrtc_result *out,
                      struct kb_err *err);
/* The same through the cache (may be NULL). The key covers the source, every header it
 * includes by quotes, options, entries, architecture and the compiler's own files. Notes as
 * from kb_cache_fetch. */
bool kb_nvrtc_build(struct kb_nvrtc *nvrtc, struct kb_cache *cache, bool no_compile,
                    const struct kb_nvrtc_job *job, struct kb_arena *arena,
                    struct kb_nvrtc_result *out, struct kb_buf *note, struct kb_err *err);
/* The same for several jobs that differ in their entries alone. Those that the cache lacks
 * are compiled together, since headers take more than most entries: each is kept by itself,
 * with the code of all, and has its share of compile_ms, by the time that ptxas took over
 * each. Where that fails they are compiled one by one, so that each error is its own's. */
struct kb_nvrtc_part {
    const struct kb_nvrtc_job *job;
    struct kb_nvrtc_result *out;
    struct kb_buf *note;
    struct kb_err *err;
    bool ok;
};
void kb_nvrtc_build_parts(struct kb_nvrtc *nvrtc, struct kb_cache *cache, bool no_compile,
                          struct kb_nvrtc_part *parts, int n, struct kb_arena *arena);
void kb_nvrtc_close(struct kb_nvrtc *nvrtc);
/* The worker's side: main() calls it for `kbench --worker nvrtc`. */
int kb_nvrtc_worker_main(void);

/* ---- what code is made from and comes to, in files -------------------------------------
 */

/* nvdisasm, else cuobjdump, in the Toolkit or on PATH; NULL if neither is there. */
const char *kb_disassembler(struct kb_arena *arena);
/* The machine code of a cubin as text by it; of its kernels these alone. KB_UNSUPPORTED
 * where there is none. */
bool kb_disassemble(const struct kb_buf *cubin, const struct kb_strings *kernels,
                    const char *path, struct kb_err *err);
/* Drops the sections of other kernels from what nvdisasm or cuobjdump wrote. */
void kb_sass_keep(const char *text, size_t size, const struct kb_strings *kernels,
                  struct kb_buf *out);
/* FOLDER/STEM.cu and what it includes by quotes, and FOLDER/STEM.sh, which compiles it by
 * nvcc with the flags of the job. `of` is said in it. */
bool kb_keep_source(const struct kb_nvrtc_job *job, const char *folder, const char *stem,
                    const char *of, struct kb_err *err);

/* The CUDA Toolkit's folder: CUDA_HOME, /usr/local/cuda, beside nvcc on PATH; NULL if none.
 */
const char *kb_cuda_home(void);

#endif
