#!/usr/bin/python3
"""checker_mutants.py - edits that make the checker itself wrong, each of which a named unit test
must notice. tools/checker_mutants.json has them:

    name, why    words by `-`; what is done, in half a sentence
    file         the source that is edited
    find         a text that it has exactly once; white space stands for any
    replace      what stands there instead
    test, kills  the test program, below build/test/, and the test in it that must fail

The tree is copied to a private folder and built there once; then edit, build, test, undo, one by
one. Prints a line for each and a count; exit 1 if one survives, or does not build."""
import argparse
import collections
import fnmatch
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

SCHEMA = "kbench-checker-mutants/1"
KEYS = {"name", "why", "file", "find", "replace", "test", "kills"}
PARTS = ["Makefile", "src", "kernels", "cases", "reports", "tools"]


class Bad(Exception):
    """An entry that cannot be judged."""


def load(path):
    with open(path, encoding="utf-8") as file:
        data = json.load(file)
    if data.get("schema") != SCHEMA:
        raise Bad(f'{path}: schema is {data.get("schema")}, wanted {SCHEMA}')
    for entry in data["mutants"]:
        if set(entry) != KEYS:
            raise Bad(f'{path}: {entry.get("name", "?")}: keys are {" ".join(sorted(entry))}')
    names = collections.Counter(entry["name"] for entry in data["mutants"])
    for name in names:
        if names[name] > 1:
            raise Bad(f"{path}: {name}: there are {names[name]} of that name")
    return data["mutants"]


def edit(text, entry):
    pattern = r"\s+".join(re.escape(word) for word in entry["find"].split())
    found = list(re.finditer(pattern, text))
    if len(found) != 1:
        raise Bad(f'stale: {len(found)} times in {entry["file"]}, wanted once: {entry["find"]}')
    start, end = found[0].span()
    return text[:start] + entry["replace"] + text[end:]


def copy_tree(to):
    for part in PARTS:
        if os.path.isdir(part):
            shutil.copytree(part, os.path.join(to, part), symlinks=True)
        else:
            shutil.copy2(part, to)


class Tree:
    """The copy, and what is done in it."""

    def __init__(self, folder, jobs):
        self.folder, self.jobs = folder, jobs

    def make(self, tests):
        # An edit may leave a name unused.
        words = ["make", "-s", f"-j{self.jobs}", "OPT=-O1", "CFLAGS=-Wno-error -w"]
        words += [f"build/test/{test}" for test in tests]
        done = subprocess.run(
            words, cwd=self.folder, capture_output=True, text=True, timeout=1800, check=False
        )
        if done.returncode:
            raise Bad(f"does not build: {(done.stderr + done.stdout).strip()[-400:]}")

    def failed(self, test):
        """Names of the tests in it that fail, and of those that pass."""
        env = dict(os.environ, KBENCH_CACHE=os.path.join(self.folder, "cache"))
        try:
            done = subprocess.run(
                [f"build/test/{test}"],
                cwd=self.folder,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=300,
                check=False,
                env=env,
            )
        except subprocess.TimeoutExpired:
            raise Bad(f"{test} does not end") from None
        lines = (done.stdout + done.stderr).splitlines()
        fails = {m[1] for m in (re.match(r"\[  FAILED  \] (\w+)$", l) for l in lines) if m}
        passes = {m[1] for m in (re.match(r"\[       OK \] (\w+)$", l) for l in lines) if m}
        return fails, passes, done.returncode

    def run(self, entry):
        """What was seen, in a few words; whether the named test failed."""
        path = os.path.join(self.folder, entry["file"])
        with open(path, encoding="utf-8") as file:
            original = file.read()
        try:
            with open(path, "w", encoding="utf-8") as file:
                file.write(edit(original, entry))
            self.make([entry["test"]])
            fails, passes, status = self.failed(entry["test"])
        finally:
            with open(path, "w", encoding="utf-8") as file:
                file.write(original)
        if entry["kills"] in fails:
            return entry["kills"], True
        if fails:
            return f'{", ".join(sorted(fails))}, not {entry["kills"]}', False
        if status not in (0, 1) and not passes:
            return f"{entry['test']} ends with {status}", False
        return f'survives {entry["test"]}', False


def check_right(tree, entries):
    """The tests as they are must pass, and have those that are named."""
    tests = sorted({entry["test"] for entry in entries})
    tree.make(tests)
    for test in tests:
        fails, passes, status = tree.failed(test)
        if fails or status:
            raise Bad(f"{test} fails as it is: {' '.join(sorted(fails)) or status}")
        for entry in entries:
            if entry["test"] == test and entry["kills"] not in passes:
                raise Bad(f'{entry["name"]}: {test} has no {entry["kills"]}, or skips it')


def check_fit(entries):
    """Each edit finds its text, and each test is there by name."""
    for entry in entries:
        try:
            with open(entry["file"], encoding="utf-8") as file:
                edit(file.read(), entry)
        except Bad as bad:
            raise Bad(f'{entry["name"]}: {bad}') from None
        with open(f'src/{entry["test"]}.c', encoding="utf-8") as file:
            if not re.search(rf'\b{entry["kills"]}\(', file.read()):
                raise Bad(f'{entry["name"]}: no {entry["kills"]} in {entry["test"]}')


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("file", nargs="?", default="tools/checker_mutants.json")
    parser.add_argument("--only", metavar="GLOB", default="*", help="only entries of that name")
    parser.add_argument("--fit", action="store_true", help="only see whether each edit still fits")
    parser.add_argument("--jobs", type=int, default=max(1, min(4, os.cpu_count() or 1)))
    return parser.parse_args()


def main():
    options = parse_options()
    folder = tempfile.mkdtemp(prefix="kbench-checker-")
    killed = errors = 0
    try:
        entries = load(options.file)
        entries = [e for e in entries if fnmatch.fnmatchcase(e["name"], options.only)]
        if not entries:
            raise Bad("no entry is selected")
        check_fit(entries)
        if options.fit:
            print(f"{len(entries)} mutants of the checker fit")
            return 0
        copy_tree(folder)
        tree = Tree(folder, options.jobs)
        check_right(tree, entries)
        for entry in entries:
            try:
                how, dead = tree.run(entry)
            except Bad as bad:
                how, dead = str(bad), False
                errors += 1
            killed += dead
            print(f'{"ok" if dead else "FAILED":<6} {entry["name"]:<30} {how}', flush=True)
    except (Bad, OSError, json.JSONDecodeError) as bad:
        print(f"checker_mutants: {bad}", file=sys.stderr)
        return 4
    finally:
        shutil.rmtree(folder)
    line = f"{len(entries)} mutants of the checker: {killed} killed by the test that is for it"
    line += f", {len(entries) - killed - errors} survived" if killed + errors < len(entries) else ""
    print(line + (f", {errors} errors" if errors else ""))
    return 0 if killed == len(entries) else 1


if __name__ == "__main__":
    sys.exit(main())
