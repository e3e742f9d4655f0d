#!/usr/bin/python3
"""Regression suites of other projects, without the agent and with it: the same results.

Usage: tests/regress/compare.py BUILD [-o DIR] [-r N] [-c] [SUBJECT ...]

  SUBJECT   cpython[:MODULE], postgres, redis, nginx; default: all
  -o DIR    folders and recordings of the last runs, results.json (default BUILD/regress)
  -r N      a difference is repeated N times on either side (default 3)
  -c        leave out what results.json has already: the comparison in slices
  -l        list the subjects

A result that differs is repeated. If it comes out without the agent as well, it is the test that is fickle, and it is
listed as such; what happens with the agent only is a difference. Status 0: none. One line for each subject, then each
difference by name. README.md in this folder says what is run and how to read it."""

import argparse
import json
import os
import sys
import time

sys.dont_write_bytecode = True  # this folder is the source's
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import cpython  # noqa: E402
import servers  # noqa: E402
from subject import Run, Trouble  # noqa: E402


def same_text(a, b):
    return a == b


def subjects():
    """name -> (function of a Run and the tests wanted, how two results are compared)."""
    found = {}
    for module in cpython.modules():
        found["cpython:" + module] = (lambda side, only, m=module: cpython.run(side, m, only), cpython.same)
    for name, function in servers.SUBJECTS.items():
        found[name] = (lambda side, only, f=function: f(side), same_text)
    return found


def chosen(names, known):
    picked = []
    for name in names or ("cpython", *servers.SUBJECTS):
        found = [k for k in known if k == name or k.startswith(name + ":")]
        if not found:
            sys.exit("compare: there is no %s here: see -l" % name)
        picked += found
    return picked


class Comparison:
    """One subject: both sides once, what differs again and again."""

    def __init__(self, name, entry, options):
        self.name, self.options = name, options
        self.function, self.same = entry
        self.troubles = []

    def side(self, agent, only=()):
        where = "%s/%s-%s" % (self.options.out, self.name.replace(":", "-"), "agent" if agent else "plain")
        run = Run(self.options.build, where, agent)
        try:
            results = self.function(run, only)
        except Trouble as e:
            self.troubles.append("%s: %s" % ("with the agent" if agent else "without", e))
            return {}
        wrong = run.recorded() if not only else ""
        if wrong:
            self.troubles.append("the recording: " + wrong)
        return results

    def differing(self, plain, agent):
        absent = "absent"
        return {test for test in plain.keys() | agent.keys()
                if not self.same(plain.get(test, absent), agent.get(test, absent))}

    def classify(self, plain, agent):
        """What differed once, repeated: {test: {plain: [...], agent: [...], fickle: bool}}."""
        tests = self.differing(plain, agent)
        seen = {t: {"plain": [plain.get(t, "absent")], "agent": [agent.get(t, "absent")]} for t in sorted(tests)}
        only = [t for t in tests if not t.startswith("[")]
        # a module that ended early has lost tests by the hundred: then all of it again
        only = only if len(only) == len(tests) and len(only) <= 40 else []
        for _ in range(self.options.repeat if tests else 0):
            for which in ("plain", "agent"):
                again = self.side(which == "agent", only)
                for test in seen:
                    seen[test][which].append(again.get(test, "absent"))
        for test, s in seen.items():
            s["fickle"] = all(any(self.same(a, p) for p in s["plain"]) for a in s["agent"])
        return seen

    def run(self):
        start = time.monotonic()
        plain, agent = self.side(False), self.side(True)
        seen = self.classify(plain, agent) if plain and agent else {}
        return {"results": len(plain), "failing_without": sorted(t for t, v in plain.items() if v.startswith(("fail", "err"))),
                "troubles": self.troubles, "differing": seen, "seconds": round(time.monotonic() - start)}


def tell(name, result):
    """Prints a subject's line and its differences; returns how many there are."""
    real = {t: s for t, s in result["differing"].items() if not s["fickle"]}
    fickle = sorted(set(result["differing"]) - set(real))
    print("%-40s %5d results, %d differ, %d fickle, %d fail on both sides, %d s" %
          (name, result["results"], len(real) + len(result["troubles"]), len(fickle),
           len(set(result["failing_without"]) - set(result["differing"])), result["seconds"]))
    for trouble in result["troubles"]:
        print("    TROUBLE %s" % trouble)
    for test, s in sorted(real.items()):
        print("    DIFFERS %s\n        without %s\n        with    %s" % (test, "; ".join(s["plain"]), "; ".join(s["agent"])))
    for test in fickle:
        print("    fickle  %s" % test)
    sys.stdout.flush()
    return len(real) + len(result["troubles"])


def options():
    parser = argparse.ArgumentParser(add_help=True)
    parser.add_argument("build")
    parser.add_argument("-o", "--out")
    parser.add_argument("-r", "--repeat", type=int, default=3)
    parser.add_argument("-c", "--continue", dest="go_on", action="store_true")
    parser.add_argument("-l", "--list", action="store_true")
    parser.add_argument("subjects", nargs="*")
    asked = parser.parse_intermixed_args()
    asked.build = os.path.abspath(asked.build)
    asked.out = os.path.abspath(asked.out or asked.build + "/regress")
    return asked


def main():
    asked, known = options(), subjects()
    if asked.list:
        print("\n".join(known))
        return 0
    os.makedirs(asked.out, exist_ok=True)
    path = asked.out + "/results.json"
    everything = json.load(open(path, encoding="utf-8")) if os.path.exists(path) else {}
    differences = 0
    names = [n for n in chosen(asked.subjects, known) if not asked.go_on or n not in everything]
    for name in names:
        result = everything[name] = Comparison(name, known[name], asked).run()
        differences += tell(name, result)
        with open(path + ".new", "w", encoding="utf-8") as f:
            json.dump(everything, f, indent=1, sort_keys=True)
        os.replace(path + ".new", path)
    print("%d subjects, %d results, %d differences" %
          (len(names), sum(everything[n]["results"] for n in names), differences))
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
