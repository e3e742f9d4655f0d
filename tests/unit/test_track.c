/* Frames that only assembly makes, with unwind information written by hand: those whose CFA is in a register that the
 * functions they call have saved and changed, as in the loader's lazy-binding trampolines, and those with no caller. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <ucontext.h>

#include <cmocka.h>

#include "agent/walk_sig.h"

#if defined(__x86_64__)

extern void *__libc_stack_end;

#define MAX 64

static uint64_t frames[MAX];
static size_t nr;
static struct pa_walk_info info;
static volatile int sink;

/* each calls the function in its first argument, with the second for its first */
void track_trampoline(void *fn, void *arg);
void track_pushes(void *fn, void *arg);
void track_moves(void *fn, void *arg);
void track_realigns(void *fn, void *arg);
void track_says_nothing(void *fn, void *arg);
void track_denies(void *fn, void *arg);
extern const char track_end[];

__asm__(".text\n"
	/* the caller's sp in rbx, the stack realigned and its size known to nobody */
	".globl track_trampoline\n.type track_trampoline, @function\n"
	"track_trampoline:\n"
	".cfi_startproc\n"
	"push %rbx\n.cfi_adjust_cfa_offset 8\n.cfi_offset %rbx, -16\n"
	"mov %rsp, %rbx\n.cfi_def_cfa_register %rbx\n"
	"and $-64, %rsp\n"
	"sub $256, %rsp\n"
	"mov %rdi, %rax\n"
	"mov %rsi, %rdi\n"
	"call *%rax\n"
	"mov %rbx, %rsp\n.cfi_def_cfa_register %rsp\n"
	"pop %rbx\n.cfi_adjust_cfa_offset -8\n.cfi_restore %rbx\n"
	"ret\n"
	".cfi_endproc\n.size track_trampoline, . - track_trampoline\n"
	/* saves rbx on the stack and changes it */
	".globl track_pushes\n.type track_pushes, @function\n"
	"track_pushes:\n"
	".cfi_startproc\n"
	"push %rbx\n.cfi_adjust_cfa_offset 8\n.cfi_offset %rbx, -16\n"
	"mov %rdi, %rax\n"
	"mov %rsi, %rdi\n"
	"mov $0x77777777, %ebx\n"
	"call *%rax\n"
	"pop %rbx\n.cfi_adjust_cfa_offset -8\n.cfi_restore %rbx\n"
	"ret\n"
	".cfi_endproc\n.size track_pushes, . - track_pushes\n"
	/* saves it on the stack, relative to its frame pointer by an expression, and the stack is realigned */
	".globl track_realigns\n.type track_realigns, @function\n"
	"track_realigns:\n"
	".cfi_startproc\n"
	"push %rbp\n.cfi_adjust_cfa_offset 8\n.cfi_offset %rbp, -16\n"
	"mov %rsp, %rbp\n.cfi_def_cfa_register %rbp\n"
	"and $-32, %rsp\n"
	"mov %rbx, -72(%rbp)\n"
	".cfi_escape 0x10, 3, 3, 0x76, 0xb8, 0x7f\n" /* rbx at rbp - 72 */
	"sub $96, %rsp\n"
	"mov %rdi, %rax\n"
	"mov %rsi, %rdi\n"
	"mov $0x66666666, %ebx\n"
	"call *%rax\n"
	"mov -72(%rbp), %rbx\n.cfi_restore %rbx\n"
	"leave\n.cfi_def_cfa %rsp, 8\n.cfi_restore %rbp\n"
	"ret\n"
	".cfi_endproc\n.size track_realigns, . - track_realigns\n"
	/* changes it and does not say so */
	".globl track_says_nothing\n.type track_says_nothing, @function\n"
	"track_says_nothing:\n"
	".cfi_startproc\n"
	"push %rbx\n.cfi_adjust_cfa_offset 8\n"
	"mov %rdi, %rax\n"
	"mov %rsi, %rdi\n"
	"mov $0x55555555, %ebx\n"
	"call *%rax\n"
	"pop %rbx\n.cfi_adjust_cfa_offset -8\n"
	"ret\n"
	".cfi_endproc\n.size track_says_nothing, . - track_says_nothing\n"
	/* says that it is lost */
	".globl track_denies\n.type track_denies, @function\n"
	"track_denies:\n"
	".cfi_startproc\n"
	"push %rbx\n.cfi_adjust_cfa_offset 8\n.cfi_undefined %rbx\n"
	"mov %rdi, %rax\n"
	"mov %rsi, %rdi\n"
	"call *%rax\n"
	"pop %rbx\n.cfi_adjust_cfa_offset -8\n"
	"ret\n"
	".cfi_endproc\n.size track_denies, . - track_denies\n"
	".globl track_end\ntrack_end:\n");

static uint64_t address(size_t i)
{
	return frames[i] & ~PA_FRAME_EXACT;
}

/* Index of the first frame at or after `from` that is in a function of the assembly; nr: none. */
static size_t find(const void *function, const void *next, size_t from)
{
	while (from < nr &&
	       (address(from) < (uint64_t)(uintptr_t)function || address(from) >= (uint64_t)(uintptr_t)next))
		from++;
	return from;
}

static size_t trampoline(size_t from)
{
	return find((const void *)track_trampoline, (const void *)track_pushes, from);
}

static struct pa_stack_bounds main_stack(void)
{
	uint64_t top = (uint64_t)(uintptr_t)__libc_stack_end;

	return (struct pa_stack_bounds){top - (UINT64_C(8) << 20), top};
}

static void on_signal(int sig, siginfo_t *si, void *context)
{
	struct pa_stack_bounds bounds = main_stack();

	nr = pa_walk_sig(context, &bounds, frames, MAX, &info);
}

/* Interrupted in libc, some frames below the assembly. */
static __attribute__((noinline)) void leaf(void)
{
	raise(SIGUSR1);
	sink++;
}

struct call {
	void (*fn)(void *fn, void *arg);
	struct call *next;
};

/* From here the calls of a list, each in the one before, and at the end leaf(). */
static __attribute__((noinline)) void chain(void *at)
{
	struct call *call = at;

	if (call)
		call->fn((void *)chain, call->next);
	else
		leaf();
	sink++;
}

static void reached_the_end(void)
{
	assert_int_equal(info.stop, PA_STOP_END);
	assert_true(nr > 4);
}

static void the_register_is_found_where_callees_saved_it(void **state)
{
	static void (*const callees[])(void *, void *) = {track_pushes, track_realigns, track_trampoline};

	for (size_t i = 0; i < sizeof(callees) / sizeof(*callees); i++) {
		struct call inner = {callees[i], NULL}, outer = {track_trampoline, &inner};
		uint64_t cold[MAX];
		size_t nr_cold;

		pa_walk_flush_sig();
		chain(&outer);
		reached_the_end();
		assert_true(trampoline(0) < nr);
		nr_cold = nr;
		memcpy(cold, frames, sizeof(cold));
		chain(&outer); /* and from the cache */
		assert_int_equal(nr, nr_cold);
		for (size_t k = 0; k < 5; k++)
			assert_int_equal(frames[k], cold[k]);
	}
}

static void many_in_one_stack(void **state)
{
	struct call calls[12] = {{track_pushes, NULL}};
	size_t found = 0;

	for (size_t i = 1; i < 12; i++)
		calls[i] =
		    (struct call){i % 4 ? i % 2 ? track_realigns : track_pushes : track_trampoline, &calls[i - 1]};
	chain(&calls[11]);
	reached_the_end();
	for (size_t at = trampoline(0); at < nr; at = trampoline(at + 1))
		found++;
	assert_int_equal(found, 2);
	found = 0;
	for (size_t i = 0; i < nr; i++)
		found += address(i) >= (uint64_t)(uintptr_t)track_trampoline &&
			 address(i) < (uint64_t)(uintptr_t)track_end;
	assert_int_equal(found, 12);
}

/* More of them than a walk goes back for: it ends at one, and says so. */
static void passes_are_bounded(void **state)
{
	struct call calls[10] = {{track_pushes, NULL}};
	size_t found = 0;

	for (size_t i = 1; i < 10; i++)
		calls[i] = (struct call){track_trampoline, &calls[i - 1]};
	chain(&calls[9]);
	for (size_t at = trampoline(0); at < nr; at = trampoline(at + 1))
		found++;
	assert_int_equal(info.stop, PA_STOP_ROW);
	assert_int_equal(found, 5); /* four passes, and the one it ends at */
	assert_int_equal(trampoline(nr - 1), nr - 1);
}

static void a_lost_register_ends_the_walk_at_the_trampoline(void **state)
{
	static void (*const callees[])(void *, void *) = {track_says_nothing, track_denies};

	for (size_t i = 0; i < sizeof(callees) / sizeof(*callees); i++) {
		struct call inner = {callees[i], NULL}, outer = {track_trampoline, &inner};

		chain(&outer);
		assert_int_equal(info.stop, PA_STOP_ROW);
		assert_int_equal(trampoline(0), nr - 1);
		assert_int_equal(info.pc, address(nr - 1));
	}
}

/* A hook knows no registers of an interrupted frame. */
static void a_hook_has_nothing_to_follow_from(void **state)
{
	struct call outer = {track_trampoline, NULL};
	struct pa_stack_bounds bounds = main_stack();
	uint64_t pc, sp = 0, fp = 0;
	size_t at;

	chain(&outer);
	reached_the_end();
	at = trampoline(0);
	pc = address(at);
	nr = pa_walk_here_sig(pc, (uint64_t)(uintptr_t)&sp, fp, &bounds, frames, MAX, &info);
	assert_int_equal(nr, 1);
	assert_int_equal(info.stop, PA_STOP_ROW);
}

/* A stack of somebody's own may begin so; a thread's does not. */
static void a_return_address_of_zero_ends_a_made_stack_and_cuts_a_threads(void **state)
{
	struct call outer = {track_pushes, NULL};
	struct pa_stack_bounds bounds = main_stack(), none = {0, 0};
	uint64_t stack[4] = {0}, sp = (uint64_t)(uintptr_t)stack;
	uint64_t pc;

	chain(&outer);
	pc = address(find((const void *)track_pushes, (const void *)track_realigns, 0));
	nr = pa_walk_here_sig(pc, sp, 0, &bounds, frames, MAX, &info);
	assert_int_equal(nr, 1);
	assert_int_equal(info.stop, PA_STOP_MEMORY);
	nr = pa_walk_here_sig(pc, sp, 0, &none, frames, MAX, &info);
	assert_int_equal(nr, 1);
	assert_int_equal(info.stop, PA_STOP_END);
}

static int setup(void **state)
{
	struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};

	return pa_walk_init() || sigaction(SIGUSR1, &action, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_register_is_found_where_callees_saved_it),
	    cmocka_unit_test(many_in_one_stack),
	    cmocka_unit_test(passes_are_bounded),
	    cmocka_unit_test(a_lost_register_ends_the_walk_at_the_trampoline),
	    cmocka_unit_test(a_hook_has_nothing_to_follow_from),
	    cmocka_unit_test(a_return_address_of_zero_ends_a_made_stack_and_cuts_a_threads),
	};

	return cmocka_run_group_tests_name("track", tests, setup, NULL);
}
#else
int main(void)
{
	return 0; /* assembly of x86-64 */
}
#endif
