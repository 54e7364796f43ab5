/* gated.h - what the ops over rows of a gate and an up have in common. Private to the pages
 * of activation and silu_mul_quant. */
#ifndef KB_OPS_GATED_H
#define KB_OPS_GATED_H

#include "op.h"

/* KB_INPUT where the last axis is not two halves of at least one element. */
bool kb_gated_check_width(const struct kb_case *c, struct kb_err *err);
/* KB_INPUT where the dtype makes infinity or 0 of a clamp; 0 is none. */
bool kb_gated_check_clamp(const struct kb_case *c, double clamp, struct kb_err *err);

#endif
