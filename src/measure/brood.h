/* brood.h - the processes that a worker has started. Internal to the measure layer. */
#ifndef KB_BROOD_H
#define KB_BROOD_H

#include <sys/types.h>

/* Kill every child of `parent` with its group: compilers, runners, which lead groups of
 * their own and would go on without it. */
void kb_brood_kill(pid_t parent);

#endif
