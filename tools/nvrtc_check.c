/* nvrtc_check.c - compile every variant of every kernel for every dtype, word parameter and
 * build, with NVRTC, without a GPU: nvrtc_check ARCH... | nvrtc_check --bench
 *
 * The distinct entries of a file are compiled a chunk at a time, since most of a compile is
 * the reading of headers; those of a chunk that fails are compiled one by one, to name the
 * one. There is a compiler, a process, for each core. A variant whose `when` is false for
 * all that was tried is a failure: nothing built it. */
#include "jit.h"

#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK = 48, BENCH_COMPILES = 12, MOST_COMPILERS = 8 };

/* Shapes to meet the `when` of a variant: the op's sample, then wider ones. */
static const char *const shapes[] = {NULL,       "8x64",      "64x2048",
                                     "7x18",     "64x4096",   "8x512",
                                     "16896x64", "16384x128", "16384x256"};
static const char *const builds[] = {"precise", "fast-math"};

struct check {
    struct kb_nvrtc *compilers[MOST_COMPILERS]; /* one for each thread */
    int n_compilers;
    struct kb_arena arena;
    struct kb_strings variants, reached; /* "kernels/activation.cu vec16" */
    int compiled, failed;
    double ms;
};

/* One file on one architecture: the distinct entries that its plans come to. */
struct file {
    struct check *check;
    const struct kb_kernel *kernel;
    const char *arch;
    struct kb_device_limits limits;
    struct kb_strings entries;
};

static struct kb_device_limits limits_of(const char *arch) {
    long sm = strtol(arch + 3, NULL, 10);
    return (struct kb_device_limits){
        .sm = sm,
        .sm_count = 132,
        .smem_per_block = sm >= 90 ? 232448 : 101376,
        .max_threads = 1024,
        .max_grid = {2147483647, 65535, 65535},
        .max_block = {1024, 1024, 64},
    };
}

/* The entries of one variant for one set of parameters, at the first shape that it takes.
 */
static void add_variant(struct file *f, int v, struct kb_case c) {
    struct check *k = f->check;
    struct kb_arena arena = {0};
    const char *name =
        kb_arena_printf(&k->arena, "%s %s", f->kernel->path, f->kernel->variants[v].name);

    if (!kb_strings_has(&k->variants, name))
        kb_strings_add(&k->variants, &k->arena, name);
    for (size_t s = 0; s < KB_COUNT(shapes); s++) {
        struct kb_problem *problem = kb_arena_alloc(&arena, sizeof *problem);
        struct kb_plan *plan = kb_arena_alloc(&arena, sizeof *plan);
        struct kb_err err = {0};
        if (!kb_shape_parse(shapes[s] ? shapes[s] : c.op->sample, c.shape, &c.rank))
            continue;
        c.id = kb_case_id(&c, &arena);
        if (!kb_case_resolve(&c, problem, &err) ||
            !kb_plan_make(f->kernel, v, problem, "cuda", &f->limits, &arena, plan, &err))
            continue; /* not for this shape, parameters or architecture */
        if (!kb_strings_has(&k->reached, name))
            kb_strings_add(&k->reached, &k->arena, name);
        for (int i = 0; i < plan->n_launches; i++) {
            const char *entry = plan->launches[i].entry;
            if (!kb_strings_has(&f->entries, entry))
                kb_strings_add(&f->entries, &k->arena, kb_arena_strdup(&k->arena, entry));
        }
        break;
    }
    kb_arena_free(&arena);
}

/* Every combination of the op's word parameters from parameter `i` on. */
static void add_words(struct file *f, struct kb_case *c, int i) {
    while (i < c->op->n_params && c->op->params[i].kind != KB_PARAM_WORD)
        i++;
    if (i == c->op->n_params) {
        for (int v = 0; v < f->kernel->n_variants; v++)
            add_variant(f, v, *c);
        return;
    }
    int words = 1;
    for (const char *p = c->op->params[i].words; *p; p++)
        words += *p == ',';
    for (int w = 0; w < words; w++) {
        c->set[i].v = w;
        add_words(f, c, i + 1);
    }
    c->set[i].v = c->op->params[i].def;
}

/* Numbers of parameters that switch code on: the smallest legal value, and the default. */
static void add_numbers(struct file *f, struct kb_case *c) {
    add_words(f, c, 0);
    for (int i = 0; i < c->op->n_params; i++) {
        const struct kb_param *param = &c->op->params[i];
        if (param->kind == KB_PARAM_WORD || param->kind == KB_PARAM_LIST)
            continue;
        c->set[i].v = param->def == 1 ? 2 : 1;
        add_words(f, c, 0);
        c->set[i].v = param->def;
    }
}

static bool compile(struct file *f, const char *build_name, size_t first, size_t count,
                    double *ms, struct kb_err *err) {
    struct kb_arena arena = {0};
    struct kb_nvrtc_job job = {.kernel = f->kernel, .arch = f->arch};
    struct kb_nvrtc_result result = {0};
    struct kb_build build = {0};

    for (size_t i = first; i < first + count; i++)
        kb_strings_add(&job.entries, &arena, f->entries.items[i]);
    bool ok = kb_build_parse(build_name, true, &arena, &build, err);
    if (ok) {
        kb_build_resolve(&build, f->limits.sm, &arena);
        job.flags = build.flags;
        ok = kb_nvrtc_compile(f->check->compilers[omp_get_thread_num()], &job, &arena,
                              &result, err) &&
             result.cubin.len > 0;
        *ms = result.compile_ms;
    }
    kb_buf_free(&result.cubin);
    kb_buf_free(&result.log);
    kb_arena_free(&arena);
    return ok;
}

static void compile_chunk(struct file *f, const char *build, size_t first, size_t count) {
    struct check *k = f->check;
    struct kb_err err = {0};
    int compiled = (int)count, failed = 0;
    double ms = 0, ignored;

    if (!compile(f, build, first, count, &ms, &err)) {
        compiled = 0;
        for (size_t i = first; i < first + count; i++) {
            struct kb_err why = {0};
            if (compile(f, build, i, 1, &ignored, &why)) {
                compiled++;
                continue;
            }
            failed++;
            fprintf(stderr, "FAILED %s, %s, %s, %s: %s\n", f->kernel->path,
                    f->entries.items[i], build, f->arch, why.msg);
        }
    }
#pragma omp critical
    {
        k->compiled += compiled;
        k->failed += failed;
        k->ms += ms;
    }
}

static void check_file(struct check *k, const struct kb_kernel *kernel, const char *arch) {
    struct file f = {.check = k, .kernel = kernel, .arch = arch, .limits = limits_of(arch)};

    for (size_t o = 0; o < kernel->ops.count; o++) {
        const struct kb_op *op = kb_op_find(kernel->ops.items[o]);
        for (int d = 0; d < op->n_dtypes; d++) {
            struct kb_case c = {.op = op, .dtype = op->dtypes[d], .fill = op->fills[0]};
            for (int p = 0; p < op->n_params; p++)
                c.set[p].v = op->params[p].def;
            add_numbers(&f, &c);
        }
    }
    size_t chunks = (f.entries.count + CHUNK - 1) / CHUNK;
#pragma omp parallel for schedule(dynamic) num_threads(k->n_compilers)
    for (size_t i = 0; i < chunks * KB_COUNT(builds); i++) {
        size_t first = i / KB_COUNT(builds) * CHUNK, left = f.entries.count - first;
        compile_chunk(&f, builds[i % KB_COUNT(builds)], first, left < CHUNK ? left : CHUNK);
    }
}

/* The kernel files of all ops, each once. */
static bool each_file(struct check *k, int n_arches, char **arches) {
    const char *last = "";

    for (int o = 0; o < kb_op_count; o++) {
        struct kb_complaints complaints = {0};
        struct kb_kernel *kernel = kb_arena_alloc(&k->arena, sizeof *kernel);
        if (kb_streq(kb_ops[o]->family, last))
            continue;
        last = kb_ops[o]->family;
        bool ok = kb_kernel_builtin(kb_ops[o], &k->arena, kernel, &complaints);
        if (!ok)
            fprintf(stderr, "%s", kb_buf_text(&complaints.text));
        kb_complaints_free(&complaints);
        if (!ok)
            return false;
        for (int a = 0; a < n_arches; a++)
            check_file(k, kernel, arches[a]);
    }
    return true;
}

static int run_check(struct check *k, int n_arches, char **arches) {
    if (!each_file(k, n_arches, arches))
        return 4;
    for (size_t i = 0; i < k->variants.count; i++) {
        if (kb_strings_has(&k->reached, k->variants.items[i]))
            continue;
        k->failed++;
        fprintf(stderr, "FAILED %s: nothing tried meets its `when`\n",
                k->variants.items[i]);
    }
    printf("NVRTC %s: %d entries compiled, %d failed, %.1f s\n",
           kb_nvrtc_version(k->compilers[0]), k->compiled, k->failed, k->ms / 1e3);
    return k->failed > 0 || k->compiled == 0;
}

/* One entry at a time, as a case compiles it: the first, and the median of those after. */
static int run_bench(struct check *k) {
    struct kb_complaints complaints = {0};
    struct kb_kernel *kernel = kb_arena_alloc(&k->arena, sizeof *kernel);
    struct file f = {
        .check = k, .kernel = kernel, .arch = "sm_90a", .limits = limits_of("sm_90a")};
    double ms[BENCH_COMPILES], first = 0, sorted;
    struct kb_err err = {0};

    if (!kb_kernel_builtin(kb_op_find("silu"), &k->arena, kernel, &complaints))
        return 4;
    struct kb_case c = {.op = kb_op_find("silu"), .dtype = KB_BF16};
    for (int p = 0; p < c.op->n_params; p++)
        c.set[p].v = c.op->params[p].def;
    add_words(&f, &c, 0);
    if (f.entries.count == 0)
        return 5;
    for (int i = 0; i < BENCH_COMPILES; i++) {
        if (!compile(&f, "precise", (size_t)i % f.entries.count, 1, &ms[i], &err)) {
            fprintf(stderr, "%s\n", err.msg);
            return 5;
        }
    }
    first = ms[0];
    for (int i = 1; i < BENCH_COMPILES; i++) /* insertion sort of ms[1..] */
        for (int j = i; j > 1 && ms[j - 1] > ms[j]; j--) {
            sorted = ms[j];
            ms[j] = ms[j - 1];
            ms[j - 1] = sorted;
        }
    printf(
        "NVRTC %s, one variant: first %.1f ms, then %.1f ms (median of %d)   target 60 ms "
        "after the first\n",
        kb_nvrtc_version(k->compilers[0]), first, ms[1 + (BENCH_COMPILES - 1) / 2],
        BENCH_COMPILES - 1);
    return 0;
}

static bool open_compilers(struct check *k, struct kb_err *err) {
    int wanted = omp_get_max_threads();

    while (k->n_compilers < wanted && k->n_compilers < MOST_COMPILERS) {
        if (!kb_nvrtc_open(0, &k->compilers[k->n_compilers], err))
            return false;
        k->n_compilers++;
    }
    return true;
}

int main(int argc, char **argv) {
    struct check k = {0};
    struct kb_err err = {0};
    int status;

    if (argc == 3 && kb_streq(argv[1], "--worker") && kb_streq(argv[2], "nvrtc"))
        return kb_nvrtc_worker_main();
    if (argc < 2) {
        fprintf(stderr, "usage: nvrtc_check ARCH... | --bench\n");
        return 4;
    }
    if (!open_compilers(&k, &err)) {
        fprintf(stderr, "%s\n", err.msg);
        status = kb_err_status(&err);
    } else {
        status = kb_streq(argv[1], "--bench") ? run_bench(&k)
                                              : run_check(&k, argc - 1, argv + 1);
    }
    for (int i = 0; i < k.n_compilers; i++)
        kb_nvrtc_close(k.compilers[i]);
    kb_arena_free(&k.arena);
    return status;
}
