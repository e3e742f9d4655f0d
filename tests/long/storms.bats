# Minutes of what the survive tests do for a second.
load common

@test "R1 dlopen/dlclose storm, $LONG_SECONDS s, fastest sampling" {
	PA_RATE=1000
	run_plain "$TARGETS/loader" storm 1000
	LIMIT=$((LONG_SECONDS * 3)) record -- "$TARGETS/loader" storm $((LONG_SECONDS * 1000))
	same plain recorded
	honest
}

@test "R7 exceptions for $LONG_SECONDS s of CPU in each of four threads" {
	PA_RATE=1000
	run_plain "$TARGETS/exceptions" storm 300
	LIMIT=$((LONG_SECONDS * 12)) record -- "$TARGETS/exceptions" storm $((LONG_SECONDS * 1000))
	same plain recorded
	honest
}

@test "R29 10000 threads at once" {
	run_plain "$TARGETS/timers" many 10000
	LIMIT=300 record -- "$TARGETS/timers" many 10000
	same plain recorded
	check_recording
}

@test "R29 100000 short threads" {
	run_plain "$TARGETS/timers" short 100000
	LIMIT=600 record -- "$TARGETS/timers" short 100000
	same plain recorded
	check_recording
}

@test "R31 20000 forks, raw and by libc" {
	for mode in fork raw _Fork; do
		run_plain "$TARGETS/forks" "$mode" 200
		rm -f "$T/t.pfa" "$T/report.json"
		LIMIT=600 record -- "$TARGETS/forks" "$mode" 20000
		same plain recorded
		check_recording
	done
}

@test "R27 fork of an 8 GiB process at 1000 Hz" {
	[ "$(awk '/MemAvailable/ { print int($2 / 1048576) }' /proc/meminfo)" -ge 12 ] || skip "not enough memory"
	PA_RATE=1000
	run_plain "$TARGETS/forks" big 64
	LIMIT=300 record -- "$TARGETS/forks" big 8192
	same plain recorded
}

@test "R62 a hundred thousand connections, and an hour's worth of scribbling in a minute" {
	LIMIT=600 record -- sh -c "export HOSTILE_SOCKET=\$PERFAGENT_SOCKET; PERFAGENT_DISABLE=1 '$TARGETS/hostileclient' random 100000; PERFAGENT_DISABLE=1 '$TARGETS/hostileclient' scribble 30000; PERFAGENT_DISABLE=1 '$TARGETS/hostileclient' toctou 30000; exec '$TARGETS/split' 1 300"
	[ "$(value_of recorded status)" = 0 ]
	check_recording
	sampled 30
	has_stack hot_seventy
}

@test "R43 two thousand ends of all kinds" {
	for mode in return exit _exit quick_exit abort segv thread_exit threads_running atexit_crash kill; do
		run_plain "$TARGETS/exits" "$mode"
		for round in $(seq 200); do
			rm -f "$T/t.pfa" "$T/report.json"
			record -- "$TARGETS/exits" "$mode"
			same plain recorded
		done
	done
}
