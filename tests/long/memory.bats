# Allocation profiling at full volume.
load common
load ../e2e/books

@test "sampled: 400 runs, the total, the live heap and the top stacks inside their 95 % intervals in at least 367" {
	estimates 400 >"$T/figures"
	check coverage 400 <"$T/figures"
}

@test "R53 sixteen threads, ten million allocations that are freed by whoever comes by: recorded and lost add up" {
	LIMIT=300 heap exact "$TARGETS/malloc_storm" storm 16 625000
	check_recording
	holds '.memory.processes[0] | .allocations + .frees + .unknown_frees + .lost >= 20000000 - 16 * 4096'
	holds '.memory.uncertain == (.memory.processes[0].lost > 0)'
}

@test "R53 ten million blocks live at once, sampled: bounded memory in the program" {
	LIMIT=300 heap sampled "$TARGETS/malloc_guest" memory 10000000
	cp -r "$T/recorded.cwd" "$T/with"
	run_as alone 300 "$TARGETS/malloc_guest" memory 10000000
	. <(sed 's/\([a-z_]*\)=/alone_\1=/g; s/ /;/g' "$T/alone.cwd/memory.txt")
	. <(sed 's/ /;/g' "$T/with/memory.txt")
	echo "alone $alone_rss KiB, recorded $rss, rings $ring_rss"
	[ $((rss - ring_rss - alone_rss)) -le 16384 ]
}

@test "R3 allocation storms while libraries come and go" {
	LIMIT=$((LONG_SECONDS * 3)) heap exact "$TARGETS/malloc_storm" loader $((LONG_SECONDS * 1000))
	check_recording
	LIMIT=$((LONG_SECONDS * 3)) heap sampled:1 "$TARGETS/malloc_storm" loader $((LONG_SECONDS * 1000))
	check_recording
}

@test "a hundred thousand threads, each leaving a block" {
	LIMIT=300 books exact "$TARGETS/malloc_storm" churn 100000
}

@test "sqlite3 builds a million rows in memory: every call counted" {
	need sqlite3
	echo "create table t (a integer primary key, b text, c real);
	with recursive n(i) as (select 1 union all select i + 1 from n where i < 1000000)
	insert into t select i, 'row number ' || i || hex(i * 7919), i / 3.0 from n;
	create index t_b on t (b); select count(*), sum(length(b)), max(b) from t;" >"$T/rows.sql"
	run_plain sqlite3 :memory: ".read $T/rows.sql"
	LIMIT=300 count_in sqlite3 sqlite3 :memory: ".read $T/rows.sql"
	same plain recorded
}

# ns since the machine started, as far as /proc says it: 10 ms
now_ns() {
	awk '{ printf "%.0f\n", $1 * 1e9 }' /proc/uptime
}

# The rule of the wait for a collector: one that does not move is waited for 100 ms in all, one that does for half of the
# time. 50 ms for the clocks and for the processors of a busy machine.
@test "thirty seconds of the collector stopped and going: the program waits as is promised, what is lost is counted" {
	local at i
	mkdir -p "$T/recorded.cwd"
	(cd "$T/recorded.cwd" && exec "$PERFAGENT" record -q -o "$T/t.pfa" --mode memory --heap=exact -- "$TARGETS/malloc_storm" timed 30000) \
		</dev/null >"$T/recorded.out" 2>"$T/recorded.err" 3>&- &
	recorder=$!
	PA_BACKGROUND+=("$recorder")
	for i in $(seq 10); do
		sleep 1
		kill -STOP "$recorder"
		at=$(now_ns)
		sleep 1
		echo "$at $(now_ns)" >>"$T/pauses"
		kill -CONT "$recorder"
	done
	wait "$recorder"
	check_recording
	check loss "$PERFAGENT" "$T/t.pfa" "$T/recorded.cwd/books.json"
	. "$T/recorded.cwd/timed.txt"
	awk 'NR == FNR { from[NR] = $1; to[NR] = $2; n = NR; next }
		{ for (i = 1; i <= n; i++) if ($1 + $2 > from[i] && $1 < to[i]) held[i] += $2 }
		END { for (i = 1; i <= n; i++) { printf "pause %d: held %.0f ms\n", i, held[i] / 1e6
			bad += held[i] > 150e6; waited += held[i] > 0 } exit bad || !waited }' "$T/pauses" "$T/recorded.cwd/holds.txt"
	holds --argjson wall "$wall_ns" '.memory.processes[0].stalled_s <= 0.5 * $wall / 1e9'
}
