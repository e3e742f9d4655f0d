# attach --inject: programs that were not started with the agent are recorded, end as they would have, and call libc
# directly again once they are detached from.
load common
load waiting
bats_require_minimum_version 1.5.0

WAITS=$TARGETS/waits
INJECT=$TARGETS/inject_try
ATTACHES=${PA_ATTACHES:-4} # of each kind of program, a process each

# attach OPTIONS...: into $T/t.pfa
attach() {
	rm -f "$T/t.pfa" "$T/report.json"
	run timeout 60 "$PERFAGENT" attach "$PID" --inject -F "$PA_RATE" -o "$T/t.pfa" "$@" 3>&-
	echo "$output"
}

# direct: the target calls libc as if we had never been there: every slot could be taken anew, none leads to the agent
direct() {
	run timeout 30 "$INJECT" "$PID" "$AGENT" 3000 1
	echo "$output"
	grep -qE '^loaded=0 .* hooked=[1-9][0-9]* before=0 .*refused=0$' <<<"$output"
	run timeout 30 "$INJECT" "$PID" "$AGENT" 3000 2
}

# into MODE LINE: ATTACHES processes, one after the other; none is harmed, 95 of 100 are sampled, the others declined
into() {
	local mode=$1 line=$2 i sampled=0 declined=0
	for ((i = 1; i <= ATTACHES; i++)); do
		# shellcheck disable=SC2086
		start "$WAITS" $mode
		attach -q -d 0.5
		case $status in
		0)
			load_report || return 1
			if jq -e '.loss.cpu_recorded > 0' "$T/report.json" >/dev/null; then
				sampled=$((sampled + 1))
			else
				echo "nothing was sampled"
			fi
			;;
		*)
			grep -E '^perfagent: process [0-9]+: [a-z]' <<<"$output" ||
				fail "status $status without a reason" || return 1
			declined=$((declined + 1))
			;;
		esac
		end_by_stdin "$line" || return 1
	done
	echo "$mode: $ATTACHES injections: $sampled sampled, $declined declined" | tee -a "${PA_FIGURES:-/dev/null}"
	[ "$((sampled + declined))" -eq "$ATTACHES" ] && [ "$sampled" -ge $((ATTACHES * 95 / 100)) ]
}

@test "attach --inject: one thread that allocates" {
	need_x86_64
	into 'allocate 1' 'allocate: turns yes, wrong 0'
}

@test "attach --inject: four threads that allocate" {
	need_x86_64
	into 'allocate 4' 'allocate: turns yes, wrong 0'
}

@test "attach --inject: a loop that calls nothing" {
	need_x86_64
	into compute 'compute: turns yes, wrong 0'
}

@test "attach --inject: allocations and their stacks; afterwards libc is called directly, and again" {
	need_x86_64
	local i
	start "$WAITS" allocate 4
	for i in 1 2; do
		attach -d 1 --heap exact
		[ "$status" -eq 0 ]
		load_report
		holds '.memory.bytes_allocated > 1e6 and .memory.estimated == false'
		holds '.memory.top_allocators[0].function == "allocate_rounds"'
		holds '[.notes[].text | select(test("^the agent was injected: .* slots of [0-9]+ modules lead to it$"))] | length == 1'
		direct
	done
	end_by_stdin 'allocate: turns yes, wrong 0'
}

# declined PATTERN: the process in PID, which waits, cannot be injected into, that is the reason, and it stays as it was
declined() {
	attach -d 1
	[ "$status" -eq 2 ] || fail "status $status" || return 1
	grep -qE "^perfagent: process [0-9]+: .*$1" <<<"$output" || fail "not: $1" || return 1
	[ ! -e "$T/t.pfa" ] || fail "a recording was left" || return 1
	kill -0 "$PID"
	run ! grep -q libperfagent "/proc/$PID/maps"
	run ! grep -hE '^TracerPid:.[1-9]' "/proc/$PID/task/$PID/status"
}

# background EXE COMMAND...: PID, once it runs that program and waits
background() {
	local exe=$1 i
	shift
	"$@" >"$T/background.out" 2>&1 3>&- &
	PID=$!
	PA_BACKGROUND+=("$PID")
	for ((i = 0; i < 400; i++)); do
		[ "$(readlink "/proc/$PID/exe")" != "$(realpath "$exe")" ] || ! grep -q '^State:.S' "/proc/$PID/status" ||
			return 0
		sleep 0.05
	done
	fail "$* does not wait: $(cat "$T/background.out")"
}

SLEEP=$(command -v sleep)

@test "attach --inject: static programs, another libc, 32 bits" {
	need_x86_64
	printf '#include <unistd.h>\nint main(void) { return pause(); }\n' >"$T/pause.c"
	gcc -static -o "$T/static" "$T/pause.c"
	background "$T/static" "$T/static"
	declined 'no loader and no glibc'
	if command -v musl-gcc >/dev/null; then
		musl-gcc -o "$T/musl" "$T/pause.c"
		background "$T/musl" "$T/musl"
		declined 'no loader and no glibc'
	fi
	if [ -x "$TARGETS/hello_32" ] && command -v python3 >/dev/null; then
		# it stands in its only write
		background "$TARGETS/hello_32" python3 -c 'import os, sys
r, w = os.pipe()
os.set_blocking(w, False)
try:
    while os.write(w, b"x"): pass
except BlockingIOError: pass
os.set_blocking(w, True)
os.dup2(w, 1)
os.set_inheritable(r, True)
os.execv(sys.argv[1], sys.argv[1:])' "$TARGETS/hello_32"
		declined '32'
	fi
}

@test "attach --inject: a seccomp filter, a stopped process, a traced one" {
	need_x86_64
	need python3
	start python3 -c 'import ctypes, time
libc = ctypes.CDLL(None, use_errno=True)
libc.prctl(38, 1, 0, 0, 0)
class F(ctypes.Structure): _fields_ = [("code", ctypes.c_ushort), ("jt", ctypes.c_ubyte), ("jf", ctypes.c_ubyte), ("k", ctypes.c_uint)]
class P(ctypes.Structure): _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.POINTER(F))]
assert libc.prctl(22, 2, ctypes.byref(P(1, (F * 1)(F(6, 0, 0, 0x7fff0000))))) == 0
print("ready", flush=True)
time.sleep(60)'
	declined 'seccomp filter'
	background "$SLEEP" "$SLEEP" 60
	kill -STOP "$PID"
	sleep 0.1
	declined 'stopped'
	kill -CONT "$PID"
	if command -v strace >/dev/null; then
		background "$SLEEP" "$SLEEP" 60
		strace -o "$T/strace.out" -p "$PID" 2>"$T/strace.err" 3>&- &
		PA_BACKGROUND+=($!)
		timeout 20 bash -c "until grep -q 'TracerPid:.[1-9]' /proc/$PID/status; do sleep 0.1; done"
		attach -d 1
		[ "$status" -eq 2 ]
		grep -qE 'is being traced by|traced' <<<"$output"
		kill -0 "$PID"
	fi
}

@test "attach --inject: another user's process, another root" {
	need_x86_64
	need_root
	background "$SLEEP" "$SLEEP" 60
	chmod 777 "$T"
	run timeout 30 setpriv --reuid 65534 --regid 65534 --clear-groups "$PERFAGENT" attach "$PID" --inject -d 1 -o "$T/t.pfa" 3>&-
	echo "$output"
	[ "$status" -eq 2 ]
	grep -qiE "not permitted|other user|another user|may not" <<<"$output"
	run ! grep -q libperfagent "/proc/$PID/maps"
	# a root of its own, with a sleep and its libraries, and nothing of ours
	mkdir -p "$T/root/bin"
	cp "$(command -v sleep)" "$T/root/bin/"
	ldd "$(command -v sleep)" | grep -oE '/[^ ]+' | while read -r lib; do
		mkdir -p "$T/root$(dirname "$lib")"
		cp "$lib" "$T/root$lib"
	done
	background "$T/root/bin/sleep" unshare -m chroot "$T/root" /bin/sleep 60
	declined 'does not see .*libperfagent.so'
}

@test "attach --inject: no safe moment, and it says where all threads were" {
	need_x86_64
	need python3
	# the only thread is in a function of libc that waits for others
	start python3 -c 'import os, ctypes
r, w = os.pipe()
libc = ctypes.CDLL(None)
f = libc.fdopen
f.restype = ctypes.c_void_p
print("ready", flush=True)
libc.fgetc(ctypes.c_void_p(f(r, b"r")))'
	declined 'no safe moment in [0-9]+ tries; threads were found ([0-9]+ in libc, )?[0-9]+ in a system call'
}

@test "attach --inject: a process that was started with the agent, and one that has been injected before" {
	need_x86_64
	start env LD_PRELOAD="$AGENT" PERFAGENT_SOCKET="$T/none.sock" "$WAITS" allocate 2
	attach -d 0.5
	[ "$status" -eq 0 ]
	load_report
	holds '.loss.cpu_recorded > 0 and ([.notes[].text | select(test("injected"))] | length == 0)'
	end_by_stdin 'allocate: turns yes, wrong 0'
	start "$WAITS" block epoll
	attach -d 0.5
	[ "$status" -le 1 ] # it sleeps: nothing is sampled, it may not even wake up
	attach -d 0.5
	[ "$status" -le 1 ]
	kill -TERM "$PID"
	end_by_stdin 'block: EINTR 0'
}
