# Lives that end at any moment, the program's or the collector's (R37-R39, R43, R57, R60). tests/targets/life counts what it
# does in a file that outlives it; what it counted is in the recording, and its end is its own.
load common

LIFE=$TARGETS/life

life_check() {
	/usr/bin/python3 "$PA_ROOT/tests/survive/life_check.py" "$@" || { echo "life_check $*"; return 1; }
}

# life STATUS ARGS...: the same end as without the agent, and every allocation that was counted is in the recording
life() {
	local status=$1
	shift
	rm -rf "$T/plain.cwd"
	run_plain "$LIFE" "$@" || return 1
	[ "$(value_of plain status)" = "$status" ] || fail "the plain run ended with $(value_of plain status)" || return 1
	rm -rf "$T/t.pfa" "$T/report.json" "$T/recorded.cwd"
	PA_RECORD=(--mode cpu,memory --heap=exact)
	run_recorded "$LIFE" "$@" && same plain recorded && check_recording || return 1
	[ -n "$PA_SELFTEST" ] || life_check counted "$PERFAGENT" "$T/t.pfa" "$T/recorded.cwd/life.bin"
}

@test "R43 killed at random moments, ten times: all that was counted and all that was sampled is in the recording (200 in check-long)" {
	[ -z "$PA_SELFTEST" ] || skip "of the recording"
	life_check targets "$PERFAGENT" "$LIFE" 10
}

@test "R60 the collector killed at random moments, six times: all but the last second is in the recording (200 in check-long)" {
	[ -z "$PA_SELFTEST" ] || skip "of the recording"
	life_check collectors "$PERFAGENT" "$LIFE" 6
}

@test "R43 every end: what three threads had counted is recorded" {
	for pair in 137:kill 139:segv 134:abort 143:term 41:_exit 42:exit 43:exit_group 44:quick_exit 45:return; do
		echo "# ${pair#*:}"
		life "${pair%%:*}" none "${pair#*:}" 150000
	done
}

@test "R43 exec: what the old image had counted, and what the new one did until it was killed" {
	life 137 none exec 150000
	holds '[.processes[] | select(.exe | endswith("/life")) | .pid] | length == 2 and .[0] == .[1]'
}

@test "R34 a daemon with every descriptor closed is killed: all it had counted is there" {
	life 0 daemon kill 300000
	life 0 daemon segv 300000
}

@test "R37 in a chroot, as another user, without a /proc: killed or ended by itself" {
	need_root
	for before in chroot setuid mounts; do
		echo "# $before"
		life 137 "$before" kill 150000
		life 42 "$before" exit 150000
	done
}

@test "R37 in namespaces of its own (user, pid, mount, net, ipc)" {
	unshare -U true 2>/dev/null || skip "no user namespace to be had here"
	life 137 namespaces kill 200000
	life 43 namespaces exit_group 200000
}

@test "R37 the whole recording inside pid, mount and user namespaces" {
	unshare -Urpf --mount-proc true 2>/dev/null || skip "no namespaces to be had here"
	run_plain "$LIFE" none kill 150000
	PA_RECORD=(--mode cpu,memory --heap=exact)
	PA_WRAP=(unshare -Urpf --mount-proc)
	run_recorded "$LIFE" none kill 150000
	same plain recorded
	check_recording
	[ -n "$PA_SELFTEST" ] || life_check counted "$PERFAGENT" "$T/t.pfa" "$T/recorded.cwd/life.bin"
}

@test "R37 a command under unshare --pid --fork, the recorder outside" {
	unshare -Urpf --mount-proc true 2>/dev/null || skip "no namespaces to be had here"
	life 137 dumpable kill 150000
	run_plain unshare -Urpf --mount-proc "$LIFE" none exit 150000
	rm -f "$T/t.pfa" "$T/report.json" "$T/recorded.cwd/life.bin"
	run_recorded unshare -Urpf --mount-proc "$LIFE" none exit 150000
	same plain recorded
	check_recording
	[ -n "$PA_SELFTEST" ] || life_check counted "$PERFAGENT" "$T/t.pfa" "$T/recorded.cwd/life.bin"
}
