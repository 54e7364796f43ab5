/* cuda_nvml_test.c - what NVML's answers come to: who else computes, what to lock, energy.
 */
#include "stub_fixture.h"

#include <math.h>

/* ---- an NVML of ours -------------------------------------------------------------------
 */

static struct {
    unsigned pids[4], count, standard_mhz, max_mhz;
    int rc;
} told;

static int processes(void *device, unsigned *count, struct kb_nvml_process *out) {
    (void)device;
    for (unsigned i = 0; i < told.count && told.count <= *count; i++)
        out[i] = (struct kb_nvml_process){.pid = told.pids[i]};
    *count = told.count;
    return told.rc;
}

static int process_name(unsigned pid, char *name, unsigned size) {
    if (pid == (unsigned)getppid()) {
        snprintf(name, size, "/proc/self/exe");
        return 0;
    }
    if (pid != 4711)
        return 6; /* not found: a number of another container */
    snprintf(name, size, "/usr/bin/python3");
    return 0;
}

static int clock_info(void *device, int clock, unsigned *mhz) {
    (void)device, (void)clock;
    *mhz = 1980;
    return 0;
}

static int standard_clock(void *device, int clock, unsigned *mhz) {
    (void)device, (void)clock;
    *mhz = told.standard_mhz;
    return told.standard_mhz ? 0 : 3;
}

static int max_clock(void *device, int clock, unsigned *mhz) {
    (void)device, (void)clock;
    *mhz = told.max_mhz;
    return 0;
}

static int index_of(void *device, unsigned *index) {
    (void)device;
    *index = 3;
    return 0;
}

static int no_reasons(void *device, unsigned long long *reasons) {
    (void)device;
    *reasons = 0x1 | 0x4 | 0x20; /* idle, power, thermal */
    return 0;
}

static struct kb_nvml nvml_of_ours(void) {
    static int device;
    return (struct kb_nvml){
        .there = true,
        .device = &device,
        .DeviceGetProcesses = processes,
        .SystemGetProcessName = process_name,
        .DeviceGetClockInfo = clock_info,
        .DeviceGetDefaultApplicationsClock = standard_clock,
        .DeviceGetMaxClockInfo = max_clock,
        .DeviceGetIndex = index_of,
        .DeviceGetThrottleReasons = no_reasons,
    };
}

static struct kb_clocks clocks_with(struct kb_nvml *nvml, unsigned n,
                                    const unsigned *pids) {
    struct kb_clocks clocks;
    told.count = n;
    memcpy(told.pids, pids, n * sizeof *pids);
    kb_nvml_clocks(nvml, &clocks);
    return clocks;
}

/* ---- tests -----------------------------------------------------------------------------
 */

static void another_process_is_named_and_we_are_not(void **state) {
    (void)state;
    const unsigned pids[] = {4711, (unsigned)getpid(), 12};
    struct kb_nvml nvml = nvml_of_ours();
    struct kb_clocks clocks = clocks_with(&nvml, 3, pids);
    assert_int_equal(clocks.other_processes, 2);
    assert_string_equal(clocks.others, "pid 4711 (python3), pid 12");
    clocks = clocks_with(&nvml, 1, pids + 1);
    assert_int_equal(clocks.other_processes, 0);
    assert_string_equal(clocks.others, "");
}

static void a_process_that_was_started_as_self_is_named_by_its_file(void **state) {
    (void)state;
    const unsigned pids[] = {(unsigned)getppid(), (unsigned)getpid()};
    struct kb_nvml nvml = nvml_of_ours();
    char link[64], file[PATH_MAX], want[PATH_MAX + 32];
    snprintf(link, sizeof link, "/proc/%d/exe", (int)getppid());
    ssize_t len = readlink(link, file, sizeof file - 1);
    if (len <= 0)
        skip();
    file[len] = '\0';
    snprintf(want, sizeof want, "pid %u (%s)", pids[0], strrchr(file, '/') + 1);
    assert_string_equal(clocks_with(&nvml, 2, pids).others, want);
}

/* In a container we have another number there: it is the one that came after us. */
static void in_a_container_the_one_that_was_not_there_before_is_us(void **state) {
    (void)state;
    const unsigned pids[] = {4711, 999999, 12};
    struct kb_nvml nvml = nvml_of_ours();
    nvml.n_before = 1;
    nvml.before[0] = 4711;
    assert_string_equal(clocks_with(&nvml, 2, pids).others, "pid 4711 (python3)");
    struct kb_clocks clocks = clocks_with(&nvml, 3, pids); /* two came: which are we? */
    assert_int_equal(clocks.other_processes, 2);
    assert_string_equal(clocks.others,
                        "pid 4711 (python3), pid 999999, pid 12, one of them this one");
    nvml.n_before = 0;
    assert_string_equal(clocks_with(&nvml, 1, pids).others, "");
    assert_int_equal(clocks_with(&nvml, 0, pids).other_processes, 0);
}

static void who_computes_may_not_be_known(void **state) {
    (void)state;
    const unsigned pids[] = {4711};
    struct kb_nvml nvml = nvml_of_ours();
    told.rc = 3;
    assert_int_equal(clocks_with(&nvml, 1, pids).other_processes, -1);
    told.rc = 0;
}

/* Then NVML names none of them. */
static void more_processes_than_we_ask_for_are_company_without_names(void **state) {
    (void)state;
    struct kb_nvml nvml = nvml_of_ours();
    told.rc = 7;
    struct kb_clocks clocks;
    told.count = 100;
    kb_nvml_clocks(&nvml, &clocks);
    assert_true(clocks.other_processes >= KB_NVML_PROCESSES - 1);
    assert_string_equal(clocks.others, "64 processes and more");
    told.rc = 0;
}

static void idle_is_no_throttle(void **state) {
    (void)state;
    struct kb_nvml nvml = nvml_of_ours();
    struct kb_clocks clocks;
    kb_nvml_clocks(&nvml, &clocks);
    assert_true(clocks.throttle == (0x4 | 0x20));
    assert_int_equal(clocks.sm_mhz, 1980);
}

static void expect_lock(const struct kb_nvml *nvml, const char *want) {
    char words[64];
    kb_nvml_lock_words(nvml, words, sizeof words);
    assert_string_equal(words, want);
}

static void clock_to_lock_to_is_the_factorys_else_the_highest(void **state) {
    (void)state;
    struct kb_nvml nvml = nvml_of_ours(), none = {0};
    told.max_mhz = 1980;
    told.standard_mhz = 1500;
    expect_lock(&nvml, "nvidia-smi -i 3 -lgc 1500");
    told.standard_mhz = 0;
    expect_lock(&nvml, "nvidia-smi -i 3 -lgc 1980");
    nvml.DeviceGetMaxClockInfo = NULL;
    expect_lock(&nvml, "");
    expect_lock(&none, "");
}

/* ---- energy ----------------------------------------------------------------------------
 */

static struct {
    __typeof__(&cuGraphLaunch) launch;
    int64_t graphs, per_graph, reads;
    unsigned long long mj;
    bool still;
} meter;

static CUresult counted_launch(CUgraphExec graph, CUstream stream) {
    meter.graphs++;
    return meter.launch(graph, stream);
}

/* 3 mJ for each launch, as of the last time that it was brought up to date. */
static int energy(void *device, unsigned long long *mj) {
    (void)device;
    if (++meter.reads % 5 == 0 && !meter.still)
        meter.mj = 1000 + 3 * (unsigned long long)(meter.graphs * meter.per_graph);
    *mj = meter.mj;
    return 0;
}

static void energy_is_of_one_launch_by_the_gpus_counter(void **state) {
    struct fixture *f = *state;
    struct kb_timer_facts facts;
    struct kb_timer *timer = NULL;
    double joules;
    ready(f, 100000);
    f->device->nvml = nvml_of_ours();
    assert_true(kb_cuda.timer_open(f->device, f->code, f->plan, &f->slab, KB_GRAPH, 0,
                                   &timer, &facts, &f->err));
    meter.launch = f->device->cu.GraphLaunch;
    meter.per_graph = facts.launches_per_sample;
    f->device->cu.GraphLaunch = counted_launch;
    assert_false(kb_cuda.timer_energy(timer, 0.02, &joules, &f->err));
    expect_error(f, KB_UNSUPPORTED, "no energy: NVML has no counter");
    f->device->nvml.DeviceGetTotalEnergy = energy;
    int64_t start = kb_now_ns();
    assert_true(kb_cuda.timer_energy(timer, 0.02, &joules, &f->err));
    assert_true(kb_now_ns() - start >= 20000000);
    assert_true(fabs(joules - 0.003) < 1e-9);
    meter.still = true;
    assert_false(kb_cuda.timer_energy(timer, 0.02, &joules, &f->err));
    expect_error(f, KB_UNSUPPORTED, "no energy: its counter stands still");
    kb_cuda.timer_close(timer);
    f->device->nvml.there = false;
}

static void energy_of_what_is_not_launches_alone_is_none(void **state) {
    struct fixture *f = *state;
    struct kb_timer_facts facts;
    struct kb_timer *timer;
    double joules;
    ready(f, 64);
    f->device->nvml = nvml_of_ours();
    assert_true(kb_cuda.timer_open(f->device, f->code, f->plan, &f->slab, KB_COLD, 0,
                                   &timer, &facts, &f->err));
    assert_false(kb_cuda.timer_energy(timer, 0.02, &joules, &f->err));
    expect_error(f, KB_UNSUPPORTED, "no energy by cold");
    kb_cuda.timer_close(timer);
    f->device->nvml.there = false;
}

int main(int argc, char **argv) {
    int rc = begin_tests(argc, argv);
    if (rc >= 0)
        return rc;
    const struct CMUnitTest tests[] = {
        TEST(another_process_is_named_and_we_are_not),
        TEST(a_process_that_was_started_as_self_is_named_by_its_file),
        TEST(in_a_container_the_one_that_was_not_there_before_is_us),
        TEST(who_computes_may_not_be_known),
        TEST(more_processes_than_we_ask_for_are_company_without_names),
        TEST(idle_is_no_throttle),
        TEST(clock_to_lock_to_is_the_factorys_else_the_highest),
        TEST(energy_is_of_one_launch_by_the_gpus_counter),
        TEST(energy_of_what_is_not_launches_alone_is_none),
    };
    return end_tests(cmocka_run_group_tests_name("nvml", tests, NULL, NULL));
}
