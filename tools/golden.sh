#!/bin/sh
# golden.sh check|rewrite - the table, variants side by side and the reports of small cases on the
# host against reports/golden/. The cases are named here, so that a change to cases/ is none to
# them. What differs between machines is masked: versions, times, hashes, and errors of fp32, which
# are those of the C library's functions.
set -eu
bin=${BIN:-./kbench}
golden=reports/golden
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

status=0
"$bin" --op silu,gelu_tanh --shape 0x1024,7x16,3x34 --dtype bf16,fp16,fp32 --fill normal,nan \
    --backend host -o "$work/r.xml" -o "$work/r.md" -o "$work/r.json" \
    >"$work/table" 2>"$work/err" || status=$?
if [ "$status" -ne 0 ]; then
    cat "$work/table" "$work/err"
    exit "$status"
fi

"$bin" --op silu,gelu_tanh --shape 7x16,83x1024 --variant scalar,vec16,chain --build precise \
    --backend host >"$work/pairs" 2>"$work/err" || status=$?
if [ "$status" -ne 0 ]; then
    cat "$work/pairs" "$work/err"
    exit "$status"
fi
sed -e '1s/^host, [0-9]* cores, [^|]* |/host, * |/' \
    -e '/^[0-9]* cases/s/[0-9.]* s$/* s/' "$work/pairs" >"$work/host.pairs"

sed -e '1s/^host, [0-9]* cores, [^|]* |/host, * |/' \
    -e '/^[0-9]* cases/s/[0-9.]* s$/* s/' \
    -e '/\/fp32/s/[0-9.]\{4,\} *[0-9.]\{4,\}$/* */' "$work/table" >"$work/host.table"

jq -c '
    def short: if type == "number" and . != 0
        then (. | fabs | log10 | floor) as $e | (. / pow(10; $e - 1) | round) * pow(10; $e - 1)
        else . end;
    def errors: ["err_over_bound", "ulp_max", "ulp_p99", "ulp_p50", "bias_ulp", "abs_max", "rel_max",
        "nmse", "want_rms"];
    def masked($fp32): reduce errors[] as $k
            (.; if has($k) then .[$k] |= (if $fp32 then "*" else short end) else . end)
        | if has("tolerance") then .tolerance.used |= (if $fp32 then "*" else short end) else . end
        | if $fp32 then del(.worst, .differing) else . end;
    (del(.rows) | .kbench = "*" | .started = "*" | .seconds = "*" | .host = "*"
        | .command |= map(if test("/r[.][a-z]+$") then "*" else . end) | .devices[] |= (.cores = "*" | .compiler = "*")),
    (.rows[] | del(.spent_ms)
        | .code |= (.source_hash = "*" | .code_hash = "*" | .build_key = "*" | .arch = "*"
            | .compile_ms = "*" | .load_ms = "*" | .cached = "*")
        | (.dtype == "fp32") as $fp32 | .outputs |= map_values(masked($fp32)))
    ' "$work/r.json" >"$work/host.report"

sed -e 's/ time="[0-9.]*"/ time="*"/; s/ timestamp="[^"]*"/ timestamp="*"/' \
    -e 's/\(<property .* value=\)".*"/\1"*"/' "$work/r.xml" >"$work/host.xml"
sed -e 's/^host; kbench .*/host; kbench */' \
    -e '/\/fp32/s/| [0-9.]\{4,\} | [0-9.]\{4,\} |$/| * | * |/' "$work/r.md" >"$work/host.md"

files='host.table host.pairs host.report host.xml host.md'
case ${1:-check} in
rewrite)
    for file in $files; do cp "$work/$file" "$golden/"; done
    ;;
check)
    for file in $files; do
        diff -u "$golden/$file" "$work/$file" || status=1
    done
    ;;
*)
    echo "golden.sh check|rewrite" >&2
    exit 2
    ;;
esac
exit "$status"
