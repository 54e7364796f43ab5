/* cli.c - the command line to its command. */
#include "cli/terminal.h"

static int print_text(void (*print)(struct kb_buf *)) {
    struct kb_buf text = {0};
    print(&text);
    int status = kb_print_all(&text);
    kb_buf_free(&text);
    return status;
}

/* kbench --help, kbench COMMAND --help. */
static int print_help(struct kb_options *options, struct kb_arena *arena,
                      struct kb_complaints *c) {
    if (options->command == KB_CMD_RUN || options->command == KB_CMD_HELP)
        return print_text(kb_help_text);
    options->words = (struct kb_strings){0};
    kb_strings_add(&options->words, arena, kb_command_word(options->command));
    return kb_command_help_topic(options, c);
}

int kb_cli_main(int argc, char **argv) {
    struct kb_arena arena = {0};
    struct kb_complaints c = {0};
    struct kb_options options;
    int status;
    kb_options_parse(argc, argv, &arena, &options, &c);
    if (options.version)
        status = print_text(kb_version_text);
    else if (options.help)
        status = print_help(&options, &arena, &c);
    else if (options.command == KB_CMD_HELP && !c.count)
        status = kb_command_help_topic(&options, &c);
    else if (options.command == KB_CMD_LIST && !c.count)
        status = kb_command_list(&options, &c);
    else if (options.command == KB_CMD_DIFF && !c.count)
        status = kb_command_diff(&options, &c);
    else if (options.command == KB_CMD_GATE && !c.count)
        status = kb_command_gate(&options, &c);
    else if (options.command == KB_CMD_MERGE && !c.count)
        status = kb_command_merge(&options, &c);
    else if (options.command == KB_CMD_SELFTEST && !c.count)
        status = kb_command_selftest(&options, &c);
    else if (options.command == KB_CMD_RUN)
        status = kb_command_run(&options, argc, argv, &c);
    else
        status = kb_exit_complaints(&c);
    kb_complaints_free(&c);
    kb_arena_free(&arena);
    return status;
}
