/* host_compile.c - the steps of one compile, in a private folder: sources, preprocessor,
 * rewrite, compiler. */
#include "host.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { OUTPUT_MAX = 64 << 20, COMPILE_MS = 120000 };

const char *const host_flags[] = {
    "-O2",
    "-w",
    "-pthread",
    "-ffp-contract=off", /* the GPU's contraction is not the CPU's either */
    "-fno-strict-aliasing",
    "-fno-math-errno",
    "-fno-trapping-math", /* a choice in a loop may become a blend */
    "-ftree-vectorize",
    "-fno-tree-slp-vectorize", /* gcc 12 drops roundings of neighbours to float */
    "-fsigned-char",
    "-fno-pie",
    "-ftls-model=local-exec",
#if defined(__x86_64__)
    "-fcf-protection=none", /* fibers switch stacks */
#endif
    NULL,
};

/* ---- sources ----------------------------------------------------------------------- */

static void quoted(struct kb_buf *out, const char *text) {
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            kb_buf_putc(out, '\\');
        kb_buf_putc(out, *text);
    }
}

const char *host_entry_line(const char *entry, struct kb_arena *arena) {
    char *copy = kb_arena_strdup(arena, entry);
    for (char *p = copy; *p; p++)
        if ((unsigned char)*p < ' ')
            *p = ' ';
    return copy;
}

/* Each entry on a line whose file name is the entry: a compiler error then names it. */
static void write_unit(const struct host_job *job, struct kb_buf *out) {
    const struct kb_strings *entries = job->entries;
    kb_buf_printf(out, "#include \"kbh/shim.h\"\n#include \"%s\"\n", job->source);
    kb_buf_puts(out, "#include \"kbh/entry.h\"\nconst kbh_entry kbh_entries[] = {\n");
    for (size_t i = 0; i < entries->count; i++) {
        const char *entry = host_entry_line(entries->items[i], job->arena);
        kb_buf_puts(out, "#line 1 \"entry ");
        quoted(out, entry);
        kb_buf_printf(out, "\"\nkbh_make_entry<&%s>(\"", entry);
        quoted(out, entry);
        kb_buf_puts(out, "\"),\n");
    }
    kb_buf_printf(out, "};\nconst int kbh_entry_count = %zu;\n", entries->count);
}

static const char no_groups[] =
    "#error \"cooperative_groups.h is not there on the host backend: use the warp "
    "functions, or say \\\"backends\\\": [\\\"cuda\\\"]\"\n";

static bool write_sources(const struct host_job *job, struct kb_err *err) {
    const struct kb_kernel *kernel = job->plan->kernel;
    struct kb_buf unit = {0};
    bool ok =
        host_folder_write(&job->folder, job->source, kernel->text, kernel->size, err) &&
        host_folder_write(&job->folder, "cooperative_groups.h", no_groups,
                          strlen(no_groups), err);
    for (int i = 0; i < job->includes.count && ok; i++) {
        const struct kb_include *include = &job->includes.items[i];
        if (include->name[0] != '/') /* an absolute one is found where it is */
            ok = host_folder_write(&job->folder, include->name, include->text,
                                   include->size, err);
    }
    write_unit(job, &unit);
    ok = ok && host_folder_write(&job->folder, "kbh_unit.cc", unit.data, unit.len, err);
    kb_buf_free(&unit);
    return ok;
}

static bool write_shim(const struct host_job *job, struct kb_err *err) {
    for (size_t i = 0; i < job->shim.count; i++) {
        const char *path = job->shim.items[i];
        const struct kb_asset *asset = kb_asset_find(path);
        const char *name = kb_arena_printf(job->arena, "kbh/%s", strrchr(path, '/') + 1);
        if (asset && !host_folder_write(&job->folder, name, asset->text, asset->size, err))
            return false;
    }
    return true;
}

/* ---- commands ---------------------------------------------------------------------- */

static void add_words(const struct host_job *job, struct kb_strings *argv, ...) {
    va_list args;
    va_start(args, argv);
    for (const char *word; (word = va_arg(args, const char *)) != NULL;)
        kb_strings_add(argv, job->arena, word);
    va_end(args);
}

static void begin_command(const struct host_job *job, struct kb_strings *argv) {
    const struct host_compiler *c = &job->device->compiler;
    for (int i = 0; i < c->n_words; i++)
        kb_strings_add(argv, job->arena, c->argv[i]);
}

static void add_kernel_flags(const struct host_job *job, struct kb_strings *argv) {
    for (size_t i = 0; i < job->flags.count; i++)
        kb_strings_add(argv, job->arena, job->flags.items[i]);
    add_words(job, argv, "-I.", "-isystem",
              kb_arena_printf(job->arena, "%s/include", kb_cuda_home()), NULL);
}

/* Lines of a log, each escaped, from the compiler's first error on: what comes before that
 * is where files were included from. A linker's errors have no such first line. */
static void clean_log(const char *log, struct kb_buf *out) {
    const char *error = strstr(log, " error: "), *from = log;
    for (const char *p = log; error && p < error; p++)
        if (*p == '\n')
            from = p + 1;
    if (kb_starts_with(from, "collect2:") || kb_starts_with(from, "clang"))
        from = log;
    while (*from) {
        size_t line = strcspn(from, "\n");
        kb_escape(out, from, line);
        from += line + (from[line] == '\n');
        if (*from)
            kb_buf_putc(out, '\n');
    }
}

static bool build_error(const struct host_job *job, const struct kb_buf *log, int status,
                        struct kb_err *err) {
    struct kb_buf clean = {0};
    clean_log(kb_buf_text(log), &clean);
    if (clean.len > 0)
        kb_fail(err, KB_BUILD, "%.1900s", clean.data);
    else
        kb_fail(err, KB_BUILD, "%s: %s ended with exit status %d and said nothing",
                job->source, job->device->compiler.name, status);
    kb_buf_free(&clean);
    return false;
}

/* Run a command in the work folder. A compiler that hangs or crashes is a build error. */
static bool run_compiler(const struct host_job *job, const struct kb_strings *argv,
                         struct kb_err *err) {
    int64_t ms = job->device->options.compile_ms;
    const struct kb_limits limits = {
        .wall_ms = ms > 0 ? ms : COMPILE_MS,
        .address_bytes = (size_t)6 << 30,
    };
    struct kb_buf log = {0};
    struct kb_err cause = {0};
    int status = 0;
    char **words = kb_arena_array(job->arena, argv->count + 1, sizeof *words);
    for (size_t i = 0; i < argv->count; i++)
        words[i] = kb_arena_strdup(job->arena, argv->items[i]);
    bool ok = kb_run_command(words, job->folder.inner, &limits, &log, &status, &cause);
    if (!ok)
        kb_fail(err, cause.kind == KB_IO ? KB_IO : KB_BUILD, "%s", cause.msg);
    else if (status != 0)
        ok = build_error(job, &log, status, err);
    kb_buf_free(&log);
    return ok;
}

static bool read_output(const struct host_job *job, const char *name, struct kb_buf *out,
                        struct kb_err *err) {
    struct kb_err cause = {0};
    const char *path = kb_arena_printf(job->arena, "%s/%s", job->folder.inner, name);
    if (kb_file_read(path, OUTPUT_MAX, out, &cause) && out->len > 0)
        return true;
    return kb_fail(err, KB_BUILD, "%s: %s succeeded and left no output%s%s", job->source,
                   job->device->compiler.name, cause.kind ? ": " : "", cause.msg);
}

/* ---- steps ------------------------------------------------------------------------- */

/* The scheduler, compiled once for all kernels and never instrumented. */
static bool make_runner(void *context, struct kb_buf *payload, struct kb_err *err) {
    const struct host_job *job = context;
    struct kb_strings argv = {0};
    begin_command(job, &argv);
    for (const char *const *flag = host_flags; *flag; flag++)
        kb_strings_add(&argv, job->arena, *flag);
    add_words(job, &argv, "-std=c++17", "-fno-exceptions", "-isystem",
              kb_arena_printf(job->arena, "%s/include", kb_cuda_home()), "-c", "-o",
              "kbh_runner.o", "kbh/runner.cc", NULL);
    return run_compiler(job, &argv, err) && read_output(job, "kbh_runner.o", payload, err);
}

static bool fetch_runner(struct host_job *job, const struct kb_hash *key,
                         struct kb_err *err) {
    struct kb_buf object = {0};
    bool hit = false;
    bool ok = kb_cache_fetch(job->device->cache, key, false, make_runner, job, &object,
                             &hit, &job->device->note, err) &&
              host_folder_write(&job->folder, "kbh_runner.o", object.data, object.len, err);
    kb_buf_free(&object);
    return ok;
}

static bool preprocess(const struct host_job *job, struct kb_err *err) {
    struct kb_strings argv = {0};
    struct kb_buf text = {0}, rewritten = {0};
    begin_command(job, &argv);
    add_kernel_flags(job, &argv);
    add_words(job, &argv, "-E", "-o", "kbh_unit.ii", "kbh_unit.cc", NULL);
    bool ok = run_compiler(job, &argv, err) && read_output(job, "kbh_unit.ii", &text, err);
    if (ok) {
        kb_buf_puts(&rewritten, "#include \"kbh/shared.h\"\n");
        host_rewrite(text.data, text.len, &rewritten);
        ok = host_folder_write(&job->folder, "kbh_kernel.cc", rewritten.data, rewritten.len,
                               err);
    }
    kb_buf_free(&text);
    kb_buf_free(&rewritten);
    return ok;
}

static bool compile_kernel(const struct host_job *job, struct kb_err *err) {
    struct kb_strings argv = {0};
    begin_command(job, &argv);
    add_kernel_flags(job, &argv);
    if (!job->device->sanitizers) /* whose libraries have what it calls */
        add_words(job, &argv, "-fsanitize=alignment", "-fno-sanitize-recover=alignment",
                  NULL);
    add_words(job, &argv,
              kb_arena_printf(job->arena, "-fdebug-prefix-map=%s=.", job->folder.inner),
              "-c", "-o", "kbh_kernel.o", "kbh_kernel.cc", NULL);
    return run_compiler(job, &argv, err);
}

static bool link_both(const struct host_job *job, struct kb_buf *executable,
                      struct kb_err *err) {
    struct kb_strings argv = {0};
    begin_command(job, &argv);
    add_kernel_flags(job, &argv);
    add_words(job, &argv, "-no-pie", "-Wl,--as-needed", "-o", "kbh_run", "kbh_kernel.o",
              "kbh_runner.o", "-lm", NULL);
    return run_compiler(job, &argv, err) && read_output(job, "kbh_run", executable, err);
}

/* The scheduler on its way while the kernel is compiled: on a first run both are new. */
struct fetch {
    struct host_job job; /* a copy with an arena of its own */
    struct kb_arena arena;
    const struct kb_hash *key;
    struct kb_err err;
    bool ok;
};

static void *run_fetch(void *context) {
    struct fetch *f = context;
    f->ok = fetch_runner(&f->job, f->key, &f->err);
    return NULL;
}

static bool compile_both(struct host_job *job, const struct kb_hash *runner_key,
                         struct kb_buf *executable, struct kb_err *err) {
    struct fetch f = {.job = *job, .key = runner_key};
    pthread_t thread;
    f.job.arena = &f.arena;
    bool beside = pthread_create(&thread, NULL, run_fetch, &f) == 0;
    bool ok = preprocess(job, err) && compile_kernel(job, err);
    if (beside)
        pthread_join(thread, NULL);
    else
        run_fetch(&f);
    if (ok && !f.ok)
        *err = f.err;
    ok = ok && f.ok && link_both(job, executable, err);
    kb_arena_free(&f.arena);
    return ok;
}

bool host_compile(struct host_job *job, const struct kb_hash *runner_key,
                  struct kb_buf *executable, struct kb_err *err) {
    bool ok = host_folder_make(&job->folder, err) && write_shim(job, err) &&
              write_sources(job, err) && compile_both(job, runner_key, executable, err);
    host_folder_remove(&job->folder);
    return ok;
}
