#!/usr/bin/env python3
"""peers.py - kbench's cases through what else computes them on this GPU: PyTorch (eager, compiled,
its attention), Triton, and FlashInfer, sglang or vLLM where they are installed. Each is checked
against fp64, then timed by graph over rotating buffers of 3x L2 and more, as kbench does; the
report is one of kbench's, so that kbench diff compares.

    tools/peers.py cases/activation.json --tag ci -o peers.json
    tools/peers.py --op silu --shape 83x1024,16384x2048 --best best.json
    kbench diff best.json ours.json

Words other than those below select cases, as for kbench list cases. Exit status: 0 done, 1 a peer
was wrong, 3 nothing was checked, 4 what was asked is wrong, 6 a peer crashed or hung, or there is
no PyTorch or no GPU."""
import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import time

import peers_report

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
START_S = 120


def fail(text, status):
    print(f"peers.py: {text}", file=sys.stderr)
    sys.exit(status)


def arguments():
    parser = argparse.ArgumentParser(prog="peers.py", description=__doc__, allow_abbrev=False,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.error = lambda text: fail(text, 4)
    parser.add_argument("--peer", metavar="NAME,...", help="eager, compile, triton, ...: these alone")
    parser.add_argument("-o", dest="output", metavar="FILE.json", help="all rows")
    parser.add_argument("--best", metavar="FILE.json", help="of each case the fastest peer that is right")
    parser.add_argument("--sets", type=int, default=0, help="buffer sets to rotate over; 0: 3x L2 of them")
    parser.add_argument("--precision", type=float, default=0.01, help="half-width to stop at (0.01)")
    parser.add_argument("--max-time", type=float, default=1.0, help="seconds for one timing (1)")
    parser.add_argument("--timeout", type=float, default=300.0,
                        help="seconds for one peer of a case, compilation included (300)")
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


def Gpu(options):
    """What checks and times, of peers_gpu.py; the tests put another in its place."""
    try:
        import torch
    except ImportError:
        fail(f"this python3 ({sys.executable}) has no PyTorch: peers need it", 6)
    if not torch.cuda.is_available():
        fail("PyTorch finds no GPU: torch.cuda.is_available() is false", 6)
    import peers_gpu
    return peers_gpu.Gpu(options)


# ---- the process that has the GPU ------------------------------------------------------------


class Lost(Exception):
    """It has ended, or gives no answer."""

    def __init__(self, kind, text):
        super().__init__(text)
        self.kind = kind


def plan(gpu, case):
    """Who may compute the case, and who is not here."""
    why = gpu.refuses(case)
    peers = {} if why else gpu.peers(case)
    return {"refused": why, "peers": [(name, made) for name, (made, _) in peers.items()],
            "absent": getattr(gpu, "absent", {})}


def result_of(gpu, case, name):
    try:
        return gpu.run(case, gpu.peers(case)[name][1])
    except Exception as error:  # a peer that cannot is a row that says so
        text = " ".join(str(error).split())[:300] or type(error).__name__
        reason = f"{type(error).__name__}: {text}"
        if gpu.is_lost():
            return {"verdict": "ERROR", "reason": reason, "reason_kind": "crash", "lost": True}
        return {"verdict": "SKIP", "reason": reason, "reason_kind": "variant"}


def serve(pipe, options):
    gpu = Gpu(options)
    pipe.send(gpu.device())
    while True:
        asked = pipe.recv()
        pipe.send(plan(gpu, *asked) if len(asked) == 1 else result_of(gpu, *asked))


class Worker:
    """A process of its own has the GPU: a peer that crashes or hangs there costs its row."""

    def __init__(self, options):
        self.options, self.process = options, None
        self.start()

    def start(self):
        self.end()
        self.pipe, there = multiprocessing.Pipe()
        self.process = multiprocessing.get_context("fork").Process(target=serve, args=(there, self.options))
        self.process.start()
        there.close()
        try:
            self.device = self.answer(START_S)
        except Lost as lost:
            status = self.process.exitcode or 0
            if status > 0:  # it has said why
                sys.exit(status)
            fail(f"the GPU's process: {lost}", 6)

    def end(self):
        if self.process:
            self.pipe.close()
            self.process.kill()
            self.process.join()
            self.process = None

    def ask(self, *words):
        self.pipe.send(words)
        return self.answer(self.options.timeout)

    def answer(self, seconds):
        if not self.pipe.poll(seconds):
            raise Lost("timeout", f"no answer in {seconds:g} s")
        try:
            return self.pipe.recv()
        except (EOFError, ConnectionError):
            self.process.join()
            status = self.process.exitcode
            raise Lost("crash", f"signal {-status}" if status < 0 else f"exit status {status}") from None

    def run(self, case, name):
        """The result of one peer, whatever becomes of it."""
        try:
            result = self.ask(case, name)
        except Lost as lost:
            result = {"verdict": "ERROR", "reason": f"the peer's process: {lost}",
                      "reason_kind": lost.kind, "lost": True}
        if result and result.pop("lost", False):
            self.start()
        return result


# ---- the run -------------------------------------------------------------------------------


def plan_of(worker, case, told, show):
    """Names of the case's peers, each with who made it."""
    try:
        found = worker.ask(case)
    except Lost as lost:
        worker.start()
        found = {"refused": f"importing its peers: {lost}", "peers": [], "absent": {}}
    for library, why in found["absent"].items():
        if library not in told:
            show(f"not here  {library}: {why}")
            told.add(library)
    if found["refused"]:
        show(f"left out  {case['case']}: {found['refused']}")
    return found["peers"]


def rows_of(worker, cases, wanted, seed, show):
    rows, told = [], set()
    for case in cases:
        for name, made in plan_of(worker, case, told, show):
            result = worker.run(case, name) if not wanted or name in wanted else None
            if not result:
                continue
            item = peers_report.row(case, {"kernel": made, "variant": name}, seed, result)
            rows.append(item)
            times = [f"{method:5} {time['median_ns'] / 1e3:9.3f} us"
                     for method, time in item.get("times", {}).items()]
            show(f"{item['verdict']:5} {item['case']:52}  {name:14}  {' '.join(times) or item['reason']}")
    return rows


def main():
    options, words = arguments()
    start = time.monotonic()
    cases = cases_of(options.kbench, words)
    worker = Worker(options)
    wanted = options.peer.split(",") if options.peer else None
    try:
        rows = rows_of(worker, cases, wanted, options.seed, lambda text: print(text, flush=True))
    finally:
        worker.end()
    if not rows:
        fail("no peer computes any of these cases", 3)
    # No folder of this machine: reports are kept.
    command = ["tools/peers.py", *(os.path.basename(word) if os.path.isabs(word) else word for word in sys.argv[1:])]
    seconds = time.monotonic() - start
    for path, which in ((options.output, rows), (options.best, peers_report.best_of(rows))):
        if path:
            peers_report.write(path, peers_report.report(which, worker.device, command, seconds))
            print(f"wrote {path}")
    for verdict, status in (("ERROR", 6), ("FAIL", 1)):
        found = [item for item in rows if item["verdict"] == verdict]
        if found:
            fail(f"{len(found)} of {len(rows)} rows {verdict}: {found[0]['case']} {found[0]['variant']}: "
                 f"{found[0]['reason']}", status)
    if not any(item["verdict"] == "PASS" for item in rows):
        fail(f"nothing was checked: {rows[0]['reason']}", 3)


if __name__ == "__main__":
    main()
