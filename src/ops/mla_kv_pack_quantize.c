/* mla_kv_pack_quantize.c - op mla_kv_pack_quantize: keys and values of MLA prefill in e4m3,
 * the rope part of the key given to every head.
 *
 * Formula. Of a token t and head h, with c(x) = e4m3(float(x) * scale), the product rounded
 * to fp32 and the code to nearest even, saturating at 448, NaN to 7f:
 *     k_fp8[t][h] = c(k_nope[t][h][0 .. 127]), c(k_pe[t][0 .. 63])
 *     v_fp8[t][h] = c(v[t][h][0 .. 127])
 *     source=packed: k_nope and v are slices of one buffer, kv[t][h] = [k_nope | v], as the
 *     up-projection leaves it
 * Rows may be slices of wider ones: in_pitch elements from one token of k_nope and v, or of
 * kv, to the next; pe_pitch from one of k_pe, which is the last 64 of them, as a cache of
 * [compressed | k_pe] has it; out_pitch from one of k_fp8 and of v_fp8. What lies between
 * is NaN in inputs and stays as it is in outputs.
 *
 * Codes are exact: one product and one rounding leave no choice.
 *
 * Cost. All tensors once. */
#include "op.h"

#include <math.h>
#include <string.h>

enum { PARAM_SCALE, PARAM_SOURCE, PARAM_IN_PITCH, PARAM_PE_PITCH, PARAM_OUT_PITCH };
enum { SEPARATE, PACKED };
enum { K_NOPE, V_IN, KV, K_PE, K_FP8, V_FP8, TENSORS };
enum { NOPE = 128, PE = 64, V_DIM = 128, QK = NOPE + PE };

static bool is_packed(const struct kb_case *c) {
    return c->set[PARAM_SOURCE].v == PACKED;
}

/* ---- rows ------------------------------------------------------------------------------
 * A token of a tensor: `width` elements of `heads` heads (1: of the token) from `start` on,
 * `pitch` to the next one. */

struct rows {
    int64_t heads, width, start, pitch;
};

static struct rows rows_of(const struct kb_case *c, int t) {
    static const struct {
        int64_t width; /* of a head, but of K_PE */
        int pitch;
    } tensors[TENSORS] = {
        [K_NOPE] = {NOPE, PARAM_IN_PITCH},     [V_IN] = {V_DIM, PARAM_IN_PITCH},
        [KV] = {NOPE + V_DIM, PARAM_IN_PITCH}, [K_PE] = {PE, PARAM_PE_PITCH},
        [K_FP8] = {QK, PARAM_OUT_PITCH},       [V_FP8] = {V_DIM, PARAM_OUT_PITCH},
    };
    struct rows r = {
        .heads = t == K_PE ? 1 : c->shape[1],
        .width = tensors[t].width,
        .pitch = (int64_t)c->set[tensors[t].pitch].v,
    };
    if (!r.pitch)
        r.pitch = r.heads * r.width;
    if (t == K_PE)
        r.start = r.pitch - PE;
    return r;
}

static bool check_pitches(const struct kb_case *c, struct kb_err *err) {
    const int widest[] = {is_packed(c) ? KV : K_NOPE, K_PE, K_FP8};
    for (int i = 0; i < (int)KB_COUNT(widest); i++) {
        struct rows r = rows_of(c, widest[i]);
        if (r.pitch < r.heads * r.width)
            return kb_fail(err, KB_INPUT, "%s %lld is less than a token's %lld elements",
                           c->op->params[PARAM_IN_PITCH + i].name, (long long)r.pitch,
                           (long long)(r.heads * r.width));
    }
    return true;
}

/* ---- the problem -----------------------------------------------------------------------
 */

static bool add_tensors(const struct kb_case *c, struct kb_problem *p, struct kb_err *err) {
    static const char *const names[] = {"k_nope", "v", "kv", "k_pe", "k_fp8", "v_fp8"};
    for (int t = 0; t < TENSORS; t++) {
        struct rows r = rows_of(c, t);
        bool out = t >= K_FP8, wide = r.pitch != r.heads * r.width || t == K_PE;
        int64_t shape[3] = {c->shape[0], wide ? r.pitch : r.heads, r.width};
        if (!kb_problem_tensor(p, names[t], out ? KB_OUT : KB_IN, out ? KB_E4M3 : c->dtype,
                               wide ? 2 : 3, shape, KB_RULE_EXACT, err))
            return false;
        if (is_packed(c) ? t <= V_IN : t == KV)
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
    if (!check_pitches(c, err) || !add_tensors(c, p, err))
        return false;
    int64_t rows = c->shape[0] * c->shape[1], in = (int64_t)kb_dtype_bytes(c->dtype);
    kb_problem_name(p, "tokens", c->shape[0]);
    kb_problem_name(p, "heads", c->shape[1]);
    kb_problem_means(p, "in_pitch", rows_of(c, is_packed(c) ? KV : K_NOPE).pitch);
    kb_problem_means(p, "pe_pitch", rows_of(c, K_PE).pitch);
    kb_problem_name(p, "k_pitch", rows_of(c, K_FP8).pitch);
    kb_problem_name(p, "v_pitch", rows_of(c, V_FP8).pitch);
    int64_t read = rows * (NOPE + V_DIM) * in + c->shape[0] * PE * in;
    int64_t written = rows * (QK + V_DIM);
    p->bytes = read + written;
    p->flops = rows * (QK + V_DIM);
    kb_problem_moves(p, read, written);
    return true;
}

static void macros(const struct kb_case *c, struct kb_arena *arena,
                   struct kb_strings *out) {
    const struct kb_macro list[] = {
        {.name = "KB_SOURCE", .value = is_packed(c)},
    };
    kb_macros_add(c, list, KB_COUNT(list), arena, out);
}

static bool is_between(const struct rows *r, int64_t i) {
    int64_t at = i % r->pitch;
    return at < r->start || at >= r->start + r->heads * r->width;
}

static void fill(const struct kb_problem *p, int t, uint64_t seed, int64_t first,
                 int64_t count, void *data) {
    struct rows r = rows_of(p->c, t);
    kb_problem_fill(p, t, p->c->fill, seed, first, count, data);
    for (int64_t i = 0; r.pitch > r.heads * r.width && i < count; i++)
        if (is_between(&r, first + i))
            kb_bits_put(p->c->dtype, data, i, kb_encode(p->c->dtype, NAN));
}

/* ---- reference -------------------------------------------------------------------------
 */

/* Where element `i` of an output comes from: a tensor, and the place in it. */
static int source_of(const struct kb_case *c, int t, int64_t i, int64_t *place) {
    struct rows out = rows_of(c, t);
    int64_t token = i / out.pitch, head = i % out.pitch / out.width,
            at = i % out.pitch % out.width;
    int from = is_packed(c) ? KV : t == K_FP8 ? K_NOPE : V_IN;
    if (t == K_FP8 && at >= NOPE) {
        from = K_PE;
        head = 0;
        at -= NOPE;
    } else if (t == V_FP8 && is_packed(c)) {
        at += NOPE;
    }
    struct rows in = rows_of(c, from);
    *place = token * in.pitch + in.start + head * in.width + at;
    return from;
}

static double source_value(const struct kb_problem *p, const void *const *in, int t,
                           int64_t i) {
    int64_t place;
    int from = source_of(p->c, t, i, &place);
    return kb_decode(p->c->dtype, kb_bits_at(p->c->dtype, in[from], place));
}

static void reference(const struct kb_problem *p, const void *const *in,
                      const void *prepared, int t, int64_t first, int64_t count,
                      double *want, double *bound) {
    (void)prepared;
    enum { NAN_CODE = 0x7f };
    struct rows out = rows_of(p->c, t);
    float scale = (float)p->c->set[PARAM_SCALE].v;
    for (int64_t i = 0; i < count; i++) {
        want[i] = NAN;
        bound[i] = KB_KEEP;
        if (is_between(&out, first + i))
            continue;
        float x = (float)source_value(p, in, t, first + i) * scale;
        want[i] = isnan(x) ? NAN_CODE : (double)kb_encode(KB_E4M3, x);
        bound[i] = 0;
    }
}

static int sources(const struct kb_problem *p, const void *const *in, int t, int64_t i,
                   struct kb_source *out) {
    struct rows r = rows_of(p->c, t);
    if (is_between(&r, i))
        return 0;
    *out = (struct kb_source){"its element", p->c->dtype, source_value(p, in, t, i)};
    return 1;
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
    [PARAM_IN_PITCH] = {.name = "in_pitch",
                        .help = "elements from one token of k_nope and v, or of kv, to the "
                                "next;\n0: as many as its heads have",
                        .kind = KB_PARAM_INT,
                        .max = INT32_MAX},
    [PARAM_PE_PITCH] = {.name = "pe_pitch",
                        .help = "the same of k_pe, the last 64 of them; 0: 64",
                        .kind = KB_PARAM_INT,
                        .max = INT32_MAX},
    [PARAM_OUT_PITCH] = {.name = "out_pitch",
                         .help = "the same of k_fp8 and of v_fp8",
                         .kind = KB_PARAM_INT,
                         .max = INT32_MAX},
};

static const enum kb_fill fills[] = {
    KB_FILL_NORMAL, KB_FILL_LARGE,    KB_FILL_TINY, KB_FILL_ZEROS,
    KB_FILL_NAN,    KB_FILL_CONSTANT, KB_FILL_BITS, KB_FILL_PATTERNS,
};

static const char *const axes[] = {"tokens", "heads"};

static const struct kb_convention conventions[] = {
    {.words = "without the scale", .set = "scale=1"},
    {.words = "rows without their pitch", .set = "in_pitch=0"},
    {.words = "k_pe without its pitch", .set = "pe_pitch=0"},
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
    .sources = sources,
    .peer_tolerance = peer_tolerance,
    .conventions = conventions,
    .n_conventions = KB_COUNT(conventions),
};
