/* entries.c - all the instantiations that a kernel file may need, whatever the case: what
 * the host backend compiles at once.
 *
 * Ops, dtypes and the parameters of words multiply, so that only those parameters take
 * turns that an entry sees, by a macro or in braces. What depends on a shape or on a
 * number is left out: such a case brings its own entry, and its own compile. */
#include "kernel/parts.h"

#include <string.h>

/* Does `text` mention `name` as a whole word? */
static bool mentions(const char *text, const char *name) {
    size_t len = strlen(name);
    for (const char *at = strstr(text, name); at; at = strstr(at + 1, name)) {
        char before = at > text ? at[-1] : ' ', after = at[len];
        if (!kb_is_letter(before) && !kb_is_digit(before) && !kb_is_letter(after) &&
            !kb_is_digit(after))
            return true;
    }
    return false;
}

bool kb_entries_fixed(const struct kb_kernel *kernel, const struct kb_strings *pairs) {
    for (size_t i = 0; i < pairs->count; i += 2)
        if (!kb_strings_has(&kernel->unused, pairs->items[i]) &&
            kb_source_uses(kernel->text, kernel->size, pairs->items[i]))
            return true;
    return false;
}

/* ---- which parameters an entry sees ----------------------------------------------------
 */

/* All that the entries of a variant are made from: their own text, defines, and those lets
 * that braces use, directly or through others. The variant's other lets are dropped. */
static void sources_of(struct kb_variant *v, struct kb_arena *arena,
                       struct kb_strings *out) {
    bool braces = false;
    for (int i = 0; i < v->n_launches; i++) {
        kb_strings_add(out, arena, v->launches[i].entry);
        braces = braces || strchr(v->launches[i].entry, '{');
    }
    for (size_t i = 0; i < v->defines.count; i++)
        kb_strings_add(out, arena, v->defines.items[i]);
    for (int i = v->n_lets - 1; braces && i >= 0; i--) { /* each uses those before it */
        bool used = false;
        for (size_t k = 0; k < out->count; k++)
            used = used || mentions(out->items[k], v->let_names[i]);
        if (used)
            kb_strings_add(out, arena, v->let_texts[i]);
        else
            v->let_names[i] = NULL;
    }
    int n = 0;
    for (int i = 0; braces && i < v->n_lets; i++)
        if (v->let_names[i]) {
            v->let_names[n] = v->let_names[i];
            v->let_texts[n++] = v->let_texts[i];
        }
    v->n_lets = n;
}

static bool any_mentions(const struct kb_strings *texts, const char *name) {
    for (size_t i = 0; i < texts->count; i++)
        if (mentions(texts->items[i], name))
            return true;
    return false;
}

static int word_count(const char *words) {
    int n = 1;
    for (; *words; words++)
        n += *words == ',';
    return n;
}

/* By its name, or by a macro that it decides. */
static bool is_seen(const struct kb_strings *texts, struct kb_case *c, int param,
                    struct kb_arena *arena) {
    struct kb_strings first = {0};
    int words = word_count(c->op->params[param].words);
    bool seen = any_mentions(texts, c->op->params[param].name);
    c->op->macros(c, arena, &first);
    for (int word = 1; word < words && !seen; word++) {
        struct kb_strings other = {0};
        c->set[param].v = word;
        c->op->macros(c, arena, &other);
        for (size_t i = 0; i + 1 < other.count && !seen; i += 2)
            seen = !kb_streq(first.items[i + 1], other.items[i + 1]) &&
                   any_mentions(texts, other.items[i]);
    }
    c->set[param].v = 0;
    return seen;
}

/* ---- which variants there are ----------------------------------------------------------
 */

/* Is a part of `when` false for all cases on this device, as sm >= 100 is on sm_90? Its
 * parts are what && joins outside of parentheses, unless || or ?: stand there too. */
static bool is_ruled_out(const char *when, const struct kb_expr_env *device,
                         struct kb_arena *arena) {
    struct kb_problem no_names = {.c = device->problem->c};
    struct kb_expr_env env = *device;
    int depth = 0;
    env.problem = &no_names;
    env.n_lets = 0;
    env.defines = NULL;
    for (const char *at = when; *at; at++) {
        depth += (*at == '(') - (*at == ')');
        if (!depth && (*at == '?' || (*at == '|' && at[1] == '|')))
            return false;
    }
    for (const char *from = when, *at = when;; at++) {
        struct kb_expr_value value;
        struct kb_err err = {0};
        depth += (*at == '(') - (*at == ')');
        if (*at && (depth || *at != '&' || at[1] != '&'))
            continue;
        const char *part = kb_arena_strndup(arena, from, (size_t)(at - from));
        if (!mentions(part, "dtype_bytes") && kb_expr_eval(part, &env, &value, &err) &&
            !value.is_float && !value.i)
            return true;
        if (!*at)
            return false;
        from = ++at + 1;
    }
}

/* ---- what they come to -----------------------------------------------------------------
 */

/* One variant of one op, as its parameters take turns. */
struct turns {
    struct kb_variant v; /* with the lets that its entries need */
    struct kb_sample sample;
    bool seen[KB_MAX_PARAMS];
    const struct kb_expr_env *device;
    struct kb_arena *arena, *scrap;
    struct kb_strings *out;
};

/* The next combination of words; false after the last. */
static bool next_words(struct turns *t) {
    struct kb_case *c = &t->sample.c;
    for (int i = 0; i < c->op->n_params; i++) {
        if (!t->seen[i])
            continue;
        c->set[i].v++;
        if (c->set[i].v < word_count(c->op->params[i].words))
            return true;
        c->set[i].v = 0;
    }
    return false;
}

/* The parameters come first among the names: nothing else has a value without a shape. */
static void name_params(struct turns *t) {
    struct kb_problem *p = &t->sample.problem;
    p->n_names = t->sample.c.op->n_params;
    for (int i = 0; i < p->n_names; i++)
        p->names[i].value = t->sample.c.set[i].v;
}

static void add_launches(struct turns *t) {
    struct kb_strings pairs = {0};
    struct kb_expr_let lets[KB_MAX_LETS];
    struct kb_expr_env env = *t->device;
    struct kb_err err = {0};
    const char *entry;
    name_params(t);
    env.problem = &t->sample.problem;
    env.defines = &t->v.defines;
    kb_lets_make(&t->v, &env, lets, t->scrap);
    /* What is wrong with macros was said where the contract was read. */
    bool ok = kb_macros_make(&t->v, &t->sample.c, t->scrap, &pairs, &err);
    for (int i = 0; ok && i < t->v.n_launches && t->out->count < KB_MAX_ENTRIES; i++)
        if (kb_entry_make(t->v.launches[i].entry, &pairs, &env, t->scrap, &entry, &err) &&
            !kb_strings_has(t->out, entry))
            kb_strings_add(t->out, t->arena, kb_arena_strdup(t->arena, entry));
    kb_arena_reset(t->scrap);
}

static void add_variant(struct turns *t) {
    struct kb_case *c = &t->sample.c;
    const struct kb_op *op = c->op;
    struct kb_strings texts = {0};
    sources_of(&t->v, t->arena, &texts);
    for (int i = 0; i < op->n_params; i++)
        if (op->params[i].kind == KB_PARAM_WORD)
            c->set[i].v = 0;
    for (int i = 0; i < op->n_params; i++)
        t->seen[i] = op->params[i].kind == KB_PARAM_WORD && is_seen(&texts, c, i, t->arena);
    for (int i = 0; i < op->n_dtypes; i++) {
        c->dtype = op->dtypes[i];
        if (t->v.dtypes.count && !kb_strings_has(&t->v.dtypes, kb_dtype_name(c->dtype)))
            continue;
        do
            add_launches(t);
        while (t->out->count < KB_MAX_ENTRIES && next_words(t));
    }
}

/* Kept in the kernel's arena, since plans come and go. */
struct kb_entries {
    struct kb_arena *arena;
    int64_t sm, sm_count, smem_per_block; /* of the device that they are for */
    bool known;
    struct kb_strings all;
};

struct kb_entries *kb_entries_make(struct kb_arena *arena) {
    struct kb_entries *entries = kb_arena_alloc(arena, sizeof *entries);
    *entries = (struct kb_entries){.arena = arena};
    return entries;
}

static bool are_for(const struct kb_entries *e, const struct kb_expr_env *device) {
    return e->known && e->sm == device->sm && e->sm_count == device->sm_count &&
           e->smem_per_block == device->smem_per_block;
}

static void find_all(const struct kb_kernel *kernel, const struct kb_expr_env *device,
                     struct kb_arena *arena, struct kb_strings *out) {
    struct kb_arena scrap = {0};
    for (size_t o = 0; o < kernel->ops.count; o++)
        for (int i = 0; i < kernel->n_variants; i++) {
            const struct kb_variant *v = &kernel->variants[i];
            bool here =
                !v->lacks && (!v->backends.count || kb_strings_has(&v->backends, "host"));
            struct turns t = {
                .v = *v, .device = device, .arena = arena, .scrap = &scrap, .out = out};
            if (!here || !kb_arch_takes(v->arch, device->sm) ||
                (v->when && is_ruled_out(v->when, device, &scrap)))
                continue;
            kb_sample_make(&t.sample, kb_op_find(kernel->ops.items[o]));
            add_variant(&t);
        }
    kb_arena_free(&scrap);
}

void kb_entries_all(const struct kb_kernel *kernel, const struct kb_expr_env *device,
                    struct kb_arena *arena, struct kb_strings *out) {
    struct kb_entries *e = kernel->entries;

    if (!are_for(e, device)) {
        e->all = (struct kb_strings){0};
        find_all(kernel, device, e->arena, &e->all);
        e->sm = device->sm;
        e->sm_count = device->sm_count;
        e->smem_per_block = device->smem_per_block;
        e->known = true;
    }
    for (size_t i = 0; i < e->all.count; i++)
        if (!kb_strings_has(out, e->all.items[i]))
            kb_strings_add(out, arena, e->all.items[i]);
}
