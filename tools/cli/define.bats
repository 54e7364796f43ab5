#!/usr/bin/env bats
# define.bats - --define: a macro of the kernel's contract swept, each value a build.

load common

@test "each value is a build, and its block follows" {
    on_host --op silu --shape 7x16 --define KB_THREADS=64,128 -o r.json
    status_is 0
    has_line "PASS  silu/7x16/bf16  precise+KB_THREADS=64   vec16 *"
    has_line "PASS  silu/7x16/bf16  precise+KB_THREADS=128  vec16 *"
    [ "$(jq -c '[.rows[] | [.case, .build, .code.block[0]]]' r.json)" = \
        '[["silu/7x16/bf16","precise+KB_THREADS=64",64],["silu/7x16/bf16","precise+KB_THREADS=128",128]]' ] || { cat r.json; return 1; }
    [ "$(jq -c '.rows[0].code.build_key == .rows[1].code.build_key' r.json)" = false ]
    [ "$(jq -c '.builds["precise+KB_THREADS=64"]' r.json)" = '["-std=c++17","-DKB_THREADS=64"]' ] || { cat r.json; return 1; }
}

@test "the repeat line of a value repeats it" {
    on_host --op silu --shape 7x16 --define KB_THREADS=64 --format jsonl
    status_is 0
    local line
    line=$(jq -r 'select(.repeat) | .repeat' <<<"$output")
    [[ $line == *" --build precise+KB_THREADS=64 "* ]] || { seen; return 1; }
    # shellcheck disable=SC2086 - a command line
    kbench ${line#kbench }
    status_is 0
    has_line "PASS  silu/7x16/bf16   precise+KB_THREADS=64   vec16 *"
}

@test "a macro that the contract has not is refused with those it has" {
    on_host --op silu --shape 7x16 --define FOO=1
    status_is 4
    says 'kbench: error: --define: unknown macro "FOO"; there is KB_THREADS'
    on_host --op silu --shape 7x16 --define KB_TREADS=1
    status_is 4
    says '*did you mean "KB_THREADS"?'
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
    on_host --op silu --shape 7x16 --define KB_THREADS=64 --variant scalar
    status_is 3
    has_line 'what      scalar: its `defines` have no KB_THREADS'
    on_host --op silu,merge_state --shape 4x2x16,7x16 --mode list
    on_host --case silu/7x16/bf16,merge_state/4x2x16/bf16 --define KB_THREADS=64
    status_is 0
    says "note: merge_state has no macro KB_THREADS: its 1 cases are left out"
}

@test "a kernel of one's own is swept by its own macros" {
    mutant mine.cu '"entry"' '"defines": { "KB_STEP": 1, "KB_OTHER": 2 }, "entry"'
    on_host --op silu --shape 7x16 --kernel mine.cu --define KB_STEP=1,2 --define KB_OTHER=3,4 --mode build
    status_is 0
    has_line "PASS  silu/7x16/bf16  precise+KB_STEP=2+KB_OTHER=3 *"
    on_host --op silu --shape 7x16 --kernel mine.cu --define KB_NONE=1
    status_is 4
    says '*unknown macro "KB_NONE"; there are KB_STEP, KB_OTHER'
}
