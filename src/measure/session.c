/* session.c - what a worker keeps between cases: kernel files and code, each made once; and
 * the way from a job to a plan and from a plan to a slab. */
#include "session.h"

#include <stdlib.h>
#include <string.h>

enum { KEPT_BYTES = 512 << 20 };

void kb_session_free(struct kb_session *session) {
    for (int i = 0; i < KB_SPARES; i++)
        kb_slab_free(&session->spare[i]);
    for (struct kb_built *b = session->built; b; b = b->next)
        session->backend->unload(session->device, b->code);
    if (session->device)
        session->backend->close(session->device);
    kb_kept_end(&session->kept);
    kb_arena_free(&session->arena);
    *session = (struct kb_session){0};
}

/* ---- kernels ----------------------------------------------------------------------- */

static bool load_kernel(struct kb_session *session, const struct kb_op *op,
                        const char *path, struct kb_loaded *l) {
    struct kb_complaints c = {0};

    l->kernel = kb_arena_alloc(&session->arena, sizeof *l->kernel);
    bool ok = path ? kb_kernel_load(path, &session->arena, l->kernel, &c)
                   : kb_kernel_builtin(op, &session->arena, l->kernel, &c);
    if (!ok) {
        size_t len = c.text.len;
        while (len > 0 && c.text.data[len - 1] == '\n')
            len--;
        kb_buf_cut(&c.text, len);
        l->kernel = NULL;
        l->error = kb_arena_strdup(&session->arena,
                                   len ? c.text.data : "no kernel file for the op");
    }
    kb_complaints_free(&c);
    return ok;
}

const struct kb_kernel *kb_session_kernel(struct kb_session *session,
                                          const struct kb_op *op, const char *path,
                                          struct kb_err *err) {
    const char *name = path ? path : op->family;
    struct kb_loaded *l = session->kernels;

    while (l && !(kb_streq(l->path, name) && l->user == (path != NULL)))
        l = l->next;
    if (!l) {
        l = kb_arena_alloc(&session->arena, sizeof *l);
        l->path = kb_arena_strdup(&session->arena, name);
        l->user = path != NULL;
        load_kernel(session, op, path, l);
        l->next = session->kernels;
        session->kernels = l;
    }
    if (!l->kernel)
        kb_fail(err, KB_INPUT, "%s", l->error);
    return l->kernel;
}

/* ---- plans ------------------------------------------------------------------------- */

static bool find_case(const struct kb_job *job, struct kb_arena *arena, struct kb_case *out,
                      struct kb_err *err) {
    struct kb_complaints c = {0};
    bool ok = kb_case_parse(job->case_id, arena, out, &c);

    if (!ok)
        kb_fail(err, KB_INPUT, "%.*s", (int)strcspn(kb_buf_text(&c.text), "\n"),
                kb_buf_text(&c.text));
    kb_complaints_free(&c);
    out->tolerance = job->tolerance;
    return ok;
}

static bool find_plan(const char *backend, const struct kb_device_limits *limits,
                      const struct kb_job *job, struct kb_arena *arena,
                      struct kb_asked *out, struct kb_err *err) {
    const struct kb_kernel *kernel = out->kernel;

    if (!kb_kernel_has_op(kernel, out->c.op->name))
        return kb_fail(err, KB_UNSUPPORTED, "%s is not for %s", kernel->path,
                       out->c.op->name);
    if (!job->variant)
        return kb_plan_default(kernel, &out->problem, backend, limits, arena, &out->plan,
                               err);
    int variant = kb_kernel_variant(kernel, job->variant);
    if (variant < 0)
        return kb_fail(err, KB_INPUT, "%s has no variant %s", kernel->path, job->variant);
    return kb_plan_make(kernel, variant, &out->problem, backend, limits, arena, &out->plan,
                        err);
}

bool kb_session_plan(struct kb_session *session, const char *backend,
                     const struct kb_device_limits *limits, const struct kb_job *job,
                     struct kb_arena *arena, struct kb_asked *out, struct kb_err *err) {
    *out = (struct kb_asked){0};
    if (!find_case(job, arena, &out->c, err) ||
        !kb_case_resolve(&out->c, &out->problem, err))
        return false;
    out->kernel = kb_session_kernel(session, out->c.op, job->kernel, err);
    if (!out->kernel ||
        !kb_build_parse(job->build, job->trusted_flags, arena, &out->build, err))
        return false;
    kb_build_resolve(&out->build, limits->sm, arena);
    out->kernel = kb_kernel_with(out->kernel, &out->build, arena);
    bool ok = find_plan(backend, limits, job, arena, out, err);
    out->plan.alone = job->single;
    out->plan.label = job->case_id;
    return ok;
}

/* ---- code -------------------------------------------------------------------------- */

bool kb_is_whole_file(const struct kb_plan *plan) {
    return plan->all_entries.count > (size_t)plan->n_launches;
}

/* All of it but the entries. */
static void put_source(const struct kb_plan *plan, const struct kb_build *build,
                       struct kb_buf *out) {
    char hash[KB_HASH_HEX];

    kb_hash_hex(&plan->kernel->source_hash, hash);
    kb_buf_printf(out, "%s\n%s\n%s\n%s", plan->kernel->path, hash, build->name,
                  plan->variant->arch ? plan->variant->arch : "");
    for (size_t i = 0; i < build->flags.count; i++)
        kb_buf_printf(out, "\n%s", build->flags.items[i]);
    for (size_t i = 0; i < plan->defines.count; i++)
        kb_buf_printf(out, "\n-D%s", plan->defines.items[i]);
}

void kb_build_key(const struct kb_plan *plan, const struct kb_build *build,
                  struct kb_buf *out) {
    put_source(plan, build, out);
    for (int i = 0; i < plan->n_launches; i++)
        kb_buf_printf(out, "\n%s", plan->launches[i].entry);
}

void kb_code_key(const char *backend, const struct kb_plan *plan,
                 const struct kb_build *build, struct kb_buf *out) {
    if (!kb_streq(backend, "host") || !kb_is_whole_file(plan) || plan->alone) {
        kb_build_key(plan, build, out);
        return;
    }
    put_source(plan, build, out);
    for (size_t i = 0; i < plan->all_entries.count; i++)
        kb_buf_printf(out, "\n%s", plan->all_entries.items[i]);
}

static struct kb_built *find_built(const struct kb_session *session, const char *key) {
    for (struct kb_built *b = session->built; b; b = b->next) {
        if (kb_streq(b->key, key))
            return b;
    }
    return NULL;
}

static struct kb_hash code_of(const struct kb_session *session, const struct kb_plan *plan,
                              const struct kb_build *build) {
    struct kb_buf key = {0};

    kb_code_key(session->backend->name, plan, build, &key);
    struct kb_hash hash = kb_hash_of(key.data, key.len);
    kb_buf_free(&key);
    return hash;
}

bool kb_session_build(struct kb_session *session, const struct kb_plan *plan,
                      const struct kb_build *build, struct kb_built **out,
                      struct kb_err *err) {
    struct kb_buf key = {0};
    struct kb_code *code = NULL;
    struct kb_code_info info = {0};

    kb_build_key(plan, build, &key);
    struct kb_built *b = find_built(session, key.data);
    if (!b && session->backend->build(session->device, plan, build, &code, &info, err)) {
        b = kb_arena_alloc(&session->arena, sizeof *b);
        *b = (struct kb_built){kb_arena_strdup(&session->arena, key.data),
                               code_of(session, plan, build), code, info, session->built};
        session->built = b;
    }
    kb_buf_free(&key);
    *out = b;
    return b != NULL;
}

bool kb_session_has_code(const struct kb_session *session, const struct kb_asked *asked) {
    const struct kb_hash code = code_of(session, &asked->plan, &asked->build);
    struct kb_buf key = {0};

    kb_build_key(&asked->plan, &asked->build, &key);
    bool has = find_built(session, key.data) != NULL;
    for (struct kb_built *b = session->built; b && !has; b = b->next)
        has = !session->exec.no_cache && !memcmp(&b->code_hash, &code, sizeof code);
    kb_buf_free(&key);
    return has;
}

/* ---- slabs ------------------------------------------------------------------------- */

void kb_poison_outputs(const struct kb_problem *problem, struct kb_slab *slab,
                       int pattern) {
    for (int t = 0; t < problem->n_tensors; t++) {
        if (problem->tensors[t].role == KB_OUT && slab->slots[t].bytes > 0)
            kb_poison(kb_slab_at(slab, t), slab->slots[t].bytes, pattern);
    }
}

struct kb_slab kb_session_take(struct kb_session *session, enum kb_spare which) {
    struct kb_slab slab = session->spare[which];

    session->spare[which] = (struct kb_slab){.fd = -1};
    free(slab.slots);
    slab.slots = NULL;
    slab.n_slots = 0;
    slab.bytes = 0;
    return slab;
}

void kb_session_give(struct kb_session *session, enum kb_spare which,
                     struct kb_slab *slab) {
    if (slab->data && slab->room <= KEPT_BYTES) {
        kb_slab_free(&session->spare[which]);
        session->spare[which] = *slab;
        *slab = (struct kb_slab){.fd = -1};
    }
    kb_slab_free(slab);
}

static void fill_slab(const struct kb_problem *problem, const struct kb_plan *plan,
                      uint64_t seed, struct kb_slab *slab) {
    for (int t = 0; t < problem->n_tensors; t++) {
        const struct kb_tensor_spec *spec = &problem->tensors[t];
        if (spec->role != KB_OUT && slab->slots[t].bytes > 0)
            problem->c->op->fill(problem, t, seed, 0, spec->elements, kb_slab_at(slab, t));
    }
    kb_poison_outputs(problem, slab, 0);
    for (int i = 0; i < plan->n_scratch; i++) {
        if (!plan->scratch[i].bytes)
            continue;
        if (plan->scratch[i].start == KB_SCRATCH_POISON)
            kb_poison(kb_slab_at(slab, problem->n_tensors + i), plan->scratch[i].bytes, 0);
        else
            memset(kb_slab_at(slab, problem->n_tensors + i), 0, plan->scratch[i].bytes);
    }
}

bool kb_session_slab(const struct kb_session *session, const struct kb_problem *problem,
                     const struct kb_plan *plan, uint64_t seed, struct kb_slab *out,
                     struct kb_err *err) {
    size_t bytes[KB_MAX_TENSORS + KB_MAX_SCRATCH] = {0};
    int n = problem->n_tensors + plan->n_scratch;
    enum kb_slab_kind kind =
        session->backend->maps_slabs ? KB_SLAB_SHARED : KB_SLAB_PRIVATE;

    for (int t = 0; t < problem->n_tensors; t++) {
        const struct kb_tensor_spec *spec = &problem->tensors[t];
        if (!spec->absent &&
            !kb_mul_size((size_t)spec->elements, kb_dtype_bytes(spec->dtype), &bytes[t]))
            return kb_fail(err, KB_MEMORY, "%s: its size in bytes overflows", spec->name);
    }
    for (int i = 0; i < plan->n_scratch; i++)
        bytes[problem->n_tensors + i] = plan->scratch[i].bytes;
    if (!kb_slab_remake(out, kind, n, bytes, err))
        return false;
    fill_slab(problem, plan, seed, out);
    return true;
}
