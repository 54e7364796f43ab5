"""stream: bits of one, two or four parts of the input, or of 4096 bytes of it, joined by exclusive
or; or numbers alone; or nothing."""
import numpy as np

from .answers import Answer

DEFAULTS = dict(pattern="r2w1")


def answer(m, case, tensors):
    pattern = case.word("pattern", "copy", "r2w1", "r2w05", "read", "write", "none")
    if pattern == "none":
        return {"out": Answer(np.zeros(0, np.uint32 if case.dtype == "fp32" else np.uint16), bits=True)}
    raw = tensors["input"].raw
    bits = raw.view({2: np.uint16, 4: np.uint32}[raw.itemsize]).ravel()
    if pattern == "write":
        value = np.full(case.shape, bits[0])
        for shift in range(0, 64, 8 * raw.itemsize):
            value ^= (np.arange(value.size) >> shift).astype(bits.dtype).reshape(case.shape)
    elif pattern == "read":
        value = np.bitwise_xor.reduceat(bits, np.arange(0, bits.size, 4096 // raw.itemsize)) if bits.size else bits
    else:
        parts = {"copy": 1, "r2w1": 2, "r2w05": 4}[pattern]
        shape = raw.shape[:-1] + (raw.shape[-1] // parts,)
        value = np.bitwise_xor.reduce(bits.reshape(parts, bits.size // parts), 0).reshape(shape)
    return {"out": Answer(value, bits=True)}
