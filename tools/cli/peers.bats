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

@test "what peers.py itself is told wrongly is one line" {
    fake --op silu --shape 7x16 --sets many
    status_is 4
    [ "$stderr" = "peers.py: argument --sets: invalid int value: 'many'" ] || { seen; return 1; }
    run --separate-stderr python3 "$top/tools/peers.py" --help
    status_is 0
    has_line "  --timeout TIMEOUT *"
}

@test "the report is one of kbench's, whatever became of the rows" {
    fake --op silu,gelu --shape 7x16,64x2048 --fill normal,nan -o all.json --best best.json
    status_is 1
    last_says 'peers.py: 4 of 20 rows FAIL: silu/7x16/bf16 wrong: out: 3 of 56'
    has_line "left out  silu/7x16/bf16/fill=nan: fill=nan: not here"
    has_line "PASS  silu/7x16/bf16 *  triton * graph * 10.0?? us"
    has_line "PASS  silu/7x16/bf16 *  ahead * pdl * 7.0?? us"
    has_line "SKIP  silu/7x16/bf16 *  none * RuntimeError: no kernel for this"
    for file in all.json best.json; do
        python3 "$top/tools/cli/check_report.py" "$top/reports/kbench-report-1.schema.json" $file
    done
    [ "$(jq -c .count all.json)" = '{"pass":12,"fail":4,"mistrusted":0,"skip":4,"error":0}' ] || { jq -c .count all.json; return 1; }
    [ "$(jq -c '[.rows[].times // {} | .[].throttle] | unique' all.json)" = '[["unknown"]]' ]
    [ "$(jq -r '.rows[0].repeat' all.json)" = "tools/peers.py --case silu/7x16/bf16 --peer eager --seed 1" ]
    left_are all.json best.json
    fake --op silu --shape 7x16 --peer eager -o "$PWD/all.json"
    [ "$(jq -c '.command[-4:]' all.json)" = '["--peer","eager","-o","all.json"]' ] || { jq -c .command all.json; return 1; }
    finds_none -F "$PWD" all.json
}

@test "who is not here is said once, with the reason" {
    fake --op silu,gelu --shape 7x16,64x2048 --peer eager
    status_is 0
    [ "$(grep -c 'not here' <<<"$output")" -eq 2 ] || { seen; return 1; }
    has_line "not here  flashinfer: not installed"
    has_line "not here  vllm: ImportError: no libcuda.so.1"
}

@test "the best of a case is one row: the fastest by graph, and the fastest that launches ahead" {
    fake --op silu --shape 7x16,64x2048 --best best.json --peer eager,triton,ahead
    status_is 0
    [ "$(jq -c '[.rows[] | [.variant, .kernel, (.times | map_values(.median_ns / 1e3 | round))]] | unique' best.json)" = \
        '[["triton (graph), ahead (pdl)","triton 3 (graph), sglang 1 (pdl)",{"graph":10,"pdl":7}]]' ] ||
        { jq -c .rows best.json; return 1; }
    fake --op silu --shape 7x16 --best best.json --peer ahead
    [ "$(jq -c '[.rows[] | [.variant, (.times | keys)]]' best.json)" = '[["ahead",["pdl"]]]' ]
    fake --op silu --shape 7x16 --best best.json --peer wrong,none
    [ "$(jq -c '[.rows[] | [.variant, .verdict]]' best.json)" = '[["wrong","FAIL"]]' ]
}

@test "a peer that crashes, hangs or loses the GPU costs its rows and no others" {
    FAKE=crash,hang,lose fake --op silu --shape 7x16,64x2048 --timeout 1 -o r.json --peer crash,hang,lose,triton
    status_is 6
    last_says "peers.py: 6 of 8 rows ERROR: silu/7x16/bf16 crash: the peer's process: signal 11"
    python3 "$top/tools/cli/check_report.py" "$top/reports/kbench-report-1.schema.json" r.json
    [ "$(jq -c '[.rows[] | [.variant, .verdict, .reason_kind]] | unique' r.json)" = \
        '[["crash","ERROR","crash"],["hang","ERROR","timeout"],["lose","ERROR","crash"],["triton","PASS",null]]' ] ||
        { jq -c .rows r.json; return 1; }
    FAKE=import fake --op gelu,silu --shape 7x16 -o r.json --peer eager
    status_is 0
    has_line "left out  gelu/7x16/bf16: importing its peers: signal 11"
    has_line "PASS  silu/7x16/bf16 *  eager *"
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

@test "a table says how ours stand to the best of them, by each method and by the better one" {
    fake --op silu --shape 7x16,64x2048 --best best.json --peer triton,ahead
    NS=8e3 fake --op silu --shape 64x2048,7x16,5x16 --best ours.json --peer triton --seed 2
    run --separate-stderr python3 "$top/tools/peers_table.py" best.json ours.json
    status_is 0
    has_line "silu/7x16/bf16 *  8.0?? *10.0?? *0.80? * - * - * - *1.14? *triton (graph), ahead (pdl)"
    has_line "silu: 2 cases, ours over best 1.14? (geometric mean), worst 1.14?, 2 of them over 1.01"
    jq '.rows[0].times.graph.quality = "throttled"' best.json >odd.json
    run --separate-stderr python3 "$top/tools/peers_table.py" odd.json ours.json
    has_line "silu/7x16/bf16 * triton (graph), ahead (pdl), best graph throttled"
    fake --op gelu --shape 7x16 --best none.json --peer eager
    run --separate-stderr python3 "$top/tools/peers_table.py" none.json ours.json
    status_is 1
    [ "$stderr" = "peers_table.py: no case was timed on both sides" ] || { seen; return 1; }
}

@test "peers.sh says how it is called, and ends as peers.py does where there is nothing to compare" {
    run --separate-stderr sh "$top/tools/peers.sh" out
    status_is 4
    says "    tools/peers.sh build/peers cases/ --tag bench"
    printf 'raise ImportError\n' >torch.py
    BIN=$bin PYTHONPATH=$PWD run --separate-stderr sh "$top/tools/peers.sh" out --op silu --shape 7x16
    status_is 6
    last_says "peers.py: this python3 "*" has no PyTorch: peers need it"
    [ -z "$(ls out)" ] || { ls out; return 1; }
}

@test "peers are timed on one stream, their captures too" {
    run --separate-stderr /usr/bin/python3 - "$top/tools" <<'END'
import sys
from types import SimpleNamespace
from unittest.mock import MagicMock

sys.path.insert(0, sys.argv[1])
for name in ("torch", "torch.nn", "torch.nn.functional"):
    sys.modules[name] = MagicMock()
import peers_gpu

cuda, on = peers_gpu.torch.cuda, []
gpu = peers_gpu.Gpu(SimpleNamespace(peer=None))
for _ in range(2):
    gpu.capture(lambda: on.append(cuda.stream.called) or (), [{}], 1)
made = cuda.Stream.return_value
print(cuda.Stream.call_count, [call.args[0] is made for call in cuda.set_stream.call_args_list],
      [call.kwargs.get("stream") is made for call in cuda.graph.call_args_list], any(on))
END
    status_is 0
    [ "$output" = "1 [True] [True, True] False" ] || { seen; return 1; }
}
