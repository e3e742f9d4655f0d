/* Signal frames and calls of x86-64. World: plain.
 * Source: arch/x86/include/asm/sigframe.h and uapi/asm/sigcontext.h of Linux: the frame is ABI, programs read it. */
#include "remote/call.h"

#include <cpuid.h>
#include <elf.h>
#include <errno.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <ucontext.h>

#define UC_FP_XSTATE         1u
#define UC_SIGCONTEXT_SS     2u
#define UC_STRICT_RESTORE_SS 4u
#define FP_XSTATE_MAGIC1     0x46505853u
#define FP_XSTATE_MAGIC2     0x46505845u
#define SW_RESERVED          464 /* bytes of a FXSAVE area that hardware leaves to software */
#define XSAVE_HEADER         512 /* behind the FXSAVE area; its first word has the parts in use */
#define DIRECTION_AND_TRAP   0x500u
#define NO_SUCH_FLAGS        0x7fffffff

#define RESTARTED(rax) ((rax) == -512 || (rax) == -513 || (rax) == -514 || (rax) == -516)

void pa_arch_call_site(struct pa_call_site *site, const uint8_t *code, size_t len, uint64_t base)
{
	static const uint8_t sigreturn[] = {0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05};
	static const uint8_t syscall_return[] = {0x0f, 0x05, 0xc3};
	const uint8_t *at = site->sigreturn ? NULL : memmem(code, len, sigreturn, sizeof(sigreturn));

	if (at)
		site->sigreturn = base + (uint64_t)(at - code);
	at = site->syscall_return ? NULL : memmem(code, len, syscall_return, sizeof(syscall_return));
	if (at)
		site->syscall_return = base + (uint64_t)(at - code);
}

int pa_arch_state_get(pid_t tid, struct pa_thread_state *state)
{
	struct iovec io = {state->extended, sizeof(state->extended)};

	if (ptrace(PTRACE_GETREGSET, tid, (void *)NT_X86_XSTATE, &io) ||
	    ptrace(PTRACE_GETSIGMASK, tid, (void *)sizeof(state->sigmask), &state->sigmask))
		return -errno;
	state->extended_len = io.iov_len;
	/* a full buffer may be a cut one */
	return io.iov_len < sizeof(state->extended) ? pa_registers_get(tid, &state->registers) : -ENOTSUP;
}

int pa_arch_state_set(pid_t tid, const struct pa_thread_state *state)
{
	struct iovec io = {(void *)(uintptr_t)state->extended, state->extended_len};
	uint64_t mask = state->sigmask;
	int error = 0, set;

	/* the registers last: until then the thread has its way back through a frame that sets all of this */
	if (ptrace(PTRACE_SETREGSET, tid, (void *)NT_X86_XSTATE, &io))
		error = -errno;
	if (ptrace(PTRACE_SETSIGMASK, tid, (void *)sizeof(mask), &mask) && !error)
		error = -errno;
	set = pa_registers_set(tid, &state->registers);
	if (!error)
		error = set;
	return error;
}

/* What the kernel does with an interrupted system call, done by hand: the call is made anew. Timeouts begin anew, too;
 * only when nobody restores by ptrace. */
static void put_registers(ucontext_t *uc, const struct user_regs_struct *u)
{
	greg_t *g = uc->uc_mcontext.gregs;
	bool again = (int64_t)u->orig_rax >= 0 && RESTARTED((int64_t)u->rax);

	g[REG_R8] = (greg_t)u->r8;
	g[REG_R9] = (greg_t)u->r9;
	g[REG_R10] = (greg_t)u->r10;
	g[REG_R11] = (greg_t)u->r11;
	g[REG_R12] = (greg_t)u->r12;
	g[REG_R13] = (greg_t)u->r13;
	g[REG_R14] = (greg_t)u->r14;
	g[REG_R15] = (greg_t)u->r15;
	g[REG_RDI] = (greg_t)u->rdi;
	g[REG_RSI] = (greg_t)u->rsi;
	g[REG_RBP] = (greg_t)u->rbp;
	g[REG_RBX] = (greg_t)u->rbx;
	g[REG_RDX] = (greg_t)u->rdx;
	g[REG_RCX] = (greg_t)u->rcx;
	g[REG_RSP] = (greg_t)u->rsp;
	g[REG_RAX] = (greg_t)(again ? u->orig_rax : u->rax);
	g[REG_RIP] = (greg_t)(again ? u->rip - 2 : u->rip);
	g[REG_EFL] = (greg_t)u->eflags;
	g[REG_CSGSFS] = (greg_t)((u->cs & 0xffff) | (u->ss & 0xffff) << 48);
}

/* Which parts of the area are not as they are at the start of a thread. */
static uint64_t features_used(const struct pa_thread_state *state)
{
	uint64_t used;

	memcpy(&used, state->extended + XSAVE_HEADER, sizeof(used));
	return used | 3; /* x87 and SSE stand in the part that every processor has */
}

/* How long the area is with these parts. rt_sigreturn takes none that is longer than what the thread may use, and
 * ptrace hands out what the processor has: with AMX that is more. Source: CPUID leaf 0Dh. */
static size_t extended_used(const struct pa_thread_state *state)
{
	uint64_t used = features_used(state);
	size_t len = XSAVE_HEADER + 64;

	for (unsigned i = 2; i < 63; i++) {
		unsigned size, offset, c, d;

		if (!(used >> i & 1) || !__get_cpuid_count(0xd, i, &size, &offset, &c, &d))
			continue;
		if (offset + size > len)
			len = offset + size;
	}
	return len < state->extended_len ? len : state->extended_len;
}

/* The area of the vector registers as rt_sigreturn wants it: marked at both ends. */
static void put_extended(uint8_t *to, const struct pa_thread_state *state, size_t len)
{
	struct {
		uint32_t magic1, extended_size;
		uint64_t features;
		uint32_t size;
	} mark = {.magic1 = FP_XSTATE_MAGIC1, .features = features_used(state), .size = (uint32_t)len};
	uint32_t magic2 = FP_XSTATE_MAGIC2;

	memcpy(to, state->extended, len);
	mark.extended_size = mark.size + (uint32_t)sizeof(magic2);
	memset(to + SW_RESERVED, 0, 48);
	memcpy(to + SW_RESERVED, &mark, sizeof(mark));
	memcpy(to + len, &magic2, sizeof(magic2));
}

size_t pa_arch_frame(uint8_t *out, const struct pa_thread_state *state, uint64_t sp, uint64_t sigreturn, uint64_t *at,
		     uint64_t *entry)
{
	struct {
		uint64_t return_address;
		ucontext_t uc; /* longer than the kernel's: its members lie at the same places */
	} head = {.return_address = sigreturn};
	size_t extended_len = extended_used(state), len;
	uint64_t extended = (sp - extended_len - 64) & ~UINT64_C(63), start;

	start = ((extended - sizeof(head)) & ~UINT64_C(15)) - 8; /* as at the entry of a function */
	len = (size_t)(extended + extended_len + 4 - start);
	if (len > PA_CALL_FRAME_MAX || state->extended_len < 576)
		return 0;
	head.uc.uc_flags = UC_FP_XSTATE | UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS;
	head.uc.uc_stack.ss_flags = NO_SUCH_FLAGS; /* refused, so that the alternate stack stays what it is */
	put_registers(&head.uc, &state->registers.user);
	head.uc.uc_mcontext.fpregs = (fpregset_t)(uintptr_t)extended;
	memcpy(&head.uc.uc_sigmask, &state->sigmask, sizeof(state->sigmask));
	memset(out, 0, len);
	memcpy(out, &head, sizeof(head));
	put_extended(out + (extended - start), state, extended_len);
	*at = *entry = start;
	return len;
}

void pa_arch_enter(struct pa_registers *r, uint64_t function, const uint64_t arguments[PA_CALL_ARGUMENTS], uint64_t sp)
{
	r->user.rip = function;
	r->user.rsp = sp;
	r->user.rdi = arguments[0];
	r->user.rsi = arguments[1];
	r->user.rdx = arguments[2];
	r->user.rax = 0;
	r->user.rbp = 0;
	r->user.orig_rax = (unsigned long long)-1; /* no system call that would be begun again */
	r->user.eflags &= ~(unsigned long long)DIRECTION_AND_TRAP;
}

void pa_arch_enter_kernel(struct pa_registers *r, const struct pa_call_site *site, long number,
			  const uint64_t arguments[6], uint64_t sp)
{
	pa_arch_enter(r, site->syscall_return, arguments, sp);
	r->user.rax = (unsigned long long)number;
	r->user.r10 = arguments[3];
	r->user.r8 = arguments[4];
	r->user.r9 = arguments[5];
}

long pa_arch_call_number(const struct pa_registers *r)
{
	return (long)r->user.orig_rax;
}

int64_t pa_arch_call_result(const struct pa_registers *r)
{
	return (int64_t)r->user.rax;
}
