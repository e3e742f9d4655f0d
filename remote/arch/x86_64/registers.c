/* x86-64. Source: System V AMD64 ABI figure 3.36 (DWARF numbers); linux/errno.h and arch/x86/kernel/signal.c for how
 * the kernel begins a system call again. World: plain. */
#include "remote/registers.h"

#include <errno.h>
#include <elf.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>

/* The kernel's own results of an interrupted call: no program gets to see them. */
#define ERESTARTSYS           512
#define ERESTARTNOINTR        513
#define ERESTARTNOHAND        514
#define ERESTART_RESTARTBLOCK 516

int pa_registers_get(pid_t tid, struct pa_registers *out)
{
	struct iovec io = {&out->user, sizeof(out->user)};

	if (ptrace(PTRACE_GETREGSET, tid, (void *)NT_PRSTATUS, &io))
		return -errno;
	return io.iov_len == sizeof(out->user) ? 0 : -ENOEXEC;
}

int pa_registers_set(pid_t tid, const struct pa_registers *registers)
{
	struct pa_registers copy = *registers;
	struct iovec io = {&copy.user, sizeof(copy.user)};

	return ptrace(PTRACE_SETREGSET, tid, (void *)NT_PRSTATUS, &io) ? -errno : 0;
}

uint64_t pa_registers_pc(const struct pa_registers *r)
{
	return r->user.rip;
}

uint64_t pa_registers_sp(const struct pa_registers *r)
{
	return r->user.rsp;
}

void pa_registers_dwarf(const struct pa_registers *r, struct pa_unwind_registers *out)
{
	const struct user_regs_struct *u = &r->user;
	const uint64_t in_order[] = {u->rax, u->rdx, u->rcx, u->rbx, u->rsi, u->rdi, u->rbp, u->rsp, u->r8,
				     u->r9,  u->r10, u->r11, u->r12, u->r13, u->r14, u->r15, u->rip};

	memcpy(out->regs, in_order, sizeof(in_order));
	out->nr = sizeof(in_order) / sizeof(in_order[0]);
}

/* orig_rax is the number of the call until the thread is back in its program, and negative outside of one. */
static bool in_syscall(const struct pa_registers *r)
{
	return (int64_t)r->user.orig_rax >= 0;
}

/* Those that return EINTR themselves when a stop wakes them, and that did nothing yet when they do. */
static bool stop_shows(long number)
{
	switch (number) {
	case SYS_epoll_wait:
	case SYS_epoll_pwait:
#ifdef SYS_epoll_pwait2
	case SYS_epoll_pwait2:
#endif
	case SYS_semop:
	case SYS_semtimedop:
	case SYS_rt_sigtimedwait:
	case SYS_io_getevents:
	case SYS_io_uring_enter:
	/* on sockets with SO_RCVTIMEO or SO_SNDTIMEO */
	case SYS_accept:
	case SYS_accept4:
	case SYS_connect:
	case SYS_read:
	case SYS_readv:
	case SYS_recvfrom:
	case SYS_recvmsg:
	case SYS_recvmmsg:
	case SYS_write:
	case SYS_writev:
	case SYS_sendto:
	case SYS_sendmsg:
		return true;
	default:
		return false;
	}
}

long pa_registers_syscall(const struct pa_registers *r)
{
	int64_t result = (int64_t)r->user.rax;

	if (!in_syscall(r))
		return -1;
	if (result == -ERESTARTSYS || result == -ERESTARTNOINTR || result == -ERESTARTNOHAND ||
	    result == -ERESTART_RESTARTBLOCK)
		return (long)r->user.orig_rax;
	return result == -EINTR && stop_shows((long)r->user.orig_rax) ? (long)r->user.orig_rax : -1;
}

uint64_t pa_registers_argument(const struct pa_registers *r, unsigned index)
{
	const uint64_t in_order[] = {r->user.rdi, r->user.rsi, r->user.rdx, r->user.r10, r->user.r8, r->user.r9};

	return index < sizeof(in_order) / sizeof(in_order[0]) ? in_order[index] : 0;
}

bool pa_registers_timed(const struct pa_registers *r)
{
	return in_syscall(r) && (int64_t)r->user.rax == -ERESTART_RESTARTBLOCK;
}

/* mov $number, %eax; syscall */
static long number_before(const uint8_t code[PA_REMOTE_CALL_BYTES])
{
	int32_t number;

	memcpy(&number, code + 1, sizeof(number));
	return code[0] == 0xb8 && code[5] == 0x0f && code[6] == 0x05 ? number : -1;
}

bool pa_registers_begin_anew(struct pa_registers *r, const uint8_t code[PA_REMOTE_CALL_BYTES])
{
	long number = (long)r->user.orig_rax;

	if (number == SYS_restart_syscall)
		number = number_before(code);
	if (number < 0 || number == SYS_restart_syscall)
		return false;
	r->user.orig_rax = (unsigned long long)number;
	r->user.rax = (unsigned long long)-ERESTARTNOHAND;
	return true;
}

bool pa_registers_hide_stop(struct pa_registers *r)
{
	if (!in_syscall(r) || (int64_t)r->user.rax != -EINTR || !stop_shows((long)r->user.orig_rax))
		return false;
	r->user.rax = (unsigned long long)-ERESTARTNOHAND;
	return true;
}
