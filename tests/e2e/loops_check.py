"""What a report says of event loops against the program's own clock.

  loops_check.py REPORT.json iterations FILE FLOOR_MS   every line "KIND WHAT NANOSECONDS" of FILE of at least FLOOR_MS is a
                                                        blocked iteration of the report, in its order, as long as it
                                                        says, and names the function WHAT_on_purpose from 50 ms on
  loops_check.py REPORT.json blocked NAME=MS...         the same for lines of a program that measures what blocks, not
                                                        the iteration: NAME is a function on the stack, "-": any
"""
import json
import sys


def tolerance_ms(ms):
    return max(2.0, 0.05 * ms)


def blocked_of(report):
    rows = [dict(b, kind=loop["kind"]) for loop in report["event_loop"]["loops"] for b in loop["blocked"]]
    return sorted(rows, key=lambda b: b["at_s"])


def names(row):
    return [frame["function"] for frame in row["stack"]]


def complain(text, rows):
    print(text)
    for row in rows:
        print(" ", row["ms"], row["by"], row["waited_ms"], row["cpu_ms"], names(row)[:8])
    sys.exit(1)


def check(rows, wanted):
    """wanted: (kind or None, function or None, by or None, ms)"""
    if len(rows) != len(wanted):
        complain(f"{len(rows)} blocked iterations, not {len(wanted)}", rows)
    for row, (kind, function, by, ms) in zip(rows, wanted):
        if kind and row["kind"] != kind:
            complain(f"a loop of {row['kind']}, not {kind}", rows)
        if abs(row["ms"] - ms) > tolerance_ms(ms):
            complain(f"{row['ms']} ms, the program says {ms}", rows)
        if by and row["by"] != by:
            complain(f"by {row['by']}, not {by}", rows)
        if function and ms >= 50 and not any(function in name for name in names(row)):
            complain(f"{function} is not on the stack", rows)


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        rows = blocked_of(json.load(file))
    if sys.argv[2] == "iterations":
        floor_ns = float(sys.argv[4]) * 1e6
        with open(sys.argv[3], encoding="ascii") as file:
            lines = [line.split() for line in file]
        # what computes may be kept from the processor by others: how much of it the samples show is theirs to say
        check(rows, [(kind, f"{what}_on_purpose", "wait" if what in ("sleep", "ask") else None, int(ns) / 1e6)
                     for kind, what, ns in lines if int(ns) >= floor_ns])
    else:
        pairs = [word.rsplit("=", 1) for word in sys.argv[3:]]
        check(rows, [(None, None if name == "-" else name, None, float(ms)) for name, ms in pairs])


main()
