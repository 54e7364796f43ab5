/* disassemble.c - machine code as text, by what the Toolkit has for it. */
#include "jit.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { WAIT_MS = 60000, STEP_MS = 5 };

static const struct {
    const char *name;
    const char *option;
} tools[] = {{"nvdisasm", "-c"}, {"cuobjdump", "-sass"}};

static const char *in_folder(const char *folder, size_t len, const char *name,
                             struct kb_arena *arena) {
    const char *path = kb_arena_printf(arena, "%.*s/%s", (int)len, folder, name);
    return len && kb_is_file(path) && access(path, X_OK) == 0 ? path : NULL;
}

static const char *on_path(const char *name, struct kb_arena *arena) {
    const char *path = getenv("PATH"), *found = NULL;
    while (path && *path && !found) {
        size_t len = strcspn(path, ":");
        found = in_folder(path, len, name, arena);
        path += len + (path[len] == ':');
    }
    return found;
}

const char *kb_disassembler(struct kb_arena *arena) {
    const char *home = kb_cuda_home(), *found = NULL;
    for (size_t i = 0; i < KB_COUNT(tools) && !found; i++) {
        const char *bin = home ? kb_arena_printf(arena, "%s/bin", home) : "";
        found = in_folder(bin, strlen(bin), tools[i].name, arena);
        if (!found)
            found = on_path(tools[i].name, arena);
    }
    return found;
}

/* Its exit status; -1 where it did not end in time. */
static int await(pid_t pid) {
    const struct timespec step = {.tv_nsec = STEP_MS * 1000000L};
    int status = 0;
    for (int ms = 0; ms < WAIT_MS; ms += STEP_MS) {
        pid_t got = waitpid(pid, &status, WNOHANG);
        if (got == pid)
            return status;
        if (got < 0 && errno != EINTR)
            return -1;
        nanosleep(&step, NULL);
    }
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    return -1;
}

/* Its output is long: it goes to the file by itself. */
static bool run(const char *tool, const char *cubin, const char *out, struct kb_err *err) {
    const char *slash = strrchr(tool, '/');
    bool first = kb_streq(slash ? slash + 1 : tool, tools[0].name);
    char path[PATH_MAX], option[16], input[PATH_MAX];
    kb_text_copy(path, sizeof path, tool);
    kb_text_copy(option, sizeof option, tools[first ? 0 : 1].option);
    kb_text_copy(input, sizeof input, cubin);
    char *argv[] = {path, option, input, NULL};
    posix_spawn_file_actions_t actions;
    pid_t pid;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 1, out, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
    int rc = posix_spawn(&pid, tool, &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (rc)
        return kb_fail(err, KB_IO, "%s: cannot run %s: %s", out, tool, strerror(rc));
    int status = await(pid);
    if (status == 0)
        return true;
    struct kb_buf text = {0};
    if (status > 0)
        kb_status_text(status, &text);
    kb_fail(err, KB_IO, "%s: %s: %s", out, tool,
            status > 0 ? kb_buf_text(&text) : "did not end in a minute");
    kb_buf_free(&text);
    return false;
}

/* ---- which kernels ---------------------------------------------------------------------
 * Code by nvcc may hold what was compiled with it. nvdisasm has a line of dashes in front
 * of each section, cuobjdump one with the function's name. */

static const char *const heads[] = {"//--------------------- .text.", "\t\tFunction : "};

/* The kernel that a line begins; NULL: none. */
static const char *head_of(const char *line, size_t len, size_t *n) {
    for (size_t i = 0; i < KB_COUNT(heads); i++) {
        size_t before = strlen(heads[i]);
        if (len < before || strncmp(line, heads[i], before))
            continue;
        *n = strcspn(line + before, " \r\n");
        return line + before;
    }
    return NULL;
}

/* Device functions are no kernels of their own, and stay. */
static bool is_kernel(const char *section, size_t len) {
    static const char mark[] = "STO_CUDA_ENTRY";
    return memmem(section, len, mark, strlen(mark)) || !strncmp(section, "\t\t", 2);
}

void kb_sass_keep(const char *text, size_t size, const struct kb_strings *kernels,
                  struct kb_buf *out) {
    const char *end = text + size, *section = text, *name = NULL;
    size_t n = 0;
    for (const char *line = text; line <= end;) {
        size_t len = line < end ? (size_t)(end - line) : 0, next_n = 0;
        const char *newline = len ? memchr(line, '\n', len) : NULL;
        size_t of_line = newline ? (size_t)(newline - line) + 1 : len;
        const char *next = of_line ? head_of(line, of_line, &next_n) : NULL;
        if (next || !of_line) {
            size_t bytes = (size_t)(line - section);
            bool ours = !name || !is_kernel(section, bytes);
            for (size_t i = 0; !ours && i < kernels->count; i++)
                ours =
                    strlen(kernels->items[i]) == n && !memcmp(kernels->items[i], name, n);
            if (ours)
                kb_buf_add(out, section, bytes);
            section = line;
            name = next;
            n = next_n;
        }
        if (!of_line)
            break;
        line += of_line;
    }
}

static bool keep(const char *path, const struct kb_strings *kernels, struct kb_err *err) {
    enum { LARGEST = 1 << 30 };
    struct kb_buf all = {0}, kept = {0};
    bool ok = kb_file_read(path, LARGEST, &all, err);
    if (ok)
        kb_sass_keep(kb_buf_text(&all), all.len, kernels, &kept);
    ok = ok && kb_file_replace(path, kb_buf_text(&kept), kept.len, err);
    kb_buf_free(&all);
    kb_buf_free(&kept);
    return ok;
}

bool kb_disassemble(const struct kb_buf *cubin, const struct kb_strings *kernels,
                    const char *path, struct kb_err *err) {
    struct kb_arena arena = {0};
    struct kb_temp folder = {0};
    const char *tool = kb_disassembler(&arena);
    bool ok = false;
    if (!tool) {
        kb_fail(err, KB_UNSUPPORTED,
                "neither nvdisasm nor cuobjdump is in the CUDA Toolkit (%s) or on PATH",
                kb_cuda_home() ? kb_cuda_home() : "not found");
    } else if (kb_temp_make(&folder, err)) {
        const char *input = kb_arena_printf(&arena, "%s/code.cubin", folder.path);
        ok = kb_file_replace(input, cubin->data, cubin->len, err) &&
             run(tool, input, path, err) && keep(path, kernels, err);
    }
    kb_temp_free(&folder);
    kb_arena_free(&arena);
    return ok;
}
