/* options.c - a command line against the table; every error of it, not the first alone. */
#include "cli/table.h"

#include <string.h>

static const struct {
    const char *word, *help;
} commands[] = {
#define X(id, word, help) [id] = {word, help},
    KB_COMMANDS(X)
#undef X
};

const char *kb_command_word(enum kb_command command) {
    return commands[command].word;
}

const char *kb_command_help(enum kb_command command) {
    return commands[command].help;
}

bool kb_command_parse(const char *word, enum kb_command *out) {
    for (size_t i = 0; i < KB_COUNT(commands); i++) {
        if (kb_streq(commands[i].word, word)) {
            *out = (enum kb_command)i;
            return true;
        }
    }
    return false;
}

struct parse {
    struct kb_arena *arena;
    struct kb_options *out;
    struct kb_complaints *c;
    bool has_command;   /* the first word decides */
    bool wrong_command; /* then nothing is said of the words after it */
};

/* ---- values ----------------------------------------------------------------------------
 */

static void *field(struct parse *p, const struct kb_option *option) {
    return (char *)p->out + option->at;
}

static void add_parts(struct parse *p, const struct kb_option *option, const char *value,
                      struct kb_buf *what) {
    struct kb_strings parts = {0}, *list = field(p, option);
    kb_split(p->arena, value, ',', &parts);
    for (size_t i = 0; i < parts.count; i++) {
        if (!*parts.items[i]) {
            kb_buf_printf(what, "\"%.64s\" has an empty part", value);
            return;
        }
        if (!kb_strings_has(list, parts.items[i]))
            kb_strings_add(list, p->arena, parts.items[i]);
    }
}

static void take_word(struct parse *p, const struct kb_option *option, const char *value,
                      struct kb_buf *what) {
    int n = 0;
    for (; option->words[n]; n++) {
        if (!kb_streq(option->words[n], value))
            continue;
        *(int *)field(p, option) = n;
        return;
    }
    kb_unknown(what, "value", value, option->words, (size_t)n);
}

static void take_count(struct parse *p, const struct kb_option *option, const char *value,
                       struct kb_buf *what) {
    int64_t count;
    if (kb_parse_i64(value, &count) && count >= option->min && count <= option->max)
        *(int64_t *)field(p, option) = count;
    else
        kb_buf_printf(what, "\"%.64s\" is no whole number from %lld to %lld", value,
                      (long long)option->min, (long long)option->max);
}

/* The value into its field; what is wrong with it into `what`. */
static void take(struct parse *p, const struct kb_option *option, const char *value,
                 struct kb_buf *what) {
    switch (option->type) {
    case KB_O_FLAG:
        *(bool *)field(p, option) = true;
        break;
    case KB_O_LIST:
        add_parts(p, option, value, what);
        break;
    case KB_O_ITEMS:
        kb_strings_add(field(p, option), p->arena, value);
        break;
    case KB_O_TEXT:
        *(const char **)field(p, option) = value;
        break;
    case KB_O_WORD:
        take_word(p, option, value, what);
        break;
    case KB_O_COUNT:
        take_count(p, option, value, what);
        break;
    case KB_O_DURATION:
        kb_parse_duration(value, field(p, option), what);
        break;
    case KB_O_SIZE:
        kb_parse_size(value, field(p, option), what);
        break;
    case KB_O_PERCENT:
        kb_parse_percent(value, field(p, option), what);
        break;
    case KB_O_OWN:
        option->take(value, p->arena, p->out, what);
        break;
    }
}

static void take_option(struct parse *p, const struct kb_option *option, const char *given,
                        const char *value) {
    struct kb_buf what = {0};
    kb_strings_add(&p->out->given, p->arena, option->name);
    take(p, option, value, &what);
    if (what.len)
        kb_complain_option(p->c, given, "%s", kb_buf_text(&what));
    kb_buf_free(&what);
}

/* ---- names -----------------------------------------------------------------------------
 */

static const struct kb_option *option_of_name(const char *name, size_t len) {
    for (size_t i = 0; i < kb_option_count(); i++)
        if (strlen(kb_option_at(i)->name) == len &&
            memcmp(kb_option_at(i)->name, name, len) == 0)
            return kb_option_at(i);
    return NULL;
}

static const struct kb_option *option_of_letter(char letter) {
    for (size_t i = 0; i < kb_option_count(); i++)
        if (kb_option_at(i)->letter == letter)
            return kb_option_at(i);
    return NULL;
}

/* Returns whether the option that was meant takes a value. */
static bool complain_of_unknown(struct parse *p, const char *name) {
    const char *names[96];
    size_t n = 0;
    for (; n < kb_option_count() && n < KB_COUNT(names); n++)
        names[n] = kb_option_at(n)->name;
    const char *near = kb_suggest(name, names, n);
    if (kb_is_later(name))
        kb_complain_option(p->c, name, "not in this version");
    else if (near)
        kb_complain_option(p->c, name, "unknown option, did you mean \"%s\"?", near);
    else
        kb_complain_option(p->c, name, "unknown option; kbench help run lists them");
    return !near || option_of_name(near, strlen(near))->arg;
}

static bool is_path(const char *text) {
    return kb_is_file(text) || kb_is_folder(text);
}

/* The value after an option: the next argument, unless that looks like an option of ours.
 */
static bool next_value(struct parse *p, const struct kb_option *option, const char *given,
                       char *const **arg, const char **value) {
    const char *next = (*arg)[1];
    bool is_option = next && next[0] == '-' &&
                     (next[1] == '-' || (next[1] && option_of_letter(next[1])));
    if (next && !is_option) {
        *value = next;
        ++*arg;
        return true;
    }
    kb_complain_option(p->c, given, "wants %s after it, got %s%s%s", option->arg,
                       next ? "\"" : "nothing", next ? next : "", next ? "\"" : "");
    return false;
}

static void long_option(struct parse *p, char *const **arg) {
    const char *given = **arg, *equals = strchr(given, '='), *value = "";
    size_t len = equals ? (size_t)(equals - given) : strlen(given);
    const struct kb_option *option = option_of_name(given, len);
    const char *name = kb_arena_strndup(p->arena, given, len);
    if (!option) {
        /* Its value is no case file, and no error of its own. */
        const char *next = (*arg)[1];
        if (complain_of_unknown(p, name) && !equals && next && *next != '-' &&
            !is_path(next))
            ++*arg;
        return;
    }
    if (!option->arg && equals) {
        kb_complain_option(p->c, name, "takes no value, got \"%.64s\"", equals + 1);
        return;
    }
    if (equals)
        value = equals + 1;
    else if (option->arg && !next_value(p, option, name, arg, &value))
        return;
    take_option(p, option, name, value);
}

/* -q, -qv, -oFILE, -o FILE */
static void short_options(struct parse *p, char *const **arg) {
    for (const char *letter = **arg + 1; *letter; letter++) {
        const char name[] = {'-', *letter, '\0'};
        const struct kb_option *option = option_of_letter(*letter);
        const char *value = "";
        if (!option) {
            kb_complain_option(p->c, name, "unknown option; kbench help run lists them");
            return;
        }
        if (!option->arg) {
            take_option(p, option, name, value);
            continue;
        }
        if (letter[1])
            value = letter[1] == '=' ? letter + 2 : letter + 1;
        else if (!next_value(p, option, name, arg, &value))
            return;
        take_option(p, option, name, value);
        return;
    }
}

/* ---- words -----------------------------------------------------------------------------
 */

/* A first word that is no file may be a command, written wrongly or not here yet. */
static bool is_wrong_command(struct parse *p, const char *word) {
    const char *names[KB_COMMAND_COUNT];
    for (int i = 0; i < KB_COMMAND_COUNT; i++)
        names[i] = commands[i].word;
    if (strpbrk(word, "./-") || is_path(word) || kb_streq(word, "cases") ||
        kb_op_find(word))
        return false; /* cases is embedded where it is no folder */
    const char *near = kb_suggest(word, names, KB_COUNT(names));
    if (kb_is_later(word))
        kb_complain(p->c, "kbench", 0, 0, NULL, "%s: not in this version", word);
    else if (near)
        kb_complain(p->c, "kbench", 0, 0, NULL,
                    "%s: no such file, folder or command, did you mean \"%s\"?", word,
                    near);
    else
        kb_complain(p->c, "kbench", 0, 0, NULL,
                    "%s: no such file, folder or command; kbench --help lists them", word);
    return true;
}

/* A kernel, an op or an id among the case files: what was meant is plain. */
static bool is_misplaced(struct parse *p, const char *word) {
    const char *op = kb_arena_strndup(p->arena, word, strcspn(word, "/"));
    const char *what;
    if (kb_op_find(op) && !is_path(word))
        what = word[strlen(op)] ? "an id goes after --case" : "an op goes after --op";
    else if (kb_ends_with(word, ".cu") || kb_ends_with(word, ".cuh"))
        what = "a kernel goes after --kernel";
    else
        return false;
    kb_complain(p->c, "kbench", 0, 0, NULL, "%s: is no case file; %s", word, what);
    return true;
}

static void take_argument(struct parse *p, const char *word) {
    struct kb_options *out = p->out;
    if (!p->has_command && !out->words.count) {
        p->has_command = kb_command_parse(word, &out->command);
        p->wrong_command = !p->has_command && is_wrong_command(p, word);
        p->has_command |= p->wrong_command;
        if (p->has_command)
            return;
    }
    bool cases = out->command == KB_CMD_RUN || out->command == KB_CMD_LIST;
    if (!p->wrong_command && !(cases && is_misplaced(p, word)))
        kb_strings_add(&out->words, p->arena, word);
}

void kb_options_parse(int argc, char *const argv[], struct kb_arena *arena,
                      struct kb_options *out, struct kb_complaints *c) {
    struct parse p = {.arena = arena, .out = out, .c = c};
    bool only_words = false;
    *out = (struct kb_options){
        .seed = 1,
        .mode = -1,
        .format = KB_FORMAT_TABLE,
        .limits = {.slowdown = 0.03, .error_growth = 2},
    };
    for (char *const *arg = argv + (argc > 0); *arg; arg++) {
        if (only_words || **arg != '-' || kb_streq(*arg, "-"))
            take_argument(&p, *arg);
        else if (kb_streq(*arg, "--"))
            only_words = true;
        else if ((*arg)[1] == '-')
            long_option(&p, &arg);
        else
            short_options(&p, &arg);
    }
    if (p.wrong_command)
        out->command = KB_CMD_HELP; /* there is nothing to run */
    if (out->command == KB_CMD_RUN)
        out->query.files = out->words;
    out->query.fuzz_seed = out->seed;
    kb_options_check(out, c);
}
