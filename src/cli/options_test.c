/* options_test.c - command lines: what they set, and every word of what is wrong with them.
 */
#include "cli/options_fixture.h"
#include "cli/page.h"

static void defaults_are_those_of_the_help(void **state) {
    (void)state;
    struct line line;
    parse(&line, "");
    assert_int_equal(line.c.count, 0);
    assert_int_equal(line.options.command, KB_CMD_RUN);
    assert_int_equal(line.options.seed, 1);
    assert_int_equal(line.options.mode, -1);
    assert_int_equal(line.options.format, KB_FORMAT_TABLE);
    assert_string_equal(kb_backend_words[line.options.backend], "auto");
    done(&line);
}

static void what_is_compared_has_limits_of_its_own(void **state) {
    (void)state;
    struct line line;
    parse(&line,
          "gate a.json --baseline b.json --max-slowdown 0.5% --max-error-growth 1.5x "
          "--allow-missing --cross --strict --update why");
    assert_int_equal(line.c.count, 0);
    assert_int_equal(line.options.command, KB_CMD_GATE);
    assert_string_equal(line.options.words.items[0], "a.json");
    assert_string_equal(line.options.baseline, "b.json");
    assert_true(line.options.limits.slowdown == 0.005);
    assert_true(line.options.limits.error_growth == 1.5);
    assert_true(line.options.limits.allow_missing && line.options.limits.cross);
    assert_true(line.options.limits.strict);
    assert_string_equal(line.options.update, "why");
    done(&line);
    parse(&line, "gate a.json --baseline b.json");
    assert_true(line.options.limits.slowdown == 0.03);
    assert_true(line.options.limits.error_growth == 2);
    done(&line);
    parse(&line, "gate a.json --max-slowdown 0% --max-error-growth 3");
    assert_int_equal(line.c.count, 0);
    assert_true(line.options.limits.slowdown == 0 && line.options.limits.error_growth == 3);
    done(&line);
    parse(&line, "diff a.json --by device --all");
    assert_int_equal(line.options.by, KB_BY_DEVICE);
    assert_int_equal(line.c.count, 0);
    done(&line);
    /* Five that are no limits, and one of another command. */
    parse(&line, "gate a --max-slowdown 3 --max-slowdown -1% --max-slowdown 2000% "
                 "--max-error-growth 0.9x --max-error-growth 2y --runs");
    assert_int_equal(line.c.count, 6);
    done(&line);
}

static void lists_split_at_commas_and_are_joined_when_given_again(void **state) {
    (void)state;
    struct line line;
    parse(&line, "--op silu,gelu --op=gelu_tanh,silu --set a=1,2 --set b=3 x.json - y/");
    assert_int_equal(line.c.count, 0);
    assert_int_equal(line.options.query.ops.count, 3);
    assert_string_equal(line.options.query.ops.items[2], "gelu_tanh");
    assert_int_equal(line.options.query.set.count, 2);
    assert_string_equal(line.options.query.set.items[0], "a=1,2");
    assert_int_equal(line.options.query.files.count, 3);
    assert_string_equal(line.options.query.files.items[1], "-");
    done(&line);
}

static void values_have_units(void **state) {
    (void)state;
    struct line line;
    parse(&line, "--timeout 500ms --max-time=2s --mem-limit 8G --precision 0.5% --sets 64 "
                 "--duty 25%");
    assert_int_equal(line.c.count, 0);
    assert_true(line.options.timeout_ms == 500);
    assert_true(line.options.max_time_ms == 2000);
    assert_true(line.options.mem_limit_bytes == (size_t)8 << 30);
    assert_true(line.options.precision == 0.005);
    assert_int_equal(line.options.sets, 64);
    assert_true(line.options.duty == 0.25);
    done(&line);
    parse(&line, "--duty 100%"); /* is none */
    assert_int_equal(line.c.count, 0);
    assert_true(line.options.duty == 0);
    done(&line);
}

static void the_last_of_a_single_value_counts(void **state) {
    (void)state;
    struct line line;
    parse(&line, "--seed 3 --seed 18446744073709551615 --color never --color always");
    assert_true(line.options.seed == UINT64_MAX);
    assert_int_equal(line.options.color, KB_COLOR_ALWAYS);
    done(&line);
}

static void short_options_stand_together_and_before_their_value(void **state) {
    (void)state;
    struct line line;
    parse(&line, "-qv -oa.json -o b.csv -o=c.md");
    assert_int_equal(line.c.count, 0);
    assert_true(line.options.quiet && line.options.verbose);
    assert_int_equal(line.options.outputs.count, 3);
    assert_string_equal(line.options.outputs.items[0], "a.json");
    assert_string_equal(line.options.outputs.items[2], "c.md");
    done(&line);
}

static void the_first_word_is_a_command_and_no_other(void **state) {
    (void)state;
    struct line line;
    parse(&line, "--op silu list cases list");
    assert_int_equal(line.options.command, KB_CMD_LIST);
    assert_int_equal(line.options.words.count, 2);
    assert_string_equal(line.options.words.items[1], "list");
    done(&line);
    parse(&line, "run -- --op help");
    assert_int_equal(line.options.command, KB_CMD_RUN);
    assert_int_equal(line.options.query.files.count, 2);
    assert_string_equal(line.options.query.files.items[0], "--op");
    done(&line);
}

/* What the builds of a value are, joined by " | ". */
static void assert_builds(const char *value, const char *wanted) {
    struct kb_arena arena = {0};
    struct kb_options *options = kb_arena_alloc(&arena, sizeof *options);
    struct kb_buf what = {0}, got = {0};
    *options = (struct kb_options){0};
    bool ok = kb_take_builds(value, &arena, options, &what);
    for (size_t i = 0; ok && i < options->builds.count; i++)
        kb_buf_printf(&got, "%s%s", i ? " | " : "", options->builds.items[i]);
    assert_string_equal(kb_buf_text(ok ? &got : &what), wanted);
    kb_buf_free(&what);
    kb_buf_free(&got);
    kb_arena_free(&arena);
}

static void commas_separate_builds_but_within_a_flag_that_takes_a_list(void **state) {
    (void)state;
    assert_builds("precise,mine=-O3 -DA=1,fast-math,precise",
                  "precise | mine=-O3 -DA=1 | fast-math");
    assert_builds("mine=-Xptxas=-v,-warn-spills,aot", "mine=-Xptxas=-v,-warn-spills | aot");
    assert_builds("mine=-O3 -Xptxas -v,-O2,o=-DX", "mine=-O3 -Xptxas -v,-O2 | o=-DX");
    assert_builds("mine=--ptxas-options=-v,-O2", "mine=--ptxas-options=-v,-O2");
    assert_builds("mine=--diag-suppress=177,550,aot", "mine=--diag-suppress=177,550 | aot");
    assert_builds("mine=-O3,-DA=1", "\"-DA=1\" behind a comma is no build; blanks separate "
                                    "the flags of one: --build 'mine=-O3 -DA=1'");
    assert_builds("mine=-Xptxas=-v -O3,-DA=1",
                  "\"-DA=1\" behind a comma is no build; blanks separate the flags of one: "
                  "--build 'mine=-Xptxas=-v -O3 -DA=1'");
    assert_builds("mine=-O3,550", "mine=-O3 | 550"); /* told as an unknown build */
    assert_builds("precise,-O3",
                  "\"-O3\" is a flag; a build has a name: --build 'mine=-O3'");
}

static void a_kernel_may_name_its_variant(void **state) {
    (void)state;
    struct line line;
    parse(&line, "--kernel dir/mine.cu:vec8");
    assert_string_equal(line.options.kernel, "dir/mine.cu");
    assert_int_equal(line.options.variants.count, 1);
    assert_string_equal(line.options.variants.items[0], "vec8");
    done(&line);
    parse(&line, "--kernel d:ir/mine.cu");
    assert_string_equal(line.options.kernel, "d:ir/mine.cu");
    assert_int_equal(line.options.variants.count, 0);
    done(&line);
}

static void methods_keep_the_order_they_are_asked_in(void **state) {
    (void)state;
    struct line line;
    parse(&line, "--method cold,graph --method cold");
    assert_int_equal(line.options.n_methods, 2);
    assert_int_equal(line.options.methods[0], KB_COLD);
    assert_int_equal(line.options.methods[1], KB_GRAPH);
    done(&line);
}

/* One mistake, one line, and the line says what was wanted. */
static const struct mistake mistakes[] = {
    {"--opp silu", "--opp: unknown option, did you mean \"--op\"?"},
    {"--zzzzzz", "--zzzzzz: unknown option; kbench help run lists them"},
    {"-z", "-z: unknown option; kbench help run lists them"},
    {"--op", "--op: wants NAME,... after it, got nothing"},
    {"--op --shape=7x16", "--op: wants NAME,... after it, got \"--shape=7x16\""},
    {"-q -o", "-o: wants FILE after it, got nothing"},
    {"--op silu,,gelu", "--op: \"silu,,gelu\" has an empty part"},
    {"--no-cache=yes", "--no-cache: takes no value, got \"yes\""},
    {"--timeout 60", "--timeout: \"60\" is no time, wanted one such as 60s or 500ms"},
    {"--timeout 0s", "--timeout: \"0s\" is no time, wanted one such as 60s or 500ms"},
    {"--timeout -1s", "--timeout: \"-1s\" is no time, wanted one such as 60s or 500ms"},
    {"--max-time 1e3s", "--max-time: \"1e3s\" is no time, wanted one such as 60s or 500ms"},
    {"--mem-limit 8Q", "--mem-limit: \"8Q\" is no size, wanted one such as 8G or 512M"},
    {"--mem-limit 0", "--mem-limit: \"0\" is no size, wanted one such as 8G or 512M"},
    {"--precision 1", "--precision: \"1\" is no precision, wanted one such as 1% or 0.5%, "
                      "at most 50%"},
    {"--precision 51%", "--precision: \"51%\" is no precision, wanted one such as 1% or "
                        "0.5%, at most 50%"},
    {"--sets 4097", "--sets: \"4097\" is no whole number from 1 to 4096"},
    {"--duty 0.5%", "--duty: \"0.5%\" is no duty, wanted one such as 50%, 1% to 100%"},
    {"--duty 101%", "--duty: \"101%\" is no duty, wanted one such as 50%, 1% to 100%"},
    {"--sets 0", "--sets: \"0\" is no whole number from 1 to 4096"},
    {"--jobs two", "--jobs: \"two\" is no whole number from 1 to 1024"},
    {"--seed 1.5", "--seed: \"1.5\" is no seed, wanted a whole number or random"},
    {"--backend cud", "--backend: unknown value \"cud\", did you mean \"cuda\"?"},
    {"--color blue", "--color: unknown value \"blue\"; there are auto, always, never"},
    {"--mode bnch", "--mode: unknown mode \"bnch\", did you mean \"bench\"?"},
    {"--method graph,colt", "--method: unknown method \"colt\", did you mean \"cold\"?"},
    {"--method cuti", "--method: unknown method \"cuti\", did you mean \"cupti\"?"},
    {"--format htm", "--format: unknown format \"htm\", did you mean \"html\"?"},
    {"-o r.htm", "-o: r.htm: unknown extension \"htm\", did you mean \"html\"?"},
    {"-o r.jsn", "-o: r.jsn: unknown extension \"jsn\", did you mean \"json\"?"},
    {"-o report",
     "-o: report: has no extension, wanted .json, .jsonl, .csv, .md, .xml or .html"},
    {"-o .json",
     "-o: .json: has no extension, wanted .json, .jsonl, .csv, .md, .xml or .html"},
    {"-o a.md -o a.md", "-o: a.md is given twice"},
    {"--device 0,x", "--device: \"x\" is no device, wanted a GPU's number, all or host"},
    {"--kernel :v", "--kernel: \":v\" wants FILE.cu:VARIANT"},
    {"--kernel a.cu:", "--kernel: \"a.cu:\" wants FILE.cu:VARIANT"},
    {"--sanitize adress",
     "--sanitize: unknown sanitizer \"adress\", did you mean \"address\"?"},
    {"--sanitize thread,address",
     "--sanitize: thread stands alone: compilers do not mix it with others"},
    {"--resume", "--resume: not in this version"},
    {"--sample 1", "--sample: \"1\" is no whole number from 2 to 9007199254740992"},
    {"cache", "cache: not in this version"},
    {"--columns erro", "--columns: unknown column \"erro\", did you mean \"error\"?"},
    {"--columns verdict", NULL},
    {"--sort err", "--sort: unknown column \"err\", did you mean \"error\"?"},
    {"lits", "lits: no such file, folder or command, did you mean \"list\"?"},
};

static void each_mistake_has_its_words(void **state) {
    (void)state;
    for (size_t i = 0; i < KB_COUNT(mistakes); i++)
        assert_mistake(&mistakes[i]);
}

static void all_mistakes_are_told_at_once_in_their_order(void **state) {
    (void)state;
    struct line line;
    parse(&line, "--timeout 1 --mode x -o y.pdf --jobs 0");
    assert_int_equal(line.c.count, 4);
    assert_non_null(strstr(line.c.text.data, "--timeout"));
    assert_true(strstr(line.c.text.data, "--mode") > strstr(line.c.text.data, "--timeout"));
    assert_true(strstr(line.c.text.data, "--jobs") > strstr(line.c.text.data, "y.pdf"));
    done(&line);
}

static void a_mistake_cannot_write_to_the_terminal(void **state) {
    (void)state;
    struct line line;
    parse(&line, "--mode \033[31mred");
    assert_null(strchr(line.c.text.data, '\033'));
    assert_non_null(strstr(line.c.text.data, "^["));
    done(&line);
}

/* A table row that the parser could not use, or that the help would hide. */
static void every_option_is_whole(void **state) {
    (void)state;
    struct kb_buf help = {0}, brief = {0};
    struct kb_page page = {.out = &help};
    kb_options_page(&page);
    kb_options_summary(92, &brief);
    for (size_t i = 0; i < kb_option_count(); i++) {
        const struct kb_option *o = kb_option_at(i);
        assert_true(kb_starts_with(o->name, "--"));
        assert_non_null(o->help);
        assert_true((o->arg == NULL) == (o->type == KB_O_FLAG));
        assert_true((o->take != NULL) == (o->type == KB_O_OWN));
        assert_true((o->words != NULL) == (o->type == KB_O_WORD));
        assert_true(o->type != KB_O_COUNT || o->min < o->max);
        assert_non_null(strstr(help.data, o->name));
        assert_false(kb_is_later(o->name));
        for (size_t k = 0; k < i; k++) {
            assert_string_not_equal(kb_option_at(k)->name, o->name);
            assert_true(!o->letter || kb_option_at(k)->letter != o->letter);
        }
    }
    kb_buf_free(&help);
    kb_buf_free(&brief);
}

/* Words that the table repeats because the help shows them. */
static void shown_words_are_those_that_are_taken(void **state) {
    (void)state;
    struct kb_buf methods = {0}, modes = {0}, formats = {0};
    for (int m = 0; m < KB_METHOD_COUNT; m++)
        kb_buf_printf(&methods, "%s%s", m ? "," : "", kb_method_word((enum kb_method)m));
    for (int m = 0; m <= KB_BENCH; m++)
        kb_buf_printf(&modes, "%s%s", m ? "|" : "", kb_mode_word((enum kb_mode)m));
    kb_buf_puts(&formats, "table");
    for (int f = 0; f < KB_FORMAT_COUNT; f++)
        kb_buf_printf(&formats, "|%s", kb_format_word((enum kb_format)f));
    for (size_t i = 0; i < kb_option_count(); i++) {
        if (kb_streq(kb_option_at(i)->name, "--format"))
            assert_string_equal(kb_option_at(i)->arg, formats.data);
        if (kb_streq(kb_option_at(i)->name, "--method"))
            assert_string_equal(kb_option_at(i)->arg, methods.data);
        if (kb_streq(kb_option_at(i)->name, "--mode"))
            assert_string_equal(kb_option_at(i)->arg, modes.data);
    }
    kb_buf_free(&methods);
    kb_buf_free(&modes);
    kb_buf_free(&formats);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_those_of_the_help),
        cmocka_unit_test(what_is_compared_has_limits_of_its_own),
        cmocka_unit_test(lists_split_at_commas_and_are_joined_when_given_again),
        cmocka_unit_test(values_have_units),
        cmocka_unit_test(the_last_of_a_single_value_counts),
        cmocka_unit_test(short_options_stand_together_and_before_their_value),
        cmocka_unit_test(the_first_word_is_a_command_and_no_other),
        cmocka_unit_test(commas_separate_builds_but_within_a_flag_that_takes_a_list),
        cmocka_unit_test(a_kernel_may_name_its_variant),
        cmocka_unit_test(methods_keep_the_order_they_are_asked_in),
        cmocka_unit_test(each_mistake_has_its_words),
        cmocka_unit_test(all_mistakes_are_told_at_once_in_their_order),
        cmocka_unit_test(a_mistake_cannot_write_to_the_terminal),
        cmocka_unit_test(every_option_is_whole),
        cmocka_unit_test(shown_words_are_those_that_are_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
