/* topics_compare.c - kbench help diff, gate and merge. */
#include "cli/page.h"
#include "cli/table.h"

#include <string.h>

/* "kbench diff: ..." of a page that lists all options. */
static const char *without_command(const char *help) {
    const char *colon = strstr(help, ": ");
    return kb_starts_with(help, "kbench ") && colon ? colon + 2 : help;
}

/* Options by name, as kbench help run has them; of times that are there, --method picks. */
static void options(struct kb_page *page, const char *const *names, size_t n) {
    page->name_width = 31;
    for (size_t k = 0; k < n; k++)
        for (size_t i = 0; i < kb_option_count(); i++)
            if (kb_streq(kb_option_at(i)->name, names[k]))
                kb_page_entry(page, names[k],
                              kb_option_at(i)->arg ? kb_option_at(i)->arg : "",
                              kb_streq(names[k], "--method")
                                  ? "whose times to compare: the first that both have, as "
                                    "a rule graph"
                                  : without_command(kb_option_at(i)->help));
    page->name_width = 0;
}

void kb_page_diff(struct kb_page *page) {
    static const char *const names[] = {"--by", "--all", "--method"};
    kb_page_usage(page, "kbench diff A B [C...] [--by build|variant|device] [--all]");
    kb_page_text(
        page, "What changed between reports or journals: every other one against "
              "the first. Rows are paired by case, kernel, variant, build, backend, "
              "device and method; where a case has one row left on each side, or "
              "one on one side and one of build precise on the other, by the case alone, "
              "and what else differs is told. The exit status is 0 "
              "when all can be read.");
    kb_page_entry(page, "SLOWER, FASTER", "",
                  "by 1 % or more, significant over all rows (at most 5 % of these false, "
                  "Benjamini-Hochberg), and by the ranks of the block medians");
    kb_page_entry(page, "SAME", "", "the 95 % interval lies within 2 %");
    kb_page_entry(page, "UNCLEAR", "",
                  "neither; how many launches or runs would tell stands beside it");
    kb_page_entry(page, "IDENTICAL", "", "the machine code and its launches are the same");
    kb_page_entry(
        page, "INVALID", "",
        "a time that is null, 0, negative or suspect (kbench help methods), or of another "
        "duty or rotation than the one that it is held against");
    kb_page_text(page,
                 "Intervals hold what samples differ by within a run and what runs "
                 "differ by. The last is learned from rows that hold several runs "
                 "(kbench merge --runs), and assumed where there are none: 0.3 % below "
                 "20 us and 0.25 % above, 1.6 % and 0.5 % for cold and hot. Across "
                 "GPUs, times are also shown as shares of each one's ceiling.");
    options(page, names, KB_COUNT(names));
}

void kb_page_gate(struct kb_page *page) {
    static const char *const names[] = {
        "--baseline",      "--max-slowdown", "--max-error-growth",
        "--allow-missing", "--cross",        "--strict",
        "--update",        "--all",          "--method"};
    kb_page_usage(page, "kbench gate NEW --baseline BASE [OPTION...]");
    kb_page_usage(page, "kbench [run] CASES... --baseline BASE [OPTION...]");
    kb_page_text(page, "Holds a new report against a baseline, or a run against it at its "
                       "end. GPU and method must be the same, or times are not compared "
                       "(exit 3); other things that differ, such as the driver, are told.");
    for (int v = 0; v < KB_GATE_COUNT; v++)
        kb_page_entry(page, kb_gate_word((enum kb_gate_verdict)v), "",
                      kb_gate_help((enum kb_gate_verdict)v));
    kb_page_text(page,
                 "Of 1000 gates of equal code at most one has a row that is called "
                 "SLOWER, as long as runs differ alike: what they differ by is learned "
                 "from the baseline, which is of three process runs or more.");
    kb_page_example(page,
                    "for i in 1 2 3; do kbench cases/ --tag ci -o run$i.json; done\n"
                    "kbench merge --runs run1.json run2.json run3.json -o base.json\n"
                    "kbench cases/ --tag ci -o new.json\n"
                    "kbench gate new.json --baseline base.json\n"
                    "kbench gate new.json --baseline base.json --update \"new tiles\"\n");
    options(page, names, KB_COUNT(names));
}

void kb_page_merge(struct kb_page *page) {
    static const char *const names[] = {"--runs", "--output"};
    kb_page_usage(page, "kbench merge [--runs] REPORT... -o FILE...");
    kb_page_text(
        page, "Joins the parts of one run, such as shards, into one report; a row "
              "may stand in one of them only. With --runs, joins several process "
              "runs of the same cases, one after the other on the same GPU, into a "
              "baseline: a time is the median of the runs' medians, which are kept, "
              "and a row is as wrong as in the worst of them. The extension of "
              "FILE is its form, as of a run's; of one report merge makes forms that are "
              "not JSON.");
    kb_page_example(page, "kbench merge base.json -o base.html\n");
    options(page, names, KB_COUNT(names));
}
