/* nvrtc_build.c - job -> key -> cache -> result, nothing else. */
#include "nvrtc.h"

#include <string.h>

/* Of what stands in an entry, and of how a job becomes a compile. */
static const char format[] = "kbench code 1";

static void add_strings(struct kb_hasher *hasher, const struct kb_strings *list) {
    uint64_t count = list->count;
    kb_hasher_add(hasher, &count, sizeof count);
    for (size_t i = 0; i < list->count; i++)
        kb_hasher_text(hasher, list->items[i]);
}

static bool make_key(const struct kb_nvrtc *nvrtc, const struct kb_nvrtc_job *job,
                     struct kb_arena *arena, struct kb_hash *key, struct kb_err *err) {
    struct kb_includes *includes = kb_arena_alloc(arena, sizeof *includes);
    struct kb_strings options = {0};
    char nvcc[256] = "";
    if (!kb_includes_collect(job->kernel, arena, includes, err))
        return false;
    kb_nvrtc_options(job, arena, &options);
    if (job->from_nvcc)
        kb_nvcc_identity(nvcc, sizeof nvcc);
    struct kb_hasher *hasher = kb_hasher_make();
    kb_hasher_text(hasher, format);
    kb_hasher_text(hasher, nvrtc->place.identity);
    kb_hasher_text(hasher, nvcc);
    kb_hasher_text(hasher, job->kernel->path); /* __FILE__, and the names of statics */
    kb_hasher_add(hasher, job->kernel->text, job->kernel->size);
    for (int i = 0; i < includes->count; i++) {
        kb_hasher_text(hasher, includes->items[i].name);
        kb_hasher_add(hasher, includes->items[i].text, includes->items[i].size);
    }
    add_strings(hasher, &options);
    add_strings(hasher, &job->entries);
    *key = kb_hasher_end(hasher);
    return true;
}

/* Several jobs as one, compiled when the first of them is asked for. */
struct whole {
    struct kb_nvrtc_job job; /* the entries of all */
    struct kb_nvrtc_result result;
    bool tried, ok;
};

struct context {
    struct kb_nvrtc *nvrtc;
    const struct kb_nvrtc_job *job;
    struct kb_arena *arena;
    struct kb_nvrtc_result *out;
    struct whole *whole; /* NULL: alone */
};

/* Most of what one entry takes more of than another, ptxas takes in proportion. */
static double share_of(const struct kb_nvrtc_result *whole,
                       const struct kb_nvrtc_result *part) {
    const char *log = kb_buf_text(&whole->log);
    double all_ms = kb_log_assembly_ms(log, &whole->lowered);
    double own_ms = kb_log_assembly_ms(log, &part->lowered);
    return own_ms > 0 ? own_ms / all_ms
                      : (double)part->lowered.count / (double)whole->lowered.count;
}

/* The part of the whole that is this job. */
static void take_part(const struct context *c) {
    const struct kb_strings *all = &c->whole->job.entries;
    const struct kb_nvrtc_result *whole = &c->whole->result;
    struct kb_nvrtc_result *out = c->out;
    for (size_t i = 0; i < c->job->entries.count; i++)
        for (size_t k = 0; k < all->count; k++)
            if (kb_streq(all->items[k], c->job->entries.items[i]))
                kb_strings_add(&out->lowered, c->arena, whole->lowered.items[k]);
    kb_buf_add(&out->cubin, whole->cubin.data, whole->cubin.len);
    out->spill_bytes = kb_log_spills(kb_buf_text(&whole->log), &out->lowered);
    out->compile_ms = whole->compile_ms * share_of(whole, out);
}

static bool compile(const struct context *c, struct kb_err *err) {
    struct whole *whole = c->whole;
    struct kb_err why = {0};
    if (whole && !whole->tried) {
        whole->tried = true;
        whole->ok = kb_nvrtc_compile(c->nvrtc, &whole->job, c->arena, &whole->result, &why);
    }
    if (!whole || !whole->ok)
        return kb_nvrtc_compile(c->nvrtc, c->job, c->arena, c->out, err);
    take_part(c);
    return true;
}

static bool make(void *pointer, struct kb_buf *payload, struct kb_err *err) {
    struct context *c = pointer;
    struct kb_nvrtc_result *out = c->out;
    struct kb_hash key = out->key;
    bool ok = compile(c, err);
    out->key = key;
    if (!ok)
        return false;
    kb_wire_put_u64(payload, (uint64_t)(out->compile_ms * 1e6));
    kb_wire_put_u64(payload, (uint64_t)out->spill_bytes);
    kb_wire_put_strings(payload, &out->lowered);
    kb_wire_put(payload, out->log.data, out->log.len);
    kb_wire_put(payload, out->cubin.data, out->cubin.len);
    return true;
}

static bool read_payload(const struct kb_buf *payload, size_t n_entries,
                         struct kb_arena *arena, struct kb_nvrtc_result *out) {
    struct kb_wire wire = {.at = payload->data, .left = payload->len};
    size_t size;
    out->compile_ms = (double)kb_wire_u64(&wire) / 1e6;
    out->spill_bytes = (int64_t)kb_wire_u64(&wire);
    kb_wire_strings(&wire, arena, &out->lowered);
    const char *log = kb_wire_get(&wire, &size);
    kb_buf_add(&out->log, log, size);
    const char *cubin = kb_wire_get(&wire, &size);
    kb_buf_add(&out->cubin, cubin, size);
    return !wire.broken && !wire.left && out->lowered.count == n_entries;
}

static bool build(struct context *c, struct kb_cache *cache, bool no_compile,
                  struct kb_buf *note, struct kb_err *err) {
    struct kb_nvrtc_result *out = c->out;
    struct kb_buf payload = {0};
    *out = (struct kb_nvrtc_result){.spill_bytes = -1};
    bool ok = make_key(c->nvrtc, c->job, c->arena, &out->key, err) &&
              kb_cache_fetch(cache, &out->key, no_compile, make, c, &payload, &out->cached,
                             note, err);
    if (ok && out->cached && !read_payload(&payload, c->job->entries.count, c->arena, out))
        ok = kb_fail(err, KB_BUILD, "a verified cache entry makes no sense: remove %s",
                     kb_cache_folder(cache));
    kb_buf_free(&payload);
    if (!ok)
        kb_buf_free(&out->cubin);
    return ok;
}

bool kb_nvrtc_build(struct kb_nvrtc *nvrtc, struct kb_cache *cache, bool no_compile,
                    const struct kb_nvrtc_job *job, struct kb_arena *arena,
                    struct kb_nvrtc_result *out, struct kb_buf *note, struct kb_err *err) {
    struct context context = {.nvrtc = nvrtc, .job = job, .arena = arena, .out = out};
    return build(&context, cache, no_compile, note, err);
}

/* ---- several at once -------------------------------------------------------------------
 */

static struct context part_of(struct kb_nvrtc *nvrtc, const struct kb_nvrtc_part *part,
                              struct kb_arena *arena, struct whole *whole) {
    return (struct context){nvrtc, part->job, arena, part->out, whole};
}

/* What the cache has; the number that it lacks. */
static int take_cached(struct kb_nvrtc *nvrtc, struct kb_cache *cache,
                       struct kb_nvrtc_part *parts, int n, struct kb_arena *arena) {
    int missing = 0;
    for (int i = 0; i < n; i++) {
        struct context context = part_of(nvrtc, &parts[i], arena, NULL);
        struct kb_err none = {0};
        parts[i].ok = build(&context, cache, true, parts[i].note, &none);
        missing += !parts[i].ok;
    }
    return missing;
}

static void put_together(const struct kb_nvrtc_part *parts, int n, struct kb_arena *arena,
                         struct whole *whole) {
    for (int i = 0; i < n; i++) {
        const struct kb_strings *entries = &parts[i].job->entries;
        if (parts[i].ok)
            continue;
        if (!whole->job.kernel)
            whole->job = *parts[i].job, whole->job.entries = (struct kb_strings){0};
        for (size_t k = 0; k < entries->count; k++)
            if (!kb_strings_has(&whole->job.entries, entries->items[k]))
                kb_strings_add(&whole->job.entries, arena, entries->items[k]);
    }
}

void kb_nvrtc_build_parts(struct kb_nvrtc *nvrtc, struct kb_cache *cache, bool no_compile,
                          struct kb_nvrtc_part *parts, int n, struct kb_arena *arena) {
    struct whole whole = {0};
    bool together =
        n > 1 && cache && !no_compile && take_cached(nvrtc, cache, parts, n, arena) > 1;
    if (together)
        put_together(parts, n, arena, &whole);
    for (int i = 0; i < n; i++) {
        struct context context = part_of(nvrtc, &parts[i], arena, together ? &whole : NULL);
        if (!parts[i].ok)
            parts[i].ok = build(&context, cache, no_compile, parts[i].note, parts[i].err);
    }
    kb_nvrtc_result_free(&whole.result);
}
