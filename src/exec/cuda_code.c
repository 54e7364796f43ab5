/* cuda_code.c - plan and build -> NVRTC job -> cubin, through the cache. */
#include "cuda_code.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { COMPILE_MS = 120000, WAIT_MARGIN_MS = 30000 };

bool kb_compiler_open(const struct kb_exec_options *options, struct kb_compiler **out,
                      struct kb_err *err) {
    struct kb_compiler *compiler = calloc(1, sizeof *compiler);
    if (!compiler)
        kb_out_of_memory();
    compiler->options = *options;
    if (!kb_nvrtc_open(options->compile_ms, &compiler->nvrtc, err)) {
        free(compiler);
        return false;
    }
    if (!options->no_cache)
        compiler->cache = kb_cache_open(&compiler->note);
    if (compiler->cache) {
        int64_t compile_ms = options->compile_ms > 0 ? options->compile_ms : COMPILE_MS;
        kb_cache_wait(compiler->cache, compile_ms + WAIT_MARGIN_MS);
    }
    *out = compiler;
    return true;
}

void kb_compiler_close(struct kb_compiler *compiler) {
    if (!compiler)
        return;
    kb_nvrtc_close(compiler->nvrtc);
    kb_cache_close(compiler->cache);
    kb_buf_free(&compiler->note);
    free(compiler);
}

void kb_cuda_arch(int64_t sm, char out[16]) {
    /* The `a` targets have instructions that no later device keeps: wgmma, tcgen05. */
    static const int with_own[] = {90, 100, 101, 103, 110, 120, 121};
    const char *own = "";
    for (size_t i = 0; i < KB_COUNT(with_own); i++)
        if (sm == with_own[i])
            own = "a";
    snprintf(out, 16, "sm_%d%s", (int)sm, own);
}

static bool run_job(struct kb_compiler *compiler, const struct kb_nvrtc_job *job,
                    struct kb_arena *arena, struct kb_nvrtc_result *out, char *note,
                    size_t note_size, struct kb_err *err) {
    struct kb_buf said = {0};
    kb_buf_puts(&said, kb_buf_text(&compiler->note));
    bool ok = kb_nvrtc_build(compiler->nvrtc, compiler->cache, compiler->options.no_compile,
                             job, arena, out, &said, err);
    kb_text_copy(note, note_size, kb_buf_text(&said));
    kb_buf_clear(&compiler->note);
    kb_buf_free(&said);
    return ok;
}

/* Each entry once: a chain may launch one twice. */
static void add_entries(const struct kb_plan *plan, struct kb_arena *arena,
                        struct kb_strings *out) {
    for (int i = 0; i < plan->n_launches; i++)
        if (!kb_strings_has(out, plan->launches[i].entry))
            kb_strings_add(out, arena, plan->launches[i].entry);
}

/* From names per entry to names per launch. */
static void order_names(const struct kb_plan *plan, const struct kb_strings *entries,
                        struct kb_arena *arena, struct kb_strings *lowered) {
    struct kb_strings ordered = {0};
    for (int i = 0; i < plan->n_launches; i++)
        for (size_t k = 0; k < entries->count; k++)
            if (kb_streq(entries->items[k], plan->launches[i].entry))
                kb_strings_add(&ordered, arena, lowered->items[k]);
    *lowered = ordered;
}

/* The job of a plan; its entries each once, its architecture in `info`. */
static struct kb_nvrtc_job job_of(int64_t sm, const struct kb_plan *plan,
                                  const struct kb_build *build, struct kb_arena *arena,
                                  struct kb_code_info *info) {
    struct kb_nvrtc_job job = {
        .kernel = plan->kernel,
        .defines = plan->defines,
        .flags = build->flags,
        .from_nvcc = build->from_nvcc,
    };
    *info = (struct kb_code_info){.registers = -1, .shared_bytes = -1, .code_bytes = -1};
    kb_cuda_arch(sm, info->arch);
    job.arch = info->arch;
    add_entries(plan, arena, &job.entries);
    return job;
}

/* What is known of code without a driver. */
static void describe(const struct kb_plan *plan, const struct kb_nvrtc_result *result,
                     struct kb_code_info *info) {
    struct kb_hash digest;
    kb_hash_hex(&plan->kernel->source_hash, info->source_hash);
    kb_hash_hex(&result->key, info->key);
    info->compile_ms = result->compile_ms;
    info->cached = result->cached;
    info->spill_bytes = result->spill_bytes;
    if (kb_cubin_digest(result->cubin.data, result->cubin.len, &result->lowered, &digest,
                        &info->code_bytes))
        kb_hash_hex(&digest, info->code_hash);
}

bool kb_compiler_code(struct kb_compiler *compiler, int64_t sm, const struct kb_plan *plan,
                      const struct kb_build *build, struct kb_arena *arena,
                      struct kb_nvrtc_result *out, struct kb_code_info *info,
                      struct kb_err *err) {
    struct kb_nvrtc_job job = job_of(sm, plan, build, arena, info);
    if (!run_job(compiler, &job, arena, out, info->note, sizeof info->note, err))
        return false;
    describe(plan, out, info);
    order_names(plan, &job.entries, arena, &out->lowered);
    return true;
}

void kb_compiler_build_together(struct kb_compiler *compiler, int64_t sm,
                                const struct kb_build *build, struct kb_compiled *items,
                                int n) {
    struct kb_arena arena = {0};
    struct kb_nvrtc_job jobs[KB_MAX_TOGETHER];
    struct kb_nvrtc_result results[KB_MAX_TOGETHER] = {0};
    struct kb_nvrtc_part parts[KB_MAX_TOGETHER];
    struct kb_buf said = {0}; /* of the cache: the run that loads them says so again */
    assert(n <= KB_MAX_TOGETHER);
    for (int i = 0; i < n; i++) {
        jobs[i] = job_of(sm, items[i].plan, build, &arena, &items[i].info);
        parts[i] =
            (struct kb_nvrtc_part){&jobs[i], &results[i], &said, &items[i].err, false};
    }
    kb_nvrtc_build_parts(compiler->nvrtc, compiler->cache, compiler->options.no_compile,
                         parts, n, &arena);
    for (int i = 0; i < n; i++) {
        items[i].ok = parts[i].ok;
        if (parts[i].ok)
            describe(items[i].plan, &results[i], &items[i].info);
        kb_nvrtc_result_free(&results[i]);
    }
    kb_buf_free(&said);
    kb_arena_free(&arena);
}

/* ---- files -----------------------------------------------------------------------------
 */

void kb_plan_stem(const struct kb_plan *plan, const struct kb_build *build,
                  struct kb_buf *out) {
    enum { LONGEST = 160 };
    struct kb_buf whole = {0};
    char hash[KB_HASH_HEX];
    size_t start = out->len;
    bool changed = false;
    kb_buf_printf(&whole, "%s %s %s", plan->label, plan->variant->name, build->name);
    for (size_t i = 0; i < whole.len; i++) {
        char c = whole.data[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                     (c >= '0' && c <= '9') || strchr("-_.+", c);
        changed = changed || !(plain || strchr("/= ", c));
        kb_buf_putc(out, plain ? c : c == '/' ? '.' : c == '=' ? '-' : '_');
    }
    if (changed || out->len - start > LONGEST) {
        struct kb_hash of = kb_hash_of(whole.data, whole.len);
        kb_hash_hex(&of, hash);
        if (out->len - start > LONGEST)
            kb_buf_cut(out, start + LONGEST);
        kb_buf_printf(out, "_%.8s", hash);
    }
    kb_buf_free(&whole);
}

static bool leave_ptx(struct kb_compiler *compiler, const struct kb_nvrtc_job *job,
                      const char *path, struct kb_arena *arena, struct kb_err *err) {
    struct kb_nvrtc_job virtual = *job;
    struct kb_nvrtc_result result = {0};
    virtual.ptx = true;
    bool ok = kb_nvrtc_compile(compiler->nvrtc, &virtual, arena, &result, err) &&
              kb_file_replace(path, result.cubin.data,
                              strnlen(kb_buf_text(&result.cubin), result.cubin.len), err);
    kb_nvrtc_result_free(&result);
    return ok;
}

bool kb_compiler_leave(struct kb_compiler *compiler, const struct kb_plan *plan,
                       const struct kb_build *build, const struct kb_code_info *info,
                       const struct kb_nvrtc_result *result, struct kb_err *err) {
    const struct kb_exec_options *o = &compiler->options;
    struct kb_arena arena = {0};
    struct kb_buf stem = {0};
    struct kb_nvrtc_job job = {
        .kernel = plan->kernel,
        .defines = plan->defines,
        .flags = build->flags,
        .from_nvcc = build->from_nvcc,
        .arch = info->arch,
    };
    if (!plan->label || !(o->dump_ptx || o->dump_sass || o->keep))
        return true;
    add_entries(plan, &arena, &job.entries);
    kb_plan_stem(plan, build, &stem);
    bool ok = (!o->dump_ptx ||
               leave_ptx(compiler, &job,
                         kb_arena_printf(&arena, "%s/%s.ptx", o->dump_ptx, stem.data),
                         &arena, err)) &&
              (!o->dump_sass ||
               kb_disassemble(
                   &result->cubin, &result->lowered,
                   kb_arena_printf(&arena, "%s/%s.sass", o->dump_sass, stem.data), err)) &&
              (!o->keep || kb_keep_source(&job, o->keep, stem.data, plan->label, err));
    kb_buf_free(&stem);
    kb_arena_free(&arena);
    return ok;
}

bool kb_compiler_build_own(struct kb_compiler *compiler, int64_t sm, struct kb_err *err) {
    return kb_clockwork_compile(compiler, sm, err) && kb_passes_compile(compiler, sm, err);
}

bool kb_compiler_asset(struct kb_compiler *compiler, int64_t sm, const char *path,
                       const struct kb_strings *entries, struct kb_arena *arena,
                       struct kb_nvrtc_result *out, struct kb_err *err) {
    char arch[16], note[256];
    const struct kb_asset *asset = kb_asset_find(path);
    struct kb_kernel kernel = {.path = path, .name = path};
    struct kb_nvrtc_job job = {.kernel = &kernel, .entries = *entries, .arch = arch};
    if (!asset)
        return kb_fail(err, KB_IO, "%s: is neither beside this executable nor in it", path);
    kernel.text = asset->text;
    kernel.size = asset->size;
    kb_cuda_arch(sm, arch);
    kb_strings_add(&job.flags, arena, "-std=c++17");
    return run_job(compiler, &job, arena, out, note, sizeof note, err);
}
