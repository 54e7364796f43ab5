/* sealed.c - what is read only as it was written: entries of the JIT cache and frames of a
 * worker. The first byte picks (1: an entry, 2: made up); then come edits, three bytes each
 * (where, from the start or the end, and what to flip), up to a zero, and the payload.
 * Edited or cut short it is refused; made up it is what would have been written. */
#include "fuzz.h"
#include "jit/cache.h"
#include "sys.h"

#include <fcntl.h>
#include <sys/stat.h>

enum { NONCE = 0x1234567, PIPE_MAX = 32 << 10, WAIT_MS = 1000 };

static const struct kb_hash key = {{1, 2, 3}};

/* ---- written by the tool itself --------------------------------------------------------
 */

/* Of one input: a fuzzer ends without a chance to remove it. */
static struct kb_temp folder;
static int folder_fd = -1;

static void open_folder(void) {
    struct kb_err err = {0};
    if (!kb_temp_make(&folder, &err) ||
        (folder_fd = open(folder.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
        abort();
}

static void close_folder(void) {
    close(folder_fd);
    kb_temp_free(&folder);
}

static void entry_path(char *path, size_t size) {
    char name[KB_CACHE_NAME];
    kb_cache_entry_name(&key, ".bin", name);
    snprintf(path, size, "%s/%s", folder.path, name);
}

static void write_entry(const void *data, size_t size, struct kb_buf *out) {
    char path[PATH_MAX];
    struct kb_err err = {0};
    entry_path(path, sizeof path);
    if (!kb_cache_entry_write(folder_fd, &key, data, size) ||
        !kb_file_read(path, 1 << 20, out, &err))
        DISAGREE("cannot write an entry: %s", err.msg);
}

static bool read_entry(const struct kb_buf *file, struct kb_buf *out) {
    char path[PATH_MAX];
    struct kb_buf why = {0};
    entry_path(path, sizeof path);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || !kb_write_all(fd, kb_buf_text(file), file->len))
        abort();
    close(fd);
    bool good = kb_cache_entry_read(folder_fd, &key, false, out, &why) == KB_CACHE_GOOD;
    if (!good && (!why.len || out->len))
        DISAGREE("damaged without a reason, or with %zu bytes", out->len);
    kb_buf_free(&why);
    return good;
}

static void write_frame(const void *data, size_t size, struct kb_buf *out) {
    char path[32];
    struct kb_err err = {0};
    int fd = file_of(NULL, 0, path);
    if (!kb_frame_write(fd, NONCE, data, size, &err) ||
        !kb_file_read(path, 1 << 20, out, &err))
        DISAGREE("cannot write a frame: %s", err.msg);
    close(fd);
}

static bool read_frame(const struct kb_buf *file, struct kb_buf *out) {
    int ends[2];
    struct kb_err err = {0};
    if (pipe(ends) || !kb_write_all(ends[1], kb_buf_text(file), file->len))
        abort();
    close(ends[1]);
    bool good = kb_frame_read(ends[0], NONCE, WAIT_MS, out, &err);
    if (!good)
        want_message(&err);
    close(ends[0]);
    return good;
}

/* ---- edited ----------------------------------------------------------------------------
 */

static size_t edits_length(const uint8_t *edits, size_t size) {
    size_t at = 0;
    while (at + 3 <= size && edits[at])
        at += 3;
    return at < size ? at + 1 : at;
}

static void edit(const uint8_t *edits, size_t size, struct kb_buf *file) {
    for (size_t at = 0; at + 3 <= size && edits[at]; at += 3) {
        size_t offset = edits[at + 1];
        if (edits[at] == 255) /* cut */
            kb_buf_cut(file, file->len > offset ? file->len - offset : 0);
        else if (offset < file->len)
            file->data[edits[at] & 1 ? offset : file->len - 1 - offset] ^=
                (char)edits[at + 2];
    }
}

static void want_sealed(bool entry, const uint8_t *data, size_t size) {
    size_t skip = edits_length(data, size);
    struct kb_buf written = {0}, edited = {0}, out = {0};
    const uint8_t *payload = data + skip;
    size_t n = size - skip;
    (entry ? write_entry : write_frame)(payload, n, &written);
    kb_buf_add(&edited, kb_buf_text(&written), written.len);
    edit(data, skip, &edited);
    bool same = edited.len == written.len &&
                !memcmp(kb_buf_text(&edited), written.data, written.len);
    bool good = (entry ? read_entry : read_frame)(&edited, &out);
    if (good != same)
        DISAGREE("%s, and is %s", same ? "as written" : "edited",
                 good ? "taken" : "refused");
    if (good && (out.len != n || (n && memcmp(out.data, payload, n) != 0)))
        DISAGREE("other bytes than were written");
    kb_buf_free(&written);
    kb_buf_free(&edited);
    kb_buf_free(&out);
}

/* A fuzzer learns what a frame is; then it is the one that would have been written. */
static void want_canonical(bool entry, const uint8_t *data, size_t size) {
    struct kb_buf made_up = {0}, out = {0}, written = {0};
    kb_buf_add(&made_up, data, size);
    if ((entry ? read_entry : read_frame)(&made_up, &out)) {
        (entry ? write_entry : write_frame)(kb_buf_text(&out), out.len, &written);
        if (written.len > size || memcmp(written.data, data, written.len) != 0 ||
            (entry && written.len != size))
            DISAGREE("%zu bytes that nobody wrote are taken", size);
    }
    kb_buf_free(&made_up);
    kb_buf_free(&out);
    kb_buf_free(&written);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (!size || size > PIPE_MAX)
        return 0;
    bool entry = data[0] & 1, made_up = data[0] & 2;
    if (entry)
        open_folder();
    (made_up ? want_canonical : want_sealed)(entry, data + 1, size - 1);
    if (entry)
        close_folder();
    return 0;
}
