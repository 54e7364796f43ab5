/* fields.c - fields of the JSON objects that we write ourselves. */
#include "fields.h"

void kb_field_wrong(struct kb_fields *f, const char *name) {
    if (!f->wrong)
        f->wrong = name;
}

const char *kb_field_maybe(struct kb_fields *f, const cJSON *object, const char *name) {
    const cJSON *item = kb_json_get(object, name);

    if (cJSON_IsString(item))
        return kb_arena_strdup(f->arena, item->valuestring);
    if (item && !cJSON_IsNull(item))
        kb_field_wrong(f, name);
    return NULL;
}

const char *kb_field_text(struct kb_fields *f, const cJSON *object, const char *name) {
    const char *text = kb_field_maybe(f, object, name);

    if (!text)
        kb_field_wrong(f, name);
    return text ? text : "";
}

static bool whole_of(const cJSON *item, int64_t *out) {
    if (cJSON_IsString(item))
        return kb_parse_i64(item->valuestring, out);
    return kb_json_i64(item, out);
}

int64_t kb_field_whole(struct kb_fields *f, const cJSON *object, const char *name,
                       int64_t min, int64_t max) {
    int64_t value;

    if (whole_of(kb_json_get(object, name), &value) && value >= min && value <= max)
        return value;
    kb_field_wrong(f, name);
    return min;
}

int64_t kb_field_whole_or(struct kb_fields *f, const cJSON *object, const char *name,
                          int64_t min, int64_t max, int64_t otherwise) {
    return kb_json_get(object, name) ? kb_field_whole(f, object, name, min, max)
                                     : otherwise;
}

double kb_field_number(struct kb_fields *f, const cJSON *object, const char *name,
                       double otherwise) {
    const cJSON *item = kb_json_get(object, name);

    if (cJSON_IsNumber(item))
        return item->valuedouble;
    if (item && !cJSON_IsNull(item))
        kb_field_wrong(f, name);
    return otherwise;
}

bool kb_field_bool(struct kb_fields *f, const cJSON *object, const char *name) {
    const cJSON *item = kb_json_get(object, name);

    if (!cJSON_IsBool(item))
        kb_field_wrong(f, name);
    return cJSON_IsTrue(item);
}

const cJSON *kb_field_object(struct kb_fields *f, const cJSON *object, const char *name) {
    const cJSON *item = kb_json_get(object, name);

    if (cJSON_IsObject(item))
        return item;
    kb_field_wrong(f, name);
    return NULL;
}

const cJSON *kb_field_array(struct kb_fields *f, const cJSON *object, const char *name) {
    const cJSON *item = kb_json_get(object, name);

    if (cJSON_IsArray(item))
        return item;
    kb_field_wrong(f, name);
    return NULL;
}

int kb_field_word(struct kb_fields *f, const cJSON *object, const char *name,
                  const char *const *words, int n_words) {
    const char *text = kb_field_text(f, object, name);

    for (int i = 0; i < n_words; i++) {
        if (kb_streq(words[i], text))
            return i;
    }
    kb_field_wrong(f, name);
    return 0;
}
