/* ceilings_kept.c - what a selftest found a device to give, in the JIT cache: by GPU,
 * driver and clocks, since each of them changes it. */
#include "selftest.h"

#include <math.h>
#include <string.h>

enum { DIGITS = 6 };
static const char schema[] = "kbench-ceilings/2";

static bool key_of(const struct kb_device_info *device, struct kb_hash *key) {
    if (!*device->uuid || !*device->driver)
        return false;
    struct kb_hasher *hasher = kb_hasher_make();
    kb_hasher_text(hasher, schema);
    kb_hasher_text(hasher, device->uuid);
    kb_hasher_text(hasher, device->driver);
    kb_hasher_text(hasher, device->clocks_locked ? "locked" : "not locked");
    *key = kb_hasher_end(hasher);
    return true;
}

bool kb_ceilings_keep(const struct kb_device_info *device, const struct kb_ceilings *c,
                      struct kb_buf *note) {
    struct kb_hash key;
    struct kb_buf text = {0};

    if (!key_of(device, &key)) {
        kb_buf_puts(note, "neither GPU nor driver has a name");
        return false;
    }
    cJSON *object = kb_json_object(), *stream = kb_json_object(), *mma = kb_json_object();
    kb_json_add_text(object, "schema", schema);
    kb_json_add_text(object, "date", c->date);
    for (int p = 0; p < KB_ST_PATTERNS; p++)
        kb_json_add_f64(stream, kb_selftest_patterns[p], c->gb_per_s[p], DIGITS);
    kb_json_add(object, "stream_gb_per_s", stream);
    for (int d = 0; d < KB_ST_DTYPES; d++)
        kb_json_add_f64(mma, kb_selftest_dtypes[d], c->mma_tflop_per_s[d], DIGITS);
    kb_json_add(object, "mma_tflop_per_s", mma);
    kb_json_print(object, &text);
    cJSON_Delete(object);
    struct kb_cache *cache = kb_cache_open(note);
    bool ok = cache && kb_cache_put(cache, &key, text.data, text.len, note);
    kb_cache_close(cache);
    kb_buf_free(&text);
    return ok;
}

static double rate_of(const cJSON *object, const char *name) {
    const cJSON *item = kb_json_get(object, name);

    return cJSON_IsNumber(item) && item->valuedouble > 0 ? item->valuedouble : (double)NAN;
}

/* "2026-11-26": it is shown as it stands. */
static bool is_date(const char *text) {
    size_t len = strspn(text, "0123456789-");

    return len == strlen("2026-11-26") && !text[len];
}

static bool read(const struct kb_buf *text, struct kb_ceilings *out) {
    struct kb_json doc = {0};
    struct kb_err err = {0};

    if (!kb_json_parse(&doc, "ceilings", kb_buf_text(text), text->len, &err))
        return false;
    const char *date = cJSON_GetStringValue(kb_json_get(doc.root, "date"));
    const char *is = cJSON_GetStringValue(kb_json_get(doc.root, "schema"));
    const cJSON *stream = kb_json_get(doc.root, "stream_gb_per_s");
    const cJSON *mma = kb_json_get(doc.root, "mma_tflop_per_s");
    *out = (struct kb_ceilings){0};
    for (int p = 0; p < KB_ST_PATTERNS; p++)
        out->gb_per_s[p] = rate_of(stream, kb_selftest_patterns[p]);
    for (int d = 0; d < KB_ST_DTYPES; d++)
        out->mma_tflop_per_s[d] = rate_of(mma, kb_selftest_dtypes[d]);
    bool ok =
        is && kb_streq(is, schema) && date && is_date(date) && isfinite(out->gb_per_s[0]);
    kb_text_copy(out->date, sizeof out->date, ok ? date : "");
    kb_json_free(&doc);
    return ok;
}

bool kb_ceilings_find(const struct kb_device_info *device, struct kb_ceilings *out) {
    struct kb_buf text = {0}, note = {0};
    struct kb_hash key;
    bool ok = false;

    if (!key_of(device, &key))
        return false;
    struct kb_cache *cache = kb_cache_open(&note);
    ok = cache && kb_cache_get(cache, &key, &text) && read(&text, out);
    kb_cache_close(cache);
    kb_buf_free(&text);
    kb_buf_free(&note);
    return ok;
}
