/* topic_reports.c - kbench help reports: the forms of a report, and what stands in one.
 * Every field is in reports/README.md. */
#include "cli/page.h"

/* What a script asks for first; of a row unless it says otherwise. */
static const char *const fields[][2] = {
    {"case", "the id, which --case takes back"},
    {"verdict, reason, reason_kind",
     "PASS, FAIL, ...; why, in words; one word of kbench help verdicts"},
    {"device, build, variant", "where and how"},
    {"outputs.NAME.err_over_bound",
     "the worst element's share of its bound; above 1 fails"},
    {"outputs.NAME.first[]", "elements that fail: index, got, want"},
    {"times.METHOD.median_ns",
     "of one launch, with ci95_ns, n, quality; absent if not timed"},
    {"times.METHOD.gb_per_s", "with ceiling_ns, what a kernel without maths takes"},
    {"against.times.METHOD.ratio",
     "time over that of the first build or variant, with ci95, verdict"},
    {"code.registers", "with spill_bytes, shared_bytes, code_hash"},
    {"repeat", "the command that gives the row again"},
    {"count, devices[], builds", "of the report, and complete: whether it got to its end"},
};

void kb_page_reports(struct kb_page *page) {
    kb_page_text(page, "-o FILE writes what a run measured, in the form that the extension "
                       "says; -o may be repeated. kbench merge REPORT -o FILE makes other "
                       "forms of a report that is kept.");
    for (int f = 0; f < KB_FORMAT_COUNT; f++)
        kb_page_entry(page, kb_format_word((enum kb_format)f), "",
                      kb_format_help((enum kb_format)f));
    kb_page_text(page,
                 "Rows are kept as they come, in FILE.part beside the first report. "
                 "Ctrl-C leaves whole reports of what was done; what is killed leaves "
                 "FILE.part, which diff, gate and merge read like any other.");
    kb_page_heading(page, "for scripts");
    kb_page_example(
        page, "jq -r '.rows[] | [.case,.verdict,.times.graph.median_ns] | @tsv' r.json\n");
    page->name_width = 30;
    for (size_t i = 0; i < KB_COUNT(fields); i++)
        kb_page_entry(page, fields[i][0], "", fields[i][1]);
    page->name_width = 0;
    kb_page_text(page,
                 "What was not measured is absent, or null with a reason beside it, and "
                 "never 0. Units stand in the names. All fields are in "
                 "reports/README.md, a JSON Schema lies beside it.");
}
