/* help.c - kbench --help and kbench help TOPIC, told by the tables that the program runs
 * by. */
#include "cli/page.h"
#include "cli/table.h"
#include "cli/terminal.h"

#include <string.h>

enum { GROUP_WIDTH = 9, INDENT = 6 };

/* ---- options ---------------------------------------------------------------------------
 */

static void brief_of(const struct kb_option *option, struct kb_buf *out) {
    if (option->brief)
        kb_buf_puts(out, option->brief);
    else
        kb_buf_printf(out, "%s%s%s", option->name, option->arg ? " " : "",
                      option->arg ? option->arg : "");
}

static void summary_of_group(enum kb_option_group group, int width, struct kb_buf *out) {
    struct kb_buf line = {0}, item = {0};
    kb_buf_printf(&line, "%-*s", GROUP_WIDTH, kb_option_group_word(group));
    if (group == KB_G_CASES)
        kb_buf_puts(&line, "CASES.json|FOLDER|-...");
    for (size_t i = 0; i < kb_option_count(); i++) {
        const struct kb_option *option = kb_option_at(i);
        kb_buf_clear(&item);
        if (option->group != group)
            continue;
        brief_of(option, &item);
        if (!item.len)
            continue;
        int gap = line.len == GROUP_WIDTH ? 0 : option->close ? 1 : 2;
        if ((int)(line.len + item.len) + gap > width) {
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

void kb_options_summary(int width, struct kb_buf *out) {
    for (int g = 0; g < KB_G_HELP; g++)
        summary_of_group((enum kb_option_group)g, width, out);
}

void kb_help_text(struct kb_buf *out) {
    struct kb_buf text = {0};
    int width = kb_page_width_here();
    kb_buf_puts(&text,
                "kbench: is a GPU kernel right, and how fast is it\n\n"
                "  kbench --op gelu_tanh --shape 83x1024        one case, checked and "
                "timed\n"
                "  kbench cases/ --tag ci -o new.json           a suite, into a report\n"
                "  kbench gate new.json --baseline base.json    CI: exit 0 fine 1 wrong 2 "
                "slower\n"
                "  kbench --op silu --shape 7x16 --kernel F.cu  a kernel of your own\n\n");
    kb_options_summary(width, &text);
    kb_buf_puts(&text, "\ncommands");
    for (int i = 0; i < KB_COMMAND_COUNT; i++)
        kb_buf_printf(&text, "%s%s%s", i ? "  " : " ", kb_command_word((enum kb_command)i),
                      i == KB_CMD_RUN ? " (the default)" : "");
    kb_buf_puts(
        &text,
        "\nkbench help COMMAND | OP | cases | kernels | code | methods | verdicts |\n"
        "            reports | exit | environment\n");
    kb_fold(kb_buf_text(&text), GROUP_WIDTH, width, out);
    kb_buf_free(&text);
}

/* ---- topics ----------------------------------------------------------------------------
 */

static bool script_text(const char *word, struct kb_buf *out) {
    for (size_t i = 0; i < kb_script_count; i++) {
        if (!kb_streq(kb_scripts[i].word, word))
            continue;
        kb_scripts[i].print(out);
        return true;
    }
    return false;
}

static bool topic_text(const char *word, struct kb_buf *out) {
    struct kb_buf text = {0};
    struct kb_page page = {.out = &text, .width = kb_page_width_here()};
    const struct kb_op *op = kb_op_find(word);
    for (size_t i = 0; i < kb_topic_count; i++)
        if (kb_streq(kb_topics[i].word, word))
            kb_topics[i].print(&page);
    if (!text.len && op)
        kb_page_op(op, &page);
    kb_fold(kb_buf_text(&text), INDENT, page.width, out); /* examples as well */
    bool found = text.len > 0;
    kb_buf_free(&text);
    return found || script_text(word, out);
}

static void complain_of_topic(const char *word, struct kb_complaints *c) {
    struct kb_arena arena = {0};
    struct kb_strings known = {0};
    struct kb_buf what = {0};
    for (size_t i = 0; i < kb_topic_count; i++)
        kb_strings_add(&known, &arena, kb_topics[i].word);
    for (int i = 0; i < kb_op_count; i++)
        kb_strings_add(&known, &arena, kb_ops[i]->name);
    for (size_t i = 0; i < kb_script_count; i++)
        kb_strings_add(&known, &arena, kb_scripts[i].word);
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
