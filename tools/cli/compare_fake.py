#!/usr/bin/env python3
"""compare_fake.py FILE [KEY=VALUE...] - a report that was never measured, for tests of kbench
diff, gate and merge: 144 activation cases with the times of a kernel that runs at 4 TB/s.

    run=N           noise of process run N, 0.2 % (0: none)
    gpu= driver= commit= started= backend= schema= uuid=     facts of the head
    fail=CASE       that case fails            error=CASE     that case crashed
    slow=CASE:R     R times as long            err=CASE:E     err/bound E
    ns=CASE:TEXT    TEXT for its median        half=CASE:H    relative half-width of its interval
    drop=CASE       left out                   twice=CASE     there twice
    code=TEXT       machine code, which is that of the run before where it is the same
    method=M        in place of graph          cases=N        the first N alone
    build=B,...     builds                     form=jsonl     a journal
    pad=N           N bytes more in each row
CASE may be a prefix: silu/ is every case of silu.
"""
import json
import random
import sys

shapes = [[7, 16], [83, 1024], [83, 2048], [128, 1024], [256, 2048], [512, 1024], [512, 4096],
          [1024, 2048], [1024, 4096], [2048, 2048], [2048, 8192], [4096, 2048], [4096, 4096],
          [8192, 4096], [16384, 2048], [1, 65536]]
size = {"bf16": 2, "fp16": 2, "fp32": 4}


def rows(o, rng):
    n = 0
    for op in ("silu", "gelu", "gelu_tanh"):
        for shape in shapes:
            for dtype in ("bf16", "fp16", "fp32"):
                case = f"{op}/{shape[0]}x{shape[1]}/{dtype}"
                n += 1
                if n > int(o.get("cases", 144)) or hit(o, "drop", case) is not None:
                    continue
                for build in o.get("build", "precise").split(","):
                    row = one(o, rng, op, shape, dtype, case, build)
                    yield row
                    if hit(o, "twice", case) is not None:
                        yield row


def hit(o, key, case):
    """What `key` says of the case, "" where it says no more than its name."""
    for item in o.get(key, "").split(";"):
        name, _, value = item.partition(":")
        if name and case.startswith(name):
            return value
    return None


def one(o, rng, op, shape, dtype, case, build):
    count = shape[0] * shape[1]
    bytes_ = count * size[dtype] * 3 // 2
    ns = (1000 + bytes_ / 4000) * float(hit(o, "slow", case) or 1)
    ns *= 1 + (rng.gauss(0, 0.002) if o.get("run", "0") != "0" else 0)
    half = float(hit(o, "half", case) or 0.001)
    verdict, reason = "PASS", None
    if hit(o, "fail", case) is not None:
        verdict, reason = "FAIL", "unwritten"
    if hit(o, "error", case) is not None:
        verdict, reason = "ERROR", "crash"
    row = {"case": case, "device": "0", "backend": o.get("backend", "cuda"), "build": build,
           "variant": "vec16", "kernel": "kernels/activation.cu", "op": op, "shape": shape,
           "dtype": dtype, "set": {}, "fill": "normal", "seed": 1, "tags": ["ci"],
           "origin": "cases/activation.json:3", "flags": ["-std=c++17"], "verdict": verdict,
           "reason": reason and "rows 80..82 never written"}
    if reason:
        row["reason_kind"] = reason
    row["outputs"] = {"out": {"err_over_bound": float(hit(o, "err", case) or 0.11)}}
    row["bytes"] = bytes_
    if verdict == "PASS":
        samples = [ns * (1 + half * (0.3 if i % 2 else -0.3)) for i in range(12)]
        time = {"median_ns": ns, "ci95_ns": [ns * (1 - half), ns * (1 + half)], "n": 40,
                "stopped": "precision", "quality": "ok", "ceiling": "stream",
                "ceiling_ns": 0.98 * (1000 + bytes_ / 4000), "sm_mhz": 1980, "sm_mhz_min": 1980,
                "throttle": [], "samples_ns": samples}
        text = hit(o, "ns", case)
        if text is not None:
            time["median_ns"] = json.loads(text)
        row["times"] = {o.get("method", "graph"): time}
    if "pad" in o:
        row["pad"] = "x" * int(o["pad"])
    if "code" in o:
        row["code"] = {"code_hash": o["code"] + case, "arch": "sm_90a", "grid": [1, 1, 1],
                       "block": [256, 1, 1], "launches": 1}
    return row


def main():
    path, o = sys.argv[1], dict(a.split("=", 1) for a in sys.argv[2:])
    rng = random.Random(int(o.get("run", "0")))
    device = {"id": "0", "backend": o.get("backend", "cuda"), "name": o.get("gpu", "NVIDIA H200"),
              "uuid": o.get("uuid", "GPU-1"), "sm": 90, "sm_count": 132, "l2_bytes": 62914560,
              "memory_bytes": 150109880320, "driver": o.get("driver", "580.159.04"),
              "nvrtc": "13.0", "clocks_locked": False}
    head = {"schema": o.get("schema", "kbench-report/1"),
            "kbench": "0.1.0 " + o.get("commit", "9ab2c1f"), "complete": True,
            "command": ["kbench", "cases/"], "started": o.get("started", "2026-11-21T09:14:03Z"),
            "seconds": 2.5, "count": {}, "host": {"cpu": "x", "cores": 16, "os": "y"},
            "devices": [device],
            "builds": {b: ["-std=c++17"] for b in o.get("build", "precise").split(",")}}
    all_rows = list(rows(o, rng))
    with open(path, "w", encoding="utf-8") as f:
        if o.get("form") == "jsonl":
            for line in [head, *all_rows, {"complete": True, "seconds": 2.5}]:
                f.write(json.dumps(line) + "\n")
        else:
            f.write(json.dumps({**head, "rows": all_rows}))


main()
