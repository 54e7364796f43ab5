"""Small files of inputs and answers, neither of them from kbench's C: reports/golden/vectors/.

A file has a case's inputs by name, `out.NAME` of each output as a right kernel leaves it, and
`want.NAME` in fp64, which is kept to 32 bits, so that the last digits of a machine's exp do not show.
`want.NAME.keep` is 1 where nothing may be written, `want.NAME.slack` what an answer may be off by
beside an fp32 ulp; where that is one number it stands in the texts. `near.NAME` there: the
reference may say an interval instead, want +- bound."""
import math
import os
import random

import numpy as np

from . import files, ops
from .files import Tensor
from .numbers import RAW, SAFETENSORS

# Gates where exp overflows, erfc ends, and signs of zero and kinds show; then ups.
GATES = [0.0, -0.0, math.inf, -math.inf, math.nan, 1, -1, 88.5, -88.5, -100, 20, -20, 5, -5, -13.5, 1e-30,
         -1e-40, 3e38, -7, 0.5, 65504, -9.25, 2.5, -3]
UPS = [1.0, -2.5, 0.0, -0.0, math.inf, -math.inf, math.nan, 1e-30, 3e38, 0.3, -7.5, 300]
ACTIVATION = """
silu/3x32/bf16  silu/3x32/bf16/round=act  silu/3x32/fp16  silu/3x32/fp16/layout=up_gate  silu/3x32/fp32
silu/3x32/bf16/clamp=7  silu/6x16/bf16/filter=ids/step=2  silu/8x16/fp16/filter=sorted/num_valid=5
silu/3x32/bf16/inplace=yes  silu/2x32/bf16/in_pitch=40/out_pitch=24  gelu/3x32/bf16  gelu/3x32/fp16/round=act  gelu/3x32/fp32
gelu_tanh/3x32/bf16  gelu_tanh/3x32/fp16/layout=up_gate  gelu_tanh/3x32/fp32  gelu_tanh/3x32/bf16/round=act"""
MMA = "mma/1x3/bf16  mma/1x3/fp16  mma/1x1/e4m3"
STREAM = """
stream/32/bf16/pattern=copy  stream/32/fp32  stream/32/fp16/pattern=r2w05  stream/2050/bf16/pattern=read
stream/12/fp32/pattern=write"""
QKNORM = """
qknorm_rope/2x1x1x64/bf16  qknorm_rope/2x1x1x64/bf16/style=interleaved
qknorm_rope/2x1x1x64/fp16/rotary_dim=32  qknorm_rope/1x2x1x128/bf16/rotary_dim=32/style=interleaved
qknorm_rope/2x1x1x64/bf16/attention_factor=0.9/base=500000/factor=2.5/high=32/low=4
qknorm_rope/1x1x1x128/bf16/factor=4/original=32768/truncate=no
qknorm_rope/1x1x1x64/bf16/base=10000/factor=40/mscale=1/mscale_all_dim=0.7/original=4096
qknorm_rope/2x1x1x64/bf16/round=norm  qknorm_rope/2x1x1x64/bf16/round=scaled/table=dtype
qknorm_rope/2x1x1x64/fp16/round=norm/table=dtype  qknorm_rope/2x1x1x64/bf16/in_pitch=208
qknorm_rope/1x1x1x256/bf16/eps=1e-05"""
PREFILL = """
mla_prefill/2x3x1/e4m3/lse=e  mla_prefill/2x3x1/bf16/lse=2  mla_prefill/2x3x1/fp16/causal=no
mla_prefill/3x2x1/bf16/lse=e  mla_prefill/2x0x1/bf16/causal=no/lse=e
mla_prefill/3x4x1/e4m3/kv_lens=3+1/lse=e/q_lens=1+2  mla_prefill/1x3x2/bf16/kv_heads=1
mla_prefill/2x2x1/bf16/scale=0.5/value=slice  mla_prefill/2x2x1/e4m3/k_pitch=208/q_pitch=256"""
MERGE = """
merge_state/6x1x16/bf16  merge_state/6x1x16/fp16/lse_base=2  merge_state/6x1x16/fp32
merge_state/6x1x16/bf16/inplace=yes"""
PACK = "mla_kv_pack_quantize/1x1/bf16  mla_kv_pack_quantize/1x1/fp16/scale=2.5/source=packed"
QUANT = """
silu_mul_quant/3x64/bf16/group=16  silu_mul_quant/3x64/bf16/group=16/ue8m0=yes
silu_mul_quant/3x64/bf16/group=16/layout=up_gate/scale_layout=col
silu_mul_quant/3x96/fp16/group=16/scale_layout=col_tma
silu_mul_quant/3x160/bf16/group=16/scale_layout=packed/ue8m0=yes
silu_mul_quant/3x64/bf16/group=16/round=both  silu_mul_quant/3x64/bf16/group=16/round=product/ue8m0=yes
silu_mul_quant/3x64/fp16/clamp=5/group=16/round=both
silu_mul_quant/6x64/bf16/experts=2/group=16/mask=imbalanced/scale_layout=packed/ue8m0=yes
silu_mul_quant/1x256/bf16/eps=1e-06  silu_mul_quant/2x64/bf16/group=16/in_pitch=72"""
ROUTING = """
moe_routing/7x16/bf16/topk=4  moe_routing/7x16/fp16/topk=4  moe_routing/7x13/fp32/topk=5
moe_routing/7x16/bf16/mode=eager/topk=4  moe_routing/7x16/fp16/mode=eager/topk=4
moe_routing/7x16/bf16/ties=high/topk=4  moe_routing/7x16/bf16/ties=any/topk=4
moe_routing/7x16/bf16/norm=all/topk=4  moe_routing/7x16/fp32/norm=scaled/topk=4
moe_routing/7x16/fp32/scale=none/topk=4  moe_routing/7x16/bf16/scale=before/topk=4
moe_routing/7x16/bf16/scale_dtype=fp32/topk=16  moe_routing/1x8/fp32/topk=4"""


class Maker:
    """Inputs of a case: numbers drawn by its id, the same ones everywhere."""

    def __init__(self, maths, case):
        self.maths, self.case, self.draw, self.tensors = maths, case, random.Random(case.id), {}

    def put(self, name, dtype, shape, values):
        """Numbers, rounded to a dtype of kbench's."""
        kind = SAFETENSORS[dtype]
        flat = np.array(list(values), np.float64)
        raw = flat.astype(RAW[kind]) if dtype in ("i32", "u8") else self.maths.encode(dtype, flat)
        self.tensors[name] = Tensor(kind, raw.reshape(shape))

    def normal(self, n, scale=1.0, mean=0.0):
        return [mean + scale * self.draw.gauss(0, 1) for _ in range(n)]

    def spiced(self, n, special, scale=1.0):
        """Normal numbers, every third one a special one in turn."""
        start = self.draw.randrange(len(special))
        return [special[(start + i // 3) % len(special)] if i % 3 == 0 else v
                for i, v in enumerate(self.normal(n, scale))]


def activation(k):
    rows, width = k.case.shape
    first, second = (UPS, GATES) if k.case["layout"] == "up_gate" else (GATES, UPS)
    values, pitch = [], k.case["in_pitch"] or width
    for _ in range(rows):
        values += k.spiced(width // 2, first, 4) + k.spiced(width // 2, second, 2)
        values += [math.nan] * (pitch - width)
    k.put("input", k.case.dtype, [rows, pitch], values)
    if k.case["filter"] != "none":
        k.put("expert_ids", "i32", [-(-rows // k.case["step"])],
              [[3, -1, 0][i % 3] for i in range(-(-rows // k.case["step"]))])
    if k.case["filter"] == "sorted":
        k.put("sorted_token_ids", "i32", [rows], [[0, 4, 5, -1, 2, 7, 1, 3][i % 8] for i in range(rows)])
        k.put("num_post_padded", "i32", [1], [rows - 1])


def stream(k):
    kind = SAFETENSORS[k.case.dtype]
    size = np.dtype(RAW[kind]).itemsize
    elements = 1 if k.case["pattern"] == "write" else k.case.shape[0]
    bits = [k.draw.getrandbits(8 * size) for _ in range(elements)]
    raw = np.array(bits, {2: np.uint16, 4: np.uint32}[size]).view(RAW[kind])
    k.tensors["input"] = Tensor(kind, raw)


def mma(k):
    depth = 32 // np.dtype(RAW[SAFETENSORS[k.case.dtype]]).itemsize
    for name, rows in (("a", 128), ("b", 256)):
        k.put(name, k.case.dtype, [rows, depth], map(abs, k.normal(rows * depth)))


def qknorm(k):
    tokens, heads, kv_heads, width = k.case.shape
    row = (heads + 2 * kv_heads) * width
    pitch = k.case["in_pitch"] or row
    k.put("qkv", k.case.dtype, [tokens, pitch], k.normal(tokens * pitch))
    k.put("q_weight", k.case.dtype, [width], k.normal(width, 0.2, 1))
    k.put("k_weight", k.case.dtype, [width], k.normal(width, 2))
    k.put("position_ids", "i32", [tokens], [[131071, 3, 0][i % 3] for i in range(tokens)])


def prefill(k):
    case, (q, keys, heads) = k.case, k.case.shape
    kv_heads = case["kv_heads"] or heads

    def slices(name, tokens, n, pitch):
        shape = [tokens, pitch] if pitch else [tokens, n, 192]
        k.put(name, case.dtype, shape, k.normal(tokens * (pitch or n * 192)))
    slices("query", q, heads, case["q_pitch"])
    slices("key", keys, kv_heads, case["k_pitch"])
    wide = 256 if case["value"] == "slice" else 128
    k.put("value", case.dtype, [keys, kv_heads, wide], k.normal(keys * kv_heads * wide))
    for name, lens in (("cum_q", case["q_lens"] or [q]), ("cum_kv", case["kv_lens"] or [keys])):
        k.put(name, "i32", [len(lens) + 1], np.cumsum([0] + lens))


def merge(k):
    tokens, heads, width = k.case.shape
    sums = {"s_a": [2, -math.inf, 0.5, -math.inf, 40, -3], "s_b": [1, 0.25, -math.inf, -math.inf, -40, -3.5]}
    for side in "ab":
        k.put("v_" + side, k.case.dtype, k.case.shape, k.normal(tokens * heads * width))
        k.put("s_" + side, "fp32", [tokens, heads], (sums["s_" + side] * heads)[:tokens * heads])


def pack(k):
    special = [2.0 ** -10, 1.5 * 2.0 ** -9, 2.5 * 2.0 ** -9, 2.0 ** -6, 1.0625, 1.1875, 240, 432, 448, 449, 464,
               465, 60000, math.inf, -math.inf, math.nan, -0.0, -1.0625, 1e-30]
    tokens, heads = k.case.shape

    def put(name, shape):
        k.put(name, k.case.dtype, shape, k.spiced(math.prod(shape), special, 8))
    if k.case["source"] == "packed":
        put("kv", [tokens, heads, 256])
    else:
        put("k_nope", [tokens, heads, 128])
        put("v", [tokens, heads, 128])
    put("k_pe", [tokens, 64])


def quant(k):
    case, (rows, width) = k.case, k.case.shape
    masked, hidden, group = case["mask"] != "none", width // 2, case["group"]
    gates, ups = np.array(k.normal(rows * hidden, 2)), np.array(k.normal(rows * hidden, 2))
    groups = gates.reshape(-1, group), ups.reshape(-1, group)
    for g in range(len(groups[0])):  # zeros, one number, an edge, magnitudes, then kinds
        if g % 7 == 1:
            groups[0][g], groups[1][g] = 0, -1
        elif g % 7 == 2:
            groups[0][g], groups[1][g, :-1] = 64, 0  # silu(64) is 64
            groups[1][g, -1] = 7 * 2.0 ** (g % 5 - 3)
        elif g % 7 == 3:
            groups[1][g] *= 2.0 ** -20
        elif g % 7 == 5 and rows > 1:
            groups[0][g, 3] = math.nan
        elif g % 7 == 6 and rows > 1:
            groups[1][g, 2], groups[0][g, 2] = math.inf, 2
    halves = [gates.reshape(rows, hidden), ups.reshape(rows, hidden)]
    if case["layout"] == "up_gate":
        halves.reverse()
    lead = [case["experts"], rows // case["experts"]] if masked else [rows]
    pitch = case["in_pitch"] or width
    beside = np.full((rows, pitch - width), np.nan)
    k.put("input", case.dtype, lead + [pitch], np.concatenate(halves + [beside], 1).ravel())
    if masked:
        k.put("masked_m", "i32", [case["experts"]], [[2, 0, 3][i % 3] for i in range(case["experts"])])
    per, n = lead[-1], hidden // group
    up4 = -(-per // 4) * 4
    shape = {"row": [per, n], "col": [n, per], "col_tma": [n, up4], "packed": [-(-n // 4), up4, 4]}
    shape = (lead[:1] if masked else []) + shape[case["scale_layout"]]
    # Room for what a kernel leaves; scales of 0 are no kernel's, so that codes go by the right ones.
    k.put("out.y_s", "u8" if case["scale_layout"] == "packed" else "fp32", shape, [0] * math.prod(shape))
    k.put("out.y_q", "e4m3", lead + [hidden], [0] * (rows * hidden))


def routing(k):
    tokens, experts = k.case.shape
    if tokens == 1:  # equal ones, and zeros of both signs
        logits, scale = [1, 2, 2, -1, 0.5, 2, 0.0, -0.0], [1, .5, 2, 1, 1, 1.5, 1, 1]
    else:
        rows = [k.normal(experts), [round(2 * v) / 2 for v in k.normal(experts)], [0.0, -0.0] * experts,
                [1000.0] + [-float(i) for i in range(experts)], [-math.inf] * (experts - 2) + [1, 2.5],
                [math.inf, 1, math.nan, -math.inf, 3] + k.normal(experts),
                [1 + i % 3 * 2.0 ** -23 for i in range(experts)]]  # of fp32 neighbours, else equal
        logits = [v for row in rows for v in row[:experts]]
        scale = [1 + i / 64 for i in range(experts)]
    k.put("logits", k.case.dtype, k.case.shape, logits)
    if k.case["scale"] != "none":
        dtype = k.case["scale_dtype"]
        k.put("per_expert_scale", k.case.dtype if dtype == "same" else dtype, [experts], scale)
    if k.case["ties"] == "any":  # a right kernel's: of equal ones the lower id
        low = ops.answer(k.maths, ops.case_of(k.case.id.replace("/ties=any", "")), k.tensors)
        k.put("out.ids", "i32", [tokens, k.case["topk"]], low["ids"].value.ravel())


LISTS = ((ACTIVATION, activation), (STREAM, stream), (MMA, mma), (QKNORM, qknorm), (PREFILL, prefill), (MERGE, merge),
         (PACK, pack), (QUANT, quant), (ROUTING, routing))


def shortened(x):
    """To 32 significant bits; a NaN to one of no sign."""
    fraction, e = np.frexp(x)
    return np.where(np.isnan(x), np.nan, np.ldexp(np.round(fraction * 2.0 ** 32), e - 32))


# ---- files -------------------------------------------------------------------------------


def left_by_kernel(maths, case, name, answer, tensors):
    """An output in its dtype; what is kept holds what was there, or the poison's place 0."""
    if case.op in ("silu", "gelu", "gelu_tanh", "qknorm_rope"):
        dtype = case.dtype
    elif case.op == "mma":
        dtype = "fp32"
    else:
        dtype = {"y_q": "e4m3", "y_s": "fp32", "lse": "fp32", "s": "fp32", "s_a": "fp32", "weights": "fp32",
                 "out": "bf16" if case.dtype == "e4m3" else case.dtype}.get(name, case.dtype)
    if name == "y_s" and case["scale_layout"] == "packed":
        return Tensor("U8", answer.value.astype(np.uint8))
    if name in ("k_fp8", "v_fp8"):
        return Tensor("F8_E4M3", answer.value.astype(np.uint8))
    if name == "ids":
        return Tensor("I32", answer.value.astype(np.int32))
    if case.op == "stream":
        kind = SAFETENSORS[case.dtype]
        bits = answer.value.astype({"F32": np.uint32}.get(kind, np.uint16))
        return Tensor(kind, bits.view(RAW[kind]))
    raw = maths.encode(dtype, np.where(np.isnan(answer.value), np.nan, answer.value))
    if answer.keep is not None:
        before = tensors[name].raw if name in tensors else np.zeros_like(raw)
        raw = np.where(answer.keep, before, raw)
    return Tensor(SAFETENSORS[dtype], raw)


def add_answer(name, answer, tensors, texts):
    value = answer.value if answer.bits else shortened(answer.value)
    keep = np.zeros(value.shape, bool) if answer.keep is None else answer.keep
    tensors["want." + name] = Tensor("F64", np.where(keep, 0, value))
    if keep.any():
        tensors["want.%s.keep" % name] = Tensor("U8", keep.astype(np.uint8))
    slack = np.max(answer.slack, initial=0)
    if slack > 1e-9:
        tensors["want.%s.slack" % name] = Tensor("F64", np.array(answer.slack, np.float64))
    elif slack:
        texts["slack." + name] = "%.2g" % slack
    if answer.near is not None:
        texts["near." + name] = "0.5" if isinstance(answer.near, float) else "0"


def write_one(maths, folder, text, fill):
    case = ops.case_of(text)
    maker = Maker(maths, case)
    fill(maker)
    tensors, texts = maker.tensors, {"format": "kbench-vector/1", "case": text, "by": "tools/oracle.py"}
    answers = ops.answer(maths, case, tensors)
    for name, answer in answers.items():
        tensors["out." + name] = left_by_kernel(maths, case, name, answer, tensors)
        add_answer(name, answer, tensors, texts)
    files.write(os.path.join(folder, text.replace("/", ",") + ".safetensors"), tensors, texts)


def write_all(maths, folder):
    """All of them anew; what else is in the folder goes. Returns how many."""
    os.makedirs(folder, exist_ok=True)
    for name in os.listdir(folder):
        if name.endswith(".safetensors"):
            os.remove(os.path.join(folder, name))
    n = 0
    for texts, fill in LISTS:
        for text in texts.split():
            write_one(maths, folder, text, fill)
            n += 1
    return n
