/* kept.c - what the reference says of an output, kept from job to job of a group. */
#include "kept.h"
#include "judge.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    LEAST_NS = 20, /* to fetch one from memory takes a few */
    MOST_BYTES = 512 << 20,
    MOST_STRETCHES = 2048,
    MOST_BESIDE = 1 << 16, /* elements of them */
};

/* Elements of rows that are not checked. */
struct stretch {
    int64_t first, count;
    double *want, *bound;
};

struct kb_kept {
    struct kb_kept *next;
    struct kb_hash what, contents;
    bool cheap, filled; /* cheap: nothing is kept */
    /* The arguments that it was found for. */
    const struct kb_problem *problem;
    int tensor;
    const void *in[KB_MAX_TENSORS];
    int64_t length, n_rows; /* rows: those that are checked, 0: all */
    int64_t *rows;
    double *want, *bound; /* by place */
    struct stretch beside[MOST_STRETCHES];
    int n_beside;
    int64_t beside_elements;
};

static void kept_free(struct kb_kept *kept) {
    for (int i = 0; i < kept->n_beside; i++)
        free(kept->beside[i].want); /* and the bounds behind them */
    free(kept->rows);
    free(kept->want);
    free(kept->bound);
    free(kept);
}

void kb_kept_end(struct kb_kept_all *all) {
    for (struct kb_kept *next; all->first; all->first = next) {
        next = all->first->next;
        kept_free(all->first);
    }
    all->bytes = 0;
    all->on = false;
}

/* ---- what the reference is told ------------------------------------------------------ */

/* Whether it is told what the kernel left in tensor `t`. */
static bool is_hidden(const struct kb_compare_args *args, int t) {
    const struct kb_problem *p = args->problem;

    return p->tensors[t].role == KB_OUT && (t == args->tensor || !p->c->op->reads_outputs);
}

static void hash_spec(struct kb_hasher *hasher, const struct kb_tensor_spec *spec) {
    kb_hasher_add(hasher, &spec->role, sizeof spec->role);
    kb_hasher_add(hasher, &spec->dtype, sizeof spec->dtype);
    kb_hasher_add(hasher, spec->shape, (size_t)spec->rank * sizeof *spec->shape);
    kb_hasher_add(hasher, &spec->absent, sizeof spec->absent);
    kb_hasher_add(hasher, &spec->rule, sizeof spec->rule);
}

/* All but contents: the case, the output, the rows. */
static struct kb_hash hash_what(const struct kb_compare_args *args) {
    const struct kb_problem *p = args->problem;
    struct kb_hasher *hasher = kb_hasher_make();
    struct kb_arena arena = {0};

    kb_hasher_text(hasher, kb_case_id(p->c, &arena));
    for (int t = 0; t < p->n_tensors; t++)
        hash_spec(hasher, &p->tensors[t]);
    kb_hasher_add(hasher, &args->tensor, sizeof args->tensor);
    if (args->sample) {
        const struct kb_sampled *s = args->sample;
        kb_hasher_add(hasher, &s->length, sizeof s->length);
        kb_hasher_add(hasher, s->items, (size_t)s->n * sizeof *s->items);
    }
    kb_arena_free(&arena);
    return kb_hasher_end(hasher);
}

static struct kb_hash hash_contents(const struct kb_compare_args *args) {
    const struct kb_problem *p = args->problem;
    struct kb_hasher *hasher = kb_hasher_make();

    for (int t = 0; t < p->n_tensors; t++) {
        const struct kb_tensor_spec *spec = &p->tensors[t];
        struct kb_hash hash = {0};
        bool there = args->in[t] && !spec->absent && !is_hidden(args, t);
        if (there)
            hash = kb_hash_large(args->in[t],
                                 (size_t)spec->elements * kb_dtype_bytes(spec->dtype));
        kb_hasher_add(hasher, &there, sizeof there);
        kb_hasher_add(hasher, &hash, sizeof hash);
    }
    return kb_hasher_end(hasher);
}

static bool same_hash(const struct kb_hash *a, const struct kb_hash *b) {
    return !memcmp(a->bytes, b->bytes, sizeof a->bytes);
}

/* ---- whether it is worth it ---------------------------------------------------------- */

/* ns for each of the first elements, at most `most` of them, by one thread. */
static double time_elements(const struct kb_compare_args *args, int64_t most) {
    const struct kb_problem *p = args->problem;
    struct kb_judge judge = kb_judge_of(args);
    struct kb_chunk *chunk = malloc(sizeof *chunk);
    int64_t first, count, places = kb_judge_places(&judge);

    if (!chunk)
        kb_out_of_memory();
    count = kb_judge_stretch(&judge, 0, places < most ? places : most, &first);
    int64_t start = kb_now_ns();
    p->c->op->reference(p, args->in, args->prepared, args->tensor, first, count,
                        chunk->want, chunk->bound);
    double ns = (double)(kb_now_ns() - start);
    free(chunk);
    return ns / (double)count;
}

/* Some references compute a row for its first element: a few of them tell what is dear, and
 * many what is cheap. */
static bool is_dear(const struct kb_compare_args *args, double least_ns) {
    enum { FEW = 16, MANY = 1024, FAR = 64 };

    return time_elements(args, FEW) >= FAR * least_ns ||
           time_elements(args, MANY) >= least_ns;
}

static size_t most_bytes(const struct kb_kept_all *all) {
    long pages = sysconf(_SC_AVPHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    size_t most = MOST_BYTES;

    if (all->most_bytes)
        return all->most_bytes;
    if (pages > 0 && page > 0 && (size_t)pages < most / (size_t)page * 4)
        most = (size_t)pages * (size_t)page / 4;
    if (all->memory_limit && all->memory_limit / 4 < most)
        most = all->memory_limit / 4;
    return most;
}

/* 0 where there are none, or too many to count. */
static size_t bytes_of(const struct kb_compare_args *args) {
    const struct kb_sampled *s = args->sample;
    int64_t places = s ? s->n * s->length : args->problem->tensors[args->tensor].elements;
    size_t bytes;

    return kb_mul_size((size_t)places, 2 * sizeof(double), &bytes) ? bytes : 0;
}

/* ---- room ---------------------------------------------------------------------------- */

static bool make_rows(struct kb_kept *kept, const struct kb_sampled *sample) {
    size_t bytes = (size_t)sample->n * sizeof *kept->rows;

    kept->rows = malloc(bytes);
    if (!kept->rows)
        return false;
    memcpy(kept->rows, sample->items, bytes);
    kept->n_rows = sample->n;
    kept->length = sample->length;
    return true;
}

/* False where it cannot be had. */
static bool make_room(struct kb_kept *kept, const struct kb_compare_args *args,
                      size_t bytes) {
    if (args->sample && !make_rows(kept, args->sample))
        return false;
    kept->want = malloc(bytes / 2);
    kept->bound = malloc(bytes / 2);
    return kept->want && kept->bound;
}

/* ---- finding it ---------------------------------------------------------------------- */

/* Without contents: one that is known to be cheap, whatever it holds. */
static struct kb_kept *find(struct kb_kept *kept, const struct kb_hash *what,
                            const struct kb_hash *contents) {
    while (kept && !(same_hash(&kept->what, what) && kept->cheap == !contents &&
                     (!contents || same_hash(&kept->contents, contents))))
        kept = kept->next;
    return kept;
}

static struct kb_kept *add(struct kb_kept_all *all, const struct kb_compare_args *args,
                           const struct kb_hash *what, const struct kb_hash *contents) {
    size_t bytes = bytes_of(args), most = most_bytes(all);

    if (all->bytes > most || bytes > most - all->bytes)
        return NULL;
    struct kb_kept *kept = calloc(1, sizeof *kept);
    if (!kept)
        kb_out_of_memory();
    kept->what = *what;
    kept->contents = *contents;
    kept->cheap = !is_dear(args, all->least_ns > 0 ? all->least_ns : LEAST_NS);
    if (!kept->cheap && !make_room(kept, args, bytes)) {
        kept_free(kept);
        return NULL;
    }
    all->bytes += kept->cheap ? 0 : bytes;
    kept->next = all->first;
    all->first = kept;
    return kept;
}

struct kb_kept *kb_kept_find(struct kb_kept_all *all, const struct kb_compare_args *args) {
    struct kb_compare_args plain = *args;
    size_t bytes = bytes_of(args);

    plain.kept = NULL;
    if (!all->on || bytes == 0 || bytes > most_bytes(all))
        return NULL;
    struct kb_hash what = hash_what(&plain);
    if (find(all->first, &what, NULL))
        return NULL;
    struct kb_hash contents = hash_contents(&plain);
    struct kb_kept *kept = find(all->first, &what, &contents);
    kept = kept ? kept : add(all, &plain, &what, &contents);
    if (!kept || kept->cheap)
        return NULL;
    all->used += kept->filled;
    kept->problem = args->problem;
    kept->tensor = args->tensor;
    memcpy(kept->in, args->in, (size_t)args->problem->n_tensors * sizeof *kept->in);
    return kept;
}

/* ---- numbers in ---------------------------------------------------------------------- */

/* Who changes a copy of the arguments, as conventions and impostors do, asks something else
 * of the reference. */
static bool is_for(const struct kb_kept *kept, const struct kb_compare_args *args) {
    return kept->problem == args->problem && kept->tensor == args->tensor &&
           !memcmp(kept->in, args->in, (size_t)args->problem->n_tensors * sizeof *kept->in);
}

struct kb_kept *kb_kept_to_fill(const struct kb_compare_args *args) {
    struct kb_kept *kept = args->kept;
    bool sampled = args->sample != NULL;

    return kept && !kept->filled && is_for(kept, args) && sampled == (kept->n_rows > 0)
               ? kept
               : NULL;
}

void kb_kept_put(struct kb_kept *kept, int64_t place, int64_t count, const double *want,
                 const double *bound) {
    memcpy(kept->want + place, want, (size_t)count * sizeof *want);
    memcpy(kept->bound + place, bound, (size_t)count * sizeof *bound);
}

void kb_kept_filled(struct kb_kept *kept) {
    kept->filled = true;
}

static void add_stretch(struct kb_kept *kept, int64_t first, int64_t count,
                        const double *want, const double *bound) {
    size_t bytes = (size_t)count * sizeof(double);
    double *room = NULL;

    if (kept->n_beside < MOST_STRETCHES && count <= MOST_BESIDE - kept->beside_elements)
        room = malloc(2 * bytes);
    if (!room)
        return;
    memcpy(room, want, bytes);
    memcpy(room + count, bound, bytes);
    kept->beside[kept->n_beside++] = (struct stretch){first, count, room, room + count};
    kept->beside_elements += count;
}

void kb_kept_add(struct kb_kept *kept, int64_t first, int64_t count, const double *want,
                 const double *bound) {
    if (kept->n_rows == 0)
        return;
#pragma omp critical(kb_kept_beside)
    add_stretch(kept, first, count, want, bound);
}

/* ---- numbers out --------------------------------------------------------------------- */

struct kb_kept *kb_kept_of(const struct kb_compare_args *args) {
    struct kb_kept *kept = args->kept;

    return kept && kept->filled && is_for(kept, args) ? kept : NULL;
}

/* Which of the rows that are checked this is; -1: none. */
static int64_t find_row(const struct kb_kept *kept, int64_t row) {
    int64_t low = 0, high = kept->n_rows;

    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        if (kept->rows[middle] < row)
            low = middle + 1;
        else
            high = middle;
    }
    return low < kept->n_rows && kept->rows[low] == row ? low : -1;
}

/* The place of an element that is followed by `count - 1` others without a gap; -1: they
 * are not all there. */
static int64_t place_of(const struct kb_kept *kept, int64_t first, int64_t count) {
    if (kept->n_rows == 0)
        return first;
    int64_t from = first / kept->length, to = (first + count - 1) / kept->length;
    int64_t a = find_row(kept, from), b = find_row(kept, to);
    bool all = a >= 0 && b >= 0 && b - a == to - from;
    return all ? a * kept->length + first % kept->length : -1;
}

static bool load_stretch(const struct kb_kept *kept, int64_t first, int64_t count,
                         double *want, double *bound) {
    for (int i = 0; i < kept->n_beside; i++) {
        const struct stretch *s = &kept->beside[i];
        if (first < s->first || first + count > s->first + s->count)
            continue;
        memcpy(want, s->want + (first - s->first), (size_t)count * sizeof *want);
        memcpy(bound, s->bound + (first - s->first), (size_t)count * sizeof *bound);
        return true;
    }
    return false;
}

bool kb_kept_load(struct kb_kept *kept, int64_t first, int64_t count, double *want,
                  double *bound) {
    int64_t place = place_of(kept, first, count);
    bool there = place >= 0;

    if (there) {
        memcpy(want, kept->want + place, (size_t)count * sizeof *want);
        memcpy(bound, kept->bound + place, (size_t)count * sizeof *bound);
        return true;
    }
#pragma omp critical(kb_kept_beside)
    there = load_stretch(kept, first, count, want, bound);
    return there;
}
