# What cannot be kept up with is dropped and counted: the program is not held, the recording says what is missing.
load books

# start_timed MS: malloc_storm as fast as it goes for MS ms under record in the background: $recorder
start_timed() {
	mkdir -p "$T/recorded.cwd"
	(cd "$T/recorded.cwd" && exec "$PERFAGENT" record -q -o "$T/t.pfa" --mode memory --heap=exact -- "$TARGETS/malloc_storm" timed "$1") \
		</dev/null >"$T/recorded.out" 2>"$T/recorded.err" 3>&- &
	recorder=$!
	PA_BACKGROUND+=("$recorder")
}

# wait_timed: until the target has written its figures: $pairs $longest_ns $held_ns $wall_ns
wait_timed() {
	local i
	for ((i = 0; i < 300; i++)); do
		[ ! -s "$T/recorded.cwd/books.json" ] || break
		sleep 0.1
	done
	. "$T/recorded.cwd/timed.txt" || fail "the target did not end"
}

# ns since the machine started, as far as /proc says it: 10 ms
now_ns() {
	awk '{ printf "%.0f\n", $1 * 1e9 }' /proc/uptime
}

# unheld FROM TO: nobody reads the rings between the two. A call takes at most 10 ms because of us, a pair twice that, all
# pairs of that time together 100 ms, and all of the run half of it. What a thread waited for a processor is left out by the target; what the
# hypervisor took is not, and the same program alone just before says how much that was
unheld() {
	local longest=$longest_ns held=$held_ns wall=$wall_ns still
	still=$(awk -v from="$1" -v to="$2" '$1 + $2 > from && $1 < to { held += $2 } END { printf "%.0f", held }' "$T/recorded.cwd/holds.txt")
	. "$T/alone.cwd/timed.txt"
	echo "longest pair $longest ns (alone $longest_ns), held $held ns (alone $held_ns) of $wall, $still with nobody there"
	[ "$longest" -le $((2 * 10000000 + 2 * longest_ns + 10000000)) ] || fail "a pair was held for $longest ns" || return 1
	[ "$still" -le $((100000000 + 3 * held_ns + 50000000)) ] || fail "the program was held for $still ns" || return 1
	[ "$held" -le $((wall / 2 + 3 * held_ns)) ] || fail "the program was held for $held ns of $wall"
}

# held_by_nobody RUN: RUN, which leaves its figures and $from and $to, keeps to the bounds. A crowded machine only adds to what
# a program is held for, so that one run of three that keeps to them shows that we do
held_by_nobody() {
	local try
	for try in 1 2 3; do
		rm -rf "$T"/*
		run_as alone 20 "$TARGETS/malloc_storm" timed 1000
		"$1"
		if unheld "$from" "$to"; then return; fi
	done
	return 1
}

run_stopped() {
	start_timed 3000
	sleep 1
	kill -STOP "$recorder"
	from=$(now_ns)
	sleep 1
	to=$(now_ns)
	kill -CONT "$recorder"
	wait "$recorder"
	wait_timed
}

@test "the collector is stopped for a second: the program goes on, what is lost is counted, the report says so" {
	held_by_nobody run_stopped
	check_recording
	check loss "$PERFAGENT" "$T/t.pfa" "$T/recorded.cwd/books.json"
	holds '.memory.processes[0].lost > 0 and .loss.heap_lost == ([.memory.processes[].lost] | add)'
	holds '.memory.processes[0].stalled_s <= 0.5 * 3.2'
	grep -qE 'lost +[0-9]+ events .*may be too high from' "$T/report.txt"
}

run_killed() {
	start_timed 3000
	sleep 1.5
	kill -KILL "$recorder"
	from=$(now_ns)
	wait_timed
	to=$(now_ns)
}

@test "the collector is killed: the program goes on to its own end, the recording holds what was there" {
	held_by_nobody run_killed
	# the rings are full from then on: a program that nobody drains runs as fast as it can drop
	[ "$pairs" -gt 100000 ]
	"$PERFAGENT" report -i "$T/t.pfa" --format json >"$T/report.json" 2>"$T/report.err"
	jq -e '.memory.allocations > 100000' "$T/report.json"
}

@test "the program is killed in the middle: what it had done is recorded" {
	heap exact "$TARGETS/malloc_storm" killed 400
	[ "$(value_of recorded status)" = 137 ]
	check_recording
	check killed "$PERFAGENT" "$T/t.pfa" "$T/recorded.cwd/counter.bin"
}

@test "sixteen threads as fast as they go: recorded and lost add up" {
	heap exact "$TARGETS/malloc_storm" storm 16 60000
	check_recording
	jq -c '.memory.processes[0]' "$T/report.json"
	/usr/bin/python3 - "$T/report.json" "$T/recorded.cwd/books.json" <<-'END'
	import json, sys
	process = json.load(open(sys.argv[1]))["memory"]["processes"][0]
	total = json.load(open(sys.argv[2]))["total"]
	# the C library makes and frees a few blocks for each thread beside
	others = process["allocations"] + process["frees"] + process["unknown_frees"] + process["lost"] - total["calls"] - total["frees"]
	print(others, "events beside the books")
	sys.exit(not 0 <= others <= 16 * 8)
	END
}

@test "a million distinct stacks: bounded memory, every call is recorded or counted as lost" {
	LIMIT=120 heap exact "$TARGETS/malloc_books" stacks 1048576 20
	[ "$(value_of recorded status)" = 0 ]
	check_recording
	check sum "$PERFAGENT" "$T/t.pfa" "$T/recorded.cwd/books.json"
	holds '.memory.processes[0].engine_kb <= 16384'
}
