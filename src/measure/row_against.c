/* row_against.c - what a kernel is beside another of the same case, as rows hold it. */
#include "row_local.h"

#include <math.h>

enum { DIGITS = 6 };

static cJSON *speed_item(const struct kb_speed *s, double detectable) {
    cJSON *object = kb_json_object(), *interval = kb_json_array();

    kb_json_add_f64(object, "ratio", s->ratio, DIGITS);
    kb_json_push(interval, kb_json_f64_item(s->low, DIGITS));
    kb_json_push(interval, kb_json_f64_item(s->high, DIGITS));
    kb_json_add(object, "ci95", interval);
    kb_json_add_f64(object, "p", s->p, DIGITS);
    kb_json_add_i64(object, "blocks", s->n);
    kb_json_add_text(object, "verdict", kb_speed_word(s->verdict));
    if (detectable > 0)
        kb_json_add_f64(object, "detectable", detectable, DIGITS);
    return object;
}

cJSON *kb_against_item(const struct kb_against *a) {
    cJSON *object = kb_json_object(), *times = NULL;

    kb_json_add_text(object, "build", a->build);
    kb_json_add_text(object, "variant", a->variant);
    if (a->same_code >= 0)
        kb_json_add_bool(object, "same_code", a->same_code > 0);
    if (a->elements >= 0) {
        kb_json_add_i64(object, "elements", a->elements);
        kb_json_add_i64(object, "differing", a->differing);
    }
    if (a->why)
        kb_json_add_text(object, "why", a->why);
    for (int m = 0; m < KB_METHOD_COUNT; m++) {
        if (!a->speeds[m].there)
            continue;
        times = times ? times : kb_json_object();
        kb_json_add(times, kb_method_word((enum kb_method)m),
                    speed_item(&a->speeds[m], a->detectable[m]));
    }
    if (times)
        kb_json_add(object, "times", times);
    return object;
}

/* ---- back ------------------------------------------------------------------------------
 */

static double at_of(struct kb_fields *f, const cJSON *array, int i) {
    const cJSON *item = cJSON_GetArrayItem(array, i);

    if (!item || !(cJSON_IsNumber(item) || cJSON_IsNull(item)))
        kb_field_wrong(f, "ci95");
    return cJSON_IsNumber(item) ? item->valuedouble : (double)NAN;
}

static void speed_of(struct kb_fields *f, const cJSON *object, struct kb_speed *s) {
    const cJSON *interval = kb_field_array(f, object, "ci95");

    *s = (struct kb_speed){.there = true};
    s->ratio = kb_field_number(f, object, "ratio", NAN);
    s->low = at_of(f, interval, 0);
    s->high = at_of(f, interval, 1);
    s->p = kb_field_number(f, object, "p", NAN);
    s->n = kb_field_whole(f, object, "blocks", 0, INT64_MAX);
    if (!(s->ratio > 0))
        kb_field_wrong(f, "ratio");
    if (!kb_speed_parse(kb_field_text(f, object, "verdict"), &s->verdict))
        kb_field_wrong(f, "verdict");
}

const struct kb_against *kb_against_of(struct kb_fields *f, const cJSON *object) {
    struct kb_against *a = kb_arena_alloc(f->arena, sizeof *a);
    const cJSON *times = kb_json_get(object, "times");

    *a = (struct kb_against){.same_code = -1};
    a->build = kb_field_text(f, object, "build");
    a->variant = kb_field_maybe(f, object, "variant");
    if (kb_json_get(object, "same_code"))
        a->same_code = kb_field_bool(f, object, "same_code");
    a->elements = kb_field_whole_or(f, object, "elements", 0, INT64_MAX, -1);
    a->differing = kb_field_whole_or(f, object, "differing", 0, INT64_MAX, 0);
    if (a->differing > (a->elements > 0 ? a->elements : 0))
        kb_field_wrong(f, "differing");
    a->why = kb_field_maybe(f, object, "why");
    if (times && !cJSON_IsObject(times))
        kb_field_wrong(f, "times");
    for (int m = 0; m < KB_METHOD_COUNT; m++) {
        const cJSON *item = kb_json_get(times, kb_method_word((enum kb_method)m));
        if (!item)
            continue;
        speed_of(f, item, &a->speeds[m]);
        a->detectable[m] = kb_field_number(f, item, "detectable", 0);
        if (!(a->detectable[m] >= 0))
            kb_field_wrong(f, "detectable");
    }
    return a;
}
