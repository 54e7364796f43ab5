/* safetensors.c - the safetensors format, read: its header, held against the file's size
 * before anything of the data is looked at. */
#include "safetensors.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LENGTH_BYTES = 8 };

/* ---- types ------------------------------------------------------------------------- */

static const struct {
    const char *name;
    size_t bytes;
    int dtype;
} types[] = {
#define X(id, name, bytes, dtype) [id] = {name, bytes, dtype},
    KB_ST_TYPES(X)
#undef X
};

const char *kb_st_type_name(enum kb_st_type type) {
    return types[type].name;
}

size_t kb_st_type_bytes(enum kb_st_type type) {
    return types[type].bytes;
}

enum kb_st_type kb_st_type_of(enum kb_dtype dtype) {
    for (int i = 0; i < KB_ST_TYPE_COUNT; i++)
        if (types[i].dtype == (int)dtype)
            return (enum kb_st_type)i;
    return KB_ST_TYPE_COUNT;
}

static bool type_parse(const char *name, enum kb_st_type *out) {
    for (int i = 0; i < KB_ST_TYPE_COUNT; i++) {
        if (kb_streq(types[i].name, name)) {
            *out = (enum kb_st_type)i;
            return true;
        }
    }
    return false;
}

/* ---- one tensor of the header ------------------------------------------------------ */

/* "FILE: tensor "NAME": what"; returns false. */
static bool wrong(const struct kb_st_file *file, const cJSON *entry, struct kb_err *err,
                  const char *fmt, ...) KB_PRINTF(4, 5);
static bool wrong(const struct kb_st_file *file, const cJSON *entry, struct kb_err *err,
                  const char *fmt, ...) {
    struct kb_buf name = {0}, what = {0};
    va_list args;

    va_start(args, fmt);
    kb_buf_vprintf(&what, fmt, args);
    va_end(args);
    kb_escape(&name, entry->string, strnlen(entry->string, 64));
    kb_fail(err, KB_INPUT, "%s: tensor \"%s\": %s", file->path, kb_buf_text(&name),
            what.data);
    kb_buf_free(&what);
    kb_buf_free(&name);
    return false;
}

static bool read_type(const struct kb_st_file *file, const cJSON *entry,
                      struct kb_st_tensor *t, struct kb_err *err) {
    const cJSON *dtype = kb_json_get(entry, "dtype");
    struct kb_buf text = {0};

    if (cJSON_IsString(dtype) && type_parse(dtype->valuestring, &t->type))
        return true;
    if (!cJSON_IsString(dtype))
        return wrong(file, entry, err, "\"dtype\" must be a text such as \"BF16\"");
    kb_escape(&text, dtype->valuestring, strnlen(dtype->valuestring, 64));
    wrong(file, entry, err, "unknown dtype \"%s\"", kb_buf_text(&text));
    kb_buf_free(&text);
    return false;
}

/* The shape, and the bytes that it and the type come to. */
static bool read_shape(const struct kb_st_file *file, const cJSON *entry,
                       struct kb_st_tensor *t, struct kb_err *err) {
    const cJSON *shape = kb_json_get(entry, "shape");
    size_t bytes = kb_st_type_bytes(t->type);
    bool empty = false, fits = true;

    if (!cJSON_IsArray(shape))
        return wrong(file, entry, err, "\"shape\" must be a list of sizes");
    for (const cJSON *item = shape->child; item; item = item->next) {
        int64_t size;
        if (t->rank == KB_MAX_RANK)
            return wrong(file, entry, err, "has more than %d axes", KB_MAX_RANK);
        if (!kb_json_i64(item, &size) || size < 0)
            return wrong(file, entry, err,
                         "shape[%d] must be a whole number from 0 to 2^53", t->rank);
        t->shape[t->rank++] = size;
        empty |= !size;
        fits = fits && (!size || kb_mul_size(bytes, (size_t)size, &bytes));
    }
    if (!empty && !fits)
        return wrong(file, entry, err, "its size in bytes overflows");
    t->bytes = empty ? 0 : bytes;
    return true;
}

static bool read_offsets(const struct kb_st_file *file, const cJSON *entry,
                         uint64_t data_bytes, struct kb_st_tensor *t, struct kb_err *err) {
    const cJSON *offsets = kb_json_get(entry, "data_offsets");
    int64_t ends[2];

    if (!cJSON_IsArray(offsets) || cJSON_GetArraySize(offsets) != 2 ||
        !kb_json_i64(offsets->child, &ends[0]) ||
        !kb_json_i64(offsets->child->next, &ends[1]) || ends[0] < 0 || ends[1] < 0)
        return wrong(file, entry, err,
                     "\"data_offsets\" must be two whole numbers from 0 to 2^53");
    if (ends[0] > ends[1] || (uint64_t)ends[1] > data_bytes)
        return wrong(file, entry, err,
                     "data_offsets [%lld, %lld] do not lie in order within the %llu bytes "
                     "of data",
                     (long long)ends[0], (long long)ends[1],
                     (unsigned long long)data_bytes);
    if ((uint64_t)(ends[1] - ends[0]) != t->bytes)
        return wrong(file, entry, err,
                     "data_offsets [%lld, %lld] hold %lld bytes, its shape and dtype want "
                     "%llu",
                     (long long)ends[0], (long long)ends[1], (long long)(ends[1] - ends[0]),
                     (unsigned long long)t->bytes);
    t->offset = (uint64_t)ends[0];
    return true;
}

static bool read_tensor(struct kb_st_file *file, const cJSON *entry, uint64_t data_bytes,
                        struct kb_err *err) {
    struct kb_st_tensor *t = &file->tensors[file->n_tensors];

    if (!*entry->string)
        return kb_fail(err, KB_INPUT, "%s: a tensor has no name", file->path);
    if (!cJSON_IsObject(entry))
        return wrong(file, entry, err, "must be an object");
    for (const cJSON *member = entry->child; member; member = member->next)
        if (!kb_streq(member->string, "dtype") && !kb_streq(member->string, "shape") &&
            !kb_streq(member->string, "data_offsets"))
            return wrong(file, entry, err,
                         "has another key beside dtype, shape and data_offsets");
    *t = (struct kb_st_tensor){.name = kb_arena_strdup(&file->arena, entry->string)};
    if (!read_type(file, entry, t, err) || !read_shape(file, entry, t, err) ||
        !read_offsets(file, entry, data_bytes, t, err))
        return false;
    file->n_tensors++;
    return true;
}

/* ---- all of them ------------------------------------------------------------------- */

static bool read_texts(struct kb_st_file *file, const cJSON *texts, struct kb_err *err) {
    int n = cJSON_IsObject(texts) ? cJSON_GetArraySize(texts) : 0;

    file->texts = kb_arena_array(&file->arena, (size_t)n + 1, sizeof *file->texts);
    if (!cJSON_IsObject(texts))
        return kb_fail(err, KB_INPUT, "%s: __metadata__ must be an object of texts",
                       file->path);
    for (const cJSON *text = texts->child; text; text = text->next) {
        if (!cJSON_IsString(text))
            return kb_fail(err, KB_INPUT, "%s: __metadata__ must hold nothing but texts",
                           file->path);
        file->texts[file->n_texts++] = (struct kb_st_text){
            kb_arena_strdup(&file->arena, text->string),
            kb_arena_strdup(&file->arena, text->valuestring),
        };
    }
    return true;
}

static int by_offset(const void *a, const void *b) {
    const struct kb_st_tensor *x = *(struct kb_st_tensor *const *)a,
                              *y = *(struct kb_st_tensor *const *)b;

    if (x->offset != y->offset)
        return x->offset < y->offset ? -1 : 1;
    return (x->bytes > y->bytes) - (x->bytes < y->bytes);
}

/* Side by side, from the first byte of the data to the last. */
static bool check_ranges(struct kb_st_file *file, uint64_t data_bytes, struct kb_err *err) {
    size_t n = (size_t)file->n_tensors;
    struct kb_st_tensor **order = kb_arena_array(&file->arena, n + 1, sizeof *order);
    uint64_t end = 0;

    for (size_t i = 0; i < n; i++)
        order[i] = &file->tensors[i];
    qsort(order, n, sizeof *order, by_offset);
    for (size_t i = 0; i <= n; i++) {
        uint64_t next = i < n ? order[i]->offset : data_bytes;
        if (next > end)
            return kb_fail(err, KB_INPUT,
                           "%s: bytes %llu to %llu of the data belong to no tensor",
                           file->path, (unsigned long long)end, (unsigned long long)next);
        if (next < end) {
            struct kb_buf name = {0};
            kb_escape(&name, order[i]->name, strnlen(order[i]->name, 64));
            kb_fail(err, KB_INPUT,
                    "%s: tensor \"%s\" begins at byte %llu of the data, where the one "
                    "before it ends at %llu",
                    file->path, kb_buf_text(&name), (unsigned long long)next,
                    (unsigned long long)end);
            kb_buf_free(&name);
            return false;
        }
        end = i < n ? next + order[i]->bytes : end;
    }
    return true;
}

static bool read_header(struct kb_st_file *file, const cJSON *root, uint64_t data_bytes,
                        struct kb_err *err) {
    size_t n = (size_t)cJSON_GetArraySize(root);

    file->tensors = kb_arena_array(&file->arena, n + 1, sizeof *file->tensors);
    for (const cJSON *entry = root->child; entry; entry = entry->next)
        if (!(kb_streq(entry->string, "__metadata__")
                  ? read_texts(file, entry, err)
                  : read_tensor(file, entry, data_bytes, err)))
            return false;
    return check_ranges(file, data_bytes, err);
}

/* The header's length, within the file and what is read of one. */
static bool read_length(const char *path, const unsigned char *start, size_t size,
                        uint64_t file_bytes, uint64_t *out, struct kb_err *err) {
    if (file_bytes < LENGTH_BYTES || size < LENGTH_BYTES)
        return kb_fail(err, KB_INPUT,
                       "%s: has %llu bytes, a safetensors file begins with 8 for the "
                       "length of its header",
                       path, (unsigned long long)file_bytes);
    *out = 0;
    for (int i = LENGTH_BYTES - 1; i >= 0; i--)
        *out = *out << 8 | start[i];
    if (*out > file_bytes - LENGTH_BYTES)
        return kb_fail(err, KB_INPUT,
                       "%s: its header is said to have %llu bytes, %llu are left of the "
                       "file",
                       path, (unsigned long long)*out,
                       (unsigned long long)(file_bytes - LENGTH_BYTES));
    if (*out > KB_ST_HEADER_MAX)
        return kb_fail(err, KB_INPUT, "%s: its header has %llu bytes, at most %d are read",
                       path, (unsigned long long)*out, KB_ST_HEADER_MAX);
    return true;
}

bool kb_st_parse(const char *path, const void *start, size_t size, uint64_t file_bytes,
                 struct kb_st_file *file, struct kb_err *err) {
    const char *text = (const char *)start + LENGTH_BYTES;
    struct kb_json doc = {0};
    uint64_t length;

    *file = (struct kb_st_file){.fd = -1};
    if (!read_length(path, start, size, file_bytes, &length, err))
        return false;
    if (size - LENGTH_BYTES < length || !length || *text != '{')
        return kb_fail(err, KB_INPUT, "%s: its header must begin with {", path);
    if (!kb_json_parse(&doc, path, text, (size_t)length, err))
        return false;
    file->path = kb_arena_strdup(&file->arena, path);
    file->data_at = LENGTH_BYTES + length;
    bool ok = read_header(file, doc.root, file_bytes - file->data_at, err);
    kb_json_free(&doc);
    if (!ok)
        kb_st_close(file);
    return ok;
}

/* ---- the file ---------------------------------------------------------------------- */

static bool read_at(int fd, uint64_t at, void *data, uint64_t bytes) {
    enum { PART = 1 << 30 };
    char *p = data;

    while (bytes) {
        ssize_t n = pread(fd, p, bytes < PART ? (size_t)bytes : (size_t)PART, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n == 0)
            errno = EIO; /* it became shorter */
        if (n <= 0)
            return false;
        p += n;
        at += (uint64_t)n;
        bytes -= (uint64_t)n;
    }
    return true;
}

static int open_regular(const char *path, uint64_t *bytes, struct kb_err *err) {
    /* Non-blocking, or a FIFO without a writer would hold us here. */
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    struct stat st;

    if (fd < 0) {
        bool absent = errno == ENOENT || errno == ENOTDIR;
        kb_fail(err, absent ? KB_INPUT : KB_IO, "%s: cannot open: %s", path,
                strerror(errno));
        return -1;
    }
    if (fstat(fd, &st))
        kb_fail(err, KB_IO, "%s: cannot stat: %s", path, strerror(errno));
    else if (!S_ISREG(st.st_mode))
        kb_fail(err, KB_INPUT, "%s: is not a regular file", path);
    else {
        *bytes = (uint64_t)st.st_size;
        return fd;
    }
    close(fd);
    return -1;
}

bool kb_st_open(const char *path, struct kb_st_file *file, struct kb_err *err) {
    unsigned char head[LENGTH_BYTES] = {0};
    struct kb_buf start = {0};
    uint64_t bytes = 0, length;
    size_t have;
    int fd = open_regular(path, &bytes, err);
    bool ok = false;

    *file = (struct kb_st_file){.fd = -1};
    if (fd < 0)
        return false;
    have = bytes < LENGTH_BYTES ? (size_t)bytes : LENGTH_BYTES;
    if (!read_at(fd, 0, head, have)) {
        kb_fail(err, KB_IO, "%s: cannot read: %s", path, strerror(errno));
        goto out;
    }
    if (!read_length(path, head, have, bytes, &length, err))
        goto out;
    have = LENGTH_BYTES + (size_t)length;
    if (!read_at(fd, 0, kb_buf_reserve(&start, have), have)) {
        kb_fail(err, KB_IO, "%s: cannot read: %s", path, strerror(errno));
        goto out;
    }
    ok = kb_st_parse(path, start.data, have, bytes, file, err);
out:
    kb_buf_free(&start);
    if (ok)
        file->fd = fd;
    else
        close(fd);
    return ok;
}

void kb_st_close(struct kb_st_file *file) {
    if (file->path && file->fd >= 0)
        close(file->fd);
    kb_arena_free(&file->arena);
    *file = (struct kb_st_file){.fd = -1};
}

const struct kb_st_tensor *kb_st_find(const struct kb_st_file *file, const char *name) {
    for (int i = 0; i < file->n_tensors; i++)
        if (kb_streq(file->tensors[i].name, name))
            return &file->tensors[i];
    return NULL;
}

const char *kb_st_text_of(const struct kb_st_file *file, const char *key) {
    for (int i = 0; i < file->n_texts; i++)
        if (kb_streq(file->texts[i].key, key))
            return file->texts[i].value;
    return NULL;
}

bool kb_st_read(const struct kb_st_file *file, const struct kb_st_tensor *tensor,
                void *data, struct kb_err *err) {
    return read_at(file->fd, file->data_at + tensor->offset, data, tensor->bytes) ||
           kb_fail(err, KB_IO, "%s: cannot read: %s", file->path, strerror(errno));
}
