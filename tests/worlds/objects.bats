# Who may call what, object by object (nm) and function by function (gcc's call graph, callgraph.py).
load common

# $1: pattern of the names of functions this world may call, $2: allow files; rest: objects
expect_only_allowed() {
	local own=$1 allow ours object bad='' name
	read -ra allow <<<"$2"
	shift 2
	[ $# -gt 0 ] || fail "no objects of this world: the check looks in the wrong place"
	# shellcheck disable=SC2046
	ours=$(defined $(objects agent/*.c agent/arch/"$(uname -m)"/*.c common/*.c))
	for object; do
		for name in $(comm -23 <(undefined "$object") <(words "${allow[@]}")); do
			# another object's function of this world or one above it
			[[ $name =~ $own ]] && grep -qxF -e "$name" <<<"$ours" && continue
			bad+="${object#"$OBJ"/}: $name"$'\n'
		done
	done
	[ -z "$bad" ] || fail "not in ${allow[*]##*/}:" "$bad"
}

@test "signal objects refer only to signal functions and to names in signal.allow" {
	expect_only_allowed '^pa_.*_sig$' "$WORLDS/signal.allow $WORLDS/plain.list" $(objects agent/*_sig.c common/wire.c)
}

@test "hook objects refer only to hook and signal functions and to names in hook.allow" {
	expect_only_allowed '^pa_.*_(sig|hook)$' "$WORLDS/signal.allow $WORLDS/hook.allow $WORLDS/plain.list" \
		$(objects agent/hooks_*.c agent/*_hook.c)
}

@test "no object of the agent refers to an interposed name" {
	local object bad=''
	for object in $(objects agent/*.c common/*.c); do
		bad+=$(comm -12 <(undefined "$object") <(exported_names) | sed "s|^|${object##*/}: |")
	done
	[ -z "$bad" ] || fail "called past real.h:" "$bad"
}

@test "every function reachable from a signal function is of the signal world" {
	python3 $WORLDS/callgraph.py world "$O"/worlds signal $WORLDS
}

@test "every function reachable from a hook is of the hook or signal world" {
	python3 $WORLDS/callgraph.py world "$O"/worlds hook $WORLDS
}

@test "no function of the agent calls an interposed name that the agent itself defines" {
	python3 $WORLDS/callgraph.py interposed "$O"/worlds $WORLDS
}

@test "the handler needs less than 1 KiB of the thread's stack" {
	run python3 $WORLDS/callgraph.py stack "$O"/worlds pa_cpu_handler_sig 1024 $WORLDS
	echo "$output"
	[ "$status" -eq 0 ]
}

@test "the nudge's handler, which may make a handshake, needs less than 1 KiB of the thread's stack" {
	run python3 $WORLDS/callgraph.py stack "$O"/worlds pa_nudge_handler_sig 1024 $WORLDS
	echo "$output"
	[ "$status" -eq 0 ]
}

# functions that an object of the signal or hook world shows to others without its world in the name
unnamed() {
	nm -g --defined-only --format=posix "$1" | awk '{ sub(/@.*/, "", $1) } $2 == "T" && $1 !~ /_(sig|hook)$/ { print $1 }' | sort -u |
		comm -23 - <(words $WORLDS/exports.list $WORLDS/plain.list)
}

@test "global functions of signal and hook files carry their world in the name" {
	local bad='' object name
	for object in $(objects agent/*_sig.c agent/hooks_*.c agent/*_hook.c); do
		[ -e "$object" ] || fail "no $object: the check looks in the wrong place"
		for name in $(unnamed "$object"); do
			bad+="${object##*/}: $name"$'\n'
		done
	done
	[ -z "$bad" ] || fail "no world in the name:" "$bad"
}
