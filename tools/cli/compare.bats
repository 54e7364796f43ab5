#!/usr/bin/env bats
# compare.bats - kbench diff, gate and merge on reports that were never measured, and a run that is
# gated at its end.

load common

fake() {
    "$BATS_TEST_DIRNAME/compare_fake.py" "$@"
}
# A baseline of three runs: base.json.
base() {
    local i
    for i in 1 2 3; do
        fake "r$i.json" "run=$i" commit=4f1c2aa started=2026-11-14T00:00:00Z "$@"
    done
    kbench merge --runs r1.json r2.json r3.json -o base.json
    status_is 0
}
gate() {
    kbench gate new.json --baseline base.json "$@"
}
shows() {
    diff -u - <(printf '%s\n' "$output") || { seen; return 1; }
}

# ---- gate -----------------------------------------------------------------------------------

@test "a gate that fails says what went wrong, what is slower, and what is unclear" {
    base
    fake new.json run=9 fail=gelu_tanh/83x1024/bf16 half=silu/7x16/fp32:0.06 \
        'slow=silu/16384x2048/bf16:1.057;silu/4096x2048/bf16:1.058;gelu/16384x2048/bf16:0.9'
    gate
    status_is 1
    shows <<'END'
new    new.json   kbench 9ab2c1f  NVIDIA H200  driver 580.159.04  graph
base   base.json  kbench 4f1c2aa  NVIDIA H200  driver 580.159.04  graph  3 runs
limits slower than +3 %, error over 2x, no case missing

WRONG    gelu_tanh/83x1024/bf16   was PASS, now FAIL: rows 80..82 never written
SLOWER   silu/4096x2048/bf16      7.31 -> 7.74 us   +5.9 % [+5.4 +6.5]   same GPU clocks
SLOWER   silu/16384x2048/bf16     26.1 -> 27.7 us   +5.9 % [+5.4 +6.5]   same GPU clocks
UNCLEAR  silu/7x16/fp32           1.00 -> 1.00 us   +0.2 % [-5.6 +6.5]   n 40, wants about 730

144 cases: 1 wrong, 2 slower, 1 unclear, 1 faster, 139 same, 0 missing
END
    last_says 'exit 1: 1 case went wrong (and 2 are slower than +3 %)'
}

@test "equal reports pass, slower ones are exit 2, and the limits are the user's" {
    base
    fake new.json run=4
    gate
    status_is 0
    [ -z "$stderr" ]
    has_line '144 cases: 0 wrong, 0 slower, * same, 0 missing'
    fake new.json run=4 slow=silu/83:1.05
    gate
    status_is 2
    last_says 'exit 2: 6 cases are slower than +3 %'
    gate --max-slowdown 8%
    status_is 0
    fake new.json run=4 err=silu/83x1024/bf16:0.3
    gate
    status_is 2
    has_line 'COARSER  silu/83x1024/bf16   error 0.11 -> 0.30 of the bound'
    last_says "exit 2: 1 case has an error over 2x the baseline's"
    gate --max-error-growth 3x
    status_is 0
    jq '.rows[0].seed = 2' new.json >seed.json
    kbench gate seed.json --baseline base.json --max-error-growth 3x
    has_line 'note   the seed of 1 row differs: errors are not compared'
}

@test "what is unclear and past the limit passes, but is not overlooked" {
    base
    fake new.json run=4 slow=gelu/83x1024/bf16:1.06 half=gelu/83x1024/bf16:0.2
    gate
    status_is 0
    last_says '1 unclear case is past +3 %: --strict fails on it'
    gate -o gate.json
    status_is 0
    last_says 'wrote gate.json; 1 unclear case is past +3 %: --strict fails on it'
    jq -e '.unclear_past_limit == 1 and .status == 0' gate.json
    gate --strict
    status_is 3
    last_says 'exit 3: 1 case is unclear'
    # A row that the baseline has no time of is not compared, and says so.
    fake new.json run=4
    jq 'del(.rows[4].times)' base.json >less.json
    kbench gate new.json --baseline less.json
    status_is 0
    has_line 'UNCLEAR  silu/83x1024/fp16 *the baseline has no time of it by graph'
    kbench gate new.json --baseline less.json --strict
    status_is 3
}

@test "the exit status does not depend on how many failed" {
    local builds=a,b,c,d # 576 rows
    base build=$builds
    fake new.json build=$builds 'fail=silu/;gelu/;gelu_tanh/'
    gate
    status_is 1
    last_says 'exit 1: 576 cases went wrong'
    fake new.json build=$builds 'fail=silu/;gelu/' # 384
    gate
    status_is 1
    fake new.json build=a,b,c,d 'slow=silu/:1.2;gelu/:1.2;gelu_tanh/:1.2'
    gate
    status_is 2
    last_says 'exit 2: 576 cases are slower than +3 %'
    local n
    for n in 64 128; do # 256 and 512 rows
        fake new.json build=$builds cases=$n 'fail=silu/;gelu/;gelu_tanh/'
        gate --allow-missing
        status_is 1
        last_says "exit 1: $((4 * n)) cases went wrong"
    done
}

@test "missing cases fail, extra ones are told" {
    base
    fake new.json run=4 drop=silu/83x1024
    gate
    status_is 1
    has_line 'MISSING  silu/83x1024/bf16   was PASS'
    has_line '144 cases: *, 3 missing'
    last_says 'exit 1: 3 cases are missing'
    gate --allow-missing
    status_is 0
    kbench gate base.json --baseline new.json
    status_is 0
    has_line '141 cases: *, 0 missing, 3 extra'
}

@test "a time that is none never passes, and is named" {
    base
    local text
    for text in null 0 -5; do
        fake new.json run=4 "ns=gelu/83x1024/bf16:$text"
        gate
        status_is 3
        has_line 'INVALID  gelu/83x1024/bf16   the new time is '*
        last_says 'exit 3: 1 case has no time that can be compared'
        kbench gate base.json --baseline new.json
        status_is 3
        has_line "INVALID  gelu/83x1024/bf16   the baseline's time is "*
        kbench diff base.json new.json
        status_is 0
        has_line 'INVALID  gelu/83x1024/bf16 *the B time is *'
    done
    fake new.json run=4 twice=gelu/83x1024/bf16
    gate
    status_is 3
    has_line 'INVALID  gelu/83x1024/bf16   stands twice in the new report'
}

@test "another GPU, backend or method is not comparable, and every field is named" {
    base
    fake new.json run=4 'gpu=NVIDIA L40S' driver=570.1
    gate
    status_is 3
    has_line 'other  GPU: NVIDIA H200 -> NVIDIA L40S'
    has_line 'note   driver: 580.159.04 -> 570.1'
    last_says 'exit 3: not comparable: GPU NVIDIA H200 != NVIDIA L40S'
    gate --cross
    status_is 0
    fake new.json run=4 backend=host
    gate
    status_is 3
    last_says 'exit 3: not comparable: backend cuda != host'
    fake new.json run=4 method=cold
    gate
    status_is 3
    last_says 'exit 3: not comparable: method graph != cold'
    fake new.json run=4
    gate --method graph
    status_is 0
    gate --method pdl
    status_is 3
    last_says 'exit 3: not comparable: method pdl (of graph) != graph'
    gate --method graph,cold
    status_is 3
    fake new.json run=4 fail=silu/83x1024/bf16 method=cold # wrong is wrong all the same
    gate
    status_is 1
    fake new.json run=4 driver=570.1
    gate
    status_is 0
    has_line 'note   driver: 580.159.04 -> 570.1'
}

@test "UNCLEAR is no pass where that is asked for" {
    base
    fake new.json run=4 half=silu/83x1024/fp16:0.06
    gate
    status_is 0
    gate --strict
    status_is 3
    last_says 'exit 3: 1 case is unclear'
}

@test "a crash has the exit status of a crash" {
    base
    fake new.json run=4 error=silu/83x1024/fp16
    gate
    status_is 6
    has_line 'WRONG    silu/83x1024/fp16   was PASS, now ERROR: *'
}

@test "gate writes what it found as JSON, with the smallest slowdown that it would have found" {
    base
    fake new.json run=4 slow=silu/83x1024/bf16:1.06
    gate -o g.json
    status_is 2
    jq -e '.schema == "kbench-gate/1" and .status == 2 and .count.slower == 1' g.json
    jq -e '[.rows[] | select(.verdict == "SLOWER")] | length == 1 and (.[0].change > 0.05)' g.json
    jq -e '[.rows[].detectable] | length == 144 and min > 0.03 and max < 0.06' g.json
    gate --format json
    jq -e '.status == 2' <<<"$output"
}

@test "a baseline of one run is told to be one" {
    fake base.json run=1
    fake new.json run=2
    gate
    status_is 0
    has_line 'note   the baseline is of 1 process run: *'
}

@test "--update puts the new report in the baseline's place, with the reason" {
    base
    fake new.json run=4 slow=silu/83:1.2
    gate --update 'new tiles'
    status_is 0
    last_says 'wrote base.json'
    gate
    status_is 0
    gate --update 'and again'
    jq -e '[.updates[].reason] == ["new tiles", "and again"]' base.json
    cp base.json before.json
    fake new.json run=4 fail=silu/83x1024/bf16
    gate --update 'no'
    status_is 1
    last_says 'exit 1: the new report has rows that are not right; the baseline is as it was'
    fake new.json run=4 'gpu=NVIDIA L40S'
    gate --update 'no'
    status_is 3
    gate --update ''
    status_is 4
    fake new.json run=4 drop=silu/83x1024/bf16
    gate --update 'no'
    status_is 1
    last_says 'exit 1: 1 row of the baseline is missing, *; the baseline is as it was'
    fake new.json run=4 twice=silu/83x1024/bf16
    gate --update 'no'
    status_is 3
    fake new.json run=4 ns=silu/83x1024/bf16:null
    gate --update 'no'
    status_is 3
    last_says 'exit 3: the new report has rows that cannot be compared; the baseline is as it was'
    fake new.json run=4
    jq '.complete = false' new.json >cut.json
    kbench gate cut.json --baseline base.json --update 'no'
    status_is 3
    last_says "exit 3: the new report's run did not get to its end; the baseline is as it was"
    rm cut.json
    cmp base.json before.json
    fake new.json run=4 drop=silu/83x1024/bf16
    gate --update 'one case less' --allow-missing
    status_is 0
    gate
    status_is 0
    cp before.json base.json
    left_are base.json before.json new.json r1.json r2.json r3.json
}

@test "an update that cannot be written leaves the baseline as it was" {
    base
    fake new.json run=4
    cp base.json before.json
    # shellcheck disable=SC2016 - for the shell with the limit
    run --separate-stderr bash -c \
        'trap "" XFSZ; ulimit -f 8; exec "$0" gate new.json --baseline base.json --update new' "$bin"
    status_is 7
    cmp base.json before.json
    left_are base.json before.json new.json r1.json r2.json r3.json
}

@test "what is compared is not written over" {
    base
    fake new.json run=4
    cp base.json before.json
    cp new.json fresh.json
    ln -s base.json link.json
    gate -o link.json
    status_is 4
    says 'kbench: error: -o: link.json: would be written over what is compared'
    gate -o new.json
    status_is 4
    kbench diff base.json new.json -o new.json
    status_is 4
    on_host --op silu --shape 7x16 --baseline base.json -o base.json
    status_is 4
    cmp base.json before.json
    cmp new.json fresh.json
}

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

@test "in GitHub Actions a gate tells the workflow, without an option" {
    base
    fake new.json run=9 fail=gelu_tanh/83x1024/bf16 slow=silu/83:1.2
    GITHUB_ACTIONS=true GITHUB_STEP_SUMMARY=sum.md gate
    status_is 1
    says '::error title=WRONG gelu_tanh/83x1024/bf16 precise::was PASS, now FAIL: rows 80..82 never written'
    says '::error title=SLOWER silu/83x1024/bf16 precise::1.06 -> 1.28 us +* %25 *'
    [ "$(grep -c '^::error' <<<"$stderr")" -eq 7 ]
    grep -q '^    WRONG    gelu_tanh/83x1024/bf16' sum.md
    fake new.json run=9 slow=silu/:1.2
    GITHUB_ACTIONS=true gate
    status_is 2
    [ "$(grep -c '^::error' <<<"$stderr")" -eq 10 ]
    says '::error title=kbench gate::and 39 more rows'
    gate
    [ "$(grep -c '^::error' <<<"$stderr")" -eq 0 ]
    # A summary that is too long for GitHub says that it was cut.
    fake new.json "build=$(seq -s, -f 'b%g' 60)" 'fail=silu/;gelu/;gelu_tanh/'
    GITHUB_ACTIONS=true GITHUB_STEP_SUMMARY=long.md kbench gate new.json --baseline new.json
    status_is 1
    [ "$(wc -c <long.md)" -lt 1048576 ]
    [ "$(tail -n 1 long.md)" = '    the rest is in the log' ]
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
    kbench merge --runs r1.json r2.json r1.json -o bad.json
    status_is 4
    says 'kbench: error: merge --runs: r1.json is named twice, *'
    [ ! -e bad.json ]
    kbench merge --runs r1.json short.json -o ok.json
    status_is 0
    says 'note: 6 rows are not in short.json'
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

# ---- a run that is gated --------------------------------------------------------------------

@test "a run with --baseline is gated at its end" {
    on_host --op silu --shape 7x16,3x34 -q -o base.json
    on_host --op silu --shape 7x16,3x34 --baseline base.json
    status_is 0
    has_line 'new    this run *'
    has_line '2 cases: 0 wrong, * 2 same, 0 missing'
    on_host "$top/cases/activation.json" --op silu --tag smoke -q -o base.json
    on_host "$top/cases/activation.json" --op silu --tag smoke --dtype bf16 -q --baseline base.json
    status_is 0 # what was not asked for is not missing
    jq '.rows[0].case = "silu/9x34/bf16"' base.json >more.json
    on_host "$top/cases/activation.json" --op silu --tag smoke -q --baseline more.json
    status_is 1
    last_says 'exit 1: 1 case is missing'
    # In GitHub Actions what a gate finds beside wrong rows is annotated as well.
    GITHUB_ACTIONS=true GITHUB_STEP_SUMMARY=$PWD/summary on_host "$top/cases/activation.json" --op silu \
        --tag smoke -q --baseline more.json
    status_is 1
    says '::error title=MISSING silu/9x34/bf16 precise::was PASS'
    [ "$(grep -c '^::' <<<"$stderr")" -eq 1 ]
    grep -q '^\*\*kbench\*\* ' summary
    grep -q '^    MISSING  silu/9x34/bf16' summary
    last_says 'exit 1: 1 case is missing'
    mutant wrong.cu 1.0f 1.01f
    on_host --op silu --shape 7x16 --kernel "$plain" -q -o plain.json
    sed "s|$plain|wrong.cu|g" plain.json >as_wrong.json
    on_host --op silu --shape 7x16 --kernel wrong.cu -q --baseline as_wrong.json
    status_is 1
    has_line 'WRONG    silu/7x16/bf16 *now FAIL: *'
}

@test "a baseline that cannot be read ends a run before it begins" {
    on_host --op silu --shape 7x16 --baseline missing.json
    status_is 4
    last_says 'exit 4: missing.json: *'
    [ -z "$output" ]
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
