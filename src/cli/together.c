/* together.c - options that do not go together, and those of another command. */
#include "cli/dumps.h"
#include "cli/table.h"

#include <string.h>
#include <sys/stat.h>

static void check_places(const struct kb_options *o, struct kb_complaints *c) {
    const char *backend = kb_backend_words[o->backend];
    bool all = kb_strings_has(&o->devices, "all");
    bool host = kb_strings_has(&o->devices, "host");
    if (all && o->devices.count > 1)
        kb_complain_option(c, "--device", "all stands alone");
    if (kb_streq(backend, "cuda") && host)
        kb_complain_option(c, "--device", "host is none of --backend cuda");
    if (kb_streq(backend, "host") && o->devices.count > (host ? 1 : 0) && !all)
        kb_complain_option(c, "--device", "--backend host has no GPUs");
    bool gpu = kb_streq(backend, "cuda") || o->devices.count > (host ? 1 : 0);
    if (o->sanitize && gpu)
        kb_complain_option(c, "--sanitize",
                           "sanitizers are the host backend's, use "
                           "--backend host");
}

static bool is_same_file(const char *a, const char *b) {
    struct stat x, y;
    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev &&
           x.st_ino == y.st_ino;
}

/* What a verdict is made of must outlive it, above all where it is a bad one. */
static void check_outputs(const struct kb_options *o, struct kb_complaints *c) {
    bool reads = o->command == KB_CMD_GATE || o->command == KB_CMD_DIFF;
    for (size_t i = 0; i < o->outputs.count; i++) {
        const char *path = o->outputs.items[i];
        bool lost = o->baseline && is_same_file(path, o->baseline);
        for (size_t k = 0; reads && k < o->words.count; k++)
            lost |= is_same_file(path, o->words.items[k]);
        if (lost)
            kb_complain_option(c, "-o", "%s: would be written over what is compared", path);
    }
}

/* Options of the commands that compare, where another command is given. */
static void check_command(const struct kb_options *o, struct kb_complaints *c) {
    bool run = o->command == KB_CMD_RUN, gate = o->command == KB_CMD_GATE;
    bool diff = o->command == KB_CMD_DIFF, merge = o->command == KB_CMD_MERGE;
    if (o->help || o->command == KB_CMD_HELP)
        return;
    if (o->baseline && !run && !gate)
        kb_complain_option(c, "--baseline", "is for kbench run and kbench gate");
    if (o->update && !gate)
        kb_complain_option(c, "--update", "is for kbench gate");
    if (o->update && !*o->update)
        kb_complain_option(c, "--update", "wants a reason, got nothing");
    if (o->by && !diff)
        kb_complain_option(c, "--by", "is for kbench diff");
    if (o->runs && !merge)
        kb_complain_option(c, "--runs", "is for kbench merge");
    if (o->all && !diff && !gate && !(run && o->baseline))
        kb_complain_option(c, "--all", "is for kbench diff and kbench gate");
    if (run && o->baseline && (o->mode == KB_LIST || o->mode == KB_BUILD_ONLY))
        kb_complain_option(c, "--baseline", "nothing is run by --mode %s",
                           kb_mode_word((enum kb_mode)o->mode));
    if (run && !o->baseline && o->limits.strict)
        kb_complain_option(c, "--strict", "wants --baseline");
    if (run && !o->baseline && o->limits.cross)
        kb_complain_option(c, "--cross", "wants --baseline");
}

/* Whether a command that reads reports makes something of an option of a run or a report.
 */
static bool is_read(enum kb_command command, const struct kb_option *option) {
    static const char *const screens[] = {"--columns", "--sort"};
    bool compares = command == KB_CMD_GATE || command == KB_CMD_DIFF;
    for (size_t i = 0; i < KB_COUNT(screens); i++)
        if (kb_streq(option->name, screens[i]))
            return false;
    if (kb_streq(option->name, "--method") || kb_streq(option->name, "--format"))
        return compares;
    return option->group >= KB_G_REPORT;
}

/* What would be passed over in silence: a gate of all cases where --tag names some. */
static void check_given(const struct kb_options *o, struct kb_complaints *c) {
    bool reads = o->command == KB_CMD_GATE || o->command == KB_CMD_DIFF ||
                 o->command == KB_CMD_MERGE;
    bool cases = o->words.count && kb_streq(o->words.items[0], "cases");
    for (size_t i = 0; reads && i < kb_option_count(); i++) {
        const struct kb_option *option = kb_option_at(i);
        if (kb_strings_has(&o->given, option->name) && !is_read(o->command, option))
            kb_complain_option(c, option->name, "kbench %s does not take it",
                               kb_command_word(o->command));
    }
    if (o->command != KB_CMD_LIST || o->help)
        return;
    if (o->outputs.count)
        kb_complain_option(c, "-o", "kbench list does not take it");
    if (o->format != KB_FORMAT_TABLE && !(cases && o->format == KB_FORMAT_JSONL))
        kb_complain_option(c, "--format",
                           "kbench list has one other form: list cases --format jsonl");
}

static const char no_host_times[] =
    "nothing can be timed on the host: its threads are CPU fibers";

bool kb_options_want_times(const struct kb_options *o) {
    return o->mode == KB_BENCH || o->samples || o->energy || o->n_methods;
}

/* Of the other methods' launches energy cannot be told: more runs than they do. */
static bool tells_energy(const struct kb_options *o) {
    for (int i = 0; i < o->n_methods; i++)
        if (o->methods[i] == KB_GRAPH || o->methods[i] == KB_PDL || o->methods[i] == KB_HOT)
            return true;
    return o->n_methods == 0;
}

/* What asks for a time where there is none. */
static void check_times(const struct kb_options *o, bool timed, bool host,
                        struct kb_complaints *c) {
    const struct {
        const char *name;
        bool given;
    } asked[] = {{"--samples", o->samples != NULL},
                 {"--energy", o->energy},
                 {"--method", o->n_methods > 0}};
    for (size_t i = 0; i < KB_COUNT(asked); i++) {
        if (asked[i].given && !timed)
            kb_complain_option(c, asked[i].name, "nothing is timed by --mode %s",
                               kb_mode_word((enum kb_mode)o->mode));
        else if (asked[i].given && host)
            kb_complain_option(c, asked[i].name, "%s", no_host_times);
    }
    if (o->energy && timed && !host && !tells_energy(o))
        kb_complain_option(c, "--energy",
                           "is of launches by graph, pdl or hot: name one by --method");
}

void kb_options_check(const struct kb_options *o, struct kb_complaints *c) {
    check_places(o, c);
    check_command(o, c);
    check_given(o, c);
    check_outputs(o, c);
    kb_dumps_check(o, c);
    if (kb_strings_has(&o->variants, "all") && o->variants.count > 1)
        kb_complain_option(c, "--variant", "all stands alone");
    if (o->no_cache && o->no_compile)
        kb_complain_option(c, "--no-compile",
                           "without the cache everything would have to "
                           "compile");
    bool host = kb_streq(kb_backend_words[o->backend], "host") ||
                kb_strings_has(&o->devices, "host");
    if (o->mode == KB_BENCH && (host || o->sanitize))
        kb_complain_option(c, "--mode", "%s", no_host_times);
    if (o->load && o->query.fuzz)
        kb_complain_option(c, "--load", "random cases have inputs of their own");
    if (o->dump && (o->mode == KB_LIST || o->mode == KB_BUILD_ONLY))
        kb_complain_option(c, "--dump", "nothing is run by --mode %s",
                           kb_mode_word((enum kb_mode)o->mode));
    bool timed = o->mode < 0 || o->mode == KB_BENCH;
    if (o->n_columns && o->format != KB_FORMAT_TABLE)
        kb_complain_option(c, "--columns", "is of the table, not of --format %s",
                           kb_format_word((enum kb_format)o->format));
    if (o->sorted && o->format != KB_FORMAT_TABLE)
        kb_complain_option(c, "--sort", "is of the table, not of --format %s",
                           kb_format_word((enum kb_format)o->format));
    check_times(o, timed, host || o->sanitize, c);
}
