"""safetensors: the length of a header (8 bytes, little-endian), the header in JSON, the data."""
import json
import struct

import numpy as np

from .numbers import RAW


class Tensor:
    """A tensor as it lies in a file: its type's name there, and elements as raw numbers."""

    def __init__(self, kind, raw):
        self.kind, self.raw = kind, raw


def read(path):
    """Tensors by name, and the texts of __metadata__."""
    with open(path, "rb") as file:
        data = memoryview(file.read())
    size, = struct.unpack("<Q", data[:8])
    head = json.loads(bytes(data[8:8 + size]))
    texts, body, tensors = head.pop("__metadata__", {}), data[8 + size:], {}
    for name, t in head.items():
        start, end = t["data_offsets"]
        raw = np.frombuffer(body[start:end], np.dtype(RAW[t["dtype"]]).newbyteorder("<"))
        tensors[name] = Tensor(t["dtype"], raw.reshape(t["shape"]))
    return tensors, texts


def write(path, tensors, texts):
    """Larger types first, so that each lies where its type wants it."""
    head, parts, at = {"__metadata__": texts}, [], 0
    for name, t in sorted(tensors.items(), key=lambda item: (-item[1].raw.itemsize, item[0])):
        raw = t.raw.astype(t.raw.dtype.newbyteorder("<")).tobytes()
        head[name] = {"dtype": t.kind, "shape": list(t.raw.shape), "data_offsets": [at, at + len(raw)]}
        parts.append(raw)
        at += len(raw)
    text = json.dumps(head, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(parts))
