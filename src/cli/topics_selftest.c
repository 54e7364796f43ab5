/* topics_selftest.c - kbench help selftest. */
#include "cli/page.h"

void kb_page_selftest(struct kb_page *page) {
    kb_page_usage(page, "kbench selftest [--device N,...|all] [--format json] [OPTION...]");
    kb_page_text(page,
                 "What the tool makes of a GPU and of itself, by cases of its own, which "
                 "are checked like any other. Without a GPU it ends with status 6; what "
                 "can be tested of it without one is part of make check.");
    kb_page_entry(page, "floor", "",
                  "an empty kernel by each method, of one block and of more (kbench --op "
                  "stream --set "
                  "pattern=none), and what the timer reads around nothing");
    kb_page_entry(
        page, "stream, mma", "",
        "what the device gives at most: bytes in a graph, read and written, in the "
        "patterns of op stream, by what is read (a copy of 8 MiB moves 16); tensor "
        "cores by dtype");
    kb_page_entry(page, "A against A", "",
                  "pairs of the same build under two names, timed in turns as builds are. "
                  "alarms: pairs that a run of up to 100 rows would call FASTER or SLOWER; "
                  "p is at most 5 % in one of 20 pairs or fewer. noise: a pair's ratio by "
                  "one standard deviation. smallest: a difference that is found 95 times "
                  "in 100");
    kb_page_text(page,
                 "Where all probes are right the ceilings are kept beside the compiled "
                 "kernels, by GPU, driver and whether the clocks are locked; kbench list "
                 "devices shows them. --no-cache keeps nothing.");
    kb_page_example(page, "kbench selftest --format json | jq .devices[0].floors\n");
}
