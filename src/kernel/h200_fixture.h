/* h200_fixture.h - the limits of an H200, which tests plan for. */
#ifndef KB_H200_FIXTURE_H
#define KB_H200_FIXTURE_H

#include "kernel.h"

static const struct kb_device_limits h200 = {
    .sm = 90,
    .sm_count = 132,
    .smem_per_block = 232448,
    .max_threads = 1024,
    .max_grid = {2147483647, 65535, 65535},
    .max_block = {1024, 1024, 64},
};

#endif
