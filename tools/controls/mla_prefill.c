/* mla_prefill.c - right kernels of mla_prefill: other orders of sums, tiles of keys with a
 * running maximum that is taken up always or only when it rises by much, probabilities
 * rounded to the input's dtype or not, natural exponents or those of 2, the keys in parts
 * that are merged, sums of 14 bits as tensor cores have them for e4m3. */
#include "controls/controls.h"

#include <math.h>
#include <string.h>

enum { QUERY, KEY, VALUE, CUM_Q, CUM_KV, OUT, LSE };
enum { QK = 192, V = 128, MOST_KEYS = 64 };
enum { FORWARD, BACKWARD, PAIRS, LANES, BITS_14 };

struct way {
    const char *name;
    int tile;      /* keys that share a maximum; 0: all */
    int parts;     /* of the keys, merged at the end; 0: one */
    int order;     /* of the sum over a key's elements */
    bool last;     /* keys from the last to the first */
    bool rounded;  /* P to the dtype, for the product with value */
    bool natural;  /* exp, not exp2 */
    bool fused;    /* the scale and the maximum in one product and sum */
    bool off;      /* exp is 2 ulp off */
    bool quotient; /* the sum divides each output, not its reciprocal */
    float stale;   /* a maximum that rises by less, in log2, is not taken up */
    float unit;    /* log2 of what P is multiplied by in e4m3 */
};

static const struct way ways[] = {
    {.name = "all at once", .quotient = true},
    {.name = "natural", .natural = true, .order = BACKWARD},
    {.name = "exp 2 ulp off", .off = true, .order = PAIRS},
    {.name = "P rounded", .rounded = true, .order = LANES},
    {.name = "P rounded, from the last", .rounded = true, .last = true, .natural = true},
    {.name = "tiles of 4", .tile = 4, .rounded = true, .fused = true},
    {.name = "tiles of 4, P times 256",
     .tile = 4,
     .rounded = true,
     .fused = true,
     .unit = 8},
    {.name = "tiles of 3 from the last", .tile = 3, .rounded = true, .last = true},
    {.name = "an old maximum", .tile = 2, .rounded = true, .fused = true, .stale = 8},
    {.name = "an old maximum, unrounded", .tile = 1, .order = PAIRS, .stale = 8},
    {.name = "two parts", .tile = 4, .parts = 2, .rounded = true, .order = LANES},
    {.name = "three parts, unrounded", .tile = 2, .parts = 3, .natural = true},
    {.name = "sums of 14 bits", .tile = 4, .rounded = true, .order = BITS_14, .unit = 8},
};

/* ---- a problem --------------------------------------------------------------------- */

struct scene {
    enum kb_dtype dtype;
    int64_t heads, kv_heads;
    bool causal;
    int lse; /* 0: none, 1: base e, 2: base 2 */
    float scale;
};

static struct scene scene_of(const struct kb_problem *p) {
    double kv_heads = kb_control_name(p, "kv_heads");

    return (struct scene){
        .dtype = p->c->dtype,
        .heads = (int64_t)kb_control_name(p, "heads"),
        .kv_heads = (int64_t)kv_heads,
        .causal = kb_control_param(p, "causal") == 0,
        .lse = (int)kb_control_param(p, "lse"),
        .scale = (float)kb_control_name(p, "softmax_scale"),
    };
}

static void load(enum kb_dtype dtype, const void *data, int64_t first, int n, float *out) {
    for (int i = 0; i < n; i++)
        out[i] = (float)kb_decode(dtype, kb_bits_at(dtype, data, first + i));
}

/* ---- sums -------------------------------------------------------------------------- */

/* To 14 bits of something whose exponent is that. */
static float cut(float v, int exponent) {
    float unit = ldexpf(1, exponent - 14);

    return truncf(v / unit) * unit;
}

/* What tensor cores may keep of e4m3: of 32 products what is less than 14 bits below the
 * largest, of the sum after them 14 bits. */
static float sum_of_32(const float *q, const float *k, float sum) {
    int largest = -200, exponent;
    double total = (double)sum;

    for (int i = 0; i < 32; i++) {
        frexpf(q[i] * k[i], &exponent);
        largest = q[i] * k[i] != 0 && exponent > largest ? exponent : largest;
    }
    for (int i = 0; i < 32 && largest > -200; i++)
        total += (double)cut(q[i] * k[i], largest);
    frexpf((float)total, &exponent);
    return isfinite(total) && total != 0 ? cut((float)total, exponent) : (float)total;
}

static float dot(int order, const float *q, const float *k) {
    float sums[32] = {0}, sum = 0;

    if (order == BITS_14)
        for (int i = 0; i < QK; i += 32)
            sum = sum_of_32(q + i, k + i, sum);
    for (int i = 0; order == FORWARD && i < QK; i++)
        sum += q[i] * k[i];
    for (int i = QK - 1; order == BACKWARD && i >= 0; i--)
        sum += q[i] * k[i];
    if (order == PAIRS || order == LANES) {
        for (int i = 0; i < QK; i++)
            sums[order == PAIRS ? i / 6 : i % 32] += q[i] * k[i];
        for (int step = 16; step > 0; step /= 2)
            for (int i = 0; i < step; i++)
                sums[i] += sums[i + step];
        sum = sums[0];
    }
    return sum;
}

/* ---- a row ------------------------------------------------------------------------- */

/* A query of a head, and the keys that it sees. */
struct row {
    const struct way *way;
    const struct scene *scene;
    int n;
    float scores[MOST_KEYS]; /* times the scale, in log2 or natural units; fused: neither */
    float scale;             /* what is left to multiply by, 1 if nothing */
    float query[QK], keys[MOST_KEYS][QK], values[MOST_KEYS][V];
};

/* Of some of the keys: sums relative to a maximum. */
struct state {
    float top, sum, o[V];
};

static float power(const struct way *way, float x) {
    float p = way->natural ? expf(x) : exp2f(x);
    uint32_t bits;

    memcpy(&bits, &x, sizeof bits);
    for (int i = 0; way->off && i < 2 && p > 0x1p-100f; i++)
        p = nextafterf(p, bits & 1 ? INFINITY : 0);
    return p;
}

/* As the product with value has it. */
static float share_of(const struct row *row, float p) {
    enum kb_dtype dtype = row->scene->dtype;

    return row->way->rounded ? (float)kb_decode(dtype, kb_encode(dtype, (double)p)) : p;
}

static void raise(const struct row *row, float above, struct state *s) {
    float keep = row->way->natural ? row->way->stale * 0.693147182f : row->way->stale;

    if (!(s->sum > 0)) {
        s->top = above;
        return;
    }
    if (!((above - s->top) * row->scale > keep))
        return;
    float fade = power(row->way, (s->top - above) * row->scale);
    s->sum *= fade;
    for (int d = 0; d < V; d++)
        s->o[d] *= fade;
    s->top = above;
}

static void add_tile(const struct row *row, int from, int to, struct state *s) {
    float unit = row->scene->dtype == KB_E4M3 ? row->way->unit : 0, above = -INFINITY;

    for (int j = from; j < to; j++)
        above = fmaxf(above, row->scores[j]);
    raise(row, above, s);
    float top = s->top == -INFINITY ? 0 : s->top; /* all scores may be -inf so far */
    float off = unit - top * row->scale;
    for (int i = 0; i < to - from; i++) {
        int j = row->way->last ? to - 1 - i : from + i;
        float p = power(row->way, row->way->fused ? row->scores[j] * row->scale + off
                                                  : row->scores[j] - top + unit);
        float share = share_of(row, p);
        s->sum += p;
        for (int d = 0; d < V; d++)
            s->o[d] += share * row->values[j][d];
    }
}

static void add_part(const struct row *row, int from, int to, struct state *s) {
    int tile = row->way->tile ? row->way->tile : to - from + 1;

    *s = (struct state){.top = -INFINITY};
    for (int at = 0; at < to - from; at += tile) {
        int n = to - from - at < tile ? to - from - at : tile;
        if (row->way->last)
            add_tile(row, to - at - n, to - at, s);
        else
            add_tile(row, from + at, from + at + n, s);
    }
}

static void merge(const struct row *row, const struct state *part, struct state *s) {
    if (part->sum == 0 || s->sum == 0) { /* no keys, or scores of -inf: o is 0 or NaN */
        for (int d = 0; d < V; d++)
            s->o[d] += part->o[d];
        s->top = part->sum == 0 ? s->top : part->top;
        s->sum += part->sum;
        return;
    }
    float top = fmaxf(s->top, part->top);
    float a = power(row->way, (s->top - top) * row->scale),
          b = power(row->way, (part->top - top) * row->scale);
    s->sum = s->sum * a + part->sum * b;
    for (int d = 0; d < V; d++)
        s->o[d] = s->o[d] * a + part->o[d] * b;
    s->top = top;
}

static float lse_of(const struct row *row, const struct state *s) {
    const float log2e = 1.44269502f, ln2 = 0.693147182f;
    float unit = row->scene->dtype == KB_E4M3 ? row->way->unit : 0;

    if (row->n == 0)
        return -INFINITY;
    if (row->way->natural) {
        float lse = s->top * row->scale + logf(s->sum);
        return row->scene->lse == 1 ? lse : lse * log2e;
    }
    float lse = s->top * row->scale + log2f(s->sum * exp2f(-unit));
    return row->scene->lse == 2 ? lse : lse * ln2;
}

static void load_row(const struct way *way, const struct kb_problem *p,
                     const void *const *in, int64_t token, int64_t head, struct row *row,
                     const struct scene *scene) {
    const int32_t *cum_q = in[CUM_Q], *cum_kv = in[CUM_KV];
    int64_t sequences = p->tensors[CUM_Q].elements - 1, b = 0;
    int64_t kv_head = head / (scene->heads / scene->kv_heads);

    while (b < sequences - 1 && token >= cum_q[b + 1])
        b++;
    int64_t n = cum_kv[b + 1] - cum_kv[b];
    int64_t seen = token - cum_q[b + 1] + n + 1;
    n = !scene->causal ? n : seen < 0 ? 0 : seen < n ? seen : n;
    row->way = way;
    row->scene = scene;
    row->n = n < MOST_KEYS ? (int)n : MOST_KEYS;
    load(scene->dtype, in[QUERY], (token * scene->heads + head) * QK, QK, row->query);
    for (int j = 0; j < row->n; j++) {
        int64_t at = (cum_kv[b] + j) * scene->kv_heads + kv_head;
        load(scene->dtype, in[KEY], at * QK, QK, row->keys[j]);
        load(scene->dtype, in[VALUE], at * V, V, row->values[j]);
    }
}

static void score(struct row *row) {
    const struct way *way = row->way;
    float scale = row->scene->scale * (way->natural ? 1 : 1.44269502f);

    row->scale = way->fused ? scale : 1;
    for (int j = 0; j < row->n; j++)
        row->scores[j] =
            dot(way->order, row->query, row->keys[j]) * (way->fused ? 1 : scale);
}

/* ---- the kernels ------------------------------------------------------------------- */

static void store(const struct kb_problem *p, const struct row *row, const struct state *s,
                  int64_t at, void *const *out) {
    enum kb_dtype dtype = p->tensors[OUT].dtype;
    float over = 1 / s->sum;

    for (int d = 0; d < V; d++) {
        float v = row->n == 0 ? 0 : row->way->quotient ? s->o[d] / s->sum : s->o[d] * over;
        kb_bits_put(dtype, out[OUT], at * V + d, kb_encode(dtype, (double)v));
    }
    if (row->scene->lse)
        ((float *)out[LSE])[at] = lse_of(row, s);
}

static bool run(const struct kb_control *control, const struct kb_problem *p,
                const void *const *in, void *const *out) {
    struct scene scene = scene_of(p);
    int64_t rows = p->tensors[OUT].elements / V;
    const struct way *way = ways;
    struct row row;

    while (!kb_streq(way->name, control->name))
        way++;
    if (way->order == BITS_14 && scene.dtype != KB_E4M3)
        return false;
    for (int64_t at = 0; at < rows; at++) {
        int parts = way->parts ? way->parts : 1;
        struct state all = {.top = -INFINITY}, part;
        load_row(way, p, in, at / scene.heads, at % scene.heads, &row, &scene);
        score(&row);
        for (int k = 0; k < parts; k++) {
            add_part(&row, row.n * k / parts, row.n * (k + 1) / parts, &part);
            merge(&row, &part, &all);
        }
        store(p, &row, &all, at, out);
    }
    return true;
}

/* In double, nothing rounded but the result. */
static void attend(const struct row *row, double *o, double *lse) {
    double scores[MOST_KEYS], top = -INFINITY, sum = 0;

    for (int j = 0; j < row->n; j++) {
        scores[j] = 0;
        for (int d = 0; d < QK; d++)
            scores[j] += (double)row->query[d] * (double)row->keys[j][d];
        scores[j] *= (double)row->scene->scale;
        top = fmax(top, scores[j]);
    }
    memset(o, 0, V * sizeof *o);
    for (int j = 0; j < row->n; j++) {
        double share = exp(scores[j] - top);
        sum += share;
        for (int d = 0; d < V; d++)
            o[d] += share * (double)row->values[j][d];
    }
    for (int d = 0; row->n > 0 && d < V; d++)
        o[d] /= sum;
    *lse = row->n > 0 ? top + log(sum) : -INFINITY;
}

static bool run_double(const struct kb_control *control, const struct kb_problem *p,
                       const void *const *in, void *const *out) {
    struct scene scene = scene_of(p);
    int64_t rows = p->tensors[OUT].elements / V;
    enum kb_dtype dtype = p->tensors[OUT].dtype;
    struct row row;

    (void)control;
    for (int64_t at = 0; at < rows; at++) {
        double o[V], lse;
        load_row(ways, p, in, at / scene.heads, at % scene.heads, &row, &scene);
        attend(&row, o, &lse);
        for (int d = 0; d < V; d++)
            kb_bits_put(dtype, out[OUT], at * V + d, kb_encode(dtype, o[d]));
        if (scene.lse)
            ((float *)out[LSE])[at] = (float)(lse * (scene.lse == 2 ? M_LOG2E : 1));
    }
    return true;
}

#define WAY(words)                                                                         \
    { .name = words, .run = run }

static const struct kb_control controls[] = {
    WAY("all at once"),
    WAY("natural"),
    WAY("exp 2 ulp off"),
    WAY("P rounded"),
    WAY("P rounded, from the last"),
    WAY("tiles of 4"),
    WAY("tiles of 4, P times 256"),
    WAY("tiles of 3 from the last"),
    WAY("an old maximum"),
    WAY("an old maximum, unrounded"),
    WAY("two parts"),
    WAY("three parts, unrounded"),
    WAY("sums of 14 bits"),
    {.name = "double", .run = run_double},
};

static const struct kb_control_case cases[] = {
    {"mla_prefill", "1x7x1", "lse=e"},
    {"mla_prefill", "2x5x1", "q_lens=1+1,kv_lens=3+2,lse=2,causal=no"},
};

const struct kb_controls KB_CONTROLS(mla_prefill) = {
    .controls = controls,
    .n_controls = KB_COUNT(controls),
    .cases = cases,
    .n_cases = KB_COUNT(cases),
};
