/* threads.c - how many threads a piece of work is worth. */
#include "tensor.h"

#include <omp.h>

enum { ELEMENTS_PER_THREAD = 1 << 17 };

int kb_threads(int64_t elements) {
    int64_t wanted = elements / ELEMENTS_PER_THREAD + 1, most = omp_get_max_threads();

    return (int)(wanted < most ? wanted : most);
}
