# Rows R3, R25, R44, R46-R53: programs whose every call of the allocator is watched see what they see without.
load common
load malloc

@test "R46 R47 malloc, calloc, realloc(NULL), absurd sizes, overflowing products: results and errno" {
	run_heaps "$TARGETS/malloc_calls" malloc
}

@test "R47 posix_memalign, aligned_alloc, memalign, valloc, pvalloc: alignments good and bad, errno" {
	run_heaps "$TARGETS/malloc_calls" aligned
}

@test "R46 realloc in place, moving, failing, to zero: contents and errno" {
	run_heaps "$TARGETS/malloc_calls" realloc
}

@test "R47 calloc gives zeroes after dirty frees" {
	run_heaps "$TARGETS/malloc_calls" calloc
}

@test "R48 usable sizes, mallinfo2, malloc_stats, mallopt, malloc_trim: the heap lies as it does without the agent" {
	run_heaps "$TARGETS/malloc_calls" figures
}

@test "R48 cfree, free_sized, free_aligned_sized: found where the C library has them, they work" {
	run_heaps "$TARGETS/malloc_calls" names
}

@test "R48 C++: sized, aligned, nothrow and failing new, new handlers, containers, exceptions, threads" {
	run_heaps "$TARGETS/malloc_new" 4000
}

@test "R44 R50 allocations before constructors, in resolvers, in destructors of threads, statics and libraries" {
	run_heaps "$TARGETS/malloc_life"
	[ "$(tail -n 1 "$T/recorded.out")" = "the library's destructor has allocated" ]
}

@test "R44 R50 the same with pthread_exit from main" {
	run_heaps "$TARGETS/malloc_life" pthread_exit
}

@test "R44 R50 the same with quick_exit, every symbol bound at once" {
	PA_ENV=(LD_BIND_NOW=1)
	run_heaps "$TARGETS/malloc_life" quick_exit
}

@test "R25 signal handlers that allocate, SIGSEGV handlers among them" {
	run_heaps "$TARGETS/malloc_storm" signal
}

@test "R32 fork, vfork and posix_spawn children that allocate, free what they inherited, and fail to exec" {
	run_heaps "$TARGETS/malloc_storm" fork
}

@test "R32 children by the bare system call, beside threads that hold arenas locked" {
	run_heaps "$TARGETS/malloc_odd" locked
}

@test "R25 R32 a handler that forks in the middle of an allocation, and children that go on from there" {
	run_heaps "$TARGETS/malloc_odd" handler
}

@test "R3 an allocation storm while libraries are loaded and unloaded" {
	run_heaps "$TARGETS/malloc_storm" loader 600
}

@test "R53 sixteen threads that free one another's blocks" {
	run_heaps "$TARGETS/malloc_storm" storm 16 20000
}

@test "R53 threads that come and go, each leaving a block" {
	run_heaps "$TARGETS/malloc_storm" churn 2000
}

@test "R54 RLIMIT_AS: the program gets its own ENOMEM, and memory again after" {
	run_heaps "$TARGETS/malloc_storm" limit 400
}

@test "R54 RLIMIT_AS below what the heap rings take: they give way" {
	run_heaps "$TARGETS/malloc_storm" limit 100
}

@test "longjmp out of functions that have allocated" {
	run_heaps "$TARGETS/malloc_books" longjmp
}

@test "siglongjmp out of a handler that interrupted a mapping" {
	run_heaps "$TARGETS/malloc_odd" jumps
}

@test "stacks of 4 to 600 frames" {
	run_heaps "$TARGETS/malloc_books" deep 500
}

@test "a library that has allocated goes away" {
	run_heaps "$TARGETS/malloc_books" dlclose
}

# ---- other allocators

# library NAME: the path of an installed one, in $lib
library() {
	for lib in /usr/lib/*/"$1" /usr/lib/"$1"; do
		[ ! -e "$lib" ] || return 0
	done
	skip "$1 is not installed"
}

# LIBRARY PROGRAM...: preloaded by the user, behind the agent; and before it, where the agent sees nothing
preloaded_both_ways() {
	local lib heap
	library "$1"
	shift
	PA_ENV=(LD_PRELOAD="$lib")
	run_heaps "$@" || return 1
	[ -z "$PA_SELFTEST" ] || return 0
	PA_ENV=()
	run_plain env LD_PRELOAD="$lib" "$@" || return 1
	for heap in sampled:1 exact; do
		recorded_with "$heap" env LD_PRELOAD="$lib:$AGENT" "$@" || return 1
	done
}

@test "R49 jemalloc preloaded, before the agent and behind it" {
	preloaded_both_ways libjemalloc.so.2 "$TARGETS/malloc_storm" threads
}

@test "R49 jemalloc preloaded: every call and result" {
	preloaded_both_ways libjemalloc.so.2 "$TARGETS/malloc_calls" malloc
}

@test "R49 tcmalloc preloaded, before the agent and behind it" {
	preloaded_both_ways libtcmalloc_minimal.so.4 "$TARGETS/malloc_storm" threads
}

@test "R49 tcmalloc preloaded: realloc" {
	preloaded_both_ways libtcmalloc_minimal.so.4 "$TARGETS/malloc_calls" realloc
}

@test "R49 mimalloc preloaded, before the agent and behind it" {
	preloaded_both_ways libmimalloc.so.2 "$TARGETS/malloc_storm" threads
}

@test "R49 mimalloc preloaded: realloc to zero gives a block" {
	preloaded_both_ways libmimalloc.so.2 "$TARGETS/malloc_calls" realloc
}

# ALLOCATOR: linked by the program itself, which then has it before the C library
linked() {
	[ -x "$TARGETS/malloc_storm_$1" ] || skip "$1 is not installed"
	run_heaps "$TARGETS/malloc_storm_$1" threads || return 1
	run_heaps "$TARGETS/malloc_calls_$1" realloc
}

@test "R49 jemalloc linked to the program" {
	linked jemalloc
}

@test "R49 tcmalloc linked to the program" {
	linked tcmalloc_minimal
}

@test "R49 mimalloc linked to the program" {
	linked mimalloc
}

@test "R49 an allocator inside the program: no block is mixed up, and the report says what is not visible" {
	local heap
	run_plain "$TARGETS/malloc_static"
	for heap in "${HEAPS[@]}"; do
		recorded_with "$heap" "$TARGETS/malloc_static"
		not_visible
	done
	run_dormant "$TARGETS/malloc_static"
	same plain dormant
}

@test "R49 an operator new of the program's own: malloc beside it is recorded" {
	run_heaps "$TARGETS/malloc_opnew"
	recorded_with exact "$TARGETS/malloc_opnew"
	holds '[.memory.top_allocators[].function] | any(test("arena_piece"))'
	# 3 threads * 3000 blocks beside, of 333 bytes: nobody else asks for those
	holds '[.memory.top_allocators[] | select(.bytes == 9000 * 333)] | length == 1 and .[0].count == 9000'
}

@test "R52 libfaketime preloaded" {
	local lib
	library faketime/libfaketime.so.1
	# the agent's clock is the kernel's, not the one that is faked for the program
	PA_ENV=(LD_PRELOAD="$lib" FAKETIME="-15d")
	run_heaps "$TARGETS/malloc_books" mix 5000
}

@test "R52 fakeroot around the program" {
	need fakeroot
	run_heaps fakeroot -- sh -c "'$TARGETS/malloc_books' mix 5000; id -u; touch f; chown 12:34 f; stat -c %u:%g f"
	[ "$(tail -n 1 "$T/recorded.out")" = 12:34 ]
}

@test "R52 a program with AddressSanitizer keeps its allocator, finds its leaks, and the report says so" {
	local heap
	PA_ENV=("ASAN_OPTIONS=log_path=$T/asan")
	run_plain "$TARGETS/sanitized_asan" leak
	for heap in sampled exact; do
		recorded_with "$heap" "$TARGETS/sanitized_asan" leak
		not_visible
	done
}

@test "R52 a program with ThreadSanitizer" {
	PA_ENV=("TSAN_OPTIONS=log_path=$T/tsan")
	run_plain "$TARGETS/sanitized_tsan" work
	recorded_with exact "$TARGETS/sanitized_tsan" work
	not_visible
	[ -z "$(ls "$T"/tsan.* 2>/dev/null)" ] || fail "$(head -n 30 "$T"/tsan.*)"
}

@test "R52 clang's AddressSanitizer, which is in the program" {
	PA_ENV=("ASAN_OPTIONS=log_path=$T/asan")
	run_plain "$TARGETS/sanitized_clang" work
	recorded_with exact "$TARGETS/sanitized_clang" work
	not_visible
}
