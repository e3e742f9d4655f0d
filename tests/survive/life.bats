# Lives that end at any moment, the program's or the collector's (R37-R39, R43, R57, R60). tests/targets/life counts what it
# does in a file that outlives it; what it counted is in the recording, and its end is its own.
load common

LIFE=$TARGETS/life

life_check() {
	/usr/bin/python3 "$PA_ROOT/tests/survive/life_check.py" "$@" || { echo "life_check $*"; return 1; }
}

@test "R60 the collector stopped for a while, three times: the program runs on, recorded and lost add up to what was counted" {
	[ -z "$PA_SELFTEST" ] || skip "of the recording"
	life_check stopped "$PERFAGENT" "$LIFE" 3
}

@test "R57 a recording that cannot grow for two seconds: nothing is missing in the end, the one beside it notices nothing" {
	[ -z "$PA_SELFTEST" ] || skip "of the recording"
	life_check full "$PERFAGENT" "$LIFE" 2
}

@test "R57 the disk is full to the end: the program's result is its own, record says it, what there is opens and says it too" {
	[ -z "$PA_SELFTEST" ] || skip "of the recording"
	need_root
	unshare -m true 2>/dev/null || skip "no mount namespace to be had here"
	mkdir "$T/small"
	PA_WRAP=(unshare -m sh -c 'mount -t tmpfs -o size=2m none "$0" && { (sleep 1.5; exec cat /dev/zero >"$0/filler" 2>/dev/null) &
		"$@"; s=$?; cp "$0"/t.pfa* "$0/.."; exit $s; }' "$T/small")
	run_plain "$LIFE" none exit 4000000
	run_as recorded 60 "${PA_WRAP[@]}" "$PERFAGENT" record -q -F 250 --mode cpu,memory --heap=exact -o "$T/small/t.pfa" -- "$LIFE" none exit 4000000
	cat "$T/recorded.err"
	[ "$(value_of recorded status)" = 42 ]
	cmp "$T/plain.out" "$T/recorded.out"
	[ "$(grep -c '^perfagent: .*No space left on device' "$T/recorded.err")" = 1 ]
	[ "$(wc -l <"$T/recorded.err")" = 1 ]
	"$PERFAGENT" report -i "$T/t.pfa" >"$T/report.txt"
	grep -i 'ended early' "$T/report.txt"
	load_report
	sampled 20
}

# life STATUS ARGS...: (CHECK=until: as life_check has it) the same end as without the agent, and every allocation that was counted is in the recording
life() {
	local status=$1
	shift
	rm -rf "$T/plain.cwd"
	run_plain "$LIFE" "$@" || return 1
	[ "$(value_of plain status)" = "$status" ] || fail "the plain run ended with $(value_of plain status)" || return 1
	rm -rf "$T/t.pfa" "$T/report.json" "$T/recorded.cwd"
	PA_RECORD=(--mode cpu,memory --heap=exact)
	run_recorded "$LIFE" "$@" && same plain recorded && check_recording || return 1
	[ -n "$PA_SELFTEST" ] || life_check "${CHECK:-counted}" "$PERFAGENT" "$T/t.pfa" "$T/recorded.cwd/life.bin"
}

# memory_group: a control group for 48 MiB, its path; of either version
memory_group() {
	local path
	for path in "/sys/fs/cgroup/memory/pa-test.$$" "/sys/fs/cgroup/pa-test.$$"; do
		mkdir "$path" 2>/dev/null || continue
		if { echo 50331648 >"$path/memory.limit_in_bytes" && echo 0 >"$path/memory.swappiness"; } 2>/dev/null ||
			{ echo 50331648 >"$path/memory.max" && echo 0 >"$path/memory.swap.max"; } 2>/dev/null; then
			echo "$path"
			return 0
		fi
		rmdir "$path"
	done
	return 1
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

@test "R39 confined by seccomp, strict or by a filter of eight calls: what was counted before is there, the rest is spoken of" {
	CHECK=until life 137 -t 0 -w 500 filter kill 150000
	CHECK=until life 42 -t 0 -w 500 filter exit 150000
	CHECK=until life 137 -t 0 -w 500 strict kill 150000
}

@test "R43 the kernel's OOM killer, for want of memory in the program's group" {
	need_root
	group=$(memory_group) || skip "no memory group of its own to be had here"
	grouped=(sh -c 'echo $$ >"$0/cgroup.procs" && exec "$@"' "$group" "$LIFE" none oom 150000)
	status=0
	run_plain "${grouped[@]}" || status=1
	rm -rf "$T/t.pfa" "$T/recorded.cwd"
	PA_RECORD=(--mode cpu,memory --heap=exact)
	run_recorded "${grouped[@]}" || status=1
	sleep 0.2
	rmdir "$group"
	[ $status = 0 ]
	[ "$(value_of plain status)" = 137 ]
	same plain recorded
	check_recording
	[ -n "$PA_SELFTEST" ] || life_check counted "$PERFAGENT" "$T/t.pfa" "$T/recorded.cwd/life.bin"
}

# core_of TAG: the only core in that run's folder; facts TAG: what gdb sees in it, addresses left out
core_of() {
	find "$T/$1.cwd" -maxdepth 1 -name 'core*' | head -n 1
}
facts() {
	gdb -q -nx -batch -iex 'set debuginfod enabled off' -ex 'print $_siginfo.si_signo' -ex 'print $_siginfo._sifields._sigfault.si_addr' \
		-ex 'bt' -ex 'print us' -ex 'print nr_threads' -ex 'thread apply all bt -raw-frame-arguments on' "$LIFE" "$(core_of "$1")" >"$T/$1.gdb" 2>/dev/null 3>&-
	grep -aE '^\$|^Program terminated' "$T/$1.gdb"
	# main stands where it crashed; the others are somewhere in their work, told by their outermost frames
	sed -n '/^#0.*end_by_segv/,/main (/p' "$T/$1.gdb" | sed 's/0x[0-9a-f]*//g; s/LWP [0-9]*//' | sort -u
	grep -ac '^#[0-9]* .*life_thread' "$T/$1.gdb"
}

@test "R43 the core dump is the program's own: its signal, its frames, its data, its threads, and its size" {
	need gdb
	case $(cat /proc/sys/kernel/core_pattern) in '|'* | /*) skip "core files go elsewhere here" ;; esac
	ulimit -c unlimited
	life 139 none segv 100000
	[ -n "$(core_of plain)" ] && [ -n "$(core_of recorded)" ]
	facts plain >"$T/plain.facts"
	facts recorded >"$T/recorded.facts"
	cat "$T/plain.facts"
	grep -q 'end_by_segv' "$T/plain.facts"
	[ "$(tail -n 1 "$T/plain.facts")" = 2 ]
	diff "$T/plain.facts" "$T/recorded.facts"
	sizes=$(stat -c %b "$(core_of plain)" "$(core_of recorded)" | tr '\n' ' ')
	echo "plain and recorded: $sizes blocks of 512 bytes"
	# what libc and the program hold, and our few pages: not the rings
	[ "${sizes#* }" -le $((${sizes%% *} + 4096 * 2)) ]
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
