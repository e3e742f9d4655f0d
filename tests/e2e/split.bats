# Two functions with a known 70/30 split of the CPU time: the report has to find it. The 60 s version with a bound of 1.5
# points is in tests/long.
load common

# split_of THREADS MILLISECONDS
split_of() {
	record -- "$TARGETS/split" "$1" "$2"
	honest
	folded
	truth=$(cat "$T/recorded.cwd/split.txt")
	seventy=$(weight_of 'hot_seventy') thirty=$(weight_of 'hot_thirty')
	n=$(json '.cpu.effective_samples')
	echo "truth $truth, $seventy : $thirty of $n signals"
	# binomial: sigma = sqrt(p (1 - p) / n) for n independent signals; four of them
	awk -v p="$truth" -v a="$seventy" -v b="$thirty" -v n="$n" 'BEGIN {
		share = a / (a + b); bound = 4 * sqrt(p * (1 - p) / n)
		printf "share %.4f, off by %.4f, allowed %.4f\n", share, share - p, bound
		exit !(n > 100 && share - p <= bound && p - share <= bound) }'
	# and the two functions are (nearly) all there is
	awk -v s="$((seventy + thirty))" -v all="$(weight_of .)" 'BEGIN { printf "%d of %d\n", s, all; exit !(s >= 0.9 * all) }'
}

@test "70/30 in one thread, 4 s of CPU" {
	split_of 1 4000
}

@test "70/30 in two threads" {
	split_of 2 4000
}

@test "70/30 in eight threads" {
	split_of 8 4000
}

@test "70/30: function and line views agree with the folded stacks" {
	record -- "$TARGETS/split" 1 2000
	honest
	folded
	for by in function line module thread; do
		"$PERFAGENT" report -i "$T/t.pfa" --by "$by" >"$T/by.$by"
		[ -s "$T/by.$by" ]
	done
	grep -q hot_seventy "$T/by.function"
	grep -q 'split.c:[0-9]' "$T/by.line"
	grep -q split "$T/by.module"
	holds --argjson n "$(weight_of .)" '.cpu.sample_count == $n'
	holds '.cpu.top_functions[0].function == "hot_seventy" and (.cpu.top_functions[0].file | endswith("split.c"))'
	self=$(json '.cpu.top_functions[] | select(.function == "hot_seventy") | .self_pct')
	awk -v s="$self" 'BEGIN { exit !(s > 60 && s < 80) }'
}

@test "70/30: every thread is in the thread view" {
	record -- "$TARGETS/split" 8 2000
	honest
	holds '[.cpu.threads[] | select((.cpu_time // .total_time // .self_time // 1) > 0)] | length >= 8'
}
