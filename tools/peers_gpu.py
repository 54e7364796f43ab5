"""peers_gpu.py - peers.py's half that holds the GPU: which peers take a case, each checked against
fp64 and then timed by graph. Everything that needs PyTorch is here or below."""
import ctypes
import math
import subprocess
import time
import warnings

import torch

import peers_libraries
import peers_ops
import peers_report

MAX_SETS = 4096
REPLAY_NS = 2e6  # a replay's own start is 3 to 5 us of it
MIN_SAMPLES = 20
MAX_LAUNCHES = 20000
PROGRAMMATIC = 1  # CU_GRAPH_DEPENDENCY_TYPE_PROGRAMMATIC


def is_programmatic(graph):
    """Whether a launch of the captured graph may begin before the one in front has ended: that is
    what kbench calls pdl, and no `graph`."""
    driver, handle = ctypes.CDLL("libcuda.so.1"), ctypes.c_void_p(graph.raw_cuda_graph())
    n = ctypes.c_size_t(0)

    def edges(starts, ends, data):
        status = driver.cuGraphGetEdges_v2(handle, starts, ends, data, ctypes.byref(n))
        if status:
            raise RuntimeError(f"cuGraphGetEdges_v2: error {status}")
    edges(None, None, None)
    nodes, data = ctypes.c_void_p * max(1, n.value), (ctypes.c_ubyte * (8 * max(1, n.value)))()
    edges(nodes(), nodes(), data)
    return any(data[8 * i + 2] == PROGRAMMATIC for i in range(n.value))


class Gpu:
    """What checks and times; the tests put another in its place."""

    def __init__(self, options):
        warnings.simplefilter("ignore")  # a row says what a peer could not do
        self.options = options
        self.wanted = options.peer.split(",") if options.peer else None
        self.props = torch.cuda.get_device_properties(0)
        torch._dynamo.config.cache_size_limit = 100000
        self.absent = {}
        # All that is done is done on this one, captures too: with work on three streams each node
        # of each graph takes 0.2 to 0.4 us more on an H200, as reports/README.md tells.
        self.stream = torch.cuda.Stream()
        torch.cuda.set_stream(self.stream)

    def device(self):
        p = self.props
        driver = subprocess.run(["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader", "-i", "0"],
                                stdout=subprocess.PIPE, check=False).stdout.decode().strip()
        item = {"id": "0", "backend": "cuda", "name": p.name, "sm": p.major * 10 + p.minor,
                "sm_count": p.multi_processor_count, "l2_bytes": p.L2_cache_size,
                "memory_bytes": p.total_memory, "driver": driver,
                "nvrtc": torch.version.cuda or "", "clocks_locked": False}
        return {**item, "uuid": f"GPU-{p.uuid}"} if hasattr(p, "uuid") else item

    def refuses(self, case):
        op = peers_ops.OPS.get(case["op"])
        return op.refuses(case) if op else "no peer for the op"

    def peers(self, case):
        """Names of those that may compute the case, each with who made it and a function that
        gives the one to call, or None: it has no such form. `absent` says who is not here."""
        op = peers_ops.OPS[case["op"]]
        torch_is = f"torch {torch.__version__}"
        found = {"eager": (torch_is, lambda: op.chain(case)),
                 "compile": (torch_is, lambda: torch.compile(op.chain(case), dynamic=False))}
        for name, make in op.others(case).items():
            found[name] = (torch_is, make)
        for name, library, make in peers_libraries.PEERS.get(case["op"], ()):
            if self.wanted and name not in self.wanted:
                continue
            if library not in self.absent:
                try:
                    found[name] = (peers_libraries.made(library), lambda make=make: make(case))
                except peers_libraries.Absent as error:
                    self.absent[library] = str(error)
        return found

    def inputs(self, case, run):
        gen = torch.Generator(device="cuda")
        gen.manual_seed(self.options.seed)
        inputs = peers_ops.OPS[case["op"]].inputs(case, gen)
        return inputs, getattr(run, "prepare", dict)(inputs)

    def run(self, case, make):
        """Check, then time: the result of peers_report.row; None: the peer has no such form."""
        run, op = make(), peers_ops.OPS[case["op"]]
        if run is None:
            return None
        inputs, given = self.inputs(case, run)
        given = {k: v.clone() if k in op.changes() else v for k, v in given.items()}
        start = time.monotonic()
        outputs = run(**given)
        torch.cuda.synchronize()
        built = time.monotonic()
        found = op.check(case, inputs, getattr(run, "finish", lambda *all: all)(*outputs))
        checked = time.monotonic()
        spent = {"build": 1e3 * (built - start), "check": 1e3 * (checked - built)}
        over = [f"{name}: {item['over']} of {item['elements']} elements are past the tolerance"
                for name, item in found.items() if item["over"]]
        if over:
            return {"verdict": "FAIL", "reason": over[0], "reason_kind": "mismatch",
                    "spent_ms": spent}
        del outputs
        method, timed = self.time(case, run)
        spent["time"] = 1e3 * (time.monotonic() - checked)
        spent["total"] = sum(spent.values())
        return {"verdict": "PASS", "method": method, "time": timed, "spent_ms": spent}

    def is_lost(self):
        """Whether what went wrong has taken the GPU from this process for good."""
        try:
            torch.cuda.synchronize()
        except Exception:
            return True
        torch.cuda.empty_cache()
        return False

    def sets_for(self, footprint):
        free, _ = torch.cuda.mem_get_info()
        wanted = self.options.sets or -(-3 * self.props.L2_cache_size // footprint)
        return max(1, min(wanted, MAX_SETS, int(free * 0.4) // footprint))

    def time(self, case, run):
        _, first = self.inputs(case, run)
        outputs = run(**first)
        size = lambda tensors: sum(t.numel() * t.element_size() for t in tensors)
        apart = [t for t in outputs if all(t.data_ptr() != i.data_ptr() for i in first.values())]
        footprint = max(1, size(first.values()) + size(apart))
        del outputs, apart
        sets = [first] + [{k: v.clone() for k, v in first.items()}
                          for _ in range(self.sets_for(footprint) - 1)]
        graph, cycles = self.capture(run, sets, 1), 1
        estimate = self.replay(graph)
        if estimate < REPLAY_NS:
            cycles = math.ceil(REPLAY_NS / max(estimate, 1))
            cycles = max(1, min(cycles, MAX_LAUNCHES // len(sets)))
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
        return "pdl" if is_programmatic(graph) else "graph", {
            "samples": samples, "launches": len(samples) * launches, "sets": len(sets),
            "footprint": footprint * len(sets), "precise": precise}

    def capture(self, run, sets, cycles):
        """Every set in turn; outputs of a set lie where its last ones lay, and no two together."""
        for _ in range(3):
            run(**sets[0])
        torch.cuda.synchronize()
        graph, outputs = torch.cuda.CUDAGraph(keep_graph=True), [None] * len(sets)
        with torch.cuda.graph(graph, stream=self.stream):
            for _ in range(cycles):
                for i, inputs in enumerate(sets):
                    outputs[i] = None
                    outputs[i] = run(**inputs)
        graph.instantiate()
        return graph

    def replay(self, graph):
        """ns of a replay."""
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        graph.replay()
        end.record()
        end.synchronize()
        return begin.elapsed_time(end) * 1e6
