# Programs that run in the background while something is done to them from outside, and end when they are told to.

# injection is for one architecture
need_x86_64() {
	[ -z "$PA_SELFTEST" ] || skip "injects, or tests nothing"
	[ "$(uname -m)" = x86_64 ] || skip "injection is for x86-64"
}

# start COMMAND...: its stdin open until it is to end; PID, output in $T/target.out. It is ready when it has said something
start() {
	rm -f "$T/stdin" "$T/target.out" "$T/injected"
	mkfifo "$T/stdin"
	PA_INJECTED=$T/injected "$@" <"$T/stdin" >"$T/target.out" 2>"$T/target.err" 3>&- &
	PID=$!
	PA_BACKGROUND+=("$PID")
	exec {STDIN}>"$T/stdin"
	local i
	for ((i = 0; i < 400; i++)); do
		[ ! -s "$T/target.out" ] || return 0
		sleep 0.05
	done
	fail "the target is not ready"
}

# end_by_stdin [LINE]: the target's stdin ends; it ends with status 0, and this is its last line
end_by_stdin() {
	local status=0
	exec {STDIN}>&-
	wait "$PID" || status=$?
	cat "$T/target.out"
	[ "$status" -eq 0 ] || fail "status $status: $(cat "$T/target.err")" || return 1
	[ $# -eq 0 ] || [ "$(tail -n 1 "$T/target.out")" = "$1" ] || fail "not: $1"
}

# end_by_signal LINE: the same for targets that sleep until SIGTERM
end_by_signal() {
	kill -TERM "$PID" 2>/dev/null || true
	end_by_stdin "$1"
}
