#!/usr/bin/env bats
# gate.bats - kbench gate on reports that were never measured, and a run that is gated at its end.

load common
load compare

gate() {
    kbench gate new.json --baseline base.json "$@"
}

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
    last_says 'wrote base.json, which held 3 process runs and holds 1: kbench merge --runs joins three'
    gate
    status_is 0
    gate --update 'and again'
    last_says 'wrote base.json'
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
