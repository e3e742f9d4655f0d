"""What the subjects of the comparison share: a folder to work in, commands run with or without the agent, and a way to tell
hung from slow. A subject is a function of a Run that returns {name: result}, all of it text."""

import json
import os
import shutil
import signal
import subprocess
import time

RATE = 250
MODES = "cpu,memory"


class Trouble(Exception):
    """The subject could not be run at all; nothing is known of its results."""


def ending(path):
    """How a supervised command ended: its status as a shell has it, so that it is the same below record."""
    with open(path, encoding="ascii") as f:
        fields = dict(line.rstrip("\n").split("=", 1) for line in f if "=" in line)
    return "hung" if fields["hang"] != "0" else "status " + fields["status"]


def descendants(pid):
    parents = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/stat" % name, encoding="utf-8", errors="replace") as f:
                parents[int(name)] = int(f.read().rsplit(")", 1)[1].split()[1])
        except OSError:
            continue  # it has ended meanwhile
    found, fresh = set(), {pid}
    while fresh:
        fresh = {child for child, parent in parents.items() if parent in fresh} - found
        found |= fresh
    return found


class Run:
    """One side of the comparison: with the agent or without. `folder` is fresh and stays until the next run of that side."""

    def __init__(self, build, folder, agent):
        self.build, self.folder, self.agent = build, folder, agent
        self.recording = folder + "/recording.pfa"
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder)
        os.chmod(folder, 0o755)

    def command(self, argv, user=()):
        """argv as it is started on this side. `user` stands in front of all: the recorder belongs to the program's user."""
        if not self.agent:
            return [*user, *argv]
        return [*user, self.build + "/perfagent", "record", "-q", "-F", str(RATE), "--mode", MODES, "-o", self.recording,
                "--", *argv]

    def environment(self, **more):
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("PERFAGENT_", "LD_", "PYTHON", "PG"))}
        return {**clean, "LC_ALL": "C.UTF-8", "TZ": "UTC", "HOME": self.folder, "DEBUGINFOD_URLS": "", **more}

    def supervised(self, argv, limit, status):
        """Nothing outlives it; after `limit` seconds all stacks go to stderr and everything is killed."""
        return [self.build + "/tests/targets/supervise", "-t", str(limit), "-o", status, "--", *argv]

    def finish(self, argv, limit, cwd=None, user=(), name="command"):
        """Runs argv to its end. Returns its status as supervise writes it; stdout and stderr are in folder/NAME.out, .err."""
        base = "%s/%s" % (self.folder, name)
        with open(base + ".out", "wb") as out, open(base + ".err", "wb") as err:
            subprocess.run(self.supervised(self.command(argv, user), limit, base + ".status"), stdin=subprocess.DEVNULL,
                           stdout=out, stderr=err, cwd=cwd or self.folder, env=self.environment(), check=False)
        return ending(base + ".status")

    def start(self, argv, limit, user=(), name="server"):
        """The same in the background: a Server."""
        return Server(self, self.command(argv, user), limit, name)

    def recorded(self):
        """What is wrong with the recording, or "". A run that is as without the agent because there was none proves nothing."""
        if not self.agent:
            return ""
        done = subprocess.run([self.build + "/perfagent", "report", "-i", self.recording, "--format", "json"],
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=300, check=False)
        if done.returncode:
            return "report: status %d: %s" % (done.returncode, done.stderr.decode(errors="replace")[:300])
        report = json.loads(done.stdout)
        if not report["loss"]["cpu_recorded"]:
            return "nothing was sampled"
        return "" if report["memory"]["allocations"] else "no allocation was recorded"


class Server:
    def __init__(self, run, argv, limit, name):
        self.base = "%s/%s" % (run.folder, name)
        with open(self.base + ".out", "wb") as out, open(self.base + ".err", "wb") as err:
            self.process = subprocess.Popen(run.supervised(argv, limit, self.base + ".status"), stdin=subprocess.DEVNULL,
                                            stdout=out, stderr=err, cwd=run.folder, env=run.environment())

    def wait_for(self, question, what, seconds=30):
        end = time.monotonic() + seconds
        while not question():
            if self.process.poll() is not None or time.monotonic() > end:
                raise Trouble("%s: %s" % (what, self.text(".err")[-600:]))
            time.sleep(0.05)

    def text(self, which):
        with open(self.base + which, encoding="utf-8", errors="replace") as f:
            return f.read()

    def end(self):
        """Waits for the server, which has been told to end, and returns how it did."""
        self.process.wait()
        return ending(self.base + ".status")

    def stop(self):
        """After a failure: whatever still runs goes."""
        if self.process.poll() is None:
            for pid in descendants(self.process.pid):
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            self.process.wait()
