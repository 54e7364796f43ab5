"""Dtypes as fp64 and back, and elementary functions in fp64.

Arrays are NumPy's throughout. PyTorch, where there is one, decodes elements by its own types and
computes exp, erfc, sin, matmul and the like; NumPy does it by tables and Python's math module.
Rounding is a search in the table of all numbers that a dtype has, so that nothing is rounded
twice on the way."""
import math

import numpy as np

RAW = {"BF16": np.uint16, "F16": np.uint16, "F32": np.float32, "F8_E4M3": np.uint8, "I32": np.int32,
       "U8": np.uint8, "F64": np.float64, "I64": np.int64}
SAFETENSORS = {"bf16": "BF16", "fp16": "F16", "fp32": "F32", "e4m3": "F8_E4M3", "i32": "I32", "u8": "U8"}


def each(function, x):
    """A function of Python's math module over an array, once for each number that is in it."""
    some, where = np.unique(np.asarray(x, np.float64), return_inverse=True)
    out = np.array([function(v) for v in some.tolist()], np.float64)
    return out[where].reshape(np.shape(x))


def decode_e4m3(code):
    """1-4-3, bias 7, no infinity, NaN where all bits of exponent and significand are set."""
    sign, e, m = -1.0 if code & 128 else 1.0, code >> 3 & 15, code & 7
    if e == 15 and m == 7:
        return math.nan
    return sign * (m / 8 * 2.0 ** -6 if e == 0 else (1 + m / 8) * 2.0 ** (e - 7))


class Numpy:
    name = "NumPy " + np.__version__
    table = np.array([decode_e4m3(c) for c in range(256)])

    def decode(self, kind, raw):
        if kind == "BF16":
            return (raw.astype(np.uint32) << 16).view(np.float32).astype(np.float64)
        if kind == "F16":
            return raw.view(np.float16).astype(np.float64)
        if kind == "F8_E4M3":
            return self.table[raw]
        return raw.astype(np.float64)

    exp = staticmethod(np.exp)
    exp2 = staticmethod(np.exp2)
    log = staticmethod(np.log)
    sin = staticmethod(np.sin)
    cos = staticmethod(np.cos)
    sqrt = staticmethod(np.sqrt)
    matmul = staticmethod(np.matmul)

    def erfc(self, x):
        return each(math.erfc, x)

    def order(self, keys):
        """Places of each row's keys, largest first; of equal ones the first place first."""
        return np.argsort(~keys, axis=-1, kind="stable")


class Torch:
    def __init__(self):
        import torch
        self.torch = torch
        self.on = "cuda" if torch.cuda.is_available() else "cpu"
        self.name = "PyTorch %s on %s" % (torch.__version__, self.on)
        self.types = {"BF16": torch.bfloat16, "F16": torch.float16, "F8_E4M3": torch.float8_e4m3fn}

    def there(self, x):
        return self.torch.from_numpy(np.array(x, order="C")).to(self.on)  # a copy: files are read-only

    def call(self, function, *arrays):
        return function(*(self.there(np.asarray(x, np.float64)) for x in arrays)).cpu().numpy()

    def decode(self, kind, raw):
        if kind not in self.types:
            return raw.astype(np.float64)
        bits = self.torch.from_numpy(raw.view(np.int16 if raw.itemsize == 2 else np.uint8).copy())
        # By fp32, which has all of them, since not every pair of types has a conversion.
        return bits.view(self.types[kind]).to(self.torch.float32).to(self.torch.float64).numpy()

    def exp(self, x):
        return self.call(self.torch.exp, x)

    def exp2(self, x):
        return self.call(self.torch.exp2, x)

    def log(self, x):
        return self.call(self.torch.log, x)

    def sin(self, x):
        return self.call(self.torch.sin, x)

    def cos(self, x):
        return self.call(self.torch.cos, x)

    def sqrt(self, x):
        return self.call(self.torch.sqrt, x)

    def erfc(self, x):
        return self.call(self.torch.erfc, x)

    def matmul(self, a, b):
        return self.call(self.torch.matmul, a, b)

    def order(self, keys):
        sorted_keys = self.torch.sort(self.there(keys), dim=-1, descending=True, stable=True)
        return sorted_keys.indices.cpu().numpy()


class Dtype:
    """A floating type: all numbers from 0 up that it has, ascending, so that index is code."""

    def __init__(self, engine, kind):
        self.kind, self.engine = kind, engine
        top = {"BF16": 0x7F80, "F16": 0x7C00, "F8_E4M3": 0x7F}[kind]
        self.numbers = engine.decode(kind, np.arange(top, dtype=RAW[kind]))
        self.saturates = kind == "F8_E4M3"
        self.nan = {"BF16": 0x7FC0, "F16": 0x7E00, "F8_E4M3": 0x7F}[kind]
        self.sign = 0x80 if kind == "F8_E4M3" else 0x8000
        assert np.all(np.diff(self.numbers) > 0)

    def encode(self, x):
        """Codes: to nearest, ties to the even code; past the last number infinity, or the last."""
        n, size = self.numbers, np.abs(x)
        at = np.clip(np.searchsorted(n, size, side="right") - 1, 0, len(n) - 1)  # NaN: the last
        step = n[-1] - n[-2]
        above = np.append(n[1:], n[-1] + step)[at]
        with np.errstate(invalid="ignore"):
            down, up = size - n[at], above - size  # both exact, or far from a tie
            code = at + ((up < down) | ((up == down) & (at & 1 == 1)))
        code = np.where(np.isinf(size), len(n), code)
        code = np.where(np.isnan(x), self.nan, np.minimum(code, len(n) - 1 if self.saturates else len(n)))
        signed = np.signbit(x) & ~(np.isnan(x) & self.saturates)
        return (code | np.where(signed, self.sign, 0)).astype(RAW[self.kind])

    def round(self, x):
        return self.engine.decode(self.kind, self.encode(x))


class Single:
    """fp32, which NumPy rounds to by itself."""
    kind = "F32"

    def encode(self, x):
        with np.errstate(over="ignore"):
            return np.asarray(x, np.float64).astype(np.float32)

    def round(self, x):
        return self.encode(x).astype(np.float64)


class Maths:
    """An engine, and its dtypes by kbench's names."""

    def __init__(self, engine):
        self.engine = engine
        self.dtypes = {"fp32": Single()}
        for name in ("bf16", "fp16", "e4m3"):
            self.dtypes[name] = Dtype(engine, SAFETENSORS[name])

    def __getattr__(self, name):
        return getattr(self.engine, name)

    def round(self, dtype, x):
        return self.dtypes[dtype].round(x)

    def encode(self, dtype, x):
        return self.dtypes[dtype].encode(x)


def f32(x):
    """A number as kernels take it."""
    return float(np.float32(x))


def ulp32(x):
    """The spacing of fp32 at x, also past its end."""
    _, e = np.frexp(np.abs(x))
    return np.ldexp(1.0, np.maximum(np.where(x == 0, -149, e - 24), -149))


def find(which):
    if which != "numpy":
        try:
            return Maths(Torch())
        except (ImportError, AttributeError):  # none, or one without float8
            if which == "torch":
                raise
    return Maths(Numpy())
