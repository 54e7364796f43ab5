#!/usr/bin/env bats
# mutants.bats - tools/mutants.py on edits of the stranger's kernel: what it must not let pass.

load common

# mutants ENTRIES ARG...: a file with these lists, run from the top of the tree.
mutants() {
    local file=$BATS_TEST_TMPDIR/mutants.json
    cat >"$file" <<TEXT
{ "schema": "kbench-mutants/1", "kernel": "tools/cli/silu_plain.cu", "variant": "plain",
  $1 }
TEXT
    shift
    cd "$top"
    run --separate-stderr timeout 120 python3 tools/mutants.py --bin "$bin" \
        --build "$BATS_TEST_TMPDIR" "$@" "$file"
}

# entry NAME FIND REPLACE MORE
entry() {
    printf '{ "name": "%s", "why": "a test", "file": "tools/cli/silu_plain.cu", "find": "%s",
        "replace": "%s", "cases": ["silu/7x16/bf16"] %s }' "$@"
}

@test "a mutant that is flagged and a control that passes: exit 0" {
    mutants '"mutants": [
        '"$(entry tail 'i >= n' 'i >= n - 1' ', "oracle": "unwritten", "says": "1 of 56"')"' ],
      "controls": [ '"$(entry double expf exp '')"' ]'
    status_is 0
    has_line "ok     tail *silu/7x16/bf16 *unwritten *1 of 56 elements*"
    has_line "ok     double *silu/7x16/bf16 *pass"
    has_line "1 mutant: 1 killed, 0 survived; 1 control: 1 passed"
}

@test "one that survives, one that another check flags, a control that fails: exit 1 and how to see it" {
    mutants '"mutants": [
        '"$(entry sign 'expf(-x)' 'expf(x)' ', "oracle": "unwritten"')"',
        '"$(entry same 'i >= n' 'i > n - 1' ', "oracle": "unwritten"')"' ],
      "controls": [ '"$(entry twice '* up' '* up * 2.0f' '')"' ]'
    status_is 1
    has_line "FAILED sign *silu/7x16/bf16 *mismatch, not unwritten *"
    has_line "FAILED same *silu/7x16/bf16 *pass, not unwritten"
    has_line "FAILED twice *silu/7x16/bf16 *mismatch, not pass *"
    has_line "    *kbench --kernel */mutants/same/silu_plain.cu:plain *--case silu/7x16/bf16"
    has_line "2 mutants: 0 killed, 1 survived, 1 killed by another oracle; 1 control: 0 passed"
    grep -q 'i > n - 1' "$BATS_TEST_TMPDIR/mutants/same/silu_plain.cu"
}

@test "an edit that no longer fits, or fits twice, is an error and no kill" {
    mutants '"mutants": [
        '"$(entry gone 'i >= m' 'i > n' ', "oracle": "unwritten"')"',
        '"$(entry both 'hidden' 'tokens' ', "oracle": "unwritten"')"' ]'
    status_is 1
    has_line "ERROR  gone *stale: 0 times in tools/cli/silu_plain.cu, wanted once: i >= m"
    has_line "ERROR  both *stale: * times in *"
    has_line "2 mutants: 0 killed, 0 survived; 2 errors"
}

@test "whether edits fit is seen of those, too, that this backend does not run" {
    mutants '"mutants": [
        '"$(entry gone 'i >= m' 'i > n' ', "oracle": "unwritten", "host": []')"',
        '"$(entry tail 'i >= n' 'i >= n - 1' ', "oracle": "unwritten"')"' ]' --fit
    status_is 1
    has_line "*mutants.json: gone: stale: 0 times in tools/cli/silu_plain.cu, wanted once: i >= m"
    has_line "2 edits, 1 stale"
}

@test "one that does not compile is no kill" {
    mutants '"mutants": [ '"$(entry broken 'return;' 'return' ', "oracle": "unwritten"')"' ]'
    status_is 1
    has_line "ERROR  broken *silu/7x16/bf16 is ERROR, compile: *"
    has_line "1 mutant: 0 killed, 0 survived; 1 error"
}

@test "unknown keys, unknown oracles and a name that is there twice are refused: exit 4" {
    mutants '"mutants": [ '"$(entry a 'i >= n' 'i > n' ', "oracle": "unwritten", "orcale": 1')"' ]'
    status_is 4
    says "mutants: *mutants.json: a: unknown key orcale"
    mutants '"mutants": [ '"$(entry a 'i >= n' 'i > n' ', "oracle": "wrong"')"' ]'
    status_is 4
    says 'mutants: *a: unknown oracle "wrong", *'
    mutants '"controls": [ '"$(entry a 'i >= n' 'i > n' '')"', '"$(entry a 'i >= n' 'i > n' '')"' ]'
    status_is 4
    says "mutants: a: there are 2 of that name"
}
