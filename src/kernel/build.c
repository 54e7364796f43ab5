/* build.c - named sets of compiler flags. */
#include "kernel/parts.h"

#include <string.h>

enum { AUTO_PRECISE_FROM_SM = 100, MAX_NAME = 32 };

static const char standard[] = "-std=c++17", fast[] = "--use_fast_math";

enum named { PRECISE, FAST_MATH, AUTO, AOT, AOT_FAST_MATH, N_NAMED };
static const struct {
    const char *name;
    bool fast_math, from_nvcc;
} named[N_NAMED] = {
    [PRECISE] = {"precise", false, false}, [FAST_MATH] = {"fast-math", true, false},
    [AUTO] = {"auto", false, false}, /* resolved for the device */
    [AOT] = {"aot", false, true},          [AOT_FAST_MATH] = {"aot-fast-math", true, true},
};

const char *const kb_build_names[] = {"precise", "fast-math",     "auto",
                                      "aot",     "aot-fast-math", NULL};

/* ---- flags -----------------------------------------------------------------------------
 */

/* Flags from files: what changes code, nothing that names a file to write, runs a program
 * or reads outside the checkout. */
static const char *const exact[] = {
    "-use_fast_math",   "--use_fast_math",  "-lineinfo",       "--generate-line-info",
    "-std=c++14",       "-std=c++17",       "-std=c++20",      "--std=c++14",
    "--std=c++17",      "--std=c++20",      "-ftz=true",       "-ftz=false",
    "--ftz=true",       "--ftz=false",      "-fmad=true",      "-fmad=false",
    "--fmad=true",      "--fmad=false",     "-prec-div=true",  "-prec-div=false",
    "--prec-div=true",  "--prec-div=false", "-prec-sqrt=true", "-prec-sqrt=false",
    "--prec-sqrt=true", "--prec-sqrt=false"};
static const char allowed[] =
    "-DNAME[=VALUE] -UNAME -IFOLDER (below the current one) -std=c++14|17|20 -lineinfo "
    "--use_fast_math --ftz= --fmad= --prec-div= --prec-sqrt= (true or false) "
    "--maxrregcount=N";

/* NAME, or NAME=VALUE where a value is allowed, without what a shell would look at. */
static bool is_macro(const char *text, bool with_value) {
    size_t n = 0;
    while (kb_is_letter(text[n]) || (n && kb_is_digit(text[n])))
        n++;
    if (!n || (text[n] && (!with_value || text[n] != '=')))
        return false;
    return !strpbrk(text + n, "\\\"'`$\n\r\t");
}

static bool is_inner_folder(const char *path) {
    for (const char *part = path; part; part = strchr(part, '/')) {
        part += *part == '/';
        if (!strncmp(part, "..", 2) && (!part[2] || part[2] == '/'))
            return false;
    }
    /* nvcc takes a comma for the end of one folder and the start of the next */
    return *path && *path != '/' && *path != '~' && !strchr(path, ',');
}

static bool is_register_count(const char *text) {
    int64_t n;
    return kb_is_digit(*text) && kb_parse_i64(text, &n) && n <= 255; /* no -0 */
}

static bool is_allowed(const char *flag) {
    static const char *const registers[] = {"-maxrregcount=", "--maxrregcount="};
    for (size_t i = 0; i < KB_COUNT(exact); i++)
        if (kb_streq(flag, exact[i]))
            return true;
    for (size_t i = 0; i < KB_COUNT(registers); i++)
        if (kb_starts_with(flag, registers[i]))
            return is_register_count(flag + strlen(registers[i]));
    return (kb_starts_with(flag, "-D") && is_macro(flag + 2, true)) ||
           (kb_starts_with(flag, "-U") && is_macro(flag + 2, false)) ||
           (kb_starts_with(flag, "-I") && is_inner_folder(flag + 2));
}

/* Does the flag take accuracy away that the op's bound counts on? */
static bool is_fast(const char *flag) {
    static const char *const flags[] = {"use_fast_math", "ftz=true", "prec-div=false",
                                        "prec-sqrt=false"};
    const char *text = flag + strspn(flag, "-");
    for (size_t i = 0; i < KB_COUNT(flags); i++)
        if (kb_streq(text, flags[i]))
            return true;
    return false;
}

static bool is_standard(const char *flag) {
    return kb_starts_with(flag, "-std") || kb_starts_with(flag, "--std");
}

/* ---- builds ----------------------------------------------------------------------------
 */

static void set_named(struct kb_build *build, bool fast_math, struct kb_arena *arena) {
    build->flags = (struct kb_strings){0};
    build->fast_math = fast_math;
    kb_strings_add(&build->flags, arena, standard);
    if (fast_math)
        kb_strings_add(&build->flags, arena, fast);
}

static bool check_name(const char *name, struct kb_err *err) {
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789-";
    if (!*name || *name == '-' || strlen(name) > MAX_NAME || name[strspn(name, letters)])
        return kb_fail(err, KB_INPUT, "build \"%s\": a name has up to %d of a-z, 0-9 and -",
                       name, MAX_NAME);
    for (int i = 0; i < N_NAMED; i++)
        if (kb_streq(name, named[i].name))
            return kb_fail(err, KB_INPUT, "build %s has its flags already", name);
    return true;
}

/* ---- macros in a name ------------------------------------------------------------------
 */

size_t kb_build_label(const char *text) {
    size_t n = strcspn(text, "+=");
    while (text[n] == '+') {
        n += 1 + strcspn(text + n + 1, "+=");
        if (text[n] == '=')
            n += 1 + strcspn(text + n + 1, "+=");
    }
    return n;
}

bool kb_build_is(const char *name, const char *base) {
    size_t len = strcspn(name, "+");
    return strlen(base) == len && !memcmp(name, base, len);
}

const char *kb_build_with(const char *text, const char *define, struct kb_arena *arena) {
    size_t label = kb_build_label(text);
    return kb_arena_printf(arena, "%.*s+%s%s", (int)label, text, define, text + label);
}

bool kb_build_is_define(const char *text) {
    static const char value[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                "0123456789_.-";
    size_t n = strcspn(text, "=");
    if (text[n] != '=' || !is_macro(text, true) || n > MAX_NAME)
        return false;
    size_t len = strlen(text + n + 1);
    return len && len <= MAX_NAME && !text[n + 1 + strspn(text + n + 1, value)];
}

/* The macros of a label, from `text` to `end`, as flags. */
static bool add_macros(struct kb_build *build, const char *text, const char *end,
                       struct kb_arena *arena, struct kb_err *err) {
    while (text < end) {
        size_t len = strcspn(text + 1, "+=");
        if (text[1 + len] == '=')
            len += 1 + strcspn(text + 2 + len, "+=");
        const char *define = kb_arena_strndup(arena, text + 1, len);
        if (!kb_build_is_define(define))
            return kb_fail(err, KB_INPUT, "build %s: \"+%s\" is no +MACRO=VALUE",
                           build->name, define);
        kb_strings_add(&build->flags, arena, kb_arena_printf(arena, "-D%s", define));
        text += 1 + len;
    }
    return true;
}

static bool add_flag(struct kb_build *build, const char *flag, bool trusted,
                     struct kb_arena *arena, struct kb_err *err) {
    if (!*flag)
        return true;
    if (!trusted && !is_allowed(flag))
        return kb_fail(err, KB_INPUT,
                       "build %s: flag \"%s\" is not allowed in a file; "
                       "allowed are %s",
                       build->name, flag, allowed);
    build->fast_math = build->fast_math || is_fast(flag);
    kb_strings_add(&build->flags, arena, flag);
    return true;
}

static bool parse_flags(const char *text, bool trusted, struct kb_arena *arena,
                        struct kb_build *build, struct kb_err *err) {
    struct kb_strings words = {0};
    bool has_standard = false;
    kb_split(arena, text, ' ', &words);
    for (size_t i = 0; i < words.count; i++)
        has_standard = has_standard || is_standard(words.items[i]);
    if (!has_standard)
        kb_strings_add(&build->flags, arena, standard);
    for (size_t i = 0; i < words.count; i++)
        if (!add_flag(build, words.items[i], trusted, arena, err))
            return false;
    return true;
}

static bool unknown_build(const char *name, struct kb_err *err) {
    const char *near = kb_suggest(name, kb_build_names, N_NAMED);
    if (near)
        return kb_fail(err, KB_INPUT, "unknown build \"%s\", did you mean \"%s\"?", name,
                       near);
    return kb_fail(err, KB_INPUT,
                   "unknown build \"%s\"; there are precise, fast-math, auto, aot, "
                   "aot-fast-math and NAME=FLAGS",
                   name);
}

bool kb_build_parse(const char *text, bool trusted, struct kb_arena *arena,
                    struct kb_build *out, struct kb_err *err) {
    size_t label = kb_build_label(text), base = strcspn(text, "+=");
    const char *name = kb_arena_strndup(arena, text, base);
    *out = (struct kb_build){.name = kb_arena_strndup(arena, text, label)};
    for (int i = 0; !text[label] && i < N_NAMED; i++)
        if (kb_streq(name, named[i].name)) {
            out->from_nvcc = named[i].from_nvcc;
            set_named(out, named[i].fast_math, arena);
            return add_macros(out, text + base, text + label, arena, err);
        }
    if (!text[label])
        return unknown_build(name, err);
    return check_name(name, err) &&
           parse_flags(text + label + 1, trusted, arena, out, err) &&
           add_macros(out, text + base, text + label, arena, err);
}

void kb_build_resolve(struct kb_build *build, int64_t sm, struct kb_arena *arena) {
    struct kb_strings before = build->flags;
    if (!kb_build_is(build->name, named[AUTO].name))
        return;
    set_named(build, sm < AUTO_PRECISE_FROM_SM, arena);
    for (size_t i = 0; i < before.count; i++)
        if (kb_starts_with(before.items[i], "-D"))
            kb_strings_add(&build->flags, arena, before.items[i]);
}
