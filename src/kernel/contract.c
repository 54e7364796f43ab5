/* contract.c - the JSON of a contract into structs; the schema is kernels/README.md. Every
 * field is read even after an error, so that all errors show at once. */
#include "kernel/contract.h"

#include <string.h>

/* What is wrong in one variant with something of the file is not said again for the next.
 */
static int begin_shared(struct kb_contract *r, bool shared) {
    r->in_shared = shared;
    r->quiet = shared && r->shared_wrong;
    return r->c->count;
}

static void end_shared(struct kb_contract *r, int before) {
    r->wrong_here = r->wrong_here || (r->in_shared && r->c->count > before);
    r->in_shared = r->quiet = false;
}

/* ---- launches --------------------------------------------------------------------------
 */

/* One expression, or a list of one to three. */
static void dims_of(struct kb_contract *r, const cJSON *node, const char *out[3]) {
    if (!cJSON_IsArray(node)) {
        out[0] = kb_contract_expr(r, node);
    } else if (kb_contract_is_list(r, node, 1, 3)) {
        for (int i = 0; i < cJSON_GetArraySize(node); i++)
            out[i] = kb_contract_expr(r, cJSON_GetArrayItem(node, i));
    }
}

static void args_of(struct kb_contract *r, const cJSON *node, struct kb_launch_text *out) {
    const cJSON *arg;
    if (!kb_contract_is_list(r, node, 0, KB_MAX_ARGS))
        return;
    cJSON_ArrayForEach(arg, node) {
        if (cJSON_IsString(arg)) {
            kb_check_arg(r, arg, arg->valuestring);
            out->args[out->n_args++] = kb_arena_strdup(r->arena, arg->valuestring);
        } else if (cJSON_IsObject(arg)) {
            struct kb_buf json = {0};
            kb_check_tma(r, arg);
            kb_json_print(arg, &json);
            out->args[out->n_args++] =
                kb_arena_printf(r->arena, KB_TMA_PREFIX "%s", kb_buf_text(&json));
            kb_buf_free(&json);
        } else {
            kb_contract_complain(r, arg,
                                 "must be a tensor, a typed scalar or a TMA descriptor");
        }
    }
}

static const char *const launch_keys[] = {"entry",       "grid", "block",   "args", "smem",
                                          "cooperative", "pdl",  "cluster", "why"};

/* What the file may give to all launches. */
enum field { GRID, BLOCK, CLUSTER, SMEM, COOPERATIVE, PDL, ARGS, FIELDS };
static const char *const fields[FIELDS] = {
    [GRID] = "grid",
    [BLOCK] = "block",
    [CLUSTER] = "cluster",
    [SMEM] = "smem",
    [COOPERATIVE] = "cooperative",
    [PDL] = "pdl",
    [ARGS] = "args",
};

static void field_of(struct kb_contract *r, enum field field, const cJSON *node,
                     struct kb_launch_text *out) {
    switch (field) {
    case GRID:
        dims_of(r, node, out->grid);
        break;
    case BLOCK:
        dims_of(r, node, out->block);
        break;
    case CLUSTER:
        dims_of(r, node, out->cluster);
        break;
    case SMEM:
        out->smem = kb_contract_expr(r, node);
        break;
    case COOPERATIVE:
        out->cooperative = kb_contract_bool(r, node);
        break;
    case PDL:
        out->pdl = kb_contract_bool(r, node);
        break;
    default:
        args_of(r, node, out);
    }
}

/* A launch's own fields, or the file's. */
static void launch_of(struct kb_contract *r, const cJSON *object,
                      struct kb_launch_text *out) {
    const cJSON *entry = kb_contract_need(r, object, "entry");
    out->entry = kb_contract_text(r, entry);
    if (out->entry)
        kb_check_entry(r, entry, out->entry);
    for (enum field f = GRID; f < FIELDS; f++) {
        const cJSON *own = kb_json_get(object, fields[f]);
        const cJSON *shared = own ? NULL : kb_json_get(r->doc.root, fields[f]);
        if (!own && !shared && (f == GRID || f == BLOCK || f == ARGS))
            kb_contract_need(r, object, fields[f]);
        int before = begin_shared(r, shared != NULL);
        field_of(r, f, own ? own : shared, out);
        end_shared(r, before);
    }
}

static void chain_of(struct kb_contract *r, const cJSON *object, const cJSON *node) {
    struct kb_variant *v = r->variant;
    const cJSON *launch;
    for (size_t i = 0; i < KB_COUNT(launch_keys); i++) {
        const cJSON *outside = kb_json_get(object, launch_keys[i]);
        if (outside && !kb_streq(launch_keys[i], "why"))
            kb_contract_complain_key(r, outside, "belongs into each of \"launches\"");
    }
    if (!kb_contract_is_list(r, node, 1, KB_MAX_LAUNCHES))
        return;
    v->launches =
        kb_arena_array(r->arena, (size_t)cJSON_GetArraySize(node), sizeof *v->launches);
    cJSON_ArrayForEach(launch, node) {
        if (!kb_contract_is_object(r, launch, "an object, a launch"))
            continue;
        kb_json_check_keys(&r->doc, launch, launch_keys, KB_COUNT(launch_keys), r->c);
        launch_of(r, launch, &v->launches[v->n_launches++]);
    }
}

/* ---- what a variant has once -----------------------------------------------------------
 */

static void lets_of(struct kb_contract *r, const cJSON *object) {
    struct kb_variant *v = r->variant;
    const cJSON *item;
    if (!kb_contract_is_object(r, object, "an object of names and expressions"))
        return;
    cJSON_ArrayForEach(item, object) {
        if (v->n_lets == KB_MAX_LETS) {
            kb_contract_complain(r, object, "more than %d names", KB_MAX_LETS);
            return;
        }
        char *text = kb_expr_text(item, r->arena);
        kb_check_new_name(r, item, item->string);
        if (!text) {
            kb_contract_complain(r, item, "must be an expression (text) or a whole number");
            text = kb_arena_strdup(r->arena, "0"); /* so that its users are no errors too */
        }
        bool is_float = kb_check_let(r, item, text);
        v->let_names[v->n_lets] = kb_arena_strdup(r->arena, item->string);
        v->let_texts[v->n_lets] = text;
        r->lets[r->n_lets++] = (struct kb_expr_let){
            .name = v->let_names[v->n_lets++],
            .value.is_float = is_float,
        };
    }
}

/* Those of the file come after a variant's own and may use them. */
static void shared_lets_of(struct kb_contract *r) {
    int before = begin_shared(r, true);
    lets_of(r, kb_json_get(r->doc.root, "let"));
    end_shared(r, before);
}

static enum kb_scratch_start start_of(struct kb_contract *r, const cJSON *node) {
    static const char *const words[] = {"zero", "poison", "keep"};
    for (size_t i = 0; i < KB_COUNT(words); i++)
        if (cJSON_IsString(node) && kb_streq(node->valuestring, words[i]))
            return (enum kb_scratch_start)i;
    if (node)
        kb_contract_complain(r, node, "must be \"zero\", \"poison\" or \"keep\"");
    return KB_SCRATCH_POISON;
}

static void scratch_of(struct kb_contract *r, const cJSON *object) {
    static const char *const keys[] = {"bytes", "start"};
    struct kb_variant *v = r->variant;
    const cJSON *item;
    if (!kb_contract_is_object(r, object, "an object of names and buffers"))
        return;
    cJSON_ArrayForEach(item, object) {
        if (v->n_scratch == KB_MAX_SCRATCH) {
            kb_contract_complain(r, object, "more than %d buffers", KB_MAX_SCRATCH);
            return;
        }
        kb_check_new_name(r, item, item->string);
        struct kb_scratch_text *scratch = &v->scratch[v->n_scratch++];
        scratch->name = kb_arena_strdup(r->arena, item->string);
        if (!kb_contract_is_object(r, item, "an object with \"bytes\""))
            continue;
        kb_json_check_keys(&r->doc, item, keys, KB_COUNT(keys), r->c);
        scratch->bytes = kb_contract_expr(r, kb_contract_need(r, item, "bytes"));
        scratch->start = start_of(r, kb_json_get(item, "start"));
    }
}

static bool some_op_has(const struct kb_contract *r, enum kb_dtype dtype) {
    for (int i = 0; i < r->n_samples; i++)
        if (kb_op_has_dtype(r->samples[i].c.op, dtype))
            return true;
    return !r->n_samples;
}

static void dtypes_of(struct kb_contract *r, const cJSON *node, struct kb_strings *out) {
    const cJSON *item;
    if (!kb_contract_is_list(r, node, 1, KB_DTYPE_COUNT))
        return;
    cJSON_ArrayForEach(item, node) {
        enum kb_dtype dtype;
        if (!cJSON_IsString(item) || !kb_dtype_parse(item->valuestring, &dtype))
            kb_contract_complain(r, item,
                                 "unknown dtype, there are bf16 fp16 fp32 e4m3 i32 u8");
        else if (!some_op_has(r, dtype))
            kb_contract_complain(r, item, "%s has no dtype %s", r->samples[0].c.op->name,
                                 kb_dtype_name(dtype));
        else
            kb_strings_add(out, r->arena, kb_dtype_name(dtype));
    }
}

static void backends_of(struct kb_contract *r, const cJSON *node, struct kb_strings *out) {
    const cJSON *item;
    if (!kb_contract_is_list(r, node, 1, 2))
        return;
    cJSON_ArrayForEach(item, node) {
        const char *word = cJSON_IsString(item) ? item->valuestring : "";
        if (!kb_streq(word, "cuda") && !kb_streq(word, "host"))
            kb_contract_complain(r, item, "must be \"cuda\" or \"host\"");
        else
            kb_strings_add(out, r->arena, kb_arena_strdup(r->arena, word));
    }
}

static const char *arch_of(struct kb_contract *r, const cJSON *node) {
    char *arch = kb_contract_text(r, node);
    size_t digits = arch ? strspn(arch, "0123456789") : 0;
    const char *rest = arch ? arch + digits : "";
    if (arch &&
        (digits < 2 || digits > 3 || (*rest && strcmp(rest, "a") && strcmp(rest, "f"))))
        kb_contract_complain(r, node,
                             "must be an architecture like \"90\", \"90a\" or \"100f\"");
    return arch;
}

static int64_t align_of(struct kb_contract *r, const cJSON *node) {
    int64_t align = 0;
    if (node && (!kb_json_i64(node, &align) || align < 1 || align > KB_SLAB_ALIGN ||
                 (align & (align - 1))))
        kb_contract_complain(r, node, "must be a power of two from 1 to %d", KB_SLAB_ALIGN);
    return align;
}

/* "NAME=VALUE", over one of the same name that is there already. */
static void define(struct kb_contract *r, struct kb_strings *out, const char *name,
                   const char *value) {
    char *text = kb_arena_printf(r->arena, "%s=%s", name, value);
    size_t len = strlen(name) + 1;
    for (size_t i = 0; i < out->count; i++)
        if (!strncmp(out->items[i], text, len)) {
            out->items[i] = text;
            return;
        }
    kb_strings_add(out, r->arena, text);
}

static void defines_of(struct kb_contract *r, const cJSON *object, struct kb_strings *out) {
    const cJSON *item;
    if (!kb_contract_is_object(r, object, "an object of macro names and values"))
        return;
    cJSON_ArrayForEach(item, object) {
        char *value = kb_expr_text(item, r->arena);
        /* They pass through compiler drivers that know quotes and variables. */
        if (!kb_is_identifier(item->string))
            kb_contract_complain_key(r, item, "is no macro name");
        else if (!value)
            kb_contract_complain(r, item, "must be text or a whole number");
        else if (strpbrk(value, "\\\"'`$\n\r\t"))
            kb_contract_complain(r, item, "no quotes, $ or \\ in a macro");
        else
            define(r, out, item->string, value);
    }
}

/* ---- variants --------------------------------------------------------------------------
 */

static const char *const variant_keys[] = {
    "why",   "when",    "let",      "entry",   "grid",    "block",
    "args",  "smem",    "dtypes",   "cluster", "arch",    "cooperative",
    "align", "defines", "backends", "pdl",     "scratch", "launches"};

static bool is_variant_name(const char *name) {
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
    return *name && *name != '-' && strlen(name) <= 32 && !name[strspn(name, letters)] &&
           !kb_streq(name, "all");
}

static void variant_of(struct kb_contract *r, const cJSON *object) {
    struct kb_variant *v = r->variant;
    const cJSON *dtypes = kb_json_get(object, "dtypes");
    const cJSON *launches = kb_json_get(object, "launches");
    v->name = kb_arena_strdup(r->arena, object->string);
    if (!is_variant_name(v->name))
        kb_contract_complain_key(
            r, object, "no name for a variant: up to 32 letters, digits, _ and -");
    if (!kb_contract_is_object(r, object, "an object, a variant"))
        return;
    kb_json_check_keys(&r->doc, object, variant_keys, KB_COUNT(variant_keys), r->c);
    v->why = kb_contract_text(r, kb_json_get(object, "why"));
    v->dtypes = dtypes ? v->dtypes : r->dtypes;
    dtypes_of(r, dtypes, &v->dtypes);
    backends_of(r, kb_json_get(object, "backends"), &v->backends);
    for (size_t i = 0; i < r->defines.count; i++)
        kb_strings_add(&v->defines, r->arena, r->defines.items[i]);
    defines_of(r, kb_json_get(object, "defines"), &v->defines);
    kb_check_defines(r, object);
    v->arch = arch_of(r, kb_json_get(object, "arch"));
    v->align = align_of(r, kb_json_get(object, "align"));
    lets_of(r, kb_json_get(object, "let"));
    shared_lets_of(r);
    v->when = kb_contract_expr(r, kb_json_get(object, "when"));
    scratch_of(r, kb_json_get(object, "scratch"));
    if (launches) {
        chain_of(r, object, launches);
    } else {
        v->launches = kb_arena_alloc(r->arena, sizeof *v->launches);
        launch_of(r, object, &v->launches[v->n_launches++]);
    }
    kb_check_outputs(r, object);
}

static void variants_of(struct kb_contract *r, const cJSON *file) {
    const cJSON *variants = kb_contract_need(r, file, "variants"), *object;
    if (!kb_contract_is_object(r, variants, "an object of names and variants"))
        return;
    int n = cJSON_GetArraySize(variants);
    if (!n || n > KB_MAX_VARIANTS)
        kb_contract_complain(r, variants, "must have 1 to %d variants, got %d",
                             KB_MAX_VARIANTS, n);
    n = n < KB_MAX_VARIANTS ? n : KB_MAX_VARIANTS;
    r->kernel->variants = kb_arena_array(r->arena, (size_t)n, sizeof *r->variant);
    cJSON_ArrayForEach(object, variants) {
        if (r->kernel->n_variants == n)
            break;
        r->variant = &r->kernel->variants[r->kernel->n_variants++];
        r->n_lets = 0;
        variant_of(r, object);
        r->shared_wrong = r->shared_wrong || r->wrong_here;
    }
}

static void op_of(struct kb_contract *r, const cJSON *item) {
    struct kb_arena arena = {0};
    struct kb_strings known = {0};
    const char *name = cJSON_IsString(item) ? item->valuestring : NULL;
    const struct kb_op *op = name ? kb_op_find(name) : NULL;
    for (int i = 0; i < kb_op_count; i++)
        kb_strings_add(&known, &arena, kb_ops[i]->name);
    const char *near = name && !op ? kb_suggest(name, known.items, known.count) : NULL;
    if (!name)
        kb_contract_complain(r, item, "must be the name of an op");
    else if (!op && near)
        kb_contract_complain(r, item, "unknown op \"%s\", did you mean \"%s\"?", name,
                             near);
    else if (!op)
        kb_contract_complain(r, item, "unknown op \"%s\"", name);
    else if (kb_strings_has(&r->kernel->ops, op->name))
        kb_contract_complain(r, item, "is there twice");
    else {
        kb_strings_add(&r->kernel->ops, r->arena, op->name);
        kb_sample_make(&r->samples[r->n_samples++], op);
    }
    kb_arena_free(&arena);
}

void kb_contract_read(struct kb_contract *r) {
    static const char *const keys[] = {
        "ops",  "why",  "dtypes",  "defines", "let",         "grid",    "block",
        "args", "smem", "cluster", "pdl",     "cooperative", "variants"};
    const cJSON *file = r->doc.root, *item;
    if (!kb_contract_is_object(r, file, "an object"))
        return;
    const cJSON *ops = kb_contract_need(r, file, "ops");
    kb_json_check_keys(&r->doc, file, keys, KB_COUNT(keys), r->c);
    kb_contract_text(r, kb_json_get(file, "why"));
    if (kb_contract_is_list(r, ops, 1, kb_op_count)) {
        int n = cJSON_GetArraySize(ops);
        r->samples = kb_arena_array(r->arena, (size_t)n, sizeof *r->samples);
        cJSON_ArrayForEach(item, ops) op_of(r, item);
    }
    dtypes_of(r, kb_json_get(file, "dtypes"), &r->dtypes);
    defines_of(r, kb_json_get(file, "defines"), &r->defines);
    variants_of(r, file);
}
