/* h200_fixture.h - a GPU to compile and plan for where there is none. */
#ifndef KB_MEASURE_H200_FIXTURE_H
#define KB_MEASURE_H200_FIXTURE_H

#include "exec.h"

static const struct kb_device_info h200 = {
    .backend = "cuda",
    .id = "0",
    .limits = {.sm = 90,
               .sm_count = 132,
               .smem_per_block = 232448,
               .max_threads = 1024,
               .max_grid = {2147483647, 65535, 65535},
               .max_block = {1024, 1024, 64}},
};

#endif
