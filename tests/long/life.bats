# Two hundred ends at random moments, of programs and of collectors. What each run checks is in tests/survive/life_check.py.
load common

life_check() {
	/usr/bin/python3 "$PA_ROOT/tests/survive/life_check.py" "$@" || { echo "life_check $*"; return 1; }
}

@test "R43 SIGKILL of the program at random moments, 200 times: every record counted by its own counter is in the recording" {
	life_check targets "$PERFAGENT" "$TARGETS/life" 200
}

@test "R60 SIGKILL of the collector at random moments, 200 times: all but the last second is in the recording, which opens" {
	life_check collectors "$PERFAGENT" "$TARGETS/life" 200
}

@test "R60 the collector stopped for a while, 50 times" {
	life_check stopped "$PERFAGENT" "$TARGETS/life" 50
}

@test "R57 a recording that cannot grow for a while, 20 times, beside one that can" {
	life_check full "$PERFAGENT" "$TARGETS/life" 20
}
