#!/usr/bin/env bats
# report.bats - reports on disk: their forms, and what is left when something goes wrong.

load common

schema=$top/reports/kbench-report-1.schema.json

follows_schema() {
    "$BATS_TEST_DIRNAME/check_report.py" "$schema" "$1"
}

# Processes at work in this folder beside the shell of the test.
strays() {
    local process
    for process in /proc/[0-9]*; do
        [ "$(readlink "$process/cwd")" = "$PWD" ] || continue
        case $(readlink "$process/exe") in
        */bash | */readlink | '') ;;
        *) tr '\0' ' ' <"$process/cmdline" ;;
        esac
    done 2>/dev/null
}

@test "a report of every verdict here follows the schema" {
    mutant odd.cu 'if (i >= n)' 'if (i >= n || (hidden == 8 && i > 20))' \
        1.0f '(hidden == 17 ? 1.01f : 1.0f)'
    on_host --op silu --shape 7x16,3x34,0x16,5x258 --kernel odd.cu --build precise,fast-math \
        -o r.json
    status_is 1
    follows_schema r.json
    jq -e '.complete and .count.fail == 2 and .count.pass == 2 and .count.skip == 4' r.json
    jq -e '[.rows[].reason_kind] | index("unwritten") and index("mismatch") and index("build")' r.json
    mutant no.cu expf expff
    on_host --op silu --shape 7x16 --kernel no.cu -o e.json
    follows_schema e.json
    jq -e '.rows[0].verdict == "ERROR" and .rows[0].reason_kind == "compile"' e.json
}

@test "one run writes every form, and nothing else" {
    on_host "$top/cases/activation.json" --op silu --tag smoke -o r.json -o r.jsonl -o r.csv -o r.md \
        -o r.xml -o r.html
    status_is 0
    last_says "wrote r.json, r.jsonl, r.csv, r.md, r.xml, r.html"
    left_are r.csv r.html r.json r.jsonl r.md r.xml
    follows_schema r.json
    local n
    n=$(jq '.rows | length' r.json)
    [ "$n" -gt 5 ]
    [ "$(jq '.count.pass' r.json)" -eq "$n" ]
    [ "$(jq -s 'length' r.jsonl)" -eq $((n + 2)) ]
    [ "$(jq -s '.[-1].complete' r.jsonl)" = true ]
    [ "$(wc -l <r.csv)" -eq $((n + 1)) ]
    [ "$(grep -c '^| PASS |' r.md)" -eq "$n" ]
    [ "$(grep -c '<testcase ' r.xml)" -eq "$n" ]
    [ "$(grep -c '<tr data-verdict="pass">' r.html)" -eq "$n" ]
    jq -r '.rows[] | [.case, .verdict, .times.graph.median_ns] | @tsv' r.json >tsv
    [ "$(wc -l <tsv)" -eq "$n" ]
}

@test "Markdown is no longer than a comment may be, with the failures in it, and says what it leaves out" {
    local n left
    # 600 failures of one cause each; without them rows have all of the place.
    jq '.rows |= [to_entries[] | select(.key < 1800) | .key as $k | .value
            | if $k % 3 == 0 then .verdict = "FAIL" | .reason_kind = "mismatch"
                | .reason = "of cause \($k)" | .repeat = "kbench --case it" else . end]
        | .count = {pass: 1200, fail: 600, mistrusted: 0, skip: 0, error: 0}' \
        "$top/reports/nvidia-h200-check.json" >many.json
    kbench merge many.json -o many.md
    [ "$(wc -c <many.md)" -lt 65536 ]
    n=$(grep -c '^| .* |$' many.md)
    left=$(sed -n 's/^and \([0-9]*\) more rows: .*/\1/p' many.md)
    [ $((n - 1 + left)) -eq 1800 ] # its first line is the head
    grep -q '^- \*\*FAIL\*\* ' many.md
    grep -q '^and [0-9]* more failures: JSON, CSV and HTML have all$' many.md
    kbench merge "$top/reports/nvidia-h200-check.json" -o whole.md
    [ "$(wc -c <whole.md)" -lt 65536 ]
    [ "$(wc -c <whole.md)" -gt 50000 ]
    tail -n 1 whole.md | grep -q '^and [0-9]* more rows: '
}

@test "--format prints a form in place of the table" {
    on_host --op silu --shape 7x16 --format json
    status_is 0
    jq -e '.rows[0].verdict == "PASS"' <<<"$output"
    on_host --op silu --shape 7x16 --format md
    has_line "| PASS | silu/7x16/bf16 | vec16 | *"
    on_host --op silu,gelu --shape 7x16 --format jsonl -o r.jsonl
    [ "${#lines[@]}" -eq 4 ]
    [ "$output" = "$(cat r.jsonl)" ]
}

@test "an earlier report stays as it was where the new one cannot be written" {
    echo old >r.json
    kbench --op silu --shape 7x16 --mode bnch -o r.json
    status_is 4
    [ "$(cat r.json)" = old ]
    on_host --op silu --shape 7x16 -o r.json -o none/r.csv
    status_is 7
    last_says "exit 7: none/r.csv: there is no folder none"
    [ "$(cat r.json)" = old ]
    left_are r.json
}

@test "a disk that is full keeps the earlier report and says what is lost" {
    echo old >r.json
    status=0
    (
        ulimit -f 8
        trap '' XFSZ
        exec "$bin" --backend host "$top/cases/activation.json" --op silu --tag smoke -o r.json
    ) >out 2>err || status=$?
    [ "$status" -eq 7 ]
    [ "$(cat r.json)" = old ]
    tail -n 1 err | grep -q '^exit 7: r.json.*cannot write'
    grep -q 'the rows so far are in r.json.part$' err
    head -n 1 r.json.part | jq -e '.schema == "kbench-report/1"'
}

@test "a report is in a new file at once or not at all: a link is followed" {
    mkdir real
    ln -s real/r.json r.json
    touch real/r.json
    on_host --op silu --shape 7x16 -o r.json
    status_is 0
    [ -L r.json ]
    jq -e .complete real/r.json
}

@test "two runs cannot write one report" {
    exec 9>r.json.part
    flock -n 9
    on_host --op silu --shape 7x16 -o r.json
    status_is 7
    last_says "exit 7: r.json.part: another run of kbench is writing this report"
    exec 9>&-
    on_host --op silu --shape 7x16 -o r.json
    status_is 0
    left_are r.json
}

@test "a signal ends the run with a report of what was done, and no process is left" {
    mutant hang.cu 'const T *row' 'for (volatile int k = 0; hidden == 512;) k = k; const T *row'
    "$bin" --backend host --op silu --shape 7x16,83x1024,3x34 --kernel hang.cu -o r.json \
        >out 2>err &
    local pid=$! waited=0
    until grep -q '^PASS' out || [ $((waited += 1)) -gt 300 ]; do sleep 0.1; done
    sleep 0.3
    kill -TERM "$pid"
    status=0
    wait "$pid" || status=$?
    [ "$status" -eq 143 ]
    [ "$(tail -n 1 err)" = "wrote r.json; exit 143: SIGTERM after 1 of 3 rows" ]
    follows_schema r.json
    jq -e '.complete == false and .interrupted == "SIGTERM" and .count.pass == 1' r.json
    [ ! -e r.json.part ]
    sleep 0.2
    [ -z "$(strays)" ] || { strays; return 1; }
}

@test "a run that is killed leaves its rows beside the report, and the next one says so" {
    mutant hang.cu 'const T *row' 'for (volatile int k = 0; hidden == 512;) k = k; const T *row'
    "$bin" --backend host --op silu --shape 7x16,83x1024 --kernel hang.cu -o r.json >out 2>err &
    local pid=$! waited=0
    until grep -q '^PASS' out || [ $((waited += 1)) -gt 300 ]; do sleep 0.1; done
    kill -KILL "$pid"
    wait "$pid" || true
    [ "$(grep -c '"case"' r.json.part)" -eq 1 ]
    [ ! -e r.json ]
    on_host --op silu --shape 7x16 -o r.json
    status_is 0
    says "note: r.json.part was left by a run that did not end, and is overwritten"
    left_are err hang.cu out r.json
}

@test "names that could fool a terminal, a spreadsheet or a page are escaped" {
    cp "$plain" $'a\033[31m|b.cu'
    on_host --op silu --shape 7x16 --kernel $'a\033[31m|b.cu' -o r.json -o r.csv -o r.md \
        -o r.xml -o r.html
    status_is 0
    [[ $output != *$'\033'* ]]
    finds_none $'\033' r.json r.csv r.md r.xml r.html
    follows_schema r.json
    jq -e '.rows[0].kernel == "a\u001b[31m|b.cu"' r.json
}

@test "the table and report of small cases are the golden ones (make golden rewrites them)" {
    cd "$top"
    BIN=$bin tools/golden.sh check
}

@test "a report of each version that is read follows its schema" {
    local file version
    # Each version has its schema, and a report that stays as kbench wrote it then.
    for file in "$top"/reports/versions/*.json; do
        version=$(basename "$file" .json)
        [ "$(jq -r .schema "$file")" = "${version%-*}/${version##*-}" ]
        "$BATS_TEST_DIRNAME/check_report.py" "$top/reports/$version.schema.json" "$file"
        kbench diff "$file" "$file"
        status_is 0
        on_host --rerun "$file" --kernel "$plain"
        status_is 0
        has_line "PASS  silu/7x16/bf16 *"
    done
    [ -e "$top/reports/versions/kbench-report-1.json" ]
}

@test "the schema refuses reports that are wrong" {
    local report=$top/reports/versions/kbench-report-1.json edit
    for edit in '.rows[0].verdict = "GOOD"' 'del(.rows[0].case)' '.rows[0].median_ns = 3' \
        '.rows[0].times.graph.median_ns = "fast"' '.schema = "kbench-report/2"' '.count.pass = -1' \
        '.rows[2].outputs.out.local.pattern = "odd"' 'del(.devices[0].name)'; do
        jq "$edit" "$report" >wrong.json
        ! follows_schema wrong.json >/dev/null || { echo "follows all the same: $edit"; return 1; }
    done
}

@test "a report of a newer version is refused by its name" {
    jq '.schema = "kbench-report/2"' "$top/reports/versions/kbench-report-1.json" >new.json
    for line in "diff new.json new.json" "gate new.json --baseline new.json" "--rerun new.json"; do
        # shellcheck disable=SC2086 - words
        kbench $line
        status_is 4
        says '*new.json: schema "kbench-report/2" is newer than this kbench, which reads "kbench-report/1"*'
    done
}
