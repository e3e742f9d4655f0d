# Helpers of the memory tests: programs with books, and independent judges.
load common

# heap HEAP COMMAND...: recorded into $T/t.pfa, its files in $T/recorded.cwd
heap() {
	local mode=$1
	shift
	rm -rf "$T/report.json" "$T/t.pfa" "$T/folded" "$T/recorded.cwd"
	record --mode cpu,memory --heap="$mode" -- "$@"
}

check() {
	/usr/bin/python3 "$PA_ROOT/tests/e2e/memory_check.py" "$@"
}

# books HEAP PROGRAM ARGS...: recorded, the report equal to the program's books
books() {
	heap "$@" || return 1
	[ "$(value_of recorded status)" = 0 ] || fail "status $(value_of recorded status): $(cat "$T/recorded.err")" || return 1
	check_recording || return 1
	check books "$PERFAGENT" "$T/t.pfa" "$T"/recorded.cwd/books*.json
}

# count_in NAME COMMAND...: recorded exactly with lib_countheap.so behind the agent, which counts in the processes of the
# program NAME; their recorded calls, bytes and frees are equal
count_in() {
	local name=$1
	shift
	rm -f "$T/count.bin"
	local -a saved=(${PA_ENV[@]+"${PA_ENV[@]}"})
	PA_ENV+=("LD_PRELOAD=$TARGETS/lib_countheap.so" "PA_COUNTHEAP=$name=$T/count.bin")
	heap exact "$@" || return 1
	PA_ENV=(${saved[@]+"${saved[@]}"})
	[ "$(value_of recorded status)" = 0 ] || fail "status $(value_of recorded status): $(cat "$T/recorded.err")" || return 1
	check_recording || return 1
	check counted "$PERFAGENT" "$T/t.pfa" "$T/count.bin" "$name"
}

# estimates RUNS: one line per figure and run; each run draws anew. On a crowded machine the collector may be too late for
# a ring: a run that says it lost samples is done again, at most RUNS times
estimates() {
	local done=0 tries=0 status
	while ((done < $1)); do
		((++tries <= 2 * $1)) || fail "$((tries - done)) runs lost samples" || return 1
		heap sampled:64k "$TARGETS/malloc_books" estimate 1 || return 1
		status=0
		check estimate "$PERFAGENT" "$T/t.pfa" "$T/recorded.cwd/books.json" || status=$?
		[ $status = 0 ] || [ $status = 3 ] || return 1
		done=$((done + (status == 0)))
	done
}
