/* hello.c - a worker's options and its device as JSON. */
#include "hello.h"

static const char *text_of(const cJSON *root, const char *name) {
    const cJSON *item = kb_json_get(root, name);

    return cJSON_IsString(item) ? item->valuestring : NULL;
}

static int64_t whole_of(const cJSON *root, const char *name) {
    int64_t value = 0;

    return kb_json_i64(kb_json_get(root, name), &value) ? value : 0;
}

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
    kb_json_add_i64(object, "memory_limit", (int64_t)e->memory_limit);
    kb_json_add_bool(object, "verbose", e->verbose);
    kb_json_print(object, out);
    cJSON_Delete(object);
}

bool kb_worker_options_parse(const char *text, size_t size, struct kb_arena *arena,
                             struct kb_worker_options *out, struct kb_err *err) {
    struct kb_json doc = {0};

    if (!kb_json_parse(&doc, "options", text, size, err))
        return false;
    const char *backend = text_of(doc.root, "backend");
    const char *sanitize = text_of(doc.root, "sanitize");
    *out = (struct kb_worker_options){
        .backend = kb_arena_strdup(arena, backend ? backend : "auto"),
        .ordinal = (int)whole_of(doc.root, "ordinal"),
        .exec = {.sanitize = sanitize ? kb_arena_strdup(arena, sanitize) : NULL,
                 .host_sm = whole_of(doc.root, "host_sm"),
                 .no_cache = cJSON_IsTrue(kb_json_get(doc.root, "no_cache")),
                 .no_compile = cJSON_IsTrue(kb_json_get(doc.root, "no_compile")),
                 .compile_ms = whole_of(doc.root, "compile_ms"),
                 .launch_ms = whole_of(doc.root, "launch_ms"),
                 .memory_limit = (size_t)whole_of(doc.root, "memory_limit"),
                 .verbose = cJSON_IsTrue(kb_json_get(doc.root, "verbose"))},
    };
    kb_json_free(&doc);
    return true;
}

static void add_limits(cJSON *object, const struct kb_device_limits *l) {
    kb_json_add_i64(object, "sm", l->sm);
    kb_json_add_i64(object, "sm_count", l->sm_count);
    kb_json_add_i64(object, "smem_per_block", l->smem_per_block);
    kb_json_add_i64(object, "max_threads", l->max_threads);
    for (int i = 0; i < 3; i++) {
        char grid[] = "max_grid_x", block[] = "max_block_x";
        grid[sizeof grid - 2] = block[sizeof block - 2] = (char)('x' + i);
        kb_json_add_i64(object, grid, l->max_grid[i]);
        kb_json_add_i64(object, block, l->max_block[i]);
    }
}

static void limits_of(const cJSON *root, struct kb_device_limits *l) {
    l->sm = whole_of(root, "sm");
    l->sm_count = whole_of(root, "sm_count");
    l->smem_per_block = whole_of(root, "smem_per_block");
    l->max_threads = whole_of(root, "max_threads");
    for (int i = 0; i < 3; i++) {
        char grid[] = "max_grid_x", block[] = "max_block_x";
        grid[sizeof grid - 2] = block[sizeof block - 2] = (char)('x' + i);
        l->max_grid[i] = whole_of(root, grid);
        l->max_block[i] = whole_of(root, block);
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
        add_limits(object, &info->limits);
    }
    kb_json_print(object, out);
    cJSON_Delete(object);
}

bool kb_hello_parse(const char *text, size_t size, struct kb_device_info *info,
                    struct kb_err *err) {
    struct kb_json doc = {0};

    if (!kb_json_parse(&doc, "hello", text, size, err))
        return false;
    const cJSON *root = doc.root;
    if (kb_json_get(root, "error")) {
        const char *message = text_of(root, "message");
        kb_fail(err, (enum kb_err_kind)whole_of(root, "error"), "%s",
                message ? message : "");
        kb_json_free(&doc);
        return false;
    }
    *info = (struct kb_device_info){
        .l2_bytes = whole_of(root, "l2_bytes"),
        .memory_bytes = whole_of(root, "memory_bytes"),
        .free_bytes = whole_of(root, "free_bytes"),
        .cores = (int)whole_of(root, "cores"),
        .clocks_locked = cJSON_IsTrue(kb_json_get(root, "clocks_locked")),
    };
    kb_text_copy(info->backend, sizeof info->backend, text_of(root, "backend"));
    kb_text_copy(info->id, sizeof info->id, text_of(root, "id"));
    kb_text_copy(info->name, sizeof info->name, text_of(root, "name"));
    kb_text_copy(info->uuid, sizeof info->uuid, text_of(root, "uuid"));
    kb_text_copy(info->driver, sizeof info->driver, text_of(root, "driver"));
    kb_text_copy(info->nvrtc, sizeof info->nvrtc, text_of(root, "nvrtc"));
    kb_text_copy(info->compiler, sizeof info->compiler, text_of(root, "compiler"));
    kb_text_copy(info->note, sizeof info->note, text_of(root, "note"));
    limits_of(root, &info->limits);
    kb_json_free(&doc);
    return true;
}
