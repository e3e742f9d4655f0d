# postgres with a backend forked for each connection, as its own user, reached by a Unix socket only.
load common
load postgres

teardown() {
	postgres_stop
	sleep 0.2
	rm -rf "$T"
}

@test "postgres: pgbench over four backends, each a process of its own in the report" {
	postgres_data
	# the build tree may be closed to that user
	mkdir "$T/bin"
	cp "$PERFAGENT" "$O"/libperfagent*.so "$T/bin"
	chmod -R a+rX "$T/bin"
	(cd "$T" && exec "${as[@]}" env HOME="$T" "$T/bin/perfagent" record -q -F 250 -o "$T/t.pfa" -- "$bin/postgres" -D "$T/data") >"$T/recorded.out" 2>"$T/recorded.err" </dev/null 3>&- &
	server=$!
	for _ in $(seq 200); do "${as[@]}" "$bin/psql" -h "$T" -U postgres -d postgres -qtc 'select 1' >/dev/null 2>&1 && break; sleep 0.1; done
	"${as[@]}" "$bin/pgbench" -h "$T" -U postgres -i -s 2 -q postgres >"$T/init.out" 2>&1
	"${as[@]}" env HOME="$T" timeout 60 "$bin/pgbench" -h "$T" -U postgres -c 4 -j 2 -t 800 postgres >"$T/bench.out" 2>&1
	grep -q 'number of transactions actually processed: 3200/3200' "$T/bench.out"
	# work for the checkpointer: what never uses a tick of CPU time is met when it ends
	for _ in $(seq 20); do echo 'update pgbench_accounts set abalance = abalance + 1 where aid % 20 = 0;
checkpoint;'; done | "${as[@]}" "$bin/psql" -h "$T" -U postgres -d postgres -qt >"$T/checkpoints.out" 2>&1
	"${as[@]}" "$bin/psql" -h "$T" -U postgres -d postgres -qtAc "select sum(i) from generate_series(1, 1500000) i" | grep -qx 1125000750000
	# the last backend may not have seen its client go: this waits for it
	kill -TERM "$(head -n 1 "$T/data/postmaster.pid")"
	wait "$server"
	# who asks too early is told so
	if grep -E 'PANIC|FATAL|terminated by signal' "$T/recorded.err" | grep -v 'the database system is starting up'; then return 1; fi
	honest
	sampled 100
	# postmaster, its workers, and at least the four backends of pgbench
	holds '[.processes[] | select(.command | test("postgres"))] | length >= 6'
	# each by the role it took on after the fork
	for role in checkpointer walwriter 'background writer'; do
		holds --arg t "postgres: $role" '[.processes[].command] | index($t) != null'
	done
	holds '[.symbols[].module] | any(endswith("/postgres"))'
}
