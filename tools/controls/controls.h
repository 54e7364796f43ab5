/* controls.h - right kernels in plain C, one file a family of ops: what no bound may fail.
 *
 * Each file here is compiled twice, with every product and sum rounded by itself and with
 * products fused into sums wherever the compiler can (KB_FUSED). A control computes all
 * outputs of a problem from its inputs, as a kernel that follows the formula in fp32, or in
 * more, in another form or order. A family's file ends in
 *
 *     const struct kb_controls KB_CONTROLS(activation) = { ... };
 *
 * and its name stands in the list in tools/controls.c. */
#ifndef KB_CONTROLS_H
#define KB_CONTROLS_H

#include "op.h"

struct kb_control {
    const char *op; /* NULL: all of the family */
    const char *name;
    /* Outputs in out[], as a launch finds them; inputs in in[]. False: it does not do this
     * problem's parameters. */
    bool (*run)(const struct kb_control *control, const struct kb_problem *p,
                const void *const *in, void *const *out);
    float (*act)(float x); /* for the family's own use */
    int form;              /* likewise */
};

/* What is run: with every dtype and fill of the op. */
struct kb_control_case {
    const char *op, *shape, *set; /* set: "round=act,clamp=7", "" for none */
};

struct kb_controls {
    const struct kb_control *controls;
    int n_controls;
    const struct kb_control_case *cases;
    int n_cases;
};

#ifdef KB_FUSED
#define KB_CONTROLS(family) kb_controls_##family##_fused
#else
#define KB_CONTROLS(family) kb_controls_##family##_plain
#endif

/* The value of a parameter of the case; an index where it is a word. */
double kb_control_param(const struct kb_problem *p, const char *name);
/* What a contract's expression takes for that name: an axis, a derived size, what a
 * parameter comes to. NAN if there is none. */
double kb_control_name(const struct kb_problem *p, const char *name);

#endif
