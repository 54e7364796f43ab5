#!/usr/bin/env python3
"""peers_table.py BEST.json OURS.json - our times over the best peer's, a line per case: by graph, by
pdl where a peer launches ahead, and the better of both on either side (`any`). Below 1 ours is the
faster. A time that is noisy, throttled or the like says so. BEST.json is of peers.py --best, OURS.json
of kbench on the same GPU."""
import json
import math
import signal
import sys

METHODS = ("graph", "pdl")


def load(path):
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except (OSError, ValueError) as error:
        sys.exit(f"peers_table.py: {path}: {error}")


def times(row):
    return {method: row["times"][method]["median_ns"] for method in METHODS if method in row.get("times", {})}


def pairs(best, ours):
    """(case, the peer's row, our row) of those that both timed; ours is the first of a case."""
    mine = {}
    for row in ours["rows"]:
        mine.setdefault(row["case"], row)
    return [(row["case"], row, mine[row["case"]]) for row in best["rows"]
            if row["case"] in mine and times(row) and times(mine[row["case"]])]


def cell(ours, theirs):
    if ours is None or theirs is None:
        return f"{'-':>9} {'-':>9} {'-':>6}"
    return f"{ours / 1e3:9.3f} {theirs / 1e3:9.3f} {ours / theirs:6.3f}"


def oddities(row, mine):
    """What is to be known of the times before they are believed."""
    return [f"{who} {method} {quality}" for who, side in (("ours", mine), ("best", row)) for method in METHODS
            if (quality := side["times"].get(method, {}).get("quality", "ok")) != "ok"]


def line(case, row, mine):
    a, b = times(mine), times(row)
    parts = [cell(a.get(method), b.get(method)) for method in METHODS]
    odd = "".join(f", {text}" for text in oddities(row, mine))
    return f"{case:54} {'  '.join(parts)}  {min(a.values()) / min(b.values()):6.3f}  {row['variant']}{odd}"


def main():
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # whoever reads may stop
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    best, ours = load(sys.argv[1]), load(sys.argv[2])
    found = pairs(best, ours)
    if not found:
        sys.exit("peers_table.py: no case was timed on both sides")
    head = "  ".join(f"{'ours us':>9} {'best us':>9} {'ratio':>6}" for _ in METHODS)
    print(f"{'':54} {'graph':>26}  {'pdl':>26}")
    print(f"{'case':54} {head}  {'any':>6}  best")
    ratios = {}
    for case, row, mine in found:
        print(line(case, row, mine))
        ratio = min(times(mine).values()) / min(times(row).values())
        ratios.setdefault(row["op"], []).append(ratio)
    for op, all_of in ratios.items():
        mean = math.exp(sum(map(math.log, all_of)) / len(all_of))
        slower = sum(ratio > 1.01 for ratio in all_of)
        print(f"{op}: {len(all_of)} cases, ours over best {mean:.3f} (geometric mean), worst {max(all_of):.3f}, "
              f"{slower} of them over 1.01")


if __name__ == "__main__":
    main()
