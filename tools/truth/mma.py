"""mma: rows of a times all columns of b, summed up, `steps` times; each block the same."""
import numpy as np

from .answers import Answer

DEFAULTS = {}


def answer(m, case, tensors):
    blocks, steps = case.shape
    a, b = (m.decode(tensors[n].kind, tensors[n].raw) for n in "ab")
    sums = steps * m.matmul(a, b.T).sum(1)
    return {"out": Answer(np.broadcast_to(sums, (blocks, len(sums))))}
