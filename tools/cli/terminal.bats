#!/usr/bin/env bats
# terminal.bats - what the table shows and in which order, where a run stops, what is run again, and
# that nothing is wider than the terminal.

load common

# Fails in 7x16 (elements never written) and 3x34 (a wrong factor), passes in 5x258.
odd() {
    mutant odd.cu 'if (i >= n)' 'if (i >= n || (hidden == 8 && i > 20))' \
        1.0f '(hidden == 17 ? 1.01f : 1.0f)'
}

@test "--columns shows these, in this order" {
    on_host --op silu --shape 7x16,3x34 --columns ulp,variant,error
    status_is 0
    has_line '                      max ulp  variant  *err/bound'
    has_line 'PASS  silu/7x16/bf16     0.49  *  *0.00'
    on_host --op silu --shape 7x16,3x34 --columns ulp,eror
    status_is 4
    says 'kbench: error: --columns: unknown column "eror", did you mean "error"?'
}

@test "--sort prints the worst first, and reports keep the order of the run" {
    odd
    on_host --op silu --shape 5x258,7x16,3x34 --dtype bf16,fp32 --kernel odd.cu --sort verdict -o r.json
    status_is 1
    [ "$(grep -oE '^(PASS|FAIL)  silu/[^:]* ' <<<"$output" | cut -c 1-4 | tr '\n' ' ')" = \
        "FAIL FAIL FAIL FAIL PASS PASS " ]
    [ "$(jq -r '.rows[0].case' r.json)" = silu/5x258/bf16 ]
    on_host --op silu --shape 5x258,7x16,3x34 --sort case
    [ "$(grep -o '^PASS  silu/[^ ]*' <<<"$output" | tr '\n' ' ')" = \
        "PASS  silu/3x34/bf16 PASS  silu/5x258/bf16 PASS  silu/7x16/bf16 " ]
}

@test "--fail-fast stops behind the first failure, and the report is not complete" {
    odd
    on_host --op silu --shape 5x258,7x16,3x34 --kernel odd.cu --fail-fast -o r.json
    status_is 1
    last_says 'wrote r.json; exit 1: a case failed; --fail-fast: 1 of 3 rows were not run'
    jq -e '.complete == false and (.rows | length) == 2' r.json
    # Where it is the last row nothing is left out.
    on_host --op silu --shape 5x258,7x16 --kernel odd.cu --fail-fast -o r.json
    last_says 'wrote r.json; exit 1: a case failed'
    jq -e .complete r.json
}

@test "--rerun runs what failed in a report, as it was there" {
    odd
    on_host --op silu --shape 5x258,7x16,3x34 --dtype bf16,fp32 --kernel odd.cu \
        --build precise,mine=-DX --tolerance 1e-2,1e-3 --seed 7 -o r.json
    status_is 1
    cp "$plain" odd.cu
    on_host --rerun r.json --kernel odd.cu -o again.json
    status_is 0
    jq -r '.rows[] | select(.verdict == "FAIL") | [.case, .build, .seed, .repeat] | @tsv' r.json >failed
    jq -r '.rows[] | [.case, .build, .seed, .repeat] | @tsv' again.json >again
    [ -s failed ]
    diff failed again
    jq -e '.rows | all(.outputs.out.tolerance.decides == "given" and .seed == 7)' again.json
    on_host --rerun again.json
    status_is 4
    says 'kbench: error: --rerun: again.json: no case selected: nothing failed in it'
    # A seed that no JSON number holds.
    jq '.rows |= map(.seed = "18446744073709551615")' r.json >large.json
    on_host --rerun large.json --kernel odd.cu -o again.json
    status_is 0
    jq -e '.rows | length > 0 and all(.seed == "18446744073709551615")' again.json
}

# The command that the complaint of --rerun ends in, as a person would paste it.
pasted() {
    local line=${stderr#*: kbench --rerun }
    eval "kbench --rerun ${line%%$'\n'*}"
}

@test "--rerun takes the kernel that the rows are of, unless its file has changed: then the command says it" {
    odd
    mv odd.cu 'my odd.cu'
    on_host --op silu --shape 7x16,5x258 --kernel 'my odd.cu' -o r.json
    on_host --rerun r.json -o again.json
    status_is 1
    jq -e '.rows | length == 1 and all(.kernel == "my odd.cu" and .verdict == "FAIL")' again.json
    cp "$plain" 'my odd.cu'
    on_host --rerun r.json
    status_is 4
    says "kbench: error: --rerun: my odd.cu has changed since: kbench --rerun r.json --backend host --kernel 'my odd.cu'"
    pasted
    status_is 0
    rm 'my odd.cu'
    on_host --rerun r.json
    says "kbench: error: --rerun: the rows' kernel my odd.cu is not here: kbench --rerun r.json --backend host --kernel FILE.cu"
    # What did not compile has no hash.
    mutant no.cu expf expff
    on_host --op silu --shape 7x16 --kernel no.cu -o n.json
    on_host --rerun n.json
    says "kbench: error: --rerun: no.cu did not compile there: kbench --rerun n.json --backend host --kernel no.cu"
    # A name that no file of kernels may have is no command either.
    jq '.rows[0].kernel = "$(touch pwn).cu"' n.json >p.json
    on_host --rerun p.json
    says "*the rows' kernel \$(touch pwn).cu is not here: kbench --rerun p.json --backend host --kernel FILE.cu"
}

@test "--rerun takes no flags from a report: the command has them" {
    odd
    on_host --op silu --shape 7x16,5x258 --kernel odd.cu -o r.json
    jq '.rows[].build = "mine" | .rows[].flags = ["-std=c++17", "-DX=1"]' r.json >m.json
    on_host --rerun m.json
    status_is 4
    says "kbench: error: --rerun: flags are not taken from a report: kbench --rerun m.json --backend host --kernel odd.cu --build 'mine=-std=c++17 -DX=1'"
    pasted
    status_is 3 # builds of one's own exist on a GPU only
    has_line "what      build mine: *"
    jq '.rows[].build = "precise+X=1"' r.json >d.json # a name that says it all
    on_host --rerun d.json
    [ "$status" -ne 4 ] || { seen; return 1; }
    jq '.rows[0].case = "silu/x/bf16"' r.json >c.json
    on_host --rerun c.json --kernel odd.cu
    status_is 4
    on_host --rerun r.json --op silu --shape 7x16
    status_is 4
    says 'kbench: error: --rerun: the report names the cases, and no other option may'
    echo '{"schema": "kbench-report/9", "rows": []}' >new.json
    on_host --rerun new.json
    status_is 4
    says 'kbench: error: --rerun: new.json: schema "kbench-report/9" is newer*'
}

# wide FILE: the longest line, in characters; commands, which are to be copied, are left out.
wide() {
    grep -v 'kbench --' "$1" | awk '{ if (length > n) n = length } END { print n + 0 }'
}

@test "nothing wraps from 60 to 200 columns, and columns stand under their heads" {
    odd
    local width
    for width in 60 80 100 132 200; do
        COLUMNS=$width on_host --op silu --shape 5x258,7x16,3x34 --dtype bf16,fp32 --kernel odd.cu
        status_is 1
        echo "$output" >table
        [ "$(wide table)" -le "$width" ] || { seen; echo "$width: $(wide table)"; return 1; }
        COLUMNS=$width on_host --op silu --shape 7x16 --kernel odd.cu
        echo "$output" >screen
        [ "$(wide screen)" -le "$width" ] || { seen; echo "$width: $(wide screen)"; return 1; }
        # A column of numbers ends where its head ends.
        awk '/err.bound/ { head = index($0, "err/bound") + 8 }
             /^PASS/ { if (head && substr($0, head, 1) !~ /[0-9]/) exit 1; n++ }
             END { if (head && !n) exit 1 }' table
    done
}

@test "colour only repeats the verdict" {
    odd
    on_host --op silu --shape 5x258,7x16 --kernel odd.cu --color never
    local plain_text
    plain_text=$(sed 's/[0-9.]* s$//' <<<"$output")
    on_host --op silu --shape 5x258,7x16 --kernel odd.cu --color always
    [[ $output == *$'\033[1;31mFAIL\033[0m  silu/7x16/bf16'* ]]
    [ "$(sed 's/\x1b\[[0-9;]*m//g; s/[0-9.]* s$//' <<<"$output")" = "$plain_text" ]
    [ "$(grep -o $'\033\[[0-9;]*m' <<<"$output" | sort -u | wc -l)" -eq 3 ]
}
