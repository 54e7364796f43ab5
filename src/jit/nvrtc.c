/* nvrtc.c - the client: keeps a compiler process, hands it jobs, reads what they came to.
 */
#include "nvrtc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { COMPILE_MS = 120000, START_MS = 60000 };

/* ---- the process -----------------------------------------------------------------------
 */

static void end_process(struct kb_nvrtc *nvrtc) {
    if (nvrtc->running)
        kb_child_end(&nvrtc->child);
    kb_temp_free(&nvrtc->temp);
    nvrtc->running = false;
}

/* How it died, with what it last said: "signal 9 (Killed): terminate called ...". */
static void say_death(struct kb_nvrtc *nvrtc, const struct kb_buf *said,
                      struct kb_err *err) {
    int status;
    struct kb_buf text = {0};
    if (kb_child_wait(&nvrtc->child, 1000, &status)) {
        kb_status_text(status, &text);
        kb_buf_puts(&text, said->len ? ": " : "");
    }
    size_t line = strcspn(kb_buf_text(said), "\n");
    kb_escape(&text, kb_buf_text(said), line < 300 ? line : 300);
    kb_fail(err, KB_BUILD, "the compiler's process ended: %s", kb_buf_text(&text));
    kb_buf_free(&text);
}

/* One frame there, one back. False leaves no process. */
static bool converse(struct kb_nvrtc *nvrtc, uint64_t nonce, const struct kb_buf *message,
                     int64_t wall_ms, struct kb_buf *reply, struct kb_err *err) {
    struct kb_buf said = {0};
    bool ok = kb_frame_write(nvrtc->child.in, nonce, message->data, message->len, err) &&
              kb_child_reply(&nvrtc->child, nvrtc->nonce, wall_ms, reply, &said, err);
    if (!ok && err->kind == KB_CRASH)
        say_death(nvrtc, &said, err);
    else if (!ok && err->kind == KB_TIMEOUT)
        kb_fail(err, KB_BUILD, "the compiler was still running after %.3g s, killed",
                (double)wall_ms / 1000);
    if (!ok)
        end_process(nvrtc);
    kb_buf_free(&said);
    return ok;
}

static bool greet(struct kb_nvrtc *nvrtc, struct kb_err *err) {
    struct kb_buf hello = {0}, reply = {0};
    kb_wire_put_u64(&hello, nvrtc->nonce);
    kb_wire_put_text(&hello, nvrtc->place.library);
    bool ok = converse(nvrtc, 0, &hello, START_MS, &reply, err);
    if (ok) {
        struct kb_wire wire = {.at = reply.data, .left = reply.len};
        bool loaded = kb_wire_u64(&wire) != 0;
        const char *text = kb_wire_get(&wire, NULL);
        if (loaded)
            snprintf(nvrtc->place.version, sizeof nvrtc->place.version, "%s", text);
        else
            ok = kb_fail(err, KB_DEVICE, "%s: %s: set CUDA_HOME to a whole CUDA Toolkit",
                         nvrtc->place.library, text);
    }
    kb_buf_free(&hello);
    kb_buf_free(&reply);
    return ok;
}

static bool start_process(struct kb_nvrtc *nvrtc, struct kb_err *err) {
    char worker[] = "--worker", name[] = "nvrtc";
    struct kb_buf exe = {0};
    kb_buf_puts(&exe, kb_exe_path());
    char *argv[] = {exe.data, worker, name, NULL};
    nvrtc->nonce = kb_random_u64();
    nvrtc->running = kb_child_start(&nvrtc->child, argv, NULL, -1, err);
    kb_buf_free(&exe);
    if (!nvrtc->running)
        return false;
    struct kb_err no_folder = {0}; /* without one headers are read again, no more */
    kb_temp_make(&nvrtc->temp, &no_folder);
    if (!greet(nvrtc, err)) {
        end_process(nvrtc);
        return kb_at(err, "nvrtc");
    }
    return true;
}

bool kb_nvrtc_open(int64_t compile_ms, struct kb_nvrtc **out, struct kb_err *err) {
    struct kb_nvrtc *nvrtc = calloc(1, sizeof *nvrtc);
    if (!nvrtc)
        kb_out_of_memory();
    nvrtc->compile_ms = compile_ms > 0 ? compile_ms : COMPILE_MS;
    if (!kb_nvrtc_find(&nvrtc->place, err) ||
        (!nvrtc->place.version[0] && !start_process(nvrtc, err))) {
        free(nvrtc);
        return false;
    }
    *out = nvrtc;
    return true;
}

void kb_nvrtc_close(struct kb_nvrtc *nvrtc) {
    if (!nvrtc)
        return;
    end_process(nvrtc);
    free(nvrtc);
}

const char *kb_nvrtc_version(const struct kb_nvrtc *nvrtc) {
    return nvrtc->place.version;
}

/* ---- jobs ------------------------------------------------------------------------------
 */

/* A file that leaves its types to KB_T need not include their header: the host backend has
 * them all, and here the one that the macro names is included first. */
static void add_types(const struct kb_nvrtc_job *job, struct kb_arena *arena,
                      struct kb_strings *out) {
    static const char *const types[][2] = {
        {"__nv_bfloat16", "cuda_bf16.h"},
        {"__half", "cuda_fp16.h"},
        {"__nv_fp8", "cuda_fp8.h"},
    };
    for (size_t t = 0; t < KB_COUNT(types); t++) {
        bool named = false;
        for (size_t i = 0; i < job->defines.count; i++)
            named = named || strstr(job->defines.items[i], types[t][0]);
        for (size_t i = 0; i < job->entries.count; i++)
            named = named || strstr(job->entries.items[i], types[t][0]);
        if (named && !strstr(job->kernel->text, types[t][1]) &&
            !strstr(job->kernel->text, "kb.cuh"))
            kb_strings_add(out, arena,
                           kb_arena_printf(arena, "--pre-include=%s", types[t][1]));
    }
}

/* A macro that a flag sets is among the contract's, with that value, where it has it. */
static bool defines(const struct kb_nvrtc_job *job, const char *flag) {
    size_t len = strcspn(flag, "=");
    for (size_t i = 0; kb_starts_with(flag, "-D") && i < job->defines.count; i++) {
        const char *define = job->defines.items[i];
        if (!strncmp(define, flag + 2, len - 2) && define[len - 2] == '=')
            return true;
    }
    return false;
}

void kb_nvrtc_options(const struct kb_nvrtc_job *job, struct kb_arena *arena,
                      struct kb_strings *out) {
    const char *number = strchr(job->arch, '_');
    kb_strings_add(out, arena,
                   kb_arena_printf(arena, "--gpu-architecture=%s%s",
                                   job->ptx && number ? "compute" : "",
                                   job->ptx && number ? number : job->arch));
    for (size_t i = 0; i < job->flags.count; i++)
        if (!defines(job, job->flags.items[i]))
            kb_strings_add(out, arena, job->flags.items[i]);
    for (size_t i = 0; i < job->defines.count; i++)
        kb_strings_add(out, arena, kb_arena_printf(arena, "-D%s", job->defines.items[i]));
    add_types(job, arena, out);
}

static bool is_from(const struct kb_nvrtc *nvrtc, int wanted_major, int wanted_minor) {
    int major = 0, minor = 0;
    return sscanf(nvrtc->place.version, "%d.%d", &major, &minor) == 2 &&
           (major > wanted_major || (major == wanted_major && minor >= wanted_minor));
}

/* What is declared ahead of any source, textures and the runtime's functions above all,
 * takes 20 ms of each compile that reads it. Our own kernels use none of it; somebody's
 * may. */
static void add_minimal(const struct kb_nvrtc *nvrtc, const struct kb_nvrtc_job *job,
                        struct kb_arena *arena, struct kb_strings *out) {
    if (!job->kernel->user && is_from(nvrtc, 12, 8))
        kb_strings_add(out, arena, "--minimal");
}

/* From 12.8 on headers are read once a process and not once a compile, which saves 25 of
 * 50 ms and costs the first one 10: not for names, which few compiles ask for. The file of
 * 9 MB is ours to remove, however the process ends. */
static void add_precompiled(const struct kb_nvrtc *nvrtc, const struct kb_nvrtc_job *job,
                            struct kb_arena *arena, struct kb_strings *out) {
    if (nvrtc->temp.path && !job->from_nvcc && is_from(nvrtc, 12, 8)) {
        kb_strings_add(out, arena, "--pch");
        kb_strings_add(out, arena, "--pch-messages=false");
        kb_strings_add(out, arena,
                       kb_arena_printf(arena, "--pch-dir=%s", nvrtc->temp.path));
    }
}

static void add_folders(const struct kb_nvrtc_place *place, struct kb_arena *arena,
                        struct kb_strings *out) {
    kb_strings_add(out, arena, kb_arena_printf(arena, "-I%s", place->headers));
    /* Where CUDA 13 keeps <cuda/std/...>. */
    const char *cccl = kb_arena_printf(arena, "%s/cccl", place->headers);
    if (kb_is_folder(cccl))
        kb_strings_add(out, arena, kb_arena_printf(arena, "-I%s", cccl));
    kb_strings_add(out, arena, "--ptxas-options=-v"); /* the spills */
}

static bool write_job(const struct kb_nvrtc *nvrtc, const struct kb_nvrtc_job *job,
                      struct kb_arena *arena, struct kb_buf *out, struct kb_err *err) {
    struct kb_includes *includes = kb_arena_alloc(arena, sizeof *includes);
    struct kb_strings headers = {0}, options = {0};
    if (memchr(job->kernel->text, '\0', job->kernel->size))
        return kb_fail(err, KB_INPUT, "%s: holds a NUL byte", job->kernel->path);
    if (!kb_includes_collect(job->kernel, arena, includes, err))
        return false;
    for (int i = 0; i < includes->count; i++) {
        kb_strings_add(&headers, arena, includes->items[i].name);
        kb_strings_add(&headers, arena, includes->items[i].text);
    }
    kb_nvrtc_options(job, arena, &options);
    if (job->from_nvcc) /* names alone are wanted: no further than the front end */
        kb_strings_add(&options, arena, KB_NVRTC_NAMES);
    if (job->from_nvcc && is_from(nvrtc, 13, 0)) /* nor through all of that: half of it */
        kb_strings_add(&options, arena, "--fdevice-syntax-only");
    add_folders(&nvrtc->place, arena, &options);
    add_minimal(nvrtc, job, arena, &options);
    add_precompiled(nvrtc, job, arena, &options);
    kb_wire_put_u64(out, (uint64_t)(nvrtc->compile_ms + 999) / 1000);
    kb_wire_put_text(out, job->kernel->path);
    kb_wire_put(out, job->kernel->text, job->kernel->size);
    kb_wire_put_strings(out, &headers);
    kb_wire_put_strings(out, &options);
    kb_wire_put_strings(out, &job->entries);
    return true;
}

static bool fail_job(struct kb_nvrtc *nvrtc, const struct kb_nvrtc_job *job,
                     enum kb_nvrtc_status status, const char *log, struct kb_err *err) {
    struct kb_buf text = {0};
    kb_log_summary(job, log, &text);
    if (status != KB_NVRTC_ERRORS)
        end_process(nvrtc); /* after a fault of its own its next result is not trusted */
    if (strstr(log, "--gpu-architecture"))
        kb_fail(err, KB_BUILD,
                "NVRTC %s does not know %s: a newer CUDA Toolkit is wanted (CUDA_HOME)",
                nvrtc->place.version, job->arch);
    else
        kb_fail(err, KB_BUILD, "%s", kb_buf_text(&text));
    kb_buf_free(&text);
    return false;
}

static bool read_result(struct kb_nvrtc *nvrtc, const struct kb_nvrtc_job *job,
                        const struct kb_buf *reply, struct kb_arena *arena,
                        struct kb_nvrtc_result *out, struct kb_err *err) {
    struct kb_wire wire = {.at = reply->data, .left = reply->len};
    size_t size;
    enum kb_nvrtc_status status = (enum kb_nvrtc_status)kb_wire_u64(&wire);
    const char *log = kb_wire_get(&wire, &size);
    kb_log_escape(log, size, &out->log);
    if (status != KB_NVRTC_OK)
        return fail_job(nvrtc, job, status, log, err);
    out->compile_ms = (double)kb_wire_u64(&wire) / 1e6;
    kb_wire_strings(&wire, arena, &out->lowered);
    const char *cubin = kb_wire_get(&wire, &size);
    if (wire.broken || wire.left || out->lowered.count != job->entries.count)
        return kb_fail(err, KB_BUILD, "the compiler's process sent a broken result");
    kb_buf_add(&out->cubin, cubin, size);
    out->spill_bytes = kb_log_spills(log, &out->lowered);
    return true;
}

bool kb_nvrtc_compile(struct kb_nvrtc *nvrtc, const struct kb_nvrtc_job *job,
                      struct kb_arena *arena, struct kb_nvrtc_result *out,
                      struct kb_err *err) {
    struct kb_buf message = {0}, reply = {0};
    *out = (struct kb_nvrtc_result){.spill_bytes = -1};
    int status;
    if (nvrtc->running && kb_child_wait(&nvrtc->child, 0, &status))
        end_process(nvrtc); /* it died of something between two jobs */
    struct kb_nvrtc_job asked = *job;
    asked.ptx = job->ptx || job->from_nvcc;
    bool ok = (nvrtc->running || start_process(nvrtc, err)) &&
              write_job(nvrtc, &asked, arena, &message, err) &&
              converse(nvrtc, nvrtc->nonce, &message, nvrtc->compile_ms, &reply, err) &&
              read_result(nvrtc, &asked, &reply, arena, out, err);
    if (ok && job->from_nvcc)
        ok = kb_nvcc_compile(nvrtc, job, arena, out, err);
    kb_buf_free(&message);
    kb_buf_free(&reply);
    if (!ok)
        kb_buf_free(&out->cubin);
    return ok;
}

void kb_nvrtc_result_free(struct kb_nvrtc_result *result) {
    kb_buf_free(&result->cubin);
    kb_buf_free(&result->log);
}
