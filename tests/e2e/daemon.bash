# A daemon of this case's own: $DAEMON its pid, $SOCKET, $DATA; its words in $T/daemon.err.
load common

# daemon OPTIONS...: starts it and waits until it listens
daemon() {
	SOCKET=$T/d.sock DATA=${DATA:-$T/data}
	env ${DAEMON_ENV[@]+"${DAEMON_ENV[@]}"} "$O/perfagentd" --socket "$SOCKET" --data "$DATA" --roll 0 "$@" \
		>>"$T/daemon.out" 2>>"$T/daemon.err" </dev/null 3>&- 4>&- &
	DAEMON=$!
	PA_BACKGROUND+=("$DAEMON")
	until_true "grep -qF '$SOCKET' /proc/net/unix" || fail "no daemon: $(cat "$T/daemon.err")"
}

# until_true CONDITION [SECONDS]: looks every 20 ms
until_true() {
	for _ in $(seq $((${2:-10} * 50))); do
		if eval "$1"; then return 0; fi
		sleep 0.02
	done
	fail "never became true: $1"
}

# end_daemon [STATUS]: by SIGTERM, with that status
end_daemon() {
	local status=0
	kill -TERM "$DAEMON"
	wait "$DAEMON" || status=$?
	[ "$status" = "${1:-0}" ] || fail "perfagentd ended with $status: $(cat "$T/daemon.err")"
}

# watched COMMAND...: runs with the agent and the daemon's socket
watched() {
	cd "$T" || return 1
	env LD_PRELOAD="$AGENT" PERFAGENT_SOCKET="$SOCKET" "$@"
}

# recordings [DIRECTORY]: how many there are
recordings() {
	find "${1:-$DATA}" -name '*.pfa' 2>/dev/null | wc -l
}

# as_user UID COMMAND...: from a place where that user gets at the programs
as_user() {
	local uid=$1
	shift
	mkdir -p "$T/home.$uid"
	chown "$uid:$uid" "$T/home.$uid"
	(cd "$T/home.$uid" && exec setpriv --reuid "$uid" --regid "$uid" --clear-groups "$@")
}

# public: copies what another user has to be able to run
public() {
	mkdir -p "$T/bin"
	cp "$O"/libperfagent*.so "$O/perfagent" "$TARGETS/split" "$T/bin"
	chmod -R a+rX "$T/bin"
	AGENT=$T/bin/libperfagent.so
}

# samples_of FILE: periods recorded by now, 0 while it is being made
samples_of() {
	"$PERFAGENT" report -i "$1" --format json 2>/dev/null 3>&- | jq '.loss.cpu_recorded // 0' 2>/dev/null | grep . || echo 0
}

# come COMMAND...: runs it until it has a recording: an agent waits for 20 ms at its start, and then goes without
come() {
	local before
	before=$(recordings)
	for _ in 1 2 3 4 5 6 7 8; do
		"$@" || return 1
		if until_true "[ \"\$(recordings)\" -gt $before ]" 1 >/dev/null; then return 0; fi
	done
	fail "never recorded: $*"
}
