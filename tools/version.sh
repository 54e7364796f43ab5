#!/bin/sh
# version.sh CC CUDA_HOME - print version.h: facts of this build, none of the machine that runs it.
set -eu
commit=$(git rev-parse --short HEAD 2>/dev/null || echo unknown)
if [ "$commit" != unknown ] && ! git diff --quiet HEAD -- src kernels cases 2>/dev/null; then
    commit="$commit+"
fi
date=$(git log -1 --format=%cs 2>/dev/null || true)
cuda=$(sed -n 's/^#define CUDA_VERSION \([0-9]*\)/\1/p' "$2/include/cuda.h" 2>/dev/null || true)
cc=$($1 --version 2>/dev/null | head -n 1 | sed 's/[\\"]//g')
cat <<TEXT
#define KB_VERSION "0.1.0"
#define KB_COMMIT "$commit"
#define KB_DATE "$date"
#define KB_BUILT_WITH "$cc"
#define KB_CUDA_HEADERS ${cuda:-0}
TEXT
