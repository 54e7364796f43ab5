/* session.c - what a worker keeps between cases, and the slab of a case. */
#include "session.h"

#include <stdlib.h>
#include <string.h>

void kb_session_free(struct kb_session *session) {
    for (struct kb_built *b = session->built; b; b = b->next)
        session->backend->unload(session->device, b->code);
    if (session->device)
        session->backend->close(session->device);
    kb_arena_free(&session->arena);
    *session = (struct kb_session){0};
}

static bool load_kernel(struct kb_session *session, const struct kb_op *op,
                        const char *path, struct kb_kernel *out, struct kb_complaints *c) {
    if (path)
        return kb_kernel_load(path, &session->arena, out, c);
    return kb_kernel_builtin(op, &session->arena, out, c);
}

const struct kb_kernel *kb_session_kernel(struct kb_session *session,
                                          const struct kb_op *op, const char *path,
                                          struct kb_err *err) {
    const char *name = path ? path : op->family;
    struct kb_complaints c = {0};

    for (struct kb_loaded *l = session->kernels; l; l = l->next) {
        if (kb_streq(l->path, name) && l->kernel.user == (path != NULL))
            return &l->kernel;
    }
    struct kb_loaded *l = kb_arena_alloc(&session->arena, sizeof *l);
    if (!load_kernel(session, op, path, &l->kernel, &c)) {
        struct kb_buf *text = &c.text;
        while (text->len > 0 && text->data[text->len - 1] == '\n')
            text->data[--text->len] = '\0';
        kb_fail(err, KB_INPUT, "%s", text->len ? text->data : "no kernel file for the op");
        kb_complaints_free(&c);
        return NULL;
    }
    kb_complaints_free(&c);
    l->path = kb_arena_strdup(&session->arena, name);
    l->next = session->kernels;
    session->kernels = l;
    return &l->kernel;
}

/* Everything that decides what is compiled, as text. */
static char *build_key(struct kb_session *session, const struct kb_plan *plan,
                       const struct kb_build *build) {
    struct kb_buf key = {0};
    char hash[KB_HASH_HEX];

    kb_hash_hex(&plan->kernel->source_hash, hash);
    kb_buf_printf(&key, "%s %s %s", plan->kernel->path, hash, build->name);
    for (size_t i = 0; i < build->flags.count; i++)
        kb_buf_printf(&key, " %s", build->flags.items[i]);
    for (size_t i = 0; i < plan->defines.count; i++)
        kb_buf_printf(&key, " -D%s", plan->defines.items[i]);
    for (int i = 0; i < plan->n_launches; i++)
        kb_buf_printf(&key, " %s", plan->launches[i].entry);
    char *text = kb_arena_strdup(&session->arena, key.data);
    kb_buf_free(&key);
    return text;
}

bool kb_session_build(struct kb_session *session, const struct kb_plan *plan,
                      const struct kb_build *build, struct kb_built **out,
                      struct kb_err *err) {
    const char *key = build_key(session, plan, build);

    for (struct kb_built *b = session->built; b; b = b->next) {
        if (kb_streq(b->key, key)) {
            *out = b;
            return true;
        }
    }
    struct kb_built *b = kb_arena_alloc(&session->arena, sizeof *b);
    if (!session->backend->build(session->device, plan, build, &b->code, &b->info, err))
        return false;
    b->key = key;
    b->next = session->built;
    session->built = b;
    *out = b;
    return true;
}

void kb_poison_outputs(const struct kb_problem *problem, struct kb_slab *slab,
                       int pattern) {
    for (int t = 0; t < problem->n_tensors; t++) {
        if (problem->tensors[t].role == KB_OUT && slab->slots[t].bytes > 0)
            kb_poison(kb_slab_at(slab, t), slab->slots[t].bytes, pattern);
    }
}

bool kb_session_slab(const struct kb_problem *problem, const struct kb_plan *plan,
                     uint64_t seed, struct kb_slab *out, struct kb_err *err) {
    size_t bytes[KB_MAX_TENSORS + KB_MAX_SCRATCH] = {0};
    int n = problem->n_tensors + plan->n_scratch;

    for (int t = 0; t < problem->n_tensors; t++) {
        const struct kb_tensor_spec *spec = &problem->tensors[t];
        if (!spec->absent &&
            !kb_mul_size((size_t)spec->elements, kb_dtype_bytes(spec->dtype), &bytes[t]))
            return kb_fail(err, KB_MEMORY, "%s: its size in bytes overflows", spec->name);
    }
    for (int i = 0; i < plan->n_scratch; i++)
        bytes[problem->n_tensors + i] = plan->scratch[i].bytes;
    if (!kb_slab_make(out, n, bytes, 0, err))
        return false;
    for (int t = 0; t < problem->n_tensors; t++) {
        const struct kb_tensor_spec *spec = &problem->tensors[t];
        if (!spec->absent && spec->role != KB_OUT && bytes[t] > 0)
            problem->c->op->fill(problem, t, seed, 0, spec->elements, kb_slab_at(out, t));
    }
    kb_poison_outputs(problem, out, 0);
    for (int i = 0; i < plan->n_scratch; i++) {
        if (plan->scratch[i].start == KB_SCRATCH_POISON && plan->scratch[i].bytes > 0)
            kb_poison(kb_slab_at(out, problem->n_tensors + i), plan->scratch[i].bytes, 0);
    }
    return true;
}
