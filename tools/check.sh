#!/bin/bash
# check.sh - every test that needs no GPU, from a built tree; counts at the end. Called by make.
#
# Each step prints one line; a step that fails prints its output. The last line is the sum.
set -u
build=${BUILD:-build}
bin=${BIN:-./kbench}
log=$build/check.log
passed=0 failed=0 skipped=0
mkdir -p "$build"
# A cache of its own: what a test compiles is compiled, whatever the user's cache holds.
export KBENCH_CACHE=$PWD/$build/check-cache
rm -rf "$KBENCH_CACHE"
mkdir -p -m 700 "$KBENCH_CACHE"

# step NAME COMMAND...: one test, by exit status.
step() {
    local name=$1 start=$EPOCHREALTIME
    shift
    if "$@" >"$log" 2>&1; then
        passed=$((passed + 1))
        say ok "$name" "$start"
    else
        failed=$((failed + 1))
        say FAILED "$name" "$start"
        tail -n 60 "$log"
    fi
}

say() {
    awk -v word="$1" -v name="$2" -v from="$3" -v to="$EPOCHREALTIME" \
        'BEGIN { printf "%-7s %-54s %5.1f s\n", word, name, to - from }'
}

# tally NAME STATUS START OK BAD: count the lines of the log that match OK and BAD, one a test.
tally() {
    local n bad skip
    n=$(grep -E "$4" "$log" | grep -vc ' # skip')
    bad=$(grep -cE "$5" "$log")
    skip=$(grep -cE '^ok .* # skip|^\[  SKIPPED \] [a-z]' "$log")
    if [ "$2" -ne 0 ] && [ "$bad" -eq 0 ]; then bad=1; fi
    [ "$((n + skip))" -gt 0 ] || bad=$((bad + 1))
    passed=$((passed + n)) failed=$((failed + bad)) skipped=$((skipped + skip))
    if [ "$bad" -eq 0 ]; then
        say ok "$1 ($n tests$([ "$skip" -eq 0 ] || echo ", $skip skipped"))" "$3"
    else
        say FAILED "$1" "$3"
        grep -vE "$4|^\[ RUN" "$log" | tail -n 80
    fi
}

# cmocka FILE, bats FILE: each of their tests counts.
cmocka() {
    local start=$EPOCHREALTIME
    "$1" >"$log" 2>&1
    tally "$(basename "$1")" $? "$start" '^\[       OK \]' '^\[  FAILED  \] [a-z]'
}
cli() {
    local start=$EPOCHREALTIME
    bats --tap "$1" >"$log" 2>&1
    tally "$(basename "$1")" $? "$start" '^ok ' '^not ok '
}

# replay TARGET: what fuzzing kept of its inputs; each counts.
replay() {
    local start=$EPOCHREALTIME n
    "$build/replay/$1" "tools/fuzz/corpus/$1" >"$log" 2>&1
    local status=$?
    n=$(sed -n 's/^\([0-9]*\) inputs$/\1/p' "$log")
    if [ $status -eq 0 ]; then
        passed=$((passed + n))
        say ok "fuzz corpus $1 ($n inputs)" "$start"
    else
        failed=$((failed + 1))
        say FAILED "fuzz corpus $1 (exit $status)" "$start"
        tail -n 60 "$log"
    fi
}

# mutants ARG...: each wrong kernel that is flagged counts, and each right one that passes.
mutants() {
    local start=$EPOCHREALTIME all right sum
    tools/mutants.py --bin "$bin" --build "$build" "$@" >"$log" 2>&1
    local status=$?
    sum=$(tail -n 1 "$log")
    all=$(grep -oE '[0-9]+ (mutant|control|equivalent)' <<<"$sum" | awk '{ n += $1 } END { print n + 0 }')
    right=$(grep -oE ': [0-9]+ (killed|passed)' <<<"$sum" | awk '{ n += $2 } END { print n + 0 }')
    if [ $status -ne 0 ] && [ "$all" -eq "$right" ]; then all=$((right + 1)); fi
    passed=$((passed + right)) failed=$((failed + all - right))
    if [ $status -eq 0 ]; then
        say ok "$sum" "$start"
    else
        say FAILED "mutants" "$start"
        grep -v '^ok ' "$log" | tail -n 60
    fi
}

step "layers, layout, cppcheck" tools/lint.sh
for test in "$build"/test/*/*_test; do
    case $test in
    */cuda_gpu*) ;; # these are for make gpu
    *) cmocka "$test" ;;
    esac
done
for target in "$build"/replay/*; do
    case $target in
    *.d) ;;
    *) replay "$(basename "$target")" ;;
    esac
done
for seed in 1 2 3; do
    step "smoke cases on the host backend, seed $seed" \
        "$bin" cases/ --tag smoke --backend host --seed "$seed" -q
done
step "smoke cases, all variants, under ASan and UBSan" \
    "$bin" cases/ --tag smoke --variant all --backend host --sanitize address,undefined -q
step "smoke cases under TSan" "$bin" cases/ --tag smoke --backend host --sanitize thread -q
step "controls: right kernels over 20 seeds" env OMP_WAIT_POLICY=passive "$build/controls" 20
mutants --quick
step "all wrong kernels fit (make mutants runs them)" tools/mutants.py --fit --bin "$bin"
step "mutants of the checker fit (make mutants-checker runs them)" tools/checker_mutants.py --fit
step "NVRTC: every variant, dtype and build" make --no-print-directory BUILD="$build" nvrtc
for file in tools/cli/*.bats; do
    cli "$file"
done
rm -rf "$KBENCH_CACHE"
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
