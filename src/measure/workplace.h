/* workplace.h - where a worker and what it starts put temporary files: a folder of its own,
 * that the parent removes when the worker is gone, however it went. Internal. */
#ifndef KB_WORKPLACE_H
#define KB_WORKPLACE_H

#include "sys.h"

struct kb_workplace {
    struct kb_temp folder; /* no path: there is none */
    char **env; /* ours with TMPDIR for that folder, and what OpenMP is to do; NULL: as ours
                 */
};
void kb_workplace_make(struct kb_workplace *place);
/* Remove the folder with all that is in it. */
void kb_workplace_free(struct kb_workplace *place);

#endif
