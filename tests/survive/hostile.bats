# Hostile clients beside a good one (R61-R64, S2-S5): tests/survive/hostile.bash; a million messages in check-long.
load common
load hostile

@test "R62 R63 malformed messages, lying rings and sizes that change: the program beside them is recorded to the last call" {
	[ -z "$PA_SELFTEST" ] || skip "needs perfagentd"
	besieged 6 "random 20000" "scribble 1000" "toctou 1000" die descriptors "crowd 300" messages
}
