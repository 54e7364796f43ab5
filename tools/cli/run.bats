#!/usr/bin/env bats
# run.bats - cases checked on the host: what is printed, what it says at the end, what is left.

load common

@test "one case on the host: verdict first, no time and why" {
    on_host --op gelu_tanh --shape 83x1024
    status_is 0
    has_line "PASS  gelu_tanh/83x1024/bf16   precise   vec16 *host, * cores, *"
    has_line "error     0.0[0-9] of bound    max 0.50 ulp    p99 * ulp    abs *    rel *"
    has_line "          peers' 1e-2 + 1e-2??want?: 0 of 42496 over, the worst uses 0.[0-9]* of it"
    has_line "impostors 8 wrong outputs tried, none would pass"
    has_line "orders    same bits with blocks forward, reversed and shuffled, tensors shifted by * bytes, inputs"
    has_line "          written late, other inputs before, only 41 and 1 rows; guards and inputs untouched"
    has_line "code      the same kernels/activation.cu through *"
    has_line "time      none: *"
    [ -z "$stderr" ]
    left_are
}

@test "without a GPU auto takes the host, and a note says so" {
    CUDA_VISIBLE_DEVICES='' kbench --op silu --shape 7x16
    status_is 0
    says "note: *: checked on the CPU, nothing timed"
    has_line "PASS  silu/7x16/bf16 *"
    CUDA_VISIBLE_DEVICES='' kbench --op silu --shape 7x16 --mode build
    status_is 0
    says "note: *: built for the CPU, nothing run"
}

@test "aliases come in, canonical names go out" {
    on_host --op silu --shape 7x16 --dtype half,bfloat16,f32 --mode list
    status_is 0
    [ "$output" = $'silu/7x16/fp16\nsilu/7x16/bf16\nsilu/7x16/fp32' ] || { seen; return 1; }
}

@test "lists multiply, and an id is taken back" {
    on_host --op silu,gelu --shape 7x16,3x34 --fill normal,nan --mode list
    [ "${#lines[@]}" -eq 8 ]
    has_line "gelu/3x34/bf16/fill=nan"
    on_host --case gelu/3x34/bf16/fill=nan
    status_is 0
    has_line "PASS  gelu/3x34/bf16/fill=nan *"
}

@test "cases come from standard input and from folders" {
    on_host - --mode list <<'TEXT'
{ "schema": "kbench-cases/1",
  "groups": [ { "why": "one", "ops": ["silu"], "dtypes": ["fp16"], "shapes": [[7, 16]] } ] }
TEXT
    status_is 0
    [ "$output" = silu/7x16/fp16 ]
    on_host "$top/cases" --tag smoke --op silu --dtype bf16 --mode list
    status_is 0
    has_line "silu/7x16/bf16"
}

@test "a suite is a table that ends in a summary" {
    on_host "$top/cases/activation.json" --op silu --tag smoke --dtype bf16
    status_is 0
    has_line "host, * cores, * | build precise | checked, not timed"
    has_line " * variant *err/bound  max ulp"
    has_line "PASS  silu/7x16/bf16 *vec16  *0.00  *0.[0-9]*"
    has_no_line "* us *"
    has_line "[0-9]* cases: [0-9]* pass, 0 fail, 0 mistrusted, 0 skip, 0 error   *[0-9] s"
}

@test "rows differ in builds and variants: each beside the first, and builds that are not there are SKIP" {
    on_host --op silu --shape 83x1024 --build precise,fast-math --variant vec16,scalar
    status_is 0
    has_line "A precise vec16      -std=c++17"
    has_line "B SKIP  silu/83x1024  B  build fast-math: builds other than precise exist on a GPU only"
    has_line "PASS    silu/83x1024  C *0.00 %"
    has_line "1 case x 2 variants x 2 builds: 2 pass, *2 skip, *"
    on_host --op silu --shape 83x1024 --build precise,fast-math --variant vec16,scalar --sort case
    status_is 0
    has_line " * build  *variant *err/bound  max ulp"
    has_line "PASS  silu/83x1024/bf16  precise  *vec16  *"
    has_line "PASS  silu/83x1024/bf16  precise  *scalar  *"
    has_line "SKIP  silu/83x1024/bf16  *fast-math vec16: *"
}

@test "all skipped is exit 3, and a variant that does not take the case says why" {
    on_host --op silu --shape 83x1000 --variant vec16
    status_is 3
    has_line "what      vec16: its ?when?*"
    last_says "exit 3: nothing was checked: the case was skipped"
}

@test "a stranger's kernel passes" {
    on_host --op silu --shape 83x1024,7x16 --dtype bf16,fp32 --kernel "$plain"
    status_is 0
    has_line "* | kernel *silu_plain.cu | *"
    has_line "PASS  silu/83x1024/bf16  silu_plain.cu:plain  *"
    has_line "4 cases: 4 pass, *"
}

@test "the same with 1.01f for 1.0f fails, and the line under it repeats it" {
    mutant wrong.cu 1.0f 1.01f
    on_host --op silu --shape 83x1024 --kernel wrong.cu
    status_is 1
    has_line "FAIL  silu/83x1024/bf16   precise   wrong.cu:plain *"
    has_line "what      [0-9]* of 42496 past the bound; worst ?*, *?: got *, want *, * ulp*"
    has_line "the rest  *guards and inputs untouched"
    last_says "exit 1: a case failed"
    local repeat
    repeat=$(sed -n 's/^repeat *kbench //p' <<<"$output")
    # shellcheck disable=SC2086 - the words of the line
    kbench $repeat
    status_is 1
    has_line "FAIL  silu/83x1024/bf16 *"
}

@test "what was never written is told by rows, and failures are repeated last" {
    mutant tail.cu 'if (i >= n)' 'if (i >= n - 3 * hidden)'
    on_host --op silu --shape 83x1024,7x16 --kernel tail.cu
    status_is 1
    has_line "FAIL  silu/83x1024/bf16  tail.cu:plain  *-  *-"
    has_line "FAIL  silu/83x1024/bf16: rows 80..82 never written, 1536 of 42496 elements; the rest is right"
    has_line "      kbench --case silu/83x1024/bf16 --kernel tail.cu:plain --build precise --seed 1*"
    has_line "2 cases: 0 pass, 2 FAIL, *"
    last_says "exit 1: 2 rows failed"
}

@test "a write past the end fails by its guard zone" {
    mutant past.cu 'out[i] =' 'out[i + 1] ='
    on_host --op silu --shape 83x1024 --kernel past.cu
    status_is 1
    has_line "what      *past the end of out*"
}

@test "what does not compile is exit 5, with the user's line" {
    mutant no.cu expf expff
    on_host --op silu --shape 83x1024 --kernel no.cu
    status_is 5
    has_line "ERROR  silu/83x1024/bf16 *"
    has_line "what      compile: no.cu:1[0-9]:*"
    last_says "exit 5: a case did not build"
}

@test "a kernel that dies or never ends costs its case, and the run goes on" {
    mutant die.cu 'const T *row' 'if (hidden == 8) *(volatile int *)8 = 1; const T *row'
    on_host --op silu --shape 7x16,83x1024 --kernel die.cu
    status_is 6
    has_line "ERROR silu/7x16/bf16  *crash: *"
    has_line "PASS  silu/83x1024/bf16 *"
    last_says "exit 6: a case ended in a device error, crash or timeout"
    mutant hang.cu 'const T *row' 'for (volatile int k = 0; hidden == 8;) k = k; const T *row'
    on_host --op silu --shape 7x16,83x1024 --kernel hang.cu --timeout 3s
    status_is 6
    has_line "ERROR silu/7x16/bf16  *timeout: *"
    has_line "PASS  silu/83x1024/bf16 *"
}

@test "too little memory is a SKIP that says how much is needed" {
    on_host --op silu --shape 1024x2048 --mem-limit 1M
    status_is 3
    has_line "what      memory: needs *"
}

@test "--no-compile is exit 5 where something would have to compile" {
    mutant other.cu 1.0f 1.00f
    on_host --op silu --shape 7x16 --kernel other.cu --no-compile
    status_is 5
    has_line "what      *would have to compile*"
}

@test "-q shows failures and the summary alone" {
    on_host --op silu,gelu --shape 7x16 -q
    status_is 0
    [ "${#lines[@]}" -eq 1 ]
    has_line "2 cases: 2 pass, *"
}

@test "-v says which files were used" {
    on_host --op silu --shape 7x16 -v
    status_is 0
    says "note: kernels/activation.cu for silu: *"
    has_line "spent     build *, check *, *in all"
}

@test "--mode build builds and runs nothing" {
    on_host --op silu --shape 7x16,83x1024 --mode build
    status_is 0
    has_line "* | built, not run"
    has_line "PASS  silu/7x16/bf16 *"
}

@test "a seed that is not 1 is told, and limits stand in the repeat line" {
    on_host --op silu --shape 7x16 --seed random
    status_is 0
    says "note: seed *"
    on_host --op silu --shape 7x16 --mem-limit 1K --timeout 90s
    status_is 3
    has_line "what      memory: needs *, the limit is *"
    has_line "repeat *--timeout 90s --mem-limit 1024"
}

@test "a rule on the command line decides, and the repeat line carries it" {
    mutant near.cu 1.0f 1.001f
    on_host --op silu --shape 83x1024 --kernel near.cu
    status_is 1
    on_host --op silu --shape 83x1024 --kernel near.cu --tolerance peer
    status_is 0
    has_line "*0 of 42496 over*this rule decides"
    on_host --op silu --shape 83x1024 --kernel near.cu --tolerance 1e-6,0
    status_is 1
    has_line "repeat *--tolerance 1e-6,0"
}

@test "a rule that would let wrong outputs pass proves nothing, and names them" {
    on_host --op silu --shape 83x1024 --tolerance 1,1
    status_is 3
    has_line "MISTRUSTED  silu/83x1024/bf16 *"
    has_line 'what      "all zeros" and 4 others would pass: atol 1 is 1.[0-9] x rms(want)'
    has_line "impostors 5 of 8 wrong outputs would pass: all zeros, the mean of each row, *"
    last_says "exit 3: a case is mistrusted: its rule would let a wrong output pass"
    cat >wide.json <<'TEXT'
{ "schema": "kbench-cases/1",
  "groups": [ { "why": "a rule too wide for some", "ops": ["silu"], "dtypes": ["bf16"],
                "shapes": [[83, 1024]], "fills": ["normal", "outliers"],
                "tolerance": { "rule": "given", "atol": 4, "rtol": 0 } } ] }
TEXT
    on_host wide.json -o wide.json.out.json
    status_is 3
    [ "$(jq -c '[.count.mistrusted, .rows[0].reason_kind, .rows[0].impostors.let_through]' \
        wide.json.out.json)" = '[2,"impostor",["one wrong element"]]' ] || { seen; return 1; }
}

@test "a sample of rows is checked, told, and repeated" {
    on_host --op silu --shape 3000x64 --sample 100 -o r.json
    status_is 0
    has_line "sample    checked 100 of 3000 rows; of the others, that each launch leaves the same bits"
    jq -e '.rows[0] | .sample_rows == 100 and .outputs.out.checked == 3200 and
        .outputs.out.elements == 96000' r.json
    "$BATS_TEST_DIRNAME/check_report.py" "$top/reports/kbench-report-1.schema.json" r.json
    mutant all.cu 1.0f 1.01f
    on_host --op silu --shape 3000x64 --kernel all.cu --sample 100
    status_is 1
    has_line "what      * of 3200 checked past the bound*"
    has_line "repeat *--seed 1 --sample 100 *"
    on_host --op silu --shape 3000x64,64x64 --sample 100
    has_line "* | sample 100 rows | *"
    has_line "PASS  silu/3000x64/bf16 *  checked 100 of 3000 rows"
    has_no_line "PASS  silu/64x64/bf16 *checked*"
    on_host --op silu --shape 7x16 --sample 1
    status_is 4
    says 'kbench: error: --sample: "1" is no whole number from 2 to *'
}

@test "a group of a case file asks for a sample, and runs only by tag" {
    cat >big.json <<'TEXT'
{ "schema": "kbench-cases/1", "groups": [
    { "why": "small", "ops": ["silu"], "shapes": [[7, 16]], "tags": ["ci"] },
    { "why": "big", "ops": ["silu"], "shapes": [[300, 16]], "sample": 9,
      "tags": ["big"], "only_by_tag": true } ] }
TEXT
    on_host big.json --mode list
    [ "$output" = silu/7x16/bf16 ]
    on_host big.json --tag big
    status_is 0
    has_line "sample    checked 9 of 300 rows; *"
    on_host big.json --tag big --sample 20
    has_line "sample    checked 20 of 300 rows; *"
    on_host "$top/cases" --tag act.big_offset --mode list
    has_line silu/1048577x2048/bf16
    on_host "$top/cases" --mode list
    has_no_line "silu/1048577x2048/bf16"
}

@test "another seed gives other inputs and the same twice" {
    mutant wrong.cu 1.0f 1.01f
    on_host --op silu --shape 7x16 --kernel wrong.cu --seed 5
    local five=$output
    on_host --op silu --shape 7x16 --kernel wrong.cu --seed 5
    [ "$(grep worst <<<"$output")" = "$(grep worst <<<"$five")" ]
    on_host --op silu --shape 7x16 --kernel wrong.cu --seed 6
    [ "$(grep worst <<<"$output")" != "$(grep worst <<<"$five")" ]
    on_host --op silu --shape 7x16 --kernel wrong.cu --seed random
    [[ $output == *"--seed "[0-9]* ]]
}

@test "no line of a table is wider than COLUMNS" {
    for columns in 60 80 200; do
        COLUMNS=$columns on_host "$top/cases/activation.json" --match 'silu/3x34/bf16*' \
            --variant vec16
        status_is 3
        local line
        for line in "${lines[@]}"; do
            [ "${#line}" -le "$columns" ] || { echo "$columns: $line"; return 1; }
        done
    done
}

@test "colour is for terminals, and NO_COLOR and --color have their say" {
    on_host --op silu --shape 7x16
    [[ $output != *$'\033'* ]]
    on_host --op silu --shape 7x16 --color always
    [[ $output == $'\033'*PASS* ]]
    run script -qec "$bin --backend host --op silu --shape 7x16" /dev/null
    [[ $output == *$'\033[1;32mPASS'* ]]
    run env NO_COLOR=1 script -qec "$bin --backend host --op silu --shape 7x16" /dev/null
    [[ $output != *$'\033[1;32m'* ]]
}

@test "a terminal gets a progress line on standard error, and nobody else" {
    local line="$bin --backend host $top/cases/activation.json --op silu --tag smoke"
    run script -qec "$line --no-cache >/dev/null" /dev/null # what takes a moment has one
    [[ $output == *$'\r\033[K['*/*'] silu/'* ]] || { cat -v <<<"$output"; return 1; }
    run script -qec "$line -q >/dev/null" /dev/null
    [[ $output != *$'\033[K'* ]]
    run script -qec "$line 2>/dev/null" /dev/null
    [[ $output != *$'\033[K'* ]]
}

@test "standard output that goes away is exit 7" {
    status=0
    "$bin" --backend host --op silu --shape 7x16 >&- 2>err || status=$?
    [ "$status" -eq 7 ]
    tail -n 1 err | grep -q '^exit 7: standard output: cannot write: '
    status=0
    "$bin" --backend host --op silu,gelu --shape 7x16 >/dev/full 2>err || status=$?
    [ "$status" -eq 7 ]
    { "$bin" --backend host "$top/cases/activation.json" --tag smoke 2>err || echo $? >code; } |
        head -n 1
    [ "$(cat code)" -eq 7 ]
}

@test "the locale changes nothing" {
    on_host --op silu --shape 7x16 --format csv
    local plain_output=$output
    LC_ALL=de_DE.UTF-8 TZ=Asia/Tokyo on_host --op silu --shape 7x16 --format csv
    [ "$output" = "$plain_output" ]
}
