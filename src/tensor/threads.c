/* threads.c - how many threads a piece of work is worth. */
#include "tensor.h"

#include <omp.h>
#include <stdlib.h>
#include <string.h>

enum { ELEMENTS_PER_THREAD = 1 << 15, COPY_BLOCK = 1 << 18 };

int kb_threads(int64_t elements) {
    int64_t wanted = elements / ELEMENTS_PER_THREAD + 1, most = omp_get_max_threads();

    return (int)(wanted < most ? wanted : most);
}

static int64_t copy_blocks(size_t bytes) {
    return (int64_t)(bytes / COPY_BLOCK + (bytes % COPY_BLOCK > 0));
}

/* A thread for each block: of memory one core moves a tenth of what all of them do. Of new
 * memory most of the time is its page faults, which more threads take at once. */
static int copy_threads(size_t bytes) {
    return kb_threads((int64_t)((bytes ? bytes - 1 : 0) / COPY_BLOCK) *
                      ELEMENTS_PER_THREAD);
}

void kb_copy(void *to, const void *from, size_t bytes) {
    const unsigned char *in = from;
    unsigned char *out = to;
    int64_t blocks = copy_blocks(bytes);

#pragma omp parallel for schedule(static) num_threads(copy_threads(bytes))
    for (int64_t b = 0; b < blocks; b++) {
        size_t start = (size_t)b * COPY_BLOCK, left = bytes - start;
        memcpy(out + start, in + start, left < COPY_BLOCK ? left : COPY_BLOCK);
    }
}

bool kb_same(const void *a, const void *b, size_t bytes) {
    const unsigned char *x = a, *y = b;
    int64_t blocks = copy_blocks(bytes), other = 0;

#pragma omp parallel for schedule(static) reduction(+ : other)                                 \
    num_threads(copy_threads(bytes))
    for (int64_t i = 0; i < blocks; i++) {
        size_t start = (size_t)i * COPY_BLOCK, left = bytes - start;
        other += memcmp(x + start, y + start, left < COPY_BLOCK ? left : COPY_BLOCK) != 0;
    }
    return other == 0;
}

struct kb_hash kb_hash_large(const void *data, size_t bytes) {
    const unsigned char *in = data;
    int64_t blocks = (int64_t)(bytes / COPY_BLOCK) + 1;
    struct kb_hash *hashes = malloc((size_t)blocks * sizeof *hashes);

    if (!hashes)
        kb_out_of_memory();
#pragma omp parallel for schedule(static) num_threads(copy_threads(bytes))
    for (int64_t i = 0; i < blocks; i++) {
        size_t start = (size_t)i * COPY_BLOCK, left = bytes - start;
        hashes[i] = kb_hash_of(in + start, left < COPY_BLOCK ? left : COPY_BLOCK);
    }
    struct kb_hash all = kb_hash_of(hashes, (size_t)blocks * sizeof *hashes);
    free(hashes);
    return all;
}
