# CPU seconds accounted for against getrusage. The unsampled part is named as such, never left out. Longer runs with the
# bare bound of 2 % are in tests/long.
load common

# accounted MODE ARGS...: the recording's CPU time against the kernel's
accounted() {
	record -- "$TARGETS/accounting" "$@"
	check_recording
	read -r truth threads <"$T/recorded.cwd/cpu.txt"
	total=$(json '.cpu.total_time')
	# Each thread is off by less than one period, evenly and independently (random first expiry), so the sum of n threads has
	# sigma <= period * sqrt(n) / 2. Allowed: four of them, and the 2 % of the bar.
	awk -v t="$truth" -v s="$total" -v n="$threads" -v hz="$PA_RATE" 'BEGIN {
		bound = 0.02 * t + 4 * sqrt(n) / 2 / hz
		printf "getrusage %.3f s in %d threads, accounted %.3f s, off by %.3f, allowed %.3f\n", t, n, s, s - t, bound
		exit !(t > 0.5 && s - t <= bound && t - s <= bound) }'
}

@test "four steady threads" {
	accounted steady 4 800
}

@test "1 ms bursts in phase with the tick" {
	accounted bursts 700
}

@test "300 threads that live 1 to 9 ms; what ended before its tick is [unsampled] or sampled, not lost" {
	accounted short 300
}

@test "all signals blocked for a second by a raw system call: charged to [signal blocked]" {
	accounted blocked 1000
	has_stack '\[signal blocked\]'
	folded
	# the second is 250 periods, give or take what a loaded machine delivers late at its beginning and end
	n=$(weight_of '\[signal blocked\]')
	echo "$n periods blocked"
	[ "$n" -ge 235 ] && [ "$n" -le 265 ]
}

@test "all signals blocked for a second by syscall(SYS_rt_sigprocmask): not charged to the call that unblocks" {
	accounted blocked_syscall 1000
	folded
	# either our signal was kept out of the mask and the loop was sampled, or the time is [signal blocked]
	n=$(weight_of '(target_burn_ms;|\[signal blocked\])')
	echo "$n periods in the loop or blocked"
	[ "$n" -ge 380 ]
}

@test "on a crowded machine the time stays with the functions: no signal is blocked here, so none is said to be" {
	# eight threads on however few processors there are, and eight more processes that burn beside them
	for _ in 1 2 3 4 5 6 7 8; do
		(cd "$T" && exec "$TARGETS/accounting" steady 1 1000) >/dev/null 2>&1 </dev/null 3>&- &
		PA_BACKGROUND+=($!)
	done
	record -- "$TARGETS/split" 8 3000
	check_recording
	folded
	all=$(weight_of .) hot=$(weight_of 'hot_(seventy|thirty)') held=$(weight_of '\[signal blocked\]')
	echo "$all periods, $hot in the two functions, $held said to be blocked"
	[ $((held * 100)) -le $((all * 2)) ]
}

@test "time spent in the kernel counts" {
	accounted kernel 1000
	has_stack kernel_time
}

@test "200 threads of 10 ms each" {
	accounted steady 200 10
}
