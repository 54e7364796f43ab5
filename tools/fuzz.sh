#!/bin/bash
# fuzz.sh BUILD SECONDS TARGET... - fuzz each target in $BUILD/fuzz for so long, from its corpus in
# tools/fuzz/corpus/. What it adds to the corpus stays in $BUILD/corpus/, what the target does not
# survive in $BUILD/found/. Called by `make fuzz`.
#
# `tools/fuzz.sh BUILD merge TARGET...` takes from $BUILD/corpus/ into tools/fuzz/corpus/ what
# reaches code that nothing there reaches, in the shortest form there is.
set -u
build=$1 seconds=$2
shift 2
status=0

# Large enough for what is quadratic to show.
max_len() {
    case $1 in
    expression | case_id | build_flags | sealed) echo 1024 ;;
    *) echo 65536 ;;
    esac
}

# run TARGET ARG...: with what all runs share.
run() {
    local target=$1
    shift
    local words=tools/fuzz/$target.dict
    [ -f "$words" ] && set -- -dict="$words" "$@"
    "$build/fuzz/$target" -timeout=10 \
        -rss_limit_mb=2048 -max_len="$(max_len "$target")" -artifact_prefix="$build/found/$target-" "$@"
}

mkdir -p "$build/found"
for target; do
    kept=tools/fuzz/corpus/$target
    mkdir -p "$build/corpus/$target" "$kept"
    if [ "$seconds" = merge ]; then
        run "$target" -max_len=1500 -use_counters=0 -merge=1 "$kept" "$build/corpus/$target" 2>&1 |
            grep -a 'new files'
        continue
    fi
    if run "$target" -max_total_time="$seconds" -print_final_stats=1 "$build/corpus/$target" "$kept" \
        >"$build/found/$target.log" 2>&1; then
        echo "ok      $target: $(sed -nE 's/^stat::number_of_executed_units: *//p' "$build/found/$target.log") runs," \
            "$(grep -oE 'cov: [0-9]+' "$build/found/$target.log" | tail -n 1)"
    else
        status=1
        echo "FAILED  $target: $build/found/$target.log"
        grep -avE '^(#[0-9]+|INFO|Dictionary|    #[0-9]+ )' "$build/found/$target.log" | head -n 40
        find "$build/found" -name "$target-*" -newer "$build/fuzz/$target"
    fi
done
exit $status
