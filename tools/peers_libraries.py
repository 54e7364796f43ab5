"""peers_libraries.py - the ops in FlashInfer, sglang, vLLM and Triton, where they are installed. Only
the modules that hold a kernel are imported, so that a package of which no more is there will do.

A function of a case gives the one to call with the op's inputs, which returns the op's outputs;
None: the library has no such form. What a library refuses it says itself, by an exception. Beside
a function stand `prepare`, of the inputs where its own are of another kind, and `finish`, of the
outputs before they are checked; neither is timed."""
import importlib
import math

import torch


class Absent(Exception):
    """A library that cannot be had; why."""


def made(library):
    """Its name and version; loads it."""
    try:
        module = importlib.import_module(library)
    except ModuleNotFoundError as error:
        raise Absent("not installed" if error.name == library else f"{error}") from error
    except Exception as error:  # there and broken is as good as not there
        text = " ".join(str(error).split())[:200]
        raise Absent(f"{type(error).__name__}: {text}") from error
    return f"{library} {getattr(module, '__version__', '')}".strip()


def first_of(*names):
    """The first of these modules that is there: names change between versions."""
    for name in names[:-1]:
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name and not name.startswith(error.name):
                raise
    return importlib.import_module(names[-1])


def vllm_ops():
    """vLLM's kernels in C++ as torch has them, by one of the names that the extension had."""
    first_of("vllm._C_stable_libtorch", "vllm._C")
    return torch.ops._C


def is_yes(case, key):
    return case["set"][key] == "yes"


# ---- activations ---------------------------------------------------------------------------


def word(case):
    return f"{case['op']}_and_mul"


def flashinfer_activation(pdl):
    def make(case):
        call = getattr(importlib.import_module("flashinfer.activation"), word(case))
        return lambda input: (call(input, enable_pdl=pdl),)
    return make


def sglang_activation(case):
    call = getattr(first_of("sglang.kernels.ops.activation.activation",
                            "sglang.jit_kernel.activation"), word(case))
    return lambda input: (call(input),)


def sgl_kernel_activation(case):
    call = getattr(importlib.import_module("sgl_kernel"), word(case))
    return lambda input: (call(input),)


def vllm_activation(case):
    call = getattr(vllm_ops(), word(case))

    def run(input):
        out = input.new_empty((*input.shape[:-1], input.shape[-1] // 2))
        call(out, input)
        return (out,)
    return run


def triton_kernels(case):
    return importlib.import_module("peers_triton").kernel_of(case)


# ---- silu_mul_quant ------------------------------------------------------------------------


def scales(case, device):
    """Room for y_s in the case's layout, as [tokens, groups]."""
    tokens, groups = case["axes"]["rows"], case["axes"]["groups"]
    layout = case["set"]["scale_layout"]
    if layout == "row":
        return torch.empty((tokens, groups), dtype=torch.float32, device=device)
    rows = tokens if layout == "col" else -(-tokens // 4) * 4
    packed = layout == "packed"
    across = -(-groups // 4) if packed else groups
    dtype = torch.int32 if packed else torch.float32
    return torch.empty((across, rows), dtype=dtype, device=device).t()[:tokens]


def codes(input):
    return input.new_empty((input.shape[0], input.shape[1] // 2), dtype=torch.float8_e4m3fn)


def sglang_quant(case):
    """Its default; powers of two it stores packed only."""
    if is_yes(case, "ue8m0") != (case["set"]["scale_layout"] == "packed"):
        return None
    quant = importlib.import_module("sglang.kernels.ops.quantization.per_token_group_quant")

    def run(input):
        q, s = codes(input), scales(case, input.device)
        quant.per_token_group_quant(input, q, s, case["set"]["group"], fuse_silu_and_mul=True,
                                    scale_ue8m0=is_yes(case, "ue8m0"), silu_and_mul_mode="dense")
        return q, s
    return run


def sglang_quant_v2(case):
    """The kernel before; in other layouts it leaves silu and the product out."""
    if case["set"]["scale_layout"] != "packed":
        return None
    quant = first_of("sglang.kernels.ops.quantization.per_token_group_quant_8bit_v2",
                     "sglang.jit_kernel.per_token_group_quant_8bit_v2")

    def run(input):
        q, s = codes(input), scales(case, input.device)
        quant.per_token_group_quant_8bit_v2(input, q, s, case["set"]["group"], case["set"]["eps"],
                                            -448.0, 448.0, scale_ue8m0=is_yes(case, "ue8m0"),
                                            fuse_silu_and_mul=True)
        return q, s
    return run


def vllm_quant(case):
    if is_yes(case, "ue8m0") or case["set"]["scale_layout"] not in ("row", "col"):
        return None
    call = vllm_ops().silu_and_mul_per_block_quant

    def run(input):
        q, s = codes(input), scales(case, input.device)
        call(q, input, s, case["set"]["group"], None, case["set"]["scale_layout"] == "col")
        return q, s
    return run


def vllm_triton_quant(case):
    if case["set"]["scale_layout"] != "col" or case["axes"]["rows"] % case["set"]["group"]:
        return None
    quant = importlib.import_module("vllm.model_executor.layers.quantization.utils.fp8_utils")
    return lambda input: quant.silu_mul_per_token_group_quant_fp8_colmajor(
        input, use_ue8m0=is_yes(case, "ue8m0"), eps=case["set"]["eps"],
        group_size=case["set"]["group"])


# ---- moe_routing, qknorm_rope --------------------------------------------------------------


def sglang_routing(case):
    call = importlib.import_module("sglang.kernels.ops.moe.gemma4_routing").gemma4_fused_routing
    return lambda logits, scale: call(logits, scale, case["set"]["topk"])


def vllm_routing(case):
    module = importlib.import_module("vllm.model_executor.models.gemma4")
    return lambda logits, scale: module.gemma4_fused_routing_kernel_triton(
        logits, case["set"]["topk"], scale)


def sglang_qknorm_rope(case):
    if case["dtype"] != "bf16":
        return None
    call = first_of("sglang.kernels.ops.attention.fused_qknorm_rope",
                    "sglang.jit_kernel.fused_qknorm_rope").fused_qk_norm_rope
    _, heads, kv, dim = case["shape"]
    eps, base = case["set"]["eps"], float(case["set"]["base"])

    def run(qkv, q_weight, k_weight, positions):
        call(qkv, heads, kv, kv, dim, eps, q_weight, k_weight, base, case["set"]["style"] == "neox",
             positions, 1.0, 0.0, 0.0, 1.0)
        return (qkv,)
    return run


def vllm_qknorm_rope(case):
    """It reads cos and sin from a table, which is made once; positions are of 64 bits."""
    call = vllm_ops().fused_qk_norm_rope
    tokens, heads, kv, dim = case["shape"]
    step = torch.arange(0, dim, 2, device="cuda", dtype=torch.float64) / dim
    positions = torch.arange(tokens, device="cuda", dtype=torch.float64)
    angle = positions[:, None] * float(case["set"]["base"])**-step
    table = torch.cat((angle.cos(), angle.sin()), -1).float()
    neox = case["set"]["style"] == "neox"

    def run(qkv, q_weight, k_weight, positions):
        call(qkv, heads, kv, kv, dim, case["set"]["eps"], q_weight, k_weight, table, neox, positions)
        return (qkv,)
    run.prepare = lambda inputs: {**inputs, "positions": inputs["positions"].long()}
    return run


# ---- attention -----------------------------------------------------------------------------


def ends(n):
    return torch.tensor([0, n], dtype=torch.int32, device="cuda")


def flashinfer_mla(case):
    if case["dtype"] == "e4m3":
        return None
    flashinfer = importlib.import_module("flashinfer")
    q_len, kv_len, heads = case["shape"]
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}[case["dtype"]]
    space = torch.empty(256 << 20, dtype=torch.uint8, device="cuda")
    wrapper = flashinfer.BatchPrefillWithRaggedKVCacheWrapper(space, "NHD")
    wrapper.plan(ends(q_len), ends(kv_len), heads, heads, 192, head_dim_vo=128,
                 causal=is_yes(case, "causal"), q_data_type=dtype, kv_data_type=dtype)
    if case["set"]["lse"] == "none":
        return lambda query, key, value: (wrapper.run(query, key, value, enable_pdl=False),)

    def run(query, key, value):
        return wrapper.run(query, key, value, return_lse=True, enable_pdl=False)
    run.finish = lambda out, lse: (out, lse * math.log(2))  # its logarithms are of base 2
    return run


def vllm_mla(case):
    """FlashAttention 3, by the build that vLLM carries."""
    flash = importlib.import_module("vllm.vllm_flash_attn.flash_attn_interface")
    q_len, kv_len, _ = case["shape"]
    cum_q, cum_kv, causal = ends(q_len), ends(kv_len), is_yes(case, "causal")

    def run(query, key, value):
        return flash.flash_attn_varlen_func(query, key, value, q_len, cum_q, kv_len, cum_kv, causal=causal,
                                            return_softmax_lse=True, fa_version=3)
    run.finish = lambda out, lse: (out, lse.t())
    return run


def flashinfer_merge(case):
    if str(case["set"]["lse_base"]) != "2":
        return None
    return importlib.import_module("flashinfer.cascade").merge_state


def sglang_merge(case):
    if case["set"]["lse_base"] != "e":
        return None
    call = importlib.import_module("sglang.kernels.ops.attention.merge_state").merge_state_triton
    return lambda v_a, s_a, v_b, s_b: call(v_a, s_a, v_b, s_b)


def sglang_kv_pack(pdl):
    def make(case):
        pack = importlib.import_module("sglang.kernels.ops.attention.mla_kv_pack_quantize_fp8")
        return lambda k_nope, v, k_pe: pack.mla_kv_pack_quantize_fp8(k_nope, k_pe, v, enable_pdl=pdl)
    return make


ACTIVATIONS = (("triton", "triton", triton_kernels),
               ("flashinfer", "flashinfer", flashinfer_activation(False)),
               ("flashinfer-pdl", "flashinfer", flashinfer_activation(True)),
               ("sglang", "sglang", sglang_activation),
               ("sgl-kernel", "sgl_kernel", sgl_kernel_activation),
               ("vllm", "vllm", vllm_activation))
PEERS = {  # of an op: name, library, what makes it
    "silu": ACTIVATIONS,
    "gelu": ACTIVATIONS,
    "gelu_tanh": ACTIVATIONS,
    "silu_mul_quant": (("triton", "triton", triton_kernels), ("sglang", "sglang", sglang_quant),
                       ("sglang-v2", "sglang", sglang_quant_v2), ("vllm", "vllm", vllm_quant),
                       ("vllm-triton", "vllm", vllm_triton_quant)),
    "moe_routing": (("triton", "triton", triton_kernels), ("sglang", "sglang", sglang_routing),
                    ("vllm", "vllm", vllm_routing)),
    "qknorm_rope": (("sglang", "sglang", sglang_qknorm_rope), ("vllm", "vllm", vllm_qknorm_rope)),
    "mla_prefill": (("flashinfer", "flashinfer", flashinfer_mla), ("vllm-fa3", "vllm", vllm_mla)),
    "merge_state": (("flashinfer", "flashinfer", flashinfer_merge), ("sglang", "sglang", sglang_merge)),
    "mla_kv_pack_quantize": (("sglang", "sglang", sglang_kv_pack(False)),
                             ("sglang-pdl", "sglang", sglang_kv_pack(True))),
}
