/* compare.c - got against want, element by element, as the reference streams past.
 *
 * Each thread asks for a chunk of the reference and tallies the chunk. It is not stored,
 * but for other jobs of the case (kept.h). Sums of floats are kept by chunk and added in
 * the order of chunks, all else is counts and extremes, so that the result does not depend
 * on the number of threads. Where only some rows are checked, chunks are made of their
 * elements, one row after the other. */
#include "counts.h"
#include "kept.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct part {
    double ulp, err2, want2;
    int64_t over;
};

static struct kb_chunk *chunk_make(void) {
    struct kb_chunk *chunk = malloc(sizeof *chunk);

    if (!chunk)
        kb_out_of_memory();
    return chunk;
}

static struct kb_counts *counts_make(void) {
    struct kb_counts *counts = malloc(sizeof *counts);

    if (!counts)
        kb_out_of_memory();
    kb_counts_start(counts);
    return counts;
}

static int64_t chunk_end(int64_t chunk, int64_t n) {
    int64_t place = chunk * KB_CHUNK;

    return n - place < KB_CHUNK ? n : place + KB_CHUNK;
}

static void count_part(const struct kb_judge *judge, int64_t place, int64_t end,
                       struct kb_chunk *chunk, struct kb_counts *counts,
                       struct part *part) {
    struct kb_kept *fill = kb_kept_to_fill(judge->args);
    struct kb_sums sums = {0};
    int64_t over = counts->over;

    for (int64_t first, count; place < end; place += count) {
        count = kb_judge_stretch(judge, place, end, &first);
        kb_judge_load(judge, first, count, chunk);
        if (fill)
            kb_kept_put(fill, place, count, chunk->want, chunk->bound);
        kb_counts_chunk(judge, first, count, chunk, counts, &sums);
    }
    *part = (struct part){
        .ulp = kb_lanes_sum(sums.ulp),
        .err2 = kb_lanes_sum(sums.err2),
        .want2 = kb_lanes_sum(sums.want2),
        .over = counts->over - over,
    };
}

static void count_parts(const struct kb_judge *judge, struct part *parts, int64_t first,
                        int64_t n_parts, struct kb_chunk *chunk, struct kb_counts *counts) {
    int64_t n = kb_judge_places(judge);

    for (int64_t i = first; i < first + n_parts; i++)
        count_part(judge, i * KB_CHUNK, chunk_end(i, n), chunk, counts, &parts[i]);
}

/* A thread's chunks come in ascending order, which kb_counts_chunk asks for. */
static void count_by_threads(const struct kb_judge *judge, struct part *parts,
                             int64_t n_parts, int threads, struct kb_counts *all) {
#pragma omp parallel num_threads(threads)
    {
        struct kb_chunk *chunk = chunk_make();
        struct kb_counts *mine = counts_make();
#pragma omp for schedule(monotonic : dynamic, 4)
        for (int64_t i = 0; i < n_parts; i++)
            count_parts(judge, parts, i, 1, chunk, mine);
#pragma omp critical
        kb_counts_add(all, mine);
        free(mine);
        free(chunk);
    }
}

static void count_all(const struct kb_judge *judge, struct part *parts, int64_t n_parts,
                      struct kb_counts *all) {
    int threads = kb_judge_threads(judge, kb_judge_places(judge));

    /* Of fewer chunks each is computed by all of them. */
    if (threads > 1 && n_parts >= threads) {
        count_by_threads(judge, parts, n_parts, threads, all);
        return;
    }
    struct kb_chunk *chunk = chunk_make();
    count_parts(judge, parts, 0, n_parts, chunk, all);
    free(chunk);
}

/* ---- the elements that are shown --------------------------------------------------- */

/* Element `i` of the chunk that begins with `first`. */
static struct kb_element element_of(const struct kb_judge *judge, int64_t first, int64_t i,
                                    const struct kb_chunk *chunk, bool *bad) {
    enum kb_dtype dtype = judge->spec->dtype;
    uint32_t bits = kb_bits_at(dtype, judge->args->got, first + i);
    double want = chunk->want[i], bound = chunk->bound[i];
    struct kb_element e = {.index = first + i, .want = want};

    *bad = kb_judge_bits(judge, first + i, bits, want, bound).bad;
    e.got = judge->exact ? (double)bits : kb_decode(dtype, bits);
    if (bound == KB_KEEP) {
        uint32_t kept = kb_judge_right(judge, first + i, want, bound);
        e.want = judge->exact ? (double)kept : kb_decode(dtype, kept);
    }
    e.poison = *bad && kb_judge_unwritten(judge, bits);
    return e;
}

/* The first that fail: in the chunks from `place` to `end`, as long as there is room. */
static void show_first(const struct kb_judge *judge, int64_t place, int64_t end,
                       struct kb_chunk *chunk, struct kb_output_report *out) {
    bool bad;

    for (int64_t first, count; place < end; place += count) {
        count = kb_judge_stretch(judge, place, end, &first);
        kb_judge_load(judge, first, count, chunk);
        for (int64_t i = 0; i < count && out->n_first < KB_SHOWN; i++) {
            struct kb_element e = element_of(judge, first, i, chunk, &bad);
            if (bad)
                out->first[out->n_first++] = e;
        }
    }
}

/* got and want of the worst element and of the first that fail. */
static void show_elements(const struct kb_judge *judge, const struct part *parts,
                          int64_t n_chunks, struct kb_output_report *out) {
    int64_t n = kb_judge_places(judge);
    struct kb_chunk *chunk = chunk_make();
    bool bad;

    for (int64_t i = 0; i < n_chunks && out->n_first < KB_SHOWN; i++)
        if (parts[i].over > 0)
            show_first(judge, i * KB_CHUNK, chunk_end(i, n), chunk, out);
    if (out->worst.index >= 0) {
        kb_judge_load(judge, out->worst.index, 1, chunk);
        out->worst = element_of(judge, out->worst.index, 0, chunk, &bad);
    }
    free(chunk);
}

/* ---- the report -------------------------------------------------------------------- */

static void report_counts(const struct kb_counts *t, struct kb_output_report *out) {
    out->err_over_bound = t->share_max;
    out->over = t->over;
    out->over_bound = t->over_bound;
    out->kind_mismatches = t->kinds;
    out->unwritten = t->unwritten;
    out->differing = t->differing;
    out->kept = t->kept;
    out->touched = t->touched;
    out->tolerance_used = t->tol_max;
    out->tolerance_over = t->tol_over;
    out->worst.index = t->worst;
    out->first_bad = t->first_bad;
    out->last_bad = t->last_bad;
}

/* Where there is no pair of numbers, there is none to tell, which 0 would do. */
static void report_distances(const struct kb_counts *t, const struct part *parts,
                             int64_t n_chunks, struct kb_output_report *out) {
    double ulp = 0, err2 = 0, want2 = 0;
    int64_t finite = kb_bins_count(t->bins);

    out->ulp_max = out->ulp_p99 = out->ulp_p50 = out->bias_ulp = NAN;
    out->abs_max = out->rel_max = out->nmse = out->want_rms = NAN;
    if (finite == 0)
        return;
    for (int64_t i = 0; i < n_chunks; i++) {
        ulp += parts[i].ulp;
        err2 += parts[i].err2;
        want2 += parts[i].want2;
    }
    out->ulp_max = t->ulp_max;
    out->ulp_p99 = kb_bins_quantile(t->bins, finite, 0.99, t->ulp_max);
    out->ulp_p50 = kb_bins_quantile(t->bins, finite, 0.5, t->ulp_max);
    out->bias_ulp = ulp / (double)finite;
    out->abs_max = t->abs_max;
    out->rel_max = t->rel_max;
    out->nmse = want2 > 0 ? err2 / want2 : NAN;
    out->want_rms = sqrt(want2 / (double)finite);
}

void kb_compare(const struct kb_compare_args *args, struct kb_output_report *out) {
    struct kb_judge judge = kb_judge_of(args);
    const struct kb_tensor_spec *spec = judge.spec;
    int64_t n = kb_judge_places(&judge), n_chunks = (n + KB_CHUNK - 1) / KB_CHUNK;
    struct part *parts = calloc((size_t)n_chunks + 1, sizeof *parts);
    struct kb_counts *counts = counts_make();

    if (!parts)
        kb_out_of_memory();
    *out = (struct kb_output_report){
        .name = spec->name,
        .dtype = spec->dtype,
        .rank = spec->rank,
        .elements = spec->elements,
        .checked = n,
        .limit = 1,
        .tolerance = judge.tolerance,
        .exact = judge.exact,
    };
    memcpy(out->shape, spec->shape, sizeof out->shape);
    count_all(&judge, parts, n_chunks, counts);
    struct kb_kept *filled = kb_kept_to_fill(args);
    if (filled)
        kb_kept_filled(filled);
    judge.kept = kb_kept_of(args);
    report_counts(counts, out);
    report_distances(counts, parts, n_chunks, out);
    show_elements(&judge, parts, n_chunks, out);
    free(counts);
    free(parts);
}
