/* journal.c - rows on disk as they finish: the canonical form of a report, one JSON line
 * each. */
#include "report/parts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

struct kb_journal {
    int fd;
    char *path; /* NULL: an unlinked temporary file */
};

int kb_journal_fd(const struct kb_journal *journal) {
    return journal->fd;
}

const char *kb_journal_path(const struct kb_journal *journal) {
    return journal->path;
}

static const char *name_of(const struct kb_journal *journal) {
    return journal->path ? journal->path : "the journal, a temporary file";
}

/* One write(2) where the system allows it: a reader never sees half a row but at a torn
 * end. */
static bool add_line(struct kb_journal *journal, struct kb_buf *line, struct kb_err *err) {
    kb_buf_putc(line, '\n');
    if (kb_write_all(journal->fd, line->data, line->len))
        return true;
    return kb_fail(err, KB_IO, "%s: cannot write %zu bytes: %s", name_of(journal),
                   line->len, strerror(errno));
}

/* ---- opening ---------------------------------------------------------------------------
 */

static int open_temporary(struct kb_err *err) {
    const char *folder = getenv("TMPDIR");
    folder = folder && *folder ? folder : "/tmp";
    int fd = open(folder, O_TMPFILE | O_RDWR | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL)) {
        /* a file system, or a kernel, that has no O_TMPFILE */
        struct kb_buf path = {0};
        kb_buf_printf(&path, "%s/kbench-XXXXXX", folder);
        fd = mkostemp(path.data, O_CLOEXEC);
        if (fd >= 0)
            unlink(path.data);
        kb_buf_free(&path);
    }
    if (fd < 0)
        kb_fail(err, KB_IO, "%s: cannot make a temporary file for the journal: %s", folder,
                strerror(errno));
    return fd;
}

/* Whether `path` is still the file that `fd` has open. */
static bool is_same_file(int fd, const char *path) {
    struct stat ours, there;
    return fstat(fd, &ours) == 0 && stat(path, &there) == 0 &&
           ours.st_ino == there.st_ino && ours.st_dev == there.st_dev;
}

/* Another run of the same target may remove the file between our open and our lock. */
static int open_locked(const char *path, struct kb_err *err) {
    for (int tries = 0; tries < 100; tries++) {
        int fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0666);
        if (fd < 0) {
            kb_fail(err, KB_IO, "%s: cannot create the journal: %s", path, strerror(errno));
            return -1;
        }
        if (flock(fd, LOCK_EX | LOCK_NB)) {
            kb_fail(err, KB_IO, "%s: another run of kbench is writing this report", path);
            close(fd);
            return -1;
        }
        if (is_same_file(fd, path))
            return fd;
        close(fd);
    }
    kb_fail(err, KB_IO, "%s: other runs of kbench keep removing it", path);
    return -1;
}

static bool take_over(int fd, const char *path, struct kb_buf *note, struct kb_err *err) {
    struct stat st;
    if (fstat(fd, &st) || !S_ISREG(st.st_mode))
        return kb_fail(err, KB_IO, "%s: is not a regular file", path);
    if (st.st_size == 0)
        return true;
    kb_buf_printf(note, "%s was left by a run that did not end, and is overwritten", path);
    if (ftruncate(fd, 0))
        return kb_fail(err, KB_IO, "%s: cannot truncate: %s", path, strerror(errno));
    return true;
}

bool kb_journal_open(const char *target, const struct kb_facts *facts, struct kb_buf *note,
                     struct kb_journal **out, struct kb_err *err) {
    struct kb_journal *journal = calloc(1, sizeof *journal);
    struct kb_buf text = {0};
    if (!journal)
        kb_out_of_memory();
    if (target) {
        kb_buf_printf(&text, "%s.part", target);
        journal->path = text.data; /* taken over */
        text = (struct kb_buf){0};
    }
    journal->fd = target ? open_locked(journal->path, err) : open_temporary(err);
    bool opened =
        journal->fd >= 0 && (!target || take_over(journal->fd, journal->path, note, err));
    kb_facts_print(facts, &text);
    bool ok = opened && add_line(journal, &text, err);
    kb_buf_free(&text);
    if (ok)
        *out = journal;
    else
        kb_journal_close(journal, !opened);
    return ok;
}

/* ---- writing ---------------------------------------------------------------------------
 */

bool kb_journal_add(struct kb_journal *journal, const struct kb_row *row,
                    struct kb_err *err) {
    struct kb_buf line = {0};
    kb_row_print(row, &line);
    bool ok = add_line(journal, &line, err);
    kb_buf_free(&line);
    return ok;
}

bool kb_journal_finish(struct kb_journal *journal, const struct kb_tally *tally,
                       bool complete, const char *interrupted, double seconds,
                       struct kb_err *err) {
    struct kb_buf line = {0};
    kb_tally_print(tally, complete, interrupted, seconds, &line);
    bool ok = add_line(journal, &line, err);
    kb_buf_free(&line);
    if (ok && journal->path && fsync(journal->fd))
        ok = kb_fail(err, KB_IO, "%s: cannot write: %s", journal->path, strerror(errno));
    return ok;
}

void kb_journal_close(struct kb_journal *journal, bool keep) {
    if (!journal)
        return;
    if (journal->path && !keep)
        unlink(journal->path); /* before the lock goes with the descriptor */
    if (journal->fd >= 0)
        close(journal->fd);
    free(journal->path);
    free(journal);
}
