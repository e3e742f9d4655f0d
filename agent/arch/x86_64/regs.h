/* x86-64: raw system call, registers of a signal frame, DWARF register numbers. World: signal. */
#ifndef PA_AGENT_ARCH_X86_64_REGS_H
#define PA_AGENT_ARCH_X86_64_REGS_H

#include <stdint.h>
#include <ucontext.h>

#define PA_ARCH_NR_REGS 17 /* rax rdx rcx rbx rsi rdi rbp rsp r8..r15 rip: DWARF order */
#define PA_ARCH_DWARF_FP 6
#define PA_ARCH_DWARF_SP 7
#define PA_ARCH_DWARF_RA 16
#define PA_ARCH_RED_ZONE 128
#define PA_ARCH_MACHINE 62

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

/* All registers of the interrupted context in DWARF order. regs has PA_ARCH_NR_REGS entries. */
static inline void pa_arch_regs(const ucontext_t *uc, uint64_t *regs)
{
	static const uint8_t order[PA_ARCH_NR_REGS] = {
		REG_RAX, REG_RDX, REG_RCX, REG_RBX, REG_RSI, REG_RDI, REG_RBP, REG_RSP, REG_R8,
		REG_R9,	 REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15, REG_RIP,
	};

	for (unsigned i = 0; i < PA_ARCH_NR_REGS; i++)
		regs[i] = (uint64_t)uc->uc_mcontext.gregs[order[i]];
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

#endif
