/* aarch64: raw system call, registers of a signal frame, DWARF register numbers. World: signal. */
#ifndef PA_AGENT_ARCH_AARCH64_REGS_H
#define PA_AGENT_ARCH_AARCH64_REGS_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>

#include "agent/arch/behind.h"

#define PA_ARCH_NR_REGS    33 /* x0..x30 sp pc; DWARF numbers x0..x30 and sp, pc comes last as a slot of our own */
#define PA_ARCH_DWARF_FP   29
#define PA_ARCH_DWARF_SP   31
#define PA_ARCH_DWARF_RA   30
#define PA_ARCH_RED_ZONE   0
#define PA_ARCH_VDSO_CLOCK "__kernel_clock_gettime"
#define PA_ARCH_LIBC_FIRST "GLIBC_2.17" /* symbol version of glibc's first release here */
#define PA_ARCH_MACHINE    183
#define PA_ARCH_VA_BITS    48 /* user addresses have no higher bit */
#define PA_ARCH_PC_SHIFT   2  /* low bits of a pc that say nothing */

static inline long pa_arch_syscall(long n, long a, long b, long c, long d, long e, long f)
{
	register long x8 __asm__("x8") = n;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	register long x4 __asm__("x4") = e;
	register long x5 __asm__("x5") = f;

	__asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory", "cc");
	return x0;
}

/* One register of a context by its number above, < PA_ARCH_NR_REGS. */
static inline uint64_t pa_arch_reg(const ucontext_t *uc, unsigned reg)
{
	if (reg == PA_ARCH_NR_REGS - 1)
		return uc->uc_mcontext.pc;
	return reg == PA_ARCH_DWARF_SP ? uc->uc_mcontext.sp : uc->uc_mcontext.regs[reg];
}

/* All registers of the interrupted context. regs has PA_ARCH_NR_REGS entries. */
static inline void pa_arch_regs(const ucontext_t *uc, uint64_t *regs)
{
	for (unsigned i = 0; i < PA_ARCH_NR_REGS; i++)
		regs[i] = pa_arch_reg(uc, i);
}

static inline uint64_t pa_arch_pc(const ucontext_t *uc)
{
	return uc->uc_mcontext.pc;
}

static inline uint64_t pa_arch_sp(const ucontext_t *uc)
{
	return uc->uc_mcontext.sp;
}

static inline uint64_t pa_arch_fp(const ucontext_t *uc)
{
	return uc->uc_mcontext.regs[29];
}

/* Which system call the pc stands just behind; x8 still holds its number. The bytes are read only when their page
 * answers. */
static inline enum pa_arch_behind pa_arch_behind_call(const ucontext_t *uc)
{
	uint64_t pc = pa_arch_pc(uc);
	uint32_t code;

	if (pa_arch_syscall(SYS_rt_sigprocmask, -1, (long)(pc - 4), 0, 8, 0, 0) != -22)
		return PA_BEHIND_NOTHING;
	memcpy(&code, (const void *)(pc - 4), sizeof(code));
	if (code != 0xd4000001u)
		return PA_BEHIND_NOTHING;
	return uc->uc_mcontext.regs[8] == SYS_rt_sigprocmask ? PA_BEHIND_SIGMASK : PA_BEHIND_CALL;
}

/* On x86-64 a wait that a signal of ours ended begins again. Here its first argument is gone: the result is there. */
static inline void pa_arch_wait_again(ucontext_t *uc)
{
	(void)uc;
}

/* clone() of a process that runs fn(arg) on its own stack and exits with 0; flags carry no exit signal. With
 * CLONE_VFORK it returns after the helper is gone. Returns its pid or -errno. */
static inline long pa_arch_clone_helper(unsigned long flags, void *stack_top, int (*fn)(void *), void *arg)
{
	register long x8 __asm__("x8") = SYS_clone;
	register long x0 __asm__("x0") = (long)flags;
	register long x1 __asm__("x1") = (long)((uintptr_t)stack_top & ~15ul);
	register long x2 __asm__("x2") = 0;
	register long x3 __asm__("x3") = 0;
	register long x4 __asm__("x4") = 0;
	register void *x19 __asm__("x19") = arg;
	register int (*x20)(void *) __asm__("x20") = fn;

	__asm__ volatile("svc 0\n\t"
			 "cbnz x0, 1f\n\t"
			 "mov x29, xzr\n\t"
			 "mov x0, x19\n\t"
			 "blr x20\n\t"
			 "mov x0, xzr\n\t"
			 "mov x8, %[exit]\n\t"
			 "svc 0\n"
			 "1:"
			 : "+r"(x0)
			 : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x19), "r"(x20), [exit] "i"(SYS_exit)
			 : "memory", "cc");
	return x0;
}

#endif
