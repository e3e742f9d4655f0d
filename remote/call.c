#include "remote/call.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>

#include "collector/loop.h"

#define LOOK_NS        20000u
#define SPIN_NS        50000u               /* most stops come sooner than a sleeping tracer wakes up */
#define SMALL_LIMIT_NS UINT64_C(5000000000) /* for what the kernel does at once, on a crowded machine */
#define SYSCALL_STOP   (SIGTRAP | 0x80)

/* Of the call in progress. */
struct stage {
	struct pa_call *call;
	struct pa_thread_state was;
	bool changed; /* the thread is no more what it was */
	bool blocked; /* signals are */
	uint8_t frame[PA_CALL_FRAME_MAX];
	uint64_t base_entry;         /* stack pointer of what returns into the frame on the thread's own stack */
	uint64_t stack, stack_entry; /* the new stack, and the stack pointer of what returns into the chain on it */
	uint64_t bell_sp;            /* stack pointer of the thread when the bell has been rung */
	uint64_t limit_ns;           /* CLOCK_MONOTONIC */
	uint64_t errno_at;           /* of the thread; 0: not known */
	int errno_was;
};

static int read_memory(pid_t tid, uint64_t from, void *to, size_t len)
{
	struct iovec here = {to, len}, there = {(void *)(uintptr_t)from, len};
	ssize_t n = process_vm_readv(tid, &here, 1, &there, 1, 0);

	return n == (ssize_t)len ? 0 : n < 0 ? -errno : -EFAULT;
}

static int write_memory(pid_t tid, uint64_t to, const void *from, size_t len)
{
	struct iovec here = {(void *)(uintptr_t)from, len}, there = {(void *)(uintptr_t)to, len};
	ssize_t n = process_vm_writev(tid, &here, 1, &there, 1, 0);

	return n == (ssize_t)len ? 0 : n < 0 ? -errno : -EFAULT;
}

/* The next stop of the thread. Errors: 0, -ESRCH: it has ended, -ETIMEDOUT. */
static int next_stop(struct stage *s, int *status)
{
	static const struct timespec pause = {.tv_nsec = LOOK_NS};
	uint64_t spin_ns = pa_now_ns() + SPIN_NS;

	for (;;) {
		pid_t got = waitpid(s->call->tid, status, __WALL | WNOHANG);
		uint64_t now;

		if (got == s->call->tid)
			return WIFSTOPPED(*status) ? 0 : -ESRCH;
		if (got < 0 && errno != EINTR)
			return -ESRCH;
		now = pa_now_ns();
		if (now > s->limit_ns)
			return -ETIMEDOUT;
		if (now < spin_ns)
			sched_yield();
		else
			nanosleep(&pause, NULL);
	}
}

static bool is_fault(int sig)
{
	return sig == SIGSEGV || sig == SIGBUS || sig == SIGILL || sig == SIGFPE || sig == SIGTRAP || sig == SIGSYS ||
	       sig == SIGABRT;
}

/* Lets the thread run to the next entry or exit of a system call, or (bell) until that is rung.
 * Errors: as next_stop; -EFAULT: it faulted. */
static int run_until(struct stage *s, int bell, struct pa_registers *r)
{
	int status, pass = 0, error;

	for (;;) {
		if (ptrace(bell ? PTRACE_CONT : PTRACE_SYSCALL, s->call->tid, NULL, (void *)(uintptr_t)pass))
			return -errno;
		error = next_stop(s, &status);
		if (error)
			return error;
		if (WSTOPSIG(status) == SYSCALL_STOP || (bell && status >> 8 == bell))
			return pa_registers_get(s->call->tid, r);
		/* all that can wait is blocked: another signal than a fault is a stop for the whole process */
		pass = status >> 16 ? 0 : WSTOPSIG(status);
		if (pass && is_fault(pass)) {
			s->call->signal = pass;
			return -EFAULT;
		}
	}
}

static int run_to_syscall(struct stage *s, struct pa_registers *r)
{
	return run_until(s, 0, r);
}

static uint64_t bit(int sig)
{
	return sig ? UINT64_C(1) << (sig - 1) : 0;
}

/* Signals that can wait do; faults of the function are seen by us, and by the program if we are gone. */
static uint64_t call_mask(void)
{
	static const int faults[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGSYS, SIGABRT};
	uint64_t mask = ~UINT64_C(0);

	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
		mask &= ~bit(faults[i]);
	return mask;
}

static int block_signals(pid_t tid)
{
	uint64_t mask = call_mask();

	return ptrace(PTRACE_SETSIGMASK, tid, (void *)sizeof(mask), &mask) ? -errno : 0;
}

/* One system call in the target, from any stop. Errors: those of run_to_syscall; the call's own result in *result. */
static int kernel_call(struct stage *s, long number, const uint64_t arguments[6], int64_t *result)
{
	struct pa_registers r = s->was.registers;
	int error;

	pa_arch_enter_kernel(&r, s->call->site, number, arguments, s->base_entry);
	error = pa_registers_set(s->call->tid, &r);
	/* not before the thread has its way back, which is what gives it its own mask again should we die now */
	if (!error && !s->blocked)
		error = block_signals(s->call->tid);
	s->blocked = true;
	if (!error)
		error = run_to_syscall(s, &r);
	/* from a stop inside of a system call the first report is the end of that one, cancelled by the registers */
	if (!error && pa_arch_call_number(&r) != number)
		error = run_to_syscall(s, &r);
	if (!error && pa_arch_call_number(&r) != number)
		error = -EPROTO;
	if (!error)
		error = run_to_syscall(s, &r);
	*result = error ? -EIO : pa_arch_call_result(&r);
	return error;
}

/* Writes a frame of that state below sp. Errors: -ENOTSUP, -errno. */
static int put_frame(struct stage *s, const struct pa_thread_state *state, uint64_t sp, uint64_t *entry)
{
	uint64_t at;
	size_t len = pa_arch_frame(s->frame, state, sp, s->call->site->sigreturn, &at, entry);

	return len ? write_memory(s->call->tid, at, s->frame, len) : -ENOTSUP;
}

/* What a link of the chain needs to write errno: the process copies the word to itself. */
struct errno_link {
	struct iovec from, to;
	int value;
};

/* Below sp: a frame that makes a system call and returns into *entry, which becomes its own. */
static int put_link(struct stage *s, struct pa_thread_state *link, long number, const uint64_t arguments[6],
		    uint64_t sp, uint64_t *entry)
{
	link->registers = s->was.registers;
	pa_arch_enter_kernel(&link->registers, s->call->site, number, arguments, *entry);
	return put_frame(s, link, sp, entry);
}

static int put_errno(struct stage *s, struct pa_thread_state *link, uint64_t *entry)
{
	uint64_t at = (*entry - sizeof(struct errno_link)) & ~UINT64_C(63);
	const struct errno_link words = {
	    .from = {(void *)(uintptr_t)(at + offsetof(struct errno_link, value)), sizeof(int)},
	    .to = {(void *)(uintptr_t)s->errno_at, sizeof(int)},
	    .value = s->errno_was};
	const uint64_t arguments[6] = {(uint64_t)s->call->inner_pid,
				       at + offsetof(struct errno_link, from),
				       1,
				       at + offsetof(struct errno_link, to),
				       1,
				       0};
	int error = write_memory(s->call->tid, at, &words, sizeof(words));

	return error ? error : put_link(s, link, SYS_process_vm_writev, arguments, at, entry);
}

/* The chain below sp, its last link first. */
static int put_chain(struct stage *s, uint64_t sp)
{
	struct pa_call *c = s->call;
	const uint64_t leave[6] = {s->stack, c->stack_bytes};
	const uint64_t ring[6] = {(uint64_t)c->inner_pid, (uint64_t)c->inner_tid, (uint64_t)c->bell};
	struct pa_thread_state *link = malloc(sizeof(*link));
	uint64_t entry = s->base_entry;
	int error;

	if (!link)
		return -ENOMEM;
	*link = s->was;
	link->sigmask = call_mask();
	error = put_link(s, link, SYS_munmap, leave, sp, &entry);
	if (!error && s->errno_at)
		error = put_errno(s, link, &entry);
	s->bell_sp = entry;
	link->sigmask &= ~bit(c->bell);
	if (!error)
		error = put_link(s, link, SYS_tgkill, ring, entry, &entry);
	s->stack_entry = entry;
	free(link);
	return error;
}

static int make_stack(struct stage *s)
{
	const uint64_t arguments[6] = {
	    0, s->call->stack_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, (uint64_t)-1,
	    0};
	struct pa_call *c = s->call;
	uint64_t top;
	int64_t got;
	int error = kernel_call(s, SYS_mmap, arguments, &got);

	if (error)
		return error;
	if (got < 0 && got > -4096)
		return -ENOMEM;
	s->stack = (uint64_t)got;
	top = s->stack + c->stack_bytes - 64;
	if (c->data) {
		top = (top - c->data_bytes) & ~UINT64_C(63);
		error = write_memory(c->tid, top, c->data, c->data_bytes);
		c->data_at = top;
	}
	return error ? error : put_chain(s, top);
}

/* errno is the thread's own, and only libc knows where it lies. The address is seen because the function returns into
 * the instruction of a system call, whose number it becomes: none that the kernel has. */
static int find_errno(struct stage *s)
{
	uint64_t entry = s->stack_entry - sizeof(uint64_t), at;
	struct pa_registers r = s->was.registers;
	int error = write_memory(s->call->tid, entry, &s->call->site->syscall_return, sizeof(uint64_t));

	pa_arch_enter(&r, s->call->errno_location, (const uint64_t[PA_CALL_ARGUMENTS]){0}, entry);
	if (!error)
		error = pa_registers_set(s->call->tid, &r);
	do {
		if (!error)
			error = run_to_syscall(s, &r);
	} while (!error && pa_registers_sp(&r) != s->stack_entry);
	at = error ? 0 : (uint64_t)pa_arch_call_number(&r);
	if (!error)
		error = read_memory(s->call->tid, at, &s->errno_was, sizeof(s->errno_was));
	s->errno_at = error ? 0 : at;
	/* below the chain that the thread stands on: that one must stay whole until the thread has other registers */
	return error ? error : put_chain(s, entry - PA_REMOTE_RED_ZONE);
}

/* Runs the function until it has rung the bell. Without one, until it is about to make rt_sigreturn, where it stays;
 * the next registers take that call's place in one step: never is the call cancelled alone, because behind it lies no
 * code that could run should we die. */
static int call_function(struct stage *s)
{
	struct pa_registers r = s->was.registers;
	int error;

	pa_arch_enter(&r, s->call->function, s->call->arguments, s->stack_entry);
	error = pa_registers_set(s->call->tid, &r);
	s->limit_ns = pa_now_ns() + s->call->limit_ns;
	while (!error) {
		error = run_until(s, s->call->bell, &r);
		/* entry and exit alike have the number; ours is known by its stack, too */
		if (error || pa_registers_sp(&r) == s->bell_sp ||
		    (pa_arch_call_number(&r) == SYS_rt_sigreturn && pa_registers_sp(&r) == s->stack_entry + 8))
			break;
	}
	return error;
}

/* All of them, one after the other; *refused: what next said. */
static int call_functions(struct stage *s, int *refused)
{
	struct pa_call *call = s->call;
	int error = call->errno_location ? find_errno(s) : 0, more = 1;

	while (!error) {
		more = call->next(call->arg, call);
		if (more <= 0)
			break;
		error = call_function(s);
	}
	*refused = more < 0 ? more : 0;
	if (s->errno_at && error != -ETIMEDOUT && error != -ESRCH)
		write_memory(call->tid, s->errno_at, &s->errno_was, sizeof(s->errno_was));
	return error;
}

/* To a stop from which the kernel looks at an interrupted system call again: the kind in which the thread was found. */
static int stop_again(struct stage *s)
{
	int status, error;

	if (ptrace(PTRACE_INTERRUPT, s->call->tid, NULL, NULL) || ptrace(PTRACE_CONT, s->call->tid, NULL, NULL))
		return -errno;
	for (;;) {
		error = next_stop(s, &status);
		if (error || status >> 16 == PTRACE_EVENT_STOP)
			return error;
		if (ptrace(PTRACE_CONT, s->call->tid, NULL, NULL))
			return -errno;
	}
}

/* The stack stays when the function died on it: what it had begun may still refer to it. Either call takes the thread
 * from wherever it is to its way back on its own stack. */
static void leave_stack(struct stage *s, bool died)
{
	const uint64_t arguments[6] = {s->stack, s->call->stack_bytes};
	int64_t got;

	kernel_call(s, s->stack && !died ? SYS_munmap : SYS_gettid, arguments, &got);
}

static int begin(struct stage *s)
{
	struct pa_call *c = s->call;
	int error = pa_arch_state_get(c->tid, &s->was);

	s->was.registers = c->registers;
	s->limit_ns = pa_now_ns() + SMALL_LIMIT_NS;
	if (!error)
		error = put_frame(s, &s->was, pa_registers_sp(&c->registers) - PA_REMOTE_RED_ZONE, &s->base_entry);
	if (!error && ptrace(PTRACE_SETOPTIONS, c->tid, NULL, (void *)PTRACE_O_TRACESYSGOOD))
		error = -errno;
	s->changed = !error;
	return error;
}

/* Back to where it was. A thread that is somewhere in the function still is left to it: it has the way back. */
static int end(struct stage *s, int error)
{
	pid_t tid = s->call->tid;
	int second;

	if (error == -ESRCH)
		return error;
	if (!s->changed) {
		ptrace(PTRACE_DETACH, tid, NULL, NULL);
		return error;
	}
	if (error == -ETIMEDOUT) {
		int status;

		s->limit_ns = pa_now_ns() + SMALL_LIMIT_NS;
		if (!ptrace(PTRACE_INTERRUPT, tid, NULL, NULL))
			next_stop(s, &status);
		ptrace(PTRACE_DETACH, tid, NULL, NULL);
		return error;
	}
	s->limit_ns = pa_now_ns() + SMALL_LIMIT_NS;
	leave_stack(s, error == -EFAULT);
	second = stop_again(s);
	if (!second)
		second = pa_arch_state_set(tid, &s->was);
	ptrace(PTRACE_DETACH, tid, NULL, NULL);
	return error ? error : second;
}

int pa_call_run(struct pa_call *call)
{
	struct stage *s = calloc(1, sizeof(*s));
	uint64_t began_ns = pa_now_ns();
	int error, refused = 0;

	if (!s)
		return -ENOMEM;
	s->call = call;
	call->signal = 0;
	error = begin(s);
	if (!error)
		error = make_stack(s);
	if (!error)
		error = call_functions(s, &refused);
	error = end(s, error);
	call->called_ns = pa_now_ns() - began_ns;
	free(s);
	return error ? error : refused;
}
