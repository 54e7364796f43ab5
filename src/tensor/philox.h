/* philox.h - blocks of Philox4x32-10, many at a time. Internal to the tensor layer. */
#ifndef KB_TENSOR_PHILOX_H
#define KB_TENSOR_PHILOX_H

#include "base.h"

enum { KB_PHILOX_BLOCKS = 16 };
/* Blocks `first` and the next fifteen: four words each, one block after the other. */
void kb_philox_blocks(uint64_t key, uint64_t counter_hi, uint64_t first,
                      uint32_t out[4 * KB_PHILOX_BLOCKS]);

#endif
