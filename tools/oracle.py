#!/usr/bin/env python3
"""oracle.py [CASES...] - kbench's references against a second implementation, element by element.

Runs cases with --dump, computes every output once more from the dumped inputs (tools/truth/, in
fp64: PyTorch 2.1 or newer where there is one, else NumPy) and holds the reference's want against
that: within an fp32 ulp, or what the op states where terms cancel; NaN, infinities and the sign of
zero alike. Differences are named by case, output and index. Exit 1 where there is one.

    tools/oracle.py                           the cases of tag ci, as make check-torch runs them
    tools/oracle.py --match 'silu*' --tag full
    tools/oracle.py --files dumps/*           dumps that are there
    tools/oracle.py --write-golden            remake reports/golden/vectors/
    tools/oracle.py --check-golden            are they what would be made?
"""
import argparse
import filecmp
import os
import shutil
import subprocess
import sys
import tempfile
import time

try:
    import numpy as np
except ImportError:
    sys.exit("oracle.py: %s has no NumPy; tools/setup.sh check installs python3-numpy, for "
             "/usr/bin/python3" % sys.executable)

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from truth import files, golden, numbers, ops  # noqa: E402
from truth.answers import compare  # noqa: E402
from truth.cases import Unknown  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
VECTORS = os.path.join(ROOT, "reports", "golden", "vectors")
BATCH = 24


class Tally:
    """Of each op: cases, elements, cases that differ."""

    def __init__(self):
        self.ops = {}

    def add(self, op, elements, differs):
        cases, all_elements, bad = self.ops.get(op, (0, 0, 0))
        self.ops[op] = cases + 1, all_elements + elements, bad + bool(differs)

    def show(self):
        for op, (cases, elements, bad) in sorted(self.ops.items()):
            print("%-22s %5d cases %12d elements   %s" % (op, cases, elements, "%d differ" % bad if bad else "agree"))
        return [sum(column) for column in zip(*self.ops.values())] if self.ops else [0, 0, 0]


def outputs(tensors):
    return {name[len("want."):] for name in tensors if name.startswith("want.")}


def check(maths, path, tally):
    """One dump. Returns its case's id."""
    tensors, texts = files.read(path)
    text, found, elements = texts.get("case", path), [], 0
    try:
        case = ops.case_of(text)
        answers = ops.answer(maths, case, tensors)
        if set(answers) != outputs(tensors):
            raise Unknown("outputs are %s, the oracle has %s" % (sorted(outputs(tensors)), sorted(answers)))
    except (Unknown, ValueError, KeyError) as error:
        found.append(error)
        answers = {}
    for name, answer in sorted(answers.items()):
        want, bound = tensors["want." + name].raw, tensors["bound." + name].raw
        if "rows." + name in tensors:
            answer = answer.rows(tensors["rows." + name].raw, want.shape[-1])
        n, differences = compare(name, answer, want, bound)
        elements += n
        found += differences
    for difference in found:
        print("%s: %s" % (text, difference))
    tally.add(text.split("/")[0], elements, found)
    return text


# ---- dumps of kbench ---------------------------------------------------------------------


def selection(args):
    words = list(args.cases) or ["cases/"]
    for option, values in (("--tag", args.tag), ("--match", args.match), ("--op", args.op), ("--case", args.case)):
        for value in values:
            words += [option, value]
    return words


def listed(args):
    done = subprocess.run([args.bin] + selection(args) + ["--mode", "list"], stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(done.returncode)
    return done.stdout.split()


def start(args, ids, folder):
    """kbench over some cases, with dumps into a folder; its own verdicts are not the question."""
    command = [args.bin] + (list(args.cases) or ["cases/"])
    command += ["--case", ",".join(ids), "--mode", "check", "--backend", args.backend, "--seed", args.seed,
                "--mem-limit", args.mem_limit, "--dump", folder, "-q"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def look_at(maths, folder, ids, tally):
    """The dumps of a batch. Returns the cases that have none."""
    done = set()
    for name in sorted(os.listdir(folder)):
        done.add(check(maths, os.path.join(folder, name), tally))
    shutil.rmtree(folder)
    return [case for case in ids if case not in done]


def run(args, maths, tally):
    """Dumps of one batch are made while those of the last one are looked at. Returns cases left out."""
    ids, work = listed(args)[::args.every], tempfile.mkdtemp(prefix="kbench-oracle-")
    batches = [ids[i:i + args.batch] for i in range(0, len(ids), args.batch)]
    began, at, child, left_out = time.monotonic(), 0, None, []
    try:
        child = start(args, batches[0], os.path.join(work, "0"))
        while child:
            said = child.communicate()[0]
            if child.returncode not in (0, 1, 3):  # what crashed or did not build is not left out
                sys.exit("kbench ended with status %d:\n%s" % (child.returncode, said))
            over = args.max_time and time.monotonic() - began > args.max_time
            more = at + 1 < len(batches) and not over
            child = start(args, batches[at + 1], os.path.join(work, str(at + 1))) if more else None
            left_out += look_at(maths, os.path.join(work, str(at)), batches[at], tally)
            at += 1
            if args.verbose:
                print("%d of %d cases" % (min(at * args.batch, len(ids)), len(ids)), flush=True)
        if at < len(batches):
            print("%g s are over: %d of %d cases were not run" % (
                args.max_time, sum(map(len, batches[at:])), len(ids)))
    finally:
        if child:
            child.kill()
            child.wait()
        shutil.rmtree(work, ignore_errors=True)
    return left_out


def check_golden():
    """Whether the vectors that are committed are those that would be made."""
    with tempfile.TemporaryDirectory(prefix="kbench-golden-") as folder:
        golden.write_all(numbers.find("numpy"), folder)
        names = sorted(set(os.listdir(folder)) | set(os.listdir(VECTORS)))
        _, other, missing = filecmp.cmpfiles(folder, VECTORS, names, shallow=False)
    for name in other + missing:
        print("reports/golden/vectors/%s is not what tools/oracle.py --write-golden makes" % name)
    print("%d vectors: %s" % (len(names), "%d differ" % len(other + missing) if other + missing else "as they are made"))
    return 1 if other or missing else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", help="case files or folders (cases/)")
    parser.add_argument("--bin", default=os.environ.get("BIN", os.path.join(ROOT, "kbench")), help="kbench")
    parser.add_argument("--tag", action="append", default=[], help="as kbench's; ci where nothing is asked for")
    parser.add_argument("--match", action="append", default=[])
    parser.add_argument("--op", action="append", default=[])
    parser.add_argument("--case", action="append", default=[])
    parser.add_argument("--seed", default="1")
    parser.add_argument("--backend", default="host", help="that runs the kernels: host, cuda, auto")
    parser.add_argument("--mem-limit", default="512M", help="cases that need more are left out")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="each Nth case of those selected")
    parser.add_argument("--max-time", type=float, metavar="SECONDS", help="begin no batch after that")
    parser.add_argument("--batch", type=int, default=BATCH, help="cases to a run of kbench")
    parser.add_argument("--engine", choices=("auto", "torch", "numpy"), default="auto")
    parser.add_argument("--files", nargs="+", default=[], help="dumps to look at instead of running kbench")
    parser.add_argument("--write-golden", action="store_true", help="remake reports/golden/vectors/")
    parser.add_argument("--check-golden", action="store_true", help="are they what would be made?")
    parser.add_argument("--verbose", "-v", action="store_true")
    args = parser.parse_args()
    args.bin = os.path.abspath(args.bin)
    np.seterr(all="ignore")  # infinities and NaN are inputs here
    if not (args.tag or args.match or args.op or args.case or args.cases):
        args.tag = ["ci"]

    maths, tally, left_out = numbers.find(args.engine), Tally(), []
    if args.write_golden:
        print("%d vectors in reports/golden/vectors/" % golden.write_all(numbers.find("numpy"), VECTORS))
        return 0
    if args.check_golden:
        return check_golden()
    for path in args.files:
        check(maths, path, tally)
    if not args.files:
        left_out = run(args, maths, tally)
    cases, elements, bad = tally.show()
    if left_out:
        print("left out, since no kernel took them or they need more than %s: %d, %s%s" % (
            args.mem_limit, len(left_out), ", ".join(left_out[:4]), ", ..." if len(left_out) > 4 else ""))
    print("%d cases, %d elements by %s: %s" % (cases, elements, maths.engine.name, "%d cases differ" % bad if bad else "all agree"))
    return 1 if bad or not cases else 0


if __name__ == "__main__":
    sys.exit(main())
