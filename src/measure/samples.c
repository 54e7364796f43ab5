/* samples.c - every sample that was taken, for --samples: lines added to a file that the
 * run has begun; reports/README.md is its manual. */
#include "sampling.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static const char csv_head[] =
    "case,device,build,variant,method,sample,ns,launches,throttled\n";

/* RFC 4180; nothing of ours has a line break in it. */
static void csv_text(const char *text, struct kb_buf *out) {
    text = text ? text : "";
    bool plain = !text[strcspn(text, ",\"")];

    if (!plain)
        kb_buf_putc(out, '"');
    for (; *text; text++) {
        if (*text == '"')
            kb_buf_putc(out, '"');
        kb_buf_putc(out, *text);
    }
    if (!plain)
        kb_buf_putc(out, '"');
}

static void csv_lines(const struct kb_row *row, enum kb_method method,
                      const struct kb_samples *all, int launches, struct kb_buf *out) {
    struct kb_buf who = {0};
    const char *const texts[] = {row->case_id, row->device, row->build, row->variant};

    for (size_t i = 0; i < KB_COUNT(texts); i++) {
        csv_text(texts[i], &who);
        kb_buf_putc(&who, ',');
    }
    for (int64_t i = 0; i < all->n; i++)
        kb_buf_printf(out, "%s%s,%lld,%.8g,%d,%d\n", who.data, kb_method_word(method),
                      (long long)i, all->ns[i], launches, all->held_back[i]);
    kb_buf_free(&who);
}

static void json_line(const struct kb_row *row, enum kb_method method,
                      const struct kb_samples *all, int launches, struct kb_buf *out) {
    cJSON *object = kb_json_object(), *ns = kb_json_array(), *held_back = kb_json_array();

    kb_json_add_text(object, "case", row->case_id);
    kb_json_add_text(object, "device", row->device);
    kb_json_add_text(object, "build", row->build);
    kb_json_add_text(object, "variant", row->variant);
    kb_json_add_text(object, "method", kb_method_word(method));
    kb_json_add_i64(object, "launches", launches);
    for (int64_t i = 0; i < all->n; i++) {
        kb_json_push(ns, kb_json_f64_item(all->ns[i], 8));
        if (all->held_back[i])
            kb_json_push(held_back, kb_json_i64_item(i));
    }
    kb_json_add(object, "throttled", held_back);
    kb_json_add(object, "samples_ns", ns);
    kb_json_print(object, out);
    kb_buf_putc(out, '\n');
    cJSON_Delete(object);
}

static bool is_csv(const char *path) {
    return kb_ends_with(path, ".csv");
}

/* In one call: workers of several devices add to one file. */
static bool add(const char *path, int flags, const char *text, size_t size,
                struct kb_err *err) {
    int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC | flags, 0666);

    if (fd < 0)
        return kb_fail(err, KB_IO, "samples not kept: %s: %s", path, strerror(errno));
    bool ok = kb_write_all(fd, text, size);
    int why = errno;
    if (close(fd) && ok) {
        why = errno;
        ok = false;
    }
    return ok || kb_fail(err, KB_IO, "samples not kept: %s: %s", path, strerror(why));
}

bool kb_samples_begin(const char *path, struct kb_err *err) {
    if (!is_csv(path) && !kb_ends_with(path, ".jsonl"))
        return kb_fail(err, KB_INPUT, "%s: samples are written as .csv or .jsonl", path);
    return add(path, O_CREAT | O_TRUNC, csv_head, is_csv(path) ? strlen(csv_head) : 0, err);
}

void kb_samples_print(const struct kb_job *job, const struct kb_row *row,
                      enum kb_method method, const struct kb_samples *all,
                      const struct kb_timer_facts *facts, struct kb_buf *out) {
    (is_csv(job->samples) ? csv_lines : json_line)(row, method, all,
                                                   facts->launches_per_sample, out);
}

bool kb_samples_add(const struct kb_job *job, const struct kb_buf *lines,
                    struct kb_err *err) {
    return add(job->samples, 0, lines->len ? lines->data : "", lines->len, err);
}
