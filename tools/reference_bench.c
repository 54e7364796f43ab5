/* reference_bench.c - how fast the CPU references run, and the comparison beside them: of
 * one core, bytes of all tensors of the case per second, as its times on a GPU count them;
 * and of the comparison bytes of the output alone. */
#include "measure.h"

#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { CHUNK = 8192, RUNS = 5 };

struct bench {
    struct kb_arena arena;
    struct kb_case c;
    struct kb_problem p;
    void *input, *got;
    const void *in[KB_MAX_TENSORS];
};

/* Of this one thread's work, whatever else the machine does. */
static double cpu_seconds(void) {
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* What the op's reference gave for the first elements, said again for all others: it costs
 * a copy, so that what is left is the comparison's. */
static double ready_want[CHUNK], ready_bound[CHUNK];

static void ready_reference(const struct kb_problem *p, const void *const *in,
                            const void *prepared, int t, int64_t first, int64_t count,
                            double *want, double *bound) {
    (void)p, (void)in, (void)prepared, (void)t;
    for (int64_t done = 0, n; done < count; done += n) {
        int64_t at = (first + done) % CHUNK;
        n = count - done < CHUNK - at ? count - done : CHUNK - at;
        memcpy(want + done, ready_want + at, (size_t)n * sizeof *want);
        memcpy(bound + done, ready_bound + at, (size_t)n * sizeof *bound);
    }
}

static bool bench_make(struct bench *b, const char *id) {
    struct kb_complaints complaints = {0};
    struct kb_err err = {0};

    *b = (struct bench){0};
    if (!kb_case_parse(id, &b->arena, &b->c, &complaints) ||
        !kb_case_resolve(&b->c, &b->p, &err)) {
        fprintf(stderr, "%s%s\n", kb_buf_text(&complaints.text), err.msg);
        return false;
    }
    const struct kb_tensor_spec *input = &b->p.tensors[0], *out = &b->p.tensors[1];
    b->input = malloc((size_t)input->elements * kb_dtype_bytes(input->dtype));
    b->got = malloc((size_t)out->elements * kb_dtype_bytes(out->dtype));
    if (!b->input || !b->got)
        kb_out_of_memory();
    b->c.op->fill(&b->p, 0, 1, 0, input->elements, b->input);
    b->in[0] = b->input;
    return true;
}

static void bench_free(struct bench *b) {
    free(b->got);
    free(b->input);
    kb_arena_free(&b->arena);
}

/* The output of a kernel whose results are off by up to `off` of their size. */
static void put_got(struct bench *b, double off) {
    const struct kb_tensor_spec *out = &b->p.tensors[1];

    for (int64_t i = 0; i < out->elements; i++) {
        uint32_t random[4];
        kb_philox(1, 2, (uint64_t)i, random);
        double want = ready_want[i % CHUNK], by = random[0] * 0x1p-31 - 1;
        uint32_t bits = out->rule == KB_RULE_EXACT
                            ? (uint32_t)want
                            : kb_encode(out->dtype, want * (1 + off * by));
        kb_bits_put(out->dtype, b->got, i, bits);
    }
}

static double reference_seconds(const struct bench *b, double *want, double *bound) {
    const struct kb_op *op = b->c.op;
    double start = cpu_seconds();
    void *prepared = op->prepare ? op->prepare(&b->p, b->in) : NULL;
    int64_t n = b->p.tensors[1].elements;

    for (int64_t first = 0; first < n; first += CHUNK) {
        int64_t count = n - first < CHUNK ? n - first : CHUNK;
        op->reference(&b->p, b->in, prepared, 1, first, count, want, bound);
    }
    free(prepared);
    return cpu_seconds() - start;
}

static double comparison_seconds(struct bench *b, const struct kb_op *op) {
    const struct kb_op *real = b->c.op;
    const struct kb_compare_args args = {
        .problem = &b->p,
        .tensor = 1,
        .in = b->in,
        .got = b->got,
        .bound_factor = 1,
    };
    struct kb_output_report report;

    b->c.op = op;
    double start = cpu_seconds();
    kb_compare(&args, &report);
    double seconds = cpu_seconds() - start;
    b->c.op = real;
    if (report.over)
        fprintf(stderr, "%s: %lld are over\n", report.name, (long long)report.over);
    return seconds;
}

static bool bench(const char *id) {
    struct bench b;
    double reference = 1e9, comparison = 1e9;
    double *want = malloc(CHUNK * sizeof *want), *bound = malloc(CHUNK * sizeof *bound);

    if (!want || !bound)
        kb_out_of_memory();
    if (!bench_make(&b, id))
        return false;
    struct kb_op ready = *b.c.op;
    ready.reference = ready_reference;
    ready.prepare = NULL;
    for (int i = 0; i < RUNS; i++) {
        double s = reference_seconds(&b, want, bound);
        reference = s < reference ? s : reference;
    }
    b.c.op->reference(&b.p, b.in, NULL, 1, 0, CHUNK, ready_want, ready_bound);
    put_got(&b, 0x1p-24);
    for (int i = 0; i < RUNS; i++) {
        double s = comparison_seconds(&b, &ready);
        comparison = s < comparison ? s : comparison;
    }
    const struct kb_tensor_spec *out = &b.p.tensors[1];
    double bytes = (double)out->elements * (double)kb_dtype_bytes(out->dtype);
    printf("  %-34s %10.2f %10.2f %10.2f\n", id, (double)b.p.bytes / reference / 1e9,
           (double)b.p.bytes / comparison / 1e9, bytes / comparison / 1e9);
    bench_free(&b);
    free(bound);
    free(want);
    return true;
}

int main(void) {
    static const char *const ids[] = {
        "silu/4096x2048/bf16",      "silu/4096x2048/fp16",
        "silu/4096x2048/fp32",      "gelu/4096x2048/bf16",
        "gelu/4096x2048/fp32",      "gelu_tanh/4096x2048/bf16",
        "gelu_tanh/4096x2048/fp32", "silu/4096x2048/bf16/round=act",
        "stream/8388608/bf16",
    };
    bool ok = true;

    omp_set_num_threads(1);
    printf("  %-34s %10s %10s %10s\n", "GB/s of one core", "reference", "compare",
           "output");
    for (size_t i = 0; i < KB_COUNT(ids); i++)
        ok &= bench(ids[i]);
    return ok ? 0 : 1;
}
