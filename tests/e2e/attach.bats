# Attaching to what runs: busy, idle, in a container, in somebody else's hands; and that it leaves nothing behind.
load common

# start COMMAND...: with the agent and no collector; $PID
start() {
	mkdir -p "$T/target"
	(cd "$T/target" && exec env LD_PRELOAD="$AGENT" PERFAGENT_SOCKET="$T/none.sock" "$@") \
		>"$T/target.out" 2>"$T/target.err" </dev/null 3>&- 4>&- &
	PID=$!
	PA_BACKGROUND+=("$PID")
	becomes dormant
}

# state: as perfagent list says
state() {
	"$PERFAGENT" list -f json "$PID" 2>"$T/list.err" </dev/null 3>&- | jq -r '.processes[0].state'
}

# becomes STATE: within a few seconds
becomes() {
	local i
	for i in $(seq 100); do
		[ "$(state)" != "$1" ] || return 0
		sleep 0.1
	done
	fail "it is $(state), not $1: $(cat "$T/list.err" "$T/target.err")"
}

# attach OPTIONS...: into $T/t.pfa; $T/attach.{status,out,err}
attach() {
	run_as attach "${LIMIT:-30}" "$PERFAGENT" attach "$PID" -F "$PA_RATE" -o "$T/t.pfa" "$@" || return 1
	[ "$(value_of attach status)" = 0 ] || fail "attach: $(value_of attach status): $(cat "$T/attach.err")"
}

# attach_in_background OPTIONS...: $ATTACH; its recording has begun
attach_in_background() {
	"$PERFAGENT" attach "$PID" -F "$PA_RATE" -o "$T/t.pfa" "$@" >"$T/bg.out" 2>"$T/bg.err" </dev/null 3>&- 4>&- &
	ATTACH=$!
	PA_BACKGROUND+=("$ATTACH")
	becomes attached
}

# counted NAME: what the target wrote
counted() {
	sed -n "s/^$1 //p" "$T/target/counts"
}

# counted_above NAME N: waits until the target has counted more
counted_above() {
	local i
	for i in $(seq 100); do
		[ "$(counted "$1")" -le "$2" ] || return 0
		sleep 0.1
	done
	fail "$1 stays at $(counted "$1")"
}

# cpu_ticks: of the target, by the kernel
cpu_ticks() {
	awk '{ print $14 + $15 }' "/proc/$PID/stat"
}

# uses TICKS: waits until it has used that much more CPU time: on a busy machine that takes longer
uses() {
	local i until=$(($(cpu_ticks) + $1))
	for i in $(seq 300); do
		[ "$(cpu_ticks)" -lt "$until" ] || return 0
		sleep 0.1
	done
	fail "it gets no CPU time"
}

# attach_for TICKS OPTIONS...: of the target's CPU time
attach_for() {
	local ticks=$1
	shift
	attach_in_background "$@" && uses "$ticks" && "$PERFAGENT" detach "$PID" && wait "$ATTACH"
}

# traces: what a collector leaves in a process: timers, descriptors, mappings of its memory
traces() {
	echo "timers $(grep -c ^ID: "/proc/$PID/timers")"
	echo "descriptors $(ls "/proc/$PID/fd" | wc -l)"
	echo "shared $(grep -c memfd:perfagent "/proc/$PID/maps")"
}

# becomes_traces TEXT: within a few seconds
becomes_traces() {
	local i
	for i in $(seq 50); do
		[ "$(traces)" != "$1" ] || return 0
		sleep 0.1
	done
	fail "left: $(traces | tr '\n' ' '), before: $(tr '\n' ' ' <<<"$1")"
}

@test "attach: a busy program's threads, in the right functions, by the kernel's books" {
	local before after hz
	hz=$(getconf CLK_TCK)
	start "$TARGETS/attach_target" busy 3
	uses 20
	before=$(cpu_ticks)
	attach_for 150 --mode cpu
	after=$(cpu_ticks)
	honest
	sampled 100
	has_stack 'burn;heavy'
	folded
	awk -v heavy="$(weight_of ';heavy')" -v light="$(weight_of ';light')" 'BEGIN {
		n = heavy + light; bound = 4 * sqrt(n * 0.75 * 0.25); printf "%d of %d\n", heavy, n
		exit !(n > 100 && (heavy - 0.75 * n) ^ 2 <= bound ^ 2) }'
	# three threads, each with samples
	[ "$(sqlite3 "$T/t.pfa" 'select count(*) from thread where cpu_ns > 0')" = 3 ] || fail "$(sqlite3 "$T/t.pfa" 'select * from thread')"
	# what it had used before is not in the books; what it used meanwhile is: no more than the kernel charged
	holds --argjson most $(((after - before + 4) * 1000 / hz)) '.processes[0].cpu_s * 1000 <= $most'
	becomes dormant
}

@test "attach: python3 that runs" {
	start /usr/bin/python3 -c 'import json
data = [{"id": i, "name": "n%d" % i} for i in range(2000)]
while True: json.loads(json.dumps(data))'
	uses 20
	attach_for 100
	honest
	sampled 50
	has_stack 'python3|json'
	holds '.memory.allocations > 0'
}

@test "attach: redis-server under load, and it serves on" {
	need redis-server
	need redis-benchmark
	port=$(/usr/bin/python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
	start redis-server --port "$port" --bind 127.0.0.1 --save "" --appendonly no
	for _ in $(seq 100); do redis-cli -p "$port" ping >/dev/null 2>&1 && break; sleep 0.05; done
	redis-benchmark -p "$port" -c 20 -q -l -t set,get,lpush >/dev/null 2>&1 </dev/null 3>&- 4>&- &
	PA_BACKGROUND+=("$!")
	sleep 0.5
	attach_for 50
	redis-cli -p "$port" set key value | grep -qx OK
	honest
	sampled 20
	has_stack 'redis'
	redis-cli -p "$port" get key | grep -qx value
	redis-cli -p "$port" shutdown nosave || true
	wait "$PID"
	if grep -iE 'crash|bug report' "$T/target.out"; then return 1; fi
}

@test "attach: allocations, of what is allocated from then on" {
	start "$TARGETS/attach_target" heap
	attach -d 2 --heap exact --mode memory
	check_recording
	holds '.memory.allocations > 100 and .memory.live_mb >= 0'
	holds '[.memory.top_allocators[] | select(.function == "keep")] | length > 0'
	# what keep() allocated is live, whole blocks of it; of give_back() next to nothing is, and nothing is below zero
	holds '[.memory.top_allocators[] | select(.function == "keep")][0] | .live_kb == .count * 4'
	holds '[.memory.top_allocators[] | select(.function == "give_back")][0] | .live_kb <= 2'
	holds '[.memory.top_allocators[] | select(.live_kb < 0)] | length == 0'
}

@test "attach: a program that sleeps is not woken; it is attached to when it wakes up by itself" {
	start "$TARGETS/attach_target" idle 1500
	attach -d 3
	honest
	sampled 2
	counted_above wakes 0
	[ "$(counted interrupted)" = 0 ] || fail "$(cat "$T/target/counts")"
}

@test "attach: a program that does not wake up in time: status 1, and it never knew" {
	local before
	start "$TARGETS/attach_target" idle 1000000
	before=$(traces)
	one_line 1 "$PERFAGENT" attach "$PID" -d 0.5 -o "$T/none.pfa"
	[ ! -e "$T/none.pfa" ] || fail "an empty recording was left"
	[ "$(state)" = dormant ]
	[ "$(traces)" = "$before" ]
	[ "$(counted interrupted)" = 0 ] || fail "$(cat "$T/target/counts")"
}

@test "attach: threads that block every signal are attached to by a call, and stay in the books" {
	start "$TARGETS/attach_target" blocked
	run_as attach 20 "$PERFAGENT" attach "$PID" -d 1 -o "$T/none.pfa"
	# it calls nothing and takes no signal: there is no way in
	[ "$(value_of attach status)" = 1 ] || fail "status $(value_of attach status): $(cat "$T/attach.err")"
	[ "$(state)" = dormant ]
}

@test "attach and detach leave timers, descriptors and mappings as they were" {
	local before i resident
	start "$TARGETS/attach_target" busy 2
	before=$(traces)
	for ((i = 0; i < ${PA_ATTACHES:-3}; i++)); do
		attach -d 0.3
		[ "$i" -gt 0 ] || resident=$(awk '/^VmRSS/ { print $2 }' "/proc/$PID/status")
		becomes dormant
		becomes_traces "$before"
		rm -f "$T/t.pfa"
	done
	awk -v before="$resident" '/^VmRSS/ { printf "%d KiB, %d KiB\n", before, $2; exit !($2 <= before + 1024) }' "/proc/$PID/status"
}

@test "detach: ends the recording, which is complete when it returns" {
	start "$TARGETS/attach_target" busy 1
	attach_in_background
	uses 30
	run_as detach 30 "$PERFAGENT" detach "$PID"
	[ "$(value_of detach status)" = 0 ] || fail "$(cat "$T/detach.err")"
	wait "$ATTACH"
	honest
	sampled 20
	[ "$(state)" = dormant ]
	one_line 1 "$PERFAGENT" detach "$PID"
}

@test "detach: an attach that waits for its target gives up" {
	start "$TARGETS/attach_target" idle 1000000
	"$PERFAGENT" attach "$PID" -o "$T/t.pfa" >"$T/bg.out" 2>"$T/bg.err" </dev/null 3>&- 4>&- &
	ATTACH=$!
	PA_BACKGROUND+=("$ATTACH")
	becomes waiting
	one_line 2 "$PERFAGENT" attach "$PID"
	"$PERFAGENT" detach "$PID"
	run wait "$ATTACH"
	[ "$status" -eq 1 ]
	[ "$(state)" = dormant ]
	[ ! -e "$T/t.pfa" ] || fail "an empty recording was left"
}

@test "attach: refused while another collector records, unless it is told to replace it" {
	start "$TARGETS/attach_target" busy 1
	attach_in_background
	one_line 2 "$PERFAGENT" attach "$PID" -d 1 -o "$T/second.pfa"
	grep -q "process $ATTACH" "$T/bad.err" || fail "does not name $ATTACH: $(cat "$T/bad.err")"
	[ ! -e "$T/second.pfa" ]
	sleep 0.5
	run_as replace 20 "$PERFAGENT" attach "$PID" -F "$PA_RATE" -d 1 --replace -o "$T/second.pfa"
	[ "$(value_of replace status)" = 0 ] || fail "$(cat "$T/replace.err")"
	wait "$ATTACH"
	grep -q 'taken it over' "$T/bg.err" || fail "the first says: $(cat "$T/bg.err")"
	honest
	holds '[.notes[]? | tostring] | any(test("another collector"))'
	"$PERFAGENT" report -i "$T/second.pfa" | grep -q heavy
}

@test "attach again after the collector was killed; detach after that, too" {
	local before
	start "$TARGETS/attach_target" busy 1
	before=$(traces)
	attach_in_background
	kill -KILL "$ATTACH"
	wait "$ATTACH" || true
	rm -f "$T"/t.pfa*
	[ "$(state)" = attached ]
	attach -d 2
	honest
	sampled 5
	becomes dormant
	attach_in_background
	kill -KILL "$ATTACH"
	wait "$ATTACH" || true
	"$PERFAGENT" detach "$PID"
	becomes dormant
	becomes_traces "$before"
}

@test "attach: children that are forked meanwhile are recorded" {
	start "$TARGETS/attach_target" fork
	attach -d 2
	honest
	has_stack 'of_the_child'
	holds '.processes | length > 3'
	becomes dormant
}

@test "attach: a program that executes another is attached to anew" {
	start "$TARGETS/attach_target" exec
	attach_in_background
	uses 10
	touch "$T/target/go"
	for _ in $(seq 100); do
		[ "$(state)" = attached ] && grep -qz busy "/proc/$PID/cmdline" && break
		sleep 0.1
	done
	uses 20
	"$PERFAGENT" detach "$PID"
	wait "$ATTACH"
	check_recording
	has_stack 'light'
	has_stack 'heavy'
}

@test "attach: into a container with its own network, processes and files" {
	need_root
	unshare -n -p -f -m true 2>/dev/null || skip "no namespaces here"
	mkdir -p "$T/target"
	(cd "$T/target" && exec unshare -n -p -f -m --kill-child env LD_PRELOAD="$AGENT" PERFAGENT_SOCKET="$T/none.sock" \
		"$TARGETS/attach_target" busy 2) >"$T/target.out" 2>"$T/target.err" </dev/null 3>&- 4>&- &
	PA_BACKGROUND+=("$!")
	for _ in $(seq 50); do PID=$(pgrep -P $!) && break; sleep 0.1; done
	becomes dormant
	attach_for 50
	honest
	sampled 50
	has_stack 'heavy'
	becomes dormant
	[ -z "$(find /tmp -maxdepth 1 -type s -name 'perfagent-*')" ] || fail "left behind: $(ls /tmp)"
}

@test "what cannot be attached to: one line that says why" {
	one_line 2 "$PERFAGENT" attach 4194304
	grep -q 'no such process' "$T/bad.err"
	one_line 2 "$PERFAGENT" attach 2
	grep -q 'kernel' "$T/bad.err"
	one_line 2 "$PERFAGENT" attach
	one_line 2 "$PERFAGENT" attach some
	one_line 2 "$PERFAGENT" attach 1 2
	one_line 2 "$PERFAGENT" detach
	one_line 2 bash -c 'exec "$1" attach $$' - "$PERFAGENT"
	grep -q 'itself' "$T/bad.err"
	# started without it, statically linked, 32-bit, ended
	sleep 100 3>&- 4>&- &
	PA_BACKGROUND+=("$!")
	one_line 2 "$PERFAGENT" attach $!
	grep -q 'without the agent' "$T/bad.err"
	one_line 2 "$PERFAGENT" detach $!
	one_line 2 "$PERFAGENT" list $!
}

@test "attach: a process that is stopped stays so, and is attached to when it goes on" {
	start "$TARGETS/attach_target" busy 1
	kill -STOP "$PID"
	one_line 1 "$PERFAGENT" attach "$PID" -d 0.5 -o "$T/none.pfa"
	[ "$(awk '{ print $3 }' "/proc/$PID/stat")" = T ] || fail "it is not stopped any more"
	[ "$(state)" = dormant ]
	kill -CONT "$PID"
	attach_for 20
	sampled 10
	has_stack 'heavy'
}

@test "attach: a process that is traced by another" {
	need strace
	start "$TARGETS/attach_target" busy 1
	strace -o "$T/strace.out" -p "$PID" 2>"$T/strace.err" </dev/null 3>&- 4>&- &
	PA_BACKGROUND+=("$!")
	for _ in $(seq 50); do grep -q attached "$T/strace.err" && break; sleep 0.1; done
	attach_for 20
	sampled 10
	has_stack 'heavy'
}

@test "attach: not into a process that may not be looked into, for whatever reason" {
	need_root
	need setpriv
	local nobody=(setpriv --reuid=65534 --regid=65534 --clear-groups)
	# the same user, but the process has declared itself private
	"${nobody[@]}" env LD_PRELOAD="$AGENT" PERFAGENT_SOCKET="$T/none.sock" /usr/bin/python3 -c 'import ctypes, time
ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)
print("ready", flush=True)
time.sleep(60)' >"$T/target.out" 2>"$T/target.err" </dev/null 3>&- 4>&- &
	PID=$!
	PA_BACKGROUND+=("$PID")
	for _ in $(seq 100); do grep -q ready "$T/target.out" && break; sleep 0.1; done
	run_as attach 20 "${nobody[@]}" "$PERFAGENT" attach "$PID" -d 1 -o "$T/none.pfa"
	[ "$(value_of attach status)" = 2 ]
	grep -q 'not permitted' "$T/attach.err" || fail "$(cat "$T/attach.err")"
	[ "$(wc -l <"$T/attach.err")" = 1 ]
}

@test "attach: a recording that cannot be written, before the process is told" {
	start "$TARGETS/attach_target" busy 1
	one_line 2 "$PERFAGENT" attach "$PID" -d 1 -o /no/such/dir/x.pfa
	[ "$(state)" = dormant ]
}

@test "attach: not into another user's process, and list counts it" {
	need_root
	need setpriv
	start "$TARGETS/attach_target" busy 1
	run_as attach 20 setpriv --reuid=65534 --regid=65534 --clear-groups "$PERFAGENT" attach "$PID" -d 1 -o "$T/none.pfa"
	[ "$(value_of attach status)" = 2 ]
	grep -qE 'not permitted: it belongs to uid 0' "$T/attach.err" || fail "$(cat "$T/attach.err")"
	run_as list 20 setpriv --reuid=65534 --regid=65534 --clear-groups "$PERFAGENT" list -f json
	jq -e --argjson pid "$PID" '.unreadable > 0 and ([.processes[].pid] | all(. != $pid))' "$T/list.out" || fail "$(cat "$T/list.out")"
}

@test "attach: root attaches to another user's process" {
	need_root
	need setpriv
	chmod 777 "$T"
	mkdir -p "$T/target" && chmod 777 "$T/target"
	start setpriv --reuid=65534 --regid=65534 --clear-groups env LD_PRELOAD="$AGENT" "$TARGETS/attach_target" busy 1
	becomes dormant
	attach_for 30
	sampled 20
	has_stack 'heavy'
}

@test "list: text and JSON" {
	start "$TARGETS/attach_target" busy 1
	"$PERFAGENT" list >"$T/list.txt"
	grep -E "^ *$PID +$(id -u) +dormant +- .*attach_target busy 1" "$T/list.txt" || fail "$(cat "$T/list.txt")"
	attach_in_background
	"$PERFAGENT" list -f json >"$T/list.json"
	jq -e --argjson pid "$PID" --argjson by "$ATTACH" '.schema == "perfagent.list/1" and (.unreadable | type) == "number" and
		([.processes[] | select(.pid == $pid)] | length == 1 and .[0].state == "attached" and .[0].collector == $by
		 and .[0].name == "attach_target")' "$T/list.json" || fail "$(cat "$T/list.json")"
	"$PERFAGENT" list "$PID" | grep -qE "attached +$ATTACH "
	one_line 2 "$PERFAGENT" list --format xml
	[ "$("$PERFAGENT" list "$PID" "$PID" -f json | jq '.processes | length')" = 2 ]
}

@test "leaks: a process that nobody records is attached to for as long as it is watched" {
	start "$TARGETS/attach_target" heap
	mkdir "$T/tmp"
	PA_ENV=("TMPDIR=$T/tmp")
	run_as leaks 60 "$PERFAGENT" leaks "$PID" --threshold 2MB --interval 1 --duration 20
	[ "$(value_of leaks status)" = 1 ] || fail "status $(value_of leaks status): $(cat "$T/leaks.err")"
	grep -q keep "$T/leaks.out" || fail "$(cat "$T/leaks.out")"
	[ -z "$(ls "$T/tmp")" ] || fail "left behind: $(ls -R "$T/tmp")"
	becomes dormant
}

@test "agents that lie, refuse, say nothing, or point elsewhere" {
	local mode
	for mode in lie refuse deaf foreign; do
		(cd "$T" && exec "$TARGETS/fakeagent" "$mode") >"$T/fake.out" 2>&1 </dev/null 3>&- 4>&- &
		PID=$!
		PA_BACKGROUND+=("$PID")
		for _ in $(seq 50); do grep -q ready "$T/fake.out" && break; sleep 0.1; done
		case $mode in
		deaf) one_line 1 "$PERFAGENT" attach "$PID" -d 0.5 -o "$T/fake.pfa" ;;
		*) one_line 2 "$PERFAGENT" attach "$PID" -d 0.5 -o "$T/fake.pfa" ;;
		esac
		[ ! -e "$T/fake.pfa" ] || fail "$mode: an empty recording was left"
		kill -0 "$PID"
	done
}
