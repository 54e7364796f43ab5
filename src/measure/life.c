/* life.c - the life of one case, top to bottom: plan, build, fill, launch, guards,
 * reference and comparison, again from another poison and in other orders, time, the row.
 * Each phase returns false where the case ends early, with the row's verdict set; --mode
 * build and check return earlier from this same code. */
#include "further.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool kb_life_stop(struct life *l, enum kb_reason reason, const char *fmt, ...) {
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

bool kb_life_stop_err(struct life *l, const struct kb_err *err,
                      enum kb_reason unsupported) {
    l->session->dead |= err->kind == KB_DEVICE;
    return kb_life_stop(l, kb_reason_of(err, unsupported, l->session->exec.no_compile),
                        "%s", err->msg);
}

/* ---- plan and build ---------------------------------------------------------------- */

static void describe_asked(const struct kb_asked *a, struct kb_arena *arena,
                           struct kb_row *row) {
    if (a->kernel)
        row->kernel = kb_arena_strdup(arena, a->kernel->path);
    if (a->build.name) {
        row->build = a->build.name;
        row->flags = a->build.flags;
    }
}

static bool phase_plan(struct life *l) {
    const struct kb_backend *backend = l->session->backend;
    const struct kb_device_info *device = backend->info(l->session->device);
    const struct kb_plan *plan = &l->asked.plan;
    struct kb_err err = {0};

    bool ok = kb_session_plan(l->session, backend->name, &device->limits, l->job, l->arena,
                              &l->asked, &err);
    describe_asked(&l->asked, l->arena, l->row);
    if (!ok)
        return kb_life_stop_err(l, &err, KB_R_VARIANT);
    l->row->variant = plan->variant->name;
    l->row->n_launches = plan->n_launches;
    memcpy(l->row->grid, plan->launches[0].grid, sizeof l->row->grid);
    memcpy(l->row->block, plan->launches[0].block, sizeof l->row->block);
    return true;
}

static bool phase_build(struct life *l) {
    struct kb_err err = {0};
    int64_t start = kb_now_ns();

    if (l->job->loaded_only && !kb_session_has_code(l->session, &l->asked))
        return kb_life_stop(l, KB_R_NO_COMPILE, "its code is not loaded");
    bool ok =
        kb_session_build(l->session, &l->asked.plan, &l->asked.build, &l->built, &err);
    if (ok && l->job->mode == KB_BUILD_ONLY && l->session->backend->timer_open)
        ok = kb_session_ceiling_build(l->session, &l->asked.problem, l->arena, &err);
    l->row->ms_build = (double)(kb_now_ns() - start) / 1e6;
    if (!ok)
        return kb_life_stop_err(l, &err, KB_R_BUILD_HERE);
    l->row->built = true;
    l->row->code = l->built->info;
    if (*l->built->info.note) { /* of the cache: said once, by the case that built it */
        kb_row_warn(l->row, l->arena, l->built->info.note);
        *l->built->info.note = '\0';
    }
    return true;
}

/* ---- fill and launch --------------------------------------------------------------- */

static bool too_large(struct life *l, double bytes, double have, const char *what) {
    if (bytes <= have)
        return false;
    kb_life_stop(l, KB_R_MEMORY, "needs %s, %s %s", kb_size_text(bytes).text,
                 kb_size_text(have).text, what);
    return true;
}

/* Refused before anything is allocated where the device cannot hold it, or this machine
 * what is there at once: all as filled and as left, and the outputs as left before. */
static bool phase_fit(struct life *l) {
    const struct kb_device_info *device = l->session->backend->info(l->session->device);
    const struct kb_problem *problem = &l->asked.problem;
    double limit = (double)l->session->exec.memory_limit, bytes = 0, outputs = 0;
    double machine = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE);
    bool shared = kb_streq(device->backend, "host") && limit == 0 && device->free_bytes > 0;

    for (int t = 0; t < problem->n_tensors; t++) {
        const struct kb_tensor_spec *spec = &problem->tensors[t];
        double size = (double)spec->elements * (double)kb_dtype_bytes(spec->dtype);
        bytes += size;
        outputs += spec->role == KB_IN ? 0 : size;
    }
    for (int i = 0; i < l->asked.plan.n_scratch; i++)
        bytes += (double)l->asked.plan.scratch[i].bytes;
    if (limit > 0 && too_large(l, bytes, limit, "is the limit"))
        return false;
    if (device->free_bytes > 0 &&
        too_large(l, bytes, (double)device->free_bytes, "are free"))
        return false;
    if (shared) /* where the device's memory is the machine's, others have some of it */
        return !too_large(l, 2 * bytes + outputs, (double)device->free_bytes,
                          "are free for two copies and the outputs");
    return machine <= 0 ||
           !too_large(l, 2 * bytes + outputs, machine,
                      "is what this machine has for two copies and the outputs");
}

static bool phase_fill(struct life *l) {
    struct kb_err err = {0};

    if (!phase_fit(l))
        return false;
    if (!kb_session_slab(l->session, &l->asked.problem, &l->asked.plan, l->job->seed,
                         &l->initial, &err))
        return kb_life_stop_err(l, &err, KB_R_MEMORY);
    /* The file was held against the case before: it has changed since. */
    if (l->job->load && !kb_load_inputs(l->job->load, &l->asked.problem, &l->initial, &err))
        return kb_life_stop(l, KB_R_IO, "%s", err.msg);
    return true;
}

/* The first run, from the slab as filled, into the one that runs work on. */
static bool phase_launch(struct life *l) {
    bool mapped = l->session->backend->maps_slabs;
    struct kb_run_options forward = {
        .order = KB_ORDER_FORWARD,
        .from = mapped ? NULL : &l->initial,
    };
    size_t room = kb_life_again_room(l);
    struct kb_err err = {0};

    if (!(mapped ? kb_slab_copy_roomy : kb_slab_like)(&l->work, &l->initial, room, &err))
        return kb_life_stop_err(l, &err, KB_R_MEMORY);
    return kb_life_run_on(l, &l->work, &forward);
}

bool kb_life_run_plan(struct life *l, const struct kb_plan *plan, struct kb_code *code,
                      struct kb_slab *slab, const struct kb_run_options *options,
                      struct kb_run_result *result) {
    struct kb_err err = {0};
    struct kb_session *s = l->session;
    struct kb_run_options limited = *options;

    *result = (struct kb_run_result){0};
    limited.limit_ms = kb_work_limit_ms(s->backend->name, &l->asked.problem);
    if (!s->backend->run(s->device, code, plan, slab, &limited, result, &err))
        return kb_life_stop_err(l, &err, KB_R_VARIANT);
    if (*result->warning)
        kb_row_warn(l->row, l->arena, result->warning);
    if (result->finding == KB_FOUND_DEADLOCK)
        return kb_life_stop(l, KB_R_DEADLOCK, "%s", result->text);
    if (result->finding == KB_FOUND_SANITIZER)
        return kb_life_stop(l, KB_R_SANITIZER, "%s", result->text);
    if (result->finding == KB_FOUND_MISALIGNED)
        return kb_life_stop(l, KB_R_ALIGNMENT, "%s", result->text);
    return true;
}

bool kb_life_run_on(struct life *l, struct kb_slab *slab,
                    const struct kb_run_options *options) {
    struct kb_run_result result;

    return kb_life_run_plan(l, &l->asked.plan, l->built->code, slab, options, &result);
}

bool kb_life_run(struct life *l, int pattern, const struct kb_run_options *options) {
    kb_copy(l->work.data, l->initial.data, l->work.bytes);
    if (pattern != 0)
        kb_poison_outputs(&l->asked.problem, &l->work, pattern);
    return kb_life_run_on(l, &l->work, options);
}

/* ---- comparison -------------------------------------------------------------------- */

static void judge_output(struct life *l, const struct kb_output_report *o) {
    const char *checked = o->checked < o->elements ? "checked " : "";
    struct kb_buf follows = {0};

    if (o->over == 0 || l->row->reason != KB_R_NONE)
        return;
    kb_follows_words(o, &follows);
    if (o->touched > 0)
        kb_life_stop(
            l, KB_R_TOUCHED,
            "%s: %lld of %lld %selements were written to, though they must stay as they "
            "were%s%s",
            o->name, (long long)o->touched, (long long)o->checked, checked,
            o->over > o->touched ? ", and others are wrong" : "", kb_buf_text(&follows));
    else if (o->unwritten > 0)
        kb_life_stop(
            l, KB_R_UNWRITTEN,
            "%s: %lld of %lld %selements were never written: the poison is still in "
            "them%s",
            o->name, (long long)o->unwritten, (long long)o->checked, checked,
            o->over > o->unwritten      ? ", and others are wrong"
            : o->unwritten < o->checked ? "; the rest is right"
                                        : "");
    else if (o->exact)
        kb_life_stop(l, KB_R_MISMATCH,
                     "%s: %lld of %lld %selements differ, where equal bits are wanted%s",
                     o->name, (long long)o->over, (long long)o->checked, checked,
                     kb_buf_text(&follows));
    else
        kb_life_stop(l, KB_R_MISMATCH, "%s: %lld of %lld %selements are past the %s%s",
                     o->name, (long long)o->over, (long long)o->checked, checked,
                     o->tolerance.rule == KB_TOL_BOUND ? "bound" : "tolerance",
                     kb_buf_text(&follows));
    kb_buf_free(&follows);
}

struct kb_compare_args kb_life_compare_args(struct life *l, int tensor) {
    const struct kb_problem *problem = &l->asked.problem;

    for (int t = 0; t < problem->n_tensors; t++) {
        bool other = problem->tensors[t].role == KB_OUT && t != tensor;
        const struct kb_slab *slab = other ? &l->work : &l->initial;
        bool told = l->initial.slots[t].bytes && (!other || problem->c->op->reads_outputs);
        l->in[t] = told ? kb_slab_at(slab, t) : NULL;
    }
    return (struct kb_compare_args){
        .problem = problem,
        .tensor = tensor,
        .in = l->in,
        .prepared = l->prepared,
        .got = kb_slab_at(&l->work, tensor),
        .bound_factor = l->asked.build.fast_math ? l->asked.c.op->fast_math_factor : 1,
        .tolerance = l->asked.c.tolerance,
        .sample = l->samples[tensor].n ? &l->samples[tensor] : NULL,
        .kept = l->kept[tensor],
    };
}

/* The reference streams past the output; what differs is judged by the op's rule. */
static void phase_compare(struct life *l) {
    const struct kb_problem *problem = &l->asked.problem;
    const struct kb_op *op = l->asked.c.op;

    for (int t = 0; t < problem->n_tensors; t++)
        l->in[t] = l->initial.slots[t].bytes ? kb_slab_at(&l->initial, t) : NULL;
    if (op->prepare)
        l->prepared = op->prepare(problem, l->in);
    for (int t = 0; t < problem->n_tensors; t++) {
        if (problem->tensors[t].role == KB_IN || problem->tensors[t].absent)
            continue;
        if (l->job->sample_rows)
            kb_sampled_make(problem, t, l->job->sample_rows, l->job->seed, l->arena,
                            &l->samples[t]);
        struct kb_compare_args args = kb_life_compare_args(l, t);
        args.kept = l->kept[t] = kb_kept_find(&l->session->kept, &args);
        assert(l->row->n_outputs < KB_MAX_OUTPUTS);
        struct kb_output_report *o = &l->row->outputs[l->row->n_outputs++];
        kb_compare(&args, o);
        if (o->over > 0)
            kb_life_localise(l, &args, o);
        l->row->unwritten += o->unwritten;
        judge_output(l, o);
    }
    l->row->checked = true;
}

/* ---- time -------------------------------------------------------------------------- */

static void phase_time(struct life *l) {
    struct kb_err err = {0};
    int64_t start = kb_now_ns();

    /* What is timed has buffers of its own. */
    kb_session_give(l->session, KB_SPARE_WORK, &l->work);
    bool ok =
        kb_session_time(l->session, l->job, &l->asked.problem, &l->asked.plan,
                        l->built->code, &l->initial, &l->first, l->arena, l->row, &err);
    /* A kernel that was found wrong stays wrong, unless the device is gone as well. */
    if (!ok && (l->row->reason == KB_R_NONE || err.kind == KB_DEVICE))
        kb_life_stop_err(l, &err, KB_R_VARIANT);
    else if (!ok)
        kb_row_warn(l->row, l->arena, err.msg);
    l->row->ms_time = (double)(kb_now_ns() - start) / 1e6;
}

/* ---- for profilers ----------------------------------------------------------------- */

static void phase_profile(struct life *l) {
    const struct kb_backend *backend = l->session->backend;
    struct kb_err err = {0};

    if (backend->profile && !backend->profile(l->session->device, l->built->code,
                                              &l->asked.plan, &l->initial, &err))
        kb_life_stop_err(l, &err, KB_R_VARIANT);
}

/* What timed launches must leave, where no further runs kept it. */
static bool keep_for_time(struct life *l) {
    struct kb_err err = {0};

    return kb_life_keep_outputs(l, &err) || kb_life_stop_err(l, &err, KB_R_MEMORY);
}

bool kb_life_check(struct life *l) {
    bool timed = l->job->mode == KB_BENCH && l->session->backend->timer_open;

    if (!phase_plan(l) || !phase_build(l) || l->job->mode == KB_BUILD_ONLY)
        return false;
    int64_t start = kb_now_ns();
    bool ran = phase_fill(l) && phase_launch(l);
    if (ran) {
        kb_life_guards(l, &l->work);
        phase_compare(l);
        if (l->job->dump)
            kb_life_dump(l);
    }
    bool right = ran && l->row->reason == KB_R_NONE, further = right && !l->job->one_run;
    const struct kb_output_report *wide = further ? kb_life_prove(l) : NULL;
    memset(l->kept, 0,
           sizeof l->kept); /* further runs write over what they were found for */
    if (further)
        right = kb_life_again(l) && kb_life_trust(l, wide);
    else if (right && timed)
        right = keep_for_time(l);
    l->row->ms_check = (double)(kb_now_ns() - start) / 1e6;
    if (right && l->session->exec.profile)
        phase_profile(l);
    return timed && (right || (ran && l->job->time_failing)) && !l->session->dead;
}

void kb_life_begin(struct life *l, struct kb_session *session, const struct kb_job *job,
                   struct kb_arena *arena, struct kb_row *row) {
    *l = (struct life){
        .session = session,
        .job = job,
        .arena = arena,
        .row = row,
        .initial = kb_session_take(session, KB_SPARE_INITIAL),
        .work = kb_session_take(session, KB_SPARE_WORK),
        .first = kb_session_take(session, KB_SPARE_FIRST),
        .start_ns = kb_now_ns(),
    };
    kb_row_begin(job, session->backend->info(session->device), arena, row);
}

static void tell_occupancy(struct life *l) {
    const struct kb_session *s = l->session;

    if (s->backend->occupancy && l->row->built && !s->dead)
        s->backend->occupancy(s->device, l->built->code, &l->asked.plan,
                              &l->row->occupancy);
}

void kb_life_end(struct life *l) {
    tell_occupancy(l);
    l->row->repeat = kb_repeat_line(l->job, l->row->variant, l->arena);
    l->row->ms_total = (double)(kb_now_ns() - l->start_ns) / 1e6;
    free(l->prepared);
    l->prepared = NULL;
    kb_session_give(l->session, KB_SPARE_WORK, &l->work);
    kb_session_give(l->session, KB_SPARE_FIRST, &l->first);
    kb_slab_free(&l->second);
    kb_session_give(l->session, KB_SPARE_INITIAL, &l->initial);
}

void kb_session_run(struct kb_session *session, const struct kb_job *job,
                    struct kb_arena *arena, struct kb_row *row) {
    struct life l;

    kb_life_begin(&l, session, job, arena, row);
    if (kb_life_check(&l))
        phase_time(&l);
    kb_life_end(&l);
}
