#!/usr/bin/env bats
# fuzz.bats - tools/fuzz/replay.c around a target that does not survive "!": a find is never passed over.

load common

setup_file() {
    cd "$BATS_TEST_DIRNAME/../.." || return 1
    export replay=$BATS_FILE_TMPDIR/replay
    cat >"$replay.c" <<'C'
#include "fuzz.h"
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size && data[0] == '!')
        DISAGREE("found");
    if (size && data[0] == 'm')
        kb_out_of_memory();
    return 0;
}
C
    ${CC:-gcc} -std=c11 -D_GNU_SOURCE -Isrc -Itools/fuzz -fopenmp -Wl,--wrap=kb_out_of_memory \
        -o "$replay" "$replay.c" tools/fuzz/replay.c "${BUILD:-build}/libkb.a" -lcjson -lxxhash -lm -ldl -lpthread
}

@test "files and folders are fed and counted" {
    mkdir a
    printf x >a/1
    : >a/2
    printf y >b
    run --separate-stderr "$replay" a b
    status_is 0
    has_line "3 inputs"
}

@test "an input that is not survived ends the run, and is named last" {
    mkdir a
    printf x >a/1
    printf '!' >a/2
    run --separate-stderr "$replay" a
    status_is 134
    says "*replay.c:4: disagrees: found"
    [ "${stderr##*$'\n'}" = "not survived: a/2" ]
    has_no_line "*inputs"
}

@test "to run out of memory is not survived either" {
    printf m >m
    run --separate-stderr "$replay" m
    status_is 134
    says "not survived: m"
}

@test "nothing to feed, or a file that is not there, is an error" {
    mkdir a
    run --separate-stderr "$replay" a
    status_is 1
    run --separate-stderr "$replay" gone
    status_is 1
    says "gone: *"
}
