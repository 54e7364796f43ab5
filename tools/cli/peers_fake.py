#!/usr/bin/python3
"""peers_fake.py ARG... - peers.py with a GPU that only says so: two peers of 10 and 20 us, one that
is wrong and one that does not take a case."""
import os
import random
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import peers  # noqa: E402


class Fake:
    def __init__(self, options):
        self.random = random.Random(options.seed)

    def device(self):
        return {"id": "0", "backend": "cuda", "name": "NVIDIA H200", "sm": 90, "sm_count": 132,
                "l2_bytes": 62914560, "memory_bytes": 150 << 30, "driver": "580.0", "nvrtc": "13.0",
                "clocks_locked": False}

    def refuses(self, case):
        return "fill=nan: not here" if case["fill"] == "nan" else None

    def peers(self, case):
        return {"eager": ("torch 2", 20e3), "triton": ("triton 3", float(os.environ.get("NS", 10e3))),
                "wrong": ("torch 2", "wrong"), "none": ("torch 2", "none")}

    def run(self, case, run):
        if run == "none":
            raise RuntimeError("no kernel\nfor this")
        if run == "wrong":
            return {"verdict": "FAIL", "reason": "out: 3 of 56", "reason_kind": "mismatch"}
        samples = [run * self.random.uniform(0.999, 1.001) for _ in range(400)]
        return {"verdict": "PASS",
                "time": {"samples": samples, "launches": 4000, "sets": 10, "footprint": 1 << 28,
                         "precise": True}}


peers.Gpu = Fake
peers.main()
