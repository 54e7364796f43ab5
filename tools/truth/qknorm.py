"""qknorm_rope: RMSNorm of q and k heads, then the rotary embedding, in place."""
import math

import numpy as np

from .answers import Answer
from .numbers import f32

DEFAULTS = dict(style="neox", rotary_dim=0, eps=1e-6, base=1e6, factor=1.0, low=0.0, high=0.0,
                attention_factor=0.0, original=0, max_position=0, beta_fast=32.0, beta_slow=1.0,
                mscale=0.0, mscale_all_dim=0.0, truncate="yes", positions="arange", position=0,
                weights="near_one", round="once", table="fp32", angle="fp32", in_pitch=0)


def mscale(factor, m=1.0):
    return 1.0 if factor <= 1 else 0.1 * m * math.log(factor) + 1


def yarn(case, dim):
    """factor, low, high, attention factor: as given, or from a model's configuration."""
    factor, low, high, scale = case["factor"], case["low"], case["high"], case["attention_factor"]
    original, base = case["original"], f32(case["base"])
    if original:
        if case["max_position"]:
            factor = case["max_position"] / original

        def pair_of(turns):
            return dim * math.log(original / (2 * math.pi * turns)) / (2 * math.log(base))
        low, high = pair_of(case["beta_fast"]), pair_of(case["beta_slow"])
        if case.word("truncate", "yes", "no") == "yes":
            low, high = math.floor(low), math.ceil(high)
        low, high = max(low, 0), min(high, dim - 1)
        if not scale and case["mscale"] and case["mscale_all_dim"]:
            scale = mscale(factor, case["mscale"]) / mscale(factor, case["mscale_all_dim"])
        elif not scale:
            scale = mscale(factor)
    return f32(factor), f32(low), f32(high), f32(scale) if scale else 1.0


def frequencies(case, dim):
    factor, low, high, scale = yarn(case, dim)
    k = np.arange(dim // 2)
    f = np.array([math.pow(f32(case["base"]), -2.0 * i / dim) for i in k])
    if factor != 1:
        high = high + 0.001 if abs(low - high) <= 1e-6 else high
        ramp = np.clip((k - low) / (high - low), 0, 1)
        f = f / factor * ramp + f * (1 - ramp)
    return f, scale


def rotate(m, case, y, positions, dim):
    """The first `dim` elements of heads y[token, head, :]; and what of an fp64 number may cancel."""
    f, scale = frequencies(case, dim)
    turn = np.asarray(positions, np.float32).astype(np.float64)[:, None, None] * f
    c, s = m.cos(turn), m.sin(turn)
    if case.word("table", "fp32", "dtype") == "dtype":
        c, s = m.round(case.dtype, c), m.round(case.dtype, s)
    if case.word("style", "neox", "interleaved") == "neox":
        a, b = slice(0, dim // 2), slice(dim // 2, dim)
    else:
        a, b = slice(0, dim, 2), slice(1, dim, 2)
    ya, yb, out, slack = y[..., a], y[..., b], y.copy(), np.zeros(y.shape)
    with np.errstate(invalid="ignore"):
        out[..., a], out[..., b] = (ya * c - yb * s) * scale, (yb * c + ya * s) * scale
        # cos and sin are as good as the angle is: turn * 2^-52 of it, and the sum of two products
        lost = (np.abs(ya) + np.abs(yb)) * scale * (4 + np.abs(turn)) * 2.0 ** -52
    slack[..., a] = slack[..., b] = np.where(np.isfinite(lost), lost, 0)
    return out, slack


def answer(m, case, tensors):
    qkv = tensors["qkv"]
    tokens, heads, kv_heads, width = case.shape
    row = (heads + 2 * kv_heads) * width  # of a buffer that may be wider
    x = m.decode(qkv.kind, qkv.raw[:, :row]).reshape(tokens, heads + 2 * kv_heads, width)
    normed = x[:, :heads + kv_heads]
    w = [m.decode(tensors[name].kind, tensors[name].raw) for name in ("q_weight", "k_weight")]
    weight = np.concatenate([np.broadcast_to(w[0], (heads, width)), np.broadcast_to(w[1], (kv_heads, width))])
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        r = 1 / m.sqrt(np.mean(normed * normed, -1, keepdims=True) + f32(case["eps"]))
        kind = case.word("round", "once", "norm", "scaled")
        if kind == "scaled":
            y = m.round(case.dtype, m.round(case.dtype, normed * r) * weight)
        else:
            y = normed * r * weight
        if kind == "norm":
            y = m.round(case.dtype, y)
    dim = case["rotary_dim"] or width
    out, slack = rotate(m, case, y, tensors["position_ids"].raw, dim)
    # A NaN of the pair makes both of it NaN by the formula as it stands.
    value, all_slack, keep = x.copy(), np.zeros(x.shape), np.ones(x.shape, bool)
    value[:, :heads + kv_heads], all_slack[:, :heads + kv_heads] = out, slack
    keep[:, :heads + kv_heads] = False
    beside = [(0, 0), (0, qkv.raw.shape[1] - row)]

    def wide(a, rest):
        return np.pad(a.reshape(tokens, row), beside, constant_values=rest)
    return {"qkv": Answer(wide(value, 0), wide(keep, True), wide(all_slack, 0))}
