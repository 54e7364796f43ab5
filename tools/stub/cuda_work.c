/* cuda_work.c - what the stub driver is given to do: launches, streams and events, graphs.
 * Time is counted as cuda.c says. */
#include "stub_device.h"

#include <stdlib.h>
#include <string.h>

/* What a driver of CUDA 12.0 has; the header gives the name to a later version. */
#undef cuEventElapsedTime
CUresult cuEventElapsedTime(float *ms, CUevent from, CUevent to);

enum { MAX_NODES = 20000 };

struct CUevent_st {
    double ns;
};
struct node {
    CUfunction function; /* NULL: a memset */
    unsigned char *target;
    size_t bytes;
    double ns;
};
struct CUgraph_st {
    struct node *nodes;
    int count;
};

void stub_slower(double ns) {
    stub.slower_ns = ns;
}

/* ---- work ------------------------------------------------------------------------------
 */

static void do_node(const struct node *node) {
    stub.ns += stub.late ? 2 * node->ns : node->ns;
    if (!node->function)
        memset(node->target, 0, node->bytes);
    else if (strstr(node->function->kernel.name, "bump") && node->target)
        ++*node->target;
    if (node->function && strcmp(node->function->kernel.name, "kb_flush_last") == 0)
        stub.kept = 0;
    if (node->function && strstr(node->function->kernel.name, "keep")) {
        stub.ns -= stub.kept ? node->ns / 2 : 0;
        stub.kept = 1;
    }
}

static CUresult queue(struct node node) {
    if (stub.sticky)
        return STICKY;
    if (!stub.capturing) {
        double start = stub.ns;
        do_node(&node);
        stub_ran(start, stub.ns, !node.function);
        return CUDA_SUCCESS;
    }
    if (stub.graph->count == MAX_NODES)
        return CUDA_ERROR_OUT_OF_MEMORY;
    stub.graph->nodes[stub.graph->count++] = node;
    return CUDA_SUCCESS;
}

CUresult cuMemsetD8Async(CUdeviceptr to, unsigned char value, size_t bytes, CUstream s) {
    (void)value;
    (void)s;
    struct node node = {.target = (void *)(uintptr_t)to, .bytes = bytes, .ns = 100};
    return queue(node);
}

/* The next hold, and whether it runs out. */
static void hold(void *const *args) {
    unsigned *late;
    int wanted = (int)stub_script("late", 0);
    memcpy(&late, args[1], sizeof late);
    stub.holds_late = wanted ? stub.holds_late : 0;
    stub.late = stub.holds_late < wanted;
    stub.holds_late += stub.late;
    *late = (unsigned)stub.late;
}

CUresult cuLaunchKernelEx(const CUlaunchConfig *config, CUfunction function, void **args,
                          void **extra) {
    struct node node = {.function = function, .ns = 1000};
    const char *name = function->kernel.name;
    (void)extra;
    if (config->sharedMemBytes > 48 << 10 &&
        (int)config->sharedMemBytes > function->kernel.dynamic)
        return CUDA_ERROR_INVALID_VALUE;
    for (unsigned i = 0; i < config->numAttrs; i++)
        if (config->attrs[i].id == CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION)
            node.ns = 800;
    if (strcmp(name, "kb_empty") == 0)
        node.ns /= 2;
    if (strcmp(name, "kb_hold") == 0) {
        node.ns = 0; /* work is done as it is queued: there is nothing to hold back */
        hold(args);
    }
    if (strstr(name, "kb_flush"))
        node.ns = 40000;
    if (strstr(name, "long_one"))
        node.ns *= 50;
    if (strstr(name, "bump"))
        memcpy(&node.target, args[0], sizeof node.target);
    stub.launches++;
    CUresult rc = queue(node);
    if (!rc && strstr(name, "bump"))
        stub.sticky =
            (int)stub_script("launch", 0); /* seen at the next call, as on a GPU */
    return rc;
}

/* As many as there is room for threads, or two clusters. */
CUresult cuOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, CUfunction function,
                                                     int threads, size_t dynamic) {
    (void)function;
    (void)dynamic;
    if (stub_script("occupancy", 0))
        return CUDA_ERROR_INVALID_VALUE;
    *blocks = 2048 / threads;
    return CUDA_SUCCESS;
}
CUresult cuOccupancyMaxActiveClusters(int *clusters, CUfunction function,
                                      const CUlaunchConfig *config) {
    (void)function;
    *clusters = config->numAttrs == 1 ? 2 : 0;
    return CUDA_SUCCESS;
}

CUresult cuStreamCreate(CUstream *out, unsigned flags) {
    (void)flags;
    *out = (CUstream)(uintptr_t)1;
    return STICKY;
}
CUresult cuStreamDestroy_v2(CUstream s) {
    (void)s;
    return STICKY;
}
CUresult cuStreamSynchronize(CUstream s) {
    (void)s;
    return STICKY;
}
CUresult cuEventCreate(CUevent *out, unsigned flags) {
    (void)flags;
    *out = calloc(1, sizeof **out);
    return STICKY;
}
CUresult cuEventDestroy_v2(CUevent event) {
    free(event);
    return STICKY;
}
CUresult cuEventRecord(CUevent event, CUstream s) {
    (void)s;
    event->ns = stub.ns;
    return STICKY;
}
CUresult cuEventElapsedTime(float *ms, CUevent from, CUevent to) {
    *ms = (float)((to->ns - from->ns) / 1e6);
    return STICKY;
}

/* ---- graphs ----------------------------------------------------------------------------
 */

CUresult cuStreamBeginCapture_v2(CUstream s, CUstreamCaptureMode mode) {
    (void)s;
    (void)mode;
    stub.capturing = 1;
    stub.graph = calloc(1, sizeof *stub.graph);
    stub.graph->nodes = calloc(MAX_NODES, sizeof *stub.graph->nodes);
    return STICKY;
}
CUresult cuStreamEndCapture(CUstream s, CUgraph *out) {
    (void)s;
    stub.capturing = 0;
    *out = stub.graph;
    return STICKY;
}
CUresult cuGraphInstantiateWithFlags(CUgraphExec *out, CUgraph graph,
                                     unsigned long long flags) {
    (void)flags;
    struct CUgraph_st *exec = calloc(1, sizeof *exec);
    exec->nodes = calloc((size_t)graph->count + 1, sizeof *exec->nodes);
    memcpy(exec->nodes, graph->nodes, (size_t)graph->count * sizeof *exec->nodes);
    exec->count = graph->count;
    *out = (CUgraphExec)exec;
    return STICKY;
}
CUresult cuGraphDestroy(CUgraph graph) {
    free(graph->nodes);
    free(graph);
    return STICKY;
}
CUresult cuGraphExecDestroy(CUgraphExec exec) {
    return cuGraphDestroy((CUgraph)exec);
}
CUresult cuGraphUpload(CUgraphExec exec, CUstream s) {
    (void)exec;
    (void)s;
    return STICKY;
}
CUresult cuGraphLaunch(CUgraphExec exec, CUstream s) {
    const struct CUgraph_st *graph = (const struct CUgraph_st *)exec;
    (void)s;
    if (stub.sticky)
        return STICKY;
    stub.ns += 3000;
    for (int i = 0; i < graph->count; i++)
        do_node(&graph->nodes[i]);
    stub.ns += stub.slower_ns * graph->count;
    return CUDA_SUCCESS;
}
