"""silu_mul_quant: silu(gate) * up, then e4m3 codes and one scale for each group of a row."""
import numpy as np

from .activation import NOTHING, halves, silu
from .answers import Answer
from .numbers import f32, ulp32

DEFAULTS = dict(round="none", layout="gate_up", group=128, scale_layout="row", ue8m0="no", eps=1e-10,
                clamp=0.0, mask="none", experts=8, in_pitch=0)
TOP = 448.0
FP32_END = 2.0 ** 128 * (1 - 2.0 ** -25)  # from here on fp32 is infinite


def products(m, case, tensors):
    gate, up = halves(m, case, tensors["input"])
    kind = case.word("round", "none", "both", "product")
    act = silu(m, gate)
    if kind == "both":
        act = m.round(case.dtype, act)
    with np.errstate(invalid="ignore", over="ignore"):
        y = act * up
    y = np.where(np.isinf(up) & (np.abs(act) < NOTHING), np.nan, y)
    if kind != "none":
        y = m.round(case.dtype, y)
    return np.where(np.abs(y) >= FP32_END, np.copysign(np.inf, y), y)


def powers(s):
    """The least power of two that is s or more, from 2^-126 to 2^127."""
    fraction, e = np.frexp(s)
    return np.ldexp(1.0, np.clip(np.where(fraction == 0.5, e - 1, e), -126, 127))


def scales(m, case, y):
    """Of groups y[expert, row, group, :]: NaN where one is NaN."""
    amax = np.abs(y).max(-1)
    s = np.maximum(amax, f32(case["eps"])) / TOP
    if case["ue8m0"] == "yes":
        with np.errstate(invalid="ignore"):
            s = np.where(np.isinf(s), 2.0 ** 127, np.where(np.isnan(s), np.nan, powers(s)))
    return s


def unpack(case, raw, shape):
    """y_s as it lies in memory, into [expert, row, group], padding and all."""
    experts, rows, groups = shape
    layout = case.word("scale_layout", "row", "col", "col_tma", "packed")
    if layout == "row":
        return raw.reshape(experts, rows, groups)
    up = rows if layout == "col" else -(-rows // 4) * 4
    if layout == "packed":
        fours = -(-groups // 4)
        return raw.reshape(experts, fours, up, 4).transpose(0, 2, 1, 3).reshape(experts, up, 4 * fours)
    return raw.reshape(experts, groups, up).transpose(0, 2, 1)


def lay_out(case, values, keep, like):
    """[expert, row, group] into the layout of y_s; padding is 0, but no group of a row that is
    masked is written."""
    experts, rows, groups = values.shape
    where = unpack(case, np.arange(like.size).reshape(like.shape), values.shape)
    out, kept = np.zeros(like.size), np.zeros(like.size, bool)
    out[where[:, :rows, :groups]] = values
    kept[where[:, :rows]] = keep[:, :, :1]
    return out.reshape(like.shape), kept.reshape(like.shape)


def stored_scales(case, tensors, shape, own):
    """The scales that the kernel stored, which its codes are held against, where they are such as a
    right kernel stores: there the reference's own bound is taken for right."""
    raw, bound = tensors["out.y_s"].raw, tensors.get("bound.y_s")
    bound = unpack(case, bound.raw if bound else np.zeros(raw.shape), shape)[:, :shape[1], :shape[2]]
    rows, groups = shape[1:]
    with np.errstate(invalid="ignore"):  # poison
        stored = unpack(case, raw, shape)[:, :rows, :groups].astype(np.float64)
    if case["scale_layout"] == "packed":
        stored = np.ldexp(1.0, stored.astype(np.int64) - 127)
    with np.errstate(invalid="ignore", over="ignore"):
        if case["ue8m0"] == "yes":
            fits = (stored == own) | (stored == own / 2) | (stored == own * 2)
        else:
            fits = (np.abs(stored - own) <= 8 * bound + ulp32(own)) & np.isfinite(own)
    return np.where(fits, stored, own)


def codes(y, s, ue8m0):
    s = s[..., None]
    with np.errstate(invalid="ignore", over="ignore"):
        q = np.clip(y / s, -TOP, TOP)
    q = np.where(np.isinf(s), np.where(np.isinf(y), np.nan, 0), q)
    if ue8m0:  # a finite scale: infinite y saturates
        q = np.where(np.isinf(y), np.copysign(TOP, y), q)
    return np.where(np.isnan(s), np.nan, q)


def answer(m, case, tensors):
    y = products(m, case, tensors)
    width, group, masked = y.shape[-1], case["group"], case["mask"] != "none"
    experts = case["experts"] if masked else 1
    y = y.reshape(experts, y[..., 0].size // experts, width // group, group)
    keep = np.zeros(y.shape[:3], bool)
    if masked:
        counts = tensors["masked_m"].raw[:, None, None]
        keep = np.broadcast_to(np.arange(y.shape[1])[None, :, None] >= counts, keep.shape)
    ue8m0 = case.word("ue8m0", "no", "yes") == "yes"
    own = scales(m, case, y)
    like = tensors["out.y_s"].raw
    q = codes(y, stored_scales(case, tensors, y.shape[:3], own), ue8m0)
    # Of a tie by an exact scale `want` is drawn to the even side, by 2^-10 of the way.
    with np.errstate(invalid="ignore"):
        drawn = np.abs(m.round("e4m3", q) - q) * 2.0 ** -10
    drawn = np.where(np.isfinite(drawn), drawn, 0) * (case["round"] != "none")
    stored = own
    if case["scale_layout"] == "packed":
        with np.errstate(invalid="ignore"):
            stored = np.where(np.isnan(own), 255, np.log2(np.where(np.isnan(own), 1, own)) + 127)
    value, kept = lay_out(case, stored, keep, like)
    shape = tensors["out.y_q"].raw.shape
    # A power is meant to be told from its neighbours in fp32: want is a quarter of a step high.
    # A byte: half a step is free.
    near = 0.5 if case["scale_layout"] == "packed" else np.abs(value) * 2.0 ** -24 if ue8m0 else None
    return {"y_q": Answer(q.reshape(shape), np.repeat(keep, group, -1).reshape(shape), drawn.reshape(shape)),
            "y_s": Answer(value, kept, near=near)}
