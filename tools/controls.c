/* controls.c - right kernels against the bounds, over many seeds: none may fail. Called by
 * `make controls`, and with few seeds by `make check`.
 *
 *     controls [SEEDS] [-v] [OP...]
 *
 * A line for each op, parameters and dtype: the control that came closest to its bound, by
 * which fill and seed; with -v for each control and fill. Exit 1 if any was past it. */
#include "controls/controls.h"
#include "measure.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FAMILIES(X)                                                                        \
    X(activation)                                                                          \
    X(merge_state)                                                                         \
    X(mla_kv_pack_quantize)                                                                \
    X(mla_prefill)                                                                         \
    X(moe_routing)                                                                         \
    X(qknorm_rope)                                                                         \
    X(silu_mul_quant)                                                                      \
    X(stream)

#define X(family)                                                                          \
    extern const struct kb_controls kb_controls_##family##_plain,                          \
        kb_controls_##family##_fused;
FAMILIES(X)
#undef X

static const struct {
    const char *name;
    const struct kb_controls *plain, *fused;
} families[] = {
#define X(family) {#family, &kb_controls_##family##_plain, &kb_controls_##family##_fused},
    FAMILIES(X)
#undef X
};

enum { MOST_CONTROLS = 64 };

struct options {
    int64_t seeds;
    bool verbose;
    char **ops; /* NULL-terminated; none: all */
};

/* What a control did worst, over seeds. */
struct worst {
    double share;
    int64_t seed, over, seeds_over; /* over: elements of that seed */
    bool ran;
};

/* One thread's problem with its tensors. */
struct scene {
    struct kb_problem problem;
    void *data[KB_MAX_TENSORS], *out[KB_MAX_TENSORS];
    const void *in[KB_MAX_TENSORS];
};

static bool fuses(void) {
#ifdef __x86_64__
    return __builtin_cpu_supports("fma");
#else
    return true;
#endif
}

double kb_control_param(const struct kb_problem *p, const char *name) {
    int index;

    return kb_op_param(p->c->op, name, &index) ? p->c->set[index].v : 0;
}

double kb_control_name(const struct kb_problem *p, const char *name) {
    for (int i = 0; i < p->n_names; i++)
        if (kb_streq(p->names[i].name, name))
            return p->names[i].value;
    return NAN;
}

/* ---- a problem --------------------------------------------------------------------- */

static size_t bytes_of(const struct kb_tensor_spec *spec) {
    return (size_t)spec->elements * kb_dtype_bytes(spec->dtype);
}

static void *room(size_t bytes) {
    void *data = malloc(bytes + 1);

    if (!data)
        kb_out_of_memory();
    return data;
}

static void scene_make(struct scene *s, const struct kb_problem *p) {
    *s = (struct scene){.problem = *p};
    for (int t = 0; t < p->n_tensors; t++) {
        s->data[t] = room(bytes_of(&p->tensors[t]));
        s->out[t] = room(bytes_of(&p->tensors[t]));
    }
}

static void scene_free(struct scene *s) {
    for (int t = 0; t < s->problem.n_tensors; t++) {
        free(s->data[t]);
        free(s->out[t]);
    }
}

static void scene_fill(struct scene *s, int64_t seed) {
    const struct kb_problem *p = &s->problem;

    for (int t = 0; t < p->n_tensors; t++) {
        const struct kb_tensor_spec *spec = &p->tensors[t];
        if (spec->role != KB_OUT && spec->elements > 0)
            p->c->op->fill(p, t, (uint64_t)seed, 0, spec->elements, s->data[t]);
        else
            kb_poison(s->data[t], bytes_of(spec), 0);
    }
}

/* What the control leaves is compared as a kernel's output is. */
static void try_control(struct scene *s, const struct kb_control *control, int64_t seed,
                        struct worst *w) {
    const struct kb_problem *p = &s->problem;
    double share = 0;
    int64_t over = 0;

    for (int t = 0; t < p->n_tensors; t++) {
        memcpy(s->out[t], s->data[t], bytes_of(&p->tensors[t]));
        s->in[t] = p->tensors[t].elements ? s->data[t] : NULL;
    }
    if (!control->run(control, p, s->in, s->out))
        return;
    void *prepared = p->c->op->prepare ? p->c->op->prepare(p, s->in) : NULL;
    for (int t = 0; t < p->n_tensors; t++) {
        struct kb_output_report report;
        if (p->tensors[t].role == KB_IN || p->tensors[t].absent)
            continue;
        for (int o = 0; o < p->n_tensors; o++)
            if (p->tensors[o].role == KB_OUT)
                s->in[o] = o == t ? s->data[o] : s->out[o];
        const struct kb_compare_args args = {
            .problem = p,
            .tensor = t,
            .in = s->in,
            .prepared = prepared,
            .got = s->out[t],
            .bound_factor = 1,
        };
        kb_compare(&args, &report);
        share = fmax(share, report.err_over_bound);
        over += report.over;
    }
    free(prepared);
    w->seeds_over += over > 0;
    if (!w->ran || share > w->share || (share == w->share && over > w->over)) {
        w->share = share;
        w->over = over;
        w->seed = seed;
    }
    w->ran = true;
}

/* Of two threads. The lower seed of equals, so that who ran it does not matter. */
static void learn(struct worst *to, const struct worst *from) {
    int64_t seeds_over = to->seeds_over + from->seeds_over;

    if (from->ran && (!to->ran || from->share > to->share ||
                      (from->share == to->share && from->seed < to->seed)))
        *to = *from;
    to->seeds_over = seeds_over;
}

static void try_all(const struct kb_problem *p, const struct kb_control *const *controls,
                    int n, int64_t seeds, struct worst *worst) {
#pragma omp parallel
    {
        struct scene *s = room(sizeof *s);
        struct worst mine[MOST_CONTROLS] = {0};
        scene_make(s, p);
#pragma omp for schedule(dynamic, 16)
        for (int64_t seed = 1; seed <= seeds; seed++) {
            scene_fill(s, seed);
            for (int k = 0; k < n; k++)
                try_control(s, controls[k], seed, &mine[k]);
        }
#pragma omp critical
        for (int k = 0; k < n; k++)
            learn(&worst[k], &mine[k]);
        scene_free(s);
        free(s);
    }
}

/* ---- what is run ------------------------------------------------------------------- */

struct batch {
    const struct kb_control *controls[MOST_CONTROLS];
    bool fused[MOST_CONTROLS];
    int n;
};

static void gather(struct batch *b, const struct kb_controls *from, const char *op,
                   bool fused) {
    for (int i = 0; i < from->n_controls && b->n < MOST_CONTROLS; i++) {
        if (from->controls[i].op && !kb_streq(from->controls[i].op, op))
            continue;
        b->controls[b->n] = &from->controls[i];
        b->fused[b->n++] = fused;
    }
}

static void say(const struct batch *b, int k, const struct worst *w, const char *what,
                const char *fill) {
    printf("%-6s %-34s %-9s %-22s %-6s %7.3f of bound, seed %lld",
           w->seeds_over ? "FAILED" : "ok", what, fill, b->controls[k]->name,
           b->fused[k] ? "fused" : "", w->share, (long long)w->seed);
    if (w->seeds_over)
        printf(", %lld seeds fail, %lld elements of that one", (long long)w->seeds_over,
               (long long)w->over);
    putchar('\n');
}

/* Every fill of one op, parameters and dtype; true if none failed. */
static bool run_dtype(const struct batch *b, const struct kb_control_case *from,
                      const struct kb_case *c, const struct options *options) {
    const struct kb_op *op = c->op;
    struct kb_buf what = {0};
    struct worst most = {.share = -1};
    int most_k = 0;
    enum kb_fill most_fill = op->fills[0];
    bool ok = true;

    kb_buf_printf(&what, "%s/%s/%s%s%s", op->name, from->shape, kb_dtype_name(c->dtype),
                  *from->set ? "/" : "", from->set);
    for (int f = 0; f < op->n_fills; f++) {
        struct kb_case filled = *c;
        struct kb_problem p;
        struct kb_err err = {0};
        struct worst worst[MOST_CONTROLS] = {0};
        filled.fill = op->fills[f];
        if (!kb_case_resolve(&filled, &p, &err)) {
            fprintf(stderr, "controls: %s: %s\n", kb_buf_text(&what), err.msg);
            return false;
        }
        try_all(&p, b->controls, b->n, options->seeds, worst);
        for (int k = 0; k < b->n; k++) {
            ok &= worst[k].seeds_over == 0;
            if (worst[k].ran && (options->verbose || worst[k].seeds_over))
                say(b, k, &worst[k], kb_buf_text(&what), kb_fill_word(filled.fill));
            if (!worst[k].ran || !(worst[k].share > most.share))
                continue;
            most = worst[k];
            most_k = k;
            most_fill = filled.fill;
        }
    }
    if (ok && !options->verbose)
        say(b, most_k, &most, kb_buf_text(&what), kb_fill_word(most_fill));
    fflush(stdout);
    kb_buf_free(&what);
    return ok;
}

static bool set_all(struct kb_case *c, const char *set, struct kb_err *err) {
    struct kb_arena arena = {0};
    struct kb_strings pairs = {0};
    bool ok = true;

    if (*set)
        kb_split(&arena, set, ',', &pairs);
    for (size_t i = 0; i < pairs.count && ok; i++) {
        char *key = kb_arena_strdup(&arena, pairs.items[i]), *value = strchr(key, '=');
        if (value)
            *value++ = '\0';
        ok = kb_case_set(c, key, value ? value : "", err);
    }
    kb_arena_free(&arena);
    return ok;
}

static bool run_case(int family, const struct kb_control_case *from,
                     const struct options *options) {
    const struct kb_op *op = kb_op_find(from->op);
    struct batch b = {.n = 0};
    struct kb_err err = {0};
    struct kb_case c;
    bool ok = true;

    if (!op) {
        fprintf(stderr, "controls: no op %s\n", from->op);
        return false;
    }
    gather(&b, families[family].plain, from->op, false);
    if (fuses())
        gather(&b, families[family].fused, from->op, true);
    kb_case_start(&c, op);
    c.id = from->op;
    if (!kb_shape_parse(from->shape, c.shape, &c.rank) || !set_all(&c, from->set, &err)) {
        fprintf(stderr, "controls: %s %s %s: %s\n", from->op, from->shape, from->set,
                err.msg);
        return false;
    }
    for (int d = 0; d < op->n_dtypes; d++) {
        c.dtype = op->dtypes[d];
        ok &= run_dtype(&b, from, &c, options);
    }
    return ok;
}

static bool is_asked_for(const struct options *options, const char *op) {
    for (char **o = options->ops; *o; o++)
        if (kb_streq(*o, op))
            return true;
    return !*options->ops;
}

static bool parse(int argc, char **argv, struct options *options) {
    int kept = 0;

    for (int i = 1; i < argc; i++) {
        if (kb_streq(argv[i], "-v"))
            options->verbose = true;
        else if (strspn(argv[i], "0123456789") == strlen(argv[i])) {
            if (!kb_parse_i64(argv[i], &options->seeds) || options->seeds < 1)
                return false;
        } else
            argv[kept++] = argv[i];
    }
    argv[kept] = NULL;
    options->ops = argv;
    return true;
}

int main(int argc, char **argv) {
    struct options options = {.seeds = 10000};
    int64_t right = 0, wrong = 0;

    if (!parse(argc, argv, &options)) {
        fprintf(stderr, "controls [SEEDS] [-v] [OP...]\n");
        return 4;
    }
    for (size_t f = 0; f < KB_COUNT(families); f++) {
        for (int i = 0; i < families[f].plain->n_cases; i++) {
            const struct kb_control_case *from = &families[f].plain->cases[i];
            if (!is_asked_for(&options, from->op))
                continue;
            bool ok = run_case((int)f, from, &options);
            right += ok;
            wrong += !ok;
        }
    }
    printf("controls: %lld ops and parameters, %lld with a false alarm, %lld seeds%s\n",
           (long long)(right + wrong), (long long)wrong, (long long)options.seeds,
           fuses() ? "" : ", none fused: no such CPU");
    return wrong || !right;
}
