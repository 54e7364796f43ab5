/* cuda_graph.c - samples as captured graphs: many launches, one after the other, over sets
 * that together are larger than the L2. */
#include "cuda_timer.h"

enum {
    SAMPLE_NS = 1000000, /* what it takes to start a graph between two events, a few us, */
                         /* is then a few thousandths of a sample                        */
    MAX_NODES = 8192,
    TRIES = 4,
};

bool kb_timer_launch(const struct kb_timer *timer, int set, struct kb_err *err) {
    CUdeviceptr slots[KB_MAX_SLOTS] = {0};
    int n_scratch = timer->plan.n_scratch;
    for (int i = 0; i < timer->n_tensors; i++)
        slots[i] = kb_sets_at(timer->tensors, set, i);
    for (int i = 0; i < n_scratch; i++)
        slots[timer->n_tensors + i] = kb_sets_at(timer->scratch, set, i);
    return kb_cuda_launch(timer->device, timer->code, &timer->plan, slots,
                          timer->n_tensors + n_scratch, timer->method == KB_PDL, err);
}

static bool record_launches(struct kb_timer *timer, int launches, CUgraph *out,
                            struct kb_err *err) {
    struct kb_device *device = timer->device;
    const struct kb_cuda *cu = &device->cu;
    CUresult rc =
        cu->StreamBeginCapture(device->stream, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL);
    if (rc)
        return kb_cuda_fail(cu, rc, "capture", err);
    bool ok = true;
    for (int i = 0; i < launches && ok; i++)
        ok = kb_timer_launch(timer, i % timer->n_sets, err);
    *out = NULL;
    rc = cu->StreamEndCapture(device->stream, out); /* whatever became of the launches */
    if (ok && rc)
        ok = kb_cuda_fail(cu, rc, "capture", err);
    return ok;
}

bool kb_timer_capture(struct kb_timer *timer, int launches, CUgraphExec *out,
                      struct kb_err *err) {
    struct kb_device *device = timer->device;
    const struct kb_cuda *cu = &device->cu;
    CUgraph graph = NULL;
    CUgraphExec exec = NULL;
    bool ok = record_launches(timer, launches, &graph, err);
    if (ok) {
        CUresult rc = cu->GraphInstantiate(&exec, graph, 0);
        if (!rc)
            rc = cu->GraphUpload(exec, device->stream);
        if (rc)
            ok = kb_cuda_fail(cu, rc, "graph", err);
    }
    if (graph)
        cu->GraphDestroy(graph);
    if (!ok && exec)
        cu->GraphExecDestroy(exec);
    if (ok)
        *out = exec;
    return ok;
}

/* One replay, after one that brings up what is not there yet. */
static bool time_graph(struct kb_timer *timer, CUgraphExec graph, double *ns,
                       struct kb_err *err) {
    struct kb_device *device = timer->device;
    bool late;
    if (!kb_clockwork_hold(device, err))
        return false;
    for (int i = 0; i < 2; i++) {
        CUresult rc = CUDA_SUCCESS;
        if (!kb_clockwork_record(device, i, err))
            return false;
        rc = device->cu.GraphLaunch(graph, device->stream);
        if (rc)
            return kb_cuda_fail(&device->cu, rc, "graph", err);
    }
    return kb_clockwork_record(device, 2, err) &&
           kb_clockwork_release(device, &late, err) &&
           kb_clockwork_between(device, 1, 2, ns, err);
}

/* Whole rotations, so that every set is launched on equally often; never less than one. */
static int choose_launches(const struct kb_timer *timer, int launches, double ns) {
    int per_launch = timer->plan.n_launches + timer->plan.n_scratch;
    int cap = MAX_NODES / per_launch / timer->n_sets * timer->n_sets;
    double wanted = (double)launches * SAMPLE_NS / (ns > 1 ? ns : 1);
    if (wanted > cap)
        wanted = cap;
    int rotations = (int)(wanted / timer->n_sets + 0.999);
    return rotations > 0 ? rotations * timer->n_sets : timer->n_sets;
}

bool kb_timer_make_graphs(struct kb_timer *timer, struct kb_err *err) {
    double ns;
    timer->launches = timer->n_sets;
    if (!kb_timer_capture(timer, timer->n_sets, &timer->rotation, err))
        return false;
    timer->graph = timer->rotation;
    for (int i = 0; i < TRIES; i++) {
        if (!time_graph(timer, timer->graph, &ns, err))
            return false;
        int launches = choose_launches(timer, timer->launches, ns);
        /* A short graph is mostly its start, so the first guess is low: go on from it. */
        if (ns > 0.75 * SAMPLE_NS || launches <= timer->launches)
            return true;
        CUgraphExec longer;
        if (!kb_timer_capture(timer, launches, &longer, err))
            return false;
        if (timer->graph != timer->rotation)
            timer->device->cu.GraphExecDestroy(timer->graph);
        timer->graph = longer;
        timer->launches = launches;
    }
    return true;
}
