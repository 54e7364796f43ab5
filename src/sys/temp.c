/* temp.c - a private folder for temporary files, gone with all that is in it. */
#include "sys.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OPEN_FOLDERS = 16 };

bool kb_temp_make(struct kb_temp *temp, struct kb_err *err) {
    const char *tmp = getenv("TMPDIR");
    struct kb_buf path = {0};

    *temp = (struct kb_temp){0};
    kb_buf_printf(&path, "%s/kbench-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    if (!mkdtemp(path.data)) {
        kb_fail(err, KB_IO, "%s: cannot make a temporary folder: %s", path.data,
                strerror(errno));
        kb_buf_free(&path);
        return false;
    }
    temp->path = path.data;
    return true;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at) {
    (void)st, (void)type, (void)at;
    remove(path); /* what cannot be removed stays: nothing depends on it */
    return 0;
}

void kb_temp_free(struct kb_temp *temp) {
    if (temp->path)
        nftw(temp->path, remove_one, OPEN_FOLDERS, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
    free(temp->path);
    *temp = (struct kb_temp){0};
}
