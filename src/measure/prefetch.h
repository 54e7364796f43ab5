/* prefetch.h - between prefetch.c and compile.c. Internal to the measure layer. */
#ifndef KB_PREFETCH_H
#define KB_PREFETCH_H

#include "session.h"

bool kb_prefetch_killed(void);
/* For a GPU: compilers alone, which need no device, `lanes` at once. */
void kb_compile_ahead(const struct kb_exec_options *exec,
                      const struct kb_device_info *device, const struct kb_job *jobs,
                      int n_jobs, int lanes, struct kb_compiles *made,
                      const struct kb_ready *ready);

#endif
