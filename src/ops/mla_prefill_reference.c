/* mla_prefill_reference.c - attention in double, and how far a right kernel may be from it.
 * The formula is in mla_prefill.c.
 *
 * Bound. `want` is not rounded, and half an ulp of the output's dtype is free. With
 * e = 2^-24, what is left is what a kernel may be off by that multiplies in tensor cores:
 *   score  2^-17 (96 e) times scale * sum |query key| for 192 products summed in fp32.
 *          In e4m3 tensor cores may keep 14 bits: of 32 products each is cut off 13
 *          bits below the largest, half of that unit on average, with its sign; 10
 *          units are six standard deviations of such a step; then the sum itself is,
 *          after each of six steps. 4 e of the score for its scale; exp 4 e and 2 e
 *          for each unit of s_j - m. All this relative to P_j = exp(s_j - m): r_j.
 *   P      is rounded to the input's dtype for the product with value, relative to some
 *          running maximum: p_j, half an ulp (2^-4 in e4m3, 2^-8 in bf16, 2^-11 in
 *          fp16) of P_j; in e4m3 2^-10 at least, or all of P_j where that is less, in
 *          fp16 2^-25. Such errors have no common sign but where the P_j are alike:
 *          allowed are 2^-4 (2^-8, 2^-11) of the output itself, what the P_j at the
 *          grid's end add up to with their signs, and four times the root of the sum
 *          of (p_j value_j)^2: seven times the standard deviation of roundings that
 *          know nothing of each other, or more. Of few keys it is never more than all
 *          of them with one sign, the sum of p_j |value_j|, and a fourth of it for a
 *          rounding on the way.
 *   sums   2^-13 of sum P_j |value_j| for e4m3, n e / 2 else, n keys; the sum of P, which
 *          is not rounded, by r_j and n e / 2.
 *   out    all of these over the sum of P, 2 e for the quotient.
 *   lse    sum P_j r_j over the sum of P, n e / 2, 8 e, and 2 e of itself; in its base.
 * Scores that are NaN make the row NaN; a row without keys is exact. Of right kernels the
 * worst takes 0.8 of it where that sum is all there is, else half of it
 * (tools/controls/mla_prefill.c).
 *
 * Where an r_j is above 1/16, as large scales make it, exp is no longer its own first term.
 * With w_j = P_j over their sum, and each score off by up to r_j, of which that of the
 * largest one is no matter, since all may move together:
 *   out    at most sum w_j (exp(r_j + r_top) - 1) |value_j - out| over what the sum of P
 *          can fall to, top itself left out; and never more than from out to the farthest
 *          value seen. Of one key far above all others nothing remains.
 *   lse    log sum w_j exp(r_j).
 *
 * Sums in bf16 (low_precision): what they lose counts where it is well above what rounding
 * of P and scores may cost a right kernel: 12 times the typical size of the one, 4 times
 * the other. In e4m3 that takes hundreds of keys that weigh alike. */
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
    double *p, *r, *below; /* of each key; below: the maximum less its score */
    double sum, relative, max;
    int64_t top;           /* the first key of that score */
    bool none, nan, equal; /* equal: all P are 1, and no rounding moves them */
    bool loose;            /* some score may be off by much */
    double spread;         /* of scores, with what they may be off by */
    bool low;              /* sums in bf16 are wanted, and no bounds */
    double out[KB_MLA_V], bound[KB_MLA_V];
    double most[KB_MLA_V]; /* well above what a right kernel is off by */
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

/* What sums of 14 bits lose, over 2^-13: of each 32 products, and of the sum after them. */
static double cut_off(const float *q, const float *k) {
    enum { STEP = 32, LANES = 8 };
    float sums[LANES] = {0}, cut = 0;
    for (int step = 0; step < KB_MLA_QK; step += STEP) {
        float largest[LANES] = {0}, signs[LANES] = {0}, most = 0, sign = 0, sum = 0;
        for (int d = step; d < step + STEP; d += LANES)
            for (int u = 0; u < LANES; u++) {
                float product = q[d + u] * k[d + u], size = fabsf(product);
                sums[u] += product;
                largest[u] = size > largest[u] ? size : largest[u];
                signs[u] += (float)((product > 0) - (product < 0));
            }
        for (int u = 0; u < LANES; u++) {
            most = largest[u] > most ? largest[u] : most;
            sign += signs[u];
            sum += sums[u];
        }
        cut += most * (fabsf(sign) / 2 + 10) + fabsf(sum);
    }
    return (double)cut;
}

/* Scores and what they are off by. */
static void score(struct row *row, int64_t query, int64_t head, int64_t first, int64_t n) {
    const struct kb_mla *m = row->m;
    float own_q[KB_MLA_QK], own_k[KB_MLA_QK];
    const float *q = floats_of(row, KB_MLA_QUERY, query * m->q_pitch + head * KB_MLA_QK,
                               KB_MLA_QK, own_q);
    int64_t kv_head = head / (m->heads / m->kv_heads);
    row->max = -INFINITY;
    row->top = 0;
    for (int64_t j = 0; j < n; j++) {
        int64_t at = (first + j) * m->k_pitch + kv_head * KB_MLA_QK;
        const float *k = floats_of(row, KB_MLA_KEY, at, KB_MLA_QK, own_k);
        double dot, size;
        multiply(q, k, &dot, &size);
        double off = m->dtype == KB_E4M3 ? cut_off(q, k) * 0x1p-13 : size * 0x1p-17;
        row->p[j] = dot * m->scale;
        row->r[j] = off * m->scale + fabs(row->p[j]) * 4 * eps;
        row->nan |= isnan(row->p[j]);
        row->top = row->p[j] > row->max ? j : row->top;
        row->max = fmax(row->max, row->p[j]);
    }
}

/* log sum w_j exp(r_j). */
static double loose_relative(const struct row *row, int64_t n) {
    double most = -INFINITY, sum = 0;
    for (int64_t j = 0; j < n; j++)
        most = fmax(most, row->r[j] - row->below[j]);
    for (int64_t j = 0; j < n; j++)
        sum += exp(row->r[j] - row->below[j] - most);
    return most + log(fmax(sum, 1)) - log(row->sum); /* one of the terms is 1 */
}

/* P in the place of scores. */
static void weigh(struct row *row, int64_t n) {
    double lowest = 0, most = 0;
    row->sum = row->relative = 0;
    row->equal = true;
    row->loose = false;
    for (int64_t j = 0; j < n; j++) {
        double below = row->below[j] = row->max - row->p[j];
        /* Of -inf, which an infinite input gives, nothing can be off. */
        row->r[j] = isinf(below) ? 0 : row->r[j] + (4 + 2 * below) * eps;
        row->p[j] = exp(-below);
        row->equal &= below == 0;
        row->loose |= row->r[j] > 0x1p-4;
        lowest = fmax(lowest, below);
        most = fmax(most, row->r[j]);
        row->sum += row->p[j];
        row->relative += row->p[j] * row->r[j];
    }
    row->spread = lowest + 2 * most;
    row->relative = row->loose ? loose_relative(row, n) : row->relative / row->sum;
    row->relative += (double)n * eps / 2;
}

/* Half an ulp of P, relative, and the least that it is. Where all scores are so near each
 * other that every P is next to 1, whatever maximum it is relative to, none moves further
 * than to 1. */
static void grid_of(const struct row *row, double *half, double *least) {
    enum kb_dtype dtype = row->m->dtype;
    *half = dtype == KB_E4M3 ? 0x1p-4 : dtype == KB_BF16 ? 0x1p-8 : 0x1p-11;
    *least = dtype == KB_E4M3 ? 0x1p-10 : dtype == KB_BF16 ? 0 : 0x1p-25;
    if (row->equal || row->spread < *half) {
        *half = row->equal ? 0 : row->spread;
        *least = 0;
    }
}

/* Of key j of the sequence. */
static const float *value_of(const struct row *row, int64_t head, int64_t first, int64_t j,
                             float *own) {
    const struct kb_mla *m = row->m;
    int64_t kv_head = head / (m->heads / m->kv_heads);
    int64_t at = ((first + j) * m->kv_heads + kv_head) * m->v_pitch + m->v_start;
    return floats_of(row, KB_MLA_VALUE, at, KB_MLA_V, own);
}

/* What scores that are off by much do to the output. */
static void add_loose(struct row *row, int64_t head, int64_t first, int64_t n) {
    double off[KB_MLA_V] = {0}, farthest[KB_MLA_V] = {0}, least = 1;
    float own[KB_MLA_V];
    for (int64_t j = 0; j < n; j++) {
        const float *v = value_of(row, head, first, j, own);
        double both = row->r[j] + row->r[row->top], below = row->below[j];
        double more = j == row->top ? 0 : fmin(exp(both - below), 1e300) - row->p[j];
        least += j == row->top ? 0 : exp(-both - below);
        for (int d = 0; d < KB_MLA_V; d++) {
            double away = fabs((double)v[d] - row->out[d]);
            off[d] += more * away;
            farthest[d] = fmax(farthest[d], away);
        }
    }
    for (int d = 0; d < KB_MLA_V; d++)
        row->bound[d] += fmin(off[d] / least, farthest[d]);
}

static void add_up(struct row *row, int64_t head, int64_t first, int64_t n) {
    const struct kb_mla *m = row->m;
    double half, least, sums = m->dtype == KB_E4M3 ? 0x1p-13 : (double)n * eps / 2;
    double out[KB_MLA_V] = {0}, end[KB_MLA_V] = {0}, square[KB_MLA_V] = {0},
           off[KB_MLA_V] = {0}, all[KB_MLA_V] = {0};
    float own[KB_MLA_V];
    grid_of(row, &half, &least);
    for (int64_t j = 0; j < n; j++) {
        const float *v = value_of(row, head, first, j, own);
        double p = row->p[j], rounded = fmax(p * half, fmin(p, least));
        double at_end = p * half < least ? rounded : 0;
        double other = p * ((row->loose ? 0 : row->r[j]) + sums);
        for (int d = 0; d < KB_MLA_V; d++) {
            double x = (double)v[d];
            out[d] += p * x;
            end[d] += at_end * x;
            square[d] += rounded * rounded * x * x;
            all[d] += rounded * fabs(x);
            off[d] += other * fabs(x);
        }
    }
    double relative = row->loose ? (double)n * eps / 2 : row->relative;
    for (int d = 0; d < KB_MLA_V; d++) {
        double biased = half * fabs(out[d]) + fabs(end[d]), root = sqrt(square[d]);
        double rounding = fmin(biased + 4 * root, 1.25 * all[d]);
        row->out[d] = out[d] / row->sum;
        row->bound[d] =
            (rounding + off[d]) / row->sum + fabs(row->out[d]) * (relative + 2 * eps);
        row->most[d] = (fmin(2 * biased + 12 * root, 3 * all[d]) + 4 * off[d]) / row->sum +
                       4 * fabs(row->out[d]) * relative;
    }
    if (row->loose)
        add_loose(row, head, first, n);
}

/* To bf16, to nearest even. */
static float bf16(double v) {
    float x = (float)v;
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    bits = (bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000u;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* The same sums, each step rounded to bf16, in place of those above where the difference is
 * no other rounding of P, or for lse a whole ulp of bf16 and more than scores are off by.
 */
static void add_up_low(struct row *row, int64_t head, int64_t first, int64_t n,
                       bool values) {
    float sum = 0, out[KB_MLA_V] = {0}, own[KB_MLA_V];
    for (int64_t j = 0; j < n; j++) {
        sum = bf16((double)sum + row->p[j]);
        if (!values)
            continue;
        const float *v = value_of(row, head, first, j, own);
        for (int d = 0; d < KB_MLA_V; d++)
            out[d] = bf16((double)out[d] + row->p[j] * (double)v[d]);
    }
    for (int d = 0; values && d < KB_MLA_V; d++) {
        double low = (double)out[d] / (double)sum;
        if (isfinite(low) && fabs(low - row->out[d]) > row->most[d])
            row->out[d] = low;
    }
    if (fabs(log((double)sum / row->sum)) > fmax(0x1p-8, 4 * row->relative))
        row->sum = (double)sum;
}

static void row_of(struct row *row, int64_t token, int64_t head, bool values) {
    const struct kb_mla *m = row->m;
    int64_t q_start, k_start = 0;
    int b = kb_mla_sequence(m->q_lens, m->sequences, token, &q_start);
    for (int i = 0; i < b; i++)
        k_start += m->kv_lens[i];
    int64_t n = kb_mla_seen(m, token);
    row->none = n == 0;
    row->nan = false;
    if (row->none)
        return;
    score(row, token, head, k_start, n);
    weigh(row, n);
    if (values && !row->nan)
        add_up(row, head, k_start, n);
    if (row->low && !row->nan && !row->loose)
        add_up_low(row, head, k_start, n, values);
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

/* Elements of `t` into want and bound, or, with sums in bf16, into want alone. */
static void range(const struct kb_problem *p, const void *const *in, const void *prepared,
                  int t, int64_t first, int64_t count, bool low, double *want,
                  double *bound) {
    struct kb_mla m = kb_mla_of(p->c);
    struct row row = {.m = &m, .in = in, .decoded = prepared, .low = low};
    int64_t width = t == KB_MLA_LSE ? 1 : KB_MLA_V, most = longest(&m), n;
    row.p = malloc(3 * (size_t)most * sizeof *row.p);
    if (!row.p)
        kb_out_of_memory();
    row.r = row.p + most;
    row.below = row.r + most;
    for (int64_t at = first; at < first + count; at += n, want += n, bound += low ? 0 : n) {
        int64_t flat = at / width, from = at % width;
        n = width - from < first + count - at ? width - from : first + count - at;
        row_of(&row, flat / m.heads, flat % m.heads, t == KB_MLA_OUT);
        if (t == KB_MLA_LSE)
            lse_at(&row, want, bound);
        else
            out_range(&row, from, n, want, bound);
    }
    free(row.p);
}

void kb_mla_reference(const struct kb_problem *p, const void *const *in,
                      const void *prepared, int t, int64_t first, int64_t count,
                      double *want, double *bound) {
    range(p, in, prepared, t, first, count, false, want, bound);
}

bool kb_mla_low_precision(const struct kb_problem *p, const void *const *in,
                          const void *prepared, int t, int64_t first, int64_t count,
                          double *got) {
    enum { FEW = 32 }; /* keys; also in fp16 the rounding of P outweighs so few steps */
    struct kb_mla m = kb_mla_of(p->c);
    double unused[KB_MLA_V];
    if (longest(&m) < FEW)
        return false;
    range(p, in, prepared, t, first, count, true, got, unused);
    return true;
}
