/* again.c - the further runs of a case: from the other poison, in other block orders, in
 * the same process. Other bits than the first run left are a FAIL. */
#include "life.h"

/* What the next runs are held against. */
static bool keep_outputs(struct life *l, struct kb_err *err) {
    const struct kb_slab *work = &l->work;
    size_t bytes[KB_MAX_TENSORS] = {0};
    int n = l->asked.problem.n_tensors;

    for (int t = 0; t < n; t++)
        bytes[t] = l->asked.problem.tensors[t].role == KB_IN ? 0 : work->slots[t].bytes;
    if (!kb_slab_make(&l->first, KB_SLAB_PRIVATE, n, bytes, 0, err))
        return false;
    for (int t = 0; t < n; t++)
        kb_copy(kb_slab_at(&l->first, t), kb_slab_at(work, t), bytes[t]);
    return true;
}

/* Other bits than the first run left are a FAIL: unwritten, whatever the comparison made of
 * the poison (a NaN where a NaN was wanted, for one), or dependent on the order. */
static bool same_output(struct life *l, int t, const char *how) {
    const struct kb_tensor_spec *spec = &l->asked.problem.tensors[t];
    struct kb_compare_args args = kb_life_compare_args(l, t);
    struct kb_runs_report runs;

    args.got = kb_slab_at(&l->first, t);
    kb_compare_runs(&args, kb_slab_at(&l->work, t), &runs);
    l->row->unwritten += runs.unwritten;
    if (runs.unwritten > 0)
        return kb_life_stop(
            l, KB_R_UNWRITTEN,
            "%s: %lld of %lld elements were never written: they hold whatever was "
            "there before the launch",
            spec->name, (long long)runs.unwritten, (long long)spec->elements);
    if (runs.differing > 0)
        return kb_life_stop(l, KB_R_ORDER, "%s: other bits in %lld of %lld elements %s",
                            spec->name, (long long)runs.differing,
                            (long long)spec->elements, how);
    return true;
}

static bool same_outputs(struct life *l, const char *how) {
    for (int t = 0; t < l->asked.problem.n_tensors; t++) {
        size_t bytes = l->first.slots[t].bytes;
        if (bytes > 0 &&
            !kb_same(kb_slab_at(&l->work, t), kb_slab_at(&l->first, t), bytes) &&
            !same_output(l, t, how))
            return false;
    }
    return true;
}

bool kb_life_again(struct life *l) {
    static const char *const hows[] = {"with blocks in reversed order",
                                       "with blocks and threads shuffled, launched for the "
                                       "second time"};
    bool host = kb_streq(l->session->backend->name, "host"), ok = true;
    struct kb_err err = {0};

    l->row->orders = 1;
    if (l->session->exec.sanitize)
        return true; /* one order is slow enough there, and the finding is what counts */
    if (!keep_outputs(l, &err))
        return kb_life_stop_err(l, &err, KB_R_MEMORY);
    for (int i = 0; ok && i < (host ? 2 : 1); i++) {
        struct kb_run_options options = {
            .order = i == 0 ? KB_ORDER_REVERSED : KB_ORDER_SHUFFLED,
            .schedule_seed = l->job->seed + (uint64_t)i + 1,
            /* a GPU's launches are in one process anyway */
            .repeats = host && i == 1 ? 1 : 0,
        };
        ok = kb_life_run(l, 1, &options) && kb_life_guards(l, &l->work) &&
             same_outputs(l, host ? hows[i] : "when launched again");
        l->row->orders += ok;
    }
    return ok;
}
