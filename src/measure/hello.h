/* hello.h - what a worker and its parent say to each other beside jobs and rows. Internal.
 */
#ifndef KB_HELLO_H
#define KB_HELLO_H

#include "run.h"

/* The parent's first frame: which backend, and how. */
void kb_worker_options_print(const struct kb_worker_options *options, struct kb_buf *out);
bool kb_worker_options_parse(const char *text, size_t size, struct kb_arena *arena,
                             struct kb_worker_options *out, struct kb_err *err);
/* The worker's first frame: its device, or why there is none (then *err and false). */
void kb_hello_print(const struct kb_device_info *info, const struct kb_err *err,
                    struct kb_buf *out);
bool kb_hello_parse(const char *text, size_t size, struct kb_device_info *info,
                    struct kb_err *err);

#endif
