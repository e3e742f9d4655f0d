"""Compares what perfagent reports of a program's allocations with the program's own books (tests/targets/books.h).

  memory_check.py books PERFAGENT RECORDING BOOKS.json...      exact mode: equal to the byte, by function and in all
  memory_check.py counted PERFAGENT RECORDING COUNT.bin NAME   exact mode: equal to what lib_countheap.so counted in NAME
  memory_check.py loss PERFAGENT RECORDING BOOKS.json          exact mode with losses: they are counted, and it is said
  memory_check.py sum PERFAGENT RECORDING BOOKS.json           as books, or as loss when something was lost
  memory_check.py killed PERFAGENT RECORDING COUNTER.bin       exact mode, killed in the middle
  memory_check.py estimate PERFAGENT RECORDING BOOKS.json      sampled mode: one line per figure: name inside truth estimate
  memory_check.py samples PERFAGENT RECORDING BOOKS.json       sampled mode: as many samples as the mean stands for
  memory_check.py coverage RUNS                                how many of those lines on stdin lie inside, and have to
"""
import json
import math
import struct
import subprocess
import sys


def run(*command):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def report_of(perfagent, recording):
    return json.loads(run(perfagent, "report", "-i", recording, "--format", "json", "--rows", "0"))


def memory_of(perfagent, recording):
    return report_of(perfagent, recording)["memory"]


def by_leaf(perfagent, recording, kind, unit):
    """Folded stacks added up by the innermost function."""
    sums = {}
    for line in run(perfagent, "flame", "-i", recording, "--kind", kind, "--unit", unit, "--format", "folded").splitlines():
        stack, count = line.rsplit(" ", 1)
        leaf = stack.rsplit(";", 1)[-1]
        sums[leaf] = sums.get(leaf, 0) + int(count)
    return sums


class Comparison:
    def __init__(self):
        self.bad = 0
        self.good = 0

    def equal(self, what, reported, truth):
        if reported != truth:
            print(f"{what}: reported {reported}, truth {truth}, difference {reported - truth}")
            self.bad += 1
        else:
            self.good += 1

    def end(self, least):
        print(f"{self.good} figures equal, {self.bad} not")
        return 0 if not self.bad and self.good >= least else 1


def merged(paths):
    """Several processes' books: sums by function; the same functions in two processes are two peaks, and add up."""
    books = [json.load(open(path)) for path in paths]
    functions = {}
    for book in books:
        for name, row in book["functions"].items():
            into = functions.setdefault(name, dict.fromkeys(row, 0))
            for key, value in row.items():
                into[key] += value
    return books, functions


def check_functions(c, memory, functions, peak_known):
    rows = {}
    for row in memory["top_allocators"]:
        into = rows.setdefault(row["function"], {})
        for key in ("count", "bytes", "bytes_live", "live_count", "bytes_peak", "peak_count", "temporary"):
            into[key] = into.get(key, 0) + row[key]
    names = {"calls": "count", "bytes": "bytes", "live": "bytes_live", "live_calls": "live_count", "temporary": "temporary"}
    if peak_known:
        names.update(peak="bytes_peak", peak_calls="peak_count")
    for name, truth in functions.items():
        for key, column in names.items():
            c.equal(f"{name} {key}", rows.get(name, {}).get(column, 0), truth[key])
    return rows


def check_folded(c, perfagent, recording, functions, peak_known):
    for kind, unit, key in (("alloc", "bytes", "bytes"), ("alloc", "calls", "calls"), ("live", "bytes", "live"),
                            ("live", "calls", "live_calls"), ("peak", "bytes", "peak"), ("peak", "calls", "peak_calls"),
                            ("temporary", "calls", "temporary")):
        if kind == "peak" and not peak_known:
            continue
        sums = by_leaf(perfagent, recording, kind, unit)
        for name, truth in functions.items():
            c.equal(f"folded {kind} {unit} of {name}", sums.get(name, 0), truth[key])


def check_nothing_lost(c, memory):
    for process in memory["processes"]:
        c.equal(f"lost of process {process['pid']}", process["lost"], 0)
    c.equal("uncertain", memory["uncertain"], False)


def check_books(perfagent, recording, *paths):
    c = Comparison()
    memory = memory_of(perfagent, recording)
    books, functions = merged(paths)
    peak_known = all(book["peak_known"] for book in books)
    check_nothing_lost(c, memory)
    rows = check_functions(c, memory, functions, peak_known)
    check_folded(c, perfagent, recording, functions, peak_known)
    if not any(book["others"] for book in books):
        total = {key: sum(book["total"][key] for book in books) for key in books[0]["total"]}
        for key, column in (("calls", "allocations"), ("bytes", "bytes_allocated"), ("freed", "bytes_freed"), ("live", "bytes_live"),
                            ("frees", "frees"), ("live_calls", "blocks_live"), ("temporary", "temporary")):
            c.equal(f"total {key}", memory[column], total[key])
        for name in set(rows) - set(functions):
            c.equal(f"calls of {name}, which the program does not know", rows[name]["count"], 0)
        if peak_known and len(books) == 1:
            c.equal("peak, blocks", memory["processes"][0]["peak_blocks"], total["peak_calls"])
            c.equal("peak, MiB", memory["peak_mb"], round(total["peak"] / 1048576, 3))
    return c.end(10)


def check_counted(perfagent, recording, path, program):
    """All calls of the processes of that program from the agent's constructor on; what was allocated before is freed as
    unknown."""
    c = Comparison()
    report = report_of(perfagent, recording)
    # what the kernel calls a program ends after 15 bytes; the counting library asks the C library, which does not
    ids = [p["id"] for p in report["processes"] if p["command"].split(" ")[0].rsplit("/", 1)[-1] == program]
    mine = [p for p in report["memory"]["processes"] if p["id"] in ids]
    calls, size, frees, calls0, size0, frees0 = struct.unpack("<6Q", open(path, "rb").read(48))
    for process in mine:
        c.equal(f"lost of process {process['pid']}", process["lost"], 0)
    c.equal("allocations", sum(p["allocations"] for p in mine), calls - calls0)
    c.equal("bytes", sum(p["bytes_allocated"] for p in mine), size - size0)
    c.equal("frees", sum(p["frees"] + p["unknown_frees"] for p in mine), frees - frees0)
    print(f"{len(mine)} processes, {calls} calls, {calls0} of them before the agent")
    return c.end(4)


def check_loss(perfagent, recording, path):
    """What was lost is counted: no event is missing from the sum, nothing is reported twice, the live heap is marked."""
    c = Comparison()
    memory = memory_of(perfagent, recording)
    total = json.load(open(path))["total"]
    process = memory["processes"][0]
    lost, frees = process["lost"], process["frees"] + process["unknown_frees"]
    print(f"{total['calls']} calls, {lost} events lost, {frees} frees, {process['allocations']} allocations, stalled {process['stalled_s']} s")
    c.equal("events recorded and lost", process["allocations"] + frees + lost, total["calls"] + total["frees"])
    c.equal("no more than there were", process["allocations"] <= total["calls"] and frees <= total["frees"], True)
    c.equal("uncertain", memory["uncertain"], True)
    c.equal("since when", "uncertain_from_s" in process, True)
    return c.end(4)


def check_sum(perfagent, recording, path):
    """A program that may be faster than the collector: equal to its books, or else what was lost is counted."""
    lost = sum(p["lost"] for p in memory_of(perfagent, recording)["processes"])
    return check_loss(perfagent, recording, path) if lost else check_books(perfagent, recording, path)


def check_killed(perfagent, recording, path):
    """A program that was killed: what it had done by its own shared counter is recorded, or counted as lost."""
    c = Comparison()
    memory = memory_of(perfagent, recording)
    calls, frees = struct.unpack("<2Q", open(path, "rb").read(16))
    process = memory["processes"][0]
    print(f"done {calls} calls, {frees} frees; recorded {process['allocations']}, {process['frees']}, lost {process['lost']}")
    c.equal("not more calls than done", process["allocations"] <= calls + 1, True)
    c.equal("not more frees than done", process["frees"] <= frees + 1, True)
    c.equal("all that was done", process["allocations"] + process["frees"] + process["lost"] >= calls + frees, True)
    return c.end(3)


def estimate(perfagent, recording, path):
    """Lines NAME INSIDE TRUTH ESTIMATE INTERVAL of the total, the live heap, and each booked function. Status 3: samples were
    lost, and the report says so: no estimate of all."""
    memory = memory_of(perfagent, recording)
    if any(process["lost"] for process in memory["processes"]):
        return 3 if memory["uncertain"] else 1
    book = json.load(open(path))
    rows = {row["function"]: row for row in memory["top_allocators"]}
    figures = [("total", book["total"]["bytes"], memory["bytes_allocated"], memory["intervals"]["bytes_allocated"]),
               ("live", book["total"]["live"], memory["bytes_live"], memory["intervals"]["bytes_live"])]
    for name, truth in book["functions"].items():
        row = rows.get(name, {"bytes": 0, "interval_bytes": 0})
        figures.append((name, truth["bytes"], row["bytes"], row["interval_bytes"]))
    for name, truth, value, interval in figures:
        print(name, int(abs(value - truth) <= interval), truth, value, interval)
    return 0


def check_samples(perfagent, recording, path):
    """Each allocation is a sample with probability 1 - exp(-size / mean); sizes of a booked function are close together."""
    memory = memory_of(perfagent, recording)
    mean = memory["processes"][0]["mean_bytes"]
    rows = json.load(open(path))["functions"].values()
    chances = [(row["calls"], 1 - math.exp(-row["bytes"] / row["calls"] / mean)) for row in rows]
    expected = sum(calls * p for calls, p in chances)
    sd = math.sqrt(sum(calls * p * (1 - p) for calls, p in chances))
    print(f"mean {mean}: {memory['samples']} samples, {expected:.1f} +- {sd:.1f} expected")
    # four standard deviations, and one in a hundred for taking a function's sizes for their average
    return 0 if mean == 524288 and abs(memory["samples"] - expected) < 4 * sd + 0.01 * expected else 1


def least_inside(runs, share=0.95, risk=0.0001):
    """The largest k with P(X < k) <= risk for X ~ Binomial(runs, share): fewer inside is not chance. 40 runs: 31. There are
    seven figures, so that chance alone fails one test in a thousand."""
    below = 0.0
    for k in range(runs + 1):
        below += math.comb(runs, k) * share**k * (1 - share) ** (runs - k)
        if below > risk:
            return k
    return runs


def coverage(runs):
    """Of every figure on stdin at least least_inside(runs) of `runs` lines lie inside; and the mean has no bias."""
    runs = int(runs)
    # the issue names 367 for 400
    least = 367 if runs == 400 else least_inside(runs)
    figures = {}
    bad = 0
    for line in sys.stdin:
        name, inside, truth, value, interval = line.split()
        figures.setdefault(name, []).append((int(inside), int(value) - int(truth), int(truth), int(interval)))
    for name, lines in sorted(figures.items()):
        inside = sum(line[0] for line in lines)
        bias = sum(line[1] for line in lines) / len(lines)
        # the mean of n estimates, whose intervals are 1.96 standard deviations: 4 of its own, and one of all that is rounded
        sd = sum(line[3] for line in lines) / len(lines) / 1.96 / math.sqrt(len(lines))
        wide = sum(line[3] for line in lines) / len(lines) / max(1, lines[0][2])
        print(f"{name}: {inside} of {len(lines)} inside (at least {least}), interval +-{wide:.1%}, bias {bias / max(1, lines[0][2]):+.2%}")
        bad += inside < least or len(lines) != runs or abs(bias) > 4 * sd + 1 or wide > 0.5
    return 1 if bad or len(figures) < 4 else 0


if __name__ == "__main__":
    commands = {"books": check_books, "counted": check_counted, "loss": check_loss, "sum": check_sum, "killed": check_killed,
                "estimate": estimate, "samples": check_samples, "coverage": coverage}
    sys.exit(commands[sys.argv[1]](*sys.argv[2:]))
