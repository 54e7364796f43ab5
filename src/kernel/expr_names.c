/* expr_names.c - the names in expressions: what they stand for, and what an expression
 * depends on. */
#include "kernel/expr.h"

#include <string.h>

/* ---- names -----------------------------------------------------------------------------
 */

static const char *const device_names[] = {"dtype_bytes", "sm", "sm_count",
                                           "smem_per_block"};

static int64_t device_value(const struct kb_expr_env *env, size_t index) {
    const int64_t values[KB_COUNT(device_names)] = {
        (int64_t)kb_dtype_bytes(env->problem->c->dtype), env->sm, env->sm_count,
        env->smem_per_block};
    return values[index];
}

bool kb_is_function(const char *name) {
    return kb_expr_function(name, strlen(name)) >= 0;
}

bool kb_is_device_name(const char *name) {
    for (size_t i = 0; i < KB_COUNT(device_names); i++)
        if (kb_streq(device_names[i], name))
            return true;
    return false;
}

/* Of a macro "NAME=VALUE" whose value is a whole number. */
static bool macro_value(const char *define, int64_t *value) {
    const char *equals = strchr(define, '=');
    return equals && kb_parse_i64(equals + 1, value);
}

bool kb_expr_unknown(struct kb_expr_parser *p, const struct kb_expr_operand *v) {
    struct kb_arena arena = {0};
    struct kb_strings known = {0};
    const struct kb_expr_env *env = p->env;
    char *name = kb_arena_strndup(&arena, p->text + v->at, v->len);
    for (int i = 0; i < env->problem->n_names; i++)
        kb_strings_add(&known, &arena, env->problem->names[i].name);
    for (int i = 0; i < env->n_lets; i++)
        kb_strings_add(&known, &arena, env->lets[i].name);
    for (size_t i = 0; i < KB_COUNT(device_names); i++)
        kb_strings_add(&known, &arena, device_names[i]);
    for (size_t i = 0; env->defines && i < env->defines->count; i++) {
        const char *define = env->defines->items[i];
        int64_t value;
        if (macro_value(define, &value))
            kb_strings_add(&known, &arena,
                           kb_arena_strndup(&arena, define, strcspn(define, "=")));
    }
    for (size_t i = 0; i < kb_expr_n_functions; i++)
        kb_strings_add(&known, &arena, kb_expr_functions[i]);
    const char *near = kb_suggest(name, known.items, known.count);
    if (near)
        kb_expr_fail(p, v->at, "unknown name `%s`, did you mean `%s`?", name, near);
    else
        kb_expr_fail(p, v->at, "unknown name `%s`", name);
    kb_arena_free(&arena);
    return false;
}

static bool same(const char *name, const char *text, size_t len) {
    return *name == *text && strlen(name) == len && !memcmp(name, text, len);
}

static void set_named(const struct kb_name *name, struct kb_expr_operand *out) {
    out->name = name;
    out->type = name->list       ? KB_EXPR_LIST
                : name->words    ? KB_EXPR_WORD
                : name->is_float ? KB_EXPR_FLOAT
                                 : KB_EXPR_INT;
    if (name->is_float)
        out->f = name->value;
    else
        out->i = (int64_t)name->value;
}

bool kb_expr_look_up(struct kb_expr_parser *p, bool live, struct kb_expr_operand *out) {
    const struct kb_expr_env *env = p->env;
    const char *text = p->text + out->at;
    for (int i = 0; i < env->problem->n_names; i++)
        if (same(env->problem->names[i].name, text, out->len)) {
            set_named(&env->problem->names[i], out);
            return true;
        }
    for (size_t i = 0; i < KB_COUNT(device_names); i++)
        if (same(device_names[i], text, out->len)) {
            out->i = device_value(env, i);
            return true;
        }
    for (int i = 0; i < env->n_lets; i++)
        if (same(env->lets[i].name, text, out->len)) {
            const struct kb_expr_let *let = &env->lets[i];
            out->type = let->value.is_float ? KB_EXPR_FLOAT : KB_EXPR_INT;
            out->i = let->value.i;
            out->f = let->value.f;
            return !live || !let->error ||
                   kb_expr_fail(p, out->at, "%s: %s", let->name, let->error);
        }
    for (size_t i = 0; env->defines && i < env->defines->count; i++) {
        const char *define = env->defines->items[i];
        if (strcspn(define, "=") == out->len && !memcmp(define, text, out->len) &&
            macro_value(define, &out->i))
            return true;
    }
    out->type = KB_EXPR_UNKNOWN;
    return true;
}

/* A let that fails is no error until something uses it: `when` may rule the case out. */
void kb_lets_make(const struct kb_variant *variant, struct kb_expr_env *env,
                  struct kb_expr_let *lets, struct kb_arena *arena) {
    env->lets = lets;
    for (env->n_lets = 0; env->n_lets < variant->n_lets; env->n_lets++) {
        struct kb_expr_let *let = &lets[env->n_lets];
        struct kb_err err = {0};
        *let = (struct kb_expr_let){.name = variant->let_names[env->n_lets]};
        if (!kb_expr_eval(variant->let_texts[env->n_lets], env, &let->value, &err))
            let->error = kb_arena_strdup(arena, err.msg);
    }
}

/* ---- conditions ------------------------------------------------------------------------
 */

void kb_expr_parts(const char *text, struct kb_arena *arena, struct kb_strings *out) {
    size_t start = 0, before = out->count;
    int depth = 0;
    for (size_t i = 0; text[i]; i++) {
        depth += (text[i] == '(') - (text[i] == ')');
        if (!depth && (text[i] == '?' || kb_starts_with(text + i, "||"))) {
            out->count = before;
            start = 0;
            break;
        }
        if (!depth && kb_starts_with(text + i, "&&")) {
            size_t end = i, next = i + 2;
            while (end > start && text[end - 1] == ' ')
                end--;
            while (text[next] == ' ')
                next++;
            kb_strings_add(out, arena, kb_arena_strndup(arena, text + start, end - start));
            start = next;
            i = next - 1;
        }
    }
    kb_strings_add(out, arena, kb_arena_strdup(arena, text + start));
}

bool kb_expr_holds(const char *text, const struct kb_expr_env *env, bool *holds,
                   struct kb_err *err) {
    struct kb_expr_value value;
    if (!kb_expr_eval(text, env, &value, err))
        return false;
    *holds = value.is_float ? value.f != 0 : value.i != 0;
    return true;
}

/* ---- what a value comes from ------------------------------------------------------------
 */

static void put_value(const struct kb_expr_operand *v, struct kb_buf *out) {
    struct kb_arena arena = {0};
    struct kb_strings words = {0};
    if (v->type == KB_EXPR_FLOAT) {
        kb_buf_printf(out, "%.9g", v->f);
    } else if (v->type == KB_EXPR_WORD) {
        kb_split(&arena, v->name->words, ',', &words);
        kb_buf_puts(out, (size_t)v->i < words.count ? words.items[v->i] : "?");
    } else {
        kb_buf_printf(out, "%lld", (long long)v->i);
    }
    kb_arena_free(&arena);
}

/* The next identifier at or after p->at, into v->at and v->len. */
static bool next_name(struct kb_expr_parser *p, struct kb_expr_operand *v) {
    while (p->text[p->at] && !kb_is_letter(p->text[p->at])) {
        bool is_float;
        size_t n = kb_expr_number_length(p->text + p->at, &is_float);
        p->at += n ? n : 1;
    }
    *v = (struct kb_expr_operand){.at = p->at};
    while (kb_is_letter(p->text[p->at]) || kb_is_digit(p->text[p->at]))
        p->at++;
    v->len = p->at - v->at;
    return v->len;
}

void kb_expr_uses(const char *text, const struct kb_expr_env *env, struct kb_buf *out) {
    struct kb_arena arena = {0};
    struct kb_strings seen = {0};
    struct kb_expr_parser p = {.text = text, .env = env};
    struct kb_expr_operand v;
    const char *before = " for ";
    bool on_sm = false;
    while (next_name(&p, &v)) {
        char *name = kb_arena_strndup(&arena, text + v.at, v.len);
        kb_expr_look_up(&p, false, &v);
        if (v.type == KB_EXPR_UNKNOWN || v.type == KB_EXPR_LIST ||
            kb_strings_has(&seen, name))
            continue;
        kb_strings_add(&seen, &arena, name);
        if (kb_streq(name, "sm")) {
            on_sm = true;
            continue;
        }
        kb_buf_printf(out, "%s%s ", before, name);
        put_value(&v, out);
        before = ", ";
    }
    if (on_sm)
        kb_buf_printf(out, " on sm_%lld", (long long)env->sm);
    kb_arena_free(&arena);
}
