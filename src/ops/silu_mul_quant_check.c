/* silu_mul_quant_check.c - what is no case of silu_mul_quant, and why. */
#include "ops/gated.h"
#include "ops/silu_mul_quant.h"

static bool check_group(const struct kb_case *c, struct kb_err *err) {
    int64_t hidden = c->shape[c->rank - 1] / 2;
    int64_t group = (int64_t)kb_smq_number(c, KB_SMQ_PARAM_GROUP);
    if (group & (group - 1))
        return kb_fail(err, KB_INPUT, "group must be a power of two, got %lld",
                       (long long)group);
    if (hidden % group)
        return kb_fail(err, KB_INPUT,
                       "HIDDEN must be a multiple of the group, %lld is none of %lld",
                       (long long)hidden, (long long)group);
    return true;
}

static bool check_pitch(const struct kb_case *c, struct kb_err *err) {
    int64_t pitch = kb_smq_in_stride(c), width = c->shape[c->rank - 1];
    return pitch >= width ||
           kb_fail(err, KB_INPUT,
                   "in_pitch must be 0 or at least 2*HIDDEN, %lld is less than %lld",
                   (long long)pitch, (long long)width);
}

static bool check_scales(const struct kb_case *c, struct kb_err *err) {
    if (kb_smq_number(c, KB_SMQ_PARAM_SCALE_LAYOUT) != KB_SMQ_PACKED ||
        kb_smq_number(c, KB_SMQ_PARAM_UE8M0) != 0)
        return true;
    return kb_fail(err, KB_INPUT,
                   "scale_layout=packed holds exponents and no more; "
                   "it goes with ue8m0=yes only");
}

/* What only a mask reads is refused without one: the case would have a second id. */
static bool check_mask(const struct kb_case *c, struct kb_err *err) {
    int64_t experts = (int64_t)kb_smq_number(c, KB_SMQ_PARAM_EXPERTS), tokens;
    if (kb_smq_number(c, KB_SMQ_PARAM_MASK) == KB_SMQ_MASK_NONE)
        return experts == KB_SMQ_EXPERTS ||
               kb_fail(err, KB_INPUT, "experts is for a mask, mask=none has no experts");
    if (c->rank != 2)
        return kb_fail(err, KB_INPUT,
                       "with a mask a shape is TOKENSx2*HIDDEN, TOKENS being the rows of "
                       "all experts, got %d axes",
                       c->rank);
    tokens = c->shape[0];
    if (tokens % experts)
        return kb_fail(err, KB_INPUT,
                       "the experts have as many rows each, %lld rows are none for %lld",
                       (long long)tokens, (long long)experts);
    if (tokens / experts > INT32_MAX)
        return kb_fail(err, KB_INPUT,
                       "masked_m holds 32-bit counts, %lld rows are too many",
                       (long long)(tokens / experts));
    return true;
}

bool kb_smq_check(const struct kb_case *c, struct kb_err *err) {
    return kb_gated_check_width(c, err) && check_group(c, err) && check_pitch(c, err) &&
           kb_gated_check_clamp(c, kb_smq_number(c, KB_SMQ_PARAM_CLAMP), err) &&
           check_scales(c, err) && check_mask(c, err);
}
