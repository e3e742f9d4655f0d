#!/usr/bin/python3
"""What a program counted of itself against what was recorded of it, when one of the two is ended at any moment.

Usage:
  life_check.py counted PERFAGENT RECORDING LIFE.BIN        one recording of tests/targets/life, in exact heap mode
  life_check.py until PERFAGENT RECORDING LIFE.BIN          the same of one that confined itself after its first row
  life_check.py targets PERFAGENT LIFE N [SEED]             N programs killed at random moments
  life_check.py collectors PERFAGENT LIFE N [SEED]          N collectors killed at random moments, their programs go on
  life_check.py stopped PERFAGENT LIFE N [SEED]             N collectors stopped for a while
  life_check.py full PERFAGENT LIFE N [SEED]                N recordings that cannot be written for a while, and one beside

The truth is the program's rows in a shared file (allocations and frees, each counted after it happened), and the rings
themselves, read through the collector's own descriptor after all is over: every sample that was ever committed."""

import concurrent.futures
import json
import mmap
import os
import random
import resource
import signal
import struct
import subprocess
import sys
import tempfile
import time

ROW = struct.Struct("<2Q48x")
RATE = 250
WORKERS = 3
REC_SAMPLE, REC_FILLER, FLAG_REFERENCE = 1, 0, 2


def run(*command):
    return subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True).stdout


class Wrong(Exception):
    pass


def need(ok, text):
    if not ok:
        raise Wrong(text)


# ---- the truth ----

def rows_of(path, most=64):
    """(allocations, frees, rows in use) of life.bin's first rows; zeroes when the program did not come so far."""
    if not os.path.exists(path):
        return 0, 0, 0
    with open(path, "rb") as f:
        data = f.read()
    rows = [r for r in ROW.iter_unpack(data[:min(len(data) // ROW.size, most) * ROW.size]) if r[0]]
    return sum(r[0] for r in rows), sum(r[1] for r in rows), len(rows)


def session_of(pid):
    """A descriptor of the session's shared memory, taken from the collector while it has it; None: not there (yet)."""
    try:
        for name in os.listdir("/proc/%d/fd" % pid):
            path = "/proc/%d/fd/%s" % (pid, name)
            if "memfd:perfagent" in os.readlink(path):
                return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        pass  # the collector is gone, or has closed it
    return None


def samples_of(fd):
    """(time, weight) of all samples in all signal rings: what each held from its beginning on, if it has not wrapped."""
    found = []
    with mmap.mmap(fd, os.fstat(fd).st_size, prot=mmap.PROT_READ) as m:
        nr_slots, slots, rings, signal_bytes, hook_bytes = struct.unpack_from("<I2Q2I", m, 12)
        for i in range(nr_slots):
            head, = struct.unpack_from("<Q", m, slots + i * 256)
            need(head <= signal_bytes, "a ring has wrapped: the run was too long for this test")
            at, start = 0, rings + i * (signal_bytes + hook_bytes)
            while at < head:
                size, kind, flags, when, _, weight = struct.unpack_from("<IHHQ2I", m, start + at)
                need(size >= 8 and size % 8 == 0, "no record at %d of ring %d" % (at, i))
                if kind == REC_SAMPLE and not flags & FLAG_REFERENCE:
                    found.append((when, weight))
                at += size
    return found


# ---- what was recorded ----

class Recorded:
    def __init__(self, perfagent, path):
        self.report = json.loads(run(perfagent, "report", "-i", path, "--format", "json", "--rows", "0"))
        self.loss = self.report["loss"]
        # a program that ended before the handshake has no heap to tell of
        memory = self.report.get("memory", {"processes": [], "top_allocators": []})
        self.lost = sum(p["lost"] for p in memory["processes"])
        rows = [r for r in memory["top_allocators"] if r["function"] == "life_make"]
        self.calls = sum(r["count"] for r in rows)
        self.frees = self.calls - sum(r["live_count"] for r in rows)


def check_counts(recorded, calls, frees, rows):
    """All that was counted, and of each thread one call at most that had been made and not counted."""
    need(recorded.lost == 0, "%d events were lost" % recorded.lost)
    need(calls <= recorded.calls <= calls + rows, "%d allocations counted, %d recorded" % (calls, recorded.calls))
    need(frees <= recorded.frees <= frees + rows, "%d frees counted, %d recorded" % (frees, recorded.frees))


def check_counted(perfagent, recording, path):
    recorded, truth = Recorded(perfagent, recording), rows_of(path)
    print("counted %d allocations, %d frees; recorded %d, %d" % (*truth[:2], recorded.calls, recorded.frees))
    need(truth[0] > 100, "the program did nothing")
    check_counts(recorded, *truth)


def check_until(perfagent, recording, path):
    """What was counted before is recorded to the last call, and that more happened afterwards is said."""
    recorded, (calls, frees, _) = Recorded(perfagent, recording), rows_of(path)
    first = rows_of(path, 1)
    print("counted %d allocations, %d frees, of %d, %d; recorded %d, %d" % (*first[:2], calls, frees, recorded.calls, recorded.frees))
    need(first[0] > 100 and calls > first[0] + 100, "the program did nothing before, or after")
    need(first[0] <= recorded.calls <= calls and first[1] <= recorded.frees <= frees, "not what was counted until then")
    if recorded.calls + 1 < calls:
        need(recorded.report["memory"]["uncertain"], "the report takes what it has for all there was")
        need(any("seccomp" in n["text"] for n in recorded.report["notes"]), "no word of it in the report")


# ---- many runs ----

def child_of(pid, program, until):
    """The program below a recorder, as soon as it has been executed."""
    while time.monotonic() < until:
        try:
            with open("/proc/%d/task/%d/children" % (pid, pid), encoding="ascii") as f:
                child = int((f.read().split() or ["0"])[0])
            if child and os.readlink("/proc/%d/exe" % child) == program:
                return child
        except OSError:
            pass
        time.sleep(0.0005)
    return None


class Recorder:
    """`perfagent record` of a life, in a folder of its own."""

    def __init__(self, perfagent, folder, argv):
        self.folder, self.recording = folder, folder + "/r.pfa"
        self.out = open(folder + "/out", "wb")
        self.err = open(folder + "/err", "wb")
        self.process = subprocess.Popen(
            [perfagent, "record", "-q", "-F", str(RATE), "--mode", "cpu,memory", "--heap=exact", "-o", self.recording, "--", *argv],
            cwd=folder, stdin=subprocess.DEVNULL, stdout=self.out, stderr=self.err)

    def hold_session(self, life, until):
        """Polls for the session's memory; None when the program had none. Before there is a program, the recorder tries out
        whether memory can be had, and that is not it."""
        if not child_of(self.process.pid, life, until):
            return None
        while self.process.poll() is None and time.monotonic() < until:
            fd = session_of(self.process.pid)
            if fd is not None:
                return fd
            time.sleep(0.001)
        return None

    def text(self, name):
        with open(self.folder + "/" + name, encoding="utf-8", errors="replace") as f:
            return f.read()

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.out.close()
        self.err.close()


def wait_gone(pid, seconds):
    end = time.monotonic() + seconds
    while os.path.exists("/proc/%d" % pid):
        need(time.monotonic() < end, "the program does not end")
        time.sleep(0.01)


def one_target(perfagent, life, seed):
    """A program killed at a random moment: by the kernel's timer, or from outside, where the moment may be any since its exec."""
    draw = random.Random(seed)
    us, outside = draw.randrange(400000), draw.random() < 0.5
    with tempfile.TemporaryDirectory() as folder:
        r = Recorder(perfagent, folder, [life, "none", "never" if outside else "kill", str(us)])
        try:
            pid = child_of(r.process.pid, life, time.monotonic() + 20)
            end = time.monotonic() + us / 1e6
            fd = r.hold_session(life, end if outside else end + 20)
            if outside:
                need(pid, "no program came up")
                time.sleep(max(0, end - time.monotonic()))
                os.kill(pid, signal.SIGKILL)
            status = r.process.wait(60)
            need(status == 137, "record ended with %d: %s" % (status, r.text("err")[:200]))
            recorded = Recorded(perfagent, r.recording)
            check_counts(recorded, *rows_of(folder + "/life.bin"))
            weight = check_rings(recorded, fd) if fd is not None else 0
            return {"allocations": recorded.calls, "samples": weight, "no session": fd is None}
        finally:
            r.close()


def check_rings(recorded, fd):
    weight = sum(w for _, w in samples_of(fd))
    os.close(fd)
    need(recorded.loss["cpu_recorded"] == weight,
         "the rings hold %d periods of samples, the recording %d" % (weight, recorded.loss["cpu_recorded"]))
    return weight


def one_collector(perfagent, life, seed):
    """A collector killed at a random moment between 1.2 and 3.2 s; the program has three threads that count, and ends by itself."""
    draw = random.Random(seed)
    us = 1200000 + draw.randrange(2000000)
    with tempfile.TemporaryDirectory() as folder:
        r = Recorder(perfagent, folder, [life, "none", "exit", "3600000"])
        try:
            fd = r.hold_session(life, time.monotonic() + 20)
            pid = child_of(r.process.pid, life, time.monotonic() + 20)
            need(fd is not None and pid, "no session")
            history, end = [], time.monotonic() + us / 1e6
            while time.monotonic() < end:
                history.append((time.monotonic_ns(), *rows_of(folder + "/life.bin")))
                time.sleep(0.01)
            killed = time.monotonic_ns()
            r.process.kill()
            r.process.wait()
            late = rows_of(folder + "/life.bin")
            wait_gone(pid, 30)
            need(r.text("out") == "begin\n" and r.text("err") == "", "the program said: " + r.text("out") + r.text("err"))
            need(rows_of(folder + "/life.bin")[0] > late[0], "the program did not go on")
            return check_rescued(Recorded(perfagent, r.recording), fd, history, killed)
        finally:
            r.close()


def check_rescued(recorded, fd, history, killed):
    """All but the last second is there: of the samples by their own times, of allocations by what was counted before."""
    before = killed - 1000000000
    need(recorded.report["ended_early"], "the report does not say that it ended early")
    old = [h for h in history if h[0] <= before]
    need(old and recorded.calls >= old[-1][1] and recorded.frees >= old[-1][2],
         "%s counted a second before, %d and %d recorded" % (old[-1] if old else None, recorded.calls, recorded.frees))
    weight = sum(w for t, w in samples_of(fd) if t <= before)
    os.close(fd)
    need(recorded.loss["cpu_recorded"] >= weight,
         "%d periods were sampled a second before, %d recorded" % (weight, recorded.loss["cpu_recorded"]))
    return {"allocations": recorded.calls, "samples": recorded.loss["cpu_recorded"], "no session": False}


def went_its_way(r, status, lines=0):
    """The program's own end and output; of the recorder so many lines at most, under its name."""
    need(status == 42, "record ended with %d: %s" % (status, r.text("err")[:200]))
    said = r.text("err").splitlines()
    need(r.text("out") == "begin\n" and len(said) <= lines and all(line.startswith("perfagent: ") for line in said),
         "it said: " + r.text("out") + r.text("err"))


def one_stopped(perfagent, life, seed):
    """A collector that stands still for half a second to two: what there is no room for is lost and counted, nothing else."""
    draw = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        r = Recorder(perfagent, folder, [life, "none", "exit", "3000000"])
        try:
            fd = r.hold_session(life, time.monotonic() + 20)
            need(fd is not None, "no session")
            time.sleep(draw.random() * 0.8)
            os.kill(r.process.pid, signal.SIGSTOP)
            before = rows_of(folder + "/life.bin")
            time.sleep(0.5 + draw.random() * 1.5)
            after = rows_of(folder + "/life.bin")
            os.kill(r.process.pid, signal.SIGCONT)
            went_its_way(r, r.process.wait(60))
            need(after[0] > before[0], "the program stood still as well")
            recorded, (calls, frees, _) = Recorded(perfagent, r.recording), rows_of(folder + "/life.bin")
            events = recorded.calls + recorded.frees + recorded.lost
            need(calls + frees <= events and recorded.calls <= calls and recorded.frees <= frees,
                 "%d and %d counted, %d and %d recorded, %d lost" % (calls, frees, recorded.calls, recorded.frees, recorded.lost))
            need(not recorded.lost or recorded.report["memory"]["uncertain"], "what was lost makes nothing uncertain")
            return {"allocations": recorded.calls, "samples": check_rings(recorded, fd), "lost": recorded.lost}
        finally:
            r.close()


def one_full(perfagent, life, seed):
    """A recording that cannot grow for a second (RLIMIT_FSIZE of its collector, as a full disk refuses), then can again: all of
    it is there in the end. The recording beside it notices nothing."""
    draw = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as other:
        r = Recorder(perfagent, folder, [life, "none", "exit", "4000000"])
        beside = Recorder(perfagent, other, [life, "none", "exit", "3000000"])
        try:
            need(r.hold_session(life, time.monotonic() + 20) is not None, "no session")
            time.sleep(0.2 + draw.random())
            resource.prlimit(r.process.pid, resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
            time.sleep(2)
            size = sum(os.path.getsize(r.recording + end) for end in ("", "-wal") if os.path.exists(r.recording + end))
            time.sleep(0.2)
            resource.prlimit(r.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            result = {"allocations": 0, "samples": 0, "bytes when full": size}
            for each in (r, beside):
                went_its_way(each, each.process.wait(60), each is r)
                recorded = Recorded(perfagent, each.recording)
                check_counts(recorded, *rows_of(each.folder + "/life.bin"))
                need(not any("missing" in n["text"] for n in recorded.report["notes"]), "rows are missing")
                result["allocations"] += recorded.calls
                result["samples"] += recorded.loss["cpu_recorded"]
            return result
        finally:
            r.close()
            beside.close()


def many(one, perfagent, life, nr, seed=None):
    life = os.path.realpath(life)
    seed = int(seed) if seed else random.SystemRandom().randrange(1 << 32)
    sums, failed = {}, 0
    with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        runs = {pool.submit(one, perfagent, life, seed + i): seed + i for i in range(int(nr))}
        for done in concurrent.futures.as_completed(runs):
            try:
                for key, value in done.result().items():
                    sums[key] = sums.get(key, 0) + value
            except (Wrong, subprocess.SubprocessError) as e:
                failed += 1
                print("seed %d: %s" % (runs[done], e))
    print("%s of %s as they should be; %s" % (int(nr) - failed, nr, sums))
    need(not failed, "%d failed" % failed)
    need(sums["allocations"] > 100 * int(nr) and sums["samples"] > int(nr), "next to nothing was recorded")


MANY = {"targets": one_target, "collectors": one_collector, "stopped": one_stopped, "full": one_full}


def main():
    try:
        if sys.argv[1] in ("counted", "until"):
            {"counted": check_counted, "until": check_until}[sys.argv[1]](*sys.argv[2:])
        elif sys.argv[1] in MANY:
            many(MANY[sys.argv[1]], *sys.argv[2:])
        else:
            sys.exit(__doc__)
    except Wrong as e:
        print(e)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
