# Calls on sockets: with the agent in front of them, on, they answer as they do without it.
load common

# on: what is said is looked at, so that the hooks do all they can
on() {
	PA_RECORD=(--mode cpu,memory,loop,db,http)
	run_both "$TARGETS/sockets" "$1" || return 1
	[ -n "$PA_SELFTEST" ] || [ -z "$2" ] || holds "$2"
}

@test "R74 results of all calls on sockets: bytes, errors, bad descriptors, pointers and arguments" {
	on results 'any(.database.queries[]; .protocol == "redis" and .fingerprint == "GET key:{id}")'
}

@test "R74 nonblocking, time limits, full peers, EINTR, messages in parts" {
	on blocking 'any(.database.queries[]; .count > .unanswered and .role == "client")'
}

@test "R74 shutdown, resets, SIGPIPE, connects that fail or go on in the background" {
	on ends 'any(.database.pools[]; .opened > 0 and .opened == .closed)'
}

@test "R74 other descriptors over sockets, close_range and closefrom, numbers used again" {
	on numbers 'any(.database.pools[]; .opened > 0 and .opened == .closed)'
}

@test "R79 a child of fork uses its parent's connection, one of vfork closes its own descriptors" {
	on children '[.database.pools[].process] | unique | length >= 2'
}

@test "R74 threads share a socket, and close it while another one waits" {
	on threads '[.database.pools[].opened] | add >= 21'
}

@test "R76 threads are cancelled in calls on sockets, and what comes after is right" {
	on cancel 'any(.database.queries[]; .count > .unanswered)'
}

@test "R74 the names of fortified programs" {
	on fortified
}

@test "R74 the same with databases or HTTP alone" {
	local mode what
	for mode in db http; do
		for what in results ends; do
			PA_RECORD=(--mode "$mode")
			rm -f "$T/t.pfa" "$T/report.json"
			run_both "$TARGETS/sockets" "$what"
		done
	done
}
