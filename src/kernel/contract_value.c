/* contract_value.c - single values of a contract's JSON, and complaints at their places. */
#include "kernel/contract.h"

static void complain(struct kb_contract *r, const cJSON *node, bool of_key, const char *fmt,
                     va_list args) {
    struct kb_buf what = {0};
    if (r->quiet)
        return;
    kb_buf_vprintf(&what, fmt, args);
    if (r->in_shared)
        kb_buf_printf(&what, " (for %s)", r->variant->name);
    kb_json_complain(&r->doc, node, of_key, r->c, "%s", kb_buf_text(&what));
    kb_buf_free(&what);
}

void kb_contract_complain(struct kb_contract *r, const cJSON *node, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    complain(r, node, false, fmt, args);
    va_end(args);
}

void kb_contract_complain_key(struct kb_contract *r, const cJSON *node, const char *fmt,
                              ...) {
    va_list args;
    va_start(args, fmt);
    complain(r, node, true, fmt, args);
    va_end(args);
}

const cJSON *kb_contract_need(struct kb_contract *r, const cJSON *object, const char *key) {
    const cJSON *node = kb_json_get(object, key);
    if (!node)
        kb_contract_complain(r, object, "\"%s\" is missing", key);
    return node;
}

char *kb_contract_text(struct kb_contract *r, const cJSON *node) {
    if (cJSON_IsString(node))
        return kb_arena_strdup(r->arena, node->valuestring);
    if (node)
        kb_contract_complain(r, node, "must be text");
    return NULL;
}

bool kb_contract_bool(struct kb_contract *r, const cJSON *node) {
    if (node && !cJSON_IsBool(node))
        kb_contract_complain(r, node, "must be true or false");
    return cJSON_IsTrue(node);
}

char *kb_contract_expr(struct kb_contract *r, const cJSON *node) {
    char *text = kb_expr_text(node, r->arena);
    if (text)
        kb_check_expr(r, node, text, true);
    else if (node)
        kb_contract_complain(r, node, "must be an expression (text) or a whole number");
    return text;
}

bool kb_contract_is_object(struct kb_contract *r, const cJSON *node, const char *what) {
    if (node && !cJSON_IsObject(node))
        kb_contract_complain(r, node, "must be %s", what);
    return cJSON_IsObject(node);
}

bool kb_contract_is_list(struct kb_contract *r, const cJSON *node, int least, int most) {
    if (!node)
        return false;
    int n = cJSON_IsArray(node) ? cJSON_GetArraySize(node) : -1;
    if (n >= least && n <= most)
        return true;
    if (n < 0)
        kb_contract_complain(r, node, "must be a list");
    else
        kb_contract_complain(r, node, "must have %d to %d items, got %d", least, most, n);
    return false;
}
