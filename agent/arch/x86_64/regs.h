/* x86-64: raw system call, registers of a signal frame, DWARF register numbers. World: signal. */
#ifndef PA_AGENT_ARCH_X86_64_REGS_H
#define PA_AGENT_ARCH_X86_64_REGS_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>

#include "agent/arch/behind.h"

#define PA_ARCH_NR_REGS    17 /* rax rdx rcx rbx rsi rdi rbp rsp r8..r15 rip: DWARF order */
#define PA_ARCH_DWARF_FP   6
#define PA_ARCH_DWARF_SP   7
#define PA_ARCH_DWARF_RA   16
#define PA_ARCH_RED_ZONE   128
#define PA_ARCH_VDSO_CLOCK "__vdso_clock_gettime"
#define PA_ARCH_LIBC_FIRST "GLIBC_2.2.5" /* symbol version of glibc's first release here */
#define PA_ARCH_MACHINE    62
#define PA_ARCH_VA_BITS    47 /* user addresses have no higher bit */
#define PA_ARCH_PC_SHIFT   0  /* low bits of a pc that say nothing */

#define PA_SYS_EPOLL_PWAIT2 441 /* newer than the oldest headers in use */

static inline long pa_arch_syscall(long n, long a, long b, long c, long d, long e, long f)
{
	long ret;
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;

	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return ret;
}

/* One register of a context by its DWARF number, < PA_ARCH_NR_REGS. */
static inline uint64_t pa_arch_reg(const ucontext_t *uc, unsigned reg)
{
	static const uint8_t order[PA_ARCH_NR_REGS] = {
	    REG_RAX, REG_RDX, REG_RCX, REG_RBX, REG_RSI, REG_RDI, REG_RBP, REG_RSP, REG_R8,
	    REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15, REG_RIP,
	};

	return (uint64_t)uc->uc_mcontext.gregs[order[reg]];
}

/* All registers of the interrupted context in DWARF order. regs has PA_ARCH_NR_REGS entries. */
static inline void pa_arch_regs(const ucontext_t *uc, uint64_t *regs)
{
	for (unsigned i = 0; i < PA_ARCH_NR_REGS; i++)
		regs[i] = pa_arch_reg(uc, i);
}

static inline uint64_t pa_arch_pc(const ucontext_t *uc)
{
	return (uint64_t)uc->uc_mcontext.gregs[REG_RIP];
}

static inline uint64_t pa_arch_sp(const ucontext_t *uc)
{
	return (uint64_t)uc->uc_mcontext.gregs[REG_RSP];
}

static inline uint64_t pa_arch_fp(const ucontext_t *uc)
{
	return (uint64_t)uc->uc_mcontext.gregs[REG_RBP];
}

/* Which system call the pc stands just behind. The bytes are read only when their page answers. */
static inline enum pa_arch_behind pa_arch_behind_call(const ucontext_t *uc)
{
	uint64_t pc = pa_arch_pc(uc);
	const uint8_t *code = (const uint8_t *)pc;
	uint32_t nr;

	if (pa_arch_syscall(SYS_rt_sigprocmask, -1, (long)(pc - 7), 0, 8, 0, 0) != -22 || code[-2] != 0x0f ||
	    code[-1] != 0x05)
		return PA_BEHIND_NOTHING;
	memcpy(&nr, code - 6, sizeof(nr));
	return code[-7] == 0xb8 && nr == SYS_rt_sigprocmask ? PA_BEHIND_SIGMASK : PA_BEHIND_CALL;
}

/* A wait that a signal of ours has ended with EINTR, which the kernel restarts for no handler, begins again: as if the
 * signal had come just before it. What is left of its time the kernel has told (where it does; poll and epoll_wait
 * begin with all of theirs). Its number stands in the instruction before; its arguments are in the registers still.
 * Source: signal(7), "Interruption of system calls"; not connect and close, which are not the same the second time. */
static inline void pa_arch_wait_again(ucontext_t *uc)
{
	greg_t *regs = uc->uc_mcontext.gregs;
	const uint8_t *code = (const uint8_t *)pa_arch_pc(uc);
	uint32_t nr;

	if (regs[REG_RAX] != -4 /* EINTR */ || pa_arch_behind_call(uc) != PA_BEHIND_CALL || code[-7] != 0xb8)
		return;
	memcpy(&nr, code - 6, sizeof(nr));
	switch (nr) {
	case SYS_nanosleep:
		regs[REG_RDI] = regs[REG_RSI] ? regs[REG_RSI] : regs[REG_RDI];
		break;
	case SYS_clock_nanosleep:
		regs[REG_RDX] = regs[REG_RSI] == 0 && regs[REG_R10] ? regs[REG_R10] : regs[REG_RDX];
		break;
	case SYS_poll:
	case SYS_ppoll:
	case SYS_select:
	case SYS_pselect6:
	case SYS_epoll_wait:
	case SYS_epoll_pwait:
	case PA_SYS_EPOLL_PWAIT2:
	case SYS_futex:
	case SYS_pause:
	case SYS_rt_sigsuspend:
	case SYS_rt_sigtimedwait:
	case SYS_semop:
	case SYS_semtimedop:
	case SYS_msgrcv:
	case SYS_msgsnd:
	case SYS_accept:
	case SYS_accept4:
	case SYS_recvfrom:
	case SYS_recvmsg:
	case SYS_io_getevents:
		break;
	default:
		return;
	}
	regs[REG_RAX] = (greg_t)nr;
	regs[REG_RIP] -= 2;
}

/* clone() of a process that runs fn(arg) on its own stack and exits with 0; flags carry no exit signal. With
 * CLONE_VFORK it returns after the helper is gone. Returns its pid or -errno. */
static inline long pa_arch_clone_helper(unsigned long flags, void *stack_top, int (*fn)(void *), void *arg)
{
	long ret;
	register long r10 __asm__("r10") = 0;
	register long r8 __asm__("r8") = 0;
	register void *r12 __asm__("r12") = arg;
	register int (*r13)(void *) __asm__("r13") = fn;

	__asm__ volatile("syscall\n\t"
			 "test %%rax, %%rax\n\t"
			 "jnz 1f\n\t"
			 "xor %%ebp, %%ebp\n\t"
			 "mov %%r12, %%rdi\n\t"
			 "call *%%r13\n\t"
			 "xor %%edi, %%edi\n\t"
			 "mov %[exit], %%eax\n\t"
			 "syscall\n\t"
			 "hlt\n"
			 "1:"
			 : "=a"(ret)
			 : "a"(SYS_clone), "D"(flags), "S"((uintptr_t)stack_top & ~15ul), "d"(0), "r"(r10), "r"(r8),
			   "r"(r12), "r"(r13), [exit] "i"(SYS_exit)
			 : "rcx", "r11", "memory", "cc");
	return ret;
}

#endif
