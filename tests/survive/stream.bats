# The socket transport (PERFAGENT_TRANSPORT=socket): rows S12, R34, R58-R61. What a shared file gives for nothing, the
# end of a process and its children, has to come over the connection; and the program does with descriptors what it likes.
load common

socket_transport() {
	PA_ENV=(PERFAGENT_TRANSPORT=socket)
}

# the report says which way the records came
over_socket() {
	holds '[.notes[].text | select(test("came over the socket"))] | length > 0'
}

@test "socket: the split is right, over all threads, and the report says which way the records came" {
	socket_transport
	run_both "$TARGETS/split" 4 1200
	sampled 200
	over_socket
	folded
	local seventy thirty
	seventy=$(weight_of hot_seventy) thirty=$(weight_of hot_thirty)
	echo "seventy $seventy thirty $thirty"
	# of n periods 0.7 n, within four standard deviations of a binomial: 4 sqrt(0.21 n); what is weighted has larger ones:
	# signals that stand for up to three periods, sqrt(3)
	[ -n "$PA_SELFTEST" ] || awk -v a="$seventy" -v b="$thirty" 'BEGIN { n = a + b; d = a - 0.7 * n; exit d * d > 16 * 3 * 0.21 * n }'
	holds '.loss.cpu_lost == 0 and .loss.cpu_recorded + .loss.unsampled >= 0.9 * .loss.cpu_expected'
}

@test "socket: without it no note says so" {
	run_plain "$TARGETS/split" 1 100
	run_recorded "$TARGETS/split" 1 100
	holds '[.notes[].text | select(test("came over the socket"))] == []'
}

@test "socket: low descriptors keep their numbers; no more than sixteen of them; an executed program inherits none" {
	socket_transport
	run_both "$TARGETS/streams" low
	over_socket
	rm -f "$T/report.json"
	run_both sh -c "'$TARGETS/streams' low; exec '$TARGETS/streams' low"
	rm -f "$T/report.json"
	PA_WRAP=()
	run_both sh -c "ulimit -n 16; exec '$TARGETS/split' 1 200"
	over_socket
	sampled 20
}

@test "socket: more threads than the first slots: all of their time is there" {
	socket_transport
	run_both "$TARGETS/split" 64 800
	over_socket
	holds '.processes[0].threads >= 60 and .loss.cpu_lost == 0'
	holds '.loss.cpu_recorded + .loss.unsampled >= 0.9 * .loss.cpu_expected'
}

@test "socket: children by fork, raw and not, and a process tree: each is in the report, over one connection" {
	socket_transport
	run_both "$TARGETS/forks" tree
	over_socket
	holds '.processes | length >= 16'
	holds '.loss.cpu_lost == 0'
}

@test "socket: exec, vfork and posix_spawn" {
	socket_transport
	run_both sh -c "'$TARGETS/split' 1 100; exec '$TARGETS/split' 1 100"
	sampled 30
	has_stack hot_seventy
	rm -f "$T/report.json" "$T/folded"
	run_both "$TARGETS/forks" spawn
}

@test "socket: sampled allocations with a mean of one byte: the books of the program, call for call" {
	[ -z "$PA_SELFTEST" ] || skip "needs perfagent"
	socket_transport
	PA_RECORD=(--mode cpu,memory --heap sampled:1)
	run_plain "$TARGETS/malloc_books" growth 300 4
	run_recorded "$TARGETS/malloc_books" growth 300 4
	check_recording
	over_socket
	holds '[.memory.processes[].lost] == [0]'
	/usr/bin/python3 "$PA_ROOT/tests/e2e/memory_check.py" estimate "$PERFAGENT" "$T/t.pfa" "$T/recorded.cwd/books.json" >"$T/figures"
	cat "$T/figures"
	[ "$(wc -l <"$T/figures")" = 5 ]
	[ "$(awk '$3 != $4 || $5 != 0' "$T/figures" | wc -l)" = 0 ]
}

@test "socket: every allocation cannot be had: the report says so, CPU time is sampled" {
	socket_transport
	PA_RECORD=(--mode cpu,memory --heap exact)
	run_both "$TARGETS/split" 1 200
	holds '[.notes[].text | select(test("allocations are not recorded"))] | length == 1'
	holds '.memory == null'
	sampled 20
}

@test "socket: the program closes all descriptors: unharmed; what follows is not recorded, and the report says so" {
	socket_transport
	run_both "$TARGETS/streams" close
	has_stack before_loss
	has_no_stack after_loss
	holds '.loss.cpu_recorded < 0.8 * .loss.cpu_expected'
}

@test "socket: the program has descriptors of its own in our place: nothing of ours arrives there" {
	local kind
	socket_transport
	for kind in pipe stream packets tcp; do
		rm -f "$T/report.json" "$T/folded"
		run_both "$TARGETS/streams" reuse $kind
		has_stack before_loss
		has_no_stack after_loss
	done
}

@test "socket: SIGKILL of the target: all but a quarter of a second is there, also of a thread that went to sleep" {
	socket_transport
	run_plain "$TARGETS/streams" killed
	run_recorded "$TARGETS/streams" killed
	same plain recorded
	check_recording
	has_stack 'sleeper.*before_loss'
	folded
	[ -n "$PA_SELFTEST" ] || echo "before $(weight_of before_loss), after $(weight_of after_loss)"
	# 300 ms: 75 periods; 900 ms less a quarter of a second, and less what a busy machine makes of it: 160 of 225
	[ -n "$PA_SELFTEST" ] || [ "$(weight_of before_loss)" -ge 60 ]
	[ -n "$PA_SELFTEST" ] || [ "$(weight_of after_loss)" -ge 120 ]
}

@test "socket: the collector is killed: no SIGPIPE, no call is interrupted, the recording opens" {
	[ -z "$PA_SELFTEST" ] || skip "needs perfagent"
	socket_transport
	run_plain "$TARGETS/streams" orphan
	run_as recorded 60 "$PERFAGENT" record -q -F 250 -o "$T/t.pfa" -- sh -c "exec '$TARGETS/streams' orphan \$PPID"
	[ "$(value_of recorded raw)" = "signal 9" ]
	cmp "$T/plain.out" "$T/recorded.out"
	cmp "$T/plain.err" "$T/recorded.err"
	"$PERFAGENT" report -i "$T/t.pfa" >"$T/report.txt"
	grep -i 'ended early' "$T/report.txt"
}

@test "socket: a collector that is stopped: nobody waits, what found no room is counted" {
	[ -z "$PA_SELFTEST" ] || skip "needs perfagent"
	socket_transport
	run_plain "$TARGETS/streams" slow
	run_as recorded 60 "$PERFAGENT" record -q -F 250 --mode cpu,memory --heap sampled:1k -o "$T/t.pfa" -- \
		sh -c "exec '$TARGETS/streams' slow \$PPID"
	same plain recorded
	check_recording
	over_socket
	holds '.loss.heap_lost > 0'
	# the ticks of that time found room: they are in a ring of their own
	holds '.loss.cpu_recorded + .loss.cpu_lost >= 0.9 * .loss.cpu_expected'
}

@test "socket: detached, the descriptor is gone; attached anew, memory is shared" {
	[ -z "$PA_SELFTEST" ] || skip "needs perfagent"
	local target='' i
	env PERFAGENT_TRANSPORT=socket "$PERFAGENT" record -q -o "$T/t.pfa" -- "$TARGETS/split" 1 60000 >/dev/null 2>&1 </dev/null 3>&- 4>&- &
	PA_BACKGROUND+=($!)
	for ((i = 0; i < 500; i++)); do
		target=$(pgrep -P "${PA_BACKGROUND[0]}" -x split) && find "/proc/$target/fd" -name '1???' | grep -q . && break
		sleep 0.02
	done
	PA_BACKGROUND+=("$target")
	find "/proc/$target/fd" -name '1???' | grep .
	"$PERFAGENT" detach "$target"
	run find "/proc/$target/fd" -name '1???'
	[ "$output" = "" ]
	"$PERFAGENT" attach -q -d 1 -o "$T/a.pfa" "$target"
	run find "/proc/$target/fd" -name '1???'
	[ "$output" = "" ]
	load_report "$T/a.pfa"
	holds '.loss.cpu_recorded > 0 and ([.notes[].text | select(test("came over the socket"))] == [])'
	kill -KILL "$target"
	wait "${PA_BACKGROUND[0]}" || true
	rm "$T/report.json"
	over_socket
}

@test "socket: taken by itself where the collector has no memory to share" {
	[ -z "$PA_SELFTEST" ] || skip "needs perfagent"
	run_as recorded 20 "$TARGETS/seccomp" no_memfd "$PERFAGENT" record -q -F 250 -o "$T/t.pfa" -- "$TARGETS/split" 1 400
	[ "$(value_of recorded status)" = 0 ]
	check_recording
	over_socket
	sampled 20
}

@test "socket: taken by itself where a filter refuses the helper" {
	[ -z "$PA_SELFTEST" ] || skip "needs perfagent"
	run_as recorded 20 "$PERFAGENT" record -q -F 250 -o "$T/t.pfa" -- "$TARGETS/seccomp" no_vfork "$TARGETS/split" 1 400
	[ "$(value_of recorded status)" = 0 ]
	check_recording
	over_socket
	sampled 20
}
