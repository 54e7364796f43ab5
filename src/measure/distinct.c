/* distinct.c - which of many jobs come to code that none before them came to. */
#include "session.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* What a thread takes to start and to parse kernel files is some twenty plans. */
enum { JOBS_PER_THREAD = 200 };

/* Hashes by open addressing; an all-zero hash is an empty place. */
struct set {
    struct kb_hash *places;
    size_t n_places, count;
};

/* A job that came to no plan, kept in case that none of its variant and build does. */
struct waiting {
    struct kb_hash what;
    struct kb_job job;
};

struct planner {
    struct kb_session session; /* no device: kernel files, parsed once */
    struct kb_arena arena;     /* of one plan */
    struct kb_asked *asked;
    struct kb_buf last; /* what the plan is of: a case, variant and device; "": none */
};

/* What a job came to: its code, or why none. */
struct look {
    struct kb_hash subject, code; /* of an error its text */
    enum kb_err_kind failed;      /* 0: it did not */
};

struct kb_distinct {
    struct planner planner;
    struct kb_arena arena;                    /* of what waits */
    struct set codes, planned, refused, jobs; /* jobs: that are run, on all devices */
    struct waiting *waiting;
    size_t n_waiting, room;
};

static bool is_empty(const struct kb_hash *hash) {
    static const struct kb_hash empty;
    return !memcmp(hash, &empty, sizeof empty);
}

static struct kb_hash *place_of(const struct set *set, const struct kb_hash *hash) {
    size_t at;
    memcpy(&at, hash, sizeof at);
    while (!is_empty(&set->places[at % set->n_places]) &&
           memcmp(&set->places[at % set->n_places], hash, sizeof *hash) != 0)
        at++;
    return &set->places[at % set->n_places];
}

static void grow(struct set *set) {
    struct set larger = {.n_places = set->n_places ? 2 * set->n_places : 256};
    larger.places = calloc(larger.n_places, sizeof *larger.places);
    if (!larger.places)
        kb_out_of_memory();
    for (size_t i = 0; i < set->n_places; i++)
        if (!is_empty(&set->places[i]))
            *place_of(&larger, &set->places[i]) = set->places[i];
    larger.count = set->count;
    free(set->places);
    *set = larger;
}

/* False if it was there. */
static bool add(struct set *set, const struct kb_hash *hash) {
    if (2 * set->count >= set->n_places)
        grow(set);
    struct kb_hash *place = place_of(set, hash);
    if (!is_empty(place))
        return false;
    *place = *hash;
    set->count++;
    return true;
}

static bool has(const struct set *set, const struct kb_hash *hash) {
    return set->n_places && !is_empty(place_of(set, hash));
}

/* ---- jobs ------------------------------------------------------------------------------
 */

struct kb_distinct *kb_distinct_open(void) {
    struct kb_distinct *d = calloc(1, sizeof *d);
    if (!d)
        kb_out_of_memory();
    return d;
}

static void end_planner(struct planner *p) {
    kb_session_free(&p->session);
    kb_arena_free(&p->arena);
    kb_buf_free(&p->last);
}

void kb_distinct_close(struct kb_distinct *d) {
    if (!d)
        return;
    end_planner(&d->planner);
    kb_arena_free(&d->arena);
    free(d->codes.places);
    free(d->planned.places);
    free(d->refused.places);
    free(d->jobs.places);
    free(d->waiting);
    free(d);
}

static void put_device(const struct kb_device_info *device, struct kb_buf *out) {
    kb_buf_printf(out, "%s %lld\n", device->backend, (long long)device->limits.sm);
}

static struct kb_hash code_of(const struct kb_asked *asked,
                              const struct kb_device_info *device) {
    struct kb_buf text = {0};
    put_device(device, &text);
    kb_code_key(device->backend, &asked->plan, &asked->build, &text);
    struct kb_hash hash = kb_hash_of(text.data, text.len);
    kb_buf_free(&text);
    return hash;
}

/* What a SKIP is about: op, variant and build, whatever the case. */
static struct kb_hash subject_of(const struct kb_job *job,
                                 const struct kb_device_info *device) {
    struct kb_buf text = {0};
    put_device(device, &text);
    kb_buf_printf(&text, "%.*s\n%s\n%s", (int)strcspn(job->case_id, "/"), job->case_id,
                  job->variant ? job->variant : "", job->build);
    struct kb_hash hash = kb_hash_of(text.data, text.len);
    kb_buf_free(&text);
    return hash;
}

static struct kb_hash hash_of_job(const struct kb_job *job) {
    struct kb_buf text = {0};
    kb_buf_printf(&text, "%s\n%s\n%s\n%s", job->case_id, job->variant ? job->variant : "",
                  job->build, job->kernel ? job->kernel : "");
    struct kb_hash hash = kb_hash_of(text.data, text.len);
    kb_buf_free(&text);
    return hash;
}

static void keep_waiting(struct kb_distinct *d, const struct kb_hash *subject,
                         const struct kb_job *job) {
    struct kb_arena *arena = &d->arena;
    if (has(&d->planned, subject) || !add(&d->refused, subject))
        return;
    if (d->n_waiting == d->room) {
        d->room = d->room ? 2 * d->room : 16;
        d->waiting = realloc(d->waiting, d->room * sizeof *d->waiting);
        if (!d->waiting)
            kb_out_of_memory();
    }
    struct kb_job own = *job; /* builds, variants and kernels outlive the run's plan */
    own.case_id = kb_arena_strdup(arena, job->case_id);
    own.tags = kb_arena_strdup(arena, job->tags);
    own.origin = kb_arena_strdup(arena, job->origin);
    own.repeat_options = kb_arena_strdup(arena, job->repeat_options);
    d->waiting[d->n_waiting++] = (struct waiting){*subject, own};
}

/* The plan of a job, into p->asked. That of the job before serves where builds alone are
 * different and none of them sets a macro. */
static bool plan(struct planner *p, const struct kb_device_info *device,
                 const struct kb_job *job, struct kb_err *err) {
    struct kb_buf of = {0};
    bool plain = !strchr(job->build, '=');
    if (!p->asked)
        p->asked = kb_arena_alloc(&p->session.arena, sizeof *p->asked);
    kb_buf_printf(&of, "%s\n%s\n%s ", job->case_id, job->variant ? job->variant : "",
                  job->kernel ? job->kernel : "");
    put_device(device, &of);
    if (plain && kb_streq(kb_buf_text(&of), kb_buf_text(&p->last))) {
        kb_buf_free(&of);
        if (!kb_build_parse(job->build, job->trusted_flags, &p->arena, &p->asked->build,
                            err))
            return false;
        kb_build_resolve(&p->asked->build, device->limits.sm, &p->arena);
        return true;
    }
    kb_arena_reset(&p->arena);
    kb_buf_clear(&p->last);
    bool ok = kb_session_plan(&p->session, device->backend, &device->limits, job, &p->arena,
                              p->asked, err);
    if (ok && plain)
        kb_buf_puts(&p->last, kb_buf_text(&of));
    kb_buf_free(&of);
    return ok;
}

static void look(struct planner *p, const struct kb_device_info *device,
                 const struct kb_job *job, struct look *out) {
    struct kb_err err = {0};
    *out = (struct look){.subject = subject_of(job, device)};
    if (plan(p, device, job, &err)) {
        out->code = code_of(p->asked, device);
    } else {
        out->failed = err.kind;
        out->code = kb_hash_of(err.msg, strlen(err.msg));
    }
}

static bool take(struct kb_distinct *d, const struct kb_job *job, const struct look *look) {
    if (!look->failed)
        add(&d->planned, &look->subject);
    if (look->failed == KB_UNSUPPORTED) {
        keep_waiting(d, &look->subject, job);
        return false;
    }
    if (!add(&d->codes, &look->code))
        return false; /* an error once, however many cases it has */
    const struct kb_hash own = hash_of_job(job);
    add(&d->jobs, &own);
    return true;
}

bool kb_distinct_take(struct kb_distinct *d, const struct kb_device_info *device,
                      const struct kb_job *job) {
    struct look found;
    look(&d->planner, device, job, &found);
    return take(d, job, &found);
}

/* ---- many jobs -------------------------------------------------------------------------
 * Plans know nothing of each other: threads make them, each of a slice. What is taken
 * depends on what was taken before and is decided in order. */

struct slice {
    const struct kb_device_info *device;
    const struct kb_job *jobs;
    struct look *looks;
    int n;
    pthread_t thread;
    bool has_thread;
};

static void *look_at_slice(void *context) {
    const struct slice *slice = context;
    struct planner planner = {0};
    for (int i = 0; i < slice->n; i++)
        look(&planner, slice->device, &slice->jobs[i], &slice->looks[i]);
    end_planner(&planner);
    return NULL;
}

static void look_at_all(const struct kb_device_info *device, const struct kb_job *jobs,
                        int n, int threads, struct look *looks) {
    struct kb_arena arena = {0};
    struct slice *slices = kb_arena_array(&arena, (size_t)threads, sizeof *slices);
    for (int t = 0; t < threads; t++) {
        int from = (int)((int64_t)n * t / threads);
        int to = (int)((int64_t)n * (t + 1) / threads);
        slices[t] = (struct slice){
            .device = device, .jobs = &jobs[from], .looks = &looks[from], .n = to - from};
        if (t > 0)
            slices[t].has_thread =
                !pthread_create(&slices[t].thread, NULL, look_at_slice, &slices[t]);
    }
    for (int t = 0; t < threads; t++)
        if (slices[t].has_thread)
            pthread_join(slices[t].thread, NULL);
        else
            look_at_slice(&slices[t]);
    kb_arena_free(&arena);
}

void kb_distinct_take_all(struct kb_distinct *d, const struct kb_device_info *device,
                          const struct kb_job *jobs, int n, int threads, bool *taken) {
    struct kb_arena arena = {0};
    struct look *looks = kb_arena_array(&arena, (size_t)n, sizeof *looks);
    int worth = n / JOBS_PER_THREAD;
    threads = threads < worth ? threads : worth;
    look_at_all(device, jobs, n, threads < 1 ? 1 : threads, looks);
    for (int i = 0; i < n; i++)
        if (take(d, &jobs[i], &looks[i]))
            taken[i] = true;
    kb_arena_free(&arena);
}

bool kb_distinct_left(struct kb_distinct *d, struct kb_job *job) {
    while (d->n_waiting) {
        const struct waiting *w = &d->waiting[--d->n_waiting];
        const struct kb_hash own = hash_of_job(&w->job);
        if (has(&d->planned, &w->what) || !add(&d->jobs, &own))
            continue;
        *job = w->job;
        return true;
    }
    return false;
}
