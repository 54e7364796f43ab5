/* facts.c - the facts of a run: the machine, the devices, the builds; as a journal's
 * header. */
#include "report/parts.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SMALL_FILE = 1 << 20 };

/* The value of the first "key<separator>value" line of a file of the system; NULL if there
 * is none. Quotes around it are left out. */
static const char *system_value(const char *path, const char *key, char separator,
                                struct kb_arena *arena) {
    struct kb_buf text = {0};
    struct kb_strings lines = {0};
    struct kb_err err = {0};
    const char *value = NULL;
    if (kb_file_read(path, SMALL_FILE, &text, &err))
        kb_split(arena, kb_buf_text(&text), '\n', &lines);
    for (size_t i = 0; i < lines.count && !value; i++) {
        const char *at = strchr(lines.items[i], separator);
        if (!at || !kb_starts_with(lines.items[i], key))
            continue;
        at += 1 + strspn(at + 1, " \t\"");
        value = kb_arena_strndup(arena, at, strcspn(at, "\""));
    }
    kb_buf_free(&text);
    return value;
}

static const char *utc_now(struct kb_arena *arena) {
    time_t now = time(NULL);
    struct tm utc;
    char text[32];
    if (!gmtime_r(&now, &utc) || !strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc))
        return "";
    return kb_arena_strdup(arena, text);
}

void kb_facts_of_host(struct kb_facts *facts, struct kb_arena *arena) {
    /* Each makes the loader or the driver run somebody's code inside the measurement. */
    static const char *const loaders[] = {"LD_PRELOAD", "LD_AUDIT", "CUDA_INJECTION32_PATH",
                                          "CUDA_INJECTION64_PATH", "NVTX_INJECTION64_PATH"};
    facts->cpu = system_value("/proc/cpuinfo", "model name", ':', arena);
    facts->os = system_value("/etc/os-release", "PRETTY_NAME", '=', arena);
    facts->cores = kb_cores();
    facts->started = utc_now(arena);
    for (size_t i = 0; i < KB_COUNT(loaders); i++) {
        const char *value = getenv(loaders[i]);
        if (value && *value)
            kb_strings_add(&facts->instrumented, arena, loaders[i]);
    }
}

/* ---- the header line -------------------------------------------------------------------
 */

static cJSON *list_item(const struct kb_strings *list) {
    cJSON *array = kb_json_array();
    for (size_t i = 0; i < list->count; i++)
        kb_json_push(array, kb_json_text_item(list->items[i]));
    return array;
}

static void add_known(cJSON *object, const char *name, const char *text) {
    if (text && *text)
        kb_json_add_text(object, name, text);
}

static cJSON *device_item(const struct kb_device_info *device) {
    cJSON *item = kb_json_object();
    kb_json_add_text(item, "id", device->id);
    kb_json_add_text(item, "backend", device->backend);
    kb_json_add_text(item, "name", device->name);
    if (kb_streq(device->backend, "host")) {
        kb_json_add_i64(item, "cores", device->cores);
        kb_json_add_i64(item, "sm", device->limits.sm);
        add_known(item, "compiler", device->compiler);
        return item;
    }
    add_known(item, "uuid", device->uuid);
    kb_json_add_i64(item, "sm", device->limits.sm);
    kb_json_add_i64(item, "sm_count", device->limits.sm_count);
    kb_json_add_i64(item, "l2_bytes", device->l2_bytes);
    kb_json_add_i64(item, "memory_bytes", device->memory_bytes);
    add_known(item, "driver", device->driver);
    add_known(item, "nvrtc", device->nvrtc);
    kb_json_add_bool(item, "clocks_locked", device->clocks_locked);
    return item;
}

void kb_facts_print(const struct kb_facts *facts, struct kb_buf *out) {
    cJSON *root = kb_json_object(), *host = kb_json_object(), *devices = kb_json_array(),
          *builds = kb_json_object();
    kb_json_add_text(root, "schema", KB_REPORT_SCHEMA);
    kb_json_add_text(root, "kbench", facts->kbench);
    kb_json_add(root, "command", list_item(&facts->command));
    kb_json_add_text(root, "started", facts->started);
    add_known(host, "cpu", facts->cpu);
    kb_json_add_i64(host, "cores", facts->cores);
    add_known(host, "os", facts->os);
    if (facts->instrumented.count)
        kb_json_add(host, "instrumented", list_item(&facts->instrumented));
    kb_json_add(root, "host", host);
    for (int i = 0; i < facts->n_devices; i++)
        kb_json_push(devices, device_item(&facts->devices[i]));
    kb_json_add(root, "devices", devices);
    for (int i = 0; i < facts->n_builds; i++)
        kb_json_add(builds, facts->builds[i].name, list_item(&facts->builds[i].flags));
    kb_json_add(root, "builds", builds);
    kb_json_print(root, out);
    cJSON_Delete(root);
}
