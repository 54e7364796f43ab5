#!/bin/bash
# dist.sh FOLDER MAN BASH ZSH - FOLDER/kbench, an executable that looks for libraries in ../lib,
# with the libraries that a bare Linux lacks, manual, completions, cases and kernels, as
# FOLDER/kbench-VERSION-ARCH.tar.gz. The same tree gives the same bytes. Called by `make dist`.
set -euo pipefail
folder=$1 man=$2 bash=$3 zsh=$4
unset LD_LIBRARY_PATH
umask 022

say() { echo "dist: $*" >&2; }
name=kbench-$("$folder/kbench" --version | awk 'NR == 1 { print $2 }')
arch=$(uname -m)
tree=$folder/$name
doc=$tree/share/doc/kbench

# What glibc brings is there wherever there is a glibc, and must be of one piece with it.
libraries() {
    ldd "$folder/kbench" | awk '$2 == "=>" { print $1, $3 }' |
        grep -Ev '^(libc|libm|libdl|libpthread|librt|ld-linux[^ ]*)\.so\.'
}

# library SONAME PATH: the library, and under what licence and from what source it is.
library() {
    local soname=$1 path package source text
    path=$(readlink -f "$2") || { say "$soname: not found"; exit 7; }
    package=$(dpkg -S "$path" 2>/dev/null | head -n 1) || package=
    package=${package%%: *}
    if [ -z "$package" ]; then
        say "$path: of no Debian package: it cannot be told under which licence it is"
        exit 7
    fi
    # shellcheck disable=SC2016 # dpkg's own
    source=$(dpkg-query -W -f '${source:Package} ${source:Version}' "$package")
    install -m 644 "$path" "$tree/lib/$soname"
    install -m 644 "/usr/share/doc/${package%:*}/copyright" "$doc/$soname.copyright"
    # shellcheck disable=SC2013 # names without blanks
    for text in $(grep -o '/usr/share/common-licenses/[A-Z][A-Za-z0-9.-]*[0-9]' \
        "$doc/$soname.copyright" | sort -u); do
        install -m 644 "$text" "$doc/licences/"
    done
    echo "lib/$soname: unchanged from Debian's package ${package%:*}; its licence is in" \
        "$soname.copyright, the texts that it names in licences/, its source at" \
        "https://snapshot.debian.org/package/${source% *}/${source#* }/" >>"$doc/LIBRARIES"
}

rm -rf "$tree"
mkdir -p "$tree"/{bin,lib,cases,kernels/host} "$doc/licences"
install -m 755 "$folder/kbench" "$tree/bin/kbench"
found=$(libraries)
while read -r soname path; do
    library "$soname" "$path"
done <<<"$found"
install -D -m 644 "$man" "$tree/share/man/man1/kbench.1"
install -D -m 644 "$bash" "$tree/share/bash-completion/completions/kbench"
install -D -m 644 "$zsh" "$tree/share/zsh/site-functions/_kbench"
for file in README.md LICENSE*; do
    [ ! -f "$file" ] || install -m 644 "$file" "$tree/"
done
install -m 644 cases/*.json cases/README.md "$tree/cases/"
install -m 644 kernels/*.cu kernels/*.cuh kernels/README.md "$tree/kernels/"
install -m 644 kernels/host/README.md "$tree/kernels/host/"

# Nothing of where it was built, and no glibc newer than the one here.
if found=$(grep -rlF -e "$PWD/" "$tree"); then
    say "the path of this checkout, $PWD, is in: ${found//$'\n'/ }"
    exit 7
fi
needs=$(find "$tree/bin" "$tree/lib" -type f -exec readelf -V {} + | grep -o 'GLIBC_2[0-9.]*' |
    sort -uV | tail -n 1)
needs=${needs#GLIBC_}
have=$(getconf GNU_LIBC_VERSION)
if [ "$(printf '%s\n' "$needs" "${have#glibc }" | sort -V | tail -n 1)" != "${have#glibc }" ]; then
    say "needs glibc $needs, and here is $have"
    exit 7
fi

time=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}
tar -C "$folder" --sort=name --mtime="@$time" --owner=0 --group=0 --numeric-owner \
    --mode=u=rwX,go=rX --format=ustar -cf - "$name" | gzip -9n >"$tree-$arch.tar.gz.tmp"
mv "$tree-$arch.tar.gz.tmp" "$tree-$arch.tar.gz"
echo "$tree-$arch.tar.gz: $(du -h "$tree-$arch.tar.gz" | cut -f 1)," \
    "$(find "$tree/lib" -type f -printf '%f\n' | sort | paste -sd ' '); glibc $needs or later"
