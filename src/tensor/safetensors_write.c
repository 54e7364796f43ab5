/* safetensors_write.c - the safetensors format, written. */
#include "safetensors.h"

#include <assert.h>

enum { HEADER_ALIGN = 8 };

static cJSON *entry_of(const struct kb_st_tensor *t) {
    cJSON *entry = kb_json_object(), *shape = kb_json_array(), *offsets = kb_json_array();

    for (int i = 0; i < t->rank; i++)
        kb_json_push(shape, kb_json_i64_item(t->shape[i]));
    kb_json_push(offsets, kb_json_i64_item((int64_t)t->offset));
    kb_json_push(offsets, kb_json_i64_item((int64_t)(t->offset + t->bytes)));
    kb_json_add_text(entry, "dtype", kb_st_type_name(t->type));
    kb_json_add(entry, "shape", shape);
    kb_json_add(entry, "data_offsets", offsets);
    return entry;
}

/* Its place behind `at`, which moves on. */
static bool place(struct kb_st_tensor *t, uint64_t *at, struct kb_err *err) {
    size_t bytes = kb_st_type_bytes(t->type), end;
    bool fits = true;

    for (int i = 0; i < t->rank; i++)
        if (!t->shape[i])
            bytes = 0;
    for (int i = 0; i < t->rank && bytes; i++)
        fits = fits && kb_mul_size(bytes, (size_t)t->shape[i], &bytes);
    /* Larger whole numbers are no JSON numbers. */
    if (!fits || !kb_add_size((size_t)*at, bytes, &end) || end > UINT64_C(1) << 53)
        return kb_fail(err, KB_INPUT, "%s: its size in bytes overflows", t->name);
    t->offset = *at;
    t->bytes = bytes;
    *at = end;
    return true;
}

bool kb_st_header(struct kb_st_tensor *tensors, int n, const struct kb_st_text *texts,
                  int n_texts, struct kb_buf *out, struct kb_err *err) {
    cJSON *root = kb_json_object(), *meta = kb_json_object();
    struct kb_buf text = {0};
    uint64_t at = 0;
    bool ok = false;

    for (int i = 0; i < n_texts; i++)
        kb_json_add_text(meta, texts[i].key, texts[i].value);
    kb_json_add(root, "__metadata__", meta);
    for (int i = 0; i < n; i++) {
        if (!*tensors[i].name || kb_json_get(root, tensors[i].name)) {
            kb_fail(err, KB_INPUT, "tensor \"%s\": no such name, or one that is taken",
                    tensors[i].name);
            goto out;
        }
        if (!place(&tensors[i], &at, err))
            goto out;
        kb_json_add(root, tensors[i].name, entry_of(&tensors[i]));
    }
    kb_json_print(root, &text);
    while (text.len % HEADER_ALIGN)
        kb_buf_putc(&text, ' ');
    for (int i = 0; i < 8; i++)
        kb_buf_putc(out, (char)(text.len >> 8 * i & 0xff));
    kb_buf_add(out, text.data, text.len);
    ok = true;
out:
    kb_buf_free(&text);
    cJSON_Delete(root);
    return ok;
}

bool kb_st_begin(const char *path, struct kb_st_tensor *tensors, int n,
                 const struct kb_st_text *texts, int n_texts, struct kb_st_writer *out,
                 struct kb_err *err) {
    struct kb_buf start = {0};

    *out = (struct kb_st_writer){0};
    bool ok = kb_st_header(tensors, n, texts, n_texts, &start, err) &&
              kb_file_begin(path, &out->file, err) &&
              kb_file_add(&out->file, start.data, start.len, err);
    for (int i = 0; i < n; i++)
        out->left += tensors[i].bytes;
    if (!ok)
        kb_st_abandon(out);
    kb_buf_free(&start);
    return ok;
}

bool kb_st_add(struct kb_st_writer *writer, const void *data, size_t bytes,
               struct kb_err *err) {
    assert(bytes <= writer->left);
    writer->left -= bytes;
    return !bytes || kb_file_add(&writer->file, data, bytes, err);
}

bool kb_st_commit(struct kb_st_writer *writer, struct kb_err *err) {
    assert(!writer->left);
    return kb_file_commit(&writer->file, err);
}

void kb_st_abandon(struct kb_st_writer *writer) {
    kb_file_abandon(&writer->file);
    *writer = (struct kb_st_writer){0};
}
