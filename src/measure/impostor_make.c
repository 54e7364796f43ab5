/* impostor_make.c - the elements of wrong outputs that are made of the right one. */
#include "impostor.h"

#include <math.h>
#include <string.h>

/* ---- the right output -------------------------------------------------------------- */

void kb_window_load(const struct kb_judge *judge, int64_t first, int64_t count,
                    struct kb_chunk *chunk, struct kb_window *w) {
    int64_t n = judge->spec->elements;

    w->first = first;
    w->count = count;
    w->any_judged = false;
    for (int64_t done = 0, part; done < count; done += part) {
        int64_t at = (first + done) % n;
        part = n - at < count - done ? n - at : count - done;
        kb_judge_load(judge, at, part, chunk);
        for (int64_t i = 0; i < part; i++) {
            double want = chunk->want[i], bound = chunk->bound[i];
            int64_t k = done + i;
            w->want[k] = want;
            w->bound[k] = bound;
            w->bits[k] = kb_judge_right(judge, at + i, want, bound);
            w->value[k] = kb_decode(judge->spec->dtype, w->bits[k]);
            w->judged[k] = bound != KB_KEEP && !isinf(bound);
            w->any_judged |= w->judged[k];
        }
    }
}

static int64_t row_of(const struct kb_tensor_spec *spec) {
    return spec->rank > 0 ? spec->shape[spec->rank - 1] : 1;
}

/* ---- the impostors' elements ------------------------------------------------------- */

static void put(struct kb_stage *b, int64_t i, enum kb_dtype dtype, double value) {
    b->got[i] = kb_encode(dtype, value);
}

/* Of the numbers among [from, to) of the window. */
static double mean_of(const struct kb_window *w, int64_t from, int64_t to) {
    double sum = 0;
    int64_t n = 0;

    for (int64_t i = from; i < to; i++) {
        if (w->judged[i] && isfinite(w->value[i])) {
            sum += w->value[i];
            n++;
        }
    }
    return n > 0 ? sum / (double)n : 0;
}

/* Of as much of each row as is in the window. */
static void make_means(const struct kb_judge *judge, int64_t length, struct kb_stage *b) {
    const struct kb_window *w = &b->here;

    for (int64_t i = 0, end; i < w->count; i = end) {
        end = i + length - (w->first + i) % length;
        end = end < w->count ? end : w->count;
        double mean = mean_of(w, i, end);
        for (int64_t k = i; k < end; k++)
            put(b, k, judge->spec->dtype, mean);
    }
}

static void make_shifted(const struct kb_judge *judge, int64_t by, struct kb_stage *b) {
    int64_t n = judge->spec->elements;

    kb_window_load(judge, (b->here.first + by) % n, b->here.count, &b->chunk, &b->there);
    for (int64_t i = 0; i < b->here.count; i++) {
        b->got[i] = b->there.bits[i];
        b->same[i] = !b->there.judged[i];
    }
}

static void make_copy(const struct kb_judge *judge, int input, struct kb_stage *b) {
    const struct kb_compare_args *a = judge->args;
    const struct kb_tensor_spec *from = &a->problem->tensors[input], *to = judge->spec;
    int64_t from_row = row_of(from), to_row = row_of(to);

    for (int64_t i = 0; i < b->here.count; i++) {
        int64_t index = b->here.first + i, at = index;
        if (from->elements != to->elements)
            at = index / to_row * from_row + index % to_row;
        uint32_t bits = kb_bits_at(from->dtype, a->in[input], at);
        if (from->dtype == to->dtype)
            b->got[i] = bits;
        else
            put(b, i, to->dtype, kb_decode(from->dtype, bits));
    }
}

static void make_low(const struct kb_judge *judge, struct kb_stage *b) {
    const struct kb_compare_args *a = judge->args;
    double got[KB_WINDOW];

    bool low = a->problem->c->op->low_precision(a->problem, a->in, a->prepared, a->tensor,
                                                b->here.first, b->here.count, got);
    for (int64_t i = 0; i < b->here.count; i++) {
        b->same[i] = !low;
        b->got[i] = !low           ? b->here.bits[i]
                    : judge->exact ? (uint32_t)got[i]
                                   : kb_encode(judge->spec->dtype, got[i]);
    }
}

bool kb_same_value(const struct kb_judge *judge, uint32_t a, uint32_t b) {
    double x = kb_decode(judge->spec->dtype, a), y = kb_decode(judge->spec->dtype, b);

    return a == b || (!judge->exact && (x == y || (isnan(x) && isnan(y))));
}

uint32_t kb_impostor_wrong(const struct kb_judge *judge, const struct kb_window *w,
                           int64_t i) {
    enum kb_dtype dtype = judge->spec->dtype;
    double squares = 0, value = w->value[i], n = 0;

    if (judge->exact)
        return w->bits[i] ^ 1;
    if (!isfinite(value))
        return kb_encode(dtype, 0);
    for (int64_t k = 0; k < w->count; k++) {
        if (w->judged[k] && isfinite(w->value[k])) {
            squares += w->value[k] * w->value[k];
            n++;
        }
    }
    double off = fmin(fmax(fabs(value), sqrt(squares / n)), kb_max_finite(dtype));
    off = off > 0 ? off : 1;
    uint32_t bits = kb_encode(dtype, value > 0 ? -off : off);
    return kb_same_value(judge, bits, w->bits[i]) ? kb_encode(dtype, value + off) : bits;
}

static void make_zeros(const struct kb_judge *judge, int64_t from, struct kb_stage *b) {
    for (int64_t i = 0; i < b->here.count; i++) {
        put(b, i, judge->spec->dtype, 0);
        b->same[i] = b->here.first + i < from;
    }
}

static void make_one(const struct kb_impostor *impostor, struct kb_stage *b) {
    for (int64_t i = 0; i < b->here.count; i++) {
        b->got[i] = impostor->bits;
        b->same[i] = b->here.first + i != impostor->index;
    }
}

void kb_impostor_make(const struct kb_judge *judge, const struct kb_impostor *impostor,
                      struct kb_stage *b) {
    memset(b->same, 0, sizeof b->same);
    switch (impostor->kind) {
    case KB_I_ZEROS:
    case KB_I_LAST:
        make_zeros(judge, impostor->index, b);
        break;
    case KB_I_COPY:
        make_copy(judge, impostor->input, b);
        break;
    case KB_I_ROW_MEAN:
        make_means(judge, row_of(judge->spec), b);
        break;
    case KB_I_MEAN:
        make_means(judge, judge->spec->elements, b);
        break;
    case KB_I_SHIFT_ELEMENT:
        make_shifted(judge, 1, b);
        break;
    case KB_I_SHIFT_ROW:
        make_shifted(judge, row_of(judge->spec), b);
        break;
    case KB_I_ONE:
        make_one(impostor, b);
        break;
    case KB_I_LOW:
        make_low(judge, b);
        break;
    }
}

bool kb_impostor_can_copy(const struct kb_judge *judge, int input) {
    const struct kb_tensor_spec *from = &judge->args->problem->tensors[input];
    const struct kb_tensor_spec *to = judge->spec;
    bool numbers = kb_dtype_is_float(from->dtype) && kb_dtype_is_float(to->dtype);

    if (to->elements == 1) /* it may be an input's first by chance */
        return false;
    if (from->role == KB_OUT || from->absent || from->elements == 0 ||
        !(numbers || from->dtype == to->dtype))
        return false;
    return from->elements == to->elements ||
           (row_of(from) > row_of(to) &&
            from->elements / row_of(from) == to->elements / row_of(to));
}
