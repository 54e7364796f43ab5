/* safetensors.h - tensors in files that other tools read and write: the safetensors format.
 * Part of the tensor layer.
 *
 * A file is the length of its header (8 bytes, little-endian), the header (JSON, which may
 * end in spaces), the data. The header is an object: of each tensor, by its name,
 *     {"dtype": "BF16", "shape": [83, 1024], "data_offsets": [0, 169984]}
 * and under "__metadata__" an object of texts. Offsets count from the start of the data.
 * Tensors lie side by side there, in any order, and fill it: what lies between them, or
 * twice in one place, is refused. */
#ifndef KB_SAFETENSORS_H
#define KB_SAFETENSORS_H

#include "sys.h"
#include "tensor.h"

/* id, name in files, bytes, our dtype for it (KB_DTYPE_COUNT: none) */
#define KB_ST_TYPES(X)                                                                     \
    X(KB_ST_BOOL, "BOOL", 1, KB_DTYPE_COUNT)                                               \
    X(KB_ST_U8, "U8", 1, KB_U8)                                                            \
    X(KB_ST_I8, "I8", 1, KB_DTYPE_COUNT)                                                   \
    X(KB_ST_E5M2, "F8_E5M2", 1, KB_DTYPE_COUNT)                                            \
    X(KB_ST_E4M3, "F8_E4M3", 1, KB_E4M3)                                                   \
    X(KB_ST_I16, "I16", 2, KB_DTYPE_COUNT)                                                 \
    X(KB_ST_U16, "U16", 2, KB_DTYPE_COUNT)                                                 \
    X(KB_ST_F16, "F16", 2, KB_FP16)                                                        \
    X(KB_ST_BF16, "BF16", 2, KB_BF16)                                                      \
    X(KB_ST_I32, "I32", 4, KB_I32)                                                         \
    X(KB_ST_U32, "U32", 4, KB_DTYPE_COUNT)                                                 \
    X(KB_ST_F32, "F32", 4, KB_FP32)                                                        \
    X(KB_ST_F64, "F64", 8, KB_DTYPE_COUNT)                                                 \
    X(KB_ST_I64, "I64", 8, KB_DTYPE_COUNT)                                                 \
    X(KB_ST_U64, "U64", 8, KB_DTYPE_COUNT)

enum kb_st_type {
#define X(id, name, bytes, dtype) id,
    KB_ST_TYPES(X)
#undef X
        KB_ST_TYPE_COUNT
};
const char *kb_st_type_name(enum kb_st_type type);
size_t kb_st_type_bytes(enum kb_st_type type);
enum kb_st_type kb_st_type_of(enum kb_dtype dtype);

/* The largest header that is read; ours have a few hundred bytes. */
enum { KB_ST_HEADER_MAX = 16 << 20 };

struct kb_st_tensor {
    const char *name;
    enum kb_st_type type;
    int rank; /* up to KB_MAX_RANK */
    int64_t shape[KB_MAX_RANK];
    uint64_t offset, bytes; /* in the data; set by what reads or lays out a header */
};
struct kb_st_text {
    const char *key, *value;
};

/* ---- in ----------------------------------------------------------------------------- */

struct kb_st_file {
    const char *path;
    int fd; /* -1: none is open */
    struct kb_arena arena;
    int n_tensors, n_texts;
    struct kb_st_tensor *tensors; /* in the header's order */
    struct kb_st_text *texts;     /* of __metadata__ */
    uint64_t data_at;             /* where the data start in the file */
};
/* Read the header of a regular file, and hold it against the file's size. KB_INPUT with one
 * message that names file and tensor, what is there and what was wanted; KB_IO. On failure
 * nothing is left to close. */
bool kb_st_open(const char *path, struct kb_st_file *file, struct kb_err *err);
/* The same of `size` bytes in memory, all of a file or its start up to the header's end;
 * `file_bytes` is what the whole of it has. */
bool kb_st_parse(const char *path, const void *start, size_t size, uint64_t file_bytes,
                 struct kb_st_file *file, struct kb_err *err);
void kb_st_close(struct kb_st_file *file);
const struct kb_st_tensor *kb_st_find(const struct kb_st_file *file, const char *name);
/* A text of __metadata__, or NULL. */
const char *kb_st_text_of(const struct kb_st_file *file, const char *key);
/* All of a tensor, tensor->bytes of them. */
bool kb_st_read(const struct kb_st_file *file, const struct kb_st_tensor *tensor,
                void *data, struct kb_err *err);

/* ---- out ---------------------------------------------------------------------------- */

/* Lay out `n` tensors one after another, in their order, and append the file's start up to
 * the data, which begin at a multiple of 8 bytes. Offsets stay multiples of the types'
 * sizes where the larger types come first. KB_INPUT on overflow, and where a name is there
 * twice, empty, or __metadata__. */
bool kb_st_header(struct kb_st_tensor *tensors, int n, const struct kb_st_text *texts,
                  int n_texts, struct kb_buf *out, struct kb_err *err);
/* A file, as kb_file_begin: the header, then the data of all tensors in their order, in
 * parts of any size, then commit, or abandon. A failed begin or commit has abandoned. */
struct kb_st_writer {
    struct kb_new_file file;
    uint64_t left; /* bytes that are still to come */
};
bool kb_st_begin(const char *path, struct kb_st_tensor *tensors, int n,
                 const struct kb_st_text *texts, int n_texts, struct kb_st_writer *out,
                 struct kb_err *err);
bool kb_st_add(struct kb_st_writer *writer, const void *data, size_t bytes,
               struct kb_err *err);
bool kb_st_commit(struct kb_st_writer *writer, struct kb_err *err);
void kb_st_abandon(struct kb_st_writer *writer);

#endif
