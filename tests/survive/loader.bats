# Loader and unwinder: rows R1-R8 and finding F1.
load common

@test "R1 dlopen/dlclose storm of distinct libraries in four threads" {
	run_both "$TARGETS/loader" storm
	sampled 100
	# of the samples at least 95 % have a stack that reaches the thread's start (the rest: cut or in no module)
	folded
	[ -n "$PA_SELFTEST" ] || {
		all=$(weight_of '.') rooted=$(weight_of '(clone|start_thread|_start|__libc_start|main|\[unsampled\])')
		echo "all $all rooted $rooted"
		[ $((rooted * 100)) -ge $((all * 95)) ]
	}
	has_stack 'storm_thread'
}

@test "R2 another library at the same address keeps its own name, the old samples theirs" {
	run_both "$TARGETS/loader" replace
	sampled 60
	grep -qx "same address 1" "$T/plain.out" || skip "the loader did not reuse the address here"
	has_stack 'plug_spin_1'
	has_stack 'plug_spin_2'
	[ -n "$PA_SELFTEST" ] || {
		one=$(weight_of 'plug_spin_1') two=$(weight_of 'plug_spin_2')
		echo "plug_spin_1 $one plug_spin_2 $two"
		# 0.3 s each at 250 Hz: 75 periods, and each has at least half of that
		[ "$one" -ge 37 ] && [ "$two" -ge 37 ]
	}
}

@test "R4 a constructor before the agent's own loads, forks, threads and sets signals" {
	run_both "$TARGETS/early"
	sampled 10
}

@test "R5 RTLD_DEEPBIND" {
	run_both "$TARGETS/loader" deepbind
}

@test "R5 LD_BIND_NOW" {
	PA_ENV=(LD_BIND_NOW=1)
	run_both "$TARGETS/loader" deepbind
}

@test "R5 a library bound to itself (-Bsymbolic), found by the program's RUNPATH (F1)" {
	run_both "$TARGETS/loader" runpath
	sampled 5
	grep -q "by RUNPATH: found" "$T/recorded.out"
}

@test "R6 dlmopen: a second namespace allocates and throws" {
	run_both "$TARGETS/loader" dlmopen
	sampled 40
}

@test "R7 C++ exception storm, nested, four threads" {
	PA_RATE=1000
	run_both "$TARGETS/exceptions" storm
	sampled 100
	grep -qx "wrong 0, alive 0" "$T/recorded.out"
	has_stack 'descend'
}

@test "R7 an exception nobody catches ends the program as before" {
	run_both "$TARGETS/exceptions" terminate
	[ "$(value_of recorded status)" = 134 ]
}

# Which library gives _Unwind_RaiseException to whom, one line a binding
unwinders() {
	grep -ahE 'binding file .* symbol .(_Unwind_[A-Za-z]*|__gxx_personality_v0)' "$1".* |
		sed -E 's/^ *[0-9]+:\s*//' | grep -v 'binding file [^ ]*libperfagent' | sort -u
}

same_unwinder() {
	run_plain env LD_DEBUG=bindings LD_DEBUG_OUTPUT="$T/plain.bind" "$@"
	if [ -n "$PA_SELFTEST" ]; then
		run_as recorded 60 env LD_DEBUG=bindings LD_DEBUG_OUTPUT="$T/recorded.bind" "$@"
	else
		run_as recorded 60 "$PERFAGENT" record -q -o "$T/t.pfa" -- env LD_DEBUG=bindings LD_DEBUG_OUTPUT="$T/recorded.bind" "$@"
	fi
	same plain recorded
	unwinders "$T/plain.bind" >"$T/plain.unwinders"
	unwinders "$T/recorded.bind" >"$T/recorded.unwinders"
	grep -q _Unwind_RaiseException "$T/plain.unwinders"
	diff "$T/plain.unwinders" "$T/recorded.unwinders"
}

@test "R8 C main with a C++ library: _Unwind_RaiseException is still libgcc_s's" {
	same_unwinder "$TARGETS/cmain" needed
}

@test "R8 C main that loads a C++ plug-in: _Unwind_RaiseException is still libgcc_s's" {
	same_unwinder "$TARGETS/cmain" plugin "$TARGETS/plug6.so"
}

@test "R8 C++ main: _Unwind_RaiseException is still libgcc_s's" {
	same_unwinder "$TARGETS/exceptions" once
}

@test "F1 dlsym and dlerror answer as before, and no foreign name becomes true" {
	run_both "$TARGETS/loader" dlsym
}
