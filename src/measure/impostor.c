/* impostor.c - wrong outputs made of the right one, held against the rule that a kernel's
 * output passed: a case that one of them passes as well tells nothing.
 *
 * Nothing is stored: a few hundred elements at a time, each impostor until its first
 * element that fails. As a rule that is among the first ones. */
#include "impostor.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    TILE = 256,
    ONES = 64,  /* places for one wrong element */
    SERIAL = 8, /* windows before threads are worth it */
};
enum { MOST = KB_I_LOW + KB_MAX_TENSORS };

struct trial {
    struct kb_judge judge;
    uint64_t seed;
    int n;
    struct kb_impostor all[MOST];
};

static struct kb_stage *stage_make(void) {
    struct kb_stage *stage = malloc(sizeof *stage);

    if (!stage)
        kb_out_of_memory();
    return stage;
}

static int64_t row_of(const struct kb_tensor_spec *spec) {
    return spec->rank > 0 ? spec->shape[spec->rank - 1] : 1;
}

/* ---- trials ------------------------------------------------------------------------ */

/* One element of an impostor: true if it fails. */
static bool is_caught(const struct kb_judge *judge, const struct kb_window *w, int64_t i,
                      uint32_t got, bool *differs) {
    if (!w->judged[i] || kb_same_value(judge, got, w->bits[i]))
        return false;
    *differs = true;
    return kb_judge_bits(judge, w->first + i, got, w->want[i], w->bound[i]).bad;
}

static void try_here(const struct trial *t, struct kb_impostor *impostor,
                     struct kb_stage *b) {
    kb_impostor_make(&t->judge, impostor, b);
    for (int64_t i = 0; i < b->here.count && !impostor->caught; i++)
        if (!b->same[i])
            impostor->caught =
                is_caught(&t->judge, &b->here, i, b->got[i], &impostor->differs);
}

static bool is_everywhere(const struct kb_impostor *impostor) {
    return impostor->kind != KB_I_LAST && impostor->kind != KB_I_ONE;
}

/* Places [place, end) for all impostors that no element of has failed yet. */
static void try_places(const struct trial *t, struct kb_impostor *all, int64_t place,
                       int64_t end, struct kb_stage *b) {
    for (int64_t first, count; place < end; place += count) {
        count = kb_judge_stretch(&t->judge, place, end, &first);
        kb_window_load(&t->judge, first, count, &b->chunk, &b->here);
        for (int k = 0; k < t->n && b->here.any_judged; k++)
            if (is_everywhere(&all[k]) && !all[k].caught)
                try_here(t, &all[k], b);
    }
}

static bool any_left(const struct trial *t, const struct kb_impostor *all) {
    for (int k = 0; k < t->n; k++)
        if (is_everywhere(&all[k]) && !all[k].caught)
            return true;
    return false;
}

static void learn(struct trial *t, const struct kb_impostor *from,
                  struct kb_impostor *mine) {
    for (int k = 0; k < t->n; k++) {
        t->all[k].caught |= from[k].caught;
        t->all[k].differs |= from[k].differs;
        mine[k].caught |= t->all[k].caught;
    }
}

/* The first few windows, as a rule; all of them, by all cores, where something is let
 * through. What is found does not depend on who finds it. */
static void try_everywhere(struct trial *t) {
    int64_t n = kb_judge_places(&t->judge), windows = (n + KB_WINDOW - 1) / KB_WINDOW;
    int64_t serial = windows < SERIAL ? windows : SERIAL;
    struct kb_stage *stage = stage_make();

    for (int64_t w = 0; w < serial && any_left(t, t->all); w++)
        try_places(t, t->all, w * KB_WINDOW,
                   w * KB_WINDOW + KB_WINDOW < n ? (w + 1) * KB_WINDOW : n, stage);
    free(stage);
    if (serial == windows || !any_left(t, t->all))
        return;
#pragma omp parallel num_threads(kb_threads(n))
    {
        struct kb_stage *b = stage_make();
        struct kb_impostor mine[MOST];
        memcpy(mine, t->all, sizeof mine);
#pragma omp for schedule(dynamic, 4)
        for (int64_t w = serial; w < windows; w++) {
            int64_t start = w * KB_WINDOW,
                    end = start + KB_WINDOW < n ? start + KB_WINDOW : n;
            if (any_left(t, mine))
                try_places(t, mine, start, end, b);
#pragma omp critical
            learn(t, mine, mine);
        }
        free(b);
    }
}

static int64_t tile_of(int64_t places) {
    return places > 2 * TILE ? TILE : (places + 1) / 2;
}

static void try_last(struct trial *t, struct kb_impostor *impostor, struct kb_stage *b) {
    int64_t n = kb_judge_places(&t->judge), start = n - tile_of(n);

    kb_judge_stretch(&t->judge, start, n, &impostor->index);
    for (int64_t place = start, first, count; place < n; place += count) {
        count = kb_judge_stretch(&t->judge, place, n, &first);
        kb_window_load(&t->judge, first, count, &b->chunk, &b->here);
        try_here(t, impostor, b);
    }
}

/* A place below `n`, by the seed. */
static int64_t draw(const struct trial *t, int64_t n) {
    uint32_t random[4];

    kb_philox(t->seed, (uint64_t)KB_I_ONE, 0, random);
    return (int64_t)(((uint64_t)random[0] << 32 | random[1]) % (uint64_t)n);
}

/* From a place that the seed draws on, each of the next elements by itself. Here and there
 * a bound is wider than any number around (a sum that cancels, of huge terms): a rule that
 * sees one wrong element at most places is sound. */
static void try_one(struct trial *t, struct kb_impostor *impostor, struct kb_stage *b) {
    int64_t n = kb_judge_places(&t->judge), first, count;
    int tried = 0, passed = 0;

    for (int64_t gone = 0; gone < n && tried < ONES; gone += count) {
        int64_t place = (draw(t, n) + gone) % n;
        count = n - place < KB_WINDOW ? n - place : KB_WINDOW;
        count = kb_judge_stretch(&t->judge, place, place + count, &first);
        kb_window_load(&t->judge, first, count, &b->chunk, &b->here);
        for (int64_t i = 0; i < count && tried < ONES; i++) {
            uint32_t bits = kb_impostor_wrong(&t->judge, &b->here, i);
            bool differs = false,
                 caught = is_caught(&t->judge, &b->here, i, bits, &differs);
            tried += differs;
            if (differs && !caught && passed++ == 0) {
                impostor->index = first + i;
                impostor->bits = bits;
            }
        }
    }
    impostor->differs = tried > 0;
    impostor->caught = 2 * passed < tried;
}

/* ---- which there are --------------------------------------------------------------- */

static void add(struct trial *t, enum kb_impostor_kind kind, int input, const char *name) {
    assert(t->n < MOST);
    t->all[t->n++] = (struct kb_impostor){.kind = kind, .input = input, .name = name};
}

static void choose(struct trial *t, struct kb_arena *arena) {
    const struct kb_problem *p = t->judge.args->problem;
    const struct kb_tensor_spec *spec = t->judge.spec;
    int64_t tile = tile_of(kb_judge_places(&t->judge));

    add(t, KB_I_ZEROS, 0, "all zeros");
    for (int input = 0; input < p->n_tensors; input++)
        if (kb_impostor_can_copy(&t->judge, input))
            add(t, KB_I_COPY, input,
                kb_arena_printf(arena, "a copy of %s", p->tensors[input].name));
    if (row_of(spec) < spec->elements)
        add(t, KB_I_ROW_MEAN, 0, "the mean of each row");
    add(t, KB_I_MEAN, 0, "the mean of all");
    add(t, KB_I_SHIFT_ELEMENT, 0, "shifted by one element");
    if (row_of(spec) < spec->elements)
        add(t, KB_I_SHIFT_ROW, 0, "shifted by one row");
    add(t, KB_I_LAST, 0,
        kb_arena_printf(arena, "nothing in the last %lld", (long long)tile));
    add(t, KB_I_ONE, 0, "one wrong element");
    if (p->c->op->low_precision)
        add(t, KB_I_LOW, 0, "sums in bf16");
}

/* ---- by way of another output ------------------------------------------------------ */

/* The whole impostor, in memory of its own; what is not its own is as the kernel left it,
 * which the other outputs go with. */
static void *store(const struct trial *t, const struct kb_impostor *impostor,
                   struct kb_stage *b) {
    const struct kb_judge *judge = &t->judge;
    int64_t n = judge->spec->elements;
    enum kb_dtype dtype = judge->spec->dtype;
    char *data = malloc((size_t)n * kb_dtype_bytes(dtype));

    if (!data)
        kb_out_of_memory();
    for (int64_t first = 0; first < n; first += KB_WINDOW) {
        kb_window_load(judge, first, n - first < KB_WINDOW ? n - first : KB_WINDOW,
                       &b->chunk, &b->here);
        kb_impostor_make(judge, impostor, b);
        for (int64_t i = 0; i < b->here.count; i++) {
            bool own = b->here.judged[i] && !b->same[i];
            uint32_t right = kb_bits_at(dtype, judge->args->got, first + i);
            kb_bits_put(dtype, data, first + i, own ? b->got[i] : right);
        }
    }
    return data;
}

/* What is right in another output may depend on this one's. */
static bool shows_elsewhere(const struct trial *t, const struct kb_impostor *impostor,
                            const struct kb_compare_args *outputs, int n_outputs,
                            struct kb_stage *b) {
    int tensor = t->judge.args->tensor;
    bool shows = false;

    if (n_outputs < 2 || t->judge.spec->role != KB_OUT ||
        !t->judge.args->problem->c->op->reads_outputs)
        return false;
    void *data = store(t, impostor, b);
    for (int o = 0; o < n_outputs && !shows; o++) {
        struct kb_compare_args args = outputs[o];
        const void *in[KB_MAX_TENSORS];
        if (args.tensor == tensor)
            continue;
        memcpy(in, args.in, (size_t)args.problem->n_tensors * sizeof *in);
        in[tensor] = data;
        args.in = in;
        struct kb_judge judge = kb_judge_of(&args);
        shows = kb_compare_over(&args, 0, kb_judge_places(&judge)) > 0;
    }
    free(data);
    return shows;
}

static void let_through(const struct trial *t, const struct kb_impostor *impostor,
                        bool named, struct kb_arena *arena, struct kb_impostors *out) {
    const char *name = impostor->name;

    if (named)
        name = kb_arena_printf(arena, "%s: %s", t->judge.spec->name, name);
    kb_strings_add(&out->let_through, arena, name);
}

void kb_impostors_try(const struct kb_compare_args *outputs, int n_outputs, int which,
                      uint64_t seed, struct kb_arena *arena, struct kb_impostors *out) {
    struct trial t = {.judge = kb_judge_of(&outputs[which]), .seed = seed};

    if (kb_judge_places(&t.judge) == 0)
        return;
    struct kb_stage *b = stage_make();
    choose(&t, arena);
    try_everywhere(&t);
    for (int k = 0; k < t.n; k++) {
        struct kb_impostor *impostor = &t.all[k];
        if (impostor->kind == KB_I_LAST)
            try_last(&t, impostor, b);
        else if (impostor->kind == KB_I_ONE)
            try_one(&t, impostor, b);
        out->tried += impostor->differs;
        out->left_out += !impostor->differs;
        if (impostor->differs && !impostor->caught &&
            !shows_elsewhere(&t, impostor, outputs, n_outputs, b))
            let_through(&t, impostor, n_outputs > 1, arena, out);
    }
    free(b);
}
