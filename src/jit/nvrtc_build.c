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

struct context {
    struct kb_nvrtc *nvrtc;
    const struct kb_nvrtc_job *job;
    struct kb_arena *arena;
    struct kb_nvrtc_result *out;
};

static bool make(void *pointer, struct kb_buf *payload, struct kb_err *err) {
    struct context *c = pointer;
    struct kb_nvrtc_result *out = c->out;
    struct kb_hash key = out->key;
    bool ok = kb_nvrtc_compile(c->nvrtc, c->job, c->arena, out, err);
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

bool kb_nvrtc_build(struct kb_nvrtc *nvrtc, struct kb_cache *cache, bool no_compile,
                    const struct kb_nvrtc_job *job, struct kb_arena *arena,
                    struct kb_nvrtc_result *out, struct kb_buf *note, struct kb_err *err) {
    struct kb_buf payload = {0};
    struct context context = {.nvrtc = nvrtc, .job = job, .arena = arena, .out = out};
    *out = (struct kb_nvrtc_result){.spill_bytes = -1};
    bool ok = make_key(nvrtc, job, arena, &out->key, err) &&
              kb_cache_fetch(cache, &out->key, no_compile, make, &context, &payload,
                             &out->cached, note, err);
    if (ok && out->cached && !read_payload(&payload, job->entries.count, arena, out))
        ok = kb_fail(err, KB_BUILD, "a verified cache entry makes no sense: remove %s",
                     kb_cache_folder(cache));
    kb_buf_free(&payload);
    if (!ok)
        kb_buf_free(&out->cubin);
    return ok;
}
