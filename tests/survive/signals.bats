# What the host asks of signals, fork and exec, call by call: rows R17-R19, R21, R26, R31-R33 and findings S6, S13, F2, F4.
# The programs print every answer; the answers must be those of the run without the agent, while ticks come in.
load common

@test "S6 masks read back as they were set, by every function" {
	run_both "$TARGETS/sig_calls" masks
	sampled 20
}

@test "S6 actions of all signals, SIGPROF first shown interest in by sigaction" {
	run_both "$TARGETS/sig_calls" actions
	sampled 20
}

@test "S6 the same by signal, bsd_signal, ssignal, sysv_signal and sigset" {
	local how
	for how in signal bsd_signal ssignal sysv_signal sigset; do
		rm -f "$T/t.pfa" "$T/report.json"
		run_both "$TARGETS/sig_calls" actions "$how" || fail "$how"
		sampled 20
	done
}

@test "R20 a program built with -pg: its own profile comes out, and ours" {
	need gprof
	printf '%s\n' 'static volatile unsigned long x;' 'void hot(void) { for (long i = 0; i < 800000000; i++) x += i; }' \
		'int main(void) { hot(); return 0; }' >"$T/pg.c"
	"${CC:-cc}" -pg -O1 -fno-inline -o "$T/pg" "$T/pg.c"
	run_both "$T/pg"
	sampled 20
	has_stack 'hot'
	# the program's own ticks are 10 ms: of the recorded run there are at least half as many as of the plain one
	for run in plain recorded; do
		gprof -b -p "$T/pg" "$T/$run.cwd/gmon.out" | awk '$NF == "hot" { printf "%d\n", $3 * 100 }' >"$T/$run.ticks"
	done
	echo "ticks plain $(cat "$T/plain.ticks") recorded $(cat "$T/recorded.ticks")"
	[ "$(cat "$T/plain.ticks")" -ge 10 ]
	[ $(($(cat "$T/recorded.ticks") * 2)) -ge "$(cat "$T/plain.ticks")" ]
}

@test "F4 handlers on an alternate stack: their masks read back, a small stack is left alone" {
	run_both "$TARGETS/sig_calls" onstack
	sampled 2
}

@test "S6 sigset with SIG_HOLD, sigignore, siginterrupt" {
	run_both "$TARGETS/sig_calls" old
	rm -f "$T/t.pfa" "$T/report.json"
	run_both "$TARGETS/sig_calls" interrupt
	sampled 5
	rm -f "$T/t.pfa" "$T/report.json"
	run_both "$TARGETS/sig_calls" ignore
}

@test "R18 a SIGPROF or real-time signal from outside kills as it does without the agent" {
	local how
	for how in raise kill held itimer realtime; do
		rm -f "$T/t.pfa" "$T/report.json"
		run_both "$TARGETS/sig_calls" die "$how" || fail "$how"
	done
}

@test "R21 signals sent while blocked in all threads: pending, waited for, handled, none lost, values kept" {
	run_both "$TARGETS/sig_calls" sent
	sampled 2
}

@test "R26 sigsuspend, ppoll, pselect, epoll_pwait and sigpause return for the program's signals only" {
	local how
	for how in 0 1 2 3 4; do
		rm -f "$T/t.pfa" "$T/report.json"
		run_both "$TARGETS/sig_calls" suspend "$how" || fail "way $how"
		sampled 10
	done
}

@test "S6 sigwait and sigwaitinfo are cancelled, with their cleanup handlers" {
	run_both "$TARGETS/sig_calls" cancel
}

@test "S6 threads inherit what the program believes to be blocked, or the mask in their attributes" {
	run_both "$TARGETS/sig_calls" inherit
}

@test "R18 four threads claim all our signals at the same time" {
	run_plain "$TARGETS/sig_calls" storm
	PA_RATE=1000 run_recorded "$TARGETS/sig_calls" storm
	same plain recorded
	check_recording
}

@test "R33 every form of exec: words, environment, mask and ignored signals go on" {
	run_both "$TARGETS/sig_children" exec
	sampled 10
}

@test "R33 exec that fails in every form: errno and mask" {
	run_both "$TARGETS/sig_children" fails
	sampled 5
}

@test "R32 vfork children with actions and masks of their own: the parent's stay" {
	run_both "$TARGETS/sig_children" vfork
	sampled 5
}

@test "R32 posix_spawn: the child's mask is the one the program believes in, or asked for" {
	run_both "$TARGETS/sig_children" spawn
}

@test "S13 an environment that just fits does so with the agent in it" {
	run_both "$TARGETS/sig_children" e2big
}

@test "S4 syscall(): results, errno, six arguments, forks, the caller's stack" {
	run_both "$TARGETS/sig_children" syscall
	sampled 5
}
