/* qknorm_rope_yarn.c - a case of qknorm_rope spelt out, its YaRN derived, and where the two
 * elements of a pair are. The formulas are in qknorm_rope.c. */
#include "ops/qknorm_rope.h"

#include <math.h>

static double number(const struct kb_case *c, int param) {
    return c->set[param].v;
}

/* ---- YaRN ------------------------------------------------------------------------------
 */

/* The pair that turns `rotations` times over the original positions. */
static double pair_of(const struct kb_case *c, int rotary_dim, double rotations) {
    double original = number(c, KB_QKR_P_ORIGINAL), base = number(c, KB_QKR_P_BASE);
    return rotary_dim * log(original / (rotations * 2 * M_PI)) / (2 * log(base));
}

static double magnitude(double factor, double mscale) {
    return factor <= 1 ? 1 : 0.1 * mscale * log(factor) + 1;
}

static void derive(const struct kb_case *c, struct kb_qkr *q) {
    double mscale = number(c, KB_QKR_P_MSCALE), all = number(c, KB_QKR_P_MSCALE_ALL);
    q->low = pair_of(c, q->rotary_dim, number(c, KB_QKR_P_BETA_FAST));
    q->high = pair_of(c, q->rotary_dim, number(c, KB_QKR_P_BETA_SLOW));
    if (number(c, KB_QKR_P_TRUNCATE) == 0) {
        q->low = floor(q->low);
        q->high = ceil(q->high);
    }
    q->low = fmax(q->low, 0);
    q->high = fmin(q->high, q->rotary_dim - 1);
    if (number(c, KB_QKR_P_MAX_POSITION) > 0)
        q->factor = number(c, KB_QKR_P_MAX_POSITION) / number(c, KB_QKR_P_ORIGINAL);
    q->scale = mscale > 0 && all > 0
                   ? magnitude(q->factor, mscale) / magnitude(q->factor, all)
                   : magnitude(q->factor, 1);
}

double kb_qkr_upper(const struct kb_qkr *q) {
    return fabs(q->low - q->high) <= 1e-6 ? q->high + 0.001 : q->high;
}

double kb_qkr_frequency(const struct kb_qkr *q, int k) {
    double frequency = pow(q->base, -2.0 * k / q->rotary_dim);
    if (q->factor == 1)
        return frequency;
    double ramp = fmin(fmax((k - q->low) / (kb_qkr_upper(q) - q->low), 0), 1);
    return frequency * ((1 - ramp) + ramp / q->factor);
}

/* ---- a case, spelt out -----------------------------------------------------------------
 */

enum { RANDOM_BELOW = 32768 };

struct kb_qkr kb_qkr_of(const struct kb_case *c) {
    struct kb_qkr q = {
        .dtype = c->dtype,
        .tokens = c->shape[0],
        .heads = c->shape[1],
        .kv_heads = c->shape[2],
        .head_dim = (int)c->shape[3],
        .rotary_dim = (int)number(c, KB_QKR_P_ROTARY_DIM),
        .style = (int)number(c, KB_QKR_P_STYLE),
        .round = (int)number(c, KB_QKR_P_ROUND),
        .table = (int)number(c, KB_QKR_P_TABLE),
        .angle = (int)number(c, KB_QKR_P_ANGLE),
        .weights = (int)number(c, KB_QKR_P_WEIGHTS),
        .positions = (int)number(c, KB_QKR_P_POSITIONS),
        .position = (int64_t)number(c, KB_QKR_P_POSITION),
        .eps = (float)number(c, KB_QKR_P_EPS),
        .base = (float)number(c, KB_QKR_P_BASE),
        .factor = number(c, KB_QKR_P_FACTOR),
        .low = number(c, KB_QKR_P_LOW),
        .high = number(c, KB_QKR_P_HIGH),
        .scale = 1,
        .width = (c->shape[1] + 2 * c->shape[2]) * c->shape[3],
        .row = (int64_t)number(c, KB_QKR_P_PITCH),
    };
    if (!q.row)
        q.row = q.width;
    if (!q.rotary_dim)
        q.rotary_dim = q.head_dim;
    if (q.positions == KB_POS_RANDOM && !q.position)
        q.position = RANDOM_BELOW;
    if (number(c, KB_QKR_P_ORIGINAL) > 0)
        derive(c, &q);
    if (number(c, KB_QKR_P_ATTENTION) > 0)
        q.scale = number(c, KB_QKR_P_ATTENTION);
    /* Kernels take all of them as floats. */
    q.factor = (float)q.factor;
    q.low = (float)q.low;
    q.high = (float)q.high;
    q.scale = (float)q.scale;
    return q;
}

int kb_qkr_partner(const struct kb_qkr *q, int i, int *pair, bool *first) {
    int half = q->rotary_dim / 2, neox = q->style == KB_NEOX;
    *pair = -1;
    *first = false;
    if (i >= q->rotary_dim)
        return i;
    *pair = neox ? i % half : i / 2;
    *first = neox ? i < half : i % 2 == 0;
    return neox ? (*first ? i + half : i - half) : i ^ 1;
}
