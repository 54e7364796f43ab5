#!/usr/bin/env bats
# compare.bats - kbench diff and merge on reports that were never measured, and what no command takes
# for a report.

load common
load compare

# ---- reports that are none ------------------------------------------------------------------

@test "what is no report is refused in one line, a newer one by name" {
    fake good.json run=1 cases=3
    fake newer.json schema=kbench-report/2
    head -c 900 good.json >cut.json
    : >empty.json
    printf '{"schema":"kbench-cases/1"}' >cases.json
    mkdir folder
    local file
    for file in cut.json empty.json cases.json folder missing.json newer.json; do
        kbench diff good.json $file
        status_is 4
        last_says "exit 4: $file*"
        [ "$(wc -l <<<"$stderr")" -eq 1 ]
        kbench gate $file --baseline good.json
        status_is 4
        kbench merge good.json $file -o out.json
        status_is 4
        [ ! -e out.json ]
    done
    last_says '*schema "kbench-report/2" is newer than this kbench, which reads "kbench-report/1"'
}

@test "journals are read as reports are" {
    fake a.json run=1
    fake a.jsonl run=1 form=jsonl
    fake b.json run=2
    kbench diff a.json b.json
    local of_json=${output//a.json/X}
    kbench diff a.jsonl b.json
    status_is 0
    [ "$(tr -s ' ' <<<"${output//a.jsonl/X}")" = "$(tr -s ' ' <<<"$of_json")" ]
    head -c -30 a.jsonl >torn.jsonl
    kbench diff torn.jsonl b.json
    status_is 0
    says 'note: torn.jsonl: the last line is torn, and left out'
}

# schema-N.json: a report as kbench wrote it when that was its schema.
@test "reports of every schema there was are still read, and the stored ones" {
    local file
    for file in "$BATS_TEST_DIRNAME"/schema-*.json "$top"/reports/nvidia-h200*.json; do
        kbench diff "$file" "$file"
        status_is 0
        has_line 'all *'
    done
}

# ---- diff -----------------------------------------------------------------------------------

@test "diff shows sums by op, then what changed most" {
    fake last.json run=4 commit=4f1c2aa started=2026-11-14T00:00:00Z driver=580.126.09 code=a
    fake new.json run=5 code=b err=gelu_tanh/1x65536/fp32:0.22 \
        'slow=gelu_tanh/1x65536/fp32:1.084;silu/1024x2048/bf16:0.93;silu/4096x2048/bf16:0.945'
    kbench diff last.json new.json
    status_is 0
    shows <<'END'
A  last.json  2026-11-14  kbench 4f1c2aa  NVIDIA H200  driver 580.126.09
B  new.json   2026-11-21  kbench 9ab2c1f  NVIDIA H200  driver 580.159.04   (driver differs)

              n  time, geomean   faster  slower   same  unclear  identical   worst err/bound
silu         48         -0.3 %        2       0     46        0          0      0.11 -> 0.11
gelu         48         +0.0 %        0       0     48        0          0      0.11 -> 0.11
gelu_tanh    48         +0.1 %        0       1     47        0          0      0.11 -> 0.22
all         144         +0.0 %        2       1    141        0          0      0.11 -> 0.22

                                    A us    B us   B against A, 95 %           err/bound
SLOWER   gelu_tanh/1x65536/fp32     1.09    1.19   +8.3 % [+7.4 +9.3]       0.11 -> 0.22
FASTER   silu/1024x2048/bf16        2.58    2.39   -7.4 % [-8.2 -6.5]       0.11 -> 0.11
FASTER   silu/4096x2048/bf16        7.28    6.92   -4.9 % [-5.7 -4.0]       0.11 -> 0.11
and 141 SAME: --all lists them
END
    kbench diff new.json last.json
    has_line 'all         144 * 1       2    141 *'
    kbench diff last.json new.json --all
    [ "$(grep -c '^SAME ' <<<"$output")" -eq 141 ]
    has_line 'fp32 *48 *'
    has_line 'over 32 MB *'
}

@test "at 80 columns the errors go" {
    fake a.json run=1
    fake b.json run=2 slow=silu/83x1024/bf16:1.1
    COLUMNS=80 kbench diff a.json b.json
    status_is 0
    has_line 'SLOWER   silu/83x1024/bf16 *'
    local line
    while IFS= read -r line; do
        [ "${#line}" -le 80 ] || { echo "long: $line"; return 1; }
    done <<<"$output"
}

@test "no line is longer than the terminal, and sums stand under their heads" {
    fake a.json run=1
    fake b.json run=2 "slow=silu/83x1024:1.1;gelu/83x1024:0.9" "fail=silu/7x16/bf16" drop=gelu/7x16
    local width command
    for width in 60 66 72 80 100 140; do
        for command in "diff a.json b.json" "diff --all a.json b.json" "gate b.json --baseline a.json"; do
            # shellcheck disable=SC2086 - words
            COLUMNS=$width kbench $command
            while IFS= read -r line; do
                [ "${#line}" -le "$width" ] || { echo "too wide for $width: $line"; return 1; }
            done <<<"$output"
        done
        COLUMNS=$width kbench diff a.json b.json
        awk '/ faster/ { head = index($0, "faster") + 5 }
             /^all / { n++; if (substr($0, head, 1) !~ /[0-9]/) exit 1 }
             END { if (!head || !n) exit 1 }' <<<"$output"
    done
}

@test "the stored times of peers stand beside ours, whatever builds we have" {
    kbench diff "$top"/reports/nvidia-h200-peers.json "$top"/reports/nvidia-h200.json --method graph
    status_is 0
    local n
    n=$(awk '$1 == "all" { print $2 }' <<<"$output")
    [ "$n" -ge 20 ] || { seen; return 1; }
    [[ $output == *"build peer -> precise"* ]]
}

@test "where no row has its like that is said, in place of empty tables" {
    fake a.json drop=gelu
    fake b.json drop=silu
    kbench diff a.json b.json
    status_is 0
    has_line "no row has its like in the other report: [0-9]* rows only in A, [0-9]* only in B"
    [[ $output != *geomean* ]]
}

@test "the same machine code is IDENTICAL, whatever its time" {
    fake a.json run=1 code=x
    fake b.json run=2 code=x slow=silu/83x1024/bf16:1.1
    kbench diff a.json b.json
    status_is 0
    has_line 'all         144 *0       0      0        0        144 *'
    has_line 'IDENTICAL silu/83x1024/bf16 *the machine differs, not the code'
    kbench gate b.json --baseline a.json # a gate goes by time
    status_is 2
    has_line 'SLOWER   silu/83x1024/bf16 *, the same machine code'
}

@test "builds of one report are held against each other, and GPUs in shares of their ceilings" {
    fake a.json run=1 build=precise,fast-math
    kbench diff a.json --by build
    status_is 0
    has_line 'A  precise    a.json'
    has_line 'B  fast-math  a.json'
    has_line 'all         144 *'
    kbench diff a.json
    status_is 4
    kbench diff a.json --by variant
    status_is 4
    last_says 'exit 4: a.json: has one variant alone, there is nothing to compare it with'
    fake l40s.json run=2 'gpu=NVIDIA L40S' 'slow=silu/:4;gelu/:4;gelu_tanh/:4' build=precise,fast-math
    kbench diff a.json l40s.json
    status_is 0
    has_line '* ceil, geomean'
    has_line 'all *288 *98 % -> 25 %'
    kbench diff a.json l40s.json --by device
    status_is 0
    has_line 'A  0 NVIDIA H200  a.json'
    has_line 'B  0 NVIDIA L40S  l40s.json'
}

@test "more reports are each held against the first, also as JSON" {
    fake a.json run=1
    fake b.json run=2
    fake c.json run=3
    kbench diff a.json b.json c.json
    status_is 0
    [ "$(grep -c '^all ' <<<"$output")" -eq 2 ]
    kbench diff a.json b.json c.json --format json
    jq -e 'length == 2 and .[1].b.file == "c.json"' <<<"$output"
    kbench diff a.json b.json --format json
    jq -e '.schema == "kbench-diff/1" and (.rows | length == 144)
        and ([.groups[].by] | unique == ["all", "dtype", "op", "size"])' <<<"$output"
}

@test "rows that have no like are counted, another variant is a like" {
    fake a.json run=1
    fake b.json run=2 drop=silu/
    sed -i 's/"variant": "vec16"/"variant": "vec32"/g' b.json
    kbench diff a.json b.json
    status_is 0
    has_line 'ONLY A   silu/7x16/bf16'
    has_line 'and 45 more only in A, 96 SAME: --all lists them'
    kbench diff a.json b.json --all
    has_line 'SAME     gelu/7x16/bf16 * variant vec16 -> vec32'
}

@test "hostile names are escaped" {
    fake a.json run=1 cases=2
    sed 's|silu/7x16/bf16|silu/\\u001b[2J/bf16|' a.json >b.json
    kbench diff a.json b.json --all
    status_is 0
    [[ $output != *$'\033'* ]]
    has_line 'ONLY B   silu/^[[][[]2J/bf16'
    # No line of a name's own: a workflow command of GitHub Actions is one.
    fake c.json run=1 cases=2 $'gpu=G\n::stop-commands::x'
    kbench gate c.json --baseline a.json
    status_is 3
    last_says 'exit 3: not comparable: GPU NVIDIA H200 != G^J::stop-commands::x'
    [[ $stderr != *$'\n'::* ]]
}

@test "two reports of 10 000 rows are compared in a second" {
    local builds user sys
    builds=$(seq -s, -f 'b%g' 70)
    fake a.json run=1 "build=$builds" pad=2000
    fake b.json run=2 "build=$builds" pad=2000
    TIMEFORMAT='%U %S'
    read -r user sys < <({ time "$bin" diff a.json b.json >out; } 2>&1)
    grep -q '^all *10080 ' out
    awk -v u="$user" -v s="$sys" 'BEGIN { print u + s; exit !(u + s < 1) }'
}

# ---- merge ----------------------------------------------------------------------------------

@test "parts are joined, and a row in two of them is refused" {
    fake one.json run=1 drop='gelu/;gelu_tanh/'
    fake two.json run=1 drop='silu/;gelu_tanh/'
    fake three.jsonl run=1 form=jsonl drop='silu/;gelu/'
    fake whole.json run=0
    kbench merge one.json two.json three.jsonl -o all.json
    status_is 0
    last_says 'wrote all.json: 144 rows of 3 parts'
    jq -e '.count.pass == 144 and (.parts | length == 3) and .complete' all.json
    kbench gate all.json --baseline whole.json
    status_is 0
    kbench merge one.json whole.json -o bad.json
    status_is 4
    last_says 'exit 4: silu/7x16/bf16 stands in one.json and in whole.json: *'
    [ ! -e bad.json ]
}

@test "runs are joined on the same GPU alone" {
    base
    jq -e '.runs == 3 and (.rows[0].times.graph.runs_ns | length == 3)' base.json
    jq -e '.rows[0].times.graph | .median_ns == (.runs_ns | sort[1])' base.json
    fake other.json 'gpu=NVIDIA L40S'
    kbench merge --runs r1.json other.json -o bad.json
    status_is 3
    last_says 'exit 3: r1.json and other.json cannot be joined: GPU NVIDIA H200 != NVIDIA L40S'
    [ ! -e bad.json ]
    fake short.json run=4 drop=silu/83
    kbench merge --runs r1.json r2.json r1.json r1.json -o bad.json
    status_is 4
    says 'kbench: error: merge --runs: r1.json is named twice, *'
    last_says "exit 4: 1 error, nothing was run"
    [ ! -e bad.json ]
    kbench merge --runs r1.json short.json -o ok.json
    status_is 0
    says 'note: 6 rows are not in short.json'
    kbench merge --runs base.json short.json -o four.json
    last_says 'wrote four.json: * rows of 4 runs'
    jq -e '.runs == 4' four.json
}

@test "a report of this kbench, joined, follows the schema" {
    on_host --op silu --shape 7x16,3x34 -q -o r1.json
    on_host --op silu --shape 7x16,3x34 -q -o r2.json
    kbench merge --runs r1.json r2.json -o base.json
    status_is 0
    "$BATS_TEST_DIRNAME/check_report.py" "$top/reports/kbench-report-1.schema.json" base.json
    kbench gate r1.json --baseline base.json --update 'for the schema'
    "$BATS_TEST_DIRNAME/check_report.py" "$top/reports/kbench-report-1.schema.json" base.json
}

@test "a report that is kept becomes a page, a table for spreadsheets, JUnit XML" {
    jq '.rows |= map(select(.case | endswith("/16384x2048/bf16")))' \
        "$top/reports/nvidia-h200-activation.json" >kept.json
    kbench merge kept.json -o kept.html -o kept.csv -o kept.xml
    status_is 0
    last_says 'wrote kept.html, kept.csv, kept.xml: 15 rows of 1 report'
    [ "$(grep -c '<tr data-verdict="pass">' kept.html)" -eq 15 ]
    grep -q '<dt>device 0</dt><dd>NVIDIA H200 sm_90, 132 SMs' kept.html
    [ "$(wc -l <kept.csv)" -eq 16 ]
    [ "$(grep -c '<testcase ' kept.xml)" -eq 15 ]
    left_are kept.csv kept.html kept.json kept.xml
    kbench merge --runs kept.json -o kept.html
    status_is 4
}

# ---- words ----------------------------------------------------------------------------------

@test "command lines that are wrong are told" {
    fake a.json run=1 cases=3
    kbench gate a.json
    status_is 4
    says 'kbench: error: --baseline: is missing: the report to gate against'
    kbench gate --baseline a.json
    status_is 4
    kbench merge a.json a.json
    status_is 4
    kbench merge a.json -o b.json
    status_is 4
    kbench diff a.json a.json -o x.csv
    status_is 4
    kbench diff a.json a.json --by color
    status_is 4
    kbench diff a.json a.json --runs
    status_is 4
    kbench gate a.json --baseline a.json --max-slowdown x
    status_is 4
    kbench gate a.json --baseline a.json --max-error-growth 0.5x
    status_is 4
    kbench --op silu --strict
    status_is 4
    kbench --op silu --shape 7x16 --mode build --baseline a.json
    status_is 4
    says 'kbench: error: --baseline: nothing is run by --mode build'
    left_are a.json
}

@test "help explains the commands that read reports" {
    local command
    for command in diff gate merge; do
        kbench help $command
        status_is 0
        has_line "kbench $command *"
        kbench $command --help
        status_is 0
        has_line "kbench $command *"
    done
}
