#!/usr/bin/env bats
# peers.bats - cases as lines of JSON, and the report of tools/peers.py; its GPU is a fake one.

load common

fake() {
    run --separate-stderr timeout 60 /usr/bin/python3 "$top/tools/cli/peers_fake.py" --kbench "$bin" "$@"
}

@test "a listed case tells all that its id leaves to defaults" {
    kbench list cases --op silu --shape 7x16 --set round=act --format jsonl
    status_is 0
    [ "$(jq -c '[.case, .op, .shape, .dtype, .fill, .set.round, .set.layout, .axes.hidden, .tensors.out, .bytes]' <<<"$output")" = \
        '["silu/7x16/bf16/round=act","silu",[7,16],"bf16","normal","act","gate_up",8,{"role":"out","dtype":"bf16","shape":[7,8]},336]' ] ||
        { seen; return 1; }
    kbench list cases --tag smoke --format jsonl
    status_is 0
    [ "$(jq -s 'map(.case) | length' <<<"$output")" -eq "${#lines[@]}" ]
    kbench --op silu --shape 7x16,9x16 --mode list --format jsonl
    status_is 0
    [ "$(jq -r .case <<<"$output")" = $'silu/7x16/bf16\nsilu/9x16/bf16' ] || { seen; return 1; }
}

@test "without PyTorch or without kbench one line says what is missing" {
    printf 'raise ImportError\n' >torch.py
    PYTHONPATH=$PWD run --separate-stderr python3 "$top/tools/peers.py" --kbench "$bin" --op silu --shape 7x16
    status_is 6
    [[ $stderr == "peers.py: this python3 "*" has no PyTorch: peers need it" ]] || { seen; return 1; }
    run --separate-stderr python3 "$top/tools/peers.py" --kbench ./none --op silu --shape 7x16
    status_is 4
    [[ $stderr == "peers.py: ./none: No such file or directory: make it first, or name one by --kbench" ]] || { seen; return 1; }
}

@test "what kbench says of the words is what is said" {
    fake --op sillu --shape 7x16
    status_is 4
    says '*unknown op "sillu", did you mean "silu"?'
}

@test "the report is one of kbench's, whatever became of the rows" {
    fake --op silu,gelu --shape 7x16,64x2048 --fill normal,nan -o all.json --best best.json
    status_is 1
    has_line "left out  silu/7x16/bf16/fill=nan: fill=nan: not here"
    has_line "PASS  silu/7x16/bf16 *  triton * 10.0?? us"
    has_line "SKIP  silu/7x16/bf16 *  none * RuntimeError: no kernel for this"
    for file in all.json best.json; do
        python3 "$top/tools/cli/check_report.py" "$top/reports/kbench-report-1.schema.json" $file
    done
    [ "$(jq -c .count all.json)" = '{"pass":8,"fail":4,"mistrusted":0,"skip":4,"error":0}' ] || { jq -c .count all.json; return 1; }
    [ "$(jq -c '[.rows[] | .variant] | unique' best.json)" = '["triton"]' ]
    [ "$(jq -r '.rows[0].repeat' all.json)" = "tools/peers.py --case silu/7x16/bf16 --peer eager --seed 1" ]
    left_are all.json best.json
}

@test "kbench diff holds a peer against another report by the case" {
    fake --op silu --shape 7x16,64x2048 --best a.json --peer triton
    NS=8e3 fake --op silu --shape 7x16,64x2048 --best b.json --peer triton --seed 2
    kbench diff a.json b.json
    status_is 0
    has_line "FASTER *silu/64x2048/bf16 *-20.* %*"
}

@test "of the peers asked for alone there are rows" {
    fake --op silu --shape 7x16 --peer eager,triton -o r.json
    status_is 0
    [ "$(jq -c '[.rows[] | [.variant, .kernel, .times.graph.median_ns > 9e3]]' r.json)" = \
        '[["eager","torch 2",true],["triton","triton 3",true]]' ] || { cat r.json; return 1; }
    fake --op silu --shape 7x16 --peer nobody -o r.json
    status_is 3
    fake --op silu --shape 7x16 --peer none
    status_is 3
    last_says 'peers.py: nothing was checked: RuntimeError: no kernel for this'
}
