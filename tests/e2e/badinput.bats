# Bad input: one line on stderr that says what and why, the status of DESIGN section 8, nothing half-written left behind.
load common

setup_file() {
	# one good recording for all cases
	export GOOD_DIR
	GOOD_DIR=$(mktemp -d "${TMPDIR:-/tmp}/pa-good.XXXXXX")
	"${O:-build}/perfagent" record -q -F 250 -o "$GOOD_DIR/good.pfa" -- "${O:-build}/tests/targets/split" 1 300 >/dev/null 2>&1 </dev/null 3>&-
}

teardown_file() {
	rm -rf "$GOOD_DIR"
}

good() {
	cp "$GOOD_DIR/good.pfa" "$T/t.pfa"
}

# nothing_left: no recording, no temporary, no half of anything in the working directory
nothing_left() {
	if find "$T/bad.cwd" -mindepth 1 | grep .; then fail "left behind"; fi
}

@test "unknown command, no command" {
	one_line 2 "$PERFAGENT" no-such-command
	run_as bad 20 "$PERFAGENT"
	[ "$(value_of bad status)" = 2 ]
	[ -s "$T/bad.err" ]
	[ ! -s "$T/bad.out" ]
}

@test "unknown option" {
	one_line 2 "$PERFAGENT" --no-such-option
	one_line 125 "$PERFAGENT" record --no-such-option -- true
	for command in report flame doctor; do
		one_line 2 "$PERFAGENT" "$command" --no-such-option
	done
	nothing_left
}

@test "record without a program, with bad values" {
	one_line 125 "$PERFAGENT" record
	one_line 125 "$PERFAGENT" record -o x.pfa --
	for rate in 0 -1 abc 99x 1000000000 ""; do
		one_line 125 "$PERFAGENT" record -F "$rate" -- true
	done
	one_line 125 "$PERFAGENT" record -d nonsense -- true
	one_line 125 "$PERFAGENT" record --mode nonsense -- true
	nothing_left
}

@test "record: program missing is 127, not executable is 126, a directory is 126; nothing is left" {
	one_line 127 "$PERFAGENT" record -- no-such-program-anywhere
	one_line 127 "$PERFAGENT" record -- /nonexistent/program
	nothing_left
	echo data >"$T/data"
	one_line 126 "$PERFAGENT" record -- "$T/data"
	one_line 126 "$PERFAGENT" record -- /tmp
	nothing_left
}

@test "record: unwritable output is 125 and the command does not run" {
	one_line 125 "$PERFAGENT" record -o /nonexistent/dir/t.pfa -- touch "$T/ran"
	mkdir "$T/dir"
	one_line 125 "$PERFAGENT" record -o "$T/dir" -- touch "$T/ran"
	[ ! -e "$T/ran" ]
	nothing_left
}

@test "record: an existing file that is no recording is refused and kept" {
	echo precious >"$T/file.txt"
	one_line 125 "$PERFAGENT" record -o "$T/file.txt" -- touch "$T/ran"
	[ "$(cat "$T/file.txt")" = precious ]
	ln -s file.txt "$T/link.pfa"
	one_line 125 "$PERFAGENT" record -o "$T/link.pfa" -- touch "$T/ran"
	[ "$(cat "$T/file.txt")" = precious ]
	[ ! -e "$T/ran" ]
}

@test "report and flame: no such file, a directory, an empty file, a text, random bytes" {
	: >"$T/empty"
	echo "this is no recording" >"$T/text"
	head -c 100000 /dev/urandom >"$T/random"
	for command in report flame; do
		for file in "$T/none.pfa" "$T" "$T/empty" "$T/text" "$T/random" /dev/null; do
			one_line 2 "$PERFAGENT" "$command" -i "$file"
			[ ! -s "$T/bad.out" ]
		done
	done
	nothing_left
}

@test "report without -i where there is no recording" {
	one_line 2 "$PERFAGENT" report
	one_line 2 "$PERFAGENT" flame
	nothing_left
}

@test "an unreadable recording" {
	[ "$(id -u)" != 0 ] || need setpriv
	good
	chmod 0 "$T/t.pfa"
	as=()
	[ "$(id -u)" != 0 ] || as=(setpriv --reuid 65534 --regid 65534 --clear-groups)
	mkdir "$T/bin"
	cp "$PERFAGENT" "$T/bin"
	chmod -R a+rX "$T/bin"
	one_line 2 "${as[@]}" "$T/bin/perfagent" report -i "$T/t.pfa"
	grep -qi 'permission' "$T/bad.err"
}

@test "a recording of a newer schema: both versions named, the file untouched" {
	good
	/usr/bin/python3 -c 'import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute("pragma user_version = 97"); c.commit()' "$T/t.pfa"
	before=$(sha256sum <"$T/t.pfa")
	one_line 2 "$PERFAGENT" report -i "$T/t.pfa"
	grep -q 97 "$T/bad.err"
	[ "$before" = "$(sha256sum <"$T/t.pfa")" ]
}

@test "an SQLite file that is no recording" {
	/usr/bin/python3 -c 'import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute("create table t (a)"); c.commit()' "$T/other.db"
	one_line 2 "$PERFAGENT" report -i "$T/other.db"
	one_line 125 "$PERFAGENT" record -o "$T/other.db" -- true
}

# survives_damage FILE: an answer or one line, never a crash, a hang or a change of the file
survives_damage() {
	local before command
	before=$(sha256sum <"$1")
	for command in "report --format json" "report" "flame --format folded"; do
		# shellcheck disable=SC2086 # command and options
		run_as bad 30 "$PERFAGENT" $command -i "$1" || return 1
		case $(value_of bad status) in
		0) ;;
		2) [ "$(wc -l <"$T/bad.err")" = 1 ] && grep -q '^perfagent' "$T/bad.err" || fail "$(cat "$T/bad.err")" || return 1 ;;
		*) fail "$command of $1: $(value_of bad raw): $(cat "$T/bad.err")" || return 1 ;;
		esac
	done
	[ "$before" = "$(sha256sum <"$1")" ] || fail "the file was changed"
}

@test "R68 recordings cut at many places" {
	size=$(stat -c %s "$GOOD_DIR/good.pfa")
	for part in 1 16 99 100 512 4095 4096 5000 8192 $((size / 3)) $((size / 2)) $((size - 4096)) $((size - 1)); do
		[ "$part" -lt "$size" ] || continue
		head -c "$part" "$GOOD_DIR/good.pfa" >"$T/cut.pfa"
		survives_damage "$T/cut.pfa"
	done
}

@test "R68 recordings with damaged bytes" {
	for seed in 1 2 3 4 5 6 7 8; do
		/usr/bin/python3 - "$GOOD_DIR/good.pfa" "$T/damaged.pfa" "$seed" <<-'END'
		import random, sys
		data = bytearray(open(sys.argv[1], "rb").read())
		random.seed(int(sys.argv[3]))
		for _ in range(60):
		    at = random.randrange(100, len(data))
		    data[at] = random.randrange(256)
		open(sys.argv[2], "wb").write(data)
		END
		survives_damage "$T/damaged.pfa"
	done
}

@test "R68 two recordings one after the other in one file, and one with a tail of rubbish" {
	cat "$GOOD_DIR/good.pfa" "$GOOD_DIR/good.pfa" >"$T/two.pfa"
	survives_damage "$T/two.pfa"
	{ cat "$GOOD_DIR/good.pfa"; head -c 3000 /dev/urandom; } >"$T/tail.pfa"
	survives_damage "$T/tail.pfa"
}

@test "R68 rows that lie: ids that lead nowhere, a stack that is its own parent, huge counts, no text where text belongs" {
	for lie in "pragma writable_schema = 1; update sqlite_master set sql = replace(sql, 'frame', 'f')" loops nulls blobs; do
		good
		/usr/bin/python3 - "$T/t.pfa" "$lie" <<-'END'
		import sqlite3, sys
		c = sqlite3.connect(sys.argv[1])
		tables = [r[0] for r in c.execute("select name from sqlite_master where type = 'table' and name not like 'sqlite%'")]
		for t in tables:
		    for _, name, kind, *_rest in c.execute("pragma table_info(%s)" % t).fetchall():
		        try:
		            if sys.argv[2] == "loops" and name in ("parent", "frame", "stack", "module", "thread", "process"):
		                c.execute("update %s set %s = %s" % (t, name, "rowid" if name == "parent" else "rowid + 7777777"))
		            elif sys.argv[2] == "nulls":
		                c.execute("update %s set %s = null" % (t, name))
		            elif sys.argv[2] == "blobs" and t != "meta":
		                c.execute("update %s set %s = x'ff00fe'" % (t, name))
		        except sqlite3.Error:
		            pass
		if sys.argv[2].startswith("pragma"):
		    try:
		        c.executescript(sys.argv[2])
		    except sqlite3.Error:
		        pass
		c.commit()
		END
		survives_damage "$T/t.pfa"
	done
}

@test "a report does not change the recording, not even its time, and needs no writable directory" {
	good
	touch -d 2020-01-01 "$T/t.pfa"
	mkdir "$T/ro"
	mv "$T/t.pfa" "$T/ro"
	chmod 444 "$T/ro/t.pfa"
	chmod 555 "$T/ro"
	before=$(sha256sum <"$T/ro/t.pfa")
	for command in "report" "report --format json" "flame --format folded"; do
		# shellcheck disable=SC2086 # command and options
		run_as ok 20 "$PERFAGENT" $command -i "$T/ro/t.pfa"
		[ "$(value_of ok status)" = 0 ]
	done
	[ "$before" = "$(sha256sum <"$T/ro/t.pfa")" ]
	[ "$(stat -c %Y "$T/ro/t.pfa")" = "$(date -d 2020-01-01 +%s)" ]
	[ "$(ls "$T/ro")" = t.pfa ]
	chmod 755 "$T/ro"
}

@test "unknown format, view and kind" {
	good
	one_line 2 "$PERFAGENT" report -i "$T/t.pfa" --format nonsense
	one_line 2 "$PERFAGENT" report -i "$T/t.pfa" --by nonsense
	one_line 2 "$PERFAGENT" flame -i "$T/t.pfa" --format nonsense
	[ ! -s "$T/bad.out" ]
	nothing_left
}

@test "output that cannot be written: /dev/full, a closed stdout, a missing directory" {
	good
	for command in "report" "report --format json" "flame --format folded"; do
		# shellcheck disable=SC2086 # command and options
		one_line 2 sh -c 'exec "$0" "$@" >/dev/full' "$PERFAGENT" $command -i "$T/t.pfa"
		# shellcheck disable=SC2086
		one_line 2 sh -c 'exec "$0" "$@" >&-' "$PERFAGENT" $command -i "$T/t.pfa"
	done
	one_line 2 "$PERFAGENT" flame -i "$T/t.pfa" --format svg -o /nonexistent/dir/x.svg
	one_line 2 "$PERFAGENT" flame -i "$T/t.pfa" --format svg -o /dev/full
	nothing_left
}

@test "a full disk under a flame graph: one line, no half file" {
	need_root
	good
	unshare -m true 2>/dev/null || skip "no mount namespace to be had here"
	mkdir "$T/small"
	one_line 2 unshare -m sh -c 'mount -t tmpfs -o size=4k none "$0" && "$1" flame -i "$2" --format svg -o "$0/f.svg"; s=$?; ls "$0" >&1; exit $s' "$T/small" "$PERFAGENT" "$T/t.pfa"
	[ ! -s "$T/bad.out" ]
}

@test "a reader that leaves early (head) is no error worth a trace" {
	good
	run_as bad 20 bash -c 'set -o pipefail; "$0" report -i "$1" --format json | head -c 10 >/dev/null; "$0" report -i "$1" | true; true' "$PERFAGENT" "$T/t.pfa"
	[ "$(value_of bad status)" = 0 ]
	[ ! -s "$T/bad.err" ] || fail "$(cat "$T/bad.err")"
}

@test "perfagentd: unknown option, socket path too long, unusable data directory, a second one on the same socket" {
	long=$T/$(printf 'x%.0s' {1..200})
	one_line 2 "$O/perfagentd" --no-such-option
	one_line 2 "$O/perfagentd" --socket "$long" --data "$T"
	one_line 2 "$O/perfagentd" --socket "$T/s" --data /proc/nonexistent
	"$O/perfagentd" --socket "$T/d.sock" --data "$T" >/dev/null 2>&1 </dev/null 3>&- &
	PA_BACKGROUND+=($!)
	for _ in $(seq 250); do [ -S "$T/d.sock" ] && break; sleep 0.02; done
	one_line 2 "$O/perfagentd" --socket "$T/d.sock" --data "$T"
	[ -S "$T/d.sock" ]
}

@test "record where no short path for its socket can be had (TMPDIR and XDG_RUNTIME_DIR too long)" {
	long=$T/$(printf 'x%.0s' {1..120})
	mkdir "$long"
	run_as bad 20 env TMPDIR="$long" XDG_RUNTIME_DIR="$long" "$PERFAGENT" record -q -o "$T/t.pfa" -- "$TARGETS/hello" 6
	case $(value_of bad status) in
	6) "$PERFAGENT" report -i "$T/t.pfa" >/dev/null ;;
	125) [ "$(wc -l <"$T/bad.err")" = 1 ] && [ ! -s "$T/bad.out" ] && [ ! -e "$T/t.pfa" ] ;;
	*) false ;;
	esac
	[ -z "$(ls "$long")" ]
}
