# The harness of the survive and e2e tests. A program is run alone, under `perfagent record` and with the agent but
# without a collector; status, stdout and stderr must be the same bytes, nothing may hang or be left running, and the
# recording must open and say what was lost.
#
#   O=DIR               where the build is (default build)
#   PA_RATE             -F of the recording (default 250)          PA_LIMIT   seconds until a run counts as hung, at least
#   PA_SELFTEST=1       the agent is left out: every program must equal itself (proves the targets, not the agent)
#
# A program's own working directory is fresh for each run and stays until the end of the case: $T/plain.cwd,
# $T/recorded.cwd, $T/dormant.cwd.

PA_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
O=${O:-build}
case $O in /*) ;; *) O=$PA_ROOT/$O ;; esac
PERFAGENT=$O/perfagent
AGENT=$O/libperfagent.so
TARGETS=$O/tests/targets
PA_LIMIT=${PA_LIMIT:-20}
PA_RATE=${PA_RATE:-250}
unset LD_PRELOAD PERFAGENT_SOCKET PERFAGENT_OPTIONS PERFAGENT_UNWINDER PERFAGENT_TRANSPORT PERFAGENT_DISABLE DEBUGINFOD_URLS
export LC_ALL=C TZ=UTC

setup() {
	T=$(mktemp -d "${TMPDIR:-/tmp}/pa-test.XXXXXX")
	chmod 755 "$T"
	PA_ENV=()         # assignments for the program: PA_ENV=(A=1 B=2)
	PA_RECORD=()      # more options of record
	PA_WRAP=()        # a command in front of record (prlimit, unshare)
	PA_BACKGROUND=()  # pids this case started
}

teardown() {
	local pid
	for pid in ${PA_BACKGROUND[@]+"${PA_BACKGROUND[@]}"}; do
		kill -KILL "$pid" 2>/dev/null || true
		wait "$pid" 2>/dev/null || true
	done
	[ -z "$T" ] || rm -rf "$T"
}

# fail SENTENCE: ends the case
fail() {
	echo "$*"
	return 1
}

# run_as TAG LIMIT COMMAND...: leaves $T/TAG.{out,err,status}; fails only when the run hung or could not be started
run_as() {
	local tag=$1 limit=$2
	shift 2
	mkdir -p "$T/$tag.cwd"
	(cd "$T/$tag.cwd" && exec env ${PA_ENV[@]+"${PA_ENV[@]}"} "$TARGETS/supervise" -t "$limit" -o "$T/$tag.status" -- "$@") \
		</dev/null >"$T/$tag.out" 2>"$T/$tag.err" 3>&- 4>&- || true
	[ -s "$T/$tag.status" ] || fail "$tag: supervise did not run: $(head -c 2000 "$T/$tag.err")" || return 1
	if [ "$(value_of "$tag" hang)" != 0 ]; then
		echo "$tag: hung: $*"
		head -c 60000 "$T/$tag.err"
		return 1
	fi
}

# value_of TAG NAME: status, raw, hang, left, wall_ms, cpu_us of a run
value_of() {
	sed -n "s/^$2=//p" "$T/$1.status" | tr -d "'"
}

# limit_for TAG: three times what that run took, at least PA_LIMIT
limit_for() {
	local ms
	ms=$(value_of "$1" wall_ms)
	echo $((ms * 3 / 1000 > PA_LIMIT ? ms * 3 / 1000 : PA_LIMIT))
}

# same A B: status, stdout and stderr of two runs are equal
same() {
	local what bad=0
	if [ "$(value_of "$1" status)" != "$(value_of "$2" status)" ]; then
		echo "status: $1 $(value_of "$1" status) ($(value_of "$1" raw)), $2 $(value_of "$2" status) ($(value_of "$2" raw))"
		bad=1
	fi
	for what in out err; do
		if ! cmp -s "$T/$1.$what" "$T/$2.$what"; then
			echo "std$what of $1 and $2 differ:"
			diff -a "$T/$1.$what" "$T/$2.$what" | head -n 30 | cut -c 1-300
			bad=1
		fi
	done
	return $bad
}

run_plain() {
	run_as plain 60 "$@" || return 1
	[ "$(value_of plain status)" != 99 ] || fail "the target's own precondition failed: $(cat "$T/plain.err")"
}

# the same program under `perfagent record`: $T/t.pfa
run_recorded() {
	if [ -n "$PA_SELFTEST" ]; then
		run_as recorded "$(limit_for plain)" ${PA_WRAP[@]+"${PA_WRAP[@]}"} "$@" || return 1
	else
		run_as recorded "$(limit_for plain)" ${PA_WRAP[@]+"${PA_WRAP[@]}"} "$PERFAGENT" record -q -F "$PA_RATE" \
			-o "$T/t.pfa" ${PA_RECORD[@]+"${PA_RECORD[@]}"} -- "$@" || return 1
	fi
	[ "$(value_of recorded left)" = "$(value_of plain left)" ] ||
		fail "left running: $(value_of recorded left), plain $(value_of plain left)"
}

# the agent is loaded and finds no collector
run_dormant() {
	local preload=$AGENT entry
	for entry in ${PA_ENV[@]+"${PA_ENV[@]}"}; do
		case $entry in LD_PRELOAD=*) preload=$AGENT:${entry#LD_PRELOAD=} ;; esac
	done
	[ -z "$PA_SELFTEST" ] || preload=${preload#"$AGENT"}
	preload=${preload#:}
	local -a saved=(${PA_ENV[@]+"${PA_ENV[@]}"})
	PA_ENV+=(${preload:+"LD_PRELOAD="} "PERFAGENT_SOCKET=$T/none.sock")
	run_as dormant "$(limit_for plain)" env ${preload:+"LD_PRELOAD=$preload"} "$@" || { PA_ENV=(${saved[@]+"${saved[@]}"}); return 1; }
	PA_ENV=(${saved[@]+"${saved[@]}"})
}

# run_both PROGRAM ARGS: the rule of every row
run_both() {
	run_plain "$@" && run_recorded "$@" && same plain recorded && check_recording && run_dormant "$@" && same plain dormant
}

# perfagent report as JSON, once per case: $T/report.json
load_report() {
	[ -z "$PA_SELFTEST" ] || return 0
	[ -s "$T/report.json" ] || "$TARGETS/supervise" -t 60 -- "$PERFAGENT" report -i "${1:-$T/t.pfa}" --format json \
		</dev/null >"$T/report.json" 2>"$T/report.err" 3>&- || fail "report: status $?: $(cat "$T/report.err")"
}

# The recording opens, ended cleanly, and says what was expected, recorded, lost and cut.
check_recording() {
	[ -z "$PA_SELFTEST" ] || return 0
	load_report || return 1
	jq -e '.schema == "perfagent.report/1" and (.processes | type) == "array" and (.symbols | type) == "array" and
		(.loss | has("cpu_expected") and has("cpu_recorded") and has("cpu_lost") and has("truncated"))' \
		"$T/report.json" >/dev/null || fail "report lacks schema, processes, symbols or loss: $(head -c 3000 "$T/report.json")" || return 1
	"$PERFAGENT" report -i "$T/t.pfa" >"$T/report.txt" 2>"$T/report.err" 3>&- </dev/null || fail "report: $(cat "$T/report.err")" || return 1
	[ -s "$T/report.txt" ] || fail "the text report is empty" || return 1
	[ ! -e "$T/t.pfa-wal" ] && [ ! -e "$T/t.pfa-shm" ] || fail "-wal or -shm left beside the recording"
}

# json FILTER [ARGS]: the value; holds FILTER [ARGS]: fails, showing the report, unless it is true
json() {
	load_report && jq -r "$@" "$T/report.json"
}
holds() {
	[ -z "$PA_SELFTEST" ] || return 0
	load_report || return 1
	jq -e "$@" "$T/report.json" >/dev/null || fail "not so in the report: $* : $(jq -c '{processes,loss,symbols,notes,cpu:(.cpu|del(.top_functions?)?)}' "$T/report.json" | head -c 4000)"
}

# sampled N: at least N periods were recorded, or the case proves nothing. Periods, not signals: on a crowded machine one
# signal stands for several
sampled() {
	holds --argjson n "$1" '.loss.cpu_recorded >= $n'
}

# folded: the stacks, one a line with their weight at the end, in $T/folded
folded() {
	[ -z "$PA_SELFTEST" ] || { : >"$T/folded"; return 0; }
	"$PERFAGENT" flame -i "$T/t.pfa" --format folded >"$T/folded" 2>"$T/folded.err" 3>&- </dev/null || fail "flame: $(cat "$T/folded.err")"
}

# weight_of REGEX: sum of the weights of the stacks with a frame that matches the extended REGEX
weight_of() {
	# not by -v, which takes \[ for an escape of its own in some awks
	WEIGHT_OF="$1" awk '{ n = $NF; $NF = ""; if ($0 ~ ENVIRON["WEIGHT_OF"]) s += n } END { printf "%d\n", s }' "$T/folded"
}

# has_stack REGEX: some stack matches
has_stack() {
	[ -z "$PA_SELFTEST" ] || return 0
	[ -s "$T/folded" ] || folded || return 1
	grep -aqE -- "$1" "$T/folded" || fail "no stack matches $1; the heaviest: $(awk '{print $NF, $0}' "$T/folded" | sort -rn | head -n 8 | cut -c 1-400)"
}

# has_no_stack REGEX
has_no_stack() {
	[ -z "$PA_SELFTEST" ] || return 0
	[ -s "$T/folded" ] || folded || return 1
	! grep -aE -- "$1" "$T/folded" | head -n 3 | cut -c 1-400 | grep -a . || fail "the stacks above match $1"
}

need_root() {
	[ "$(id -u)" = 0 ] || skip "needs root"
}

need() {
	command -v "$1" >/dev/null || skip "$1 is not installed"
}
