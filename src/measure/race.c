/* race.c - blocks in which each lane is visited twice, in an order that is drawn and then
 * its reverse. */
#include "race.h"

#include <math.h>

/* A visit lasts long enough that what is queued in front of it is a small part; a graph's
 * sample alone does. */
enum { VISIT_NS = 500000, MAX_VISIT = 8, PROBE = 4, PATIENCE = 4 };
/* A graph takes 5 ms to make, a block of two lanes 6 ms where kernels are short. */
enum { BLOCKS_A_GRAPH = 6 };
static const double most_by_graph = 1.05;

/* ---- blocks ---------------------------------------------------------------------------
 */

static bool plan_visits(struct race *race, struct kb_err *err) {
    double ns[PROBE];
    int64_t start = kb_now_ns();

    if (!kb_sample(race->group->session, race->lanes[0].timer, PROBE, ns, err))
        return false;
    int64_t each = (kb_now_ns() - start) / PROBE + 1;
    int64_t samples = VISIT_NS / each;
    race->per_visit = samples < 1 ? 1 : samples > MAX_VISIT ? MAX_VISIT : (int)samples;
    return true;
}

static int64_t most_blocks(const struct race *race) {
    int64_t most = KB_MAX_SAMPLES / 2 / race->per_visit;

    return most < KB_MAX_BLOCKS ? most : KB_MAX_BLOCKS;
}

/* What is measured again is for the difference alone. */
static bool visit(struct race *race, struct lane *lane, bool again, int64_t block,
                  struct kb_err *err) {
    double own[MAX_VISIT], *ns = again ? own : lane->all.ns + lane->all.n, sum = 0;

    if (!kb_sample(race->group->session, lane->timer, race->per_visit, ns, err))
        return false;
    for (int i = 0; i < race->per_visit; i++)
        sum += ns[i];
    lane->all.n += again ? 0 : race->per_visit;
    (again ? lane->again_ns : lane->blocks_ns)[block] += sum / race->per_visit / 2;
    kb_watch_clocks(race->group->session, &lane->time, &lane->seen);
    return true;
}

/* In the order that was drawn: who comes first may get what another left, block by block
 * the same places in memory, and the difference would not have either sign alike. */
static bool renew(struct race *race, struct lane *const *lanes, int n, const int *order,
                  struct kb_err *err) {
    for (int i = 0; i < n; i++)
        if (!race->group->session->backend->timer_renew(lanes[order[i]]->timer, err))
            return false;
    return true;
}

/* Block `block` of the race, or (`again`) of those that are measured again. */
static bool run_block(struct race *race, struct lane *const *lanes, int n, bool again,
                      int64_t block, struct kb_err *err) {
    int order[2 * KB_MAX_GROUP];
    bool anew = again || (n > 1 && block > 0 && block % BLOCKS_A_GRAPH == 0);

    kb_speed_order(race->seed, again ? KB_MAX_BLOCKS + block : block, n, order);
    if (anew && !renew(race, lanes, n, order, err))
        return false;
    for (int v = 0; v < 2 * n; v++)
        if (!visit(race, lanes[order[v]], again, block, err))
            return false;
    return true;
}

/* ---- what is known so far -------------------------------------------------------------
 */

const char *kb_lane_reached(const struct race *race, const struct lane *lane) {
    struct kb_arena arena = {0};
    struct kb_stats stats;

    kb_stats_of(lane->all.ns, lane->all.n, &arena, &stats);
    const char *why =
        kb_sampling_reached(&lane->all, &stats, race->job, lane->facts.tick_ns);
    kb_arena_free(&arena);
    return why;
}

static bool has_first(const struct race *race) {
    return race->n > 0 && !race->lanes[0].member->against;
}

static double tick_of(const struct race *race, const struct lane *b) {
    const struct lane *a = &race->lanes[0];

    return fmax(a->facts.tick_ns / a->blocks_ns[0], b->facts.tick_ns / b->blocks_ns[0]);
}

struct compared { /* blocks that count */
    const double *a_ns, *b_ns;
    int64_t n, each; /* each: with the same graphs */
};

static struct compared blocks_of(const struct race *race, const struct lane *b) {
    const struct lane *a = &race->lanes[0];

    if (b->again)
        return (struct compared){a->again_ns, b->again_ns, race->again, 1};
    return (struct compared){a->blocks_ns, b->blocks_ns, race->blocks, BLOCKS_A_GRAPH};
}

/* Other methods launch one by one: nothing of theirs lies somewhere for six blocks. */
static bool is_by_graphs(const struct race *race) {
    return race->method == KB_GRAPH || race->method == KB_PDL;
}

static void compare_lane(const struct race *race, const struct lane *b,
                         struct kb_speed *out) {
    struct compared c = blocks_of(race, b);

    kb_speed_paired(c.a_ns, c.b_ns, c.n, race->seed, out);
    if (is_by_graphs(race))
        kb_speed_widen_grouped(out, c.a_ns, c.b_ns, c.each);
    kb_speed_widen(out, tick_of(race, b) / 2);
}

/* What it takes to be FASTER or SLOWER: the same however often it was looked. */
static struct kb_speed_rule rule_of(const struct race *race) {
    struct kb_speed_rule rule = kb_speed_rule_for(race->job->compared);

    rule.level /= KB_SPEED_LOOKS;
    return rule;
}

/* Whether the difference is known as well as each of the two times is to be. *clear: and
 * there is a verdict. */
static bool narrow(const struct race *race, const struct lane *b, bool *clear) {
    const struct kb_speed_rule rule = rule_of(race);
    double target = kb_precision_for(race->job, race->lanes[0].blocks_ns[0]) / 2;
    struct kb_speed speed;

    compare_lane(race, b, &speed);
    *clear &=
        b->member->against->same_code == 1 || kb_speed_judge(&speed, &rule) != KB_UNCLEAR;
    return (speed.high - speed.low) / 2 <= fmax(target, tick_of(race, b) / 2) * speed.ratio;
}

/* All is as precise as was asked. What is not clear then may become so with some more, but
 * not for ever: a difference may lie at the margin. */
static bool settled(struct race *race) {
    bool clear = true;

    for (int i = 0; i < race->n; i++)
        if (!kb_lane_reached(race, &race->lanes[i]))
            return false;
    for (int i = 1; has_first(race) && i < race->n; i++)
        if (!narrow(race, &race->lanes[i], &clear))
            return false;
    if (!race->precise_at)
        race->precise_at = race->blocks;
    return clear || race->blocks >= PATIENCE * race->precise_at;
}

/* ---- the race -------------------------------------------------------------------------
 */

static double limit_s(const struct race *race) {
    return kb_max_time_s(race->job);
}

/* What each of `n` lanes has had of the time since then. */
static double share_s(int64_t start_ns, int n) {
    return (double)(kb_now_ns() - start_ns) / 1e9 / n;
}

/* Half of the time is left for what may be measured again; not by fewer blocks than it
 * takes to be FASTER or SLOWER: there is nothing to doubt then. */
static bool has_had_its_time(const struct race *race) {
    bool may_doubt = has_first(race) && race->n > 1 && is_by_graphs(race);

    return race->spent_s >
           limit_s(race) / (may_doubt && race->blocks >= KB_MIN_BLOCKS ? 2 : 1);
}

static bool collect(struct race *race, const char **stopped, struct kb_err *err) {
    int64_t start = kb_now_ns(), look = KB_MIN_BLOCKS;
    struct lane *all[KB_MAX_GROUP];

    for (int i = 0; i < race->n; i++)
        all[i] = &race->lanes[i];
    *stopped = NULL;
    while (!*stopped) {
        if (!run_block(race, all, race->n, false, race->blocks, err))
            return false;
        race->blocks++;
        race->spent_s = share_s(start, race->n);
        bool full = race->blocks >= most_blocks(race);
        if (race->blocks >= look && settled(race))
            *stopped = "precision";
        else if (full)
            *stopped = "samples";
        else if (has_had_its_time(race))
            *stopped = "time";
        if (race->blocks >= look)
            look = race->blocks + race->blocks / 4;
    }
    return true;
}

static enum kb_speed_verdict verdict_of(const struct race *race, const struct lane *b,
                                        double *ratio) {
    const struct kb_speed_rule rule = rule_of(race);
    struct kb_speed speed;

    compare_lane(race, b, &speed);
    *ratio = speed.ratio;
    return kb_speed_judge(&speed, &rule);
}

/* Whether a verdict may be one of graphs and not of kernels. */
static bool is_doubted(const struct race *race, const struct lane *b) {
    double ratio;
    enum kb_speed_verdict verdict = verdict_of(race, b, &ratio);

    return (verdict == KB_FASTER || verdict == KB_SLOWER) && ratio < most_by_graph &&
           ratio > 1 / most_by_graph;
}

static bool all_clear(const struct race *race, struct lane *const *lanes, int n) {
    double ratio;

    for (int i = 1; i < n; i++)
        if (verdict_of(race, lanes[i], &ratio) == KB_UNCLEAR)
            return false;
    return true;
}

static bool measure_again(struct race *race, struct kb_err *err) {
    struct lane *doubted[KB_MAX_GROUP] = {&race->lanes[0]};
    int64_t most = PATIENCE * race->blocks, start = kb_now_ns(), look = KB_MIN_BLOCKS;
    int n = 1;

    for (int i = 1; has_first(race) && i < race->n; i++)
        if (is_doubted(race, &race->lanes[i]))
            doubted[n++] = &race->lanes[i];
    for (int i = 1; i < n; i++)
        doubted[i]->again = true;
    if (most > KB_MAX_BLOCKS)
        most = KB_MAX_BLOCKS;
    while (n > 1 && race->again < most) {
        if (!run_block(race, doubted, n, true, race->again, err))
            return false;
        race->again++;
        if (race->spent_s + share_s(start, n) > limit_s(race))
            break;
        if (race->again < look)
            continue;
        if (all_clear(race, doubted, n))
            break;
        look = race->again + race->again / 4;
    }
    return true;
}

bool kb_race_run(struct race *race, const char **stopped, struct kb_err *err) {
    return plan_visits(race, err) && collect(race, stopped, err) &&
           (!is_by_graphs(race) || measure_again(race, err));
}

void kb_race_judge(const struct race *race) {
    const struct kb_speed_rule rule = rule_of(race);

    for (int i = 1; has_first(race) && i < race->n; i++) {
        const struct lane *b = &race->lanes[i];
        struct kb_against *against = b->member->against;
        struct kb_speed *speed = &against->speeds[race->method];
        struct compared c = blocks_of(race, b);
        compare_lane(race, b, speed);
        speed->verdict =
            against->same_code == 1 ? KB_IDENTICAL : kb_speed_judge(speed, &rule);
        against->detectable[race->method] =
            kb_speed_detectable(c.a_ns, c.b_ns, c.n, race->seed, speed, &rule);
    }
}
