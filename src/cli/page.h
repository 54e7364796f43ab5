/* page.h - a page of help: the same words for a terminal and, as a manual, for troff. */
#ifndef KB_CLI_PAGE_H
#define KB_CLI_PAGE_H

#include "cli.h"

enum kb_page_form { KB_PAGE_TERMINAL, KB_PAGE_TROFF };

/* Zero but for `out` and `form`. On a terminal, blocks are set apart by a blank line;
 * entries stand close together, their names in a column of `name_width`. */
struct kb_page {
    struct kb_buf *out;
    enum kb_page_form form;
    int width;      /* of lines; 0: KB_PAGE_WIDTH */
    int name_width; /* 0: 15 */
    int n_entries;  /* since the last block of another kind */
    bool begun;
    bool no_usage; /* of a manual, which has all of them in one place */
};

enum { KB_PAGE_WIDTH = 92 };
/* Of the terminal that reads, at most KB_PAGE_WIDTH, which it is where none does. */
int kb_page_width_here(void);

/* "kbench [run] [OPTION...]": a command as it is typed. */
void kb_page_usage(struct kb_page *page, const char *command);
/* A heading over what follows; "": none, what follows is set apart. */
void kb_page_heading(struct kb_page *page, const char *text);
void kb_page_text(struct kb_page *page, const char *text);
/* Lines to be left as they are. */
void kb_page_example(struct kb_page *page, const char *lines);
/* A name, what comes after it ("": nothing), and what it means. */
void kb_page_entry(struct kb_page *page, const char *name, const char *arg,
                   const char *help);

/* A section of a manual, which a terminal does not see. */
void kb_page_section(struct kb_page *page, const char *title);
/* Text that troff shows as it stands. */
void kb_troff_text(const char *text, struct kb_buf *out);

/* ---- topics: what kbench help explains ------------------------------------------------
 */

struct kb_topic {
    const char *word;
    const char *help;    /* NULL: a command's */
    const char *section; /* of the manual; NULL: not there */
    void (*print)(struct kb_page *page);
};
extern const struct kb_topic kb_topics[];
extern const size_t kb_topic_count;
const char *kb_topic_help(const struct kb_topic *topic);
/* The topics, and what each is about; then the ops. */
void kb_topics_page(struct kb_page *page);
/* Of builds, macros and profilers. */
void kb_page_code(struct kb_page *page);
/* Of kernel files and their contracts. */
void kb_page_kernels(struct kb_page *page);
/* Of a report's forms and fields. */
void kb_page_reports(struct kb_page *page);
/* Of the commands that read reports. */
void kb_page_diff(struct kb_page *page);
void kb_page_gate(struct kb_page *page);
void kb_page_merge(struct kb_page *page);
void kb_page_selftest(struct kb_page *page);
/* Formula, tensors, parameters and limits of an op. */
void kb_page_op(const struct kb_op *op, struct kb_page *page);
/* Names, arguments and what they do, by group. */
void kb_options_page(struct kb_page *page);

/* ---- made of the same tables, for other programs to read ------------------------------
 */

struct kb_script {
    const char *word, *help;
    void (*print)(struct kb_buf *out);
};
extern const struct kb_script kb_scripts[]; /* kbench help man, bash, zsh */
extern const size_t kb_script_count;
void kb_manual(struct kb_buf *out);          /* kbench.1 */
void kb_completion_bash(struct kb_buf *out); /* share/bash-completion/completions/kbench */
void kb_completion_zsh(struct kb_buf *out);  /* share/zsh/site-functions/_kbench */

#endif
