/* pace.c - pauses between samples, so that the GPU is busy for no more than a share of the
 * time (job->duty).
 *
 * Matrix kernels draw more than a GPU may for long. On an H200 of 700 W the driver lowers
 * the clock about 0.1 s after they begin, by how much depends on the temperature and on
 * what ran before, and it raises it again some 0.4 s after they end. Busy for half of the
 * time, 4 ms at once, mma and mla_prefill draw 400 to 500 W and stay at 1980 MHz. */
#include "sampling.h"

#include <string.h>
#include <time.h>

enum { BURST_NS = 4000000, MAX_BURST = 64 };
/* Until clocks are let go that somebody before has held back: no longer than this, as where
 * the duty is too much for them they are never. */
enum { SETTLE_NS = 1000000000, SETTLE_BURSTS = 256 };

void kb_pace_begin(struct kb_session *s, const struct kb_job *job, enum kb_method method) {
    bool of_gpu = method != KB_LAUNCH; /* the host's own time is in no power limit */

    s->pace.duty = of_gpu && job->duty < 1 ? job->duty : 0;
    s->pace.each_ns = 0;
}

int kb_pace_most(const struct kb_session *s) {
    const struct kb_pace *p = &s->pace;
    int64_t fit = p->each_ns ? BURST_NS / p->each_ns : 1;

    if (p->duty <= 0)
        return INT32_MAX;
    return fit < 1 ? 1 : fit > MAX_BURST ? MAX_BURST : (int)fit;
}

static void rest(const struct kb_pace *p) {
    int64_t left;

    while ((left = p->rest_until_ns - kb_now_ns()) > 0) {
        const struct timespec pause = {left / 1000000000, left % 1000000000};
        nanosleep(&pause, NULL);
    }
}

/* The first sample after a pause takes some 10 us more, or less, than those behind it, and
 * is not one; where that is nothing beside a sample it is. */
static bool burst(struct kb_session *s, struct kb_timer *timer, int n, double *ns,
                  struct kb_err *err) {
    struct kb_pace *p = &s->pace;
    double all[1 + MAX_BURST];
    int lead = p->each_ns < BURST_NS;

    rest(p);
    int64_t start = kb_now_ns();
    if (!s->backend->timer_sample(timer, lead + n, all, err))
        return false;
    int64_t end = kb_now_ns();
    memcpy(ns, all + lead, (size_t)n * sizeof *ns);
    p->each_ns = (end - start) / (lead + n) + 1;
    p->rest_until_ns = end + (int64_t)((double)(end - start) * (1 / p->duty - 1));
    return true;
}

bool kb_pace_sample(struct kb_session *s, struct kb_timer *timer, int n, double *ns,
                    struct kb_err *err) {
    if (s->pace.duty <= 0)
        return s->backend->timer_sample(timer, n, ns, err);
    for (int done = 0; done < n;) {
        int most = kb_pace_most(s), some = n - done < most ? n - done : most;
        if (!burst(s, timer, some, ns + done, err))
            return false;
        done += some;
    }
    return true;
}

bool kb_pace_settle(struct kb_session *s, struct kb_timer *timer, struct kb_err *err) {
    int64_t start = kb_now_ns();
    double ns[MAX_BURST];

    if (s->pace.duty <= 0 || !s->backend->clocks)
        return true;
    for (int i = 0; i < SETTLE_BURSTS && kb_now_ns() - start < SETTLE_NS; i++) {
        struct kb_clocks clocks = {0};
        if (!kb_sample(s, timer, kb_pace_most(s), ns, err))
            return false;
        s->backend->clocks(s->device, &clocks);
        if (!(clocks.throttle & ~KB_THROTTLE_UNKNOWN))
            break;
    }
    return true;
}
