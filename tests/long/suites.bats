# Foreign test suites under the agent: their verdict is the same as without it.
load common

@test "the regression tests of the system's python3 (those that come with it)" {
	/usr/bin/python3 -c 'import test.support, test.test_json' 2>/dev/null || skip "no python3 test package (libpython3-testsuite)"
	suites="test_json test_re test_threading test_subprocess test_signal test_asyncio test_multiprocessing_fork test_socket"
	run_as plain 900 /usr/bin/python3 -m test -j1 $suites
	LIMIT=2700 record -- /usr/bin/python3 -m test -j1 $suites
	[ "$(value_of plain status)" = "$(value_of recorded status)" ]
}

@test "stress of redis: a million requests, pipelined, with a save and an AOF rewrite in forked children" {
	need redis-server
	need redis-benchmark
	port=$(/usr/bin/python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
	mkdir "$T/redis"
	"$TARGETS/supervise" -t 600 -o "$T/recorded.status" -- "$PERFAGENT" record -q -F 250 -o "$T/t.pfa" -- \
		redis-server --port "$port" --bind 127.0.0.1 --dir "$T/redis" --appendonly yes >"$T/recorded.out" 2>"$T/recorded.err" </dev/null 3>&- &
	server=$!
	PA_BACKGROUND+=("$server")
	for _ in $(seq 200); do redis-cli -p "$port" ping >/dev/null 2>&1 && break; sleep 0.05; done
	redis-benchmark -p "$port" -n 1000000 -c 50 -P 16 -q >/dev/null
	redis-cli -p "$port" bgsave
	redis-cli -p "$port" bgrewriteaof
	redis-benchmark -p "$port" -n 200000 -c 50 -q -t set,get >/dev/null
	redis-cli -p "$port" shutdown nosave || true
	wait "$server"
	[ "$(value_of recorded status)" = 0 ]
	if grep -iE 'crash|bug report' "$T/recorded.out"; then return 1; fi
	honest
}

@test "the survive battery again under the reference engine (PERFAGENT_UNWINDER=libunwind)" {
	[ -e "$O/libperfagent-unwind.so" ] || skip "not built"
	for target in "exceptions storm 3000" "stacks fibres" "stacks longjmp" "forks fork 300" "cancel cancel" "loader storm 5000"; do
		# shellcheck disable=SC2086 # program and arguments
		set -- $target
		program=$TARGETS/$1
		shift
		run_plain "$program" "$@"
		rm -f "$T/t.pfa" "$T/report.json"
		LIMIT=120 run_as recorded 120 env PERFAGENT_UNWINDER=libunwind "$PERFAGENT" record -q -F 250 -o "$T/t.pfa" -- "$program" "$@"
		same plain recorded
		check_recording
	done
}
