# When there is not enough of something: rows R54-R58 and finding S3.
load common

@test "R54 RLIMIT_AS from the start: what the program needs is there, its own ENOMEM is its own" {
	run_both sh -c "ulimit -v 80000; exec '$TARGETS/limits' as"
	grep -qx "32 MiB: there" "$T/recorded.out"
}

@test "R54 every mapping fails from some moment on: the errors are the program's" {
	run_both "$TARGETS/limits" as_later
	sampled 15
}

@test "S3 mlockall populates no rings: at most 16 MiB more are locked" {
	need_root
	run_both "$TARGETS/limits" mlock
	sampled 10
	echo "plain $(cat "$T/plain.cwd/locked.txt") KiB, recorded $(cat "$T/recorded.cwd/locked.txt") KiB"
	[ $(($(cat "$T/recorded.cwd/locked.txt") - $(cat "$T/plain.cwd/locked.txt"))) -le 16384 ]
}

@test "R55 one free descriptor at start: the handshake does without, the number stays the program's" {
	run_both "$TARGETS/limits" nofile
	sampled 10
}

@test "R55 RLIMIT_NOFILE 0 while sampled" {
	run_both "$TARGETS/limits" nofile_zero
	sampled 10
}

@test "R56 stack limit of 128 KiB" {
	run_both sh -c "ulimit -s 128; exec '$TARGETS/split' 2 200"
	sampled 20
}

@test "R56 stack limit unlimited" {
	run_both sh -c "ulimit -s unlimited; exec '$TARGETS/split' 2 200"
	sampled 20
}

# in_small_tmpfs SIZE COMMAND...: with a tmpfs of that size on $T/small
small_tmpfs() {
	need_root
	mkdir "$T/small"
	PA_WRAP=(unshare -m sh -c 'mount -t tmpfs -o size='"$1"' none "$0/small" && shift 0 && exec "$@"' "$T")
	unshare -m true 2>/dev/null || skip "no mount namespace to be had here"
}

@test "R57 no room for a recording at all: says so, the command's fate by DESIGN section 8" {
	[ -z "$PA_SELFTEST" ] || skip "needs perfagent"
	small_tmpfs 8k
	run_as recorded 20 "${PA_WRAP[@]}" "$PERFAGENT" record -o "$T/small/t.pfa" -- "$TARGETS/hello" 3
	cat "$T/recorded.err"
	[ -s "$T/recorded.err" ]
	case $(value_of recorded status) in
	125) [ ! -s "$T/recorded.out" ] ;;
	3) grep -qx "hello 2" "$T/recorded.out" ;;
	*) false ;;
	esac
}

@test "R57 the disk fills up while recording: the program does not notice, the report does" {
	small_tmpfs 2m
	run_plain sh -c "'$TARGETS/exceptions' storm 500; exit 21"
	if [ -z "$PA_SELFTEST" ]; then
		run_as recorded 60 "${PA_WRAP[@]}" sh -c '"$1" record -q -F 250 -o "$0/small/t.pfa" -- sh -c "sleep 0.3; cat /dev/zero >\"$0/small/filler\" 2>/dev/null; \"$2\" storm 500; exit 21"
			s=$?; cp "$0"/small/t.pfa* "$0"; exit $s' "$T" "$PERFAGENT" "$TARGETS/exceptions"
		cmp "$T/plain.out" "$T/recorded.out"
		[ "$(value_of recorded status)" = 21 ]
		# what the recorder has to say about it is one line, and its own
		if grep -v '^perfagent: ' "$T/recorded.err"; then return 1; fi
		[ "$(wc -l <"$T/recorded.err")" -le 1 ]
		# what is there opens, or is refused in one line; never a crash
		"$PERFAGENT" report -i "$T/t.pfa" >"$T/report.txt" 2>"$T/report.err" || [ $? = 2 ]
		[ "$(wc -l <"$T/report.err")" -le 1 ]
	fi
}

@test "R57 the file may not grow any more (RLIMIT_FSIZE): no SIGXFSZ for anybody" {
	run_plain "$TARGETS/exceptions" storm 200
	[ -n "$PA_SELFTEST" ] || {
		run_as recorded 60 prlimit --fsize=65536 "$PERFAGENT" record -q -o "$T/t.pfa" -- "$TARGETS/exceptions" storm 200
		cat "$T/recorded.err"
		case $(value_of recorded status) in
		125) [ ! -s "$T/recorded.out" ] ;;
		*) cmp "$T/plain.out" "$T/recorded.out" && [ "$(value_of recorded status)" = 0 ] ;;
		esac
	}
}

@test "R57 the directory is read-only" {
	[ -z "$PA_SELFTEST" ] || skip "needs perfagent"
	run_as recorded 20 "$PERFAGENT" record -o /proc/self/t.pfa -- "$TARGETS/hello" 3
	[ "$(value_of recorded status)" = 125 ]
	[ "$(wc -l <"$T/recorded.err")" = 1 ]
	grep -q '^perfagent' "$T/recorded.err"
	[ ! -s "$T/recorded.out" ]
}

@test "R58 no memfd to be had: recorded another way, or refused before the command runs" {
	[ -z "$PA_SELFTEST" ] || skip "needs perfagent"
	run_as recorded 20 "$TARGETS/seccomp" no_memfd "$PERFAGENT" record -q -F 250 -o "$T/t.pfa" -- "$TARGETS/split" 1 200
	cat "$T/recorded.err"
	case $(value_of recorded status) in
	0)
		grep -qx "split over 1 threads" "$T/recorded.out"
		# what could not be recorded is said
		[ -s "$T/recorded.err" ] || { check_recording && sampled 10; }
		if grep -v '^perfagent: ' "$T/recorded.err"; then return 1; fi
		;;
	125) [ ! -s "$T/recorded.out" ] && [ "$(wc -l <"$T/recorded.err")" = 1 ] ;;
	*) false ;;
	esac
}
