/* gated.c - what is no row of a gate and an up. */
#include "ops/gated.h"

#include <math.h>

bool kb_gated_check_width(const struct kb_case *c, struct kb_err *err) {
    int64_t width = c->shape[c->rank - 1];
    if (width % 2)
        return kb_fail(err, KB_INPUT, "the last axis is 2*HIDDEN, %lld is odd",
                       (long long)width);
    if (!width)
        return kb_fail(err, KB_INPUT,
                       "the last axis is 2*HIDDEN, HIDDEN must be at least 1, got 0");
    return true;
}

bool kb_gated_check_clamp(const struct kb_case *c, double clamp, struct kb_err *err) {
    double limit = kb_decode(c->dtype, kb_encode(c->dtype, clamp));
    if (clamp == 0 || (limit > 0 && isfinite(limit)))
        return true;
    return kb_fail(err, KB_INPUT, "clamp: %g is %s in %s, no limit", clamp,
                   limit > 0 ? "infinite" : "0", kb_dtype_name(c->dtype));
}
