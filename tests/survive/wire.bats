# Collector and wire: rows R59-R64, findings F3, S2-S5.
load common

dormant_as_plain() {
	run_plain "$TARGETS/oath" fds || return 1
	run_as dormant "$(limit_for plain)" env ${PA_SELFTEST:-LD_PRELOAD="$AGENT"} PERFAGENT_SOCKET="$1" "$TARGETS/oath" fds || return 1
	same plain dormant
}
# in a self-test the word in front of PERFAGENT_SOCKET must be an assignment too
[ -z "$PA_SELFTEST" ] || PA_SELFTEST=PA_SELFTEST=1

@test "R59 no collector: no such file, a directory, a plain file, a stale socket, a path too long, an empty one" {
	mkdir "$T/dir"
	echo precious >"$T/file"
	/usr/bin/python3 -c 'import socket, sys; s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); s.bind(sys.argv[1])' "$T/stale"
	long=$T/$(printf 'x%.0s' {1..200})
	for socket in "$T/none" "$T/dir" "$T/file" "$T/stale" "$long" "" "/nonexistent/dir/socket" "relative.sock"; do
		dormant_as_plain "$socket"
	done
	[ "$(cat "$T/file")" = precious ]
}

@test "R59 a stream socket where a packet socket is expected" {
	/usr/bin/python3 -c 'import socket, sys, time
s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM); s.bind(sys.argv[1]); s.listen(5); print("ready", flush=True); time.sleep(60)' "$T/stream" >"$T/ready" 3>&- &
	PA_BACKGROUND+=($!)
	until grep -q ready "$T/ready"; do sleep 0.02; done
	dormant_as_plain "$T/stream"
}

@test "R60 R64 a collector of another version, one that refuses, is silent, deaf, closes, answers rubbish, passes wrong files" {
	for mode in version refuse silent deaf close garbage cut nofd unsealed zeros short empty device fifo many lies; do
		echo "# collector: $mode"
		"$TARGETS/fakecollector" "$mode" "$T/$mode.sock" >"$T/ready.$mode" 3>&- &
		PA_BACKGROUND+=($!)
		until grep -q ready "$T/ready.$mode"; do sleep 0.02; done
		dormant_as_plain "$T/$mode.sock"
	done
}

@test "R60 the target starts at once although the collector does not answer (20 ms; half a second here)" {
	"$TARGETS/fakecollector" silent "$T/silent.sock" >"$T/ready" 3>&- &
	PA_BACKGROUND+=($!)
	until grep -q ready "$T/ready"; do sleep 0.02; done
	run_as dormant 20 env ${PA_SELFTEST:-LD_PRELOAD="$AGENT"} PERFAGENT_SOCKET="$T/silent.sock" "$TARGETS/hello" 3
	echo "$(value_of dormant wall_ms) ms"
	[ "$(value_of dormant wall_ms)" -lt 500 ]
}

@test "PERFAGENT_DISABLE=1: the program is left alone" {
	[ -z "$PA_SELFTEST" ] || skip "needs perfagent"
	PA_ENV=(PERFAGENT_DISABLE=1)
	run_plain "$TARGETS/split" 1 200
	run_recorded "$TARGETS/split" 1 200
	cmp "$T/plain.out" "$T/recorded.out"
	[ "$(value_of recorded status)" = 0 ]
	# record says that nothing came of it, and only record does
	if grep -v '^perfagent: ' "$T/recorded.err"; then return 1; fi
	holds '(.cpu.effective_samples // 0) == 0'
}

@test "R60 the collector is killed half-way: the program ends as it would, the recording opens and says it ended early" {
	[ -z "$PA_SELFTEST" ] || skip "needs perfagent"
	run_plain sh -c "'$TARGETS/split' 2 1500; '$TARGETS/split' 1 100; exit 5"
	run_as recorded 60 "$PERFAGENT" record -q -F 250 -o "$T/t.pfa" -- sh -c "(sleep 2.5; kill -KILL \$PPID) & '$TARGETS/split' 2 3000; '$TARGETS/split' 1 100; exit 5"
	[ "$(value_of recorded raw)" = "signal 9" ]
	cmp "$T/plain.out" "$T/recorded.out"
	cmp "$T/plain.err" "$T/recorded.err"
	"$PERFAGENT" report -i "$T/t.pfa" >"$T/report.txt"
	grep -i 'ended early' "$T/report.txt"
	load_report
	# all but the last second of what was sampled: 2.5 s of two threads on what the machine gave them
	sampled 40
}

@test "R60 the collector is stopped while the ring overflows: hooks never block, the loss is in the report" {
	[ -z "$PA_SELFTEST" ] || skip "needs perfagent"
	run_plain "$TARGETS/stacks" recursion 1000
	run_as recorded 60 "$PERFAGENT" record -q -F 250 -o "$T/t.pfa" -- sh -c "kill -STOP \$PPID; (sleep 4; kill -CONT \$PPID) & '$TARGETS/stacks' recursion 1000; '$TARGETS/stacks' recursion 1000; '$TARGETS/stacks' recursion 1000"
	[ "$(value_of recorded status)" = 0 ]
	cat "$T/plain.out" "$T/plain.out" "$T/plain.out" | cmp - "$T/recorded.out"
	check_recording
}

@test "R60 a program that begins while the collector stands still is recorded when it goes on" {
	[ -z "$PA_SELFTEST" ] || skip "needs perfagent"
	run_as recorded 60 "$PERFAGENT" record -q -F 250 -o "$T/t.pfa" -- sh -c "kill -STOP \$PPID; (sleep 1.5; kill -CONT \$PPID) & '$TARGETS/split' 1 3500"
	[ "$(value_of recorded status)" = 0 ]
	check_recording
	sampled 100
	has_stack hot_seventy
}

@test "R61 a ring that overflows counts what it lost" {
	[ -z "$PA_SELFTEST" ] || skip "needs perfagent"
	# stacks of 480 frames are 4 KiB each: 300 of them are more than any signal ring holds
	run_as recorded 60 "$PERFAGENT" record -q -F 250 -o "$T/t.pfa" -- sh -c "exec '$TARGETS/overflow' \$PPID"
	[ "$(value_of recorded status)" = 0 ]
	check_recording
	holds '.loss.cpu_lost > 0 and .loss.cpu_recorded > 0'
	holds '(.loss.cpu_recorded + .loss.cpu_lost) >= 0.9 * .loss.cpu_expected'
}

# hostile MODE...: an attack on the collector of `record`, which has to record the next program all the same
hostile() {
	run_as recorded 40 "$PERFAGENT" record -q -F 250 -o "$T/t.pfa" -- sh -c "env HOSTILE_SOCKET=\$PERFAGENT_SOCKET PERFAGENT_DISABLE=1 '$TARGETS/hostileclient' $*; echo status \$?; exec '$TARGETS/split' 1 300" || return 1
	[ "$(value_of recorded status)" = 0 ] || fail "record ended with $(value_of recorded raw): $(cat "$T/recorded.err")" || return 1
	grep -q "split over 1 threads" "$T/recorded.out" || return 1
	check_recording && sampled 30 && has_stack hot_seventy
}

@test "R62 malformed HELLOs: wrong version, magic, length, type, half, with a tail: each refused, none crashes" {
	[ -z "$PA_SELFTEST" ] || skip "needs perfagent"
	hostile messages
	cat "$T/recorded.out"
	# another version is refused politely, by number; nothing malformed gets a descriptor
	grep -qx "version: status 1, descriptor 0" "$T/recorded.out"
	run grep -E '^(magic|length|options|type|half|byte): .*descriptor 1' "$T/recorded.out"
	[ "$status" -eq 1 ]
	grep -qx "status 0" "$T/recorded.out"
}

@test "R62 three hundred connections of random bytes" {
	[ -z "$PA_SELFTEST" ] || skip "needs perfagent"
	hostile random 300
	grep -qx "status 0" "$T/recorded.out"
}

@test "R62 a thousand connections that say nothing" {
	[ -z "$PA_SELFTEST" ] || skip "needs perfagent"
	hostile crowd 1000
	grep -qx "status 0" "$T/recorded.out"
}

@test "R64 a HELLO with descriptors attached: they are closed, none leaks" {
	[ -z "$PA_SELFTEST" ] || skip "needs perfagent"
	hostile descriptors
	grep -qx "status 0" "$T/recorded.out"
}

@test "R63 a client that scribbles over the shared memory; the file cannot be resized under the collector" {
	[ -z "$PA_SELFTEST" ] || skip "needs perfagent"
	hostile scribble
	grep -qx "shrink -1, grow -1" "$T/recorded.out"
	grep -qx "status 0" "$T/recorded.out"
}

@test "R63 records whose sizes change after the check" {
	[ -z "$PA_SELFTEST" ] || skip "needs perfagent"
	hostile toctou
	grep -qx "status 0" "$T/recorded.out"
}

@test "R61 a producer that is killed in the middle of a record" {
	[ -z "$PA_SELFTEST" ] || skip "needs perfagent"
	hostile die
	grep -qx "status 137" "$T/recorded.out"
}

@test "R64 the collector of one user refuses another user" {
	[ -z "$PA_SELFTEST" ] || skip "needs perfagent"
	need_root
	need setpriv
	mkdir "$T/bin"
	cp "$PERFAGENT" "$O"/libperfagent*.so "$TARGETS/hostileclient" "$T/bin"
	chmod -R a+rX "$T/bin"
	chmod 777 "$T"
	(cd "$T" && exec setpriv --reuid 65534 --regid 65534 --clear-groups env -u XDG_RUNTIME_DIR "$T/bin/perfagent" record -q -o "$T/t.pfa" -- \
		sh -c "echo \$PERFAGENT_SOCKET >'$T/socket'; until [ -e '$T/over' ]; do sleep 0.05; done") >"$T/recorded.out" 2>"$T/recorded.err" </dev/null 3>&- &
	PA_BACKGROUND+=($!)
	for _ in $(seq 250); do [ -s "$T/socket" ] && break; sleep 0.02; done
	run_as refused 20 env HOSTILE_SOCKET="$(cat "$T/socket")" setpriv --reuid 65533 --regid 65533 --clear-groups "$T/bin/hostileclient" refused
	touch "$T/over"
	wait "${PA_BACKGROUND[0]}"
	cat "$T/refused.err"
	grep -qx refused "$T/refused.out"
	check_recording
}

@test "R62 R63 perfagentd lives through all of it, serves a good client and ends by SIGTERM with 0" {
	[ -z "$PA_SELFTEST" ] || skip "needs perfagentd"
	mkdir "$T/data"
	"$O/perfagentd" --socket "$T/d.sock" --data "$T/data" >"$T/d.out" 2>"$T/d.err" </dev/null 3>&- &
	daemon=$!
	PA_BACKGROUND+=($daemon)
	for _ in $(seq 250); do [ -S "$T/d.sock" ] && break; sleep 0.02; done
	for attack in messages "random 200" "crowd 500" descriptors "scribble 400" "toctou 400" die; do
		# shellcheck disable=SC2086 # mode and number
		HOSTILE_SOCKET=$T/d.sock "$TARGETS/hostileclient" $attack || [ $? = 137 ]
		kill -0 "$daemon"
	done
	run_as good 20 env LD_PRELOAD="$AGENT" PERFAGENT_SOCKET="$T/d.sock" "$TARGETS/split" 1 300
	[ "$(value_of good status)" = 0 ]
	[ "$(grep -c . "$T/good.err")" = 0 ]
	[ "$(find "/proc/$daemon/fd" -mindepth 1 | wc -l)" -lt 64 ]
	kill -TERM "$daemon"
	wait "$daemon"
	find "$T/data" -name '*.pfa' | grep .
}

@test "R67 hostile process names in the daemon's log: control characters never reach it" {
	[ -z "$PA_SELFTEST" ] || skip "needs perfagentd"
	mkdir "$T/data"
	"$O/perfagentd" --socket "$T/d.sock" --data "$T/data" >"$T/d.out" 2>"$T/d.err" </dev/null 3>&- &
	daemon=$!
	PA_BACKGROUND+=($daemon)
	for _ in $(seq 250); do [ -S "$T/d.sock" ] && break; sleep 0.02; done
	evil=$(printf 'evil\033[31m\nperfagentd: forged line\r\007')
	cp "$TARGETS/split" "$T/$evil"
	run_as evil 20 env LD_PRELOAD="$AGENT" PERFAGENT_SOCKET="$T/d.sock" "$T/$evil" 1 200
	[ "$(value_of evil status)" = 0 ]
	kill -TERM "$daemon"
	wait "$daemon"
	cat -v "$T/d.out" "$T/d.err"
	if cat "$T/d.out" "$T/d.err" | LC_ALL=C grep -aP '[\x00-\x08\x0b-\x1f\x7f]'; then return 1; fi
	if grep -ax 'perfagentd: forged line.*' "$T/d.out" "$T/d.err"; then return 1; fi
	for pfa in "$T"/data/*.pfa; do
		"$PERFAGENT" report -i "$pfa" >"$T/report.txt"
		if LC_ALL=C grep -aP '[\x00-\x08\x0b-\x1f\x7f]' "$T/report.txt"; then return 1; fi
	done
}
