# SQLite through its C interface: what a program executes, against its own books, and that it executes as without us.
load common

# booked DATABASE COMMAND...: recorded, and the report's queries are those of the program's books
booked() {
	local peer=$1
	shift
	rm -rf "$T/t.pfa" "$T/report.json" "$T/recorded.cwd"
	record --mode cpu,db -- "$@" || return 1
	[ "$(value_of recorded status)" = 0 ] || fail "$(cat "$T/recorded.out" "$T/recorded.err")" || return 1
	check_recording || return 1
	[ -s "$T/recorded.cwd/books.json" ] || fail "no books" || return 1
	/usr/bin/python3 "$PA_ROOT/tests/e2e/sqlite_check.py" "$T/report.json" "$T/recorded.cwd/books.json" || fail "see above" || return 1
	holds --arg peer "$peer" 'any(.database.queries[]; .peer != null and (.peer | endswith($peer))) and .database.status == "connected"'
}

@test "sqlite: a program's books, prepared and executed directly, one thread and four" {
	booked /a.db "$TARGETS/sqlite_books" books a.db
	holds 'any(.database.queries[]; .peer == ":memory:")'
	# the slow one has the stack that executed it; literals are nowhere
	holds 'any(.database.slow[]; .fingerprint | test("recursive")) and
		any(.database.slow[].stack[]; .function == "count_up") and
		any(.database.queries[]; .caller == "direct")'
	if grep -q secret "$T/report.json" || sqlite3 "$T/t.pfa" .dump | grep -q secret; then
		fail "a literal was stored"
	fi
}

@test "sqlite: slots that are bound at load and read-only" {
	PA_ENV=("LD_BIND_NOW=1")
	booked /a.db "$TARGETS/sqlite_books" books a.db
	[ -x "$TARGETS/sqlite_books_now" ]
	readelf -dW "$TARGETS/sqlite_books_now" | grep -q BIND_NOW
	booked /a.db "$TARGETS/sqlite_books_now" books a.db
}

@test "sqlite: a lock that others hold: one query as long as it is tried again, an error when it is given up" {
	booked /l.db "$TARGETS/sqlite_books" locked l.db
	holds '[.database.queries[] | select(.fingerprint | test("^delete"))] | length == 1 and .[0].errors == 1 and .[0].error == "SQLITE_BUSY"'
}

@test "sqlite: python's module, which is loaded late and into a scope of its own" {
	booked /p.db /usr/bin/python3 "$PA_ROOT/tests/e2e/sqlite_books.py" p.db
}

@test "sqlite: what a program does well or badly gives what it gives without us" {
	PA_RECORD=(--mode cpu,db,loop)
	run_both "$TARGETS/sqlite_books" odd o.db
	# the endless statement: stepped by two threads at once, interrupted by another; one in another, one in a child
	holds 'any(.database.queries[]; .error == "SQLITE_INTERRUPT" and .count == 1) and
		any(.database.queries[]; .fingerprint == "insert into log values (?)" and .count == 1) and
		any(.database.queries[]; .fingerprint == "create table t(a)" and .count == 1)'
}

@test "sqlite: without db nothing stands in front of it" {
	record --mode cpu,http,loop -- "$TARGETS/sqlite_books" books a.db
	[ "$(value_of recorded status)" = 0 ]
	check_recording
	holds '(has("database") | not)'
	[ "$(sqlite3 "$T/t.pfa" 'select count(*) from exchange')" = 0 ]
}

@test "sqlite: attached and detached again and again while threads execute and fork" {
	local i pid
	env LD_PRELOAD="$AGENT" PERFAGENT_SOCKET="$T/none.sock" "$TARGETS/sqlite_books" storm 100 >"$T/storm.out" 2>&1 3>&- &
	pid=$!
	PA_BACKGROUND+=("$pid")
	sleep 0.3
	for i in 1 2 3 4 5; do
		rm -f "$T/t.pfa" "$T/report.json"
		run timeout 30 "$PERFAGENT" attach "$pid" --mode db -d 0.6 -q -o "$T/t.pfa" 3>&-
		[ "$status" -eq 0 ] || fail "attach: $output"
		check_recording
		holds '[.database.queries[] | select(.fingerprint | test("^select a, b from t")) | .count] | length == 1 and .[0] > 0'
	done
	kill -TERM "$pid"
	wait "$pid" || fail "status $?: $(cat "$T/storm.out")"
	PA_BACKGROUND=()
	[ "$(cat "$T/storm.out")" = "executed, 0 wrong" ] || fail "$(cat "$T/storm.out")"
}
