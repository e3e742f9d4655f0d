# A C++ program that throws while it is sampled.
load common

@test "C++ exceptions from four threads: results unchanged, names demangled, stacks through the unwinder" {
	run_plain "$TARGETS/exceptions" storm 700
	record -- "$TARGETS/exceptions" storm 700
	same plain recorded
	honest
	sampled 300
	has_stack 'storm\(unsigned long, long\*\).*descend\(int, bool\)'
	has_stack 'descend\(int, bool\).*_Unwind_RaiseException'
	# the stacks reach the start of their thread
	folded
	awk -v rooted="$(weight_of '(clone|start_thread|_start)')" -v all="$(weight_of .)" 'BEGIN {
		printf "%d of %d reach the start\n", rooted, all; exit !(rooted >= 0.97 * all) }'
}
