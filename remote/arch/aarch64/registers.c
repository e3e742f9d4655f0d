/* aarch64. Source: DWARF for the Arm 64-bit Architecture, section 4.1; arch/arm64/kernel/signal.c, where the kernel
 * prepares a call to begin again before a tracer sees the registers. World: plain. */
#include "remote/registers.h"

#include <errno.h>
#include <elf.h>
#include <sys/ptrace.h>
#include <sys/uio.h>

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
	return r->user.pc;
}

uint64_t pa_registers_sp(const struct pa_registers *r)
{
	return r->user.sp;
}

void pa_registers_dwarf(const struct pa_registers *r, struct pa_unwind_registers *out)
{
	for (unsigned i = 0; i < 31; i++)
		out->regs[i] = r->user.regs[i];
	out->regs[31] = r->user.sp;
	out->regs[32] = r->user.pc;
	out->nr = 33;
}

/* The pc is that of the system call's instruction again: nothing tells it from a call about to be made. */
long pa_registers_syscall(const struct pa_registers *r)
{
	return -1;
}

uint64_t pa_registers_argument(const struct pa_registers *r, unsigned index)
{
	return index < 6 ? r->user.regs[index] : 0;
}

/* As above; nothing is called there from outside, either. */
bool pa_registers_timed(const struct pa_registers *r)
{
	return false;
}

bool pa_registers_begin_anew(struct pa_registers *r, const uint8_t code[PA_REMOTE_CALL_BYTES])
{
	return false;
}

/* The first argument, which the result has overwritten, is not among the registers that a tracer gets. */
bool pa_registers_hide_stop(struct pa_registers *r)
{
	return false;
}
