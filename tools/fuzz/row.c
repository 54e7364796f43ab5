/* row.c - a row of a report as text, read: what is printed of it reads back as the same,
 * and whatever it holds can be shown. */
#include "fuzz.h"
#include "versus.h"

/* Beside itself, as A and as B. */
static void want_versus(const struct kb_row *row, struct kb_buf *out) {
    struct kb_facts facts = {.kbench = "fuzz", .started = "", .n_devices = 1};
    struct kb_row *rows = calloc(2, sizeof *rows);
    struct kb_versus versus;
    const struct kb_look look = {.width = 80, .verbose = true};
    if (!rows)
        kb_out_of_memory();
    rows[0] = rows[1] = *row;
    struct kb_versus_plan plan = {
        .facts = &facts,
        .layout = KB_LAYOUT_BENCH,
        .id_width = 12,
        .many_builds = true,
        .many_variants = true,
        .n_members = 2,
        .energy = true,
        .shared = "",
    };
    for (int m = 0; m < KB_METHOD_COUNT; m++)
        plan.methods[plan.n_methods++] = (enum kb_method)m;
    kb_versus_make(&versus, &plan, &look);
    kb_versus_head(&versus, out);
    kb_versus_group(&versus, rows, 2, out);
    kb_versus_summary(&versus, out);
    kb_versus_free(&versus);
    free(rows);
}

static void want_screens(const struct kb_row *row) {
    struct kb_device_info device = {.backend = "host", .name = "host", .cores = 2};
    struct kb_facts facts = {.kbench = "fuzz", .started = ""};
    struct kb_table_plan plan = {.facts = &facts, .layout = KB_LAYOUT_BENCH};
    const struct kb_look look = {.width = 80};
    const struct kb_single single = {.device = &device, .mode = KB_BENCH, .look = look};
    struct kb_table table;
    struct kb_tally tally = {0};
    struct kb_buf out = {0};
    for (int m = 0; m < KB_METHOD_COUNT; m++)
        plan.methods[plan.n_methods++] = (enum kb_method)m;
    plan.id_width = plan.variant_width = 12;
    plan.many_variants = plan.many_builds = plan.many_devices = true;
    plan.shared = "";
    kb_single_print(&single, row, &out);
    kb_table_make(&table, &plan, &look);
    kb_table_head(&table, &out);
    kb_table_row(&table, row, &out);
    if (kb_row_is_repeated(row))
        kb_table_failure(&table, row, 2, &out);
    kb_tally_add(&tally, row);
    kb_table_summary(&table, &tally, 1, &out);
    want_versus(row, &out);
    want_clean(kb_buf_text(&out), out.len, true);
    kb_buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct kb_arena arena = {0}, again = {0};
    struct kb_buf first = {0}, second = {0};
    struct kb_row row, same;
    struct kb_err err = {0};
    if (!kb_row_parse("row", (const char *)data, size, &arena, &row, &err)) {
        want_message(&err);
    } else {
        kb_row_print(&row, &first);
        if (!kb_row_parse("row", first.data, first.len, &again, &same, &err))
            DISAGREE("%s in what was printed: %s", err.msg, first.data);
        kb_row_print(&same, &second);
        want_same(&first, &second, "printed, read and printed");
        want_screens(&row);
        kb_buf_free(&first);
        kb_buf_free(&second);
    }
    kb_arena_free(&arena);
    kb_arena_free(&again);
    return 0;
}
