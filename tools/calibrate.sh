#!/bin/bash
# calibrate.sh [SEEDS [KBENCH OPTIONS...]] - how near our kernels come to their bounds on this GPU:
# the worst share of its bound for each op, build, dtype and fill over that many seeds, and the
# seed. A fast-math build's bound has the op's factor in it. What bounds were chosen by; `make
# controls` is its like for a CPU. Exit 1 if a case failed.
set -u
bin=${BIN:-./kbench}
seeds=${1:-100}
shift $(($# > 0 ? 1 : 0))
if [ $# -eq 0 ]; then
    set -- --op silu,gelu,gelu_tanh --shape 64x512 --dtype bf16,fp16,fp32 --set round=once,act \
        --fill normal,large,outliers,tiny,zeros,constant,nan,bits,patterns
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export bin work

# one SEED OPTIONS...: its rows, in a file of its own.
one() {
    local seed=$1 status
    shift
    "$bin" --backend cuda --mode check --build precise,fast-math --seed "$seed" "$@" --format csv \
        >"$work/$seed.csv" 2>"$work/$seed.err"
    status=$?
    [ $status -le 1 ] || [ $status -eq 3 ] && return
    echo "calibrate: seed $seed: exit $status: $(tail -n 1 "$work/$seed.err")" >&2
    return 1
}
export -f one

# Few at a time: a seed's rows keep one core busy, and compilers run beside the first.
one 1 "$@" || exit 6
seq 2 "$seeds" | xargs -r -P "${JOBS:-4}" -I SEED bash -c 'one "$@"' - SEED "$@" || exit 6

# Columns by their names in the first line; none of those that are used holds a comma.
awk -F, -v seeds="$seeds" '
    $1 == "case" { for (i = 1; i <= NF; i++) at[$i] = i; columns = NF; next }
    {
        round = $at["case"] ~ /round=act/ ? "round=act" : ""
        key = sprintf("%-12s %-10s %-10s %-5s %-9s", $at["op"], round, $at["build"], $at["dtype"], $at["fill"])
        share = NF == columns ? $at["err_over_bound"] : 0 # a reason may hold a comma
        if ($at["verdict"] != "PASS" && $at["verdict"] != "SKIP") bad[key]++
        if (!(key in worst)) { order[++n] = key; worst[key] = -1 }
        if (share + 0 > worst[key]) { worst[key] = share + 0; seed[key] = $at["seed"]; ulp[key] = $at["ulp_max"] }
        total += $at["verdict"] == "FAIL"
        cases++
    }
    END {
        for (i = 1; i <= n; i++) {
            key = order[i]
            printf "%s %7.3f of bound, %10.4g ulp, seed %s%s\n", key, worst[key], ulp[key], seed[key],
                bad[key] ? ", " bad[key] " not right" : "" | "sort"
        }
        close("sort")
        printf "calibrate: %d rows of %d seeds, %d FAIL\n", cases, seeds, total
        exit total > 0
    }' "$work"/*.csv
