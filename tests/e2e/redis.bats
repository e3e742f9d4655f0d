# redis-server under redis-benchmark, on a port of its own.
load common

@test "redis-server serves its benchmark while recorded, and shuts down cleanly" {
	need redis-server
	need redis-benchmark
	port=$(/usr/bin/python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
	mkdir "$T/redis"
	"$TARGETS/supervise" -t 90 -o "$T/recorded.status" -- "$PERFAGENT" record -q -F 250 -o "$T/t.pfa" -- \
		redis-server --port "$port" --bind 127.0.0.1 --dir "$T/redis" --save "" --appendonly no >"$T/recorded.out" 2>"$T/recorded.err" </dev/null 3>&- &
	server=$!
	PA_BACKGROUND+=("$server")
	for _ in $(seq 200); do redis-cli -p "$port" ping >/dev/null 2>&1 && break; sleep 0.05; done
	run_as bench 60 redis-benchmark -p "$port" -n 100000 -c 20 -q -t set,get,lpush,lrange_100
	redis-cli -p "$port" set key value | grep -qx OK
	redis-cli -p "$port" get key | grep -qx value
	[ "$(value_of bench status)" = 0 ]
	redis-cli -p "$port" shutdown nosave || true
	wait "$server"
	[ "$(value_of recorded status)" = 0 ]
	if grep -iE 'crash|bug report|signal' "$T/recorded.out"; then return 1; fi
	honest
	sampled 100
	holds '[.symbols[].module] | any(test("redis"))'
	has_stack 'redis'
}
