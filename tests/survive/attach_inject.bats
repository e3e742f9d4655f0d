# attach --inject: programs that were not started with the agent are recorded, end as they would have, and call libc
# directly again once they are detached from.
load common
bats_require_minimum_version 1.5.0

WAITS=$TARGETS/waits
INJECT=$TARGETS/inject_try
ATTACHES=${PA_ATTACHES:-4} # of each kind of program, a process each

need_x86_64() {
	[ -z "$PA_SELFTEST" ] || skip "injects, or tests nothing"
	[ "$(uname -m)" = x86_64 ] || skip "injection is for x86-64"
}

# start COMMAND...: in the background, its stdin open; PID, output in $T/target.out
start() {
	rm -f "$T/stdin" "$T/target.out"
	mkfifo "$T/stdin"
	"$@" <"$T/stdin" >"$T/target.out" 2>"$T/target.err" 3>&- &
	PID=$!
	PA_BACKGROUND+=("$PID")
	exec {STDIN}>"$T/stdin"
	local i
	for ((i = 0; i < 400; i++)); do
		[ ! -s "$T/target.out" ] || return 0
		sleep 0.05
	done
	fail "the target is not ready"
}

# finish LINE: its stdin ends; it ends with status 0, and this is its last line
finish() {
	local status=0
	exec {STDIN}>&-
	wait "$PID" || status=$?
	cat "$T/target.out"
	[ "$status" -eq 0 ] || fail "status $status: $(cat "$T/target.err")" || return 1
	[ "$(tail -n 1 "$T/target.out")" = "$1" ] || fail "not: $1"
}

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
			grep -qE '^perfagent: process [0-9]+: no safe moment in [0-9]+ tries; threads were found ' <<<"$output" ||
				fail "status $status without a reason" || return 1
			declined=$((declined + 1))
			;;
		esac
		finish "$line" || return 1
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
	finish 'allocate: turns yes, wrong 0'
}
