/* topics.c - what kbench help explains, and the manual with it: a function a page. */
#include "cli/page.h"
#include "cli/table.h"
#include "cli/terminal.h"

static void options_of_group(enum kb_option_group group, struct kb_page *page) {
    for (size_t i = 0; i < kb_option_count(); i++) {
        const struct kb_option *o = kb_option_at(i);
        struct kb_buf name = {0};
        if (o->group != group)
            continue;
        if (o->letter)
            kb_buf_printf(&name, "-%c, ", o->letter);
        kb_buf_puts(&name, o->name);
        kb_page_entry(page, kb_buf_text(&name), o->arg ? o->arg : "", o->help);
        kb_buf_free(&name);
    }
}

void kb_options_page(struct kb_page *page) {
    page->name_width = 31;
    for (int g = 0; g < KB_OPTION_GROUP_COUNT; g++) {
        kb_page_heading(page, kb_option_group_word((enum kb_option_group)g));
        if (g == KB_G_CASES)
            kb_page_entry(page, "CASES.json|FOLDER|-...", "",
                          "case files (kbench help cases), folders of them, or standard "
                          "input");
        options_of_group((enum kb_option_group)g, page);
    }
    page->name_width = 0;
}

static void page_run(struct kb_page *page) {
    kb_page_usage(page, "kbench [run] [CASES.json|FOLDER|-...] [OPTION...]");
    kb_page_text(page, "Checks each case against the CPU reference and, on a GPU, times "
                       "what passed. Beside case files, the options under cases select; "
                       "without files, --op and --shape make cases, and --tag or --match "
                       "select of kbench's own.");
    kb_page_text(page, "Lists are separated by commas and multiply. Where an option is "
                       "given twice, lists are joined, and otherwise the last one counts. "
                       "A value in parentheses is the default.");
    kb_options_page(page);
}

static void page_list(struct kb_page *page) {
    kb_page_usage(page, "kbench list [WORD] [OPTION...]");
    kb_page_text(page, "What is there: all in short, or of one kind");
#define X(word, help) kb_page_entry(page, word, "", help);
    KB_LISTS(X)
#undef X
}

void kb_topics_page(struct kb_page *page) {
    kb_page_usage(page, "kbench help [TOPIC...]");
    for (size_t i = 0; i < kb_topic_count; i++)
        kb_page_entry(page, kb_topics[i].word, "", kb_topic_help(&kb_topics[i]));
    for (int i = 0; i < kb_op_count; i++)
        kb_page_entry(page, kb_ops[i]->name, "", kb_ops[i]->formula);
    for (size_t i = 0; i < kb_script_count; i++)
        kb_page_entry(page, kb_scripts[i].word, "", kb_scripts[i].help);
}

static void case_keys(struct kb_page *page) {
    kb_page_entry(page, "why", "", "what the cases are to catch; required");
    kb_page_entry(page, "ops", "", "names of ops; required");
    kb_page_entry(page, "shapes", "", "lists of sizes; kbench help OP says what they mean");
    kb_page_entry(page, "axes", "",
                  "in place of shapes: all axes of the op, each a size or a list");
    kb_page_entry(page, "dtypes", "", "bf16 without it");
    kb_page_entry(page, "set", "",
                  "parameters of the op, each a value or a list; the defaults without it");
    kb_page_entry(page, "fills", "", "what inputs hold; the op's first without it");
    kb_page_entry(page, "tolerance", "",
                  "the rule that decides: bound, peer or given; the op's bound without it");
    kb_page_entry(page, "sample", "",
                  "rows of each output that are checked, as by --sample; all without it");
    kb_page_entry(page, "tags", "", "words for --tag, such as smoke, ci and full");
    kb_page_entry(page, "only_by_tag", "",
                  "true: left out unless --tag names one of the tags, or --case a case");
}

/* What stands in a file of --dump. */
static void dump_names(struct kb_page *page) {
    kb_page_heading(page, "tensors in files");
    kb_page_text(page,
                 "--dump FOLDER leaves a safetensors file for each row that was checked, "
                 "ID.VARIANT.BUILD.DEVICE.safetensors with commas for the slashes; --load "
                 "FILE takes inputs from one, or from one that was made elsewhere. Its "
                 "__metadata__ has case, seed and what ran.");
    kb_page_entry(page, "NAME", "", "an input, as the kernel found it");
    kb_page_entry(page, "out.NAME", "", "an output, as the kernel left it");
    kb_page_entry(
        page, "want.NAME", "",
        "F64: the reference, before rounding; of exact outputs the bits as a number");
    kb_page_entry(
        page, "bound.NAME", "",
        "F64: the error allowed beyond half an ulp of the dtype; -1 where nothing "
        "may be written, inf where any value is right");
    kb_page_entry(page, "rows.NAME", "",
                  "I64: which rows want and bound are of, where a sample was checked");
}

static void page_cases(struct kb_page *page) {
    struct kb_buf dtypes = {0};
    kb_page_text(page,
                 "A case has an id, op/shape/dtype[/key=value...], of those values that "
                 "are not the default, keys sorted: silu/83x1024/bf16/fill=nan/round=act. "
                 "--case takes it back, --match picks by it.");
    kb_page_text(page, "A case file holds groups; lists in a group multiply:");
    kb_page_example(
        page,
        "{ \"schema\": \"kbench-cases/1\",\n"
        "  \"groups\": [\n"
        "    { \"why\": \"83 rows end inside a block\",\n"
        "      \"ops\": [\"silu\", \"gelu\"], \"dtypes\": [\"bf16\", \"fp32\"],\n"
        "      \"shapes\": [[7, 16], [83, 1024]],\n"
        "      \"tags\": [\"ci\", \"full\"] },\n"
        "    { \"why\": \"both layouts, with NaN\",\n"
        "      \"ops\": [\"silu\"], \"dtypes\": [\"bf16\"],\n"
        "      \"axes\": { \"tokens\": [1, 64], \"hidden\": [768, 14336] },\n"
        "      \"set\": { \"layout\": [\"gate_up\", \"up_gate\"] },\n"
        "      \"fills\": [\"normal\", \"nan\"],\n"
        "      \"tolerance\": { \"rule\": \"peer\", \"atol\": 1e-2, \"rtol\": 1e-2 },\n"
        "      \"tags\": [\"full\"] } ] }\n");
    case_keys(page);
    kb_page_heading(page, "fills");
    for (int i = 0; i < KB_FILL_COUNT; i++)
        kb_page_entry(page, kb_fill_word((enum kb_fill)i), "",
                      kb_fill_why((enum kb_fill)i));
    kb_page_heading(page, "dtypes");
    for (int i = 0; i < KB_DTYPE_COUNT; i++)
        kb_buf_printf(&dtypes, "%s%s", i ? " " : "", kb_dtype_name((enum kb_dtype)i));
    kb_page_entry(page, kb_buf_text(&dtypes), "", "or half, float32 and the like");
    kb_buf_free(&dtypes);
    dump_names(page);
}

/* Of each quality, in the order of the enum. */
static const char *const quality_help[] = {
    [KB_Q_OK] = "as precise as was asked for",
    [KB_Q_NOISY] =
        "less precise than was asked for: the time or the samples were used up, or "
        "the timer's tick is too coarse",
    [KB_Q_THROTTLED] = "the GPU held its clocks back meanwhile, and says why; such samples "
                       "count",
    [KB_Q_SUSPECT] =
        "not to be believed: faster than an empty kernel, or than the same bytes "
        "can be moved, or cold and no slower than hot",
    [KB_Q_CONTENDED] = "another process used the GPU meanwhile",
};

static void page_methods(struct kb_page *page) {
#define X(id, word, help) kb_page_entry(page, word, "", help);
    KB_METHODS(X)
#undef X
    kb_page_text(page,
                 "Suites are timed by graph and cold, a single case by all of them. A time "
                 "is the median of its samples, shown with the half-width of its 95 % "
                 "interval, and only of kernels that passed. ceiling is the time that a "
                 "kernel without maths (op stream) takes for as many bytes, in a mix of "
                 "reads and writes that memory is no slower with, by the same method in "
                 "the same run, over this time: at 100 % nothing but the traffic is left. "
                 "For matrix work (mla_prefill) it is the time that tensor cores take for "
                 "as many flops (op mma), by graph.");
    kb_page_text(
        page, "limited by says what a kernel's graph time is made of. launch: an empty "
              "kernel takes most of it. bandwidth: it keeps up with the kernel that only "
              "moves its bytes (80 %). latency: those are fewer than a quarter of the L2, "
              "and waiting for them is most of it. compute: all else.");
    kb_page_text(page,
                 "Sampling ends when the interval is as narrow as --precision asks, and no "
                 "sooner than after 10 samples and 0.5 ms of launches; or after 4096 "
                 "samples (512 by launch) or --max-time, and the time says so. While the "
                 "first half of the "
                 "samples and the second differ by more than the interval allows it goes "
                 "on.");
    kb_page_text(
        page,
        "The interval is of one process. By graph the next one gives the same time; "
        "by cold and hot, kernels of a few us come out higher or lower in each, by 2 % "
        "(standard deviation): in each context a launch into a stream takes another "
        "time. kbench merge --runs joins processes.");
    kb_page_text(
        page,
        "Matrix kernels reach a GPU's power limit. How far the clock falls then depends "
        "on what ran before, and two processes are a percent apart: their rate is the "
        "sustained one. --duty 50% keeps the GPU busy for half of the time, 4 ms at once, "
        "and a kernel takes what it takes at the full clock. The two are not compared with "
        "each other: rows of pauses say their duty, and ceilings are measured with the "
        "same pauses. Clocks that were held back before are waited for, for a second at "
        "most; the first sample after a pause, which may be off by some 10 us, is none. "
        "Where the clock is held back all the same, the time is throttled, and a smaller "
        "duty may help.");
    kb_page_heading(page, "qualities of a time");
#define X(id, word) kb_page_entry(page, word, "", quality_help[id]);
    KB_QUALITIES(X)
#undef X
}

static void reason_entry(enum kb_reason reason, struct kb_page *page) {
    struct kb_buf help = {0};
    kb_buf_puts(&help, kb_reason_help(reason));
    if (kb_reason_status(reason))
        kb_buf_printf(&help, " (exit %d)", kb_reason_status(reason));
    kb_page_entry(page, reason == KB_R_NONE ? "-" : kb_reason_word(reason), "",
                  kb_buf_text(&help));
    kb_buf_free(&help);
}

static void page_verdicts(struct kb_page *page) {
    for (int v = 0; v < KB_VERDICT_COUNT; v++) {
        kb_page_heading(page, kb_verdict_word((enum kb_verdict)v));
        for (int r = 0; r < KB_REASON_COUNT; r++)
            if ((int)kb_reason_verdict((enum kb_reason)r) == v)
                reason_entry((enum kb_reason)r, page);
    }
    kb_page_text(page, "Where every row is a SKIP, nothing was checked: exit 3.");
    kb_page_heading(page, "builds and variants: B against A");
    for (int v = KB_FASTER; v < KB_SPEED_COUNT; v++)
        kb_page_entry(page, kb_speed_word((enum kb_speed_verdict)v), "",
                      kb_speed_help((enum kb_speed_verdict)v));
    kb_page_text(page,
                 "The margin is 1 %. FASTER and SLOWER are beyond chance, too: of "
                 "1000 runs over equal builds at most one may have such a row. Graphs "
                 "of one kernel differ, too: what would be FASTER or SLOWER by less "
                 "than 5 % is measured again by others, in what is left of "
                 "--max-time. Half of that is kept for it as soon as 24 blocks are "
                 "there. By several methods, --method graph,cold, each has a line.");
}

static void page_exit(struct kb_page *page) {
    page->name_width = 5;
    for (size_t i = 0; i < kb_exit_count; i++) {
        struct kb_buf status = {0};
        kb_buf_printf(&status, "%d", kb_exits[i].status);
        kb_page_entry(page, kb_buf_text(&status), "", kb_exits[i].help);
        kb_buf_free(&status);
    }
    page->name_width = 0;
    kb_page_text(page, "Of several the first of 7 4 6 5 1 2 3 counts. The last line on "
                       "standard error says why it is not 0.");
}

static void page_environment(struct kb_page *page) {
    page->name_width = 22;
    kb_page_entry(page, "CUDA_HOME", "",
                  "the CUDA Toolkit: NVRTC, nvcc and headers (/usr/local/cuda, or beside "
                  "the nvcc on PATH; for NVRTC also LD_LIBRARY_PATH and the system's "
                  "folders)");
    kb_page_entry(page, "CUDA_VISIBLE_DEVICES", "", "as for every CUDA program");
    kb_page_entry(page, "CXX", "",
                  "the C++ compiler of the host backend (g++, clang++ or c++ on PATH)");
    kb_page_entry(page, "KBENCH_CACHE", "",
                  "the folder of compiled kernels, yours alone; without it kbench in "
                  "XDG_CACHE_HOME or ~/.cache. It may be removed at any time");
    kb_page_entry(page, "KBENCH_CACHE_MAX", "",
                  "its size, in bytes or as 512M; what was not used for longest goes first "
                  "(1G)");
    kb_page_entry(page, "TMPDIR", "", "for temporary files (/tmp)");
    kb_page_entry(page, "NO_COLOR", "", "if not empty: no colour, unless --color always");
    kb_page_entry(page, "COLUMNS", "", "columns of a table (those of the terminal)");
    kb_page_entry(
        page, "GITHUB_ACTIONS", "",
        "true: what failed is annotated on standard error, and added as Markdown to "
        "the file that GITHUB_STEP_SUMMARY names; in the text of others, such as a "
        "compiler's, a blank breaks what would be a command of the workflow");
    page->name_width = 0;
}

const struct kb_topic kb_topics[] = {
    {"run", NULL, "OPTIONS", page_run},
    {"list", NULL, "LISTS", page_list},
    {"diff", NULL, "DIFFERENCES", kb_page_diff},
    {"gate", NULL, "GATES", kb_page_gate},
    {"merge", NULL, "JOINED REPORTS", kb_page_merge},
    {"selftest", NULL, "SELFTEST", kb_page_selftest},
    {"help", NULL, NULL, kb_topics_page},
    {"cases", "case files and ids, fills and dtypes", "CASES", page_cases},
    {"kernels", "a kernel file of your own: its contract, its code", "KERNEL FILES",
     kb_page_kernels},
    {"code", "builds, compiling ahead, macros that are swept, profilers", "CODE",
     kb_page_code},
    {"methods", "how kernels are timed, and what the times are worth", "METHODS",
     page_methods},
    {"verdicts", "what PASS, FAIL, MISTRUSTED, SKIP and ERROR mean, with each reason",
     "VERDICTS", page_verdicts},
    {"reports", "the forms of a report, and what stands in one", "REPORTS",
     kb_page_reports},
    {"exit", "the exit statuses", "EXIT STATUS", page_exit},
    {"environment", "variables: the Toolkit, the compiler, the cache", "ENVIRONMENT",
     page_environment},
};
const size_t kb_topic_count = KB_COUNT(kb_topics);

const char *kb_topic_help(const struct kb_topic *topic) {
    enum kb_command command;
    bool is_command = !topic->help && kb_command_parse(topic->word, &command);
    return is_command ? kb_command_help(command) : topic->help;
}
