/* dumps.h - between dumps.c, options.c, fleet.c and run.c: --profile, --dump-ptx,
 * --dump-sass and --keep. */
#ifndef KB_CLI_DUMPS_H
#define KB_CLI_DUMPS_H

#include "cli.h"

/* Whether the options ask for files of GPU code, or for a launch on one. */
bool kb_dumps_want_gpu(const struct kb_options *options);
/* What does not go together with them. */
void kb_dumps_check(const struct kb_options *options, struct kb_complaints *c);
/* Before anything runs: their folders, made where they are missing, and a disassembler. */
bool kb_dumps_ready(const struct kb_options *options, struct kb_err *err);

#endif
