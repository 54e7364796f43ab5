/* compare.h - between the commands that read reports. */
#ifndef KB_CLI_COMPARE_H
#define KB_CLI_COMPARE_H

#include "cli/terminal.h"

/* Reports that were named on the command line; zero is none. */
struct kb_reports {
    struct kb_loaded *items;
    int n;
};
bool kb_reports_read(const struct kb_strings *paths, struct kb_reports *out,
                     struct kb_err *err);
void kb_reports_free(struct kb_reports *reports);

/* Of what is compared there is the screen and JSON: complain of other forms. */
void kb_compare_check(const struct kb_options *options, struct kb_complaints *c);
/* The screen to standard output, with --format json the JSON in its place; JSON into every
 * -o, whose names are added to `wrote`. */
bool kb_compare_print(const struct kb_options *options, struct kb_terminal *terminal,
                      struct kb_buf *screen, struct kb_buf *json, struct kb_buf *wrote,
                      struct kb_err *err);

#endif
