#!/bin/bash
# baseline.sh - a baseline of this GPU, of the cases of tag `bench`: every build by graph, in three
# processes one after the other, joined into build/gpu-baseline.json; and what the power limit holds
# back, which repeats less well there, in build precise with pauses, three runs as well, joined into
# build/gpu-paced.json. Then precise once more, by graph and cold as any suite, build/gpu-cold.json,
# which must pass against the first.
set -eu
build=${BUILD:-build}
bin=${BIN:-./kbench}
base=$build/gpu-baseline.json
# A kernel of milliseconds is not timed until it is as precise as one of microseconds; of one that
# takes 20 us there is time for 24 blocks, and for as many again where builds seem to differ. How many
# rows are looked at is each case's own: 8 of attention, whose references would take most of the
# time.
bench() {
    "$bin" cases/ --tag bench --backend cuda --max-time 400ms -q "$@"
}

mkdir -p "$build"
builds=precise,fast-math,auto,aot,aot-fast-math
# Compiled first, on all cores: no compiler runs beside what is timed.
bench --build $builds --mode build
for i in 1 2 3; do
    bench --build $builds --method graph -o "$build/gpu-run$i.json"
done
"$bin" merge --runs "$build"/gpu-run[123].json -o "$base"
for i in 1 2 3; do
    bench --op mma,mla_prefill --method graph --duty 50% --precision 0.2% \
        -o "$build/gpu-paced-run$i.json"
done
"$bin" merge --runs "$build"/gpu-paced-run[123].json -o "$build/gpu-paced.json"
bench --baseline "$base" -o "$build/gpu-cold.json"
