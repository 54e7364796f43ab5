#!/bin/bash
# asan.sh - unit tests, fuzz corpora and smoke cases of the build in $BUILD, made with ASan and UBSan, in 20
# thread and block orders. Called by `make asan`.
set -u
build=${BUILD:-build/asan}
export ASAN_OPTIONS=detect_leaks=1 KBENCH_CACHE=$PWD/$build/cache
mkdir -p -m 700 "$KBENCH_CACHE"
failed=0
for test in "$build"/test/*/*_test; do
    "$test" >"$build/log" 2>&1 || { echo "FAILED $test"; tail -n 40 "$build/log"; failed=1; }
done
for corpus in tools/fuzz/corpus/*; do
    "$build/replay/$(basename "$corpus")" "$corpus" >"$build/log" 2>&1 ||
        { echo "FAILED $corpus"; tail -n 40 "$build/log"; failed=1; }
done
for seed in $(seq 20); do
    "$build/kbench" cases/ --tag smoke --backend host --seed "$seed" -q || failed=1
done
[ $failed -eq 0 ] && echo "asan: unit tests, fuzz corpora and smoke cases clean, 20 seeds"
exit $failed
