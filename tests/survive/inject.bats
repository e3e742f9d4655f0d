# Injection: a library is loaded into running programs from outside. Whatever comes of it, the program's own result is
# what it would have been: turns that are all the same, blocks that keep their contents, waits without EINTR.
load common
load waiting
bats_require_minimum_version 1.5.0

WAITS=$TARGETS/waits
INJECT=$TARGETS/inject_try
INJECTIONS=${PA_INJECTIONS:-50} # into one process, a library each

# copies N: so many libraries $T/l1.so ...; the loader knows files by their inode
copies() {
	local i
	for ((i = 1; i <= $1; i++)); do
		cp "$TARGETS/lib_injected.so" "$T/l$i.so"
	done
}

# inject_all: INJECTIONS libraries into PID; at least 95 of 100 are loaded, the others declined with a reason
inject_all() {
	local i loaded
	copies "$INJECTIONS"
	for ((i = 1; i <= INJECTIONS; i++)); do
		timeout 30 "$INJECT" "$PID" "$T/l$i.so" >>"$T/log" 2>&1 || true
	done
	loaded=$(grep -c '^ok' "$T/log" || true)
	echo "$loaded of $INJECTIONS; the declined:"
	grep -v '^ok' "$T/log" || true
	awk '{ for (i = 2; i < 7; i++) { split($i, p, "="); v[p[1]] = v[p[1]] " " p[2]; if (p[2] > m[p[1]]) m[p[1]] = p[2]; s[p[1]] += p[2] } }
		END { printf "tries %d; stops: longest %d us, mean of the longest %d us; call: mean %d us\n", s["tries"],
			m["pause_max_us"], s["pause_max_us"] / NR, s["called_us"] / NR }' "$T/log" | tee -a "${PA_FIGURES:-/dev/null}"
	[ "$(wc -l <"$T/log")" -eq "$INJECTIONS" ]
	[ "$(grep -cE '^(ok|declined .*error=E[A-Z]+ why=.)' "$T/log")" -eq "$INJECTIONS" ]
	[ "$loaded" -ge $((INJECTIONS * 95 / 100)) ] || fail "only $loaded were loaded" || return 1
	[ "$(wc -l <"$T/injected")" -eq "$loaded" ] || fail "$(wc -l <"$T/injected") constructors ran"
}

@test "into one thread of malloc and free" {
	need_x86_64
	start "$WAITS" allocate 1
	inject_all
	end_by_stdin 'allocate: turns yes, wrong 0'
}

@test "into four threads of malloc and free" {
	need_x86_64
	start "$WAITS" allocate 4
	inject_all
	end_by_stdin 'allocate: turns yes, wrong 0'
}

@test "into a loop that never enters the kernel: registers, vectors, errno and the red zone are kept" {
	need_x86_64
	start "$WAITS" compute
	inject_all
	end_by_stdin 'compute: turns yes, wrong 0'
}

@test "into one thread that sleeps in pause, epoll_wait, a futex, and for a time: it goes on sleeping" {
	need_x86_64
	local kind
	INJECTIONS=$((INJECTIONS / 5 + 1))
	for kind in pause epoll futex poll sleep; do
		rm -f "$T/log"
		start "$WAITS" block "$kind"
		inject_all
		end_by_signal 'block: EINTR 0'
	done
}

@test "into threads with timeouts: no EINTR, none too early" {
	need_x86_64
	start "$WAITS" every
	inject_all
	end_by_stdin 'recv: waited yes, EINTR 0, too early 0'
	[ "$(grep -c ': waited yes, EINTR 0, too early 0$' "$T/target.out")" -eq 7 ]
}

# left_alone MODE: nobody is stopped or traced any more; the end of it
left_alone() {
	sleep 0.3
	run ! grep -hE '^(State:.[Tt]|TracerPid:.[1-9])' /proc/"$PID"/task/*/status
	case $1 in
	block*) end_by_signal 'block: EINTR 0' ;;
	*) end_by_stdin "${1% *}: turns yes, wrong 0" ;;
	esac
}

@test "whoever injects may be killed between any two of its steps" {
	need_x86_64
	local mode i status steps=${PA_INJECT_STEPS:-3} # every so many, from a random one on
	for mode in 'allocate 4' compute 'block futex'; do
		# shellcheck disable=SC2086
		start "$WAITS" $mode
		for ((i = 1 + RANDOM % steps; i < 600; i += steps)); do
			cp "$TARGETS/lib_injected.so" "$T/l$i.so"
			status=0
			PA_DIE_BEFORE=$i timeout 30 "$INJECT" "$PID" "$T/l$i.so" >"$T/out" 2>&1 3>&- || status=$?
			kill -0 "$PID" 2>/dev/null || fail "$mode: dead after step $i" || return 1
			[ "$status" -eq 137 ] || break
		done
		echo "$mode: $i steps, the last: $(cat "$T/out")"
		[ "$i" -gt 30 ] && [ "$i" -lt 600 ]
		left_alone "$mode"
	done
}

@test "whoever injects may be killed at any moment" {
	need_x86_64
	local mode i kills=${PA_INJECT_KILLS:-40}
	copies "$kills"
	for mode in 'allocate 4' compute 'block futex'; do
		# shellcheck disable=SC2086
		start "$WAITS" $mode
		for ((i = 1; i <= kills; i++)); do
			"$INJECT" "$PID" "$T/l$i.so" >"$T/out" 2>&1 3>&- &
			sleep "0.0$((RANDOM % 3))$((RANDOM % 10))"
			kill -KILL $! 2>/dev/null || true
			wait $! 2>/dev/null || true
		done
		echo "$mode: loaded $(cat "$T/injected" 2>/dev/null | wc -l) of $kills"
		left_alone "$mode"
	done
}

@test "a program that has handlers for all signals that others ignore" {
	need_x86_64
	need python3
	copies 5
	start python3 -c 'import os, signal, sys, threading
seen = []
for s in (signal.SIGURG, signal.SIGWINCH, signal.SIGCHLD): signal.signal(s, lambda *a: seen.append(a))
print("ready", flush=True)
threading.Thread(target=sys.stdin.read).start()
while threading.active_count() > 1: sum(i for i in range(1000))
print("seen", len(seen))'
	local i
	for ((i = 1; i <= 5; i++)); do
		timeout 30 "$INJECT" "$PID" "$T/l$i.so" | tee -a "$T/log" || true
	done
	[ "$(grep -c '^ok' "$T/log")" -eq 5 ]
	[ "$(wc -l <"$T/injected")" -eq 5 ]
	end_by_stdin 'seen 0'
}

# declined ERROR PATTERN ARGUMENTS...
declined() {
	local error=$1 pattern=$2
	shift 2
	run timeout 30 "$INJECT" "$@"
	echo "$output"
	[ "$status" -eq 1 ] || fail "status $status"
	grep -qE "^declined .*error=$error why=.*$pattern" <<<"$output" || fail "not $error: $pattern"
}

@test "a library that crashes, aborts or takes too long while it is loaded" {
	need_x86_64
	start env PA_INJECTED_DO=crash "$WAITS" compute
	declined EFAULT 'died of signal 11' "$PID" "$TARGETS/lib_injected.so"
	end_by_stdin 'compute: turns yes, wrong 0'
	start env PA_INJECTED_DO=abort "$WAITS" compute
	declined EFAULT 'died of signal 6' "$PID" "$TARGETS/lib_injected.so"
	end_by_stdin 'compute: turns yes, wrong 0'
	start env PA_INJECTED_DO=sleep "$WAITS" compute
	declined ETIMEDOUT 'was left to it' "$PID" "$TARGETS/lib_injected.so"
	sleep 2
	[ "$(wc -l <"$T/injected")" -eq 1 ]
	declined EEXIST 'loaded already' "$PID" "$TARGETS/lib_injected.so"
	end_by_stdin 'compute: turns yes, wrong 0'
}

@test "what cannot be: said before anything is touched, or by the loader" {
	need_x86_64
	start "$WAITS" compute
	declined ENOENT 'does not see /no/such/lib.so' "$PID" /no/such/lib.so
	echo text >"$T/text.so"
	declined ENOEXEC 'would not load' "$PID" "$T/text.so"
	kill -STOP "$PID"
	sleep 0.1
	declined EAGAIN 'stopped' "$PID" "$TARGETS/lib_injected.so"
	kill -CONT "$PID"
	end_by_stdin 'compute: turns yes, wrong 0'
	declined ESRCH 'no such process' "$PID" "$TARGETS/lib_injected.so"

	printf '#include <unistd.h>\nint main(void) { return pause(); }\n' >"$T/pause.c"
	gcc -static -o "$T/static" "$T/pause.c"
	"$T/static" 3>&- &
	PA_BACKGROUND+=($!)
	sleep 0.2
	declined EOPNOTSUPP 'no loader' $! "$TARGETS/lib_injected.so"
}

@test "never inside the loader: a thread that loads and unloads all the time" {
	need_x86_64
	need python3
	copies 10
	start python3 -c 'import ctypes, os, sys, threading, _ctypes
def storm():
    while True:
        _ctypes.dlclose(ctypes.CDLL(sys.argv[1])._handle)
for _ in range(2): threading.Thread(target=storm, daemon=True).start()
print("ready", flush=True)
sys.stdin.read()
print("end", flush=True)
os._exit(0)' "$TARGETS/plug0.so"
	local i
	for ((i = 1; i <= 10; i++)); do
		timeout 30 "$INJECT" "$PID" "$T/l$i.so" | tee -a "$T/log" || true
	done
	[ "$(grep -cE '^(ok|declined .*error=EAGAIN)' "$T/log")" -eq 10 ]
	cat "$T/injected" || true
	end_by_stdin end
}
