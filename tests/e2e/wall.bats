# Wall-clock time: where threads wait, against the program's own books. Nothing is stopped and nobody is signalled for it.
load common

# waiting MODE...: a run of the target, and its report
waiting() {
	rm -rf "$T/report.json" "$T/t.pfa" "$T/recorded.cwd"
	record --mode cpu,wall -- "$TARGETS/waiting" "$@" || return 1
	[ "$(value_of recorded status)" = 0 ] || fail "$(cat "$T/recorded.err")" || return 1
	load_report
}

# The kernel counts how long a thread waited: no less than it asked for, but for its first moments, before it was looked at;
# and no more than its clock says, which has waits for a processor, too.
@test "wall: a thread that sleeps for most of its time does so in a function of that name, for as long as it says" {
	local name least most try
	# what is owed goes to where the thread is found: a collector that comes late on a crowded machine finds it elsewhere
	for try in 1 2 3; do
		waiting share 2000
		read -r name least most <"$T/recorded.cwd/waits"
		if holds "[.wall.waits[] | select(any(.stack[]; .function == \"$name\")) | .time_s] | add |
			. >= $least * 0.9 - 0.1 and . <= $most + 0.01"; then break; fi
		[ "$try" -lt 3 ]
	done
	holds '.wall | .rounds > 10 and .looks > 10 and .looks >= .looks_running and .processes_refused == 0 and
		.collector_cpu_s < 1'
	# the walk comes to main, and further
	holds '.wall.waits[0] | any(.stack[]; .function == "share")'
	check_recording
	grep -q '^waiting threads$' "$T/report.txt"
	grep -q 'rounds of looking, 10 ms apart' "$T/report.txt"
}

@test "wall: threads that have not run since are not walked again" {
	local name least most
	waiting many 50 1500
	read -r name least most <"$T/recorded.cwd/waits"
	holds "[.wall.waits[] | select(any(.stack[]; .function == \"$name\")) | .time_s] | add | . >= 50 and . <= $most + 0.01"
	holds '.wall | .looks > 3 * .walks and .rounds_missed != null'
}

@test "wall: the flame graph has the time on a processor and in waits" {
	waiting share 1000
	"$PERFAGENT" flame -i "$T/t.pfa" --kind wall --format folded >"$T/folded"
	grep -q 'sleep_on_purpose' "$T/folded"
	grep -q 'compute_on_purpose' "$T/folded"
	"$PERFAGENT" flame -i "$T/t.pfa" --kind wall -o "$T/w.svg" >"$T/path"
	grep -q 'wall-clock time' "$T/w.svg"
	one_line 2 "$PERFAGENT" flame -i "$T/t.pfa" --kind wall --unit calls
}

@test "wall: without the mode there is nothing of it, and the flame graph says so" {
	rm -f "$T/t.pfa" "$T/report.json"
	record --mode cpu -- "$TARGETS/waiting" share 100
	holds 'has("wall") | not'
	one_line 2 "$PERFAGENT" flame -i "$T/t.pfa" --kind wall
}

@test "wall: a program that may not be looked at is recorded all the same, and the report says so" {
	[ "$(id -u)" = 0 ] || skip "needs root, to become somebody else"
	mkdir -m 777 "$T/somebody"
	rm -f "$T/t.pfa" "$T/report.json"
	(cd "$T/somebody" && timeout 60 setpriv --reuid=65534 --regid=65534 --clear-groups "$PERFAGENT" record -q \
		--mode cpu,wall -o t.pfa -- "$TARGETS/waiting" hidden 500)
	mv "$T/somebody/t.pfa" "$T/t.pfa"
	load_report
	holds '.wall | .processes_refused == 1 and .waits == []'
	holds 'any(.notes[]; .text | test("does not let perfagent look"))'
	"$PERFAGENT" report -i "$T/t.pfa" | grep -q '1 processes may not be looked at'
}
