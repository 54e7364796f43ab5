/* nvrtc_check.c - compile every variant of every kernel for every dtype, word parameter and
 * build, with NVRTC, without a GPU: nvrtc_check ARCH... | nvrtc_check --bench
 *
 * A variant whose `when` is false for every shape tried is a failure too: nothing compiled
 * it. */
#include "jit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct totals {
    int compiled, failed;
    double ms, slowest_ms;
    struct kb_arena arena;
    struct kb_strings variants, reached; /* "kernels/activation.cu vec16" */
};

/* Shapes to meet the `when` of a variant: the op's sample, then wider ones. */
static const char *const shapes[] = {NULL, "8x64", "64x2048", "7x18", "64x4096"};
static const char *const builds[] = {"precise", "fast-math"};

static struct kb_device_limits limits_of(const char *arch) {
    return (struct kb_device_limits){
        .sm = strtol(arch + 3, NULL, 10),
        .sm_count = 132,
        .smem_per_block = strtol(arch + 3, NULL, 10) >= 90 ? 232448 : 101376,
        .max_threads = 1024,
        .max_grid = {2147483647, 65535, 65535},
        .max_block = {1024, 1024, 64},
    };
}

static bool compile(struct kb_nvrtc *nvrtc, const struct kb_plan *plan,
                    const struct kb_case *c, const char *build_name, const char *arch,
                    struct kb_arena *arena, struct totals *t) {
    struct kb_nvrtc_job job = {
        .kernel = plan->kernel, .defines = plan->defines, .arch = arch};
    struct kb_nvrtc_result result = {0};
    struct kb_build build = {0};
    struct kb_err err = {0};

    for (int i = 0; i < plan->n_launches; i++)
        kb_strings_add(&job.entries, arena, plan->launches[i].entry);
    bool ok = kb_build_parse(build_name, true, arena, &build, &err);
    if (ok) {
        kb_build_resolve(&build, strtol(arch + 3, NULL, 10), arena);
        job.flags = build.flags;
        ok = kb_nvrtc_compile(nvrtc, &job, arena, &result, &err) && result.cubin.len > 0;
    }
    if (ok) {
        t->compiled++;
        t->ms += result.compile_ms;
        t->slowest_ms =
            result.compile_ms > t->slowest_ms ? result.compile_ms : t->slowest_ms;
    } else {
        t->failed++;
        fprintf(stderr, "FAILED %s %s, %s, %s, %s: %s\n", c->id, plan->variant->name,
                build_name, arch, plan->kernel->path, err.msg);
    }
    kb_buf_free(&result.cubin);
    kb_buf_free(&result.log);
    return ok;
}

/* One variant of one case shape-by-shape until its `when` holds. */
static void try_variant(struct kb_nvrtc *nvrtc, const struct kb_kernel *kernel, int v,
                        struct kb_case c, const char *arch, struct totals *t) {
    struct kb_device_limits limits = limits_of(arch);
    struct kb_arena arena = {0};
    struct kb_err err = {0};
    const char *name =
        kb_arena_printf(&t->arena, "%s %s", kernel->path, kernel->variants[v].name);

    if (!kb_strings_has(&t->variants, name))
        kb_strings_add(&t->variants, &t->arena, name);
    for (size_t s = 0; s < KB_COUNT(shapes); s++) {
        struct kb_problem *problem = kb_arena_alloc(&arena, sizeof *problem);
        struct kb_plan *plan = kb_arena_alloc(&arena, sizeof *plan);
        const char *shape = shapes[s] ? shapes[s] : c.op->sample;
        if (!kb_shape_parse(shape, c.shape, &c.rank))
            continue;
        c.id = kb_case_id(&c, &arena);
        if (!kb_case_resolve(&c, problem, &err) ||
            !kb_plan_make(kernel, v, problem, "cuda", &limits, &arena, plan, &err))
            continue;
        if (!kb_strings_has(&t->reached, name))
            kb_strings_add(&t->reached, &t->arena, name);
        for (size_t b = 0; b < KB_COUNT(builds); b++)
            compile(nvrtc, plan, &c, builds[b], arch, &arena, t);
        kb_arena_free(&arena);
        return;
    }
    /* A variant for another architecture or dtype is not for this one: that is no failure.
     */
    if (err.kind != KB_UNSUPPORTED) {
        t->failed++;
        fprintf(stderr, "FAILED %s/%s %s, %s: %s\n", c.op->name, kb_dtype_name(c.dtype),
                kernel->variants[v].name, arch, err.msg);
    }
    kb_arena_free(&arena);
}

/* Every combination of the op's word parameters from parameter `i` on. */
static void try_words(struct kb_nvrtc *nvrtc, const struct kb_kernel *kernel,
                      struct kb_case *c, int i, const char *arch, struct totals *t) {
    while (i < c->op->n_params && c->op->params[i].kind != KB_PARAM_WORD)
        i++;
    if (i == c->op->n_params) {
        for (int v = 0; v < kernel->n_variants; v++)
            try_variant(nvrtc, kernel, v, *c, arch, t);
        return;
    }
    int words = 1;
    for (const char *p = c->op->params[i].words; *p; p++)
        words += *p == ',';
    for (int w = 0; w < words; w++) {
        c->set[i].v = w;
        try_words(nvrtc, kernel, c, i + 1, arch, t);
    }
}

static void try_op(struct kb_nvrtc *nvrtc, const struct kb_op *op, const char *arch,
                   struct totals *t) {
    struct kb_arena arena = {0};
    struct kb_complaints complaints = {0};
    struct kb_kernel *kernel = kb_arena_alloc(&arena, sizeof *kernel);

    if (!kb_kernel_builtin(op, &arena, kernel, &complaints)) {
        fprintf(stderr, "FAILED %s: %s\n", op->name, kb_buf_text(&complaints.text));
        t->failed++;
    }
    for (int d = 0; t->failed == 0 && d < op->n_dtypes; d++) {
        struct kb_case c = {.op = op, .dtype = op->dtypes[d], .fill = op->fills[0]};
        for (int p = 0; p < op->n_params; p++)
            c.set[p].v = op->params[p].def;
        try_words(nvrtc, kernel, &c, 0, arch, t);
    }
    kb_complaints_free(&complaints);
    kb_arena_free(&arena);
}

static int check(int n_arches, char **arches) {
    struct kb_nvrtc *nvrtc = NULL;
    struct kb_err err = {0};
    struct totals t = {0};

    if (!kb_nvrtc_open(0, &nvrtc, &err)) {
        fprintf(stderr, "%s\n", err.msg);
        return kb_err_status(&err);
    }
    for (int a = 0; a < n_arches; a++) {
        for (int o = 0; o < kb_op_count; o++)
            try_op(nvrtc, kb_ops[o], arches[a], &t);
    }
    for (size_t i = 0; i < t.variants.count; i++) {
        if (kb_strings_has(&t.reached, t.variants.items[i]))
            continue;
        t.failed++;
        fprintf(stderr, "FAILED %s: no shape tried meets its `when`\n",
                t.variants.items[i]);
    }
    printf("NVRTC %s: %d compiled, %d failed, %.1f ms each, slowest %.1f ms\n",
           kb_nvrtc_version(nvrtc), t.compiled, t.failed,
           t.ms / (t.compiled ? t.compiled : 1), t.slowest_ms);
    kb_nvrtc_close(nvrtc);
    kb_arena_free(&t.arena);
    return t.failed > 0 || t.compiled == 0;
}

int main(int argc, char **argv) {
    char name[] = "sm_90a", *arch[] = {name};

    if (argc == 3 && kb_streq(argv[1], "--worker") && kb_streq(argv[2], "nvrtc"))
        return kb_nvrtc_worker_main();
    if (argc == 2 && kb_streq(argv[1], "--bench"))
        return check(1, arch);
    if (argc < 2) {
        fprintf(stderr, "usage: nvrtc_check ARCH... | --bench\n");
        return 4;
    }
    return check(argc - 1, argv + 1);
}
