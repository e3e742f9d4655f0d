# Locks: how often, where and for how long threads waited for them, against the program's own books.
load common

# locks KIND N MS: a run of the target, and its report
locks() {
	rm -rf "$T/report.json" "$T/t.pfa" "$T/recorded.cwd"
	record --mode "${MODES:-cpu,lock}" -- "$TARGETS/locks" "$@" || return 1
	[ "$(value_of recorded status)" = 0 ] || fail "$(cat "$T/recorded.err")" || return 1
	load_report
}

# The lock was given back MS milliseconds after the waiting thread had been seen asleep, and the program's clock was read
# around the call: what the report says lies between the two.
as_booked() {
	local name count total max
	read -r name count total max <"$T/recorded.cwd/waits"
	holds ".locks | map(select(.kind == \"$1\")) | length == 1 and (.[0] | .count == $count and
		.total_ms >= $2 * $3 and .total_ms <= $total / 1000000 + 0.001 and
		.max_ms >= $3 and .max_ms <= $max / 1000000 + 0.001 and .p50_ms <= .p95_ms and .p95_ms <= .max_ms and
		.addresses >= 1 and .unfinished == 0)" || fail "$name: $(cat "$T/recorded.cwd/waits") $(jq -c '.locks' "$T/report.json")"
}

@test "lock: mutexes of every type: each wait is there, with its length, its place, and for how long it was held then" {
	local kind
	for kind in mutex recursive errorcheck adaptive robust inherit; do
		locks "$kind" 4 15
		as_booked mutex 4 15
		holds '.locks[0] | .function == "wait_on_purpose" and .held_count == 4 and .timed_out == 0 and .slow == 4 and
			.addresses == 1 and .stack[0].function == "pthread_mutex_lock"'
	done
}

@test "lock: with a time limit, that is met and that is not" {
	local kind
	for kind in timed clock; do
		locks "$kind" 4 15
		as_booked mutex 4 15
		holds '.locks[0] | .held_count == 4 and .timed_out == 0'
	done
	locks timeout 4 15
	as_booked mutex 4 15
	holds '.locks[0] | .held_count == 0 and .timed_out == 4 and .function == "time_out_on_purpose"'
}

@test "lock: read-write locks, conditions, semaphores and joins" {
	locks reader 4 15
	as_booked "read lock" 4 15
	locks timedreader 4 15
	as_booked "read lock" 4 15
	locks writer 4 15
	as_booked "write lock" 4 15
	locks timedwriter 4 15
	as_booked "write lock" 4 15
	locks condition 4 15
	as_booked condition 4 15
	locks semaphore 4 15
	as_booked semaphore 4 15
	locks join 4 15
	as_booked join 4 15
}

@test "lock: who has it is known by its CPU samples, by its own wait, or said to be unknown" {
	locks compute 3 150
	as_booked mutex 3 150
	holds '.locks[0].holder | .known_by == "cpu samples" and any(.stack[]; .function == "hold_on_purpose")'
	check_recording
	grep -A 8 'held by: a thread that most of the time was on the processor at' "$T/report.txt" | grep -q hold_on_purpose
	# no sample may fall on the thread that had it first
	MODES=lock locks chain 4 20
	holds '.locks[0] | .kind == "mutex" and .count == 8 and .holder.known_by == "its own wait" and
		any(.holder.stack[]; .function == "turn_of_one")'
	MODES=lock locks mutex 2 10
	holds '.locks[0].holder == {known_by: null}'
}

@test "lock: one that is free is none, a wait without an end is told as such" {
	locks free 2000
	holds '.locks == []'
	locks left
	holds '.locks | map(select(.kind == "condition")) | length == 1 and (.[0] | .count == 0 and .unfinished == 1)'
	holds '.locks | map(select(.kind == "mutex")) | length == 1 and (.[0] | .count == 0 and .unfinished == 1)'
}

@test "lock: without --mode lock there is nothing of it" {
	rm -f "$T/t.pfa" "$T/report.json"
	record -- "$TARGETS/locks" mutex 2 5
	holds 'has("locks") | not'
}

@test "lock: C++ and Python wait by the same calls" {
	cat >"$T/l.py" <<-'END'
	import threading, time
	lock = threading.Lock()
	def keep():
	    with lock:
	        started.set()
	        time.sleep(0.2)
	for _ in range(2):
	    started = threading.Event()
	    t = threading.Thread(target=keep)
	    t.start()
	    started.wait()
	    with lock:
	        pass
	    t.join()
	END
	rm -f "$T/t.pfa" "$T/report.json"
	record --mode cpu,lock -- /usr/bin/python3 "$T/l.py"
	holds '[.locks[] | select(.kind == "semaphore" or .kind == "condition") | .total_ms] | add >= 200'
}

@test "lock: one that runs is attached to" {
	local pid
	cat >"$T/w.py" <<-'END'
	import threading, time
	c = threading.Condition()
	def wait():
	    while True:
	        with c:
	            c.wait(0.05)
	threading.Thread(target=wait, daemon=True).start()
	time.sleep(60)
	END
	LD_PRELOAD=$AGENT PERFAGENT_SOCKET=$T/none.sock /usr/bin/python3 "$T/w.py" 3>&- &
	pid=$!
	PA_BACKGROUND+=("$pid")
	sleep 0.5
	rm -f "$T/t.pfa" "$T/report.json"
	timeout 30 "$PERFAGENT" attach "$pid" -q --mode cpu,lock -d 1.5 -o "$T/t.pfa" 3>&-
	load_report
	holds '[.locks[].count] | add >= 5'
	kill -0 "$pid"
}
