/* github.c - in GitHub Actions a run tells the workflow what failed, without an option. */
#include "cli/run_parts.h"

#include <stdlib.h>
#include <unistd.h>

/* On standard error, which the runner reads for commands as well: standard output may be a
 * report. */
static void annotate(struct kb_run *run, struct kb_rows *rows) {
    struct kb_buf text = {0};
    struct kb_err err = {0};
    if (!kb_github_annotations(rows, &text, &err))
        kb_terminal_note(&run->terminal, "no annotations: %s", err.msg);
    /* Nothing can be said where standard error fails. */
    bool said = text.len && kb_write_all(STDERR_FILENO, text.data, text.len);
    (void)said;
    kb_buf_free(&text);
}

void kb_run_tell_github(struct kb_run *run, struct kb_rows *rows) {
    const char *actions = getenv("GITHUB_ACTIONS");
    const char *summary = getenv("GITHUB_STEP_SUMMARY");
    struct kb_err err = {0};
    if (!actions || !kb_streq(actions, "true"))
        return;
    kb_terminal_progress_end(&run->terminal);
    annotate(run, rows);
    if (summary && *summary && !kb_github_summary(summary, rows, &err))
        kb_terminal_note(&run->terminal, "no summary of the job: %s", err.msg);
}
