# The program that the README shows: one slow endpoint, one N+1, one blocked loop and one pool that is too small, named
# by one command; and the same program without any of them, of which nothing is said.
load common
load postgres

teardown() {
	[ -z "$server" ] || kill "$server" 2>/dev/null || true
	postgres_stop
	sleep 0.2
	rm -rf "$T"
}

# app: FastAPI and asyncpg; what goes wrong is asked for by its paths
app() {
	cat >"$T/app.py" <<-'END'
		import asyncio, os, time
		import asyncpg
		from fastapi import FastAPI

		app = FastAPI()
		rows = [{"id": i} for i in range(30)]

		@app.on_event("startup")
		async def start():
		    open("pid", "w").write(str(os.getpid()))
		    app.pool = await asyncpg.create_pool(min_size=1, max_size=int(os.environ["POOL"]))

		@app.on_event("shutdown")
		async def stop():
		    await app.pool.close()

		@app.get("/health")
		async def health():
		    return "well"

		@app.get("/report")
		async def report():  # slow: a service behind it answers late
		    await asyncio.sleep(0.3)
		    return "late"

		@app.get("/orders/{customer}")
		async def orders(customer: int):  # N+1
		    async with app.pool.acquire() as connection:
		        return [await connection.fetchval("select id * 2 from items where id = $1", row["id"]) for row in rows]

		@app.get("/pdf/{number}")
		async def pdf(number: int):  # blocks the loop
		    time.sleep(0.08)
		    return number

		@app.get("/items/{number}")
		async def items(number: int):  # each holds a connection for 40 ms
		    async with app.pool.acquire() as connection:
		        await connection.execute("select pg_sleep(0.04)")
		    return number
	END
	cat >"$T/load.py" <<-'END'
		import http.client, itertools, sys, threading
		port, bad = int(sys.argv[1]), sys.argv[2] == "bad"
		def ask(c, path):
		    c.request("GET", path)
		    assert c.getresponse().read()
		def many(paths):
		    c = http.client.HTTPConnection("127.0.0.1", port)
		    for path in paths: ask(c, path)
		# one after the other first: what each endpoint asks is certain then
		many(["/health", "/health", "/items/1", "/items/2", "/items/3"] + (["/report", "/orders/1", "/orders/2", "/orders/3"] if bad else []))
		def worker(number):
		    many(["/items/%d" % i for i in range(40 if bad else 15)])
		threads = [threading.Thread(target=worker, args=(i,)) for i in range(8 if bad else 3)]
		if bad:
		    threads.append(threading.Thread(target=many, args=(["/report"] * 6,)))
		for t in threads: t.start()
		for t in threads: t.join()
		many((["/pdf/%d" % i for i in range(6)] if bad else []) + ["/orders/%d" % i for i in range(4 if bad else 1)])
	END
}

# serve POOL KIND: the program under record, what its clients ask, and the reports
serve() {
	local port
	port=$(/usr/bin/python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
	rm -rf "$T/t.pfa" "$T/report.json"
	mkdir -p "$T/recorded.cwd"
	cp "$T/app.py" "$T/recorded.cwd"
	(cd "$T/recorded.cwd" && POOL=$1 exec "$TARGETS/supervise" -t 60 -o "$T/recorded.status" -- "$PERFAGENT" record -q \
		--mode cpu,memory,loop,db,http -o "$T/t.pfa" -- /usr/bin/python3 -m uvicorn --port "$port" --log-level warning app:app) \
		>"$T/recorded.out" 2>"$T/recorded.err" </dev/null 3>&- &
	server=$!
	for _ in $(seq 200); do
		/usr/bin/python3 -c "import socket; socket.create_connection(('127.0.0.1', $port))" 2>/dev/null && break
		sleep 0.1
	done
	timeout 50 /usr/bin/python3 "$T/load.py" "$port" "$2"
	kill -INT "$(cat "$T/recorded.cwd/pid")"
	wait "$server" || true
	server=
	check_recording
	cat "$T/report.txt"
}

need_them() {
	/usr/bin/python3 -c 'import fastapi, asyncpg, uvicorn' 2>/dev/null || skip "fastapi, asyncpg or uvicorn is not installed"
	postgres_data
	postgres_start
	"$bin/psql" -qc 'create table items as select generate_series(0, 999) id'
}

@test "scenario: a slow endpoint, an N+1, a blocked loop and a pool that is too small are named" {
	need_them
	app
	serve 2 bad
	holds '.findings | map(.kind) | unique == ["blocked_loop", "n_plus_one", "slow_endpoint", "small_pool"]'
	holds '.findings | any(.kind == "slow_endpoint" and .what == "GET /report" and .ms >= 300 and .count == 7)'
	holds '.findings | any(.kind == "n_plus_one" and .count == 30 and (.what | startswith("select id * ? from items")) and
		(.place | startswith("GET /orders/{id}")))'
	holds '.endpoints[] | select(.path == "/orders/{id}").asked | any((.fingerprint | startswith("select id * ?")) and .count == 210 and .times_max == 30)'
	holds '.findings | any(.kind == "blocked_loop" and .count >= 6 and .ms >= 80 and (.place | test("sleep")))'
	# eight clients, two connections, 40 ms each: who waits does so for three others, 120 ms and what the machine adds
	holds '.findings | any(.kind == "small_pool" and .count == 2 and .pct >= 30 and .ms >= 60)'
	holds '.database.pools | length == 1 and (.[0] | .size == 2 and .waits.known and .waits.requests_avg > 4 and
		.waits.requests_avg <= 7 and (.timeline | length >= 3 and any(.full_pct > 90 and .waiting_avg > 3)))'
	holds '.requests.by_endpoint | any(.path == "/pdf/{id}" and .requests == 6 and .blocked_count == 6 and .blocked_ms >= 480)'
	# every field is in the schema
	jq -r '[paths | map(select(type == "string")) | last | strings] | unique | .[]' "$T/report.json" | LC_ALL=C sort >"$T/fields"
	jq -r '[paths | map(select(type == "string")) | last | strings] | unique | .[]' \
		"$PA_ROOT/report/schema/perfagent.report-1.schema.json" | LC_ALL=C sort >"$T/known"
	[ -z "$(LC_ALL=C comm -23 "$T/fields" "$T/known")" ]
	for kind in 'slow endpoint: GET /report' 'N+1: select id' 'blocked loop: the event loop' 'pool too small: the pool of 2 connections to postgresql'; do
		grep -qF "$kind" <(sed -n '1,/^$/p' "$T/report.txt")
	done
}

@test "scenario: of the same program without any of them nothing is said" {
	need_them
	app
	serve 5 good
	holds '.findings == []'
	holds '.endpoints | any(.path == "/items/{id}" and .count == 48 and .errors == 0)'
	holds '.database.pools | length == 1 and (.[0] | .size >= 3 and .size <= 5 and .waits.known and .waits.pct < 10)'
	if grep -q '^findings' "$T/report.txt"; then fail "findings in a healthy service"; fi
}
