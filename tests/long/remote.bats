# Looking into processes from outside, and injecting into them, as often as the issue asks.
load common

@test "200 injections into each kind of program" {
	PA_INJECTIONS=200 PA_FIGURES="$T/figures" run bats -f '^into' "$PA_ROOT/tests/survive/inject.bats"
	echo "$output"
	cat "$T/figures" >&3
	[ "$status" -eq 0 ]
}

@test "200 processes of each kind injected into, recorded, and left" {
	PA_ATTACHES=200 PA_FIGURES="$T/figures" run bats -f '(one thread|four threads) that allocate|calls nothing' \
		"$PA_ROOT/tests/survive/attach_inject.bats"
	echo "$output"
	cat "$T/figures" >&3
	[ "$status" -eq 0 ]
}

@test "200 dumps of each kind of busy program" {
	PA_DUMPS=200 run bats -f 'busy' "$PA_ROOT/tests/e2e/dump.bats"
	echo "$output"
	[ "$status" -eq 0 ]
}

@test "whoever injects may be killed: between all of its steps, and a thousand times at random" {
	PA_INJECT_STEPS=1 PA_INJECT_KILLS=400 run timeout 900 bats -f 'may be killed' "$PA_ROOT/tests/survive/inject.bats"
	echo "$output"
	[ "$status" -eq 0 ]
}
