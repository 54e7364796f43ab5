/* casefile_wrong_test.c - what is said of a case file that is wrong. */
#include "op/casefile_fixture.h"

static void every_error_of_a_file_is_told_at_its_place(void **state) {
    (void)state;
    static const char text[] =
        "{ \"schema\": \"kbench-cases/1\",\n"
        "  \"groups\": [\n"
        "    { \"why\": \"three errors, as the terminal shows them\",\n"
        "\n"
        "      \"ops\": [ \"gelutanh\"],\n"
        "      \"shapes\": [[83, 1024], [83, 1023]],\n"
        "      \"dtypes\": [\"bf16\"],\n"
        "\n"
        "      \"tolerance\": { \"atol\": 1, \"rtoll\": 1e-2, \"rule\": \"peer\" } } ] }\n";
    assert_complaints(
        text,
        "9:33: error: groups[0].tolerance: unknown key \"rtoll\", did you mean \"rtol\"?\n"
        "5:16: error: groups[0].ops: unknown op \"gelutanh\", did you mean \"gelu_tanh\"?\n"
        "6:30: error: groups[0].shapes[1]: 83x1023: the last axis is 2*HIDDEN, 1023 is "
        "odd\n");
}

static void a_root_that_is_wrong_says_how(void **state) {
    (void)state;
    assert_complaints("[]",
                      "1:1: error: wants an object with \"schema\" and \"groups\", got a "
                      "list\n");
    assert_complaints("{}", "1:1: error: lacks \"schema\": \"kbench-cases/1\"\n"
                            "1:1: error: lacks \"groups\"\n");
    assert_complaints("{\"schema\": 1, \"groups\": {}}",
                      "1:12: error: schema: wants \"kbench-cases/1\", got 1\n"
                      "1:25: error: groups: wants a list of groups, got an object\n");
    assert_complaints(
        "{\"schema\": \"kbench-cases/2\", \"group\": [], \"groups\": []}",
        "1:30: error: unknown key \"group\", did you mean \"groups\"?\n"
        "1:12: error: schema: \"kbench-cases/2\" is newer than this kbench, which "
        "reads \"kbench-cases/1\"\n"
        "1:53: error: groups: is empty, wanted a list of groups\n");
    assert_complaints(
        "{\"schema\": \"kbench-report/1\", \"complete\": true, \"rows\": []}",
        "1:12: error: schema: is a report, wanted \"kbench-cases/1\"; reports go "
        "after --rerun or --baseline, or to diff, gate and merge\n");
    assert_complaints("{\"schema\": \"kbench-kases/1\", \"groups\": [null]}",
                      "1:12: error: schema: unknown schema \"kbench-kases/1\", wanted "
                      "\"kbench-cases/1\"\n"
                      "1:41: error: groups[0]: wants an object, got null\n");
}

/* What is there under a wrong name is not missing as well. */
static void a_misspelt_key_is_one_error(void **state) {
    (void)state;
    assert_complaints("{\"shema\": \"kbench-cases/1\", \"group\": []}",
                      "1:2: error: unknown key \"shema\", did you mean \"schema\"?\n"
                      "1:29: error: unknown key \"group\", did you mean \"groups\"?\n");
    assert_group("\"whyy\": \"x\", \"op\": [\"silu\"], \"shape\": [[7, 16]]",
                 "3:1: error: groups[0]: unknown key \"whyy\", did you mean \"why\"?\n"
                 "3:14: error: groups[0]: unknown key \"op\", did you mean \"ops\"?\n"
                 "3:30: error: groups[0]: unknown key \"shape\", did you mean "
                 "\"shapes\"?\n");
    assert_group("\"why\": \"x\", \"ops\": [\"silu\"], \"axes\": {\"token\": [7], "
                 "\"hidden\": [8]}",
                 "3:39: error: groups[0].axes: unknown key \"token\", did you mean "
                 "\"tokens\"?\n");
}

static void a_syntax_error_keeps_its_place(void **state) {
    (void)state;
    struct read r;
    static const char text[] =
        "{ \"schema\": \"kbench-cases/1\",\n  \"groups\": [ oops ] }";
    read_bytes(&r, text, strlen(text));
    assert_int_equal(r.c.count, 1);
    assert_true(kb_starts_with(kb_buf_text(&r.c.text), "cases/mine.json:2:15: error: "));
    free_read(&r);
}

static void a_group_that_lacks_parts_says_which(void **state) {
    (void)state;
    assert_group("", "2:1: error: groups[0]: lacks \"why\": what these cases are to catch\n"
                     "2:1: error: groups[0]: lacks \"ops\"\n"
                     "2:1: error: groups[0]: lacks \"shapes\" (or \"axes\")\n");
    assert_group(
        "\"why\": \" \\n\", \"ops\": [\"silu\"], \"shapes\": [[1, 2]], \"axes\": {}",
        "3:8: error: groups[0].why: is empty, wanted what these cases are to catch\n"
        "2:1: error: groups[0]: has shapes and axes, one is wanted\n");
    assert_group("\"why\": 1, \"ops\": [], \"shapes\": []",
                 "3:8: error: groups[0].why: wants a sentence, got 1\n"
                 "3:18: error: groups[0].ops: is empty, wanted a list of ops\n"
                 "3:32: error: groups[0].shapes: is empty, wanted a list of shapes, [[83, "
                 "1024]]\n");
}

static void singular_and_misspelt_keys_get_a_hint(void **state) {
    (void)state;
    assert_group(
        "\"why\": \"w\", \"op\": \"silu\", \"shape\": [1, 2], \"dtype\": \"bf16\",\n"
        "\"fill\": \"nan\", \"tag\": \"ci\", \"Ops\": [], \"tolerence\": 1",
        "3:13: error: groups[0]: unknown key \"op\", did you mean \"ops\"?\n"
        "3:27: error: groups[0]: unknown key \"shape\", did you mean \"shapes\"?\n"
        "3:44: error: groups[0]: unknown key \"dtype\", did you mean \"dtypes\"?\n"
        "4:1: error: groups[0]: unknown key \"fill\", did you mean \"fills\"?\n"
        "4:16: error: groups[0]: unknown key \"tag\", did you mean \"tags\"?\n"
        "4:29: error: groups[0]: unknown key \"Ops\", did you mean \"ops\"?\n"
        "4:40: error: groups[0]: unknown key \"tolerence\", did you mean "
        "\"tolerance\"?\n");
}

static void words_that_an_op_lacks_name_the_op(void **state) {
    (void)state;
    assert_group(
        "\"why\": \"w\", \"ops\": [\"silu\", \"stream\"], \"shapes\": [[4]],\n"
        "\"dtypes\": [\"bf16\", \"bf61\", \"i32\"],\n"
        "\"fills\": [\"bits\", \"tiny\", \"bitz\", 7]",
        "4:20: error: groups[0].dtypes: unknown dtype \"bf61\", did you mean "
        "\"bf16\"?\n"
        "4:28: error: groups[0].dtypes: silu has no dtype i32; it has bf16, fp16, "
        "fp32\n"
        "5:19: error: groups[0].fills: stream has no fill tiny; it has bits, normal, "
        "nan\n"
        "5:27: error: groups[0].fills: unknown fill \"bitz\", did you mean \"bits\"?\n"
        "5:35: error: groups[0].fills: wants the name of a fill, got 7\n");
    assert_group("\"why\": \"w\", \"ops\": \"silu\", \"shapes\": [[1, 2]],\n"
                 "\"dtypes\": \"bf16\", \"fills\": {}, \"tags\": \"ci\"",
                 "4:40: error: groups[0].tags: wants a list of tags, got \"ci\"\n"
                 "3:20: error: groups[0].ops: wants a list of ops, got \"silu\"\n"
                 "4:11: error: groups[0].dtypes: wants a list of dtypes, got \"bf16\"\n"
                 "4:28: error: groups[0].fills: wants a list of fills, got an object\n");
}

static void sizes_are_whole_numbers_from_zero(void **state) {
    (void)state;
    assert_group(
        "\"why\": \"w\", \"ops\": [\"silu\"], \"shapes\": [\n"
        "[1.5, 3], [-1, 2], [-0, 2], [\"7\", 16], [1e16, 2], [], 7, \"7x16\",\n"
        "[1,1,1,1,1,1,1,1,2], [9007199254740992, 2], [null, 2]]",
        "4:2: error: groups[0].shapes[0][0]: wants a whole number from 0 to 2^53, got "
        "1.5\n"
        "4:12: error: groups[0].shapes[1][0]: wants a whole number from 0 to 2^53, "
        "got -1\n"
        "4:21: error: groups[0].shapes[2][0]: wants a whole number from 0 to 2^53, "
        "got -0\n"
        "4:30: error: groups[0].shapes[3][0]: wants a whole number from 0 to 2^53, "
        "got \"7\"\n"
        "4:41: error: groups[0].shapes[4][0]: wants a whole number from 0 to 2^53, "
        "got 1e+16\n"
        "4:51: error: groups[0].shapes[5]: is empty, wanted a list of sizes, [83, "
        "1024]\n"
        "4:55: error: groups[0].shapes[6]: wants a list of sizes, [83, 1024], got 7\n"
        "4:58: error: groups[0].shapes[7]: wants a list of sizes, [83, 1024], got "
        "\"7x16\"\n"
        "5:1: error: groups[0].shapes[8]: has 9 sizes, at most 8 are taken\n"
        "5:46: error: groups[0].shapes[10][0]: wants a whole number from 0 to 2^53, "
        "got null\n"
        "5:22: error: groups[0].shapes[9]: 9007199254740992x2: input: the elements "
        "overflow, a tensor has at most 2^53 bytes\n");
}

static void a_refused_shape_is_told_once_whatever_the_number_of_ops(void **state) {
    (void)state;
    assert_group(
        "\"why\": \"w\", \"ops\": [\"silu\", \"gelu\", \"stream\"], \"shapes\": [\n"
        "[7], [2], [6, 8]], \"set\": {}",
        "4:1: error: groups[0].shapes[0]: 7: the last axis is 2*HIDDEN, 7 is odd\n");
    assert_group(
        "\"why\": \"w\", \"ops\": [\"stream\", \"silu\"], \"shapes\": [[3]],\n"
        "\"dtypes\": [\"fp32\"]",
        "3:51: error: groups[0].shapes[0]: 3: pattern r2w1 halves the last axis, 3 is "
        "no multiple of 2\n");
    assert_group("\"why\": \"w\", \"ops\": [\"stream\"], \"shapes\": [[4], [3], [2]],\n"
                 "\"set\": { \"pattern\": [\"copy\", \"r2w05\"] }",
                 "4:8: error: groups[0].set: stream/3/bf16/pattern=r2w05: pattern r2w05 "
                 "quarters the last axis, 3 is no multiple of 4\n");
}

static void axes_are_those_of_the_op(void **state) {
    (void)state;
    assert_group(
        "\"why\": \"w\", \"ops\": [\"silu\", \"gelu\"],\n"
        "\"axes\": { \"token\": [1], \"hidden\": [0, 1.5] }",
        "4:11: error: groups[0].axes: unknown key \"token\", did you mean "
        "\"tokens\"?\n"
        "4:39: error: groups[0].axes.hidden[1]: wants a whole number from 0 to 2^53, "
        "got 1.5\n");
    assert_group(
        "\"why\": \"w\", \"ops\": [\"silu\"], \"axes\": { \"tokens\": [1, 2], "
        "\"hidden\": [0, 4] }",
        "3:38: error: groups[0].axes: 1x0: the last axis is 2*HIDDEN, HIDDEN must be "
        "at least 1, got 0\n");
    assert_group(
        "\"why\": \"w\", \"ops\": [\"stream\"], \"axes\": { \"tokens\": [1] }",
        "3:32: error: groups[0]: stream has no named axes, give shapes: ELEMENTS\n");
    assert_group("\"why\": \"w\", \"ops\": [\"silu\"], \"axes\": [1]",
                 "3:38: error: groups[0].axes: wants an object, {\"AXIS\": [SIZES]}, got a "
                 "list\n");
    assert_group("\"why\": \"w\", \"ops\": [\"silu\"], "
                 "\"axes\": {\"tokens\": [], \"hidden\": [8]}",
                 "3:49: error: groups[0].axes.tokens: is empty, wanted a list of sizes\n");
}

static void settings_are_checked_against_every_op(void **state) {
    (void)state;
    assert_group(GOOD "\"set\": { \"ruond\": \"act\", \"round\": [\"once\", \"atc\", 1] }",
                 "4:10: error: groups[0].set: silu: unknown key \"ruond\", did you mean "
                 "\"round\"?\n"
                 "4:44: error: groups[0].set.round: unknown value \"atc\", did you mean "
                 "\"act\"?\n"
                 "4:51: error: groups[0].set.round: wants a word, got 1\n");
    assert_group(
        "\"why\": \"w\", \"ops\": [\"silu\", \"stream\"], \"shapes\": [[4]],\n"
        "\"set\": { \"round\": \"act\" }",
        "4:10: error: groups[0].set: stream: unknown key \"round\"; there are fill, "
        "pattern\n");
    assert_group(GOOD "\"set\": { \"fill\": \"nan\", \"round\": [] }",
                 "4:10: error: groups[0].set: fill is not set here: use \"fills\" of the "
                 "group\n"
                 "4:34: error: groups[0].set.round: is empty, wanted a value or a list of "
                 "values\n");
    assert_group(
        GOOD "\"set\": [\"round\"]",
        "4:8: error: groups[0].set: wants an object, {\"KEY\": VALUE}, got a list\n");
}

static void tolerances_have_the_numbers_of_their_rule(void **state) {
    (void)state;
    static const struct {
        const char *text, *wanted;
    } table[] = {
        {"1",
         "4:14: error: groups[0].tolerance: wants an object, {\"rule\": \"peer\"}, got 1"},
        {"{}", "4:14: error: groups[0].tolerance: lacks \"rule\": bound, peer or given"},
        {"{\"atol\": 1, \"rtol\": 1}",
         "4:14: error: groups[0].tolerance: lacks \"rule\": bound, peer or given"},
        {"{\"rule\": \"peers\"}",
         "4:23: error: groups[0].tolerance.rule: unknown rule \"peers\", did you mean "
         "\"peer\"?"},
        {"{\"rule\": true}",
         "4:23: error: groups[0].tolerance.rule: wants bound, peer or given, got true"},
        {"{\"rule\": \"bound\", \"atol\": 1}",
         "4:14: error: groups[0].tolerance: rule bound takes no atol and rtol: the op's "
         "bound "
         "decides"},
        {"{\"rule\": \"given\", \"atol\": 1}",
         "4:14: error: groups[0].tolerance: lacks \"rtol\""},
        {"{\"rule\": \"peer\", \"rtol\": -1, \"atol\": 0}",
         "4:39: error: groups[0].tolerance.rtol: wants a number from 0, got -1"},
        {"{\"rule\": \"given\", \"rtol\": \"1\", \"atol\": 0}",
         "4:40: error: groups[0].tolerance.rtol: wants a number from 0, got \"1\""},
    };
    for (size_t i = 0; i < KB_COUNT(table); i++) {
        char group[256], wanted[256];
        snprintf(group, sizeof group, GOOD "\"tolerance\": %s", table[i].text);
        snprintf(wanted, sizeof wanted, "%s\n", table[i].wanted);
        assert_group(group, wanted);
    }
}

static void samples_are_of_two_rows_at_least(void **state) {
    (void)state;
    static const char *const wrong[] = {"1",    "0",      "-3",   "2.5",
                                        "1e16", "\"10\"", "[10]", "null"};
    for (size_t i = 0; i < KB_COUNT(wrong); i++) {
        char group[200], complaint[200];
        snprintf(group, sizeof group, GOOD "\"sample\": %s", wrong[i]);
        snprintf(complaint, sizeof complaint,
                 "4:11: error: groups[0].sample: wants a whole number from 2 to 2^53, got "
                 "%s\n",
                 i == 4   ? "1e+16"
                 : i == 6 ? "a list"
                          : wrong[i]);
        assert_group(group, complaint);
    }
    assert_group(GOOD "\"sample\": 2", "");
}

static void what_runs_only_by_tag_needs_one(void **state) {
    (void)state;
    assert_group(GOOD "\"only_by_tag\": true",
                 "4:16: error: groups[0].only_by_tag: without tags its cases are never "
                 "run\n");
    assert_group(GOOD "\"only_by_tag\": 1, \"tags\": [\"big\"]",
                 "4:16: error: groups[0].only_by_tag: wants true or false, got 1\n");
    assert_group(GOOD "\"only_by_tag\": true, \"tags\": [\"big\"]", "");
    assert_group(GOOD "\"only_by_tag\": false", "");
}

static void tags_are_short_words_and_no_more_than_64(void **state) {
    (void)state;
    assert_group(
        GOOD "\"tags\": [\"ci\", \"a,b\", \"\", 3, \"0123456789abcdef0123456789abcdef\","
             " \"0123456789abcdef0123456789abcdefg\"]",
        "4:16: error: groups[0].tags: wants 1 to 32 letters, digits, _ - ., got "
        "\"a,b\"\n"
        "4:23: error: groups[0].tags: wants 1 to 32 letters, digits, _ - ., got "
        "\"\"\n"
        "4:27: error: groups[0].tags: wants 1 to 32 letters, digits, _ - ., got 3\n"
        "4:66: error: groups[0].tags: wants 1 to 32 letters, digits, _ - ., got "
        "\"0123456789abcdef0123456789abcdefg\"\n");
    struct kb_buf group = {0};
    kb_buf_puts(&group, GOOD "\"tags\": [\n\"t0\"");
    for (int i = 1; i < KB_MAX_TAGS; i++)
        kb_buf_printf(&group, ", \"t%d\"", i);
    kb_buf_puts(&group, ", \"t7\"");
    size_t full = group.len;
    kb_buf_putc(&group, ']');
    assert_group(group.data, "");
    kb_buf_cut(&group, full);
    kb_buf_puts(&group, ",\n\"late\"]");
    assert_group(group.data,
                 "6:1: error: groups[0].tags: \"late\" is one more than the 128 tags "
                 "that all files may have\n");
    kb_buf_free(&group);
}

static void what_a_file_says_cannot_fool_a_terminal(void **state) {
    (void)state;
    struct kb_buf wanted = {0};
    kb_buf_puts(&wanted,
                "3:21: error: groups[0].ops: unknown op \"si^[[2Jlu\"; there are ");
    for (int i = 0; i < kb_op_count; i++)
        kb_buf_printf(&wanted, "%s%s", i ? ", " : "", kb_ops[i]->name);
    kb_buf_puts(&wanted, "\n");
    assert_group("\"why\": \"w\", \"ops\": [\"si\\u001b[2Jlu\"], \"shapes\": [[1, 2]]",
                 kb_buf_text(&wanted));
    kb_buf_free(&wanted);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_error_of_a_file_is_told_at_its_place),
        cmocka_unit_test(a_root_that_is_wrong_says_how),
        cmocka_unit_test(a_misspelt_key_is_one_error),
        cmocka_unit_test(a_syntax_error_keeps_its_place),
        cmocka_unit_test(a_group_that_lacks_parts_says_which),
        cmocka_unit_test(singular_and_misspelt_keys_get_a_hint),
        cmocka_unit_test(words_that_an_op_lacks_name_the_op),
        cmocka_unit_test(sizes_are_whole_numbers_from_zero),
        cmocka_unit_test(a_refused_shape_is_told_once_whatever_the_number_of_ops),
        cmocka_unit_test(axes_are_those_of_the_op),
        cmocka_unit_test(settings_are_checked_against_every_op),
        cmocka_unit_test(tolerances_have_the_numbers_of_their_rule),
        cmocka_unit_test(samples_are_of_two_rows_at_least),
        cmocka_unit_test(what_runs_only_by_tag_needs_one),
        cmocka_unit_test(tags_are_short_words_and_no_more_than_64),
        cmocka_unit_test(what_a_file_says_cannot_fool_a_terminal),
    };
    return cmocka_run_group_tests_name("casefile wrong", tests, NULL, NULL);
}
