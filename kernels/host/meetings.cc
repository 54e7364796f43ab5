/* meetings.cc - where threads of a block wait for each other: collectives of a warp, barriers,
 * and what is said when nobody can go on. Included by engine.cc. */

/* ---- meetings of a warp ---------------------------------------------------------------- */

/* An address that stands for one barrier or collective in TSan's eyes. Old ones come back
 * after so many others that nobody is left at them. */
static void *new_sync(kbh_engine *e) {
    return &e->syncs[e->n_syncs++ % KBH_SYNCS];
}

static void complete(kbh_engine *e, unsigned warp, kbh_meeting *m) {
    m->open = false;
    m->inside = m->arrived;
    e->runnable[warp] |= m->arrived;
}

static bool all_here(const kbh_engine *e, unsigned warp, const kbh_meeting *m) {
    return (m->mask & ~(m->arrived | e->left[warp])) == 0;
}

static kbh_meeting *find_meeting(kbh_engine *e, unsigned warp, enum kbh_kind kind,
                                 unsigned mask, const char *file, int line) {
    kbh_meeting *all = e->meetings[warp];
    for (unsigned rest = e->in_use[warp]; rest; rest &= rest - 1) {
        kbh_meeting *m = &all[__builtin_ctz(rest)];
        if (m->open && m->kind == kind && m->mask == mask &&
            (kind != KBH_ACTIVEMASK || (m->line == line && m->file == file)))
            return m;
    }
    unsigned i = (unsigned)__builtin_ctz(~e->in_use[warp]);
    e->in_use[warp] |= 1u << i;
    if (kind == KBH_ACTIVEMASK)
        e->active[warp] |= 1u << i;
    kbh_meeting *m = &all[i];
    m->kind = kind;
    m->mask = mask;
    m->arrived = m->inside = 0;
    m->file = file;
    m->line = line;
    m->open = true;
    m->sync = kbh_tsan() && kind == KBH_SYNCWARP ? new_sync(e) : NULL;
    return m;
}

/* No lane of the warp can go on: those at an __activemask are all that will come. */
static void settle_warp(kbh_engine *e, unsigned warp) {
    while (!e->runnable[warp] && e->active[warp]) {
        unsigned i = (unsigned)__builtin_ctz(e->active[warp]);
        e->active[warp] &= e->active[warp] - 1;
        complete(e, warp, &e->meetings[warp][i]);
    }
}

kbh_meeting *kbh_meet(enum kbh_kind kind, unsigned mask, uint64_t value, const char *file,
                      int line) {
    kbh_engine *e = engine;
    unsigned warp = kbh_now.warp, lane = kbh_now.lane;
    if (!(mask >> lane & 1)) {
        kbh_warn("%s:%d: lane %u calls %s with the mask 0x%08x, which leaves it out", file,
                 line, lane, kind_names[kind], mask);
        return NULL;
    }
    kbh_meeting *m = find_meeting(e, warp, kind, mask, file, line);
    m->arrived |= 1u << lane;
    m->value[lane] = value;
    if (m->sync)
        __tsan_release(m->sync);
    if (kind != KBH_ACTIVEMASK && all_here(e, warp, m))
        complete(e, warp, m);
    settle_warp(e, warp);
    suspend(e, pick(e));
    if (m->sync)
        __tsan_acquire(m->sync);
    return m;
}

void kbh_part(kbh_meeting *m) {
    unsigned warp = kbh_now.warp;
    m->inside &= ~(1u << kbh_now.lane);
    if (!m->inside)
        engine->in_use[warp] &= ~(1u << (m - engine->meetings[warp]));
}

void kbh_absent_lane(enum kbh_kind kind, int lane, const char *file, int line) {
    kbh_warn("%s:%d: %s reads from lane %d, which does not take part", file, line,
             kind_names[kind], lane);
}

/* ---- barriers -------------------------------------------------------------------------- */

static bool gate_full(const kbh_engine *e, const kbh_gate *g) {
    return g->arrived >= (g->count ? g->count : (int)e->live);
}

static void open_gate(kbh_engine *e, kbh_gate *g) {
    if (!g->count && e->live < e->n_threads)
        kbh_warn("%s:%d: %u of %u threads had left the kernel before this %s", g->file,
                 g->line, e->n_threads - e->live, e->n_threads, kind_names[g->kind]);
    bool sums = g->kind != KBH_SYNCTHREADS;
    for (unsigned w = 0; w < e->n_warps; w++) {
        e->runnable[w] |= g->waiting[w];
        for (unsigned rest = sums ? g->waiting[w] : 0; rest; rest &= rest - 1)
            e->result[w * 32 + (unsigned)__builtin_ctz(rest)] = g->sum;
    }
    e->gates_used &= ~(1ull << (g - e->gates));
}

static bool same_gate(const kbh_gate *g, enum kbh_kind kind, int id, int count,
                      const char *file, int line) {
    if (g->id != id || g->count != count || g->kind != kind)
        return false;
    return count || (g->line == line && (g->file == file || strcmp(g->file, file) == 0));
}

/* Where threads wait at different calls of __syncthreads, each call is a barrier of its
 * own: CUDA wants all threads of the block at the same one. */
static kbh_gate *find_gate(kbh_engine *e, enum kbh_kind kind, int id, int count,
                           const char *file, int line) {
    for (uint64_t rest = e->gates_used; rest; rest &= rest - 1) {
        kbh_gate *g = &e->gates[__builtin_ctzll(rest)];
        if (same_gate(g, kind, id, count, file, line))
            return g;
    }
    if (!~e->gates_used)
        kbh_stop(KBH_LIMIT, "%s:%d: threads wait at more than %d barriers at once", file,
                 line, KBH_MAX_BARRIERS);
    int i = __builtin_ctzll(~e->gates_used);
    e->gates_used |= 1ull << i;
    kbh_gate *g = &e->gates[i];
    memset(g->waiting, 0, sizeof g->waiting);
    g->arrived = g->sum = 0;
    g->id = id;
    g->count = count;
    g->kind = kind;
    g->file = file;
    g->line = line;
    g->sync = kbh_tsan() ? new_sync(e) : NULL;
    return g;
}

static kbh_gate *arrive(kbh_engine *e, enum kbh_kind kind, int id, int count, int value,
                        const char *file, int line) {
    kbh_gate *g = find_gate(e, kind, id, count, file, line);
    g->arrived++;
    g->sum += value != 0;
    if (g->sync)
        __tsan_release(g->sync);
    return g;
}

int kbh_barrier(enum kbh_kind kind, int id, int count, int value, const char *file,
                int line) {
    kbh_engine *e = engine;
    unsigned t = kbh_now.thread;
    kbh_gate *g = arrive(e, kind, id, count, value, file, line);
    void *sync = g->sync;
    g->waiting[t >> 5] |= 1u << (t & 31);
    if (gate_full(e, g))
        open_gate(e, g);
    settle_warp(e, t >> 5);
    suspend(e, pick(e));
    if (sync)
        __tsan_acquire(sync);
    return e->result[t];
}

void kbh_barrier_arrive(int id, int count, const char *file, int line) {
    kbh_gate *g = arrive(engine, KBH_BARRIER, id, count, 0, file, line);
    if (gate_full(engine, g))
        open_gate(engine, g);
}

/* ---- deadlock -------------------------------------------------------------------------- */

struct kbh_text {
    char data[800];
    size_t length;
};

__attribute__((format(printf, 2, 3))) static void add(kbh_text *text, const char *format,
                                                      ...) {
    va_list args;
    va_start(args, format);
    size_t room = sizeof text->data - text->length;
    int n = vsnprintf(text->data + text->length, room, format, args);
    va_end(args);
    if (n > 0)
        text->length += (size_t)n < room ? (size_t)n : room - 1;
}

/* "lanes 0-3,8", "lane 5" */
static void add_lanes(kbh_text *text, unsigned lanes) {
    add(text, lanes & (lanes - 1) ? "lanes " : "lane ");
    for (int i = 0, first = 1; i < 32; i++) {
        if (!(lanes >> i & 1))
            continue;
        int from = i;
        while (i < 31 && lanes >> (i + 1) & 1)
            i++;
        add(text, first ? "%d" : ",%d", from);
        if (i > from)
            add(text, "-%d", i);
        first = 0;
    }
}

static void report_deadlock(kbh_engine *e) {
    kbh_text text = {};
    int named = 0;
    for (uint64_t rest = e->gates_used; rest; rest &= rest - 1) {
        const kbh_gate *g = &e->gates[__builtin_ctzll(rest)];
        add(&text, "%s%d threads at %s %s:%d", named++ ? "; " : "", g->arrived,
            kind_names[g->kind], g->file, g->line);
        if (g->count)
            add(&text, " (barrier %d of %d threads)", g->id, g->count);
    }
    for (unsigned w = 0; w < e->n_warps; w++) {
        for (unsigned rest = e->in_use[w]; rest; rest &= rest - 1) {
            const kbh_meeting *m = &e->meetings[w][__builtin_ctz(rest)];
            if (!m->open || ++named > 6)
                continue;
            add(&text, "%s", named > 1 ? "; " : "");
            add_lanes(&text, m->arrived);
            add(&text, " of warp %u at %s(0x%08x) %s:%d, without ", w, kind_names[m->kind],
                m->mask, m->file, m->line);
            add_lanes(&text, m->mask & ~(m->arrived | e->left[w]));
        }
    }
    if (named > 6)
        add(&text, "; and %d more", named - 6);
    if (e->live < e->n_threads)
        add(&text, "; %u threads had left the kernel", e->n_threads - e->live);
    kbh_stop(KBH_DEADLOCK, "block (%u,%u,%u) waits for ever: %s", blockIdx.x, blockIdx.y,
             blockIdx.z, text.data);
}
