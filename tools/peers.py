#!/usr/bin/env python3
"""peers.py - kbench's cases through what else computes them on this GPU: PyTorch (eager, compiled,
its attention), Triton, and FlashInfer, sglang or vLLM where they are installed. Each is checked
against fp64, then timed by graph over rotating buffers of 3x L2 and more, as kbench does; the
report is one of kbench's, so that kbench diff compares.

    tools/peers.py cases/activation.json --tag ci -o peers.json
    tools/peers.py --op silu --shape 83x1024,16384x2048 --best best.json
    kbench diff best.json ours.json

Words other than those below select cases, as for kbench list cases."""
import argparse
import json
import os
import subprocess
import sys
import time

import peers_report

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
MAX_SETS = 4096
REPLAY_NS = 2e6  # a replay's own start is 3 to 5 us of it
MIN_SAMPLES = 20


def fail(text, status):
    print(f"peers.py: {text}", file=sys.stderr)
    sys.exit(status)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, add_help=True, allow_abbrev=False,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", help="eager, compile, triton, ...: these alone, by comma")
    parser.add_argument("-o", dest="output", metavar="FILE.json", help="all rows")
    parser.add_argument("--best", metavar="FILE.json", help="of each case the fastest peer that is right")
    parser.add_argument("--sets", type=int, default=0, help="buffer sets to rotate over; 0: 3x L2 of them")
    parser.add_argument("--precision", type=float, default=0.01, help="half-width to stop at (0.01)")
    parser.add_argument("--max-time", type=float, default=1.0, help="seconds for one timing (1)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kbench", default=os.path.join(TOP, "kbench"), help="which kbench lists the cases")
    return parser.parse_known_args()


def cases_of(kbench, words):
    """The cases that kbench selects by these words."""
    try:
        found = subprocess.run([kbench, "list", "cases", *words, "--format", "jsonl"],
                               stdout=subprocess.PIPE, check=False)
    except OSError as error:
        fail(f"{kbench}: {error.strerror}: make it first, or name one by --kbench", 4)
    if found.returncode:
        sys.exit(found.returncode)
    return [json.loads(line) for line in found.stdout.splitlines()]


# ---- the GPU -------------------------------------------------------------------------------


class Gpu:
    """What checks and times; the tests put another in its place."""

    def __init__(self, options):
        try:
            import torch
        except ImportError:
            fail(f"this python3 ({sys.executable}) has no PyTorch: peers need it", 6)
        if not torch.cuda.is_available():
            fail("PyTorch finds no GPU: torch.cuda.is_available() is false", 6)
        import warnings
        warnings.simplefilter("ignore")  # a row says what a peer could not do
        import peers_ops
        self.torch, self.ops, self.options = torch, peers_ops, options
        self.triton = peers_ops.optional("peers_triton")
        self.props = torch.cuda.get_device_properties(0)
        torch._dynamo.config.cache_size_limit = 100000

    def device(self):
        p = self.props
        driver = subprocess.run(["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader", "-i", "0"],
                                stdout=subprocess.PIPE, check=False).stdout.decode().strip()
        item = {"id": "0", "backend": "cuda", "name": p.name, "sm": p.major * 10 + p.minor,
                "sm_count": p.multi_processor_count, "l2_bytes": p.L2_cache_size,
                "memory_bytes": p.total_memory, "driver": driver,
                "nvrtc": self.torch.version.cuda or "", "clocks_locked": False}
        return {**item, "uuid": f"GPU-{p.uuid}"} if hasattr(p, "uuid") else item

    def peers(self, case):
        """Names of those that compute the case, each with who made it and a function."""
        op = self.ops.OPS[case["op"]]
        chain = op.chain(case)
        made = f"torch {self.torch.__version__}"
        found = {"eager": (made, chain),
                 "compile": (made, self.torch.compile(chain, dynamic=False))}
        if self.triton and self.triton.kernel_of(case):
            import triton
            found["triton"] = (f"triton {triton.__version__}", self.triton.kernel_of(case))
        for name, run in op.others(case).items():
            library = sys.modules.get(name)
            version = getattr(library, "__version__", "") if library else ""
            found[name] = (f"{name} {version}".strip() if library else made, run)
        return found

    def refuses(self, case):
        op = self.ops.OPS.get(case["op"])
        return op.refuses(case) if op else "no peer for the op"

    def inputs(self, case, seed):
        gen = self.torch.Generator(device="cuda")
        gen.manual_seed(seed)
        return self.ops.OPS[case["op"]].inputs(case, gen)

    def run(self, case, run):
        """Check, then time: the result of peers_report.row."""
        op, torch = self.ops.OPS[case["op"]], self.torch
        inputs = self.inputs(case, self.options.seed)
        given = {k: v.clone() if k in op.changes() else v for k, v in inputs.items()}
        start = time.monotonic()
        outputs = run(**given)
        torch.cuda.synchronize()
        built = time.monotonic()
        found = op.check(case, inputs, outputs)
        checked = time.monotonic()
        spent = {"build": 1e3 * (built - start), "check": 1e3 * (checked - built)}
        over = [f"{name}: {item['over']} of {item['elements']} elements are past the tolerance"
                for name, item in found.items() if item["over"]]
        if over:
            return {"verdict": "FAIL", "reason": over[0], "reason_kind": "mismatch",
                    "spent_ms": spent}
        del outputs
        timed = self.time(case, run)
        spent["time"] = 1e3 * (time.monotonic() - checked)
        spent["total"] = sum(spent.values())
        return {"verdict": "PASS", "time": timed, "spent_ms": spent}

    def sets_for(self, footprint):
        free, _ = self.torch.cuda.mem_get_info()
        wanted = self.options.sets or -(-3 * self.props.L2_cache_size // footprint)
        return max(1, min(wanted, MAX_SETS, int(free * 0.4) // footprint))

    def time(self, case, run):
        torch = self.torch
        first = self.inputs(case, self.options.seed)
        outputs = run(**first)
        size = lambda tensors: sum(t.numel() * t.element_size() for t in tensors)
        apart = [t for t in outputs if all(t.data_ptr() != i.data_ptr() for i in first.values())]
        footprint = max(1, size(first.values()) + size(apart))
        sets = [first] + [{k: v.clone() for k, v in first.items()}
                          for _ in range(self.sets_for(footprint) - 1)]
        graph, cycles = self.capture(run, sets, 1), 1
        estimate = self.replay(graph)
        if estimate < REPLAY_NS:
            cycles = min(int(REPLAY_NS / max(estimate, 1)) + 1, max(1, 20000 // len(sets)))
            graph = self.capture(run, sets, cycles)
        launches = len(sets) * cycles
        for _ in range(3):
            self.replay(graph)
        samples, start = [], time.monotonic()
        while True:
            samples.append(self.replay(graph) / launches)
            if len(samples) < MIN_SAMPLES:
                continue
            precise = peers_report.half_width(samples) <= self.options.precision
            if precise or time.monotonic() - start > self.options.max_time:
                break
        return {"samples": samples, "launches": len(samples) * launches, "sets": len(sets),
                "footprint": footprint * len(sets), "precise": precise}

    def capture(self, run, sets, cycles):
        """Every set in turn; outputs of a set lie where its last ones lay, and no two together."""
        torch = self.torch
        stream = torch.cuda.Stream()
        with torch.cuda.stream(stream):
            for _ in range(3):
                run(**sets[0])
        torch.cuda.synchronize()
        graph, outputs = torch.cuda.CUDAGraph(), [None] * len(sets)
        with torch.cuda.graph(graph):
            for _ in range(cycles):
                for i, inputs in enumerate(sets):
                    outputs[i] = None
                    outputs[i] = run(**inputs)
        return graph

    def replay(self, graph):
        """ns of a replay."""
        torch = self.torch
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        graph.replay()
        end.record()
        end.synchronize()
        return begin.elapsed_time(end) * 1e6


# ---- the run -------------------------------------------------------------------------------


def run_one(gpu, case, run):
    try:
        return gpu.run(case, run)
    except Exception as error:  # a peer that cannot is a row that says so
        text = " ".join(str(error).split())[:300] or type(error).__name__
        return {"verdict": "SKIP", "reason": f"{type(error).__name__}: {text}", "reason_kind": "variant"}


def rows_of(gpu, cases, wanted, seed, show=print):
    rows = []
    for case in cases:
        why = gpu.refuses(case)
        if why:
            show(f"left out  {case['case']}: {why}")
            continue
        for name, (made, run) in gpu.peers(case).items():
            if wanted and name not in wanted:
                continue
            peer = {"kernel": made, "variant": name, "name": name}
            item = peers_report.row(case, peer, seed, run_one(gpu, case, run))
            rows.append(item)
            time_of = item.get("times", {}).get("graph")
            tail = f"{time_of['median_ns'] / 1e3:9.3f} us" if time_of else item["reason"]
            show(f"{item['verdict']:4}  {item['case']:44}  {name:12}  {tail}")
    return rows


def main():
    options, words = arguments()
    start = time.monotonic()
    cases = cases_of(options.kbench, words)
    gpu = Gpu(options)
    wanted = options.peer.split(",") if options.peer else None
    rows = rows_of(gpu, cases, wanted, options.seed)
    if not rows:
        fail("no peer computes any of these cases", 3)
    command = ["tools/peers.py", *sys.argv[1:]]
    seconds = time.monotonic() - start
    for path, which in ((options.output, rows), (options.best, peers_report.best_of(rows))):
        if path:
            peers_report.write(path, peers_report.report(which, gpu.device(), command, seconds))
            print(f"wrote {path}")
    verdicts = {item["verdict"] for item in rows}
    if verdicts == {"SKIP"}:
        fail(f"nothing was checked: {rows[0]['reason']}", 3)
    sys.exit(1 if "FAIL" in verdicts else 0)


if __name__ == "__main__":
    main()
