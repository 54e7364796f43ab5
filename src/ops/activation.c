/* activation.c - ops silu, gelu and gelu_tanh: the gated half of an MLP, act(gate) * up.
 *
 * Formula. A row of the input is [gate | up], H elements each. With x = gate, u = up:
 *     silu       act(x) = x / (1 + exp(-x))
 *     gelu       act(x) = x / 2 * (1 + erf(x / sqrt 2))
 *     gelu_tanh  act(x) = x / 2 * (1 + tanh z),  z = sqrt(2 / pi) * (x + 0.044715 x^3)
 *     round=once    out = R(act(x) * u)         one rounding to the dtype, at the end
 *     round=act     out = R(R(act(x)) * u)      act(x) is rounded too; in fp32 the same
 * x is -inf: NaN, in all three, since the formula has -inf * 0 or -inf / inf there.
 *
 * Reference. The same in double, in forms that do not cancel where 1 + erf and 1 + tanh
 * do: gelu as x / 2 * erfc(-x / sqrt 2), gelu_tanh as x / (1 + exp(-2z)). A 16-bit dtype
 * has 65536 gates, so that a large tensor's activations come from a table of them.
 *
 * Bound. `want` is not rounded, and half an ulp of the dtype is free. What is left is what
 * a kernel that follows the formula in fp32 may be off by, with e = 2^-24, the relative
 * error of one rounding, and a = act(x). No term is less than its steps cost at worst, most
 * are twice that, and steps seldom all go one way: right kernels take up to a third of the
 * bound, two thirds where erf or tanh is a full 2 ulp off (activation_bound_test.c, on a
 * CPU's expf, erff and tanhf).
 *   silu       |a| e (8 + (4 + 4|x|) q), with q = exp(-x) / (1 + exp(-x)), the share of 1 +
 *              exp(-x) that comes from exp: 2 ulp of exp, and |x| e from scaling its
 *              argument to a power of two; 8 for the sum, the quotient and a product.
 *   gelu       |x| 2e + |a| 6e: 1 + erf(x) cancels for x < 0, where 2 ulp of erf near -1
 *              are 2^-23 of 1; the rest as above, and the rounded argument of erf hides
 *              behind the first term.
 *   gelu_tanh  |x| 2e + |a| e (6 + 8 |2z| q), with q for exp(-2z): the cancellation of 1 +
 *              tanh(z), and six roundings in z, which count |2z| q times in a.
 *   all        2^-148: fp32 holds a below 2^-126 in steps of 2^-149, which |u| may lift to
 *              where the dtype sees them.
 *   silu < -87.3   4 |a|: 1 + exp(-x) is beyond 2^126, its reciprocal a subnormal that a
 *              fast division flushes; from -88.72 on it is infinite and a kernel's a is -0.
 *   round=act  in place of all that, three times what R(a) moves when a is off by it:
 *              nothing unless a midpoint of the dtype's grid is that near, else the step to
 *              the next number. fast_math_factor multiplies the bound after the fact, when
 *              the error of a is larger and so a midpoint is near more often: where only
 *              the larger error reaches one, the step divided by the factor counts.
 * Times |u|; then the product, |want| 2e, and 2^-148 once more, as it may be subnormal.
 *
 * An infinite u shows whether a is 0 in fp32: 0 * inf is NaN. Where |a| is below 2^-152,
 * it is, whatever the form of the kernel. Where a lies within its own error of 0, forms
 * differ (erf has reached -1 and erfc has not), and the bound is infinite: not judged. */
#include "op.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* KB_ACT and KB_ROUND in kernels. */
enum { SILU, GELU, GELU_TANH };
enum { ONCE, ACT };

enum { PARAM_ROUND };
enum half { GATE, UP };
enum { INPUT, OUT };

enum {
    PATTERNS = 65536, /* of a 16-bit dtype */
    TABLE_PAYS = PATTERNS,
    CHUNK = 256,
    PARALLEL = 65536,
    FAST_MATH = 8, /* how much larger the bound is in a fast-math build */
};

static const double eps = 0x1p-24;         /* one rounding in fp32, relative */
static const double steps = 0x1p-148;      /* two subnormal steps of fp32 */
static const double nothing = 0x1p-152;    /* too small for any fp32 kernel to see */
static const double normal_min = 0x1p-126; /* of fp32 */

/* What multiplies up, and how far a right kernel's may be from it. */
struct factor {
    double value, err;
};

struct job {
    int act, round;
    enum kb_dtype dtype;
};

static struct job job_of(const struct kb_case *c) {
    return (struct job){
        .act = c->op->variant,
        .round = (int)c->set[PARAM_ROUND].v,
        .dtype = c->dtype,
    };
}

/* ---- reference and bound ---------------------------------------------------------------
 */

static struct factor silu(double x) {
    double sigmoid = 1 / (1 + exp(-x)), a = x * sigmoid;
    double err = fabs(a) * eps * (8 + (4 + 4 * fabs(x)) * (1 - sigmoid)) + steps;
    if (sigmoid < normal_min)
        err = 4 * fabs(a) + steps;
    return (struct factor){a, err};
}

static struct factor gelu(double x) {
    double a = x * 0.5 * erfc(-x * M_SQRT1_2);
    return (struct factor){a, fabs(x) * 2 * eps + fabs(a) * 6 * eps + steps};
}

static struct factor gelu_tanh(double x) {
    double z2 = 2 * M_2_SQRTPI * M_SQRT1_2 * (x + 0.044715 * x * x * x);
    double sigmoid = 1 / (1 + exp(-z2)), a = x * sigmoid;
    double relative = 6 + 8 * fabs(z2) * (1 - sigmoid);
    return (struct factor){a, fabs(x) * 2 * eps + fabs(a) * eps * relative + steps};
}

static struct factor activate(int act, double x) {
    return act == SILU ? silu(x) : act == GELU ? gelu(x) : gelu_tanh(x);
}

static double round_to(enum kb_dtype dtype, double v) {
    return kb_decode(dtype, kb_encode(dtype, v));
}

/* How far the rounded value moves when `a` is off by `err`. */
static double step_of(enum kb_dtype dtype, double a, double err) {
    double rounded = round_to(dtype, a);
    double down = rounded - round_to(dtype, a - err);
    double up = round_to(dtype, a + err) - rounded;
    return fmax(down, up);
}

static struct factor factor_of(const struct job *job, double x) {
    struct factor f = activate(job->act, x);
    if (job->round == ONCE || job->dtype == KB_FP32)
        return f;
    double step = step_of(job->dtype, f.value, f.err);
    double far_step = step_of(job->dtype, f.value, f.err * FAST_MATH);
    return (struct factor){
        .value = round_to(job->dtype, f.value),
        .err = 3 * fmax(step, far_step / FAST_MATH),
    };
}

/* The bound of a NaN or an infinity. */
static double kind_bound(const struct job *job, double x, double u, double *want) {
    double a = activate(job->act, x).value;
    struct factor f = factor_of(job, x);
    if (!isinf(u) || !isfinite(a))
        return 0;
    if (fabs(a) < nothing) {
        *want = NAN;
        return 0;
    }
    return f.err > 0 && fabs(f.value) <= f.err ? INFINITY : 0;
}

static void multiply(const struct factor *f, const double *u, int64_t n, double *want,
                     double *bound) {
    for (int64_t i = 0; i < n; i++) {
        want[i] = f[i].value * u[i];
        bound[i] = f[i].err * fabs(u[i]) + fabs(want[i]) * 2 * eps + steps;
    }
}

/* Where a half of a row starts in the flat input. */
static int64_t half_start(int64_t row, int64_t hidden, enum half half) {
    return (2 * row + (half == UP)) * hidden;
}

/* The factors of `n` gates from element `gate` of the input on. */
static void factors_at(const struct job *job, const void *input, int64_t gate, int64_t n,
                       const struct factor *table, struct factor out[CHUNK]) {
    if (table) {
        uint16_t patterns[CHUNK];
        memcpy(patterns, (const char *)input + 2 * gate, (size_t)n * sizeof *patterns);
        for (int64_t i = 0; i < n; i++)
            out[i] = table[patterns[i]];
        return;
    }
    double x[CHUNK];
    kb_decode_range(job->dtype, input, gate, n, x);
    for (int64_t i = 0; i < n; i++)
        out[i] = factor_of(job, x[i]);
}

static int64_t hidden_of(const struct kb_problem *p) {
    const struct kb_tensor_spec *out = &p->tensors[OUT];
    return out->shape[out->rank - 1];
}

static void reference(const struct kb_problem *p, const void *const *in,
                      const void *prepared, int t, int64_t first, int64_t count,
                      double *want, double *bound) {
    (void)t; /* there is one output */
    struct job job = job_of(p->c);
    struct factor factors[CHUNK];
    double u[CHUNK];
    int64_t hidden = hidden_of(p), n;
    for (int64_t done = 0; done < count; done += n, want += n, bound += n) {
        int64_t row = (first + done) / hidden, col = (first + done) % hidden;
        int64_t gate = half_start(row, hidden, GATE) + col;
        n = hidden - col < count - done ? hidden - col : count - done;
        n = n < CHUNK ? n : CHUNK;
        factors_at(&job, in[INPUT], gate, n, prepared, factors);
        kb_decode_range(job.dtype, in[INPUT], half_start(row, hidden, UP) + col, n, u);
        multiply(factors, u, n, want, bound);
        for (int64_t i = 0; i < n; i++) {
            if (isfinite(want[i]))
                continue;
            uint32_t x = kb_bits_at(job.dtype, in[INPUT], gate + i);
            bound[i] = kind_bound(&job, kb_decode(job.dtype, x), u[i], &want[i]);
        }
    }
}

/* The factors of all gates of a 16-bit dtype, where there are enough elements to pay for
 * them. The same function makes them, so the results are the same without. */
static void *prepare(const struct kb_problem *p, const void *const *in) {
    (void)in;
    struct job job = job_of(p->c);
    if (job.dtype == KB_FP32 || p->tensors[OUT].elements < TABLE_PAYS)
        return NULL;
    struct factor *table = malloc(PATTERNS * sizeof *table);
    for (uint32_t x = 0; table && x < PATTERNS; x++)
        table[x] = factor_of(&job, kb_decode(job.dtype, x));
    return table;
}

/* The peers' own: their tests compare at these for any shape and any fill. */
static void peer_tolerance(enum kb_dtype dtype, double *atol, double *rtol) {
    *atol = *rtol = dtype == KB_FP32 ? 1e-4 : 1e-2;
}

/* ---- the problem -----------------------------------------------------------------------
 */

static bool resolve(const struct kb_case *c, struct kb_problem *p, struct kb_err *err) {
    static const int flops[] = {[SILU] = 5, [GELU] = 6, [GELU_TANH] = 10};
    int axis = c->rank - 1;
    int64_t width = c->shape[axis], hidden = width / 2, out_shape[KB_MAX_RANK];
    if (width % 2)
        return kb_fail(err, KB_INPUT, "the last axis is 2*HIDDEN, %lld is odd",
                       (long long)width);
    if (!hidden)
        return kb_fail(err, KB_INPUT,
                       "the last axis is 2*HIDDEN, HIDDEN must be at least 1, got 0");
    memcpy(out_shape, c->shape, sizeof out_shape);
    out_shape[axis] = hidden;
    if (!kb_problem_tensor(p, "input", KB_IN, c->dtype, c->rank, c->shape, KB_RULE_BOUND,
                           err) ||
        !kb_problem_tensor(p, "out", KB_OUT, c->dtype, c->rank, out_shape, KB_RULE_BOUND,
                           err))
        return false;
    int64_t outputs = p->tensors[OUT].elements;
    kb_problem_name(p, "tokens", outputs / hidden);
    kb_problem_name(p, "hidden", hidden);
    p->bytes = 3 * outputs * (int64_t)kb_dtype_bytes(c->dtype);
    p->flops = flops[c->op->variant] * outputs;
    p->ceiling_pattern = "r2w1";
    p->ceiling_elements = p->tensors[INPUT].elements;
    return true;
}

static bool shape_of_axes(const int64_t *values, int64_t shape[KB_MAX_RANK], int *rank) {
    shape[0] = values[0];
    *rank = 2;
    return kb_mul_i64(values[1], 2, &shape[1]);
}

static void add_macro(struct kb_arena *arena, struct kb_strings *out, const char *name,
                      const char *value) {
    kb_strings_add(out, arena, name);
    kb_strings_add(out, arena, value);
}

static void macros(const struct kb_case *c, struct kb_arena *arena,
                   struct kb_strings *out) {
    struct job job = job_of(c);
    add_macro(arena, out, "KB_T", kb_dtype_cxx(job.dtype));
    add_macro(arena, out, "KB_ACT", kb_arena_printf(arena, "%d", job.act));
    add_macro(arena, out, "KB_ROUND", kb_arena_printf(arena, "%d", job.round));
}

/* ---- fills -----------------------------------------------------------------------------
 * Each half is a tensor of its own to the generator, [tokens, hidden]: a constant row has
 * two constants, or swapped halves would not show, and `patterns` runs through the gates
 * while the ups are normal, so that 65536 outputs prove act() for a 16-bit dtype. */

/* With zeros in both halves, or numbers so small that their product is zero, a kernel that
 * writes zeros is right. So one of the two is normal, in every combination by turns, and
 * against a tiny number a large one that brings the product back to about 1: there a
 * flushed subnormal shows. Bit k: the fill holds where (row + column) % 4 is k. */
static bool is_mixed(enum kb_fill fill) {
    return fill == KB_FILL_ZEROS || fill == KB_FILL_TINY;
}

static bool holds(enum kb_fill fill, enum half half, int64_t place) {
    static const unsigned zeros[] = {[GATE] = 0x5, [UP] = 0x6};
    static const unsigned tiny[] = {[GATE] = 0x5, [UP] = 0xa};
    return (fill == KB_FILL_ZEROS ? zeros : tiny)[half] >> place % 4 & 1;
}

static void mix_normal(struct kb_fill_key key, enum kb_dtype dtype, enum half half,
                       int64_t row, int64_t col, int64_t n, void *data) {
    enum kb_fill fill = key.fill;
    double scale = fill == KB_FILL_ZEROS ? 1 : dtype == KB_FP16 ? 0x1p12 : 0x1p124;
    double normal[CHUNK];
    uint32_t elements[CHUNK]; /* as wide as any dtype */
    key.fill = KB_FILL_NORMAL;
    for (int64_t done = 0; done < n; done += CHUNK) {
        int64_t count = n - done < CHUNK ? n - done : CHUNK;
        kb_fill_range(&key, dtype, row * key.row + col + done, count, elements);
        kb_decode_range(dtype, elements, 0, count, normal);
        for (int64_t i = 0; i < count; i++)
            if (!holds(fill, half, row + col + done + i))
                kb_bits_put(dtype, data, done + i, kb_encode(dtype, normal[i] * scale));
    }
}

static void fill_half(const struct kb_problem *p, uint64_t seed, enum half half,
                      int64_t row, int64_t col, int64_t n, void *data) {
    enum kb_dtype dtype = p->c->dtype;
    enum kb_fill fill = p->c->fill;
    const struct kb_fill_key key = {
        .seed = seed,
        .tensor = half == UP ? "up" : "gate",
        .fill = fill == KB_FILL_PATTERNS && half == UP ? KB_FILL_NORMAL : fill,
        .row = hidden_of(p),
    };
    kb_fill_range(&key, dtype, row * key.row + col, n, data);
    if (is_mixed(fill))
        mix_normal(key, dtype, half, row, col, n, data);
}

static void fill(const struct kb_problem *p, int t, uint64_t seed, int64_t first,
                 int64_t count, void *data) {
    (void)t; /* there is one input */
    if (!count)
        return;
    int64_t hidden = hidden_of(p), end = first + count;
    int64_t from = first / hidden, to = (end - 1) / hidden;
#pragma omp parallel for schedule(static) if (count > PARALLEL)
    for (int64_t part = from; part <= to; part++) {
        int64_t start = part == from ? first : part * hidden;
        int64_t stop = part == to ? end : (part + 1) * hidden;
        char *at =
            (char *)data + (size_t)(start - first) * kb_dtype_bytes(p->tensors[t].dtype);
        fill_half(p, seed, part % 2 ? UP : GATE, part / 2, start % hidden, stop - start,
                  at);
    }
}

/* ---- the ops ---------------------------------------------------------------------------
 */

static const struct kb_param params[] = {
    [PARAM_ROUND] =
        {
            .name = "round",
            .help = "round once at the end, or act(gate) to the dtype as well",
            .kind = KB_PARAM_WORD,
            .words = "once,act",
            .def = ONCE,
        },
};

static const enum kb_fill fills[] = {
    KB_FILL_NORMAL,   KB_FILL_LARGE, KB_FILL_OUTLIERS, KB_FILL_TINY,     KB_FILL_ZEROS,
    KB_FILL_CONSTANT, KB_FILL_NAN,   KB_FILL_BITS,     KB_FILL_PATTERNS,
};

static const char *const axes[] = {"tokens", "hidden"};

#define ALIKE                                                                              \
    .family = "activation", .shape_form = "TOKENSx2*HIDDEN", .sample = "7x16",             \
    .dtypes = {KB_BF16, KB_FP16, KB_FP32}, .n_dtypes = 3, .params = params,                \
    .n_params = KB_COUNT(params), .fills = fills, .n_fills = KB_COUNT(fills),              \
    .axes = axes, .n_axes = KB_COUNT(axes), .shape_of_axes = shape_of_axes,                \
    .fast_math_factor = FAST_MATH, .resolve = resolve, .macros = macros, .fill = fill,     \
    .reference = reference, .prepare = prepare, .peer_tolerance = peer_tolerance

const struct kb_op kb_op_silu = {
    .name = "silu",
    .formula = "out = x / (1 + exp(-x)) * up, x = gate",
    .catches = "halves swapped, tails unwritten, act(x) rounded before the product, exp\n"
               "overflowing below -88, subnormals flushed",
    .variant = SILU,
    ALIKE,
};

const struct kb_op kb_op_gelu = {
    .name = "gelu",
    .formula = "out = x / 2 * (1 + erf(x / sqrt 2)) * up, x = gate",
    .catches = "the tanh form or x * sigmoid(1.702 x) for erf, halves swapped, tails\n"
               "unwritten, act(x) rounded before the product",
    .variant = GELU,
    ALIKE,
};

const struct kb_op kb_op_gelu_tanh = {
    .name = "gelu_tanh",
    .formula = "out = x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3))) * up, x = gate",
    .catches =
        "the erf form, a wrong digit of 0.044715, an approximate tanh where 1 + tanh\n"
        "cancels, halves swapped, tails unwritten, act(x) rounded before the product",
    .variant = GELU_TANH,
    ALIKE,
};
