/* mla_kv_pack_quantize.c - right kernels of mla_kv_pack_quantize: codes by a conversion,
 * and by the nearest of all that there are. */
#include "controls/controls.h"

#include <math.h>
#include <string.h>

enum { K_NOPE, V_IN, KV, K_PE, K_FP8, V_FP8 };
enum { NOPE = 128, PE = 64, V_DIM = 128, QK = NOPE + PE, SIGN = 0x80, NAN_CODE = 0x7f };

static uint32_t converted(float x) {
    return isnan(x) ? NAN_CODE : kb_encode(KB_E4M3, (double)x);
}

/* Codes rise with their values: the first that is nearer than its successor; of two as near
 * the even one. */
static uint32_t nearest(float x) {
    uint32_t sign = signbit(x) ? SIGN : 0, code = 0;
    double size = fabs((double)x);

    if (isnan(x))
        return NAN_CODE;
    while (code < NAN_CODE - 1) {
        double here = size - kb_decode(KB_E4M3, code),
               next = kb_decode(KB_E4M3, code + 1) - size;
        if (here < next || (here == next && code % 2 == 0))
            break;
        code++;
    }
    return code | sign;
}

static const struct {
    const char *name;
    uint32_t (*code)(float x);
} ways[] = {{"converted", converted}, {"the nearest", nearest}};

/* Element d of the key, or of the value, of a token and head. */
static float element(const struct kb_problem *p, const void *const *in, int64_t token,
                     int64_t head, int d, bool key) {
    int64_t pitch = (int64_t)kb_control_name(p, "in_pitch"),
            pe_pitch = (int64_t)kb_control_name(p, "pe_pitch");
    bool packed = kb_control_param(p, "source") != 0;
    int t = packed ? KV : key ? K_NOPE : V_IN;
    int64_t at = token * pitch + head * (packed ? NOPE + V_DIM : NOPE) + d;

    if (packed && !key)
        at += NOPE;
    if (key && d >= NOPE) {
        t = K_PE;
        at = (token + 1) * pe_pitch - PE + d - NOPE;
    }
    return (float)kb_decode(p->c->dtype, kb_bits_at(p->c->dtype, in[t], at));
}

static bool run(const struct kb_control *control, const struct kb_problem *p,
                const void *const *in, void *const *out) {
    int64_t tokens = (int64_t)kb_control_name(p, "tokens"),
            heads = (int64_t)kb_control_name(p, "heads"),
            key_pitch = (int64_t)kb_control_name(p, "k_pitch"),
            value_pitch = (int64_t)kb_control_name(p, "v_pitch");
    float scale = (float)kb_control_param(p, "scale");
    int k = 0;

    while (!kb_streq(ways[k].name, control->name))
        k++;
    for (int64_t i = 0; i < tokens * heads * (QK + V_DIM); i++) {
        int64_t token = i / (QK + V_DIM) / heads, head = i / (QK + V_DIM) % heads;
        int d = (int)(i % (QK + V_DIM));
        bool key = d < QK;
        uint32_t code =
            ways[k].code(element(p, in, token, head, key ? d : d - QK, key) * scale);
        int64_t at = key ? token * key_pitch + head * QK + d
                         : token * value_pitch + head * V_DIM + d - QK;
        kb_bits_put(KB_E4M3, out[key ? K_FP8 : V_FP8], at, code);
    }
    return true;
}

static const struct kb_control controls[] = {
    {.name = "converted", .run = run},
    {.name = "the nearest", .run = run},
};

static const struct kb_control_case cases[] = {
    {"mla_kv_pack_quantize", "2x2", ""},
    {"mla_kv_pack_quantize", "2x1", "source=packed,scale=0.37,in_pitch=257,pe_pitch=576"},
};

const struct kb_controls KB_CONTROLS(mla_kv_pack_quantize) = {
    .controls = controls,
    .n_controls = KB_COUNT(controls),
    .cases = cases,
    .n_cases = KB_COUNT(cases),
};
