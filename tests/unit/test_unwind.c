/* The remote unwinder against a walk inside the process, over known call depths, signal frames, another process, and
 * input that makes no sense. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <libunwind.h>
#include <link.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include "agent/arch/x86_64/regs.h"
#include "collector/unwind.h"

#define MODULES_MAX 64
#define DEPTH       40
#define STACK_BYTES (256u << 10)

static struct pa_unwind_module modules[MODULES_MAX];
static struct pa_unwind_list list = {modules, 0};
static char paths[MODULES_MAX][512];
static void *stack_end; /* of the thread that is captured: nothing above is copied */

/* What the handler leaves behind. */
static struct pa_slice *slice;
static uint64_t local[PA_FRAMES_MAX];
static size_t nr_local;

static int add_module(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct pa_unwind_module *m = &modules[list.nr];
	char *path = paths[list.nr];

	*m = (struct pa_unwind_module){.start = UINT64_MAX, .bias = info->dlpi_addr, .key = list.nr};
	if (strstr(info->dlpi_name, "vdso"))
		strcpy(path, "[vdso]");
	else
		snprintf(path, sizeof(paths[0]), "%s", info->dlpi_name[0] ? info->dlpi_name : "/proc/self/exe");
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *ph = &info->dlpi_phdr[i];
		uint64_t start = info->dlpi_addr + ph->p_vaddr;

		if (ph->p_type != PT_LOAD)
			continue;
		m->start = start < m->start ? start : m->start;
		m->end = start + ph->p_memsz > m->end ? start + ph->p_memsz : m->end;
	}
	m->file = (struct pa_module_ref){.path = path, .fd = -1};
	list.nr++;
	return list.nr == MODULES_MAX;
}

static bool find(void *arg, uint64_t pc, struct pa_unwind_module *out)
{
	return pa_unwind_find_in_list(arg, pc, out);
}

static int set_up(void **state)
{
	extern void *__libc_stack_end;

	stack_end = __libc_stack_end;
	dl_iterate_phdr(add_module, NULL);
	slice = malloc(sizeof(*slice) + STACK_BYTES);
	return slice && list.nr > 2 ? 0 : -1;
}

static int tear_down(void **state)
{
	free(slice);
	return 0;
}

__attribute__((no_sanitize("address"))) static void copy_stack(uint8_t *to, const uint8_t *from, size_t len)
{
	for (size_t i = 0; i < len; i++) /* memcpy is checked by sanitizers, and this crosses other frames */
		to[i] = from[i];
}

static void capture(int sig, siginfo_t *info, void *context)
{
	const ucontext_t *uc = context;
	uint64_t from = pa_arch_sp(uc) - PA_ARCH_RED_ZONE;
	uint64_t len = (uint64_t)(uintptr_t)stack_end - from;
	unw_cursor_t cursor;
	unw_word_t ip;

	*slice = (struct pa_slice){.nr_regs = PA_ARCH_NR_REGS, .stack_start = from};
	slice->stack_len = (uint32_t)(len < STACK_BYTES ? len : STACK_BYTES) & ~7u;
	pa_arch_regs(uc, slice->regs);
	copy_stack(slice->stack, (const uint8_t *)from, slice->stack_len);
	unw_init_local2(&cursor, (unw_context_t *)context, UNW_INIT_SIGNAL_FRAME);
	nr_local = 0;
	do {
		unw_get_reg(&cursor, UNW_REG_IP, &ip);
		local[nr_local++] = ip;
	} while (nr_local < PA_FRAMES_MAX && unw_step(&cursor) > 0);
}

static void install(int sig)
{
	struct sigaction sa = {.sa_sigaction = capture, .sa_flags = SA_SIGINFO};

	sigaction(sig, &sa, NULL);
}

static volatile int never_zero = 1;

/* DEPTH frames of this function, then the signal. The linker names the ends of its section. */
extern const char __start_pa_descend[], __stop_pa_descend[];
__attribute__((noinline, section("pa_descend"))) static int descend(int depth, int sig)
{
	volatile char room[48];

	room[0] = (char)depth;
	if (depth == 1)
		raise(sig);
	else
		descend(depth - 1, sig);
	return room[0] * never_zero;
}

static size_t unwind(const struct pa_slice *s, const struct pa_unwind_source *source, uint64_t *frames, size_t max,
		     enum pa_stop *stop)
{
	struct pa_unwind_files *files = pa_unwind_files_new();
	struct pa_unwinder *u = pa_unwinder_new(files);
	size_t nr = pa_unwind_slice(u, source, s, frames, max, stop);

	pa_unwinder_free(u);
	pa_unwind_files_free(files);
	return nr;
}

static const struct pa_unwind_source files_only = {.find = find, .arg = &list};

/* How often frames return into descend. */
static size_t count_descend(const uint64_t *frames, size_t nr)
{
	size_t count = 0;

	for (size_t i = 0; i < nr; i++) {
		uint64_t pc = frames[i] & ~PA_FRAME_EXACT;

		count += pc > (uint64_t)(uintptr_t)__start_pa_descend && pc < (uint64_t)(uintptr_t)__stop_pa_descend;
	}
	return count;
}

static void assert_same_as_local(const uint64_t *frames, size_t nr)
{
	assert_int_equal(nr, nr_local);
	for (size_t i = 0; i < nr; i++)
		assert_int_equal(frames[i] & ~PA_FRAME_EXACT, local[i]);
}

static void a_slice_has_the_frames_of_a_local_walk(void **state)
{
	uint64_t frames[PA_FRAMES_MAX];
	enum pa_stop stop;
	size_t nr;

	install(SIGUSR1);
	descend(DEPTH, SIGUSR1);
	nr = unwind(slice, &files_only, frames, PA_FRAMES_MAX, &stop);
	assert_same_as_local(frames, nr);
	assert_int_equal(stop, PA_STOP_END);
	assert_int_equal(count_descend(frames, nr), DEPTH);
	assert_true(frames[0] & PA_FRAME_EXACT);
	for (size_t i = 1; i < nr; i++)
		assert_false(frames[i] & PA_FRAME_EXACT);
}

static void descend_again(int sig)
{
	descend(DEPTH / 2, SIGUSR1);
}

/* What a handler returns to, as the kernel was told. Source: sigaction(2), "C library/kernel differences". */
static uint64_t restorer_of(int sig)
{
	struct {
		void *handler;
		unsigned long flags;
		uint64_t restorer;
		uint64_t mask;
	} kernel;

	assert_int_equal(syscall(SYS_rt_sigaction, sig, NULL, &kernel, sizeof(kernel.mask)), 0);
	return kernel.restorer;
}

static void a_walk_passes_signal_frames(void **state)
{
	struct sigaction sa = {.sa_handler = descend_again};
	uint64_t frames[PA_FRAMES_MAX];
	size_t nr, exact = 0;
	enum pa_stop stop;

	install(SIGUSR1);
	sigaction(SIGUSR2, &sa, NULL);
	descend(DEPTH, SIGUSR2);
	nr = unwind(slice, &files_only, frames, PA_FRAMES_MAX, &stop);
	assert_same_as_local(frames, nr);
	assert_int_equal(stop, PA_STOP_END);
	assert_int_equal(count_descend(frames, nr), DEPTH + DEPTH / 2);
	for (size_t i = 0; i < nr; i++)
		exact += !!(frames[i] & PA_FRAME_EXACT);
	assert_int_equal(exact, 2); /* the leaf, and what the first signal interrupted */
	for (size_t i = 1; i < nr; i++)
		if (frames[i] & PA_FRAME_EXACT)
			assert_int_equal(frames[i - 1], restorer_of(SIGUSR2));
}

static void *descend_in_thread(void *arg)
{
	pthread_attr_t attr;
	size_t size;

	pthread_getattr_np(pthread_self(), &attr);
	pthread_attr_getstack(&attr, &stack_end, &size);
	pthread_attr_destroy(&attr);
	stack_end = (char *)stack_end + size;
	descend(DEPTH, SIGUSR1);
	return NULL;
}

static void a_thread_ends_where_it_began(void **state)
{
	uint64_t frames[PA_FRAMES_MAX];
	enum pa_stop stop;
	void *main_end = stack_end;
	pthread_t thread;
	size_t nr;

	install(SIGUSR1);
	assert_int_equal(pthread_create(&thread, NULL, descend_in_thread, NULL), 0);
	pthread_join(thread, NULL);
	nr = unwind(slice, &files_only, frames, PA_FRAMES_MAX, &stop);
	stack_end = main_end;
	assert_same_as_local(frames, nr);
	assert_int_equal(stop, PA_STOP_END);
	assert_int_equal(count_descend(frames, nr), DEPTH);
}

static void a_short_slice_gives_the_leaf_most_frames(void **state)
{
	uint64_t frames[PA_FRAMES_MAX];
	enum pa_stop stop;
	size_t nr;

	install(SIGUSR1);
	descend(DEPTH, SIGUSR1);
	slice->stack_len = 2048;
	nr = unwind(slice, &files_only, frames, PA_FRAMES_MAX, &stop);
	assert_int_equal(stop, PA_STOP_MEMORY);
	assert_in_range(nr, 5, nr_local - 1);
	nr_local = nr;
	assert_same_as_local(frames, nr);
}

static void depth_is_bounded(void **state)
{
	uint64_t frames[8] = {0};
	enum pa_stop stop;

	install(SIGUSR1);
	descend(DEPTH, SIGUSR1);
	assert_int_equal(unwind(slice, &files_only, frames, 7, &stop), 7);
	assert_int_equal(stop, PA_STOP_DEPTH);
	assert_int_equal(frames[7], 0);
	assert_int_equal(unwind(slice, &files_only, frames, 0, &stop), 0);
}

static void code_of_no_module_is_named_as_the_reason(void **state)
{
	uint64_t frames[PA_FRAMES_MAX];
	struct pa_unwind_list none = {modules, 0};
	struct pa_unwind_source source = {.find = find, .arg = &none};
	enum pa_stop stop;

	install(SIGUSR1);
	descend(DEPTH, SIGUSR1);
	assert_int_equal(unwind(slice, &source, frames, PA_FRAMES_MAX, &stop), 1);
	assert_int_equal(stop, PA_STOP_JIT);
	assert_int_equal(frames[0] & ~PA_FRAME_EXACT, local[0]);
}

/* Another file at the path must never be unwound by. */
static void a_file_with_another_build_id_is_not_used(void **state)
{
	static const uint8_t other[20] = {1, 2, 3};
	struct pa_unwind_module changed[MODULES_MAX];
	struct pa_unwind_list wrong = {changed, list.nr};
	struct pa_unwind_source source = {.find = find, .arg = &wrong};
	uint64_t frames[PA_FRAMES_MAX];
	enum pa_stop stop;

	memcpy(changed, modules, sizeof(changed));
	for (size_t i = 0; i < list.nr; i++) {
		changed[i].file.build_id = other;
		changed[i].file.build_id_len = sizeof(other);
	}
	install(SIGUSR1);
	descend(DEPTH, SIGUSR1);
	unwind(slice, &source, frames, PA_FRAMES_MAX, &stop);
	assert_int_equal(stop, PA_STOP_NO_CFI);
}

/* Rules are remembered by address: a module that went must not leave them behind. */
static void rules_are_forgotten_with_the_generation(void **state)
{
	struct pa_unwind_files *files = pa_unwind_files_new();
	struct pa_unwinder *u = pa_unwinder_new(files);
	struct pa_unwind_list here = list;
	struct pa_unwind_source source = {.find = find, .arg = &here};
	uint64_t frames[PA_FRAMES_MAX];
	enum pa_stop stop;
	size_t first;

	install(SIGUSR1);
	descend(DEPTH, SIGUSR1);
	first = pa_unwind_slice(u, &source, slice, frames, PA_FRAMES_MAX, &stop);
	assert_int_equal(pa_unwind_slice(u, &source, slice, frames, PA_FRAMES_MAX, &stop), first);
	here.nr = 0;
	source.generation++;
	assert_int_equal(pa_unwind_slice(u, &source, slice, frames, PA_FRAMES_MAX, &stop), 1);
	pa_unwinder_free(u);
	pa_unwind_files_free(files);
}

static int read_child(void *arg, uint64_t address, void *out, size_t len)
{
	return pa_unwind_read_process(*(pid_t *)arg, address, out, len);
}

struct child {
	pid_t pid; /* first: read_child takes a pointer to it */
	struct pa_unwind_list *list;
};

static bool find_for_child(void *arg, uint64_t pc, struct pa_unwind_module *out)
{
	return pa_unwind_find_in_list(((struct child *)arg)->list, pc, out);
}

static int arrived[2]; /* a pipe: the child is in its handler */

static void wait_forever(int sig)
{
	if (write(arrived[1], "", 1) != 1)
		_exit(1);
	for (;;)
		pause();
}

static void stop_child(pid_t pid, struct pa_unwind_registers *registers)
{
	struct user_regs_struct r;
	int status;
	char byte;

	assert_int_equal(read(arrived[0], &byte, 1), 1);
	assert_int_equal(ptrace(PTRACE_SEIZE, pid, NULL, NULL), 0);
	assert_int_equal(ptrace(PTRACE_INTERRUPT, pid, NULL, NULL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(ptrace(PTRACE_GETREGS, pid, NULL, &r), 0);
	*registers = (struct pa_unwind_registers){
	    .nr = PA_ARCH_NR_REGS,
	    .regs = {r.rax, r.rdx, r.rcx, r.rbx, r.rsi, r.rdi, r.rbp, r.rsp, r.r8, r.r9, r.r10, r.r11, r.r12, r.r13,
		     r.r14, r.r15, r.rip},
	};
}

static void another_process_is_unwound(void **state)
{
	struct pa_unwind_files *files = pa_unwind_files_new();
	struct pa_unwinder *u = pa_unwinder_new(files);
	struct child child = {.list = &list};
	struct pa_unwind_source source = {.find = find_for_child, .read = read_child, .arg = &child};
	struct pa_unwind_registers registers;
	uint64_t frames[PA_FRAMES_MAX];
	enum pa_stop stop;
	size_t nr;

	assert_int_equal(pipe(arrived), 0);
	child.pid = fork();
	if (child.pid == 0) {
		signal(SIGUSR2, wait_forever);
		descend(DEPTH, SIGUSR2);
		_exit(1);
	}
	stop_child(child.pid, &registers);
	nr = pa_unwind_process(u, &source, &registers, frames, PA_FRAMES_MAX, &stop);
	kill(child.pid, SIGKILL);
	waitpid(child.pid, NULL, 0);
	assert_int_equal(stop, PA_STOP_END);
	assert_int_equal(count_descend(frames, nr), DEPTH);
	pa_unwinder_free(u);
	pa_unwind_files_free(files);
}

/* A function whose CFA is an expression that jumps back to its own start: DW_OP_skip -3. */
__asm__(".pushsection .text\n"
	"pa_test_endless:\n"
	".cfi_startproc\n"
	".cfi_escape 0x0f, 3, 0x2f, 0xfd, 0xff\n"
	"nop\nnop\nnop\nret\n"
	".cfi_endproc\n"
	".popsection\n");
extern const char pa_test_endless[];

static void an_endless_expression_is_given_up(void **state)
{
	uint64_t frames[PA_FRAMES_MAX];
	enum pa_stop stop;

	install(SIGUSR1);
	descend(5, SIGUSR1);
	slice->regs[slice->nr_regs - 1] = (uint64_t)(uintptr_t)pa_test_endless + 2;
	alarm(5); /* it would not come back */
	assert_int_equal(unwind(slice, &files_only, frames, PA_FRAMES_MAX, &stop), 1);
	alarm(0);
	assert_int_equal(stop, PA_STOP_MEMORY);
}

static void garbage_is_survived(void **state)
{
	struct pa_unwind_files *files = pa_unwind_files_new();
	struct pa_unwinder *u = pa_unwinder_new(files);
	uint64_t frames[PA_FRAMES_MAX], code;
	enum pa_stop stop;

	srandom(1);
	install(SIGUSR1);
	for (int round = 0; round < 3000; round++) {
		descend(5, SIGUSR1);
		code = modules[0].start;
		for (int i = 0; i < 40; i++) {
			uint64_t value = (uint64_t)random() << 32 | (uint64_t)random();

			switch (random() % 3) {
			case 0: /* any pc of the program, so that any rule meets any registers */
				slice->regs[slice->nr_regs - 1] = code + value % (modules[0].end - code);
				break;
			case 1:
				slice->regs[random() % slice->nr_regs] = value % 2 ? value
										   : slice->stack_start + value % 4096;
				break;
			default:
				slice->stack[value % slice->stack_len] = (uint8_t)(value >> 8);
			}
		}
		assert_in_range(pa_unwind_slice(u, &files_only, slice, frames, PA_FRAMES_MAX, &stop), 1, PA_FRAMES_MAX);
	}
	slice->nr_regs = 0;
	assert_int_equal(pa_unwind_slice(u, &files_only, slice, frames, PA_FRAMES_MAX, &stop), 0);
	slice->nr_regs = PA_SLICE_REGS + 1;
	assert_int_equal(pa_unwind_slice(u, &files_only, slice, frames, PA_FRAMES_MAX, &stop), 0);
	pa_unwinder_free(u);
	pa_unwind_files_free(files);
}

static char *read_all(const char *path, size_t *len)
{
	FILE *f = fopen(path, "rb");
	char *bytes;

	assert_non_null(f);
	fseek(f, 0, SEEK_END);
	*len = (size_t)ftell(f);
	rewind(f);
	bytes = malloc(*len);
	assert_int_equal(fread(bytes, 1, *len, f), *len);
	fclose(f);
	return bytes;
}

static void write_all(const char *path, const char *bytes, size_t len)
{
	FILE *f = fopen(path, "wb");

	assert_non_null(f);
	assert_int_equal(fwrite(bytes, 1, len, f), len);
	fclose(f);
}

/* Where the unwind tables are in an ELF image: from .eh_frame_hdr to the end of its segment. */
static void find_tables(const char *bytes, size_t *from, size_t *len)
{
	const ElfW(Ehdr) *eh = (const ElfW(Ehdr) *)bytes;
	const ElfW(Phdr) *ph = (const ElfW(Phdr) *)(bytes + eh->e_phoff);

	for (int i = 0; i < eh->e_phnum; i++) {
		if (ph[i].p_type == PT_GNU_EH_FRAME)
			*from = ph[i].p_offset;
	}
	for (int i = 0; i < eh->e_phnum; i++) {
		if (ph[i].p_type == PT_LOAD && *from >= ph[i].p_offset && *from < ph[i].p_offset + ph[i].p_filesz)
			*len = ph[i].p_offset + ph[i].p_filesz - *from;
	}
}

/* Any byte may lie: of the whole file, or of the unwind tables only. */
static void damaged_files_are_survived(void **state)
{
	char path[] = "/tmp/pa-unwind-XXXXXX";
	int fd = mkstemp(path);
	size_t len, tables = 0, tables_len = 0;
	char *bytes = read_all("/proc/self/exe", &len), *damaged = malloc(len);
	struct pa_unwind_module copy[MODULES_MAX];
	struct pa_unwind_list copies = {copy, list.nr};
	struct pa_unwind_source source = {.find = find, .arg = &copies};
	uint64_t frames[PA_FRAMES_MAX];
	struct timespec begin, end;
	enum pa_stop stop;

	close(fd);
	find_tables(bytes, &tables, &tables_len);
	assert_in_range(tables_len, 100, len);
	memcpy(copy, modules, sizeof(copy));
	for (size_t i = 0; i < list.nr; i++)
		copy[i].file.path = path;
	install(SIGUSR1);
	descend(DEPTH, SIGUSR1);
	srandom(2);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &begin);
	for (int round = 0; round < 600; round++) {
		size_t from = round % 2 ? tables : 0, part = round % 2 ? tables_len : len;

		memcpy(damaged, bytes, len);
		for (size_t i = 0; i < part / (round % 3 ? 30 : 1000); i++)
			damaged[from + (size_t)random() % part] = (char)random();
		write_all(path, damaged, round % 7 ? len : (size_t)random() % len);
		assert_in_range(unwind(slice, &source, frames, PA_FRAMES_MAX, &stop), 1, PA_FRAMES_MAX);
	}
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &end);
	assert_in_range(end.tv_sec - begin.tv_sec, 0, 30);
	unlink(path);
	free(damaged);
	free(bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_slice_has_the_frames_of_a_local_walk),
	    cmocka_unit_test(a_walk_passes_signal_frames),
	    cmocka_unit_test(a_thread_ends_where_it_began),
	    cmocka_unit_test(a_short_slice_gives_the_leaf_most_frames),
	    cmocka_unit_test(depth_is_bounded),
	    cmocka_unit_test(code_of_no_module_is_named_as_the_reason),
	    cmocka_unit_test(a_file_with_another_build_id_is_not_used),
	    cmocka_unit_test(rules_are_forgotten_with_the_generation),
	    cmocka_unit_test(another_process_is_unwound),
	    cmocka_unit_test(an_endless_expression_is_given_up),
	    cmocka_unit_test(garbage_is_survived),
	    cmocka_unit_test(damaged_files_are_survived),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
