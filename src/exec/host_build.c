/* host_build.c - from a plan to a runner executable, through the JIT cache.
 *
 * All instantiations of a file are in one translation unit, so that a suite compiles each
 * file once; the executables stay with the device. */
#include "host.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- what goes in ------------------------------------------------------------------ */

/* A name for compilers, debug information and messages. */
static const char *harmless_name(const char *name, struct kb_arena *arena) {
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._+-";
    char *copy = kb_arena_strdup(arena, name);
    for (char *p = copy; *p; p++)
        if (!strchr(allowed, *p))
            *p = '_';
    return *copy == '-' || *copy == '.' ? kb_arena_printf(arena, "k%s", copy) : copy;
}

/* Macros that only entries use are replaced there already; leaving them out lets all
 * dtypes share one executable. */
static bool uses_define(const struct host_job *job, const char *name) {
    const struct kb_kernel *kernel = job->plan->kernel;
    if (host_uses(kernel->text, kernel->size, name))
        return true;
    for (int i = 0; i < job->includes.count; i++)
        if (host_uses(job->includes.items[i].text, job->includes.items[i].size, name))
            return true;
    return false;
}

static void add_flag(struct host_job *job, const char *flag) {
    kb_strings_add(&job->flags, job->arena, flag);
}

/* What this CPU has beyond the least of its kind. They change no bits: nothing is
 * contracted, and a fused multiply-add that the C library computes is the same one. */
static void add_cpu_flags(struct host_job *job) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
        add_flag(job, "-mavx2");
        add_flag(job, "-mfma");
        add_flag(job, "-mf16c"); /* older than the other two */
    }
#else
    (void)job;
#endif
}

static void collect_flags(struct host_job *job, const struct kb_build *build) {
    unsigned sanitizers = job->device->sanitizers;
    const struct kb_strings *defines = &job->plan->defines;
    for (const char *const *flag = host_flags; *flag; flag++)
        add_flag(job, *flag);
    if (job->device->compiler.is_gcc) /* loops over the elements of a vector are short */
        add_flag(job, "-fvect-cost-model=unlimited");
    add_cpu_flags(job);
    for (size_t i = 0; i < build->flags.count; i++)
        add_flag(job, build->flags.items[i]);
    for (size_t i = 0; i < defines->count; i++) {
        const char *define = defines->items[i];
        if (uses_define(job, kb_arena_strndup(job->arena, define, strcspn(define, "="))))
            add_flag(job, kb_arena_printf(job->arena, "-D%s", define));
    }
    if (!sanitizers) {
        add_flag(job, "-DKBH_ALIGNMENT"); /* kernels/host/entry.h has what it calls */
        return;
    }
    add_flag(job, "-O1");
    add_flag(job, "-g1");
    add_flag(job, "-fno-omit-frame-pointer");
    if (sanitizers & HOST_ADDRESS)
        add_flag(job, "-fsanitize=address");
    if (sanitizers & HOST_THREAD)
        add_flag(job, "-fsanitize=thread");
    if (sanitizers & HOST_UNDEFINED) {
        add_flag(job, "-fsanitize=undefined");
        add_flag(job, "-fno-sanitize=vptr");
    }
    add_flag(job, "-fno-sanitize-recover=all");
}

/* ---- keys -------------------------------------------------------------------------- */

static void hash_strings(struct kb_hasher *hasher, const struct kb_strings *list) {
    kb_hasher_add(hasher, &list->count, sizeof list->count);
    for (size_t i = 0; i < list->count; i++)
        kb_hasher_text(hasher, list->items[i]);
}

/* The toolkit by size and time of the headers that everything includes. */
static void hash_toolkit(struct kb_hasher *hasher, struct kb_arena *arena) {
    static const char *const headers[] = {"cuda.h", "cuda_fp16.hpp", "cuda_bf16.hpp",
                                          "cuda_fp8.hpp", "vector_types.h"};
    const char *home = kb_cuda_home();
    kb_hasher_text(hasher, home);
    for (size_t i = 0; i < KB_COUNT(headers); i++) {
        struct stat st = {0};
        int64_t facts[2] = {0};
        if (stat(kb_arena_printf(arena, "%s/include/%s", home, headers[i]), &st) == 0) {
            facts[0] = (int64_t)st.st_size;
            facts[1] = (int64_t)st.st_mtim.tv_sec;
        }
        kb_hasher_add(hasher, facts, sizeof facts);
    }
}

/* What every part depends on: compiler, toolkit, shim. */
static struct kb_hasher *begin_key(const struct host_job *job, const char *what) {
    struct kb_hasher *hasher = kb_hasher_make();
    const struct host_compiler *c = &job->device->compiler;
    kb_hasher_text(hasher, what);
    kb_hasher_add(hasher, &c->identity, sizeof c->identity);
    for (int i = 0; i < c->n_words; i++)
        kb_hasher_text(hasher, c->argv[i]);
    hash_toolkit(hasher, job->arena);
    for (const char *const *flag = host_flags; *flag; flag++)
        kb_hasher_text(hasher, *flag);
    hash_strings(hasher, &job->shim);
    for (size_t i = 0; i < job->shim.count; i++) {
        const struct kb_asset *asset = kb_asset_find(job->shim.items[i]);
        if (asset)
            kb_hasher_add(hasher, asset->text, asset->size);
    }
    return hasher;
}

static struct kb_hash runner_key(const struct host_job *job) {
    return kb_hasher_end(begin_key(job, "kbench host runner 1"));
}

static struct kb_hash executable_key(const struct host_job *job) {
    struct kb_hasher *hasher = begin_key(job, "kbench host executable 1");
    const struct kb_kernel *kernel = job->plan->kernel;
    kb_hasher_text(hasher, job->source);
    kb_hasher_add(hasher, kernel->text, kernel->size);
    for (int i = 0; i < job->includes.count; i++) {
        kb_hasher_text(hasher, job->includes.items[i].name);
        kb_hasher_add(hasher, job->includes.items[i].text, job->includes.items[i].size);
    }
    hash_strings(hasher, &job->flags);
    hash_strings(hasher, job->entries);
    return kb_hasher_end(hasher);
}

/* ---- binaries ---------------------------------------------------------------------- */

static bool place_in_memory(struct host_binary *binary, const struct kb_buf *payload) {
    int fd = memfd_create("kbench-host", MFD_CLOEXEC);
    if (fd < 0)
        return false;
    binary->fd = fd;
    return kb_write_all(fd, payload->data, payload->len);
}

/* Sanitizers find lines by opening the executable's file, so theirs has one. */
static bool place(struct host_binary *binary, const struct kb_buf *payload, bool as_file,
                  struct kb_err *err) {
    struct kb_buf path = {0};
    if (!as_file && place_in_memory(binary, payload)) {
        /* by our number: a child closes what it is not passed before it starts this */
        kb_buf_printf(&path, "/proc/%d/fd/%d", (int)getpid(), binary->fd);
    } else {
        if (!host_folder_make(&binary->folder, err) ||
            !host_folder_write(&binary->folder, "kbench-host", payload->data, payload->len,
                               err))
            return false;
        kb_buf_printf(&path, "%s/kbench-host", binary->folder.inner);
    }
    binary->path = path.data;
    return true;
}

static void free_binary(struct host_binary *binary) {
    if (binary->fd >= 0)
        close(binary->fd);
    host_folder_remove(&binary->folder);
    free(binary->path);
    free(binary);
}

void host_binaries_free(struct kb_device *device) {
    while (device->binaries) {
        struct host_binary *next = device->binaries->next;
        free_binary(device->binaries);
        device->binaries = next;
    }
}

static bool make_executable(void *context, struct kb_buf *payload, struct kb_err *err) {
    struct host_job *job = context;
    struct kb_hash key = runner_key(job);
    return host_compile(job, &key, payload, err);
}

static struct host_binary *make_binary(struct host_job *job, const struct kb_hash *key,
                                       struct kb_err *err) {
    struct kb_device *device = job->device;
    struct kb_buf payload = {0};
    struct host_binary *binary = calloc(1, sizeof *binary);
    if (!binary)
        kb_out_of_memory();
    binary->fd = -1;
    binary->key = *key;
    int64_t start_ns = kb_now_ns();
    bool ok =
        kb_cache_fetch(device->cache, key, device->options.no_compile, make_executable, job,
                       &payload, &binary->cached, &device->note, err);
    binary->compile_ms = binary->cached ? 0 : (double)(kb_now_ns() - start_ns) / 1e6;
    if (ok) {
        binary->hash = kb_hash_of(payload.data, payload.len);
        ok = place(binary, &payload, device->sanitizers != 0, err);
    }
    kb_buf_free(&payload);
    if (!ok) {
        free_binary(binary);
        return NULL;
    }
    binary->next = device->binaries;
    device->binaries = binary;
    return binary;
}

static struct host_binary *find_binary(struct kb_device *device,
                                       const struct kb_hash *key) {
    for (struct host_binary *binary = device->binaries; binary; binary = binary->next)
        if (memcmp(&binary->key, key, sizeof *key) == 0)
            return binary;
    return NULL;
}

/* The executable of the whole file where it is at hand. A case that runs alone compiles its
 * own entries otherwise, in a third of the time: who waits for one answer gets it sooner.
 */
static struct host_binary *get_binary(struct host_job *job, struct kb_err *err) {
    struct kb_device *device = job->device;
    struct kb_strings own = {0};
    struct kb_hash key = executable_key(job);
    struct host_binary *binary = find_binary(device, &key);
    if (!binary && job->plan->alone && !device->options.no_compile) {
        struct kb_err miss = {0};
        device->options.no_compile = true;
        binary = make_binary(job, &key, &miss);
        device->options.no_compile = false;
        for (int i = 0; !binary && i < job->plan->n_launches; i++)
            if (!kb_strings_has(&own, job->plan->launches[i].entry))
                kb_strings_add(&own, job->arena, job->plan->launches[i].entry);
        if (!binary) {
            job->entries = &own;
            key = executable_key(job);
            binary = find_binary(device, &key);
        }
    }
    if (!binary)
        binary = make_binary(job, &key, err);
    job->entries = &job->plan->all_entries;
    return binary;
}

/* ---- build ------------------------------------------------------------------------- */

static bool is_supported_launch(const struct kb_launch *l, struct kb_err *err) {
    int64_t cluster = l->cluster[0] * l->cluster[1] * l->cluster[2];
    if (l->cooperative)
        return kb_fail(
            err, KB_UNSUPPORTED,
            "a cooperative launch: the host backend runs blocks to their end one "
            "after another, so that none can wait for all");
    if (cluster > 1)
        return kb_fail(err, KB_UNSUPPORTED,
                       "a cluster of %lld blocks: the host backend has no distributed "
                       "shared memory",
                       (long long)cluster);
    for (int a = 0; a < l->n_args; a++)
        if (l->args[a].kind == KB_ARG_TMA)
            return kb_fail(err, KB_UNSUPPORTED,
                           "argument %d is a TMA descriptor: the host backend has no such "
                           "copies",
                           a + 1);
    return true;
}

static void describe(const struct kb_device *device, const struct kb_plan *plan,
                     const struct host_binary *binary, struct kb_code_info *info) {
    *info = (struct kb_code_info){
        .registers = -1,
        .spill_bytes = -1,
        .shared_bytes = -1,
        .code_bytes = -1, /* the kernel's part is not told apart in the executable */
        .compile_ms = binary->compile_ms,
        .cached = binary->cached,
    };
    kb_hash_hex(&plan->kernel->source_hash, info->source_hash);
    kb_hash_hex(&binary->hash, info->code_hash);
    kb_hash_hex(&binary->key, info->key);
#if defined(__x86_64__)
    kb_text_copy(info->arch, sizeof info->arch, "x86-64");
#elif defined(__aarch64__)
    kb_text_copy(info->arch, sizeof info->arch, "aarch64");
#else
    kb_text_copy(info->arch, sizeof info->arch, "host");
#endif
    kb_text_copy(info->note, sizeof info->note, kb_buf_text(&device->note));
    info->note[strcspn(info->note, "\n")] = '\0';
}

static struct kb_code *make_code(const struct host_job *job, struct host_binary *binary) {
    struct kb_code *code = calloc(1, sizeof *code);
    if (!code)
        kb_out_of_memory();
    code->binary = binary;
    kb_strings_add(&code->files, &code->arena, kb_arena_strdup(&code->arena, job->source));
    for (int i = 0; i < job->includes.count; i++)
        kb_strings_add(&code->files, &code->arena,
                       kb_arena_strdup(&code->arena, job->includes.items[i].name));
    return code;
}

bool host_build(struct kb_device *device, const struct kb_plan *plan,
                const struct kb_build *build, struct kb_code **out,
                struct kb_code_info *info, struct kb_err *err) {
    struct kb_arena arena = {0};
    struct host_job job = {
        .device = device, .plan = plan, .arena = &arena, .entries = &plan->all_entries};
    struct host_binary *binary = NULL;
    if (!kb_build_is(build->name, "precise"))
        return kb_fail(err, KB_UNSUPPORTED,
                       "build %s: builds other than precise exist on a GPU only",
                       build->name);
    for (int i = 0; i < plan->n_launches; i++)
        if (!is_supported_launch(&plan->launches[i], err))
            return false;
    job.source = harmless_name(plan->kernel->name, &arena);
    kb_asset_list("kernels/host/", &arena, &job.shim);
    if (kb_includes_collect(plan->kernel, &arena, &job.includes, err)) {
        collect_flags(&job, build);
        binary = get_binary(&job, err);
    }
    if (binary) {
        *out = make_code(&job, binary);
        describe(device, plan, binary, info);
        kb_buf_clear(&device->note);
    }
    kb_arena_free(&arena);
    return binary != NULL;
}
