/* group_time.c - builds and variants timed side by side: timers over the same buffers, the
 * race between them (race.h), and what it came to in their rows. */
#include "race.h"

#include <stdlib.h>
#include <string.h>

/* ---- open and close -------------------------------------------------------------------
 */

static uint64_t seed_of(const struct kb_job *job, enum kb_method method) {
    struct kb_hasher *hasher = kb_hasher_make();
    uint64_t seed;

    kb_hasher_text(hasher, job->case_id);
    kb_hasher_text(hasher, kb_method_word(method));
    kb_hasher_add(hasher, &job->seed, sizeof job->seed);
    struct kb_hash hash = kb_hasher_end(hasher);
    memcpy(&seed, &hash, sizeof seed);
    return seed;
}

/* What a member's buffers begin with, into g->initial: filled anew only where another's
 * scratch is another. */
static bool make_initial(struct kb_group *g, const struct kb_member *m,
                         struct kb_err *err) {
    const struct kb_plan *plan = &m->life.asked.plan;

    if (g->filled && kb_same_scratch(&g->filled->life.asked.plan, plan))
        return true;
    kb_session_give(g->session, KB_SPARE_INITIAL, &g->initial);
    g->initial = kb_session_take(g->session, KB_SPARE_INITIAL);
    g->filled = NULL;
    if (!kb_session_slab(g->session, &m->life.asked.problem, plan, m->life.job->seed,
                         &g->initial, err))
        return false;
    g->filled = m;
    return true;
}

static bool open_lane(struct race *race, struct lane *lane, struct kb_err *err) {
    struct kb_session *s = race->group->session;
    const struct life *l = &lane->member->life;

    lane->time = kb_time_none();
    lane->time.duty = s->pace.duty;
    if (!make_initial(race->group, lane->member, err) ||
        !s->backend->floor(s->device, race->method, &lane->time.floor_ns, err) ||
        !s->backend->timer_open(s->device, l->built->code, &l->asked.plan,
                                &race->group->initial, race->method, race->job->sets,
                                &lane->timer, &lane->facts, err))
        return false;
    kb_samples_make(&lane->all);
    lane->seen.samples = &lane->all;
    return kb_warm_up(s, lane->timer, err);
}

static void close_lane(struct race *race, struct lane *lane) {
    if (lane->timer)
        race->group->session->backend->timer_close(lane->timer);
    kb_samples_free(&lane->all);
    lane->timer = NULL;
}

/* A number that cannot be had is a warning, the end of the device is none. */
static bool told(struct race *race, struct kb_member *m, struct kb_err *why,
                 struct kb_err *err) {
    kb_at(why, "not timed by %s", kb_method_word(race->method));
    if (why->kind == KB_DEVICE || kb_ends_case(race->group->session, why)) {
        *err = *why;
        return false;
    }
    kb_row_warn(m->life.row, race->group->arena, why->msg);
    return true;
}

/* Those that can be timed by this method. Timers hold copies of what they begin with. */
static bool open_lanes(struct race *race, struct kb_err *err) {
    struct kb_group *g = race->group;

    for (int i = 0; i < g->n; i++) {
        struct kb_member *m = &g->members[i];
        struct lane *lane = &race->lanes[race->n];
        struct kb_err why = {0};
        if (!m->to_time)
            continue;
        lane->member = m;
        if (open_lane(race, lane, &why)) {
            race->n++;
            continue;
        }
        close_lane(race, lane);
        if (!told(race, m, &why, err))
            return false;
    }
    return true;
}

/* ---- what it came to ------------------------------------------------------------------
 */

static void describe_lane(struct race *race, struct lane *lane, const char *stopped) {
    struct kb_arena arena = {0};
    struct kb_stats stats;
    struct kb_time *t = &lane->time;
    const char *reached = kb_lane_reached(race, lane);

    kb_stats_of(lane->all.ns, lane->all.n, &arena, &stats);
    kb_arena_free(&arena);
    kb_watch_last(race->group->session, t, &lane->seen);
    t->stopped = reached ? reached : stopped;
    t->median_ns = stats.median;
    t->low_ns = stats.low;
    t->high_ns = stats.high;
    t->min_ns = stats.min;
    t->p99_ns = stats.p99;
    kb_time_describe(&lane->all, &lane->facts, &lane->seen, race->group->arena, t);
}

/* The timed kernel's output, once more: false where it cannot be had. */
static bool look_again(struct race *race, struct lane *lane, struct kb_err *err) {
    struct kb_group *g = race->group;
    struct kb_member *m = lane->member;
    struct kb_slab check = kb_session_take(g->session, KB_SPARE_WORK);
    int set = kb_any_set(race->job, race->method, lane->facts.sets);

    bool ok = make_initial(g, m, err) && kb_slab_like(&check, &g->initial, 0, err) &&
              g->session->backend->timer_result(lane->timer, set, &check, err);
    if (ok && m->life.row->reason == KB_R_NONE &&
        !kb_timed_output_right(&m->life.asked.problem, &g->initial, kb_member_result(g, m),
                               &check, race->method, g->arena, m->life.row))
        m->to_time = false;
    kb_session_give(g->session, KB_SPARE_WORK, &check);
    return ok;
}

/* Times into rows, and what their bytes make of them: after the timers' memory is free. */
static bool finish(struct race *race, struct kb_err *err) {
    for (int i = 0; i < race->n; i++) {
        struct lane *lane = &race->lanes[i];
        const struct life *l = &lane->member->life;
        l->row->times[race->method] = lane->time;
        if (!kb_time_finish(race->group->session, l->job, &l->asked.problem, race->method,
                            race->group->arena, l->row, err))
            return false;
    }
    return true;
}

static bool run_race(struct race *race, struct kb_err *err) {
    const char *stopped;

    if (race->n == 0)
        return true;
    if (!kb_race_run(race, &stopped, err))
        return false;
    for (int i = 0; i < race->n; i++) {
        struct lane *lane = &race->lanes[i];
        describe_lane(race, lane, stopped);
        if (!kb_time_extras(race->group->session, race->job, lane->member->life.row,
                            race->method, lane->timer, &lane->all, &lane->facts,
                            race->group->arena, &lane->time, err) ||
            !look_again(race, lane, err))
            return false;
    }
    kb_race_judge(race);
    return true;
}

static bool time_method(struct kb_group *g, enum kb_method method, struct kb_err *err) {
    struct race race = {
        .group = g,
        .job = g->job,
        .method = method,
        .lanes = calloc((size_t)g->n, sizeof *race.lanes),
        .seed = seed_of(g->job, method),
    };
    struct kb_err why = {0};

    if (!race.lanes)
        kb_out_of_memory();
    kb_pace_begin(g->session, g->job, method);
    bool ok = open_lanes(&race, err);
    bool ran = ok && run_race(&race, &why);
    if (ok && !ran) /* all of them together */
        for (int i = 0; ok && i < race.n; i++) {
            struct kb_err copy = why;
            ok = told(&race, race.lanes[i].member, &copy, err);
        }
    for (int i = 0; i < g->n; i++)
        close_lane(&race, &race.lanes[i]);
    ok = ok && (!ran || finish(&race, err));
    free(race.lanes);
    return ok;
}

/* What turned out wrong while it was timed has no times, and no ratio to anything. */
static void close_member(struct kb_group *g, struct kb_member *m, double ms) {
    const struct kb_row *first = g->members[0].life.row;
    struct kb_row *row = m->life.row;

    if (m->timed) {
        row->ms_time = ms;
        row->ms_total += ms;
        kb_time_close(g->session, m->to_time, g->arena, row);
    }
    for (int k = 0; m->against && k < KB_METHOD_COUNT; k++) {
        if (row->times[k].there && first->times[k].there)
            continue;
        m->against->speeds[k] = (struct kb_speed){0};
        m->against->detectable[k] = 0;
    }
}

bool kb_group_time(struct kb_group *g, struct kb_err *err) {
    int64_t start = kb_now_ns();
    int timed = 0;
    bool ok = true;

    for (int i = 0; i < g->n; i++) {
        struct kb_member *m = &g->members[i];
        m->to_time = m->to_time && !kb_launches_nothing(&m->life.asked.plan);
        m->timed = m->to_time;
        timed += m->timed;
        if (m->timed)
            kb_time_warn(&m->life.asked.problem, g->arena, m->life.row);
    }
    for (int k = 0; ok && timed && k < KB_METHOD_COUNT; k++)
        if (g->job->methods & 1u << k)
            ok = time_method(g, (enum kb_method)k, err);
    double ms = timed ? (double)(kb_now_ns() - start) / 1e6 / timed : 0;
    for (int i = 0; ok && i < g->n; i++)
        close_member(g, &g->members[i], ms);
    return ok;
}
