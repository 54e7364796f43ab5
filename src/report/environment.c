/* environment.c - in what two reports differ beside their rows: each field by its name. */
#include "diff.h"

#include <math.h>
#include <string.h>

struct gathering {
    struct kb_arena *arena;
    struct kb_mismatches *out;
    size_t cap;
};

static bool is_known(const char *a, const char *b) {
    return *a && kb_streq(a, b);
}

const struct kb_machine *kb_machine_beside(const struct kb_loaded *a,
                                           const struct kb_loaded *b,
                                           const struct kb_machine *machine) {
    for (int pass = 0; pass < 3; pass++) {
        for (int i = 0; i < a->n_machines; i++) {
            const struct kb_machine *other = &a->machines[i];
            bool named = is_known(other->name, machine->name);
            if (pass == 0   ? named && kb_streq(other->id, machine->id)
                : pass == 1 ? is_known(other->uuid, machine->uuid)
                            : named)
                return other;
        }
    }
    for (int i = 0; i < a->n_machines; i++)
        if (kb_streq(a->machines[i].id, machine->id))
            return &a->machines[i];
    return a->n_machines == 1 && b->n_machines == 1 ? &a->machines[0] : NULL;
}

static void add(struct gathering *g, const char *field, const char *a, const char *b,
                bool refused) {
    struct kb_mismatches *out = g->out;
    if (kb_streq(a, b))
        return;
    if (out->n == g->cap) {
        size_t cap = g->cap ? 2 * g->cap : 16;
        struct kb_mismatch *items = kb_arena_array(g->arena, cap, sizeof *items);
        if (out->n)
            memcpy(items, out->items, out->n * sizeof *items);
        out->items = items;
        g->cap = cap;
    }
    out->items[out->n++] = (struct kb_mismatch){
        .field = kb_arena_strdup(g->arena, field),
        .a = kb_arena_strdup(g->arena, *a ? a : "-"),
        .b = kb_arena_strdup(g->arena, *b ? b : "-"),
        .refused = refused,
    };
    out->refused += refused;
}

static void add_number(struct gathering *g, const char *field, double a, double b,
                       bool refused) {
    struct kb_buf x = {0}, y = {0};
    if (isnan(a) && isnan(b))
        return;
    if (!isnan(a))
        kb_buf_printf(&x, "%.15g", a);
    if (!isnan(b))
        kb_buf_printf(&y, "%.15g", b);
    add(g, field, kb_buf_text(&x), kb_buf_text(&y), refused);
    kb_buf_free(&x);
    kb_buf_free(&y);
}

static const char *locked_word(int locked) {
    return locked < 0 ? "" : locked ? "locked" : "not locked";
}

/* What a time depends on is refused; what it may depend on is told. */
static void machines(struct gathering *g, const struct kb_machine *a,
                     const struct kb_machine *b) {
    bool gpu = !kb_streq(a->backend, "host") || !kb_streq(b->backend, "host");
    add(g, "backend", a->backend, b->backend, true);
    add(g, "GPU", a->name, b->name, true);
    add_number(g, "sm", a->sm, b->sm, gpu);
    add_number(g, "SMs", a->sm_count, b->sm_count, true);
    add_number(g, "L2 bytes", a->l2_bytes, b->l2_bytes, true);
    add_number(g, "memory bytes", a->memory_bytes, b->memory_bytes, false);
    add(g, "driver", a->driver, b->driver, false);
    add(g, "NVRTC", a->nvrtc, b->nvrtc, false);
    add(g, "compiler", a->compiler, b->compiler, false);
    add(g, "clocks", locked_word(a->clocks_locked), locked_word(b->clocks_locked), false);
    add(g, "card", a->uuid, b->uuid, false);
}

/* A value as text: a list with blanks between. */
static void value_words(const cJSON *value, struct kb_buf *out) {
    const cJSON *item;
    if (cJSON_IsString(value))
        kb_buf_puts(out, value->valuestring);
    else if (cJSON_IsArray(value))
        cJSON_ArrayForEach(item, value) {
            kb_buf_puts(out, item == value->child ? "" : " ");
            value_words(item, out);
        }
    else if (value)
        kb_json_print(value, out);
}

static void add_values(struct gathering *g, const char *field, const cJSON *a,
                       const cJSON *b) {
    struct kb_buf x = {0}, y = {0};
    value_words(a, &x);
    value_words(b, &y);
    add(g, field, kb_buf_text(&x), kb_buf_text(&y), false);
    kb_buf_free(&x);
    kb_buf_free(&y);
}

static void hosts(struct gathering *g, const struct kb_loaded *a,
                  const struct kb_loaded *b) {
    static const struct {
        const char *name, *word;
    } fields[] = {{"cpu", "CPU"},
                  {"cores", "cores"},
                  {"os", "OS"},
                  {"instrumented", "instrumented by"}};
    const cJSON *x = kb_json_get(a->head.root, "host"),
                *y = kb_json_get(b->head.root, "host");
    for (size_t i = 0; i < KB_COUNT(fields); i++)
        add_values(g, fields[i].word, kb_json_get(x, fields[i].name),
                   kb_json_get(y, fields[i].name));
}

/* Flags of builds that both have. */
static void builds(struct gathering *g, const struct kb_loaded *a,
                   const struct kb_loaded *b) {
    const cJSON *item;
    cJSON_ArrayForEach(item, kb_json_get(a->head.root, "builds")) {
        const cJSON *other = kb_json_get(kb_json_get(b->head.root, "builds"), item->string);
        struct kb_buf field = {0};
        if (!other)
            continue;
        kb_buf_printf(&field, "flags of %s", item->string);
        add_values(g, kb_buf_text(&field), item, other);
        kb_buf_free(&field);
    }
}

void kb_mismatches_of(const struct kb_loaded *a, const struct kb_loaded *b,
                      struct kb_arena *arena, struct kb_mismatches *out) {
    struct gathering g = {.arena = arena, .out = out};
    *out = (struct kb_mismatches){0};
    for (int i = 0; i < b->n_machines; i++) {
        const struct kb_machine *beside = kb_machine_beside(a, b, &b->machines[i]);
        if (beside)
            machines(&g, beside, &b->machines[i]);
    }
    builds(&g, a, b);
    hosts(&g, a, b);
}
