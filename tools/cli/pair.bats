#!/usr/bin/env bats
# Variants and builds side by side: what is shown, what reports say, what a bad one costs.

load common

# Two variants of one kernel, the second with a fault of its own.
two() { # FAULT: what element i of the second becomes
    cat >two.cu <<TEXT
/* kbench
{ "ops": ["silu"], "dtypes": ["bf16"],
  "args": ["input", "out", "i64 tokens * hidden", "i32 hidden"],
  "grid": "ceil_div(tokens * hidden, 256)", "block": 256,
  "variants": { "good": { "entry": "silu<KB_T, 0>" },
                "other": { "entry": "silu<KB_T, 1>" } } }
*/
template <class T, int kOther>
__global__ void silu(const T *input, T *out, long long n, int hidden) {
    long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n)
        return;
    const T *row = input + i / hidden * 2 * hidden;
    float x = (float)row[i % hidden], y = x / (1.0f + expf(-x)) * (float)row[hidden + i % hidden];
    if (kOther) { $1 }
    out[i] = (T)y;
}
TEXT
}

@test "variants stand side by side, and the report says what each is beside the first" {
    two "y = y * (i == 5 ? 1.0078125f : 1.0f);"
    on_host --kernel two.cu --op silu --shape 7x16,83x1024 --variant good,other --tolerance peer \
        -o r.json -o r.csv -o r.md
    status_is 0
    has_line "host, * | bf16 | kernel two.cu | tolerance peer | checked, not timed"
    has_line "A good"
    has_line "B other"
    has_line "                      err/bound A      B  max ulp A       B  bits differ"
    has_line "PASS    silu/7x16            0.0[0-9]   [0-9]*   1.79 %"
    has_line "PASS    silu/83x1024         0.0[0-9]   [0-9]*  <0.01 %"
    has_line "B against A: silu has other bits in 2 of 2"
    has_line "2 cases x 2 variants: 4 pass, *"
    jq -e '[.rows[].variant] == ["good", "other", "good", "other"] and
        ([.rows[] | has("against")] == [false, true, false, true]) and
        (.rows[1].against | .build == "precise" and .variant == "good" and .elements == 56 and
            .differing == 1 and (has("times") | not))' r.json || { seen; return 1; }
    "$BATS_TEST_DIRNAME/check_report.py" "$top/reports/kbench-report-1.schema.json" r.json
    head -n 1 r.csv | grep -q ',against_build,against_variant,same_code,bits_differ,graph_ratio,'
    sed -n 3p r.csv | grep -q ',precise,good,0\{0,1\},1,'
    grep -qF '| bits differ |' r.md
    grep -qF '| PASS | silu/7x16/bf16 | two.cu:other |' r.md
    grep -qF ' 1.79 % |' r.md
}

@test "a variant that is wrong fails alone, with its bits, and is told again at the end" {
    two "y = i % 8 == 3 ? y + 1.0f : y;"
    on_host --kernel two.cu --op silu --shape 83x1024 --variant good,other
    status_is 1
    has_line "B FAIL  silu/83x1024         0.02 *  12.5 %"
    has_line "FAIL  silu/83x1024/bf16, two.cu:other: *"
    has_line "      kbench --case silu/83x1024/bf16 --kernel two.cu:other --build precise --seed 1 *"
    has_line "B against A: silu wrong in 1 of 1"
    last_says "exit 1: a case failed"
}

@test "one that dies costs its own row" {
    two "if (i == 9) *(volatile int *)8 = 1;"
    on_host --kernel two.cu --op silu --shape 7x16,3x34 --variant good,other -o r.json
    status_is 6
    has_line "B ERROR  silu/7x16  crash: *"
    has_line "B ERROR  silu/3x34  crash: *"
    [ "$(jq -c '.count | [.pass, .error]' r.json)" = '[2,2]' ] || { seen; return 1; }
}

@test "one that never ends costs its own row, and its neighbour is run all the same" {
    two "for (volatile int k = 0; i == 0;) k = k;"
    on_host --kernel two.cu --op silu --shape 7x16 --variant good,other --timeout 2s -o r.json
    status_is 6
    has_line "B ERROR  silu/7x16  timeout: *"
    jq -e '.rows[0].verdict == "PASS" and .rows[1].reason_kind == "timeout"' r.json
}

@test "a signal ends a case that is side by side at once" {
    two "for (volatile int k = 0; i == 0;) k = k;"
    local started=$SECONDS code=0
    "$bin" --backend host --kernel two.cu --op silu --shape 7x16,3x34 --variant good,other \
        >out 2>err &
    local pid=$!
    sleep 4
    kill -TERM $pid
    wait $pid || code=$?
    [ "$code" -eq 143 ] || { cat out err; echo "exit $code"; return 1; }
    [ $((SECONDS - started)) -lt 15 ]
    tail -n 1 err | grep -q '^exit 143: SIGTERM after 0 of 4 rows' || { cat err; return 1; }
}

@test "builds that the host does not have are SKIP, with the reason" {
    COLUMNS=120 on_host --op silu --shape 83x1024,7x16 --build precise,fast-math,mine=-DMINE=1
    status_is 0
    has_line "A precise     -std=c++17"
    has_line "B fast-math   -std=c++17 --use_fast_math"
    has_line "C mine        -std=c++17 -DMINE=1"
    has_line "B SKIP  silu/83x1024  B  build fast-math: builds other than precise exist on a GPU only"
    has_line "C SKIP  silu/7x16     C  build mine: *"
    has_line "2 cases x 3 builds: 2 pass, 0 fail, 0 mistrusted, 4 skip, 0 error *"
}

@test "ids show the dtype where cases differ in it" {
    on_host --op silu --shape 7x16 --dtype bf16,fp32 --variant scalar,vec16
    has_line "A scalar"
    has_line "* silu/7x16/bf16 *"
    has_line "* silu/7x16/fp32 *"
}

@test "a column that is asked for, or an order, is the table's" {
    on_host --op silu --shape 7x16 --variant scalar,vec16 --columns error
    has_line "PASS  silu/7x16/bf16 *"
    has_no_line "A scalar"
}

@test "-q leaves the sums" {
    on_host --op silu --shape 83x1024 --variant vec16,scalar -q
    status_is 0
    [ "$output" = "B against A: silu has the same bits
1 case x 2 variants: 2 pass, 0 fail, 0 mistrusted, 0 skip, 0 error${output##* error}" ] ||
        { seen; return 1; }
}

@test "no line is wider than COLUMNS" {
    for columns in 72 80 200; do
        COLUMNS=$columns on_host --op gelu_tanh --shape 83x1024,3x34 --variant vec16,scalar
        local line
        for line in "${lines[@]}"; do
            [ "${#line}" -le "$columns" ] || { echo "$columns: $line"; return 1; }
        done
    done
}

@test "more builds and variants of a case than are compared at once are refused" {
    local builds=precise
    for i in $(seq 30); do builds+=,b$i=-DX=$i; done
    on_host --op silu --shape 7x16 --build "$builds" --variant vec16,scalar,tiny
    status_is 4
    says "kbench: error: --build: 93 builds and variants of a case, at most 64"
}

@test "an A that is skipped says why on a line of its own, beside more than one other" {
    two "y = y + 0.0f;"
    sed -i 's/"good": {/"gpu": { "entry": "silu<KB_T, 0>", "backends": ["cuda"] }, "good": {/' two.cu
    on_host --kernel two.cu --op silu --shape 83x1024 --variant all
    status_is 0
    has_line "SKIP    silu/83x1024  A  gpu: its \`backends\` are cuda, not host"
    has_line "PASS    silu/83x1024  B * - *"
    has_line "1 case x 3 variants: 2 pass, *1 skip*"
}
