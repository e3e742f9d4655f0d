/* Stacks that are no ordinary stacks: jumps, own stacks, deep recursion, code without unwind information, tiny ones. */
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "tests/targets/target.h"

/* ---- longjmp ---- */

static jmp_buf jump;

static TARGET_NOINLINE void jump_from(int depth)
{
	volatile char pad[200];

	pad[0] = (char)depth;
	target_spin(50);
	if (depth == 0)
		longjmp(jump, 1);
	jump_from(depth - 1);
	pad[1] = pad[0];
}

static int mode_longjmp(int argc, char **argv)
{
	volatile uint64_t end = target_clock_ns(CLOCK_THREAD_CPUTIME_ID) + 400000000u;
	volatile unsigned jumps = 0;

	while (target_clock_ns(CLOCK_THREAD_CPUTIME_ID) < end) {
		if (setjmp(jump) == 0)
			jump_from(20);
		jumps++;
	}
	printf("jumped %d\n", jumps > 100);
	return 0;
}

/* ---- contexts on stacks from mmap, each with a guard page on either side ---- */

#define NR_FIBRES   8
#define FIBRE_STACK (256 * 1024)

static ucontext_t scheduler, fibres[NR_FIBRES];
static unsigned long switches;
static volatile int fibres_stop;

static TARGET_NOINLINE void fibre_work(int depth)
{
	target_spin(1000);
	if (depth > 0) {
		fibre_work(depth - 1);
		target_spin(1);
	}
}

static void fibre_main(int nr)
{
	while (!fibres_stop) {
		fibre_work(nr);
		switches++;
		swapcontext(&fibres[nr], &scheduler);
	}
}

static void *guarded_stack(size_t size)
{
	char *map = mmap(NULL, size + 8192, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	target_need(map != MAP_FAILED && mprotect(map + 4096, size, PROT_READ | PROT_WRITE) == 0, "mmap");
	return map + 4096;
}

static int mode_fibres(int argc, char **argv)
{
	uint64_t end;

	for (int i = 0; i < NR_FIBRES; i++) {
		getcontext(&fibres[i]);
		fibres[i].uc_stack.ss_sp = guarded_stack(FIBRE_STACK);
		fibres[i].uc_stack.ss_size = FIBRE_STACK;
		fibres[i].uc_link = &scheduler;
		makecontext(&fibres[i], (void (*)(void))fibre_main, 1, i);
	}
	end = target_clock_ns(CLOCK_THREAD_CPUTIME_ID) + 500000000u;
	while (target_clock_ns(CLOCK_THREAD_CPUTIME_ID) < end)
		for (int i = 0; i < NR_FIBRES; i++)
			swapcontext(&scheduler, &fibres[i]);
	fibres_stop = 1;
	for (int i = 0; i < NR_FIBRES; i++)
		swapcontext(&scheduler, &fibres[i]);
	printf("switched %d\n", switches > 100);
	return 0;
}

/* ---- recursion ---- */

static TARGET_NOINLINE uint64_t recurse_deep(unsigned depth)
{
	uint64_t r;

	if (depth == 0) {
		target_burn_ms(300);
		return 1;
	}
	r = recurse_deep(depth - 1);
	target_sink += r;
	return r + 1;
}

static void *deep_thread(void *arg)
{
	/* long enough for a complete stack to be seen: its root is what deeper ones end with */
	target_burn_ms(40);
	return (void *)(uintptr_t)recurse_deep(*(unsigned *)arg);
}

static int mode_recursion(int argc, char **argv)
{
	unsigned depth = target_number(argc, argv, 1, 100000);
	pthread_attr_t attr;
	void *result = NULL;
	pthread_t t;

	pthread_attr_init(&attr);
	target_need(pthread_attr_setstacksize(&attr, 64u << 20) == 0, "stack size");
	target_need(pthread_create(&t, &attr, deep_thread, &depth) == 0, "pthread_create");
	pthread_join(t, &result);
	printf("depth %lu\n", (unsigned long)(uintptr_t)result);
	return 0;
}

/* ---- threads with the smallest stack there is, guard page adjacent ---- */

static void *small_thread(void *arg)
{
	target_burn_ms(40);
	return arg;
}

static int mode_small(int argc, char **argv)
{
	pthread_attr_t attr;
	pthread_t threads[8];

	pthread_attr_init(&attr);
	target_need(pthread_attr_setstacksize(&attr, PTHREAD_STACK_MIN) == 0, "stack size");
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < 8; i++)
			target_need(pthread_create(&threads[i], &attr, small_thread, NULL) == 0, "pthread_create");
		for (int i = 0; i < 8; i++)
			pthread_join(threads[i], NULL);
	}
	printf("small stacks done\n");
	return 0;
}

/* ---- hand-written code: no CFI, the frame pointer is a data register ---- */

#if defined(__x86_64__)
void spin_without_cfi(uint64_t rounds, uint64_t rbp);
__asm__(".text\n.globl spin_without_cfi\n.type spin_without_cfi, @function\n"
	"spin_without_cfi:\n\tpush %rbx\n\tpush %rbp\n\tmov %rsi, %rbp\n"
	"1:\tadd %rbp, %rbx\n\tror $7, %rbx\n\tdec %rdi\n\tjnz 1b\n"
	"\tpop %rbp\n\tpop %rbx\n\tret\n.size spin_without_cfi, . - spin_without_cfi\n");
#elif defined(__aarch64__)
void spin_without_cfi(uint64_t rounds, uint64_t x29);
__asm__(".text\n.globl spin_without_cfi\n.type spin_without_cfi, %function\n"
	"spin_without_cfi:\n\tstp x29, x30, [sp, #-16]!\n\tmov x29, x1\n"
	"1:\tadd x2, x2, x29\n\tsubs x0, x0, #1\n\tb.ne 1b\n"
	"\tldp x29, x30, [sp], #16\n\tret\n.size spin_without_cfi, . - spin_without_cfi\n");
#endif

static void spin_with(uint64_t frame_pointer)
{
	uint64_t end = target_clock_ns(CLOCK_THREAD_CPUTIME_ID) + 150000000u;

	while (target_clock_ns(CLOCK_THREAD_CPUTIME_ID) < end)
		spin_without_cfi(200000, frame_pointer);
}

/* rbp as an odd number, as nothing, as an address that faults, as one of the stack, as the end of the address space */
static int mode_no_cfi(int argc, char **argv)
{
	uint64_t near = (uint64_t)(uintptr_t)__builtin_frame_address(0);
	uint64_t guard = (uint64_t)(uintptr_t)guarded_stack(4096) - 4096;
	const uint64_t values[] = {0x1234567, 0, guard, near + 64, near + 3, UINT64_MAX - 7, UINT64_C(1) << 47};

	for (size_t i = 0; i < sizeof values / sizeof *values; i++)
		spin_with(values[i]);
	printf("spun %zu\n", sizeof values / sizeof *values);
	return 0;
}

/* The program that peers corrupt: closes every descriptor it did not open, opens an input and an output, which get the
 * numbers a profiler's pipe had, spins without CFI and never reads or writes. */
static int mode_files(int argc, char **argv)
{
	int in, out;
	FILE *f;

	for (int fd = 3; fd < 256; fd++)
		close(fd);
	f = fopen("input", "w");
	target_need(f && fputs("0123456789 the input\n", f) >= 0 && fclose(f) == 0, "input");
	in = open("input", O_RDWR);
	out = open("output", O_RDWR | O_CREAT | O_TRUNC, 0600);
	printf("input is %d, output is %d\n", in, out);
	for (int i = 0; i < 4; i++)
		spin_with(0x1234567 + (uint64_t)i);
	printf("input at %ld, output at %ld size %ld\n", (long)lseek(in, 0, SEEK_CUR), (long)lseek(out, 0, SEEK_CUR),
	       (long)lseek(out, 0, SEEK_END));
	return 0;
}

static const struct target_mode modes[] = {
    {"longjmp", mode_longjmp},
    {"fibres", mode_fibres},
    {"recursion", mode_recursion},
    {"small", mode_small},
    {"no_cfi", mode_no_cfi},
    {"files", mode_files},
    {0},
};

int main(int argc, char **argv)
{
	return target_main(modes, argc, argv);
}
