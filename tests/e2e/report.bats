# perfagent report: numbers worked out by hand, figures about the recording itself, hostile names, size and speed.
load recordings

@test "report: self and total, recursion counted once, inlined functions, several processes and threads" {
	two_processes
	"$PERFAGENT" report -i "$T/t.pfa" >"$T/out"
	cat "$T/out"
	tail -n 9 "$T/out" >"$T/table"
	diff - "$T/table" <<-'END'
	  self %  total %    self s   total s  function          module      hottest line
	    32.3     64.5     0.100     0.200  recurse           python3.11  main.c:30
	    32.3     32.3     0.100     0.100  inlined_leaf      python3.11  inl.h:5
	    19.4     19.4     0.060     0.060  libz.so.1+0x1234  libz.so.1
	     6.5      9.7     0.020     0.030  [jit]
	     6.5      6.5     0.020     0.020  [unsampled]
	     3.2      3.2     0.010     0.010  [truncated]
	     0.0     93.5     0.000     0.290  main              python3.11  main.c:10
	     0.0     32.3     0.000     0.100  outer             python3.11  main.c:22
	END
}

@test "report: the header says what is missing" {
	two_processes
	"$PERFAGENT" report -i "$T/t.pfa" >"$T/out"
	cat "$T/out"
	grep -q '^  command  *python3\?\|/usr/bin/python3 work.py --fast$' "$T/out"
	grep -q '2026-11-21 12:31:34 UTC on buildhost, 2.500 s, exit status 3' "$T/out"
	grep -q '2 processes, 3 threads' "$T/out"
	grep -q '29 of 40 expected (72.5 %) at 100 Hz, by 19 signals' "$T/out"
	grep -q '3 lost (ring full 3), 1 truncated' "$T/out"
	grep -q '0.310 s accounted for of 0.400 s by the kernel (77.5 %), 0.020 s of it without a sample' "$T/out"
	grep -q 'agent 0.002 s of CPU (0.38 %); collector 0.005 s' "$T/out"
	grep -q 'incomplete for 1 of 2 modules' "$T/out"
	grep -q '19.4 %  /usr/lib/libz.so.1: stripped' "$T/out"
	grep -q 'a sentence' "$T/out"
	grep -q ' 74.2     0.230     0.300      100        2  /usr/bin/python3 work.py --fast' "$T/out"
	grep -q ' 25.8     0.080     0.100      101        1  /bin/sh -c sleep' "$T/out"
	if grep -q 'ended early' "$T/out"; then fail "it ended"; fi
}

@test "report: by line, by module, by thread" {
	two_processes
	"$PERFAGENT" report -i "$T/t.pfa" --by line >"$T/line"
	grep -q '   32.3     32.3     0.100     0.100  inlined_leaf      python3.11  /src/inl.h:5' "$T/line"
	"$PERFAGENT" report -i "$T/t.pfa" --by module >"$T/module"
	grep -q '   64.5     93.5     0.200     0.290  /usr/bin/python3.11' "$T/module"
	grep -q '   19.4     19.4     0.060     0.060  /usr/lib/libz.so.1' "$T/module"
	"$PERFAGENT" report -i "$T/t.pfa" --by thread >"$T/thread"
	grep -q '   54.8     0.170     0.200      100  main              python3 (100)' "$T/thread"
	grep -q '   19.4     0.060     0.100      102  worker            python3 (100)' "$T/thread"
	grep -q '   25.8     0.080     0.100      101  sh                sh (101)' "$T/thread"
}

@test "report: -n cuts, and says how much was cut" {
	two_processes
	"$PERFAGENT" report -i "$T/t.pfa" -n 2 >"$T/out"
	cat "$T/out"
	tail -n 1 "$T/out" | grep -qE '^ +35\.5 +0\.110 +other \(6 functions, -n shows more\)$'
	[ "$("$PERFAGENT" report -i "$T/t.pfa" -n 0 | wc -l)" -eq "$(($(wc -l <"$T/out") + 5))" ]
	"$PERFAGENT" report -i "$T/t.pfa" -n 2 --format json >"$T/json"
	jq -e '(.cpu.top_functions | length) == 2 and .cpu.top_functions_omitted == {rows: 6, self_time: 0.11}' "$T/json"
}

@test "report: JSON holds the same numbers, and adds up" {
	two_processes
	"$PERFAGENT" report -i "$T/t.pfa" --format json >"$T/json"
	jq -e '.schema == "perfagent.report/1" and .ended_early == false and .exit_status == 3 and .duration_s == 2.5' "$T/json"
	jq -e '.loss | .cpu_expected == 40 and .cpu_recorded == 29 and .cpu_lost == 3 and .truncated == 1 and .unsampled == 2 and (has("heap_lost") | not)' "$T/json"
	jq -e '.cpu | .sample_count == 31 and .effective_samples == 19 and .total_time == 0.31 and .rate_hz == 100' "$T/json"
	jq -e '.cpu.top_functions[0] | .function == "recurse" and .self_samples == 10 and .total_samples == 20 and .cumtime == 0.2 and .line == 30' "$T/json"
	jq -e '([.cpu.top_functions[].self_samples] | add) == .cpu.sample_count' "$T/json"
	jq -e '([.processes[].sample_count] | add) == .cpu.sample_count and ([.cpu.threads[].sample_count] | add) == .cpu.sample_count' "$T/json"
	jq -e '.symbols[1] | .module == "/usr/lib/libz.so.1" and .status == "none" and .unnamed_frames == 1' "$T/json"
	for by in line module; do
		"$PERFAGENT" report -i "$T/t.pfa" --format json --by $by >"$T/json"
		jq -e --arg key "top_${by}s" '([.cpu[$key][].self_samples] | add) == 31' "$T/json"
	done
}

@test "report: JSON keeps 64-bit numbers exact" {
	make_recording <<-'END'
	meta ended 2026-11-21T12:31:36Z
	meta period_ns 1
	process 1 100 0 18446744073709551615 0 x x
	thread 1 1 100 9007199254740993 1 x
	loss 1 9223372036854775807 ring full
	END
	"$PERFAGENT" report -i "$T/t.pfa" --format json >"$T/json"
	grep -q '"count": 9223372036854775807,' "$T/json"
	grep -q '"cpu_s": 18446744073.709551615' "$T/json"
	grep -q '"cpu_s": 9007199.254740993' "$T/json"
}

@test "report: JSON is what the schema says, hostile names and killed recordings included" {
	python=
	for candidate in /usr/bin/python3 python3; do
		[ -n "$python" ] || ! "$candidate" -c 'import jsonschema' 2>/dev/null || python=$candidate
	done
	[ -n "$python" ] || skip "python3-jsonschema is not installed"
	for kind in two_processes hostile "two_processes killed"; do
		rm -f "$T"/t.pfa*
		$kind
		for by in function line module thread; do
			"$PERFAGENT" report -i "$T/t.pfa" --format json --by $by >"$T/json"
			"$python" - "$T/json" "$PA_ROOT/report/schema/perfagent.report-1.schema.json" <<-'END'
			import json, jsonschema, sys
			schema = json.load(open(sys.argv[2]))
			jsonschema.Draft202012Validator.check_schema(schema)
			jsonschema.Draft202012Validator(schema).validate(json.load(open(sys.argv[1])))
			END
		done
	done
}

@test "report: every field the JSON has is in the schema" {
	two_processes
	"$PERFAGENT" report -i "$T/t.pfa" --format json --by line |
		jq -r '[paths | map(select(type == "string")) | last | strings] | unique | .[]' >"$T/fields"
	jq -r '[paths | map(select(type == "string")) | last | strings] | unique | .[]' \
		"$PA_ROOT/report/schema/perfagent.report-1.schema.json" | sort >"$T/known"
	[ "$(wc -l <"$T/fields")" -gt 50 ]
	if LC_ALL=C comm -23 <(LC_ALL=C sort "$T/fields") <(LC_ALL=C sort "$T/known") | grep .; then fail "the schema lacks these"; fi
}

@test "report: a killed recording says so, and is read as far as it goes" {
	two_processes killed
	"$PERFAGENT" report -i "$T/t.pfa" >"$T/out"
	cat "$T/out"
	grep -q 'ended early' "$T/out"
	grep -q '29 of 40 expected' "$T/out"
	"$PERFAGENT" report -i "$T/t.pfa" --format json | jq -e '.ended_early == true'
}

@test "report: a killed recording is named from the files, if they are still the same" {
	local id
	id=$(readelf -n "$TARGETS/split" | sed -n 's/.*Build ID: //p')
	[ -n "$id" ] || skip "the linker writes no build-id"
	for kind in "$id" 00112233; do
		rm -f "$T"/t.pfa*
		make_recording killed <<-END
		meta command split
		meta period_ns 10000000
		process 1 100 0 10000000 0 x split
		thread 1 1 100 10000000 10000000 x
		module 1 unknown $kind $TARGETS/split
		frame 1 1 0x$(nm "$TARGETS/split" | sed -n 's/^\([0-9a-f]*\) [tT] main$/\1/p')
		stack 1 0 1
		sample 1 1000 1 1
		END
		"$PERFAGENT" report -i "$T/t.pfa" --format json >"$T/$kind.json"
	done
	jq -e '.cpu.top_functions[0] | .function == "main" and (.file | endswith("split.c")) and .line > 0' "$T/$id.json"
	jq -e '.cpu.top_functions[0].function | test("^split\\+0x")' "$T/00112233.json"
	jq -e '.symbols[0].status == "mismatch"' "$T/00112233.json"
}

@test "R66 report: hostile names do nothing to a terminal, and JSON keeps them whole" {
	hostile
	for by in function line module thread; do
		"$PERFAGENT" report -i "$T/t.pfa" --by $by >"$T/out.$by"
		no_controls "$T/out.$by"
		"$PERFAGENT" report -i "$T/t.pfa" --by $by --format json >"$T/json"
		jq -e . "$T/json" >/dev/null
		no_controls "$T/json"
	done
	jq -e '.command | contains("\u001b[31m")' "$T/json"
	jq -e '[.cpu.top_functions[].function] | any(. == "]]><!--\u202ertl;semi\ncolon")' "$T/json"
}

@test "report: on a terminal it fits, elsewhere names are whole" {
	command -v script >/dev/null || skip "script (bsdutils) is not installed"
	long=$(printf 'n%.0s' {1..300})
	make_recording <<-END
	meta command /usr/bin/$long
	meta ended 2026-11-21T12:31:36Z
	meta period_ns 10000000
	process 1 100 0 10000000 0 x /usr/bin/$long
	process 2 101 0 10000000 0 x /usr/bin/$long
	thread 1 1 100 10000000 10000000 x
	thread 2 2 101 10000000 10000000 x
	module 1 dynsym - /usr/lib/$long.so
	frame 1 1 0x100
	symbol 1 $long $long.c 7
	stack 1 0 1
	sample 1 1000 1 1
	sample 2 1000 1 1
	note 1 5 $long
	END
	"$PERFAGENT" report -i "$T/t.pfa" >"$T/out"
	grep -q "$long  " "$T/out"
	for columns in 100 140; do
		TERM=xterm NO_COLOR=1 script -qec "stty cols $columns; '$PERFAGENT' report -i '$T/t.pfa'" /dev/null | tr -d '\r' >"$T/tty"
		grep -q '…' "$T/tty"
		longest=$(sed 's/…/./g' "$T/tty" | wc -L)
		[ "$longest" -le "$columns" ] || fail "$longest columns of $columns"
		if grep -q $'\x1b' "$T/tty"; then fail "colour despite NO_COLOR"; fi
	done
	env -u NO_COLOR TERM=xterm script -qec "'$PERFAGENT' report -i '$T/t.pfa'" /dev/null | grep -q $'\x1b\\[1m'
}

@test "report: a million samples in 100 000 stacks take seconds, and the answer is bounded" {
	make_recording <<-'END'
	meta ended 2026-11-21T12:31:36Z
	meta period_ns 10000000
	process 1 100 0 10000000 0 x bulk
	thread 1 1 100 10000000 10000000 main
	module 1 full aabb /usr/bin/bulk
	bulk 1000000 100000 32
	END
	TIMEFORMAT=%U # CPU time: the machine may have other work
	took=$({ time "$PERFAGENT" report -i "$T/t.pfa" >"$T/out" 2>&1; } 2>&1)
	echo "$took s"
	[ "${took%.*}" -lt 10 ]
	[ "$(wc -l <"$T/out")" -lt 60 ]
	grep -q 'other (.* functions, -n shows more)' "$T/out"
	"$PERFAGENT" report -i "$T/t.pfa" --format json | jq -e '.cpu.sample_count == 1000000 and (.cpu.top_functions | length) == 1000'
}

@test "report -o: the file is whole or not there; links are followed, devices written to" {
	two_processes
	cd "$T" || return 1
	"$PERFAGENT" report -i t.pfa -o out.txt
	"$PERFAGENT" report -i t.pfa | cmp - out.txt
	ln -s real.txt link.txt
	echo old >real.txt
	"$PERFAGENT" report -i t.pfa -o link.txt
	[ -L link.txt ] && cmp real.txt out.txt
	"$PERFAGENT" report -i t.pfa -o /dev/null
	[ -c /dev/null ]
	umask 027
	"$PERFAGENT" report -i t.pfa -o mode.txt
	[ "$(stat -c %a mode.txt)" = 640 ]
	run bash -c 'ulimit -f 1; exec "$0" report -i t.pfa -n 0 -o cut.txt' "$PERFAGENT"
	[ ! -e cut.txt ]  || [ "$status" -eq 0 ]
	[ "$(find . -name '*.txt.*' | wc -l)" -eq 0 ] || fail "left behind: $(ls)"
}

@test "report: a closed reader and a closed stdout are status 2" {
	two_processes
	run bash -c '"$0" report -i "$1" --format json > >(true); sleep 0.1; { sleep 0.3; "$0" report -i "$1" --format json; echo "status $?" >&2; } | true' "$PERFAGENT" "$T/t.pfa"
	[[ $output == *'status 2'* ]]
	run bash -c '"$0" report -i "$1" >&-' "$PERFAGENT" "$T/t.pfa"
	[ "$status" -eq 2 ]
	[[ $output == *'standard output: cannot be written: Bad file descriptor' ]]
}
