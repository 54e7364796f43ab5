/* together_test.c - options that do not go together, or not with the command. */
#include "cli/options_fixture.h"

static void each_pair_that_does_not_go_together_is_told(void **state) {
    (void)state;
    static const struct mistake pairs[] = {
        {"--device 0,all", "--device: all stands alone"},
        {"--device 0 --backend host", "--device: --backend host has no GPUs"},
        {"--device host --backend cuda", "--device: host is none of --backend cuda"},
        {"--variant all,vec16", "--variant: all stands alone"},
        {"--sanitize address --backend cuda",
         "--sanitize: sanitizers are the host backend's, use --backend host"},
        {"--no-cache --no-compile",
         "--no-compile: without the cache everything would have to compile"},
        {"--mode check --method cold", "--method: nothing is timed by --mode check"},
        {"--mode check --samples s.csv", "--samples: nothing is timed by --mode check"},
        {"--mode build --energy", "--energy: nothing is timed by --mode build"},
        {"--energy --backend host",
         "--energy: nothing can be timed on the host: its threads are CPU fibers"},
        {"--energy --method cold,launch",
         "--energy: is of launches by graph, pdl or hot: name one by --method"},
        {"--profile --energy", "--profile: nothing is timed under a profiler"},
        {"--profile --samples s.csv", "--profile: nothing is timed under a profiler"},
        {"--samples s.csv --device host",
         "--samples: nothing can be timed on the host: its threads are CPU fibers"},
        {"--method cold --sanitize address",
         "--method: nothing can be timed on the host: its threads are CPU fibers"},
        {"--mode bench --backend host",
         "--mode: nothing can be timed on the host: its threads are CPU fibers"},
        {"--columns error --format csv", "--columns: is of the table, not of --format csv"},
        {"--sort error --format json", "--sort: is of the table, not of --format json"},
    };
    for (size_t i = 0; i < KB_COUNT(pairs); i++)
        assert_mistake(&pairs[i]);
}

static void energy_is_of_launches_that_are_all_that_runs(void **state) {
    static const char *const good[] = {"--energy", "--energy --method cold,hot",
                                       "--energy --method pdl"};
    (void)state;
    for (size_t i = 0; i < KB_COUNT(good); i++) {
        struct line line;
        parse(&line, good[i]);
        assert_int_equal(line.c.count, 0);
        done(&line);
    }
}

static void what_a_command_does_not_take_is_told(void **state) {
    (void)state;
    static const struct mistake mistakes[] = {
        {"gate a.json --baseline b.json --tag ci", "--tag: kbench gate does not take it"},
        {"--op silu gate a.json --baseline b.json", "--op: kbench gate does not take it"},
        {"diff a.json b.json --timeout 5s", "--timeout: kbench diff does not take it"},
        {"diff a.json b.json --sort ulp", "--sort: kbench diff does not take it"},
        {"merge a.json b.json -o c.json --method cold",
         "--method: kbench merge does not take it"},
        {"merge a.json b.json -o c.json --format csv",
         "--format: kbench merge does not take it"},
        {"list cases -o r.json", "-o: kbench list does not take it"},
        {"list ops --format json",
         "--format: kbench list has one other form: list cases --format jsonl"},
        {"list cases --format json",
         "--format: kbench list has one other form: list cases --format jsonl"},
    };
    static const char *const good[] = {
        "gate a.json --baseline b.json --method cold --format md -o g.md --strict --all -q",
        "diff a.json b.json --method graph --format json --color never",
        "merge --runs a.json b.json -o c.json",
        "list cases --format jsonl --op silu --build precise --timeout 5s",
    };
    for (size_t i = 0; i < KB_COUNT(mistakes); i++)
        assert_mistake(&mistakes[i]);
    for (size_t i = 0; i < KB_COUNT(good); i++) {
        struct line line;
        parse(&line, good[i]);
        assert_int_equal(line.c.count, 0);
        done(&line);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_pair_that_does_not_go_together_is_told),
        cmocka_unit_test(energy_is_of_launches_that_are_all_that_runs),
        cmocka_unit_test(what_a_command_does_not_take_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
