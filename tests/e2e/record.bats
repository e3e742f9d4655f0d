# The command line of record, report and flame when all goes well.
load common

@test "help and version: on stdout, status 0" {
	for words in "--help" "--version" "record --help" "report --help" "flame --help" "doctor --help"; do
		# shellcheck disable=SC2086 # command and option
		run_as help 20 "$PERFAGENT" $words
		[ "$(value_of help status)" = 0 ]
		[ -s "$T/help.out" ]
		[ ! -s "$T/help.err" ]
	done
	grep -q "$(cat "$PA_ROOT/VERSION")" <("$PERFAGENT" --version)
	"$O/perfagentd" --version | grep -q "$(cat "$PA_ROOT/VERSION")"
	"$O/perfagentd" --help | grep -q -- --socket
}

@test "the status is the command's: exit, signal" {
	for status in 0 1 2 124 125 126 127 255; do
		run_as recorded 20 "$PERFAGENT" record -q -o "$T/t.pfa" -- sh -c "exit $status"
		[ "$(value_of recorded status)" = "$status" ]
	done
	run_as recorded 20 "$PERFAGENT" record -q -o "$T/t.pfa" -- sh -c 'kill -TERM $$'
	[ "$(value_of recorded status)" = 143 ]
}

@test "stdin, stdout and stderr are the command's; nothing of ours with -q or without a terminal" {
	mkdir "$T/recorded.cwd"
	(cd "$T/recorded.cwd" && printf 'line 1\nline 2' | "$PERFAGENT" record -o "$T/t.pfa" -- sh -c 'cat; echo err >&2' >"$T/out" 2>"$T/err" 3>&-)
	printf 'line 1\nline 2' | cmp - "$T/out"
	grep -qx err "$T/err"
	[ "$(wc -l <"$T/err")" = 1 ]
}

@test "the recording is NAME.PID.pfa in the working directory unless -o says otherwise" {
	run_as recorded 20 "$PERFAGENT" record -q -- "$TARGETS/hello"
	ls "$T/recorded.cwd"
	[ "$(find "$T/recorded.cwd" -mindepth 1 | wc -l)" = 1 ]
	basename "$T"/recorded.cwd/* | grep -qE '^hello\.[0-9]+\.pfa$'
}

@test "-o with %p and %h, and -- before a command with options of its own" {
	run_as recorded 20 "$PERFAGENT" record -q -o "x-%p-%h.pfa" -- ls -d --color=never /
	[ "$(value_of recorded status)" = 0 ]
	grep -qx / "$T/recorded.out"
	basename "$T"/recorded.cwd/* | grep -qE "^x-[0-9]+-$(uname -n)\.pfa$"
}

@test "-o - is stdout" {
	run_as recorded 20 "$PERFAGENT" record -q -o - -- sh -c "'$TARGETS/split' 1 200 >/dev/null"
	[ "$(value_of recorded status)" = 0 ]
	cp "$T/recorded.out" "$T/t.pfa"
	check_recording
	sampled 5
}

@test "a second recording replaces the first" {
	record -- "$TARGETS/split" 1 200
	record -- "$TARGETS/hello" 0
	check_recording
	has_no_stack hot_seventy
}

@test "report and flame without -i take the newest recording here" {
	mkdir "$T/here"
	cd "$T/here"
	"$PERFAGENT" record -q -o a.pfa -- "$TARGETS/hello" 0 3>&-
	touch -d 2020-01-01 a.pfa
	"$PERFAGENT" record -q -F 250 -o b.pfa -- "$TARGETS/split" 1 300 3>&- >/dev/null
	"$PERFAGENT" report | grep -q hot_seventy
	"$PERFAGENT" flame --format folded | grep -q hot_seventy
}

@test "flame: an SVG that is well-formed, with its script, search and zoom; NAME.svg by default" {
	record -- "$TARGETS/split" 1 500
	mkdir "$T/here"
	cd "$T/here"
	"$PERFAGENT" flame -i "$T/t.pfa" --format svg
	[ "$(ls)" = split.svg ]
	/usr/bin/python3 -c 'import sys, xml.dom.minidom as m; m.parse(sys.argv[1])' split.svg
	grep -q hot_seventy split.svg
	grep -qi search split.svg
	grep -qi zoom split.svg
	"$PERFAGENT" flame -i "$T/t.pfa" --format svg -o "$T/other.svg"
	[ -s "$T/other.svg" ]
}

@test "flame --format folded adds up to the sample count" {
	record -- "$TARGETS/split" 2 600
	folded
	holds --argjson n "$(weight_of .)" '.cpu.sample_count == $n'
}

@test "the whole process tree is recorded, children of children too" {
	record -- sh -c "sh -c \"'$TARGETS/split' 1 200\"; '$TARGETS/accounting' kernel 200"
	check_recording
	has_stack hot_seventy
	has_stack kernel_time
}

@test "the command ends, a child of its lives on: the recording goes on to its end" {
	record -- sh -c "'$TARGETS/split' 1 500 & exit 4"
	[ "$(value_of recorded status)" = 4 ]
	check_recording
	sampled 50
}

@test "-d ends the recording, the command runs on" {
	run_as recorded 30 "$PERFAGENT" record -q -F 250 -d 1 -o "$T/t.pfa" -- sh -c "'$TARGETS/accounting' kernel 300; sleep 1.5; '$TARGETS/split' 1 300; exit 3"
	[ "$(value_of recorded left)" = 0 ]
	grep -q "split over 1 threads" "$T/recorded.out"
	check_recording
	has_stack kernel_time
	has_no_stack hot_seventy
}

@test "the recording can be read while it is being written" {
	record_pid=
	"$TARGETS/supervise" -t 30 -o "$T/recorded.status" -- "$PERFAGENT" record -q -F 250 -o "$T/t.pfa" -- sh -c "'$TARGETS/split' 1 3000; exit 6" >/dev/null 2>&1 </dev/null 3>&- &
	record_pid=$!
	PA_BACKGROUND+=("$record_pid")
	n=0
	for _ in $(seq 20); do
		sleep 0.3
		"$PERFAGENT" report -i "$T/t.pfa" --format json >"$T/live.json" 2>/dev/null || continue
		n=$(jq '.cpu.sample_count // 0' "$T/live.json")
		[ "$n" -gt 100 ] && break
	done
	echo "read $n samples while it was being written"
	[ "$n" -gt 100 ]
	wait "$record_pid" || [ "$(value_of recorded status)" = 6 ]
	check_recording
	sampled 500
}

@test "SIGINT is the command's, SIGTERM and SIGHUP are forwarded" {
	for signal in TERM HUP; do
		rm -f "$T/ready"
		"$TARGETS/supervise" -t 30 -o "$T/recorded.status" -- "$PERFAGENT" record -q -o "$T/t.pfa" -- sh -c "trap 'echo got it; exit 9' $signal; touch '$T/ready'; while :; do sleep 0.1; done" >"$T/out" 2>&1 </dev/null 3>&- &
		supervisor=$!
		PA_BACKGROUND+=("$supervisor")
		for _ in $(seq 250); do [ -e "$T/ready" ] && break; sleep 0.02; done
		kill -"$signal" "$(cat /proc/$supervisor/task/$supervisor/children)"
		wait "$supervisor" || true
		grep -qx "got it" "$T/out"
		[ "$(value_of recorded status)" = 9 ]
		check_recording
		rm -f "$T/t.pfa" "$T/report.json"
	done
	# an INT that only record gets leaves the command alone; it ends by itself
	rm -f "$T/ready"
	"$TARGETS/supervise" -t 30 -o "$T/recorded.status" -- "$PERFAGENT" record -q -o "$T/t.pfa" -- sh -c "touch '$T/ready'; '$TARGETS/split' 1 700; exit 8" >"$T/out" 2>&1 </dev/null 3>&- &
	supervisor=$!
	PA_BACKGROUND+=("$supervisor")
	for _ in $(seq 250); do [ -e "$T/ready" ] && break; sleep 0.02; done
	kill -INT "$(cat /proc/$supervisor/task/$supervisor/children)"
	wait "$supervisor" || true
	[ "$(value_of recorded status)" = 8 ]
	grep -q "split over 1 threads" "$T/out"
}

@test "doctor: a program that can be profiled, and one that is not there" {
	run_as doctor 20 "$PERFAGENT" doctor "$TARGETS/hello"
	[ "$(value_of doctor status)" = 0 ]
	run_as doctor 20 "$PERFAGENT" doctor /nonexistent/program
	[ "$(value_of doctor status)" = 2 ]
	[ -s "$T/doctor.err" ]
}

@test "the JSON report validates against the schema in the repository, where there is one" {
	schema=$(ls "$PA_ROOT"/report/schema/*.schema.json 2>/dev/null | head -n 1)
	[ -n "$schema" ] || skip "no schema yet"
	/usr/bin/python3 -c 'import jsonschema' 2>/dev/null || skip "python3-jsonschema is not installed"
	record -- "$TARGETS/split" 1 300
	load_report
	/usr/bin/python3 -c 'import json, jsonschema, sys; jsonschema.validate(json.load(open(sys.argv[1])), json.load(open(sys.argv[2])))' "$T/report.json" "$schema"
}
