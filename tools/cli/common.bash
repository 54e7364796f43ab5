# common.bash - what the tests of the command line share: the binary, a folder of their own, and
# checks that show what they saw.

bats_require_minimum_version 1.5.0

top=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
bin=${BIN:-./kbench}
case $bin in /*) ;; *) bin=$top/$bin ;; esac
unset COLUMNS NO_COLOR CUDA_VISIBLE_DEVICES

setup() {
    [ -x "$bin" ] || { echo "$bin is not there: make it first"; return 1; }
    mkdir "$BATS_TEST_TMPDIR/here" # bats keeps files of its own beside it
    cd "$BATS_TEST_TMPDIR/here" || exit 1
}

# kbench ARG...: $status, $output (standard output), $stderr. Never a GPU: these tests are the
# same everywhere.
kbench() {
    run --separate-stderr timeout 120 "$bin" "$@"
}
on_host() {
    kbench --backend host "$@"
}

# For setup_file: a libcuda without a GPU in the folder $stub, and a cache that is the file's own.
stub_driver() {
    export KBENCH_CACHE=$BATS_FILE_TMPDIR/cache stub=$BATS_FILE_TMPDIR/driver
    mkdir -m 700 "$KBENCH_CACHE" "$stub"
    cc -shared -fPIC -D_GNU_SOURCE "-I${CUDA_HOME:-/usr/local/cuda}/include" -o "$stub/libcuda.so.1" "$top"/tools/stub/*.c
}

seen() {
    printf '%s\n' "--- status $status" "--- stdout" "$output" "--- stderr" "$stderr"
}
status_is() {
    [ "$status" -eq "$1" ] || { seen; echo "wanted status $1"; return 1; }
}
# A line of standard output or error, as a glob over the whole line.
has_line() { has "$output" "$1"; }
says() { has "$stderr" "$1"; }
has() {
    local line
    while IFS= read -r line; do
        # shellcheck disable=SC2053 - a glob
        [[ $line == $2 ]] && return 0
    done <<<"$1"
    seen
    echo "no line is: $2"
    return 1
}
has_no_line() {
    local line
    while IFS= read -r line; do
        # shellcheck disable=SC2053 - a glob
        [[ $line == $1 ]] || continue
        seen
        echo "a line is: $1"
        return 1
    done <<<"$output"
}
# finds_none ARG...: grep has nothing to find there. Not `! grep`, which no test fails by but at its end.
finds_none() {
    local found none=0
    found=$(grep "$@") || none=$?
    [ "$none" -eq 1 ] || { echo "grep $*: $none"; echo "$found"; return 1; }
}
last_says() {
    local last=${stderr##*$'\n'}
    # shellcheck disable=SC2053 - a glob
    [[ $last == $1 ]] || { seen; echo "the last line is not: $1"; return 1; }
}
# mutant FILE TEXT OTHER [TEXT OTHER]...: the stranger's kernel with texts of it replaced; one
# that it does not have is a failure, or the mutant would be none.
plain=$top/tools/cli/silu_plain.cu
mutant() {
    local file=$1 text
    text=$(<"$plain")
    shift
    while [ $# -gt 0 ]; do
        [[ $text == *"$1"* ]] || { echo "silu_plain.cu has no $1"; return 1; }
        text=${text/"$1"/"$2"}
        shift 2
    done
    printf '%s\n' "$text" >"$file"
}
# What a run leaves in its folder: these files and no other.
left_are() {
    [ "$(ls -A | tr '\n' ' ')" = "${*:+$* }" ] || { ls -lA; echo "wanted: $*"; return 1; }
}
