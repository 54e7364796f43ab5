"""mla_prefill, merge_state, mla_kv_pack_quantize."""
import math

import numpy as np

from .answers import Answer
from .numbers import f32

PREFILL = dict(q_lens=[], kv_lens=[], kv_heads=0, causal="yes", lse="none", scale=0.0, value="own",
               q_pitch=0, k_pitch=0)
MERGE = dict(lse_base="e", inplace="no")
PACK = dict(scale=1.0, source="separate", in_pitch=0, pe_pitch=0, out_pitch=0)


def lengths(case):
    q, k = case["q_lens"], case["kv_lens"]
    if not q and not k:
        return [case.shape[0]], [case.shape[1]]
    return q or k, k or q


def attend(m, case, q, k, v, scale):
    """One sequence and head: rows of the output, logarithms of sums, sums of |terms|."""
    n, keys = len(q), len(k)
    seen = np.ones((n, keys), bool)
    if case.word("causal", "yes", "no") == "yes":
        seen = np.arange(keys)[None, :] <= np.arange(n)[:, None] + (keys - n)
    out, lse, size = np.zeros((n, v.shape[1])), np.full(n, -np.inf), np.zeros((n, v.shape[1]))
    some = seen.any(1)
    if not some.any():
        return out, lse, size
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        scores = np.where(seen, scale * m.matmul(q, k.T), -np.inf)[some]
        top = scores.max(1, keepdims=True)
        p = np.where(seen[some], m.exp(scores - top), 0)
        total = p.sum(1, keepdims=True)
        # What is not seen takes no part, whatever it holds.
        if np.isfinite(v).all():
            sums, sizes = m.matmul(p, v), m.matmul(p, np.abs(v))
        else:
            sums = np.array([(row[s, None] * v[s]).sum(0) for row, s in zip(p, seen[some])])
            sizes = np.array([(row[s, None] * np.abs(v[s])).sum(0) for row, s in zip(p, seen[some])])
        out[some], size[some] = sums / total, sizes / total
        lse[some] = (top + m.log(total))[:, 0]
    return out, lse, size


def prefill(m, case, tensors):
    def heads_of(name, n):
        """[token, head, 192] of a buffer whose rows may be wider."""
        raw = tensors[name].raw
        raw = raw.reshape(len(raw), raw.size // max(len(raw), 1))[:, :n * 192]
        return m.decode(tensors[name].kind, raw).reshape(len(raw), n, 192)
    heads = case.shape[2]
    kv_heads = case["kv_heads"] or heads
    q, k = heads_of("query", heads), heads_of("key", kv_heads)
    v = m.decode(tensors["value"].kind, tensors["value"].raw)
    if case.word("value", "own", "slice") == "slice":
        v = v[..., v.shape[-1] // 2:]
    scale = f32(case["scale"]) if case["scale"] else f32(1 / math.sqrt(192))
    out = np.zeros(q.shape[:2] + (128,))
    lse, size = np.zeros(q.shape[:2]), np.zeros(out.shape)
    q_at = k_at = 0
    for n, keys in zip(*lengths(case)):
        for h in range(heads):
            g = h // (heads // kv_heads)
            rows, theirs = slice(q_at, q_at + n), slice(k_at, k_at + keys)
            out[rows, h], lse[rows, h], size[rows, h] = attend(m, case, q[rows, h], k[theirs, g],
                                                               v[theirs, g], scale)
        q_at, k_at = q_at + n, k_at + keys
    slack = np.where(np.isfinite(size), size, 0) * 2.0 ** -40
    answers = {"out": Answer(out, slack=slack)}
    base = case.word("lse", "none", "e", "2")
    if base != "none":
        answers["lse"] = Answer(lse / math.log(2) if base == "2" else lse, slack=2.0 ** -40)
    return answers


def merge(m, case, tensors):
    va, sa, vb, sb = (m.decode(tensors[n].kind, tensors[n].raw) for n in ("v_a", "s_a", "v_b", "s_b"))
    base2 = case.word("lse_base", "e", "2") == "2"
    power = m.exp2 if base2 else m.exp
    with np.errstate(invalid="ignore", divide="ignore"):
        top = np.maximum(sa, sb)
        wa, wb = power(sa - top), power(sb - top)
        total = wa + wb
        terms = wa[..., None] * va, wb[..., None] * vb
        v = (terms[0] + terms[1]) / total[..., None]
        size = (np.abs(terms[0]) + np.abs(terms[1])) / total[..., None]
        s = top + (m.log(total) / math.log(2) if base2 else m.log(total))
    no_a, no_b = np.isneginf(sa), np.isneginf(sb)
    v = np.where(no_a[..., None], vb, np.where(no_b[..., None], va, v))
    v = np.where((no_a & no_b)[..., None], 0, v)
    s = np.where(no_a, sb, np.where(no_b, sa, s))
    slack = np.where(np.isfinite(size), size, 0) * 2.0 ** -40
    names = ("v_a", "s_a") if case.word("inplace", "no", "yes") == "yes" else ("v", "s")
    return {names[0]: Answer(v, slack=slack), names[1]: Answer(s, slack=2.0 ** -40)}


def pack(m, case, tensors):
    scale, (tokens, heads) = f32(case["scale"]), case.shape

    def tokens_of(name, start, width):
        """[token, start .. start + width) of rows that may be wider, from the end where start is -1."""
        raw = tensors[name].raw.reshape(tokens, tensors[name].raw.size // max(tokens, 1))
        raw = raw[:, -width:] if start < 0 else raw[:, start:start + width]
        return m.decode(tensors[name].kind, raw)
    if case.word("source", "separate", "packed") == "packed":
        kv = tokens_of("kv", 0, heads * 256).reshape(tokens, heads, 256)
        nope, v = kv[..., :128], kv[..., 128:]
    else:
        nope, v = (tokens_of(n, 0, heads * 128).reshape(tokens, heads, 128) for n in ("k_nope", "v"))
    pe = tokens_of("k_pe", -1, 64).reshape(tokens, 1, 64)
    key = np.concatenate([nope, np.broadcast_to(pe, (tokens, heads, 64))], -1)

    def codes(x):
        c = m.encode("e4m3", m.round("fp32", x * scale))
        if not case["out_pitch"]:
            return Answer(c, bits=True)
        c = c.reshape(tokens, -1) if tokens else c.reshape(0, heads * c.shape[-1])
        beside = [(0, 0), (0, case["out_pitch"] - c.shape[1])]
        return Answer(np.pad(c, beside), np.pad(np.zeros(c.shape, bool), beside, constant_values=True), bits=True)
    return {"k_fp8": codes(key), "v_fp8": codes(v)}
