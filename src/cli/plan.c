/* plan.c - a command line into jobs: cases x variants x builds. */
#include "cli/plan.h"

#include <string.h>

/* ---- builds ----------------------------------------------------------------------------
 */

/* Each text with each value of the macro, "NAME=A,B". */
static void sweep(const char *macro, struct kb_arena *arena, struct kb_strings *texts) {
    struct kb_strings before = *texts, values = {0};
    size_t len = strcspn(macro, "=");
    *texts = (struct kb_strings){0};
    kb_split(arena, macro + len + 1, ',', &values);
    for (size_t i = 0; i < before.count; i++)
        for (size_t v = 0; v < values.count; v++) {
            const char *define =
                kb_arena_printf(arena, "%.*s=%s", (int)len, macro, values.items[v]);
            kb_strings_add(texts, arena, kb_build_with(before.items[i], define, arena));
        }
}

static void plan_builds(struct kb_run_plan *plan, struct kb_complaints *c) {
    const struct kb_strings *defines = &plan->options->defines;
    struct kb_strings texts = {0};
    for (size_t i = 0; i < plan->options->builds.count; i++)
        kb_strings_add(&texts, &plan->arena, plan->options->builds.items[i]);
    if (!texts.count)
        kb_strings_add(&texts, &plan->arena, "precise");
    for (size_t i = 0; i < defines->count && texts.count <= KB_MAX_BUILDS; i++)
        sweep(defines->items[i], &plan->arena, &texts);
    if (texts.count > KB_MAX_BUILDS) {
        kb_complain_option(c, "--define", "%zu builds and more, at most %d are taken",
                           texts.count, KB_MAX_BUILDS);
        return;
    }
    for (size_t i = 0; i < texts.count; i++) {
        struct kb_build *build = &plan->builds[plan->n_builds];
        struct kb_err err = {0};
        bool twice = false;
        if (!kb_build_parse(texts.items[i], true, &plan->arena, build, &err)) {
            kb_complain_option(c, "--build", "%s", err.msg);
            continue;
        }
        for (int k = 0; k < plan->n_builds; k++)
            twice |= kb_streq(plan->builds[k].name, build->name);
        if (twice) {
            kb_complain_option(c, "--build", "%s is given twice", build->name);
            continue;
        }
        plan->build_texts[plan->n_builds++] = texts.items[i];
    }
}

/* ---- variants --------------------------------------------------------------------------
 */

static struct kb_plan_op *op_of(struct kb_run_plan *plan, const struct kb_op *op) {
    for (int i = 0; i < plan->n_ops; i++)
        if (plan->ops[i].op == op)
            return &plan->ops[i];
    return NULL;
}

static const struct kb_kernel *load_kernel(struct kb_run_plan *plan, const struct kb_op *op,
                                           struct kb_complaints *c) {
    struct kb_kernel *kernel = kb_arena_alloc(&plan->arena, sizeof *kernel);
    const char *own = plan->options->kernel;
    bool ok = own ? kb_kernel_load(own, &plan->arena, kernel, c)
                  : kb_kernel_builtin(op, &plan->arena, kernel, c);
    return ok ? kernel : NULL;
}

static void complain_of_op(const struct kb_kernel *kernel, const struct kb_op *op,
                           struct kb_complaints *c) {
    struct kb_buf ops = {0};
    for (size_t i = 0; i < kernel->ops.count; i++)
        kb_buf_printf(&ops, "%s%s", i ? ", " : "", kernel->ops.items[i]);
    kb_complain_option(c, "--kernel", "%s is for %s, not for %s", kernel->path,
                       kb_buf_text(&ops), op->name);
    kb_buf_free(&ops);
}

static void measure_variants(struct kb_run_plan *plan, const struct kb_kernel *kernel) {
    for (int i = 0; i < kernel->n_variants; i++) {
        struct kb_row row = {.kernel = kernel->path, .variant = kernel->variants[i].name};
        struct kb_buf text = {0};
        kb_variant_words(&row, &text);
        int width = kb_columns(kb_buf_text(&text));
        plan->variant_width = width > plan->variant_width ? width : plan->variant_width;
        kb_buf_free(&text);
    }
}

/* The variants that were asked for and that the kernel has. */
static void choose_variants(struct kb_run_plan *plan, struct kb_plan_op *entry,
                            const struct kb_kernel *kernel) {
    const struct kb_strings *asked = &plan->options->variants;
    bool all = kb_strings_has(asked, "all");
    if (!asked->count)
        kb_strings_add(&entry->variants, &plan->arena, NULL);
    for (int i = 0; all && i < kernel->n_variants; i++)
        kb_strings_add(&entry->variants, &plan->arena, kernel->variants[i].name);
    for (size_t i = 0; !all && i < asked->count; i++) { /* the first is A */
        int variant = kb_kernel_variant(kernel, asked->items[i]);
        if (variant >= 0)
            kb_strings_add(&entry->variants, &plan->arena, kernel->variants[variant].name);
    }
    plan->many_variants |= entry->variants.count > 1;
}

/* A variant that no kernel of the run has is an error; names that one has are suggested. */
static void check_variants(struct kb_run_plan *plan, const struct kb_strings *known,
                           struct kb_complaints *c) {
    const struct kb_strings *asked = &plan->options->variants;
    for (size_t i = 0; i < asked->count; i++) {
        struct kb_buf what = {0};
        if (kb_streq(asked->items[i], "all") || kb_strings_has(known, asked->items[i]))
            continue;
        kb_unknown(&what, "variant", asked->items[i], known->items, known->count);
        kb_complain_option(c, "--variant", "%s", kb_buf_text(&what));
        kb_buf_free(&what);
    }
}

/* ---- macros ----------------------------------------------------------------------------
 */

/* Of --define: the first macro that the kernel's contract does not have; NULL: none. */
static const char *lacked(const struct kb_run_plan *plan, const struct kb_kernel *kernel,
                          struct kb_arena *arena) {
    const struct kb_strings *asked = &plan->options->defines;
    struct kb_strings macros = {0};
    kb_kernel_macros(kernel, arena, &macros);
    for (size_t i = 0; i < asked->count; i++) {
        const char *define = asked->items[i];
        const char *name = kb_arena_strndup(arena, define, strcspn(define, "="));
        if (!kb_strings_has(&macros, name))
            return name;
    }
    return NULL;
}

/* A macro that no kernel of the run has is an error; so is one that each has not. */
static void check_macros(struct kb_run_plan *plan, const struct kb_strings *known,
                         struct kb_complaints *c) {
    const struct kb_strings *asked = &plan->options->defines;
    int before = c->count;
    bool some = !asked->count;
    for (size_t i = 0; i < asked->count; i++) {
        struct kb_buf what = {0};
        const char *define = asked->items[i];
        const char *name = kb_arena_strndup(&plan->arena, define, strcspn(define, "="));
        if (kb_strings_has(known, name))
            continue;
        kb_unknown(&what, "macro", name, known->items, known->count);
        kb_complain_option(c, "--define", "%s%s", kb_buf_text(&what),
                           known->count ? "" : "; the contract has no \"defines\"");
        kb_buf_free(&what);
    }
    for (int i = 0; i < plan->n_ops; i++)
        some = some || plan->ops[i].variants.count;
    if (!some && c->count == before)
        kb_complain_option(c, "--define", "no kernel of the run has all of these macros");
}

static void plan_variants(struct kb_run_plan *plan, struct kb_complaints *c) {
    struct kb_strings known = {0}, macros = {0};
    int before = c->count;
    for (int i = 0; i < plan->n_ops && c->count == before; i++) {
        struct kb_plan_op *entry = &plan->ops[i];
        const struct kb_kernel *kernel = load_kernel(plan, entry->op, c);
        if (!kernel)
            return;
        if (!kb_kernel_has_op(kernel, entry->op->name))
            complain_of_op(kernel, entry->op, c);
        for (int v = 0; v < kernel->n_variants; v++)
            if (!kb_strings_has(&known, kernel->variants[v].name))
                kb_strings_add(&known, &plan->arena, kernel->variants[v].name);
        const char *lacks = lacked(plan, kernel, &plan->arena);
        kb_kernel_macros(kernel, &plan->arena, &macros);
        measure_variants(plan, kernel);
        choose_variants(plan, entry, kernel);
        if (lacks) {
            entry->variants = (struct kb_strings){0};
            kb_strings_add(
                &plan->notes, &plan->arena,
                kb_arena_printf(&plan->arena,
                                "%s has no macro %s: its %lld cases are left out",
                                entry->op->name, lacks, (long long)entry->cases));
        } else if (!entry->variants.count)
            kb_strings_add(&plan->notes, &plan->arena,
                           kb_arena_printf(&plan->arena,
                                           "%s has no such variant: its %lld cases are "
                                           "left out",
                                           entry->op->name, (long long)entry->cases));
    }
    check_variants(plan, &known, c);
    if (c->count == before)
        check_macros(plan, &macros, c);
}

/* ---- the plan --------------------------------------------------------------------------
 */

/* A file of inputs must fit each case, or nothing is run. */
static void check_load(const struct kb_run_plan *plan, const struct kb_case *c,
                       struct kb_arena *arena, struct kb_complaints *complaints) {
    struct kb_problem *problem = kb_arena_alloc(arena, sizeof *problem);
    const char *file = plan->options->load;
    struct kb_err err = {0};

    if (kb_complaints_full(complaints))
        kb_complain_option(complaints, "--load", "%s does not fit", c->id);
    else if (!kb_case_resolve(c, problem, &err) || !kb_load_check(file, problem, &err))
        kb_complain_option(complaints, "--load", "%s", err.msg);
}

static void count_cases(struct kb_run_plan *plan, struct kb_complaints *c) {
    struct kb_arena arena = {0};
    struct kb_case one;
    bool many = false;
    plan->ops = kb_arena_array(&plan->arena, (size_t)kb_op_count, sizeof *plan->ops);
    while (kb_suite_next(plan->suite, &arena, &one)) {
        struct kb_plan_op *entry = op_of(plan, one.op);
        if (!entry) {
            entry = &plan->ops[plan->n_ops++];
            entry->op = one.op;
        }
        entry->cases++;
        const char *dtype = kb_dtype_name(one.dtype);
        plan->dtype = plan->dtype ? plan->dtype : dtype;
        many |= !kb_streq(plan->dtype, dtype);
        if (plan->options->load)
            check_load(plan, &one, &arena, c);
        kb_arena_reset(&arena);
    }
    if (many)
        plan->dtype = NULL;
    kb_arena_free(&arena);
    kb_suite_rewind(plan->suite);
}

/* Where a word was wrong it may be the one that was to ask for cases. */
static bool asks_nothing(const struct kb_query *q) {
    return !(q->files.count + q->ids.count + q->ops.count + q->tags.count + q->match.count +
             q->shapes.count + q->dtypes.count + q->set.count + q->fills.count);
}

static void count_again(struct kb_run_plan *plan, struct kb_complaints *c) {
    struct kb_arena arena = {0};
    struct kb_job job;
    plan->jobs = 0;
    for (; kb_run_plan_next(plan, &arena, &job); plan->jobs++)
        kb_arena_reset(&arena);
    kb_arena_free(&arena);
    kb_suite_rewind(plan->suite);
    plan->now_op = NULL;
    if (!plan->jobs)
        kb_complain_option(c, "--rerun",
                           "no case selected: nothing that failed in %s is among what is "
                           "asked for",
                           plan->options->rerun);
}

void kb_run_plan_make(const struct kb_options *options, struct kb_run_plan *plan,
                      struct kb_complaints *c) {
    *plan = (struct kb_run_plan){.options = options};
    if (options->rerun) {
        if (!kb_rerun_read(options, &plan->arena, &plan->again, &plan->rerun, c))
            return;
        options = plan->options = &plan->again;
    }
    bool has_cases = !(c->count && asks_nothing(&options->query)) &&
                     kb_suite_open(&plan->suite, &options->query, c);
    plan_builds(plan, c);
    if (!has_cases)
        return;
    count_cases(plan, c);
    plan_variants(plan, c);
    for (int i = 0; i < plan->n_ops; i++) {
        int n = (int)plan->ops[i].variants.count;
        plan->n_variants = i && n != plan->n_variants ? 0 : n;
    }
    for (int i = 0; i < plan->n_ops; i++) {
        int group = (int)plan->ops[i].variants.count * plan->n_builds;
        plan->jobs += plan->ops[i].cases * group;
        plan->group = group > plan->group ? group : plan->group;
    }
    if (plan->group > KB_MAX_GROUP)
        kb_complain_option(c, "--build", "%d builds and variants of a case, at most %d",
                           plan->group, KB_MAX_GROUP);
    if (options->rerun && !c->count)
        count_again(plan, c);
}

void kb_run_plan_free(struct kb_run_plan *plan) {
    kb_suite_free(plan->suite);
    kb_arena_free(&plan->arena);
    kb_arena_free(&plan->case_arena);
    *plan = (struct kb_run_plan){0};
}

/* ---- jobs ------------------------------------------------------------------------------
 */

/* A case file may give "peer" numbers of its own. */
static bool is_peers_own(const struct kb_case *now) {
    double atol, rtol;
    if (now->tolerance.rule != KB_TOL_PEER || !now->op->peer_tolerance)
        return false;
    now->op->peer_tolerance(now->dtype, now->dtype, &atol, &rtol);
    return now->tolerance.atol == atol && now->tolerance.rtol == rtol;
}

/* Options that a row's command needs to come to the same verdict, beside case, kernel,
 * build, variant and seed. */
static const char *repeat_options(const struct kb_options *o, const struct kb_case *now,
                                  struct kb_arena *arena) {
    const struct kb_tolerance *tolerance = &now->tolerance;
    struct kb_buf text = {0};
    if (o->backend)
        kb_buf_printf(&text, "--backend %s ", kb_backend_words[o->backend]);
    if (o->host_sm)
        kb_buf_printf(&text, "--host-sm %lld ", (long long)o->host_sm);
    if (is_peers_own(now))
        kb_buf_puts(&text, "--tolerance peer ");
    else if (tolerance->rule != KB_TOL_BOUND)
        kb_buf_printf(&text, "--tolerance %s,%s ", kb_cell_number(tolerance->atol).text,
                      kb_cell_number(tolerance->rtol).text);
    if (o->sanitize)
        kb_buf_printf(&text, "--sanitize %s ", o->sanitize);
    if (o->timeout_ms > 0)
        kb_buf_printf(&text, "--timeout %gs ", o->timeout_ms / 1000);
    if (o->mem_limit_bytes)
        kb_buf_printf(&text, "--mem-limit %zu ", o->mem_limit_bytes);
    kb_buf_cut(&text, text.len ? text.len - 1 : 0);
    const char *copy = kb_arena_strdup(arena, kb_buf_text(&text));
    kb_buf_free(&text);
    return copy;
}

/* Forward to the next case that has a variant to run. */
static bool next_case(struct kb_run_plan *plan) {
    do {
        kb_arena_reset(&plan->case_arena);
        if (!kb_suite_next(plan->suite, &plan->case_arena, &plan->now))
            return false;
        plan->now_op = op_of(plan, plan->now.op);
    } while (!plan->now_op->variants.count);
    plan->now_variant = 0;
    return true;
}

static bool next_job(struct kb_run_plan *plan, struct kb_arena *arena, struct kb_job *job) {
    const struct kb_options *o = plan->options;
    const struct kb_case *now = &plan->now;
    if ((!plan->now_op || plan->now_variant == plan->now_op->variants.count) &&
        !next_case(plan))
        return false;
    *job = (struct kb_job){
        .case_id = kb_arena_strdup(arena, now->id),
        .tags = kb_arena_strdup(arena, now->tags),
        .origin = kb_arena_strdup(arena, now->origin),
        .tolerance = now->tolerance,
        .kernel = o->kernel,
        .variant = plan->now_op->variants.items[plan->now_variant],
        .build = plan->build_texts[plan->now_build],
        .trusted_flags = true,
        .seed = o->seed,
        .precision = o->precision,
        .max_time_s = o->max_time_ms / 1e3,
        .sets = (int)o->sets,
        .duty = o->duty,
        .time_failing = o->time_failing,
        .energy = o->energy,
        .samples = o->samples,
        .sample_rows = o->sample_rows ? o->sample_rows : now->sample_rows,
        .load = o->load,
        .dump = o->dump,
        .kbench = o->dump ? kb_version() : NULL,
        .repeat_options = repeat_options(o, now, arena),
    };
    plan->now_build = (plan->now_build + 1) % plan->n_builds;
    plan->now_variant += plan->now_build == 0;
    return true;
}

/* The next one that failed, as it was. */
static bool next_again(struct kb_run_plan *plan, struct kb_arena *arena,
                       struct kb_job *job) {
    const struct kb_rerun_row *row = NULL;
    while (!row) {
        const struct kb_build *build = &plan->builds[plan->now_build];
        if (!next_job(plan, arena, job))
            return false;
        row = kb_rerun_find(&plan->rerun, job->case_id, build->name, job->variant);
    }
    job->seed = row->seed;
    if (row->sample_rows)
        job->sample_rows = row->sample_rows;
    if (row->has_tolerance && !plan->options->query.tolerance) {
        plan->now.tolerance = job->tolerance = row->tolerance;
        job->repeat_options = repeat_options(plan->options, &plan->now, arena);
    }
    return true;
}

bool kb_run_plan_next(struct kb_run_plan *plan, struct kb_arena *arena,
                      struct kb_job *job) {
    return plan->options->rerun ? next_again(plan, arena, job) : next_job(plan, arena, job);
}

bool kb_run_plan_is_between(const struct kb_run_plan *plan) {
    return !plan->now_op || plan->now_variant == plan->now_op->variants.count;
}

int kb_jobs_of_case(const struct kb_job *jobs, int n) {
    int count = 1;
    while (count < n && kb_streq(jobs[count].case_id, jobs[0].case_id) &&
           !(kb_streq(jobs[count].build, jobs[0].build) &&
             kb_streq(jobs[count].variant ? jobs[count].variant : "",
                      jobs[0].variant ? jobs[0].variant : "")))
        count++;
    return count;
}
