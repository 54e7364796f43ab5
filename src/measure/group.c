/* group.c - one case in several builds and variants: each is checked like any other, then
 * those that passed are timed in turns. What each is beside the first: whether the machine
 * code is the same, how many elements of the outputs differ, which is faster. */
#include "group.h"
#include "sampling.h"

#include <string.h>

/* ---- code -----------------------------------------------------------------------------
 */

static bool same_args(const struct kb_launch *a, const struct kb_launch *b) {
    for (int i = 0; i < a->n_args; i++) {
        const struct kb_arg *x = &a->args[i], *y = &b->args[i];
        if (x->kind != y->kind || x->index != y->index || x->bytes != y->bytes ||
            memcmp(x->value, y->value, sizeof x->value) != 0 ||
            x->tma.rank != y->tma.rank || x->tma.swizzle_bytes != y->tma.swizzle_bytes ||
            x->tma.l2_bytes != y->tma.l2_bytes || x->tma.nan_fill != y->tma.nan_fill ||
            memcmp(x->tma.dims, y->tma.dims, sizeof x->tma.dims) != 0 ||
            memcmp(x->tma.strides_bytes, y->tma.strides_bytes,
                   sizeof x->tma.strides_bytes) != 0 ||
            memcmp(x->tma.box, y->tma.box, sizeof x->tma.box) != 0)
            return false;
    }
    return true;
}

static bool same_launch(const struct kb_launch *a, const struct kb_launch *b) {
    return kb_streq(a->entry, b->entry) && !memcmp(a->grid, b->grid, sizeof a->grid) &&
           !memcmp(a->block, b->block, sizeof a->block) &&
           !memcmp(a->cluster, b->cluster, sizeof a->cluster) &&
           a->smem_bytes == b->smem_bytes && a->cooperative == b->cooperative &&
           a->pdl == b->pdl && a->n_args == b->n_args && same_args(a, b);
}

bool kb_same_scratch(const struct kb_plan *a, const struct kb_plan *b) {
    if (a->n_scratch != b->n_scratch)
        return false;
    for (int i = 0; i < a->n_scratch; i++)
        if (a->scratch[i].bytes != b->scratch[i].bytes ||
            a->scratch[i].start != b->scratch[i].start)
            return false;
    return true;
}

/* Launches, too: the same code over another grid is another kernel. */
static bool same_plan(const struct kb_plan *a, const struct kb_plan *b) {
    if (a->n_launches != b->n_launches || !kb_same_scratch(a, b))
        return false;
    for (int i = 0; i < a->n_launches; i++)
        if (!same_launch(&a->launches[i], &b->launches[i]))
            return false;
    return true;
}

static int same_code(const struct life *a, const struct life *b) {
    const struct kb_code_info *x = &a->row->code, *y = &b->row->code;

    if (!a->row->built || !b->row->built || !*x->code_hash || !*y->code_hash)
        return -1;
    return kb_streq(x->code_hash, y->code_hash) &&
           same_plan(&a->asked.plan, &b->asked.plan);
}

/* ---- bits -----------------------------------------------------------------------------
 */

static int64_t count_differing(const unsigned char *a, const unsigned char *b, size_t bytes,
                               size_t width) {
    int64_t n = 0;

    if (kb_same(a, b, bytes))
        return 0;
    for (size_t at = 0; at < bytes; at += width)
        n += memcmp(a + at, b + at, width) != 0;
    return n;
}

static void compare_bits(const struct kb_problem *problem, const struct kb_slab *a,
                         const struct kb_slab *b, struct kb_against *out) {
    out->elements = 0;
    for (int t = 0; t < problem->n_tensors; t++) {
        size_t bytes = a->slots[t].bytes;
        size_t width = kb_dtype_bytes(problem->tensors[t].dtype);
        if (!bytes)
            continue;
        out->elements += (int64_t)(bytes / width);
        out->differing += count_differing(kb_slab_at(a, t), kb_slab_at(b, t), bytes, width);
    }
}

const struct kb_slab *kb_member_result(const struct kb_group *group,
                                       const struct kb_member *member) {
    return member->result.n_slots ? &member->result : &group->members[0].result;
}

/* ---- one after the other --------------------------------------------------------------
 */

/* The outputs of the first run stay for those that are compared with them. */
static void keep_result(struct kb_member *m) {
    struct life *l = &m->life;
    struct kb_err err = {0};

    m->result.fd = -1;
    m->ran = l->row->checked;
    if (!m->ran)
        return;
    if (!l->first.n_slots && !kb_life_keep_outputs(l, &err)) {
        m->ran = m->to_time = false;
        kb_at(&err, "not compared");
        kb_row_warn(l->row, l->arena, err.msg);
        return;
    }
    m->result = l->first;
    l->first = (struct kb_slab){.fd = -1};
}

static void hold_against_first(struct kb_group *g, struct kb_member *m) {
    struct kb_member *first = &g->members[0];
    struct kb_against *against = kb_arena_alloc(g->arena, sizeof *against);

    *against = (struct kb_against){
        .build = first->life.row->build,
        .variant = first->life.row->variant,
        .same_code = same_code(&first->life, &m->life),
        .elements = -1,
    };
    m->against = against;
    m->life.row->against = against;
    if (!first->ran || !m->ran)
        return;
    compare_bits(&m->life.asked.problem, &first->result, &m->result, against);
    if (!against->differing) /* the first one's will do */
        kb_slab_free(&m->result);
}

static void check_member(struct kb_group *g, int i, const struct kb_job *job,
                         struct kb_row *row) {
    struct kb_member *m = &g->members[i];
    struct life *l = &m->life;

    kb_life_begin(l, g->session, job, g->arena, row);
    m->to_time = kb_life_check(l);
    keep_result(m);
    kb_life_end(l);
    if (i > 0)
        hold_against_first(g, m);
}

/* A group that does not live to its end is run again, row by row, and has its samples from
 * that. */
static void keep_samples(struct kb_group *g, const struct kb_buf *lines) {
    struct kb_err why = {0};

    if (g->session->dead || !lines->len || kb_samples_add(g->job, lines, &why))
        return;
    for (int i = 0; i < g->n; i++)
        if (g->members[i].timed)
            kb_row_warn(g->members[i].life.row, g->arena, why.msg);
}

bool kb_session_run_group(struct kb_session *session, const struct kb_job *jobs, int n,
                          struct kb_arena *arena, struct kb_row *rows, struct kb_err *err) {
    struct kb_group g = {
        .session = session,
        .arena = arena,
        .job = &jobs[0],
        .n = n,
        .members = kb_arena_array(arena, (size_t)n, sizeof *g.members),
        .initial = {.fd = -1},
    };
    struct kb_buf samples = {0};

    session->samples = &samples;
    session->kept.on = true;
    session->kept.memory_limit = session->exec.memory_limit;
    for (int i = 0; i < n; i++)
        g.members[i].result.fd = -1;
    for (int i = 0; i < n && !session->dead; i++) {
        check_member(&g, i, &jobs[i], &rows[i]);
        if (session->dead)
            kb_fail(err, KB_DEVICE, "%s", rows[i].text);
    }
    kb_kept_end(&session->kept);
    if (!session->dead && !kb_group_time(&g, err))
        session->dead = true;
    session->samples = NULL;
    keep_samples(&g, &samples);
    kb_buf_free(&samples);
    kb_session_give(session, KB_SPARE_INITIAL, &g.initial);
    for (int i = 0; i < n; i++)
        kb_slab_free(&g.members[i].result);
    return !session->dead;
}
