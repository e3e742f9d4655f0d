# What the host gets to see of libperfagent.so.
load common

@test "the library needs libc.so.6 and nothing else" {
	local needed
	needed=$(readelf -dW "$LIB" | awk '/\(NEEDED\)/ { gsub(/[][]/, "", $NF); print $NF }')
	[ "$needed" = libc.so.6 ] || fail "needed: $needed"
}

MAP=agent/arch/$(uname -m)/exports.map

# The committed list as nm writes it: the version of a hidden one behind an @, that of a default one would be behind two.
exported_versions() {
	local first=2.2.5
	[ "$(uname -m)" != aarch64 ] || first=2.17
	sed 's/#.*//' $WORLDS/exports.list | awk -v first=$first 'NF { print $1 ($2 ? "@GLIBC_" ($2 == "2.2.5" ? first : $2) : "") }' | sort
}

# The linker brings an absolute symbol with each version's name.
@test "the exported names and their hidden versions are the committed list, and nothing else" {
	local library nodes
	library=$(nm -D --defined-only --format=posix "$LIB" | awk '$2 != "A" { print $1 }' | sort)
	[ -n "$library" ] || fail "nothing exported: the check looks in the wrong place"
	diff <(exported_versions) <(echo "$library") || fail "libperfagent.so differs from tests/worlds/exports.list"
	nodes=$(nm -D --defined-only --format=posix "$LIB" | awk '$2 == "A" { print $1 }' | sort)
	diff <(grep -oE '^GLIBC_[0-9.]+' "$MAP" | sort) <(echo "$nodes") || fail "absolute names other than versions"
}

@test "the names in the version script are those with a version in the list" {
	diff <(exported_versions | grep @) \
		<(awk '/^GLIBC_/ { node = $1 } /global:/ { on = 1 } /local:/ { on = 0 } on && /;/ { gsub(/[;\t]/, ""); if (!/}/) print $0 "@" node }' "$MAP" | sort)
}

# A libc of the future, for the linker only: its name and its version are what counts.
@test "a program linked with a libc that has free_sized is served, one that only asks whether it is there is not" {
	local dir=$BATS_TEST_TMPDIR bound
	cd "$dir"
	echo 'void free_sized(void *p, unsigned long n) {}' >future.c
	echo 'GLIBC_2.43 { global: free_sized; local: *; };' >future.map
	${CC:-cc} -shared -fPIC -Wl,--version-script=future.map -o libfuture.so future.c
	echo 'void free_sized(void *, unsigned long); int main(void) { free_sized(0, 0); return 0; }' >calls.c
	echo 'void free_sized(void *, unsigned long) __attribute__((weak)); int main(void) { return !!free_sized; }' >asks.c
	${CC:-cc} -w -o calls calls.c -L. -lfuture -Wl,-rpath,"$dir"
	${CC:-cc} -w -fPIE -o asks asks.c
	cd - >/dev/null
	bound=$(LD_DEBUG=bindings LD_BIND_NOW=1 LD_PRELOAD=$(realpath "$LIB") "$dir/calls" 2>&1 | grep "calls .*free_sized'")
	[[ $bound == *"to "*libperfagent.so*"\`free_sized' [GLIBC_2.43]"* ]] || fail "bound: $bound"
	[ "$(LD_PRELOAD=$(realpath "$LIB") "$dir/asks"; echo $?)" = "$("$dir/asks"; echo $?)" ]
}

# The newest GLIBC version a libc defines.
libc_version() {
	readelf -VW "$1" | grep -oE 'Name: GLIBC_[0-9.]+' | sed 's/.*GLIBC_//' | sort -V | tail -n1
}

# is_newer_than VERSION NAME: the list says that a later libc than that brought the name
is_newer_than() {
	local brought
	brought=$(awk -v name="$2" '$1 == name { print $2 }' $WORLDS/exports.list)
	[ -n "$brought" ] && [ "$brought" != "$1" ] && [ "$(printf '%s\n' "$1" "$brought" | sort -V | tail -n1)" = "$brought" ]
}

@test "every exported name is one that libc has" {
	local libc bad='' name
	libc=$(ldd "$LIB" | awk '/libc\.so\.6/ { print $3 }')
	for name in $(exported_names); do
		nm -D --defined-only --format=posix "$libc" | grep -qE "^$name@" && continue
		is_newer_than "$(libc_version "$libc")" "$name" || bad+=" $name"
	done
	[ -z "$bad" ] || fail "not libc's:$bad"
}

@test "no symbol version above GLIBC_2.17 is needed" {
	local versions above
	versions=$(readelf -VW "$LIB" | sed -n '/^Version needs/,$p' | grep -oE 'Name: GLIBC_[0-9.]+' | sed 's/.*GLIBC_//' | sort -uV)
	[ -n "$versions" ] || fail "no version at all: the check looks in the wrong place"
	above=$(printf '%s\n2.17\n' "$versions" | sort -V | sed '1,/^2\.17$/d' | grep -vx 2.17 || true)
	[ -z "$above" ] || fail "needs GLIBC_" "$above"
	if readelf -VW "$LIB" | grep -E 'Name: GLIBC_PRIVATE'; then
		fail "see above"
	fi
}

@test "thread-local storage is initial-exec and at most 256 bytes" {
	local size
	size=$(readelf -lW "$LIB" | awk '$1 == "TLS" { print $6 }')
	[ -n "$size" ] || fail "no TLS segment: the check looks in the wrong place"
	[ $((size)) -le 256 ] || fail "$((size)) bytes"
	if readelf -rW "$LIB" | grep -E 'DTPMOD|DTPOFF|TLSDESC'; then
		fail "a dynamic TLS model"
	fi
	if imported | grep -x __tls_get_addr; then
		fail "see above"
	fi
}

@test "everything is bound at load, nothing in the text is relocated, no stack becomes executable" {
	local dynamic
	dynamic=$(readelf -dW "$LIB")
	grep -qE '\(FLAGS(_1)?\).*NOW' <<<"$dynamic" || fail "lazy binding"
	if grep -E 'TEXTREL|\(RPATH\)|\(RUNPATH\)' <<<"$dynamic"; then
		fail "see above"
	fi
	readelf -lW "$LIB" | grep -E 'GNU_STACK.* RW ' || fail "GNU_STACK is not RW"
	if readelf -lW "$LIB" | grep -E 'LOAD.* RWE '; then
		fail "see above"
	fi
}

@test "no relocation calls into the library at load (IFUNC)" {
	if readelf -rW "$LIB" | grep IRELATIV; then
		fail "see above"
	fi
}

@test "nothing that prints, exits, aborts or allocates is called" {
	if imported | grep -xE '(f|v|d|s)?printf|v?fprintf|puts|fputs|perror|abort|exit|_exit|__assert_fail|malloc|calloc|realloc|free|__stack_chk_fail|__.*_chk'; then
		fail "see above"
	fi
}
