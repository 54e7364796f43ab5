/* check.c - a contract held against its ops and its source, before there is any case: the
 * ops' sample problems stand for all. */
#include "kernel/contract.h"

#include <assert.h>
#include <string.h>

void kb_sample_make(struct kb_sample *sample, const struct kb_op *op) {
    struct kb_err err = {0};
    kb_case_start(&sample->c, op);
    bool ok = kb_shape_parse(op->sample, sample->c.shape, &sample->c.rank) &&
              kb_case_resolve(&sample->c, &sample->problem, &err);
    assert(ok && "an op's sample shape must resolve");
    (void)ok;
}

/* " for gelu", where a file has several ops and the first one is not the matter. */
static const char *which(const struct kb_contract *r, int sample) {
    return sample ? r->samples[sample].c.op->name : "";
}

bool kb_is_identifier(const char *text) {
    size_t n = 0;
    while (kb_is_letter(text[n]) || (n && kb_is_digit(text[n])))
        n++;
    return n && !text[n];
}

/* ---- expressions -----------------------------------------------------------------------
 */

static bool check(struct kb_contract *r, const cJSON *node, const char *text,
                  bool *is_float) {
    *is_float = false;
    for (int i = 0; i < r->n_samples; i++) {
        const struct kb_expr_env env = {
            .problem = &r->samples[i].problem,
            .lets = r->lets,
            .n_lets = r->n_lets,
            .defines = &r->variant->defines,
        };
        struct kb_err err = {0};
        if (kb_expr_check_env(text, &env, is_float, &err))
            continue;
        kb_contract_complain(r, node, "%s%s%s", err.msg, i ? " for " : "", which(r, i));
        return false;
    }
    return true;
}

void kb_check_expr(struct kb_contract *r, const cJSON *node, const char *text, bool whole) {
    bool is_float;
    if (check(r, node, text, &is_float) && whole && is_float)
        kb_contract_complain(r, node, "`%s` is a float, a whole number is wanted", text);
}

bool kb_check_let(struct kb_contract *r, const cJSON *node, const char *text) {
    bool is_float;
    return check(r, node, text, &is_float) && is_float;
}

void kb_check_new_name(struct kb_contract *r, const cJSON *node, const char *name) {
    bool taken = kb_is_device_name(name) || kb_is_function(name);
    for (int i = 0; i < r->n_lets; i++)
        taken = taken || kb_streq(r->lets[i].name, name);
    for (size_t i = 0; i < r->variant->defines.count; i++) {
        const char *define = r->variant->defines.items[i];
        size_t len = strcspn(define, "=");
        taken = taken || (!strncmp(define, name, len) && !name[len]);
    }
    for (int i = 0; i < r->n_samples; i++) {
        const struct kb_problem *p = &r->samples[i].problem;
        taken = taken || kb_problem_find(p, name) >= 0;
        for (int n = 0; n < p->n_names; n++)
            taken = taken || kb_streq(p->names[n].name, name);
    }
    if (!kb_is_identifier(name))
        kb_contract_complain_key(r, node, "is no name: letters, digits and _");
    else if (taken)
        kb_contract_complain_key(r, node, "the name is taken");
}

/* ---- arguments -------------------------------------------------------------------------
 */

static bool is_scratch(const struct kb_contract *r, const char *name) {
    for (int i = 0; i < r->variant->n_scratch; i++)
        if (kb_streq(r->variant->scratch[i].name, name))
            return true;
    return false;
}

static bool is_number(const struct kb_contract *r, const char *text) {
    const struct kb_expr_env env = {
        .problem = &r->samples[0].problem,
        .lets = r->lets,
        .n_lets = r->n_lets,
        .defines = &r->variant->defines,
    };
    struct kb_err err = {0};
    bool is_float;
    return kb_expr_check_env(text, &env, &is_float, &err);
}

static void no_tensor(struct kb_contract *r, const cJSON *node, int sample,
                      const char *name) {
    struct kb_arena arena = {0};
    struct kb_strings known = {0};
    const struct kb_problem *p = &r->samples[sample].problem;
    for (int i = 0; i < p->n_tensors; i++)
        kb_strings_add(&known, &arena, p->tensors[i].name);
    for (int i = 0; i < r->variant->n_scratch; i++)
        kb_strings_add(&known, &arena, r->variant->scratch[i].name);
    const char *near = kb_suggest(name, known.items, known.count);
    if (strchr(name, ' '))
        kb_contract_complain(r, node, "no type in front: i32 i64 u32 u64 f32 f64");
    else if (near)
        kb_contract_complain(r, node, "%s has no tensor `%s`, did you mean `%s`?",
                             p->c->op->name, name, near);
    else if (is_number(r, name))
        kb_contract_complain(r, node, "a number needs a type: \"i32 %s\"", name);
    else
        kb_contract_complain(r, node, "%s has no tensor `%s`", p->c->op->name, name);
    kb_arena_free(&arena);
}

void kb_check_arg(struct kb_contract *r, const cJSON *node, const char *arg) {
    enum kb_scalar type;
    const char *expression;
    if (kb_scalar_split(arg, &type, &expression)) {
        kb_check_expr(r, node, expression, !kb_scalar_is_float(type));
        return;
    }
    if (is_scratch(r, arg))
        return;
    for (int i = 0; i < r->n_samples; i++)
        if (kb_problem_find(&r->samples[i].problem, arg) < 0) {
            no_tensor(r, node, i, arg);
            return;
        }
}

void kb_check_tma(struct kb_contract *r, const cJSON *node) {
    static const char *const keys[] = {"tma",     "dims", "strides", "box",
                                       "swizzle", "l2",   "oob"};
    static const char *const lists[] = {"dims", "strides", "box"};
    struct kb_tma_text tma;
    struct kb_err what = {0};
    const cJSON *at, *item;
    kb_json_check_keys(&r->doc, node, keys, KB_COUNT(keys), r->c);
    if (!kb_tma_read(node, r->arena, &tma, &at, &what)) {
        kb_contract_complain(r, at, "%s", what.msg);
        return;
    }
    for (int i = 0; i < r->n_samples; i++)
        if (kb_problem_find(&r->samples[i].problem, tma.tensor) < 0) {
            no_tensor(r, kb_json_get(node, "tma"), i, tma.tensor);
            break;
        }
    for (size_t i = 0; i < KB_COUNT(lists); i++)
        cJSON_ArrayForEach(item, kb_json_get(node, lists[i]))
            kb_check_expr(r, item, kb_expr_text(item, r->arena), true);
}

/* "tma {json}" or "input": does the argument give the kernel this tensor? */
static bool gives(const struct kb_contract *r, const char *arg, const char *tensor) {
    struct kb_tma_text tma;
    struct kb_err err = {0};
    if (!kb_starts_with(arg, KB_TMA_PREFIX))
        return kb_streq(arg, tensor);
    return kb_tma_reread(arg, r->arena, &tma, &err) && kb_streq(tma.tensor, tensor);
}

static bool is_given(const struct kb_contract *r, const char *tensor) {
    for (int l = 0; l < r->variant->n_launches; l++)
        for (int i = 0; i < r->variant->launches[l].n_args; i++)
            if (gives(r, r->variant->launches[l].args[i], tensor))
                return true;
    return false;
}

void kb_check_outputs(struct kb_contract *r, const cJSON *node) {
    for (int s = 0; s < r->n_samples; s++) {
        const struct kb_problem *p = &r->samples[s].problem;
        for (int t = 0; t < p->n_tensors; t++) {
            const struct kb_tensor_spec *spec = &p->tensors[t];
            if (spec->role == KB_IN || is_given(r, spec->name))
                continue;
            kb_contract_complain_key(r, node,
                                     "`%s`, an output of %s, is no argument of any launch",
                                     spec->name, p->c->op->name);
            return;
        }
    }
}

/* ---- entries ---------------------------------------------------------------------------
 */

void kb_check_defines(struct kb_contract *r, const cJSON *node) {
    for (int i = 0; i < r->n_samples; i++) {
        struct kb_strings pairs = {0};
        struct kb_err err = {0};
        if (kb_macros_make(r->variant, &r->samples[i].c, r->arena, &pairs, &err))
            continue;
        kb_contract_complain_key(r, node, "%s", err.msg);
        return;
    }
}

static void check_function(struct kb_contract *r, const cJSON *node, const char *entry) {
    const struct kb_kernel *kernel = r->kernel;
    const char *name = kb_entry_function(entry, r->arena);
    if (!name) {
        kb_contract_complain(r, node, "names no kernel");
        return;
    }
    if (kb_words_has(&r->words, name))
        return;
    if (!r->functions.count)
        kb_source_kernels(kernel->text, kernel->size, r->arena, &r->functions);
    const char *near = kb_suggest(name, r->functions.items, r->functions.count);
    if (!near && r->functions.count == 1)
        near = r->functions.items[0];
    if (near)
        kb_contract_complain(r, node, "no `%s` in %s, did you mean `%s`?", name,
                             kernel->path, near);
    else
        kb_contract_complain(r, node, "no `%s` in %s", name, kernel->path);
}

/* KB_ names that are left after the macros are replaced, and are none of the source's. */
static bool check_macros(struct kb_contract *r, const cJSON *node, const char *entry,
                         const struct kb_strings *pairs) {
    struct kb_arena arena = {0};
    struct kb_strings names = {0};
    bool ok = true;
    for (size_t i = 0; i < pairs->count; i += 2)
        kb_strings_add(&names, &arena, pairs->items[i]);
    for (const char *at = strstr(entry, "KB_"); ok && at; at = strstr(at + 1, "KB_")) {
        size_t n = 0;
        if (at > entry && (kb_is_letter(at[-1]) || kb_is_digit(at[-1])))
            continue;
        while (kb_is_letter(at[n]) || kb_is_digit(at[n]))
            n++;
        char *name = kb_arena_strndup(&arena, at, n);
        if (kb_words_has(&r->words, name))
            continue;
        const char *near = kb_suggest(name, names.items, names.count);
        if (near)
            kb_contract_complain(r, node, "unknown macro `%s`, did you mean `%s`?", name,
                                 near);
        else
            kb_contract_complain(r, node, "unknown macro `%s`", name);
        ok = false;
    }
    kb_arena_free(&arena);
    return ok;
}

static void check_braces(struct kb_contract *r, const cJSON *node, const char *entry) {
    for (const char *at = strchr(entry, '{'); at; at = strchr(at + 1, '{')) {
        const char *end = strchr(at, '}');
        if (!end) {
            kb_contract_complain(r, node, "a { without }");
            return;
        }
        kb_check_expr(r, node, kb_arena_strndup(r->arena, at + 1, (size_t)(end - at - 1)),
                      true);
    }
}

void kb_check_entry(struct kb_contract *r, const cJSON *node, const char *entry) {
    check_braces(r, node, entry);
    for (int i = 0; i < r->n_samples; i++) {
        struct kb_strings pairs = {0};
        struct kb_err err = {0};
        const char *made;
        if (!kb_macros_make(r->variant, &r->samples[i].c, r->arena, &pairs, &err))
            return; /* said by kb_check_defines */
        if (!kb_entry_make(entry, &pairs, NULL, r->arena, &made, &err))
            return;
        if (!i)
            check_function(r, node, made);
        if (!check_macros(r, node, made, &pairs))
            return;
    }
}
