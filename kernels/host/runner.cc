/* runner.cc - runs the kernels that it is linked with: the process between kbench and a
 * kernel that may do anything.
 *
 * A command comes in as text on fd 3 and a reply goes out on fd 4, with the command's nonce
 * and a checksum, so that what a kernel writes there is no reply; fd 5 is the slab. The
 * grammar of both is in README.md. The kernel runs in this process: whatever it does to it
 * (crash, exit, fork, close) ends in no reply, or in one that says so. */
#include "engine.cc"
#include "memory.cc"
#include "guard.h"

#include <errno.h>
#include <fcntl.h>
#include <time.h>

enum {
    KBH_COMMAND_FD = 3,
    KBH_REPLY_FD = 4,
    KBH_SLAB_FD = 5,
    KBH_MAX_SLOTS = 32,
    KBH_MAX_LAUNCHES = 8,
    KBH_MAX_PATCHES = 2048,
    KBH_MAX_WORKERS = 16, /* 1024 stacks each, two mappings a stack, of 65530 allowed */
    KBH_FEW_THREADS = 4096, /* are not worth a second OS thread */
};

struct kbh_slot {
    size_t offset, bytes;
    bool compared; /* between passes */
    char name[64];
};

struct kbh_patch {
    size_t offset, bytes;
    unsigned value;
};

struct kbh_run {
    char nonce[32];
    pid_t pid;
    char *slab;
    size_t slab_bytes;
    kbh_slot slots[KBH_MAX_SLOTS];
    int n_slots;
    enum kbh_order order;
    uint64_t seed;
    int workers;
    bool ahead, twice; /* run all of it before, over other contents; of half of the slots */
    kbh_patch patches[KBH_MAX_PATCHES];
    int n_patches;
    int repeats;      /* and so many times more, */
    long long repeat_ns; /* for no longer than this */
    int passes;       /* that were run */
    size_t late_bytes; /* to copy for blocks that start too early */
    kbh_launch launches[KBH_MAX_LAUNCHES];
    int n_launches;
};
static kbh_run run;
static kbh_engine engines[KBH_MAX_WORKERS];

/* ---- the reply ----------------------------------------------------------------------- */

static char warning[400];
static int warned;

void kbh_warn(const char *format, ...) {
    if (__atomic_exchange_n(&warned, 1, __ATOMIC_ACQ_REL))
        return;
    va_list args;
    va_start(args, format);
    vsnprintf(warning, sizeof warning, format, args);
    va_end(args);
}

static uint64_t checksum(const char *data, size_t bytes) {
    uint64_t hash = 0xcbf29ce484222325ull; /* FNV-1a */
    for (size_t i = 0; i < bytes; i++)
        hash = (hash ^ (unsigned char)data[i]) * 0x100000001b3ull;
    return hash;
}

/* One write of less than PIPE_BUF: whole or not at all. A process that the kernel forked
 * has no say. */
static void reply(enum kbh_status status, long long wall_ns, const char *text) {
    static const char *const words[] = {"ok",        "deadlock", "trap",      "no-ptx",
                                        "arguments", "limit",    "misaligned"};
    char out[2000];
    if (getpid() != run.pid)
        _exit(1);
    int n = snprintf(out, sizeof out - 32, "kbench-reply %s %s %lld %d\n%s\n%s\n",
                     run.nonce, words[status], wall_ns, run.passes, text, warning);
    if (n < 0 || n >= (int)sizeof out - 32)
        _exit(1);
    n += snprintf(out + n, 32, "end %016llx\n",
                  (unsigned long long)checksum(out, (size_t)n));
    if (write(KBH_REPLY_FD, out, (size_t)n) != n)
        _exit(1);
}

static void one_line(char *text) {
    for (; *text; text++)
        if ((unsigned char)*text < 32)
            *text = ' ';
}

void kbh_stop(enum kbh_status status, const char *format, ...) {
    static int stopped;
    char text[1000];
    va_list args;
    if (__atomic_exchange_n(&stopped, 1, __ATOMIC_ACQ_REL))
        for (;;)
            sleep(1); /* another OS thread is saying something already */
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    one_line(text);
    one_line(warning);
    fflush(stdout);
    reply(status, 0, text);
    _exit(0);
}

void kbh_trap(const char *file, int line) {
    kbh_stop(KBH_TRAP, "__trap() at %s:%d, block (%u,%u,%u) thread (%u,%u,%u)", file, line,
             blockIdx.x, blockIdx.y, blockIdx.z, threadIdx.x, threadIdx.y, threadIdx.z);
}

void kbh_no_ptx(const char *file, int line) {
    kbh_stop(KBH_NO_PTX, "%s:%d: inline PTX has no host body", file, line);
}

void kbh_over_bounds(int threads, int line) {
    kbh_stop(KBH_LIMIT, "a block of %u threads, and __launch_bounds__(%d) at line %d",
             kbh_now.threads, threads, line);
}

/* What the compiler passes with an access, as its libraries have it. */
struct kbh_access {
    const char *file;
    uint32_t line, column;
    const struct {
        uint16_t kind, info;
        char name[1];
    } *type;
    unsigned char log_alignment, kind; /* 1: a store */
};
static void kbh_place(const char *address, char *text, size_t room);

void kbh_misaligned(const void *data, uintptr_t address) {
    const kbh_access *a = (const kbh_access *)data;
    char place[160];
    kbh_place((const char *)address, place, sizeof place);
    kbh_stop(KBH_MISALIGNED,
             "%s:%u: %s %s wants a multiple of %u bytes, the address is one of %lu%s%s, block "
             "(%u,%u,%u) thread (%u,%u,%u)",
             a->file, a->line, a->kind == 1 ? "a store to" : "an access to", a->type->name,
             1u << a->log_alignment, (unsigned long)(address & -address), *place ? ": " : "",
             place, blockIdx.x, blockIdx.y, blockIdx.z, threadIdx.x, threadIdx.y,
             threadIdx.z);
}

/* assert() of the C library ends here. */
extern "C" void __assert_fail(const char *condition, const char *file, unsigned line,
                              const char *) noexcept {
    kbh_stop(KBH_TRAP, "assertion `%.200s` at %s:%u failed, block (%u,%u,%u) thread "
                       "(%u,%u,%u)",
             condition, file, line, blockIdx.x, blockIdx.y, blockIdx.z, threadIdx.x,
             threadIdx.y, threadIdx.z);
}

[[noreturn]] static void bad_command(const char *what) {
    fprintf(stderr, "kbench runner: bad command: %s\n", what);
    _exit(2);
}

#include "command.cc"

/* ---- what a sanitizer says beside its report ------------------------------------------- */

/* The zones around tensors belong to nobody. */
static void poison_zones(void) {
    if (!kbh_asan() || !run.slab)
        return;
    __asan_poison_memory_region(run.slab, run.slab_bytes);
    for (int i = 0; i < run.n_slots; i++)
        __asan_unpoison_memory_region(run.slab + run.slots[i].offset, run.slots[i].bytes);
}

struct kbh_near {
    const char *name;
    size_t bytes, distance;
    bool after, inside;
};

static void consider(kbh_near *best, const char *address, const char *name,
                     const char *data, size_t bytes) {
    bool after = address >= data + bytes, before = address < data;
    size_t distance = after    ? (size_t)(address - (data + bytes))
                      : before ? (size_t)(data - address)
                               : (size_t)(address - data);
    bool inside = !after && !before;
    if (!bytes || (best->name && (best->inside || (!inside && best->distance <= distance))))
        return;
    *best = kbh_near{name, bytes, distance, after, inside};
}

/* The tensor or shared variable that an address lies in or is nearest to, if any is near. */
static void kbh_place(const char *address, char *text, size_t room) {
    kbh_near near = {};
    for (int i = 0; address && i < run.n_slots; i++)
        consider(&near, address, run.slots[i].name, run.slab + run.slots[i].offset,
                 run.slots[i].bytes);
    for (unsigned i = 0; address && engine && i < engine->n_shared; i++)
        consider(&near, address, engine->shared[i].name, engine->shared[i].data,
                 engine->shared[i].bytes);
    *text = '\0';
    if (near.name && near.inside)
        snprintf(text, room, "byte %zu of \"%s\" (%zu bytes)", near.distance, near.name,
                 near.bytes);
    else if (near.name && near.distance < 1 << 20)
        snprintf(text, room, "%zu bytes %s \"%s\" (%zu bytes)", near.distance,
                 near.after ? "past the end of" : "before the start of", near.name,
                 near.bytes);
}

/* kbench reads this line: who ran, and where the report's address lies. */
static void say_where(const char *address) {
    char place[160];
    kbh_place(address, place, sizeof place);
    if (engine)
        fprintf(stderr, "kbench-where: block (%u,%u,%u) thread (%u,%u,%u)|%s\n", blockIdx.x,
                blockIdx.y, blockIdx.z, threadIdx.x, threadIdx.y, threadIdx.z, place);
}

extern "C" void __asan_on_error(void) {
    say_where((const char *)__asan_get_report_address());
}

/* TSan's reports carry addresses in their text only: kbench asks for these. */
static void on_death(void) {
    if (kbh_asan())
        return;
    for (int i = 0; i < run.n_slots; i++)
        fprintf(stderr, "kbench-memory: %p %zu %s\n",
                (void *)(run.slab + run.slots[i].offset), run.slots[i].bytes,
                run.slots[i].name);
    for (unsigned i = 0; engine && i < engine->n_shared; i++)
        fprintf(stderr, "kbench-memory: %p %zu %s\n", (const void *)engine->shared[i].data,
                engine->shared[i].bytes, engine->shared[i].name);
    if (!kbh_tsan())
        say_where(NULL);
}

extern "C" const char *__asan_default_options(void) {
    return "detect_leaks=0:detect_stack_use_after_return=0:halt_on_error=1:exitcode=99:"
           "allocator_may_return_null=1:handle_abort=0:print_legend=0:"
           "print_full_thread_history=0:symbolize=1";
}
extern "C" const char *__ubsan_default_options(void) {
    return "halt_on_error=1:print_stacktrace=1:exitcode=99:symbolize=1";
}
extern "C" const char *__tsan_default_options(void) {
    return "halt_on_error=1:exitcode=99:report_thread_leaks=0:report_signal_unsafe=0:"
           "history_size=0:atexit_sleep_ms=0:symbolize=1";
}

/* ---- blocks over OS threads ------------------------------------------------------------ */

struct kbh_work {
    const kbh_launch *launch;
    const uint3 *indices;
    uint64_t n_blocks, next;
    int workers;
};
struct kbh_worker {
    kbh_work *work;
    kbh_engine *engine;
};

/* A permutation of [0, n): four rounds of a Feistel network over the next power of four,
 * walked until it falls inside. */
static uint64_t shuffled(uint64_t i, uint64_t n, uint64_t seed) {
    unsigned half = 1;
    while (half < 32 && (uint64_t)1 << 2 * half < n)
        half++;
    uint64_t mask = ((uint64_t)1 << half) - 1;
    do {
        uint64_t left = i >> half, right = i & mask;
        for (uint64_t round = 0; round < 4; round++) {
            uint64_t state = seed * 4 + round + (right << 20);
            uint64_t swapped = left ^ (next_random(&state) & mask);
            left = right;
            right = swapped;
        }
        i = left << half | right;
    } while (i >= n);
    return i;
}

static uint64_t block_at(const kbh_work *work, uint64_t i) {
    if (run.order == KBH_REVERSED)
        return work->n_blocks - 1 - i;
    return run.order == KBH_SHUFFLED ? shuffled(i, work->n_blocks, run.seed) : i;
}

static void *work_off(void *argument) {
    kbh_worker *w = (kbh_worker *)argument;
    kbh_work *work = w->work;
    kbh_catch_signals();
    kbh_engine_begin(w->engine, work->launch, work->indices, run.seed, work->workers == 1);
    for (;;) {
        uint64_t i = __atomic_fetch_add(&work->next, 1, __ATOMIC_RELAXED);
        if (i >= work->n_blocks)
            break;
        kbh_run_block(w->engine, block_at(work, i));
    }
    engine = NULL;
    return NULL;
}

static uint3 *make_indices(const kbh_launch *l) {
    unsigned n = l->block[0] * l->block[1] * l->block[2];
    uint3 *indices = (uint3 *)malloc(n * sizeof *indices);
    if (!indices)
        kbh_stop(KBH_LIMIT, "no memory");
    for (unsigned t = 0; t < n; t++) {
        indices[t].x = t % l->block[0];
        indices[t].y = t / l->block[0] % l->block[1];
        indices[t].z = t / l->block[0] / l->block[1];
    }
    return indices;
}

static int count_workers(const kbh_work *work) {
    const kbh_launch *l = work->launch;
    uint64_t threads = work->n_blocks * l->block[0] * l->block[1] * l->block[2];
    int n = run.workers < KBH_MAX_WORKERS ? run.workers : KBH_MAX_WORKERS;
    if ((uint64_t)n > work->n_blocks)
        n = (int)work->n_blocks;
    return kbh_tsan() || threads <= KBH_FEW_THREADS || n < 1 ? 1 : n;
}

static uint64_t run_early_blocks(kbh_work *work);

static void run_launch(const kbh_launch *l) {
    kbh_work work = {l, make_indices(l), (uint64_t)l->grid[0] * l->grid[1] * l->grid[2], 0, 1};
    kbh_worker workers[KBH_MAX_WORKERS];
    pthread_t threads[KBH_MAX_WORKERS];
    pthread_attr_t attr;
    work.next = run_early_blocks(&work);
    work.workers = count_workers(&work);
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 64 << 20); /* thread-local shared memory lies there */
    int started = 0;
    for (int i = 0; i < work.workers; i++)
        workers[i] = kbh_worker{&work, &engines[i]};
    while (started + 1 < work.workers &&
           !pthread_create(&threads[started], &attr, work_off, &workers[started + 1]))
        started++;
    work_off(&workers[0]);
    for (int i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
    pthread_attr_destroy(&attr);
    free((void *)work.indices);
}

static long long now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (long long)now.tv_sec * 1000000000 + now.tv_nsec;
}

#include "passes.cc"

int main(void) {
    run.pid = getpid();
    kbh_begin_process(KBH_COMMAND_FD);
    parse_command(read_command());
    close(KBH_COMMAND_FD);
    if (run.slab)
        close(KBH_SLAB_FD);
    if (__sanitizer_set_death_callback)
        __sanitizer_set_death_callback(on_death);
    kbh_limit_memory(run.slab_bytes);
    kbh_forbid_system_calls(KBH_REPLY_FD);
    poison_zones();
    long long wall_ns = run_command();
    one_line(warning);
    fflush(stdout);
    reply(KBH_OK, wall_ns, "");
    _exit(0);
}
