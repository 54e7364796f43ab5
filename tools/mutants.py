#!/usr/bin/python3
"""mutants.py - wrong kernels that kbench must flag, each by the check that is for it, and right
ones that it must not. kernels/mutants/README.md has the files' schema.

A mutant is an edit of one of our kernels, made in memory and run from a private folder. Prints
a line for each mutant and case and a count at the end; exit 1 if anything is not as its entry
says. What survives is kept under BUILD/mutants/, with the command that runs it."""
import argparse
import collections
import concurrent.futures
import fnmatch
import glob
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile

SCHEMA = "kbench-mutants/1"
FILE_KEYS = {"schema", "kernel", "variant", "mutants", "controls", "equivalents"}
EDIT_KEYS = {"name", "why", "file", "find", "replace", "cases"}
MORE_KEYS = {"variant", "sanitize", "host", "cuda", "quick"}
KINDS = {  # list in the file -> (keys that it must have, keys that it may have)
    "mutants": (EDIT_KEYS | {"oracle"}, MORE_KEYS | {"says"}),
    "controls": (EDIT_KEYS, MORE_KEYS),
    "equivalents": (EDIT_KEYS | {"because"}, MORE_KEYS),
}
CONTRACT = re.compile(r"/\* kbench\b(.*?)\*/", re.S)

Entry = collections.namedtuple("Entry", "kind data kernel variant path")
Result = collections.namedtuple("Result", "case got how share peers ok")


class Bad(Exception):
    """An entry or a run that cannot be judged."""


# ---- files -------------------------------------------------------------------------------


def no_duplicates(pairs):
    keys = [key for key, _ in pairs]
    for key in keys:
        if keys.count(key) > 1:
            raise Bad(f'key "{key}" is there twice')
    return dict(pairs)


def expand(text):
    """Braces as in a shell: a{b,c} is ab and ac."""
    found = re.search(r"\{([^{}]*)\}", text)
    if not found:
        return [text]
    parts = [text[: found.start()] + word + text[found.end() :] for word in found[1].split(",")]
    return [case for part in parts for case in expand(part)]


def check_entry(kind, data, oracles):
    must, may = KINDS[kind]
    name = data.get("name", "?")
    for key in must - data.keys():
        raise Bad(f"{name}: has no {key}")
    for key in data.keys() - must - may:
        raise Bad(f"{name}: unknown key {key}")
    words = [data["oracle"]] if "oracle" in data else []
    for word in words + data.get("host", []) + data.get("cuda", []):
        if word and word not in oracles:
            raise Bad(f'{name}: unknown oracle "{word}", kbench help verdicts has them')
    data["cases"] = [case for text in data["cases"] for case in expand(text)]
    if not data["cases"] or len(set(data["cases"])) != len(data["cases"]):
        raise Bad(f"{name}: cases must be there, each once")


def load(path, oracles):
    with open(path, encoding="utf-8") as file:
        data = json.load(file, object_pairs_hook=no_duplicates)
    if data.get("schema") != SCHEMA:
        raise Bad(f'{path}: schema is {data.get("schema")}, wanted {SCHEMA}')
    for key in data.keys() - FILE_KEYS:
        raise Bad(f"{path}: unknown key {key}")
    for key in {"kernel", "variant"} - data.keys():
        raise Bad(f"{path}: has no {key}")
    entries = []
    for kind in KINDS:
        for entry in data.get(kind, []):
            try:
                check_entry(kind, entry, oracles)
            except Bad as bad:
                raise Bad(f"{path}: {bad}") from None
            variant = entry.get("variant", data["variant"])
            entries.append(Entry(kind, entry, data["kernel"], variant, path))
    return entries


# ---- a mutant's files --------------------------------------------------------------------


def edit(text, entry):
    """The text with its one `find` replaced; white space in it stands for any."""
    data = entry.data
    pattern = r"\s+".join(re.escape(word) for word in data["find"].split())
    found = list(re.finditer(pattern, text))
    if len(found) != 1:
        raise Bad(f'stale: {len(found)} times in {data["file"]}, wanted once: {data["find"]}')
    start, end = found[0].span()
    if text[start:end] == data["replace"]:
        raise Bad("replaces a text by itself")
    return text[:start] + data["replace"] + text[end:]


def needed_only(text, entry):
    """The contract with only the ops, dtypes and variant of the cases, as the host compiles a
    file whole. Lines keep their numbers."""
    match = CONTRACT.search(text)
    contract = json.loads(match.group(1)) if match else None
    if contract is None or entry.variant not in contract["variants"]:
        raise Bad(f"no variant {entry.variant} in the contract of {entry.kernel}")
    cases = [case.split("/") for case in entry.data["cases"]]
    contract["ops"] = sorted({case[0] for case in cases})
    contract["dtypes"] = sorted({case[2] for case in cases})
    contract["variants"] = {entry.variant: contract["variants"][entry.variant]}
    lines = "\n" * match.group(0).count("\n")
    return text[: match.start()] + f"/* kbench{lines}{json.dumps(contract)} */" + text[match.end() :]


def write_files(entry, folder):
    """The mutated kernel in `folder`, with what it includes beside it. Returns its path."""
    kernel = os.path.basename(entry.kernel)
    files = {entry.kernel, *glob.glob("kernels/*.cuh")}
    if entry.data["file"] not in files:
        raise Bad(f'{entry.data["file"]} is neither the kernel nor a kernels/*.cuh')
    for path in files:
        with open(path, encoding="utf-8") as file:
            text = file.read()
        if path == entry.data["file"]:
            text = edit(text, entry)
        if path == entry.kernel:
            text = needed_only(text, entry)
        with open(os.path.join(folder, os.path.basename(path)), "w", encoding="utf-8") as file:
            file.write(text)
    return os.path.join(folder, kernel)


# ---- a run -------------------------------------------------------------------------------


def command(entry, path, options):
    words = [options.bin, "--kernel", f"{path}:{entry.variant}", "--backend", options.backend]
    words += ["--mode", "check", "--timeout", "60s"]
    for case in entry.data["cases"]:
        words += ["--case", case]
    if "sanitize" in entry.data:
        words += ["--sanitize", entry.data["sanitize"]]
    return words


def rows_of(words):
    """Rows by case."""
    done = subprocess.run(
        words + ["--format", "jsonl"], capture_output=True, text=True, timeout=900, check=False
    )
    rows = {}
    for line in done.stdout.splitlines():
        row = json.loads(line)
        if "case" in row:
            rows[row["case"]] = row
    if not rows:
        raise Bad(f"exit {done.returncode} without a row: {done.stderr.strip()[-300:]}")
    return rows


def share_of_bound(row):
    """The worst element's error over its bound, or None where there is none."""
    shares = [out.get("err_over_bound") for out in row.get("outputs", {}).values()]
    return max((share for share in shares if isinstance(share, (int, float))), default=None)


def describe(row):
    """What was seen, in a few words; whether the peers' tolerance would let it pass."""
    outputs = list(row.get("outputs", {}).values())
    out = max(outputs, key=lambda o: o["over"], default=None)
    if row.get("reason_kind") != "mismatch" or not out or not out["over"]:
        return row.get("reason") or "", False
    share = share_of_bound(row)
    words = f'{out["over"]} of {out["elements"]} over'
    words += f", {share:.3g} of bound" if share is not None else ""
    if out.get("kind_mismatches"):
        words += f', {out["kind_mismatches"]} NaN or infinity'
    if out.get("follows"):
        words += f', matches {out["follows"]}'
    peers = out.get("tolerance", {}).get("over") == 0
    return words + (", peers pass it" if peers else ""), peers


def wanted_on(entry, backend):
    """Reasons that are right on a backend, "" being a pass; none: it is not run there."""
    return entry.data.get(backend, [entry.data.get("oracle", "")])


def judge(entry, rows, backend):
    wanted = wanted_on(entry, backend)
    results = []
    for case in entry.data["cases"]:
        row = rows.get(case)
        if row is None:
            raise Bad(f"{case} has no row, there are {' '.join(rows)}")
        got = row.get("reason_kind") or ""
        if row["verdict"] not in ("PASS", "FAIL") and got not in wanted:
            raise Bad(f'{case} is {row["verdict"]}, {got}: {row.get("reason")}')
        how, peers = describe(row)
        says = backend == "cuda" or entry.data.get("says", "") in (row.get("reason") or "")
        right = got in wanted and says
        results.append(Result(case, got, how, share_of_bound(row), peers, right))
    return results


def keep(entry, folder, options):
    """Copy what is not as its entry says to where it can be run again; the command."""
    place = os.path.join(options.build, "mutants", entry.data["name"])
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(folder, place)
    path = os.path.join(place, os.path.basename(entry.kernel))
    return shlex.join(command(entry, path, options))


def run(entry, options):
    """Results, an error or None, the command to repeat it or None."""
    folder = tempfile.mkdtemp(prefix="kbench-mutant-")
    try:
        path = write_files(entry, folder)
        try:
            results = judge(entry, rows_of(command(entry, path, options)), options.backend)
        except (Bad, json.JSONDecodeError, subprocess.TimeoutExpired) as bad:
            return [], str(bad), keep(entry, folder, options)
        right = all(result.ok for result in results)
        return results, None, None if right else keep(entry, folder, options)
    except (Bad, OSError, json.JSONDecodeError) as bad:
        return [], str(bad), None
    finally:
        shutil.rmtree(folder)


# ---- what is printed ---------------------------------------------------------------------


def print_row(word, name, where, saw, how):
    how = how if len(how) < 90 else how[:87] + "..."
    print(f"{word:<6} {name:<33} {where:<42} {saw:<13} {how}".rstrip(), flush=True)


def print_matrix(entry, results, error, options):
    name = entry.data["name"]
    wanted = " or ".join(word or "pass" for word in wanted_on(entry, options.backend))
    if error:
        print_row("ERROR", name, "", "", error)
    elif wanted == "pass" and all(result.ok for result in results):
        worst = max(results, key=lambda result: result.share or 0)
        how = f"at most {worst.share:.2f} of bound, in {worst.case}" if worst.share else ""
        where = results[0].case if len(results) == 1 else f"{len(results)} cases"
        print_row("ok", name, where, "pass", how)
        return
    for result in results:
        saw = result.got or "pass"
        if result.ok:
            print_row("ok", name, result.case, saw, result.how)
        else:
            print_row("FAILED", name, result.case, f"{saw}, not {wanted}", result.how)
            if "says" in entry.data:
                print(f'       wanted in its reason: {entry.data["says"]}')


def plural(count, kind):
    return f"{count[kind]} {kind if count[kind] != 1 else kind[:-1]}"


def summary(outcomes):
    count = collections.Counter()
    for entry, results, error, _ in outcomes:
        right = not error and all(result.ok for result in results)
        flagged = not right and not error and all(result.got for result in results)
        count["errors"] += error is not None
        count[entry.kind] += 1
        count[entry.kind, "right"] += right
        if entry.kind == "mutants":
            count["other"] += flagged
            count["survived"] += not right and not flagged and not error
            count["mismatches"] += sum(result.got == "mismatch" for result in results)
            count["peers"] += sum(result.peers for result in results)
    if count["peers"]:
        print(f'{count["peers"]} of {count["mismatches"]} mismatches are within the peers\' tolerance')
    line = f'{plural(count, "mutants")}: {count["mutants", "right"]} killed, '
    line += f'{count["survived"]} survived'
    line += f', {count["other"]} killed by another oracle' if count["other"] else ""
    for kind in ("controls", "equivalents"):
        if count[kind]:
            line += f"; {plural(count, kind)}: {count[kind, 'right']} passed"
    line += f'; {plural(count, "errors")}' if count["errors"] else ""
    print(line)
    return sum(count[kind] for kind in KINDS) == sum(count[kind, "right"] for kind in KINDS)


# ---- main --------------------------------------------------------------------------------


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("files", nargs="*", help="kernels/mutants/*.json unless given")
    parser.add_argument("--backend", choices=["host", "cuda"], default="host")
    parser.add_argument("--quick", action="store_true", help='only entries with "quick": true')
    parser.add_argument("--fit", action="store_true", help="only see whether each edit still fits, of all backends")
    parser.add_argument("--only", metavar="GLOB", default="*", help="only entries of that name")
    parser.add_argument("--jobs", type=int, default=max(1, min(4, os.cpu_count() or 1)))
    parser.add_argument("--bin", default=os.environ.get("BIN", "./kbench"))
    parser.add_argument("--build", default=os.environ.get("BUILD", "build"))
    options = parser.parse_args()
    if os.sep not in options.bin:
        options.bin = os.path.join(".", options.bin)
    options.files = options.files or sorted(glob.glob("kernels/mutants/*.json"))
    return options


def select(options):
    done = subprocess.run(
        [options.bin, "help", "verdicts"], capture_output=True, text=True, check=True
    )
    oracles = set(re.findall(r"^  ([a-z_]+) ", done.stdout, re.M))
    entries = [entry for path in options.files for entry in load(path, oracles)]
    names = collections.Counter(entry.data["name"] for entry in entries)
    for name in names:
        if names[name] > 1:
            raise Bad(f"{name}: there are {names[name]} of that name")
    chosen = []
    for entry in entries:
        on_this = options.fit or wanted_on(entry, options.backend)
        wanted = fnmatch.fnmatchcase(entry.data["name"], options.only)
        if on_this and wanted and (entry.data.get("quick") or not options.quick):
            chosen.append(entry)
    if not chosen:
        raise Bad("no entry is selected")
    return chosen


def fit(entries):
    """Every edit finds its place, so that a kernel that changes takes its wrong ones along."""
    stale = 0
    for entry in entries:
        try:
            with open(entry.data["file"], encoding="utf-8") as file:
                edit(file.read(), entry)
        except Bad as bad:
            stale += 1
            print(f'{entry.path}: {entry.data["name"]}: {bad}')
    print(f"{len(entries)} edits, {stale} stale")
    return not stale


def main():
    options = parse_options()
    try:
        entries = select(options)
        if options.fit:
            return 0 if fit(entries) else 1
    except (Bad, OSError, json.JSONDecodeError, subprocess.CalledProcessError) as bad:
        print(f"mutants: {bad}", file=sys.stderr)
        return 4
    outcomes = []
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        runs = pool.map(lambda entry: run(entry, options), entries)
        for entry, (results, error, repeat) in zip(entries, runs):
            print_matrix(entry, results, error, options)
            outcomes.append((entry, results, error, repeat))
    for entry, _, _, repeat in outcomes:
        if repeat:
            print(f'{entry.data["name"]}, {entry.data["why"]}:\n    {repeat}')
    return 0 if summary(outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
