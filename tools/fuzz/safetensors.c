/* safetensors.c - safetensors files, read: held against a second reader that says yes or
 * no, with sizes in 128 bits and a map of the bytes that tensors take; what is written of
 * what was read reads back as the same; a byte less or more is refused.
 *
 * An input is a file as it stands, and also the header of one, up to a byte that is 0,
 * whose data are as many bytes as follow. */
#include "fuzz.h"
#include "safetensors.h"

/* ---- the second opinion: yes or no -----------------------------------------------------
 */

static int bytes_of(const char *type) {
    static const char *const names[] = {"BOOL U8 I8 F8_E5M2 F8_E4M3", "I16 U16 F16 BF16",
                                        "I32 U32 F32", "F64 I64 U64"};
    for (int i = 0; i < 4; i++) {
        size_t n = strlen(type);
        for (const char *at = names[i]; n && (at = strstr(at, type)); at++)
            if ((at == names[i] || at[-1] == ' ') && (at[n] == ' ' || !at[n]) &&
                !strchr(type, ' '))
                return 1 << i;
    }
    return 0;
}

static bool whole(const cJSON *item, int64_t *out) {
    double v = item ? item->valuedouble : -1;
    if (!cJSON_IsNumber(item) || v < 0 || v > 0x1p53 || v != (double)(int64_t)v ||
        (v == 0 && __builtin_signbit(v)))
        return false;
    *out = (int64_t)v;
    return true;
}

/* Takes its bytes in `map`, which has one for each of the data. */
static bool judge_tensor(const cJSON *entry, unsigned char *map, uint64_t data_bytes) {
    const cJSON *type = kb_json_get(entry, "dtype"), *shape = kb_json_get(entry, "shape"),
                *ends = kb_json_get(entry, "data_offsets");
    int64_t size, from, to;
    int axes = 0;
    if (!*entry->string || cJSON_GetArraySize(entry) != 3 || !cJSON_IsString(type) ||
        !cJSON_IsArray(shape) || !cJSON_IsArray(ends) || cJSON_GetArraySize(ends) != 2)
        return false;
    bool empty = false;
    __uint128_t bytes = (unsigned)bytes_of(type->valuestring), top = (__uint128_t)1 << 64;
    if (!bytes)
        return false;
    for (const cJSON *item = shape->child; item; item = item->next, axes++) {
        if (axes == 8 || !whole(item, &size))
            return false;
        empty |= !size;
        if (size && bytes < top)
            bytes *= (uint64_t)size;
    }
    if (!whole(ends->child, &from) || !whole(ends->child->next, &to) || from > to ||
        (uint64_t)to > data_bytes || (uint64_t)(to - from) != (empty ? 0 : bytes))
        return false;
    for (int64_t i = from; i < to; i++)
        if (map[i]++)
            return false;
    return true;
}

/* Empty tensors lie between others, not within them. */
static bool judge_empty(const cJSON *root) {
    for (const cJSON *e = root->child; e; e = e->next) {
        int64_t at, end, from, to;
        const cJSON *ends = kb_json_get(e, "data_offsets");
        if (!ends || !whole(ends->child, &at) || !whole(ends->child->next, &end) ||
            at < end)
            continue;
        for (const cJSON *o = root->child; o; o = o->next) {
            const cJSON *theirs = kb_json_get(o, "data_offsets");
            if (theirs && whole(theirs->child, &from) && whole(theirs->child->next, &to) &&
                from < at && at < to)
                return false;
        }
    }
    return true;
}

static bool judge_texts(const cJSON *texts) {
    for (const cJSON *text = texts->child; text; text = text->next)
        if (!cJSON_IsString(text))
            return false;
    return cJSON_IsObject(texts);
}

static bool judge_header(const cJSON *root, uint64_t data_bytes) {
    unsigned char *map = calloc(data_bytes + 1, 1);
    bool right = cJSON_IsObject(root);
    if (!map)
        abort();
    for (const cJSON *entry = root->child; entry && right; entry = entry->next)
        right = strcmp(entry->string, "__metadata__") == 0
                    ? judge_texts(entry)
                    : cJSON_IsObject(entry) && judge_tensor(entry, map, data_bytes);
    for (uint64_t i = 0; i < data_bytes; i++)
        right = right && map[i];
    free(map);
    return right && judge_empty(root);
}

static bool judge(const uint8_t *data, size_t size) {
    struct kb_json doc = {0};
    struct kb_err err = {0};
    uint64_t length;
    if (size < 9)
        return false;
    memcpy(&length, data, sizeof length);
    if (length > size - 8 || data[8] != '{' ||
        !kb_json_parse(&doc, "second", (const char *)data + 8, length, &err))
        return false;
    bool right = judge_header(doc.root, size - 8 - length);
    kb_json_free(&doc);
    return right;
}

/* ---- what was read ---------------------------------------------------------------------
 */

static void want_alike(const struct kb_st_tensor *a, const struct kb_st_tensor *b) {
    if (strcmp(a->name, b->name) != 0 || a->type != b->type || a->rank != b->rank ||
        memcmp(a->shape, b->shape, sizeof a->shape) != 0 || a->bytes != b->bytes)
        DISAGREE("another tensor than %s is read back: %s", a->name, b->name);
}

/* Laid out anew, in the header's order. */
static void want_round_trip(const struct kb_st_file *file, uint64_t data_bytes) {
    size_t n = (size_t)file->n_tensors;
    struct kb_st_tensor *copies = calloc(n + 1, sizeof *copies);
    struct kb_buf start = {0};
    struct kb_st_file again;
    struct kb_err err = {0};
    if (!copies)
        abort();
    if (n)
        memcpy(copies, file->tensors, n * sizeof *copies);
    if (!kb_st_header(copies, (int)n, file->texts, file->n_texts, &start, &err))
        DISAGREE("not written: %s", err.msg);
    if (!kb_st_parse("again", start.data, start.len, start.len + data_bytes, &again, &err))
        DISAGREE("not read back: %s", err.msg);
    if (again.n_tensors != file->n_tensors || again.n_texts != file->n_texts ||
        again.data_at % 8)
        DISAGREE("%d tensors, %d texts are read back", again.n_tensors, again.n_texts);
    for (int i = 0; i < file->n_tensors; i++)
        want_alike(&file->tensors[i], &again.tensors[i]);
    for (int i = 0; i < file->n_texts; i++)
        if (strcmp(file->texts[i].value, again.texts[i].value) != 0)
            DISAGREE("another text than %s is read back", file->texts[i].value);
    kb_st_close(&again);
    kb_buf_free(&start);
    free(copies);
}

static void want_refused(const uint8_t *data, size_t size, uint64_t file_bytes) {
    struct kb_st_file file;
    struct kb_err err = {0};
    if (kb_st_parse("fuzz", data, size, file_bytes, &file, &err))
        DISAGREE("taken with %llu bytes as well", (unsigned long long)file_bytes);
    want_message(&err);
}

static void read_file(const uint8_t *data, size_t size) {
    struct kb_st_file file;
    struct kb_err err = {0};
    bool right = judge(data, size);
    if (!kb_st_parse("fuzz", data, size, size, &file, &err)) {
        want_message(&err);
        want_clean(err.msg, strlen(err.msg), false);
        if (right)
            DISAGREE("refused, and should not be: %s", err.msg);
        return;
    }
    if (!right)
        DISAGREE("taken, and should not be");
    want_round_trip(&file, size - file.data_at);
    want_refused(data, size, size + 1);
    if (size > file.data_at)
        want_refused(data, size - 1, size - 1);
    kb_st_close(&file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const uint8_t *end = memchr(data, 0, size);
    uint64_t length = end ? (uint64_t)(end - data) : size;
    struct kb_buf whole_file = {0};
    read_file(data, size);
    kb_buf_add(&whole_file, &length, sizeof length);
    kb_buf_add(&whole_file, data, length);
    if (end)
        kb_buf_add(&whole_file, end + 1, size - length - 1);
    read_file((const uint8_t *)whole_file.data, whole_file.len);
    kb_buf_free(&whole_file);
    return 0;
}
