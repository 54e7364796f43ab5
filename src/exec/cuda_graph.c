/* cuda_graph.c - samples as captured graphs: many launches, one after the other, over sets
 * that together are larger than the L2.
 *
 * Between two events a graph takes more than its nodes (H200, driver 580): 2 us where they
 * are empty, 4 us where they stream, 5 to 9 us of attention. A sample of a millisecond
 * reads 0.2 to 0.9 % high, and by how much depends on the launches in it: mla_prefill at
 * 131 us was 1 % slower in processes that took 6 for a millisecond's worth than in those
 * that took 9. So samples are longer where half a percent is asked for; longer than needed
 * they cost time instead. Where a rotation over all sets takes longer than one it is cut
 * into graphs that are sampled in turn. */
#include "cuda_timer.h"

#include <stdlib.h>

enum {
    SAMPLE_NS = 1000000,
    LONG_NS = 20000, /* as kb_precision_for has it */
    LONG_SAMPLE_NS = 2000000,
    MAX_NODES = 8192,
    MAX_GRAPHS = 256,
    PROBE_FIRST = 16,
    PROBE = 256,
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

static bool record_launches(struct kb_timer *timer, int first, int launches, CUgraph *out,
                            struct kb_err *err) {
    struct kb_device *device = timer->device;
    const struct kb_cuda *cu = &device->cu;
    CUresult rc =
        cu->StreamBeginCapture(device->stream, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL);
    if (rc)
        return kb_cuda_fail(cu, rc, "capture", err);
    bool ok = true;
    for (int i = 0; i < launches && ok; i++)
        ok = kb_timer_launch(timer, (first + i) % timer->n_sets, err);
    *out = NULL;
    rc = cu->StreamEndCapture(device->stream, out); /* whatever became of the launches */
    if (ok && rc)
        ok = kb_cuda_fail(cu, rc, "capture", err);
    return ok;
}

bool kb_timer_capture(struct kb_timer *timer, int first, int launches, CUgraphExec *out,
                      struct kb_err *err) {
    struct kb_device *device = timer->device;
    const struct kb_cuda *cu = &device->cu;
    CUgraph graph = NULL;
    CUgraphExec exec = NULL;
    bool ok = record_launches(timer, first, launches, &graph, err);
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
static bool time_graph(struct kb_timer *timer, CUgraphExec graph, double *ns, bool *late,
                       struct kb_err *err) {
    struct kb_device *device = timer->device;
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
    return kb_clockwork_record(device, 2, err) && kb_clockwork_release(device, late, err) &&
           kb_clockwork_between(device, 1, 2, ns, err);
}

/* What a launch takes, from a graph long enough to tell: a short one is mostly its start,
 * so the first guess is too long, and the next graph goes on from it. */
static bool estimate(struct kb_timer *timer, double *launch_ns, struct kb_err *err) {
    int launches = timer->n_sets < PROBE_FIRST ? timer->n_sets : PROBE_FIRST;
    for (int i = 0; i < TRIES; i++) {
        CUgraphExec probe;
        double ns;
        bool late;
        if (!kb_timer_capture(timer, 0, launches, &probe, err))
            return false;
        bool ok = time_graph(timer, probe, &ns, &late, err);
        timer->device->cu.GraphExecDestroy(probe);
        if (!ok)
            return false;
        *launch_ns = ns / launches > 1 ? ns / launches : 1;
        if (late) /* what the host took is in it: the same again */
            continue;
        if (ns > 0.1 * SAMPLE_NS || launches >= PROBE)
            break;
        double more = SAMPLE_NS / 4 / *launch_ns;
        launches = more > PROBE ? PROBE : more > launches ? (int)more : 2 * launches;
    }
    return true;
}

int kb_timer_first(const struct kb_timer *timer, int graph) {
    return (int)((int64_t)timer->n_sets * graph / timer->n_graphs);
}

int kb_timer_launches(const struct kb_timer *timer, int graph) {
    return timer->turns * (kb_timer_first(timer, graph + 1) - kb_timer_first(timer, graph));
}

/* A graph of several whole rotations, or several graphs of one: every set is launched on
 * equally often. */
static void divide(struct kb_timer *timer, double launch_ns) {
    double rotation_ns = launch_ns * timer->n_sets;
    double sample_ns = launch_ns > LONG_NS ? LONG_SAMPLE_NS : SAMPLE_NS;
    int nodes = (timer->plan.n_launches + timer->plan.n_scratch) * timer->n_sets;
    double turns = sample_ns / rotation_ns + 0.5, graphs = rotation_ns / sample_ns;
    double most = timer->n_sets < MAX_GRAPHS ? timer->n_sets : MAX_GRAPHS;
    if (turns * nodes > MAX_NODES)
        turns = MAX_NODES / nodes;
    timer->turns = turns > 1 ? (int)turns : 1;
    timer->n_graphs = graphs > most ? (int)most : graphs > 1 ? (int)graphs : 1;
}

bool kb_timer_make_graphs(struct kb_timer *timer, struct kb_err *err) {
    double launch_ns;
    if (!estimate(timer, &launch_ns, err))
        return false;
    divide(timer, launch_ns);
    timer->graphs = calloc((size_t)timer->n_graphs, sizeof *timer->graphs);
    if (!timer->graphs)
        kb_out_of_memory();
    for (int i = 0; i < timer->n_graphs; i++)
        if (!kb_timer_capture(timer, kb_timer_first(timer, i), kb_timer_launches(timer, i),
                              &timer->graphs[i], err))
            return false;
    return true;
}

bool kb_timer_renew(struct kb_timer *timer, struct kb_err *err) {
    const struct kb_cuda *cu = &timer->device->cu;
    CUgraphExec anew;
    if (timer->n_graphs != 1)
        return true;
    timer->tensors->fresh = NULL;
    timer->scratch->fresh = NULL;
    if (!kb_cuda_current(timer->device, err) ||
        !kb_timer_capture(timer, 0, kb_timer_launches(timer, 0), &anew, err))
        return false;
    cu->GraphExecDestroy(timer->graphs[0]);
    timer->graphs[0] = anew;
    timer->tensors->at = 0; /* the last sets are in the L2 then */
    CUresult rc = cu->GraphLaunch(anew, timer->device->stream); /* the first takes longer */
    return rc ? kb_cuda_fail(cu, rc, "graph", err) : kb_cuda_sync(timer->device, err);
}

bool kb_timer_rotate(struct kb_timer *timer, struct kb_err *err) {
    const struct kb_cuda *cu = &timer->device->cu;
    if (timer->turns > 1 && !timer->rotation &&
        !kb_timer_capture(timer, 0, timer->n_sets, &timer->rotation, err))
        return false;
    timer->tensors->at = 0;
    for (int i = 0; i < timer->n_graphs; i++) {
        CUresult rc = cu->GraphLaunch(timer->rotation ? timer->rotation : timer->graphs[i],
                                      timer->device->stream);
        if (rc)
            return kb_cuda_fail(cu, rc, "launch", err);
    }
    return true;
}

void kb_timer_free_graphs(struct kb_timer *timer) {
    const struct kb_cuda *cu = &timer->device->cu;
    for (int i = 0; timer->graphs && i < timer->n_graphs; i++)
        if (timer->graphs[i])
            cu->GraphExecDestroy(timer->graphs[i]);
    if (timer->rotation)
        cu->GraphExecDestroy(timer->rotation);
    free(timer->graphs);
}
