/* compare.c - got against want, element by element, as the reference streams past.
 *
 * The reference is never stored: each thread asks for a chunk of it and tallies the chunk.
 * Sums of floats are kept by chunk and added in the order of chunks, all else is counts and
 * extremes, so that the result does not depend on the number of threads. Where only some
 * rows are checked, chunks are made of their elements, one row after the other. */
#include "counts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct part {
    double ulp, err2, want2;
    int64_t over;
};

static int64_t chunk_end(int64_t chunk, int64_t n) {
    int64_t place = chunk * KB_CHUNK;

    return n - place < KB_CHUNK ? n : place + KB_CHUNK;
}

static void count_part(const struct kb_judge *judge, int64_t place, int64_t end,
                       struct kb_chunk *chunk, struct kb_counts *counts,
                       struct part *part) {
    struct kb_sums sums = {0};
    int64_t over = counts->over;

    for (int64_t first, count; place < end; place += count) {
        count = kb_judge_stretch(judge, place, end, &first);
        kb_judge_load(judge, first, count, chunk);
        kb_counts_chunk(judge, first, count, chunk, counts, &sums);
    }
    *part = (struct part){
        .ulp = kb_lanes_sum(sums.ulp),
        .err2 = kb_lanes_sum(sums.err2),
        .want2 = kb_lanes_sum(sums.want2),
        .over = counts->over - over,
    };
}

/* A thread's chunks come in ascending order, which kb_counts_chunk asks for. */
static void count_all(const struct kb_judge *judge, struct part *parts, int64_t n_chunks,
                      struct kb_counts *all) {
    int64_t n = kb_judge_places(judge);

#pragma omp parallel num_threads(kb_threads(n))
    {
        struct kb_chunk *chunk = malloc(sizeof *chunk);
        struct kb_counts *mine = malloc(sizeof *mine);
        if (!chunk || !mine)
            kb_out_of_memory();
        kb_counts_start(mine);
#pragma omp for schedule(monotonic : dynamic, 4)
        for (int64_t i = 0; i < n_chunks; i++)
            count_part(judge, i * KB_CHUNK, chunk_end(i, n), chunk, mine, &parts[i]);
#pragma omp critical
        kb_counts_add(all, mine);
        free(mine);
        free(chunk);
    }
}

/* ---- the elements that are shown --------------------------------------------------- */

static void show_stretch(const struct kb_judge *judge, int64_t first, int64_t count,
                         struct kb_chunk *chunk, struct kb_output_report *out) {
    enum kb_dtype dtype = judge->spec->dtype;

    kb_judge_load(judge, first, count, chunk);
    for (int64_t i = 0; i < count; i++) {
        uint32_t bits = kb_bits_at(dtype, judge->args->got, first + i);
        double want = chunk->want[i], bound = chunk->bound[i];
        bool bad = kb_judge_bits(judge, first + i, bits, want, bound).bad;
        if (first + i != out->worst.index && !(bad && out->n_first < KB_SHOWN))
            continue;
        struct kb_element e = {.index = first + i, .want = want};
        e.got = judge->exact ? (double)bits : kb_decode(dtype, bits);
        if (bound == KB_KEEP) {
            uint32_t kept = kb_judge_right(judge, first + i, want, bound);
            e.want = judge->exact ? (double)kept : kb_decode(dtype, kept);
        }
        e.poison = bad && kb_judge_unwritten(judge, bits);
        if (bad && out->n_first < KB_SHOWN)
            out->first[out->n_first++] = e;
        if (e.index == out->worst.index)
            out->worst = e;
    }
}

static bool holds_worst(const struct kb_judge *judge, int64_t place, int64_t end,
                        int64_t worst) {
    for (int64_t first, count; place < end; place += count) {
        count = kb_judge_stretch(judge, place, end, &first);
        if (worst >= first && worst < first + count)
            return true;
    }
    return false;
}

/* got and want of the elements that are shown: the worst and the first that fail. */
static void show_elements(const struct kb_judge *judge, const struct part *parts,
                          int64_t n_chunks, struct kb_output_report *out) {
    int64_t n = kb_judge_places(judge), worst = out->worst.index;
    struct kb_chunk *chunk = malloc(sizeof *chunk);

    if (!chunk)
        kb_out_of_memory();
    for (int64_t i = 0; i < n_chunks; i++) {
        int64_t place = i * KB_CHUNK, end = chunk_end(i, n);
        bool wants_first = parts[i].over > 0 && out->n_first < KB_SHOWN;
        if (!wants_first && !holds_worst(judge, place, end, worst))
            continue;
        for (int64_t first, count; place < end; place += count) {
            count = kb_judge_stretch(judge, place, end, &first);
            show_stretch(judge, first, count, chunk, out);
        }
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

static int64_t numbers_in(const struct kb_counts *t) {
    int64_t n = 0;

    for (int bin = 0; bin < KB_BINS_IN_ALL; bin++)
        n += t->bins[bin];
    return n;
}

/* Where there is no pair of numbers, there is none to tell, which 0 would do. */
static void report_distances(const struct kb_counts *t, const struct part *parts,
                             int64_t n_chunks, struct kb_output_report *out) {
    double ulp = 0, err2 = 0, want2 = 0;
    int64_t finite = numbers_in(t);

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
    out->ulp_p99 = kb_bins_quantile(t->bins, 0.99, t->ulp_max);
    out->ulp_p50 = kb_bins_quantile(t->bins, 0.5, t->ulp_max);
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
    struct kb_counts *counts = malloc(sizeof *counts);

    if (!parts || !counts)
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
    kb_counts_start(counts);
    count_all(&judge, parts, n_chunks, counts);
    report_counts(counts, out);
    report_distances(counts, parts, n_chunks, out);
    show_elements(&judge, parts, n_chunks, out);
    free(counts);
    free(parts);
}
