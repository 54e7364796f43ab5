/* hello.c - a worker's options and its device as JSON. */
#include "hello.h"
#include "fields.h"

#include <limits.h>

void kb_worker_options_print(const struct kb_worker_options *options, struct kb_buf *out) {
    const struct kb_exec_options *e = &options->exec;
    cJSON *object = kb_json_object();

    kb_json_add_text(object, "backend", options->backend);
    kb_json_add_i64(object, "ordinal", options->ordinal);
    kb_json_add_text(object, "sanitize", e->sanitize);
    kb_json_add_i64(object, "host_sm", e->host_sm);
    kb_json_add_bool(object, "no_cache", e->no_cache);
    kb_json_add_bool(object, "no_compile", e->no_compile);
    kb_json_add_i64(object, "compile_ms", e->compile_ms);
    kb_json_add_i64(object, "launch_ms", e->launch_ms);
    kb_json_add_i64(object, "memory_limit",
                    e->memory_limit < INT64_MAX ? (int64_t)e->memory_limit : INT64_MAX);
    kb_json_add_bool(object, "verbose", e->verbose);
    kb_json_add_text(object, "dump_ptx", e->dump_ptx);
    kb_json_add_text(object, "dump_sass", e->dump_sass);
    kb_json_add_text(object, "keep", e->keep);
    kb_json_add_bool(object, "profile", e->profile);
    kb_json_print(object, out);
    cJSON_Delete(object);
}

bool kb_worker_options_parse(const char *text, size_t size, struct kb_arena *arena,
                             struct kb_worker_options *out, struct kb_err *err) {
    struct kb_json doc = {0};
    struct kb_fields f = {.arena = arena};

    if (!kb_json_parse(&doc, "options", text, size, err))
        return false;
    const cJSON *root = doc.root;
    *out = (struct kb_worker_options){
        .backend = kb_field_text(&f, root, "backend"),
        .ordinal = (int)kb_field_whole(&f, root, "ordinal", INT_MIN, INT_MAX),
        .exec = {.sanitize = kb_field_maybe(&f, root, "sanitize"),
                 .host_sm = kb_field_whole(&f, root, "host_sm", 0, INT64_MAX),
                 .no_cache = kb_field_bool(&f, root, "no_cache"),
                 .no_compile = kb_field_bool(&f, root, "no_compile"),
                 .compile_ms = kb_field_whole(&f, root, "compile_ms", 0, INT64_MAX),
                 .launch_ms = kb_field_whole(&f, root, "launch_ms", 0, INT64_MAX),
                 .memory_limit =
                     (size_t)kb_field_whole(&f, root, "memory_limit", 0, INT64_MAX),
                 .verbose = kb_field_bool(&f, root, "verbose"),
                 .dump_ptx = kb_field_maybe(&f, root, "dump_ptx"),
                 .dump_sass = kb_field_maybe(&f, root, "dump_sass"),
                 .keep = kb_field_maybe(&f, root, "keep"),
                 .profile = kb_field_bool(&f, root, "profile")},
    };
    kb_json_free(&doc);
    return !f.wrong || kb_fail(err, KB_INPUT, "options: no right \"%s\" in them", f.wrong);
}

static const char *const grid_names[] = {"max_grid_x", "max_grid_y", "max_grid_z"};
static const char *const block_names[] = {"max_block_x", "max_block_y", "max_block_z"};

static void add_limits(cJSON *object, const struct kb_device_limits *l) {
    kb_json_add_i64(object, "sm", l->sm);
    kb_json_add_i64(object, "sm_count", l->sm_count);
    kb_json_add_i64(object, "smem_per_block", l->smem_per_block);
    kb_json_add_i64(object, "max_threads", l->max_threads);
    for (int i = 0; i < 3; i++) {
        kb_json_add_i64(object, grid_names[i], l->max_grid[i]);
        kb_json_add_i64(object, block_names[i], l->max_block[i]);
    }
}

static int64_t size_of(struct kb_fields *f, const cJSON *root, const char *name) {
    return kb_field_whole(f, root, name, 0, INT64_MAX);
}

static void limits_of(struct kb_fields *f, const cJSON *root, struct kb_device_limits *l) {
    l->sm = size_of(f, root, "sm");
    l->sm_count = size_of(f, root, "sm_count");
    l->smem_per_block = size_of(f, root, "smem_per_block");
    l->max_threads = size_of(f, root, "max_threads");
    for (int i = 0; i < 3; i++) {
        l->max_grid[i] = size_of(f, root, grid_names[i]);
        l->max_block[i] = size_of(f, root, block_names[i]);
    }
}

void kb_hello_print(const struct kb_device_info *info, const struct kb_err *err,
                    struct kb_buf *out) {
    cJSON *object = kb_json_object();

    if (err) {
        kb_json_add_i64(object, "error", err->kind);
        kb_json_add_text(object, "message", err->msg);
    } else {
        kb_json_add_text(object, "backend", info->backend);
        kb_json_add_text(object, "id", info->id);
        kb_json_add_text(object, "name", info->name);
        kb_json_add_text(object, "uuid", info->uuid);
        kb_json_add_text(object, "driver", info->driver);
        kb_json_add_text(object, "nvrtc", info->nvrtc);
        kb_json_add_text(object, "compiler", info->compiler);
        kb_json_add_text(object, "note", info->note);
        kb_json_add_i64(object, "l2_bytes", info->l2_bytes);
        kb_json_add_i64(object, "memory_bytes", info->memory_bytes);
        kb_json_add_i64(object, "free_bytes", info->free_bytes);
        kb_json_add_i64(object, "cores", info->cores);
        kb_json_add_bool(object, "clocks_locked", info->clocks_locked);
        kb_json_add_text(object, "lock", info->lock);
        add_limits(object, &info->limits);
    }
    kb_json_print(object, out);
    cJSON_Delete(object);
}

static void info_text(struct kb_fields *f, const cJSON *root, const char *name, char *out,
                      size_t size) {
    kb_text_copy(out, size, kb_field_text(f, root, name));
}

static void info_of(struct kb_fields *f, const cJSON *root, struct kb_device_info *info) {
    *info = (struct kb_device_info){
        .l2_bytes = size_of(f, root, "l2_bytes"),
        .memory_bytes = size_of(f, root, "memory_bytes"),
        .free_bytes = size_of(f, root, "free_bytes"),
        .cores = (int)kb_field_whole(f, root, "cores", 0, INT_MAX),
        .clocks_locked = kb_field_bool(f, root, "clocks_locked"),
    };
    info_text(f, root, "backend", info->backend, sizeof info->backend);
    info_text(f, root, "id", info->id, sizeof info->id);
    info_text(f, root, "name", info->name, sizeof info->name);
    info_text(f, root, "uuid", info->uuid, sizeof info->uuid);
    info_text(f, root, "driver", info->driver, sizeof info->driver);
    info_text(f, root, "nvrtc", info->nvrtc, sizeof info->nvrtc);
    info_text(f, root, "lock", info->lock, sizeof info->lock);
    info_text(f, root, "compiler", info->compiler, sizeof info->compiler);
    info_text(f, root, "note", info->note, sizeof info->note);
    limits_of(f, root, &info->limits);
}

bool kb_hello_parse(const char *text, size_t size, struct kb_device_info *info,
                    struct kb_err *err) {
    struct kb_json doc = {0};
    struct kb_arena arena = {0};
    struct kb_fields f = {.arena = &arena};
    bool ok = false;

    if (!kb_json_parse(&doc, "hello", text, size, err))
        return false;
    bool failed = kb_json_get(doc.root, "error") != NULL;
    int64_t kind = kb_field_whole_or(&f, doc.root, "error", KB_UNSUPPORTED, KB_MEMORY, 0);
    const char *message = failed ? kb_field_text(&f, doc.root, "message") : "";
    if (failed && !*message)
        kb_field_wrong(&f, "message");
    if (!failed)
        info_of(&f, doc.root, info);
    if (f.wrong)
        kb_fail(err, KB_CRASH, "hello: no right \"%s\" in it", f.wrong);
    else if (failed)
        kb_fail(err, (enum kb_err_kind)kind, "%s", message);
    else
        ok = true;
    kb_arena_free(&arena);
    kb_json_free(&doc);
    return ok;
}
