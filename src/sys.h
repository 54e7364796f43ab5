/* sys.h - the machine under us: files, JSON text, child processes, embedded files.
 *
 * Layer above base. Nothing from a file or the environment reaches a shell: children are
 * started with an argv. */
#ifndef KB_SYS_H
#define KB_SYS_H

#include "json.h"

#include <sys/types.h>

/* ---- files ------------------------------------------------------------------------- */

enum { KB_FILE_MAX = 16 << 20 }; /* the largest case file, kernel or contract to read */

/* Read a regular file of at most `max_bytes` (a FIFO, device or folder is refused at once).
 * Appends to `out`. KB_INPUT if it is not there, not regular or too large; KB_IO otherwise.
 */
bool kb_file_read(const char *path, size_t max_bytes, struct kb_buf *out,
                  struct kb_err *err);
/* Make `path` hold exactly these bytes or leave it as it was (temporary neighbour, fsync,
 * rename, folder fsync; mode and links stay). A device or FIFO is written to instead. KB_IO
 * with path and errno. The process must ignore SIGXFSZ, or a file size limit kills it. */
bool kb_file_replace(const char *path, const void *data, size_t size, struct kb_err *err);
/* The same for bytes that come one after another: begin, add, then commit or abandon. A
 * failed begin or commit has abandoned; abandon is safe after either, and on a zeroed file.
 */
struct kb_new_file {
    int fd;
    char *path, *tmp; /* tmp NULL: a device, which is written to as it is */
};
bool kb_file_begin(const char *path, struct kb_new_file *file, struct kb_err *err);
bool kb_file_add(struct kb_new_file *file, const void *data, size_t size,
                 struct kb_err *err);
bool kb_file_commit(struct kb_new_file *file, struct kb_err *err);
void kb_file_abandon(struct kb_new_file *file);
/* write(2) until all is written; false with errno set. All of kbench's output to files and
 * pipes goes through it. The process must ignore SIGPIPE to see EPIPE. */
bool kb_write_all(int fd, const void *data, size_t size);
bool kb_read_exact(int fd, void *data, size_t size); /* false at EOF or error */
bool kb_is_folder(const char *path);
bool kb_is_file(const char *path);
/* mkdir -p, mode 0700. */
bool kb_folder_make(const char *path, struct kb_err *err);
/* A private folder under $TMPDIR or /tmp (mode 0700, unguessable name). Freeing removes it
 * with all that is in it; safe on a zeroed one. */
struct kb_temp {
    char *path;
};
bool kb_temp_make(struct kb_temp *temp, struct kb_err *err);
void kb_temp_free(struct kb_temp *temp);
/* Names of regular files in `folder` that end in `suffix`, sorted, hidden ones left out;
 * arena strings. KB_INPUT if the folder is not there. */
bool kb_folder_list(const char *folder, const char *suffix, struct kb_arena *arena,
                    struct kb_strings *out, struct kb_err *err);
/* The folder of the running executable, and the executable itself (/proc/self/exe). */
const char *kb_exe_path(void);
const char *kb_exe_folder(void);

/* A file of the tool itself, "kernels/kb.cuh" or "cases/x.json": from the checkout beside
 * the executable if it is there, else from the copy embedded at build time. `from` says
 * which, for -v. NULL if it is in neither, leads out of kernels/ and cases/, or is on disk
 * and cannot be read. The bytes live as long as the process and are followed by a NUL. */
struct kb_asset {
    const char *path; /* as asked: relative, with / */
    const char *text;
    size_t size;
    const char *from; /* "disk" or "embedded" */
};
const struct kb_asset *kb_asset_find(const char *path);
/* Paths of all assets under `prefix` ("kernels/"), disk and embedded joined, sorted. */
void kb_asset_list(const char *prefix, struct kb_arena *arena, struct kb_strings *out);

/* ---- child processes --------------------------------------------------------------- */

struct kb_limits {
    int64_t wall_ms;      /* 0: none; on expiry the process group is killed */
    int64_t cpu_s;        /* RLIMIT_CPU, 0: none */
    size_t address_bytes; /* RLIMIT_AS, 0: none */
};

struct kb_child {
    pid_t pid;
    /* Our ends, non-blocking: to its fd 3, from its fd 4, from its stderr; -1 if none. */
    int in, out, errors;
};

/* Start argv[0] in a process group of its own that dies with us (PR_SET_PDEATHSIG set by
 * the child's own start-up where it is kbench), stdin /dev/null, stdout to stderr's pipe,
 * fd 3 and 4 as a command and a reply pipe, fd 5 = `pass_fd` if that is not -1, nothing
 * else open, all signals at their defaults. `env` NULL: ours. argv[0] without a / is
 * searched in our PATH; "/proc/self/exe" is this executable even after its file was
 * replaced. posix_spawn, never fork: OpenMP may have started. */
bool kb_child_start(struct kb_child *child, char *const argv[], char *const env[],
                    int pass_fd, struct kb_err *err);
/* Kill the whole group, reap it, close our ends. Safe on a zeroed or ended child. False if
 * it could not be reaped within 5 s of SIGKILL: it hangs in a driver. */
bool kb_child_end(struct kb_child *child);
/* Reap: wait at most `ms` for it to exit by itself; *status as from waitpid. What is left
 * of its group is killed then. False if it still runs, or was reaped before. */
bool kb_child_wait(struct kb_child *child, int64_t ms, int *status);
/* Whether it has ended, without reaping it. */
bool kb_child_has_ended(const struct kb_child *child);
/* "signal 11 (Segmentation fault)" or "exit status 3", into `out`. */
void kb_status_text(int status, struct kb_buf *out);

/* Run argv to its end under limits with a clean environment (PATH, HOME, TMPDIR, LANG=C,
 * LC_ALL=C); its output (stdout and stderr) is kept up to 64 KiB, the rest is read and
 * dropped. `err` is set only if it could not be started (KB_IO), timed out (KB_TIMEOUT) or
 * died of a signal (KB_CRASH); otherwise *status is its exit status. */
bool kb_run_command(char *const argv[], const char *cwd, const struct kb_limits *limits,
                    struct kb_buf *output, int *status, struct kb_err *err);

/* Frames over a pipe: magic, nonce, length, XXH3-64 of the payload, payload (at most 256
 * MiB). A reader accepts only its own nonce, so that a kernel that writes to every fd it
 * finds cannot pass for a result. A write to a non-blocking fd gives up (KB_TIMEOUT) when
 * nothing is taken for 60 s; KB_CRASH if the reader is gone. */
bool kb_frame_write(int fd, uint64_t nonce, const void *data, size_t size,
                    struct kb_err *err);
/* Waits at most wall_ms (0: for ever). KB_TIMEOUT, KB_CRASH ("ended without a reply",
 * "broken reply"). Appends the payload to `out`. */
bool kb_frame_read(int fd, uint64_t nonce, int64_t wall_ms, struct kb_buf *out,
                   struct kb_err *err);
/* The same from child->out, reading its stderr into `log` meanwhile (up to 64 KiB, the rest
 * is dropped), so that a child that floods its stderr does not block. On return `log` has
 * all that the child wrote there before it replied or ended. Its end is seen even where a
 * process that it forked keeps the pipe open. */
bool kb_child_reply(const struct kb_child *child, uint64_t nonce, int64_t wall_ms,
                    struct kb_buf *out, struct kb_buf *log, struct kb_err *err);

/* ---- machine ----------------------------------------------------------------------- */

uint64_t kb_random_u64(void); /* getrandom */
int64_t kb_now_ns(void);      /* CLOCK_MONOTONIC */
int kb_cores(void);           /* the CPUs that this process may use */

#endif
