# What the outputs say of allocations: recordings of which every figure was worked out by hand (memory.bash).
load memory

# schema NAME JSON: JSON is what report/schema/perfagent.NAME.schema.json says
schema() {
	local python=
	for candidate in /usr/bin/python3 python3; do
		[ -n "$python" ] || ! "$candidate" -c 'import jsonschema' 2>/dev/null || python=$candidate
	done
	[ -n "$python" ] || return 0
	"$python" - "$2" "$PA_ROOT/report/schema/perfagent.$1.schema.json" <<-'END'
	import json, jsonschema, sys
	schema = json.load(open(sys.argv[2]))
	jsonschema.Draft202012Validator.check_schema(schema)
	jsonschema.Draft202012Validator(schema).validate(json.load(open(sys.argv[1])))
	END
}

# complains STATUS PATTERN COMMAND...: one line on stderr, nothing on stdout
complains() {
	local expect=$1 pattern=$2
	shift 2
	run -"$expect" --separate-stderr timeout 20 "$@"
	# shellcheck disable=SC2154 # set by run
	echo "$*: status $status, stderr: $stderr"
	[ -z "$output" ] || fail "stdout: $output" || return 1
	[ "$(wc -l <<<"$stderr")" -eq 1 ] || fail "not one line" || return 1
	[[ $stderr == perfagent:\ * ]] || fail "does not say who speaks" || return 1
	grep -qE -e "$pattern" <<<"$stderr" || fail "does not match $pattern"
}

@test "memory: the section of the report" {
	shop
	"$PERFAGENT" report -i "$T/t.pfa" >"$T/out"
	cat "$T/out"
	grep -q '^  memory     8.02 MiB allocated in 24 calls, peak 8.00 MiB, 8.00 MiB live at the end$' "$T/out"
	sed -n '/^memory$/,$p' "$T/out" >"$T/section"
	diff - "$T/section" <<-'END'
	memory
	  allocated  8.02 MiB in 24 calls, 13.7 KiB in 14 freed; 33.3 % temporary (freed by the next heap call)
	  peak       8.00 MiB in 11 blocks at 5.000 s
	  at the end 8.00 MiB in 10 blocks; `perfagent leaks` shows who did not free
	  precision  every call was counted
	  lifetimes  below 100 us 64.3 %, 10 ms 0.0 %, 1 s 35.7 %, 10 s 0.0 %, longer 0.0 % of freed blocks
	  resident   RSS 16.0 MiB at most; glibc's arenas 12.0 MiB, 3.00 MiB of it free: 25.0 % fragmentation at 5.000 s
	  overhead   engine 1.00 MiB in the target

	  by function, shares of bytes allocated
	  self %  total %  allocated     calls  temp %      live   at peak  function             module     line
	    99.8     99.8   8.00 MiB         8     0.0  8.00 MiB  8.00 MiB  cache_add            shop       cache.c:12
	     0.2      0.2   14.6 KiB        15    53.3    1000 B  1.95 KiB  make_buffer          shop       buf.c:77
	     0.0      0.0   1.00 KiB         1     0.0  1.00 KiB  1.00 KiB  _IO_file_doallocate  libc.so.6
	     0.0    100.0        0 B         0     0.0       0 B       0 B  main                 shop       main.c:10
	     0.0    100.0        0 B         0     0.0       0 B       0 B  handle               shop       shop.c:30

	  largest stacks (--by stack shows more)
	   99.8 %  8.00 MiB in 8 calls
	      cache_add                                 /src/cache.c:12
	      handle                                    /src/shop.c:30
	      main                                      /src/main.c:10
	END
}

@test "memory: other rows, other orders; asked for memory, CPU time is left out" {
	shop
	"$PERFAGENT" report -i "$T/t.pfa" --sort calls >"$T/out"
	grep -qE '^ +62.5 +62.5 +14.6 KiB +15 +53.3 .* make_buffer' "$T/out"
	[ "$(grep -nE ' (make_buffer|cache_add) ' "$T/out" | head -1 | grep -c make_buffer)" = 1 ]
	if grep -q 'hottest line' "$T/out"; then fail "CPU time was not asked for"; fi
	"$PERFAGENT" report -i "$T/t.pfa" --sort temporary | grep -qE '^ +100.0 +100.0 .* make_buffer'
	"$PERFAGENT" report -i "$T/t.pfa" --sort live | grep -qE '^ +100.0 +100.0 .* cache_add'
	"$PERFAGENT" report -i "$T/t.pfa" --by line --sort bytes | grep -qE ' cache_add +shop +/src/cache.c:12$'
	"$PERFAGENT" report -i "$T/t.pfa" --by module --sort bytes | grep -qE '^ +100.0 +100.0 +8.01 MiB +23 .* /opt/shop$'
	"$PERFAGENT" report -i "$T/t.pfa" --by thread >"$T/thread"
	grep -qE '^ +98.8 +7.92 MiB +20 +9.77 KiB +10 +100  shop +shop \(100\)$' "$T/thread"
	grep -qE '^ +1.2 +102 KiB +4 +3.91 KiB +4 +102  worker +shop \(100\)$' "$T/thread"
	"$PERFAGENT" report -i "$T/t.pfa" --by stack -n 2 >"$T/stack"
	grep -A3 -E '^ +0.2 +0.2 +14.6 KiB +15 ' "$T/stack" | tail -3 | awk '{ print $1 }' | diff - <(printf 'operator\nmake_buffer\nhandle\n')
	grep -qE '1.00 KiB +1 .* other \(1 stack, -n shows more\)$' "$T/stack"
}

@test "memory: a window counts what happened in it" {
	shop
	"$PERFAGENT" report -i "$T/t.pfa" --sort bytes --from 3s --to 0m9.5s >"$T/out"
	cat "$T/out"
	grep -q '^  allocated  5.00 MiB in 10 calls, 4.88 KiB in 5 freed; 0.0 % temporary' "$T/out"
	grep -q '^  at the end 8.00 MiB in 10 blocks, +5.00 MiB since 3.000 s$' "$T/out"
	"$PERFAGENT" report -i "$T/t.pfa" --from 3 --format json >"$T/json"
	jq -e '.memory | .baseline_mb == 3.002 and .delta_mb == 5 and .allocations == 10 and .bytes_live == 8390632' "$T/json"
	jq -e '.cpu.sample_count == 4' "$T/json"
}

@test "memory: sampled, lost and uncertain are said" {
	shop sampled mean=524288 lost=3 lost_frees=2 uncertain_ns=3000000000 stalled_ns=250000000 unknown_frees=7
	"$PERFAGENT" report -i "$T/t.pfa" >"$T/out"
	cat "$T/out"
	grep -q '^  memory     about 8.02 MiB .*(events were lost)$' "$T/out"
	grep -q '^  precision  one sample in 512 KiB allocated .*95 %: allocated ± ' "$T/out"
	grep -q '^  lost       3 events (2 known frees): the totals lack them; live and peak may be too high from 2.000 s on$' "$T/out"
	grep -q 'its threads waited 0.250 s for the collector; 7 freed blocks were allocated before the recording$' "$T/out"
	# what a thread did next is not seen in samples
	if grep -q temporary "$T/out"; then fail "temporary allocations are not known"; fi
	"$PERFAGENT" report -i "$T/t.pfa" --format json >"$T/json"
	schema report-1 "$T/json"
	jq -e '.memory | has("temporary") or (.top_allocators[0] | has("temporary")) | not' "$T/json"
	complains 2 'not known of samples; record with --heap=exact' "$PERFAGENT" report -i "$T/t.pfa" --sort temporary
	complains 2 'not known of samples; record with --heap=exact' "$PERFAGENT" flame -i "$T/t.pfa" --kind temporary -o "$T/x.svg"
	[ ! -e "$T/x.svg" ]
	"$PERFAGENT" leaks "$T/t.pfa" -t 1GB >"$T/out"
	grep -q 'estimated from samples' "$T/out"
	grep -q 'events were lost (2 frees among them): blocks shown here may have been freed' "$T/out"
}

@test "memory: asked for and not recorded is said; not asked for is not" {
	make_recording <<-'END'
	meta ended 2026-11-21T12:31:44Z
	meta mode cpu,memory
	process 1 100 0 1 0 exit\s0 /opt/asan
	note 1 1 allocations are not recorded: AddressSanitizer checks the heap by itself
	END
	"$PERFAGENT" report -i "$T/t.pfa" >"$T/out"
	cat "$T/out"
	grep -q '^  memory     no allocations were recorded: see the notes$' "$T/out"
	grep -q '^  notes      allocations are not recorded: AddressSanitizer' "$T/out"
	"$PERFAGENT" report -i "$T/t.pfa" --format json | jq -e 'has("memory") | not'
	complains 2 't.pfa: no allocations were recorded; .*notes' "$PERFAGENT" leaks "$T/t.pfa"
	rm "$T/t.pfa"
	two_processes
	"$PERFAGENT" report -i "$T/t.pfa" >"$T/out"
	if grep -q memory "$T/out"; then fail "nobody asked for memory"; fi
	for command in "report --sort live" "report --by stack" "flame --kind live -o -" "leaks"; do
		# shellcheck disable=SC2086
		complains 2 't.pfa: no allocations in this recording; record with --mode cpu,memory' "$PERFAGENT" $command -i "$T/t.pfa"
	done
}

@test "memory: the JSON section" {
	shop
	"$PERFAGENT" report -i "$T/t.pfa" --format json --by stack >"$T/json"
	schema report-1 "$T/json"
	jq -e '.memory | .baseline_mb == 0 and .peak_mb == 8.003 and .delta_mb == 8.002 and .live_mb == 8.002 and .peak_at_s == 5' "$T/json"
	jq -e '.memory | .allocations == 24 and .frees == 14 and .bytes_allocated == 8404632 and .temporary == 8 and .bytes_temporary == 8000 and (.estimated | not)' "$T/json"
	jq -e '.memory.top_allocators[0] == {function: "cache_add", module: "/opt/shop", file: "/src/cache.c", line: 12, size_kb: 8192,
		count: 8, live_kb: 8192, live_count: 8, peak_kb: 8192, peak_count: 8, temporary: 0, bytes_temporary: 0, bytes: 8388608, bytes_live: 8388608,
		bytes_peak: 8388608, interval_bytes: 0, total_size_kb: 8192, total_count: 8, total_live_kb: 8192, total_peak_kb: 8192}' "$T/json"
	jq -e '[.memory.top_allocators[].bytes] | add == 8404632' "$T/json"
	jq -e '[.memory.top_stacks[].bytes] | add == 8404632' "$T/json"
	jq -e '.memory.top_stacks[1].stack | map(.function) == ["operator new(unsigned long)", "make_buffer", "handle", "main"]' "$T/json"
	jq -e '.memory.leaks | length == 2 and .[0].bytes == 8388608 and .[1].function == "make_buffer"' "$T/json"
	jq -e '.memory.leaks_omitted == {rows: 0, suppressed_bytes: 1024}' "$T/json"
	jq -e '.memory.timeline == [
		{t: 1, process: 1, heap_mb: 3.002, blocks: 5, rss_mb: 10, arena_mb: 4, arena_used_mb: 3.002, arena_free_mb: 0.998, libc_mapped_mb: 0},
		{t: 5, process: 1, heap_mb: 8.002, blocks: 10, rss_mb: 16, arena_mb: 12, arena_used_mb: 9, arena_free_mb: 3, libc_mapped_mb: 0},
		{t: 10, process: 1, heap_mb: 8.002, blocks: 10, rss_mb: 15}]' "$T/json"
	jq -e '.memory.threads == [
		{id: 1, process: 1, tid: 100, name: "shop", allocations: 20, bytes_allocated: 8300000, frees: 10, bytes_freed: 10000},
		{id: 2, process: 1, tid: 102, name: "worker", allocations: 4, bytes_allocated: 104632, frees: 4, bytes_freed: 4000}]' "$T/json"
	jq -e '.memory.lifetimes | length == 8 and .[0] == {below_s: 0.00001, count: 9, bytes: 9000} and .[7].below_s == null' "$T/json"
	for by in function line module thread; do
		"$PERFAGENT" report -i "$T/t.pfa" --format json --by $by --sort peak -n 1 >"$T/json"
		schema report-1 "$T/json"
	done
	jq -e '.memory.top_allocators_omitted == {rows: 5, bytes: 16024} and .memory.leaks_omitted.rows == 1' "$T/json"
}

@test "memory: every field the JSON has is in its schema" {
	shop sampled mean=1 lost=1 uncertain_ns=5 flags=1
	mv "$T/t.pfa" "$T/base.pfa"
	shop
	"$PERFAGENT" report -i "$T/base.pfa" --format json --by stack >"$T/report-1"
	"$PERFAGENT" leaks -i "$T/base.pfa" --format json -t 1TB >"$T/leaks-1"
	"$PERFAGENT" diff "$T/base.pfa" "$T/t.pfa" --threshold 1TB --format json >"$T/diff-1"
	for name in report-1 leaks-1 diff-1; do
		schema $name "$T/$name"
		jq -r '[paths | map(select(type == "string")) | last | strings] | unique | .[]' "$T/$name" >"$T/fields"
		jq -r '[paths | map(select(type == "string")) | last | strings] | unique | .[]' \
			"$PA_ROOT/report/schema/perfagent.$name.schema.json" >"$T/known"
		[ "$(wc -l <"$T/fields")" -gt 20 ]
		if LC_ALL=C comm -23 <(LC_ALL=C sort "$T/fields") <(LC_ALL=C sort "$T/known") | grep .; then fail "$name lacks these"; fi
	done
	grep -q mapped_bytes "$T/report-1"
	grep -q uncertain_from_s "$T/report-1"
}

@test "memory: 64-bit numbers are exact in JSON, and in folded stacks" {
	make_recording <<-'END'
	meta ended 2026-11-21T12:31:44Z
	meta started_mono_ns 1
	process 1 100 0 1 0 exit\s0 x
	module 1 full aabbcc /opt/x
	frame 1 1 0x100
	symbol 1 huge /src/x.c 1
	stack 1 0 1
	heap 1 exact calls=1 bytes=4611686018427387904
	heapchunk 1 5 6 1:1:4611686018427387904:0:0
	END
	"$PERFAGENT" report -i "$T/t.pfa" --format json >"$T/json"
	grep -q '"bytes_allocated": 4611686018427387904,' "$T/json"
	grep -q '"bytes_live": 4611686018427387904,' "$T/json"
	"$PERFAGENT" report -i "$T/t.pfa" | grep -q '4096 PiB in 1 calls'
	[ "$("$PERFAGENT" flame -i "$T/t.pfa" --kind alloc --format folded)" = "huge 4611686018427387904" ]
}

@test "memory: flame graphs of every kind and unit" {
	shop
	folded() {
		"$PERFAGENT" flame -i "$T/t.pfa" --format folded "$@"
	}
	diff - <(folded --kind alloc) <<-'END'
	main;_IO_file_doallocate 1024
	main;handle;cache_add 8388608
	main;handle;make_buffer;operator new(unsigned long) 15000
	END
	diff - <(folded --kind alloc --unit calls --invert) <<-'END'
	_IO_file_doallocate;main 1
	cache_add;handle;main 8
	operator new(unsigned long);make_buffer;handle;main 15
	END
	[ "$(folded --kind live --unit calls | awk '{ s += $NF } END { print s }')" = 10 ]
	[ "$(folded --kind peak | awk '{ s += $NF } END { print s }')" = 8391632 ]
	[ "$(folded --kind temporary)" = "main;handle;make_buffer;operator new(unsigned long) 8000" ]
	[ "$(folded --kind temporary --unit calls)" = "main;handle;make_buffer;operator new(unsigned long) 8" ]
	[ "$(folded --kind alloc --from 3 --unit calls | awk '{ s += $NF } END { print s }')" = 10 ]
	[ "$(folded --to 3 | awk '{ s += $NF } END { print s }')" = 6 ]
}

@test "memory: an SVG says what its widths are, and in which unit" {
	shop
	cd "$T"
	[ "$("$PERFAGENT" flame -i t.pfa --kind peak)" = shop.peak.svg ]
	xmllint --noout shop.peak.svg
	grep -q '>live at the highest heap: 8.00 MiB (8391632 bytes); 1 process; buildhost' shop.peak.svg
	tr '\n' '|' <shop.peak.svg | grep -qF '<title>cache_add|/opt/shop|8.00 MiB (8388608 bytes), 99.96 %|self 8.00 MiB (8388608 bytes), 99.96 %</title>'
	"$PERFAGENT" flame -i t.pfa --kind temporary --unit calls --to 4 -o t.svg
	grep -q '>temporary allocations (freed by the next heap call): 8 calls; 1 process; from 0 s to 4.000 s; ' t.svg
	shop_grown
	"$PERFAGENT" flame -i base.pfa --kind live --unit calls -o t.svg
	grep -q '>live at the end: 10 blocks; 1 process' t.svg
}

@test "leaks: what was not freed, largest first; status 1 at the threshold" {
	shop
	run -1 --separate-stderr "$PERFAGENT" leaks "$T/t.pfa"
	echo "$output"
	diff - <(echo "$output") <<-'END'
	8.00 MiB leaked in 9 blocks by 2 stacks (99.82 % of 8.02 MiB allocated)

	  8.00 MiB (100.0 %) in 8 blocks
	      cache_add                                 /src/cache.c:12
	      handle                                    /src/shop.c:30
	      main                                      /src/main.c:10

	  1000 B (0.0 %) in 1 block
	      operator new(unsigned long)               libstdc++.so.6
	      make_buffer                               /src/buf.c:77
	      handle                                    /src/shop.c:30
	      main                                      /src/main.c:10

	  suppressed: 1.00 KiB in 1 block
	     1.00 KiB in 1  _IO_file_doallocate$  (built in)
	END
	run -1 "$PERFAGENT" leaks "$T/t.pfa" --threshold 8389608
	run -0 "$PERFAGENT" leaks "$T/t.pfa" --threshold 8389609
	run -1 "$PERFAGENT" leaks "$T/t.pfa" --threshold 8192k
	run -0 "$PERFAGENT" leaks "$T/t.pfa" --threshold 8.01MB
	grep -q 'below the threshold of 8.01 MiB' <<<"$output"
	run -1 --separate-stderr "$PERFAGENT" leaks "$T/t.pfa" --format json -n 1
	echo "$output" >"$T/json"
	schema leaks-1 "$T/json"
	jq -e '.over and .bytes == 8389608 and .count == 9 and .leaks_omitted == 1 and .leaks[0].share_pct == 99.988' "$T/json"
}

@test "leaks: suppressions" {
	shop
	cat >"$T/known" <<-'END'
	# the cache is meant to stay

	  leak:^cache_*$
	leak:buf.c
	leak:nowhere
	END
	run -0 --separate-stderr "$PERFAGENT" leaks "$T/t.pfa" -s "$T/known"
	echo "$output"
	grep -q '^nothing leaked: all of 8.02 MiB that was allocated was freed or is suppressed$' <<<"$output"
	grep -q '^     8.00 MiB in 8  ^cache_\*\$$' <<<"$output"
	grep -q '^       1000 B in 1  buf.c$' <<<"$output"
	grep -q "unused suppression: $T/known:5: nowhere\$" <<<"$output"
	run -1 --separate-stderr "$PERFAGENT" leaks "$T/t.pfa" -s "$T/known" --no-default-suppressions --format json
	jq -e '.bytes == 1024 and .suppressed.bytes == 8389608 and (.suppressed.patterns | length) == 3' <<<"$output"
	for bad in 'leek:x' 'leak:' 'leak:*' 'leak:^$' 'x'; do
		printf 'leak:fine\n%s\n' "$bad" >"$T/bad"
		complains 2 "bad: line 2 is no suppression" "$PERFAGENT" leaks "$T/t.pfa" -s "$T/bad"
	done
	head -c 5000 /dev/zero | tr '\0' x >"$T/bad"
	complains 2 "bad: line 1 is longer" "$PERFAGENT" leaks "$T/t.pfa" -s "$T/bad"
	complains 2 "none: cannot be read: No such file" "$PERFAGENT" leaks "$T/t.pfa" -s "$T/none"
	complains 2 "cannot be read: Is a directory" "$PERFAGENT" leaks "$T/t.pfa" -s "$T"
}

@test "leaks: what a process held that became another program, or was killed" {
	make_recording <<-'END'
	meta ended 2026-11-21T12:31:44Z
	meta mode memory
	process 1 100 0 1 0 exec x
	process 2 100 1 1 0 signal\s9 y
	module 1 full aabbcc /opt/x
	frame 1 1 0x100
	symbol 1 f /src/x.c 1
	stack 1 0 1
	heap 1 exact calls=1 bytes=1000
	heap 2 exact calls=1 bytes=77
	heapchunk 1 5 6 1:1:1000:0:0
	heapchunk 2 5 6 1:1:77:0:0
	END
	run -1 --separate-stderr "$PERFAGENT" leaks "$T/t.pfa"
	echo "$output"
	grep -q '^77 B leaked in 1 block by 1 stack' <<<"$output"
	grep -q '^  1 process became another program: what they held is not counted$' <<<"$output"
	grep -q '^  1 process was ended by a signal' <<<"$output"
}

@test "diff: two recordings; lines may differ, functions are what they were" {
	shop_grown
	run -0 --separate-stderr "$PERFAGENT" diff "$T/base.pfa" "$T/t.pfa"
	echo "$output"
	diff - <(echo "$output") <<-'END'
	+8.00 MiB of live memory
	  base    /opt/shop --serve
	          10.000 s, CPU 0.100 s, live 8.00 MiB, peak 8.00 MiB, 2.4 allocations/s
	  new     /opt/shop --serve
	          5.000 s, CPU 0.100 s, live 16.0 MiB, peak 16.0 MiB, 3.2 allocations/s

	     growth  live base   live new  calls/s base  calls/s new  function
	  +8.00 MiB   8.00 MiB   16.0 MiB           0.8          3.2  cache_add  shop
	    -1000 B     1000 B        0 B           1.5          0.0  make_buffer  shop
	  -1.00 KiB   1.00 KiB        0 B           0.1          0.0  _IO_file_doallocate  libc.so.6

	growing stacks (shares of all that grew)
	  +8.00 MiB (100.0 %)
	      cache_add                                 /src/cache.c:19
	      handle                                    /src/shop.c:31
	      main                                      /src/main.c:11

	  CPU base %  CPU new %  change  function
	        60.0        0.0   -60.0  make_buffer  shop
	        20.0       50.0   +30.0  cache_add  shop
	        20.0       50.0   +30.0  handle  shop
	END
	run -1 "$PERFAGENT" diff "$T/base.pfa" "$T/t.pfa" --threshold 7MiB
	grep -q 'growth is over the threshold of 7.00 MiB' <<<"$output"
	run -0 "$PERFAGENT" diff "$T/t.pfa" "$T/base.pfa" --threshold 1
	grep -q -- '^-8.00 MiB of live memory$' <<<"$output"
	"$PERFAGENT" diff "$T/base.pfa" "$T/t.pfa" --format json >"$T/json"
	schema diff-1 "$T/json"
	jq -e '.memory.growth_bytes == 8386584 and .memory.stacks[0].growth_bytes == 8388608 and .cpu[0].change_points == -60' "$T/json"
}

@test "diff: two parts of one recording" {
	shop
	run -0 --separate-stderr "$PERFAGENT" diff "$T/t.pfa" --from 3 --to 8
	echo "$output"
	grep -q '^+5.00 MiB of live memory$' <<<"$output"
	grep -q '^  base    0.000 s to 3.000 s$' <<<"$output"
	grep -q '^  new     3.000 s to 8.000 s$' <<<"$output"
	grep -qE '^  \+5.00 MiB +3.00 MiB +8.00 MiB +1.0 +1.0  cache_add  shop$' <<<"$output"
	run -1 "$PERFAGENT" diff "$T/t.pfa" --from 3 --to 8 --threshold 5MB
	run -0 "$PERFAGENT" diff "$T/t.pfa" --from 6 --threshold 1
	grep -q 'no function holds more or less than before' <<<"$output"
}

@test "diff: without allocations it is about CPU time; a threshold needs them" {
	two_processes
	mv "$T/t.pfa" "$T/cpu.pfa"
	shop
	run -0 --separate-stderr "$PERFAGENT" diff "$T/cpu.pfa" "$T/t.pfa"
	echo "$output"
	grep -q 'memory is left out: the base recording has no allocations' <<<"$output"
	grep -qE '^ +32.3 +0.0 +-32.3  recurse  python3.11$' <<<"$output"
	complains 2 'cpu.pfa: no allocations in this recording' "$PERFAGENT" diff "$T/cpu.pfa" "$T/t.pfa" --threshold 1
}

@test "memory: bad input is one line, status 2" {
	shop
	for at in -1 -5s "" x 1x 1e3 0x10 1m30 1s1m 1..5 nan inf 99999999999 " 1" "1 "; do
		complains 2 'perfagent: --from:' "$PERFAGENT" report -i "$T/t.pfa" --from "$at"
		complains 2 'perfagent: --to:' "$PERFAGENT" flame -i "$T/t.pfa" --to "$at"
	done
	for size in -1 "" x 1x 1e3 0x10 10PB "1 MB" nan 99999999999999999999 1GBB; do
		complains 2 'perfagent: --threshold:' "$PERFAGENT" leaks "$T/t.pfa" --threshold "$size"
		complains 2 'perfagent: --threshold:' "$PERFAGENT" diff "$T/t.pfa" "$T/t.pfa" --threshold "$size"
	done
	complains 2 '--from must be before --to' "$PERFAGENT" report -i "$T/t.pfa" --from 5 --to 5
	complains 2 '--from is behind the end: .* 10.000 s' "$PERFAGENT" report -i "$T/t.pfa" --from 10
	complains 2 "unknown kind 'heap'" "$PERFAGENT" flame -i "$T/t.pfa" --kind heap
	complains 2 "unknown unit 'kb'" "$PERFAGENT" flame -i "$T/t.pfa" --kind live --unit kb
	complains 2 '--unit is for memory' "$PERFAGENT" flame -i "$T/t.pfa" --unit calls
	complains 2 "cannot sort by 'size'" "$PERFAGENT" report -i "$T/t.pfa" --sort size
	complains 2 "cannot report by 'heap'" "$PERFAGENT" report -i "$T/t.pfa" --by heap
	complains 2 "unknown format 'xml'" "$PERFAGENT" leaks "$T/t.pfa" --format xml
	complains 2 "unknown format 'xml'" "$PERFAGENT" diff "$T/t.pfa" "$T/t.pfa" --format xml
	complains 2 'must be more than nothing' "$PERFAGENT" leaks "$T/t.pfa" --interval 0
	complains 2 'has ended' "$PERFAGENT" leaks "$T/t.pfa" --duration 1
	complains 2 'unexpected' "$PERFAGENT" leaks "$T/t.pfa" "$T/t.pfa"
	complains 2 'no process of that number' "$PERFAGENT" leaks 999999999
	complains 2 "not being recorded.*perfagent record" "$PERFAGENT" leaks $$
	complains 2 'name two recordings' "$PERFAGENT" diff "$T/t.pfa"
	complains 2 'more than two' "$PERFAGENT" diff "$T/t.pfa" "$T/t.pfa" x
	complains 2 'two parts of one' "$PERFAGENT" diff "$T/t.pfa" "$T/t.pfa" --from 1
	complains 2 'none.pfa: .*No such file' "$PERFAGENT" diff "$T/t.pfa" "$T/none.pfa"
	complains 2 'none.pfa: .*No such file' "$PERFAGENT" leaks "$T/none.pfa"
	echo text >"$T/text"
	complains 2 'text: ' "$PERFAGENT" leaks "$T/text"
	complains 2 'text: ' "$PERFAGENT" diff "$T/text" "$T/t.pfa"
	run bash -c '"$1" leaks "$2" >/dev/full' - "$PERFAGENT" "$T/t.pfa"
	[ "$status" = 2 ]
	run bash -c '"$1" diff "$2" "$2" >/dev/full' - "$PERFAGENT" "$T/t.pfa"
	[ "$status" = 2 ]
}

# recording PROGRAM...: recorded in the background into $T/live.pfa; returns when the program is ready
recording() {
	"$PERFAGENT" record -q -o "$T/live.pfa" --mode cpu,memory --heap=exact -- "$@" >"$T/live.out" 2>"$T/live.err" 3>&- &
	PA_BACKGROUND+=($!)
	for _ in {1..200}; do
		! grep -q ready "$T/live.out" || return 0
		sleep 0.05
	done
	fail "not ready: $(cat "$T/live.err")"
}

# the pid of the recorded program
program() {
	pgrep -P "${PA_BACKGROUND[0]}" grow | head -1
}

@test "leaks: watches a process that is being recorded, and ends when it has grown" {
	recording "$TARGETS/grow" 30 leaking
	run -1 --separate-stderr timeout 25 "$PERFAGENT" leaks "$(program)" --threshold 50MB --duration 20 --interval 1
	echo "$output" "$stderr"
	grep -qE '^\+[0-9.]+ MiB of live memory in [0-9.]+ s: 1 growing stack$' <<<"$output"
	grep -q 'over the threshold of 50.0 MiB' <<<"$output"
	grep -qE '^      keep_more ' <<<"$output"
	kill "$(program)"
}

@test "leaks: a recording that is being written, below the threshold; JSON" {
	recording "$TARGETS/grow" 30 leaking
	run -0 --separate-stderr timeout 25 "$PERFAGENT" leaks "$T/live.pfa" --threshold 1GB --duration 3 --interval 1 --format json
	echo "$output" "$stderr"
	echo "$output" >"$T/json"
	schema leaks-1 "$T/json"
	# 50 blocks a second for three seconds, of which the last may not be written yet; a machine with more to do makes fewer
	jq -e '.what == "growth" and (.over | not) and .watched_s >= 3 and .count > 10 and .count <= 160 and .bytes == .count * 999983' "$T/json"
	jq -e '.leaks[0].stack[0].function == "keep_more"' "$T/json"
	kill "$(program)"
}

@test "leaks: a heap that only moves does not grow; what was live before does not count" {
	recording "$TARGETS/grow" 30 steady
	run -0 --separate-stderr timeout 25 "$PERFAGENT" leaks "$(program)" --threshold 3MB --duration 3 --interval 1
	echo "$output" "$stderr"
	grep -q 'below the threshold of 3.00 MiB' <<<"$output"
	kill "$(program)"
}

@test "leaks: the process ends while it is watched" {
	recording "$TARGETS/grow" 2 leaking
	run -0 --separate-stderr timeout 25 "$PERFAGENT" leaks "$(program)" --threshold 1GB --duration 20 --interval 1
	echo "$output" "$stderr"
	grep -q 'live.pfa: the process has ended' <<<"$stderr"
}

@test "memory: without CPU mode nothing is said about CPU samples" {
	"$PERFAGENT" record -q --mode memory --heap=exact -o "$T/t.pfa" -- python3 -c 'print(sum(range(100000)))'
	"$PERFAGENT" report -i "$T/t.pfa" >"$T/out"
	cat "$T/out"
	grep -q '^  CPU time   [0-9.]* s by the kernel; not sampled' "$T/out"
	if grep -qE 'expected|agent [0-9]|no samples' "$T/out"; then fail "samples were not asked for"; fi
	"$PERFAGENT" report -i "$T/t.pfa" --format json >"$T/json"
	schema report-1 "$T/json"
	jq -e '(has("cpu") or (.overhead | has("agent_cpu_s")) | not) and .loss.cpu_expected == 0 and .memory.allocations > 1000' "$T/json"
}
