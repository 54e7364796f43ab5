#!/usr/bin/python3
"""peers_fake.py ARG... - peers.py with a GPU that only says so: peers of 10 and 20 us, one that
launches ahead, one that is wrong, one that does not take a case; and by FAKE=NAME,... one that ends
its process, one that hangs, one that loses the GPU and an import that ends the process."""
import os
import random
import signal
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import peers  # noqa: E402


FAKE = [name for name in os.environ.get("FAKE", "").split(",") if name]


class Fake:
    lost = False

    def __init__(self, options):
        self.random = random.Random(options.seed)

    def device(self):
        return {"id": "0", "backend": "cuda", "name": "NVIDIA H200", "sm": 90, "sm_count": 132,
                "l2_bytes": 62914560, "memory_bytes": 150 << 30, "driver": "580.0", "nvrtc": "13.0",
                "clocks_locked": False}

    absent = {"flashinfer": "not installed", "vllm": "ImportError: no libcuda.so.1"}

    def refuses(self, case):
        if "import" in FAKE and case["op"] == "gelu":
            os.kill(os.getpid(), signal.SIGSEGV)
        return "fill=nan: not here" if case["fill"] == "nan" else None

    def peers(self, case):
        found = {"eager": ("torch 2", 20e3), "triton": ("triton 3", float(os.environ.get("NS", 10e3))),
                 "ahead": ("sglang 1", 7e3), "wrong": ("torch 2", "wrong"), "none": ("torch 2", "none"),
                 "unlike": ("torch 2", None)}
        return {**{name: ("torch 2", name) for name in FAKE}, **found}

    def is_lost(self):
        return self.lost

    def run(self, case, run):
        if run == "none" or self.lost:
            raise RuntimeError("no kernel\nfor this")
        if run == "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        if run == "hang":
            time.sleep(60)
        if run == "lose":
            self.lost = True
            raise RuntimeError("illegal memory access")
        if run is None:
            return None
        if run == "wrong":
            return {"verdict": "FAIL", "reason": "out: 3 of 56", "reason_kind": "mismatch"}
        samples = [run * self.random.uniform(0.999, 1.001) for _ in range(400)]
        return {"verdict": "PASS", "method": "pdl" if run == 7e3 else "graph",
                "time": {"samples": samples, "launches": 4000, "sets": 10, "footprint": 1 << 28,
                         "precise": True}}


peers.Gpu = Fake
peers.main()
