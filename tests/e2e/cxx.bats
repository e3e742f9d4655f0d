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
	# The stacks reach the start of their thread. Not those inside the unwinder's own last step, which overwrites the saved
	# registers of the frames it leaves: no unwinder gets out of there. It is in functions without a name and at the end of
	# those that raise. [unsampled] has no stack.
	folded
	grep -vE 'libgcc_s[^;]*\+0x|;_Unwind_(RaiseException|Resume|Resume_or_Rethrow) [0-9]+$|\[unsampled\]' "$T/folded" >"$T/elsewhere"
	awk -v rooted="$(weight_of '(clone|start_thread|_start)')" -v all="$(weight_of .)" '
		{ n = $NF; elsewhere += n; if ($0 ~ /clone|start_thread|_start/) reach += n }
		END { printf "%d of %d reach the start, %d of %d outside the unwinder\n", rooted, all, reach, elsewhere
		exit !(rooted >= 0.9 * all && elsewhere > 0.1 * all && reach >= 0.97 * elsewhere) }' "$T/elsewhere"
}
