# Stacks and code that break walkers and symbolizers: rows R9-R16, R24, R44.
load common

@test "R9 pthread_cancel: cleanups and C++ destructors run through the start wrapper" {
	run_both "$TARGETS/cancel" cancel
	sampled 20
}

@test "R9 asynchronous cancellation at any instruction, the handler's included" {
	run_both "$TARGETS/cancel" async
	sampled 20
}

@test "R9 pthread_exit from below: cleanups and C++ destructors run" {
	run_both "$TARGETS/cancel" exit
	sampled 20
}

@test "R9 pthread_exit from main: the process ends with its last thread" {
	run_both "$TARGETS/cancel" main_exit
	[ "$(value_of recorded status)" = 0 ]
}

@test "R10 longjmp out of twenty frames, again and again" {
	run_both "$TARGETS/stacks" longjmp
	sampled 40
	has_stack 'mode_longjmp.*jump_from;.*jump_from'
}

@test "R10 makecontext/swapcontext on stacks of the program's own, between guard pages" {
	run_both "$TARGETS/stacks" fibres
	sampled 40
	has_stack 'fibre_main|\[foreign stack\]'
}

@test "R10 coroutines of Python (generators, threads, greenlets where there are some)" {
	run_both /usr/bin/python3 -S -c '
import threading
def gen(n):
    for i in range(n):
        yield i * i
def work():
    assert sum(gen(300000)) == sum(i * i for i in range(300000))
ts = [threading.Thread(target=work) for _ in range(3)]
[t.start() for t in ts]; [t.join() for t in ts]
print("done")'
	sampled 5
}

@test "R11 assembly without CFI, the frame pointer is data: the walk stops cleanly and counts it" {
	run_both "$TARGETS/stacks" no_cfi
	sampled 100
	has_stack 'spin_without_cfi'
}

@test "R11 the files of a program that closed all descriptors and spins without CFI are not touched" {
	run_both "$TARGETS/stacks" files
	sampled 60
	grep -qx "input at 0, output at 0 size 0" "$T/recorded.out"
	grep -qx "input is 3, output is 4" "$T/recorded.out"
	cmp "$T/plain.cwd/input" "$T/recorded.cwd/input"
}

# damage FILE SECTION HOW: half of a section becomes zeros, ones, or a length that leads far away
damage() {
	/usr/bin/python3 - "$@" <<-'END'
	import struct, sys
	path, section, how = sys.argv[1:]
	data = bytearray(open(path, "rb").read())
	shoff, = struct.unpack_from("<Q", data, 40)
	entsize, nr, strndx = struct.unpack_from("<HHH", data, 58)
	head = lambda i: struct.unpack_from("<IIQQQQ", data, shoff + i * entsize)
	names = head(strndx)[4]
	found = [head(i) for i in range(nr)
	         if data[names + head(i)[0]:].split(b"\0", 1)[0].decode() == section]
	at, size = found[0][4], found[0][5]
	bad = {"zero": bytes(size // 2), "ones": b"\xff" * (size // 2), "length": b"\xff\xff\xff\x7f"}[how]
	start = at + min(24, size // 4)
	data[start:start + len(bad)] = bad
	open(path, "wb").write(data)
	END
}

@test "R12 a program with a corrupt unwind section: the agent walks what there is" {
	for how in zero ones length; do
		cp "$TARGETS/stacks" "$T/damaged-$how"
		damage "$T/damaged-$how" .eh_frame "$how"
		rm -f "$T/t.pfa" "$T/report.json" "$T/folded"
		run_plain "$T/damaged-$how" longjmp
		run_recorded "$T/damaged-$how" longjmp
		same plain recorded
		check_recording
		sampled 40
	done
}

@test "R12 a program with corrupt symbols, strings, lines and debug information: the collector and the reports survive" {
	run_plain "$TARGETS/split" 1 100
	# (what the loader needs stays whole)
	for section in .symtab .strtab .debug_info .debug_abbrev .debug_line .debug_str; do
		for how in zero ones; do
			cp "$TARGETS/split" "$T/damaged"
			damage "$T/damaged" "$section" "$how"
			rm -f "$T/t.pfa" "$T/report.json" "$T/folded"
			run_recorded "$T/damaged" 1 100
			same plain recorded
			check_recording
			sampled 5
		done
	done
}

@test "R13 the binary is deleted while it runs" {
	cp "$TARGETS/split" "$T/prog"
	run_plain sh -c "cp '$TARGETS/split' ./prog; ./prog 1 100 & sleep 0.05; rm prog; wait \$!"
	run_recorded sh -c "cp '$TARGETS/split' ./prog; ./prog 1 100 & sleep 0.05; rm prog; wait \$!"
	same plain recorded
	check_recording
	sampled 10
}

@test "R13 the binary is replaced while it runs: no name of the new file" {
	script="cp '$TARGETS/split' ./prog; ./prog 1 400 & sleep 0.1; cp '$TARGETS/stacks' ./new; mv ./new ./prog; wait \$!"
	run_plain sh -c "$script"
	run_recorded sh -c "$script"
	same plain recorded
	check_recording
	sampled 40
	has_no_stack '(jump_from|fibre_|recurse_deep|small_thread|mode_longjmp)'
}

@test "R13 a stripped binary: module and offset, never a neighbour's name" {
	strip -s -o "$T/stripped" "$TARGETS/split"
	run_both "$T/stripped" 1 300
	sampled 40
	has_stack 'stripped\+0x[0-9a-f]+'
	has_no_stack 'hot_seventy|hot_thirty'
	holds '[.symbols[] | select(.module | endswith("stripped")) | .status] | index("none") != null or index("dynsym") != null'
}

@test "R13 a program that lives in a memfd" {
	run_both /usr/bin/python3 -S -c '
import os, sys
fd = os.memfd_create("prog", 0)
os.write(fd, open(sys.argv[1], "rb").read())
os.execve(fd, ["prog", "1", "200"], os.environ)' "$TARGETS/split"
	sampled 10
}

@test "R14 names of 1 MB, exponential, not UTF-8: bounded in time and size" {
	run_both "$TARGETS/hostile_names"
	sampled 40
	[ -n "$PA_SELFTEST" ] || {
		[ "$(wc -c <"$T/report.json")" -lt 10000000 ]
		jq -e '[.cpu.top_functions[].function | utf8bytelength] | max <= 4200' "$T/report.json"
		iconv -f UTF-8 -t UTF-8 "$T/report.json" >/dev/null
	}
}

@test "R66 hostile names: escaped in every output, one line a stack in folded" {
	[ -z "$PA_SELFTEST" ] || skip "needs perfagent"
	run_plain "$TARGETS/hostile_names"
	run_recorded "$TARGETS/hostile_names"
	check_recording
	folded
	# every line is "frames weight"; no control character, no frame that a separator split in two
	if LC_ALL=C grep -anvE '^[^[:cntrl:]]+ [0-9]+$' "$T/folded" | head -n 3 | grep -a .; then fail "no folded lines"; fi
	if LC_ALL=C grep -aP '[\x00-\x08\x0b-\x1f\x7f]' "$T/report.txt" | head -n 3 | cat -v | grep .; then fail "control characters in the text report"; fi
	"$PERFAGENT" flame -i "$T/t.pfa" --format svg -o "$T/flame.svg" </dev/null 3>&-
	if grep -aF '<script>alert(1)' "$T/flame.svg"; then fail "the SVG carries a script"; fi
	/usr/bin/python3 -c 'import sys, xml.dom.minidom as m; m.parse(sys.argv[1])' "$T/flame.svg"
}

@test "R15 JIT code without a perf map" {
	run_both "$TARGETS/jit" nomap
	sampled 40
}

@test "R15 JIT code with a perf map: named by it" {
	run_both "$TARGETS/jit" map
	rm -f $(cat "$T"/*.cwd/map.txt)
	sampled 30
	has_stack 'jitted function with spaces|jitted_function_with_spaces'
}

@test "R15 a perf map full of rubbish, rewritten while it runs" {
	run_both "$TARGETS/jit" rubbish
	rm -f $(cat "$T"/*.cwd/map.txt)
	sampled 30
	[ -n "$PA_SELFTEST" ] || {
		folded
		if LC_ALL=C grep -anvE '^[^[:cntrl:]]+ [0-9]+$' "$T/folded" | head -n 3 | grep -a .; then fail "no folded lines"; fi
	}
}

@test "R15 JIT code that is unmapped and made anew" {
	run_both "$TARGETS/jit" unmapped
	sampled 30
}

@test "R16 recursion of 100000 frames: leaf and root kept, the middle cut and said so" {
	run_both "$TARGETS/stacks" recursion
	sampled 40
	holds '.loss.truncated >= 40'
	has_stack 'deep_thread;.*\[truncated\].*recurse_deep.*target_burn_ms'
}

@test "R24 threads with the smallest stack, guard page adjacent" {
	run_both "$TARGETS/stacks" small
	sampled 40
}

@test "R44 destructors of thread-specific data and thread_local that allocate after the agent's teardown" {
	run_both "$TARGETS/cancel" tsd
	sampled 10
}
