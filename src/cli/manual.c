/* manual.c - kbench.1: the pages of kbench help as one manual, in troff's man macros. */
#include "cli/page.h"
#include "version.h"

const struct kb_script kb_scripts[] = {
    {"man", "the manual: kbench help man | man -l -", kb_manual},
    {"bash", "completion for bash: source <(kbench help bash)", kb_completion_bash},
    {"zsh", "completion for zsh: kbench help zsh >FOLDER/_kbench, FOLDER in fpath",
     kb_completion_zsh},
};
const size_t kb_script_count = KB_COUNT(kb_scripts);

static void front(struct kb_page *page) {
    kb_buf_printf(page->out,
                  ".\\\" written by: kbench help man\n"
                  ".TH KBENCH 1 \"" KB_DATE "\" \"kbench %s\" \"User Commands\"\n"
                  ".nh\n.ad l\n",
                  kb_version());
    kb_page_section(page, "NAME");
    kb_buf_puts(page->out, "kbench \\- is a GPU kernel right, and how fast is it\n");
    kb_page_section(page, "SYNOPSIS");
    kb_page_usage(page, "kbench [run] [CASES.json|FOLDER|-...] [OPTION...]");
    kb_page_usage(page, "kbench list [WORD] [OPTION...]");
    kb_page_usage(page, "kbench diff A B [C...] [--by build|variant|device] [--all]");
    kb_page_usage(page, "kbench gate NEW --baseline BASE [OPTION...]");
    kb_page_usage(page, "kbench merge [--runs] REPORT REPORT... -o FILE");
    kb_page_usage(page, "kbench selftest [--device N,...|all] [OPTION...]");
    kb_page_usage(page, "kbench help [TOPIC...]");
    kb_page_section(page, "DESCRIPTION");
    kb_page_text(page, "kbench runs a CUDA kernel next to a CPU reference and says whether "
                       "it is right and, on a GPU, how fast. Without a GPU the same kernel "
                       "files are compiled for the CPU and checked there; nothing is timed "
                       "then. Kernels and cases of its own are in the executable.");
}

static void back(struct kb_page *page) {
    kb_page_section(page, "OPS");
    for (int i = 0; i < kb_op_count; i++)
        kb_page_entry(page, kb_ops[i]->name, "", kb_ops[i]->formula);
    kb_page_text(page, "kbench help OP says more of each: tensors, parameters, limits.");
    kb_page_section(page, "EXAMPLES");
    kb_page_text(page, "One case, checked and timed:");
    kb_page_example(page, "kbench --op gelu_tanh --shape 83x1024\n");
    kb_page_text(page, "A suite, into a report:");
    kb_page_example(page, "kbench cases/ --tag ci -o new.json\n");
    kb_page_text(page, "A kernel of your own against the reference of an op:");
    kb_page_example(page, "kbench --op silu --shape 83x1024 --kernel mine.cu\n");
    kb_page_text(page, "Where on the CPU does it reach past the end?");
    kb_page_example(page, "kbench --op silu --shape 83x1000 --kernel mine.cu "
                          "--sanitize address\n");
}

void kb_manual(struct kb_buf *out) {
    struct kb_page page = {.out = out, .form = KB_PAGE_TROFF};
    front(&page);
    page.no_usage = true;
    for (size_t i = 0; i < kb_topic_count; i++) {
        if (!kb_topics[i].section)
            continue;
        kb_page_section(&page, kb_topics[i].section);
        kb_topics[i].print(&page);
    }
    back(&page);
}
