/* wire.h - the flat form in which jobs and results go to the NVRTC worker and into the
 * cache: 8-byte counts, and byte strings with their length in front and a NUL behind. */
#ifndef KB_JIT_WIRE_H
#define KB_JIT_WIRE_H

#include "jit.h"

void kb_wire_put_u64(struct kb_buf *out, uint64_t value);
void kb_wire_put(struct kb_buf *out, const void *data, size_t size);
void kb_wire_put_text(struct kb_buf *out, const char *text);
void kb_wire_put_strings(struct kb_buf *out, const struct kb_strings *list);

/* Reads never go past the end: once `broken` is set, everything reads as 0 and "". */
struct kb_wire {
    const char *at;
    size_t left;
    bool broken;
};
uint64_t kb_wire_u64(struct kb_wire *in);
/* Borrowed from the buffer, NUL-terminated; `size` may be NULL. */
const char *kb_wire_get(struct kb_wire *in, size_t *size);
void kb_wire_strings(struct kb_wire *in, struct kb_arena *arena, struct kb_strings *out);

/* The option of a job that is for the names of its entries: what is made goes no further
 * than the front end, and is not sent. */
#define KB_NVRTC_NAMES "--dlink-time-opt"

/* ---- between the client and the worker --------------------------------------------------
 *
 *     hello  u64 nonce of all later frames, text library; itself under nonce 0
 *            -> u64 whether it could be loaded, text version or cause
 *     job    u64 CPU seconds, text name, text source, strings headers (name and text in
 *            turn), strings options, strings entries
 *            -> u64 kb_nvrtc_status, text log; if OK: u64 ns, strings lowered, bytes cubin
 */
enum kb_nvrtc_status {
    KB_NVRTC_OK,
    KB_NVRTC_ERRORS, /* the log has them */
    KB_NVRTC_REFUSED /* an option; out of memory; a fault of its own: log says which */
};

enum { KB_NVRTC_LOG_MAX = 64 << 10 };

#endif
