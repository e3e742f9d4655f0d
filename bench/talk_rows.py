"""Rows of bench/suite.py about connections: what a call that sends or receives costs (bench/waits/talk.c), what whole clients
and a server spend for an operation, over a library that only forwards the calls, and what a ring holds while the collector
stands still.

Calls are counted in instructions one by one, and timed; a round runs every contender once, so that all see the same machine.
RUNS= (5) is the number of rounds."""

import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

RUNS = int(os.environ.get("RUNS", "5"))
STILL = """
import os, signal, socket, sys
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
times, words = int(sys.argv[2]), b"*3\\r\\n$3\\r\\nSET\\r\\n$16\\r\\nkey:__rand_int__\\r\\n$3\\r\\nxxx\\r\\n"
def ask():
    s.sendall(words * times)
    left = times
    while left: left -= s.recv(65536).count(b"\\n")
ask()
os.kill(os.getppid(), signal.SIGSTOP)
for i in range(320000 // (times + 15)): ask()
os.kill(os.getppid(), signal.SIGCONT)
print(320000 // (times + 15) * times + times)
"""


class Talks:
    def __init__(self, build, say):
        self.build, self.say = build, say
        self.wrapper = {"LD_PRELOAD": build + "/bench/forward_waits.so"}
        self.dormant = {"LD_PRELOAD": build + "/libperfagent.so", "PERFAGENT_SOCKET": "/nonexistent"}

    def run(self, argv, cwd, env=None, mode=None):
        """Under a preloaded library, or recorded; returns what it prints."""
        front = [self.build + "/perfagent", "record", "-q", "--mode", mode, "-o", cwd + "/r.pfa", "--"] if mode else []
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("PERFAGENT_", "LD_PRELOAD"))}
        done = subprocess.run(front + argv, cwd=cwd, env={**clean, **(env or {})}, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, check=False)
        if done.returncode != 0:
            sys.exit("bench: %s: status %d: %s" % (argv[0], done.returncode, done.stderr.decode()[:500]))
        return done.stdout.decode()

    def report(self, cwd):
        return json.loads(subprocess.run([self.build + "/perfagent", "report", "-i", cwd + "/r.pfa", "--format", "json"],
                                         stdout=subprocess.PIPE, check=True).stdout)

    def costs(self, env=None, mode=None):
        """{kind: (ns, instructions)} a call."""
        with tempfile.TemporaryDirectory() as cwd:
            lines = self.run([self.build + "/bench/talk"], cwd, env, mode).splitlines()
        return {name: (float(ns), float(steps)) for name, ns, steps in (line.split() for line in lines)}

    def row_calls(self):
        rounds = [{"wrapper": self.costs(self.wrapper), "dormant": self.costs(self.dormant), "on": self.costs(mode="db,http"),
                   "with loops": self.costs(mode="loop,db,http")} for _ in range(RUNS)]
        bars = {"other-send": 150, "other-recv": 150, "redis-send": 500, "postgres-send": 500}
        for name in rounds[0]["wrapper"]:
            for what in ("dormant", "on", "with loops"):
                ns, steps = (statistics.median(r[what][name][i] - r["wrapper"][name][i] for r in rounds) for i in (0, 1))
                base = statistics.median(r["wrapper"][name][0] for r in rounds)
                figure = "%+.0f instructions, %+.0f ns over %.0f" % (steps, ns, base)
                bar = bars.get(name)
                if what == "dormant":
                    self.say("talk: %s, %s" % (name, what), figure, "<= 0 instructions", steps <= 0)
                else:
                    self.say("talk: %s, %s" % (name, what), figure, "<= %d ns" % bar if bar else "", bar and ns <= bar)

    # ---- whole programs ----------------------------------------------------------------------------------------------

    def redis(self, cwd, front=(), env=None):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
        server = subprocess.Popen([*front, "redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", cwd],
                                  env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(200):
            if subprocess.run(["redis-cli", "-p", str(port), "ping"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                              check=False).stdout == b"PONG\n":
                return server, port
            time.sleep(0.05)
        sys.exit("bench: redis-server does not answer")

    def client_us(self, argv, operations, env=None, mode=None):
        """Microseconds of CPU, user and system, an operation, of the program itself."""
        with tempfile.TemporaryDirectory() as cwd:
            before = os.times()
            self.run(argv, cwd, env, mode)
            after = os.times()
            spent = after.children_user + after.children_system - before.children_user - before.children_system
            if mode:  # the collector's is none of the target's
                spent = sum(p["cpu_s"] for p in self.report(cwd)["processes"])
        return 1e6 * spent / operations

    def clients(self, title, argv, operations):
        ratios, base = [], []
        for _ in range(RUNS):
            plain = self.client_us(argv, operations, self.wrapper)
            base.append(plain)
            ratios.append(100 * (self.client_us(argv, operations, mode="db") / plain - 1))
        share = statistics.median(ratios)
        self.say("talk: %s, CPU of the client" % title, "%+.1f %% over %.2f us an operation" % (share, statistics.median(base)),
                 "<= 2 %", share <= 2)

    def row_clients(self):
        if shutil.which("redis-server") and shutil.which("redis-benchmark"):
            with tempfile.TemporaryDirectory() as cwd:
                server, port = self.redis(cwd)
                for pipe, n in (("1", 60000), ("16", 400000)):
                    self.clients("redis-benchmark -P " + pipe, ["redis-benchmark", "-p", str(port), "-n", str(n), "-c", "10", "-P",
                                                               pipe, "-q", "-t", "set"], n)
                server.terminate()
                server.wait()
        pgbench = os.environ.get("PGHOST") and shutil.which("pgbench")
        if pgbench:
            for way in ("simple", "prepared"):
                self.clients("pgbench -S -M " + way, [pgbench, "-n", "-S", "-M", way, "-c", "4", "-t", "5000"], 20000)
        else:
            print("talk: pgbench, CPU of the client: PGHOST names no server (pgbench -i has to have been run there)")

    def row_still(self):
        """How many exchanges of how many are known that were made while the collector stood still: a ring of 1 MiB."""
        if not shutil.which("redis-server"):
            return
        for pipe in ("1", "16"):
            with tempfile.TemporaryDirectory() as cwd:
                server, port = self.redis(cwd)
                made = int(self.run(["/usr/bin/python3", "-c", STILL, str(port), pipe], cwd, mode="db"))
                known = sum(q["count"] for q in self.report(cwd)["database"]["queries"])
                server.send_signal(signal.SIGTERM)
                server.wait()
            self.say("talk: the collector stands still, %s at a time" % pipe, "%d of %d exchanges" % (known, made), "", True)


def rows(build, say):
    talks = Talks(build, say)
    return {"talk": talks.row_calls, "talk clients": talks.row_clients, "talk still": talks.row_still}
