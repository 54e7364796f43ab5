/* cuda_energy.c - what one launch costs in energy: many of them, by the GPU's own counter.
 */
#include "cuda_timer.h"

/* What the counter stood at, and how many launches there had been. */
struct reading {
    int64_t mj, launches;
};

enum { AT_ONCE_NS = 5000000, PATIENCE_NS = 500000000, MOST_AT_ONCE = 512 };

/* A rotation over all sets, or one launch after the other on the same; *launches: how many.
 */
static bool go_on(struct kb_timer *timer, int at_once, int64_t *launches,
                  struct kb_err *err) {
    bool graph = timer->graphs != NULL, ok = true;
    for (int i = 0; i < at_once && ok; i++) {
        if (graph) {
            int which = timer->next;
            CUresult rc =
                timer->device->cu.GraphLaunch(timer->graphs[which], timer->device->stream);
            ok = !rc || kb_cuda_fail(&timer->device->cu, rc, "launch", err);
            *launches += kb_timer_launches(timer, which);
            timer->next = (which + 1) % timer->n_graphs;
        } else {
            ok = kb_timer_launch(timer, 0, err);
            *launches += 1;
        }
    }
    return ok && kb_cuda_sync(timer->device, err);
}

/* How many of them take some milliseconds: the host waits between one such lot and the
 * next, and that must be little of it. */
static bool count_at_once(struct kb_timer *timer, int *at_once, struct kb_err *err) {
    int64_t launches = 0, start = kb_now_ns();
    if (!go_on(timer, 1, &launches, err))
        return false;
    int64_t ns = kb_now_ns() - start;
    int64_t n = ns > 0 ? AT_ONCE_NS / ns : MOST_AT_ONCE;
    *at_once = n < 1 ? 1 : n > MOST_AT_ONCE ? MOST_AT_ONCE : (int)n;
    return true;
}

/* The counter is brought up to date some times a second: on until it has just been. */
static bool until_it_moves(struct kb_timer *timer, int at_once, struct reading *now,
                           int64_t *launches, struct kb_err *err) {
    const struct kb_nvml *nvml = &timer->device->nvml;
    int64_t start = kb_now_ns(), before, mj;
    if (!kb_nvml_energy(nvml, &before))
        return kb_fail(err, KB_UNSUPPORTED, "no energy: NVML has no counter of it here");
    do { /* looked at once at least, however long a launch takes */
        if (!go_on(timer, at_once, launches, err))
            return false;
        if (kb_nvml_energy(nvml, &mj) && mj != before) {
            *now = (struct reading){mj, *launches};
            return true;
        }
    } while (kb_now_ns() - start <= PATIENCE_NS);
    return kb_fail(err, KB_UNSUPPORTED, "no energy: its counter stands still");
}

bool kb_timer_energy(struct kb_timer *timer, double seconds, double *joules,
                     struct kb_err *err) {
    struct reading first, last;
    int64_t launches = 0;
    int at_once;
    timer->tensors->fresh = NULL;
    timer->scratch->fresh = NULL;
    if (timer->method == KB_COLD || timer->method == KB_LAUNCH || timer->method == KB_CUPTI)
        return kb_fail(err, KB_UNSUPPORTED,
                       "no energy by %s: its launches are not all that runs",
                       kb_method_word(timer->method));
    if (!kb_cuda_current(timer->device, err) || !count_at_once(timer, &at_once, err) ||
        !until_it_moves(timer, at_once, &first, &launches, err))
        return false;
    int64_t end = kb_now_ns() + (int64_t)(seconds * 1e9);
    while (kb_now_ns() < end)
        if (!go_on(timer, at_once, &launches, err))
            return false;
    if (!until_it_moves(timer, at_once, &last, &launches, err))
        return false;
    *joules = (double)(last.mj - first.mj) / 1e3 / (double)(last.launches - first.launches);
    return true;
}
