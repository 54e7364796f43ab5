/* help.c - kbench --help and kbench help TOPIC, told by the tables that the program runs
 * by. */
#include "cli/table.h"
#include "cli/terminal.h"

#include <string.h>

enum { GROUP_WIDTH = 9, LINE_WIDTH = 92, OPTION_WIDTH = 31, WORD_WIDTH = 15 };

/* ---- options ---------------------------------------------------------------------------
 */

static void brief_of(const struct kb_option *option, struct kb_buf *out) {
    if (option->brief)
        kb_buf_puts(out, option->brief);
    else
        kb_buf_printf(out, "%s%s%s", option->name, option->arg ? " " : "",
                      option->arg ? option->arg : "");
}

static void summary_of_group(enum kb_option_group group, struct kb_buf *out) {
    struct kb_buf line = {0}, item = {0};
    kb_buf_printf(&line, "%-*s", GROUP_WIDTH, kb_option_group_word(group));
    if (group == KB_G_CASES)
        kb_buf_puts(&line, "CASES.json|FOLDER|-...");
    for (size_t i = 0; i < kb_option_count; i++) {
        const struct kb_option *option = &kb_options[i];
        kb_buf_clear(&item);
        if (option->group != group)
            continue;
        brief_of(option, &item);
        if (!item.len)
            continue;
        int gap = line.len == GROUP_WIDTH ? 0 : option->close ? 1 : 2;
        if ((int)(line.len + item.len) + gap > LINE_WIDTH) {
            kb_buf_printf(out, "%s\n", kb_buf_text(&line));
            kb_buf_clear(&line);
            kb_buf_printf(&line, "%-*s", GROUP_WIDTH, "");
            gap = 0;
        }
        kb_buf_printf(&line, "%*s%s", gap, "", kb_buf_text(&item));
    }
    kb_buf_printf(out, "%s\n", kb_buf_text(&line));
    kb_buf_free(&line);
    kb_buf_free(&item);
}

void kb_options_summary(struct kb_buf *out) {
    for (int g = 0; g < KB_G_HELP; g++)
        summary_of_group((enum kb_option_group)g, out);
}

/* "  name    help", the help as a column of its own from `width` on. */
static void entry_at(int width, const char *name, const char *help, struct kb_buf *out) {
    int columns = kb_columns(name);
    bool fits = columns < width - 1;
    kb_buf_printf(out, "  %s%*s", name, fits ? width - columns : 0, "");
    if (!fits)
        kb_buf_printf(out, "\n  %*s", width, "");
    kb_wrap(help, width + 2, width + 2, LINE_WIDTH, out);
    kb_buf_putc(out, '\n');
}

static void entry(const char *name, const char *help, struct kb_buf *out) {
    entry_at(WORD_WIDTH, name, help, out);
}

void kb_options_help(struct kb_buf *out) {
    for (int g = 0; g < KB_OPTION_GROUP_COUNT; g++) {
        const char *word = kb_option_group_word((enum kb_option_group)g);
        kb_buf_printf(out, "%s%s%s", g ? "\n" : "", word, *word ? "\n" : "");
        if (g == KB_G_CASES)
            entry_at(OPTION_WIDTH, "CASES.json|FOLDER|-...",
                     "case files (kbench help cases), folders of them, or standard input",
                     out);
        for (size_t i = 0; i < kb_option_count; i++) {
            const struct kb_option *o = &kb_options[i];
            struct kb_buf name = {0};
            if ((int)o->group != g)
                continue;
            if (o->letter)
                kb_buf_printf(&name, "-%c, ", o->letter);
            kb_buf_printf(&name, "%s%s%s", o->name, o->arg ? " " : "",
                          o->arg ? o->arg : "");
            entry_at(OPTION_WIDTH, kb_buf_text(&name), o->help, out);
            kb_buf_free(&name);
        }
    }
}

void kb_help_text(struct kb_buf *out) {
    kb_buf_puts(out,
                "kbench: is a GPU kernel right, and how fast is it\n\n"
                "  kbench --op gelu_tanh --shape 83x1024        one case, checked and "
                "timed\n"
                "  kbench cases/ --tag ci -o new.json           a suite, into a report\n"
                "  kbench --op silu --shape 7x16 --kernel F.cu  a kernel of your own\n\n");
    kb_options_summary(out);
    kb_buf_puts(out, "\ncommands");
    for (int i = 0; i < KB_COMMAND_COUNT; i++)
        kb_buf_printf(out, "%s%s%s", i ? "  " : " ", kb_command_word((enum kb_command)i),
                      i == KB_CMD_RUN ? " (the default)" : "");
    kb_buf_puts(out, "\nkbench help COMMAND | OP | cases | methods | verdicts | exit\n");
}

/* ---- topics ----------------------------------------------------------------------------
 */

static void help_run(struct kb_buf *out) {
    kb_buf_puts(out,
                "kbench [run] [CASES.json|FOLDER|-...] [OPTION...]\n\n"
                "Checks each case against the reference, and times what passed.\n"
                "Lists are separated by commas and multiply. Beside case files they\n"
                "select; alone they make cases. An option given twice: lists are joined,\n"
                "otherwise the last one counts.\n\n");
    kb_options_help(out);
}

static void help_list(struct kb_buf *out) {
    kb_buf_puts(out,
                "kbench list [ops|variants|cases|devices|builds] [OPTION...]\n\n"
                "What is there. `cases` lists the ids that case files and the options of\n"
                "kbench run select (all of kbench's own files without them); `devices`\n"
                "says for each thing that is missing what would mend it.\n");
}

static void help_help(struct kb_buf *out) {
    kb_buf_puts(out, "kbench help [TOPIC]\n\n");
    for (int i = 0; i < KB_COMMAND_COUNT; i++)
        entry(kb_command_word((enum kb_command)i), kb_command_help((enum kb_command)i),
              out);
    entry("cases", "case files and ids, dtypes and fills", out);
    entry("methods", "how kernels are timed", out);
    entry("verdicts", "what PASS, FAIL, MISTRUSTED, SKIP and ERROR mean, with each reason",
          out);
    entry("exit", "the exit statuses", out);
    for (int i = 0; i < kb_op_count; i++)
        entry(kb_ops[i]->name, kb_ops[i]->formula, out);
}

static void help_cases(struct kb_buf *out) {
    kb_buf_puts(
        out,
        "An id is op/shape/dtype[/key=value...]: only values that are not the default, "
        "keys\n"
        "sorted. --case takes it back, --match GLOB picks by it.\n\n"
        "A case file:\n\n"
        "  { \"schema\": \"kbench-cases/1\",\n"
        "    \"groups\": [\n"
        "      { \"why\": \"83 rows end inside a block, where a rounded-down grid "
        "shows\",\n"
        "        \"ops\": [\"silu\", \"gelu\"], \"dtypes\": [\"bf16\", \"fp32\"],\n"
        "        \"shapes\": [[7, 16], [83, 1024]],\n"
        "        \"tags\": [\"ci\", \"full\"] },\n"
        "      { \"why\": \"both layouts\",\n"
        "        \"ops\": [\"silu\"], \"dtypes\": [\"bf16\"],\n"
        "        \"axes\": { \"tokens\": [1, 64], \"hidden\": [768, 14336] },\n"
        "        \"set\": { \"layout\": [\"gate_up\", \"up_gate\"] },\n"
        "        \"fills\": [\"normal\", \"nan\"],\n"
        "        \"tolerance\": { \"rule\": \"peer\", \"atol\": 1e-2, \"rtol\": 1e-2 },\n"
        "        \"tags\": [\"full\"] } ] }\n\n"
        "Plural keys hold lists and multiply. A group has shapes or axes; why is "
        "required;\n"
        "without tolerance the op's bound decides.\n\ndtypes\n");
    for (int i = 0; i < KB_DTYPE_COUNT; i++)
        kb_buf_printf(out, "%s %s", i ? "" : " ", kb_dtype_name((enum kb_dtype)i));
    kb_buf_puts(out, "\n\nfills\n");
    for (int i = 0; i < KB_FILL_COUNT; i++)
        entry(kb_fill_word((enum kb_fill)i), kb_fill_why((enum kb_fill)i), out);
}

static void help_methods(struct kb_buf *out) {
#define X(id, word, help) entry(word, help, out);
    KB_METHODS(X)
#undef X
    kb_buf_puts(out,
                "\nSuites time graph and cold, a single case all. A time is the median of\n"
                "its samples, with the half-width of its 95 % interval; ceiling is the\n"
                "time of a kernel without maths that moves the same bytes, by the same\n"
                "method in the same run, over this time.\n\nqualities of a time\n ");
#define X(id, word) kb_buf_printf(out, " %s", word);
    KB_QUALITIES(X)
#undef X
    kb_buf_putc(out, '\n');
}

static void help_reason(enum kb_reason reason, struct kb_buf *out) {
    struct kb_buf help = {0};
    kb_buf_puts(&help, kb_reason_help(reason));
    if (kb_reason_status(reason))
        kb_buf_printf(&help, " (exit %d)", kb_reason_status(reason));
    entry(reason == KB_R_NONE ? "-" : kb_reason_word(reason), kb_buf_text(&help), out);
    kb_buf_free(&help);
}

static void help_verdicts(struct kb_buf *out) {
    for (int v = 0; v < KB_VERDICT_COUNT; v++) {
        kb_buf_printf(out, "%s%s\n", v ? "\n" : "", kb_verdict_word((enum kb_verdict)v));
        for (int r = 0; r < KB_REASON_COUNT; r++)
            if ((int)kb_reason_verdict((enum kb_reason)r) == v)
                help_reason((enum kb_reason)r, out);
    }
    kb_buf_puts(out, "\nWhere every row is a SKIP, nothing was checked: exit 3.\n");
}

static void help_exit(struct kb_buf *out) {
    for (size_t i = 0; i < kb_exit_count; i++)
        kb_buf_printf(out, "  %-4d %s\n", kb_exits[i].status, kb_exits[i].help);
    kb_buf_puts(
        out, "\nOf several the first of 7 4 6 5 1 2 3 counts. The last line on standard\n"
             "error says why it is not 0.\n");
}

static const struct {
    const char *word;
    void (*print)(struct kb_buf *out);
} topics[] = {
    {"run", help_run},     {"list", help_list},       {"help", help_help},
    {"cases", help_cases}, {"methods", help_methods}, {"verdicts", help_verdicts},
    {"exit", help_exit},
};

static bool topic_text(const char *word, struct kb_buf *out) {
    for (size_t i = 0; i < KB_COUNT(topics); i++) {
        if (!kb_streq(topics[i].word, word))
            continue;
        topics[i].print(out);
        return true;
    }
    const struct kb_op *op = kb_op_find(word);
    if (op)
        kb_help_op(op, out);
    return op != NULL;
}

static void complain_of_topic(const char *word, struct kb_complaints *c) {
    struct kb_arena arena = {0};
    struct kb_strings known = {0};
    struct kb_buf what = {0};
    for (size_t i = 0; i < KB_COUNT(topics); i++)
        kb_strings_add(&known, &arena, topics[i].word);
    for (int i = 0; i < kb_op_count; i++)
        kb_strings_add(&known, &arena, kb_ops[i]->name);
    if (kb_is_later(word))
        kb_buf_printf(&what, "%s: not in this version", word);
    else
        kb_unknown(&what, "topic", word, known.items, known.count);
    kb_complain(c, "kbench", 0, 0, NULL, "%s", kb_buf_text(&what));
    kb_buf_free(&what);
    kb_arena_free(&arena);
}

int kb_command_help_topic(const struct kb_options *options, struct kb_complaints *c) {
    struct kb_buf text = {0};
    if (!options->words.count)
        kb_help_text(&text);
    for (size_t i = 0; i < options->words.count; i++) {
        kb_buf_puts(&text, i && text.len ? "\n" : "");
        if (!topic_text(options->words.items[i], &text))
            complain_of_topic(options->words.items[i], c);
    }
    int status = c->count ? kb_exit_complaints(c) : kb_print_all(&text);
    kb_buf_free(&text);
    return status;
}
