# The guest's oath where every call of the allocator is a hook of ours.
load common
load malloc

@test "oath: allocations watched: no thread, no descriptor" {
	run_heaps "$TARGETS/malloc_guest" threads
	grep -q '^threads 1,' "$T/recorded.out"
}

@test "oath: allocations watched: the heap's own figures are those of the program alone" {
	run_heaps "$TARGETS/malloc_guest" heap
}

# MODE FIGURES: calls, bytes and frees that reach the C library (so many of the three) are as many as without the agent
as_often() {
	local heap
	PA_ENV=(LD_PRELOAD="$TARGETS/lib_countheap.so" PA_COUNTHEAP=malloc_guest=count.bin)
	rm -rf "$T/plain.cwd" "$T/dormant.cwd" # whose counts would go on
	run_plain "$TARGETS/malloc_guest" "$1" || return 1
	[ "$(od -A n -t u8 -N 8 "$T/plain.cwd/count.bin")" -gt 100000 ] || return 1
	for heap in "${HEAPS[@]}"; do
		recorded_with "$heap" "$TARGETS/malloc_guest" "$1" || return 1
		cmp $2 "$T/plain.cwd/count.bin" "$T/recorded.cwd/count.bin" || return 1
	done
	run_dormant "$TARGETS/malloc_guest" "$1" || return 1
	same plain dormant || return 1
	cmp $2 "$T/plain.cwd/count.bin" "$T/dormant.cwd/count.bin"
}

@test "oath: allocations watched: the C library's functions are called exactly as often, for as many bytes" {
	as_often heap "-n 24"
}

# the bytes of a thread's table of modules grow with every library that is preloaded
@test "oath: allocations watched: the C library's functions are called exactly as often by ten threads" {
	as_often heap_threads "-n 8"
	as_often heap_threads "-i 16 -n 8"
}

@test "oath: allocations watched: errno" {
	run_heaps "$TARGETS/malloc_guest" errno
	grep -qx "errno wrong 0 times" "$T/recorded.out"
}

@test "oath: allocations watched: no child, none of a child's CPU time" {
	run_heaps "$TARGETS/malloc_guest" children
}

@test "oath: allocations watched: the environment, signals, single-threaded paths, unshare" {
	run_heaps "$TARGETS/oath" environ
	run_heaps "$TARGETS/oath" signals
	run_heaps "$TARGETS/oath" threads
	run_heaps "$TARGETS/oath" unshare
}

# HEAP NR: the memory of ours beside the rings, with NR live blocks of as many stacks
memory_of() {
	run_plain "$TARGETS/malloc_guest" memory "$2" || return 1
	recorded_with "$1" "$TARGETS/malloc_guest" memory "$2" || return 1
	[ -z "$PA_SELFTEST" ] || return 0
	. <(sed 's/\([a-z_]*\)=/plain_\1=/g; s/ /;/g' "$T/plain.cwd/memory.txt")
	. <(sed 's/ /;/g' "$T/recorded.cwd/memory.txt")
	echo "$1: plain $plain_rss KiB resident of $plain_size mapped; recorded $rss of $size, rings $ring_rss of $ring_size"
	[ $((rss - ring_rss - plain_rss)) -le 16384 ]
}

@test "oath: at most 16 MiB beside the rings: sampled, a million live blocks" {
	memory_of sampled 1000000
}

@test "oath: at most 16 MiB beside the rings: a mean that is too small for a million live blocks" {
	memory_of sampled:32 1000000
}

@test "oath: at most 16 MiB beside the rings: exact, a million live blocks and thousands of stacks" {
	memory_of exact 1000000
}
