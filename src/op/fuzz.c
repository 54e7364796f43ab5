/* fuzz.c - random cases around given ones: sizes, parameters and fills that nobody thought
 * of, the same for the same seed.
 *
 * Most faults lie at sizes of 0 and 1, at primes, beside powers of two, at what is no
 * multiple of a vector, past what a grid's axis counts. These are drawn far more often than
 * chance would. What an op does not resolve is drawn again, so that only legal cases are
 * left; what would take long on a CPU is, too. */
#include "op/group.h"

#include <math.h>
#include <string.h>

enum {
    ELEMENTS_MIN_LOG = 8, /* of all tensors of a case: at most 2^8 to 2^20, by draw */
    ELEMENTS_MAX_LOG = 20,
    LIST_MAX = 6,
};
#define FLOPS_MAX (INT64_C(1) << 28)

/* ---- dice ------------------------------------------------------------------------------
 */

struct dice {
    uint64_t seed, stream, at;
    uint32_t words[4];
    int left;
};

static struct dice dice_of(uint64_t seed, const struct kb_op *op, uint64_t attempt) {
    struct kb_hash hash = kb_hash_of(op->name, strlen(op->name));
    struct dice d = {.seed = seed, .at = attempt << 16};
    memcpy(&d.stream, hash.bytes, sizeof d.stream);
    return d;
}

/* 0 .. n-1 */
static int64_t draw(struct dice *d, int64_t n) {
    if (!d->left) {
        kb_philox(d->seed, d->stream, d->at++, d->words);
        d->left = 4;
    }
    return (int64_t)(d->words[--d->left] % (uint64_t)n);
}

static bool one_in(struct dice *d, int64_t n) {
    return draw(d, n) == 0;
}

/* From `low` to `high`, each order of magnitude as often as another. */
static int64_t draw_log(struct dice *d, int64_t low, int64_t high) {
    double share = (double)draw(d, 1 << 20) / (1 << 20);
    double base = low > 0 ? (double)low : 1;
    int64_t value = (int64_t)floor(base * pow((double)high / base, share));
    return value < low ? low : value > high ? high : value;
}

/* ---- sizes -----------------------------------------------------------------------------
 */

static int64_t draw_prime(struct dice *d) {
    static const int primes[] = {2,   3,   5,   7,    11,   13,   17,   29,    31,   61,
                                 127, 251, 509, 1021, 2039, 4093, 8191, 16381, 65521};
    return primes[draw(d, KB_COUNT(primes))];
}

static int64_t beside_a_power(struct dice *d) {
    return (INT64_C(1) << (1 + draw(d, 17))) - 1 + draw(d, 3);
}

/* A size instead of `given`, which is as good as any other a third of the time. */
static int64_t draw_size(struct dice *d, int64_t given) {
    int64_t around = given > 0 ? given : 1;
    switch (draw(d, 15)) {
    case 0:
        return one_in(d, 4) ? 0 : 1;
    case 1:
        return 1;
    case 2:
        return 2 + draw(d, 15);
    case 3:
        return draw_prime(d);
    case 4:
    case 5:
        return beside_a_power(d);
    case 6:
        return around + 1 + draw(d, 8);
    case 7:
        return around > 8 ? around - 1 - draw(d, 8) : around;
    case 8:
        return around * (1 + draw(d, 6)) / (1 + draw(d, 4));
    case 9:
        return (1 + draw(d, 64)) << (3 + draw(d, 5));
    case 10:
        return draw_log(d, 1, 2 * around);
    default:
        return given;
    }
}

/* Once in a while an axis more in front, or the first two in one. */
static void draw_rank(struct dice *d, struct kb_case *c) {
    int64_t *shape = c->shape;
    if (!one_in(d, 8))
        return;
    if (one_in(d, 2) && c->rank < KB_MAX_RANK) {
        memmove(shape + 1, shape, (size_t)c->rank * sizeof *shape);
        shape[0] = 1 + draw(d, 4);
        c->rank++;
    } else if (c->rank > 1 && kb_mul_i64(shape[0], shape[1], &shape[1])) {
        c->rank--;
        memmove(shape, shape + 1, (size_t)c->rank * sizeof *shape);
        shape[c->rank] = 0;
    }
}

/* ---- parameters ------------------------------------------------------------------------
 */

static int count_words(const char *words) {
    int n = 1;
    for (; *words; words++)
        n += *words == ',';
    return n;
}

static double draw_whole(struct dice *d, const struct kb_param *param) {
    int64_t low = (int64_t)param->min;
    int64_t high = (int64_t)fmin(param->max, (double)(INT64_C(1) << 16));
    switch (draw(d, 6)) {
    case 0:
        return param->def;
    case 1:
        return param->min;
    case 2:
        return param->max;
    case 3:
        return (double)(low + draw(d, 8));
    case 4:
        return (double)beside_a_power(d);
    default:
        return high > low ? (double)draw_log(d, low, high) : (double)low;
    }
}

/* Three digits, so that ids stay short: divided last, which rounds once. */
static double draw_float(struct dice *d, const struct kb_param *param) {
    double thousandths = (double)(1 + draw(d, 999));
    double range = fmin(param->max, 1e6) - fmax(param->min, -1e6);
    switch (draw(d, 4)) {
    case 0:
        return param->def;
    case 1:
        return param->min;
    case 2:
        return param->max;
    default:
        return range <= 2
                   ? fmax(param->min, -1e6) + thousandths * range / 1000
                   : fmax(param->min, thousandths * pow(10, (double)draw(d, 4)) / 10000);
    }
}

/* Axes of the shape that are what the list comes to follow it. */
void kb_case_put_list(struct kb_case *c, int param, const struct kb_value *value) {
    int64_t before = 0, after = 0;
    for (int i = 0; i < (int)c->set[param].v; i++)
        before += c->set[param].items[i];
    for (int i = 0; i < (int)value->v; i++)
        after += value->items[i];
    for (int axis = 0; axis < c->rank && c->set[param].v > 0; axis++)
        if (c->shape[axis] == before)
            c->shape[axis] = after;
    c->set[param] = *value;
}

/* Lists of one length, as they belong together. */
static void draw_lists(struct dice *d, struct kb_case *c) {
    int n = 1 + (int)draw(d, LIST_MAX);
    for (int i = 0; i < c->op->n_params; i++) {
        struct kb_value value = {.v = n};
        if (c->op->params[i].kind != KB_PARAM_LIST || c->set[i].v <= 0)
            continue;
        for (int k = 0; k < n; k++)
            value.items[k] = draw_size(d, c->set[i].items[k % (int)c->set[i].v]);
        kb_case_put_list(c, i, &value);
    }
}

static void draw_params(struct dice *d, const struct kb_fuzz *fuzz, struct kb_case *c) {
    for (int i = 0; i < c->op->n_params; i++) {
        const struct kb_param *param = &c->op->params[i];
        if (!one_in(d, 4) || kb_strings_has(&fuzz->kept, param->name))
            continue;
        if (param->kind == KB_PARAM_WORD)
            c->set[i].v = (double)draw(d, count_words(param->words));
        else if (param->kind == KB_PARAM_INT)
            c->set[i].v = draw_whole(d, param);
        else if (param->kind == KB_PARAM_FLOAT)
            c->set[i].v = draw_float(d, param);
    }
}

/* ---- a case ----------------------------------------------------------------------------
 */

static bool is_small(const struct kb_problem *p, int log) {
    int64_t elements = 0;
    for (int t = 0; t < p->n_tensors; t++)
        elements += p->tensors[t].elements;
    return elements <= INT64_C(1) << log && p->flops <= FLOPS_MAX;
}

bool kb_fuzz_case(const struct kb_fuzz *fuzz, uint64_t attempt, const struct kb_case *given,
                  struct kb_case *out) {
    struct dice d = dice_of(fuzz->seed, given->op, attempt);
    struct kb_err err = {0};
    int log = ELEMENTS_MIN_LOG + (int)draw(&d, ELEMENTS_MAX_LOG - ELEMENTS_MIN_LOG + 1);
    *out = *given;
    out->id = NULL;
    draw_rank(&d, out);
    for (int i = 0; i < out->rank; i++)
        out->shape[i] = draw_size(&d, out->shape[i]);
    draw_params(&d, fuzz, out);
    if (one_in(&d, 2))
        draw_lists(&d, out);
    if (fuzz->any_fill && one_in(&d, 2))
        out->fill = out->op->fills[draw(&d, out->op->n_fills)];
    return kb_case_resolve(out, fuzz->problem, &err) && is_small(fuzz->problem, log);
}

size_t kb_fuzz_pick(uint64_t seed, uint64_t attempt, const struct kb_op *op, size_t n) {
    struct dice d = dice_of(seed ^ 1, op, attempt);
    return (size_t)draw(&d, (int64_t)n);
}
