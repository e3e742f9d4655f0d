# For the checks of what the agent's objects and its library may contain. O is the build directory.
: "${O:=build}"
# shellcheck disable=SC2034 # for the files that load this
LIB=$O/libperfagent.so
# shellcheck disable=SC2034
OBJ=$O/obj/agent
WORLDS=tests/worlds

# Words of a list file: comments, blank lines and further columns dropped.
words() {
	sed -E 's/#.*//; s/^[[:space:]]+//; s/[[:space:]].*//; /^$/d' "$@" | sort -u
}

# Names the agent puts in front of libc's, as committed.
exported_names() {
	words $WORLDS/exports.list
}

# The objects of these sources. Not what else lies in the build directory: that may be of a file that is gone.
objects() {
	local source
	for source; do
		[ -e "$source" ] || continue
		printf '%s\n' "$OBJ/${source%.c}.o"
	done
}

# nm of one object: undefined names, without versions.
undefined() {
	nm -u --format=posix "$1" | awk '{ sub(/@.*/, "", $1); print $1 }' | sort -u
}

# Names the library takes from others at load.
imported() {
	nm -D -u --format=posix "$LIB" | awk '{ sub(/@.*/, "", $1); print $1 }' | sort -u
}

# Names that the objects given define for others.
defined() {
	nm -g --defined-only --format=posix "$@" 2>/dev/null | awk 'NF > 1 && $2 != "U" { print $1 }' | sort -u
}

# fail TEXT...: ends the test with a message.
fail() {
	printf '%s\n' "$@" >&2
	return 1
}
