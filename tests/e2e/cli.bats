# The command line itself: help, version, bad input. One line on stderr that says what and why, status by the rules:
# record 125 for its own failures, 126 and 127 as a shell; everything else 2.
load ../survive/common
bats_require_minimum_version 1.5.0

COMMANDS=(record attach detach list report flame leaks diff dump doctor)

# complains STATUS PATTERN COMMAND...: one line on stderr, nothing on stdout
complains() {
	local expect=$1 pattern=$2
	shift 2
	run -"$expect" --separate-stderr "$@"
	# shellcheck disable=SC2154 # set by run
	echo "$*: status $status, stderr: $stderr"
	[ -z "$output" ] || fail "stdout: $output"
	[ "$(wc -l <<<"$stderr")" -eq 1 ] || fail "not one line"
	[[ $stderr == perfagent:\ * ]] || fail "does not say who speaks"
	grep -qE -e "$pattern" <<<"$stderr" || fail "does not match $pattern"
}

@test "--help and --version are answers of every command" {
	local command
	for command in "" "${COMMANDS[@]}"; do
		# shellcheck disable=SC2086
		run --separate-stderr "$PERFAGENT" $command --help
		[ "$status" -eq 0 ] && [ -z "$stderr" ]
		[[ $output == "usage: perfagent"* ]] || fail "$command --help: $output"
		# shellcheck disable=SC2086
		run --separate-stderr "$PERFAGENT" $command --version
		[ "$status" -eq 0 ] && [ -z "$stderr" ]
		[[ $output == "perfagent $(cat "$PA_ROOT/VERSION")" ]] || fail "$command --version: $output"
	done
}

@test "help that cannot be written is an error" {
	run bash -c '"$1" --help >/dev/full' - "$PERFAGENT"
	[ "$status" -eq 2 ]
	[[ $output == perfagent:*'No space left'* ]]
}

@test "every command and every long option stands in a manual page" {
	local command option
	for command in "${COMMANDS[@]}"; do
		"$PERFAGENT" --help | grep -qE "^  $command " || fail "$command is not in the list of commands"
		[ -f "$PA_ROOT/man/perfagent-$command.1" ] || fail "no man/perfagent-$command.1"
		mandoc -T ascii "$PA_ROOT/man/perfagent-$command.1" | sed 's/.\x08//g' >"$T/page" # without overstriking
		for option in $("$PERFAGENT" "$command" --help | grep -oE '(^|[ ,])--[a-z][a-z-]+' | tr -d ' ,' | sort -u); do
			case $option in --help | --version) continue ;; esac # perfagent.1 has them for all commands
			grep -qF -e "$option" "$T/page" || fail "perfagent-$command.1 does not name $option"
		done
	done
	[ -f "$PA_ROOT/man/perfagent.1" ]
}

@test "no command, unknown command, unknown option" {
	complains 2 'no command|which' "$PERFAGENT"
	complains 2 "recrod.*unknown" "$PERFAGENT" recrod
	complains 2 'unknown option' "$PERFAGENT" --frobnicate
	complains 2 'unknown.*--frobnicate' "$PERFAGENT" report --frobnicate
	complains 2 'unknown.*--frobnicate' "$PERFAGENT" flame --frobnicate
	complains 2 'unknown.*--frobnicate' "$PERFAGENT" doctor --frobnicate
	complains 2 'unknown.*--frobnicate' "$PERFAGENT" dump --frobnicate
	complains 125 'frobnicate.*unknown option' "$PERFAGENT" record --frobnicate -- true
}

@test "options without their value, and values that are none" {
	complains 2 'needs a value' "$PERFAGENT" report --input
	complains 2 'needs a value' "$PERFAGENT" flame -o
	complains 2 'format' "$PERFAGENT" report --format xml
	complains 2 'format' "$PERFAGENT" flame --format png
	complains 2 'kind' "$PERFAGENT" flame --kind soup
	complains 2 'colour' "$PERFAGENT" report --by colour
	complains 2 '-n' "$PERFAGENT" report -n many
	complains 125 'needs a value' "$PERFAGENT" record -o
	complains 125 'rate' "$PERFAGENT" record -F 0 -- true
	complains 125 'rate' "$PERFAGENT" record -F fast -- true
	complains 125 'mode' "$PERFAGENT" record --mode soup -- true
	complains 125 'duration' "$PERFAGENT" record -d soon -- true
	complains 125 'PERFAGENT_OPTIONS' env PERFAGENT_OPTIONS=soup=1 "$PERFAGENT" record -- true
	complains 125 'which command' "$PERFAGENT" record
}

@test "operands where none belong" {
	complains 2 'something' "$PERFAGENT" report something
	complains 2 'something' "$PERFAGENT" flame something
}

@test "record: a program that is missing, or not executable, has the shell's status" {
	cd "$T" || return 1
	complains 127 'no-such-program: No such file' "$PERFAGENT" record -- no-such-program
	complains 127 '/no/such/program: No such file' "$PERFAGENT" record -- /no/such/program
	echo text >"$T/text"
	complains 126 'text: Permission denied' "$PERFAGENT" record -- "$T/text"
	complains 126 'Permission denied' "$PERFAGENT" record -- /etc
	[ -z "$(ls "$T" | grep pfa)" ] || fail "left behind: $(ls "$T")"
}

@test "record: an output that cannot be written, before anything runs" {
	cd "$T" || return 1
	complains 125 '/no/such/dir/x.pfa: No such file' "$PERFAGENT" record -o /no/such/dir/x.pfa -- touch "$T/ran"
	[ ! -e "$T/ran" ] || fail "the command ran"
	complains 125 'too long' "$PERFAGENT" record -o "$(printf '%05000d' 0)" -- touch "$T/ran"
	[ ! -e "$T/ran" ] || fail "the command ran"
}

@test "report and flame: a recording that is missing, empty, no recording, a directory, unreadable" {
	local command
	echo 'this is no database, and it is longer than a header of one, which has a hundred bytes in it, all told, I believe' >"$T/text.pfa"
	: >"$T/empty.pfa"
	mkdir "$T/dir.pfa"
	sqlite3 "$T/other.pfa" 'create table t (x); insert into t values (1)'
	for command in report flame; do
		complains 2 'missing.pfa: ' "$PERFAGENT" $command -i "$T/missing.pfa"
		complains 2 'empty.pfa: ' "$PERFAGENT" $command -i "$T/empty.pfa"
		complains 2 'text.pfa: ' "$PERFAGENT" $command -i "$T/text.pfa"
		complains 2 'dir.pfa: ' "$PERFAGENT" $command -i "$T/dir.pfa"
		complains 2 'other.pfa: ' "$PERFAGENT" $command -i "$T/other.pfa"
	done
	[ "$(cat "$T/empty.pfa" | wc -c)" -eq 0 ] || fail "the empty file was written to"
	ls "$T" | grep -qE -- '-(wal|shm|journal)$' && fail "left behind: $(ls "$T")"
	return 0
}

@test "report without -i takes the newest recording here, and says when there is none" {
	mkdir "$T/none" && cd "$T/none" || return 1
	complains 2 'no .*\.pfa|\.pfa' "$PERFAGENT" report
	"$PERFAGENT" record -q -o old.pfa -- true
	sleep 0.05
	"$PERFAGENT" record -q -o new.pfa -- echo hello >/dev/null
	run "$PERFAGENT" report
	echo "$output"
	[ "$status" -eq 0 ]
	[[ $output == *"echo hello"* ]]
}

@test "a recording of a newer schema is refused by name of both versions" {
	cd "$T" || return 1
	"$PERFAGENT" record -q -o a.pfa -- true
	sqlite3 a.pfa 'pragma user_version = 9999'
	cp a.pfa before.pfa
	complains 2 'a.pfa: .*9999' "$PERFAGENT" report -i a.pfa
	cmp a.pfa before.pfa
}

@test "a recording cut short is refused, or read as far as it goes, and never changed" {
	local size part
	cd "$T" || return 1
	"$PERFAGENT" record -q -o whole.pfa -- echo hello >/dev/null
	size=$(stat -c %s whole.pfa)
	for part in 1 16 99 100 1024 4096 $((size / 2)) $((size - 1)); do
		head -c "$part" whole.pfa >cut.pfa
		cp cut.pfa before.pfa
		run --separate-stderr "$PERFAGENT" report -i cut.pfa
		[ "$status" -eq 0 ] || [ "$status" -eq 2 ] || fail "cut at $part: status $status"
		[ "$status" -eq 0 ] || [ -n "$stderr" ] || fail "cut at $part: no word on stderr"
		cmp cut.pfa before.pfa || fail "cut at $part: changed"
	done
}

@test "a report does not change the recording" {
	local sum
	cd "$T" || return 1
	"$PERFAGENT" record -q -o a.pfa -- echo hello >/dev/null
	sum=$(sha256sum <a.pfa)
	chmod 444 a.pfa
	"$PERFAGENT" report -i a.pfa >/dev/null
	"$PERFAGENT" report -i a.pfa --format json >/dev/null
	"$PERFAGENT" flame -i a.pfa -o a.svg >/dev/null
	[ "$(sha256sum <a.pfa)" = "$sum" ]
	[ "$(ls)" = $'a.pfa\na.svg' ] || fail "$(ls)"
}

@test "unwritable output: one line, and nothing half-written" {
	cd "$T" || return 1
	"$PERFAGENT" record -q -o a.pfa -- echo hello >/dev/null
	complains 2 '/no/such/dir/x.svg: .*No such file' "$PERFAGENT" flame -i a.pfa -o /no/such/dir/x.svg
	run bash -c '"$1" report -i a.pfa >/dev/full' - "$PERFAGENT"
	[ "$status" -eq 2 ]
	[[ $output == *'No space left'* ]]
	run bash -c '"$1" flame -i a.pfa -o - >/dev/full' - "$PERFAGENT"
	[ "$status" -eq 2 ]
	[ "$(ls)" = a.pfa ] || fail "$(ls)"
}

@test "names of recordings: COMMAND.PID.pfa, %p and %h" {
	local names
	cd "$T" || return 1
	"$PERFAGENT" record -q -- echo hello >/dev/null
	names=$(ls)
	[[ $names =~ ^echo\.[0-9]+\.pfa$ ]] || fail "$names"
	rm ./*.pfa
	"$PERFAGENT" record -q -o 'x-%p-%h.pfa' -- true
	names=$(ls)
	[[ $names =~ ^x-[0-9]+-$(uname -n)\.pfa$ ]] || fail "$names"
}

@test "options of the recorded command are left to it" {
	cd "$T" || return 1
	run --separate-stderr "$PERFAGENT" record -q -o a.pfa echo --help -o b
	[ "$status" -eq 0 ]
	[ "$output" = '--help -o b' ]
}
