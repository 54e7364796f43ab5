/* mla_kv_pack_quantize.c - op mla_kv_pack_quantize: keys and values of MLA prefill in e4m3,
 * the rope part of the key given to every head.
 *
 * Formula. Of a token t and head h, with c(x) = e4m3(float(x) * scale), the product rounded
 * to fp32 and the code to nearest even, saturating at 448, NaN to 7f:
 *     k_fp8[t][h] = c(k_nope[t][h][0 .. 127]), c(k_pe[t][0 .. 63])
 *     v_fp8[t][h] = c(v[t][h][0 .. 127])
 *     source=packed: k_nope and v are slices of one buffer, kv[t][h] = [k_nope | v], as the
 *     up-projection leaves it
 *
 * Codes are exact: one product and one rounding leave no choice.
 *
 * Cost. All tensors once. */
#include "op.h"

#include <math.h>
#include <string.h>

enum { PARAM_SCALE, PARAM_SOURCE };
enum { SEPARATE, PACKED };
enum { K_NOPE, V_IN, KV, K_PE, K_FP8, V_FP8 };
enum { NOPE = 128, PE = 64, V_DIM = 128, QK = NOPE + PE };

static bool is_packed(const struct kb_case *c) {
    return c->set[PARAM_SOURCE].v == PACKED;
}

static bool add_tensors(const struct kb_case *c, struct kb_problem *p, struct kb_err *err) {
    const struct {
        const char *name;
        int64_t width; /* of a head; 0: of a token */
        bool absent;
    } tensors[] = {
        [K_NOPE] = {"k_nope", NOPE, is_packed(c)},
        [V_IN] = {"v", V_DIM, is_packed(c)},
        [KV] = {"kv", NOPE + V_DIM, !is_packed(c)},
        [K_PE] = {"k_pe", 0, false},
        [K_FP8] = {"k_fp8", QK, false},
        [V_FP8] = {"v_fp8", V_DIM, false},
    };
    for (int t = 0; t < (int)KB_COUNT(tensors); t++) {
        int64_t shape[3] = {c->shape[0], c->shape[1], tensors[t].width};
        bool out = t >= K_FP8;
        if (t == K_PE)
            shape[1] = PE;
        if (!kb_problem_tensor(p, tensors[t].name, out ? KB_OUT : KB_IN,
                               out ? KB_E4M3 : c->dtype, t == K_PE ? 2 : 3, shape,
                               KB_RULE_EXACT, err))
            return false;
        if (tensors[t].absent)
            kb_problem_absent(p);
    }
    return true;
}

static bool resolve(const struct kb_case *c, struct kb_problem *p, struct kb_err *err) {
    float scale = (float)c->set[PARAM_SCALE].v;
    if (c->rank != 2)
        return kb_fail(err, KB_INPUT, "the shape is TOKENSxHEADS, got %d axes", c->rank);
    if (c->shape[1] < 1 || c->shape[1] > 65535)
        return kb_fail(err, KB_INPUT, "HEADS must be from 1 to 65535, got %lld",
                       (long long)c->shape[1]);
    if (!(scale > 0) || !isfinite(scale))
        return kb_fail(err, KB_INPUT, "scale must be above 0 and finite in fp32, got %g",
                       c->set[PARAM_SCALE].v);
    if (!add_tensors(c, p, err))
        return false;
    int64_t rows = c->shape[0] * c->shape[1], in = (int64_t)kb_dtype_bytes(c->dtype);
    kb_problem_name(p, "tokens", c->shape[0]);
    kb_problem_name(p, "heads", c->shape[1]);
    p->bytes = rows * ((NOPE + V_DIM) * in + QK + V_DIM) + c->shape[0] * PE * in;
    p->flops = rows * (QK + V_DIM);
    p->ceiling_pattern = "r2w1"; /* 512 bytes read for 320 written are near enough to it */
    p->ceiling_elements = p->bytes * 2 / 3 / in;
    return true;
}

static void macros(const struct kb_case *c, struct kb_arena *arena,
                   struct kb_strings *out) {
    const struct kb_macro list[] = {
        {.name = "KB_SOURCE", .value = is_packed(c)},
    };
    kb_macros_add(c, list, KB_COUNT(list), arena, out);
}

static void fill(const struct kb_problem *p, int t, uint64_t seed, int64_t first,
                 int64_t count, void *data) {
    kb_problem_fill(p, t, p->c->fill, seed, first, count, data);
}

/* ---- reference -------------------------------------------------------------------------
 */

/* Where element `i` of an output comes from. */
static uint32_t source_bits(const struct kb_problem *p, const void *const *in, int t,
                            int64_t i) {
    int64_t width = t == K_FP8 ? QK : V_DIM, row = i / width, at = i % width;
    enum kb_dtype dtype = p->c->dtype;
    if (t == K_FP8 && at >= NOPE)
        return kb_bits_at(dtype, in[K_PE], row / p->c->shape[1] * PE + at - NOPE);
    if (is_packed(p->c))
        return kb_bits_at(dtype, in[KV],
                          row * (NOPE + V_DIM) + (t == K_FP8 ? at : NOPE + at));
    return kb_bits_at(dtype, in[t == K_FP8 ? K_NOPE : V_IN],
                      row * (t == K_FP8 ? NOPE : V_DIM) + at);
}

static void reference(const struct kb_problem *p, const void *const *in,
                      const void *prepared, int t, int64_t first, int64_t count,
                      double *want, double *bound) {
    (void)prepared;
    enum { NAN_CODE = 0x7f };
    float scale = (float)p->c->set[PARAM_SCALE].v;
    for (int64_t i = 0; i < count; i++) {
        float x = (float)kb_decode(p->c->dtype, source_bits(p, in, t, first + i)) * scale;
        want[i] = isnan(x) ? NAN_CODE : (double)kb_encode(KB_E4M3, x);
        bound[i] = 0;
    }
}

static void peer_tolerance(enum kb_dtype dtype, enum kb_dtype out, double *atol,
                           double *rtol) {
    (void)dtype, (void)out;
    *atol = *rtol = 0; /* bitwise */
}

/* ---- the op ----------------------------------------------------------------------------
 */

static const struct kb_param params[] = {
    [PARAM_SCALE] = {.name = "scale",
                     .help = "what every element is multiplied by: the inverse of the "
                             "cache's scale",
                     .kind = KB_PARAM_FLOAT,
                     .max = 3e38,
                     .def = 1},
    [PARAM_SOURCE] = {.name = "source",
                      .help = "k_nope and v of their own, or packed head by head in kv",
                      .kind = KB_PARAM_WORD,
                      .words = "separate,packed"},
};

static const enum kb_fill fills[] = {
    KB_FILL_NORMAL, KB_FILL_LARGE,    KB_FILL_TINY, KB_FILL_ZEROS,
    KB_FILL_NAN,    KB_FILL_CONSTANT, KB_FILL_BITS, KB_FILL_PATTERNS,
};

static const char *const axes[] = {"tokens", "heads"};

static const struct kb_convention conventions[] = {
    {.words = "without the scale", .set = "scale=1"},
};

const struct kb_op kb_op_mla_kv_pack_quantize = {
    .name = "mla_kv_pack_quantize",
    .family = "mla_kv_pack_quantize",
    .shape_form = "TOKENSxHEADS",
    .formula = "k_fp8 = e4m3(scale * [k_nope | k_pe]), v_fp8 = e4m3(scale * v)",
    .catches = "no saturation, NaN that becomes 448, truncation for rounding, k_pe of "
               "another token or head,\npairs of codes swapped, a slice read as if it were "
               "packed",
    .sample = "3x2",
    .dtypes = {KB_BF16, KB_FP16},
    .n_dtypes = 2,
    .params = params,
    .n_params = KB_COUNT(params),
    .fills = fills,
    .n_fills = KB_COUNT(fills),
    .axes = axes,
    .n_axes = KB_COUNT(axes),
    .batch = "tokens",
    .fast_math_factor = 1,
    .resolve = resolve,
    .macros = macros,
    .fill = fill,
    .reference = reference,
    .peer_tolerance = peer_tolerance,
    .conventions = conventions,
    .n_conventions = KB_COUNT(conventions),
};
