# Queries, endpoints, external services and connections, against what the servers and the programs count themselves.
load common
load postgres

PA_SERVERS=()
FRESH=

teardown() {
	local pid
	for pid in ${PA_SERVERS[@]+"${PA_SERVERS[@]}"}; do kill "$pid" 2>/dev/null || true; done
	postgres_stop
	[ ! -s "$T/maria/pid" ] || kill "$(cat "$T/maria/pid")" 2>/dev/null || true
	sleep 0.2
	rm -rf "$T"
}

# said COMMAND...: a recording of what it says, and its report; FRESH, if set, sets the other side's counters to zero. On
# a crowded machine the collector may come too late to a ring: what was lost is told then, and it is done up to three times
said() {
	local try
	for try in 1 2 3; do
		rm -rf "$T/t.pfa" "$T/report.json"
		[ -z "$FRESH" ] || $FRESH
		record --mode cpu,db,http -- "$@" || return 1
		[ "$(value_of recorded status)" = 0 ] || fail "$(cat "$T/recorded.out" "$T/recorded.err")" || return 1
		check_recording || return 1
		if jq -e '[.loss | .. | .reason? // empty | select(test("connection records"))] == []' "$T/report.json" >/dev/null; then return 0; fi
	done
	fail "lost three times: $(jq -c .loss "$T/report.json")"
}

postgres_here() {
	postgres_data "shared_preload_libraries = 'pg_stat_statements'"
	postgres_start
	"$bin/psql" -qc 'create extension pg_stat_statements'
}

redis_here() {
	need redis-server
	need redis-benchmark
	port=$(/usr/bin/python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
	mkdir -p "$T/redis"
	redis-server --port "$port" --bind 127.0.0.1 --dir "$T/redis" --save "" --appendonly no >"$T/redis.out" 2>&1 3>&- </dev/null &
	PA_SERVERS+=($!)
	for _ in $(seq 200); do redis-cli -p "$port" ping >/dev/null 2>&1 && return 0; sleep 0.05; done
	fail "redis-server does not answer"
}

forget_statements() {
	"$bin/psql" -qtAc 'select pg_stat_statements_reset()' >/dev/null
}

forget_commands() {
	redis-cli -p "$port" config resetstat >/dev/null
}

# letters: statements without what their spelling may differ in
letters() {
	sed -E 's/\$[0-9]+/?/g; s/[[:space:]]//g' | tr '[:upper:]' '[:lower:]' | sort
}

@test "queries: pgbench by simple, extended and prepared statements, as pg_stat_statements counts them" {
	postgres_here
	"$bin/pgbench" -i -s 1 -q >"$T/init.out" 2>&1
	local way
	for way in simple extended prepared; do
		FRESH=forget_statements
		said "$bin/pgbench" -n -M "$way" -c 4 -j 2 -t 150
		"$bin/psql" -tAF' ' -c "select calls, rows, query from pg_stat_statements where query ~ 'pgbench_(a|h|t)|balance|^(BEGIN|END)'" | letters >"$T/theirs"
		jq -r '.database.queries[] | select(.count > 1) | "\(.count) \(.rows) \(.fingerprint)"' "$T/report.json" | letters >"$T/ours"
		# utility statements that are prepared are counted there once each connection
		[ "$way" != prepared ] || sed -i -E '/^[0-9]+(begin|end)$/d' "$T/theirs" "$T/ours"
		diff "$T/theirs" "$T/ours"
		[ "$(wc -l <"$T/ours")" = "$([ "$way" = prepared ] && echo 5 || echo 7)" ]
		holds '.database.queries | all(.errors == 0 and .unanswered == 0 and .role == "client" and .protocol == "postgresql")'
		holds '.database.queries | all(.min_ms > 0 and .min_ms <= .p50_ms and .p50_ms <= .p75_ms and .p75_ms <= .p95_ms and
			.p95_ms <= .p99_ms and .p99_ms <= .max_ms and .avg_ms <= .max_ms and .avg_ms >= .min_ms)'
		holds '.database.queries | map(select(.count == 600)) | length == 7 and all(.stack | length > 2)'
		# one connection more asks what there is to be done
		holds '.database | .status == "connected" and (.pools | length == 1 and (.[0] | .opened == 5 and .closed == 5 and
			.size >= 4 and .size <= 5 and .failed == 0 and .errors == 0 and .idle_in_transaction_max >= 1 and .utilisation_pct > 30))'
		holds '[.loss | .. | .reason? // empty | select(test("exchange|connection"))] == []'
	done
	grep -q '^queries$' "$T/report.txt"
	grep -q '^connections to databases$' "$T/report.txt"
}

@test "queries: errors by their code, slow ones with their stack, no values, and transactions left open" {
	postgres_here
	cat >"$T/script.sql" <<-'END'
		select 1/0;
		selekt 1;
		select 'hunter2-secret', 4711;
		insert into nowhere values ('hunter2-secret');
		begin;
		select pg_sleep(0.15);
		\! sleep 0.3
		commit;
	END
	said "$bin/psql" -qXtAf "$T/script.sql"
	holds '.database.queries | any(.fingerprint == "select ? / ?" and .errors == 1 and .error == "22012")'
	holds '.database.queries | any(.errors == 1 and .error == "42601")'
	holds '.database.queries | any(.errors == 1 and .error == "42P01")'
	holds '[.database.queries[] | select(.slow > 0)] | length == 1 and (.[0] | .fingerprint == "select pg_sleep(?)" and .count == 1 and .max_ms >= 150)'
	holds '.database.slow | length == 1 and .[0].ms >= 150 and (.[0].stack | any(.module | test("libpq")))'
	holds '.database.pools[0] | .opened == 1 and .idle_in_transaction_max == 1 and .idle_in_transaction_s >= 0.25 and .active_s >= 0.14'
	if grep -aqE 'hunter2|4711' "$T/t.pfa" "$T/report.json"; then fail "a value is in the recording"; fi
}

@test "queries: a database that is not there" {
	command -v psql >/dev/null || [ -n "$(ls /usr/lib/postgresql/*/bin/psql 2>/dev/null)" ] || skip "no psql"
	psql=$(ls /usr/lib/postgresql/*/bin/psql | tail -n 1)
	record --mode db -- "$psql" -h "$T/none" -U nobody -c 'select 1'
	[ "$(value_of recorded status)" = 2 ]
	holds '.database | .status == "unavailable" and .pool_size == 0 and .queries == [] and (.pools | length == 1 and .[0].failed == 1)'
	rm -rf "$T/t.pfa" "$T/report.json"
	record --mode db,http -- true
	holds '.database.status == "not_used" and .endpoints == [] and .external == []'
	rm -rf "$T/t.pfa" "$T/report.json"
	record --mode cpu -- true
	holds 'has("database") or has("endpoints") or has("external") | not'
}

@test "queries: redis, one by one and pipelined, as the server counts them" {
	redis_here
	local pipe
	for pipe in 1 16; do
		FRESH=forget_commands
		said redis-benchmark -p "$port" -n 1500 -c 10 -P "$pipe" -q -t set,get,lpush
		redis-cli -p "$port" info commandstats | tr -d '\r' |
			sed -nE 's/^cmdstat_(set|get|lpush):calls=([0-9]+),.*/\1 \2/p' | sort >"$T/theirs"
		jq -r '.database.queries[] | select(.count > 100) | "\(.fingerprint | split(" ")[0] | ascii_downcase) \(.count)"' "$T/report.json" | sort >"$T/ours"
		diff "$T/theirs" "$T/ours"
		[ "$(wc -l <"$T/ours")" = 3 ]
		holds '.database.queries | all(.unanswered == 0 and .errors == 0 and .protocol == "redis")'
		holds '.database.pools | length == 1 and .[0].active_max == 10 and .[0].open == 0'
	done
	said redis-cli -p "$port" eval 'return redis.error_reply("NOPE bad")' 0
	holds '.database.queries | any(.errors == 1 and .error == "NOPE")'
}

@test "queries: what is said while the collector stands still waits in the ring" {
	redis_here
	cat >"$T/still.py" <<-'END'
		import os, signal, socket, sys
		port = int(sys.argv[1])
		conns = [socket.create_connection(("127.0.0.1", port)) for _ in range(10)]
		def ask(s, times, *words):
		    s.sendall((b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words)) * times)
		    left = times
		    while left: left -= s.recv(65536).count(b"\n")
		ask(conns[0], 1, b"SET", b"counter", b"0") # there is a session now
		os.kill(os.getppid(), signal.SIGSTOP)
		for i in range(2500): ask(conns[i % 10], 1, b"INCR", b"counter")
		for i in range(500): ask(conns[i % 10], 16, b"LPUSH", b"list:%d" % i, b"element")
		os.kill(os.getppid(), signal.SIGCONT)
	END
	record --mode db -- /usr/bin/python3 "$T/still.py" "$port"
	[ "$(value_of recorded status)" = 0 ] || fail "$(cat "$T/recorded.out" "$T/recorded.err")"
	check_recording
	holds '.database.queries | map({key: (.fingerprint | split(" ")[0]), value: .count}) | from_entries == {SET: 1, INCR: 2500, LPUSH: 8000}'
	holds '.database.queries | all(.unanswered == 0 and .errors == 0 and (.stack | length > 2))'
	holds '[.loss | .. | .reason? // empty] == []'
}

@test "queries: three system calls tell what was accepted" {
	need strace
	cat >"$T/server.py" <<-'END'
		import socket
		s = socket.create_server(("127.0.0.1", 0))
		print(s.getsockname()[1], file=open("port.tmp", "w"), flush=True)
		import os; os.rename("port.tmp", "port")
		for i in range(40): s.accept()[0].close()
	END
	strace -f -qq -e trace=getsockopt,getsockname,getpeername,accept4 -o "$T/calls" timeout 60 "$PERFAGENT" record -q --mode db -o "$T/t.pfa" -- \
		/usr/bin/python3 -c "import os; os.chdir('$T'); exec(open('server.py').read())" 3>&- &
	for _ in $(seq 400); do [ ! -s "$T/port" ] || break; sleep 0.05; done
	for _ in $(seq 40); do (exec 4<>"/dev/tcp/127.0.0.1/$(cat "$T/port")") || fail "cannot connect"; done
	wait $!
	[ "$(grep -c 'accept4(.*) = [0-9]' "$T/calls")" -ge 40 ]
	# whether it is a stream, and its two addresses; getsockname is asked by python, too
	[ "$(grep -c 'SO_TYPE' "$T/calls")" = 40 ]
	[ "$(grep -cF '[112 =>' <(grep 'getpeername(' "$T/calls"))" = 40 ]
	if grep -q SO_DOMAIN "$T/calls"; then fail "$(grep -m 1 SO_DOMAIN "$T/calls")"; fi
}

@test "queries: every slow one has the stack of its own sender, remembered or walked" {
	redis_here
	said "$TARGETS/senders" "$port" 8
	holds '.database.slow | length == 8'
	holds '.database.slow | map([.stack[].function // ""] | map(select(test("^asks?_?"))) | join(" ")) | group_by(.) |
		map([.[0], length]) == [["ask asks_first", 4], ["ask asks_second", 4]]'
	holds '.database.queries | length == 2 and all(.count == 4)'
}

@test "queries: redis-server as it serves them" {
	redis_here
	kill "${PA_SERVERS[0]}"
	sleep 0.3
	"$TARGETS/supervise" -t 60 -o "$T/recorded.status" -- "$PERFAGENT" record -q --mode db -o "$T/t.pfa" -- \
		redis-server --port "$port" --bind 127.0.0.1 --dir "$T/redis" --save "" --appendonly no >"$T/recorded.out" 2>&1 </dev/null 3>&- &
	PA_SERVERS=($!)
	for _ in $(seq 200); do redis-cli -p "$port" ping >/dev/null 2>&1 && break; sleep 0.05; done
	redis-benchmark -p "$port" -n 3000 -c 5 -q -t incr >/dev/null
	redis-cli -p "$port" shutdown nosave || true
	wait "${PA_SERVERS[0]}"
	holds '.database.queries | any(.role == "server" and .count == 3000 and (.fingerprint | startswith("INCR")))'
	holds '.database | .status == "not_used" and .pools == []'
}

@test "queries: mariadb's client, as the server counts them" {
	need mariadbd
	need mariadb-install-db
	need mariadb
	mkdir "$T/maria"
	as=()
	[ "$(id -u)" != 0 ] || as=(--user=root)
	mariadb-install-db --no-defaults "${as[@]}" --datadir="$T/maria/data" --auth-root-authentication-method=normal --skip-test-db >"$T/install.out" 2>&1
	mariadbd --no-defaults "${as[@]}" --datadir="$T/maria/data" --socket="$T/maria/mysql.sock" --pid-file="$T/maria/pid" \
		--skip-networking --innodb-buffer-pool-size=8M >"$T/maria/log" 2>&1 </dev/null 3>&- &
	for _ in $(seq 300); do mariadb --no-defaults -S "$T/maria/mysql.sock" -u root -e 'select 1' >/dev/null 2>&1 && break; sleep 0.1; done
	{
		echo 'create database d; use d; create table t (a int, b varchar(20));'
		for i in $(seq 40); do echo "insert into t values ($i, 'hunter2-secret');"; done
		for i in $(seq 25); do echo "select * from t where a <= $i;"; done
		echo "show session status like 'Com_insert'; show session status like 'Com_select';"
	} >"$T/script.sql"
	said mariadb --no-defaults --skip-ssl -S "$T/maria/mysql.sock" -u root -A -B -N --execute="source $T/script.sql"
	[ "$(sed -n 's/^Com_insert\t//p' "$T/recorded.out")" = 40 ]
	[ "$(sed -n 's/^Com_select\t//p' "$T/recorded.out")" -ge 25 ]
	holds '.database.queries | any(.count == 40 and .rows == 40 and .protocol == "mysql" and (.fingerprint | startswith("insert into t values")))'
	holds '.database.queries | any(.count == 25 and .rows == 325 and (.fingerprint | startswith("select * from t where a <= ?")))'
	holds '.database.pools | length == 1 and .[0].opened == 1 and .[0].closed == 1'
	if grep -aq hunter2 "$T/t.pfa"; then fail "a value is in the recording"; fi
}

@test "endpoints and external services: a server and its client in one program, by its own log; N+1" {
	redis_here
	cat >"$T/both.py" <<-'END'
		import collections, http.server, json, socket, sys, threading, time, urllib.error, urllib.request
		redis = int(sys.argv[1])
		served = collections.Counter()
		def ask(s, *words):
		    s.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words))
		    return s.recv(4096)
		class Handler(http.server.BaseHTTPRequestHandler):
		    protocol_version = "HTTP/1.1"
		    def answer(self):
		        served[self.command + " " + self.path.split("/")[1].split("?")[0]] += 1
		        n = int(self.headers.get("Content-Length") or 0)
		        self.rfile.read(n)
		        if self.path.startswith("/slow"): time.sleep(0.12)
		        if self.path.startswith(("/many", "/few")):
		            with socket.create_connection(("127.0.0.1", redis)) as s:
		                for i in range(20 if self.path.startswith("/many") else 10): ask(s, b"GET", b"user:%d" % i)
		        body = b"x" * 5000
		        self.send_response(503 if self.path.startswith("/bad") else 404 if self.path.startswith("/gone") else 200)
		        self.send_header("Content-Length", str(len(body)))
		        self.end_headers()
		        self.wfile.write(body)
		    do_GET = do_POST = answer
		    def log_message(self, *args): pass
		server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
		threading.Thread(target=server.serve_forever, daemon=True).start()
		base = "http://127.0.0.1:%d" % server.server_address[1]
		def fetch(path, data=None):
		    try: urllib.request.urlopen(base + path, data).read()
		    except urllib.error.HTTPError as e: e.read()
		for i in range(30): fetch("/items/%d?token=hunter2" % i)
		for i in range(7): fetch("/items/%d" % i, b"password=hunter2")
		for i in range(4): fetch("/bad")
		for i in range(3): fetch("/gone")
		for i in range(2): fetch("/slow")
		for i in range(5): fetch("/many/%d" % i)
		for i in range(5): fetch("/few")
		json.dump(served, open("served", "w"))
	END
	said /usr/bin/python3 "$T/both.py" "$port"
	local section
	for section in endpoints external; do
		holds --slurpfile served "$T/recorded.cwd/served" --arg section "$section" \
			'[.[$section][] | {key: (.method + " " + (.path | split("/")[1])), value: .count}] | from_entries == $served[0]'
		holds --arg section "$section" '.[$section] | any(.path == "/items/{id}" and .method == "POST" and .count == 7 and .errors == 0)'
		holds --arg section "$section" '.[$section] | any(.path == "/bad" and .count == 4 and .errors == 4 and .error == "503")'
		holds --arg section "$section" '.[$section] | any(.path == "/gone" and .count == 3 and .errors == 0)'
		holds --arg section "$section" '.[$section] | any(.path == "/slow" and .count == 2 and .min_ms >= 120 and .slow == 2)'
		holds --arg section "$section" '.[$section] | all(.unanswered == 0)'
	done
	# the slowest first
	holds '.endpoints[0].path == "/slow" and (.endpoints | map(.avg_ms) | . == (sort | reverse))'
	holds '.external | all(.peer | startswith("127.0.0.1:"))'
	holds '.database.queries | length == 1 and (.[0] | .count == 150 and .n_plus_one.times == 20 and .n_plus_one.requests == 5)'
	grep -q 'N+1: up to 20 times in one request, in 5 requests: GET user:{id}' "$T/report.txt"
	if grep -aq hunter2 "$T/t.pfa"; then fail "a value is in the recording"; fi
}
