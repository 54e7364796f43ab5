#!/usr/bin/env bats
# failure.bats - a kernel that is wrong: where, what is right, how small, what next; and random
# cases that find one.
load common.bash

# The stranger's kernel in vectors of 8: what is left of a row is nobody's.
vectors() {
    cat >"$1" <<'EOF'
/* kbench
{ "ops": ["silu"], "variants": { "vec8": {
    "entry": "silu_vec8<KB_T>", "grid": "tokens", "block": 64,
    "args": ["input", "out", "i32 hidden"] } } }
*/
template <class T>
__global__ void silu_vec8(const T *input, T *out, int hidden) {
    const T *row = input + (size_t)blockIdx.x * 2 * hidden;
    for (int c = threadIdx.x * 8; c + 8 <= hidden; c += blockDim.x * 8)
        for (int k = 0; k < 8; k++) {
            float x = (float)row[c + k], up = (float)row[hidden + c + k];
            out[(size_t)blockIdx.x * hidden + c + k] = (T)(x / (1.0f + expf(-x)) * up);
        }
}
EOF
}

@test "a tail that is not written is told by its columns, its arithmetic, a map and the smallest case" {
    vectors mine.cu
    on_host --op silu --shape 83x1000 --kernel mine.cu
    status_is 1
    has_line "FAIL  silu/83x1000/bf16   precise   mine.cu:vec8 *"
    has_line "what      332 of 41500 elements were never written: the poison is still in them"
    has_line "where     columns 496..499 of every row: 500 = 62 \* 8 + 4, the tail after the last full 8"
    has_line "the rest  right: 0.0* of bound, max 0.50 ulp over 41168 elements; guards and inputs untouched"
    has_line "smallest  1x18 fails (column 8 of 9), 1x16 passes; 1x2 fails as a whole"
    has_line "\[ 0, 496\]    7fb3 poison *"
    has_line "map       . right  + some wrong  # all wrong   (a cell is 17 rows x 10 columns)"
    has_line "row  0    .................................................+"
    has_line "    68    .................................................+   column 499"
    has_line "next      kbench --case silu/1x18/bf16 --kernel mine.cu:vec8 --backend host --sanitize address,undefined"
    has_line "repeat    kbench --case silu/83x1000/bf16 --kernel mine.cu:vec8 --build precise --seed 1 --backend host"
    last_says "exit 1: a case failed"
    local next
    next=$(sed -n 's/^next *kbench //p' <<<"$output")
    # shellcheck disable=SC2086 - the words of the line
    kbench $next
    status_is 1
    has_line "FAIL  silu/1x18/bf16 *"
    on_host --case silu/1x16/bf16 --kernel mine.cu
    status_is 0
}

@test "the row of a failure has where, the map and the smallest case, and follows the schema" {
    vectors mine.cu
    on_host --op silu --shape 83x1000 --kernel mine.cu -o r.json -o r.csv -o r.md
    status_is 1
    "$top/tools/cli/check_report.py" "$top/reports/kbench-report-1.schema.json" r.json
    run jq -r '.rows[0] | .outputs.out.local as $l
        | [$l.pattern, $l.where, $l.named, $l.inside, $l.right, ($l.map.lines | length),
           .smallest.case, .smallest.passes, .smallest.where] | @tsv' r.json
    [ "$output" = $'columns\tcolumns 496..499 of every row\t332\t332\t41168\t5\tsilu/1x18/bf16\tsilu/1x16/bf16\tcolumn 8 of 9' ] || { echo "$output"; return 1; }
    grep -q ',columns 496..499 of every row,,,silu/1x18/bf16,kbench --case' r.csv
    grep -q 'columns 496..499 of every row never written, 332 of 41500 elements' r.md
    grep -q 'smallest: 1x18 fails (column 8 of 9), 1x16 passes' r.md
}

@test "a wrong lane, a shifted row and a property of the input are told by name" {
    mutant lane.cu '1.0f + expf(-x)' '1.0f + expf(-x) * (i % hidden % 32 == 17 ? 1.5f : 1.0f)'
    on_host --op silu --shape 83x1000 --kernel lane.cu
    has_line "where     columns 17, 49, 81, ... of every row: column mod 32 = 17"
    has_line "smallest  1x36 fails (column 17 of 18), 1x34 passes"
    mutant shift.cu 'out[i] =' 'out[(i + hidden) % n] ='
    on_host --op silu --shape 83x1000 --kernel shift.cu
    has_line "*each of [0-9]* looked at holds what belongs to the row before"
    mutant sign.cu 'x / (1.0f' 'x * (x < -1 ? 1.1f : 1.0f) / (1.0f'
    on_host --op silu --shape 83x1000 --dtype fp32 --kernel sign.cu
    has_line "where     scattered, all of them, and no others, where gate < -1"
}

@test "a crash and a hang of a smaller case cost the smallest line, not the verdict" {
    mutant die.cu 'out[i] =' 'if (n < 1000) *(volatile int *)nullptr = 1; out[i] = i % hidden == 3 ? (T)7.0f :'
    on_host --op silu --shape 83x64 --kernel die.cu
    status_is 1
    has_line "where     column 3 of every row"
    has_line "smallest  * fails (*"
    mutant hang.cu 'out[i] =' 'while (n < 1000) { __syncwarp(); } out[i] = i % hidden == 3 ? (T)7.0f :'
    local start=$SECONDS
    on_host --op silu --shape 83x64 --kernel hang.cu
    status_is 1
    has_line "where     column 3 of every row"
    last_says "exit 1: a case failed"
    [ $((SECONDS - start)) -lt 30 ]
}

@test "random cases around one find its fault, and the first are made smaller" {
    vectors mine.cu
    on_host --op silu --shape 64x64 --set round=once,layout=gate_up,clamp=0,filter=none,step=1,skip=0.4,num_valid=-1,inplace=no,in_pitch=0,out_pitch=0 --kernel mine.cu --fuzz 25 --fill normal -o r.json
    status_is 1
    has_line "* | 25 random cases of each op | *"
    has_line "25 cases: *"
    has_line "      smallest: *"
    run jq -r '[.rows[].origin] | unique | join(" ")' r.json
    [ "$output" = --fuzz ]
    run jq -r '[.rows[] | select(.smallest)] | length' r.json
    [ "$output" -ge 1 ] && [ "$output" -le 3 ]
}

@test "random cases of the tool's own kernels pass, the same ones for the same seed" {
    on_host --op silu --shape 83x1024 --fuzz 12 --mode list
    status_is 0
    local first=$output
    [ "$(wc -l <<<"$first")" -eq 12 ]
    on_host --op silu --shape 83x1024 --fuzz 12 --mode list
    [ "$output" = "$first" ]
    on_host --op silu --shape 83x1024 --fuzz 12 --mode list --seed 2
    [ "$output" != "$first" ]
    on_host --op silu --shape 16x64 --fuzz 12
    status_is 0
    has_line "12 cases: 12 pass, 0 fail, *"
}

@test "all fills are each that the op has, and stand alone" {
    on_host --op silu,stream --shape 4x16 --fill all --mode list
    status_is 0
    has_line silu/4x16/bf16
    has_line silu/4x16/bf16/fill=nan
    has_line stream/4x16/bf16
    [ "$(grep -c ^stream <<<"$output")" -eq 3 ]
    on_host --op silu --shape 4x16 --fill all,nan --mode list
    status_is 4
    says "kbench: error: --fill: all stands alone"
}

@test "a kernel that does not compile is told once, with how many others it is the same in" {
    vectors bad.cu
    sed -i 's/ up)/ uup)/; s/\* up)/* uup)/' bad.cu
    on_host --op silu --shape 7x16,83x1024,2x2 --kernel bad.cu -o r.md -o r.html
    status_is 5
    has_line "       the same in 2 others"
    [ "$(grep -c '^ERROR  silu/.*: compile: ' <<<"$output")" = 1 ] || { echo "$output"; return 1; }
    [ "$(grep -c 'kbench --case' <<<"$output")" = 1 ] || { echo "$output"; return 1; }
    [ "$(grep -c 'the same in 2 others' r.md)" = 1 ]
    [ "$(grep -c '^the same  in 2 others' r.html)" = 1 ]
}
