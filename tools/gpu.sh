#!/bin/bash
# gpu.sh - what needs a GPU, in one go: device tests, all cases checked into build/gpu-check.json,
# small ones in every variant, faults that only a GPU shows, builds against builds whose difference
# is known, and a baseline (baseline.sh), against which a further run must pass.
set -u
build=${BUILD:-build}
bin=${BIN:-./kbench}
passed=0 failed=0
"$bin" list devices || exit 6

step() {
    local name=$1
    shift
    echo "== $name"
    if "$@"; then
        passed=$((passed + 1))
    else
        echo "FAILED ($?): $*"
        failed=$((failed + 1))
    fi
}

# expect STATUS TEXT COMMAND...: the command ends so and says so.
expect() {
    local status=$1 text=$2 out
    shift 2
    out=$("$@" 2>&1)
    local got=$?
    printf '%s\n' "$out"
    [ $got -eq "$status" ] && grep -qF -- "$text" <<<"$out"
}

# between FLAGS: what a kernel built by these comes to beside one that is not slowed, in 100 cases.
between() {
    "$bin" --backend cuda --kernel tools/gpu/pair/slower.cu --op silu --method graph -q \
        --shape "$(seq -s, -f %gx1024 33 132)" --build "base=-DKB_CHAIN=2000,other=$1"
}
found() { # FLAGS: as slower, 95 times at least
    local out n
    out=$(between "$1")
    printf '%s\n' "$out"
    n=$(sed -n 's/^B against A:.* \([0-9]*\) SLOWER.*/\1/p' <<<"$out")
    [ "${n:-0}" -ge 95 ]
}
alike() { # FLAGS: not once as faster or slower
    local out
    out=$(between "$1")
    printf '%s\n' "$out"
    grep -q "^B against A:.* SAME" <<<"$out" && ! grep -qE "FASTER|SLOWER" <<<"$out"
}

for test in "$build"/test/exec/cuda_gpu*_test; do
    step "$(basename "$test")" "$test"
done
step "all cases, checked" \
    "$bin" cases/ --tag full --backend cuda --mode check -q -o "$build/gpu-check.json"
step "small cases in every variant, checked" \
    "$bin" cases/ --tag smoke --variant all --backend cuda --mode check -q
step "a stranger's kernel passes" \
    expect 0 PASS "$bin" --backend cuda --op silu --shape 83x1024 --kernel tools/cli/silu_plain.cu
for fault in tools/gpu/*.cu; do
    [ -f "$fault" ] || continue
    step "$(basename "$fault" .cu): $(sed -n 's,^// expect: ,,p' "$fault")" \
        expect "$(sed -n 's,^// exit: ,,p' "$fault")" "$(sed -n 's,^// expect: ,,p' "$fault")" \
        "$bin" --backend cuda --op silu --shape 83x1024,7x16 --kernel "$fault" --timeout 10s
done
step "wrong kernels are flagged, right ones pass" \
    tools/mutants.py --backend cuda --bin "$bin" --build "$build"
step "a build that is 3 % slower is found" found -DKB_CHAIN=2111
step "a build of the same speed is not told apart" alike "-DKB_CHAIN=2000 -DKB_TAG=1"
step "the tool itself: floors, ceilings, no false alarm" \
    expect 0 "false alarms: 0 of " "$bin" selftest
step "a baseline, and a run that passes against it" tools/baseline.sh
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
