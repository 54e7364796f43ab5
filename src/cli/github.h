/* github.h - what GitHub Actions is told, without an option: errors that it shows beside a
 * change, and the summary of the job. */
#ifndef KB_CLI_GITHUB_H
#define KB_CLI_GITHUB_H

#include "cli/terminal.h"

/* GitHub shows so many annotations of a step. */
enum { KB_GITHUB_ANNOTATIONS = 10 };

/* What a gate tells: errors, and its screen for the summary. Empty outside GitHub Actions.
 */
struct kb_github_text {
    struct kb_buf lines, summary;
};
bool kb_in_github(void);
/* `max`, `of_run`: as of kb_gate_annotations. */
void kb_github_of_gate(const struct kb_gate *gate, int max, bool of_run,
                       struct kb_github_text *out);
/* Lines on standard error, the summary at the end of what others wrote; frees both. */
void kb_github_tell(struct kb_terminal *terminal, struct kb_github_text *text);

#endif
