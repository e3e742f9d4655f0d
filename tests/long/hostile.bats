# A million malformed messages, and minutes of rings in every state, on a daemon that serves a good client.
load common
load ../survive/hostile

@test "R62 10^6 malformed messages to one daemon: no crash, no growth, the client beside is recorded to the last call" {
	besieged 240 "random 1000000"
}

@test "R63 rings in any state and sizes that change, for two minutes" {
	besieged 150 "scribble 60000" "toctou 60000"
}
