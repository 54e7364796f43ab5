/* nvrtc_worker.c - the process in which NVRTC runs: it may hang, eat memory or crash, and
 * only itself suffers. */
#include "wire.h"

#include <dirent.h>
#include <dlfcn.h>
#include <limits.h>
#include <malloc.h>
#include <nvrtc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

enum { COMMAND_FD = 3, REPLY_FD = 4, HELLO_MS = 60000, MEMORY_GIB = 8 };

/* name in nvrtc.h without its nvrtc */
#define FUNCTIONS(X)                                                                       \
    X(Version)                                                                             \
    X(GetErrorString)                                                                      \
    X(CreateProgram)                                                                       \
    X(DestroyProgram)                                                                      \
    X(CompileProgram)                                                                      \
    X(AddNameExpression)                                                                   \
    X(GetLoweredName)                                                                      \
    X(GetProgramLogSize)                                                                   \
    X(GetProgramLog)                                                                       \
    X(GetCUBINSize)                                                                        \
    X(GetCUBIN)                                                                            \
    X(GetPTXSize)                                                                          \
    X(GetPTX)

struct nvrtc {
#define X(name) __typeof__(&nvrtc##name) name;
    FUNCTIONS(X)
#undef X
};

/* dlsym's result is no function pointer in C; memcpy is how one becomes one. */
static bool find(void *library, const char *symbol, void *function) {
    void *address = dlsym(library, symbol);
    memcpy(function, &address, sizeof address);
    return address != NULL;
}

/* The library opens its built-in headers by name alone, which finds nothing where the
 * Toolkit's folder is not known to the loader; what is loaded already is found by its name.
 */
static void load_builtins(const char *library) {
    char path[PATH_MAX];
    const char *slash = strrchr(library, '/');
    int len = slash ? (int)(slash - library) : 0;
    snprintf(path, sizeof path, "%.*s", len, library);
    DIR *folder = len ? opendir(path) : NULL;
    const struct dirent *entry;
    while (folder && (entry = readdir(folder)) != NULL) {
        if (!kb_starts_with(entry->d_name, "libnvrtc-builtins.so."))
            continue;
        snprintf(path, sizeof path, "%.*s/%s", len, library, entry->d_name);
        (void)dlopen(path,
                     RTLD_NOW | RTLD_LOCAL); /* of others of its kind, none is wanted */
    }
    if (folder)
        closedir(folder);
}

static bool load(const char *path, struct nvrtc *out, struct kb_buf *why) {
    load_builtins(path);
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        kb_buf_puts(why, dlerror());
        return false;
    }
#define X(name)                                                                            \
    if (!find(library, "nvrtc" #name, &out->name)) {                                       \
        kb_buf_printf(why, "%s: has no nvrtc" #name, path);                                \
        return false;                                                                      \
    }
    FUNCTIONS(X)
#undef X
    return true;
}

/* ---- limits ----------------------------------------------------------------------------
 */

static void lower(enum __rlimit_resource what, rlim_t value) {
    struct rlimit limit;
    if (getrlimit(what, &limit))
        return;
    limit.rlim_cur = value < limit.rlim_max ? value : limit.rlim_max;
    (void)setrlimit(what, &limit);
}

/* A sanitizer's shadow alone is terabytes of address space. */
static bool is_sanitized(void) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    return true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
    return true;
#else
    return false;
#endif
#else
    return false;
#endif
}

static void set_limits(void) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGPIPE, SIG_IGN);
    lower(RLIMIT_CORE, 0);
    if (!is_sanitized())
        lower(RLIMIT_AS, (rlim_t)MEMORY_GIB << 30);
}

/* What one compile gives back the next one asks for again: the kernel need not clear it
 * each time, which was a third of a small compile. */
static void keep_memory(void) {
    mallopt(M_TRIM_THRESHOLD, INT_MAX);
    mallopt(M_MMAP_THRESHOLD, 32 << 20);
    mallopt(M_TOP_PAD, 16 << 20);
}

/* From now on; the jobs before have used some already. */
static void limit_cpu(uint64_t seconds) {
    struct rusage used;
    if (seconds && !getrusage(RUSAGE_SELF, &used))
        lower(RLIMIT_CPU,
              (rlim_t)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) + seconds + 1);
}

/* ---- jobs ------------------------------------------------------------------------------
 */

struct job {
    const char *name, *source;
    struct kb_strings headers, options, entries;
};

static bool read_job(const struct kb_buf *in, struct kb_arena *arena, struct job *job) {
    struct kb_wire wire = {.at = in->data, .left = in->len};
    limit_cpu(kb_wire_u64(&wire));
    job->name = kb_wire_get(&wire, NULL);
    job->source = kb_wire_get(&wire, NULL);
    kb_wire_strings(&wire, arena, &job->headers);
    kb_wire_strings(&wire, arena, &job->options);
    kb_wire_strings(&wire, arena, &job->entries);
    return !wire.broken && wire.left == 0;
}

static void get_log(const struct nvrtc *n, nvrtcProgram program, struct kb_buf *log) {
    size_t size = 0;
    if (n->GetProgramLogSize(program, &size) || size <= 1)
        return;
    char *text = kb_buf_reserve(log, size);
    if (n->GetProgramLog(program, text))
        return;
    log->len += strnlen(text, size);
    if (log->len > KB_NVRTC_LOG_MAX) {
        kb_buf_cut(log, KB_NVRTC_LOG_MAX);
        kb_buf_puts(log, "\n... (the log is longer)\n");
    }
}

static bool create(const struct nvrtc *n, const struct job *job, struct kb_arena *arena,
                   nvrtcProgram *program, nvrtcResult *rc) {
    size_t count = job->headers.count / 2;
    const char **names = kb_arena_array(arena, count + 1, sizeof *names);
    const char **texts = kb_arena_array(arena, count + 1, sizeof *texts);
    for (size_t i = 0; i < count; i++) {
        names[i] = job->headers.items[2 * i];
        texts[i] = job->headers.items[2 * i + 1];
    }
    *rc = n->CreateProgram(program, job->source, job->name, (int)count, texts, names);
    for (size_t i = 0; i < job->entries.count && !*rc; i++)
        *rc = n->AddNameExpression(*program, job->entries.items[i]);
    return !*rc;
}

/* PTX for a virtual architecture, which has no machine code; of names alone nothing. */
static nvrtcResult get_made(const struct nvrtc *n, const struct job *job,
                            nvrtcProgram program, struct kb_buf *out, size_t *size) {
    bool ptx = job->options.count &&
               kb_starts_with(job->options.items[0], "--gpu-architecture=compute_");
    if (kb_strings_has(&job->options, KB_NVRTC_NAMES)) {
        *size = 0;
        return NVRTC_SUCCESS;
    }
    nvrtcResult rc = ptx ? n->GetPTXSize(program, size) : n->GetCUBINSize(program, size);
    if (rc)
        return rc;
    char *made = kb_buf_reserve(out, *size);
    return ptx ? n->GetPTX(program, made) : n->GetCUBIN(program, made);
}

static bool get_code(const struct nvrtc *n, const struct job *job, nvrtcProgram program,
                     int64_t start_ns, struct kb_buf *reply, nvrtcResult *rc) {
    size_t size = 0;
    struct kb_buf cubin = {0}, lowered = {0};
    for (size_t i = 0; i < job->entries.count && !*rc; i++) {
        const char *name = NULL;
        *rc = n->GetLoweredName(program, job->entries.items[i], &name);
        if (!*rc)
            kb_wire_put_text(&lowered, name);
    }
    if (!*rc)
        *rc = get_made(n, job, program, &cubin, &size);
    if (!*rc) {
        kb_wire_put_u64(reply, (uint64_t)(kb_now_ns() - start_ns));
        kb_wire_put_u64(reply, job->entries.count);
        kb_buf_add(reply, kb_buf_text(&lowered), lowered.len);
        kb_wire_put(reply, cubin.data, size);
    }
    kb_buf_free(&cubin);
    kb_buf_free(&lowered);
    return !*rc;
}

static void compile(const struct nvrtc *n, const struct job *job, struct kb_arena *arena,
                    struct kb_buf *reply) {
    nvrtcProgram program = NULL;
    nvrtcResult rc = NVRTC_SUCCESS;
    struct kb_buf log = {0}, code = {0};
    int64_t start_ns = kb_now_ns();
    if (create(n, job, arena, &program, &rc)) {
        rc = n->CompileProgram(program, (int)job->options.count, job->options.items);
        get_log(n, program, &log);
        if (!rc)
            get_code(n, job, program, start_ns, &code, &rc);
    }
    if (rc && !log.len)
        kb_buf_puts(&log, n->GetErrorString(rc));
    kb_wire_put_u64(reply, rc == NVRTC_SUCCESS             ? KB_NVRTC_OK
                           : rc == NVRTC_ERROR_COMPILATION ? KB_NVRTC_ERRORS
                                                           : KB_NVRTC_REFUSED);
    kb_wire_put(reply, kb_buf_text(&log), log.len);
    kb_buf_add(reply, kb_buf_text(&code), code.len);
    if (program)
        n->DestroyProgram(&program);
    kb_buf_free(&log);
    kb_buf_free(&code);
}

/* ---- the conversation ------------------------------------------------------------------
 */

static bool greet(struct nvrtc *n, uint64_t *nonce) {
    struct kb_err err = {0};
    struct kb_buf hello = {0}, reply = {0}, why = {0};
    bool ok = false;
    if (kb_frame_read(COMMAND_FD, 0, HELLO_MS, &hello, &err)) {
        struct kb_wire wire = {.at = hello.data, .left = hello.len};
        int major = 0, minor = 0;
        *nonce = kb_wire_u64(&wire);
        ok = load(kb_wire_get(&wire, NULL), n, &why) && !n->Version(&major, &minor);
        if (ok)
            kb_buf_printf(&why, "%d.%d", major, minor);
        kb_wire_put_u64(&reply, ok);
        kb_wire_put_text(&reply, kb_buf_text(&why));
        ok = kb_frame_write(REPLY_FD, *nonce, reply.data, reply.len, &err) && ok;
    }
    kb_buf_free(&hello);
    kb_buf_free(&reply);
    kb_buf_free(&why);
    return ok;
}

static bool serve(const struct nvrtc *n, uint64_t nonce) {
    struct kb_err err = {0};
    struct kb_arena arena = {0};
    struct kb_buf in = {0}, reply = {0};
    struct job job = {0};
    bool ok = kb_frame_read(COMMAND_FD, nonce, 0, &in, &err) && read_job(&in, &arena, &job);
    if (ok) {
        compile(n, &job, &arena, &reply);
        ok = kb_frame_write(REPLY_FD, nonce, reply.data, reply.len, &err);
    }
    kb_buf_free(&in);
    kb_buf_free(&reply);
    kb_arena_free(&arena);
    return ok;
}

int kb_nvrtc_worker_main(void) {
    struct nvrtc nvrtc;
    uint64_t nonce = 0;
    set_limits();
    keep_memory();
    if (!greet(&nvrtc, &nonce))
        return 1;
    while (serve(&nvrtc, nonce))
        ; /* until our parent closes the pipe or is gone */
    return 0;
}
