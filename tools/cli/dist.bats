#!/usr/bin/env bats
# dist.bats - the tar file of make dist, unpacked elsewhere, and make install.

load common

build=${BUILD:-build}
make_() {
    env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL make --no-print-directory -s -C "$top" BUILD="$build" "$@"
}
archive() {
    local files=("$top/$build"/dist/kbench-*.tar.gz)
    [ ${#files[@]} -eq 1 ] || { echo "not one archive: ${files[*]}" >&2; return 1; }
    echo "${files[0]}"
}

setup_file() {
    top=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
    rm -f "$top/$build"/dist/*.tar.gz
    make_ dist >"$BATS_FILE_TMPDIR/said" || { cat "$BATS_FILE_TMPDIR/said"; return 1; }
    mkdir "$BATS_FILE_TMPDIR/a place" # with a blank, and nothing beside it
    tar -C "$BATS_FILE_TMPDIR/a place" -xzf "$(archive)"
}
setup() {
    home=$(echo "$BATS_FILE_TMPDIR/a place"/kbench-*)
    bin=$home/bin/kbench
    export KBENCH_CACHE=$BATS_FILE_TMPDIR/cache
    mkdir -p -m 700 "$KBENCH_CACHE"
    mkdir "$BATS_TEST_TMPDIR/here"
    cd "$BATS_TEST_TMPDIR/here" || exit 1
}

@test "make dist says what it made and what that needs" {
    grep -q 'dist/kbench-[0-9.]*-x86_64.tar.gz: .*libcjson.so.1 .*; glibc 2.[0-9.]* or later$' \
        "$BATS_FILE_TMPDIR/said"
    [ "$(tar -tzf "$(archive)" | cut -d / -f 1 | sort -u)" = "$(basename "$home")" ]
}

@test "the same tree gives the same bytes" {
    local first
    first=$(sha256sum <"$(archive)")
    (umask 077; make_ dist)
    [ "$(sha256sum <"$(archive)")" = "$first" ]
}

@test "unpacked elsewhere it runs: version, lists, help" {
    kbench --version
    status_is 0
    has_line "kbench $(basename "$home" | cut -d - -f 2) *"
    kbench list ops
    status_is 0
    has_line "silu *"
    kbench help silu
    status_is 0
    ln -s "$bin" linked
    ./linked list builds
}

@test "its libraries are those that came with it; the rest is glibc's" {
    local line name path
    ldd "$bin" >libraries
    cat libraries
    while read -r line; do
        name=${line%% *} path=${line#* => }
        case $name in
        linux-vdso.so.1 | /lib*/ld-linux*) ;;
        libc.so.6 | libm.so.6 | libdl.so.2 | libpthread.so.0) ;;
        *) [[ ${path% (*} == "$home/bin/../lib/$name" ]] || { echo "$name: $path"; return 1; } ;;
        esac
    done <libraries
    grep -q libcjson libraries
    readelf -d "$bin" | grep -q 'RUNPATH.*\[$ORIGIN/../lib\]'
}

@test "it checks a case on the host, with kernels of its own" {
    on_host --op silu --shape 7x16 --mode check -v
    status_is 0
    has_line "PASS  silu/7x16/bf16*"
    [[ "$output$stderr" == *"kernels/activation.cu for silu: embedded"* ]] || { seen; return 1; }
    cd "$home"
    on_host cases/activation.json --op silu --shape 7x16 --dtype bf16 --fill normal --mode check
    status_is 0
}

@test "nothing in it needs a newer glibc than the one it was built with" {
    local needs have
    needs=$(readelf -V "$bin" "$home"/lib/* | grep -o 'GLIBC_2[0-9.]*' | sort -uV | tail -n 1)
    have=$(getconf GNU_LIBC_VERSION)
    [ "$(printf '%s\n' "${needs#GLIBC_}" "${have#glibc }" | sort -V | tail -n 1)" = "${have#glibc }" ]
}

@test "no path of this machine is in it, and every library's licence is" {
    run -1 grep -rlF -e "$top/" "$home"
    for library in "$home"/lib/*; do
        [ -s "$home/share/doc/kbench/$(basename "$library").copyright" ]
        grep -q "^lib/$(basename "$library"): .*https://" "$home/share/doc/kbench/LIBRARIES"
    done
}

@test "make install and uninstall: executable, manual, completions, and no more" {
    local root=$PWD/root files
    make_ install DESTDIR="$root" PREFIX=/opt/kb >/dev/null
    files=$(cd "$root/opt/kb" && find . -type f | sort | tr '\n' ' ')
    [ "$files" = "./bin/kbench ./share/bash-completion/completions/kbench \
./share/man/man1/kbench.1 ./share/zsh/site-functions/_kbench " ] || { echo "$files"; return 1; }
    bin=$root/opt/kb/bin/kbench
    kbench --version
    status_is 0
    diff "$root/opt/kb/share/man/man1/kbench.1" <("$bin" help man)
    grep -q '^complete -F _kbench kbench$' "$root/opt/kb/share/bash-completion/completions/kbench"
    [ "$(head -n 1 "$root/opt/kb/share/zsh/site-functions/_kbench")" = "#compdef kbench" ]
    make_ uninstall DESTDIR="$root" PREFIX=/opt/kb >/dev/null
    [ -z "$(find "$root" -type f)" ]
}
