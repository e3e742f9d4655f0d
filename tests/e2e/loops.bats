# Event loops: lag, and what blocks them, against the programs' own clocks.
load common

# From here on an iteration has a row: what the machine does to short ones stays out of it.
FLOOR=8

# loops MODE...: a run of the target, its report, and what it measured
loops() {
	rm -rf "$T/report.json" "$T/t.pfa" "$T/recorded.cwd"
	record --mode cpu,loop --loop-blocked="$FLOOR" -- "$TARGETS/loops" "$@" || return 1
	[ "$(value_of recorded status)" = 0 ] || fail "$(cat "$T/recorded.err")" || return 1
	load_report
}

# checked MODE...: every iteration of a length is there, as long as the program says. A clock read on one side of a switch
# to another program and the hook's on the other differ by a turn of that one: on a crowded machine up to three runs
checked() {
	local try
	for try in 1 2 3; do
		loops "$@" || return 1
		python3 "$BATS_TEST_DIRNAME/loops_check.py" "$T/report.json" iterations "$T/recorded.cwd/iterations" "$FLOOR" && return 0
	done
	fail "three times"
}

@test "loop: an epoll loop kept for 10 to 1000 ms by computing, by sleeping, by polling one socket" {
	checked epoll 10 50 200 1000
	holds '[.event_loop.loops[] | select(.kind == "epoll" and .iterations == 17)] | length == 1'
	# the longest is what the percentiles end at
	holds '.event_loop.loops[0] | .lag_ms.max >= 1000 and .lag_ms.max == .blocked[0].ms and .lag_ms.p99 <= .lag_ms.max'
	holds '.event_loop | .event_loop_lag_ms == .loops[0].lag_ms.p95'
	grep -q '^event loops$' "$T/report.txt" || { check_recording; grep -q '^event loops$' "$T/report.txt"; }
	grep -A 3 'blocked for .*: waiting (' "$T/report.txt" | grep -q 'sleep_on_purpose\|ask_on_purpose'
}

@test "loop: the same by poll and by select" {
	checked poll 10 50 200
	holds '[.event_loop.loops[] | select(.kind == "poll" and .watched == 2)] | length == 1'
	checked select 10 50 200
	holds '[.event_loop.loops[] | select(.kind == "select" and .watched == 2)] | length == 1'
}

@test "loop: one inside a callback of another is what blocks that one" {
	loops nested
	holds '[.event_loop.loops[] | select(.blocked_count == 1)] | length == 1'
	holds '[.event_loop.loops[].blocked[]] | length == 1 and .[0].ms >= 100 and .[0].by == "wait" and
		any(.[0].stack[]; .function == "run_inner")'
	# the inner one only waited
	holds '[.event_loop.loops[] | select(.iterations == 4 and .blocked_count == 0 and .wait_s >= 0.08)] | length == 1'
}

@test "loop: moved to another thread, several, and made before a fork" {
	checked moved
	holds '.event_loop.loops | length == 2 and (map(.tid) | unique | length) == 2 and (map(.descriptor) | unique | length) == 1'
	loops several
	holds '.event_loop.loops | length == 3 and all(.blocked_count == 1)'
	holds '[.event_loop.loops[].blocked[].ms] | sort | .[0] >= 60 and .[1] >= 100 and .[2] >= 140'
	loops forked
	holds '.event_loop.loops | length == 2 and (map(.process) | unique | length) == 2'
	holds '[.event_loop.loops[].blocked[] | select(any(.stack[]; .function == "sleep_on_purpose"))] | length == 1 and .[0].ms >= 120'
}

@test "loop: idle is not lag, and what is no loop is none" {
	loops idle
	holds '.event_loop.loops | length == 1 and (.[0] | .iterations == 39 and .wait_s >= 0.9 and .lag_ms.p50 < 1)'
	loops single
	holds '.event_loop.loops == [] and .event_loop.event_loop_lag_ms == 0 and .event_loop.waits == []'
	# a descriptor with the number of one that was closed is another loop: what lay between is nobody's lag
	loops anew
	holds '[.event_loop.loops[].blocked[] | select(any(.stack[]; .function == "sleep_on_purpose"))] == []'
}

@test "loop: without --mode loop there is none, and a bad --loop-blocked is refused" {
	record --mode cpu -- "$TARGETS/loops" idle
	holds 'has("event_loop") | not'
	one_line 2 "$PERFAGENT" record --loop-blocked=0 -- true || one_line 125 "$PERFAGENT" record --loop-blocked=0 -- true
}

# measured PROGRAM...: it prints "NAME=MS" for what it did in its loop; those are the blocked iterations, and no other
measured() {
	local try
	for try in 1 2 3; do
		rm -rf "$T/report.json" "$T/t.pfa" "$T/recorded.cwd"
		record --mode cpu,loop --loop-blocked=40 -- "$@" || return 1
		[ "$(value_of recorded status)" = 0 ] || fail "$(cat "$T/recorded.err")" || return 1
		load_report || return 1
		# shellcheck disable=SC2046
		python3 "$BATS_TEST_DIRNAME/loops_check.py" "$T/report.json" blocked $(cat "$T/recorded.out") && return 0
	done
	fail "three times"
}

# The programs block by a sleep, by a synchronous socket with a timeout (in CPython a poll of it) and by computing.
loop_program() {
	cat <<-'END'
	import asyncio, socket, sys, time
	def compute(seconds):
	    end = time.monotonic() + seconds
	    while time.monotonic() < end:
	        pass
	def ask(seconds):
	    a, b = socket.socketpair()
	    a.settimeout(seconds)
	    try:
	        a.recv(1)
	    except TimeoutError:
	        pass
	async def main():
	    for _ in range(20):
	        await asyncio.sleep(0.001)
	    for ms in (50, 200, 1000):
	        for name, way in (("clock_nanosleep", time.sleep), ("poll", ask), ("-", compute)):
	            await asyncio.sleep(0.005)
	            began = time.monotonic()
	            way(ms / 1000)
	            print("%s=%.3f" % (name, (time.monotonic() - began) * 1e3))
	    await asyncio.sleep(0.05)
	END
}

@test "loop: asyncio" {
	{ loop_program; echo 'asyncio.run(main())'; } >"$T/a.py"
	measured /usr/bin/python3 "$T/a.py"
}

@test "loop: uvloop" {
	/usr/bin/python3 -c 'import uvloop' || skip "python3-uvloop is not installed"
	{ loop_program; echo 'import uvloop; uvloop.install(); asyncio.run(main())'; } >"$T/u.py"
	measured /usr/bin/python3 "$T/u.py"
}

@test "loop: node" {
	need node
	cat >"$T/n.js" <<-'END'
	const lock = new Int32Array(new SharedArrayBuffer(4));
	function compute(ms) { const end = performance.now() + ms; while (performance.now() < end); }
	const steps = [];
	for (const ms of [50, 200, 1000]) steps.push(ms);
	let next = 0;
	function step() {
		if (next === steps.length) return;
		const began = performance.now();
		compute(steps[next++]);
		require("fs").writeSync(1, "-=" + (performance.now() - began).toFixed(3) + "\n");
		setTimeout(step, 20);
	}
	compute(5);
	setTimeout(step, 300);
	END
	measured node "$T/n.js"
	holds 'any(.event_loop.loops[]; .kind == "epoll" and .thread_name == "node")'
}

@test "loop: redis-server has one, and DEBUG SLEEP keeps it" {
	need redis-server
	need redis-cli
	local socket=$T/redis.sock pid
	"$PERFAGENT" record -q --mode cpu,loop -o "$T/t.pfa" -- redis-server --port 0 --unixsocket "$socket" --save '' \
		--enable-debug-command yes >"$T/redis.out" 2>&1 3>&- &
	pid=$!
	PA_BACKGROUND+=("$pid")
	for _ in $(seq 100); do
		redis-cli -s "$socket" ping >/dev/null 2>&1 && break
		sleep 0.1
	done
	[ "$(redis-cli -s "$socket" debug sleep 0.3)" = OK ]
	redis-cli -s "$socket" shutdown nosave || true
	wait "$pid"
	load_report
	holds '[.event_loop.loops[].blocked[] | select(.by == "wait" and any(.stack[]; .function | test("nanosleep|usleep")))] |
		length == 1 and .[0].ms >= 300 and .[0].ms < 1300'
}

@test "loop: one that runs is attached to, and attached to again" {
	local pid i
	cat >"$T/a.py" <<-'END'
	import asyncio, time
	async def main():
	    while True:
	        await asyncio.sleep(0.1)
	        time.sleep(0.06)
	asyncio.run(main())
	END
	LD_PRELOAD=$AGENT PERFAGENT_SOCKET=$T/none.sock /usr/bin/python3 "$T/a.py" 3>&- &
	pid=$!
	PA_BACKGROUND+=("$pid")
	sleep 0.5
	for i in 1 2; do
		rm -f "$T/t.pfa" "$T/report.json"
		timeout 30 "$PERFAGENT" attach "$pid" -q -d 1.5 -o "$T/t.pfa" 3>&-
		load_report
		holds '.event_loop.loops | length == 1 and (.[0] | .kind == "epoll" and .blocked_count >= 2 and
			all(.blocked[]; .ms >= 50 and .ms < 1500))'
		holds 'any(.event_loop.loops[0].blocked[]; any(.stack[]; .function | test("nanosleep")))'
	done
	kill -0 "$pid"
}
