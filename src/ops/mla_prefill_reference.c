/* mla_prefill_reference.c - attention in double, and how far a right kernel may be from it.
 * The formula is in mla_prefill.c.
 *
 * Bound. `want` is not rounded, and half an ulp of the output's dtype is free. With e =
 * 2^-24, what is left is what a kernel may be off by that multiplies in tensor cores:
 *   score  c times scale * sum |query key| for the sum of 192 products in fp32 (c = 2^-17,
 *          96 e), or in the 14 bits that tensor cores keep for e4m3 (2^-13; Hopper);
 *          4 e of the score for its scale; exp 4 e and 2 e for each unit of s_j - m. All
 *          this relative to P_j = exp(s_j - m): r_j.
 *   P      is rounded to the input's dtype for the product with value, relative to some
 *          running maximum: p_j, half an ulp (2^-4 in e4m3, 2^-9 in bf16, 2^-12 in fp16) of
 *          P_j; in e4m3 2^-10 at least, or all of P_j where that is less, in fp16 2^-25.
 *          Such errors have no common sign but where the P_j are alike: allowed are
 *          2^-4 (2^-9, 2^-12) of the output itself, what the P_j at the grid's end add up
 * to with their signs, and six times the root of the sum of (p_j value_j)^2: ten times the
 * standard deviation of roundings that know nothing of each other. sums   a c' = 2^-13 of
 * sum P_j |value_j| for e4m3, n e / 2 else, n keys; the sum of P, which is not rounded, by
 * r_j and n e / 2. out    all of these over the sum of P, 2 e for the quotient. lse    sum
 * P_j r_j over the sum of P, n e / 2, 8 e, and 2 e of itself; in its base. Scores that are
 * NaN make the row NaN; a row without keys is exact. The worst right kernel that was tried
 * uses a third of it (mla_prefill_test.c). */
#include "ops/mla_prefill.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { CACHE_ELEMENTS = 1 << 26 };

static const double eps = 0x1p-24;

/* All inputs as floats, where they are not too many. */
struct decoded {
    float *of[3]; /* query, key, value */
    float data[];
};

void *kb_mla_prepare(const struct kb_problem *p, const void *const *in) {
    int64_t total = 0, at = 0;
    for (int t = KB_MLA_QUERY; t <= KB_MLA_VALUE; t++)
        total += p->tensors[t].elements;
    if (total > CACHE_ELEMENTS)
        return NULL;
    struct decoded *d = malloc(sizeof *d + (size_t)total * sizeof *d->data);
    if (!d)
        return NULL;
    for (int t = KB_MLA_QUERY; t <= KB_MLA_VALUE; t++) {
        const struct kb_tensor_spec *spec = &p->tensors[t];
        d->of[t] = d->data + at;
#pragma omp parallel for schedule(static) num_threads(kb_threads(spec->elements))
        for (int64_t i = 0; i < spec->elements; i++)
            d->of[t][i] = (float)kb_decode(spec->dtype, kb_bits_at(spec->dtype, in[t], i));
        at += spec->elements;
    }
    return d;
}

/* ---- a row: one query of one head ------------------------------------------------------
 */

struct row {
    const struct kb_mla *m;
    const void *const *in;
    const struct decoded *decoded;
    double *p, *r; /* of each key */
    double sum, relative, max;
    bool none, nan, equal; /* equal: all P are 1, and no rounding moves them */
    double out[KB_MLA_V], bound[KB_MLA_V];
};

static const float *floats_of(const struct row *row, int t, int64_t first, int n,
                              float *own) {
    if (row->decoded)
        return row->decoded->of[t] + first;
    double wide[KB_MLA_QK];
    kb_decode_range(row->m->dtype, row->in[t], first, n, wide);
    for (int i = 0; i < n; i++)
        own[i] = (float)wide[i];
    return own;
}

static void multiply(const float *q, const float *k, double *dot, double *size) {
    double sums[8] = {0}, sizes[8] = {0};
    for (int d = 0; d < KB_MLA_QK; d += 8)
        for (int u = 0; u < 8; u++) {
            double product = (double)q[d + u] * (double)k[d + u];
            sums[u] += product;
            sizes[u] += fabs(product);
        }
    *dot = *size = 0;
    for (int u = 0; u < 8; u++) {
        *dot += sums[u];
        *size += sizes[u];
    }
}

/* Scores and what they are off by, then P and r in their places. */
static void weigh(struct row *row, int64_t query, int64_t head, int64_t first, int64_t n) {
    const struct kb_mla *m = row->m;
    double c = m->dtype == KB_E4M3 ? 0x1p-13 : 0x1p-17;
    float own_q[KB_MLA_QK], own_k[KB_MLA_QK];
    const float *q = floats_of(row, KB_MLA_QUERY, (query * m->heads + head) * KB_MLA_QK,
                               KB_MLA_QK, own_q);
    int64_t kv_head = head / (m->heads / m->kv_heads);
    row->max = -INFINITY;
    for (int64_t j = 0; j < n; j++) {
        int64_t at = ((first + j) * m->kv_heads + kv_head) * KB_MLA_QK;
        double dot, size;
        multiply(q, floats_of(row, KB_MLA_KEY, at, KB_MLA_QK, own_k), &dot, &size);
        row->p[j] = dot * m->scale;
        row->r[j] = size * m->scale * c + fabs(row->p[j]) * 4 * eps;
        row->nan |= isnan(row->p[j]);
        row->max = fmax(row->max, row->p[j]);
    }
    row->sum = row->relative = 0;
    row->equal = true;
    for (int64_t j = 0; j < n; j++) {
        double below = row->max - row->p[j];
        row->r[j] += (4 + 2 * below) * eps;
        row->p[j] = exp(-below);
        row->equal &= below == 0;
        row->sum += row->p[j];
        row->relative += row->p[j] * row->r[j];
    }
    row->relative = row->relative / row->sum + (double)n * eps / 2;
}

/* Half an ulp of P, relative, and the least that it is. */
static void grid_of(enum kb_dtype dtype, double *half, double *least) {
    *half = dtype == KB_E4M3 ? 0x1p-4 : dtype == KB_BF16 ? 0x1p-9 : 0x1p-12;
    *least = dtype == KB_E4M3 ? 0x1p-10 : dtype == KB_BF16 ? 0 : 0x1p-25;
}

static void add_up(struct row *row, int64_t head, int64_t first, int64_t n) {
    const struct kb_mla *m = row->m;
    double half, least, sums = m->dtype == KB_E4M3 ? 0x1p-13 : (double)n * eps / 2;
    double out[KB_MLA_V] = {0}, end[KB_MLA_V] = {0}, square[KB_MLA_V] = {0},
           off[KB_MLA_V] = {0};
    float own[KB_MLA_V];
    grid_of(m->dtype, &half, &least);
    if (row->equal)
        half = least = 0;
    int64_t kv_head = head / (m->heads / m->kv_heads);
    for (int64_t j = 0; j < n; j++) {
        int64_t at = ((first + j) * m->kv_heads + kv_head) * m->v_pitch + m->v_start;
        const float *v = floats_of(row, KB_MLA_VALUE, at, KB_MLA_V, own);
        double p = row->p[j], rounded = fmax(p * half, fmin(p, least));
        double at_end = p * half < least ? rounded : 0, other = p * (row->r[j] + sums);
        for (int d = 0; d < KB_MLA_V; d++) {
            double x = (double)v[d];
            out[d] += p * x;
            end[d] += at_end * x;
            square[d] += rounded * rounded * x * x;
            off[d] += other * fabs(x);
        }
    }
    for (int d = 0; d < KB_MLA_V; d++) {
        row->out[d] = out[d] / row->sum;
        row->bound[d] =
            (half * fabs(out[d]) + fabs(end[d]) + 6 * sqrt(square[d]) + off[d]) / row->sum +
            fabs(row->out[d]) * (row->relative + 2 * eps);
    }
}

static void row_of(struct row *row, int64_t token, int64_t head, bool values) {
    const struct kb_mla *m = row->m;
    int64_t q_start, k_start = 0;
    int b = kb_mla_sequence(m->q_lens, m->sequences, token, &q_start);
    for (int i = 0; i < b; i++)
        k_start += m->kv_lens[i];
    int64_t n = m->kv_lens[b], seen = token - q_start + n - m->q_lens[b] + 1;
    if (m->causal)
        n = seen < 0 ? 0 : seen < n ? seen : n;
    row->none = n == 0;
    row->nan = false;
    if (row->none)
        return;
    weigh(row, token, head, k_start, n);
    if (values && !row->nan)
        add_up(row, head, k_start, n);
}

/* ---- a range of an output --------------------------------------------------------------
 */

static void lse_at(const struct row *row, double *want, double *bound) {
    double unit = row->m->lse == KB_MLA_LSE_2 ? M_LOG2E : 1;
    *want = row->none ? -INFINITY : row->nan ? NAN : (row->max + log(row->sum)) * unit;
    *bound = row->none || row->nan
                 ? 0
                 : (row->relative + 8 * eps) * unit + fabs(*want) * 2 * eps;
}

static void out_range(const struct row *row, int64_t first, int64_t count, double *want,
                      double *bound) {
    for (int64_t d = 0; d < count; d++) {
        want[d] = row->none ? 0 : row->nan ? NAN : row->out[first + d];
        bound[d] = row->none || !isfinite(want[d]) ? 0 : row->bound[first + d];
    }
}

static int64_t longest(const struct kb_mla *m) {
    int64_t most = 1;
    for (int b = 0; b < m->sequences; b++)
        most = m->kv_lens[b] > most ? m->kv_lens[b] : most;
    return most;
}

void kb_mla_reference(const struct kb_problem *p, const void *const *in,
                      const void *prepared, int t, int64_t first, int64_t count,
                      double *want, double *bound) {
    struct kb_mla m = kb_mla_of(p->c);
    struct row row = {.m = &m, .in = in, .decoded = prepared};
    int64_t width = t == KB_MLA_LSE ? 1 : KB_MLA_V, n;
    row.p = malloc((size_t)longest(&m) * sizeof *row.p);
    row.r = malloc((size_t)longest(&m) * sizeof *row.r);
    if (!row.p || !row.r)
        kb_out_of_memory();
    for (int64_t at = first; at < first + count; at += n, want += n, bound += n) {
        int64_t flat = at / width, from = at % width;
        n = width - from < first + count - at ? width - from : first + count - at;
        row_of(&row, flat / m.heads, flat % m.heads, t == KB_MLA_OUT);
        if (t == KB_MLA_LSE)
            lse_at(&row, want, bound);
        else
            out_range(&row, from, n, want, bound);
    }
    free(row.r);
    free(row.p);
}
