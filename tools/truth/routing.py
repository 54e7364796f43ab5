"""moe_routing: the topk experts of each token, and a softmax over their logits."""
import numpy as np

from .answers import Answer
from .files import Tensor

DEFAULTS = dict(topk=8, mode="fp32", ties="low", norm="selected", scale="after", scale_dtype="same",
                in_pitch=0)


def sort_keys(values, bits):
    """Integers in the order of the logits: +NaN > +inf > ... > +0 > -0 > ... > -inf > -NaN."""
    bits = bits.astype(np.int64)
    negative = bits >= 2 ** 31
    return np.where(negative, 2 ** 32 - 1 - bits, bits + 2 ** 31)


def select(m, case, logits, bits):
    keys = sort_keys(logits, bits)
    if case.word("ties", "low", "high", "any") == "high":
        n = keys.shape[-1]
        return keys, n - 1 - m.order(keys[:, ::-1])[:, :case["topk"]]
    return keys, m.order(keys)[:, :case["topk"]]


def fp32_bits(m, tensor):
    """Logits in fp32, NaNs with their payload."""
    if tensor.kind == "F32":
        return np.ascontiguousarray(tensor.raw).view(np.uint32)
    if tensor.kind == "BF16":
        return tensor.raw.astype(np.uint32) << 16
    raw = tensor.raw.astype(np.uint32)  # fp16: NaNs with sign and payload, the rest by value
    value = m.decode("F16", tensor.raw).astype(np.float32).view(np.uint32)
    nan = (raw & 0x7C00 == 0x7C00) & (raw & 0x3FF != 0)
    return np.where(nan, (raw & 0x8000) << 16 | 0x7F800000 | (raw & 0x3FF) << 13, value)


def softmax(m, case, l, every):
    """p / d of the selected logits, as fused kernels have NaN and infinities."""
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        number = np.where(np.isnan(every), -np.inf, every)
        top = number.max(-1, keepdims=True)
        p = m.exp(l - top)
        if case.word("norm", "selected", "all", "scaled") == "all":
            d = m.exp(every - top).sum(-1, keepdims=True)
        else:
            d = p.sum(-1, keepdims=True)
        if case.word("mode", "fp32", "eager") == "fp32":
            d = np.where(d > 0, d, 1)
        return p / d


def answer(m, case, tensors):
    raw = Tensor(tensors["logits"].kind, tensors["logits"].raw[..., :case.shape[-1]])
    logits, bits = m.decode(raw.kind, raw.raw), fp32_bits(m, raw)
    where = case.word("scale", "after", "none", "before")
    scale = np.ones(logits.shape[-1])
    if where != "none":
        t = tensors["per_expert_scale"]
        scale = m.decode(t.kind, t.raw)
    if where == "before":
        with np.errstate(invalid="ignore", over="ignore"):
            logits = m.round("fp32", logits * scale)
        # A product that is NaN is +NaN, whatever the machine makes of its sign and payload.
        bits = np.where(np.isnan(logits), 0x7FFFFFFF, logits.astype(np.float32).view(np.uint32))
    keys, ids = select(m, case, logits, bits)
    chosen = ids
    if case["ties"] == "any":
        chosen = tensors["out.ids"].raw.astype(np.int64)
        mine, theirs = (np.take_along_axis(keys, x, -1) for x in (ids, chosen))
        if (mine != theirs).any() or any(len(set(row)) < len(row) for row in chosen.tolist()):
            raise ValueError("the kernel's ids are none of the right ones")
    w = softmax(m, case, np.take_along_axis(logits, chosen, -1), logits)
    eager = case.word("mode", "fp32", "eager") == "eager" and case.dtype != "fp32"
    if eager:
        w, scale = m.round(case.dtype, w), m.round(case.dtype, scale)
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        if where == "after":
            w = w * scale[chosen]
            if eager:
                w = m.round(case.dtype, w)
        if case["norm"] == "scaled":
            w = w / w.sum(-1, keepdims=True)
            if eager:
                w = m.round(case.dtype, w)
    return {"weights": Answer(w), "ids": Answer(ids, near=0.5) if case["ties"] == "any" else Answer(ids, bits=True)}
