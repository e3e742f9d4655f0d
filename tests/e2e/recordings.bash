# Recordings written by hand for the tests of the outputs: no program is run, every number can be worked out.
load ../survive/common
bats_require_minimum_version 1.5.0

# make_recording [killed] <SCRIPT: into $T/t.pfa
make_recording() {
	if [ "$1" = killed ]; then
		sed '/^meta ended/d' | "$TARGETS/make_recording" "$T/t.pfa" killed
	else
		"$TARGETS/make_recording" "$T/t.pfa"
	fi
}

# two processes, three threads; 31 periods: 10 in leaf inlined into outer, 10 in recurse, 6 in a stripped library,
# 3 in code without a module (one of them truncated), 2 unsampled
two_processes() {
	make_recording "$@" <<-'END'
	meta started 2026-11-21T12:31:34Z
	meta ended 2026-11-21T12:31:36Z
	meta started_mono_ns 1000000000
	meta ended_mono_ns 3500000000
	meta command /usr/bin/python3 work.py --fast
	meta host buildhost
	meta mode cpu
	meta period_ns 10000000
	meta version 0.1.0
	meta exit_status 3
	meta cpu_ns 400000000
	meta collector_cpu_ns 5000000
	process 1 100 0 300000000 1000000 exit\s3 /usr/bin/python3 work.py --fast
	process 2 101 1 100000000 500000 exit\s0 /bin/sh -c sleep
	thread 1 1 100 200000000 10000000 main
	thread 2 1 102 100000000 10000000 worker
	thread 3 2 101 100000000 10000000 sh
	module 1 full aabbcc /usr/bin/python3.11
	module 2 none - /usr/lib/libz.so.1
	frame 1 1 0x100
	frame 2 1 0x200
	frame 3 1 0x300
	frame 4 2 0x1234
	frame 5 0 2
	frame 6 0 0x7fff00001234
	frame 7 0 1
	symbol 1 main /src/main.c 10
	symbol 2 inlined_leaf /src/inl.h 5
	symbol 2 outer /src/main.c 22
	symbol 3 recurse /src/main.c 30
	stack 1 0 1
	stack 2 1 3
	stack 3 2 3
	stack 4 3 2
	stack 5 1 4
	stack 6 0 5
	stack 7 1 6
	stack 8 7 7
	sample 1 1000000100 4 2 5
	sample 1 1000000200 3 1 4
	sample 2 1000000300 5 1 6
	sample 3 1000000400 2 3 2
	sample 3 1000000500 6 2
	sample 1 1000000500 7 2
	sample 1 1000000500 8 1
	loss 1 3 ring full
	loss 1 1 truncated
	note 1 1500000000 a sentence
	END
}

# one process whose every name is an attack on some reader
hostile() {
	make_recording <<-'END'
	meta command evil\x1b[31m</title><script>alert(1)</script>
	meta host h\x07ost
	meta ended 2026-11-21T12:31:36Z
	meta period_ns 10000000
	process 1 100 0 300000000 1000000 exit\s0 evil\x1b]0;title\x07 "&<>'
	process 2 101 1 300000000 1000000 exit\s0 b;c\nd
	thread 1 1 100 200000000 10000000 t\x1b[2J\n
	thread 2 2 101 200000000 10000000 x
	module 1 full aabb /tmp/]]></script><script>alert(2)</script>/\x1b[1mm.so
	frame 1 1 0x100
	frame 2 1 0x200
	frame 3 1 0x300
	frame 4 1 0x400
	symbol 1 </script><script>alert(3)</script> "f\x22'&.c 3
	symbol 2 ]]>\x3c!--\xe2\x80\xaertl;semi\ncolon /tmp/\x1b[31mx.c 4
	symbol 3 bad\xff\xfeutf8\xc0\xaf -
	symbol 4 onload="alert(4)"\x20x='y'&amp; -
	stack 1 0 1
	stack 2 1 2
	stack 3 2 3
	stack 4 3 4
	sample 1 1000000100 4 5
	sample 2 1000000200 2 3
	sample 1 1000000300 1 2
	loss 1 3 ring\x1b[31m full
	note 1 1500000000 note \x1b[2J\x07 <b>
	END
}

# no_controls FILE: nothing that a terminal obeys
no_controls() {
	! LC_ALL=C grep -naP '[\x00-\x08\x0b-\x1f\x7f]|\xc2[\x80-\x9f]|\xe2\x80[\xaa-\xae]|\xe2\x81[\xa6-\xa9]' "$1" || fail "control characters in $1"
	iconv -f UTF-8 -t UTF-8 "$1" >/dev/null || fail "$1 is no valid UTF-8"
}
