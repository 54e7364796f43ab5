"""silu, gelu, gelu_tanh: act(gate) * up."""
import numpy as np

from .answers import Answer

DEFAULTS = dict(round="once", layout="gate_up", clamp=0.0, filter="none", step=1, skip=0.4,
                num_valid=-1, inplace="no", in_pitch=0, out_pitch=0)

# Below half of fp32's least number a product with infinity is one of 0.
NOTHING = 2.0 ** -150


def silu(m, x):
    with np.errstate(over="ignore", invalid="ignore"):
        return x / (1 + m.exp(-x))


def gelu(m, x):
    """x times the normal distribution function, which erfc has without cancellation."""
    with np.errstate(invalid="ignore"):
        return x * (0.5 * m.erfc(-x * np.sqrt(0.5)))


def gelu_tanh(m, x):
    """0.5 (1 + tanh z) is the logistic function of 2 z."""
    with np.errstate(over="ignore", invalid="ignore"):
        z = 0.79788456080286535588 * (x + 0.044715 * x * x * x)
        return x / (1 + m.exp(-2 * z))


ACTS = dict(silu=silu, gelu=gelu, gelu_tanh=gelu_tanh)


def halves(m, case, tensor):
    """Gate and up in fp64, clamped; what lies beside them in wider rows is left out."""
    width = case.shape[-1]
    x = m.decode(tensor.kind, tensor.raw[..., :width])
    first, second = x[..., :width // 2], x[..., width // 2:]
    up_first = case.word("layout", "gate_up", "up_gate") == "up_gate"
    gate, up = (second, first) if up_first else (first, second)
    if case["clamp"]:
        limit = m.round(case.dtype, np.array([case["clamp"]]))[0]
        gate = np.where(gate > limit, limit, gate)
        up = np.where(up > limit, limit, np.where(up < -limit, -limit, up))
    return gate, up


def skipped(case, tensors, rows):
    """Rows that stay as they are."""
    kind = case.word("filter", "none", "ids", "sorted")
    if kind == "none":
        return np.zeros(rows, bool)
    row = np.arange(rows)
    out = tensors["expert_ids"].raw[row // case["step"]] == -1
    if kind == "sorted":
        valid = case["num_valid"]
        if valid < 0:  # as many as go with skip: what the padding leaves
            valid = int(tensors["num_post_padded"].raw[0])
        ids = tensors["sorted_token_ids"].raw.astype(np.int64) % 2 ** 32
        out = out | (row >= tensors["num_post_padded"].raw[0]) | (ids >= valid)
    return out


def answer(m, case, tensors):
    gate, up = halves(m, case, tensors["input"])
    act = ACTS[case.op](m, gate)
    if case.word("round", "once", "act") == "act" and case.dtype != "fp32":
        act = m.round(case.dtype, act)
    with np.errstate(invalid="ignore", over="ignore"):
        value = act * up
    value = np.where(np.isinf(up) & (np.abs(act) < NOTHING), np.nan, value)
    width = gate.shape[-1]
    rows = value.reshape(-1, width)
    keep = np.repeat(skipped(case, tensors, len(rows)), width).reshape(value.shape)
    inplace = case.word("inplace", "no", "yes") == "yes"
    name, pitch = ("input", case["in_pitch"] or 2 * width) if inplace else ("out", case["out_pitch"] or width)
    beside = [(0, 0)] * (value.ndim - 1) + [(0, pitch - width)]
    return {name: Answer(np.pad(value, beside), np.pad(keep, beside, constant_values=True))}
