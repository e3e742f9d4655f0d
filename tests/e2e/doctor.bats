# perfagent doctor: each kind of program and process that will not work is named with its reason; nothing else is refused.
load ../survive/common
bats_require_minimum_version 1.5.0

doctor() {
	run env TERM=dumb "$PERFAGENT" doctor "$@"
	echo "status $status"
	echo "$output"
}

# says WORD TITLE PATTERN: a line with this verdict and title whose text matches
says() {
	grep -E "^  $1 +$2 +.*$3" <<<"$output" >/dev/null || fail "no line: $1 $2 ... $3"
}

# lacks PATTERN: no line matches (`! grep` alone cannot fail a bats test)
lacks() {
	if grep -E -e "$1" <<<"$output"; then
		fail "there is a line with $1"
	fi
}

@test "a dynamic program built with -g can be profiled" {
	doctor "$TARGETS/hello"
	[ "$status" -eq 0 ]
	says ok 'can be preloaded' 'yes: dynamically linked, loaded by .*/ld-'
	says ok 'debug information' 'in the file'
	says ok 'thread CPU timers' 'at most [0-9]+ ticks'
	says ok 'agent' 'libperfagent.so'
	lacks '^  no '
	[[ ${lines[-1]} == "$TARGETS/hello can be profiled"* ]]
}

@test "the rate that the timer row promises is the kernel's tick" {
	local promised tick
	tick=$({ zcat /proc/config.gz || cat "/boot/config-$(uname -r)"; } 2>/dev/null | sed -n 's/^CONFIG_HZ=//p')
	[ -n "$tick" ] || skip "the kernel does not show its configuration"
	doctor
	promised=$(sed -nE 's/.*at most ([0-9]+) ticks.*/\1/p' <<<"$output")
	[ "$promised" -eq "$tick" ]
}

@test "without an argument it examines the system alone" {
	doctor
	[ "$status" -eq 0 ]
	says ok 'shared memory' 'shared'
	says ok 'C library' 'glibc'
	lacks 'can be preloaded'
}

@test "a static program is refused" {
	doctor "$TARGETS/hello_static"
	[ "$status" -eq 1 ]
	says no 'can be preloaded' 'statically linked'
	[[ ${lines[-1]} == *'cannot be profiled: 1 reason above' ]]
}

@test "a 32-bit program is refused" {
	[ -x "$TARGETS/hello_32" ] || skip "no 32-bit target on this processor"
	doctor "$TARGETS/hello_32"
	[ "$status" -eq 1 ]
	says no 'can be preloaded' '32-bit'
}

@test "a program for musl is refused" {
	[ -x "$TARGETS/hello_musl" ] || skip "no musl-gcc"
	doctor "$TARGETS/hello_musl"
	[ "$status" -eq 1 ]
	says no 'can be preloaded' 'musl'
}

@test "a program for another processor is refused" {
	cp "$TARGETS/hello" "$T/foreign"
	# e_machine, two bytes at 18: SPARC
	printf '\002\000' | dd of="$T/foreign" bs=1 seek=18 conv=notrunc status=none
	doctor "$T/foreign"
	[ "$status" -eq 1 ]
	says no 'can be preloaded' 'another processor'
}

@test "Go: a static program is refused, one with cgo gets a warning" {
	echo go >"$T/info"
	objcopy --add-section .go.buildinfo="$T/info" "$TARGETS/hello_static" "$T/gostatic"
	objcopy --add-section .go.buildinfo="$T/info" "$TARGETS/hello" "$T/cgo"
	doctor "$T/gostatic"
	[ "$status" -eq 1 ]
	says no 'can be preloaded' 'Go program'
	doctor "$T/cgo"
	[ "$status" -eq 0 ]
	says warn 'Go' 'cgo'
}

@test "set-user-ID, set-group-ID and capabilities are refused when they would take effect" {
	[ "$(id -u)" -eq 0 ] || skip "needs root to make such files"
	install -m 755 "$TARGETS/hello" "$T/suid"
	chown 65534 "$T/suid" && chmod u+s "$T/suid"
	doctor "$T/suid"
	[ "$status" -eq 1 ]
	says no 'rights' 'set-user-ID'
	says no 'can be preloaded' 'LD_PRELOAD'

	install -m 755 "$TARGETS/hello" "$T/sgid"
	chgrp 65534 "$T/sgid" && chmod g+s "$T/sgid"
	doctor "$T/sgid"
	[ "$status" -eq 1 ]
	says no 'rights' 'set-group-ID'

	# one's own set-user-ID program gains nothing
	install -m 4755 "$TARGETS/hello" "$T/own"
	doctor "$T/own"
	[ "$status" -eq 0 ]

	install -m 755 "$TARGETS/hello" "$T/caps"
	python3 - "$T/caps" <<-'END' || skip "no file capabilities on this file system"
		import os, struct, sys
		os.setxattr(sys.argv[1], "security.capability", struct.pack("<IIIII", 0x02000001, 1 << 10, 0, 0, 0))
	END
	install -m 755 "$PERFAGENT" "$AGENT" "$T"
	run setpriv --reuid=65534 --regid=65534 --clear-groups env TERM=dumb "$T/perfagent" doctor "$T/caps"
	echo "$output"
	[ "$status" -eq 1 ]
	says no 'rights' 'file capabilities'
	doctor "$T/caps" # the superuser gains nothing by them
	[ "$status" -eq 0 ]
}

@test "the verdict on rights is the loader's" {
	[ "$(id -u)" -eq 0 ] || skip "needs root to make such files"
	install -m 755 "$(command -v sleep)" "$T/suid"
	chown 65534 "$T/suid" && chmod u+s "$T/suid"
	"$T/suid" 30 &
	PA_BACKGROUND+=($!)
	sleep 0.2
	doctor $!
	[ "$status" -eq 1 ]
	says no 'secure mode' 'LD_PRELOAD was ignored'
}

@test "of a script its interpreter is examined" {
	printf '#!%s\n' "$TARGETS/hello_static" >"$T/script"
	chmod +x "$T/script"
	doctor "$T/script"
	[ "$status" -eq 1 ]
	says ok 'script' 'hello_static runs it'
	says no 'can be preloaded' 'statically linked'

	printf '#!/usr/bin/env -S FOO=1 hello\n' >"$T/script"
	PATH=$TARGETS:$PATH doctor "$T/script"
	[ "$status" -eq 0 ]
	says ok 'script' 'targets/hello runs it'

	printf '#!%s\n' "$T/script" >"$T/script"
	doctor "$T/script"
	[ "$status" -eq 2 ]
	[[ $output == *'symbolic links'* ]]
}

@test "a sanitizer's shared library has to come first, and doctor says so" {
	echo 'int main(void) { return 0; }' >"$T/a.c"
	gcc -fsanitize=address -o "$T/shared" "$T/a.c"
	doctor "$T/shared"
	[ "$status" -eq 0 ]
	says warn 'sanitizer' 'AddressSanitizer, whose library must be the first'
	clang -fsanitize=thread -o "$T/static" "$T/a.c"
	doctor "$T/static"
	[ "$status" -eq 0 ]
	says warn 'sanitizer' 'built with ThreadSanitizer: figures'
}

@test "missing debug information is a warning that says what to do" {
	strip -o "$T/stripped" "$TARGETS/hello"
	doctor "$T/stripped"
	[ "$status" -eq 0 ]
	says warn 'debug information' 'stripped'
	strip -g -o "$T/symbols" "$TARGETS/hello"
	doctor "$T/symbols"
	says warn 'debug information' 'only a symbol table'
}

@test "separate debug information is found by build-id" {
	local id
	id=$(readelf -n "$(readlink -f /lib/*-linux-gnu/libc.so.6)" | awk '/Build ID/ { print $3 }')
	[ -e "/usr/lib/debug/.build-id/${id:0:2}/${id:2}.debug" ] || skip "libc6-dbg is of another version"
	cp /lib/*-linux-gnu/libc.so.6 "$T/prog"
	chmod +x "$T/prog"
	doctor "$T/prog"
	says ok 'debug information' "/usr/lib/debug/.build-id/${id:0:2}/"
}

@test "what is no program at all is refused" {
	echo nothing >"$T/text"
	chmod +x "$T/text"
	doctor "$T/text"
	[ "$status" -eq 1 ]
	says no 'can be preloaded' 'no ELF program'
	: >"$T/empty"
	chmod +x "$T/empty"
	doctor "$T/empty"
	[ "$status" -eq 1 ]
}

@test "a damaged program ends in a verdict, not in a crash" {
	local size
	cp "$TARGETS/hello" "$T/damaged"
	size=$(stat -c %s "$T/damaged")
	for keep in 20 63 64 100 500 4096 $((size / 2)) $((size - 1)); do
		head -c "$keep" "$TARGETS/hello" >"$T/damaged"
		doctor "$T/damaged"
		[ "$status" -le 2 ] || fail "cut at $keep: status $status"
	done
	head -c 64 "$TARGETS/hello" >"$T/damaged"
	head -c 4096 /dev/zero | tr '\0' '\377' >>"$T/damaged"
	doctor "$T/damaged"
	[ "$status" -le 2 ]
}

@test "a process without the agent, and one that has it" {
	sleep 30 &
	PA_BACKGROUND+=($!)
	doctor $!
	[ "$status" -eq 1 ]
	says no 'agent' 'not loaded'
	says ok 'SIGPROF' 'free'
	LD_PRELOAD=$AGENT sleep 60 &
	PA_BACKGROUND+=($!)
	for _ in $(seq 200); do ! grep -q libc.so "/proc/$!/maps" || ! grep -q '^State:.S' "/proc/$!/status" || break; sleep 0.05; done
	doctor $!
	[ "$status" -eq 0 ]
	says ok 'agent' "loaded: $AGENT"
}

# says_something FILE: waits until it is not empty
says_something() {
	for _ in $(seq 200); do
		[ ! -s "$1" ] || return 0
		sleep 0.05
	done
	fail "nobody wrote $1"
}

@test "a process that has SIGPROF for itself, is stopped, or is a zombie" {
	python3 -c 'import signal, time
signal.signal(signal.SIGPROF, lambda *a: None)
print("ready", flush=True)
time.sleep(60)' >"$T/ready" &
	PA_BACKGROUND+=($!)
	says_something "$T/ready"
	kill -STOP $!
	sleep 0.1
	doctor $!
	says warn 'SIGPROF' 'handler of its own'
	says warn 'state' 'stopped'
	python3 -c 'import os, sys, time
pid = os.fork()
if pid == 0: os._exit(0)
print(pid, flush=True)
time.sleep(60)' >"$T/zombie" &
	PA_BACKGROUND+=($!)
	says_something "$T/zombie"
	sleep 0.2
	doctor "$(cat "$T/zombie")"
	[ "$status" -eq 1 ]
	says no 'state' 'ended'
}

@test "PERFAGENT_DISABLE and an agent in LD_PRELOAD are pointed out" {
	PERFAGENT_DISABLE=1 doctor
	[ "$status" -eq 1 ]
	says no 'environment' 'PERFAGENT_DISABLE'
	LD_PRELOAD=$AGENT doctor
	[ "$status" -eq 0 ]
	says warn 'environment' 'already'
}

@test "missing programs, processes and wrong options: one line, status 2" {
	local arg
	echo text >"$T/text"
	for arg in no-such-program /no/such/program /etc 999999999 --no-such-option "$T/text"; do
		run --separate-stderr "$PERFAGENT" doctor "$arg"
		echo "$arg: $status: $stderr"
		[ "$status" -eq 2 ]
		[ -z "$output" ]
		[[ $stderr == perfagent:\ *:\ * ]]
		[ "$(wc -l <<<"$stderr")" -eq 1 ]
	done
}

@test "hostile file names do not reach the terminal raw" {
	local name=$T/$'a\033[31mred\nnewline'
	cp "$TARGETS/hello_static" "$name"
	doctor "$name"
	[ "$status" -eq 1 ]
	lacks $'\033'
	[[ $output == *'\x1b'* || $output == *'\x1B'* ]]
}

@test "an unwritable standard output is an error" {
	run bash -c '"$1" doctor >/dev/full' - "$PERFAGENT"
	[ "$status" -eq 2 ]
	[[ $output == *'No space left'* ]]
}
