/* nvrtc.h - inside of the NVRTC client: where it lies (nvrtc_find.c), its process
 * (nvrtc.c), what its log says (nvrtc_log.c), the way through the cache (nvrtc_build.c),
 * and nvcc in its place (nvcc.c). */
#ifndef KB_JIT_NVRTC_H
#define KB_JIT_NVRTC_H

#include "wire.h"

#include <limits.h>

struct kb_nvrtc_place {
    char library[PATH_MAX]; /* absolute */
    char headers[PATH_MAX]; /* the folder that holds cuda_fp16.h */
    char version[16];       /* "13.0"; "" where no file name says it */
    char identity[512];     /* sizes and times of the files that make the code */
};
bool kb_nvrtc_find(struct kb_nvrtc_place *out, struct kb_err *err);
/* Append "NAME SIZE MTIME;" of a file, nothing if it is not there. */
void kb_file_identity(const char *folder, const char *name, char *out, size_t size);

struct kb_nvrtc {
    struct kb_nvrtc_place place;
    struct kb_child child;
    struct kb_temp temp; /* the process's precompiled headers */
    uint64_t nonce;
    bool running;
    int64_t compile_ms;
};

/* What both compilers are told, in this order: architecture, flags, defines. The folders
 * of headers are not among them. */
void kb_nvrtc_options(const struct kb_nvrtc_job *job, struct kb_arena *arena,
                      struct kb_strings *out);

/* One line for `err`: the first errors of `log`, or which entry is not in the file. */
void kb_log_summary(const struct kb_nvrtc_job *job, const char *log, struct kb_buf *out);
/* Append `log` line by line so that no terminal can be fooled. */
void kb_log_escape(const char *log, size_t size, struct kb_buf *out);
/* Bytes of spill stores and loads of these functions; -1 where the log says nothing. */
int64_t kb_log_spills(const char *log, const struct kb_strings *functions);
/* Milliseconds that ptxas took over these functions; 0 where the log says nothing. */
double kb_log_assembly_ms(const char *log, const struct kb_strings *functions);

/* Fill out->cubin, log and compile_ms by nvcc; out->lowered is there already. */
bool kb_nvcc_compile(const struct kb_nvrtc *nvrtc, const struct kb_nvrtc_job *job,
                     struct kb_arena *arena, struct kb_nvrtc_result *out,
                     struct kb_err *err);
void kb_nvcc_identity(char *out, size_t size);

#endif
