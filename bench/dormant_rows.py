"""Row of bench/suite.py about an agent that waits for a collector: what it adds to a service that allocates all day and to
the shortest program there is, over a library that only forwards malloc (bench/malloc/forward.c).

CPU is counted in instructions (valgrind's cachegrind, no simulation of caches): on a shared machine seconds say nothing about
half a percent. The commands are the same bytes each time and no client is waited for; what redis does by the clock is made
rare. PERFAGENT_SOCKET is empty there: nobody is asked for. What asking costs is in the milliseconds of `true`, by the clock of
the kernel, each run beside one with the wrapper."""

import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time

COMMANDS = 60000
TRUE_RUNS = 200


def commands(path):
    """A fixed mix of what allocates and what does not, as redis reads it."""
    draw = random.Random(1)
    with open(path, "wb") as f:
        for i in range(COMMANDS):
            key, value = "k%d" % draw.randrange(2000), "v" * draw.randrange(8, 200)
            words = draw.choice([["SET", key, value], ["GET", key], ["LPUSH", "l" + key, value], ["LRANGE", "l" + key, "0", "5"],
                                 ["LTRIM", "l" + key, "0", "20"], ["HSET", "h" + key, "f%d" % (i % 9), value], ["INCR", "n"]])
            f.write(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w.encode()) for w in words))


def environment(preload, socket):
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PERFAGENT_", "LD_PRELOAD"))}
    return {**clean, "LD_PRELOAD": preload, "PERFAGENT_SOCKET": socket}


def client(folder, *words, stdin=subprocess.DEVNULL):
    return subprocess.run(["redis-cli", "-s", folder + "/s", *words], stdin=stdin, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, check=False).stdout


def serve(front, preload, folder):
    """Starts redis-server, has it work off the commands, returns (its process id while it lives, a function that ends it)."""
    server = subprocess.Popen([*front, "redis-server", "--port", "0", "--unixsocket", folder + "/s", "--save", "", "--hz", "1",
                               "--dynamic-hz", "no", "--activerehashing", "no"], cwd=folder, env=environment(preload, ""),
                              stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=open(folder + "/err", "w", encoding="utf-8"))
    for _ in range(300):
        if client(folder, "ping") == b"PONG\n":
            break
        time.sleep(0.1)
    with open(folder + "/commands", "rb") as f:
        done = client(folder, "--pipe", stdin=f)
    if b"errors: 0, replies: %d" % COMMANDS not in done:
        server.kill()
        sys.exit("bench: redis did not answer: %s" % done.decode()[-300:])

    def end():
        client(folder, "shutdown", "nosave")
        server.wait()

    return server.pid, end


def instructions(preload, folder):
    _, end = serve(["valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"], preload, folder)
    end()
    with open(folder + "/err", encoding="utf-8", errors="replace") as f:
        return int(re.search(r"I +refs: +([0-9,]+)", f.read()).group(1).replace(",", ""))


def pss_kib(preload, folder):
    """Pages shared with others count in parts: of the library here, which nobody else has loaded, all."""
    pid, end = serve([], preload, folder)
    with open("/proc/%d/smaps_rollup" % pid, encoding="ascii") as f:
        kib = int(re.search(r"^Pss: +([0-9]+)", f.read(), re.M).group(1))
    end()
    return kib


def true_once(preload):
    """Milliseconds of CPU, user and system, and KiB at the highest."""
    pid = os.posix_spawn("/bin/true", ["true"], environment(preload, "/nonexistent"))
    _, status, used = os.wait4(pid, 0)
    if status:
        sys.exit("bench: true: status %d" % status)
    return (used.ru_utime + used.ru_stime) * 1000, used.ru_maxrss


def row_dormant(build, say):
    wrapper, agent = build + "/bench/forward.so", build + "/libperfagent.so"
    with tempfile.TemporaryDirectory() as folder:
        commands(folder + "/commands")
        shares, memory = [], []
        for _ in range(3):
            base = instructions(wrapper, folder)
            shares.append(100 * (instructions(agent, folder) - base) / base)
        for _ in range(5):
            base = pss_kib(wrapper, folder)
            memory.append((pss_kib(agent, folder) - base) / 1024)
    share, mib = statistics.median(shares), statistics.median(memory)
    say("dormant, redis-server, over a bare wrapper", "%+.2f %% of its instructions" % share, "< 0.5 %", share < 0.5)
    say("dormant, redis-server, memory", "%+.2f MiB" % mib, "< 1 MiB", mib < 1)
    runs = [(true_once(agent), true_once(wrapper)) for _ in range(TRUE_RUNS)]
    ms = statistics.median(a[0] - w[0] for a, w in runs)
    mib = statistics.median(a[1] - w[1] for a, w in runs) / 1024
    say("dormant, true, over a bare wrapper", "%+.3f ms of CPU" % ms, "< 1 ms", ms < 1)
    say("dormant, true, memory", "%+.2f MiB" % mib, "< 1 MiB", mib < 1)
