/* mask.c - which elements of an output fail, and how many, as the reference streams past.
 */
#include "judge.h"

#include <math.h>
#include <stdlib.h>

/* A stretch [first, first + count), whose first element has this place. */
struct stretch {
    int64_t first, count, place;
};

static struct kb_chunk *chunk_make(void) {
    struct kb_chunk *chunk = malloc(sizeof *chunk);

    if (!chunk)
        kb_out_of_memory();
    return chunk;
}

static int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

/* ---- how many ---------------------------------------------------------------------- */

static int64_t over_in(const struct kb_judge *judge, const struct stretch *s,
                       struct kb_chunk *chunk) {
    int64_t over = 0;

    kb_judge_load(judge, s->first, s->count, chunk);
    for (int64_t i = 0; i < s->count; i++) {
        int64_t index = s->first + i;
        uint32_t bits = kb_bits_at(judge->spec->dtype, judge->args->got, index);
        over += kb_judge_bits(judge, index, bits, chunk->want[i], chunk->bound[i]).bad;
    }
    return over;
}

int64_t kb_compare_over(const struct kb_compare_args *args, int64_t first, int64_t count) {
    struct kb_judge judge = kb_judge_of(args);
    int64_t over = 0, last = first + count;

#pragma omp parallel reduction(+ : over) num_threads(kb_threads(count))
    {
        struct kb_chunk *chunk = chunk_make();
#pragma omp for schedule(dynamic, 4)
        for (int64_t start = first; start < last; start += KB_CHUNK) {
            struct stretch s = {.place = start};
            for (int64_t end = least(start + KB_CHUNK, last); s.place < end;
                 s.place += s.count) {
                s.count = kb_judge_stretch(&judge, s.place, end, &s.first);
                over += over_in(&judge, &s, chunk);
            }
        }
        free(chunk);
    }
    return over;
}

/* ---- which ------------------------------------------------------------------------- */

static void mask_in(const struct kb_judge *judge, const struct stretch *s,
                    struct kb_chunk *chunk, uint64_t *masks, struct kb_rest *rest) {
    kb_judge_load(judge, s->first, s->count, chunk);
    for (int64_t i = 0; i < s->count; i++) {
        int64_t index = s->first + i, place = s->place + i;
        uint32_t bits = kb_bits_at(judge->spec->dtype, judge->args->got, index);
        struct kb_judged j =
            kb_judge_bits(judge, index, bits, chunk->want[i], chunk->bound[i]);
        if (j.bad) {
            masks[place / 64] |= UINT64_C(1) << (place % 64);
            continue;
        }
        rest->right++;
        rest->share = fmax(rest->share, j.share); /* of those that have one */
        if (j.finite)
            rest->ulp = fmax(rest->ulp, j.ulp);
    }
}

static void rest_add(struct kb_rest *to, const struct kb_rest *from) {
    to->right += from->right;
    to->share = fmax(to->share, from->share);
    to->ulp = fmax(to->ulp, from->ulp);
}

/* A chunk is so many whole words of bits, so that threads share none. */
void kb_compare_mask(const struct kb_compare_args *args, uint64_t *bits,
                     struct kb_rest *rest) {
    struct kb_judge judge = kb_judge_of(args);
    int64_t n = kb_judge_places(&judge);

    *rest = (struct kb_rest){0, NAN, NAN};
#pragma omp parallel num_threads(kb_threads(n))
    {
        struct kb_chunk *chunk = chunk_make();
        struct kb_rest mine = {0, NAN, NAN};
#pragma omp for schedule(dynamic, 4)
        for (int64_t start = 0; start < n; start += KB_CHUNK) {
            struct stretch s = {.place = start};
            for (int64_t end = least(start + KB_CHUNK, n); s.place < end;
                 s.place += s.count) {
                s.count = kb_judge_stretch(&judge, s.place, end, &s.first);
                mask_in(&judge, &s, chunk, bits, &mine);
            }
        }
#pragma omp critical
        rest_add(rest, &mine);
        free(chunk);
    }
}
