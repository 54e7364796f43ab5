/* life.c - the life of one case, top to bottom: plan, fill, build, launch, guards,
 * reference and comparison, a second run, timing, the row. Each phase returns false where
 * the case ends early, with the row's verdict set; --mode build and check return earlier
 * from this same code. */
#include "session.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct life {
    struct kb_session *session;
    const struct kb_job *job;
    struct kb_arena *arena;
    struct kb_row *row;
    struct kb_case c;
    struct kb_problem problem;
    struct kb_plan plan;
    struct kb_build build;
    struct kb_built *built;
    struct kb_slab initial; /* the truth: inputs as filled, outputs poisoned */
    struct kb_slab work;    /* what the kernel was given and left behind */
    void *prepared;
};

static bool stop(struct life *l, enum kb_reason reason, const char *fmt, ...)
    KB_PRINTF(3, 4);
static bool stop(struct life *l, enum kb_reason reason, const char *fmt, ...) {
    struct kb_buf text = {0};
    va_list args;

    va_start(args, fmt);
    kb_buf_vprintf(&text, fmt, args);
    va_end(args);
    l->row->reason = reason;
    l->row->text = kb_arena_strdup(l->arena, kb_buf_text(&text));
    kb_buf_free(&text);
    return false;
}

/* An error of a lower layer as the case's end. `unsupported` is what KB_UNSUPPORTED means
 * here. */
static bool stop_err(struct life *l, const struct kb_err *err, enum kb_reason unsupported) {
    enum kb_reason reason = KB_R_IO;

    switch (err->kind) {
    case KB_UNSUPPORTED:
        reason = unsupported;
        break;
    case KB_INPUT:
        reason = KB_R_CONTRACT;
        break;
    case KB_BUILD:
        reason = kb_starts_with(err->msg, "would have to compile") ? KB_R_NO_COMPILE
                                                                   : KB_R_COMPILE;
        break;
    case KB_DEVICE:
        reason = KB_R_LAUNCH;
        break;
    case KB_CRASH:
        reason = KB_R_CRASH;
        break;
    case KB_TIMEOUT:
        reason = KB_R_TIMEOUT;
        break;
    case KB_MEMORY:
        reason = KB_R_MEMORY;
        break;
    case KB_IO:
    case KB_NO_ERROR:
        break;
    }
    l->session->dead |= err->kind == KB_DEVICE;
    return stop(l, reason, "%s", err->msg);
}

static bool phase_plan(struct life *l) {
    struct kb_session *s = l->session;
    const struct kb_device_info *device = s->backend->info(s->device);
    const struct kb_job *job = l->job;
    struct kb_complaints c = {0};
    struct kb_err err = {0};

    if (!kb_case_parse(job->case_id, l->arena, &l->c, &c)) {
        stop(l, KB_R_CONTRACT, "%s", kb_buf_text(&c.text));
        kb_complaints_free(&c);
        return false;
    }
    l->c.tolerance = job->tolerance;
    if (!kb_case_resolve(&l->c, &l->problem, &err))
        return stop_err(l, &err, KB_R_CONTRACT);
    l->row->bytes = l->problem.bytes;
    l->row->flops = l->problem.flops;
    const struct kb_kernel *kernel = kb_session_kernel(s, l->c.op, job->kernel, &err);
    if (!kernel ||
        !kb_build_parse(job->build, job->trusted_flags, l->arena, &l->build, &err))
        return stop_err(l, &err, KB_R_VARIANT);
    l->row->kernel = kb_arena_strdup(l->arena, kernel->path);
    kb_build_resolve(&l->build, device->limits.sm, l->arena);
    l->row->build = l->build.name;
    l->row->flags = l->build.flags;
    if (!kb_kernel_has_op(kernel, l->c.op->name))
        return stop(l, KB_R_VARIANT, "%s is not for %s", kernel->path, l->c.op->name);
    if (!job->variant) {
        if (!kb_plan_default(kernel, &l->problem, s->backend->name, &device->limits,
                             l->arena, &l->plan, &err))
            return stop_err(l, &err, KB_R_VARIANT);
    } else {
        int v = kb_kernel_variant(kernel, job->variant);
        if (v < 0)
            return stop(l, KB_R_CONTRACT, "%s has no variant %s", kernel->path,
                        job->variant);
        l->row->variant = job->variant;
        if (!kb_plan_make(kernel, v, &l->problem, s->backend->name, &device->limits,
                          l->arena, &l->plan, &err))
            return stop_err(l, &err, KB_R_VARIANT);
    }
    l->row->variant = l->plan.variant->name;
    l->row->n_launches = l->plan.n_launches;
    memcpy(l->row->grid, l->plan.launches[0].grid, sizeof l->row->grid);
    memcpy(l->row->block, l->plan.launches[0].block, sizeof l->row->block);
    return true;
}

static bool phase_build(struct life *l) {
    struct kb_err err = {0};
    int64_t start = kb_now_ns();

    bool ok = kb_session_build(l->session, &l->plan, &l->build, &l->built, &err);
    l->row->ms_build = (double)(kb_now_ns() - start) / 1e6;
    if (!ok)
        return stop_err(l, &err, KB_R_BUILD_HERE);
    l->row->built = true;
    l->row->code = l->built->info;
    return true;
}

/* Refused before anything is allocated where the device cannot hold it. */
static bool phase_fit(struct life *l) {
    const struct kb_device_info *d = l->session->backend->info(l->session->device);
    size_t limit = l->session->exec.memory_limit;
    double bytes = 0;

    for (int t = 0; t < l->problem.n_tensors; t++)
        bytes += (double)l->problem.tensors[t].elements *
                 (double)kb_dtype_bytes(l->problem.tensors[t].dtype);
    for (int i = 0; i < l->plan.n_scratch; i++)
        bytes += (double)l->plan.scratch[i].bytes;
    if (limit > 0 && bytes > (double)limit)
        return stop(l, KB_R_MEMORY, "needs %.3g GB, the limit is %.3g GB", bytes / 1e9,
                    (double)limit / 1e9);
    if (d->free_bytes > 0 && bytes > (double)d->free_bytes)
        return stop(l, KB_R_MEMORY, "needs %.3g GB, %.3g GB are free", bytes / 1e9,
                    (double)d->free_bytes / 1e9);
    return true;
}

static bool phase_fill(struct life *l) {
    struct kb_err err = {0};

    if (!phase_fit(l))
        return false;
    if (!kb_session_slab(&l->problem, &l->plan, l->job->seed, &l->initial, &err) ||
        !kb_slab_copy(&l->work, &l->initial, &err))
        return stop_err(l, &err, KB_R_MEMORY);
    return true;
}

/* One run over `slab`; a finding or an error ends the case. */
static bool launch(struct life *l, struct kb_slab *slab,
                   const struct kb_run_options *options) {
    struct kb_run_result result = {0};
    struct kb_err err = {0};
    struct kb_session *s = l->session;

    if (!s->backend->run(s->device, l->built->code, &l->plan, slab, options, &result, &err))
        return stop_err(l, &err, KB_R_VARIANT);
    if (*result.warning && !l->row->warning)
        l->row->warning = kb_arena_strdup(l->arena, result.warning);
    if (result.finding == KB_FOUND_DEADLOCK)
        return stop(l, KB_R_DEADLOCK, "%s", result.text);
    if (result.finding == KB_FOUND_SANITIZER)
        return stop(l, KB_R_SANITIZER, "%s", result.text);
    return true;
}

static const char *slot_name(const struct life *l, int slot) {
    if (slot < l->problem.n_tensors)
        return l->problem.tensors[slot].name;
    return l->plan.variant->scratch[slot - l->problem.n_tensors].name;
}

/* Guard zones as bytes; inputs against what they were before the launch. */
static bool phase_guards(struct life *l, const struct kb_slab *slab) {
    struct kb_guard_hit hits[2 * (KB_MAX_TENSORS + KB_MAX_SCRATCH)];
    int n = kb_slab_guards(slab, hits, (int)KB_COUNT(hits));

    for (int i = 0; i < n && i < (int)KB_COUNT(hits); i++)
        l->row->out_of_bounds += (int64_t)hits[i].changed_bytes;
    for (int t = 0; t < l->problem.n_tensors; t++) {
        size_t bytes = slab->slots[t].bytes;
        if (l->problem.tensors[t].role != KB_IN || bytes == 0)
            continue;
        const unsigned char *now = kb_slab_at(slab, t),
                            *before = kb_slab_at(&l->initial, t);
        if (memcmp(now, before, bytes) == 0)
            continue;
        size_t first = 0, changed = 0;
        while (now[first] == before[first])
            first++;
        for (size_t b = first; b < bytes; b++)
            changed += now[b] != before[b];
        l->row->inputs_changed += (int64_t)changed;
        if (n == 0)
            stop(l, KB_R_INPUT_CHANGED,
                 "input %s was written to: %zu bytes, the first at byte %zu",
                 slot_name(l, t), changed, first);
    }
    if (n > 0)
        stop(l, KB_R_OUT_OF_BOUNDS,
             "%zu bytes %s %s were overwritten, the nearest %zu bytes %s",
             hits[0].changed_bytes,
             hits[0].after ? "past the end of" : "before the start of",
             slot_name(l, hits[0].slot), hits[0].distance,
             hits[0].after ? "past it" : "before it");
    return l->row->reason == KB_R_NONE;
}

static void judge_output(struct life *l, const struct kb_output_report *o) {
    if (o->over == 0 || l->row->reason != KB_R_NONE)
        return;
    if (o->unwritten > 0)
        stop(l, KB_R_UNWRITTEN,
             "%s: %lld of %lld elements were never written: the poison is still in them%s",
             o->name, (long long)o->unwritten, (long long)o->elements,
             o->over > o->unwritten ? ", and others are wrong" : "; the rest is right");
    else if (o->exact)
        stop(l, KB_R_MISMATCH,
             "%s: %lld of %lld elements differ, where equal bits are wanted", o->name,
             (long long)o->over, (long long)o->elements);
    else
        stop(l, KB_R_MISMATCH, "%s: %lld of %lld elements are past the %s", o->name,
             (long long)o->over, (long long)o->elements,
             o->tolerance.rule == KB_TOL_BOUND ? "bound" : "tolerance");
}

/* The reference streams past the output; what differs is judged by the op's rule. */
static void phase_compare(struct life *l) {
    const void *in[KB_MAX_TENSORS] = {0};
    const struct kb_op *op = l->c.op;

    for (int t = 0; t < l->problem.n_tensors; t++)
        in[t] = l->initial.slots[t].bytes ? kb_slab_at(&l->initial, t) : NULL;
    if (op->prepare)
        l->prepared = op->prepare(&l->problem, in);
    for (int t = 0; t < l->problem.n_tensors; t++) {
        if (l->problem.tensors[t].role == KB_IN || l->row->n_outputs == KB_MAX_OUTPUTS)
            continue;
        struct kb_compare_args args = {
            .problem = &l->problem,
            .tensor = t,
            .in = in,
            .prepared = l->prepared,
            .got = kb_slab_at(&l->work, t),
            .bound_factor = l->build.fast_math ? op->fast_math_factor : 1,
            .tolerance = l->c.tolerance,
        };
        struct kb_output_report *o = &l->row->outputs[l->row->n_outputs++];
        kb_compare(&args, o);
        l->row->unwritten += o->unwritten;
        judge_output(l, o);
    }
    l->row->checked = true;
}

static bool same_outputs(const struct life *l, const struct kb_slab *a,
                         const struct kb_slab *b, int *tensor) {
    for (int t = 0; t < l->problem.n_tensors; t++) {
        size_t bytes = a->slots[t].bytes;
        if (l->problem.tensors[t].role != KB_IN && bytes > 0 &&
            memcmp(kb_slab_at(a, t), kb_slab_at(b, t), bytes) != 0) {
            *tensor = t;
            return false;
        }
    }
    return true;
}

/* Again from the other poison: other block orders on host, the same launch on a GPU. What
 * was left unwritten but looked right, or depends on the order, shows as other bits. */
static bool phase_again(struct life *l) {
    bool host = kb_streq(l->session->backend->name, "host");
    int runs = host ? 2 : 1;

    l->row->orders = 1;
    if (l->session->exec.sanitize)
        return true; /* one order is slow enough there, and the finding is what counts */
    for (int i = 0; i < runs; i++) {
        struct kb_slab again = {0};
        struct kb_err err = {0};
        int t = 0;
        struct kb_run_options options = {
            .order = i == 0 ? KB_ORDER_REVERSED : KB_ORDER_SHUFFLED,
            .schedule_seed = l->job->seed + (uint64_t)i + 1,
        };
        if (!kb_slab_copy(&again, &l->initial, &err))
            return stop_err(l, &err, KB_R_MEMORY);
        kb_poison_outputs(&l->problem, &again, 1);
        bool ok = launch(l, &again, &options) && phase_guards(l, &again);
        if (ok && !same_outputs(l, &l->work, &again, &t))
            ok = stop(l, KB_R_ORDER, "%s: other bits %s", l->problem.tensors[t].name,
                      host ? i == 0 ? "with blocks in reversed order"
                                    : "with blocks and threads shuffled"
                           : "when launched again");
        kb_slab_free(&again);
        if (!ok)
            return false;
        l->row->orders++;
    }
    return true;
}

static void phase_time(struct life *l) {
    struct kb_err err = {0};
    int64_t start = kb_now_ns();

    if (!kb_session_time(l->session, l->job, &l->problem, &l->plan, l->built->code,
                         &l->initial, &l->work, l->arena, l->row, &err))
        stop_err(l, &err, KB_R_VARIANT);
    l->row->ms_time = (double)(kb_now_ns() - start) / 1e6;
}

static void live(struct life *l) {
    struct kb_run_options forward = {.order = KB_ORDER_FORWARD};
    bool can_time = l->session->backend->timer_open != NULL;

    if (!phase_plan(l) || !phase_build(l) || l->job->mode == KB_BUILD_ONLY)
        return;
    int64_t start = kb_now_ns();
    bool ran = phase_fill(l) && launch(l, &l->work, &forward);
    if (ran) {
        phase_guards(l, &l->work);
        phase_compare(l);
    }
    bool right = ran && l->row->reason == KB_R_NONE && phase_again(l);
    l->row->ms_check = (double)(kb_now_ns() - start) / 1e6;
    if (l->job->mode == KB_BENCH && can_time && (right || (ran && l->job->time_failing)) &&
        !l->session->dead)
        phase_time(l);
}

static const char *repeat_line(const struct kb_job *job, const char *build,
                               const char *variant, struct kb_arena *arena) {
    struct kb_buf text = {0};
    bool quote = strpbrk(job->build, " ") != NULL;

    kb_buf_printf(&text, "kbench --case %s", job->case_id);
    if (job->kernel)
        kb_buf_printf(&text, " --kernel %s%s%s", job->kernel, variant ? ":" : "",
                      variant ? variant : "");
    kb_buf_printf(&text, " --build %s%s%s", quote ? "'" : "", quote ? job->build : build,
                  quote ? "'" : "");
    if (variant && !job->kernel)
        kb_buf_printf(&text, " --variant %s", variant);
    kb_buf_printf(&text, " --seed %llu", (unsigned long long)job->seed);
    if (job->repeat_options && *job->repeat_options)
        kb_buf_printf(&text, " %s", job->repeat_options);
    const char *line = kb_arena_strdup(arena, text.data);
    kb_buf_free(&text);
    return line;
}

/* The case's parameters and axes as key=value text. */
static void describe_case(const struct kb_case *c, struct kb_arena *arena,
                          struct kb_row *row) {
    struct kb_problem *problem = kb_arena_alloc(arena, sizeof *problem);
    struct kb_err err = {0};

    row->op = c->op->name;
    row->dtype = c->dtype;
    row->rank = c->rank;
    memcpy(row->shape, c->shape, sizeof row->shape);
    row->fill = kb_fill_word(c->fill);
    for (int i = 0; i < c->op->n_params; i++) {
        struct kb_buf text = {0};
        if (c->set[i].v == c->op->params[i].def)
            continue;
        kb_buf_printf(&text, "%s=", c->op->params[i].name);
        kb_value_print(&c->op->params[i], c->set[i], &text);
        kb_strings_add(&row->set, arena, kb_arena_strdup(arena, text.data));
        kb_buf_free(&text);
    }
    if (!kb_case_resolve(c, problem, &err))
        return;
    row->bytes = problem->bytes;
    row->flops = problem->flops;
    for (int i = 0; i < problem->n_names; i++) {
        const struct kb_name *name = &problem->names[i];
        int index;
        if (!name->words && !name->is_float && !kb_op_param(c->op, name->name, &index))
            kb_strings_add(&row->axes, arena,
                           kb_arena_printf(arena, "%s=%.0f", name->name, name->value));
    }
}

void kb_row_begin(const struct kb_job *job, const struct kb_device_info *device,
                  struct kb_arena *arena, struct kb_row *row) {
    struct kb_complaints complaints = {0};
    struct kb_case c = {0};
    const char *eq = strchr(job->build, '=');

    *row = (struct kb_row){
        .case_id = job->case_id,
        .device = device->id,
        .backend = device->backend,
        .build = eq ? kb_arena_strndup(arena, job->build, (size_t)(eq - job->build))
                    : job->build,
        .variant = job->variant,
        .kernel = job->kernel,
        .op = "",
        .fill = "",
        .tags = job->tags,
        .origin = job->origin,
        .seed = job->seed,
    };
    row->repeat = repeat_line(job, row->build, job->variant, arena);
    if (kb_case_parse(job->case_id, arena, &c, &complaints))
        describe_case(&c, arena, row);
    kb_complaints_free(&complaints);
}

void kb_session_run(struct kb_session *session, const struct kb_job *job,
                    struct kb_arena *arena, struct kb_row *row) {
    struct life l = {.session = session, .job = job, .arena = arena, .row = row};
    int64_t start = kb_now_ns();

    kb_row_begin(job, session->backend->info(session->device), arena, row);
    live(&l);
    row->repeat = repeat_line(job, row->build, row->variant, arena);
    row->ms_total = (double)(kb_now_ns() - start) / 1e6;
    free(l.prepared);
    kb_slab_free(&l.work);
    kb_slab_free(&l.initial);
}
