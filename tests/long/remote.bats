# Looking into processes from outside, and injecting into them, as often as the issue asks.
load common

@test "200 injections into each kind of program" {
	PA_INJECTIONS=200 PA_FIGURES="$T/figures" run bats -f '^into' "$PA_ROOT/tests/survive/inject.bats"
	echo "$output"
	cat "$T/figures" >&3
	[ "$status" -eq 0 ]
}

@test "200 dumps of each kind of busy program" {
	PA_DUMPS=200 run bats -f 'busy' "$PA_ROOT/tests/e2e/dump.bats"
	echo "$output"
	[ "$status" -eq 0 ]
}

@test "whoever injects may be killed at any moment" {
	PA_INJECT_KILLS=1 run timeout 120 bats -f 'killed at any moment' "$PA_ROOT/tests/survive/inject.bats"
	echo "$output"
	[ "$status" -eq 0 ]
}
