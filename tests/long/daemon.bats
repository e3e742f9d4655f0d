# The life of perfagentd in volume: killed at random moments, stopped, started again, two hundred times.
load ../e2e/daemon

TIMES=${TIMES:-200}

@test "R60 perfagentd is killed $TIMES times: each recording opens and has all but the last second; the target never notices" {
	daemon
	env LD_PRELOAD="$AGENT" PERFAGENT_SOCKET="$SOCKET" sh -c "cd '$T'; exec '$TARGETS/split' 1 $((TIMES * 30000))" >"$T/a.out" 2>&1 3>&- 4>&- &
	target=$!
	PA_BACKGROUND+=("$target")
	for i in $(seq "$TIMES"); do
		file=""
		until_true "[ \"\$(recordings)\" -ge 1 ]" 60
		file=$(find "$DATA" -name '*.pfa')
		until_true '[ "$(samples_of "$file")" -ge 5 ]' 60
		before=$(samples_of "$file")
		sleep "0.$((RANDOM % 900 + 100))"
		if [ $((RANDOM % 4)) = 0 ]; then
			kill -STOP "$DAEMON"
			sleep 1
		fi
		kill -KILL "$DAEMON"
		wait "$DAEMON" || true
		[ "$(samples_of "$file")" -ge "$before" ] || fail "round $i: $(samples_of "$file") samples, $before had been written"
		kill -0 "$target" || fail "round $i: the target is gone: $(cat "$T/a.out")"
		rm -f "$DATA"/*
		daemon
	done
	end_daemon
	kill -TERM "$target"
	wait "$target" || [ $? = 143 ]
}

@test "R61 five hundred sessions of a hundred samples a second: none is lost, none is turned away" {
	daemon
	"$O/bench/sessions" "$SOCKET" 500 100 20 >"$T/sessions.out"
	cat "$T/sessions.out"
	until_true '[ "$(grep -c ": ended" "$T/daemon.err")" = 500 ]' 120
	end_daemon
	grep -q 'ready 500 refused 0' "$T/sessions.out"
	written=$(sed -n 's/^written \([0-9]*\) lost 0$/\1/p' "$T/sessions.out")
	[ -n "$written" ]
	for file in "$DATA"/*.pfa; do sqlite3 "$file" "SELECT sum(weight) FROM sample_chunk"; done | awk -v w="$written" '{ s += $1 } END { print s; exit s != w }'
}
