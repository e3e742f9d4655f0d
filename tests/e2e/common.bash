# The e2e tests use the harness of the survive tests.
load ../survive/common

# Everything here needs the programs themselves.
[ -z "$PA_SELFTEST" ] || { echo "the e2e tests have no self-test" >&2; exit 1; }

# record OPTIONS... -- COMMAND: into $T/t.pfa, with the harness's rate
record() {
	run_as recorded "${LIMIT:-60}" "$PERFAGENT" record -q -F "$PA_RATE" -o "$T/t.pfa" "$@"
}

# honest: what every report of a real program says: expected, recorded, lost, truncated, and modules without symbols
honest() {
	check_recording || return 1
	holds '.loss.cpu_expected > 0 and .loss.cpu_recorded > 0 and .loss.cpu_lost >= 0 and .loss.truncated >= 0' || return 1
	# nothing unaccounted for: recorded + lost is what the kernel's CPU time asks for. A process or thread costs up to one
	# period at its end and some time before the agent is there: 10 % and two periods each
	holds '((.loss.cpu_recorded + .loss.cpu_lost) - .loss.cpu_expected | fabs) <=
		0.1 * .loss.cpu_expected + 2 * ([.processes[] | (.threads | if type == "array" then length elif type == "number" then . else 1 end)] | add)' || return 1
	holds '.symbols | length > 0 and all(has("module") and has("build_id") and (.status | IN("full", "symtab", "dynsym", "none", "mismatch", "missing", "unknown")))' || return 1
	local word
	for word in expected lost truncated; do
		grep -qi "$word" "$T/report.txt" || fail "the text report does not say $word" || return 1
	done
}

# one_line STATUS COMMAND...: fails with that status, exactly one line on stderr which begins with the program's name
one_line() {
	local status=$1
	shift
	run_as bad 20 "$@" || return 1
	echo "$* -> $(value_of bad status): $(cat "$T/bad.err")"
	[ "$(value_of bad status)" = "$status" ] || fail "status $(value_of bad status), not $status" || return 1
	[ "$(wc -l <"$T/bad.err")" = 1 ] || fail "$(wc -l <"$T/bad.err") lines on stderr" || return 1
	grep -q '^perfagent' "$T/bad.err" || fail "stderr does not begin with the name"
}
