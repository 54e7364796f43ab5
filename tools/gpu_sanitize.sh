#!/bin/bash
# gpu_sanitize.sh - every kernel's smoke cases on a GPU under compute-sanitizer: memcheck, racecheck,
# synccheck and initcheck. Before a tool is believed it must flag the kernels in tools/gpu/sanitize/
# that are for it. Called by `make gpu-sanitize`; $TAG picks other cases; logs in $BUILD/gpu-sanitize/.
#
# Under compute-sanitizer kbench gives each tensor an allocation of its own, so that memcheck knows
# its ends, and leaves poisoned scratch unwritten, so that initcheck sees it read.
set -u
build=${BUILD:-build}
bin=${BIN:-./kbench}
tag=${TAG:-smoke}
logs=$build/gpu-sanitize
flagged=97 # what compute-sanitizer exits with when it found something
passed=0 failed=0

cuda=${CUDA_HOME:-/usr/local/cuda}
if ! sanitizer=$(command -v compute-sanitizer || command -v "$cuda/bin/compute-sanitizer" ||
    command -v "$cuda/compute-sanitizer/compute-sanitizer"); then
    echo "gpu-sanitize: no compute-sanitizer on PATH or in $cuda: it comes with the CUDA Toolkit" \
        "(cuda-sanitizer-13-0 among NVIDIA's Debian packages); set CUDA_HOME or PATH" >&2
    exit 6
fi
if ! devices=$("$bin" list devices 2>&1) || ! grep -qE '^device +[0-9]' <<<"$devices"; then
    printf '%s\n' "$devices" "gpu-sanitize: no GPU to run on" >&2
    exit 6
fi

# What a tool is to look at beyond its default, where this version of it can.
more_of() {
    case $1 in
    memcheck) echo --report-api-errors no ;; # kbench asks for what old drivers do not have
    initcheck)
        if grep -q -- --initcheck-address-space <<<"$help"; then
            echo --initcheck-address-space all
        fi
        ;;
    esac
}

# watch TOOL LOG ARG...: kbench and its workers under a tool. What kbench says goes to LOG.kbench.
watch() {
    local tool=$1 log=$2
    shift 2
    # shellcheck disable=SC2046 # options
    "$sanitizer" --tool "$tool" --target-processes all --error-exitcode $flagged \
        --check-exit-code no --print-limit 20 --num-callers-host 1 --log-file "$log" \
        $(more_of "$tool") "$bin" --backend cuda --mode check --variant all \
        --build 'lines=-std=c++17 -lineinfo' --timeout 300s --color never "$@" >"$log.kbench" 2>&1
}

# How many findings the log's summaries come to; nothing where it has none.
findings() {
    sed -nE 's/^=+ (ERROR|RACECHECK) SUMMARY: ([0-9]+) .*/\2/p' "$1" 2>/dev/null |
        awk '{ n += $1 } END { if (NR) print n }'
}

ok() { # NAME START
    passed=$((passed + 1))
    say ok "$1" "$2"
}
bad() { # NAME START LOG
    failed=$((failed + 1))
    say FAILED "$1" "$2"
    tail -n 40 "$3"
    grep -vE '^(PASS|SKIP) |^$' "$3.kbench" | tail -n 20
}
say() {
    awk -v word="$1" -v name="$2" -v from="$3" -v to="$EPOCHREALTIME" \
        'BEGIN { printf "%-7s %-66s %5.1f s\n", word, name, to - from }'
}

# The tool finds what the kernel does wrong, and where.
proof() {
    local tool=$1 file=$2 name start=$EPOCHREALTIME status expect
    name=$(basename "$file")
    local log=$logs/$tool-$name.log
    expect=$(sed -n 's,^// expect: ,,p' "$file")
    watch "$tool" "$log" --op silu --shape 7x16 --kernel "$file"
    status=$?
    if [ $status -eq $flagged ] && [ "$(findings "$log")" -gt 0 ] &&
        grep -qF -- "$expect" "$log" && grep -q " $name:[0-9]" "$log"; then
        ok "$tool flags $name: $expect" "$start"
    else
        bad "$tool does not flag $name (exit $status), wanted: $expect" "$start" "$log"
    fi
}

# It finds nothing in the kernels of the tool's own cases, which all pass.
suite() {
    local tool=$1 log=$logs/$1.log start=$EPOCHREALTIME status found
    watch "$tool" "$log" cases/ --tag "$tag"
    status=$?
    found=$(findings "$log")
    if [ $status -eq 0 ] && [ "${found:-none}" = 0 ]; then
        ok "$tool: $(sed -nE 's/^[0-9]+ case.*: ([0-9]+ pass).*/\1/p' "$log.kbench"), 0 findings" "$start"
    else
        bad "$tool: ${found:-no count of} findings, exit $status" "$start" "$log"
    fi
}

rm -rf "$logs"
mkdir -p "$logs"
help=$("$sanitizer" --help 2>&1)
"$sanitizer" --version | grep -i version
for tool in memcheck racecheck synccheck initcheck; do
    for file in tools/gpu/sanitize/*.cu; do
        if grep -qx "// tool: $tool" "$file"; then proof "$tool" "$file"; fi
    done
    suite "$tool"
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
