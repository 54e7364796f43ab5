"""peers_report.py - what peers.py measured as a kbench report, kbench-report/1: no GPU is needed
here, so that the report can be tested without one."""
import datetime
import json
import math
import os

VERDICTS = ("pass", "fail", "mistrusted", "skip", "error")
BLOCK_MEDIANS = 64
P99_FROM = 300


def median(sorted_values):
    n = len(sorted_values)
    return (sorted_values[(n - 1) // 2] + sorted_values[n // 2]) / 2


def interval(sorted_values):
    """The distribution-free 95 % interval of the median, by order statistics."""
    n = len(sorted_values)
    low = int((n - 1.96 * math.sqrt(n)) // 2)
    low = min(max(low, 0), (n - 1) // 2)
    return sorted_values[low], sorted_values[n - 1 - low]


def half_width(samples):
    """Of that interval, as a share of the median."""
    values = sorted(samples)
    low, high = interval(values)
    return (high - low) / 2 / median(values)


def blocks(samples):
    """At most 64 medians of neighbours, in time order."""
    n = min(BLOCK_MEDIANS, len(samples))
    edges = [len(samples) * i // n for i in range(n + 1)]
    return [median(sorted(samples[a:b])) for a, b in zip(edges, edges[1:])]


def time_item(time, moved):
    """`time`: samples in ns per launch, launches, sets, footprint, precise."""
    values = sorted(time["samples"])
    low, high = interval(values)
    middle = median(values)
    item = {
        "median_ns": middle,
        "ci95_ns": [low, high],
        "min_ns": values[0],
        "n": time["launches"],
        "stopped": "precision" if time["precise"] else "time",
        "quality": "ok" if time["precise"] else "noisy",
        "cache": "rotated",
        "sets": time["sets"],
        "footprint_bytes": time["footprint"],
        "throttle": ["unknown"],  # nobody asks NVML
        "samples_ns": blocks(time["samples"]),
    }
    if len(values) >= P99_FROM:
        item["p99_ns"] = values[min(len(values) - 1, int(0.99 * len(values)))]
    if moved:
        item["gb_per_s"] = moved / middle
    return item


def words(text):
    """A number where the text is one."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text


def row(case, peer, seed, result):
    """`case`: of kbench list cases --format jsonl; `peer`: kernel (who made it) and variant;
    `result`: verdict, reason with its kind, and of a timing method, time and spent_ms."""
    parts = [part.split("=", 1) for part in case["case"].split("/")[3:]]
    settings = {key: words(value) for key, value in parts if key != "fill"}
    out = {
        "case": case["case"],
        "device": "0",
        "backend": "cuda",
        "build": "peer",
        "variant": peer["variant"],
        "kernel": peer["kernel"],
        "op": case["op"],
        "shape": case["shape"],
        "dtype": case["dtype"],
        "set": settings,
        "fill": case["fill"],
        "axes": case.get("axes", {}),
        "seed": seed,
        "tags": [tag for tag in case["tags"].split(",") if tag],
        "origin": case["origin"],
        "flags": [],
        "verdict": result["verdict"],
        "reason": result.get("reason"),
        "bytes": case.get("bytes", 0),
        "flops": case.get("flops", 0),
        "spent_ms": {"total": 0, "build": 0, "check": 0, "time": 0, **result.get("spent_ms", {})},
        "repeat": f"tools/peers.py --case {case['case']} --peer {peer['variant']} --seed {seed}",
    }
    if result.get("reason"):
        out["reason_kind"] = result["reason_kind"]
    if result.get("time"):
        out["times"] = {result["method"]: time_item(result["time"], case.get("bytes", 0))}
    return out


def fastest(rows, method):
    timed = [item for item in rows if method in item.get("times", {})]
    return min(timed, key=lambda item: item["times"][method]["median_ns"], default=None)


def best_of(rows):
    """Of each case one row, which kbench diff pairs by the case: the fastest by graph and, where
    one of them launches ahead, the fastest by pdl beside it; else the case's first."""
    found = {}
    for item in rows:
        found.setdefault(item["case"], []).append(item)
    return [best_row(items) for items in found.values()]


def best_row(items):
    by = {method: fastest(items, method) for method in ("graph", "pdl")}
    timed = [row for row in by.values() if row]
    if len(timed) < 2:
        return (timed or items)[0]
    both = lambda key: ", ".join(f"{row[key]} ({method})" for method, row in by.items())
    return {**timed[0], "kernel": both("kernel"), "variant": both("variant"),
            "times": {**timed[0]["times"], **timed[1]["times"]}}


def fact(path, key, separator):
    """As kbench reads them, so that kbench diff finds the same machine the same."""
    try:
        with open(path, encoding="utf-8") as file:
            for line in file:
                name, found, value = line.partition(separator)
                if found and name.strip() == key:
                    return value.strip().strip('"')
    except OSError:
        pass
    return None


def host():
    facts = {"cpu": fact("/proc/cpuinfo", "model name", ":"), "cores": len(os.sched_getaffinity(0)),
             "os": fact("/etc/os-release", "PRETTY_NAME", "=")}
    return {key: value for key, value in facts.items() if value is not None}


def report(rows, device, command, seconds, complete=True):
    started = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(seconds=seconds)
    count = {verdict: sum(item["verdict"].lower() == verdict for item in rows) for verdict in VERDICTS}
    return {
        "schema": "kbench-report/1",
        "kbench": "peers.py",
        "complete": complete,
        "command": command,
        "started": started.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "seconds": round(seconds, 3),
        "count": count,
        "host": host(),
        "devices": [device],
        "builds": {"peer": []},
        "rows": rows,
    }


def write(path, content):
    """The file is whole or as it was."""
    part = f"{path}.part"
    with open(part, "w", encoding="utf-8") as file:
        json.dump(content, file, allow_nan=False)
        file.write("\n")
    os.replace(part, path)
