# Signals, timers and threads in numbers: rows R17-R30, R39 and findings F4, F5, S7, S10, S11. What the signal hooks say
# to the host call by call is in signals.bats.
load common

@test "R17 host uses ITIMER_PROF and SIGPROF itself" {
	run_both "$TARGETS/timers" itimer
	sampled 40
	grep -q "as many as asked for" "$T/recorded.out"
}

@test "R18 host replaces the SIGPROF handler again and again, also by SIG_IGN and SIG_DFL" {
	run_both "$TARGETS/timers" replace
	sampled 10
}

@test "R20 a second profiler that uses SIGPROF: python's cProfile-like timer by setitimer" {
	run_both /usr/bin/python3 -S -c '
import signal
n = 0
def tick(*a):
    global n
    n += 1
signal.signal(signal.SIGPROF, tick)
signal.setitimer(signal.ITIMER_PROF, 0.01, 0.01)
while n < 20:
    sum(range(1000))
signal.setitimer(signal.ITIMER_PROF, 0)
print("twenty ticks")'
	sampled 5
}

@test "R21 all signals blocked in all threads, sigwait on the full set: only the program's own arrive" {
	run_both "$TARGETS/timers" sigwait
	sampled 20
	grep -qx "SIGUSR1 10, others 0" "$T/recorded.out"
}

@test "R21 signalfd on the full set reads the program's own signals only" {
	run_both "$TARGETS/timers" signalfd
	sampled 10
}

@test "R22 a thread that waits for SIGTERM gets it" {
	run_both "$TARGETS/timers" sigwait
}

@test "R23 handlers on an alternate stack of 8 KiB that use 3 KiB of it (F4)" {
	run_both "$TARGETS/timers" altstack 8192
	sampled 20
}

@test "R25 ticks inside a SIGSEGV handler that allocates" {
	run_both "$TARGETS/timers" segv_handler
	sampled 20
}

@test "R28 RLIMIT_SIGPENDING of 8 and 64 threads: the program's own timer is granted, the report says what was refused" {
	# the limit counts per user and namespace: in one of its own, other processes do not matter
	unshare -U true 2>/dev/null || skip "no user namespace to be had here"
	run_both unshare -U sh -c "ulimit -i 8; exec '$TARGETS/timers' sigpending"
	[ -n "$PA_SELFTEST" ] || grep -qiE 'timer' "$T/report.txt"
}

@test "R28 RLIMIT_SIGPENDING lowered to 8 while running: the program's own timer is granted still" {
	run_both "$TARGETS/timers" sigpending_later
}

@test "R28 RLIMIT_SIGPENDING lowered step by step under 32 threads with timers: the program has its half each time" {
	unshare -U true 2>/dev/null || skip "no user namespace to be had here"
	run_both "$TARGETS/timers" sigpending_lower
	grep -c 'at least three timers 1' "$T/recorded.out" | grep -qx 4
	# the caller is the last to lose its timer
	sampled 20
	[ -n "$PA_SELFTEST" ] || [ "$(grep -c 'refused a CPU timer' "$T/report.txt")" = 1 ]
}

@test "R29 1000 threads at once (10000 in check-long)" {
	run_both "$TARGETS/timers" many 1000
	sampled 5
}

@test "R29 5000 short threads (100000 in check-long)" {
	run_both "$TARGETS/timers" short 5000
}

@test "R29 detached threads whose stacks go away" {
	run_both "$TARGETS/timers" detached
}

@test "S11 threads of thrd_create and of raw clone" {
	run_both "$TARGETS/timers" other_threads
	sampled 10
	has_stack 'c11_thread'
}

@test "R30 the wall clock steps by a day, forth and back" {
	need_root
	# everybody on the machine sees the step: files of a build at the same time get a date of tomorrow
	[ -n "${PA_STEP_CLOCK:-}" ] || skip "steps the machine's clock: PA_STEP_CLOCK=1 allows it"
	before=$(date +%s) start=$SECONDS
	run_plain "$TARGETS/timers" clock
	grep -qx "clock stepped, refused 0" "$T/plain.out" || skip "the clock may not be set here"
	run_recorded "$TARGETS/timers" clock
	same plain recorded
	check_recording
	sampled 40
	# a duration is a monotonic one
	holds '.duration_s > 0 and .duration_s < 60'
}

@test "R39 seccomp strict" {
	run_both "$TARGETS/seccomp" strict
	sampled 5
	[ "$(value_of recorded status)" = 18 ]
}

@test "R39 seccomp filter by prctl that kills on everything an agent could want" {
	run_both "$TARGETS/seccomp" filter
	sampled 5
	[ "$(value_of recorded status)" = 19 ]
}

@test "R39 seccomp filter by syscall(SYS_seccomp)" {
	run_both "$TARGETS/seccomp" syscall
	sampled 5
	[ "$(value_of recorded status)" = 19 ]
}

@test "R39 seccomp filter put on all threads (TSYNC) while another one burns" {
	run_both "$TARGETS/seccomp" tsync
	sampled 5
	[ "$(value_of recorded status)" = 19 ]
}

@test "R39 a filter that was there before: connect and timer_create are refused" {
	run_plain "$TARGETS/seccomp" before "$TARGETS/split" 1 100
	run_recorded "$TARGETS/seccomp" before "$TARGETS/split" 1 100
	same plain recorded
	check_recording
}
