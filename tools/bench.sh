#!/bin/bash
# bench.sh - the speeds that TARGETS name for the tool itself, measured here and now, each beside
# its target. Ratios and medians of repeated runs; nothing here fails a build.
set -u
build=${BUILD:-build}
bin=${BIN:-./kbench}
export KBENCH_CACHE=$PWD/$build/bench-cache
runs=11

# median COMMAND...: wall seconds, median of $runs.
median() {
    for _ in $(seq "$runs"); do
        local start=$EPOCHREALTIME
        "$@" >/dev/null 2>&1
        echo "$EPOCHREALTIME $start" | awk '{ printf "%.6f\n", $1 - $2 }'
    done | sort -n | sed -n "$(((runs + 1) / 2))p"
}
ms() { awk -v s="$1" 'BEGIN { printf "%.2f ms", s * 1e3 }'; }
row() { printf '%-58s %12s   target %s\n' "$1" "$2" "$3"; }
fresh() {
    rm -rf "$KBENCH_CACHE"
    mkdir -p -m 700 "$KBENCH_CACHE"
}

"$bin" --version
nproc | sed 's/$/ cores/'
fresh
row "kbench --version" "$(ms "$(median "$bin" --version)")" "5 ms"
row "kbench list ops" "$(ms "$(median "$bin" list ops)")" "5 ms"

"$build/nvrtc_check" --bench || true

echo "references and the comparison, GB/s of one core: by all bytes of the case (targets 0.5 and 1), by the output's alone"
"$build/reference_bench"

one() { "$bin" --backend "$1" --op silu --shape "$2" --mode check -q; }
cold() {
    fresh
    one "$@"
}
runs=5
row "host: silu/16384x2048/bf16, cold cache" "$(ms "$(median cold host 16384x2048)")" "3000 ms on two cores"
one host 83x1024
row "host: silu/16384x2048/bf16, warm cache" "$(ms "$(median one host 16384x2048)")" "-"
row "host: silu/83x1024/bf16, warm cache" "$(ms "$(median one host 83x1024)")" "-"

# The peers' matrix, 144 cases.
suite() { "$bin" cases/activation.json --tag matrix --backend "$1" --mode "$2" -q; }
cold_suite() {
    fresh
    suite "$@"
}
runs=1
row "host: 144 cases checked, cold cache" "$(ms "$(median cold_suite host check)")" "20000 ms on two cores"
runs=5

if one cuda 83x1024; then
    row "GPU: process start to checked result, warm cache" "$(ms "$(median one cuda 83x1024)")" "350 ms"
    row "GPU: the same, cold cache" "$(ms "$(median cold cuda 83x1024)")" "450 ms"
    suite cuda build
    row "GPU: 144 cases checked, warm cache" "$(ms "$(median suite cuda check)")" "2000 ms"
    runs=3
    row "GPU: 144 cases checked and timed" "$(ms "$(median suite cuda bench)")" "15000 ms"
    "$bin" --backend cuda --op silu,gelu,gelu_tanh --shape 16384x2048,8192x28672 --method graph
fi
rm -rf "$KBENCH_CACHE"
