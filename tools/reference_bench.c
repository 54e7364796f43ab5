/* reference_bench.c - how fast the CPU references run: tensor bytes per second and core. */
#include "op.h"

#include <omp.h>
#include <stdio.h>
#include <stdlib.h>

static double seconds_of(const struct kb_problem *p, const void *const *in, double *want,
                         double *bound) {
    const struct kb_op *op = p->c->op;
    int64_t start = kb_now_ns();
    void *prepared = op->prepare ? op->prepare(p, in) : NULL;
    int64_t n = p->tensors[1].elements;

    for (int64_t first = 0; first < n; first += 8192) {
        int64_t count = n - first < 8192 ? n - first : 8192;
        op->reference(p, in, prepared, 1, first, count, want, bound);
    }
    free(prepared);
    return (double)(kb_now_ns() - start) / 1e9;
}

static bool bench(const char *id) {
    struct kb_arena arena = {0};
    struct kb_complaints complaints = {0};
    struct kb_err err = {0};
    struct kb_case c;
    struct kb_problem p;

    if (!kb_case_parse(id, &arena, &c, &complaints) || !kb_case_resolve(&c, &p, &err)) {
        fprintf(stderr, "%s%s\n", kb_buf_text(&complaints.text), err.msg);
        return false;
    }
    size_t bytes = (size_t)p.tensors[0].elements * kb_dtype_bytes(c.dtype);
    void *input = malloc(bytes);
    double *want = malloc(8192 * sizeof *want), *bound = malloc(8192 * sizeof *bound);
    if (!input || !want || !bound)
        kb_out_of_memory();
    c.op->fill(&p, 0, 1, 0, p.tensors[0].elements, input);
    const void *in[KB_MAX_TENSORS] = {input};
    double best = 1e9;
    for (int i = 0; i < 5; i++) {
        double s = seconds_of(&p, in, want, bound);
        best = s < best ? s : best;
    }
    printf("  %-34s %6.2f GB/s\n", id, (double)p.bytes / best / 1e9);
    free(bound);
    free(want);
    free(input);
    kb_arena_free(&arena);
    return true;
}

int main(void) {
    static const char *const ids[] = {
        "silu/4096x2048/bf16",      "silu/4096x2048/fp16",
        "silu/4096x2048/fp32",      "gelu/4096x2048/bf16",
        "gelu/4096x2048/fp32",      "gelu_tanh/4096x2048/bf16",
        "gelu_tanh/4096x2048/fp32", "silu/4096x2048/bf16/round=act",
        "stream/4096x2048/bf16",
    };
    bool ok = true;

    omp_set_num_threads(1);
    for (size_t i = 0; i < KB_COUNT(ids); i++)
        ok &= bench(ids[i]);
    return ok ? 0 : 1;
}
