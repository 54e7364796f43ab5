#!/usr/bin/env bats
# define.bats - --define: a macro of the kernel's contract swept, each value a build.

load common

# The stranger's kernel with its threads as a macro, and another variant without one.
swept() {
    mutant swept.cu '"plain": {' '"plain": { "defines": { "KB_THREADS": 256 },' \
        'hidden, 256)' 'hidden, KB_THREADS)' '"block": 256' '"block": "KB_THREADS"' \
        '"i32 hidden"] } }' '"i32 hidden"] }, "fixed": {
    "entry": "silu_plain<KB_T>", "grid": "ceil_div(tokens * hidden, 64)", "block": 64,
    "args": ["input", "out", "i64 tokens * hidden", "i32 hidden"] } }'
}

@test "each value is a build, and its grid and block follow" {
    swept
    on_host --op silu --shape 7x64 --kernel swept.cu --define KB_THREADS=64,128 -o r.json
    status_is 0
    has_line "A precise+KB_THREADS=64 *-DKB_THREADS=64"
    has_line "B precise+KB_THREADS=128 *-DKB_THREADS=128"
    [ "$(jq -c '.rows[] | [.case, .build, .variant, .code.grid[0], .code.block[0]]' r.json)" = \
        '["silu/7x64/bf16","precise+KB_THREADS=64","plain",4,64]
["silu/7x64/bf16","precise+KB_THREADS=128","plain",2,128]' ] || { jq .rows r.json; return 1; }
    [ "$(jq -c '.rows[0].code.build_key == .rows[1].code.build_key' r.json)" = false ]
    [ "$(jq -c '.builds["precise+KB_THREADS=64"]' r.json)" = '["-std=c++17","-DKB_THREADS=64"]' ] || { jq .builds r.json; return 1; }
}

@test "the repeat line of a value repeats it" {
    swept
    on_host --op silu --shape 7x16 --kernel swept.cu --define KB_THREADS=32 --format jsonl
    status_is 0
    local line
    line=$(jq -r 'select(.repeat) | .repeat' <<<"$output")
    [[ $line == *" --build precise+KB_THREADS=32 "* ]] || { seen; return 1; }
    # shellcheck disable=SC2086 - a command line
    kbench ${line#kbench }
    status_is 0
    has_line "PASS  silu/7x16/bf16   precise+KB_THREADS=32   swept.cu:plain *"
}

@test "a macro that the contract has not is refused with those it has" {
    on_host --op silu --shape 7x16 --define FOO=1
    status_is 4
    says 'kbench: error: --define: unknown macro "FOO"; there is KB_THREADS'
    on_host --op silu --shape 7x16 --define KB_TREADS=1
    status_is 4
    says '*did you mean "KB_THREADS"?'
    on_host --op merge_state --shape 4x2x16 --define KB_THREADS=1
    status_is 4
    says '*unknown macro "KB_THREADS"; the contract has no "defines"'
    left_are
}

@test "values that are none are refused before anything runs" {
    local value
    for value in KB_THREADS KB_THREADS= KB_THREADS=64,,1 'KB_THREADS=1 2' '=1' '1X=2'; do
        on_host --op silu --shape 7x16 --define "$value"
        status_is 4
        says "kbench: error: --define: *"
    done
    on_host --op silu --shape 7x16 --define KB_THREADS=1 --define KB_THREADS=2
    status_is 4
    says "*KB_THREADS is given twice*"
}

@test "a variant without the macro is a SKIP, an op without it is left out" {
    swept
    on_host --op silu --shape 7x16 --kernel swept.cu --define KB_THREADS=64 --variant fixed
    status_is 3
    has_line 'what      fixed: its `defines` have no KB_THREADS'
    on_host --case silu/7x16/bf16/round=act,merge_state/4x2x16/bf16 --variant chain,vec16 --define KB_THREADS=64 --mode list
    status_is 0
    says "note: merge_state has no macro KB_THREADS: its 1 cases are left out"
}

@test "values that the device cannot launch are errors with the numbers" {
    swept
    on_host --op silu --shape 7x16 --kernel swept.cu --define KB_THREADS=2048
    status_is 5
    has_line "what      contract: swept.cu: plain: block x is 2048, the device allows 1024"
}

@test "macros multiply, with each other and with builds" {
    mutant mine.cu '"entry"' '"defines": { "KB_STEP": 1, "KB_OTHER": 2 }, "entry"'
    on_host --op silu --shape 7x16 --kernel mine.cu --define KB_STEP=1,2 --define KB_OTHER=3,4 \
        --build precise,fast-math --mode build --format csv
    status_is 0
    [ "$(grep -c 'silu/7x16/bf16' <<<"$output")" -eq 8 ] || { seen; return 1; }
    [[ $output == *precise+KB_STEP=2+KB_OTHER=3* ]] || { seen; return 1; }
    on_host --op silu --shape 7x16 --kernel mine.cu --define KB_NONE=1
    status_is 4
    says '*unknown macro "KB_NONE"; there are KB_STEP, KB_OTHER'
}
