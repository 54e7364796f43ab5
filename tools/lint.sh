#!/bin/sh
# lint.sh - layers, layout of the C sources, cppcheck; each says what it found.
set -eu
status=0
tools/layers.sh || status=1
files=$(ls src/*.h src/*/*.[ch] src/main.c tools/*.c tools/controls/*.[ch] tools/fuzz/*.[ch] 2>/dev/null)
# shellcheck disable=SC2086 - a list of files
clang-format --dry-run -Werror $files || status=1
cppcheck --quiet --std=c11 --language=c --enable=warning,portability --inline-suppr \
    --suppress=missingIncludeSystem --suppress=missingInclude --suppress=varFuncNullUB --error-exitcode=1 \
    --library=tools/cppcheck.cfg -D_GNU_SOURCE -Isrc -j "$(nproc)" src || status=1
exit $status
