/* host.h - inside of the host backend: compiling a runner, running it, reading what it
 * says.
 *
 * host.c          the backend table
 * host_tools.c    the C++ compiler, private folders
 * host_build.c    from a plan to a runner executable, through the cache
 * host_compile.c  the steps of one compile
 * host_rewrite.c  what the C++ compiler cannot take; host_tokens.c reads the text
 * host_command.c  what a runner is told
 * host_run.c      one run in a process of its own
 * host_report.c   sanitizers' reports and signals in one line */
#ifndef KB_EXEC_HOST_H
#define KB_EXEC_HOST_H

#include "exec.h"

/* ---- tools ------------------------------------------------------------------------- */

struct host_compiler {
    const char *argv[8]; /* how it is called: $CXX's words, else g++, clang++, c++ */
    int n_words;
    const char *name; /* "g++ 12.2" */
    bool is_gcc;
    struct kb_hash identity; /* path, size, time and version */
};
/* Strings in `arena`. KB_DEVICE with the remedy where there is none. */
bool host_compiler_find(struct kb_arena *arena, struct host_compiler *out,
                        struct kb_err *err);

/* A private folder under TMPDIR. `inner` is deep enough below it for includes by "../". */
struct host_folder {
    struct kb_temp temp;
    char *inner; /* malloc'd */
};
bool host_folder_make(struct host_folder *folder, struct kb_err *err);
void host_folder_remove(struct host_folder *folder);
/* A file in `inner`, its folders made. KB_INPUT where the name leads out of the private
 * folder. */
bool host_folder_write(const struct host_folder *folder, const char *name, const void *data,
                       size_t size, struct kb_err *err);

/* ---- code -------------------------------------------------------------------------- */

enum host_sanitizer { HOST_ADDRESS = 1, HOST_UNDEFINED = 2, HOST_THREAD = 4 };

/* An executable, kept as long as the device: variants of a file share it. */
struct host_binary {
    struct host_binary *next;
    struct kb_hash key, hash;
    bool cached;
    double compile_ms;
    int fd;                    /* a memfd, or -1 */
    struct host_folder folder; /* else: a file in a private folder */
    char *path;                /* to start it by; malloc'd */
};

struct kb_device {
    struct kb_device_info info;
    struct kb_exec_options options;
    unsigned sanitizers; /* of enum host_sanitizer */
    struct host_compiler compiler;
    struct kb_cache *cache; /* NULL: none */
    struct kb_buf note;     /* what the cache had to say, until a build carries it away */
    struct host_binary *binaries;
    struct kb_arena arena;
};

struct kb_code {
    struct host_binary *binary;
    struct kb_arena arena;
    struct kb_strings files; /* names of the kernel's own files, as in messages */
};

/* One build under way; strings in `arena`. */
struct host_job {
    struct kb_device *device;
    const struct kb_plan *plan;
    const struct kb_strings
        *entries;       /* those to compile: all of the file's, or the plan's */
    const char *source; /* the kernel's file name, made harmless */
    struct kb_includes includes;
    struct kb_strings shim;  /* paths of kernels/host/ */
    struct kb_strings flags; /* of the kernel's part */
    struct kb_arena *arena;
    struct host_folder folder;
};

bool host_build(struct kb_device *device, const struct kb_plan *plan,
                const struct kb_build *build, struct kb_code **out,
                struct kb_code_info *info, struct kb_err *err);
void host_binaries_free(struct kb_device *device);

/* Flags of everything that is compiled; NULL-terminated. */
extern const char *const host_flags[];
/* Compile `job` to an executable, its scheduler through the cache by that key. */
bool host_compile(struct host_job *job, const struct kb_hash *runner_key,
                  struct kb_buf *executable, struct kb_err *err);

/* An entry as the runner knows it: on one line. */
const char *host_entry_line(const char *entry, struct kb_arena *arena);

/* Preprocessed C++ into what the compiler takes (see kernels/host/shared.h). */
void host_rewrite(const char *text, size_t size, struct kb_buf *out);
/* Whether `word` occurs in C++ text outside of comments and literals. */
bool host_uses(const char *text, size_t size, const char *word);

/* ---- running ----------------------------------------------------------------------- */

bool host_run(struct kb_device *device, struct kb_code *code, const struct kb_plan *plan,
              struct kb_slab *slab, const struct kb_run_options *options,
              struct kb_run_result *result, struct kb_err *err);

/* The command of a run to a runner; the reply carries the nonce. */
void host_command(const struct kb_device *device, const struct kb_plan *plan,
                  const struct kb_slab *slab, const struct kb_run_options *options,
                  const char *nonce, struct kb_buf *out);
/* What the runner takes for granted. Contracts are checked before; a plan made by hand may
 * not be. KB_DEVICE or KB_MEMORY. */
bool host_is_sound(const struct kb_device *device, const struct kb_plan *plan,
                   const struct kb_slab *slab, const struct kb_run_options *options,
                   struct kb_err *err);
/* Each grid is empty. */
bool host_launches_nothing(const struct kb_plan *plan);
/* One of them is behind a programmatic edge. */
bool host_starts_early(const struct kb_plan *plan);

/* ---- reports ----------------------------------------------------------------------- */

/* One line from a sanitizer's report in a runner's output; false if there is none. */
bool host_sanitizer_line(const char *log, const struct kb_strings *files,
                         struct kb_buf *out);
/* "kernel died of signal 11 (Segmentation fault) at address 0x10, block (0,0,0) ..." */
void host_crash_line(int status, const char *log, struct kb_buf *out);
/* What the kernel itself printed, in one line; nothing if it did not. */
void host_printed_line(const char *log, struct kb_buf *out);

#endif
