/* frame.c - messages over a pipe that a hostile or dying writer cannot fake or stall. */
#include "sys.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

enum {
    FRAME_MAX = 256 << 20,
    STALL_MS = 60000,    /* for a reader that takes nothing from its pipe */
    CHUNK = 64 << 10,    /* a frame's memory grows as its bytes come, not as it claims */
    LOG_KEPT = 64 << 10, /* of a child's stdout and stderr, for each reply */
    LOG_REST = 1 << 20,  /* read and dropped after a reply */
    LOOK_MS = 50,        /* how often a child is looked at while it says nothing */
};

#define MAGIC UINT64_C(0x314d415246424b0a) /* "\nKBFRAM1" */

struct header {
    uint64_t magic, nonce, size, hash;
};

/* ---- writing ----------------------------------------------------------------------- */

static bool fail_write(struct kb_err *err) {
    if (errno == EPIPE)
        return kb_fail(err, KB_CRASH, "ended before it took a message");
    if (errno == ETIMEDOUT)
        return kb_fail(err, KB_TIMEOUT, "took nothing of a message for %d s",
                       STALL_MS / 1000);
    return kb_fail(err, KB_IO, "cannot write to a pipe: %s", strerror(errno));
}

static bool write_some(int fd, const char *data, size_t size) {
    while (size) {
        ssize_t n = write(fd, data, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN) {
            struct pollfd ready = {.fd = fd, .events = POLLOUT};
            int rc = poll(&ready, 1, STALL_MS);
            if (rc == 0)
                errno = ETIMEDOUT;
            if (rc == 0 || (rc < 0 && errno != EINTR))
                return false;
            continue;
        }
        if (n <= 0)
            return false;
        data += n;
        size -= (size_t)n;
    }
    return true;
}

bool kb_frame_write(int fd, uint64_t nonce, const void *data, size_t size,
                    struct kb_err *err) {
    if (size > FRAME_MAX)
        return kb_fail(err, KB_IO, "a message of %zu bytes, at most %d are sent", size,
                       FRAME_MAX);
    struct header header = {
        .magic = MAGIC,
        .nonce = nonce,
        .size = size,
        .hash = XXH3_64bits(data, size),
    };
    if (!write_some(fd, (const char *)&header, sizeof header) ||
        !write_some(fd, data, size))
        return fail_write(err);
    return true;
}

/* ---- reading ----------------------------------------------------------------------- */

struct reader {
    int fd, log_fd; /* log_fd -1: none, or it has ended */
    struct kb_buf *log;
    size_t log_kept;
    int64_t deadline_ns;          /* INT64_MAX: none */
    const struct kb_child *child; /* looked at while nothing comes, if not NULL */
};

/* Read once from the log; false when nothing is there. */
static bool read_log(struct reader *r) {
    char chunk[16 << 10];
    ssize_t n = read(r->log_fd, chunk, sizeof chunk);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    if (n <= 0) {
        r->log_fd = -1;
        return false;
    }
    size_t room = LOG_KEPT - r->log_kept, keep = (size_t)n < room ? (size_t)n : room;
    kb_buf_add(r->log, chunk, keep);
    r->log_kept += keep;
    return true;
}

/* What it said before it ended or replied is in the pipe by now. */
static void drain_log(struct reader *r) {
    for (size_t rest = 0; r->log_fd >= 0 && rest < LOG_REST; rest += 16 << 10)
        if (!read_log(r))
            return;
}

/* Milliseconds left for poll, rounded up; -1: no limit. */
static int time_left(const struct reader *r) {
    if (r->deadline_ns == INT64_MAX)
        return -1;
    int64_t left = r->deadline_ns - kb_now_ns();
    if (left <= 0)
        return 0;
    left = (left + 999999) / 1000000;
    return left > 1000000 ? 1000000 : (int)left;
}

/* Wait until `fd` has something, reading the log meanwhile so that a child that floods it
 * does not stand still. A child that has ended is noticed even where one that it forked
 * still holds the pipe: by then its reply is in the pipe, or none will come. */
static bool await_input(struct reader *r, struct kb_err *err) {
    for (;;) {
        struct pollfd fds[] = {
            {.fd = r->fd, .events = POLLIN},
            {.fd = r->log_fd, .events = POLLIN}, /* a negative one is skipped */
        };
        bool over = r->child && kb_child_has_ended(r->child);
        int left = time_left(r);
        if (left == 0)
            return kb_fail(err, KB_TIMEOUT, "no reply in time");
        if (r->child && (left < 0 || left > LOOK_MS))
            left = LOOK_MS;
        int rc = poll(fds, 2, over ? 0 : left);
        if (rc < 0 && errno != EINTR)
            return kb_fail(err, KB_IO, "cannot wait for a reply: %s", strerror(errno));
        if (rc > 0 && fds[0].revents)
            return true;
        if (over)
            return kb_fail(err, KB_CRASH, "ended without a reply");
        if (rc > 0)
            read_log(r);
    }
}

/* Up to `size` bytes; *got is 0 at the end of the stream. */
static bool read_some(struct reader *r, void *data, size_t size, size_t *got,
                      struct kb_err *err) {
    for (;;) {
        if (!await_input(r, err))
            return false;
        ssize_t n = read(r->fd, data, size);
        if (n < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (n < 0)
            return kb_fail(err, KB_IO, "cannot read a reply: %s", strerror(errno));
        *got = (size_t)n;
        return true;
    }
}

static bool read_header(struct reader *r, uint64_t nonce, struct header *header,
                        struct kb_err *err) {
    size_t have = 0, got = 0;
    while (have < sizeof *header) {
        if (!read_some(r, (char *)header + have, sizeof *header - have, &got, err))
            return false;
        if (!got)
            return kb_fail(err, KB_CRASH,
                           have ? "broken reply: it ends in its header"
                                : "ended without a reply");
        have += got;
    }
    if (header->magic != MAGIC || header->nonce != nonce)
        return kb_fail(err, KB_CRASH, "broken reply: something else wrote to its pipe");
    if (header->size > FRAME_MAX)
        return kb_fail(err, KB_CRASH, "broken reply: it claims %llu bytes",
                       (unsigned long long)header->size);
    return true;
}

static bool read_payload(struct reader *r, const struct header *header, struct kb_buf *out,
                         struct kb_err *err) {
    size_t start = out->len, got = 0;
    for (size_t left = header->size; left; left -= got) {
        size_t want = left < CHUNK ? left : CHUNK;
        if (!read_some(r, kb_buf_reserve(out, want), want, &got, err))
            return false;
        if (!got)
            return kb_fail(err, KB_CRASH, "broken reply: it ends after %zu of %llu bytes",
                           out->len - start, (unsigned long long)header->size);
        out->len += got;
        out->data[out->len] = '\0';
    }
    if (XXH3_64bits(kb_buf_text(out) + start, out->len - start) != header->hash)
        return kb_fail(err, KB_CRASH, "broken reply: its checksum is wrong");
    return true;
}

static bool read_frame(struct reader *r, uint64_t nonce, int64_t wall_ms,
                       struct kb_buf *out, struct kb_err *err) {
    struct header header;
    size_t start = out->len;
    if (r->fd < 0)
        return kb_fail(err, KB_CRASH, "ended without a reply");
    int64_t now_ns = kb_now_ns();
    bool bounded = wall_ms > 0 && wall_ms < (INT64_MAX - now_ns) / 1000000;
    r->deadline_ns = bounded ? now_ns + wall_ms * 1000000 : INT64_MAX;
    if (read_header(r, nonce, &header, err) && read_payload(r, &header, out, err))
        return true;
    kb_buf_cut(out, start);
    return false;
}

bool kb_frame_read(int fd, uint64_t nonce, int64_t wall_ms, struct kb_buf *out,
                   struct kb_err *err) {
    struct reader r = {.fd = fd, .log_fd = -1};
    return read_frame(&r, nonce, wall_ms, out, err);
}

bool kb_child_reply(const struct kb_child *child, uint64_t nonce, int64_t wall_ms,
                    struct kb_buf *out, struct kb_buf *log, struct kb_err *err) {
    struct reader r = {
        .fd = child->out,
        .log_fd = child->errors,
        .log = log,
        .child = child,
    };
    bool ok = read_frame(&r, nonce, wall_ms, out, err);
    drain_log(&r);
    return ok;
}
