/* The walker over stacks made on purpose: signal handlers, alternate and foreign stacks, deep recursion, code without
 * unwind information, garbage. Each case compares with what the test knows: functions it called, or glibc's backtrace.
 */
#include <execinfo.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/arch/arch.h"
#include "agent/probe_sig.h"
#include "agent/rules_sig.h"
#include "agent/walk_sig.h"

#define MAX 480

extern void *__libc_stack_end;

static uint64_t frames[MAX];
static size_t nr;
static struct pa_walk_info info;
static ucontext_t context;
static volatile int sink;

#if defined(__SANITIZE_ADDRESS__)
#define PA_SANITIZED 1
#elif defined(__has_feature)
#define PA_SANITIZED __has_feature(address_sanitizer)
#else
#define PA_SANITIZED 0
#endif

/* functions stand far enough apart to be told by their address */
#define APART 1024
#if defined(__clang__)
#define NOINLINE __attribute__((noinline, aligned(APART)))
#else
#define NOINLINE __attribute__((noinline, noclone, aligned(APART)))
#endif
#define KEEP_CALL (sink++) /* behind a call: so that it is no tail call */

static struct pa_stack_bounds main_stack(void)
{
	uint64_t top = (uint64_t)(uintptr_t)__libc_stack_end;

	return (struct pa_stack_bounds){top - (UINT64_C(8) << 20), top};
}

static uint64_t address(size_t i)
{
	return frames[i] & ~PA_FRAME_EXACT;
}

static bool within(uint64_t pc, const void *function, size_t bytes)
{
	return pc - (uint64_t)(uintptr_t)function < bytes;
}

/* Index of the first frame at or after `from` inside a function; nr: none. */
static size_t find(const void *function, size_t from)
{
	while (from < nr && !within(address(from), function, APART))
		from++;
	return from;
}

/* Walks from where the caller stands, by a context of getcontext. */
static NOINLINE void walk_context(const struct pa_stack_bounds *bounds)
{
	getcontext(&context);
	nr = pa_walk_sig(&context, bounds, frames, MAX, &info);
	KEEP_CALL;
}

static NOINLINE void inner(void)
{
	struct pa_stack_bounds bounds = main_stack();

	walk_context(&bounds);
	KEEP_CALL;
}

static NOINLINE void middle(int n)
{
	volatile char pad[200];

	pad[n] = 1;
	inner();
	sink += pad[n];
}

static NOINLINE void outer(int n)
{
	char *space = __builtin_alloca((size_t)n); /* a frame pointer is needed */

	memset(space, n, (size_t)n);
	middle(n);
	sink += space[n / 2];
}

static void frames_are_those_glibc_finds(void **state)
{
	void *theirs[MAX];
	struct pa_stack_bounds bounds = main_stack();
	size_t theirs_nr;

	walk_context(&bounds);
	theirs_nr = (size_t)backtrace(theirs, MAX);
	assert_int_equal(info.stop, PA_STOP_END);
	assert_true(frames[0] & PA_FRAME_EXACT);
	assert_true(within(address(0), walk_context, APART));
	assert_in_range(theirs_nr, nr - 2, nr); /* without walk_context; a sanitizer may put its own function between */
	for (size_t i = 1; i <= nr - 2; i++)    /* from the outermost to our caller */
		assert_int_equal(frames[nr - i], (uint64_t)(uintptr_t)theirs[theirs_nr - i]);
	assert_false(info.foreign);
}

static void functions_are_found_in_order(void **state)
{
	size_t a, b, c;

	outer(64);
	a = find(inner, 0);
	b = find(middle, 0);
	c = find(outer, 0);
	assert_true(a < b && b < c && c < nr);
	assert_int_equal(b, a + 1);
	assert_int_equal(c, a + 2);
	assert_int_equal(info.stop, PA_STOP_END);
}

static void a_second_walk_is_the_same_from_the_cache(void **state)
{
	uint64_t first[MAX];
	size_t n;

	for (int i = 0; i < 3; i++) {
		pa_walk_flush_sig();
		outer(64);
		assert_true(info.nr_modules >= 2); /* this program and libc */
		n = nr;
		memcpy(first, frames, sizeof(first));
		outer(64);
		assert_int_equal(n, nr);
		for (size_t k = 0; k < n; k++)
			if (k != find(functions_are_found_in_order, 0) &&
			    !within(address(k), a_second_walk_is_the_same_from_the_cache, APART))
				assert_int_equal(first[k], frames[k]);
	}
}

static void generations_come_round_without_stale_rules(void **state)
{
	_Atomic uint64_t *word = &pa_rules_table[77];
	uint64_t stale;

	while (pa_rules_generation_sig() != 5)
		pa_walk_flush_sig();
	stale = pa_rules_key(0x7f0000000000 + 77, 5) << PA_RULES_BITS;
	pa_store_relaxed(word, stale);
	for (int i = 0; i < 255; i++)
		pa_walk_flush_sig();
	assert_int_equal(pa_rules_generation_sig(), 5);
	assert_int_equal(pa_load_relaxed(word), 0);
}

static void the_list_of_modules_names_this_program(void **state)
{
	bool found = false;

	pa_walk_flush_sig();
	outer(64);
	for (int i = 0; i < info.nr_modules; i++)
		if ((uint64_t)(uintptr_t)outer - info.modules[i].start < info.modules[i].end - info.modules[i].start)
			found = true;
	assert_true(found);
}

#if PA_SANITIZED
#define DEEP 20000 /* frames are larger */
#else
#define DEEP 100000 /* 4.6 MiB of stack, below the usual limit of 8 */
#endif

static NOINLINE int recurse(int n)
{
	volatile int here = n;

	if (n == 0)
		inner();
	else
		recurse(n - 1);
	return here + sink;
}

static void deep_recursion_stops_at_the_depth(void **state)
{
	recurse(100);
	assert_int_equal(info.stop, PA_STOP_END);
	assert_true(nr > 100 && nr < 130);
	recurse(DEEP);
	assert_int_equal(info.stop, PA_STOP_DEPTH);
	assert_int_equal(nr, MAX);
	assert_true(within(address(MAX - 1), recurse, APART));
}

static void a_walk_of_one_frame_is_the_leaf(void **state)
{
	struct pa_stack_bounds bounds = main_stack();

	getcontext(&context);
	nr = pa_walk_sig(&context, &bounds, frames, 1, &info);
	assert_int_equal(nr, 1);
	assert_int_equal(info.stop, PA_STOP_DEPTH);
}

static NOINLINE void walk_here(void)
{
	struct pa_stack_bounds bounds = main_stack();

	getcontext(&context);
	/* as a hook would: the registers of this frame, its pc as a return address into it */
	nr = pa_walk_here_sig(pa_arch_pc(&context), pa_arch_sp(&context), pa_arch_fp(&context), &bounds, frames, MAX,
			      &info);
	KEEP_CALL;
}

static void a_hook_walks_from_its_caller(void **state)
{
	walk_here();
	assert_int_equal(info.stop, PA_STOP_END);
	for (size_t i = 0; i < nr; i++)
		assert_false(frames[i] & PA_FRAME_EXACT);
	assert_true(within(frames[0], walk_here, APART));
	assert_true(find(a_hook_walks_from_its_caller, 0) == 1);
}

/* ---- signals ---------------------------------------------------------------------------------------------------- */

static NOINLINE void on_signal(int sig, siginfo_t *si, void *uc)
{
	inner();
	KEEP_CALL;
}

static NOINLINE void on_signal_nested(int sig, siginfo_t *si, void *uc)
{
	raise(SIGUSR2);
	KEEP_CALL;
}

static void install(int sig, void (*handler)(int, siginfo_t *, void *), int flags)
{
	struct sigaction act = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags};

	assert_int_equal(sigaction(sig, &act, NULL), 0);
}

static NOINLINE void interrupted(int sig)
{
	raise(sig);
	KEEP_CALL;
}

static void signal_frames_are_walked_through(void **state)
{
	size_t at, exact = 0;

	install(SIGUSR1, on_signal, 0);
	interrupted(SIGUSR1);
	at = find(interrupted, 0);
	assert_int_equal(info.stop, PA_STOP_END);
	assert_true(at < nr);
	assert_true(find(on_signal, 0) < at);
	for (size_t i = 1; i < nr; i++)
		exact += (frames[i] & PA_FRAME_EXACT) != 0;
	assert_int_equal(exact, 1); /* the interrupted pc, in raise */
	assert_false(info.foreign);
}

static void nested_signals_too(void **state)
{
	size_t first, second, exact = 0;

	install(SIGUSR1, on_signal_nested, 0);
	install(SIGUSR2, on_signal, 0);
	interrupted(SIGUSR1);
	first = find(on_signal, 0);
	second = find(on_signal_nested, first);
	assert_true(first < second && second < find(interrupted, 0) && find(interrupted, 0) < nr);
	for (size_t i = 1; i < nr; i++)
		exact += (frames[i] & PA_FRAME_EXACT) != 0;
	assert_int_equal(exact, 2);
	assert_int_equal(info.stop, PA_STOP_END);
}

static void handlers_on_an_alternate_stack_lead_back_to_the_normal_one(void **state)
{
	size_t bytes = 262144;
	stack_t alt = {.ss_sp = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
		       .ss_size = bytes};
	stack_t off = {.ss_flags = SS_DISABLE};

	assert_int_equal(sigaltstack(&alt, NULL), 0);
	install(SIGUSR1, on_signal_nested, SA_ONSTACK);
	install(SIGUSR2, on_signal, SA_ONSTACK);
	interrupted(SIGUSR1);
	assert_true(find(interrupted, 0) < nr);
	assert_int_equal(info.stop, PA_STOP_END);
	assert_true(info.foreign);
	assert_int_equal(sigaltstack(&off, NULL), 0);
	munmap(alt.ss_sp, bytes);
}

/* ---- foreign stacks --------------------------------------------------------------------------------------------- */

static ucontext_t back, fibre;

static void on_fibre(void)
{
	inner();
	KEEP_CALL;
}

static void stacks_of_makecontext_are_walked_by_asking(void **state)
{
	size_t bytes = 65536;
	char *stack = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct pa_stack_bounds bounds = main_stack();

	getcontext(&fibre);
	fibre.uc_stack.ss_sp = stack;
	fibre.uc_stack.ss_size = bytes;
	fibre.uc_link = &back;
	makecontext(&fibre, on_fibre, 0);
	swapcontext(&back, &fibre);
	assert_true(info.foreign);
	assert_true(find(on_fibre, 0) < nr);
	assert_int_equal(info.stop, PA_STOP_END);
	/* a page that cannot be read ends the walk instead of the process */
	munmap(stack, bytes);
	getcontext(&context);
#if defined(__x86_64__)
	context.uc_mcontext.gregs[REG_RSP] = (greg_t)(uintptr_t)stack + 4096;
	context.uc_mcontext.gregs[REG_RBP] = (greg_t)(uintptr_t)stack + 4096;
#else
	context.uc_mcontext.sp = (uint64_t)(uintptr_t)stack + 4096;
	context.uc_mcontext.regs[29] = (uint64_t)(uintptr_t)stack + 4096;
#endif
	nr = pa_walk_sig(&context, &bounds, frames, MAX, &info);
	assert_int_equal(info.stop, PA_STOP_MEMORY);
	assert_int_equal(nr, 1);
}

static NOINLINE void far_down(int n)
{
	volatile char pad[8192];

	pad[n] = (char)n;
	if (n)
		far_down(n - 1);
	else {
		struct pa_stack_bounds none = {0, 0};

		walk_context(&none);
	}
	sink += pad[n];
}

static void unknown_stacks_are_followed_for_a_mebibyte(void **state)
{
	far_down(20);
	assert_true(info.foreign);
	assert_int_equal(info.stop, PA_STOP_END);
	far_down(200);
	assert_int_equal(info.stop, PA_STOP_FOREIGN);
	assert_true(nr > 100 && nr < 140);
}

/* Two pcs of the walk have one word of the cache: where libraries lie differs from run to run. */
static bool cache_is_too_small(void)
{
	for (size_t i = 1; i < nr; i++)
		for (size_t k = 0; k < i; k++)
			if ((address(i) - address(k)) % PA_RULES_WORDS == 0 && address(i) != address(k))
				return true;
	return false;
}

static void quiet_means_no_question_to_the_kernel(void **state)
{
	outer(64); /* warm */
	if (cache_is_too_small())
		skip();
	pa_walk_set_quiet_sig(true);
	outer(64);
	assert_true(nr > 3);
	assert_true(find(outer, 0) < nr);
	pa_walk_flush_sig();
	outer(64);
	assert_int_equal(nr, 1);
	assert_int_equal(info.stop, PA_STOP_QUIET);
	pa_walk_set_quiet_sig(false);
	outer(64);
	assert_int_equal(info.stop, PA_STOP_END);
}

/* ---- damage and code without tables ----------------------------------------------------------------------------- */

static uint64_t random_state = 88172645463325252u;

static uint64_t random_u64(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	return random_state ^= random_state << 17;
}

static void garbage_registers_end_a_walk_and_nothing_else(void **state)
{
	struct pa_stack_bounds bounds = main_stack();
	uint64_t pcs[MAX], stack = (uint64_t)(uintptr_t)&bounds;
	size_t nr_pcs;

	outer(64);
	nr_pcs = nr;
	memcpy(pcs, frames, sizeof(pcs));
	for (int i = 0; i < 200000; i++) {
		uint64_t pc = i & 1 ? pcs[random_u64() % nr_pcs] & ~PA_FRAME_EXACT : random_u64() >> random_u64() % 64;
		uint64_t sp = i & 2 ? stack + random_u64() % 512 * 8 : random_u64() >> random_u64() % 64;
		uint64_t fp = i & 4 ? stack + random_u64() % 4096 : random_u64() >> random_u64() % 64;

		nr = pa_walk_here_sig(pc + random_u64() % 3, sp, fp, &bounds, frames, MAX, &info);
		assert_true(nr <= MAX && info.stop < PA_STOP_REASONS);
	}
}

static void overwritten_stacks_too(void **state)
{
	static uint64_t copy[4096];
	struct pa_stack_bounds bounds = {(uint64_t)(uintptr_t)copy, (uint64_t)(uintptr_t)(copy + 4096)};
	const uint64_t *here = (const uint64_t *)((uintptr_t)__builtin_frame_address(0) & ~(uintptr_t)7);

	inner();
	for (int i = 0; i < 100000; i++) {
		uint64_t delta = (uint64_t)(uintptr_t)copy - (uint64_t)(uintptr_t)here;

		for (size_t k = 0; k < 64; k++)
			copy[k] = random_u64() % 3 ? here[k] : (uint64_t)(uintptr_t)copy + random_u64() % 32768;
		if (i % 2)
			copy[random_u64() % 4096] = random_u64();
		nr = pa_walk_here_sig(address(random_u64() % 4 % (nr ? nr : 1)), bounds.lo,
				      pa_arch_fp(&context) + delta, &bounds, frames, MAX, &info);
		assert_true(nr <= MAX);
		if (!nr)
			inner();
	}
}

#if defined(__x86_64__)
typedef void (*jit_fn)(void (*)(void));

/* push rbp; mov rbp,rsp; call rdi; pop rbp; ret, and the same without a frame pointer */
static const uint8_t with_frame[] = {0x55, 0x48, 0x89, 0xe5, 0xff, 0xd7, 0x5d, 0xc3};
static const uint8_t without_frame[] = {0x50, 0xff, 0xd7, 0x58, 0xc3};

static jit_fn make_code(const uint8_t *code, size_t len)
{
	uint8_t *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(page, MAP_FAILED);
	memcpy(page + 64, code, len);
	return (jit_fn)(uintptr_t)(page + 64);
}

static void drop_code(jit_fn fn)
{
	munmap((void *)((uintptr_t)fn & ~(uintptr_t)4095), 4096);
}

static void code_in_no_module_is_walked_by_its_frame_pointer(void **state)
{
	jit_fn fn = make_code(with_frame, sizeof(with_frame));
	size_t at;

	fn(inner);
	at = find((const void *)(uintptr_t)fn, 0);
	assert_int_equal(info.stop, PA_STOP_END);
	assert_true(at > 0 && at < nr);
	assert_true(within(address(at + 1), code_in_no_module_is_walked_by_its_frame_pointer, APART));
	drop_code(fn);
}

static void code_in_no_module_without_one_ends_the_walk(void **state)
{
	jit_fn fn = make_code(without_frame, sizeof(without_frame));

	__asm__ volatile("push %%rbp; mov $0x1234567, %%ebp; sub $8, %%rsp; call *%0; add $8, %%rsp; pop %%rbp"
			 :
			 : "r"(fn), "D"(inner)
			 : "memory", "cc", "rax", "rcx", "rdx", "rsi", "r8", "r9", "r10", "r11");
	assert_int_equal(info.stop, PA_STOP_JIT);
	assert_int_equal(find((const void *)(uintptr_t)fn, 0), nr - 1);
	drop_code(fn);
}

static void an_interrupted_leaf_without_tables_finds_its_caller(void **state)
{
	uint8_t trap[] = {0x0f, 0x0b, 0xc3}; /* ud2; ret: nothing pushed */
	jit_fn fn = make_code(trap, sizeof(trap));
	struct pa_stack_bounds bounds = main_stack();
	uint64_t stack[8] = {0};

	outer(64);
	getcontext(&context);
	stack[0] = address(find(middle, 0)); /* a return address that follows a call */
	context.uc_mcontext.gregs[REG_RIP] = (greg_t)(uintptr_t)fn;
	context.uc_mcontext.gregs[REG_RSP] = (greg_t)(uintptr_t)stack;
	context.uc_mcontext.gregs[REG_RBP] = 3;
	nr = pa_walk_sig(&context, &bounds, frames, 1, &info);
	assert_int_equal(nr, 1);
	assert_int_equal(info.pc, stack[0]);
	assert_int_equal(info.sp, (uint64_t)(uintptr_t)&stack[1]);
	drop_code(fn);
}

static void a_return_address_in_a_hole_is_not_recorded(void **state)
{
	struct pa_stack_bounds bounds = main_stack();
	jit_fn fn = make_code(with_frame, sizeof(with_frame));
	uint64_t stack[8] = {0};

	outer(64);
	drop_code(fn);
	stack[0] = (uint64_t)(uintptr_t)fn + 6;
	/* as a return address into outer's caller would be, whose row says sp + n: the first word not ours */
	nr = pa_walk_here_sig(stack[0], (uint64_t)(uintptr_t)stack, (uint64_t)(uintptr_t)stack, &bounds, frames, MAX,
			      &info);
	assert_int_equal(nr, 0);
	assert_int_equal(info.stop, PA_STOP_MEMORY);
}
#endif

static void probes_tell_pages_apart(void **state)
{
	char *pages = mmap(NULL, 12288, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint64_t at = (uint64_t)(uintptr_t)pages;
	struct pa_pages known = {0, 0};

	mprotect(pages + 8192, 4096, PROT_NONE);
	assert_true(pa_probe_range_sig(&known, at, 1));
	assert_true(pa_probe_range_sig(&known, at + 4090, 12));
	assert_int_equal(known.hi - known.lo, 8192);
	assert_false(pa_probe_range_sig(&known, at + 8190, 8));
	assert_false(pa_probe_range_sig(&known, 0, 8));
	assert_false(pa_probe_range_sig(&known, UINT64_MAX - 3, 8));
	assert_false(pa_probe_range_sig(&known, UINT64_C(1) << 63, 8));
	munmap(pages, 12288);
}

static int setup(void **state)
{
	return pa_walk_init();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames_are_those_glibc_finds),
		cmocka_unit_test(functions_are_found_in_order),
		cmocka_unit_test(a_second_walk_is_the_same_from_the_cache),
		cmocka_unit_test(generations_come_round_without_stale_rules),
		cmocka_unit_test(the_list_of_modules_names_this_program),
		cmocka_unit_test(deep_recursion_stops_at_the_depth),
		cmocka_unit_test(a_walk_of_one_frame_is_the_leaf),
		cmocka_unit_test(a_hook_walks_from_its_caller),
		cmocka_unit_test(signal_frames_are_walked_through),
		cmocka_unit_test(nested_signals_too),
		cmocka_unit_test(handlers_on_an_alternate_stack_lead_back_to_the_normal_one),
		cmocka_unit_test(stacks_of_makecontext_are_walked_by_asking),
		cmocka_unit_test(unknown_stacks_are_followed_for_a_mebibyte),
		cmocka_unit_test(quiet_means_no_question_to_the_kernel),
		cmocka_unit_test(garbage_registers_end_a_walk_and_nothing_else),
		cmocka_unit_test(overwritten_stacks_too),
#if defined(__x86_64__)
		cmocka_unit_test(code_in_no_module_is_walked_by_its_frame_pointer),
		cmocka_unit_test(code_in_no_module_without_one_ends_the_walk),
		cmocka_unit_test(an_interrupted_leaf_without_tables_finds_its_caller),
		cmocka_unit_test(a_return_address_in_a_hole_is_not_recorded),
#endif
		cmocka_unit_test(probes_tell_pages_apart),
	};

	return cmocka_run_group_tests_name("walk", tests, setup, NULL);
}
