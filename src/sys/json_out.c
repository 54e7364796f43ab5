/* json_out.c - JSON that is written: items whose every addition succeeded, and their text.
 *
 * cJSON's own printer writes 9007199254740991 as 9.00719925474099e+15, loses the last
 * digits of other doubles and passes invalid UTF-8 on. Ours prints trees that were built
 * here and trees that were read alike, so that a merged report keeps its numbers. */
#include "sys.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static cJSON *checked(cJSON *item) {
    if (!item)
        kb_out_of_memory();
    return item;
}

cJSON *kb_json_object(void) {
    return checked(cJSON_CreateObject());
}

cJSON *kb_json_array(void) {
    return checked(cJSON_CreateArray());
}

void kb_json_add(cJSON *object, const char *name, cJSON *item) {
    assert(cJSON_IsObject(object) && item);
    bool there = cJSON_GetObjectItemCaseSensitive(object, name) != NULL;
    bool ok = there ? cJSON_ReplaceItemInObjectCaseSensitive(object, name, item)
                    : cJSON_AddItemToObject(object, name, item);
    if (!ok)
        kb_out_of_memory();
}

void kb_json_push(cJSON *array, cJSON *item) {
    assert(cJSON_IsArray(array) && item);
    if (!cJSON_AddItemToArray(array, item))
        kb_out_of_memory();
}

cJSON *kb_json_text_item(const char *text) {
    return checked(text ? cJSON_CreateString(text) : cJSON_CreateNull());
}

cJSON *kb_json_i64_item(int64_t value) {
    char text[32];
    if (value >= -(INT64_C(1) << 53) && value <= INT64_C(1) << 53)
        return checked(cJSON_CreateNumber((double)value));
    snprintf(text, sizeof text, "%lld", (long long)value);
    return kb_json_text_item(text);
}

cJSON *kb_json_f64_item(double value, int digits) {
    char text[40];
    assert(digits >= 1 && digits <= 17);
    if (!isfinite(value))
        return checked(cJSON_CreateNull());
    snprintf(text, sizeof text, "%.*g", digits, value);
    double rounded = strtod(text, NULL); /* past DBL_MAX when the last digit rounded up */
    return checked(cJSON_CreateNumber(isfinite(rounded) ? rounded : value));
}

void kb_json_add_text(cJSON *object, const char *name, const char *text) {
    kb_json_add(object, name, kb_json_text_item(text));
}

void kb_json_add_i64(cJSON *object, const char *name, int64_t value) {
    kb_json_add(object, name, kb_json_i64_item(value));
}

void kb_json_add_f64(cJSON *object, const char *name, double value, int digits) {
    kb_json_add(object, name, kb_json_f64_item(value, digits));
}

void kb_json_add_bool(cJSON *object, const char *name, bool value) {
    kb_json_add(object, name, checked(cJSON_CreateBool(value)));
}

/* ---- text -------------------------------------------------------------------------- */

static void put_code(struct kb_buf *out, uint32_t code) {
    static const char plain[] = "\b\t\n\f\r", letters[] = "btnfr";
    const char *short_form = code && code < 0x20 ? strchr(plain, (int)code) : NULL;
    if (short_form)
        kb_buf_printf(out, "\\%c", letters[short_form - plain]);
    else
        kb_buf_printf(out, "\\u%04x", code); /* none that is unsafe lies past ffff */
}

/* Valid UTF-8 whatever comes in; what could fool a terminal is written as \uXXXX. */
static void put_text(struct kb_buf *out, const char *text) {
    size_t len = strlen(text), done = 0, i = 0;
    kb_buf_putc(out, '"');
    while (i < len) {
        uint32_t code = 0;
        int n = kb_utf8_next(text + i, len - i, &code);
        if (n && code != '"' && code != '\\' && !kb_code_is_unsafe(code)) {
            i += (size_t)n;
            continue;
        }
        kb_buf_add(out, text + done, i - done);
        if (!n)
            kb_buf_printf(out, "\\\\x%02x", (unsigned char)text[i]);
        else if (code == '"' || code == '\\')
            kb_buf_printf(out, "\\%c", (char)code);
        else
            put_code(out, code);
        i += n ? (size_t)n : 1;
        done = i;
    }
    kb_buf_add(out, text + done, len - done);
    kb_buf_putc(out, '"');
}

/* Shortest text that reads back as the same double; whole numbers up to 2^53 in full. */
static void put_number(struct kb_buf *out, double value) {
    char text[40];
    if (!isfinite(value)) {
        kb_buf_puts(out, "null");
        return;
    }
    if (value == trunc(value) && fabs(value) <= 0x1p53) {
        kb_buf_printf(out, "%.0f", value);
        return;
    }
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
    kb_buf_puts(out, text);
}

static void put_list(struct kb_buf *out, const cJSON *list, bool keys) {
    const cJSON *item;
    kb_buf_putc(out, keys ? '{' : '[');
    cJSON_ArrayForEach(item, list) {
        if (item != list->child)
            kb_buf_putc(out, ',');
        if (keys) {
            put_text(out, item->string);
            kb_buf_putc(out, ':');
        }
        kb_json_print(item, out);
    }
    kb_buf_putc(out, keys ? '}' : ']');
}

void kb_json_print(const cJSON *item, struct kb_buf *out) {
    if (cJSON_IsString(item))
        put_text(out, item->valuestring);
    else if (cJSON_IsNumber(item))
        put_number(out, item->valuedouble);
    else if (cJSON_IsBool(item))
        kb_buf_puts(out, cJSON_IsTrue(item) ? "true" : "false");
    else if (cJSON_IsArray(item) || cJSON_IsObject(item))
        put_list(out, item, cJSON_IsObject(item));
    else
        kb_buf_puts(out, "null");
}
