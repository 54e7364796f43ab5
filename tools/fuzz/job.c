/* job.c - what a worker and its parent write to each other, read: jobs, options, hellos.
 * What is printed of them reads back as the same. The first byte picks. */
#include "fuzz.h"
#include "measure/hello.h"

static bool print_job(const char *text, size_t size, struct kb_arena *arena,
                      struct kb_buf *out, struct kb_err *err) {
    struct kb_job job;
    if (!kb_job_parse(text, size, arena, &job, err))
        return false;
    kb_job_print(&job, out);
    return true;
}

static bool print_options(const char *text, size_t size, struct kb_arena *arena,
                          struct kb_buf *out, struct kb_err *err) {
    struct kb_worker_options options;
    if (!kb_worker_options_parse(text, size, arena, &options, err))
        return false;
    kb_worker_options_print(&options, out);
    return true;
}

static bool print_hello(const char *text, size_t size, struct kb_arena *arena,
                        struct kb_buf *out, struct kb_err *err) {
    struct kb_device_info info = {0};
    (void)arena;
    if (!kb_hello_parse(text, size, &info, err))
        return false;
    kb_hello_print(&info, NULL, out);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static bool (*const prints[])(const char *, size_t, struct kb_arena *, struct kb_buf *,
                                  struct kb_err *) = {print_job, print_options,
                                                      print_hello};
    struct kb_arena arena = {0};
    struct kb_buf first = {0}, second = {0};
    struct kb_err err = {0};
    if (!size)
        return 0;
    size_t pick = data[0] % KB_COUNT(prints);
    if (!prints[pick]((const char *)data + 1, size - 1, &arena, &first, &err)) {
        want_message(&err);
    } else {
        if (!prints[pick](first.data, first.len, &arena, &second, &err))
            DISAGREE("%s in what was printed: %s", err.msg, first.data);
        want_same(&first, &second, "printed, read and printed");
        kb_buf_free(&first);
        kb_buf_free(&second);
    }
    kb_arena_free(&arena);
    return 0;
}
