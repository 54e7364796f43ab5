"""stream: bits of one, two or four parts of the input, joined by exclusive or."""
import numpy as np

from .answers import Answer

DEFAULTS = dict(pattern="r2w1")


def answer(m, case, tensors):
    raw = tensors["input"].raw
    bits = raw.view({2: np.uint16, 4: np.uint32}[raw.itemsize]).ravel()
    parts = {"copy": 1, "r2w1": 2, "r2w05": 4}[case.word("pattern", "copy", "r2w1", "r2w05")]
    shape = raw.shape[:-1] + (raw.shape[-1] // parts,)
    return {"out": Answer(np.bitwise_xor.reduce(bits.reshape(parts, bits.size // parts), 0).reshape(shape), bits=True)}
