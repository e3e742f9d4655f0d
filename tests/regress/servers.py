"""PostgreSQL, redis and nginx under load: what a client gets, what is in their data afterwards, and how they end."""

import concurrent.futures
import glob
import hashlib
import http.client
import os
import pwd
import random
import signal
import socket
import subprocess

from subject import Trouble

LIMIT = 300


def tool(side, argv, name, limit=120, user=()):
    """A client or helper, never with the agent: stdout as text; Trouble when it fails."""
    done = subprocess.run([*user, *argv], stdin=subprocess.DEVNULL, capture_output=True, timeout=limit, cwd=side.folder,
                          env=side.environment(), check=False)
    if done.returncode:
        raise Trouble("%s: status %d: %s" % (name, done.returncode, done.stderr.decode(errors="replace")[-600:]))
    return done.stdout.decode(errors="replace")


def user_prefix(side, name):
    """Servers that refuse to be root's run as their own user, with a copy of what records them: the build may be closed to it."""
    if os.getuid():
        return ()
    entry = pwd.getpwnam(name)
    os.chown(side.folder, entry.pw_uid, entry.pw_gid)
    programs = side.folder + "/bin"
    os.makedirs(programs)
    for path in [side.build + "/perfagent", *glob.glob(side.build + "/libperfagent*.so")]:
        subprocess.run(["install", "-m", "755", path, programs], check=True)
    os.makedirs(programs + "/tests/targets")
    subprocess.run(["install", "-m", "755", side.build + "/tests/targets/supervise", programs + "/tests/targets"], check=True)
    side.build = programs
    return ("setpriv", "--reuid", name, "--regid", str(entry.pw_gid), "--clear-groups")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


# ---- PostgreSQL ----

# what a database is asked all day, its answer the same whenever it is asked: plans of every kind, functions, errors,
# sorts that go to disk, parallel workers, transactions that are rolled back
SQL = """
\\set VERBOSITY terse
create table t as select i, i % 97 as k, md5(i::text) as m, random() < 2 as b from generate_series(1, 60000) i;
create index on t (k); create index on t using hash (m); analyze t;
select count(*), sum(i), min(m), max(m) from t;
select k, count(*), sum(i) from t group by k order by k limit 7;
select count(*) from t a join t b on a.m = b.m where a.k < 40;
set max_parallel_workers_per_gather = 2; set parallel_setup_cost = 0; set parallel_tuple_cost = 0; set min_parallel_table_scan_size = 0;
select k % 5, count(*), sum(length(m)) from t group by 1 order by 1;
set work_mem = '64kB'; select sum(i * r) from (select i, row_number() over (order by m) as r from t) s;
create function fib(n int) returns bigint language plpgsql as $$ begin if n < 2 then return n; end if; return fib(n - 1) + fib(n - 2); end $$;
select fib(18);
select 1 / 0;
select * from nowhere;
begin; delete from t; select count(*) from t; rollback; select count(*) from t;
select json_agg(x) from (select k, array_agg(i order by i) as a from t where i < 40 group by k order by k limit 3) x;
select regexp_replace(m, '[0-9]+', '#', 'g') from t where i = 77;
create temp table u as select * from t where k = 3; update u set k = 4; select count(*), sum(k) from u;
set statement_timeout = '300ms'; select pg_sleep(5); reset statement_timeout;
vacuum full t; reindex table t; checkpoint; select count(*) from t;
"""

BOOKS = """select (select sum(abalance) from pgbench_accounts) = (select sum(delta) from pgbench_history),
 (select sum(tbalance) from pgbench_tellers) = (select sum(delta) from pgbench_history),
 (select sum(bbalance) from pgbench_branches) = (select sum(delta) from pgbench_history), (select count(*) from pgbench_history)"""


def log_of(server):
    """The server's complaints, each once. FATAL is what a client that asks too early is told: how many do is chance."""
    words = ("PANIC:", "ERROR:", "terminated by signal")
    return sorted({line[min(line.find(w) for w in words if w in line):] for line in server.text(".err").splitlines()
                   if any(w in line for w in words)})


def backend_killed(side, ask):
    """One backend is killed from outside: the server ends the others, recovers, and has all that was committed."""
    pid = int(ask("select pid from pg_stat_activity where backend_type = 'checkpointer'"))
    os.kill(pid, signal.SIGKILL)
    for _ in range(100):
        try:
            return ask("select count(*) from t")
        except Trouble:
            continue
    return "never came back"


def postgres(side):
    home = (sorted(glob.glob("/usr/lib/postgresql/*/bin")) or [None])[-1]
    if not home:
        raise Trouble("PostgreSQL is not installed")
    user = user_prefix(side, "postgres")
    data = side.folder + "/data"
    tool(side, [home + "/initdb", "-D", data, "-A", "trust", "-N", "-U", "postgres"], "initdb", user=user)
    with open(data + "/postgresql.conf", "a", encoding="ascii") as f:
        f.write("listen_addresses = ''\nunix_socket_directories = '%s'\nfsync = off\nrestart_after_crash = on\n" % side.folder)
    server = side.start([home + "/postgres", "-D", data], LIMIT, user)
    base = ["-h", side.folder, "-U", "postgres"]

    def ask(text):
        return tool(side, [home + "/psql", *base, "-d", "postgres", "-XqtAc", text], "psql", user=user).strip()

    try:
        server.wait_for(lambda: subprocess.run([*user, home + "/pg_isready", "-q", *base], check=False).returncode == 0, "postgres")
        results = {}
        with open(side.folder + "/statements.sql", "w", encoding="ascii") as f:
            f.write(SQL)
        os.chmod(side.folder + "/statements.sql", 0o644)
        done = subprocess.run([*user, home + "/psql", *base, "-d", "postgres", "-Xqa", "-f", "statements.sql"], cwd=side.folder,
                              env=side.environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              timeout=LIMIT, check=False)
        results["statements"] = done.stdout.decode(errors="replace")
        tool(side, [home + "/pgbench", *base, "-i", "-s", "2", "-q", "postgres"], "pgbench -i", user=user)
        bench = tool(side, [home + "/pgbench", *base, "-c", "4", "-j", "2", "-t", "600", "postgres"], "pgbench", LIMIT, user)
        results["pgbench"] = "\n".join(l for l in bench.splitlines() if l.startswith(("number of transactions", "number of failed")))
        results["books of pgbench"] = ask(BOOKS)
        results["recovery"] = backend_killed(side, ask)
        server.wait_for(lambda: subprocess.run([*user, home + "/pg_isready", "-q", *base], check=False).returncode == 0, "recovery")
        results["books after recovery"] = ask(BOOKS)
        with open(data + "/postmaster.pid", encoding="ascii") as f:
            os.kill(int(f.readline()), signal.SIGINT)
        results["end"] = server.end()
        results["complaints"] = "\n".join(log_of(server))
        return results
    finally:
        server.stop()


# ---- redis ----

class Redis:
    """The protocol in a few lines: what is sent is a list of words, what comes back is compared as it is."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(60)
        self.socket.connect(path)
        self.file = self.socket.makefile("rb")

    def reply(self):
        line = self.file.readline()
        if not line:
            raise Trouble("redis closed the connection")
        kind, rest = line[:1], line[1:-2]
        if kind == b"$":
            return None if rest == b"-1" else self.file.read(int(rest) + 2)[:-2]
        if kind in (b"*", b"%", b"~"):
            return None if rest == b"-1" else [self.reply() for _ in range(int(rest))]
        return line[:-2]

    def __call__(self, *commands):
        """All commands in one go, as a pipeline; their replies."""
        data = b"".join(b"*%d\r\n" % len(c) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in c)
                        for c in ([str(w).encode() for w in c] for c in commands))
        self.socket.sendall(data)
        return [self.reply() for _ in commands]


def redis_work(path, seed):
    """A client of its own keys: strings, lists, sets, sorted sets, hashes, streams, scripts, transactions."""
    draw, client, digest = random.Random(seed), Redis(path), hashlib.sha256()
    for i in range(1500):
        key, value = "c%d:%d" % (seed, draw.randrange(300)), "v%d" % draw.randrange(10**9) * draw.randrange(1, 60)
        replies = client(
            ["set", key, value], ["append", key, "tail"], ["strlen", key], ["lpush", "l" + key, value, i], ["ltrim", "l" + key, 0, 20],
            ["lrange", "l" + key, 0, 3], ["sadd", "s" + key, draw.randrange(50)], ["scard", "s" + key],
            ["zadd", "z" + key, draw.randrange(1000), draw.randrange(100)], ["zrange", "z" + key, 0, 2, "withscores"],
            ["hset", "h" + key, "f%d" % draw.randrange(9), value], ["hlen", "h" + key], ["incrby", "n%d" % seed, draw.randrange(9)],
            ["xadd", "x%d" % seed, "%d-1" % (i + 1), "f", value], ["multi"], ["incr", "m%d" % seed], ["get", "m%d" % seed], ["exec"],
            ["eval", "local s = 0 for i = 1, 50 do s = s + i * ARGV[1] end return s", 0, i % 7], ["lpush", key, "wrong type"],
            ["setbit", "b%d" % seed, draw.randrange(10000), 1], ["pfadd", "p%d" % seed, draw.randrange(5000)])
        digest.update(repr(replies).encode())
    return digest.hexdigest()


def redis(side):
    path = side.folder + "/redis.sock"
    argv = ["/usr/bin/redis-server", "--port", "0", "--unixsocket", path, "--dir", side.folder, "--appendonly", "yes", "--save", "",
            "--enable-debug-command", "yes"]
    results = {}
    for round_ in ("first", "again, from its own files"):
        server = side.start(argv, LIMIT, name="redis-" + round_.split(",")[0])
        try:
            server.wait_for(lambda: os.path.exists(path), "redis")
            server.wait_for(lambda: Redis(path)(["ping"])[0] == b"+PONG", "redis")
            one = Redis(path)
            if round_ == "first":
                with concurrent.futures.ThreadPoolExecutor(4) as pool:
                    for seed, digest in enumerate(pool.map(lambda s: redis_work(path, s), range(4))):
                        results["replies to client %d" % seed] = digest
                results["bgsave"], results["rewrite"] = (str(one([c])[0]) for c in ("bgsave", "bgrewriteaof"))
                bench = tool(side, ["/usr/bin/redis-benchmark", "-s", path, "-n", "60000", "-c", "20", "-P", "8", "-q", "--csv", "-r", "1",
                                    "-t", "set,get,incr,lpush,lpop,sadd,hset,mset"], "redis-benchmark", LIMIT)
                results["redis-benchmark"] = "\n".join(line.split(",")[0] for line in bench.splitlines())
            results["data, " + round_] = str(one(["dbsize"], ["debug", "digest"]))
            one.socket.sendall(b"SHUTDOWN\r\n")
            results["end, " + round_] = server.end()
            results["complaints, " + round_] = "\n".join(
                line for line in server.text(".out").splitlines() if any(w in line for w in ("CRASH", "BUG REPORT", "crashed", "Error")))
        finally:
            server.stop()
    return results


# ---- nginx ----

NGINX = """
daemon off; master_process on; worker_processes 2; pid %(folder)s/nginx.pid; error_log stderr warn;
events { worker_connections 256; }
http {
  access_log %(folder)s/access.log; client_body_temp_path %(folder)s/b; proxy_temp_path %(folder)s/p; fastcgi_temp_path %(folder)s/f;
  uwsgi_temp_path %(folder)s/u; scgi_temp_path %(folder)s/s; gzip on; gzip_min_length 100; gzip_types *; gzip_proxied any;
  %(extra)s
  server { listen 127.0.0.1:%(port)d reuseport; root %(folder)s/files; sendfile on; proxy_set_header Accept-Encoding "";
    location /through/ { proxy_pass http://127.0.0.1:%(port)d/; proxy_buffering on; }
    location /moved { return 302 /f1; } location /denied { return 403; } }
}
"""


def fetch(port, path, headers=()):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", path, headers=dict(headers))
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    kept = [(k, v) for k, v in answer.getheaders() if k in ("Content-Type", "Content-Range", "Content-Encoding", "Location")]
    return ("%d %s %d %s" % (answer.status, kept, len(body), hashlib.sha256(body).hexdigest())).replace(":%d/" % port, ":PORT/")


def nginx_answers(port, names):
    """What a client gets for everything there is, the plain way and every other, by eight clients at once."""
    wanted = {}
    for name in names:
        wanted["/" + name] = ()
        wanted["/through/" + name] = ()
        wanted["/%s?zipped" % name] = (("Accept-Encoding", "gzip"),)
        wanted["/%s?part" % name] = (("Range", "bytes=3-77"),)
    wanted.update({"/moved": (), "/denied": (), "/absent": (), "/../../etc/passwd": ()})
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        return dict(zip(wanted, pool.map(lambda p: fetch(port, p, wanted[p]), wanted)))


def nginx(side):
    port, files = free_port(), side.folder + "/files"
    os.makedirs(files)
    draw = random.Random(4)
    names = ["f%d" % i for i in range(24)]
    for i, name in enumerate(names):
        with open(files + "/" + name, "wb") as f:
            f.write(bytes(draw.randrange(97, 105) for _ in range(0 if i == 0 else 7 ** (i % 8) + i)))
    for directory, _, _ in os.walk(side.folder):
        os.chmod(directory, 0o755)
    extra = {"folder": side.folder, "port": port, "extra": ""}
    config = side.folder + "/nginx.conf"
    with open(config, "w", encoding="ascii") as f:
        f.write(("user root;\n" if not os.getuid() else "") + NGINX % extra)
    server = side.start(["/usr/sbin/nginx", "-p", side.folder, "-c", config, "-e", "stderr"], LIMIT)
    try:
        def up():
            try:
                return bool(fetch(port, "/f1"))
            except OSError:
                return False
        server.wait_for(up, "nginx")
        results = nginx_answers(port, names)
        with open(side.folder + "/nginx.pid", encoding="ascii") as f:
            master = int(f.read())
        # under load the workers are exchanged twice; no client is turned away for it
        load = subprocess.Popen(["wrk", "-t1", "-c16", "-d4s", "http://127.0.0.1:%d/f5" % port], stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        again = nginx_answers(port, names)
        os.kill(master, signal.SIGHUP)
        third = nginx_answers(port, names)
        os.kill(master, signal.SIGHUP)
        out = load.communicate(timeout=60)[0].decode(errors="replace")
        results["the same under load"] = str(again == results)
        results["the same while workers are exchanged"] = str(third == {k: v for k, v in results.items() if k in third})
        results["load"] = "\n".join(line for line in out.splitlines() if "Non-2xx" in line) or "all answered"
        os.kill(master, signal.SIGQUIT)
        results["end"] = server.end()
        results["complaints"] = "\n".join(sorted({line.split("]", 1)[0].split("[")[-1] for line in server.text(".err").splitlines()
                                                  if "[emerg]" in line or "[alert]" in line or "[crit]" in line}))
        return results
    finally:
        server.stop()


SUBJECTS = {"postgres": postgres, "redis": redis, "nginx": nginx}
