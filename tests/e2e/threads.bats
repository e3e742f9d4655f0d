# A program of 200 threads that work at the same time.
load common

@test "200 threads: each is sampled or accounted for, and the report is honest" {
	PA_RATE=250
	run_plain "$TARGETS/accounting" steady 200 25
	record -- "$TARGETS/accounting" steady 200 25
	same plain recorded
	honest
	sampled 600
	holds '[.processes[].threads] | flatten | if (.[0] | type) == "number" then add else length end >= 200'
	has_stack 'burn;target_burn_ms'
}
