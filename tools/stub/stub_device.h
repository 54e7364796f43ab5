/* stub_device.h - the stub driver's one device and its functions: between cuda.c and
 * cuda_work.c. */
#ifndef STUB_DEVICE_H
#define STUB_DEVICE_H

#include "stub.h"

#include <cuda.h>
#include <stddef.h>

enum { MAX_PARAMETERS = 32 };

struct kernel {
    const char *name;
    int dynamic; /* shared memory that it was allowed */
};
struct CUfunc_st {
    struct kernel kernel;
    struct {
        size_t offset, bytes;
    } parameters[MAX_PARAMETERS]; /* of 0 bytes: there is none */
};

struct stub_device {
    double ns, slower_ns;
    int sticky, capturing;
    int kept; /* lines that a kernel asked the L2 to keep: it is faster the next time */
    size_t used;
    struct CUgraph_st *graph;
    int late, holds_late;   /* whether the last hold ran out; how many did */
    int launches, profiled; /* in all; since cuProfilerStart, at the last Stop */
};
extern struct stub_device stub;

#define STICKY ((CUresult)stub.sticky)

#endif
