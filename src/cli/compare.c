/* compare.c - what the commands that read reports share. */
#include "cli/compare.h"

#include <stdlib.h>
#include <string.h>

bool kb_reports_read(const struct kb_strings *paths, struct kb_reports *out,
                     struct kb_err *err) {
    int n = (int)paths->count;
    struct kb_err *errs = calloc(paths->count + 1, sizeof *errs);
    *out = (struct kb_reports){calloc(paths->count + 1, sizeof *out->items), n};
    if (!out->items || !errs)
        kb_out_of_memory();
#pragma omp parallel for schedule(dynamic)
    for (int i = 0; i < n; i++)
        kb_loaded_read(paths->items[i], &out->items[i], &errs[i]);
    bool ok = true;
    for (int i = 0; ok && i < n; i++)
        ok = !errs[i].kind || kb_fail(err, errs[i].kind, "%s", errs[i].msg);
    free(errs);
    if (!ok)
        kb_reports_free(out);
    return ok;
}

void kb_reports_free(struct kb_reports *reports) {
    for (int i = 0; i < reports->n; i++)
        kb_loaded_free(&reports->items[i]);
    free(reports->items);
    *reports = (struct kb_reports){0};
}

void kb_compare_check(const struct kb_options *options, struct kb_complaints *c) {
    if (options->format != KB_FORMAT_TABLE && options->format != KB_FORMAT_JSON)
        kb_complain_option(c, "--format",
                           "of what is compared there is the screen and json");
    for (size_t i = 0; i < options->outputs.count; i++)
        if (!kb_ends_with(options->outputs.items[i], ".json"))
            kb_complain_option(c, "-o", "%s: what is compared is written as .json",
                               options->outputs.items[i]);
}

bool kb_compare_print(const struct kb_options *options, struct kb_terminal *terminal,
                      struct kb_buf *screen, struct kb_buf *json, struct kb_buf *wrote,
                      struct kb_err *err) {
    for (size_t i = 0; i < options->outputs.count; i++) {
        const char *path = options->outputs.items[i];
        if (!kb_file_replace(path, kb_buf_text(json), json->len, err))
            return false;
        kb_buf_printf(wrote, "%s%s", wrote->len ? ", " : "wrote ", path);
    }
    kb_terminal_print(terminal, options->format == KB_FORMAT_JSON ? json : screen);
    return !terminal->failed || kb_fail(err, KB_IO, "%s", terminal->err.msg);
}
