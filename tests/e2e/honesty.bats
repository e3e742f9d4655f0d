# What a report says about itself: rates it could not deliver, stacks it cut, symbols it lacks, what it cost.
load common

@test "1000 Hz is more than the tick gives: the report says what was delivered" {
	PA_RATE=1000
	record -- "$TARGETS/split" 1 2000
	honest
	holds '.cpu.rate_hz == 1000'
	# weights make up for it: the time is right although there were fewer signals
	holds '.cpu.total_time > 1.8 and .cpu.total_time < 2.3'
	holds '.cpu.effective_samples <= .cpu.sample_count'
	hz=$(zcat /proc/config.gz 2>/dev/null | sed -n 's/^CONFIG_HZ=//p')
	[ "${hz:-1000}" -ge 1000 ] || holds --argjson hz "$hz" '.cpu.effective_samples <= 2.4 * $hz'
}

@test "the default is 99 Hz" {
	run_as recorded 30 "$PERFAGENT" record -q -o "$T/t.pfa" -- "$TARGETS/split" 1 2000
	honest
	holds '.cpu.rate_hz == 99'
	# 2 s: 198 periods; sigma of a fixed period with random phase is under one
	holds '.cpu.sample_count >= 190 and .cpu.sample_count <= 210'
}

@test "cut stacks are counted and marked" {
	record -- "$TARGETS/stacks" recursion 5000
	honest
	holds '.loss.truncated > 20'
	has_stack '\[truncated\]'
}

@test "modules without symbols are named with their status" {
	strip -s -o "$T/stripped" "$TARGETS/split"
	record -- "$T/stripped" 1 500
	honest
	holds '[.symbols[] | select(.module | endswith("/stripped"))] | length == 1 and (.[0].status | IN("none", "dynsym")) and (.[0].build_id | test("^[0-9a-f]{8,}$"))'
	grep -q stripped "$T/report.txt"
}

@test "modules with full debug information say so" {
	record -- "$TARGETS/split" 1 500
	honest
	holds '[.symbols[] | select(.module | endswith("/split"))] | length == 1 and .[0].status == "full"'
}

@test "own cost: agent CPU time and target memory are in the report, below 2 % and 16 MiB" {
	record -- "$TARGETS/split" 2 3000
	honest
	holds '.overhead.agent_cpu_s > 0 and .overhead.agent_cpu_pct < 2'
	holds '.overhead.target_rss_kib >= 0 and .overhead.target_rss_kib <= 16384'
}

@test "numbers add up: processes, threads and functions against the total" {
	record -- sh -c "'$TARGETS/split' 2 600; '$TARGETS/split' 1 600"
	honest
	# self times of all functions cannot exceed the total (rounded to milliseconds)
	holds '([.cpu.top_functions[].self_time] | add) <= .cpu.total_time + 0.05'
	holds '.cpu.total_time > 1.1 and .cpu.total_time < 1.5'
	holds 'all(.cpu.top_functions[]; .self_time <= .cumtime + 1e-6 and .self_pct <= 100.001 and .total_pct <= 100.001)'
}

@test "a program that does nothing has an honest empty report" {
	record -- true
	check_recording
	holds '(.cpu.sample_count // 0) <= 5'
	grep -qi 'expected' "$T/report.txt"
}
