/* args.c - arguments of a launch: typed scalars and TMA descriptors, from text to bytes. */
#include "kernel/args.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* ---- scalars ---------------------------------------------------------------------------
 */

static const struct {
    const char *name;
    size_t bytes;
    bool is_float;
} scalars[KB_SCALAR_COUNT] = {
    [KB_SCALAR_I32] = {"i32", 4, false}, [KB_SCALAR_I64] = {"i64", 8, false},
    [KB_SCALAR_U32] = {"u32", 4, false}, [KB_SCALAR_U64] = {"u64", 8, false},
    [KB_SCALAR_F32] = {"f32", 4, true},  [KB_SCALAR_F64] = {"f64", 8, true},
};

bool kb_scalar_is_float(enum kb_scalar type) {
    return scalars[type].is_float;
}

bool kb_scalar_split(const char *arg, enum kb_scalar *type, const char **expression) {
    for (size_t i = 0; i < KB_COUNT(scalars); i++) {
        size_t len = strlen(scalars[i].name);
        if (!kb_starts_with(arg, scalars[i].name) || arg[len] != ' ')
            continue;
        *type = (enum kb_scalar)i;
        *expression = arg + len + 1;
        return true;
    }
    return false;
}

/* Does the type hold the value? Then it is in arg->value. */
static bool store_float(enum kb_scalar type, double value, struct kb_arg *arg) {
    if (type == KB_SCALAR_F64) {
        memcpy(arg->value, &value, sizeof value);
        return true;
    }
    bool fits = fabs(value) <= (double)FLT_MAX;
    float narrow = fits ? (float)value : 0;
    memcpy(arg->value, &narrow, sizeof narrow);
    return fits;
}

static bool store_int(enum kb_scalar type, int64_t value, struct kb_arg *arg) {
    memcpy(arg->value, &value, scalars[type].bytes); /* little endian, as all hosts here */
    switch (type) {
    case KB_SCALAR_I32:
        return value >= INT32_MIN && value <= INT32_MAX;
    case KB_SCALAR_U32:
        return value >= 0 && value <= UINT32_MAX;
    case KB_SCALAR_U64:
        return value >= 0;
    default:
        return true;
    }
}

bool kb_scalar_plan(enum kb_scalar type, const char *expression,
                    const struct kb_expr_env *env, struct kb_arg *out, struct kb_err *err) {
    struct kb_expr_value v = {0};
    const char *name = scalars[type].name;
    *out = (struct kb_arg){.kind = KB_ARG_SCALAR, .bytes = scalars[type].bytes};
    if (!kb_expr_eval(expression, env, &v, err))
        return kb_at(err, "%s", name);
    if (scalars[type].is_float) {
        double value = v.is_float ? v.f : (double)v.i;
        return store_float(type, value, out) ||
               kb_fail(err, KB_INPUT, "%s %s: %.17g does not fit", name, expression, value);
    }
    if (v.is_float)
        return kb_fail(err, KB_INPUT, "%s %s: %.17g is a float", name, expression, v.f);
    return store_int(type, v.i, out) || kb_fail(err, KB_INPUT, "%s %s: %lld does not fit",
                                                name, expression, (long long)v.i);
}

/* ---- TMA descriptors -------------------------------------------------------------------
 */

char *kb_expr_text(const cJSON *node, struct kb_arena *arena) {
    int64_t whole;
    if (cJSON_IsString(node))
        return kb_arena_strdup(arena, node->valuestring);
    if (kb_json_i64(node, &whole))
        return kb_arena_printf(arena, "%lld", (long long)whole);
    return NULL;
}

/* One of the allowed numbers; the first where the key is absent. */
static bool read_choice(const cJSON *object, const char *key, const int *allowed, size_t n,
                        int *out, const cJSON **at, struct kb_err *what) {
    const cJSON *node = kb_json_get(object, key);
    struct kb_buf list = {0};
    int64_t value = allowed[0];
    bool ok = !node || kb_json_i64(node, &value);
    for (size_t i = 0; i < n; i++) {
        kb_buf_printf(&list, "%s%d", i ? ", " : "", allowed[i]);
        if (ok && value == allowed[i]) {
            *out = allowed[i];
            kb_buf_free(&list);
            return true;
        }
    }
    *at = node;
    kb_fail(what, KB_INPUT, "must be one of %s", kb_buf_text(&list));
    kb_buf_free(&list);
    return false;
}

/* `count` expressions from the list of that key; 0 takes any number from 1 to 5. */
static bool read_exprs(const cJSON *object, const char *key, int count, char **out,
                       struct kb_arena *arena, const cJSON **at, struct kb_err *what) {
    const cJSON *list = kb_json_get(object, key), *item;
    int n = cJSON_IsArray(list) ? cJSON_GetArraySize(list) : -1, i = 0;
    *at = list ? list : object;
    if (!list)
        return kb_fail(what, KB_INPUT, "\"%s\" is missing", key);
    if (n < 0 || (count ? n != count : n < 1 || n > KB_TMA_RANK))
        return count ? kb_fail(what, KB_INPUT, "must be a list of %d expressions", count)
                     : kb_fail(what, KB_INPUT, "must be a list of 1 to %d expressions",
                               KB_TMA_RANK);
    cJSON_ArrayForEach(item, list) {
        *at = item;
        out[i] = kb_expr_text(item, arena);
        if (!out[i++])
            return kb_fail(what, KB_INPUT,
                           "must be an expression (text) or a whole number");
    }
    return true;
}

static bool read_oob(const cJSON *object, struct kb_tma_text *out, const cJSON **at,
                     struct kb_err *what) {
    const cJSON *node = kb_json_get(object, "oob");
    const char *word = cJSON_IsString(node) ? node->valuestring : node ? "" : "zero";
    out->nan_fill = kb_streq(word, "nan");
    *at = node;
    return out->nan_fill || kb_streq(word, "zero") ||
           kb_fail(what, KB_INPUT, "must be \"zero\" or \"nan\"");
}

bool kb_tma_read(const cJSON *node, struct kb_arena *arena, struct kb_tma_text *out,
                 const cJSON **at, struct kb_err *what) {
    static const int swizzles[] = {0, 32, 64, 128}, l2[] = {0, 64, 128, 256};
    const cJSON *tensor = kb_json_get(node, "tma");
    *out = (struct kb_tma_text){0};
    *at = tensor ? tensor : node;
    if (!cJSON_IsString(tensor))
        return kb_fail(what, KB_INPUT, "\"tma\" must name a tensor");
    out->tensor = kb_arena_strdup(arena, tensor->valuestring);
    if (!read_exprs(node, "dims", 0, out->dims, arena, at, what))
        return false;
    while (out->rank < KB_TMA_RANK && out->dims[out->rank])
        out->rank++;
    if (kb_json_get(node, "strides") && out->rank > 1 &&
        !read_exprs(node, "strides", out->rank - 1, out->strides + 1, arena, at, what))
        return false;
    return read_exprs(node, "box", out->rank, out->box, arena, at, what) &&
           read_choice(node, "swizzle", swizzles, KB_COUNT(swizzles), &out->swizzle_bytes,
                       at, what) &&
           read_choice(node, "l2", l2, KB_COUNT(l2), &out->l2_bytes, at, what) &&
           read_oob(node, out, at, what);
}

bool kb_tma_reread(const char *arg, struct kb_arena *arena, struct kb_tma_text *out,
                   struct kb_err *err) {
    struct kb_json doc = {0};
    const cJSON *at;
    const char *json = arg + strlen(KB_TMA_PREFIX);
    bool ok = kb_json_parse(&doc, "tma", json, strlen(json), err) &&
              kb_tma_read(doc.root, arena, out, &at, err);
    kb_json_free(&doc);
    return ok;
}

static bool eval_int(const char *text, const struct kb_expr_env *env, const char *what,
                     int64_t least, int64_t most, int64_t *out, struct kb_err *err) {
    struct kb_expr_value v;
    if (!kb_expr_eval(text, env, &v, err))
        return kb_at(err, "%s", what);
    if (v.is_float)
        return kb_fail(err, KB_INPUT, "%s %s: %.17g is a float", what, text, v.f);
    *out = v.i;
    return (v.i >= least && v.i <= most) ||
           kb_fail(err, KB_INPUT, "%s %s is %lld, allowed is %lld to %lld", what, text,
                   (long long)v.i, (long long)least, (long long)most);
}

/* Bytes between neighbours; packed where the contract does not say. */
static bool plan_strides(const struct kb_tma_text *text, const struct kb_expr_env *env,
                         int64_t element, struct kb_tma *out, struct kb_err *err) {
    const int64_t limit = (int64_t)1 << 40; /* cuTensorMapEncodeTiled's */
    out->strides_bytes[0] = element;
    for (int i = 1; i < out->rank; i++) {
        int64_t *stride = &out->strides_bytes[i];
        if (!text->strides[i]) {
            if (!kb_mul_i64(out->strides_bytes[i - 1], out->dims[i - 1], stride) ||
                *stride >= limit)
                return kb_fail(err, KB_INPUT, "packed dims need a stride of 2^40 or more");
        } else if (!eval_int(text->strides[i], env, "strides", 0, limit - 1, stride, err)) {
            return false;
        }
        if (*stride % 16)
            return kb_fail(err, KB_INPUT, "stride %d is %lld bytes, no multiple of 16", i,
                           (long long)*stride);
    }
    return true;
}

static bool check_box(const struct kb_tma *tma, struct kb_err *err) {
    int64_t row = tma->box[0] * tma->strides_bytes[0];
    if (row % 16)
        return kb_fail(err, KB_INPUT, "box[0] is %lld bytes, no multiple of 16",
                       (long long)row);
    if (tma->swizzle_bytes && row > tma->swizzle_bytes)
        return kb_fail(err, KB_INPUT, "box[0] is %lld bytes, swizzle %d takes no more",
                       (long long)row, tma->swizzle_bytes);
    return true;
}

/* The last byte that the dimensions reach is inside the tensor. */
static bool check_span(const struct kb_tma *tma, const struct kb_tensor_spec *spec,
                       struct kb_err *err) {
    int64_t bytes = spec->elements * (int64_t)kb_dtype_bytes(spec->dtype);
    int64_t span = (int64_t)kb_dtype_bytes(spec->dtype);
    for (int i = 0; i < tma->rank; i++) {
        int64_t reach;
        if (!kb_mul_i64(tma->dims[i] - 1, tma->strides_bytes[i], &reach) ||
            __builtin_add_overflow(span, reach, &span) || span > bytes)
            return kb_fail(err, KB_INPUT,
                           "dims and strides reach past the %lld bytes of %s",
                           (long long)bytes, spec->name);
    }
    return true;
}

bool kb_tma_plan(const struct kb_tma_text *text, const struct kb_expr_env *env,
                 struct kb_arg *out, struct kb_err *err) {
    const int64_t dim_limit = (int64_t)1 << 32, box_limit = 256;
    struct kb_tma tma = {
        .rank = text->rank,
        .swizzle_bytes = text->swizzle_bytes,
        .l2_bytes = text->l2_bytes,
        .nan_fill = text->nan_fill,
    };
    int tensor = kb_problem_find(env->problem, text->tensor);
    if (tensor < 0 || env->problem->tensors[tensor].absent)
        return kb_fail(err, KB_INPUT, "there is no %s", text->tensor);
    const struct kb_tensor_spec *spec = &env->problem->tensors[tensor];
    if (tma.nan_fill && !kb_dtype_is_float(spec->dtype))
        return kb_fail(err, KB_INPUT, "oob nan: %s is %s", text->tensor,
                       kb_dtype_name(spec->dtype));
    for (int i = 0; i < tma.rank; i++)
        if (!eval_int(text->dims[i], env, "dims", 1, dim_limit, &tma.dims[i], err) ||
            !eval_int(text->box[i], env, "box", 1, box_limit, &tma.box[i], err))
            return false;
    if (!plan_strides(text, env, (int64_t)kb_dtype_bytes(spec->dtype), &tma, err) ||
        !check_box(&tma, err) || !check_span(&tma, spec, err))
        return false;
    *out = (struct kb_arg){.kind = KB_ARG_TMA, .index = tensor, .tma = tma};
    return true;
}
