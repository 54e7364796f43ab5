/* job.c - a job as JSON on its way to a worker, and back. */
#include "fields.h"
#include "run.h"

#include <limits.h>

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
    kb_json_add_text(object, "mode", kb_mode_word(job->mode));
    kb_json_add_text(object, "seed", seed.data);
    kb_json_add_i64(object, "methods", job->methods);
    kb_json_add_f64(object, "precision", job->precision, 17);
    kb_json_add_f64(object, "max_time_s", job->max_time_s, 17);
    kb_json_add_i64(object, "sets", job->sets);
    kb_json_add_f64(object, "duty", job->duty, 17);
    kb_json_add_bool(object, "time_failing", job->time_failing);
    kb_json_add_bool(object, "energy", job->energy);
    kb_json_add_text(object, "samples", job->samples);
    kb_json_add_i64(object, "sample_rows", job->sample_rows);
    kb_json_add_bool(object, "single", job->single);
    kb_json_add_bool(object, "loaded_only", job->loaded_only);
    kb_json_add_bool(object, "one_run", job->one_run);
    kb_json_add_i64(object, "compared", job->compared);
    kb_json_add_text(object, "load", job->load);
    kb_json_add_text(object, "dump", job->dump);
    kb_json_add_text(object, "kbench", job->kbench);
    kb_json_add_text(object, "repeat_options", job->repeat_options);
    kb_json_print(object, out);
    cJSON_Delete(object);
    kb_buf_free(&seed);
}

bool kb_job_parse(const char *text, size_t size, struct kb_arena *arena, struct kb_job *out,
                  struct kb_err *err) {
    struct kb_json doc = {0};
    struct kb_fields f = {.arena = arena};

    if (!kb_json_parse(&doc, "job", text, size, err))
        return false;
    const cJSON *root = doc.root;
    *out = (struct kb_job){
        .case_id = kb_field_text(&f, root, "case"),
        .tags = kb_field_maybe(&f, root, "tags"),
        .origin = kb_field_maybe(&f, root, "origin"),
        .tolerance = {.rule = (enum kb_tolerance_rule)kb_field_whole(&f, root, "tolerance",
                                                                     0, KB_TOL_GIVEN),
                      .atol = kb_field_number(&f, root, "atol", 0),
                      .rtol = kb_field_number(&f, root, "rtol", 0)},
        .kernel = kb_field_maybe(&f, root, "kernel"),
        .variant = kb_field_maybe(&f, root, "variant"),
        .build = kb_field_text(&f, root, "build"),
        .trusted_flags = kb_field_bool(&f, root, "trusted_flags"),
        .mode = (enum kb_mode)kb_field_word(&f, root, "mode", modes, KB_COUNT(modes)),
        .methods = (unsigned)kb_field_whole(&f, root, "methods", 0, UINT_MAX),
        .precision = kb_field_number(&f, root, "precision", 0),
        .max_time_s = kb_field_number(&f, root, "max_time_s", 0),
        .sets = (int)kb_field_whole(&f, root, "sets", 0, INT_MAX),
        .duty = kb_field_number(&f, root, "duty", 0),
        .time_failing = kb_field_bool(&f, root, "time_failing"),
        .energy = kb_field_bool(&f, root, "energy"),
        .samples = kb_field_maybe(&f, root, "samples"),
        .sample_rows = kb_field_whole(&f, root, "sample_rows", 0, INT64_MAX),
        .single = kb_field_bool(&f, root, "single"),
        .loaded_only = kb_field_bool(&f, root, "loaded_only"),
        .one_run = kb_field_bool(&f, root, "one_run"),
        .compared = kb_field_whole(&f, root, "compared", 0, INT64_MAX),
        .load = kb_field_maybe(&f, root, "load"),
        .dump = kb_field_maybe(&f, root, "dump"),
        .kbench = kb_field_maybe(&f, root, "kbench"),
        .repeat_options = kb_field_maybe(&f, root, "repeat_options"),
    };
    if (!kb_parse_u64(kb_field_text(&f, root, "seed"), &out->seed))
        kb_field_wrong(&f, "seed");
    kb_json_free(&doc);
    return !f.wrong || kb_fail(err, KB_INPUT, "job: no right \"%s\" in it", f.wrong);
}
