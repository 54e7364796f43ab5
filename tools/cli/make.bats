#!/usr/bin/env bats
# make.bats - what make builds again and what it leaves, with a compiler that only notes what it
# was asked for; and what it says where the CUDA Toolkit is not there.

load common
bats_require_minimum_version 1.5.0

setup_file() {
    export HEADERS=$BATS_FILE_TMPDIR/headers
    cd "$BATS_TEST_DIRNAME/../.." || exit 1
    note_headers
}

# A copy of the tree as it is, but for what fuzzers found; a CUDA Toolkit of one header, and the compiler.
setup() {
    top=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
    unset MAKEFLAGS MFLAGS MAKELEVEL BUILD BIN CFLAGS CPPFLAGS LDFLAGS LDLIBS CUDA_HOME
    mkdir -p "$BATS_TEST_TMPDIR/tree" "$BATS_TEST_TMPDIR/cuda/include"
    cd "$BATS_TEST_TMPDIR/tree" || exit 1
    tar -C "$top" -c --exclude=tools/fuzz/corpus Makefile src kernels cases tools | tar -xm
    echo '#define CUDA_VERSION 13000' >../cuda/include/cuda.h
    export CC=$BATS_TEST_TMPDIR/cc CUDA_HOME=$BATS_TEST_TMPDIR/cuda asked=$BATS_TEST_TMPDIR/asked
    cat >"$CC" <<'SH'
#!/bin/sh
# Writes what -o names, and for -MMD the headers of ours that the source includes, as gcc would;
# notes what was made.
[ "$1" != --version ] || { echo "${VERSION_OF_CC:-notes 1.0}"; exit; }
all=$* deps= mmd= headers=
while [ $# -gt 0 ]; do
    case $1 in
    -o) out=$2 ;;
    -MF) deps=$2 ;;
    -MMD) mmd=1 ;;
    src/*.c | tools/*.c) source=$1 ;;
    esac
    shift
done
if [ -n "$mmd" ]; then
    read -r headers <"$HEADERS/$source"
    { echo "$out: $source $headers"; for h in $headers; do echo "$h:"; done; } >"${deps:-${out%.o}.d}"
fi
echo "$out" >>"$asked"
echo "$all" >"$out"
SH
    chmod +x "$CC"
    : >"$asked"
}

# For each source the headers of ours that it includes, through one another.
note_headers() {
    local file
    for file in src/main.c src/*/*.c tools/*.c; do
        mkdir -p "$HEADERS/$(dirname "$file")"
    done
    awk '
        FNR == 1 { n = split(FILENAME, part, "/"); folder = FILENAME; sub("[^/]*$", "", folder) }
        /^# *include "/ {
            split($0, q, "\"")
            own = folder q[2]; public = "src/" q[2]
            to = own in known ? own : public in known ? public : ""
            if (to != "") includes[FILENAME] = includes[FILENAME] " " to
        }
        BEGIN { for (i = 1; i < ARGC; i++) known[ARGV[i]] = 1 }
        function walk(file, seen,   i, n, to) {
            n = split(includes[file], to, " ")
            for (i = 1; i <= n; i++)
                if (!(to[i] in seen)) { seen[to[i]] = 1; walk(to[i], seen) }
        }
        END {
            for (file in known) {
                if (file !~ /\.c$/) continue
                delete seen; seen[file] = 0; walk(file, seen); delete seen[file]
                out = ENVIRON["HEADERS"] "/" file
                printf "" >out
                for (h in seen) printf "%s ", h >out
                print "" >out
                close(out)
            }
        }' src/main.c src/*.h src/*/*.[ch] tools/*.c
}

made() { # what was made since the last time, sorted
    sort -u "$asked"
    : >"$asked"
}
made_is() {
    local got want
    got=$(made)
    want=$(printf '%s\n' "$@" | sort)
    [ "$got" = "$want" ] || { printf 'made:\n%s\nwanted:\n%s\n' "$got" "$want"; return 1; }
}
# A tree of two layers, where it does not matter how many there are.
small() {
    find src -mindepth 1 -maxdepth 1 -type d ! -name base ! -name cli -exec rm -r {} +
}
# Everything that is compiled of a header, as the sources say.
objects_with() {
    (cd "$HEADERS" && grep -lE "(^| )$1 " src/main.c src/*/*.c) | grep -v _test.c |
        sed 's,^src/,build/obj/,; s,c$,o,'
}

@test "a clean build by eight, and a second that does nothing" {
    make -j8
    [ "$(made | wc -l)" -eq "$(($(ls src/*/*.c | grep -vc _test.c) + 3))" ] # main, assets, kbench
    run make
    [ -z "$output" ] || { echo "$output"; return 1; }
    made_is ''
}

@test "a header that changed builds what includes it, and nothing else" {
    make -j4
    made >/dev/null
    touch src/report.h
    make -j4
    # shellcheck disable=SC2046 # a list
    made_is $(objects_with src/report.h) kbench
    touch src/cli/terminal.h
    make -j4
    # shellcheck disable=SC2046 # a list
    made_is $(objects_with src/cli/terminal.h) kbench
    [ $((8 * $(objects_with src/cli/terminal.h | wc -l))) -lt "$(objects_with src/base.h | wc -l)" ]
}

@test "other flags, another compiler, another Toolkit: everything is built again" {
    small
    local all
    make -j4
    all=$(made)
    for choice in SAN=address OPT=-O0 CFLAGS=-DX LDFLAGS=-static CPPFLAGS=-DY; do
        make -j4 "$choice"
        # shellcheck disable=SC2086 # a list
        made_is $all
        make -j4 "$choice"
        made_is ''
    done
    cp "$CC" "$CC"-2
    make -j4 CC="$CC"-2
    # shellcheck disable=SC2086 # a list
    made_is $all
    VERSION_OF_CC='notes 2.0' make -j4 CC="$CC"-2
    # shellcheck disable=SC2086 # a list
    made_is $all
    cp -r ../cuda ../cuda-2
    VERSION_OF_CC='notes 2.0' make -j4 CC="$CC"-2 CUDA_HOME="$BATS_TEST_TMPDIR/cuda-2"
    # shellcheck disable=SC2086 # a list
    made_is $all
}

@test "flags of the environment mean the same below check as above it" {
    small
    CFLAGS=-DX make -j4
    made >/dev/null
    CFLAGS=-DX make -s --eval 'again: ; @$(MAKE) all' again
    made_is ''
    grep -q -- '-std=c11.*-DX' build/obj/main.o
}

@test "a kernel or case file that changed, came or went is embedded anew" {
    small
    make -j4
    made >/dev/null
    touch kernels/stream.cu
    make
    made_is build/obj/assets.o kbench
    echo '{}' >cases/more.json
    make
    made_is build/obj/assets.o kbench
    grep -q cases/more.json build/gen/assets.c
    rm cases/more.json kernels/timer.cu
    make
    made_is build/obj/assets.o kbench
    run -1 grep 'more.json\|timer.cu' build/gen/assets.c
    touch cases/README.md
    make
    made_is ''
}

@test "a source that went leaves the library" {
    small
    make -j4
    made >/dev/null
    ar t build/libkb.a | grep -qx values.o
    rm src/cli/values.c
    make
    made_is kbench
    [[ $(ar t build/libkb.a) != *values.o* ]]
}

@test "two folders hold two builds" {
    small
    make -j4
    made >/dev/null
    make -j4 BUILD=build/two CC="$CC" SAN=address
    run -1 grep -v '^build/two/' "$asked"
    grep -qx build/two/kbench "$asked"
    made >/dev/null
    make
    made_is ''
}

@test "without a CUDA Toolkit each target that needs it says so, and makes nothing" {
    for target in all run check bench gpu gpu-baseline nvrtc asan golden dist install unit build/obj/main.o; do
        CUDA_HOME=$BATS_TEST_TMPDIR/none run -2 make -j2 "$target"
        [[ $output == *"CUDA Toolkit not found: set CUDA_HOME to its folder"* ]] ||
            { echo "$target: $output"; return 1; }
        [[ $output == *"looked for include/cuda.h in '$BATS_TEST_TMPDIR/none'"* ]]
        made_is ''
    done
}

@test "help, setup, format, uninstall and clean need no CUDA Toolkit" {
    export CUDA_HOME=$BATS_TEST_TMPDIR/none
    run -0 make help
    [[ $output == *"make dist "*"make install "* ]]
    for target in setup format lint; do
        run -0 make -n "$target"
    done
    run -0 make uninstall DESTDIR="$BATS_TEST_TMPDIR/none"
    run -0 make clean
    made_is ''
}

@test "every target of make help is one, and is no file's name" {
    local target
    for target in $(make help | awk '{ print $2 }'); do
        grep -q "^$target:" Makefile
        sed -n '/^\.PHONY/,/[^\\]$/p' Makefile | grep -qw "$target" || { echo "$target"; return 1; }
    done
}

@test "a build with sanitizers is not packed" {
    run -2 make dist SAN=address
    [[ $output == *"dist is of a build without SAN"* ]]
    made_is ''
}
