# Programs under allocation profiling: every mode must leave them as they are without the agent.

# how the heap is recorded in turn. sampled:1 takes every byte for a sample, so that each call goes the long way
HEAPS=(sampled sampled:1 exact 'exact,mmap')

# recorded_with HEAP PROGRAM...: as run_recorded, with that --heap; same and check_recording included
recorded_with() {
	local heap=$1
	shift
	# shellcheck disable=SC2034 # the harness reads it
	PA_RECORD=(--mode 'cpu,memory' --heap="$heap")
	rm -rf "$T/report.json" "$T/t.pfa" "$T/folded" "$T/recorded.cwd"
	run_recorded "$@" && same plain recorded && check_recording || fail "so with --heap=$heap"
}

# run_heaps PROGRAM...: alone, with every mode of the heap engine, and with a dormant agent
run_heaps() {
	local heap
	run_plain "$@" || return 1
	for heap in "${HEAPS[@]}"; do
		recorded_with "$heap" "$@" || return 1
		heap_is_there "$heap" || return 1
	done
	run_dormant "$@" && same plain dormant
}

# heap_is_there HEAP: the report has a memory section, estimated or not as was asked for
heap_is_there() {
	local estimated=false
	case $1 in sampled*) estimated=true ;; esac
	holds --argjson e $estimated '.memory.estimated == $e and (.memory.top_allocators | type) == "array"'
}

# the notes and the text of a report speak of allocations that cannot be seen
not_visible() {
	[ -z "$PA_SELFTEST" ] || return 0
	grep -qiE 'allocat.*(not visible|not recorded|declined)|(not visible|not recorded|declined).*allocat' "$T/report.txt" ||
		fail "the report does not say that allocations are missing: $(head -n 40 "$T/report.txt")"
}
