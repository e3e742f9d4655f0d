# The guest's oath: what a program sees of itself is what it saw without the agent.
load common

@test "oath: no thread, and libc stays on its single-thread paths" {
	run_both "$TARGETS/oath" threads
	sampled 10
	grep -qx "threads 1" "$T/recorded.out"
	grep -qx "single threaded 1" "$T/recorded.out"
}

@test "oath: no descriptor, and the lowest free number is the program's" {
	run_both "$TARGETS/oath" fds
	sampled 5
	grep -qx "next 3" "$T/recorded.out"
}

@test "oath: no allocation from the program's heap, at start or while sampled" {
	PA_ENV=(LD_PRELOAD="$TARGETS/lib_countmalloc.so")
	run_both "$TARGETS/oath" heap
	sampled 15
	grep -q "while sampled 0$" "$T/recorded.out"
}

@test "oath: the allocator's own figures are unchanged (mallinfo2)" {
	run_both "$TARGETS/oath" heap
	sampled 15
}

@test "oath: threads start and end without an allocation of ours" {
	PA_ENV=(LD_PRELOAD="$TARGETS/lib_countmalloc.so")
	run_both "$TARGETS/oath" heap_threads
	sampled 10
}

@test "oath: errno is the program's at every moment" {
	run_both "$TARGETS/oath" errno
	sampled 20
	grep -qx "errno wrong 0 times" "$T/recorded.out"
}

@test "oath: the environment differs in LD_PRELOAD and PERFAGENT_* only, order included" {
	run_both "$TARGETS/oath" environ
}

@test "oath: unshare and setns are granted as before (one thread, one mapping)" {
	run_both "$TARGETS/oath" unshare
	grep -qx "unshare vm 0 errno 0" "$T/recorded.out"
}

@test "oath: no child, no SIGCHLD, no child's CPU time of ours" {
	run_both "$TARGETS/oath" children
	sampled 5
}

@test "oath: signals read back as the program set them" {
	run_both "$TARGETS/oath" signals
}

@test "oath: an idle thread is never interrupted (R26)" {
	run_both "$TARGETS/oath" idle
	sampled 5
	grep -qx "interrupted 0 times, sleep 0" "$T/recorded.out"
}

@test "oath: at most 16 MiB of our own beside the rings" {
	run_plain "$TARGETS/oath" memory
	run_recorded "$TARGETS/oath" memory
	same plain recorded
	check_recording
	sampled 15
	. <(sed 's/\([a-z_]*\)=/plain_\1=/g; s/ /;/g' "$T/plain.cwd/memory.txt")
	. <(sed 's/ /;/g' "$T/recorded.cwd/memory.txt")
	echo "plain $plain_size KiB mapped, $plain_rss resident; recorded $size, $rss, rings $ring_size, $ring_rss"
	[ $((size - ring_size - plain_size)) -le 16384 ]
	[ $((rss - plain_rss)) -le 16384 ]
}

@test "oath: a preloaded agent without a collector prints nothing and keeps the status of a program that fails" {
	run_plain sh -c 'echo out; echo err >&2; exit 42'
	run_dormant sh -c 'echo out; echo err >&2; exit 42'
	same plain dormant
	[ "$(value_of dormant status)" = 42 ]
}
