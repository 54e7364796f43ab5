"""peers_triton.py - the ops in Triton, as a careful user writes them: one pass, one launch, block
sizes by the shape. What Triton is good for without tuning for one GPU."""
import torch
import triton
import triton.language as tl
from triton.language.extra import libdevice


@triton.jit
def _activation(x, out, hidden, ACT: tl.constexpr, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    col = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = col < hidden
    gate = tl.load(x + row * 2 * hidden + col, mask=inside).to(tl.float32)
    up = tl.load(x + row * 2 * hidden + hidden + col, mask=inside).to(tl.float32)
    if ACT == 0:
        act = gate * tl.sigmoid(gate)
    elif ACT == 1:
        act = 0.5 * gate * (1 + libdevice.erf(gate * 0.7071067811865476))
    else:
        act = gate * tl.sigmoid(1.5957691216057308 * (gate + 0.044715 * gate * gate * gate))
    tl.store(out + row * hidden + col, (act * up).to(out.dtype.element_ty), mask=inside)


def activation(kind):
    def run(input):
        hidden = input.shape[-1] // 2
        rows = input.numel() // (2 * hidden)
        out = input.new_empty((*input.shape[:-1], hidden))
        block = min(1024, triton.next_power_of_2(hidden))
        _activation[(rows, triton.cdiv(hidden, block))](input, out, hidden, ACT=kind, BLOCK=block,
                                                         num_warps=max(1, min(4, block // 256)))
        return (out,)
    return run


@triton.jit
def _quant(x, q, s, hidden, groups, eps, s_row, s_group, POWERS: tl.constexpr,
           GROUP: tl.constexpr, GROUPS: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    group = tl.program_id(1) * GROUPS + tl.arange(0, GROUPS)
    col = group[:, None] * GROUP + tl.arange(0, GROUP)[None, :]
    inside = col < hidden
    gate = tl.load(x + row * 2 * hidden + col, mask=inside, other=0.0).to(tl.float32)
    up = tl.load(x + row * 2 * hidden + hidden + col, mask=inside, other=0.0).to(tl.float32)
    y = gate * tl.sigmoid(gate) * up
    scale = tl.maximum(tl.max(tl.abs(y), 1), eps) / 448.0
    if POWERS:
        scale = tl.exp2(tl.ceil(tl.log2(scale)))
    code = tl.clamp(y / scale[:, None], -448.0, 448.0).to(tl.float8e4nv)
    tl.store(q + row * hidden + col, code, mask=inside)
    tl.store(s + row * s_row + group.to(tl.int64) * s_group, scale, mask=group < groups)


def silu_mul_quant(group, eps, powers, rows_apart):
    def run(input):
        tokens, hidden = input.shape[0], input.shape[1] // 2
        groups = hidden // group
        q = torch.empty((tokens, hidden), dtype=torch.float8_e4m3fn, device=input.device)
        if rows_apart:
            s = torch.empty((tokens, groups), dtype=torch.float32, device=input.device)
        else:
            s = torch.empty((groups, -(-tokens // 4) * 4), dtype=torch.float32, device=input.device).t()
        at_once = min(8, triton.next_power_of_2(groups))
        _quant[(tokens, triton.cdiv(groups, at_once))](input, q, s, hidden, groups, eps, s.stride(0), s.stride(1),
                                                        POWERS=powers, GROUP=group, GROUPS=at_once,
                                                        num_warps=max(1, min(4, at_once * group // 256)))
        return q, s
    return run


@triton.jit
def _route(logits, scales, weights, ids, tokens, experts, TOPK: tl.constexpr, SLOTS: tl.constexpr,
           EXPERTS: tl.constexpr, ROWS: tl.constexpr):
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    expert = tl.arange(0, EXPERTS)
    slot = tl.arange(0, SLOTS)
    inside = (row[:, None] < tokens) & (expert[None, :] < experts)
    left = tl.load(logits + row[:, None].to(tl.int64) * experts + expert[None, :], mask=inside,
                   other=float("-inf")).to(tl.float32)
    best = tl.full((ROWS, SLOTS), float("-inf"), tl.float32)
    which = tl.zeros((ROWS, SLOTS), tl.int32)
    for k in tl.static_range(TOPK):
        value = tl.max(left, 1)
        place = tl.argmax(left, 1)
        best = tl.where(slot[None, :] == k, value[:, None], best)
        which = tl.where(slot[None, :] == k, place[:, None], which)
        left = tl.where(expert[None, :] == place[:, None], float("-inf"), left)
    power = tl.exp(best - tl.max(best, 1)[:, None])
    share = power / tl.sum(power, 1)[:, None]
    scale = tl.load(scales + which).to(tl.float32)
    at = row[:, None].to(tl.int64) * TOPK + slot[None, :]
    mask = (row[:, None] < tokens) & (slot[None, :] < TOPK)
    tl.store(weights + at, share * scale, mask=mask)
    tl.store(ids + at, which, mask=mask)


def routing(topk):
    def run(logits, scale):
        tokens, experts = logits.shape
        weights = torch.empty((tokens, topk), dtype=torch.float32, device=logits.device)
        ids = torch.empty((tokens, topk), dtype=torch.int32, device=logits.device)
        rows = 1 if tokens < 4096 else 4
        _route[(triton.cdiv(tokens, rows),)](logits, scale, weights, ids, tokens, experts, TOPK=topk,
                                             SLOTS=triton.next_power_of_2(topk),
                                             EXPERTS=triton.next_power_of_2(experts), ROWS=rows,
                                             num_warps=rows)
        return weights, ids
    return run


def kernel_of(case):
    """The op of a case in Triton; None: there is none."""
    acts = {"silu": 0, "gelu": 1, "gelu_tanh": 2}
    settings = case["set"]
    if case["op"] in acts:
        return activation(acts[case["op"]])
    if case["op"] == "silu_mul_quant" and settings["scale_layout"] != "packed":
        return silu_mul_quant(settings["group"], settings["eps"], settings["ue8m0"] == "yes",
                              settings["scale_layout"] == "row")
    if case["op"] == "moe_routing":
        return routing(settings["topk"])
    return None
