/* cli.h - words of the user: options, commands, exit status.
 *
 * The top layer: it alone prints and decides how the process ends. */
#ifndef KB_CLI_H
#define KB_CLI_H

#include "gate.h"

/* All of kbench but its workers. Returns the exit status. */
int kb_cli_main(int argc, char **argv);

/* ---- options: one table drives parsing and help ---------------------------------------
 */

#define KB_COMMANDS(X)                                                                     \
    X(KB_CMD_RUN, "run", "check and time cases; what is done where no command is named")   \
    X(KB_CMD_LIST, "list", "ops, variants, cases, devices, builds: what is there")         \
    X(KB_CMD_DIFF, "diff", "what changed between reports, in time and in error")           \
    X(KB_CMD_GATE, "gate",                                                                 \
      "a report against a baseline: the exit status says wrong, "                          \
      "slower or fine")                                                                    \
    X(KB_CMD_MERGE, "merge", "parts of a run, or several runs, into one report")           \
    X(KB_CMD_SELFTEST, "selftest",                                                         \
      "the tool on a GPU: its timers' floor, what the device gives, false alarms")         \
    X(KB_CMD_HELP, "help", "a command, an op or a topic, explained")

enum kb_command {
#define X(id, word, help) id,
    KB_COMMANDS(X)
#undef X
        KB_COMMAND_COUNT
};
const char *kb_command_word(enum kb_command command);
const char *kb_command_help(enum kb_command command);
bool kb_command_parse(const char *word, enum kb_command *out);

enum kb_color { KB_COLOR_AUTO, KB_COLOR_ALWAYS, KB_COLOR_NEVER };

/* A command line. Zero is the default of everything but what kb_options_parse sets. */
struct kb_options {
    enum kb_command command;
    bool help, version;
    struct kb_strings words; /* after list or help */
    struct kb_strings given; /* names of the options that were, --op */
    struct kb_query query;   /* for run: its files are the words */
    uint64_t seed;
    int backend;               /* in kb_backend_words: auto, cuda, host */
    struct kb_strings devices; /* "0", "host", "all" */
    int64_t host_sm;
    struct kb_strings builds;   /* empty: precise */
    struct kb_strings variants; /* empty: the default; "all" */
    struct kb_strings defines;  /* "NAME=A,B,C": values of a macro, each a build */
    const char *kernel;         /* a user's file */
    int mode;                   /* enum kb_mode, or -1: bench on a GPU, check without */
    const char *sanitize;
    int64_t sample_rows;                     /* 0: as the cases say */
    const char *load, *dump;                 /* a file to read inputs from, a folder */
    enum kb_method methods[KB_METHOD_COUNT]; /* in the order asked for */
    int n_methods;
    double precision;   /* 0: by default */
    double max_time_ms; /* 0: by default */
    int64_t sets;
    double duty; /* 0: without pauses */
    bool time_failing;
    bool energy;
    const char *samples; /* a file for each sample */
    int64_t jobs;        /* compile processes */
    double timeout_ms;   /* of a case */
    size_t mem_limit_bytes;
    bool no_cache, no_compile, profile;
    const char *dump_ptx, *dump_sass, *keep; /* folders */
    struct kb_strings outputs;               /* -o */
    int format;    /* enum kb_format; KB_FORMAT_TABLE by default */
    int n_columns; /* 0: by default */
    struct kb_column_choice columns[KB_MAX_COLUMNS];
    bool sorted;
    struct kb_column_choice sort; /* where `sorted` */
    bool fail_fast;
    const char *rerun; /* a report, of which what failed is run */
    int color;
    bool quiet, verbose;
    const char *baseline, *update; /* a report; the reason to rewrite it */
    struct kb_limits_of_gate limits;
    enum kb_pivot by;
    bool all, runs;
};
extern const char *const kb_backend_words[]; /* ends with NULL */

/* Read a command line: every error of it is complained of, as "kbench: error: --op: what".
 * Strings are the arguments' own or live in `arena`. */
void kb_options_parse(int argc, char *const argv[], struct kb_arena *arena,
                      struct kb_options *out, struct kb_complaints *c);
/* Whether it asks for times by name, so that a run without any would not be what it says.
 */
bool kb_options_want_times(const struct kb_options *options);
/* "kbench --help" without its frame: the options by group, "cases    --op --shape ...", in
 * lines of at most `width` columns. */
void kb_options_summary(int width, struct kb_buf *out);

/* ---- values of options ------------------------------------------------------------------
 * False, with what was wanted in `what`, if it is no such value. */
bool kb_parse_duration(const char *text, double *ms, struct kb_buf *what);   /* 60s 500ms */
bool kb_parse_size(const char *text, size_t *bytes, struct kb_buf *what);    /* 8G */
bool kb_parse_percent(const char *text, double *ratio, struct kb_buf *what); /* 1% */

bool kb_parse_duty(const char *text, double *ratio, struct kb_buf *what);     /* 50% */
bool kb_parse_slowdown(const char *text, double *ratio, struct kb_buf *what); /* 3% */
bool kb_parse_growth(const char *text, double *ratio, struct kb_buf *what);   /* 2x */

/* ---- commands ---------------------------------------------------------------------------
 */

int kb_command_run(const struct kb_options *options, int argc, char *const argv[],
                   struct kb_complaints *c);
int kb_command_list(const struct kb_options *options, struct kb_complaints *c);
int kb_command_diff(const struct kb_options *options, struct kb_complaints *c);
int kb_command_gate(const struct kb_options *options, struct kb_complaints *c);
int kb_command_merge(const struct kb_options *options, struct kb_complaints *c);
int kb_command_selftest(const struct kb_options *options, struct kb_complaints *c);
int kb_command_help_topic(const struct kb_options *options, struct kb_complaints *c);
/* The text of `kbench --help` and `kbench --version`. */
void kb_help_text(struct kb_buf *out);
void kb_version_text(struct kb_buf *out);
const char *kb_version(void); /* "0.1.0 9ab2c1f" */

#endif
