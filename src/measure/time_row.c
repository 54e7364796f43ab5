/* time_row.c - the times of a row: each method that was asked for, the timed output checked
 * again, the ceiling beside it, what is not to be believed and what limits the kernel. */
#include "sampling.h"

#include <math.h>
#include <string.h>

bool kb_time_of_mma(const struct kb_time *time) {
    return time->ceiling_op && kb_streq(time->ceiling_op, "mma");
}

/* What limits a kernel, as far as times tell: see `kbench help methods`. A launch that does
 * nothing takes most of its time; or it keeps up with a kernel that only moves its bytes,
 * which are many, or so few that waiting for them is all there is; or it does not, and what
 * it computes keeps it. */
static const char *limited_by(const struct kb_row *row, const struct kb_time *t,
                              const struct kb_device_info *device) {
    bool few = row->bytes < device->l2_bytes / 4;

    if (t->floor_ns > 0.7 * t->median_ns)
        return "launch";
    if (kb_time_of_mma(t))
        return "compute";
    if (isnan(t->ceiling))
        return few && t->floor_ns > 0.1 * t->median_ns ? "latency" : NULL;
    if (few)
        return t->ceiling >= 0.33 ? "latency" : "compute";
    return t->ceiling >= 0.8 ? "bandwidth" : "compute";
}

/* Whether a time says what the bytes took. An event pair's own time is in every cold and
 * hot number, and CUPTI's stamps stand apart as well; a graph's nodes follow each other, so
 * that nothing of the timer is left in them. */
static bool tells_bytes(const struct kb_problem *problem, enum kb_method method,
                        const struct kb_time *t) {
    bool nodes = method == KB_GRAPH || method == KB_PDL;

    return problem->bytes > 0 && method != KB_LAUNCH &&
           (nodes || t->floor_ns <= 0.1 * t->median_ns);
}

/* A time of bytes that came from memory, all of them. */
static bool is_cold(const struct kb_time *t, const struct kb_device_info *device) {
    return kb_streq(t->cache, "flushed") || t->footprint_bytes > device->l2_bytes;
}

/* What the bytes make of a time, and what the ceiling's kernel does. */
bool kb_time_finish(struct kb_session *s, const struct kb_job *job,
                    const struct kb_problem *problem, enum kb_method method,
                    struct kb_arena *arena, struct kb_row *row, struct kb_err *err) {
    const struct kb_device_info *device = s->backend->info(s->device);
    struct kb_time *t = &row->times[method];

    t->ceiling = NAN;
    if (!tells_bytes(problem, method, t))
        return true;
    if (!kb_session_ceiling(s, job, problem, method, arena, row, &t->ceiling_ns, err))
        return false;
    t->gb_per_s = (double)problem->bytes / t->median_ns;
    t->ceiling = t->ceiling_ns / t->median_ns;
    t->ceiling_op = kb_ceiling_op(problem);
    bool moves = !kb_time_of_mma(t);
    if (t->ceiling > 1.05 && (!moves || is_cold(t, device)))
        kb_time_worsen(
            t, KB_Q_SUSPECT,
            kb_arena_printf(arena,
                            moves ? "faster than a kernel that only moves its bytes (%.3g "
                                    "us): were they cold?"
                                  : "faster than tensor cores that do no more than its "
                                    "products (%.3g us)",
                            t->ceiling_ns / 1e3),
            arena);
    return true;
}

/* A kernel that keeps up with moving its bytes from memory is faster where they lie in the
 * L2. Where they do, and cold is no slower than hot, the flush has left them there. Of more
 * bytes than the L2 holds hot is no hotter than cold, and of few that much is computed on
 * neither shows. */
static void audit_cold(struct kb_row *row, const struct kb_device_info *device,
                       struct kb_arena *arena) {
    struct kb_time *graph = &row->times[KB_GRAPH], *cold = &row->times[KB_COLD];
    const struct kb_time *hot = &row->times[KB_HOT];
    const struct kb_time *moving = graph->there ? graph : cold;

    if (!hot->there || !(moving->ceiling >= 0.5) || kb_time_of_mma(moving) ||
        hot->footprint_bytes > device->l2_bytes / 4)
        return;
    if (cold->there && cold->low_ns <= hot->high_ns)
        kb_time_worsen(
            cold, KB_Q_SUSPECT,
            "no slower than hot, though its bytes fit into the L2: were they flushed?",
            arena);
    /* Beside a graph's node an event pair is left out, and an empty node put in. */
    double node_ns = hot->high_ns - hot->floor_ns + graph->floor_ns;
    if (graph->there && graph->footprint_bytes > device->l2_bytes &&
        graph->low_ns <= node_ns)
        kb_time_worsen(
            graph, KB_Q_SUSPECT,
            "no slower than hot, though its buffers are more than the L2 holds: do "
            "they rotate?",
            arena);
}

/* The timed kernel must have computed what was checked, and left its inputs alone. */
bool kb_timed_output_right(const struct kb_problem *problem, const struct kb_slab *initial,
                           const struct kb_slab *result, const struct kb_slab *check,
                           enum kb_method method, struct kb_arena *arena,
                           struct kb_row *row) {
    for (int t = 0; t < problem->n_tensors; t++) {
        bool input = problem->tensors[t].role == KB_IN;
        const struct kb_slab *wanted = input ? initial : result;
        size_t bytes = wanted->slots[t].bytes;
        if (bytes == 0 || kb_same(kb_slab_at(wanted, t), kb_slab_at(check, t), bytes))
            continue;
        row->reason = input ? KB_R_INPUT_CHANGED : KB_R_TIMED_OUTPUT;
        row->text =
            kb_arena_printf(arena,
                            input ? "input %s was written to by launches timed by %s"
                                  : "%s: other bits from the launches timed by %s",
                            problem->tensors[t].name, kb_method_word(method));
        return false;
    }
    return true;
}

bool kb_ends_case(const struct kb_session *session, const struct kb_err *err) {
    enum kb_reason reason = kb_reason_of(err, KB_R_VARIANT, session->exec.no_compile);

    return reason == KB_R_LAUNCH || reason == KB_R_CRASH || reason == KB_R_TIMEOUT ||
           reason == KB_R_NO_COMPILE;
}

static bool time_method(struct kb_session *s, const struct kb_job *job,
                        const struct kb_problem *problem, const struct kb_timed *timed,
                        enum kb_method method, struct kb_slab *check,
                        struct kb_arena *arena, struct kb_row *row, struct kb_err *err) {
    struct kb_time *time = &row->times[method];
    struct kb_err why = {0};

    if (kb_time_plan(s, job, timed, method, check, arena, time, &why))
        return kb_time_finish(s, job, problem, method, arena, row, err);
    *time = (struct kb_time){0};
    kb_at(&why, "not timed by %s", kb_method_word(method));
    if (kb_ends_case(s, &why)) {
        *err = why;
        return false;
    }
    kb_row_warn(row, arena, why.msg);
    return true;
}

bool kb_launches_nothing(const struct kb_plan *plan) {
    for (int i = 0; i < plan->n_launches; i++) {
        const int64_t *grid = plan->launches[i].grid;
        if (grid[0] != 0 && grid[1] != 0 && grid[2] != 0)
            return false;
    }
    return true;
}

static bool is_inplace(const struct kb_problem *problem) {
    for (int t = 0; t < problem->n_tensors; t++)
        if (problem->tensors[t].role == KB_INOUT)
            return true;
    return false;
}

void kb_time_warn(const struct kb_problem *problem, struct kb_arena *arena,
                  struct kb_row *row) {
    if (is_inplace(problem))
        kb_row_warn(row, arena,
                    "timed in place: each launch reads what the last one on its buffers "
                    "left; the output was checked on buffers that were put back");
}

void kb_time_close(struct kb_session *session, bool right, struct kb_arena *arena,
                   struct kb_row *row) {
    /* The times of a kernel that turned out wrong, or ended with its device, are none. */
    if (!right)
        memset(row->times, 0, sizeof row->times);
    const struct kb_device_info *device = session->backend->info(session->device);
    audit_cold(row, device, arena);
    if (row->times[KB_GRAPH].there)
        row->limited_by = limited_by(row, &row->times[KB_GRAPH], device);
}

bool kb_session_time(struct kb_session *session, const struct kb_job *job,
                     const struct kb_problem *problem, const struct kb_plan *plan,
                     struct kb_code *code, const struct kb_slab *initial,
                     const struct kb_slab *result, struct kb_arena *arena,
                     struct kb_row *row, struct kb_err *err) {
    const struct kb_timed timed = {plan, code, initial, row};
    struct kb_slab check;
    struct kb_err why = {0};
    bool checked = row->reason == KB_R_NONE, ok = true;

    if (kb_launches_nothing(plan))
        return true; /* so there is nothing to time */
    kb_time_warn(problem, arena, row);
    check = kb_session_take(session, KB_SPARE_WORK);
    if (!kb_slab_like(&check, initial, 0, &why)) {
        kb_at(&why, "not timed");
        kb_row_warn(row, arena, why.msg);
        return true;
    }
    for (int m = 0; ok && m < KB_METHOD_COUNT; m++) {
        enum kb_method method = (enum kb_method)m;
        if (!(job->methods & 1u << m))
            continue;
        ok = time_method(session, job, problem, &timed, method, &check, arena, row, err);
        if (ok && checked && row->times[m].there &&
            !kb_timed_output_right(problem, initial, result, &check, method, arena, row))
            break;
    }
    kb_session_give(session, KB_SPARE_WORK, &check);
    kb_time_close(session, ok && !(checked && row->reason != KB_R_NONE), arena, row);
    return ok;
}
