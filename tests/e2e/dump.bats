# perfagent dump: the stacks of all threads, by known functions; a target that goes on as if nothing had happened.
load ../survive/common
load ../survive/waiting
bats_require_minimum_version 1.5.0

WAITS=$TARGETS/waits

dump() {
	run --separate-stderr timeout 30 "$PERFAGENT" dump "$@"
	echo "status $status"
	echo "$output" | head -n 100
	# shellcheck disable=SC2154
	echo "$stderr"
}

# refused PATTERN ARGUMENTS: status 2, one line
refused() {
	local pattern=$1
	shift
	dump "$@"
	[ "$status" -eq 2 ] || fail "status $status"
	[ -z "$output" ] || fail "output"
	[ "$(wc -l <<<"$stderr")" -eq 1 ] || fail "not one line"
	[[ $stderr == perfagent:\ * ]] || fail "does not say who speaks"
	grep -qE -e "$pattern" <<<"$stderr" || fail "does not match $pattern"
}

# names THREAD: the functions of the stack of that thread's name, innermost first
names() {
	awk -v thread="\"$1\"" '/^([0-9]+ )?threads? "/ { in_it = index($0, thread) } in_it && /^  #/ { print $2 }' <<<"$output"
}

# follows NAME...: these functions stand one after another in a list on stdin, others may come first and last
follows() {
	tr '\n' ' ' | grep -qE "(^| )$(IFS=' '; echo "$*") " || fail "not in this order: $*"
}

@test "one thread: names, files, lines, module" {
	start "$WAITS" deep 9
	dump "$PID"
	[ "$status" -eq 0 ]
	[ -z "$stderr" ]
	names waits | follows until_stdin_ends deep_frame deep_frame deep_frame deep_frame deep_frame deep_frame deep_frame deep_frame deep_frame
	[ "$(names waits | grep -c deep_frame)" -eq 9 ]
	grep -qE '^  #[0-9]+ +deep_frame at .*waits\.c:[0-9]+$' <<<"$output"
	grep -qE '^  #[0-9]+ +_start in waits$' <<<"$output"
	grep -qE "^process $PID \".*waits deep 9\", 1 thread, stopped for [0-9.]+ ms$" <<<"$output"
	grep -qE "^thread \"waits\" waiting in read: $PID$" <<<"$output"
	dump "$PID" --no-lines
	grep -qE '^  #[0-9]+ +deep_frame in waits$' <<<"$output"
	end_by_stdin
}

@test "64 threads of one stack are one stack, and the target is stopped for 5 ms and 0.2 ms a thread at most" {
	local tids stopped best=1000000 i
	start "$WAITS" crowd 64
	dump "$PID"
	[ "$status" -eq 0 ]
	[ "$(grep -c 'crowd_wait' <<<"$output")" -eq 1 ]
	tids=$(cd "/proc/$PID/task" && printf '%s\n' * | grep -vx "$PID" | sort -n | tr '\n' ' ')
	grep -qxF "64 threads \"crowd\" waiting in poll: ${tids% }" <<<"$output"
	names crowd | follows crowd_wait crowd_middle crowd_thread
	# the machine may be busy with other things: the best of ten is what the dump needs
	for ((i = 0; i < 10; i++)); do
		stopped=$(timeout 30 "$PERFAGENT" dump "$PID" --format json | jq '.stopped_ms * 1000 | floor')
		[ "$stopped" -gt 0 ]
		[ "$stopped" -ge "$best" ] || best=$stopped
	done
	echo "stopped for $best us"
	[ "$best" -le $((5000 + 200 * 65)) ]
	end_by_stdin
	[ "$(tail -n 1 "$T/target.out")" = 'crowd 64' ]
}

@test "JSON is valid, and says the same" {
	start "$WAITS" crowd 3
	dump "$PID" --format json
	[ "$status" -eq 0 ]
	jq -e --argjson pid "$PID" '.schema == "perfagent.dump/1" and .pid == $pid and .inner_pid == $pid and
		(.stopped_ms > 0) and (.stacks | length) == 2 and .without_stack == [] and
		([.stacks[].threads[].tid] | length) == 4 and all(.stacks[]; .complete) and
		any(.stacks[]; (.threads | length) == 3 and all(.threads[]; .name == "crowd" and .syscall == "poll" and .state == "S") and
			any(.frames[]; .function == "crowd_middle" and (.file | endswith("waits.c")) and .line > 0 and
				(.module | endswith("/waits")) and .inlined == false))' <<<"$output"
	dump "$PID" --format json --no-lines
	jq -e 'all(.stacks[].frames[]; has("file") or has("line") | not)' <<<"$output"
	dump "$PID" --format json -o "$T/out.json"
	[ -z "$output" ]
	jq -e '.schema == "perfagent.dump/1"' "$T/out.json"
	end_by_stdin
}

# within NAMES: from the first crowd_wait to the first start_thread
within() {
	tr ' ' '\n' <<<"$1" | sed -n '/^crowd_wait$/,/^start_thread$/p' | tr '\n' ' '
}

@test "the same functions as gdb's backtrace" {
	need gdb
	local ours theirs
	start "$WAITS" crowd 2
	dump "$PID" --no-lines
	ours=$(names crowd | tr '\n' ' ')
	theirs=$(timeout 60 gdb -batch -nx -p "$PID" -ex 'thread 2' -ex bt 2>/dev/null |
		sed -nE 's/^#[0-9]+ +(0x[0-9a-f]+ in )?([^ ]+) .*/\2/p' | tail -n +2 | tr '\n' ' ')
	echo "ours   $ours"
	echo "theirs $theirs"
	# the innermost and the outermost are libc's functions, which have several names
	[ "$(within "$ours")" = 'crowd_wait crowd_middle crowd_thread start_thread ' ]
	[ "$(within "$theirs")" = "$(within "$ours")" ]
	end_by_stdin
}

@test "a handler on an alternate stack, and what it interrupted" {
	start "$WAITS" altstack
	dump "$PID"
	[ "$status" -eq 0 ]
	names waits | follows until_stdin_ends altstack_handler '<signal'
	names waits | sed 1,/signal/d | follows altstack_raise altstack
	end_by_stdin
}

@test "python3 and sleep" {
	need python3
	python3 -c 'import threading, time
for _ in range(4): threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
time.sleep(60)' 3>&- &
	PA_BACKGROUND+=($!)
	sleep 1
	dump $!
	[ "$status" -eq 0 ]
	grep -qE ', 5 threads, ' <<<"$output"
	grep -qE '^4 threads ".*" waiting in (clock_nanosleep|pselect6|select)' <<<"$output"
	grep -qE '_PyEval_EvalFrameDefault' <<<"$output"

	sleep 60 3>&- &
	PA_BACKGROUND+=($!)
	sleep 0.2
	dump $!
	grep -qE '^thread "sleep" waiting in clock_nanosleep' <<<"$output"
	grep -qE 'nanosleep' <<<"$output"
}

@test "static programs, also those that are position independent" {
	local how
	cat >"$T/static.c" <<-'END'
		#include <unistd.h>
		__attribute__((noinline)) int static_inner(void) { return pause() + 1; }
		__attribute__((noinline)) int static_outer(void) { return static_inner() + 1; }
		int main(void) { return static_outer(); }
	END
	for how in -static -static-pie; do
		gcc -O1 "$how" -fPIE -o "$T/whole" "$T/static.c"
		"$T/whole" 3>&- &
		PA_BACKGROUND+=($!)
		sleep 0.3
		dump $!
		[ "$status" -eq 0 ]
		names whole | follows static_inner static_outer main __libc_start_call_main
		run ! grep -q 'ends here' <<<"$output"
	done
}

@test "nobody sees EINTR, or wakes early, in 100 dumps" {
	local i
	start "$WAITS" every
	for ((i = 0; i < 100; i++)); do
		timeout 30 "$PERFAGENT" dump "$PID" >"$T/dump" || fail "status $?"
	done
	end_by_stdin
	cat "$T/target.out"
	[ "$(grep -c ': waited yes, EINTR 0, too early 0$' "$T/target.out")" -eq 7 ]
}

# PA_DUMPS: how often each is dumped; tests/long asks for more
@test "dumps of busy allocating and computing programs leave their results the same" {
	local mode i
	for mode in 'allocate 4' 'allocate 1' compute; do
		# shellcheck disable=SC2086
		start "$WAITS" $mode
		for ((i = 0; i < ${PA_DUMPS:-10}; i++)); do
			timeout 30 "$PERFAGENT" dump --no-lines "$PID" >"$T/dump" || fail "status $?"
		done
		end_by_stdin
		[ "$(tail -n 1 "$T/target.out")" = "${mode% *}: turns yes, wrong 0" ] || fail "$(cat "$T/target.out")"
		rm "$T/stdin"
	done
}

@test "a stopped process stays stopped, a running one is left running" {
	start "$WAITS" crowd 2
	kill -STOP "$PID"
	sleep 0.1
	dump "$PID"
	[ "$status" -eq 0 ]
	grep -qE 'stopped by a signal' <<<"$output"
	names crowd | follows crowd_wait crowd_middle
	sleep 0.1
	grep -qE '^State:.T \(stopped\)' "/proc/$PID/status"
	grep -qE '^TracerPid:.0$' "/proc/$PID/status"
	kill -CONT "$PID"
	sleep 0.1
	grep -qE '^State:.S' "/proc/$PID/status"
	end_by_stdin
}

@test "a dump that is killed leaves the target running" {
	local i killed=0
	start "$WAITS" crowd 200
	for ((i = 0; i < 40; i++)); do
		"$PERFAGENT" dump "$PID" >"$T/dump" 2>&1 3>&- &
		sleep 0.0$((i % 4))$((i % 10))
		kill -KILL $! 2>/dev/null && killed=$((killed + 1))
		wait $! 2>/dev/null || true
	done
	sleep 0.2
	run ! grep -hE '^State:.[Tt]' /proc/"$PID"/task/*/status
	[ "$killed" -gt 0 ]
	end_by_stdin
	[ "$(tail -n 1 "$T/target.out")" = 'crowd 200' ]
}

@test "a signal that comes during a dump arrives" {
	local i
	python3 -c 'import signal, sys
n = 0
def count(*a):
    global n
    n += 1
signal.signal(signal.SIGUSR1, count)
print("ready", flush=True)
while n < 200: signal.sigtimedwait([signal.SIGUSR2], 0.01)
signal.signal(signal.SIGUSR1, signal.SIG_IGN)
print("all", flush=True)' >"$T/signals" 3>&- &
	PID=$!
	PA_BACKGROUND+=("$PID")
	while [ ! -s "$T/signals" ]; do sleep 0.05; done
	(while kill -0 "$PID" 2>/dev/null; do timeout 30 "$PERFAGENT" dump "$PID" >/dev/null 2>&1; done) 3>&- &
	PA_BACKGROUND+=($!)
	for ((i = 0; i < 2000; i++)); do
		kill -USR1 "$PID" 2>/dev/null || break
		sleep 0.01
	done
	wait "$PID"
	[ "$(tail -n 1 "$T/signals")" = all ]
}

@test "a process in a pid namespace shows both numbers" {
	need unshare
	unshare --fork --pid true 2>/dev/null || skip "no pid namespaces for us"
	unshare --fork --pid "$WAITS" crowd 1 < <(sleep 60) >"$T/out" 3>&- &
	PA_BACKGROUND+=($!)
	local i inner
	for ((i = 0; i < 100 && ! $(wc -c <"$T/out"); i++)); do sleep 0.05; done
	inner=$(pgrep -P $! waits)
	PA_BACKGROUND+=("$inner")
	dump "$inner"
	[ "$status" -eq 0 ]
	grep -qE "^process $inner \(1 inside its namespace\)" <<<"$output"
	grep -qE "^thread \"waits\" waiting in read: $inner \(1 inside\)$" <<<"$output"
	names crowd | follows crowd_wait crowd_middle
}

@test "code of a run-time compiler is named by its perf map" {
	[ "$(uname -m)" = x86_64 ] || skip "machine code for x86-64"
	need python3
	local i map
	python3 -c 'import ctypes, mmap, os
code = mmap.mmap(-1, 4096, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
code.write(b"\xeb\xfe") # jmp to itself
address = ctypes.addressof(ctypes.c_char.from_buffer(code))
with open(f"/tmp/perf-{os.getpid()}.map", "w") as f: f.write(f"{address:x} 2 jit_spin\n")
print("ready", flush=True)
ctypes.CFUNCTYPE(None)(address)()' >"$T/jit.out" 3>&- &
	PA_BACKGROUND+=($!)
	map=/tmp/perf-$!.map
	for ((i = 0; i < 200; i++)); do
		[ ! -s "$T/jit.out" ] || break
		sleep 0.05
	done
	sleep 0.2
	dump $!
	rm -f "$map"
	[ "$status" -eq 0 ]
	grep -qE '^thread "python3" running' <<<"$output"
	grep -qE '^  #0 +jit_spin$' <<<"$output"
	grep -qE 'ends here: the last frame is code of no file' <<<"$output"
}

@test "names that would write to the terminal do not" {
	cp "$WAITS" "$T/"$'a\033[31mb'
	start "$T/"$'a\033[31mb' crowd 1
	dump "$PID"
	[ "$status" -eq 0 ]
	[[ $output != *$'\033'* ]]
	[[ $output == *'x1b'* ]]
	end_by_stdin
}

@test "what cannot be dumped: one line that says why" {
	local kernel i
	refused 'no such process' 999999999
	refused 'whole number' sleep
	refused 'which process' --no-lines
	refused 'unexpected' 1 2
	refused 'format' 1 --format xml
	refused 'unknown' --frobnicate
	# its own number: exec keeps the shell's
	run bash -c 'exec "$0" dump $$' "$PERFAGENT"
	[ "$status" -eq 2 ]
	[[ $output == *'perfagent itself'* ]]

	python3 -c 'import os, time
pid = os.fork()
if pid == 0: os._exit(0)
print(pid, flush=True)
time.sleep(30)' >"$T/zombie" 3>&- &
	PA_BACKGROUND+=($!)
	for ((i = 0; i < 100; i++)); do
		[ -s "$T/zombie" ] && grep -q '^State:.Z' "/proc/$(cat "$T/zombie")/status" && break
		sleep 0.05
	done
	refused 'has ended' "$(cat "$T/zombie")"
	kernel=$(awk '$3 == 2 { print $1; exit }' < <(ps -eo pid=,comm=,ppid= | awk '{ print $1, $2, $NF }'))
	[ -z "$kernel" ] || refused 'kernel' "$kernel"
}

@test "a process that is traced already, by whom" {
	need gdb
	sleep 60 3>&- &
	PA_BACKGROUND+=($!)
	local target=$! i
	gdb -batch -nx -p "$target" -ex 'shell sleep 20' >/dev/null 2>&1 3>&- &
	PA_BACKGROUND+=($!)
	for ((i = 0; i < 100; i++)); do
		grep -qE '^TracerPid:.0$' "/proc/$target/status" || break
		sleep 0.1
	done
	refused "traced by gdb \(process [0-9]+\)" "$target"
	kill -KILL "${PA_BACKGROUND[1]}" # else the target has no other to tell that it ends
}

@test "a thread's number is answered with its process" {
	start "$WAITS" crowd 1
	local tid
	tid=$(cd "/proc/$PID/task" && printf '%s\n' * | grep -vx "$PID")
	refused "thread of process $PID" "$tid"
	end_by_stdin
}

@test "a 32-bit program is refused" {
	[ "$(uname -m)" = x86_64 ] || skip "no 32-bit programs"
	cat >"$T/wait32.S" <<-'END'
		.globl _start
		_start: mov $29, %eax
		int $0x80
		jmp _start
	END
	gcc -m32 -nostdlib -static -o "$T/wait32" "$T/wait32.S" || skip "no 32-bit compiler"
	"$T/wait32" 3>&- &
	PA_BACKGROUND+=($!)
	kill -0 $! 2>/dev/null || skip "the kernel runs no 32-bit programs"
	refused '32-bit' $!
}

@test "another user's process is refused with the reason" {
	need_root
	sleep 60 3>&- &
	PA_BACKGROUND+=($!)
	install -m 755 "$PERFAGENT" "$T/perfagent"
	run setpriv --reuid=65534 --regid=65534 --clear-groups "$T/perfagent" dump $!
	echo "$output"
	[ "$status" -eq 2 ]
	[[ $output == *'not permitted: it belongs to uid 0'* ]]
}
