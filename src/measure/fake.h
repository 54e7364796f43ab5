/* fake.h - a device for tests that is no device: its kernels compute what the reference
 * says, its timer gives what a script says, and it breaks where it is told to. */
#ifndef KB_FAKE_H
#define KB_FAKE_H

#include "session.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A device that works is all zero but for `ns`. */
struct fake_script {
    double (*ns)(int64_t i); /* sample i of the kernel */
    double hot_ns;           /* of each sample by hot; 0: as ns says */
    double stream_ns;        /* of the kernels of ceilings; 0: 1000 */
    bool stream_noisy;       /* by half of it, to and fro */
    double floor_ns;         /* 0: 10 */
    double pair_ns;          /* that it is more by cold and hot */
    double first_ns;         /* of the first sample of a call; 0: as ns says */
    int64_t busy_ns;         /* what a sample takes of the host's time; 0: nothing */
    double tick_ns;
    int64_t footprint_bytes; /* 0: twice the L2 */
    int64_t set_bytes;       /* the footprint by cold and hot; 0: the same */
    uint64_t throttle;
    int throttled_looks; /* at the clocks, from the first, that throttle holds for; 0: all
                          */
    int other_processes; /* "pid 4711 (python3)" */
    double joules;       /* of a launch */
    enum kb_err_kind energy_err;
    /* What fails, with which kind; KB_NO_ERROR: nothing */
    enum kb_err_kind open_err, stream_err, run_err;
    enum kb_method open_err_method; /* which method's timer does not open */
    int64_t fail_at;                /* sample to fail at with KB_DEVICE; 0: none */
    bool timed_wrong;               /* the timed launches leave another bit */
    bool timed_input;               /* the same, in their input */
    /* Whether the kernel's `run`-th run (from 0) leaves element i unwritten, or wrong */
    bool (*skips)(int run, int64_t i);
    bool (*spoils)(int run, int64_t i);
    /* What a run does besides being right, or the error that it ends with */
    bool (*meddle)(struct kb_device *device, const struct kb_problem *p,
                   struct kb_slab *slab, const struct kb_run_options *options,
                   struct kb_err *err);
    void *context;
    bool skips_nan;   /* leaves elements unwritten that are to be NaN */
    const char *note; /* of the cache, with a build */
    /* Builds that are slower, by a factor, or wrong, by their names; machine code has a
     * hash of the build's flags then. */
    const char *slow_build, *wrong_build;
    double slower;
    /* By what the `i`-th graph that is made, the `own`-th of the `lane`-th timer, takes
     * longer than another; NULL: by nothing */
    double (*graph)(uint64_t seed, int64_t i, int lane, int own);
    uint64_t graph_seed;
};

struct kb_device {
    const struct fake_script *script;
    struct kb_device_info info;
    const char *case_id;
    int runs, timers_opened, timers_open, streams_timed, clocks_read;
    int graphs, renewed; /* that were made, and those of them by timer_renew */
    int64_t samples;     /* of the kernel, over all its timers */
    double energy_s;     /* for which energy was measured */
    /* Of calls for samples: when the first and the last began, how long those before the
     * last took and the last, the most samples of one. */
    int64_t first_at_ns, last_at_ns, busy_ns, last_took_ns;
    int most;
    const struct kb_timer *last;
    int turns; /* how often another timer was sampled than the one before */
};
struct kb_code {
    bool is_stream, is_slow, is_wrong;
};
struct kb_timer {
    struct kb_device *device;
    const struct kb_slab *initial;
    bool is_stream, is_wrong;
    double slower, graph; /* graph: by which it takes longer than another */
    int lane, graphs;     /* of those that are timed by graph; graphs: that it made */
    int64_t next;
    enum kb_method method;
};

static const struct kb_device_info *fake_info(struct kb_device *device) {
    return &device->info;
}

static bool fake_build(struct kb_device *device, const struct kb_plan *plan,
                       const struct kb_build *build, struct kb_code **out,
                       struct kb_code_info *info, struct kb_err *err) {
    (void)err;
    *out = calloc(1, sizeof **out);
    if (!*out)
        kb_out_of_memory();
    (*out)->is_stream =
        strstr(plan->kernel->path, "stream") || strstr(plan->kernel->path, "/mma.");
    const struct fake_script *s = device->script;
    (*out)->is_slow = s->slow_build && kb_streq(s->slow_build, build->name);
    (*out)->is_wrong = s->wrong_build && kb_streq(s->wrong_build, build->name);
    *info = (struct kb_code_info){.registers = -1, .arch = "none"};
    if ((s->slow_build || s->wrong_build) && build->flags.count)
        kb_text_copy(info->code_hash, sizeof info->code_hash,
                     build->flags.items[build->flags.count - 1]);
    kb_text_copy(info->note, sizeof info->note, device->script->note);
    return true;
}

static void fake_unload(struct kb_device *device, struct kb_code *code) {
    (void)device;
    free(code);
}

static void fake_close(struct kb_device *device) {
    (void)device; /* the test's own */
}

/* Output `t` by the reference; element by element from what was there before. */
static void fake_output(const struct fake_script *s, const struct kb_problem *p, int t,
                        const void *const *in, void *out, int run) {
    const struct kb_tensor_spec *spec = &p->tensors[t];

    for (int64_t i = 0; i < spec->elements; i++) {
        double want, bound;
        p->c->op->reference(p, in, NULL, t, i, 1, &want, &bound);
        uint32_t bits = bound == KB_KEEP              ? kb_bits_at(spec->dtype, in[t], i)
                        : spec->rule == KB_RULE_EXACT ? (uint32_t)want
                                                      : kb_encode(spec->dtype, want);
        bits ^= s->spoils && s->spoils(run, i);
        if (!(s->skips && s->skips(run, i)) && !(s->skips_nan && isnan(want)))
            kb_bits_put(spec->dtype, out, i, bits);
    }
}

/* The case's problem, or that of as many of its first rows as the slab is for. */
static bool fake_problem(struct kb_device *device, const struct kb_slab *slab,
                         struct kb_arena *arena, struct kb_case *k, struct kb_problem *p) {
    struct kb_complaints c = {0};
    struct kb_err err = {0};

    if (!kb_case_parse(device->case_id, arena, k, &c) || !kb_case_resolve(k, p, &err))
        return false;
    int64_t bytes = p->tensors[0].elements * (int64_t)kb_dtype_bytes(p->tensors[0].dtype);
    int64_t row = bytes ? bytes / k->shape[0] : 0;
    if ((int64_t)slab->slots[0].bytes == bytes)
        return true;
    struct kb_case *whole = kb_arena_alloc(arena, sizeof *whole);
    *whole = *k;
    p->c = whole;
    return k->op->first_rows(p, (int64_t)slab->slots[0].bytes / row, k) &&
           kb_case_resolve(k, p, &err);
}

static bool fake_compute(struct kb_device *device, struct kb_slab *slab, int run,
                         const struct kb_run_options *options, struct kb_err *why) {
    struct kb_arena arena = {0};
    struct kb_case *k = kb_arena_alloc(&arena, sizeof *k);
    struct kb_problem *p = kb_arena_alloc(&arena, sizeof *p);
    const void *in[KB_MAX_TENSORS] = {0};
    struct kb_slab before;
    struct kb_err err = {0};

    if (!fake_problem(device, slab, &arena, k, p) || !kb_slab_copy(&before, slab, &err))
        abort();
    for (int t = 0; t < p->n_tensors; t++)
        in[t] = kb_slab_at(&before, t);
    for (int t = 0; t < p->n_tensors; t++) {
        if (p->tensors[t].role != KB_IN && slab->slots[t].bytes > 0)
            fake_output(device->script, p, t, in, kb_slab_at(slab, t), run);
    }
    bool ok = !device->script->meddle || !options ||
              device->script->meddle(device, p, slab, options, why);
    kb_slab_free(&before);
    kb_arena_free(&arena);
    return ok;
}

static bool fake_run(struct kb_device *device, struct kb_code *code,
                     const struct kb_plan *plan, struct kb_slab *slab,
                     const struct kb_run_options *options, struct kb_run_result *result,
                     struct kb_err *err) {
    (void)plan;
    *result = (struct kb_run_result){
        .wall_ns = 1, .runs = 1 + options->repeats, .late = options->late};
    if (device->script->run_err)
        return kb_fail(err, device->script->run_err, "the fake run fails");
    if (options->from)
        memcpy(slab->data, options->from->data, slab->bytes);
    for (int i = 0; i < slab->n_slots; i++)
        if (options->taken >> i & 1 && slab->slots[i].bytes)
            memcpy(kb_slab_at(slab, i), kb_slab_at(options->inputs, i),
                   slab->slots[i].bytes);
    bool ok = fake_compute(device, slab, device->runs++, options, err);
    *(unsigned char *)kb_slab_at(slab, slab->slots[1].bytes > 0) ^= code->is_wrong ? 64 : 0;
    return ok;
}

static void fake_graph(struct kb_timer *timer) {
    const struct fake_script *s = timer->device->script;

    timer->graph = 1;
    if (s->graph && timer->method == KB_GRAPH && !timer->is_stream)
        timer->graph =
            s->graph(s->graph_seed, timer->device->graphs++, timer->lane, timer->graphs++);
}

static bool fake_timer_renew(struct kb_timer *timer, struct kb_err *err) {
    (void)err;
    timer->device->renewed++;
    fake_graph(timer);
    return true;
}

static bool fake_timer_open(struct kb_device *device, struct kb_code *code,
                            const struct kb_plan *plan, const struct kb_slab *initial,
                            enum kb_method method, int sets, struct kb_timer **out,
                            struct kb_timer_facts *facts, struct kb_err *err) {
    const struct fake_script *s = device->script;
    enum kb_err_kind kind = code->is_stream                ? s->stream_err
                            : method == s->open_err_method ? s->open_err
                                                           : KB_NO_ERROR;

    (void)plan;
    if (kind)
        return kb_fail(err, kind, "the fake timer does not open");
    *out = calloc(1, sizeof **out);
    if (!*out)
        kb_out_of_memory();
    **out = (struct kb_timer){
        .device = device,
        .initial = initial,
        .is_stream = code->is_stream,
        .method = method,
        .is_wrong = code->is_wrong,
        .slower = code->is_slow ? s->slower : 1,
        .lane = device->timers_open,
    };
    fake_graph(*out);
    *facts = (struct kb_timer_facts){
        .sets = sets ? sets : 7,
        .footprint_bytes =
            s->footprint_bytes ? s->footprint_bytes : 2 * device->info.l2_bytes,
        .launches_per_sample = 10,
        .tick_ns = s->tick_ns,
        .cache = method == KB_COLD     ? "flushed"
                 : method == KB_HOT    ? "warm"
                 : method == KB_LAUNCH ? "none"
                                       : "rotated",
        .timer_ns = 18,
    };
    if (s->set_bytes && (method == KB_COLD || method == KB_HOT))
        facts->footprint_bytes = s->set_bytes;
    device->timers_opened++;
    device->timers_open++;
    device->streams_timed += code->is_stream;
    return true;
}

static void fake_work(struct kb_device *device, int64_t ns, int n) {
    int64_t start = kb_now_ns();

    while (kb_now_ns() - start < ns)
        continue;
    if (device->first_at_ns)
        device->busy_ns += device->last_took_ns;
    else
        device->first_at_ns = start;
    device->last_at_ns = start;
    device->last_took_ns = kb_now_ns() - start;
    device->most = n > device->most ? n : device->most;
}

static bool fake_timer_sample(struct kb_timer *timer, int n, double *ns,
                              struct kb_err *err) {
    const struct fake_script *s = timer->device->script;

    if (!timer->is_stream)
        fake_work(timer->device, s->busy_ns * n, n);
    for (int i = 0; i < n; i++) {
        if (timer->is_stream) {
            ns[i] = s->stream_ns > 0 ? s->stream_ns : 1000;
            ns[i] *= s->stream_noisy && timer->next++ % 2 ? 1.5 : 1;
            continue;
        }
        if (s->fail_at && timer->next >= s->fail_at)
            return kb_fail(err, KB_DEVICE, "the fake device is lost");
        ns[i] = s->ns(timer->next++) * timer->slower * timer->graph;
        if (i == 0 && s->first_ns > 0)
            ns[i] = s->first_ns;
        if (timer->method == KB_HOT && s->hot_ns > 0)
            ns[i] = s->hot_ns;
        timer->device->samples++;
        timer->device->turns += timer != timer->device->last;
        timer->device->last = timer;
    }
    return true;
}

static bool fake_timer_result(struct kb_timer *timer, int set, struct kb_slab *out,
                              struct kb_err *err) {
    struct kb_device *device = timer->device;

    (void)set;
    memcpy(out->data, timer->initial->data, out->bytes);
    fake_compute(device, out, 0, NULL, err);
    if (device->script->timed_input)
        *(unsigned char *)kb_slab_at(out, 0) ^= 1;
    if (device->script->timed_wrong) /* in place there is no tensor 1 */
        *(unsigned char *)kb_slab_at(out, out->slots[1].bytes > 0) ^= 1;
    return true;
}

static bool fake_timer_energy(struct kb_timer *timer, double seconds, double *joules,
                              struct kb_err *err) {
    const struct fake_script *s = timer->device->script;

    timer->device->energy_s += seconds;
    if (s->energy_err)
        return kb_fail(err, s->energy_err, "no energy: the fake has none");
    *joules = s->joules;
    return true;
}

static void fake_timer_close(struct kb_timer *timer) {
    timer->device->timers_open--;
    free(timer);
}

static bool fake_floor(struct kb_device *device, enum kb_method method, double *ns,
                       struct kb_err *err) {
    (void)err;
    *ns = device->script->floor_ns > 0 ? device->script->floor_ns : 10;
    *ns += method == KB_COLD || method == KB_HOT ? device->script->pair_ns : 0;
    return true;
}

static void fake_clocks(struct kb_device *device, struct kb_clocks *out) {
    const struct fake_script *s = device->script;
    bool held_back = !s->throttled_looks || device->clocks_read < s->throttled_looks;

    *out = (struct kb_clocks){
        .sm_mhz = device->clocks_read++ % 2 ? 1980 : 1965,
        .throttle = held_back ? s->throttle : 0,
        .other_processes = s->other_processes,
    };
    if (s->other_processes > 0)
        kb_text_copy(out->others, sizeof out->others, "pid 4711 (python3)");
}

static void fake_occupancy(struct kb_device *device, struct kb_code *code,
                           const struct kb_plan *plan, struct kb_occupancy *out) {
    (void)device, (void)code, (void)plan;
    *out = (struct kb_occupancy){.blocks_per_sm = 2, .share = 0.5, .waves = 3};
}

static const struct kb_backend fake_backend = {
    .name = "cuda", /* contracts know no other that can be timed */
    .close = fake_close,
    .info = fake_info,
    .build = fake_build,
    .unload = fake_unload,
    .run = fake_run,
    .timer_open = fake_timer_open,
    .timer_sample = fake_timer_sample,
    .timer_result = fake_timer_result,
    .timer_renew = fake_timer_renew,
    .timer_energy = fake_timer_energy,
    .timer_close = fake_timer_close,
    .floor = fake_floor,
    .clocks = fake_clocks,
    .occupancy = fake_occupancy,
};

/* ---- one case on it ---------------------------------------------------------------- */

struct fake {
    struct kb_device device;
    struct kb_session session;
    struct kb_arena arena;
    struct kb_job job;
    struct kb_row row;
};

static void fake_open(struct fake *f, const struct fake_script *script) {
    *f = (struct fake){0};
    f->device.script = script;
    f->device.info = (struct kb_device_info){
        .backend = "cuda",
        .id = "0",
        .limits = {90, 132, 227 << 10, 1024, {1 << 30, 65535, 65535}, {1024, 1024, 64}},
        .l2_bytes = 1 << 20,
        .free_bytes = INT64_C(8) << 30,
    };
    f->session = (struct kb_session){.backend = &fake_backend, .device = &f->device};
    f->job = (struct kb_job){
        .case_id = "silu/83x64/bf16",
        .build = "precise",
        .mode = KB_BENCH,
        .seed = 1,
        .methods = 1u << KB_GRAPH,
    };
}

/* Run the job; every timer that it opened must be closed again. True if all is well. */
static inline bool fake_go(struct fake *f) {
    f->device.case_id = f->job.case_id;
    f->device.runs = 0;
    kb_session_run(&f->session, &f->job, &f->arena, &f->row);
    return f->device.timers_open == 0;
}

static void fake_free(struct fake *f) {
    kb_session_free(&f->session);
    kb_arena_free(&f->arena);
}

#endif
