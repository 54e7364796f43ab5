#!/bin/bash
# check.sh - every test that needs no GPU, from a built tree; counts at the end. Called by make.
#
# Each step prints one line; a step that fails prints its output. The last line is the sum.
set -u
build=${BUILD:-build}
bin=${BIN:-./kbench}
logs=$build/check-logs # of tests that run at the same time
log=$build/check.log
at_once=$(($(nproc) > 1 ? 2 : 1)) # more wait for each other's compilers, and for clocks
passed=0 failed=0 skipped=0
mkdir -p "$build"
rm -rf "$logs"
mkdir "$logs"
# A cache of its own: what a test compiles is compiled, whatever the user's cache holds.
KBENCH_CACHE=$(realpath "$build")/check-cache
export KBENCH_CACHE
rm -rf "$KBENCH_CACHE"
mkdir -m 700 "$KBENCH_CACHE"

# step NAME COMMAND...: one test, by exit status.
step() {
    local name=$1 start=$EPOCHREALTIME
    shift
    if "$@" >"$log" 2>&1; then
        passed=$((passed + 1))
        say ok "$name" "$start" "$EPOCHREALTIME"
    else
        failed=$((failed + 1))
        say FAILED "$name" "$start" "$EPOCHREALTIME"
        tail -n 60 "$log"
    fi
}

say() {
    awk -v word="$1" -v name="$2" -v from="$3" -v to="$4" \
        'BEGIN { printf "%-7s %-54s %5.1f s\n", word, name, to - from }'
}

# tally NAME STATUS START END LOG OK BAD: count the lines of a log that match OK and BAD, one a test.
tally() {
    local n bad skip
    n=$(grep -E "$6" "$5" | grep -vc ' # skip')
    bad=$(grep -E "$7" "$5" | sort -u | wc -l) # cmocka names them twice
    skip=$(grep -cE '^ok .* # skip|^\[  SKIPPED \] [a-z]' "$5")
    if [ "$2" -ne 0 ] && [ "$bad" -eq 0 ]; then bad=1; fi
    [ "$((n + skip))" -gt 0 ] || bad=$((bad + 1))
    passed=$((passed + n)) failed=$((failed + bad)) skipped=$((skipped + skip))
    if [ "$bad" -eq 0 ]; then
        say ok "$1 ($n tests$([ "$skip" -eq 0 ] || echo ", $skip skipped"))" "$3" "$4"
    else
        say FAILED "$1" "$3" "$4"
        grep -vE "$6|^\[ RUN" "$5" | tail -n 80
    fi
}

# one FILE LOG: a file of tests, its output and then its end. A job of the shell's has Ctrl-C ignored, and
# with it all that it starts: not here.
one() {
    local start=$EPOCHREALTIME run=()
    case $1 in *.bats) run=(bats --tap) ;; esac
    env --default-signal=INT,QUIT "${run[@]}" "$1" >"$2" 2>&1
    echo "$? $start $EPOCHREALTIME" >"$2.end"
}

# told FILE LOG: what came of it; each of its tests counts.
told() {
    local status=1 start=0 end=0 ok='^\[       OK \]' bad='^\[  FAILED  \] [a-z]'
    case $1 in *.bats) ok='^ok ' bad='^not ok ' ;; esac
    read -r status start end <"$2.end"
    tally "$(basename "$1")" "$status" "$start" "$end" "$2" "$ok" "$bad"
}

# each FILE...: programs of cmocka or files of bats. They have folders of their own, so that two run at the
# same time; what they say comes in the order of the files.
each() {
    local file said=0 i=0 files=("$@")
    for file in "${files[@]}"; do
        while [ "$(jobs -rp | wc -l)" -ge "$at_once" ]; do wait -n; done
        i=$((i + 1))
        one "$file" "$logs/$i.log" &
        while [ -s "$logs/$((said + 1)).log.end" ]; do told "${files[said]}" "$logs/$((said += 1)).log"; done
    done
    wait
    while [ "$said" -lt "$i" ]; do told "${files[said]}" "$logs/$((said += 1)).log"; done
    rm -f "$logs"/*
}

# replay TARGET: what fuzzing kept of its inputs; each counts.
replay() {
    local start=$EPOCHREALTIME n
    "$build/replay/$1" "tools/fuzz/corpus/$1" >"$log" 2>&1
    local status=$?
    n=$(sed -n 's/^\([0-9]*\) inputs$/\1/p' "$log")
    if [ $status -eq 0 ]; then
        passed=$((passed + n))
        say ok "fuzz corpus $1 ($n inputs)" "$start" "$EPOCHREALTIME"
    else
        failed=$((failed + 1))
        say FAILED "fuzz corpus $1 (exit $status)" "$start" "$EPOCHREALTIME"
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
        say ok "$sum" "$start" "$EPOCHREALTIME"
    else
        say FAILED "mutants" "$start" "$EPOCHREALTIME"
        grep -v '^ok ' "$log" | tail -n 60
    fi
}

step "layers, layout, cppcheck" tools/lint.sh
tests=()
for test in "$build"/test/*/*_test; do
    case $test in
    */cuda_gpu*) ;; # these are for make gpu
    *) tests+=("$test") ;;
    esac
done
each "${tests[@]}"
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
each tools/cli/*.bats
rm -rf "$KBENCH_CACHE" "$logs"
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
