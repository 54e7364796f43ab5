/* guard.h - limits of the runner's process, and what is said when a signal ends it. */
#ifndef KBH_GUARD_H
#define KBH_GUARD_H

#include "engine.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Die with kbench, and leave no core file behind. If it died before that could be said, its
 * end of the command pipe is closed by now. */
static void kbh_begin_process(int command_fd) {
    struct rlimit none = {0, 0};
    struct pollfd command = {command_fd, 0, 0};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (poll(&command, 1, 0) > 0)
        _exit(1);
    setrlimit(RLIMIT_CORE, &none);
    signal(SIGPIPE, SIG_IGN);
}

/* Memory for the slab, stacks and thread-local variables of all OS threads, and some more: a
 * kernel that allocates without end gets no further. Sanitizers reserve terabytes. */
static void kbh_limit_memory(size_t slab_bytes) {
    struct rlimit limit;
    limit.rlim_cur = limit.rlim_max = slab_bytes + ((rlim_t)16 << 30);
    if (!__sanitizer_set_death_callback)
        setrlimit(RLIMIT_AS, &limit);
}

/* ---- signals ------------------------------------------------------------------------- */

/* Whether a fault hit the guard page below one of the stacks. */
static bool kbh_is_overflow(const kbh_engine *e, const char *address) {
    for (unsigned i = 0; e && i < e->n_chunks; i++)
        for (unsigned k = 0; k < KBH_STACKS_AT_ONCE; k++) {
            const char *stack = e->chunks[i][k].stack;
            if (address < stack && address >= stack - KBH_GUARD_BYTES)
                return true;
        }
    return false;
}

static void kbh_place(const char *address, char *text, size_t room);

/* kbench reads this line. snprintf is not async-signal-safe by the letter; the process is
 * lost anyway and the alternative is to say nothing. */
static void kbh_on_signal(int number, siginfo_t *info, void *) {
    char text[400], place[160] = "";
    const char *what = "";
    if (number == SIGSEGV && kbh_is_overflow(engine, (const char *)info->si_addr))
        what = "stack overflow: a thread has 256 KiB";
    else if (number == SIGSEGV && info->si_code == SI_KERNEL)
        what = "misaligned 16-byte access or wild address";
    else if (number == SIGSYS)
        what = "system call";
    else if (number == SIGSEGV || number == SIGBUS)
        what = "address";
    if (!strcmp(what, "address"))
        kbh_place((const char *)info->si_addr, place, sizeof place);
    int n = snprintf(text, sizeof text,
                     "\nkbench-signal: %d|%s|%#llx|block (%u,%u,%u) thread (%u,%u,%u)|%s\n",
                     number, what,
                     number == SIGSYS ? (unsigned long long)info->si_syscall
                                      : (unsigned long long)(uintptr_t)info->si_addr,
                     blockIdx.x, blockIdx.y, blockIdx.z, threadIdx.x, threadIdx.y,
                     threadIdx.z, place);
    if (n > 0 && write(STDERR_FILENO, text, (size_t)n) < 0)
        _exit(1);
    signal(number, SIG_DFL);
    raise(number); /* pending until this handler returns */
}

/* On a stack of its own: that of the thread may be what overflowed. Sanitizers have
 * handlers that say more. */
static void kbh_catch_signals(void) {
    static const int caught[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS};
    if (__sanitizer_set_death_callback)
        return;
    stack_t stack = {};
    stack.ss_size = 64 << 10;
    stack.ss_sp = malloc(stack.ss_size);
    if (!stack.ss_sp || sigaltstack(&stack, NULL))
        return;
    struct sigaction action = {};
    action.sa_sigaction = kbh_on_signal;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    for (int number : caught)
        sigaction(number, &action, NULL);
}

/* ---- system calls ---------------------------------------------------------------------
 * Device code has none, so a kernel that makes one is not what it says: a tripwire, not a
 * sandbox. What the C library needs for threads, memory and printf stays. Where the filter
 * cannot be had, a fork still has no say (the reply's pid) and an exit still no reply. */

#if defined(__x86_64__)
#define KBH_AUDIT_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define KBH_AUDIT_ARCH AUDIT_ARCH_AARCH64
#endif

#ifdef KBH_AUDIT_ARCH
#define KBH_FIELD(field)                                                                   \
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define KBH_RETURN(action) BPF_STMT(BPF_RET | BPF_K, action)
#define KBH_IF(number, action)                                                             \
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1), KBH_RETURN(action)
#define KBH_ALLOW(number) KBH_IF(number, SECCOMP_RET_ALLOW)
#define KBH_BEGIN                                                                          \
    KBH_FIELD(arch), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, KBH_AUDIT_ARCH, 1, 0),            \
        KBH_RETURN(SECCOMP_RET_KILL_PROCESS), KBH_FIELD(nr)
/* glibc falls back to clone, whose flags can be seen */
#define KBH_THREADS_ONLY                                                                   \
    KBH_IF(SYS_clone3, SECCOMP_RET_ERRNO | ENOSYS),                                        \
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 0, 4), KBH_FIELD(args[0]),          \
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, CLONE_THREAD, 0, 1),                          \
        KBH_RETURN(SECCOMP_RET_ALLOW), KBH_RETURN(SECCOMP_RET_TRAP)

static void kbh_filter(struct sock_filter *filter, size_t n) {
    struct sock_fprog program = {(unsigned short)n, filter};
    if (!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

static void kbh_filter_plain(int reply_fd) {
    struct sock_filter filter[] = {
        KBH_BEGIN,
        KBH_ALLOW(SYS_futex),
        KBH_ALLOW(SYS_mmap),
        KBH_ALLOW(SYS_munmap),
        KBH_ALLOW(SYS_mprotect),
        KBH_ALLOW(SYS_madvise),
        KBH_ALLOW(SYS_mremap),
        KBH_ALLOW(SYS_brk),
        KBH_ALLOW(SYS_exit),
        KBH_ALLOW(SYS_exit_group),
        KBH_ALLOW(SYS_rt_sigaction),
        KBH_ALLOW(SYS_rt_sigprocmask),
        KBH_ALLOW(SYS_rt_sigreturn),
        KBH_ALLOW(SYS_sigaltstack),
        KBH_ALLOW(SYS_set_robust_list),
        KBH_ALLOW(SYS_rseq),
        KBH_ALLOW(SYS_sched_yield),
        KBH_ALLOW(SYS_sched_getaffinity),
        KBH_ALLOW(SYS_clock_gettime),
        KBH_ALLOW(SYS_clock_nanosleep),
        KBH_ALLOW(SYS_restart_syscall),
        KBH_ALLOW(SYS_getpid),
        KBH_ALLOW(SYS_gettid),
        KBH_ALLOW(SYS_tgkill),
        KBH_ALLOW(SYS_getrandom),
        KBH_ALLOW(SYS_newfstatat),
        KBH_ALLOW(SYS_fstat),
        KBH_IF(SYS_openat, SECCOMP_RET_ERRNO | EACCES), /* malloc counts the cores */
        KBH_THREADS_ONLY,
        /* what a kernel prints, and the reply */
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_write, 2, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_writev, 1, 0),
        KBH_RETURN(SECCOMP_RET_TRAP),
        KBH_FIELD(args[0]),
        KBH_ALLOW(STDOUT_FILENO),
        KBH_ALLOW(STDERR_FILENO),
        KBH_ALLOW((unsigned)reply_fd),
        KBH_RETURN(SECCOMP_RET_TRAP),
    };
    kbh_filter(filter, sizeof filter / sizeof *filter);
}

/* Sanitizers open files and more. clang's start a program to find lines, so that this is
 * for gcc's only. */
static void kbh_filter_sanitized(void) {
#ifndef __clang__
    struct sock_filter filter[] = {
        KBH_BEGIN,
        KBH_THREADS_ONLY,
#ifdef SYS_fork
        KBH_IF(SYS_fork, SECCOMP_RET_TRAP),
        KBH_IF(SYS_vfork, SECCOMP_RET_TRAP),
#endif
        KBH_IF(SYS_execve, SECCOMP_RET_TRAP),
        KBH_IF(SYS_kill, SECCOMP_RET_TRAP),
        KBH_RETURN(SECCOMP_RET_ALLOW),
    };
    kbh_filter(filter, sizeof filter / sizeof *filter);
#endif
}

static void kbh_forbid_system_calls(int reply_fd) {
    if (__sanitizer_set_death_callback)
        kbh_filter_sanitized();
    else
        kbh_filter_plain(reply_fd);
}
#undef KBH_FIELD
#undef KBH_RETURN
#undef KBH_IF
#undef KBH_ALLOW
#undef KBH_BEGIN
#undef KBH_THREADS_ONLY
#else
static void kbh_forbid_system_calls(int) {}
#endif

#endif
