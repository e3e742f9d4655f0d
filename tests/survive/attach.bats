# Attaching to programs that run, and detaching: rows R19, R45, R38, R37, from the agent's side (common/command.h). A
# target behaves as it does alone, whatever is asked of its agent meanwhile, and has afterwards what it had before.
load common
bats_require_minimum_version 1.5.0

ATTACHEE=$TARGETS/attachee
TRY=$TARGETS/command_try
CYCLES=${PA_CYCLES:-100} # attached and detached so often; tests/long asks for a thousand

# start MODE...: alone to its end first, then with a dormant agent, left running as PID
start() {
	[ -z "$PA_SELFTEST" ] || skip "needs perfagent"
	mkdir -p "$T/alone" "$T/cwd"
	touch "$T/alone/stop" "$T/alone/go"
	(cd "$T/alone" && "$ATTACHEE" "$@" >"$T/alone.out" 2>&1 3>&-) || fail "alone: status $?: $(cat "$T/alone.out")" || return 1
	launch "$T/cwd" "$ATTACHEE" "$@"
}

# launch FOLDER COMMAND...: in the background, with a dormant agent; PID
launch() {
	local dir=$1 i
	shift
	rm -f "$T/target.out"
	(cd "$dir" && LD_PRELOAD=$AGENT PERFAGENT_SOCKET=$T/none.sock exec "$@" >"$T/target.out" 2>"$T/target.err" 3>&-) &
	PID=$!
	PA_BACKGROUND+=("$PID")
	for ((i = 0; i < 400; i++)); do
		! grep -q ready "$T/target.out" 2>/dev/null || return 0
		sleep 0.05
	done
	fail "the target is not ready: $(cat "$T/target.out" "$T/target.err")"
}

# finish: the target is told to stop; status and output are what they were alone
finish() {
	local status=0
	touch "$T/cwd/stop"
	wait "$PID" || status=$?
	[ "$status" -eq 0 ] || fail "status $status: $(cat "$T/target.err")" || return 1
	diff "$T/alone.out" "$T/target.out" || return 1
	[ ! -s "$T/target.err" ] || fail "$(cat "$T/target.err")"
}

# try OPTIONS...: command_try on PID; its figures in $T/try
try() {
	"$TARGETS/supervise" -t 100 -- "$TRY" "$@" "$PID" >"$T/try" 2>"$T/try.err" 3>&- </dev/null || {
		local status=$?
		fail "command_try $*: status $status: $(cat "$T/try" "$T/try.err")"
		return 1
	}
}

figure() {
	tr ' ' '\n' <"$T/try" | sed -n "s/^$1=//p"
}

# no_trace [MAPS [KIB]]: nothing is left of the sessions but what the first few needed once, and what the program itself has
# more: mappings, and address space, as the stacks of its threads
no_trace() {
	echo "$(cat "$T/try")"
	[ "$(figure timers_last)" -eq 0 ] || return 1
	# fewer: it was still starting
	[ "$(figure fds_last)" -le "$(figure fds_first)" ] || return 1
	[ "$(figure maps_last)" -le $(($(figure maps_warm) + ${1:-4})) ] || return 1
	[ "$(figure size_last)" -le $(($(figure size_warm) + ${2:-1024})) ] || return 1
	[ "$(figure rss_last)" -le $(($(figure rss_warm) + 1024)) ]
}

@test "R45 a program that allocates: attached in every mode, and detached" {
	start alloc 1
	for mode in cpu sampled exact all; do
		try -n 1 -m "$mode" -s
		no_trace
	done
	finish
}

@test "R45 a loop that calls nothing is nudged" {
	start loop
	try -n 2 -m cpu -s
	no_trace
	finish
}

@test "R45 threads that were there before: all of them are sampled, and their ends are seen" {
	start spin 8
	try -n 2 -m cpu -h 300 -s
	no_trace
	finish
}

@test "R45 threads that come and go while the agent is attached and detached" {
	start churn 2
	try -n 12 -m mixed -s
	no_trace 12 1048576 # arenas and stacks of its own threads
	finish
}

@test "R19 attached and detached $CYCLES times under allocating threads: no mapping, timer, descriptor or memory is left" {
	start alloc 3
	try -n "$CYCLES" -m mixed -h 5
	no_trace 8
	finish
}

@test "R19 the same, every other time from one session into the next: other rates and modes" {
	start alloc 3
	try -n 24 -m mixed -h 20 -k
	no_trace 8
	finish
}

@test "R60 a collector that ends its sessions: the agent is dormant again by itself" {
	start alloc 2
	try -n 8 -m mixed -e
	no_trace 8
	finish
}

@test "R60 a collector that refuses: dormant as before" {
	start alloc 1
	run ! "$TRY" -n 1 -r "$PID"
	grep -q error=111 <<<"$output"
	try -n 1 -m cpu -s
	finish
}

@test "R45 asleep in poll, epoll_wait, nanosleep, read, futex: attached at the next wake-up, and no EINTR" {
	local kind
	for kind in poll epoll nanosleep read futex; do
		rm -rf "$T/cwd" "$T/alone"
		start sleep "$kind"
		try -n 2 -m cpu -h 100
		[ "$(figure withdrawn)" -eq 0 ] || fail "$kind: $(cat "$T/try")"
		no_trace
		finish || fail "$kind"
	done
}

@test "R45 a nudge that comes when the thread has fallen asleep: no EINTR" {
	local kind
	[ "$(uname -m)" = x86_64 ] || skip "elsewhere the arguments of the call are gone"
	for kind in poll epoll nanosleep read; do
		rm -rf "$T/cwd" "$T/alone"
		start sleep "$kind"
		try -n 1 -m cpu -N
		finish || fail "$kind"
	done
}

@test "R16 a program with a handler for SIGURG, and one with SIGWINCH as well: theirs, and nudges where there is a signal" {
	start signals urg
	try -n 1 -m cpu -s
	finish
	rm -rf "$T/cwd" "$T/alone"
	start signals both
	# nothing to be nudged with: the hooks that it comes by now and then see the request
	try -n 1 -m cpu -s
	[ "$("$PERFAGENT" list | awk -v pid="$PID" '$1 == pid' | wc -l)" -eq 1 ]
	finish
}

@test "R16 what the program reads back of its signals is what it set, before, while and after" {
	start hidden
	try -n 6 -m cpu -s
	finish
}

@test "R26 children forked before, while and after" {
	start fork
	try -n 6 -m mixed -s
	no_trace 12
	finish
}

@test "R31 exec while attached: the other program can be attached to as well" {
	start exec
	try -n 1 -m sampled -s
	"$TRY" -n 3 -m cpu -h 300 -d 2000 "$PID" >"$T/first" 2>&1 3>&- &
	sleep 0.3
	touch "$T/cwd/go"
	wait $! || true
	try -n 1 -m exact -s
	finish
}

@test "R38 under seccomp the agent is quiet: a request is refused, and nothing is called" {
	start seccomp
	run ! "$TRY" -n 1 -d 500 "$PID"
	kill -0 "$PID"
	finish
}
