#!/usr/bin/env bats
# words.bats - help, version, lists, and what is said of command lines that are wrong.

load common

@test "--version names what was built, and nothing of this machine" {
    kbench --version
    status_is 0
    has_line "kbench [0-9]*.[0-9]*.[0-9]* [0-9a-f]*"
    has_line "built with *, CUDA headers [0-9]*.[0-9]*, cJSON 1.*"
    [ "${#lines[@]}" -eq 2 ]
    [ -z "$stderr" ]
}

@test "--version comes in 5 ms" {
    local best=1000000 start us
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        start=${EPOCHREALTIME/./}
        "$bin" --version >/dev/null
        us=$((${EPOCHREALTIME/./} - start))
        [ "$us" -lt "$best" ] && best=$us
    done
    echo "$best us"
    [ "$best" -lt 5000 ]
}

@test "--help shows every group, and nothing that is not there" {
    kbench --help
    status_is 0
    for group in cases where what check time run report compare; do
        has_line "$group *"
    done
    has_line "commands run (the default)  list  diff  gate  merge  selftest  help"
    for later in resume shard; do
        [[ $output != *$later* ]] || { echo "$later is not there yet"; return 1; }
    done
    for ((i = 0; i < ${#lines[@]}; i++)); do
        [ "${#lines[i]}" -le 92 ] || { echo "too wide: ${lines[i]}"; return 1; }
    done
}

@test "-h and help without a topic are --help" {
    kbench --help
    local help=$output
    kbench -h
    [ "$output" = "$help" ]
    kbench help
    [ "$output" = "$help" ]
}

@test "each topic of help has something to say" {
    for topic in run list help cases kernels code methods verdicts reports exit silu gelu gelu_tanh; do
        kbench help "$topic"
        status_is 0
        [ "${#lines[@]}" -ge 4 ] || { seen; return 1; }
    done
    kbench help verdicts
    has_line "  unwritten *exit 1?"
    kbench help exit
    has_line "  6 *device*"
    kbench help silu
    has_line "shape     TOKENSx2?HIDDEN*"
    has_line "fills     normal (default)*"
}

@test "help kernels is enough to write a kernel: its example is right, and no field is missing" {
    local field
    kbench help kernels
    sed -n '/^  \/\* kbench/,/^  }$/s/^  //p' <<<"$output" >own.cu
    for field in $(sed -n '/^## The file/,/^## Arguments/s/^| \(`[^|]*\).*/\1/p' "$top/kernels/README.md" |
        grep -oE '[a-z]+'); do
        has_line "*[ ,]$field[ ,.]*"
    done
    on_host --op silu --shape 83x1000 --dtype bf16,fp16,fp32 --kernel own.cu
    status_is 0
    has_line "3 cases: 3 pass, *"
    on_host --op silu --shape 83x1000 --set layout=up_gate --kernel own.cu
    status_is 3
    has_line "what *layout == gate_up*"
}

@test "help reports names fields that a report has" {
    local field
    kbench help reports
    has_line "  html *"
    for field in $(sed '1,/^for scripts/d' <<<"$output" | grep -oE '[a-z0-9]+(_[a-z0-9]+)+'); do
        grep -q "\"$field\"" "$top/reports/kbench-report-1.schema.json" || { echo "no $field"; return 1; }
    done
    on_host --kernel "$plain" --op silu --shape 7x16,83x1024 -o r.json
    jq -e '.rows[0] | .case and .verdict and .reason_kind == null and .device and .build and .variant' r.json
    jq -e '.count.pass == 2 and .devices[0].id == "host" and .builds.precise and .complete' r.json
}

@test "an unknown topic suggests the near one" {
    kbench help verdict
    status_is 4
    says 'kbench: error: unknown topic "verdict", did you mean "verdicts"?'
    last_says "exit 4: 1 error, nothing was run"
}

@test "list shows ops with their shapes, dtypes, variants and cases, and what else is there" {
    kbench list
    status_is 0
    has_line "op  *--shape  *dtypes  *variants  *cases"
    has_line "silu  *TOKENSx2?HIDDEN  *bf16 fp16 fp32  *vec16 *scalar*  [0-9]*"
    has_line "device host *cores, *"
    has_line "builds  *precise (default)  fast-math  auto  aot  aot-fast-math  NAME=FLAGS"
    has_line "tags  *smoke [0-9]*"
    has_line "* kimi-k2.5 [0-9]*" # a model: its dot is no trap's
    has_line "kbench help OP: *"
}

@test "list counts every tag that the case files have" {
    local tags others
    tags=$(jq -r '.groups[].tags[]?' "$top"/cases/*.json | sort -u)
    kbench list
    others=$(sed -n 's/.*and \([0-9]*\) others: .*/\1/p' <<<"$output")
    [ "$others" -eq "$(grep -c '[.][a-zA-Z]' <<<"$tags")" ] || { seen; return 1; }
    for tag in $(grep -v '[.][a-zA-Z]' <<<"$tags"); do
        [[ $output == *" $tag "[0-9]* ]] || { echo "no $tag"; return 1; }
    done
}

# fits WIDTH: no line of what was printed is longer.
fits() {
    local line
    while IFS= read -r line; do
        [ "${#line}" -le "$1" ] || { echo "too wide for $1: $line"; return 1; }
    done <<<"$output"
}

@test "no line of help or list is longer than the terminal; a pipe has all variants" {
    local width words
    for width in 60 72 80 100; do
        for words in --help list "list builds" "list devices" "list ops" "help run" "help gate" \
            "help diff" "help cases" "help kernels" "help reports" "list variants" "help methods" "help code" "help silu" "help mla_prefill"; do
            # shellcheck disable=SC2086 - words
            COLUMNS=$width kbench $words
            status_is 0
            fits "$width"
        done
    done
    COLUMNS=100 kbench list
    has_line "silu  *TOKENSx2?HIDDEN  *bf16 fp16 fp32  *tiny small vec16 +[0-9]* *[0-9][0-9]*"
    COLUMNS=80 kbench list ops
    has_line "silu  *TOKENSx2?HIDDEN  *bf16 fp16 fp32  *[0-9][0-9]*"
    COLUMNS=60 kbench list ops
    has_line "silu  *TOKENSx2?HIDDEN  *[0-9][0-9]*"
    kbench list ops
    has_line "silu  *tiny small vec16 vec32 *chain  *[0-9]*"
}

@test "list ops, variants, builds and cases" {
    kbench list ops
    status_is 0
    has_line "gelu_tanh *"
    kbench list variants
    has_line "kernels/activation.cu (*), for silu gelu gelu_tanh"
    has_line "  vec16 *"
    COLUMNS=80 kbench list variants --op silu
    has_line "  vec16         all dtypes        one 16-byte vector per thread"
    has_line "                                  when hidden ?*"
    has_line "                                  in_stride ?*" # what does not fit goes on below it
    kbench list builds
    has_line "fast-math *--use_fast_math"
    kbench list cases
    status_is 0
    has_line "silu/83x1024/bf16"
    kbench list cases --op gelu --dtype fp16
    has_line "gelu/83x1024/fp16"
    has_no_line "silu*"
    has_no_line "*/bf16*"
}

@test "list devices says what is missing" {
    kbench list devices
    status_is 0
    has_line "device host *"
    [[ $output == *"device 0 "* || $output == *"missing "* ]] || { seen; return 1; }
}

@test "an unknown list suggests the near one" {
    kbench list device
    status_is 4
    says '*unknown list "device", did you mean "devices"?'
}

@test "every error of a command line is told at once" {
    kbench --op slu --shape 83x1023x --dtype bf17 --timeout 5 --mode bnch -o x.txt
    status_is 4
    says 'kbench: error: --op: unknown op "slu", did you mean "silu"?'
    says 'kbench: error: --shape: *'
    says 'kbench: error: --dtype: unknown dtype "bf17", did you mean "bf16"?'
    says 'kbench: error: --timeout: "5" is no time, wanted one such as 60s or 500ms'
    says 'kbench: error: --mode: unknown mode "bnch", did you mean "bench"?'
    says 'kbench: error: -o: x.txt: unknown extension "txt"*json*'
    last_says "exit 4: 6 errors, nothing was run"
    left_are
}

@test "what comes in a later version says so" {
    for line in "new op" "cache gc" "--op silu --shape 7x16 --resume"; do
        # shellcheck disable=SC2086 - words
        kbench $line
        status_is 4
        says "*not in this version*"
        last_says "exit 4: * nothing was run"
    done
}

@test "nothing asked for is exit 4" {
    kbench
    status_is 4
    last_says "exit 4: no case selected: *--help*"
    [ -z "$output" ]
}

@test "a bad case file is told with line, column and path" {
    cat >mine.json <<'TEXT'
{ "schema": "kbench-cases/1",
  "groups": [
    { "why": "x",
      "dtypes": ["bf16"],
      "ops": ["gelutanh"],
      "shapes": [[7, 16], [83, 1023]],
      "tolerance": { "rule": "peer", "atol": 1e-2, "rtoll": 1e-2 } } ] }
TEXT
    kbench mine.json
    status_is 4
    says 'mine.json:5:*: error: groups?0?.ops: unknown op "gelutanh", did you mean "gelu_tanh"?'
    says 'mine.json:6:*: error: groups?0?.shapes?1?: *1023*'
    says 'mine.json:7:*: error: groups?0?.tolerance*rtoll*did you mean "rtol"?'
    last_says "exit 4: 3 errors, nothing was run"
}

@test "a case file that is not there, or is no file, is exit 4 at once" {
    mkfifo pipe.json
    for file in none.json pipe.json; do
        kbench "$file"
        status_is 4
        says "$file: error: *"
    done
}

@test "nothing selected names near ids" {
    kbench "$top/cases/activation.json" --op silu --shape 83x1025
    status_is 4
    says "*no case selected*near: silu/83x1024/bf16*"
}

@test "asking for a GPU that is not there is exit 6 and one line" {
    for line in "--backend cuda" "--mode bench" "--device 97"; do
        # shellcheck disable=SC2086 - words
        CUDA_VISIBLE_DEVICES='' kbench --op silu --shape 7x16 $line
        status_is 6
        [ "$(wc -l <<<"$stderr")" -eq 1 ] || { seen; return 1; }
        last_says "exit 6: *; *kbench list devices says what is missing"
        [ -z "$output" ]
    done
    for line in "--mode bench" "--method cold" "--energy" "--samples s.csv" "--mode bench --device all"; do
        # shellcheck disable=SC2086 - words
        CUDA_VISIBLE_DEVICES='' kbench --op silu --shape 7x16 $line
        status_is 6
        last_says "exit 6: *; times come from a GPU alone: --mode check needs none, *"
    done
    CUDA_VISIBLE_DEVICES='' kbench --op silu --shape 7x16 --mode check
    status_is 0
}

@test "what a kernel file lacks is told before anything is built" {
    printf '// nothing here\n' >empty.cu
    kbench --op silu --shape 7x16 --kernel empty.cu
    status_is 4
    says "empty.cu*error: *"
    kbench --op gelu --shape 7x16 --kernel "$top/tools/cli/silu_plain.cu"
    status_is 4
    says "kbench: error: --kernel: *silu_plain.cu is for silu, not for gelu"
    kbench --op silu --shape 7x16 --variant vec17
    status_is 4
    says 'kbench: error: --variant: unknown variant "vec17", did you mean "vec16"?'
}

@test "a closed or full standard output is exit 7" {
    status=0
    "$bin" --help >&- 2>err || status=$?
    [ "$status" -eq 7 ]
    grep -q '^exit 7: standard output: cannot write: ' err
    status=0
    "$bin" list ops >/dev/full 2>err || status=$?
    [ "$status" -eq 7 ]
}

@test "words that are no case file say what they could have been" {
    kbench version
    status_is 4
    says "kbench: error: version: no such file, folder or command; *"
    kbench "$top/tools/cli/silu_plain.cu"
    status_is 4
    says "kbench: error: *silu_plain.cu: is no case file; a kernel goes after --kernel"
    last_says "exit 4: 1 error, nothing was run"
    kbench silu --shape 7x16
    says "kbench: error: silu: is no case file; an op goes after --op"
    kbench silu/7x16/bf16
    status_is 4
    says "kbench: error: silu/7x16/bf16: is no case file; an id goes after --case"
    cp "$top/cases/activation.json" silu # a file of that name is one
    kbench silu --mode list --match silu/7x16/bf16
    status_is 0
    cd /
    kbench cases --mode list --match 'silu/7x16/bf16'
    status_is 0
    has_line "silu/7x16/bf16"
}

@test "list ops takes --op as a choice, and knows a wrong one" {
    kbench list ops --op gelu
    status_is 0
    has_line "gelu *"
    [ "$(wc -l <<<"$output")" -eq 2 ]
    kbench list --op gleu
    status_is 4
    says 'kbench: error: --op: unknown op "gleu", did you mean "gelu"?'
}
