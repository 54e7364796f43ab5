"""All ops: their parameters' defaults, and what answers for them."""
from . import activation, attention, mma, qknorm, quant, routing, stream
from .cases import Case

OPS = {
    "silu": (activation.DEFAULTS, activation.answer),
    "gelu": (activation.DEFAULTS, activation.answer),
    "gelu_tanh": (activation.DEFAULTS, activation.answer),
    "stream": (stream.DEFAULTS, stream.answer),
    "qknorm_rope": (qknorm.DEFAULTS, qknorm.answer),
    "mla_prefill": (attention.PREFILL, attention.prefill),
    "merge_state": (attention.MERGE, attention.merge),
    "mla_kv_pack_quantize": (attention.PACK, attention.pack),
    "silu_mul_quant": (quant.DEFAULTS, quant.answer),
    "mma": (mma.DEFAULTS, mma.answer),
    "moe_routing": (routing.DEFAULTS, routing.answer),
}


def case_of(text):
    return Case(text, {op: defaults for op, (defaults, _) in OPS.items()})


def answer(m, case, tensors):
    """Answers by the names of outputs."""
    return OPS[case.op][1](m, case, tensors)
