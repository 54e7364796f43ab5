#!/bin/sh
# layers.sh - fail where a file includes a header of a higher layer, or src/ and kernels/ meet.
#
# The layers, lowest first; a layer's public headers are src/NAME.h or named here, its private
# ones lie in its own folder and are nobody else's.
set -eu
layers='base sys tensor op ops kernel jit exec measure report cli'
extra='json.h=sys safetensors.h=tensor case.h=op problem.h=op local.h=measure row.h=measure run.h=measure selftest.h=measure speed.h=measure screen.h=report versus.h=report diff.h=report gate.h=report'
bad=0

rank() { # NAME -> position, or nothing
    i=0
    for l in $layers; do
        i=$((i + 1))
        if [ "$l" = "$1" ]; then
            # the pages in src/ops belong to the layer op
            [ "$l" = ops ] && i=$((i - 1))
            echo $i
            return
        fi
    done
}

layer_of_header() { # FILE INCLUDER-FOLDER
    case $1 in
    */*) echo "${1%%/*}"; return ;; # "op/group.h": private to the layer op
    esac
    if [ "$2" != . ] && [ -f "src/$2/$1" ]; then
        echo "$2"
        return
    fi
    for pair in $extra; do
        if [ "${pair%%=*}" = "$1" ]; then
            echo "${pair#*=}"
            return
        fi
    done
    echo "${1%.h}"
}

for file in src/*.h src/*/*.[ch] src/main.c; do
    [ -f "$file" ] || continue
    folder=$(dirname "$file")
    folder=${folder#src}
    folder=${folder#/}
    own=$folder
    [ -n "$own" ] || own=$(layer_of_header "$(basename "$file")" .)
    [ "$file" = src/main.c ] && own=cli
    mine=$(rank "$own")
    if [ -z "$mine" ]; then
        echo "$file: belongs to no layer" >&2
        bad=1
        continue
    fi
    for header in $(sed -n 's/^ *# *include "\(.*\)"/\1/p' "$file"); do
        case $header in
        version.h) continue ;; # generated: build facts
        "$own"/*) ;;
        */*)
            # a layer's private header; src/ops holds pages of the layer op
            if [ "$own/${header%%/*}" != ops/op ]; then
                echo "$file: includes $header: private headers stay in their layer" >&2
                bad=1
                continue
            fi
            ;;
        esac
        theirs=$(rank "$(layer_of_header "$header" "${folder:-.}")")
        if [ -z "$theirs" ]; then
            echo "$file: includes $header, which belongs to no layer" >&2
            bad=1
        elif [ "$theirs" -gt "$mine" ]; then
            echo "$file: includes $header of a higher layer" >&2
            bad=1
        fi
    done
done

# The two sides share no code, so that a mistake in one shows against the other.
if grep -nE '# *include *"(\.\./)*src/' kernels/*.cu kernels/*.cuh kernels/host/* 2>/dev/null; then
    echo "kernels/ includes from src/" >&2
    bad=1
fi
if grep -nE '# *include *".*(\.cuh|kernels/)' src/*.h src/*/*.[ch] 2>/dev/null; then
    echo "src/ includes from kernels/" >&2
    bad=1
fi
exit $bad
