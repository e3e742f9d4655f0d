# Processes: rows R27, R31-R38, R42 and finding S4.
load common

# every process of the tree that lives long enough to be sampled is its own in the report
processes_at_least() {
	holds --argjson n "$1" '(.processes | length) >= $n'
}

@test "R31 fork storm while other threads allocate and burn" {
	run_both "$TARGETS/forks" fork
	sampled 10
	processes_at_least 10
	has_stack child_burns
}

@test "R31 raw syscall(SYS_fork): no atfork handler runs, the children are sampled" {
	run_both "$TARGETS/forks" raw
	sampled 10
	has_stack child_burns
}

@test "R31 raw clone without flags: the children are sampled" {
	run_both "$TARGETS/forks" clone
	sampled 10
	has_stack child_burns
}

@test "R31 raw clone3: the children are sampled" {
	run_both "$TARGETS/forks" clone3
	sampled 10
	has_stack child_burns
}

@test "R31 _Fork: the children are sampled" {
	run_both "$TARGETS/forks" _Fork
	sampled 10
	has_stack child_burns
}

@test "R31 a tree of 31 processes, forked by libc and raw by turns: each is in the report" {
	run_both "$TARGETS/forks" tree
	processes_at_least 16
}

@test "R27 fork of a big process at the full rate returns" {
	PA_RATE=1000
	run_both "$TARGETS/forks" big
}

@test "R32 vfork children that allocate, close descriptors, exec and fail to" {
	run_both "$TARGETS/forks" vfork
	sampled 20
}

@test "R32 posix_spawn, with a full mask, of programs there are and are not" {
	run_both "$TARGETS/forks" spawn
	sampled 20
}

@test "R32 clone(CLONE_VM) children that burn leave the parent's state alone" {
	run_both "$TARGETS/forks" clone_vm
	sampled 10
}

@test "R33 exec chain: shell, env, python, program" {
	run_both sh -c "exec env A=1 /usr/bin/python3 -S -c 'import os, sys; sum(i for i in range(2000000)); os.execv(sys.argv[1], sys.argv[1:])' '$TARGETS/split' 1 200"
	sampled 20
	has_stack 'hot_seventy'
	grep -qx "split over 1 threads" "$T/recorded.out"
}

@test "R33 exec from a thread with signals blocked and pending: the new image inherits what the program set" {
	run_both "$TARGETS/procs" exec "$TARGETS/procs" inherited
	sampled 10
}

@test "R33 exec with an empty environment: the program runs unharmed" {
	run_both "$TARGETS/procs" no_env "$TARGETS/hello" 12
	[ "$(value_of recorded status)" = 12 ]
}

@test "R33 env -i" {
	run_both env -i "$TARGETS/hello" 13
	[ "$(value_of recorded status)" = 13 ]
}

@test "R33 exec that fails: sampling goes on, errno is the program's" {
	run_both "$TARGETS/procs" exec_fails
	sampled 20
}

@test "R33 a script, and a script whose interpreter is missing" {
	printf '#!/bin/sh\necho script; exit 14\n' >"$T/script"
	printf '#!/nonexistent/interpreter\n' >"$T/broken"
	chmod +x "$T/script" "$T/broken"
	run_both "$T/script"
	[ "$(value_of recorded status)" = 14 ]
	run_plain sh -c "'$T/broken'; echo status \$?"
	rm -f "$T/t.pfa" "$T/report.json"
	run_recorded sh -c "'$T/broken'; echo status \$?"
	same plain recorded
}

@test "R34 a daemon that closes all descriptors (loop) is followed to its end" {
	run_both "$TARGETS/procs" daemon loop
	sampled 20
	cmp "$T/plain.cwd/daemon.txt" "$T/recorded.cwd/daemon.txt"
}

@test "R34 a daemon that closes all descriptors (close_range)" {
	run_both "$TARGETS/procs" daemon range
	sampled 20
	cmp "$T/plain.cwd/daemon.txt" "$T/recorded.cwd/daemon.txt"
}

@test "R34 a daemon that closes all descriptors (closefrom)" {
	run_both "$TARGETS/procs" daemon from
	sampled 20
	cmp "$T/plain.cwd/daemon.txt" "$T/recorded.cwd/daemon.txt"
}

@test "R34 a grandchild without a parent that is executed at once keeps its place in the tree" {
	run_both sh -c "('$TARGETS/split' 1 200 &); sleep 1"
	sampled 20
	# the image before exec is its parent, and both are the same process of the system
	holds '.processes as $all | $all[] | select(.exe | endswith("/split")) | . as $it |
		[$all[] | select(.id == $it.parent and .pid == $it.pid and .how == "exec")] | length == 1'
}

# the one process that runs the target is there, and was sampled
recorded_split() {
	sampled 20
	holds '[.processes[] | select((.exe // "") | endswith("/split"))] | length == 1'
}

@test "R34 a program that gives what it executes a LD_PRELOAD of its own: the recording goes on" {
	run_both env LD_PRELOAD=libm.so.6 "$TARGETS/split" 1 200
	recorded_split
	holds '.notes == []'
}

@test "R34 the same by vfork and by posix_spawn" {
	need python3
	run_both python3 -c "import subprocess, os
os.environ['LD_PRELOAD'] = 'libm.so.6 libdl.so.2'
subprocess.run(['$TARGETS/split', '1', '200'], close_fds=False, check=True)"
	recorded_split
	rm -f "$T/report.json"
	run_both python3 -c "import os
os.waitpid(os.posix_spawn('$TARGETS/split', ['split', '1', '200'], dict(os.environ, LD_PRELOAD='libm.so.6')), 0)"
	recorded_split
}

@test "R34 the agent comes first in such a list, and the rest is kept" {
	[ -z "$PA_SELFTEST" ] || skip "of the agent"
	run_recorded env LD_PRELOAD='libm.so.6:libdl.so.2' sh -c 'echo "$LD_PRELOAD"' || true
	[ "$(cat "$T/recorded.out")" = "$(realpath "$AGENT"):libm.so.6:libdl.so.2" ]
}

@test "R34 an environment without LD_PRELOAD stays one, and the report says that the program went without" {
	local cleared
	for cleared in -i LD_PRELOAD= '-i LD_PRELOAD=libm.so.6'; do
		rm -f "$T/report.json"
		# shellcheck disable=SC2086
		run_both env $cleared "$TARGETS/split" 1 100
		[ -n "$PA_SELFTEST" ] || holds '[.notes[].text | select(test("ran a program without the agent"))] | length == 1'
	done
	[ -n "$PA_SELFTEST" ] || [ "$("$PERFAGENT" record -q -o "$T/t.pfa" -- env -i /usr/bin/env)" = "" ]
}

@test "R36 socket activation: descriptors 3.. keep their numbers, no other is there" {
	run_both "$TARGETS/procs" activate
	sampled 5
}

@test "R37 chroot into an empty directory while sampled" {
	need_root
	run_both "$TARGETS/procs" chroot
	sampled 20
}

@test "R37 the process drops to another user, then forks" {
	need_root
	run_both "$TARGETS/procs" setuid
	sampled 30
}

@test "R37 a user namespace as the first thing of a program of one thread, 100 programs on busy cores" {
	unshare -U true 2>/dev/null || skip "no user namespace to be had here"
	run_both sh -c 'for i in 1 2 3 4; do
			(for k in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25; do unshare -U true; done) &
		done; wait'
	[ ! -s "$T/recorded.err" ]
}

@test "R37 unshare of user, pid and mount namespace, then a child that is pid 1" {
	run_both "$TARGETS/procs" namespaces
	sampled 10
}

@test "R38 PR_SET_DUMPABLE 0 and no_new_privs" {
	run_both "$TARGETS/procs" dumpable
	sampled 20
}

@test "R42 prefork server: each worker is a process of its own in the report, one is killed" {
	run_both "$TARGETS/forks" prefork
	sampled 80
	processes_at_least 5
}

@test "R41 a process number is used again: two processes, each with its own samples" {
	run_both "$TARGETS/forks" pid_reuse
	grep -qx "same number 1" "$T/plain.out" || skip "process numbers cannot be chosen here"
	grep -qx "same number 1" "$T/recorded.out" || skip "the number was taken by somebody else"
	sampled 20
	has_stack first_owner
	has_stack second_owner
	holds '[.processes | group_by(.pid)[] | select(length == 2)] | length == 1'
}
