/* row_local.c - where an output is wrong, and the smallest case that still fails, as rows
 * hold them. */
#include "row_local.h"

#include <limits.h>
#include <math.h>
#include <string.h>

enum { DIGITS = 6 };

static void add_maybe(cJSON *object, const char *name, const char *text) {
    if (text)
        kb_json_add_text(object, name, text);
}

static cJSON *pair_item(int64_t a, int64_t b) {
    cJSON *pair = kb_json_array();

    kb_json_push(pair, kb_json_i64_item(a));
    kb_json_push(pair, kb_json_i64_item(b));
    return pair;
}

static cJSON *map_item(const struct kb_map *map) {
    cJSON *object = kb_json_object(), *rows = kb_json_array(), *lines = kb_json_array();

    kb_json_add(object, "cell", pair_item(map->cell_rows, map->cell_columns));
    for (int i = 0; i < map->n_lines; i++) {
        kb_json_push(rows, kb_json_i64_item(map->first_rows[i]));
        kb_json_push(lines, kb_json_text_item(map->lines[i]));
    }
    kb_json_add(object, "first_rows", rows);
    kb_json_add(object, "lines", lines);
    return object;
}

cJSON *kb_local_item(const struct kb_local *local) {
    cJSON *object = kb_json_object();

    kb_json_add_text(object, "pattern", kb_pattern_word(local->pattern));
    kb_json_add_text(object, "where", local->where);
    add_maybe(object, "why", local->why);
    kb_json_add_i64(object, "named", local->named);
    kb_json_add_i64(object, "inside", local->inside);
    add_maybe(object, "inputs", local->inputs);
    add_maybe(object, "holds", local->holds);
    kb_json_add_i64(object, "right", local->right);
    if (isfinite(local->right_share))
        kb_json_add_f64(object, "right_err_over_bound", local->right_share, DIGITS);
    if (isfinite(local->right_ulp))
        kb_json_add_f64(object, "right_ulp_max", local->right_ulp, DIGITS);
    kb_json_add(object, "map", map_item(&local->map));
    return object;
}

cJSON *kb_smallest_item(const struct kb_smallest *smallest) {
    cJSON *object = kb_json_object();

    kb_json_add_text(object, "case", smallest->case_id);
    add_maybe(object, "where", smallest->where);
    add_maybe(object, "passes", smallest->passes);
    add_maybe(object, "whole", smallest->whole);
    kb_json_add_i64(object, "tried", smallest->tried);
    kb_json_add_bool(object, "done", smallest->done);
    kb_json_add_text(object, "repeat", smallest->repeat);
    return object;
}

/* ---- back ------------------------------------------------------------------------------
 */

static int64_t count_of(struct kb_fields *f, const cJSON *object, const char *name) {
    return kb_field_whole(f, object, name, 0, INT64_MAX);
}

static void cell_of(struct kb_fields *f, const cJSON *object, struct kb_map *map) {
    const cJSON *cell = kb_field_array(f, object, "cell");

    if (!kb_json_i64(cJSON_GetArrayItem(cell, 0), &map->cell_rows) ||
        !kb_json_i64(cJSON_GetArrayItem(cell, 1), &map->cell_columns) ||
        map->cell_rows < 1 || map->cell_columns < 1 || cJSON_GetArraySize(cell) != 2)
        kb_field_wrong(f, "cell");
}

static bool is_line(const char *text) {
    size_t len = text ? strlen(text) : 0;

    return len > 0 && len <= KB_MAP_CELLS && strspn(text, ".+#") == len;
}

static void map_of(struct kb_fields *f, const cJSON *object, struct kb_map *map) {
    const cJSON *rows = kb_field_array(f, object, "first_rows");
    const cJSON *lines = kb_field_array(f, object, "lines"), *item;

    *map = (struct kb_map){0};
    cell_of(f, object, map);
    cJSON_ArrayForEach(item, lines) {
        const char *text = cJSON_GetStringValue(item);
        const cJSON *row = cJSON_GetArrayItem(rows, map->n_lines);
        if (map->n_lines == KB_MAP_LINES || !is_line(text) ||
            !kb_json_i64(row, &map->first_rows[map->n_lines]) ||
            map->first_rows[map->n_lines] < 0) {
            kb_field_wrong(f, "lines");
            return;
        }
        kb_text_copy(map->lines[map->n_lines++], KB_MAP_CELLS + 1, text);
    }
}

const struct kb_local *kb_local_of(struct kb_fields *f, const cJSON *object) {
    struct kb_local *local = kb_arena_alloc(f->arena, sizeof *local);

    if (!kb_pattern_parse(kb_field_text(f, object, "pattern"), &local->pattern))
        kb_field_wrong(f, "pattern");
    local->where = kb_field_text(f, object, "where");
    local->why = kb_field_maybe(f, object, "why");
    local->named = count_of(f, object, "named");
    local->inside = count_of(f, object, "inside");
    local->inputs = kb_field_maybe(f, object, "inputs");
    local->holds = kb_field_maybe(f, object, "holds");
    local->right = count_of(f, object, "right");
    local->right_share = kb_field_number(f, object, "right_err_over_bound", NAN);
    local->right_ulp = kb_field_number(f, object, "right_ulp_max", NAN);
    map_of(f, kb_field_object(f, object, "map"), &local->map);
    return local;
}

const struct kb_smallest *kb_smallest_of(struct kb_fields *f, const cJSON *object) {
    struct kb_smallest *smallest = kb_arena_alloc(f->arena, sizeof *smallest);

    smallest->case_id = kb_field_text(f, object, "case");
    smallest->where = kb_field_maybe(f, object, "where");
    smallest->passes = kb_field_maybe(f, object, "passes");
    smallest->whole = kb_field_maybe(f, object, "whole");
    smallest->tried = (int)kb_field_whole(f, object, "tried", 0, INT_MAX);
    smallest->done = kb_field_bool(f, object, "done");
    smallest->repeat = kb_field_text(f, object, "repeat");
    return smallest;
}
