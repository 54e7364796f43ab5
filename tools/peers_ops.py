"""peers_ops.py - the ops as PyTorch users write them, their inputs, and what fp64 says of them.

Each op is a class: which parameters its peers know (others are left out), inputs of a case, the
chain of torch calls that a framework runs (also compiled), and a check of what came out. Inputs
are drawn anew: they are not kbench's."""
import math

import torch
import torch.nn.functional as F

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32,
          "e4m3": torch.float8_e4m3fn}
LSE = {"bf16": (1e-3, 1e-3), "fp16": (1e-3, 1e-3), "e4m3": (1e-2, 1e-2)}


def randn(gen, shape, dtype):
    return torch.randn(shape, generator=gen, device=gen.device).to(dtype)


def verdict(got, want, atol, rtol, exact=False):
    """One output against fp64: |got - want| <= atol + rtol * |want|, or equal."""
    got, want = got.double(), want.double()
    if exact:
        over, used = int((got != want).sum()), math.nan
    else:
        share = (got - want).abs() / (atol + rtol * want.abs())
        share = torch.where(torch.isnan(got) | torch.isnan(want), torch.inf, share)
        over, used = int((share > 1).sum()), float(share.max()) if share.numel() else 0.0
    return {"elements": got.numel(), "over": over, "used": used}


class Op:
    allowed = {}

    def refuses(self, case):
        """Why no peer takes the case; None: they do."""
        if case["fill"] != "normal":
            return f"fill={case['fill']}: peers are given N(0,1)"
        for part in case["case"].split("/")[3:]:
            name, value = part.split("=", 1)
            if name == "fill":
                continue
            if value not in self.allowed.get(name, ()):
                return f"{name}={value}: no peer has it"
        if not all(size for size in case["shape"]):
            return "nothing to compute"
        return None

    def chain(self, case):
        """A function of the inputs that gives a tuple of outputs."""
        raise NotImplementedError

    def others(self, case):
        """Of PyTorch beside eager and compile: by name what gives the function."""
        return {}

    def changes(self):
        """Inputs that a call writes over: the check wants them as they were."""
        return ()


class Activation(Op):
    allowed = {"round": ("act",)}

    def __init__(self, name):
        self.name = name
        self.act = {"silu": F.silu, "gelu": F.gelu,
                    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh")}[name]

    def inputs(self, case, gen):
        shape = list(case["shape"])
        return {"input": randn(gen, shape, DTYPES[case["dtype"]])}

    def chain(self, case):
        act = self.act

        def run(input):
            gate, up = input.chunk(2, dim=-1)
            return (act(gate) * up,)
        return run

    def check(self, case, inputs, outputs):
        gate, up = inputs["input"].double().chunk(2, dim=-1)
        return {"out": verdict(outputs[0], self.act(gate) * up, case["atol"], case["rtol"])}


class SiluMulQuant(Op):
    allowed = {"round": ("both", "product"), "ue8m0": ("yes",),
               "scale_layout": ("col", "col_tma", "packed")}

    def inputs(self, case, gen):
        return {"input": randn(gen, case["shape"], DTYPES[case["dtype"]])}

    def chain(self, case):
        group, eps, powers = case["set"]["group"], case["set"]["eps"], case["set"]["ue8m0"] == "yes"
        layout = case["set"]["scale_layout"]

        def run(input):
            gate, up = input.chunk(2, dim=-1)
            y = (F.silu(gate) * up).float()
            parts = y.view(y.shape[0], -1, group)
            scale = parts.abs().amax(-1).clamp(min=eps) / 448.0
            if powers:
                scale = torch.exp2(torch.ceil(torch.log2(scale)))
            q = (parts / scale.unsqueeze(-1)).clamp(-448, 448).to(torch.float8_e4m3fn)
            return q.view(y.shape), self.laid(scale, layout)
        return run

    @staticmethod
    def laid(scale, layout):
        """[rows, groups] of scales as the layout stores them; rows and groups may be more."""
        if layout == "row":
            return scale
        if layout == "packed":
            power = (torch.log2(scale) + 127).to(torch.uint8)
            scale = F.pad(power, (0, -scale.shape[1] % 4)).view(torch.int32)
        if layout != "col":
            scale = F.pad(scale, (0, 0, 0, -scale.shape[0] % 4))
        return scale.t().contiguous().t()

    @staticmethod
    def unlaid(stored, rows, groups):
        """The scales of what is stored in any layout."""
        stored = stored[:rows]
        if stored.dtype == torch.int32:
            power = stored.contiguous().view(torch.uint8)[:, :groups].double() - 127
            return torch.exp2(power)
        return stored.double()

    def check(self, case, inputs, outputs):
        gate, up = inputs["input"].double().chunk(2, dim=-1)
        y = F.silu(gate) * up
        parts = y.view(y.shape[0], -1, case["set"]["group"])
        scale = parts.abs().amax(-1).clamp(min=case["set"]["eps"]) / 448.0
        powers = case["set"]["ue8m0"] == "yes"
        if powers:
            scale = torch.exp2(torch.ceil(torch.log2(scale)))
        s = self.unlaid(outputs[1], *scale.shape)
        # Half a step of e4m3 is a sixteenth; 16-bit roundings on the way come on top.
        got = outputs[0].double().view(parts.shape) * s.unsqueeze(-1)
        off = (got - parts).abs() / (parts.abs() * (1 / 16 + 0.02) + s.unsqueeze(-1) * 2.0**-9)
        over = int((off > 1).sum())
        q = {"elements": y.numel(), "over": over, "used": float(off.max())}
        # A scale on the edge of a power of two may go either way.
        return {"y_q": q, "y_s": verdict(s, scale, 0.0, 1.0 if powers else case["rtol"] / 16)}


class Routing(Op):
    allowed = {"ties": ("any",), "mode": ("eager",)}

    def inputs(self, case, gen):
        dtype = DTYPES[case["dtype"]]
        return {"logits": randn(gen, case["shape"], dtype),
                "scale": (1 + 0.1 * randn(gen, case["shape"][-1:], torch.float32)).to(dtype)}

    def chain(self, case):
        topk = case["set"]["topk"]

        def run(logits, scale):
            values, ids = torch.topk(logits.float(), topk, dim=-1)
            weights = torch.softmax(values, dim=-1) * scale.float()[ids]
            return weights, ids.to(torch.int32)
        return run

    def check(self, case, inputs, outputs):
        logits, scale = inputs["logits"].double(), inputs["scale"].double()
        ids = outputs[1].long()
        want, _ = torch.topk(logits, case["set"]["topk"], dim=-1)
        # Equal logits may come in any order: those of the ids decide, and no id twice.
        picked = torch.gather(logits, 1, ids)
        chosen = verdict(picked, want, 0.0, 0.0, exact=True)
        twice = (torch.sort(ids, dim=-1).values.diff(dim=-1) == 0).sum()
        chosen["over"] += int(twice)
        weights = torch.softmax(want, dim=-1) * scale[ids]
        return {"weights": verdict(outputs[0], weights, case["atol"], case["rtol"]),
                "ids": chosen}


class QkNormRope(Op):
    allowed = {"style": ("interleaved",)}

    def inputs(self, case, gen):
        dtype, (tokens, _, _, dim) = DTYPES[case["dtype"]], case["shape"]
        near_one = lambda: (1 + 0.1 * randn(gen, (dim,), torch.float32)).to(dtype)
        return {"qkv": randn(gen, (tokens, case["axes"]["row"]), dtype), "q_weight": near_one(),
                "k_weight": near_one(),
                "positions": torch.arange(tokens, device=gen.device, dtype=torch.int32)}

    def changes(self):
        return ("qkv",)

    @staticmethod
    def turned(x, weight, positions, case, kind):
        settings, dim = case["set"], x.shape[-1]
        x = x.to(kind)
        x = x * torch.rsqrt(x.square().mean(-1, keepdim=True) + settings["eps"]) * weight.to(kind)
        step = torch.arange(0, dim, 2, device=x.device, dtype=kind) / dim
        angle = positions.to(kind)[:, None] * torch.pow(float(settings["base"]), -step)
        cos, sin = angle.cos()[:, None], angle.sin()[:, None]
        if settings["style"] == "neox":
            a, b = x[..., : dim // 2], x[..., dim // 2:]
            return torch.cat((a * cos - b * sin, b * cos + a * sin), -1)
        a, b = x[..., 0::2], x[..., 1::2]
        return torch.stack((a * cos - b * sin, b * cos + a * sin), -1).flatten(-2)

    def parts(self, qkv, case):
        tokens, heads, kv, dim = case["shape"]
        qkv = qkv.view(tokens, -1, dim)
        return qkv[:, :heads], qkv[:, heads: heads + kv]

    def chain(self, case):
        def run(qkv, q_weight, k_weight, positions):
            q, k = self.parts(qkv, case)
            q.copy_(self.turned(q, q_weight, positions, case, torch.float32))
            k.copy_(self.turned(k, k_weight, positions, case, torch.float32))
            return (qkv,)
        return run

    def check(self, case, inputs, outputs):
        want = inputs["qkv"].double().clone()
        q, k = self.parts(want, case)
        q.copy_(self.turned(q, inputs["q_weight"], inputs["positions"], case, torch.float64))
        k.copy_(self.turned(k, inputs["k_weight"], inputs["positions"], case, torch.float64))
        # An angle of fp32 is off by its position's last digits, on heads of a norm of 5 at most.
        angle = inputs["positions"].double()[:, None] * 5 * 2.0**-23
        return {"qkv": verdict(outputs[0], want, case["atol"] + angle, case["rtol"])}


class MlaPrefill(Op):
    allowed = {"causal": ("no",), "lse": ("e",)}
    CHECKED = 4  # heads: fp64 scores of all would not fit

    def refuses(self, case):
        if case["set"]["causal"] == "yes" and case["shape"][0] != case["shape"][1]:
            return "causal from the end with fewer queries than keys: PyTorch's counts from the start"
        return super().refuses(case)

    def inputs(self, case, gen):
        q_len, kv_len, heads = case["shape"]
        dtype = DTYPES[case["dtype"]]
        return {"query": randn(gen, (q_len, heads, 192), dtype),
                "key": randn(gen, (kv_len, heads, 192), dtype),
                "value": randn(gen, (kv_len, heads, 128), dtype)}

    def attend(self, case, backend=None):
        """PyTorch's own choice, or one backend; lse it gives by cuDNN alone, below its interface."""
        causal, lse = case["set"]["causal"] == "yes", case["set"]["lse"] == "e"
        from torch.nn.attention import sdpa_kernel

        def run(query, key, value):
            args = [t.transpose(0, 1).unsqueeze(0) for t in (query, key, value)]
            if query.dtype == torch.float8_e4m3fn:  # PyTorch's attention has none
                args = [t.to(torch.bfloat16) for t in args]
            if lse:
                found = torch.ops.aten._scaled_dot_product_cudnn_attention(*args, None, True, 0.0, causal)
                return found[0].squeeze(0).transpose(0, 1), found[1]
            if backend is None:
                out = F.scaled_dot_product_attention(*args, is_causal=causal)
            else:
                with sdpa_kernel(backend):
                    out = F.scaled_dot_product_attention(*args, is_causal=causal)
            return (out.squeeze(0).transpose(0, 1),)
        run.finish = lambda out, *rest: (out, *(t.reshape(out.shape[1], out.shape[0]).t() for t in rest))
        return run

    def chain(self, case):
        return self.attend(case)

    def others(self, case):
        from torch.nn.attention import SDPBackend
        if case["set"]["lse"] == "e":
            return {}
        names = {"sdpa-cudnn": "CUDNN_ATTENTION", "sdpa-flash": "FLASH_ATTENTION"}
        return {name: lambda backend=backend: self.attend(case, getattr(SDPBackend, backend))
                for name, backend in names.items() if hasattr(SDPBackend, backend)}

    def check(self, case, inputs, outputs):
        heads = case["shape"][2]
        some = sorted({0, heads // 3, 2 * heads // 3, heads - 1})[: self.CHECKED]
        q, k, v = (inputs[name].float()[:, some].double().transpose(0, 1) for name in ("query", "key", "value"))
        scores = q @ k.transpose(1, 2) / math.sqrt(192)
        if case["set"]["causal"] == "yes":
            scores.masked_fill_(torch.ones_like(scores[0], dtype=torch.bool).triu(1), -math.inf)
        lse = scores.logsumexp(-1).t()
        want = (torch.softmax(scores, -1) @ v).transpose(0, 1)
        found = {"out": verdict(outputs[0][:, some], want, case["atol"], case["rtol"])}
        if case["set"]["lse"] == "e":
            found["lse"] = verdict(outputs[1][:, some], lse, *LSE[case["dtype"]])
        return found


class MergeState(Op):
    allowed = {"lse_base": ("2",)}

    def inputs(self, case, gen):
        dtype, shape = DTYPES[case["dtype"]], case["shape"]
        return {"v_a": randn(gen, shape, dtype), "s_a": randn(gen, shape[:2], torch.float32),
                "v_b": randn(gen, shape, dtype), "s_b": randn(gen, shape[:2], torch.float32)}

    def merged(self, case, kind):
        two = str(case["set"]["lse_base"]) == "2"

        def run(v_a, s_a, v_b, s_b):
            a, b = s_a.to(kind), s_b.to(kind)
            most = torch.maximum(a, b)
            power, log = (torch.exp2, torch.log2) if two else (torch.exp, torch.log)
            w_a, w_b = power(a - most), power(b - most)
            v = (v_a.to(kind) * w_a[..., None] + v_b.to(kind) * w_b[..., None]) / (w_a + w_b)[..., None]
            return v, most + log(w_a + w_b)
        return run

    def chain(self, case):
        merged = self.merged(case, torch.float32)

        def run(v_a, s_a, v_b, s_b):
            v, s = merged(v_a, s_a, v_b, s_b)
            return v.to(v_a.dtype), s
        return run

    def check(self, case, inputs, outputs):
        v, s = self.merged(case, torch.float64)(**inputs)
        return {"v": verdict(outputs[0], v, case["atol"], case["rtol"]),
                "s": verdict(outputs[1], s, 1e-4, 1e-4)}


class KvPack(Op):
    allowed = {}

    def inputs(self, case, gen):
        dtype, (tokens, heads) = DTYPES[case["dtype"]], case["shape"]
        return {"k_nope": randn(gen, (tokens, heads, 128), dtype),
                "v": randn(gen, (tokens, heads, 128), dtype),
                "k_pe": randn(gen, (tokens, 64), dtype)}

    def chain(self, case):
        def run(k_nope, v, k_pe):
            k = torch.cat((k_nope, k_pe[:, None].expand(-1, k_nope.shape[1], -1)), -1)
            return k.to(torch.float8_e4m3fn), v.to(torch.float8_e4m3fn)
        return run

    def check(self, case, inputs, outputs):
        k, v = self.chain(case)(*(t.float() for t in inputs.values()))
        return {"k_fp8": verdict(outputs[0], k, 0.0, 0.0, exact=True),
                "v_fp8": verdict(outputs[1], v, 0.0, 0.0, exact=True)}


class Stream(Op):
    allowed = {"pattern": ("copy", "r2w05")}

    def refuses(self, case):
        return super().refuses({**case, "fill": "normal"})  # its default is bits: any will do

    def inputs(self, case, gen):
        bits = {2: torch.int16, 4: torch.int32}[DTYPES[case["dtype"]].itemsize]
        return {"input": torch.randint(-2**15, 2**15, case["shape"], generator=gen, dtype=bits,
                                       device=gen.device)}

    def chain(self, case):
        parts = {"copy": 1, "r2w1": 2, "r2w05": 4}[case["set"]["pattern"]]

        def run(input):
            pieces = input.chunk(parts)
            out = pieces[0].clone() if parts == 1 else pieces[0] ^ pieces[1]
            return (out if parts < 4 else out ^ pieces[2] ^ pieces[3],)
        return run

    def check(self, case, inputs, outputs):
        return {"out": verdict(outputs[0], self.chain(case)(**inputs)[0], 0.0, 0.0, exact=True)}


OPS = {
    "silu": Activation("silu"),
    "gelu": Activation("gelu"),
    "gelu_tanh": Activation("gelu_tanh"),
    "silu_mul_quant": SiluMulQuant(),
    "moe_routing": Routing(),
    "qknorm_rope": QkNormRope(),
    "mla_prefill": MlaPrefill(),
    "merge_state": MergeState(),
    "mla_kv_pack_quantize": KvPack(),
    "stream": Stream(),
}
