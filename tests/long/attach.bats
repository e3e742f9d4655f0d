# Attaching as often as nobody does.
load common

@test "R19 attached and detached a thousand times" {
	PA_ATTACHES=1000 run timeout 3600 bats -f 'leave timers' "$PA_ROOT/tests/e2e/attach.bats"
	echo "$output"
	[ "$status" -eq 0 ]
}
