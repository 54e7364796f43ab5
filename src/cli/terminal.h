/* terminal.h - between the files of the cli layer: what is printed, and how it ends. */
#ifndef KB_CLI_TERMINAL_H
#define KB_CLI_TERMINAL_H

#include "cli.h"

/* Standard output and error of this process. */
struct kb_terminal {
    struct kb_look look; /* of standard output */
    int progress_width;  /* of the line that is written over; 0: standard error is no
                            terminal */
    bool progress_shown;
    bool failed; /* standard output cannot be written to; `err` says why */
    struct kb_err err;
};
/* Columns of standard output; 0: no terminal, no limit. */
int kb_terminal_width(void);
void kb_terminal_open(const struct kb_options *options, struct kb_terminal *terminal);
/* Text to standard output; cleared. The progress line makes room. */
void kb_terminal_print(struct kb_terminal *terminal, struct kb_buf *text);
/* A line to standard error, "note: ...", escaped. */
void kb_terminal_note(struct kb_terminal *terminal, const char *fmt, ...) KB_PRINTF(2, 3);
void kb_terminal_progress(struct kb_terminal *terminal, const char *text);
void kb_terminal_progress_end(struct kb_terminal *terminal);

/* Text to standard output, or "exit 7: ..." : the exit status. */
int kb_print_all(const struct kb_buf *text);
/* The last line on standard error: what was written before it, "wrote r.json", and why the
 * status is not 0; nothing where there is neither. Returns `status`. */
int kb_last_line(const char *before, int status, const char *why);
/* The same where there may be something to know although the status is 0. */
int kb_last_line_of_gate(const struct kb_buf *before, int status, const struct kb_buf *why);
/* A last line on standard error: "exit 4: 3 errors, nothing was run". Returns `status`. */
int kb_exit(int status, const char *fmt, ...) KB_PRINTF(2, 3);
/* All complaints, and the last line; frees them. Returns 4. */
int kb_exit_complaints(struct kb_complaints *c);
/* The table of exit statuses. */
struct kb_exit_status {
    int status;
    const char *help;
};
extern const struct kb_exit_status kb_exits[];
extern const size_t kb_exit_count;

/* An id a line, or with tags, origin and why for -v. The exit status. */
int kb_list_cases(struct kb_suite *suite, struct kb_terminal *terminal, int format);
/* A device as kbench list devices shows it, with what a selftest found of it. */
void kb_list_device(const struct kb_device_info *device, struct kb_buf *out);
/* One as a line of JSON, all that its id leaves to defaults told. */
void kb_case_line(const struct kb_case *c, struct kb_buf *out);

#endif
