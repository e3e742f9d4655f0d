# A daemon that serves a program with books while others attack it: everything the program counted is in its recording, and
# the daemon is as large afterwards as it was before.

# start_daemon: perfagentd in the background, in exact heap mode
start_daemon() {
	mkdir "$T/data"
	"$O/perfagentd" --socket "$T/d.sock" --data "$T/data" -F 250 --mode cpu,memory --heap=exact >"$T/d.out" 2>"$T/d.err" </dev/null 3>&- &
	daemon=$!
	PA_BACKGROUND+=("$daemon")
	for _ in $(seq 250); do [ -S "$T/d.sock" ] && break; sleep 0.02; done
}

# memory_of PID: KiB that are the process's own, and its open descriptors
memory_of() {
	awk '/^(RssAnon|VmData)/ { printf "%s ", $2 }' "/proc/$1/status"
	find "/proc/$1/fd" -mindepth 1 | wc -l
}

# attack MODE ARGS...: until it has done its worst
attack() {
	HOSTILE_SOCKET=$T/d.sock timeout 600 "$TARGETS/hostileclient" "$@" >"$T/attack.out" 2>&1 || [ $? = 137 ] || fail "$*: $(cat "$T/attack.out")" || return 1
	kill -0 "$daemon" || fail "the daemon is gone after $*: $(tail -n 5 "$T/d.err")"
}

# recording_of COMMAND: the daemon's recording of it
recording_of() {
	local pfa
	for pfa in "$T"/data/*.pfa; do
		"$PERFAGENT" report -i "$pfa" --format json 2>/dev/null | jq -e --arg c "$1" '.processes | any(.command | startswith($c))' >/dev/null || continue
		echo "$pfa"
		return 0
	done
	fail "no recording of $1 among $(ls "$T/data")"
}

# start_good SECONDS: the program with books, recorded: $good. A service does not wait for its collector: on a crowded machine
# the 20 ms may pass without an answer, and then it runs on without
start_good() {
	local try
	for try in 1 2 3 4 5 6 7 8; do
		rm -rf "$T/recorded.cwd" && mkdir "$T/recorded.cwd"
		(cd "$T/recorded.cwd" && exec env LD_PRELOAD="$AGENT" PERFAGENT_SOCKET="$T/d.sock" "$TARGETS/life" none exit $(($1 * 1000000))) \
			</dev/null >"$T/good.out" 2>"$T/good.err" 3>&- &
		good=$!
		PA_BACKGROUND+=("$good")
		for _ in $(seq 50); do [ -s "$T/good.out" ] && break; sleep 0.02; done
		! grep -q memfd:perfagent "/proc/$good/maps" || return 0
		kill -KILL "$good"
		wait "$good" || true
	done
	fail "the program was not recorded in $try tries: $(tail -n 3 "$T/d.err")"
}

# besieged SECONDS ATTACKS...: `life` runs for so long beside the attacks, one after the other
besieged() {
	local seconds=$1 before after good pfa how
	shift
	start_daemon
	# all of it once before anything is measured: what malloc, SQLite and the tables of a few sessions keep
	start_good 2 || return 1
	for how in "random 200" "scribble 1000" "toctou 1000" "crowd 300" descriptors messages; do
		# shellcheck disable=SC2086 # mode and number
		attack $how || return 1
	done
	wait "$good" || true
	# its recording is closed a second after it: not taken away under the daemon's hands
	sleep 2.5
	rm -f "$T"/data/life.*
	before=$(memory_of "$daemon")
	start_good "$seconds" || return 1
	for how; do
		# shellcheck disable=SC2086
		attack $how || return 1
	done
	if wait "$good"; then how=0; else how=$?; fi
	[ "$how" = 42 ] && [ "$(cat "$T/good.out")" = begin ] && [ ! -s "$T/good.err" ] || fail "the program ended with $how: $(cat "$T/good.err")" || return 1
	sleep 2.5
	after=$(memory_of "$daemon")
	echo "RssAnon KiB, VmData KiB, descriptors: $before before, $after after"
	kill -TERM "$daemon"
	wait "$daemon" || fail "the daemon ended with $?: $(grep -v ": begun\|: ended" "$T/d.err" | tail -n 5; tail -n 3 "$T/d.err")" || return 1
	# shellcheck disable=SC2086 # three figures
	set -- $before $after
	# a longer recording has more stacks; a leak of a message is a MiB in ten thousand, of a session more
	[ "$4" -le $(($1 + 8192)) ] && [ "$6" -le "$3" ] || fail "the daemon has grown" || return 1
	pfa=$(recording_of "$TARGETS/life") || return 1
	/usr/bin/python3 "$PA_ROOT/tests/survive/life_check.py" counted "$PERFAGENT" "$pfa" "$T/recorded.cwd/life.bin"
}
