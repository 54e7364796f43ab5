#!/usr/bin/env bats
# stored.bats - the reports that are kept in reports/, what a baseline must do, and the script that
# makes one, beside a kbench that measures nothing.

load common

schema=$top/reports/kbench-report-1.schema.json

stored() { # all of them, or those that are baselines
    local file
    for file in "$top"/reports/*.json; do
        case $file in
        *.schema.json) continue ;;
        esac
        [ "${1:-all}" = all ] || jq -e '.runs >= 3' "$file" >/dev/null || continue
        echo "$file"
    done
}
fake() {
    "$BATS_TEST_DIRNAME/compare_fake.py" "$@"
}
# A run of the cases of a baseline whose times are its own, but for ONE, an index of rows[]: those
# are RATIO times as long.
run_like() { # BASE ONE RATIO
    jq --argjson one "$2" --argjson ratio "$3" '
        del(.runs, .parts)
        | .rows |= (to_entries | map(
            (if .key == $one then $ratio else 1 end) as $r
            | .value
            | if .times then .times |= map_values(
                .median_ns *= $r | .min_ns |= (. // 0) * $r
                | (if .ci95_ns then .ci95_ns |= map(. * $r) else . end)
                | .samples_ns |= map(. * $r) | del(.runs_ns)) else . end))' "$1"
}
# The first row from 20 us up, whose build is precise.
large_row() {
    jq '[.rows[] | .build == "precise" and (.times.graph.median_ns // 0) > 20000] | index(true)' "$1"
}
# All of its times are of three runs, and all of its rows right.
is_of_three_runs() {
    jq -e '([.rows[] | .times // {} | .[] | (.runs_ns | length) >= 3] | length > 0 and all)
        and ([.rows[].verdict] | all(. == "PASS" or . == "SKIP"))' "$1"
}
# What a baseline is for: it passes against itself, finds 6 % in one row, and a row that fails.
holds_as_baseline() { # BASE
    local base=$1 one case
    is_of_three_runs "$base"
    kbench gate "$base" --baseline "$base"
    status_is 0
    has_line '*: 0 wrong, 0 slower, * 0 missing'
    one=$(large_row "$base")
    case=$(jq -r ".rows[$one].case" "$base")
    run_like "$base" "$one" 1 >like.json
    kbench gate like.json --baseline "$base"
    status_is 0
    run_like "$base" "$one" 1.06 >slow.json
    kbench gate slow.json --baseline "$base"
    status_is 2
    has_line "SLOWER   $case *+6.0 %*"
    last_says 'exit 2: 1 case is slower than +3 %*'
    jq ".rows[$one] |= (.verdict = \"FAIL\" | .reason = \"no\" | .reason_kind = \"mismatch\"
        | del(.times))" "$base" >wrong.json
    kbench gate wrong.json --baseline "$base"
    status_is 1
    has_line "WRONG    $case *was PASS, now FAIL: no*"
    last_says 'exit 1: 1 case went wrong*'
}

@test "stored reports follow the schema, are whole, and name no folder of a machine" {
    local file
    [ "$(stored | wc -l)" -ge 3 ]
    for file in $(stored); do
        echo "$file"
        "$BATS_TEST_DIRNAME/check_report.py" "$schema" "$file"
        # Runs that were joined need not have had every case: a baseline has what all of them have.
        jq -e '(.complete or .runs >= 3) and (.rows | length) > 0' "$file"
        jq -e '[.. | strings | select(startswith("/") or test("/(home|root|tmp|work)/"))] == []' "$file"
        [ "$(wc -c <"$file")" -lt 10000000 ]
    done
}

@test "reports/README.md tells of each stored report how it is made" {
    local file
    for file in $(stored); do
        grep -q "^| \`$(basename "$file")\` | .*\`" "$top/reports/README.md" || {
            echo "reports/README.md has no row of $(basename "$file")"
            return 1
        }
    done
    # and of none that is not there
    for file in $(sed -n 's/^| `\([a-z0-9-][a-z0-9-]*\.json\)` .*/\1/p' "$top/reports/README.md"); do
        [ -e "$top/reports/$file" ]
    done
}

@test "what is stored as a baseline is one" {
    local file
    [ -n "$(stored baselines)" ]
    for file in $(stored baselines); do
        echo "$file"
        holds_as_baseline "$file"
    done
}

@test "so is one that was made up, and reports that are none are told apart" {
    local i
    for i in 1 2 3; do fake "r$i.json" "run=$i"; done
    kbench merge --runs r1.json r2.json r3.json -o base.json
    holds_as_baseline base.json
    run ! is_of_three_runs r1.json
    jq 'del(.rows[3].times.graph.runs_ns)' base.json >one.json
    run ! is_of_three_runs one.json
    jq '.rows[3].verdict = "FAIL"' base.json >wrong.json
    run ! is_of_three_runs wrong.json
}

@test "tools/baseline.sh: every build three times, joined; a further run passes or is told" {
    # A kbench that notes what it is asked for, and measures nothing: its times are made up.
    cat >fake_kbench <<END
#!/bin/bash
echo "\$*" >>asked
case \$1 in
cases/) ;;
*) exec "$bin" "\$@" ;;
esac
while [ \$# -gt 0 ]; do
    case \$1 in
    -o) "$BATS_TEST_DIRNAME/compare_fake.py" "\$2" run=\$RANDOM \$FAKE || exit ;;
    --baseline) base=\$2 ;;
    esac
    shift
done
[ -z "\${base:-}" ] || "$bin" gate build/gpu-cold.json --baseline "\$base"
END
    chmod +x fake_kbench
    BIN=./fake_kbench BUILD=build run "$top/tools/baseline.sh"
    [ "$status" -eq 0 ] || { echo "$output"; return 1; }
    [ "$(grep -c -- '^cases/ --tag bench .*--build precise,fast-math,auto,aot,aot-fast-math --method graph -o' asked)" -eq 3 ]
    [ "$(head -n 1 asked)" = "$(grep -- '--mode build' asked)" ]
    # How many rows are looked at is each case's own.
    finds_none -- '--sample' asked
    tail -n 1 asked | grep -q -- '--baseline build/gpu-baseline.json -o build/gpu-cold.json$'
    jq -e '.runs == 3 and (.parts | length) == 3' build/gpu-baseline.json
    holds_as_baseline build/gpu-baseline.json
    [ "$(grep -c -- '^cases/ --tag bench .*--op mma,mla_prefill --method graph --duty 50% .*-o build/gpu-paced-run' asked)" -eq 3 ]
    jq -e '.runs == 3' build/gpu-paced.json
    # A run that fails ends it.
    FAKE=fail=gelu/83x1024/bf16 BIN=./fake_kbench BUILD=build run "$top/tools/baseline.sh"
    [ "$status" -ne 0 ]
}

@test "the cases of a baseline are each of an op, and run where their tag is asked for alone" {
    local op
    kbench cases/ --tag bench --mode list
    status_is 0
    printf '%s\n' "$output" | sort >bench
    [ "$(wc -l <bench)" -ge 120 ]
    "$bin" list ops | awk 'NR > 1 && $1 { print $1 }' >ops
    [ "$(wc -l <ops)" -ge 9 ]
    while IFS= read -r op; do
        grep -q "^$op/" bench || { echo "no case of $op in tag bench"; return 1; }
    done <ops
    # No large one runs unasked: what does is of full as well.
    kbench cases/ --mode list
    printf '%s\n' "$output" | sort >unasked
    kbench cases/ --tag full --mode list
    printf '%s\n' "$output" | sort | cmp - unasked
    ! grep -q 65536x4096 unasked
}
