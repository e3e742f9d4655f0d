"""Rows of bench/suite.py about allocations: what a malloc/free pair costs under each mode, beside a wrapper that only
forwards and beside other heap profilers where they are installed, and whole programs in exact mode.

Every figure is a median over RUNS rounds; a round runs every contender once, so that all of them see the same machine.
SECONDS= (10) is the length of sustained runs, RUNS= (5) the number of rounds."""

import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

SECONDS = float(os.environ.get("SECONDS", "10"))
RUNS = int(os.environ.get("RUNS", "5"))
BURST = ["-n", "80000", "-r", "7"]  # 3.1 MiB of records: fits a ring of 8 MiB; the first two laps find no page mapped
SOME = ["-n", "20000", "-r", "3"]   # for what takes microseconds a pair


def first_file(*paths):
    return next((p for p in paths if os.path.exists(p)), None)


LIB = "/usr/lib/" + os.uname().machine + "-linux-gnu/"
HEAPTRACK = first_file("/usr/lib/heaptrack/libheaptrack_preload.so")
JEMALLOC = first_file(LIB + "libjemalloc.so.2")
TCMALLOC = first_file(LIB + "libtcmalloc.so.4")


class Contender:
    """A way to run a program: what goes in front of it, and into its environment."""

    def __init__(self, name, env=None, front=(), base="plain"):
        self.name, self.env, self.front, self.base = name, env or {}, list(front), base

    def run(self, argv, cwd):
        env = {k: v for k, v in os.environ.items() if k != "LD_PRELOAD"}
        env.update((k, v.replace("@", cwd)) for k, v in self.env.items())
        front = [w.replace("@", cwd) for w in self.front]
        done = subprocess.run(front + argv, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if done.returncode != 0:
            sys.exit("bench: %s: status %d: %s" % (self.name, done.returncode, done.stderr.decode()[:500]))
        return done.stdout.decode()


class Malloc:
    def __init__(self, build, say):
        self.build, self.say = build, say
        self.pairs = build + "/bench/pairs"
        self.agent = build + "/libperfagent.so"
        self.record = [build + "/perfagent", "record", "-q", "-o", "@/r.pfa"]
        forward = {"LD_PRELOAD": build + "/bench/forward.so"}
        self.plain = Contender("plain")
        self.wrapper = Contender("wrapper", forward)
        self.dormant = Contender("dormant", {"LD_PRELOAD": self.agent, "PERFAGENT_SOCKET": "@/nobody"})
        self.off = Contender("cpu mode only", front=self.record + ["--mode", "cpu", "--"])
        self.sampled = Contender("sampled", front=self.record + ["--mode", "memory", "--heap=sampled", "--"])
        self.exact = Contender("exact", front=self.record + ["--mode", "memory", "--heap=exact", "--"])
        self.others, self.slow = [], []
        if JEMALLOC:
            self.others.append(Contender("jemalloc", {"LD_PRELOAD": JEMALLOC}))
            self.others.append(Contender("jemalloc prof", {
                "LD_PRELOAD": JEMALLOC, "MALLOC_CONF": "prof:true,prof_active:true,lg_prof_sample:19"}, base="jemalloc"))
        if TCMALLOC:
            self.others.append(Contender("tcmalloc", {"LD_PRELOAD": TCMALLOC}))
            self.others.append(Contender("tcmalloc sampling", {
                "LD_PRELOAD": TCMALLOC, "TCMALLOC_SAMPLE_PARAMETER": "524288"}, base="tcmalloc"))
            self.slow.append(Contender("gperftools heap", {
                "LD_PRELOAD": TCMALLOC, "HEAPPROFILE": "@/heap", "HEAP_PROFILE_ALLOCATION_INTERVAL": "0",
                "HEAP_PROFILE_INUSE_INTERVAL": "0"}, base="tcmalloc"))
        self.heaptrack = Contender("heaptrack (raw file)", {
            "LD_PRELOAD": HEAPTRACK or "", "DUMP_HEAPTRACK_OUTPUT": "@/heaptrack.$$"})

    def lost(self, cwd):
        """Events the last recording in cwd lacks."""
        text = subprocess.run([self.build + "/perfagent", "report", "-i", cwd + "/r.pfa", "--format", "json"],
                              stdout=subprocess.PIPE, check=True).stdout
        memory = json.loads(text)["memory"]
        return sum(engine["lost"] for engine in memory["processes"])

    def instructions(self, contenders, args):
        """{name: instructions a pair}, what the program does around them included; {} where they cannot be counted."""
        perf = shutil.which("perf")
        per_pair = {}
        for c in contenders if perf else []:
            with tempfile.TemporaryDirectory() as cwd:
                counts = []
                for pairs in ("100000", "300000"):
                    c.run([perf, "stat", "-x,", "-e", "instructions:u", "-o", cwd + "/stat", self.pairs, "-n", pairs] + args, cwd)
                    found = re.search(r"^(\d+),", open(cwd + "/stat").read(), re.M)
                    if not found:
                        return {}
                    counts.append(int(found.group(1)))
                per_pair[c.name] = (counts[1] - counts[0]) / 200000
        return per_pair

    def measure(self, contenders, args):
        """{name: (CPU ns, wall ns)} a pair and thread, and the events lost of contenders that record exactly."""
        figures = {c.name: [] for c in contenders}
        lost = 0
        for _ in range(RUNS):
            for c in contenders:
                with tempfile.TemporaryDirectory() as cwd:
                    lines = [line.split() for line in c.run([self.pairs] + args, cwd).splitlines()]
                    figures[c.name].append([statistics.median(float(line[i]) for line in lines) for i in (0, 1)])
                    if c.name == "exact":
                        lost += self.lost(cwd)
        return {n: [statistics.median(r[i] for r in f) for i in (0, 1)] for n, f in figures.items()}, lost

    def table(self, title, contenders, args, bars, lossless=False):
        """bars: {name: (over what, ns)}. A row a contender."""
        figures, lost = self.measure(contenders, args)
        for c in contenders:
            over, bar = bars.get(c.name, (c.base, None))
            added = [figures[c.name][i] - figures[over][i] for i in (0, 1)]
            met = bar is None or (added[0] <= bar and not (lossless and lost))
            note = ", %d lost" % lost if c.name == "exact" else ""
            self.say("%s: %s" % (title, c.name), "%.1f ns, %+.1f (wall %+.1f) over %s%s" % (
                figures[c.name][0], added[0], added[1], over, note), "<= %g" % bar if bar is not None else "", met)

    def row_sampled(self):
        contenders = [self.plain, self.wrapper, self.dormant, self.off, self.sampled]
        for threads in (1, 2):
            self.table("malloc/free pair, %d thread%s" % (threads, "s" * (threads > 1)), contenders + self.others,
                       ["-d", "4", "-t", str(threads), "-s", str(min(SECONDS, 3))],
                       {"dormant": ("wrapper", 1), "cpu mode only": ("wrapper", 1), "sampled": ("wrapper", 2.5)})

        counts = self.instructions(contenders, ["-d", "4"])
        for name, count in counts.items():
            self.say("instructions a pair: " + name, "%.1f, %+.1f over wrapper" % (count, count - counts["wrapper"]), "", True)

    def row_exact(self):
        contenders = [self.plain, self.wrapper, self.exact] + [self.heaptrack] * bool(HEAPTRACK)
        for depth, burst, sustained in (("4", 60, 150), ("32", 120, 200)):
            self.table("exact burst, depth " + depth, contenders, ["-d", depth] + BURST, {"exact": ("plain", burst)}, True)
            self.table("exact burst, depth %s, top 4 frames vary" % depth, contenders, ["-v", "-d", depth] + BURST, {}, True)
            self.table("exact for %g s, depth %s" % (SECONDS, depth), contenders, ["-d", depth, "-s", str(SECONDS)],
                       {"exact": ("plain", sustained)}, True)
        self.table("exact for %g s, depth 32, 2 threads" % SECONDS, contenders, ["-d", "32", "-t", "2", "-s", str(SECONDS)],
                   {"exact": ("plain", 350)}, True)
        if self.slow:
            self.table("heap profilers, depth 4", [self.plain] + self.others[-2:-1] + self.slow, ["-d", "4"] + SOME, {})

    def cpu_of_recorded(self, cwd):
        text = subprocess.run([self.build + "/perfagent", "report", "-i", cwd + "/r.pfa", "--format", "json"],
                              stdout=subprocess.PIPE, check=True).stdout
        return sum(p["cpu_s"] for p in json.loads(text)["processes"])

    def row_programs(self):
        self.compiler()
        self.redis()

    def ratios(self, title, figures, bars):
        for name, values in figures.items():
            ratio = statistics.median(v / p for v, p in zip(values, figures["plain"]))
            bar = bars.get(name)
            self.say("%s: %s" % (title, name), "%.2f s of CPU, x%.3f" % (statistics.median(values), ratio),
                     "<= %g" % bar if bar else "", not bar or ratio <= bar)

    def compiler(self):
        contenders = [self.plain, self.wrapper, self.sampled, self.exact] + [self.heaptrack] * bool(HEAPTRACK)
        figures = {c.name: [] for c in contenders}
        for _ in range(RUNS):
            for c in contenders:
                with tempfile.TemporaryDirectory() as cwd:
                    with open(cwd + "/big.cc", "w") as f:
                        f.write("#include <map>\n#include <regex>\n#include <string>\n#include <iostream>\n"
                                "int main() { std::regex r(\"a+b*(c|d)\"); std::map<std::string, int> m; m[\"x\"]++;"
                                " std::cout << std::regex_match(\"aabd\", r) << m.size(); }\n")
                    before = os.times()
                    c.run(["g++", "-O2", "-c", "big.cc"], cwd)
                    after = os.times()
                    cpu = after.children_user + after.children_system - before.children_user - before.children_system
                    # the collector's is none of the target's
                    figures[c.name].append(self.cpu_of_recorded(cwd) if "record" in c.front else cpu)
        self.ratios("g++ -O2, CPU of the target", figures, {"exact": 1.20, "sampled": 1.02})

    def redis_cpu(self, contender, requests=200000):
        """CPU seconds of a redis-server that answered so many requests."""
        with tempfile.TemporaryDirectory() as cwd:
            sock = cwd + "/s"
            env = {k: v for k, v in os.environ.items() if k != "LD_PRELOAD"}
            env.update((k, v.replace("@", cwd)) for k, v in contender.env.items())
            front = [w.replace("@", cwd) for w in contender.front]
            server = subprocess.Popen(front + ["redis-server", "--port", "0", "--unixsocket", sock, "--save", "", "--dir", cwd],
                                      env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                while not os.path.exists(sock):
                    if server.poll() is not None:
                        sys.exit("bench: redis-server: status %d" % server.returncode)
                    time.sleep(0.05)
                before = self.redis_used(sock)
                subprocess.run(["redis-benchmark", "-s", sock, "-q", "-n", str(requests), "-r", "100000", "-P", "16",
                                "-t", "set,lpush,hset"], stdout=subprocess.DEVNULL, check=True)
                return self.redis_used(sock) - before
            finally:
                subprocess.run(["redis-cli", "-s", sock, "shutdown", "nosave"], stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
                server.wait()

    def redis_used(self, sock):
        text = subprocess.run(["redis-cli", "-s", sock, "info", "cpu"], stdout=subprocess.PIPE, check=True).stdout.decode()
        return sum(float(m) for m in re.findall(r"^used_cpu_(?:user|sys):([\d.]+)", text, re.M))

    def redis(self):
        if not shutil.which("redis-server") or not shutil.which("redis-benchmark"):
            return
        contenders = [self.plain, self.wrapper, self.sampled, self.exact] + [self.heaptrack] * bool(HEAPTRACK)
        figures = {c.name: [] for c in contenders}
        for _ in range(RUNS):
            for c in contenders:
                figures[c.name].append(self.redis_cpu(c))
        self.ratios("redis-server under load, CPU", figures, {"exact": 1.35, "sampled": 1.02})


def rows(build, say):
    m = Malloc(build, say)
    return {"malloc": m.row_sampled, "exact": m.row_exact, "programs": m.row_programs}
