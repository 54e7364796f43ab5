/* plan.c - contract, case and device come to a plan: every expression has its value, every
 * limit is checked, and what does not fit is said in words. */
#include "kernel/args.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { CLUSTER_SM = 90, TMA_SM = 90, MAX_CLUSTER = 16 };
static const char axes[] = "xyz";

struct planner {
    const struct kb_kernel *kernel;
    const struct kb_variant *v;
    const struct kb_problem *problem;
    const struct kb_device_limits *device;
    struct kb_arena *arena;
    struct kb_expr_env env;
    struct kb_expr_let lets[KB_MAX_LETS];
    struct kb_strings macros; /* pairs */
    struct kb_plan *plan;
    struct kb_err *err;
};

/* ---- is the variant for this case ------------------------------------------------------
 */

bool kb_arch_takes(const char *arch, int64_t sm) {
    char *rest;
    if (!arch)
        return true;
    int64_t wanted = strtoll(arch, &rest, 10);
    if (*rest == 'a')
        return sm == wanted;
    if (*rest == 'f') /* a family: the same major version */
        return sm >= wanted && sm / 10 == wanted / 10;
    return sm >= wanted;
}

static bool not_for(struct planner *p, const char *fmt, ...) KB_PRINTF(2, 3);
static bool not_for(struct planner *p, const char *fmt, ...) {
    struct kb_buf why = {0};
    va_list args;
    va_start(args, fmt);
    kb_buf_vprintf(&why, fmt, args);
    va_end(args);
    kb_fail(p->err, KB_UNSUPPORTED, "%s: %s", p->v->name, kb_buf_text(&why));
    kb_buf_free(&why);
    return false;
}

static char *joined(const struct kb_strings *list, struct kb_arena *arena) {
    struct kb_buf text = {0};
    for (size_t i = 0; i < list->count; i++)
        kb_buf_printf(&text, "%s%s", i ? ", " : "", list->items[i]);
    char *copy = kb_arena_strdup(arena, kb_buf_text(&text));
    kb_buf_free(&text);
    return copy;
}

static bool takes(struct planner *p, const char *backend) {
    const struct kb_variant *v = p->v;
    const char *op = p->problem->c->op->name;
    const char *dtype = kb_dtype_name(p->problem->c->dtype);
    if (!kb_kernel_has_op(p->kernel, op))
        return kb_fail(p->err, KB_UNSUPPORTED, "%s: its `ops` are %s, not %s",
                       p->kernel->name, joined(&p->kernel->ops, p->arena), op);
    if (v->lacks)
        return not_for(p, "its `defines` have no %s", v->lacks);
    if (v->backends.count && !kb_strings_has(&v->backends, backend))
        return not_for(p, "its `backends` are %s, not %s", joined(&v->backends, p->arena),
                       backend);
    if (v->dtypes.count && !kb_strings_has(&v->dtypes, dtype))
        return not_for(p, "its `dtypes` are %s, not %s", joined(&v->dtypes, p->arena),
                       dtype);
    if (!kb_arch_takes(v->arch, p->device->sm))
        return not_for(p, "its `arch`, %s, is not for sm_%lld", v->arch,
                       (long long)p->device->sm);
    return true;
}

/* The first part that is false says why. */
static bool when_holds(struct planner *p) {
    const char *when = p->v->when;
    struct kb_strings parts = {0};
    if (!when)
        return true;
    kb_expr_parts(when, p->arena, &parts);
    for (size_t i = 0; i < parts.count; i++) {
        bool holds;
        if (!kb_expr_holds(parts.items[i], &p->env, &holds, p->err))
            return kb_at(p->err, "when");
        if (holds)
            continue;
        struct kb_buf uses = {0};
        kb_expr_uses(parts.items[i], &p->env, &uses);
        not_for(p, "its `when`, %s, is false%s", parts.items[i], kb_buf_text(&uses));
        kb_buf_free(&uses);
        return false;
    }
    return true;
}

/* ---- values ----------------------------------------------------------------------------
 */

static bool eval_int(struct planner *p, const char *text, const char *what, int64_t *out) {
    struct kb_expr_value value;
    if (!kb_expr_eval(text, &p->env, &value, p->err))
        return kb_at(p->err, "%s", what);
    if (value.is_float)
        return kb_fail(p->err, KB_INPUT, "%s is %g, a whole number is wanted", what,
                       value.f);
    *out = value.i;
    return true;
}

/* Up to three; those that are not there are 1. */
static bool eval_dims(struct planner *p, const char *const text[3], const char *what,
                      int64_t least, const int64_t most[3], int64_t out[3]) {
    for (int i = 0; i < 3; i++) {
        out[i] = 1;
        if (!text[i])
            continue;
        if (!eval_int(p, text[i], what, &out[i]))
            return false;
        if (out[i] < least)
            return kb_fail(p->err, KB_INPUT, "%s %c is %lld, it must be at least %lld",
                           what, axes[i], (long long)out[i], (long long)least);
        if (out[i] > most[i])
            return kb_fail(p->err, KB_INPUT, "%s %c is %lld, the device allows %lld", what,
                           axes[i], (long long)out[i], (long long)most[i]);
    }
    return true;
}

static bool check_threads(struct planner *p, const int64_t block[3]) {
    int64_t threads =
        block[0] * block[1] * block[2]; /* each is within the device's limit */
    if (threads <= p->device->max_threads)
        return true;
    return kb_fail(p->err, KB_INPUT,
                   "block %lldx%lldx%lld has %lld threads, the device allows %lld",
                   (long long)block[0], (long long)block[1], (long long)block[2],
                   (long long)threads, (long long)p->device->max_threads);
}

static bool plan_cluster(struct planner *p, const struct kb_launch_text *text,
                         struct kb_launch *out) {
    static const int64_t most[3] = {MAX_CLUSTER, MAX_CLUSTER, MAX_CLUSTER};
    if (!eval_dims(p, text->cluster, "cluster", 1, most, out->cluster))
        return false;
    int64_t blocks = out->cluster[0] * out->cluster[1] * out->cluster[2];
    if (blocks > 1 && p->device->sm < CLUSTER_SM)
        return not_for(p, "its `cluster` needs sm_90, not sm_%lld",
                       (long long)p->device->sm);
    if (blocks > MAX_CLUSTER)
        return kb_fail(p->err, KB_INPUT, "cluster has %lld blocks, the most is %d",
                       (long long)blocks, MAX_CLUSTER);
    for (int i = 0; i < 3; i++)
        if (out->grid[i] % out->cluster[i])
            return kb_fail(p->err, KB_INPUT, "grid %c is %lld, no multiple of cluster %lld",
                           axes[i], (long long)out->grid[i], (long long)out->cluster[i]);
    return true;
}

static bool plan_smem(struct planner *p, const struct kb_launch_text *text,
                      struct kb_launch *out) {
    int64_t bytes = 0;
    if (text->smem && !eval_int(p, text->smem, "smem", &bytes))
        return false;
    if (bytes < 0 || bytes > p->device->smem_per_block)
        return kb_fail(p->err, KB_INPUT, "smem is %lld bytes, the device allows %lld",
                       (long long)bytes, (long long)p->device->smem_per_block);
    out->smem_bytes = (size_t)bytes;
    return true;
}

/* ---- arguments -------------------------------------------------------------------------
 */

static bool plan_tma(struct planner *p, const char *text, struct kb_arg *out) {
    struct kb_tma_text tma;
    if (p->device->sm < TMA_SM)
        return not_for(p, "TMA needs sm_90, not sm_%lld", (long long)p->device->sm);
    if (!kb_tma_reread(text, p->arena, &tma, p->err))
        return false;
    return kb_tma_plan(&tma, &p->env, out, p->err) ||
           kb_at(p->err, "TMA of %s", tma.tensor);
}

static bool plan_arg(struct planner *p, const char *text, struct kb_arg *out) {
    enum kb_scalar type;
    const char *expression;
    if (kb_starts_with(text, KB_TMA_PREFIX))
        return plan_tma(p, text, out);
    if (kb_scalar_split(text, &type, &expression))
        return kb_scalar_plan(type, expression, &p->env, out, p->err);
    for (int i = 0; i < p->v->n_scratch; i++)
        if (kb_streq(p->v->scratch[i].name, text)) {
            *out = (struct kb_arg){.kind = KB_ARG_SCRATCH, .index = i};
            return true;
        }
    *out =
        (struct kb_arg){.kind = KB_ARG_TENSOR, .index = kb_problem_find(p->problem, text)};
    return out->index >= 0 ||
           kb_fail(p->err, KB_INPUT, "%s has no tensor %s", p->problem->c->op->name, text);
}

static bool plan_launch(struct planner *p, const struct kb_launch_text *text,
                        struct kb_launch *out) {
    out->cooperative = text->cooperative;
    out->pdl = text->pdl;
    if (!kb_entry_make(text->entry, &p->macros, &p->env, p->arena, &out->entry, p->err))
        return kb_at(p->err, "entry");
    if (!eval_dims(p, text->grid, "grid", 0, p->device->max_grid, out->grid) ||
        !eval_dims(p, text->block, "block", 1, p->device->max_block, out->block) ||
        !check_threads(p, out->block) || !plan_cluster(p, text, out) ||
        !plan_smem(p, text, out))
        return false;
    for (int i = 0; i < text->n_args; i++)
        if (!plan_arg(p, text->args[i], &out->args[out->n_args++]))
            return false;
    return true;
}

/* ---- plans -----------------------------------------------------------------------------
 */

static bool plan_scratch(struct planner *p) {
    for (int i = 0; i < p->v->n_scratch; i++) {
        const struct kb_scratch_text *text = &p->v->scratch[i];
        int64_t bytes;
        if (!eval_int(p, text->bytes, text->name, &bytes))
            return false;
        if (bytes < 0)
            return kb_fail(p->err, KB_INPUT, "scratch %s is %lld bytes", text->name,
                           (long long)bytes);
        p->plan->scratch[p->plan->n_scratch++] =
            (struct kb_scratch){.bytes = (size_t)bytes, .start = text->start};
    }
    return true;
}

static bool plan_launches(struct planner *p) {
    for (int i = 0; i < p->v->n_launches; i++) {
        struct kb_launch *launch = &p->plan->launches[p->plan->n_launches++];
        if (plan_launch(p, &p->v->launches[i], launch))
            continue;
        if (p->v->n_launches > 1 && p->err->kind != KB_UNSUPPORTED)
            kb_at(p->err, "launches[%d]", i);
        return false;
    }
    return true;
}

static int by_text(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void list_entries(struct planner *p, const char *backend) {
    struct kb_plan *plan = p->plan;
    for (int i = 0; i < plan->n_launches; i++)
        if (!kb_strings_has(&plan->all_entries, plan->launches[i].entry))
            kb_strings_add(&plan->all_entries, p->arena, plan->launches[i].entry);
    for (size_t i = 0; i < p->macros.count; i += 2)
        if (!kb_strings_has(&p->kernel->unused, p->macros.items[i]))
            kb_strings_add(&plan->defines, p->arena,
                           kb_arena_printf(p->arena, "%s=%s", p->macros.items[i],
                                           p->macros.items[i + 1]));
    if (kb_streq(backend, "host") && !kb_entries_fixed(p->kernel, &p->macros))
        kb_entries_all(p->kernel, &p->env, p->arena, &plan->all_entries);
    /* In the same order for every plan of the file: the list is part of the code's key. */
    qsort(plan->all_entries.items, plan->all_entries.count, sizeof *plan->all_entries.items,
          by_text);
}

/* All of a plan but the lists of entries and defines. */
static bool make_launches(const struct kb_kernel *kernel, int variant,
                          const struct kb_problem *problem, const char *backend,
                          struct planner *p) {
    assert(variant >= 0 && variant < kernel->n_variants);
    p->kernel = kernel;
    p->v = &kernel->variants[variant];
    p->problem = problem;
    p->env = (struct kb_expr_env){.problem = problem,
                                  .sm = p->device->sm,
                                  .sm_count = p->device->sm_count,
                                  .smem_per_block = p->device->smem_per_block,
                                  .defines = &p->v->defines};
    *p->plan = (struct kb_plan){.kernel = kernel, .variant = p->v};
    if (!takes(p, backend))
        return false;
    kb_lets_make(p->v, &p->env, p->lets, p->arena);
    if (when_holds(p) && kb_macros_make(p->v, problem->c, p->arena, &p->macros, p->err) &&
        plan_scratch(p) && plan_launches(p))
        return true;
    return p->err->kind == KB_UNSUPPORTED
               ? false
               : kb_at(p->err, "%s: %s", kernel->name, p->v->name);
}

bool kb_plan_make(const struct kb_kernel *kernel, int variant,
                  const struct kb_problem *problem, const char *backend,
                  const struct kb_device_limits *device, struct kb_arena *arena,
                  struct kb_plan *out, struct kb_err *err) {
    struct planner p = {.device = device, .arena = arena, .plan = out, .err = err};
    if (!make_launches(kernel, variant, problem, backend, &p))
        return false;
    list_entries(&p, backend);
    return true;
}

/* The entries of `like`, and those of the plan that it has not. */
static void add_entries(struct kb_plan *plan, const struct kb_plan *like,
                        struct kb_arena *arena) {
    plan->all_entries = (struct kb_strings){0};
    for (size_t i = 0; i < like->all_entries.count; i++)
        kb_strings_add(&plan->all_entries, arena, like->all_entries.items[i]);
    for (int i = 0; i < plan->n_launches; i++)
        if (!kb_strings_has(&plan->all_entries, plan->launches[i].entry))
            kb_strings_add(&plan->all_entries, arena, plan->launches[i].entry);
    qsort(plan->all_entries.items, plan->all_entries.count, sizeof *plan->all_entries.items,
          by_text);
}

bool kb_plan_like(const struct kb_plan *like, const struct kb_problem *problem,
                  const char *backend, const struct kb_device_limits *device,
                  struct kb_arena *arena, struct kb_plan *out, struct kb_err *err) {
    struct planner p = {.device = device, .arena = arena, .plan = out, .err = err};
    int variant = (int)(like->variant - like->kernel->variants);
    if (!make_launches(like->kernel, variant, problem, backend, &p))
        return false;
    out->all_entries = like->all_entries;
    bool known = true;
    for (int i = 0; i < out->n_launches; i++)
        known &= kb_strings_has(&like->all_entries, out->launches[i].entry);
    if (!known)
        add_entries(out, like, arena);
    out->defines = like->defines;
    out->alone = like->alone;
    return true;
}

bool kb_plan_default(const struct kb_kernel *kernel, const struct kb_problem *problem,
                     const char *backend, const struct kb_device_limits *device,
                     struct kb_arena *arena, struct kb_plan *out, struct kb_err *err) {
    struct kb_buf reasons = {0};
    for (int i = 0; i < kernel->n_variants; i++) {
        struct kb_err why = {0};
        bool ok = kb_plan_make(kernel, i, problem, backend, device, arena, out, &why);
        if (ok || why.kind != KB_UNSUPPORTED) {
            kb_buf_free(&reasons);
            if (!ok)
                *err = why;
            return ok;
        }
        kb_buf_printf(&reasons, "%s%s", i ? "; " : "", why.msg);
    }
    kb_fail(err, KB_UNSUPPORTED, "%s", kb_buf_text(&reasons));
    kb_buf_free(&reasons);
    return false;
}
