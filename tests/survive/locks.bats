# Calls on locks: with the agent in front of them, on, they answer as they do without it.
load common

on() {
	PA_RECORD=(--mode "${PA_MODES:-cpu,memory,loop,lock}")
	rm -f "$T/t.pfa" "$T/report.json"
	run_both "$TARGETS/lock_calls" "$1" || return 1
	[ -n "$PA_SELFTEST" ] || [ -z "$2" ] || holds "$2"
}

@test "R81 mutexes of every type, robustness and protocol, used rightly and wrongly" {
	on mutexes '.locks | length > 0'
}

@test "R81 the owner of a robust mutex dies" {
	on dead '[.locks[] | select(.kind == "mutex")] | length > 0'
}

@test "R81 read-write locks, conditions, semaphores, joins; bad times, clocks and arguments" {
	on others '.locks | map(.kind) | (contains(["read lock"]) and contains(["condition"]))'
}

@test "R81 threads are cancelled in waits, and where a cancellation is due already" {
	on cancel
}

@test "R81 siglongjmp out of a wait, and handlers that wait inside waits" {
	on jumps
	on handlers
}

@test "R81 children of fork and vfork; a lock that was waited for in the parent" {
	on forks
}

@test "R81 eight threads count with locks" {
	on storm
	PA_MODES=lock on storm
}

@test "R81 more locks at once than a thread keeps notes of" {
	on many '[.locks[] | select(.kind == "mutex") | .count] | add >= 20'
}
