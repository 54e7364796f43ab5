/* host.c - the host backend: kernels on CPU fibers, in a process of their own. */
#include "host.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What contracts are checked against: an H200's numbers, so that a plan is the same on
 * every machine and like the one on a GPU. */
enum { HOST_SM = 90, HOST_SM_COUNT = 132, HOST_SMEM_BYTES = 227 << 10 };

/* A line of /proc/meminfo, "MemAvailable:    1234 kB"; 0 if it is not there. */
static int64_t memory_fact(const char *name) {
    char line[128];
    int64_t bytes = 0;
    FILE *file = fopen("/proc/meminfo", "re");
    while (file && fgets(line, sizeof line, file))
        if (kb_starts_with(line, name))
            bytes = strtoll(line + strlen(name), NULL, 10) * 1024;
    if (file)
        fclose(file);
    return bytes;
}

static void fill_info(struct kb_device_info *info, const struct host_compiler *compiler) {
    *info = (struct kb_device_info){
        .backend = "host",
        .id = "host",
        .name = "host",
        .limits =
            {
                .sm = HOST_SM,
                .sm_count = HOST_SM_COUNT,
                .smem_per_block = HOST_SMEM_BYTES,
                .max_threads = 1024,
                .max_grid = {INT32_MAX, 65535, 65535},
                .max_block = {1024, 1024, 64},
            },
        .cores = kb_cores(),
    };
    info->memory_bytes = memory_fact("MemTotal:");
    info->free_bytes = memory_fact("MemAvailable:");
    kb_text_copy(info->compiler, sizeof info->compiler, compiler->name);
}

static bool find_tools(struct kb_arena *arena, struct host_compiler *compiler,
                       struct kb_err *err) {
    if (!kb_cuda_home())
        return kb_fail(
            err, KB_DEVICE,
            "no CUDA Toolkit headers (cuda_fp16.h and others): set CUDA_HOME, or "
            "install them where /usr/local/cuda points");
    return host_compiler_find(arena, compiler, err);
}

static int host_probe(struct kb_device_info *devices, int max, struct kb_buf *gaps) {
    struct kb_arena arena = {0};
    struct host_compiler compiler;
    struct kb_err err = {0};
    bool ok = find_tools(&arena, &compiler, &err);
    if (!ok)
        kb_buf_printf(gaps, "host: %s\n", err.msg);
    else if (max > 0)
        fill_info(devices, &compiler);
    kb_arena_free(&arena);
    return ok ? 1 : 0;
}

static bool parse_sanitizers(const char *text, unsigned *out, struct kb_err *err) {
    static const struct {
        const char *word;
        unsigned bit;
    } known[] = {
        {"address", HOST_ADDRESS},
        {"undefined", HOST_UNDEFINED},
        {"thread", HOST_THREAD},
    };
    struct kb_arena arena = {0};
    struct kb_strings words = {0};
    bool ok = true;
    *out = 0;
    kb_split(&arena, text ? text : "", ',', &words);
    for (size_t i = 0; i < words.count && text && *text && ok; i++) {
        unsigned bit = 0;
        for (size_t k = 0; k < KB_COUNT(known); k++)
            if (kb_streq(words.items[i], known[k].word))
                bit = known[k].bit;
        *out |= bit;
        if (!bit)
            ok = kb_fail(err, KB_INPUT,
                         "sanitizer \"%s\": there are address, undefined and thread",
                         words.items[i]);
    }
    if (ok && (*out & HOST_THREAD) && (*out & HOST_ADDRESS))
        ok = kb_fail(err, KB_INPUT, "sanitizers thread and address exclude each other");
    kb_arena_free(&arena);
    return ok;
}

static void host_close(struct kb_device *device) {
    if (!device)
        return;
    host_binaries_free(device);
    kb_cache_close(device->cache);
    kb_buf_free(&device->note);
    kb_arena_free(&device->arena);
    free(device);
}

static void limit_memory(struct kb_device_info *info, size_t limit) {
    if ((size_t)info->memory_bytes > limit)
        info->memory_bytes = (int64_t)limit;
    if ((size_t)info->free_bytes > limit)
        info->free_bytes = (int64_t)limit;
}

static bool host_open(int ordinal, const struct kb_exec_options *options,
                      struct kb_device **out, struct kb_err *err) {
    struct kb_device *device = calloc(1, sizeof *device);
    if (!device)
        kb_out_of_memory();
    device->options = *options;
    bool ok = ordinal == 0 || kb_fail(err, KB_DEVICE, "host has no device %d", ordinal);
    ok = ok && parse_sanitizers(options->sanitize, &device->sanitizers, err) &&
         find_tools(&device->arena, &device->compiler, err);
    if (!ok) {
        host_close(device);
        return false;
    }
    fill_info(&device->info, &device->compiler);
    if (options->host_sm > 0)
        device->info.limits.sm = options->host_sm;
    if (options->memory_limit > 0)
        limit_memory(&device->info, options->memory_limit);
    if (!options->no_cache)
        device->cache = kb_cache_open(&device->note);
    *out = device;
    return true;
}

static const struct kb_device_info *host_info(struct kb_device *device) {
    return &device->info;
}

static void host_unload(struct kb_device *device, struct kb_code *code) {
    (void)device; /* keeps the executable, for other variants of the file */
    if (!code)
        return;
    kb_arena_free(&code->arena);
    free(code);
}

static void host_clocks(struct kb_device *device, struct kb_clocks *out) {
    (void)device;
    *out = (struct kb_clocks){.other_processes = -1};
}

const struct kb_backend kb_host = {
    .name = "host",
    .maps_slabs = true,
    .probe = host_probe,
    .open = host_open,
    .close = host_close,
    .info = host_info,
    .build = host_build,
    .unload = host_unload,
    .run = host_run,
    .clocks = host_clocks,
};
