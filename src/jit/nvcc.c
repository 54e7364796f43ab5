/* nvcc.c - the same source ahead of time by nvcc, for builds that say so.
 *
 * Templates exist where something names them: a line behind the source takes the address
 * of every entry, and nvcc puts what a host program would launch into the cubin. The names
 * there are those that NVRTC gave. */
#include "nvrtc.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* cicc and ptxas are processes of its own; all three count against the limits. */
enum { MEMORY_GIB = 8 };

static bool nvcc_path(char out[PATH_MAX]) {
    const char *home = kb_cuda_home();
    int n = home ? snprintf(out, PATH_MAX, "%s/bin/nvcc", home) : -1;
    return n > 0 && n < PATH_MAX && access(out, X_OK) == 0;
}

void kb_nvcc_identity(char *out, size_t size) {
    static const char *const files[] = {"bin/nvcc", "nvvm/bin/cicc", "bin/ptxas"};
    const char *home = kb_cuda_home();
    for (size_t i = 0; home && i < KB_COUNT(files); i++)
        kb_file_identity(home, files[i], out, size);
}

static void write_source(const struct kb_nvrtc_job *job, struct kb_buf *out) {
    kb_buf_printf(out, "#line 1 \"");
    for (const char *p = job->kernel->path; *p; p++) {
        if (*p == '"' || *p == '\\')
            kb_buf_putc(out, '\\');
        kb_buf_putc(out, *p);
    }
    kb_buf_puts(out, "\"\n");
    kb_buf_add(out, job->kernel->text, job->kernel->size);
    kb_buf_puts(out, "\n#line 1 \"entries\"\nvoid *const kb_entries[] = {");
    for (size_t i = 0; i < job->entries.count; i++)
        kb_buf_printf(out, "(void *)&(%s), ", job->entries.items[i]);
    kb_buf_puts(out, "};\n");
}

/* A header in its folder below `folder`; a name that leads out of it is left to nvcc. */
static bool write_header(const char *folder, const struct kb_include *item,
                         struct kb_err *err) {
    char path[PATH_MAX];
    if (item->name[0] == '/' || strstr(item->name, ".."))
        return true;
    int n = snprintf(path, sizeof path, "%s/%s", folder, item->name);
    if (n <= 0 || n >= PATH_MAX)
        return kb_fail(err, KB_INPUT, "%.80s: the name is too long", item->name);
    for (char *slash = path + strlen(folder) + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        bool made = mkdir(path, 0700) == 0 || errno == EEXIST;
        *slash = '/';
        if (!made)
            return kb_fail(err, KB_IO, "%s: cannot make its folder: %s", path,
                           strerror(errno));
    }
    return kb_file_replace(path, item->text, item->size, err);
}

static bool write_files(const struct kb_nvrtc_job *job, const char *folder,
                        const char *name, struct kb_arena *arena, struct kb_err *err) {
    struct kb_includes *includes = kb_arena_alloc(arena, sizeof *includes);
    struct kb_buf source = {0};
    bool ok = kb_includes_collect(job->kernel, arena, includes, err);
    for (int i = 0; ok && i < includes->count; i++)
        ok = write_header(folder, &includes->items[i], err);
    write_source(job, &source);
    ok = ok && kb_file_replace(kb_arena_printf(arena, "%s/%s", folder, name), source.data,
                               source.len, err);
    kb_buf_free(&source);
    return ok;
}

/* "sm_90a" -> one pass for exactly that; -arch=sm_90a alone adds others in some releases.
 */
static const char *gencode(const struct kb_nvrtc_job *job, struct kb_arena *arena) {
    const char *arch = job->arch;
    const char *number = strchr(arch, '_') ? strchr(arch, '_') + 1 : arch;
    return kb_arena_printf(arena, "-gencode=arch=compute_%s,code=%s_%s", number,
                           job->ptx ? "compute" : "sm", number);
}

/* For a user's include of "../x.h": what lies below comes from the temporary folder. */
static void add_own_folder(const struct kb_kernel *kernel, struct kb_arena *arena,
                           struct kb_strings *argv) {
    char real[PATH_MAX];
    if (!kernel->user || !realpath(kernel->path, real))
        return;
    *strrchr(real, '/') = '\0';
    kb_strings_add(argv, arena, kb_arena_printf(arena, "-I%s/", real));
}

static void put_command(const struct kb_nvrtc_job *job, const char *nvcc,
                        const char *source, const char *out, struct kb_arena *arena,
                        struct kb_strings *argv) {
    const char *const fixed[] = {
        nvcc,   job->ptx ? "-ptx" : "-cubin", gencode(job, arena), "-Xptxas=-v", "-o", out,
        source,
    };
    struct kb_strings options = {0};
    for (size_t i = 0; i < KB_COUNT(fixed); i++)
        kb_strings_add(argv, arena, fixed[i]);
    kb_nvrtc_options(job, arena, &options);
    for (size_t i = 1; i < options.count; i++) /* but NVRTC's word for the architecture */
        kb_strings_add(argv, arena, options.items[i]);
    add_own_folder(job->kernel, arena, argv);
}

static bool run_nvcc(const struct kb_nvrtc *nvrtc, const struct kb_nvrtc_job *job,
                     const char *nvcc, const char *folder, struct kb_arena *arena,
                     struct kb_buf *log, struct kb_err *err) {
    struct kb_strings argv = {0};
    struct kb_limits limits = {
        .wall_ms = nvrtc->compile_ms,
        .cpu_s = (nvrtc->compile_ms + 999) / 1000,
        .address_bytes = (size_t)MEMORY_GIB << 30,
    };
    int status = 0;
    put_command(job, nvcc, "kernel.cu", "out.cubin", arena, &argv);
    kb_strings_add(&argv, arena, NULL);
    if (!kb_run_command((char *const *)argv.items, folder, &limits, log, &status, err)) {
        err->kind = KB_BUILD;
        return false;
    }
    if (status == 0)
        return true;
    struct kb_buf text = {0};
    kb_log_summary(job, kb_buf_text(log), &text);
    kb_fail(err, KB_BUILD, "nvcc: %s", kb_buf_text(&text));
    kb_buf_free(&text);
    return false;
}

static bool compile_in(const struct kb_nvrtc *nvrtc, const struct kb_nvrtc_job *job,
                       const char *nvcc, const char *folder, struct kb_arena *arena,
                       struct kb_nvrtc_result *out, struct kb_err *err) {
    struct kb_buf log = {0};
    int64_t start_ns = kb_now_ns();
    bool ok = write_files(job, folder, "kernel.cu", arena, err) &&
              run_nvcc(nvrtc, job, nvcc, folder, arena, &log, err);
    out->compile_ms = (double)(kb_now_ns() - start_ns) / 1e6;
    kb_buf_clear(&out->log);
    kb_log_escape(kb_buf_text(&log), log.len, &out->log);
    kb_buf_clear(&out->cubin);
    ok = ok && kb_file_read(kb_arena_printf(arena, "%s/out.cubin", folder), 256 << 20,
                            &out->cubin, err);
    if (ok)
        out->spill_bytes = kb_log_spills(kb_buf_text(&log), &out->lowered);
    kb_buf_free(&log);
    return ok;
}

bool kb_nvcc_compile(const struct kb_nvrtc *nvrtc, const struct kb_nvrtc_job *job,
                     struct kb_arena *arena, struct kb_nvrtc_result *out,
                     struct kb_err *err) {
    struct kb_temp folder = {0};
    char nvcc[PATH_MAX];
    if (!nvcc_path(nvcc))
        return kb_fail(err, KB_UNSUPPORTED,
                       "no nvcc in %s/bin: builds ahead of time need the whole CUDA "
                       "Toolkit (CUDA_HOME)",
                       kb_cuda_home() ? kb_cuda_home() : "/usr/local/cuda");
    if (!kb_temp_make(&folder, err))
        return false;
    bool ok = compile_in(nvrtc, job, nvcc, folder.path, arena, out, err);
    kb_temp_free(&folder);
    return ok;
}

/* ---- kept for whoever wants to look ----------------------------------------------------
 */

/* A script that stands beside the source and can be run from anywhere. */
static void write_script(const struct kb_nvrtc_job *job, const char *stem, const char *of,
                         struct kb_arena *arena, struct kb_buf *out) {
    struct kb_strings argv = {0};
    put_command(job, "nvcc", kb_arena_printf(arena, "%s.cu", stem),
                kb_arena_printf(arena, "%s.cubin", stem), arena, &argv);
    /* Names that come from files may have line breaks, which would end a comment. */
    kb_buf_puts(out, "#!/bin/sh\n# ");
    kb_escape(out, of, strlen(of));
    kb_buf_puts(out, " of ");
    kb_escape(out, job->kernel->name, strlen(job->kernel->name));
    kb_buf_printf(out,
                  ", compiled by %s for %s. Entries:", job->from_nvcc ? "nvcc" : "NVRTC",
                  job->arch);
    for (size_t i = 0; i < job->entries.count; i++) {
        kb_buf_puts(out, "\n#   ");
        kb_escape(out, job->entries.items[i], strlen(job->entries.items[i]));
    }
    kb_buf_putc(out, '\n');
    kb_buf_puts(out, "cd \"$(dirname \"$0\")\" && exec \"${NVCC:-nvcc}\"");
    for (size_t i = 1; i < argv.count; i++) {
        kb_buf_putc(out, ' ');
        kb_shell_word(out, argv.items[i]);
    }
    kb_buf_putc(out, '\n');
}

bool kb_keep_source(const struct kb_nvrtc_job *job, const char *folder, const char *stem,
                    const char *of, struct kb_err *err) {
    struct kb_arena arena = {0};
    struct kb_buf script = {0};
    write_script(job, stem, of, &arena, &script);
    bool ok =
        write_files(job, folder, kb_arena_printf(&arena, "%s.cu", stem), &arena, err) &&
        kb_file_replace(kb_arena_printf(&arena, "%s/%s.sh", folder, stem), script.data,
                        script.len, err);
    kb_buf_free(&script);
    kb_arena_free(&arena);
    return ok;
}
