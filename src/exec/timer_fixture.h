/* timer_fixture.h - timers over the driver without a GPU, for tests. */
#ifndef KB_EXEC_TIMER_FIXTURE_H
#define KB_EXEC_TIMER_FIXTURE_H

#include "stub_fixture.h"

static inline struct kb_timer *open_timer(struct fixture *f, enum kb_method method,
                                          int sets, struct kb_timer_facts *facts) {
    struct kb_timer *timer = NULL;
    if (!kb_cuda.timer_open(f->device, f->code, f->plan, &f->slab, method, sets, &timer,
                            facts, &f->err))
        fail_msg("%s", f->err.msg);
    return timer;
}

static inline void expect_samples(struct fixture *f, struct kb_timer *timer, double want) {
    double ns[70];
    if (!kb_cuda.timer_sample(timer, 70, ns, &f->err))
        fail_msg("%s", f->err.msg);
    for (int i = 0; i < 70; i++)
        if (!(ns[i] > want * 0.9999 && ns[i] < want * 1.0001))
            fail_msg("sample %d is %g ns, wanted %g", i, ns[i], want);
}

#endif
