/* survey.c - passes over the rows of a journal, and what the first of them finds. */
#include "report/parts.h"

#include <string.h>

bool kb_rows_visit(struct kb_rows *rows, struct kb_sink *sink, kb_visit *visit,
                   void *context, struct kb_err *err) {
    struct kb_arena arena = {0};
    struct kb_row row;
    struct kb_err why = {0};
    kb_rows_rewind(rows);
    while (kb_rows_next(rows, &arena, &row, &why)) {
        visit(context, &row);
        kb_arena_reset(&arena);
        if (sink)
            kb_sink_room(sink);
    }
    kb_arena_free(&arena);
    return !why.kind || kb_fail(err, why.kind, "%s", why.msg);
}

static bool differs(char *first, size_t size, const char *text) {
    text = text ? text : "-";
    if (!*first)
        kb_text_copy(first, size, text);
    return strncmp(first, text, size - 1) != 0;
}

/* Rows of a case stand together: is there one of another variant than its first? */
static void look_at_variant(struct kb_survey *s, const struct kb_row *row) {
    struct kb_hash id = kb_hash_of(row->case_id, strlen(row->case_id));
    if (memcmp(&id, &s->last, sizeof id) != 0)
        s->variant[0] = '\0';
    s->last = id;
    s->many_variants |= differs(s->variant, sizeof s->variant, row->variant);
}

static void look_at(void *context, const struct kb_row *row) {
    struct kb_survey *s = context;
    kb_tally_add(&s->tally, row);
    kb_told_count(&s->told, row);
    s->many_builds |= differs(s->build, sizeof s->build, row->build);
    s->many_devices |= differs(s->device, sizeof s->device, row->device);
    look_at_variant(s, row);
    s->has_registers |= row->built && row->code.registers > 0;
    s->has_energy |= kb_row_energy(row) > 0;
    for (int m = 0; m < KB_METHOD_COUNT; m++)
        s->has[m] |= row->times[m].there;
    s->paired += row->against != NULL;
    for (int m = 0; row->against && m < KB_METHOD_COUNT; m++)
        s->compared[m] += row->against->speeds[m].there;
    s->ms_total += row->ms_total;
}

bool kb_survey_rows(struct kb_rows *rows, struct kb_survey *survey, struct kb_err *err) {
    bool ok = kb_rows_visit(rows, NULL, look_at, survey, err);
    survey->first = -1;
    for (int m = KB_METHOD_COUNT - 1; m >= 0; m--)
        survey->first = survey->has[m] ? m : survey->first;
    survey->against = survey->first < 0 ? 0 : survey->compared[survey->first];
    return ok;
}

int64_t kb_survey_repeated(const struct kb_survey *survey) {
    const struct kb_tally *t = &survey->tally;
    return t->rows - t->count[KB_PASS] - t->count[KB_SKIP];
}

const char *kb_member_text(const cJSON *object, const char *name) {
    const char *text = cJSON_GetStringValue(kb_json_get(object, name));
    return text ? text : "";
}

void kb_member_device(const cJSON *device, struct kb_buf *out) {
    int64_t sm, cores;
    if (!kb_streq(kb_member_text(device, "backend"), "host")) {
        kb_buf_puts(out, kb_member_text(device, "name"));
        if (kb_json_i64(kb_json_get(device, "sm"), &sm))
            kb_buf_printf(out, " sm_%lld", (long long)sm);
        return;
    }
    kb_buf_puts(out, "host");
    if (kb_json_i64(kb_json_get(device, "cores"), &cores))
        kb_buf_printf(out, ", %lld cores", (long long)cores);
    if (*kb_member_text(device, "compiler"))
        kb_buf_printf(out, ", %s", kb_member_text(device, "compiler"));
}
