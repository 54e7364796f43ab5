/* distinct.c - which of many jobs come to code that none before them came to. */
#include "session.h"

#include <stdlib.h>
#include <string.h>

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

struct kb_distinct {
    struct kb_session session; /* no device: kernel files, parsed once */
    struct kb_arena arena;     /* of one plan */
    struct kb_asked *asked;
    struct kb_buf last; /* what the plan is of: a case, variant and device; "": none */
    struct set codes, planned, refused;
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
    d->asked = kb_arena_alloc(&d->session.arena, sizeof *d->asked);
    return d;
}

void kb_distinct_close(struct kb_distinct *d) {
    if (!d)
        return;
    kb_session_free(&d->session);
    kb_arena_free(&d->arena);
    kb_buf_free(&d->last);
    free(d->codes.places);
    free(d->planned.places);
    free(d->refused.places);
    free(d->waiting);
    free(d);
}

static void put_device(const struct kb_device_info *device, struct kb_buf *out) {
    kb_buf_printf(out, "%s %lld\n", device->backend, (long long)device->limits.sm);
}

static struct kb_hash code_of(const struct kb_distinct *d,
                              const struct kb_device_info *device) {
    struct kb_buf text = {0};
    put_device(device, &text);
    kb_code_key(device->backend, &d->asked->plan, &d->asked->build, &text);
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

static void keep_waiting(struct kb_distinct *d, const struct kb_hash *subject,
                         const struct kb_job *job) {
    struct kb_arena *arena = &d->session.arena;
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

/* The plan of a job, into d->asked. That of the job before serves where builds alone are
 * different and none of them sets a macro. */
static bool plan(struct kb_distinct *d, const struct kb_device_info *device,
                 const struct kb_job *job, struct kb_err *err) {
    struct kb_buf of = {0};
    bool plain = !strchr(job->build, '=');
    kb_buf_printf(&of, "%s\n%s\n%s ", job->case_id, job->variant ? job->variant : "",
                  job->kernel ? job->kernel : "");
    put_device(device, &of);
    if (plain && kb_streq(kb_buf_text(&of), kb_buf_text(&d->last))) {
        kb_buf_free(&of);
        if (!kb_build_parse(job->build, job->trusted_flags, &d->arena, &d->asked->build,
                            err))
            return false;
        kb_build_resolve(&d->asked->build, device->limits.sm, &d->arena);
        return true;
    }
    kb_arena_reset(&d->arena);
    kb_buf_clear(&d->last);
    bool ok = kb_session_plan(&d->session, device->backend, &device->limits, job, &d->arena,
                              d->asked, err);
    if (ok && plain)
        kb_buf_puts(&d->last, kb_buf_text(&of));
    kb_buf_free(&of);
    return ok;
}

bool kb_distinct_take(struct kb_distinct *d, const struct kb_device_info *device,
                      const struct kb_job *job) {
    struct kb_hash subject = subject_of(job, device);
    struct kb_err err = {0};
    if (plan(d, device, job, &err)) {
        struct kb_hash code = code_of(d, device);
        add(&d->planned, &subject);
        return add(&d->codes, &code);
    }
    if (err.kind == KB_UNSUPPORTED) {
        keep_waiting(d, &subject, job);
        return false;
    }
    struct kb_hash said = kb_hash_of(err.msg, strlen(err.msg));
    return add(&d->codes, &said); /* an error once, however many cases it has */
}

bool kb_distinct_left(struct kb_distinct *d, struct kb_job *job) {
    while (d->n_waiting) {
        const struct waiting *w = &d->waiting[--d->n_waiting];
        if (has(&d->planned, &w->what))
            continue;
        *job = w->job;
        return true;
    }
    return false;
}
