/* brood.c - ending what a worker has started, when the worker cannot or will not. */
#include "brood.h"

#include "sys.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The parent of a process, by /proc; 0 if that cannot be read. */
static pid_t parent_of(const char *pid) {
    char path[64], text[512];
    int parent = 0;

    snprintf(path, sizeof path, "/proc/%.20s/stat", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0)
        close(fd);
    if (n <= 0)
        return 0;
    text[n] = '\0';
    const char *name_end = strrchr(text, ')'); /* a name may hold anything */
    return name_end && sscanf(name_end, ") %*c %d", &parent) == 1 ? parent : 0;
}

void kb_brood_kill(pid_t parent) {
    DIR *proc = opendir("/proc");

    if (!proc)
        return;
    for (struct dirent *entry; (entry = readdir(proc)) != NULL;) {
        int64_t pid;
        if (kb_parse_i64(entry->d_name, &pid) && pid > 1 &&
            parent_of(entry->d_name) == parent) {
            kill((pid_t)-pid, SIGKILL);
            kill((pid_t)pid, SIGKILL);
        }
    }
    closedir(proc);
}
