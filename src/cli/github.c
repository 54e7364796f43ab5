/* github.c - in GitHub Actions a run and a gate tell the workflow what failed, without an
 * option. */
#include "cli/github.h"
#include "cli/run_parts.h"

#include <stdlib.h>
#include <unistd.h>

/* What a gate adds to a summary, of which GitHub takes 1 MiB: a run's own part, which comes
 * first, may have 900 KiB of it. */
enum { GATE_MAX = 500 << 10, GATE_OF_RUN_MAX = 80 << 10 };

bool kb_in_github(void) {
    const char *actions = getenv("GITHUB_ACTIONS");
    return actions && kb_streq(actions, "true");
}

/* ---- a gate ----------------------------------------------------------------------------
 */

void kb_github_of_gate(const struct kb_gate *gate, int max, bool of_run,
                       struct kb_github_text *out) {
    const struct kb_look look = {0};
    const size_t most = of_run ? GATE_OF_RUN_MAX : GATE_MAX;
    struct kb_buf screen = {0};
    if (!kb_in_github())
        return;
    kb_gate_annotations(gate, max, of_run, &out->lines);
    kb_gate_print(gate, &look, false, &screen);
    kb_buf_puts(&out->summary, "\n    "); /* as code: nothing in it is Markdown */
    for (size_t i = 0; i < screen.len && i < most; i++) {
        kb_buf_putc(&out->summary, screen.data[i]);
        if (screen.data[i] == '\n')
            kb_buf_puts(&out->summary, "    ");
    }
    kb_buf_puts(&out->summary,
                screen.len > most ? " ...\n    the rest is in the log\n" : "\n");
    kb_buf_free(&screen);
}

void kb_github_tell(struct kb_terminal *terminal, struct kb_github_text *text) {
    const char *summary = getenv("GITHUB_STEP_SUMMARY");
    struct kb_err err = {0};
    /* On standard error, which the runner reads for commands as well: standard output may
     * be a report. Nothing can be said where it fails. */
    bool said =
        text->lines.len && kb_write_all(STDERR_FILENO, text->lines.data, text->lines.len);
    (void)said;
    if (text->summary.len && summary && *summary &&
        !kb_github_append(summary, &text->summary, &err))
        kb_terminal_note(terminal, "no summary of the job: %s", err.msg);
    kb_buf_free(&text->lines);
    kb_buf_free(&text->summary);
}

/* ---- a run -----------------------------------------------------------------------------
 */

/* Where a gate has something to say as well, each has half of the room. */
void kb_run_tell_github(struct kb_run *run, struct kb_rows *rows) {
    const char *summary = getenv("GITHUB_STEP_SUMMARY");
    struct kb_github_text text = {0}, *gate = &run->gated.github;
    int max = gate->lines.len ? KB_GITHUB_ANNOTATIONS / 2 : KB_GITHUB_ANNOTATIONS;
    struct kb_err err = {0};
    if (!kb_in_github())
        return;
    kb_terminal_progress_end(&run->terminal);
    if (!kb_github_annotations(rows, max, &text.lines, &err))
        kb_terminal_note(&run->terminal, "no annotations: %s", err.msg);
    err = (struct kb_err){0};
    if (summary && *summary && !kb_github_summary(summary, rows, &err))
        kb_terminal_note(&run->terminal, "no summary of the job: %s", err.msg);
    kb_github_tell(&run->terminal, &text);
    kb_github_tell(&run->terminal, gate);
}
