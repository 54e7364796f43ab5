/* load.c - inputs of a case from a file instead of its fill. */
#include "run.h"
#include "safetensors.h"

#include <string.h>

/* ---- does the file fit the case? --------------------------------------------------- */

/* "BF16 [83, 1024]" */
static void put_type(struct kb_buf *out, enum kb_st_type type, int rank,
                     const int64_t *shape) {
    kb_buf_printf(out, "%s [", kb_st_type_name(type));
    for (int i = 0; i < rank; i++)
        kb_buf_printf(out, "%s%lld", i ? ", " : "", (long long)shape[i]);
    kb_buf_putc(out, ']');
}

static bool is_input(const struct kb_tensor_spec *spec) {
    return !spec->absent && spec->role != KB_OUT;
}

static bool missing(const struct kb_st_file *file, const struct kb_problem *p,
                    const struct kb_tensor_spec *spec, struct kb_err *err) {
    struct kb_buf want = {0};

    put_type(&want, kb_st_type_of(spec->dtype), spec->rank, spec->shape);
    kb_fail(err, KB_INPUT, "%s: has no tensor \"%s\", %s, which %s wants", file->path,
            spec->name, want.data, p->c->id);
    kb_buf_free(&want);
    return false;
}

static bool is_alike(const struct kb_st_file *file, const struct kb_problem *p,
                     const struct kb_tensor_spec *spec, const struct kb_st_tensor *tensor,
                     struct kb_err *err) {
    struct kb_buf want = {0}, got = {0};

    if (tensor->type == kb_st_type_of(spec->dtype) && tensor->rank == spec->rank &&
        !memcmp(tensor->shape, spec->shape, (size_t)spec->rank * sizeof *spec->shape))
        return true;
    put_type(&want, kb_st_type_of(spec->dtype), spec->rank, spec->shape);
    put_type(&got, tensor->type, tensor->rank, tensor->shape);
    kb_fail(err, KB_INPUT, "%s: tensor \"%s\" is %s, %s wants %s", file->path, spec->name,
            got.data, p->c->id, want.data);
    kb_buf_free(&want);
    kb_buf_free(&got);
    return false;
}

/* What a dump holds beside the inputs. */
static bool is_beside(const char *name) {
    return kb_starts_with(name, "out.") || kb_starts_with(name, "want.") ||
           kb_starts_with(name, "bound.") || kb_starts_with(name, "rows.");
}

/* A tensor that the case has no use for was meant for something else. */
static bool is_known(const struct kb_st_file *file, const struct kb_problem *p,
                     const struct kb_st_tensor *tensor, struct kb_err *err) {
    const char *known[KB_MAX_TENSORS];
    struct kb_buf what = {0};
    size_t n = 0;

    for (int t = 0; t < p->n_tensors; t++) {
        if (!is_input(&p->tensors[t]))
            continue;
        if (kb_streq(p->tensors[t].name, tensor->name))
            return true;
        known[n++] = p->tensors[t].name;
    }
    if (is_beside(tensor->name))
        return true;
    kb_unknown(&what, "tensor", tensor->name, known, n);
    kb_fail(err, KB_INPUT, "%s: %s, of the inputs of %s", file->path, what.data, p->c->id);
    kb_buf_free(&what);
    return false;
}

static bool fits(const struct kb_st_file *file, const struct kb_problem *p,
                 struct kb_err *err) {
    for (int i = 0; i < file->n_tensors; i++)
        if (!is_known(file, p, &file->tensors[i], err))
            return false;
    for (int t = 0; t < p->n_tensors; t++) {
        const struct kb_tensor_spec *spec = &p->tensors[t];
        if (!is_input(spec))
            continue;
        const struct kb_st_tensor *tensor = kb_st_find(file, spec->name);
        if (!tensor)
            return missing(file, p, spec, err);
        if (!is_alike(file, p, spec, tensor, err))
            return false;
    }
    return true;
}

/* ---- contents ---------------------------------------------------------------------- */

/* Of a small tensor that the op reads as places or counts: is it one that kernels can bear?
 */
static bool is_sound(const struct kb_st_file *file, const struct kb_problem *p, int t,
                     const void *data, struct kb_err *err) {
    const struct kb_op *op = p->c->op;

    return !op->accepts || op->accepts(p, t, data, err) || kb_at(err, "%s", file->path);
}

bool kb_load_check(const char *path, const struct kb_problem *p, struct kb_err *err) {
    struct kb_st_file file;
    bool ok;

    if (!kb_st_open(path, &file, err))
        return false;
    ok = fits(&file, p, err);
    for (int t = 0; ok && t < p->n_tensors; t++) {
        struct kb_buf data = {0};
        const struct kb_tensor_spec *spec = &p->tensors[t];
        if (!is_input(spec) || kb_dtype_is_float(spec->dtype))
            continue;
        const struct kb_st_tensor *tensor = kb_st_find(&file, spec->name);
        void *at = kb_buf_reserve(&data, (size_t)tensor->bytes);
        ok = kb_st_read(&file, tensor, at, err) && is_sound(&file, p, t, at, err);
        kb_buf_free(&data);
    }
    kb_st_close(&file);
    return ok;
}

bool kb_load_inputs(const char *path, const struct kb_problem *p, struct kb_slab *slab,
                    struct kb_err *err) {
    struct kb_st_file file;
    bool ok;

    if (!kb_st_open(path, &file, err))
        return false;
    ok = fits(&file, p, err);
    for (int t = 0; ok && t < p->n_tensors; t++) {
        if (!is_input(&p->tensors[t]) || !slab->slots[t].bytes)
            continue;
        void *at = kb_slab_at(slab, t);
        ok = kb_st_read(&file, kb_st_find(&file, p->tensors[t].name), at, err) &&
             is_sound(&file, p, t, at, err);
    }
    kb_st_close(&file);
    return ok;
}
