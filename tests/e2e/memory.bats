# Allocations end to end: what the report says is what the program's own books say, to the byte; and what independent
# tools count of the same program.
load books

# ---- exact mode, against books

@test "exact: every entry point at random, one thread" {
	books exact "$TARGETS/malloc_books" mix 60000
	holds '.memory.estimated == false'
}

@test "exact: another seed" {
	books exact "$TARGETS/malloc_books" mix 30000 77
}

@test "exact: realloc chains that grow, shrink, fail, and end in realloc(p, 0)" {
	books exact "$TARGETS/malloc_books" realloc
}

@test "exact: blocks of no bytes" {
	books exact "$TARGETS/malloc_books" zero
}

@test "exact: temporary allocations, with frees of NULL and failures between" {
	books exact "$TARGETS/malloc_books" temporary 5000
}

@test "exact: leaks, by function and by caller, the largest first" {
	books exact "$TARGETS/malloc_books" leaks
	holds '[.memory.leaks[].bytes] == ([.memory.leaks[].bytes] | sort | reverse)'
	holds '.memory.leaks[0].bytes == 3 * 1999993 and .memory.leaks[0].function == "leak_large" and .memory.leaks[0].count == 3'
	# a quarter of the first 500 by one caller, the rest by the other
	holds '[.memory.leaks[] | select(.function == "leak_many") | .bytes] | sort == [375 * 499, 125 * 1999]'
	"$PERFAGENT" flame -i "$T/t.pfa" --kind live --format folded >"$T/live"
	grep -qE 'leak_left;leak_many 249875$' "$T/live"
	grep -qE 'leak_right;leak_many 187125$' "$T/live"
}

@test "exact: stacks of 4, 32, 200 and 600 frames, none cut that fits" {
	books exact "$TARGETS/malloc_books" deep 500
	"$PERFAGENT" flame -i "$T/t.pfa" --kind alloc --unit calls --format folded >"$T/alloc"
	for depth in 4 32 200; do
		awk -v n=$depth '{ c = gsub(/;descend/, ""); if (/;deep_/ && c == n) found = $NF } END { exit found != 500 }' "$T/alloc"
	done
	grep -E 'truncated.*deep_600 500$' "$T/alloc"
}

@test "exact: 16384 distinct stacks" {
	books exact "$TARGETS/malloc_books" stacks 16384 14
	[ "$("$PERFAGENT" flame -i "$T/t.pfa" --kind alloc --unit calls --format folded | wc -l)" = 16384 ]
}

@test "exact: longjmp out of functions that have allocated" {
	books exact "$TARGETS/malloc_books" longjmp
}

@test "exact: jumps out of handlers in the middle of a hook: what comes after them is counted" {
	heap exact,mmap "$TARGETS/malloc_odd" jumps
	holds '.memory.top_allocators | any(.function == "after_jumps" and .count == 1000 and .bytes == 100000)'
}

@test "exact: a library that has allocated and is gone keeps its name" {
	books exact "$TARGETS/malloc_books" dlclose
}

@test "exact: threads that fill, empty and exchange one another's blocks" {
	books exact "$TARGETS/malloc_storm" threads
}

@test "exact: sixteen threads, half a million allocations, freed by whoever comes by" {
	books exact "$TARGETS/malloc_storm" storm 16 30000
}

@test "exact: two thousand short threads, a block left by each" {
	books exact "$TARGETS/malloc_storm" churn 2000
	holds '.memory.leaks | any(.function == "churn_leak" and .count == 2000 and .bytes == 2018000)'
}

@test "exact: children by fork and vfork; blocks of the parent are unknown to the child" {
	books exact "$TARGETS/malloc_storm" fork
	holds '[.memory.processes[].unknown_frees] | add >= 20'
}

@test "exact: a child whose parent is gone already has its functions' names" {
	heap exact "$TARGETS/malloc_odd" orphan
	holds '.memory.top_allocators | any(.function == "orphan_makes" and .count == 500 and .bytes == 25000)'
}

@test "exact: a program that ends as soon as its agent has been answered has its functions' names" {
	need strace
	# the collector comes to itself half a second after the answer
	run_as recorded 60 strace -o /dev/null -e trace=sendmsg -e inject=sendmsg:delay_exit=500000 \
		"$PERFAGENT" record -q -o "$T/t.pfa" --heap=exact -- "$TARGETS/malloc_books" zero
	check_recording
	check books "$PERFAGENT" "$T/t.pfa" "$T/recorded.cwd/books.json"
}

@test "exact: handlers that allocate" {
	books exact "$TARGETS/malloc_storm" signal
}

@test "exact: out of memory again and again" {
	books exact "$TARGETS/malloc_storm" limit 600
}

@test "exact with mmap: mappings of the program's own, the heap's unchanged" {
	books exact,mmap "$TARGETS/malloc_books" mix 20000
	holds '.memory.processes[0] | has("mapped_bytes") and has("unmapped_bytes")'
}

# ---- exact mode, against other tools

# valgrind's dhat counts as we do: a realloc is a block of its own, of its new size. It differs in two things: it takes a
# block of no bytes for one byte, and it leaves a grown block with the stack of its first malloc, so only totals are compared.
dhat() {
	need valgrind
	heap exact "$TARGETS/malloc_books" "$@" || return 1
	run_as dhat 60 valgrind --tool=dhat --dhat-out-file=dhat.json "$TARGETS/malloc_books" "$@" || return 1
	tr -d , <"$T/dhat.err" | sed -n 's/^==[0-9]*== \(Total\|At t-gmax\|At t-end\): *\([0-9]*\) bytes in \([0-9]*\) blocks$/\2 \3/p' >"$T/dhat"
	"$PERFAGENT" flame -i "$T/t.pfa" --kind peak --unit bytes --format folded | awk '{ s += $NF } END { printf "%d", s }' >"$T/peak"
	"$PERFAGENT" flame -i "$T/t.pfa" --kind peak --unit calls --format folded | awk '{ s += $NF } END { printf " %d\n", s }' >>"$T/peak"
	{ json '"\(.memory.bytes_allocated) \(.memory.allocations)"'; cat "$T/peak"; json '"\(.memory.bytes_live) \(.memory.blocks_live)"'; } >"$T/ours"
	diff "$T/dhat" "$T/ours" || fail "dhat (<) and perfagent (>) differ in total, peak or end" || return 1
	[ "$(wc -l <"$T/dhat")" = 3 ]
}

@test "exact: totals, peak and end equal to valgrind's dhat: every entry point" {
	dhat mix 30000
}

@test "exact: totals, peak and end equal to valgrind's dhat: realloc chains" {
	dhat realloc
}

@test "exact: totals, peak and end equal to valgrind's dhat: deep stacks and leaks" {
	dhat deep 300
	dhat leaks
}

# memcheck's summary counts a realloc that fails as an allocation and a free, so only programs without one are compared
@test "exact: calls, frees and bytes equal to memcheck's total heap usage" {
	need valgrind
	heap exact "$TARGETS/malloc_books" mix 30000
	run_as memcheck 60 valgrind --leak-check=no "$TARGETS/malloc_books" mix 30000
	tr -d , <"$T/memcheck.err" | sed -n 's/.*total heap usage: \([0-9]*\) allocs \([0-9]*\) frees \([0-9]*\) bytes allocated.*/\1 \2 \3/p' >"$T/theirs"
	json '"\(.memory.allocations) \(.memory.frees) \(.memory.bytes_allocated)"' >"$T/ours"
	cat "$T/theirs"
	[ -s "$T/theirs" ]
	diff "$T/theirs" "$T/ours"
}

# heaptrack's library brings a C++ runtime, whose emergency pool is one allocation more, freed by the next call
@test "exact: temporary allocations as heaptrack counts them" {
	need heaptrack
	heap exact "$TARGETS/malloc_books" temporary 3000
	(cd "$T" && timeout 60 heaptrack -o "$T/ht" "$TARGETS/malloc_books" temporary 3000 >/dev/null 2>&1 </dev/null)
	heaptrack_print "$T"/ht.* 2>/dev/null | sed -n 's/^temporary memory allocations: \([0-9]*\).*/\1/p' >"$T/theirs"
	echo "heaptrack $(cat "$T/theirs"), perfagent $(json .memory.temporary)"
	[ "$(cat "$T/theirs")" = $(($(json .memory.temporary) + 1)) ]
}

@test "exact: what a counting library behind the agent counted, threads and all" {
	count_in malloc_storm "$TARGETS/malloc_storm" threads
	count_in malloc_new "$TARGETS/malloc_new" 4000
}

# ---- sampled mode

@test "sampled: 40 runs, the total, the live heap and the top stacks inside their own intervals, without bias" {
	estimates 40 >"$T/figures"
	check coverage 40 <"$T/figures"
}

# in bursts that a hook ring can hold
@test "sampled: a mean of one byte takes every call: the estimate is the truth" {
	heap sampled:1 "$TARGETS/malloc_books" growth 300 4
	check_recording
	holds '[.memory.processes[].lost] == [0]'
	check estimate "$PERFAGENT" "$T/t.pfa" "$T/recorded.cwd/books.json" | tee "$T/figures"
	[ "$(awk '$3 != $4 || $5 != 0' "$T/figures" | wc -l)" = 0 ]
	[ "$(wc -l <"$T/figures")" = 5 ]
}

@test "sampled: what does not fit the ring is counted and said" {
	heap sampled:1 "$TARGETS/malloc_books" mix 60000
	check_recording
	# every call is a sample or lost; of 140 MB no byte is without one
	holds '.memory.allocations + .memory.processes[0].lost >= 30512 and .memory.allocations <= 30512'
	holds '.memory.uncertain == (.memory.processes[0].lost > 0)'
	holds '.loss.cpu_lost <= .loss.cpu_expected'
}

@test "sampled is the default of the memory mode, with a mean of 512 KiB" {
	record --mode memory -- "$TARGETS/malloc_books" estimate
	holds '.memory.estimated and .memory.processes[0].mode == "sampled"'
	check samples "$PERFAGENT" "$T/t.pfa" "$T/recorded.cwd/books.json"
}

# ---- growth, leaks

@test "growth: what is live between two moments, by perfagent report --from --to" {
	heap exact "$TARGETS/malloc_books" growth 2000 4
	check books "$PERFAGENT" "$T/t.pfa" "$T/recorded.cwd/books.json"
	start=$(sqlite3 "$T/t.pfa" "select value from meta where key = 'started_mono_ns'")
	mapfile -t at < <(awk -v s="$start" '{ printf "%.3f\n", ($1 - s) / 1e9 }' "$T/recorded.cwd/times.txt")
	# between the middles of phases 1 and 3: two phases' worth of the steady one, one of the late one
	"$PERFAGENT" report -i "$T/t.pfa" --format json --from "${at[0]}" --to "${at[2]}" >"$T/window.json"
	jq -c '[.memory.top_allocators[] | {function, bytes, count, live_kb}]' "$T/window.json"
	jq -e '[.memory.top_allocators[] | select(.function == "grow_steady") | .count] == [200]' "$T/window.json"
	jq -e '[.memory.top_allocators[] | select(.function == "grow_late") | .count] == [50]' "$T/window.json"
	# a moment between two bursts of allocations lies between two steps of the recording
	"$PERFAGENT" report -i "$T/t.pfa" --from "${at[0]}" --to "${at[2]}" >"$T/window.txt"
	grep -q grow_steady "$T/window.txt"
	[ "$(grep -c 'to within' "$T/window.txt")" = 0 ]
	jq -e '.memory.delta_mb == ((200 * 1009 + 50 * 20011) / 1048576 * 1000 | round / 1000)' "$T/window.json"
}

@test "leaks: quiet below the threshold, status 1 above it, with the leaking stacks" {
	heap exact "$TARGETS/malloc_books" leaks
	run_as leaks 20 "$PERFAGENT" leaks "$T/t.pfa" --threshold 100MB
	[ "$(value_of leaks status)" = 0 ]
	run_as leaks 20 "$PERFAGENT" leaks "$T/t.pfa" --threshold 1MB
	[ "$(value_of leaks status)" = 1 ]
	grep -q leak_large "$T/leaks.out"
}
