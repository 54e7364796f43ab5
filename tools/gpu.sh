#!/bin/bash
# gpu.sh - what needs a GPU, in one go: device tests, the `ci` cases checked and timed into
# build/gpu-report.json, faults that only a GPU shows, peers' shapes against the stream kernel.
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

for test in "$build"/test/exec/cuda_gpu*_test; do
    step "$(basename "$test")" "$test"
done
step "ci cases, checked and timed" \
    "$bin" cases/ --tag ci --backend cuda --mode bench -o "$build/gpu-report.json" --format csv
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
step "large shapes against stream" \
    "$bin" --backend cuda --op silu,gelu,gelu_tanh --shape 16384x2048,8192x28672 --method graph \
    -o "$build/gpu-large.json"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
