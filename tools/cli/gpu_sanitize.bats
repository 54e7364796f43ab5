#!/usr/bin/env bats
# gpu_sanitize.bats - tools/gpu_sanitize.sh without a GPU: what it makes of what compute-sanitizer says.

load common

# A compute-sanitizer that flags the kernels it is shown, except those of the tool $blind, and says of
# the suite what $suite holds; and a kbench that has a GPU.
setup_file() {
    export fake=$BATS_FILE_TMPDIR
    cat >"$fake/compute-sanitizer" <<'SCRIPT'
#!/bin/bash
case $1 in --help) exit ;; --version) echo "Version 1"; exit ;; esac
while [ $# -gt 0 ]; do
    case $1 in
    --tool) tool=$2 ;;
    --log-file) log=$2 ;;
    --kernel) kernel=$2 ;;
    esac
    shift
done
if [ -n "$kernel" ] && [ "$tool" != "$blind" ]; then
    echo "========= $(sed -n 's,^// expect: ,,p' "$kernel") in $(basename "$kernel"):7" >"$log"
    echo "========= ERROR SUMMARY: 1 error" >>"$log"
    exit 97
fi
echo "3 cases: 3 pass, 0 fail"
if [ -z "$kernel" ]; then
    printf '%s\n' "$suite" >"$log"
    exit "${suite_status:-0}"
fi
echo "========= ERROR SUMMARY: 0 errors" >"$log"
SCRIPT
    printf '#!/bin/sh\necho "device 0   NVIDIA Fake"\n' >"$fake/kbench"
    chmod +x "$fake/compute-sanitizer" "$fake/kbench"
}

sanitize() {
    cd "$top"
    BUILD=$BATS_TEST_TMPDIR/build BIN=$fake/kbench PATH=$fake:$PATH \
        run --separate-stderr tools/gpu_sanitize.sh
}

@test "without compute-sanitizer: exit 6, and what brings it" {
    cd "$top"
    run --separate-stderr env CUDA_HOME=/nowhere PATH=/nowhere tools/gpu_sanitize.sh
    status_is 6
    says "gpu-sanitize: no compute-sanitizer on PATH or in /nowhere: it comes with the CUDA Toolkit*"
}

@test "without a GPU: exit 6, and what is missing" {
    cd "$top"
    printf '#!/bin/sh\necho "missing   no NVIDIA driver"\n' >"$BATS_TEST_TMPDIR/kbench"
    chmod +x "$BATS_TEST_TMPDIR/kbench"
    BUILD=$BATS_TEST_TMPDIR/build BIN=$BATS_TEST_TMPDIR/kbench PATH=$fake:$PATH \
        run --separate-stderr tools/gpu_sanitize.sh
    status_is 6
    says "missing   no NVIDIA driver"
}

@test "each tool flags its kernels and nothing in the suite: exit 0" {
    suite="========= ERROR SUMMARY: 0 errors" sanitize
    status_is 0
    for tool in memcheck racecheck synccheck initcheck; do
        has_line "ok * $tool flags *.cu: *"
        has_line "ok * $tool: 3 pass, 0 findings *"
    done
}

@test "a tool that finds nothing in a wrong kernel is not believed: exit 1" {
    blind=initcheck suite="========= ERROR SUMMARY: 0 errors" sanitize
    status_is 1
    has_line "FAILED *initcheck does not flag uninit.cu (exit 0), wanted: Uninitialized __global__ memory read *"
    has_line "* passed, 1 failed"
}

@test "a finding, a failed case and a log without a count are failures" {
    suite="========= RACECHECK SUMMARY: 2 hazards displayed (0 errors, 2 warnings)" sanitize
    status_is 1
    has_line "FAILED *racecheck: 2 findings, exit 0 *"
    suite="========= ERROR SUMMARY: 0 errors" suite_status=1 sanitize
    status_is 1
    has_line "FAILED *memcheck: 0 findings, exit 1 *"
    suite="========= Target application terminated" sanitize
    status_is 1
    has_line "FAILED *synccheck: no count of findings, exit 0 *"
}
