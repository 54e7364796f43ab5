/* completion.c - completions for bash and zsh, written from the table of options. */
#include "cli/page.h"
#include "cli/table.h"

#include <string.h>

/* Values with commas between them. */
static bool takes_several(const struct kb_option *option) {
    return option->type == KB_O_LIST ||
           (option->type == KB_O_OWN && strchr(option->arg, ','));
}

/* The words for an option's value, blanks between them. */
static void value_words(const struct kb_option *option, struct kb_buf *out) {
    struct kb_arena arena = {0};
    struct kb_strings words = {0};
    if (option->offer)
        option->offer(&arena, &words);
    for (int i = 0; option->words && option->words[i]; i++)
        kb_strings_add(&words, &arena, option->words[i]);
    for (size_t i = 0; i < words.count; i++)
        kb_buf_printf(out, "%s%s", i ? " " : "", words.items[i]);
    kb_arena_free(&arena);
}

static void topic_words(struct kb_buf *out) {
    for (size_t i = 0; i < kb_topic_count; i++)
        kb_buf_printf(out, "%s ", kb_topics[i].word);
    for (int i = 0; i < kb_op_count; i++)
        kb_buf_printf(out, "%s ", kb_ops[i]->name);
    for (size_t i = 0; i < kb_script_count; i++)
        kb_buf_printf(out, "%s%s", kb_scripts[i].word, i + 1 < kb_script_count ? " " : "");
}

static void command_words(struct kb_buf *out) {
    for (int i = 0; i < KB_COMMAND_COUNT; i++)
        kb_buf_printf(out, "%s%s", i ? " " : "", kb_command_word((enum kb_command)i));
}

#define X(word, help) " " word
static const char list_words[] = KB_LISTS(X);
#undef X

/* ---- bash ------------------------------------------------------------------------------
 */

static void bash_value(const struct kb_option *option, struct kb_buf *out) {
    struct kb_buf words = {0};
    value_words(option, &words);
    kb_buf_puts(out, "    ");
    if (option->letter)
        kb_buf_printf(out, "-%c | ", option->letter);
    kb_buf_printf(out, "%s)", option->name);
    if (takes_several(option))
        kb_buf_puts(out, " several=1");
    if (words.len)
        kb_buf_printf(out, " words='%s'", kb_buf_text(&words));
    if (option->listed)
        kb_buf_printf(out, " words=$(\"$program\" list %s 2>/dev/null)", option->listed);
    if (option->files)
        kb_buf_printf(out, " files='%s'", option->files);
    kb_buf_puts(out, " ;;\n");
    kb_buf_free(&words);
}

static void bash_values(struct kb_buf *out) {
    kb_buf_puts(out, "# What there is for the value of option $1; false if it takes none.\n"
                     "_kbench_value() {\n"
                     "    case $1 in\n");
    for (size_t i = 0; i < kb_option_count(); i++)
        if (kb_option_at(i)->arg)
            bash_value(kb_option_at(i), out);
    kb_buf_puts(out, "    *) return 1 ;;\n"
                     "    esac\n"
                     "}\n\n");
}

static void bash_names(struct kb_buf *out) {
    kb_buf_puts(out, "_kbench_options='");
    for (size_t i = 0; i < kb_option_count(); i++) {
        if (kb_option_at(i)->letter)
            kb_buf_printf(out, "-%c ", kb_option_at(i)->letter);
        kb_buf_printf(out, "%s%s", kb_option_at(i)->name,
                      i + 1 < kb_option_count() ? " " : "'\n\n");
    }
}

static void bash_arguments(struct kb_buf *out) {
    kb_buf_puts(out, "# What there is where no option stands, after the words in `bare`.\n"
                     "_kbench_argument() {\n"
                     "    case ${bare-} in\n"
                     "    '') files='*.json' words='");
    command_words(out);
    kb_buf_puts(out, "' ;;\n"
                     "    help) words='");
    topic_words(out);
    kb_buf_printf(out,
                  "' ;;\n"
                  "    list) [[ ${#bare[@]} -gt 1 ]] || words='%s' ;;\n"
                  "    *) files='*.json' ;;\n"
                  "    esac\n"
                  "    [[ ${bare-} != list || ${bare[1]-} != cases ]] || files='*.json'\n"
                  "}\n\n",
                  list_words + 1);
}

/* The line is read as it was typed: bash cuts its own words at = and :, and a reply must
 * then be what comes after the last cut. */
static const char bash_main[] =
    "_kbench() {\n"
    "    local program=${1/#\\~/$HOME} line=${COMP_LINE:0:COMP_POINT} token value lead=''\n"
    "    local words='' files='' several='' before bare=() i open='' cut='' IFS=$' "
    "\\t\\n'\n"
    "    token=${line##*[[:space:]]}\n"
    "    value=$token\n"
    "    read -ra before <<<\"${line%\"$token\"}\"\n"
    "    for ((i = 1; i < ${#before[@]}; i++)); do\n"
    "        if [[ $open ]]; then\n"
    "            open=''\n"
    "        elif [[ ${before[i]} != -* ]]; then\n"
    "            bare+=(\"${before[i]}\")\n"
    "        elif [[ ${before[i]} != *=* ]] && _kbench_value \"${before[i]}\"; then\n"
    "            open=1\n"
    "        fi\n"
    "        [[ $open ]] || words='' files='' several=''\n"
    "    done\n"
    "    if [[ $open ]]; then\n"
    "        : # the value of the last option\n"
    "    elif [[ $token == --*=* ]]; then\n"
    "        lead=${token%%=*}= value=${token#*=}\n"
    "        _kbench_value \"${token%%=*}\"\n"
    "    elif [[ $token == -* ]]; then\n"
    "        words=$_kbench_options\n"
    "    else\n"
    "        _kbench_argument\n"
    "    fi\n"
    "    if [[ $several ]]; then\n"
    "        lead+=${value%\"${value##*,}\"} value=${value##*,}\n"
    "    fi\n"
    "    mapfile -t COMPREPLY < <(compgen -W \"$words\" -P \"$lead\" -- \"$value\")\n"
    "    if [[ $files ]]; then\n"
    "        mapfile -t -O ${#COMPREPLY[@]} COMPREPLY < <(\n"
    "            compgen -f -X \"!$files\" -P \"$lead\" -- \"$value\"\n"
    "            [[ $files == '*' ]] || compgen -d -P \"$lead\" -- \"$value\")\n"
    "        compopt -o filenames 2>/dev/null\n"
    "    fi\n"
    "    [[ $COMP_WORDBREAKS != *=* ]] || cut+='='\n"
    "    [[ $COMP_WORDBREAKS != *:* ]] || cut+=':'\n"
    "    if [[ $cut && $token == *[$cut]* ]]; then\n"
    "        COMPREPLY=(\"${COMPREPLY[@]#\"${token%\"${token##*[$cut]}\"}\"}\")\n"
    "    fi\n"
    "    if [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *= ]]; then\n"
    "        compopt -o nospace 2>/dev/null\n"
    "    fi\n"
    "}\n"
    "complete -F _kbench kbench\n";

void kb_completion_bash(struct kb_buf *out) {
    kb_buf_printf(out, "# bash completion for kbench %s, written by: kbench help bash\n\n",
                  kb_version());
    bash_values(out);
    bash_names(out);
    bash_arguments(out);
    kb_buf_puts(out, bash_main);
}

/* ---- zsh -------------------------------------------------------------------------------
 */

/* Text within single quotes and, of a specification, within brackets or between colons. */
static void zsh_text(const char *text, struct kb_buf *out) {
    for (; *text; text++) {
        if (*text == '\'')
            kb_buf_puts(out, "'\\''");
        else
            kb_buf_printf(out, "%s%c", strchr("[]:\\", *text) ? "\\" : "", *text);
    }
}

static void zsh_action(const struct kb_option *option, struct kb_buf *out) {
    struct kb_buf words = {0};
    value_words(option, &words);
    if (option->files)
        kb_buf_printf(out, "_files -g \"%s\"", option->files);
    else if (option->listed)
        kb_buf_printf(out, "_kbench_%s", option->listed);
    else if (words.len)
        kb_buf_printf(out, "%scompadd - %s", takes_several(option) ? "_sequence " : "",
                      kb_buf_text(&words));
    else
        kb_buf_putc(out, ' ');
    kb_buf_free(&words);
}

/* '*--op=[help]:NAME,...:action', with both names of an option that has a letter. */
static void zsh_option(const struct kb_option *option, struct kb_buf *out) {
    const char *equals = option->arg ? "=" : "";
    kb_buf_puts(out, "        ");
    if (option->letter)
        kb_buf_printf(out, "'*'{-%c%s,%s%s}'[", option->letter, option->arg ? "+" : "",
                      option->name, equals);
    else
        kb_buf_printf(out, "'*%s%s[", option->name, equals);
    zsh_text(option->help, out);
    kb_buf_putc(out, ']');
    if (option->arg) {
        kb_buf_putc(out, ':');
        zsh_text(option->arg, out);
        kb_buf_putc(out, ':');
        zsh_action(option, out);
    }
    kb_buf_puts(out, "' \\\n");
}

static void zsh_described(const char *word, const char *help, struct kb_buf *out) {
    kb_buf_printf(out, "            '%s:", word);
    zsh_text(help, out);
    kb_buf_puts(out, "'\n");
}

static void zsh_words(struct kb_buf *out) {
    kb_buf_puts(out, "    local -a commands lists topics\n    commands=(\n");
    for (int i = 0; i < KB_COMMAND_COUNT; i++)
        zsh_described(kb_command_word((enum kb_command)i),
                      kb_command_help((enum kb_command)i), out);
    kb_buf_puts(out, "    )\n    lists=(\n");
#define X(word, help) zsh_described(word, help, out);
    KB_LISTS(X)
#undef X
    kb_buf_puts(out, "    )\n    topics=(\n");
    for (size_t i = 0; i < kb_topic_count; i++)
        zsh_described(kb_topics[i].word, kb_topic_help(&kb_topics[i]), out);
    for (int i = 0; i < kb_op_count; i++)
        zsh_described(kb_ops[i]->name, kb_ops[i]->formula, out);
    for (size_t i = 0; i < kb_script_count; i++)
        zsh_described(kb_scripts[i].word, kb_scripts[i].help, out);
    kb_buf_puts(out, "    )\n");
}

static const char zsh_main[] =
    "        '1:command or case file:->first' \\\n"
    "        '*:case file:->rest'\n"
    "    case $state in\n"
    "    first)\n"
    "        _alternative 'commands:command:{_describe -t commands command commands}' \\\n"
    "            'files:case file:_files -g \"*.json(-.)\"'\n"
    "        ;;\n"
    "    rest)\n"
    "        case $line[1] in\n"
    "        help) _describe -t topics topic topics ;;\n"
    "        list)\n"
    "            if [[ $line[2] == cases && -n $line[3]$line[4] || $#line -gt 2 ]]; then\n"
    "                _files -g '*.json(-.)'\n"
    "            else\n"
    "                _describe -t lists list lists\n"
    "            fi\n"
    "            ;;\n"
    "        *) _files -g '*.json(-.)' ;;\n"
    "        esac\n"
    "        ;;\n"
    "    esac\n"
    "}\n\n"
    "_kbench \"$@\"\n";

void kb_completion_zsh(struct kb_buf *out) {
    kb_buf_printf(out,
                  "#compdef kbench\n"
                  "# zsh completion for kbench %s, written by: kbench help zsh\n\n"
                  "_kbench_cases() {\n"
                  "    local -a ids\n"
                  "    ids=(${(f)\"$(_call_program cases $words[1] list cases)\"})\n"
                  "    _sequence compadd - $ids\n"
                  "}\n\n"
                  "_kbench() {\n"
                  "    local curcontext=$curcontext state line\n",
                  kb_version());
    zsh_words(out);
    kb_buf_puts(out, "    _arguments -s -C \\\n");
    for (size_t i = 0; i < kb_option_count(); i++)
        zsh_option(kb_option_at(i), out);
    kb_buf_puts(out, zsh_main);
}
