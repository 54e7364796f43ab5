/* group.c - lists that multiply: counted before they are made, then read by index. */
#include "op/group.h"

#include <float.h>
#include <math.h>
#include <string.h>

const struct kb_case *kb_groups_start(struct kb_groups *groups, const struct kb_op *op) {
    size_t at = 0;
    if (!groups->starts)
        groups->starts =
            kb_arena_array(groups->arena, (size_t)kb_op_count, sizeof *groups->starts);
    while (kb_ops[at] != op)
        at++;
    if (!groups->starts[at]) {
        struct kb_case *start = kb_arena_alloc(groups->arena, sizeof *start);
        kb_case_start(start, op);
        groups->starts[at] = start;
    }
    return groups->starts[at];
}

size_t kb_groups_len(const struct kb_groups *groups) {
    return groups->list.len / sizeof(struct kb_group);
}

const struct kb_group *kb_groups_at(const struct kb_groups *groups, size_t i) {
    return (const struct kb_group *)(const void *)groups->list.data + i;
}

void kb_groups_add(struct kb_groups *groups, const struct kb_group *group) {
    kb_buf_add(&groups->list, group, sizeof *group);
    groups->count += kb_group_count(group);
}

unsigned __int128 kb_groups_tag(struct kb_groups *groups, const char *tag) {
    int i = 0;
    while (i < groups->n_tags && !kb_streq(groups->tags[i], tag))
        i++;
    if (i == KB_MAX_TAGS)
        return 0;
    if (i == groups->n_tags)
        groups->tags[groups->n_tags++] = kb_arena_strdup(groups->arena, tag);
    return (unsigned __int128)1 << i;
}

const char *kb_groups_tags(const struct kb_groups *groups, unsigned __int128 mask,
                           struct kb_arena *arena) {
    struct kb_buf text = {0};
    for (int i = 0; i < groups->n_tags && mask >> i; i++) {
        if (!(mask >> i & 1))
            continue;
        if (text.len)
            kb_buf_putc(&text, ',');
        kb_buf_puts(&text, groups->tags[i]);
    }
    const char *copy = kb_arena_strdup(arena, kb_buf_text(&text));
    kb_buf_free(&text);
    return copy;
}

bool kb_groups_room(const struct kb_groups *groups, const size_t *lengths, size_t n,
                    int64_t *count, struct kb_err *err) {
    int64_t product = 1;
    long double rough = 1;
    bool fits = true;
    for (size_t i = 0; i < n; i++) {
        rough = fminl(rough * (long double)lengths[i], LDBL_MAX); /* never "inf" */
        fits = fits && lengths[i] <= INT64_MAX &&
               kb_mul_i64(product, (int64_t)lengths[i], &product);
    }
    if (!fits)
        return kb_fail(err, KB_INPUT, "about %.3Lg cases, at most %d are allowed", rough,
                       KB_MAX_CASES);
    if (product > KB_MAX_CASES)
        return kb_fail(err, KB_INPUT, "%lld cases, at most %d are allowed",
                       (long long)product, KB_MAX_CASES);
    if (product > KB_MAX_CASES - groups->count)
        return kb_fail(err, KB_INPUT,
                       "%lld cases with those before, at most %d are allowed",
                       (long long)(product + groups->count), KB_MAX_CASES);
    *count = product;
    return true;
}

/* Cases of one shape. Lengths were multiplied with checks when the group was made. */
static int64_t cases_per_shape(const struct kb_group *g) {
    int64_t n = (int64_t)g->n_dtypes * g->n_fills;
    for (int i = 0; i < g->n_choices; i++)
        n *= g->choices[i].n;
    return n;
}

int64_t kb_group_count(const struct kb_group *g) {
    return g->n_shapes * cases_per_shape(g);
}

/* Shape `i` of the product of axes, the last axis varying fastest. */
static bool shape_from_axes(const struct kb_group *g, int64_t i, int64_t shape[KB_MAX_RANK],
                            int *rank) {
    int64_t values[KB_MAX_AXES];
    for (int a = g->base->op->n_axes - 1; a >= 0; a--) {
        values[a] = g->axes[a].values[i % g->axes[a].n];
        i /= g->axes[a].n;
    }
    return kb_op_shape(g->base->op, values, shape, rank);
}

bool kb_group_shape(const struct kb_group *g, int64_t i, int64_t shape[KB_MAX_RANK],
                    int *rank) {
    if (!g->shapes)
        return shape_from_axes(g, i, shape, rank);
    memcpy(shape, g->shapes[i].sizes, sizeof g->shapes[i].sizes);
    *rank = g->shapes[i].rank;
    return true;
}

static bool put_shape(const struct kb_group *g, int64_t i, struct kb_case *out) {
    return kb_group_shape(g, i, out->shape, &out->rank);
}

void kb_group_turn(const struct kb_group *g, int64_t index, struct kb_case *out) {
    out->fill = g->fills[index % g->n_fills];
    index /= g->n_fills;
    for (int i = g->n_choices - 1; i >= 0; i--) {
        const struct kb_choice *choice = &g->choices[i];
        out->set[choice->param] = choice->values[index % choice->n];
        index /= choice->n;
    }
    out->dtype = g->dtypes[index % g->n_dtypes];
    put_shape(g, index / g->n_dtypes, out); /* kb_groups_resolve has seen it succeed */
    out->tolerance = g->origin->tolerance;
    out->sample_rows = g->origin->sample_rows;
    if (out->tolerance.rule == KB_TOL_PEER && !g->origin->peer_numbers)
        out->op->peer_tolerance(out->dtype, out->dtype, &out->tolerance.atol,
                                &out->tolerance.rtol);
}

void kb_group_case(const struct kb_group *g, int64_t index, struct kb_case *out) {
    *out = *g->base;
    kb_group_turn(g, index, out);
}

/* ---- does every case resolve? -----------------------------------------------------------
 */

/* What one op says of one shape over all values of the other lists. */
struct verdict {
    struct kb_case c; /* one of them after the other */
    bool all_refused;
    struct kb_buf why; /* of the first refusal, without the shape; "" if there was none */
    struct kb_buf id;  /* and whose it was */
};

static void print_shape_of(const struct kb_group *g, int shape, struct kb_buf *out) {
    struct kb_case c = {0};
    if (put_shape(g, shape, &c)) {
        kb_shape_print(c.shape, c.rank, out);
        return;
    }
    int64_t block = g->n_shapes;
    for (int a = 0; a < g->base->op->n_axes; a++) {
        block /= g->axes[a].n;
        kb_buf_printf(out, "%s%s %lld", a ? ", " : "", g->base->op->axes[a],
                      (long long)g->axes[a].values[shape / block % g->axes[a].n]);
    }
}

/* An op's message may start with the shape; it is said once. */
static void keep_why(const struct kb_group *g, int shape, const char *why,
                     struct verdict *v) {
    struct kb_buf text = {0};
    print_shape_of(g, shape, &text);
    kb_buf_puts(&text, ": ");
    kb_buf_puts(&v->why, kb_starts_with(why, kb_buf_text(&text)) ? why + text.len : why);
    kb_buf_free(&text);
}

static void try_shape(const struct kb_group *g, int shape, struct verdict *v) {
    int64_t n = cases_per_shape(g), refused = 0;
    struct kb_case *c = &v->c;
    kb_buf_clear(&v->why);
    kb_buf_clear(&v->id);
    v->all_refused = !put_shape(g, shape, c);
    if (v->all_refused) {
        keep_why(g, shape, "the shape's sizes overflow", v);
        return;
    }
    struct kb_arena arena = {0};
    for (int64_t i = 0; i < n; i += g->n_fills) {
        struct kb_problem p;
        struct kb_err err = {0};
        kb_group_turn(g, shape * n + i, c);
        if (kb_case_resolve(c, &p, &err))
            continue;
        if (!refused) {
            keep_why(g, shape, err.msg, v);
            kb_buf_puts(&v->id, kb_case_id(c, &arena));
        }
        refused += g->n_fills;
    }
    kb_arena_free(&arena);
    v->all_refused = refused == n;
}

struct listener {
    void (*refused)(void *context, int shape, const char *what);
    void *context;
};

/* One complaint for a shape that ops refuse; their name goes in front where others take it.
 */
static void tell_shape(const struct kb_group *groups, const struct verdict *v, size_t n,
                       int shape, const struct listener *to) {
    size_t n_refused = 0, first = n;
    for (size_t i = 0; i < n; i++) {
        n_refused += v[i].all_refused;
        if (v[i].all_refused && first == n)
            first = i;
    }
    if (!n_refused)
        return;
    struct kb_buf what = {0};
    print_shape_of(&groups[first], shape, &what);
    kb_buf_printf(&what, ": %s%s%s", n_refused < n ? groups[first].base->op->name : "",
                  n_refused < n ? ": " : "", kb_buf_text(&v[first].why));
    to->refused(to->context, shape, kb_buf_text(&what));
    kb_buf_free(&what);
}

static void tell_case(const struct verdict *v, const struct listener *to) {
    struct kb_buf what = {0};
    kb_buf_printf(&what, "%s: %s", kb_buf_text(&v->id), kb_buf_text(&v->why));
    to->refused(to->context, -1, kb_buf_text(&what));
    kb_buf_free(&what);
}

void kb_groups_resolve(const struct kb_group *groups, size_t n,
                       void (*refused)(void *context, int shape, const char *what),
                       void *context) {
    struct listener to = {refused, context};
    struct kb_arena arena = {0};
    struct verdict *v = kb_arena_array(&arena, n, sizeof *v);
    bool *told = kb_arena_array(&arena, n, sizeof *told);
    for (size_t i = 0; i < n; i++)
        v[i].c = *groups[i].base;
    for (int shape = 0; n && shape < groups[0].n_shapes; shape++) {
        for (size_t i = 0; i < n; i++)
            try_shape(&groups[i], shape, &v[i]);
        tell_shape(groups, v, n, shape, &to);
        for (size_t i = 0; i < n; i++) {
            if (v[i].why.len && !v[i].all_refused && !told[i]) {
                tell_case(&v[i], &to);
                told[i] = true;
            }
        }
    }
    for (size_t i = 0; i < n; i++) {
        kb_buf_free(&v[i].why);
        kb_buf_free(&v[i].id);
    }
    kb_arena_free(&arena);
}
