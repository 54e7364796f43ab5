#!/bin/sh
# setup.sh build|check|fuzz - install what is missing of Debian's packages for building kbench, for
# building and testing it, or for fuzzing it. Where this user may not, say the command and stop.
set -eu
build='gcc g++ make git libcjson-dev libxxhash-dev librandom123-dev libgomp1'
check="$build clang libomp-dev clang-format cppcheck libcmocka-dev bats jq python3-jsonschema python3-numpy gnuplot-nox"
fuzz="$build clang libomp-dev libclang-rt-dev" # the last brings libFuzzer
case ${1-} in
build) wanted=$build ;;
check) wanted=$check ;;
fuzz) wanted=$fuzz ;;
*) echo "usage: tools/setup.sh build|check|fuzz" >&2; exit 4 ;;
esac

missing=
if command -v dpkg-query >/dev/null 2>&1; then
    for package in $wanted; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' ||
            missing="$missing $package"
    done
else
    echo "setup: no dpkg here; kbench needs what these Debian packages hold: $wanted" >&2
    exit 0
fi
if [ -n "$missing" ]; then
    install="apt-get install -y --no-install-recommends$missing"
    if [ "$(id -u)" = 0 ]; then
        as=
    elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
        as=sudo
    else
        echo "setup: not installed:$missing" >&2
        echo "setup: this user may not install; run: sudo $install" >&2
        exit 7
    fi
    echo "setup: $install" >&2
    $as apt-get update -qq >&2
    # shellcheck disable=SC2086 - a list of package names
    DEBIAN_FRONTEND=noninteractive $as $install -qq >/dev/null
fi
