#!/usr/bin/env bats
# duty.bats - times over a driver without a GPU, whose kernels compute nothing: with pauses in between
# (--duty) rows say it wherever they are shown, and are not held against rows without; builds side by
# side by several methods.

load common

setup_file() {
    stub_driver
}

on_stub() {
    KB_STUB=count=1 LD_LIBRARY_PATH=$stub kbench --op silu --max-time 50ms --time-failing "$@"
}

@test "a time with pauses says so on the screen, in Markdown, JSON and CSV; the host's has none" {
    on_stub --shape 83x1024 --method graph,launch --duty 50% -o r.json -o r.csv -o r.md
    status_is 1
    has_line "graph * duty 50 %"
    has_line "quality   graph is ok: busy for at most 50 % of the time"
    [ "$(jq -c '[.rows[0].times | .graph.duty, .launch.duty]' r.json)" = '[0.5,null]' ]
    grep -q ' 1.00 duty 50 % |' r.md
    run python3 -c "import csv; r = next(csv.DictReader(open('r.csv')))
print(*(r[m + '_duty'] or '-' for m in ('graph', 'cold', 'launch')))"
    [ "$output" = "0.5 - 1" ] || { seen; return 1; }
    on_stub --shape 83x1024,7x16 --method graph --duty 25%
    has_line "FAIL  silu/7x16/bf16 * duty 25 %"
    on_stub --shape 83x1024,7x16 --method graph --duty 100%
    status_is 1
    ! grep -q duty <<<"$output" || { seen; return 1; }
}

@test "times with pauses and without are neither compared nor joined" {
    on_stub --shape 83x1024 --method graph --duty 50% -o half.json
    on_stub --shape 83x1024 --method graph -o full.json
    kbench diff full.json half.json
    status_is 0
    has_line "INVALID  silu/83x1024/bf16 * the B time is at a duty of 50 %, the A time at 100 %"
    kbench merge --runs full.json half.json -o both.json
    status_is 3
    last_says "exit 3: silu/83x1024/bf16: timed at a duty of 100 % and of 50 %"
    [ ! -e both.json ]
    cp half.json again.json
    kbench merge --runs half.json again.json -o both.json
    status_is 0
    [ "$(jq -c '.rows[0].times.graph | [.duty, (.runs_ns | length)]' both.json)" = '[0.5,2]' ]
}

@test "builds side by side have a line by each method that was asked for, and columns of energy" {
    on_stub --shape 83x1024,7x16 --build precise,fast-math --method graph,hot --energy
    status_is 1
    has_line "Stub 0 sm_90 * | graph, hot us, in turns over the same buffers"
    has_line " * by * uJ A * uJ B *"
    has_line "FAIL * silu/83x1024 * graph *"
    has_line "FAIL * silu/83x1024 * hot *"
    has_line "B against A by graph: *"
    has_line "B against A by hot: *"
    on_stub --shape 83x1024,7x16 --build precise,fast-math
    has_line "Stub 0 sm_90 * | graph us, in turns over the same buffers"
    has_no_line "*uJ*"
    has_no_line "B against A by*"
    on_stub --shape 83x1024,7x16 --build precise,fast-math --mode check --method graph,hot
    status_is 4
}
