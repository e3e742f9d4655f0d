# Every way to end (R43), and programs that cannot be preloaded (R33, R40).
load common

# ends STATUS MODE...: the same end with and without the agent, and the samples up to it are there
ends() {
	local status=$1
	shift
	run_both "$TARGETS/exits" "$@" || return 1
	[ "$(value_of plain status)" = "$status" ] || fail "the plain run ended with $(value_of plain status)" || return 1
	sampled 8
}

@test "R43 return from main, exit, _exit, quick_exit, exit_group" {
	for pair in 3:return 4:exit 5:_exit 6:quick_exit 7:exit_group; do
		rm -f "$T/t.pfa" "$T/report.json"
		ends "${pair%%:*}" "${pair#*:}"
	done
}

@test "R43 abort" {
	ends 134 abort
}

@test "R43 SIGSEGV of the program's own" {
	ends 139 segv
}

@test "R43 stack overflow of the program's own" {
	ends 139 overflow
}

@test "R43 killed by SIGTERM, SIGINT, SIGHUP, SIGPIPE, SIGXCPU" {
	for pair in 143:15 130:2 129:1 141:13 152:24; do
		rm -f "$T/t.pfa" "$T/report.json"
		ends "${pair%%:*}" signal "${pair#*:}"
	done
}

@test "R43 SIGKILL: what was written before is in the report" {
	ends 137 kill
	has_stack 'begin.*target_burn_ms'
}

@test "R43 SIGPROF and SIGALRM that the program sends itself unprepared end it as before" {
	ends 142 signal 14
	rm -f "$T/t.pfa" "$T/report.json"
	ends 155 signal 27
}

@test "R43 exit from a thread while others burn" {
	ends 8 thread_exit
}

@test "R43 return from main while eight threads burn" {
	ends 9 threads_running
}

@test "R43 exit inside a signal handler" {
	ends 10 exit_in_handler
}

@test "R43 a crash in an atexit function" {
	ends 139 atexit_crash
}

@test "R43 core dump: the parent sees the same wait status" {
	run_both "$TARGETS/exits" core
}

@test "R56 RLIMIT_CPU ends the program as before" {
	ends 152 cpu_limit
}

# ---- what cannot be preloaded: runs untouched, status its own; doctor says why ----

# cannot WORD PROGRAM: record says one line on stderr (without -q) and passes output and status through
cannot() {
	local word=$1
	shift
	run_plain "$@" || return 1
	run_as recorded 20 "$PERFAGENT" record -o "$T/t.pfa" -- "$@" || return 1
	[ "$(value_of plain status)" = "$(value_of recorded status)" ] || fail "status $(value_of recorded status)" || return 1
	cmp "$T/plain.out" "$T/recorded.out" || return 1
	run_as doctor 20 "$PERFAGENT" doctor "$1" || return 1
	cat "$T/doctor.out"
	grep -qi "$word" "$T/doctor.out" || fail "doctor does not say $word" || return 1
	if grep -a 'ld.so\|cannot be preloaded.*ignored' "$T/recorded.err"; then fail "the loader complains on the target's stderr"; fi
}

@test "R40 a static binary runs untouched, doctor says static" {
	[ -z "$PA_SELFTEST" ] || skip "needs perfagent"
	cannot static "$TARGETS/hello_static" 5
}

@test "R40 a 32-bit binary runs untouched, doctor says 32" {
	[ -z "$PA_SELFTEST" ] || skip "needs perfagent"
	[ -x "$TARGETS/hello_32" ] && "$TARGETS/hello_32" >/dev/null 2>&1 || [ $? = 7 ] || skip "the kernel runs no 32-bit programs"
	cannot 32 "$TARGETS/hello_32"
}

@test "R40 a musl binary runs untouched, doctor says musl" {
	[ -z "$PA_SELFTEST" ] || skip "needs perfagent"
	[ -x "$TARGETS/hello_musl" ] || skip "musl-gcc is not installed"
	cannot musl "$TARGETS/hello_musl" 6
}

@test "R40 a setuid binary runs untouched, doctor says setuid" {
	[ -z "$PA_SELFTEST" ] || skip "needs perfagent"
	need_root
	need setpriv
	cp "$TARGETS/hello" "$T/setuid-hello"
	chmod 4755 "$T/setuid-hello"
	chmod 777 "$T"
	run_plain setpriv --reuid 65534 --clear-groups "$T/setuid-hello" 8
	run_as recorded 20 setpriv --reuid 65534 --clear-groups "$PERFAGENT" record -q -o "$T/t.pfa" -- "$T/setuid-hello" 8
	[ "$(value_of plain status)" = "$(value_of recorded status)" ]
	cmp "$T/plain.out" "$T/recorded.out"
	# no more than one line, and it is ours
	if grep -v '^perfagent: ' "$T/recorded.err"; then return 1; fi
	[ "$(wc -l <"$T/recorded.err")" -le 1 ]
	"$PERFAGENT" doctor "$T/setuid-hello" | grep -i setuid
}

@test "R33 static, 32-bit and musl programs exec'd by a profiled shell: status and stderr untouched" {
	script="'$TARGETS/hello_static' 3; echo \$?; '$TARGETS/hello_32'; echo \$?"
	[ ! -x "$TARGETS/hello_musl" ] || script="$script; '$TARGETS/hello_musl' 4; echo \$?"
	run_both sh -c "$script"
}
