# perfagentd as a service: who is recorded, where it goes, how long it is kept, and what a manager gets to hear.
load daemon

@test "a session is recorded into a file of 0600 in a directory of its own, named by program, pid and time" {
	daemon
	come watched "$TARGETS/split" 1 300
	file=$(find "$DATA" -name '*.pfa')
	[[ ${file##*/} =~ ^split\.[0-9]+\.20[0-9]{6}T[0-9]{6}Z\.pfa$ ]]
	[ "$(stat -c %a "$file")" = 600 ]
	[ "$(stat -c %a "$DATA")" = "$([ "$(id -u)" = 0 ] && echo 711 || echo 700)" ]
	end_daemon
	cp "$file" "$T/t.pfa"
	check_recording
	sampled 10
	holds --arg c "$TARGETS/split 1 300" '.command == $c'
	grep -q "^perfagentd: $file: ended" "$T/daemon.err"
}

# An agent waits for 20 ms at its start; on a busy machine some go without. What is to be shown is shown by one try that
# all agents came to.
@test "two trees are two recordings, a tree with its children is one" {
	for try in 1 2 3 4 5 6; do
		DATA=$T/data.$try
		daemon
		watched sh -c "'$TARGETS/split' 1 200; '$TARGETS/split' 1 200; true"
		watched "$TARGETS/split" 1 200
		until_true '[ "$(recordings)" -ge 2 ]'
		end_daemon
		for file in "$DATA"/*.pfa; do
			sqlite3 "$file" "SELECT count(*) || ' ' || min(command LIKE 'sh -c%') || max(command LIKE 'sh -c%') FROM process"
		done | sort -n >"$T/counts"
		cat "$T/counts"
		if [ "$(sed -n '1p;$p' "$T/counts" | tr '\n' ,)" = "1 00,3 01," ]; then return 0; fi
	done
	fail "never a tree of three and one of one"
}

@test "SIGHUP reads the settings again: sessions go on, the next one has the new rate; wrong settings change nothing" {
	printf 'rate = 50\n' >"$T/conf"
	daemon --config "$T/conf"
	watched "$TARGETS/split" 1 1500 &
	first=$!
	until_true '[ "$(recordings)" = 1 ]'
	before=$(find "$DATA" -name '*.pfa')
	printf 'rate = 200\n' >"$T/conf"
	kill -HUP "$DAEMON"
	until_true "grep -q 'read anew' '$T/daemon.err'"
	watched "$TARGETS/split" 1 300
	printf 'rate = 0\n' >"$T/conf"
	kill -HUP "$DAEMON"
	until_true "grep -q 'stay as they were' '$T/daemon.err'"
	wait "$first"
	end_daemon
	after=$(find "$DATA" -name '*.pfa' ! -path "$before")
	[ "$(sqlite3 "$before" "SELECT value FROM meta WHERE key = 'period_ns'")" = 20000000 ]
	[ "$(sqlite3 "$after" "SELECT value FROM meta WHERE key = 'period_ns'")" = 5000000 ]
	cp "$before" "$T/t.pfa"
	check_recording
	holds '.loss.cpu_lost == 0'
	sampled 50
}

@test "settings that make no sense: one line and status 2" {
	printf '\nkeep = 7\n' >"$T/conf"
	one_line 2 "$O/perfagentd" --socket "$T/s" --data "$T/d" --config "$T/conf"
	grep -q 'line 2: keep' "$T/bad.err"
	one_line 2 "$O/perfagentd" --socket "$T/s" --data "$T/d" --config "$T/none"
	one_line 2 "$O/perfagentd" --socket "$T/s" --data "$T/d" --keep 1x
	one_line 2 "$O/perfagentd" --socket "$T/s" --data "$T/d" --rule 'colour=red'
	one_line 2 "$O/perfagentd" --socket "$T/s" --data "$T/d" --per moon
	one_line 2 "$O/perfagentd" --socket "$T/s" --data "$T/d" --roll soon
}

@test "--keep: the oldest recordings are dropped, not those that are written, nothing else" {
	mkdir -m 700 "$T/data"
	for i in 1 2 3; do
		head -c 300000 /dev/zero >"$T/data/old$i.pfa"
		touch -d "-$((10 - i)) hours" "$T/data/old$i.pfa"
	done
	head -c 300000 /dev/zero >"$T/data/mine.txt"
	touch -d '-20 days' "$T/data/mine.txt"
	touch -d '-8 days' "$T/data/old1.pfa"
	daemon --keep 500k,7d
	until_true "[ ! -e '$T/data/old1.pfa' ] && [ ! -e '$T/data/old2.pfa' ]"
	[ -e "$T/data/old3.pfa" ]
	[ -e "$T/data/mine.txt" ]
	grep -q 'old2.pfa: dropped' "$T/daemon.err"
	watched "$TARGETS/split" 1 100 &
	until_true "ls '$T'/data/split*.pfa"
	# a bound that nothing fits into
	kill -TERM "$DAEMON"
	wait
}

@test "a data directory that is a link, or that others may write to, is not used" {
	mkdir -m 700 "$T/real"
	ln -s real "$T/link"
	one_line 2 "$O/perfagentd" --socket "$T/s" --data "$T/link"
	mkdir -m 777 "$T/open"
	chmod 777 "$T/open"
	one_line 2 "$O/perfagentd" --socket "$T/s" --data "$T/open"
}

@test "a daemon of root's: each user's recordings are the user's and lie in a directory of 0700, root's and others' are out of reach" {
	need_root
	need setpriv
	public
	daemon
	[ "$(stat -c %a "$SOCKET")" = 666 ]
	come as_user 65534 env LD_PRELOAD="$AGENT" PERFAGENT_SOCKET="$SOCKET" "$T/bin/split" 1 300
	come as_user 65533 env LD_PRELOAD="$AGENT" PERFAGENT_SOCKET="$SOCKET" "$T/bin/split" 1 300
	come watched "$TARGETS/split" 1 200
	[ "$(recordings)" = 3 ]
	# while it is written the same holds for its journal
	find "$DATA" -mindepth 1 -printf '%m %U %P\n'
	[ -z "$(find "$DATA/65534" ! -uid 65534 -o ! -gid 65534)" ]
	[ -z "$(find "$DATA" -type f ! -perm 600)" ]
	[ "$(stat -c %a "$DATA/65534")" = 700 ]
	end_daemon
	find "$DATA" -type f -printf '%m %U %P\n'
	[ -z "$(find "$DATA/65534" ! -uid 65534)" ]
	[ -z "$(find "$DATA" -type f ! -perm 600)" ]
	mine=$(find "$DATA/65534" -name '*.pfa') other=$(find "$DATA/65533" -name '*.pfa') roots=$(find "$DATA" -maxdepth 1 -name '*.pfa')
	as_user 65534 "$T/bin/perfagent" report -i "$mine" >"$T/report.txt"
	grep -q hot_seventy "$T/report.txt"
	if as_user 65534 cat "$other"; then return 1; fi
	if as_user 65534 cat "$roots"; then return 1; fi
	if as_user 65534 ls "$DATA"; then return 1; fi
	rm -f "$T/t.pfa"
	cp "$mine" "$T/t.pfa"
	check_recording
	sampled 10
}

@test "traps in a user's directory cost that user only: links, foreign files, a directory taken away" {
	need_root
	need setpriv
	public
	daemon
	echo precious >"$T/precious"
	chmod 644 "$T/precious"
	as_user 65534 env LD_PRELOAD="$AGENT" PERFAGENT_SOCKET="$SOCKET" "$T/bin/split" 1 2000 &
	until_true '[ "$(recordings "$DATA/65534")" = 1 ]'
	live=$(find "$DATA/65534" -name '*.pfa')
	# what is being written: cut off, replaced by links
	as_user 65534 sh -c "cd '$DATA/65534' && truncate -s 0 *.pfa-wal; rm -f *.pfa-shm; ln -s '$T/precious' x.pfa-shm; : >'$live'"
	sleep 1.2
	as_user 65534 sh -c "cd '$DATA/65534' && rm -f *; ln -s '$T/precious' a.pfa"
	wait $!
	kill -0 "$DAEMON"
	watched "$TARGETS/split" 1 200
	kill -TERM "$DAEMON"
	wait "$DAEMON" || [ $? = 2 ]
	[ "$(cat "$T/precious")" = precious ]
	[ "$(find "$DATA" -maxdepth 1 -name 'split*.pfa' | wc -l)" = 1 ]
	cp "$(find "$DATA" -maxdepth 1 -name 'split*.pfa')" "$T/t.pfa"
	check_recording
}

@test "--rule selects by user and by pattern; what is not wanted runs on, unrecorded" {
	daemon --rule 'command=*split 1 3*' --rule 'command=* 302'
	watched "$TARGETS/split" 1 200
	come watched "$TARGETS/split" 1 301
	come watched sh -c "exec '$TARGETS/split' 1 302"
	end_daemon
	[ "$(recordings)" = 2 ]
	for file in "$DATA"/*.pfa; do sqlite3 "$file" "SELECT value FROM meta WHERE key = 'command'"; done >"$T/commands"
	if grep 'split 1 200' "$T/commands"; then return 1; fi
	grep -q 'split 1 301' "$T/commands"
}

@test "another user is refused by a user's daemon, and by a rule of root's" {
	need_root
	need setpriv
	public
	daemon --rule 'uid=65534'
	as_user 65533 env LD_PRELOAD="$AGENT" PERFAGENT_SOCKET="$SOCKET" "$T/bin/split" 1 200
	come as_user 65534 env LD_PRELOAD="$AGENT" PERFAGENT_SOCKET="$SOCKET" "$T/bin/split" 1 200
	end_daemon
	[ "$(recordings "$DATA/65534")" = 1 ]
	[ ! -e "$DATA/65533" ]
}

@test "workers of a prefork server: each has a line of its own, by the title it gave itself after the fork" {
	daemon
	mkdir "$T/target"
	(cd "$T/target" && exec env LD_PRELOAD="$AGENT" PERFAGENT_SOCKET="$SOCKET" "$TARGETS/titles" 3 'room for a title') >"$T/a.out" 2>&1 3>&- 4>&- &
	PA_BACKGROUND+=($!)
	until_true '[ "$(recordings)" = 1 ]'
	file=$(find "$DATA" -name '*.pfa')
	titled() { "$PERFAGENT" report -i "$file" >"$T/report.txt" 2>"$T/report.err" 3>&- && for i in 1 2 3; do grep -q "  titles: worker $i\$" "$T/report.txt" || return 1; done; }
	until_true titled 60
	: >"$T/target/stop"
	until_true "grep -q ': ended' '$T/daemon.err'" 30
	end_daemon
	titled
	cp "$file" "$T/t.pfa"
	check_recording
	holds '[.processes[].command] | sort == ["titles: master", "titles: worker 1", "titles: worker 2", "titles: worker 3"]'
}

@test "a manager hears READY, RELOADING and STOPPING, and hands a socket over" {
	/usr/bin/python3 - "$O/perfagentd" "$T" "$AGENT" "$TARGETS/split" <<'EOP'
import os, signal, socket, subprocess, sys, time
daemon, tmp, agent, split = sys.argv[1:]
notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
notify.bind(tmp + "/notify")
notify.settimeout(10)
listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
listening.bind(tmp + "/handed")
listening.listen(16)

def hand_over():
    os.dup2(listening.fileno(), 3)

def hear(word):
    heard = ""
    while word not in heard.split("\n"):
        heard = notify.recv(4096).decode()
        print(heard.replace("\n", " | "))
    return heard

env = dict(os.environ, NOTIFY_SOCKET=tmp + "/notify", LISTEN_FDS="1", WATCHDOG_USEC="400000")
start = ["sh", "-c", "LISTEN_PID=$$ exec \"$@\"", "sh", daemon, "--data", tmp + "/data"]
p = subprocess.Popen(start, env=env, preexec_fn=hand_over, pass_fds=[3], close_fds=True,
                     stdin=subprocess.DEVNULL)
assert tmp + "/handed" in hear("READY=1")
for _ in range(3):
    hear("WATCHDOG=1")
subprocess.run([split, "1", "200"], env=dict(os.environ, LD_PRELOAD=agent, PERFAGENT_SOCKET=tmp + "/handed"), cwd=tmp, check=True)
p.send_signal(signal.SIGHUP)
assert "MONOTONIC_USEC=" in hear("RELOADING=1")
hear("READY=1")
p.send_signal(signal.SIGTERM)
hear("STOPPING=1")
assert p.wait(20) == 0, p.returncode
assert os.path.exists(tmp + "/handed"), "a socket of the manager's was removed"
assert [f for f in os.listdir(tmp + "/data") if f.startswith("split.")]

# one that is not what it should be
stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
stream.bind(tmp + "/stream")
stream.listen(1)
listening = stream
p = subprocess.run(start, env=dict(os.environ, LISTEN_FDS="1"), preexec_fn=hand_over,
                   pass_fds=[3], stderr=subprocess.PIPE, timeout=10)
assert p.returncode == 2 and p.stderr.count(b"\n") == 1, p
EOP
}

@test "the units are right, and what they leave open is little" {
	need systemd-analyze
	make -s -C "$PA_ROOT" O="$O" UNITDIR=/units BINDIR="$O" DESTDIR="$T/root" install >"$T/make.out" 2>&1 || fail "$(cat "$T/make.out")"
	[ "$(find "$T/root/units" -type f | wc -l)" = 4 ]
	if grep -r '@[A-Z]*@' "$T/root/units"; then return 1; fi
	systemd-analyze verify --man=no "$T"/root/units/system/perfagentd.service "$T"/root/units/system/perfagentd.socket >"$T/verify" 2>&1 || fail "$(cat "$T/verify")"
	cat "$T/verify"
	[ -z "$(grep perfagent "$T/verify")" ]
	XDG_RUNTIME_DIR=$T systemd-analyze --user verify --man=no "$T"/root/units/user/perfagentd.service "$T"/root/units/user/perfagentd.socket >"$T/verify" 2>&1 || true
	[ -z "$(grep perfagent "$T/verify")" ] || fail "$(cat "$T/verify")"
	# in tenths: what is left is root with six capabilities that look at other users' processes
	systemd-analyze security --offline=true --threshold=35 "$T/root/units/system/perfagentd.service" >"$T/security" || fail "$(grep -v '✓' "$T/security")"
	tail -n 1 "$T/security"
}

@test "under the journal a line begins with its priority" {
	/usr/bin/python3 - "$O/perfagentd" "$T" <<'EOP'
import os, subprocess, sys
daemon, tmp = sys.argv[1:]
r, w = os.pipe()
st = os.fstat(w)
p = subprocess.run([daemon, "--rate", "0"], env=dict(os.environ, JOURNAL_STREAM="%d:%d" % (st.st_dev, st.st_ino)), stderr=w)
line = os.read(r, 4096)
assert line.startswith(b"<3>rate"), line
p = subprocess.run([daemon, "--rate", "0"], env=dict(os.environ, JOURNAL_STREAM="1:1"), stderr=w)
line = os.read(r, 4096)
assert line.startswith(b"perfagentd: rate"), line
EOP
}

@test "--attach: a dormant program that a rule selects is attached to, another one is not" {
	env LD_PRELOAD="$AGENT" PERFAGENT_SOCKET="$T/none" "$TARGETS/attachee" spin 1 >"$T/a.out" 2>&1 3>&- 4>&- &
	PA_BACKGROUND+=($!)
	env LD_PRELOAD="$AGENT" PERFAGENT_SOCKET="$T/none" sleep 30 >/dev/null 2>&1 3>&- 4>&- &
	PA_BACKGROUND+=($!)
	daemon --attach --rule 'command=*attachee spin 1'
	until_true "grep -q 'process ${PA_BACKGROUND[0]}: attached' '$T/daemon.err'" 30
	until_true '[ "$(samples_of "$(find "$DATA" -name "*.pfa")")" -ge 20 ]' 30
	end_daemon
	[ "$(recordings)" = 1 ]
	cp "$(find "$DATA" -name '*.pfa')" "$T/t.pfa"
	check_recording
	sampled 10
	kill -0 "${PA_BACKGROUND[1]}"
}

@test "the daemon is killed, and started again: what it had is in its recording, the next one goes on and names the gap" {
	daemon
	env LD_PRELOAD="$AGENT" PERFAGENT_SOCKET="$SOCKET" "$TARGETS/attachee" spin 1 >"$T/a.out" 2>&1 3>&- 4>&- &
	PA_BACKGROUND+=($!)
	until_true '[ "$(recordings)" = 1 ]'
	first=$(find "$DATA" -name '*.pfa')
	until_true '[ "$(samples_of "$first")" -ge 20 ]' 30
	kill -KILL "$DAEMON"
	wait "$DAEMON" || true
	sleep 1
	daemon
	until_true '[ "$(recordings)" = 2 ]' 30
	second=$(find "$DATA" -name '*.pfa' ! -path "$first")
	until_true '[ "$(samples_of "$second")" -ge 20 ]' 30
	end_daemon
	kill -0 "${PA_BACKGROUND[1]}"
	"$PERFAGENT" report -i "$first" >"$T/first.txt"
	grep -q 'ended early' "$T/first.txt"
	cp "$second" "$T/t.pfa"
	check_recording
	sampled 20
	grep -q "taken up again: ${first##*/} was written to last at 20" "$T/report.txt"
	[ "$(sqlite3 "$second" "SELECT value FROM meta WHERE key = 'resumed'")" = "${first##*/}" ]
	[ "$(samples_of "$first")" -ge 20 ]
}

@test "--roll: a recording that is old ends, the next one continues it for the same processes" {
	daemon --roll 1s --attach --rule 'command=*split 1 2500*'
	env LD_PRELOAD="$AGENT" PERFAGENT_SOCKET="$SOCKET" sh -c "cd '$T'; '$TARGETS/split' 1 2500 & '$TARGETS/split' 1 2500 & wait" >"$T/a.out" 2>&1 3>&- 4>&- &
	PA_BACKGROUND+=($!)
	until_true '[ "$(recordings)" -ge 3 ]' 30
	end_daemon
	continued=0
	for file in "$DATA"/*.pfa; do
		[ "$(sqlite3 "$file" "SELECT count(*) FROM meta WHERE key = 'ended'")" = 1 ]
		before=$(sqlite3 "$file" "SELECT value FROM meta WHERE key = 'continues'")
		[ -n "$before" ] || continue
		continued=$((continued + 1))
		# the same tree by name, and each file says which is the next
		[ "${before%.*.pfa}" = "$(basename "${file%.*.pfa}")" ]
		[ "$(sqlite3 "$DATA/$before" "SELECT value FROM meta WHERE key = 'continued'")" = "${file##*/}" ]
	done
	[ "$continued" -ge 1 ]
}

@test "a program that begins while the daemon stands still is recorded when it goes on" {
	daemon
	kill -STOP "$DAEMON"
	watched "$TARGETS/split" 1 2500 &
	late=$!
	sleep 0.3
	[ "$(recordings)" = 0 ]
	kill -CONT "$DAEMON"
	wait "$late"
	until_true "grep -q ended '$T/daemon.err'"
	end_daemon
	cp "$(find "$DATA" -name 'split.*.pfa')" "$T/t.pfa"
	check_recording
	sampled 100
}

@test "a daemon that stands still for a second, and a disk that is full: targets do not notice, the daemon lives" {
	need_root
	mkdir "$T/data"
	mount -t tmpfs -o size=1m,mode=700 none "$T/data" || skip "no mount"
	echo "umount '$T/data'" >"$T/undo"
	daemon
	run_plain "$TARGETS/split" 1 1500
	run_as seen 60 env LD_PRELOAD="$AGENT" PERFAGENT_SOCKET="$SOCKET" "$TARGETS/split" 1 300
	until_true "grep -q ended '$T/daemon.err'"
	dd if=/dev/zero of="$T/data/filler.pfa" bs=64k >/dev/null 2>&1 || true
	(sleep 0.5; kill -STOP "$DAEMON"; sleep 1; kill -CONT "$DAEMON") 3>&- &
	run_as seen 60 env LD_PRELOAD="$AGENT" PERFAGENT_SOCKET="$SOCKET" "$TARGETS/split" 1 1500
	same plain seen
	# what is oldest makes room
	until_true "grep -q 'nearly full' '$T/daemon.err' && grep -q 'dropped' '$T/daemon.err'"
	kill -0 "$DAEMON"
	run_as seen 60 env LD_PRELOAD="$AGENT" PERFAGENT_SOCKET="$SOCKET" "$TARGETS/split" 1 300
	kill -TERM "$DAEMON"
	wait "$DAEMON" || [ $? = 2 ]
	find "$DATA" -name 'split*.pfa' | grep .
	for file in "$DATA"/split*.pfa; do "$PERFAGENT" report -i "$file" >"$T/report.txt"; done
	umount "$T/data"
}
