/* child.c - child processes: started by argv, ended with their whole group, never waited
 * for without a bound. posix_spawn throughout: after fork, OpenMP's threads would be
 * missing. */
#include "sys.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    LOWEST_FD = 10,          /* our ends lie above every number that a child wants */
    REAP_MS = 5000,          /* after SIGKILL; longer only in a driver that hangs */
    SILENT_MS = 60000,       /* for a command without a wall limit that closed its output */
    OUTPUT_KEPT = 64 << 10,  /* of a command */
    OUTPUT_REST = 256 << 10, /* read after its end; who still writes then is not of it */
    TICK_MS = 20,
};

static void close_fd(int *fd) {
    if (*fd > STDERR_FILENO) /* a zeroed struct kb_child owns none */
        close(*fd);
    *fd = -1;
}

/* Both ends close-on-exec and out of the way of the numbers that dup2 gives to a child. */
static bool pipe_make(int ends[2], struct kb_err *err) {
    int low[2];
    ends[0] = ends[1] = -1;
    if (pipe2(low, O_CLOEXEC))
        return kb_fail(err, KB_IO, "cannot make a pipe: %s", strerror(errno));
    for (int i = 0; i < 2; i++)
        ends[i] = fcntl(low[i], F_DUPFD_CLOEXEC, LOWEST_FD);
    int cause = errno;
    close(low[0]);
    close(low[1]);
    if (ends[0] >= 0 && ends[1] >= 0)
        return true;
    close_fd(&ends[0]);
    close_fd(&ends[1]);
    return kb_fail(err, KB_IO, "cannot make a pipe: %s", strerror(cause));
}

static void set_nonblocking(int fd) {
    int flags = fcntl(fd, F_GETFL);
    if (flags >= 0)
        fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

/* ---- start ------------------------------------------------------------------------- */

/* What becomes what in the child: fds[i] there is numbers[i]; the rest is closed. */
struct wiring {
    int n;
    int fds[8], numbers[8];
};

static void wire(struct wiring *w, int fd, int number) {
    w->fds[w->n] = fd;
    w->numbers[w->n++] = number;
}

static int add_actions(posix_spawn_file_actions_t *actions, const struct wiring *w,
                       const char *cwd) {
    int highest = STDERR_FILENO;
    int rc =
        posix_spawn_file_actions_addopen(actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    for (int i = 0; i < w->n && !rc; i++) {
        rc = posix_spawn_file_actions_adddup2(actions, w->fds[i], w->numbers[i]);
        highest = w->numbers[i] > highest ? w->numbers[i] : highest;
    }
    if (!rc) /* libraries open files without O_CLOEXEC */
        rc = posix_spawn_file_actions_addclosefrom_np(actions, highest + 1);
    if (!rc && cwd)
        rc = posix_spawn_file_actions_addchdir_np(actions, cwd);
    return rc;
}

/* A group of its own, and no signal that we ignore or block is so in the child. */
static int set_attributes(posix_spawnattr_t *attr) {
    sigset_t all, none;
    sigfillset(&all);
    sigemptyset(&none);
    int rc = posix_spawnattr_setpgroup(attr, 0);
    rc = rc ? rc : posix_spawnattr_setsigdefault(attr, &all);
    rc = rc ? rc : posix_spawnattr_setsigmask(attr, &none);
    return rc ? rc
              : posix_spawnattr_setflags(attr, POSIX_SPAWN_SETPGROUP |
                                                   POSIX_SPAWN_SETSIGDEF |
                                                   POSIX_SPAWN_SETSIGMASK);
}

static bool spawn(pid_t *pid, char *const argv[], char *const env[], const char *cwd,
                  const struct wiring *w, struct kb_err *err) {
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    if (posix_spawn_file_actions_init(&actions))
        kb_out_of_memory();
    if (posix_spawnattr_init(&attr))
        kb_out_of_memory();
    int rc = add_actions(&actions, w, cwd);
    rc = rc ? rc : set_attributes(&attr);
    rc = rc ? rc : posix_spawnp(pid, argv[0], &actions, &attr, argv, env);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attr);
    if (rc) {
        *pid = 0;
        return kb_fail(err, KB_IO, "%s: cannot start: %s", argv[0], strerror(rc));
    }
    return true;
}

bool kb_child_start(struct kb_child *child, char *const argv[], char *const env[],
                    int pass_fd, struct kb_err *err) {
    int in[2] = {-1, -1}, out[2] = {-1, -1}, errors[2] = {-1, -1}, passed = -1;
    struct wiring w = {0};
    bool ok = false;
    *child = (struct kb_child){.in = -1, .out = -1, .errors = -1};
    if (!pipe_make(in, err) || !pipe_make(out, err) || !pipe_make(errors, err))
        goto out;
    wire(&w, errors[1], STDOUT_FILENO);
    wire(&w, errors[1], STDERR_FILENO);
    wire(&w, in[0], 3);
    wire(&w, out[1], 4);
    if (pass_fd >= 0) {
        passed = fcntl(pass_fd, F_DUPFD_CLOEXEC, LOWEST_FD);
        if (passed < 0) {
            kb_fail(err, KB_IO, "%s: cannot pass a file: %s", argv[0], strerror(errno));
            goto out;
        }
        wire(&w, passed, 5);
    }
    if (!spawn(&child->pid, argv, env ? env : environ, NULL, &w, err))
        goto out;
    set_nonblocking(in[1]); /* our ends only: a child that reads nothing must not hold us */
    set_nonblocking(out[0]);
    set_nonblocking(errors[0]);
    child->in = in[1];
    child->out = out[0];
    child->errors = errors[0];
    in[1] = out[0] = errors[0] = -1;
    ok = true;
out:
    for (int i = 0; i < 2; i++) {
        close_fd(&in[i]);
        close_fd(&out[i]);
        close_fd(&errors[i]);
    }
    close_fd(&passed);
    return ok;
}

/* ---- end --------------------------------------------------------------------------- */

static int64_t after_ms(int64_t ms) {
    int64_t now_ns = kb_now_ns();
    return ms < (INT64_MAX - now_ns) / 1000000 ? now_ns + ms * 1000000 : INT64_MAX;
}

/* Whether it has ended; it stays a zombie, so that its number is not given to another. */
static bool has_ended(pid_t pid) {
    siginfo_t info = {0};
    if (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT))
        return errno == ECHILD;
    return info.si_pid == pid;
}

/* Wait for the end until `deadline_ns`, looking often at first. */
static bool await_end(pid_t pid, int64_t deadline_ns) {
    struct timespec pause = {.tv_nsec = 50000};
    while (!has_ended(pid)) {
        if (kb_now_ns() >= deadline_ns)
            return false;
        nanosleep(&pause, NULL);
        if (pause.tv_nsec < 5000000)
            pause.tv_nsec += pause.tv_nsec / 2;
    }
    return true;
}

/* Kill the group while its leader's number is still ours, then reap the leader. */
static bool kill_and_reap(pid_t pid, int *status) {
    if (pid <= 1) /* never: kill(-1) would end every process that the user may end */
        return false;
    kill(-pid, SIGKILL);
    kill(pid, SIGKILL); /* it may have left its group */
    if (!await_end(pid, after_ms(REAP_MS)))
        return false;
    pid_t got;
    do
        got = waitpid(pid, status, 0);
    while (got < 0 && errno == EINTR);
    if (got < 0) /* reaped by somebody else, SIGCHLD being ignored: not known to be well */
        *status = W_EXITCODE(127, 0);
    return true;
}

bool kb_child_has_ended(const struct kb_child *child) {
    return child->pid <= 0 || has_ended(child->pid);
}

bool kb_child_wait(struct kb_child *child, int64_t ms, int *status) {
    int got = 0;
    if (child->pid <= 0 || !await_end(child->pid, after_ms(ms)))
        return false;
    if (!kill_and_reap(child->pid, &got)) /* what it left behind ends with it */
        return false;
    child->pid = 0;
    *status = got;
    return true;
}

bool kb_child_end(struct kb_child *child) {
    int status = 0;
    bool ended = true;
    if (child->pid > 0)
        ended = kill_and_reap(child->pid, &status);
    child->pid = 0;
    close_fd(&child->in);
    close_fd(&child->out);
    close_fd(&child->errors);
    return ended;
}

void kb_status_text(int status, struct kb_buf *out) {
    if (!WIFSIGNALED(status)) {
        kb_buf_printf(out, "exit status %d", WEXITSTATUS(status));
        return;
    }
    const char *name = sigdescr_np(WTERMSIG(status));
    kb_buf_printf(out, "signal %d (%s)", WTERMSIG(status), name ? name : "unknown");
}

/* ---- commands ---------------------------------------------------------------------- */

/* Lower one limit of a running child. posix_spawn has no hook for this, so the child runs
 * for the microseconds between exec and here without it: less than its dynamic linker
 * needs. */
static bool set_limit(pid_t pid, enum __rlimit_resource what, uint64_t value,
                      uint64_t hard) {
    struct rlimit old, now;
    if (prlimit(pid, what, NULL, &old))
        return errno == ESRCH; /* it has ended: nothing is left to limit */
    now.rlim_max = hard < old.rlim_max ? hard : old.rlim_max;
    now.rlim_cur = value < now.rlim_max ? value : now.rlim_max;
    return prlimit(pid, what, &now, NULL) == 0 || errno == ESRCH;
}

static bool set_limits(pid_t pid, const struct kb_limits *limits, struct kb_err *err) {
    uint64_t cpu = (uint64_t)limits->cpu_s;
    /* SIGXCPU at the limit says why it ended; SIGKILL follows for who ignores that. */
    if (limits->cpu_s > 0 && !set_limit(pid, RLIMIT_CPU, cpu, cpu + 2))
        return kb_fail(err, KB_IO, "cannot limit its CPU time: %s", strerror(errno));
    if (limits->address_bytes &&
        !set_limit(pid, RLIMIT_AS, limits->address_bytes, limits->address_bytes))
        return kb_fail(err, KB_IO, "cannot limit its memory: %s", strerror(errno));
    return true;
}

struct command {
    pid_t pid;
    int fd;              /* its output; -1 once that has ended */
    int64_t deadline_ns; /* INT64_MAX: none */
    size_t kept;
    struct kb_buf *output;
};

/* Read once; false at the end of the output, or when nothing is there now. */
static bool read_output(struct command *c) {
    char chunk[16 << 10];
    ssize_t n = read(c->fd, chunk, sizeof chunk);
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return false;
    if (n <= 0) {
        close_fd(&c->fd);
        return false;
    }
    size_t room = OUTPUT_KEPT - c->kept, keep = (size_t)n < room ? (size_t)n : room;
    kb_buf_add(c->output, chunk, keep);
    c->kept += keep;
    return true;
}

/* Follow it to its end; false when the deadline came first. Its output may end before it,
 * or after it where a grandchild holds the pipe, so that neither alone says that it is
 * over. */
static bool follow(struct command *c) {
    while (c->fd >= 0) {
        if (has_ended(c->pid)) {
            for (size_t rest = 0; c->fd >= 0 && rest < OUTPUT_REST; rest += 16 << 10)
                if (!read_output(c))
                    break;
            return true;
        }
        if (kb_now_ns() >= c->deadline_ns)
            return false;
        struct pollfd ready = {.fd = c->fd, .events = POLLIN};
        if (poll(&ready, 1, TICK_MS) > 0)
            read_output(c);
    }
    if (c->deadline_ns == INT64_MAX)
        c->deadline_ns = after_ms(SILENT_MS);
    return await_end(c->pid, c->deadline_ns);
}

static bool judge(const char *name, int status, const struct kb_limits *limits,
                  struct kb_err *err) {
    if (!WIFSIGNALED(status))
        return true;
    if (WTERMSIG(status) == SIGXCPU && limits->cpu_s > 0)
        return kb_fail(err, KB_TIMEOUT, "%s: used up its %lld s of CPU time", name,
                       (long long)limits->cpu_s);
    struct kb_buf text = {0};
    kb_status_text(status, &text);
    kb_fail(err, KB_CRASH, "%s: %s", name, kb_buf_text(&text));
    kb_buf_free(&text);
    return false;
}

static bool run(struct command *c, const char *name, const struct kb_limits *limits,
                int *status, struct kb_err *err) {
    int got = 0;
    int64_t start_ns = kb_now_ns();
    struct kb_err unlimited = {0};
    bool limited = set_limits(c->pid, limits, &unlimited);
    c->deadline_ns = limits->wall_ms > 0 ? after_ms(limits->wall_ms) : INT64_MAX;
    bool ended = limited && follow(c);
    double seconds = (double)(kb_now_ns() - start_ns) / 1e9;
    bool reaped = kill_and_reap(c->pid, &got);
    close_fd(&c->fd);
    if (!limited)
        return kb_fail(err, KB_IO, "%s: %s", name, unlimited.msg);
    if (!ended || !reaped)
        return kb_fail(err, KB_TIMEOUT, "%s: still running after %.3g s, killed", name,
                       seconds);
    if (!judge(name, got, limits, err))
        return false;
    *status = WEXITSTATUS(got);
    return true;
}

/* PATH, HOME and TMPDIR of ours, and a locale: what a compiler says must not depend on
 * more. */
static char **command_env(struct kb_arena *arena) {
    static const struct {
        const char *name, *otherwise;
    } kept[] = {
        {"PATH", "/usr/local/bin:/usr/bin:/bin"},
        {"HOME", "/"},
        {"TMPDIR", "/tmp"},
    };
    char **env = kb_arena_array(arena, KB_COUNT(kept) + 3, sizeof *env);
    for (size_t i = 0; i < KB_COUNT(kept); i++) {
        const char *value = getenv(kept[i].name);
        env[i] = kb_arena_printf(arena, "%s=%s", kept[i].name,
                                 value && *value ? value : kept[i].otherwise);
    }
    env[KB_COUNT(kept)] = kb_arena_strdup(arena, "LANG=C");
    env[KB_COUNT(kept) + 1] = kb_arena_strdup(arena, "LC_ALL=C");
    return env;
}

bool kb_run_command(char *const argv[], const char *cwd, const struct kb_limits *limits,
                    struct kb_buf *output, int *status, struct kb_err *err) {
    struct kb_arena arena = {0};
    struct wiring w = {0};
    int ends[2];
    struct command c = {.output = output};
    bool ok = pipe_make(ends, err);
    if (ok) {
        wire(&w, ends[1], STDOUT_FILENO);
        wire(&w, ends[1], STDERR_FILENO);
        ok = spawn(&c.pid, argv, command_env(&arena), cwd, &w, err);
        close_fd(&ends[1]);
        set_nonblocking(ends[0]);
        c.fd = ends[0];
        if (ok)
            ok = run(&c, argv[0], limits, status, err);
        else
            close_fd(&c.fd);
    }
    kb_arena_free(&arena);
    return ok;
}
