# Real programs under exact and sampled recording: the same output, and the figures of a library that counts.
load books

PYTHON_WORK='import json, re
words = {}
for i in range(20000):
    words.setdefault("word%d" % (i % 997), []).append(str(i) * 3)
text = json.dumps(words)
print(len(text), len(json.loads(text)), len(re.findall(r"9+", text)))'

@test "python3 with PYTHONMALLOC=malloc: equal output, every call counted" {
	PA_ENV=(PYTHONMALLOC=malloc PYTHONHASHSEED=1)
	run_plain /usr/bin/python3 -c "$PYTHON_WORK"
	count_in python3 /usr/bin/python3 -c "$PYTHON_WORK"
	same plain recorded
	holds '.memory.allocations > 200000'
}

@test "python3 with its own allocator, sampled" {
	PA_ENV=(PYTHONHASHSEED=1)
	run_plain /usr/bin/python3 -c "$PYTHON_WORK"
	heap sampled:64k /usr/bin/python3 -c "$PYTHON_WORK"
	same plain recorded
	check_recording
	holds '.memory.estimated and .memory.samples > 20'
}

sqlite_rows() {
	echo "create table t (a integer primary key, b text, c real);
	with recursive n(i) as (select 1 union all select i + 1 from n where i < $1)
	insert into t select i, 'row number ' || i || hex(i * 7919), i / 3.0 from n;
	create index t_b on t (b);
	select count(*), sum(length(b)), max(b) from t;"
}

@test "sqlite3 in memory builds rows and an index: equal output, every call counted" {
	need sqlite3
	sqlite_rows 50000 >"$T/rows.sql"
	run_plain sqlite3 :memory: ".read $T/rows.sql"
	count_in sqlite3 sqlite3 :memory: ".read $T/rows.sql"
	same plain recorded
	# freed at the end, all of it: what is left is less than a page of what was there
	holds '.memory.peak_mb > 1 and .memory.live_mb < 0.1 * .memory.peak_mb'
}

@test "gcc -O2: the object is the same bytes, the compiler's calls counted" {
	awk 'BEGIN { for (i = 0; i < 120; i++) printf "long f%d(long a, long *b) { for (long i = 0; i < a; i++) { b[i] += a * %d; if (b[i] %% %d == 3) b[i] ^= f%d(a - 1, b); } return b[0]; }\n", i, i, i + 2, i ? i - 1 : 0 }' >"$T/work.c"
	run_plain gcc -O2 -c "$T/work.c" -o "$T/plain.o"
	count_in cc1 gcc -O2 -c "$T/work.c" -o "$T/recorded.o"
	same plain recorded
	cmp "$T/plain.o" "$T/recorded.o"
	holds '.memory.allocations > 10000'
}

@test "redis-server (jemalloc) serves its benchmark while every call is recorded, and shuts down cleanly" {
	need redis-server
	need redis-benchmark
	port=$(/usr/bin/python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
	mkdir "$T/redis"
	"$TARGETS/supervise" -t 90 -o "$T/recorded.status" -- "$PERFAGENT" record -q -o "$T/t.pfa" --mode cpu,memory --heap=exact -- \
		redis-server --port "$port" --bind 127.0.0.1 --dir "$T/redis" --save "" --appendonly no >"$T/recorded.out" 2>"$T/recorded.err" </dev/null 3>&- &
	server=$!
	PA_BACKGROUND+=("$server")
	for _ in $(seq 200); do redis-cli -p "$port" ping >/dev/null 2>&1 && break; sleep 0.05; done
	run_as bench 60 redis-benchmark -p "$port" -n 40000 -c 20 -q -r 10000 -t set,get,lpush
	[ "$(value_of bench status)" = 0 ]
	redis-cli -p "$port" set key value | grep -qx OK
	redis-cli -p "$port" get key | grep -qx value
	redis-cli -p "$port" shutdown nosave || true
	wait "$server"
	[ "$(value_of recorded status)" = 0 ]
	if grep -iE 'crash|bug report|signal' "$T/recorded.out"; then return 1; fi
	check_recording
	# a key and a value for each SET at the least, an entry for each LPUSH
	holds '.memory.allocations > 80000 and .memory.frees > 40000'
	holds '[.memory.top_allocators[].function] | any(test("zmalloc|sds|create"))'
}

@test "C++ with containers, exceptions and threads: equal output, every call counted" {
	run_plain "$TARGETS/malloc_new" 20000
	count_in malloc_new "$TARGETS/malloc_new" 20000
	same plain recorded
	"$PERFAGENT" flame -i "$T/t.pfa" --kind alloc --format folded >"$T/alloc"
	grep -q 'containers.*operator new' "$T/alloc"
	grep -q 'throw_deep' "$T/alloc"
}
