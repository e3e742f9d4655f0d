# Programs under a sanitizer: AddressSanitizer ends a program in which its library is not the first, ThreadSanitizer stands
# in front of signals and threads, LeakSanitizer stops all threads at the end.
load common

# what a sanitizer has to say goes into files: addresses and pids are never the same
setup_reports() {
	PA_ENV=("ASAN_OPTIONS=log_path=$T/asan" "TSAN_OPTIONS=log_path=$T/tsan")
}

# record brings the library along for its own command only, so there is no run with the agent alone
run_command() {
	setup_reports
	run_plain "$@" && run_recorded "$@" && same plain recorded && check_recording
}

@test "gcc's AddressSanitizer: the agent comes behind its library, and samples" {
	run_command "$TARGETS/sanitized_asan" work
	[ "$(value_of recorded status)" = 7 ]
	grep -qx "libasan loaded: 1" "$T/recorded.out"
	sampled 40
	has_stack 'sanitized_burn'
}

@test "gcc's AddressSanitizer finds its leaks at the end" {
	run_command "$TARGETS/sanitized_asan" leak
	[ "$(value_of plain status)" != 0 ] || skip "no leaks are looked for here"
	[ "$(grep -l 'LeakSanitizer: detected' "$T"/asan.* | wc -l)" = 2 ]
	sampled 5
}

@test "AddressSanitizer preloaded by the user: the agent comes behind it and children keep it" {
	[ -z "$PA_SELFTEST" ] || skip "needs perfagent"
	local library
	library=$(gcc -print-file-name=libasan.so)
	# not in the tools around the program, where leaks would be found
	PA_ENV=(ASAN_OPTIONS=detect_leaks=0)
	run_plain env "LD_PRELOAD=$library" "$TARGETS/sanitized" run "$TARGETS/sanitized_asan" run "$TARGETS/sanitized" work
	[ "$(grep -cx 'libasan loaded: 1' "$T/plain.out")" = 3 ]
	run_as recorded 60 env "LD_PRELOAD=$library" "$PERFAGENT" record -q -F 250 -o "$T/t.pfa" -- \
		"$TARGETS/sanitized" run "$TARGETS/sanitized_asan" run "$TARGETS/sanitized" work
	same plain recorded
	check_recording
	sampled 40
	holds '[.notes[]? | tostring | select(test("AddressSanitizer"))] | length == 0'
}

@test "an unsanitized program executes one with AddressSanitizer: that goes without the agent, and the report says so" {
	setup_reports
	run_both "$TARGETS/sanitized" run "$TARGETS/sanitized_asan" work
	[ "$(value_of recorded status)" = 7 ]
	sampled 5
	[ -n "$PA_SELFTEST" ] || grep -q "AddressSanitizer's library must come first" "$T/report.txt"
}

@test "an unsanitized program spawns one with AddressSanitizer" {
	setup_reports
	run_both "$TARGETS/sanitized" spawn "$TARGETS/sanitized_asan" work
	grep -qx "spawned: exit 7" "$T/recorded.out"
	[ -n "$PA_SELFTEST" ] || grep -q "AddressSanitizer's library must come first" "$T/report.txt"
}

@test "an unsanitized program executes one with AddressSanitizer by a descriptor it cannot read (O_PATH)" {
	setup_reports
	run_both "$TARGETS/sanitized" run_fd "$TARGETS/sanitized_asan" work
	[ "$(value_of recorded status)" = 7 ]
	[ -n "$PA_SELFTEST" ] || grep -q "AddressSanitizer's library must come first" "$T/report.txt"
}

@test "a shell and a chain of programs around one with AddressSanitizer" {
	setup_reports
	run_both sh -c "'$TARGETS/sanitized' work; '$TARGETS/sanitized_asan' work; exit \$((\$? + 30))"
	[ "$(value_of recorded status)" = 37 ]
	sampled 20
}

# the library that came with the agent must not be in the unsanitized program
without_library() {
	run_command "$@"
	grep -qx "libasan loaded: 0" "$T/recorded.out"
	sampled 20
	has_stack 'mode_work.*sanitized_burn'
}

@test "a program with AddressSanitizer executes an unsanitized one: the library stays behind, the agent goes along" {
	without_library "$TARGETS/sanitized_asan" run "$TARGETS/sanitized" work
}

@test "a program with AddressSanitizer spawns an unsanitized one: the library stays behind, the agent goes along" {
	without_library "$TARGETS/sanitized_asan" spawn "$TARGETS/sanitized" work
}

@test "clang's AddressSanitizer, which is in the program, alone and executed" {
	setup_reports
	run_both "$TARGETS/sanitized_clang" run "$TARGETS/sanitized_clang" work
	[ "$(value_of recorded status)" = 7 ]
	sampled 40
	has_stack 'sanitized_burn'
}

@test "gcc's ThreadSanitizer alone and executed" {
	setup_reports
	run_both "$TARGETS/sanitized_tsan" run "$TARGETS/sanitized_tsan" work
	[ "$(value_of recorded status)" = 7 ]
	sampled 40
	has_stack 'sanitized_burn'
	[ -z "$(ls "$T"/tsan.* 2>/dev/null)" ] || fail "$(head -n 30 "$T"/tsan.*)"
}

@test "valgrind: it sees the program alone, its tools count no error of ours" {
	need valgrind
	run_as memcheck 60 "$PERFAGENT" record -q -o "$T/t.pfa" -- \
		valgrind -q --error-exitcode=99 "$TARGETS/malloc_books" mix 1000
	[ "$(value_of memcheck status)" = 0 ] || fail "memcheck: $(value_of memcheck status): $(cat "$T/memcheck.err")"
	[ ! -s "$T/memcheck.err" ] || fail "$(head -n 20 "$T/memcheck.err")"
	run_as callgrind 60 "$PERFAGENT" record -q -o "$T/c.pfa" -- \
		valgrind -q --tool=callgrind --callgrind-out-file=callgrind.%p "$TARGETS/malloc_books" mix 1000
	[ "$(value_of callgrind status)" = 0 ] || fail "callgrind: $(value_of callgrind status): $(cat "$T/callgrind.err")"
	# one process, no helper of ours
	[ "$(ls "$T"/callgrind.cwd/callgrind.* | wc -l)" = 1 ]
}
