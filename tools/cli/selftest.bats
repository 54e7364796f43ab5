#!/usr/bin/env bats
# selftest.bats - kbench selftest over a driver without a GPU, whose kernels compute nothing and
# whose time is counted: 1 us for each of them.

load common

setup_file() {
    stub_driver
}

# Little memory: the large sizes are left out, which takes no time.
on_stub() {
    KB_STUB=memory=40000000,count=1 LD_LIBRARY_PATH=$stub kbench selftest --max-time 100ms "$@"
}

@test "without a GPU it is one line, and exit 6" {
    KB_STUB=count=0 LD_LIBRARY_PATH=$stub kbench selftest
    status_is 6
    [ -z "$output" ] || { seen; return 1; }
    [ "$(wc -l <<<"$stderr")" -eq 1 ] || { seen; return 1; }
    last_says "exit 6: *; kbench list devices says what is missing"
}

@test "probes that are wrong have no numbers, and nothing is kept" {
    on_stub
    status_is 1
    has_line "Stub 0 sm_90 | driver CUDA 13.0, NVRTC * | clocks not locked"
    has_line "an empty kernel         -        -        -        -        -        -"
    has_line "in 32 blocks        *"
    has_line "about 1 us              -        0        0        0        -        -        -"
    has_line "false alarms: 0 of 0 pairs *"
    has_line "stream/84992/bf16: FAIL: out: *"
    has_line "stream/67108864/bf16/pattern=copy: SKIP: needs 268 MB, * are free"
    has_line "mma/4x1024/e4m3: FAIL: *"
    last_says "exit 1: a probe is not right, or could not be run"
    KB_STUB=count=1 LD_LIBRARY_PATH=$stub kbench list devices
    has_line "device 0      Stub 0 sm_90, *"
    has_no_line "*selftest of*"
}

@test "timed all the same, each number is the driver's" {
    on_stub --time-failing --format json
    status_is 1
    jq -e '.schema == "kbench-selftest/2" and (.devices | length) == 1 and
        (.devices[0] | .device == "0" and .clocks_locked == false and
            (.stream | length) == 35 and
            (.stream[] | select(.mib == 256 and .pattern == "copy") | .gb_per_s == null) and
            (.floors.graph.empty_kernel_ns | . > 499 and . < 503) and
            (.floors.pdl.empty_kernel_ns | . > 399 and . < 403) and
            ([.empty_grids[].blocks] == [4, 32]) and
            (.empty_grids[1] | (.graph_ns | . > 999 and . < 1004) and (.pdl_ns | . > 799 and . < 804)) and
            (.mma_tflop_per_s.bf16 / .mma_tflop_per_s.e4m3 | . > 0.499 and . < 0.501))' \
        <<<"$output" >/dev/null || { seen; return 1; }
    jq -e '.devices[0].same_against_same | length == 4 and
        (.[0] | .case == "stream/84992/bf16" and .pairs == 40 and .false_alarms == 0 and
            .blocks >= 24 and (.median_ns | . > 999 and . < 1004) and
            (.detectable | . > 0.00999 and . < 0.02))' <<<"$output" >/dev/null || { seen; return 1; }
    KB_STUB=count=1 LD_LIBRARY_PATH=$stub kbench list devices
    has_no_line "*selftest of*"
}

@test "a driver that is lost is exit 6" {
    KB_STUB=memory=40000000,count=1,context=201 LD_LIBRARY_PATH=$stub kbench selftest
    status_is 6
    last_says "exit 6: *"
}

@test "what it does not take is refused, all of it at once" {
    kbench selftest x --op silu --build aot --device host --format csv --mode check
    status_is 4
    says 'kbench: error: selftest takes no words, got "x"'
    says "kbench: error: --op: selftest has cases of its own"
    says "kbench: error: --build: selftest has cases of its own"
    says "kbench: error: --mode: selftest has cases of its own"
    says "kbench: error: --device: selftest is of a GPU, the host has no times"
    says "kbench: error: --format: selftest has table and json"
    last_says "exit 4: 6 errors, nothing was run"
}

@test "a signal ends it, with nothing said of what it had" {
    local code=0
    mkdir -m 700 cold
    KBENCH_CACHE=$PWD/cold KB_STUB=memory=40000000 LD_LIBRARY_PATH=$stub "$bin" selftest \
        --time-failing --device all >out 2>err &
    local pid=$!
    until compgen -G 'cold/*.bin' >/dev/null; do sleep 0.05; done # the first probe is at work
    kill -TERM $pid
    wait $pid || code=$?
    [ "$code" -eq 143 ] || { cat out err; echo "exit $code"; return 1; }
    [ ! -s out ] || { cat out; return 1; }
    [ "$(cat err)" = "exit 143: SIGTERM: the selftest was not finished" ] || { cat err; return 1; }
}

@test "kbench help selftest explains it, and --help names it" {
    kbench help selftest
    status_is 0
    has_line "kbench selftest *"
    has_line "  A against A *"
    kbench selftest --help
    has_line "kbench selftest *"
}

@test "several devices: what their memory gives stands beside or below their times" {
    KB_STUB=count=2 LD_LIBRARY_PATH=$stub kbench --op silu --shape 83x1024,64x2048 --device 0,1 \
        --build precise,fast-math --method graph --max-time 100ms --time-failing
    status_is 1
    has_line "0 Stub 0 sm_90 | 1 Stub 1 sm_90 | driver CUDA 13.0 | *"
    has_line "stream of this run, at most: 0 Stub 0 * GB/s | 1 Stub 1 * GB/s"
}
