#!/usr/bin/env bats
# dump.bats - tensors in safetensors files: what --dump leaves, what --load takes.

load common

# header FILE: its header, read by nothing of ours: "NAME DTYPE SHAPE" lines, then metadata.
header() {
    python3 - "$1" <<'PY'
import json, struct, sys
data = open(sys.argv[1], "rb").read()
size, = struct.unpack("<Q", data[:8])
head = json.loads(data[8:8 + size])
meta = head.pop("__metadata__")
assert max(t["data_offsets"][1] for t in head.values()) == len(data) - 8 - size
for name in sorted(head):
    print(name, head[name]["dtype"], *head[name]["shape"])
for key in sorted(meta):
    print(key + "=" + meta[key])
PY
}
# change FILE NAME HEX: the first bytes of a tensor.
change() {
    python3 - "$@" <<'PY'
import json, struct, sys
path, name, value = sys.argv[1:]
data = bytearray(open(path, "rb").read())
size, = struct.unpack("<Q", data[:8])
at = 8 + size + json.loads(data[8:8 + size])[name]["data_offsets"][0]
value = bytes.fromhex(value)
data[at:at + len(value)] = value
open(path, "wb").write(data)
PY
}
# same FILE NAME OTHER: do two tensors of a file hold the same bytes?
same() {
    python3 - "$@" <<'PY'
import json, struct, sys
data = open(sys.argv[1], "rb").read()
size, = struct.unpack("<Q", data[:8])
head = json.loads(data[8:8 + size])
a, b = (data[8 + size:][slice(*head[n]["data_offsets"])] for n in sys.argv[2:])
sys.exit(a != b)
PY
}

@test "a dump is a file for each row, named by case, variant, build and device" {
    on_host --op silu --shape 7x16,3x34 --fill normal,nan --variant vec16,scalar --dump d -q
    status_is 0
    [ "$(ls d)" = "silu,3x34,bf16,fill=nan.scalar.precise.host.safetensors
silu,3x34,bf16.scalar.precise.host.safetensors
silu,7x16,bf16,fill=nan.scalar.precise.host.safetensors
silu,7x16,bf16,fill=nan.vec16.precise.host.safetensors
silu,7x16,bf16.scalar.precise.host.safetensors
silu,7x16,bf16.vec16.precise.host.safetensors" ] || { ls d; return 1; }
}

@test "it has inputs, outputs, what the reference says, and where it is from" {
    on_host --op silu --shape 7x16 --set filter=ids,step=2 --seed 5 --variant vec16 --dump d -q
    status_is 0
    [ "$(header d/*)" = "bound.out F64 7 8
expert_ids I32 4
input BF16 7 16
out.out BF16 7 8
want.out F64 7 8
backend=host
build=precise
case=silu/7x16/bf16/filter=ids/step=2
fast_math=no
format=kbench-dump/1
kbench=$("$bin" --version | sed -n '1s/^kbench \([^ ]* [^ ]*\).*/\1/p')
kernel=kernels/activation.cu
load=
seed=5
variant=vec16" ] || { header d/*; return 1; }
}

@test "every dtype and op has its own" {
    on_host --op mla_kv_pack_quantize --shape 3x2 --dtype fp16 --dump d -q
    on_host --op moe_routing --shape 7x16 --dtype fp32 --dump d -q
    on_host --op qknorm_rope --shape 3x4x2x64 --dump d -q
    header d/mla* | grep -x "out.k_fp8 F8_E4M3 3 2 192"
    header d/mla* | grep -x "k_nope F16 3 2 128"
    header d/moe* | grep -x "out.ids I32 7 8"
    header d/qk* | grep -x "qkv BF16 3 512"
    header d/qk* | grep -x "out.qkv BF16 3 512"
    run same d/qk* qkv out.qkv
    [ "$status" -eq 1 ]
}

@test "of a sample it has the rows that were checked, and which they are" {
    on_host --op silu --shape 83x64 --sample 5 --dump d -q
    status_is 0
    header d/* | grep -x "rows.out I64 5"
    header d/* | grep -x "want.out F64 5 32"
    header d/* | grep -x "out.out BF16 83 32"
}

@test "what a wrong kernel left is in it, and the cases that are tried after it are not" {
    mutant zeros.cu "* up);" "* 0.0f * up);"
    on_host --op silu --shape 83x64 --kernel zeros.cu --dump d
    status_is 1
    [ "$(ls d)" = silu,83x64,bf16.plain.precise.host.safetensors ] || { ls d; return 1; }
    run same d/* out.out input
    [ "$status" -eq 1 ]
    [ "$(tail -c 5312 d/* | tr -d '\0\200' | wc -c)" -eq 0 ] # no more than signed zeros
}

# starve BYTES: a library in front of malloc that has no block of that size.
starve() {
    printf '%s\n' '#define _GNU_SOURCE' '#include <dlfcn.h>' '#include <stddef.h>' \
        'void *malloc(size_t n) {' \
        '    void *(*real)(size_t) = (void *(*)(size_t))dlsym(RTLD_NEXT, "malloc");' \
        "    return n == $1 ? NULL : real(n);" '}' >starve.c
    cc -shared -fPIC -o starve.so starve.c -ldl
}

@test "a dump for which there is no memory is a SKIP with the bytes, as other tensors are" {
    starve $(((83 * 511 + 1) * 8))
    LD_PRELOAD=$PWD/starve.so on_host --op silu --shape 83x1022,7x16 --dump d
    status_is 0
    has_line "SKIP  silu/83x1022/bf16  memory: --dump: needs 679 kB for what the reference says of out*"
    has_line "PASS  silu/7x16/bf16 *"
    [ "$(ls d)" = silu,7x16,bf16.vec16.precise.host.safetensors ] || { ls d; return 1; }
}

@test "a dump is loaded: the row and its command say so" {
    on_host --op silu --shape 7x16 --fill nan --dump d -q
    mv d/* "my case.safetensors"
    on_host --op silu --shape 7x16 --load "my case.safetensors" -o r.jsonl
    status_is 0
    has_line "inputs    those of my case.safetensors, not the fill's"
    [ "$(jq -r 'select(.case).load' r.jsonl)" = "my case.safetensors" ]
    jq -r 'select(.case).repeat' r.jsonl | grep -F -- "--load 'my case.safetensors'"
    # The same inputs: a dump of it holds them again.
    on_host --op silu --shape 7x16 --load "my case.safetensors" --dump e -q
    cmp <(tail -c 672 "my case.safetensors") <(tail -c 672 e/*)
}

@test "a changed input is what the kernel and the reference see" {
    on_host --op silu --shape 7x16 --variant vec16 --dump d -q
    mv d/* in.safetensors
    change in.safetensors input c07f # a gate that is NaN
    on_host --op silu --shape 7x16 --variant vec16 --load in.safetensors --dump d -q
    status_is 0
    run python3 - d/* <<'PY'
import json, struct, sys
data = open(sys.argv[1], "rb").read()
size, = struct.unpack("<Q", data[:8])
head = json.loads(data[8:8 + size])
at = 8 + size + head["want.out"]["data_offsets"][0]
want = struct.unpack("<2d", data[at:at + 16])
print(want[0] != want[0], want[1] != want[1])
PY
    [ "$output" = "True False" ] || { echo "$output"; return 1; }
}

@test "a file that does not fit its case is refused before anything runs" {
    on_host --op silu --shape 7x16 --dump d -q
    mv d/* in.safetensors
    on_host --op silu --shape 7x18 --load in.safetensors
    status_is 4
    says 'kbench: error: --load: in.safetensors: tensor "input" is BF16 ?7, 16?, silu/7x18/bf16 wants BF16 ?7, 18?'
    last_says "exit 4: 1 error, nothing was run"
    on_host --op silu --shape 7x16 --dtype fp16 --load in.safetensors
    says 'kbench: error: --load: in.safetensors: tensor "input" is BF16 ?7, 16?, silu/7x16/fp16 wants F16 ?7, 16?'
    on_host --op silu --shape 7x16 --set filter=ids --load in.safetensors
    says 'kbench: error: --load: in.safetensors: has no tensor "expert_ids", I32 ?7?, which silu/7x16/bf16/filter=ids wants'
    on_host --op stream --shape 64 --load nowhere.safetensors
    says 'kbench: error: --load: nowhere.safetensors: cannot open: *'
    truncate -s -1 in.safetensors
    on_host --op silu --shape 7x16 --load in.safetensors
    status_is 4
    says 'kbench: error: --load: in.safetensors: tensor "out.out": data_offsets * do not lie in order within the * bytes of data'
}

@test "places and counts that would lead out of the tensors are refused" {
    on_host --op mla_prefill --shape 3x5x2 --dump d -q
    change d/mla* cum_kv 01000000
    on_host --op mla_prefill --shape 3x5x2 --load d/mla*
    status_is 4
    says "kbench: error: --load: *: cum_kv?0? is 1, the lengths of the case make 0"
    on_host --op qknorm_rope --shape 3x4x2x64 --dump d -q
    change d/qk* position_ids ffffffff
    on_host --op qknorm_rope --shape 3x4x2x64 --load d/qk*
    says "kbench: error: --load: *: position_ids?0? is -1, a position is at least 0"
    on_host --op silu_mul_quant --shape 16x256 --set mask=full --dump d -q
    change d/silu_mul* masked_m 03000000
    on_host --op silu_mul_quant --shape 16x256 --set mask=full --load d/silu_mul*
    says "kbench: error: --load: *: masked_m?0? is 3, an expert has rows 0 to 2"
}

@test "what does not go together, and a folder that cannot be had" {
    on_host --op silu --shape 7x16 --load x --fuzz 3
    status_is 4
    says "kbench: error: --load: random cases have inputs of their own"
    on_host --op silu --shape 7x16 --dump d --mode build
    status_is 4
    says "kbench: error: --dump: nothing is run by --mode build"
    touch file
    on_host --op silu --shape 7x16 --dump file
    status_is 7
}

@test "a dump that cannot be written is an ERROR, but a wrong kernel stays wrong" {
    mkdir d
    ln -s /dev/full "d/silu,7x16,bf16.vec16.precise.host.safetensors"
    on_host --op silu --shape 7x16 --variant vec16 --dump d
    status_is 7
    has_line "ERROR  silu/7x16/bf16 *"
    has "$output" "*No space left*"
    mutant zeros.cu "* up);" "* 0.0f * up);"
    ln -s /dev/full "d/silu,7x16,bf16.plain.precise.host.safetensors"
    on_host --op silu --shape 7x16 --kernel zeros.cu --dump d
    status_is 1
    has_line "warning   *No space left*"
}

# A Python that has a module, or the test is skipped.
python_with() {
    for python in python3 /usr/bin/python3; do
        "$python" -c "import $1" 2>/dev/null && return
    done
    skip "no Python with $1"
}

@test "Python's safetensors reads a dump" {
    python_with safetensors
    on_host --op silu --shape 7x16 --dtype fp16 --dump d -q
    run "$python" - d/* <<'PY'
import sys
from safetensors import safe_open
with safe_open(sys.argv[1], "np") as file:
    print(sorted(file.keys()), file.metadata()["case"], file.get_tensor("input").shape)
    print(abs(file.get_tensor("want.out") - file.get_tensor("out.out")).max() < 1e-2)
PY
    [ "$output" = "['bound.out', 'input', 'out.out', 'want.out'] silu/7x16/fp16 (7, 16)
True" ] || { echo "$output"; return 1; }
}

@test "the second implementation agrees with a dump, and not with one that was changed" {
    python_with numpy
    on_host --op silu,gelu --shape 7x16 --fill normal,nan --dump d -q
    on_host --op moe_routing --shape 7x16 --dump d -q
    run "$python" "$top/tools/oracle.py" --engine numpy --files d/*
    [ "$status" -eq 0 ] || { echo "$output"; return 1; }
    [[ ${lines[-1]} == "5 cases, "*" elements by NumPy "*": all agree" ]]
    change "d/gelu,7x16,bf16.vec16.precise.host.safetensors" want.out 000000000000f03f # 1.0
    change d/moe* want.ids 0000000000003040 # 16.0
    run "$python" "$top/tools/oracle.py" --engine numpy --files d/*
    [ "$status" -eq 1 ]
    has "$output" "gelu/7x16/bf16: out?0, 0?: reference 1, oracle *: more than an fp32 ulp, 1 elements"
    has "$output" "moe_routing/7x16/bf16: ids?0, 0?: reference 16, oracle *: other bits, 1 elements"
    [[ ${lines[-1]} == *": 2 cases differ" ]]
}

@test "an output of which no element was compared is no agreement" {
    python_with numpy
    on_host --op silu --shape 1x2,0x2 --dump d -q
    run "$python" "$top/tools/oracle.py" --engine numpy --files d/*
    [ "$status" -eq 0 ] || { echo "$output"; return 1; }
    change d/silu,1x2* bound.out 000000000000f07f # infinity: any value will do
    run "$python" "$top/tools/oracle.py" --engine numpy --files d/*
    [ "$status" -eq 1 ] || { echo "$output"; return 1; }
    has "$output" "silu/1x2/bf16: out: nothing was compared: each of its 1 bounds is infinite"
}

@test "a kbench that crashes is no second implementation's agreement" {
    python_with numpy
    cat >crashes <<END
#!/bin/sh
"$bin" "\$@"
case "\$*" in *"--mode list"*) ;; *) kill -ABRT \$\$ ;; esac
END
    chmod +x crashes
    run "$python" "$top/tools/oracle.py" --engine numpy --bin "$bin" --case silu/7x16/bf16 "$top/cases/activation.json"
    [ "$status" -eq 0 ] || { echo "$output"; return 1; }
    run "$python" "$top/tools/oracle.py" --engine numpy --bin ./crashes --case silu/7x16/bf16 "$top/cases/activation.json"
    [ "$status" -eq 1 ] || { echo "$output"; return 1; }
    has "$output" 'kbench ended with status -6:'
}

@test "a golden vector is a file of inputs that a kernel can be run over" {
    vectors=$top/reports/golden/vectors
    on_host --case silu/3x32/bf16/round=act --load "$vectors/silu,3x32,bf16,round=act.safetensors"
    status_is 0
    on_host --case mla_prefill/2x3x1/e4m3/lse=e --load "$vectors/mla_prefill,2x3x1,e4m3,lse=e.safetensors"
    status_is 0
}
