/* job.c - a job as JSON on its way to a worker, and back. */
#include "run.h"

#include <stdlib.h>
#include <string.h>

static const char *const modes[] = {
#define X(id, word) word,
    KB_MODES(X)
#undef X
};

const char *kb_mode_word(enum kb_mode mode) {
    return modes[mode];
}

bool kb_mode_parse(const char *word, enum kb_mode *out) {
    for (size_t i = 0; i < KB_COUNT(modes); i++) {
        if (kb_streq(modes[i], word)) {
            *out = (enum kb_mode)i;
            return true;
        }
    }
    return false;
}

void kb_job_print(const struct kb_job *job, struct kb_buf *out) {
    cJSON *object = kb_json_object();
    struct kb_buf seed = {0};

    kb_buf_printf(&seed, "%llu", (unsigned long long)job->seed);
    kb_json_add_text(object, "case", job->case_id);
    kb_json_add_text(object, "tags", job->tags);
    kb_json_add_text(object, "origin", job->origin);
    kb_json_add_i64(object, "tolerance", job->tolerance.rule);
    kb_json_add_f64(object, "atol", job->tolerance.atol, 17);
    kb_json_add_f64(object, "rtol", job->tolerance.rtol, 17);
    kb_json_add_text(object, "kernel", job->kernel);
    kb_json_add_text(object, "variant", job->variant);
    kb_json_add_text(object, "build", job->build);
    kb_json_add_bool(object, "trusted_flags", job->trusted_flags);
    kb_json_add_i64(object, "mode", job->mode);
    kb_json_add_text(object, "seed", seed.data);
    kb_json_add_i64(object, "methods", job->methods);
    kb_json_add_f64(object, "precision", job->precision, 17);
    kb_json_add_f64(object, "max_time_s", job->max_time_s, 17);
    kb_json_add_i64(object, "sets", job->sets);
    kb_json_add_bool(object, "time_failing", job->time_failing);
    kb_json_add_bool(object, "single", job->single);
    kb_json_add_text(object, "repeat_options", job->repeat_options);
    kb_json_print(object, out);
    cJSON_Delete(object);
    kb_buf_free(&seed);
}

static const char *text_of(const cJSON *root, const char *name, struct kb_arena *arena) {
    const cJSON *item = kb_json_get(root, name);

    return cJSON_IsString(item) ? kb_arena_strdup(arena, item->valuestring) : NULL;
}

static int64_t whole_of(const cJSON *root, const char *name) {
    int64_t value = 0;

    return kb_json_i64(kb_json_get(root, name), &value) ? value : 0;
}

static double number_of(const cJSON *root, const char *name) {
    const cJSON *item = kb_json_get(root, name);

    return cJSON_IsNumber(item) ? item->valuedouble : 0;
}

bool kb_job_parse(const char *text, size_t size, struct kb_arena *arena, struct kb_job *out,
                  struct kb_err *err) {
    struct kb_json doc = {0};

    if (!kb_json_parse(&doc, "job", text, size, err))
        return false;
    const cJSON *root = doc.root;
    *out = (struct kb_job){
        .case_id = text_of(root, "case", arena),
        .tags = text_of(root, "tags", arena),
        .origin = text_of(root, "origin", arena),
        .tolerance = {.rule = (enum kb_tolerance_rule)whole_of(root, "tolerance"),
                      .atol = number_of(root, "atol"),
                      .rtol = number_of(root, "rtol")},
        .kernel = text_of(root, "kernel", arena),
        .variant = text_of(root, "variant", arena),
        .build = text_of(root, "build", arena),
        .trusted_flags = cJSON_IsTrue(kb_json_get(root, "trusted_flags")),
        .mode = (enum kb_mode)whole_of(root, "mode"),
        .methods = (unsigned)whole_of(root, "methods"),
        .precision = number_of(root, "precision"),
        .max_time_s = number_of(root, "max_time_s"),
        .sets = (int)whole_of(root, "sets"),
        .time_failing = cJSON_IsTrue(kb_json_get(root, "time_failing")),
        .single = cJSON_IsTrue(kb_json_get(root, "single")),
        .repeat_options = text_of(root, "repeat_options", arena),
    };
    const char *seed = text_of(root, "seed", arena);
    bool ok = out->case_id && out->build && seed && kb_parse_u64(seed, &out->seed);
    kb_json_free(&doc);
    return ok || kb_fail(err, KB_INPUT, "job: no case, build or seed in it");
}
