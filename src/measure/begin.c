/* begin.c - a row before its case has run: what a job says about itself, and the command
 * that repeats it. */
#include "session.h"

#include <string.h>

/* ---- the repeat line --------------------------------------------------------------- */

static void put_option(struct kb_buf *out, const char *option, const char *value) {
    kb_buf_printf(out, " %s ", option);
    kb_shell_word(out, value);
}

const char *kb_repeat_line(const struct kb_job *job, const char *variant,
                           struct kb_arena *arena) {
    struct kb_buf text = {0};

    kb_buf_puts(&text, "kbench");
    put_option(&text, "--case", job->case_id);
    if (job->kernel && variant)
        put_option(&text, "--kernel",
                   kb_arena_printf(arena, "%s:%s", job->kernel, variant));
    else if (job->kernel)
        put_option(&text, "--kernel", job->kernel);
    put_option(&text, "--build", job->build);
    if (variant && !job->kernel)
        put_option(&text, "--variant", variant);
    kb_buf_printf(&text, " --seed %llu", (unsigned long long)job->seed);
    if (job->load)
        put_option(&text, "--load", job->load);
    if (job->sample_rows)
        kb_buf_printf(&text, " --sample %lld", (long long)job->sample_rows);
    if (job->repeat_options && *job->repeat_options)
        kb_buf_printf(&text, " %s", job->repeat_options);
    const char *line = kb_arena_strdup(arena, text.data);
    kb_buf_free(&text);
    return line;
}

/* ---- the row ----------------------------------------------------------------------- */

/* The case's parameters and axes as key=value text. */
static void describe_case(const struct kb_case *c, struct kb_arena *arena,
                          struct kb_row *row) {
    struct kb_problem *problem = kb_arena_alloc(arena, sizeof *problem);
    struct kb_err err = {0};

    row->op = c->op->name;
    row->dtype = c->dtype;
    row->rank = c->rank;
    memcpy(row->shape, c->shape, sizeof row->shape);
    row->fill = kb_fill_word(c->fill);
    for (int i = 0; i < c->op->n_params; i++) {
        struct kb_buf text = {0};
        if (c->set[i].v == c->op->params[i].def)
            continue;
        kb_buf_printf(&text, "%s=", c->op->params[i].name);
        kb_value_print(&c->op->params[i], c->set[i], &text);
        kb_strings_add(&row->set, arena, kb_arena_strdup(arena, text.data));
        kb_buf_free(&text);
    }
    if (!kb_case_resolve(c, problem, &err))
        return;
    row->bytes = problem->bytes;
    row->flops = problem->flops;
    for (int i = 0; i < problem->n_names; i++) {
        const struct kb_name *name = &problem->names[i];
        int index;
        if (!name->words && !name->is_float && !kb_op_param(c->op, name->name, &index))
            kb_strings_add(&row->axes, arena,
                           kb_arena_printf(arena, "%s=%.0f", name->name, name->value));
    }
}

static const char *copy_of(struct kb_arena *arena, const char *text) {
    return text ? kb_arena_strdup(arena, text) : NULL;
}

void kb_row_begin(const struct kb_job *job, const struct kb_device_info *device,
                  struct kb_arena *arena, struct kb_row *row) {
    struct kb_complaints complaints = {0};
    struct kb_case c = {0};

    *row = (struct kb_row){
        .case_id = copy_of(arena, job->case_id),
        .device = copy_of(arena, device->id),
        .backend = copy_of(arena, device->backend),
        .build = kb_arena_strndup(arena, job->build, kb_build_label(job->build)),
        .variant = copy_of(arena, job->variant),
        .kernel = copy_of(arena, job->kernel),
        .op = "",
        .fill = "",
        .tags = copy_of(arena, job->tags),
        .origin = copy_of(arena, job->origin),
        .seed = job->seed,
        .load = copy_of(arena, job->load),
        .sample_rows = job->sample_rows,
        .repeat = kb_repeat_line(job, job->variant, arena),
    };
    if (kb_case_parse(job->case_id, arena, &c, &complaints))
        describe_case(&c, arena, row);
    kb_complaints_free(&complaints);
}

void kb_row_warn(struct kb_row *row, struct kb_arena *arena, const char *text) {
    if (!row->warning)
        row->warning = kb_arena_strdup(arena, text);
    else if (!strstr(row->warning, text))
        row->warning = kb_arena_printf(arena, "%s; %s", row->warning, text);
}

enum kb_reason kb_reason_of(const struct kb_err *err, enum kb_reason unsupported,
                            bool no_compile) {
    switch (err->kind) {
    case KB_UNSUPPORTED:
        return unsupported;
    case KB_INPUT:
        return KB_R_CONTRACT;
    case KB_BUILD: /* what kb_cache_fetch says, whatever stands in front of it */
        return no_compile && strstr(err->msg, "would have to compile") ? KB_R_NO_COMPILE
                                                                       : KB_R_COMPILE;
    case KB_DEVICE:
        return KB_R_LAUNCH;
    case KB_CRASH:
        return KB_R_CRASH;
    case KB_TIMEOUT:
        return KB_R_TIMEOUT;
    case KB_MEMORY:
        return KB_R_MEMORY;
    case KB_IO:
    case KB_NO_ERROR:
        break;
    }
    return KB_R_IO;
}
