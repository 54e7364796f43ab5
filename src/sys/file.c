/* file.c - whole files in and out, folders, and where this executable lies. */
#include "sys.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void close_fd(int fd) {
    if (fd >= 0)
        close(fd);
}

/* ---- reading ----------------------------------------------------------------------- */

/* Read to the end of `fd`, or one byte past `max_bytes`. */
static bool read_all(int fd, size_t max_bytes, struct kb_buf *out) {
    size_t start = out->len;
    for (;;) {
        size_t room = max_bytes - (out->len - start) + 1;
        size_t chunk = room < (64 << 10) ? room : (64 << 10);
        ssize_t n = read(fd, kb_buf_reserve(out, chunk), chunk);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        out->len += (size_t)n;
        out->data[out->len] = '\0';
        if (n == 0 || out->len - start > max_bytes)
            return true;
    }
}

static bool read_checked(int fd, const char *path, size_t max_bytes, struct kb_buf *out,
                         struct kb_err *err) {
    struct stat st;
    size_t start = out->len;
    if (fstat(fd, &st))
        return kb_fail(err, KB_IO, "%s: cannot stat: %s", path, strerror(errno));
    if (S_ISDIR(st.st_mode))
        return kb_fail(err, KB_INPUT, "%s: is a folder, a file was wanted", path);
    if (!S_ISREG(st.st_mode))
        return kb_fail(err, KB_INPUT, "%s: is not a regular file", path);
    if ((uintmax_t)st.st_size > max_bytes)
        return kb_fail(err, KB_INPUT, "%s: has %jd bytes, at most %zu are read", path,
                       (intmax_t)st.st_size, max_bytes);
    if (!read_all(fd, max_bytes, out)) {
        kb_fail(err, KB_IO, "%s: cannot read: %s", path, strerror(errno));
    } else if (out->len - start >
               max_bytes) { /* it grew, or its size says nothing (/proc) */
        kb_fail(err, KB_INPUT, "%s: has more than the %zu bytes that are read", path,
                max_bytes);
    } else {
        return true;
    }
    kb_buf_cut(out, start);
    return false;
}

bool kb_file_read(const char *path, size_t max_bytes, struct kb_buf *out,
                  struct kb_err *err) {
    /* Non-blocking, or a FIFO without a writer would hold us here. */
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0) {
        if (errno == ENXIO) /* a socket */
            return kb_fail(err, KB_INPUT, "%s: is not a regular file", path);
        bool absent = errno == ENOENT || errno == ENOTDIR;
        return kb_fail(err, absent ? KB_INPUT : KB_IO, "%s: cannot open: %s", path,
                       strerror(errno));
    }
    bool ok = read_checked(fd, path, max_bytes, out, err);
    close(fd);
    return ok;
}

bool kb_read_exact(int fd, void *data, size_t size) {
    char *p = data;
    while (size) {
        ssize_t n = read(fd, p, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        p += n;
        size -= (size_t)n;
    }
    return true;
}

/* ---- writing ----------------------------------------------------------------------- */

bool kb_write_all(int fd, const void *data, size_t size) {
    const char *p = data;
    while (size) {
        ssize_t n = write(fd, p, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN) { /* a terminal or pipe that somebody made so */
            struct pollfd ready = {.fd = fd, .events = POLLOUT};
            if (poll(&ready, 1, -1) < 0 && errno != EINTR)
                return false;
            continue;
        }
        if (n == 0)
            errno = EIO;
        if (n <= 0)
            return false;
        p += n;
        size -= (size_t)n;
    }
    return true;
}

/* The folder of `path` as text: "." for a bare name. */
static void parent_of(const char *path, char out[PATH_MAX]) {
    const char *slash = strrchr(path, '/');
    if (!slash)
        snprintf(out, PATH_MAX, ".");
    else
        snprintf(out, PATH_MAX, "%.*s", slash == path ? 1 : (int)(slash - path), path);
}

/* Without this a crash of the machine may undo the rename. */
static bool sync_parent(const char *path) {
    char folder[PATH_MAX];
    parent_of(path, folder);
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return errno == EACCES; /* a folder that may be written but not listed */
    bool ok = fsync(fd) == 0 || errno == EINVAL; /* some file systems have no such thing */
    int cause = errno;
    close(fd);
    errno = cause;
    return ok;
}

/* Create a neighbour of `path` with an unguessable name, under the umask as `path` would
 * be. */
static int open_neighbour(const char *path, char tmp[PATH_MAX], struct kb_err *err) {
    int n = snprintf(tmp, PATH_MAX, "%s.%016llx.tmp", path,
                     (unsigned long long)kb_random_u64());
    if (n < 0 || n >= PATH_MAX) {
        kb_fail(err, KB_IO, "%.80s...: path too long", path);
        return -1;
    }
    int fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
    if (fd < 0)
        kb_fail(err, KB_IO, "%s: cannot create a file beside it: %s", path,
                strerror(errno));
    return fd;
}

/* chmod only where it changes something: some file systems have no modes. */
static bool keep_mode(int fd, const struct stat *old) {
    struct stat st;
    if (!old || (fstat(fd, &st) == 0 && (st.st_mode & 0777) == (old->st_mode & 0777)))
        return true;
    return fchmod(fd, old->st_mode & 0777) == 0;
}

/* A device, FIFO or /dev/fd/N cannot be replaced by a file: it is written to. */
static bool begin_through(const char *path, struct kb_new_file *file, struct kb_err *err) {
    file->fd = open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (file->fd < 0)
        return kb_fail(err, KB_IO, "%s: cannot open: %s", path, strerror(errno));
    return true;
}

static char *copy_of(const char *text) {
    char *copy = strdup(text);
    if (!copy)
        kb_out_of_memory();
    return copy;
}

/* `old`: the file that is there, whose mode is kept; NULL: none is. */
static bool begin_beside(const char *path, const struct stat *old, struct kb_new_file *file,
                         struct kb_err *err) {
    char tmp[PATH_MAX];
    file->fd = open_neighbour(path, tmp, err);
    if (file->fd < 0)
        return false;
    file->tmp = copy_of(tmp);
    if (!keep_mode(file->fd, old))
        return kb_fail(err, KB_IO, "%s: cannot set its mode: %s", path, strerror(errno));
    return true;
}

static bool begin(const char *path, struct kb_new_file *file, struct kb_err *err) {
    struct stat st;
    if (lstat(path, &st)) {
        if (errno != ENOENT)
            return kb_fail(err, KB_IO, "%s: cannot write: %s", path, strerror(errno));
        file->path = copy_of(path);
        return begin_beside(path, NULL, file, err);
    }
    bool linked = S_ISLNK(st.st_mode);
    if (linked && stat(path, &st))
        return kb_fail(err, KB_IO, "%s: is a link that leads nowhere: %s", path,
                       strerror(errno));
    if (S_ISDIR(st.st_mode))
        return kb_fail(err, KB_IO, "%s: is a folder, a file was wanted", path);
    char real[PATH_MAX]; /* the file is replaced, the link to it stays */
    if (linked && S_ISREG(st.st_mode) && !realpath(path, real))
        return kb_fail(err, KB_IO, "%s: cannot follow the link: %s", path, strerror(errno));
    if (linked && S_ISREG(st.st_mode))
        path = real;
    file->path = copy_of(path);
    return S_ISREG(st.st_mode) ? begin_beside(path, &st, file, err)
                               : begin_through(path, file, err);
}

bool kb_file_begin(const char *path, struct kb_new_file *file, struct kb_err *err) {
    *file = (struct kb_new_file){.fd = -1};
    if (begin(path, file, err))
        return true;
    kb_file_abandon(file);
    return false;
}

bool kb_file_add(struct kb_new_file *file, const void *data, size_t size,
                 struct kb_err *err) {
    if (kb_write_all(file->fd, data, size))
        return true;
    return kb_fail(err, KB_IO, "%s: cannot write %zu bytes: %s", file->path, size,
                   strerror(errno));
}

static bool commit(struct kb_new_file *file, struct kb_err *err) {
    const char *path = file->path;
    if (file->tmp && fsync(file->fd))
        return kb_fail(err, KB_IO, "%s: cannot write: %s", path, strerror(errno));
    int closed = close(file->fd);
    file->fd = -1; /* it is gone even if close failed */
    if (closed)
        return kb_fail(err, KB_IO, "%s: cannot close: %s", path, strerror(errno));
    if (!file->tmp)
        return true;
    if (rename(file->tmp, path))
        return kb_fail(err, KB_IO, "%s: cannot rename %s to it: %s", path, file->tmp,
                       strerror(errno));
    free(file->tmp);
    file->tmp = NULL;
    if (!sync_parent(path))
        return kb_fail(err, KB_IO, "%s: written, but its folder cannot be synced: %s", path,
                       strerror(errno));
    return true;
}

bool kb_file_commit(struct kb_new_file *file, struct kb_err *err) {
    bool ok = commit(file, err);
    kb_file_abandon(file);
    return ok;
}

void kb_file_abandon(struct kb_new_file *file) {
    if (!file->path)
        return;
    close_fd(file->fd);
    if (file->tmp)
        unlink(file->tmp);
    free(file->tmp);
    free(file->path);
    *file = (struct kb_new_file){.fd = -1};
}

bool kb_file_replace(const char *path, const void *data, size_t size, struct kb_err *err) {
    struct kb_new_file file;
    if (!kb_file_begin(path, &file, err))
        return false;
    if (!kb_file_add(&file, data, size, err)) {
        kb_file_abandon(&file);
        return false;
    }
    return kb_file_commit(&file, err);
}

/* ---- folders ----------------------------------------------------------------------- */

bool kb_is_folder(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

bool kb_is_file(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

bool kb_folder_make(const char *path, struct kb_err *err) {
    char part[PATH_MAX];
    size_t len = strlen(path);
    if (len >= sizeof part)
        return kb_fail(err, KB_IO, "%.80s...: path too long", path);
    memcpy(part, path, len + 1);
    for (size_t i = len > 0; i <= len; i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        part[i] = '\0';
        if (mkdir(part, 0700) && !kb_is_folder(part)) {
            int cause = errno == EEXIST ? ENOTDIR : errno;
            return kb_fail(err, KB_IO, "%s: cannot make the folder %s: %s", path, part,
                           strerror(cause));
        }
        part[i] = path[i];
    }
    return true;
}

static int by_text(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool is_file_at(int folder_fd, const char *name) {
    struct stat st;
    return fstatat(folder_fd, name, &st, 0) == 0 && S_ISREG(st.st_mode);
}

bool kb_folder_list(const char *folder, const char *suffix, struct kb_arena *arena,
                    struct kb_strings *out, struct kb_err *err) {
    size_t first = out->count;
    DIR *dir = opendir(folder);
    if (!dir) {
        bool absent = errno == ENOENT || errno == ENOTDIR;
        return kb_fail(err, absent ? KB_INPUT : KB_IO, "%s: cannot list the folder: %s",
                       folder, strerror(errno));
    }
    const struct dirent *entry;
    while (errno = 0, (entry = readdir(dir)) != NULL)
        if (entry->d_name[0] != '.' && kb_ends_with(entry->d_name, suffix) &&
            is_file_at(dirfd(dir), entry->d_name))
            kb_strings_add(out, arena, kb_arena_strdup(arena, entry->d_name));
    int cause = errno;
    closedir(dir);
    if (cause) {
        out->count = first;
        return kb_fail(err, KB_IO, "%s: cannot list the folder: %s", folder,
                       strerror(cause));
    }
    if (out->count > first)
        qsort(out->items + first, out->count - first, sizeof *out->items, by_text);
    return true;
}

/* ---- ourselves --------------------------------------------------------------------- */

/* The one kind of state below cli: where we were started from cannot change. */
static pthread_once_t exe_once = PTHREAD_ONCE_INIT;
static char exe_path[PATH_MAX], exe_folder[PATH_MAX];

static void find_exe(void) {
    ssize_t n = readlink("/proc/self/exe", exe_path, sizeof exe_path - 1);
    if (n <= 0) /* no /proc: the name still works where the kernel resolves it */
        snprintf(exe_path, sizeof exe_path, "/proc/self/exe");
    parent_of(exe_path, exe_folder);
}

const char *kb_exe_path(void) {
    pthread_once(&exe_once, find_exe);
    return exe_path;
}

const char *kb_exe_folder(void) {
    pthread_once(&exe_once, find_exe);
    return exe_folder;
}
