/* aarch64: the virtual counter, which the kernel keeps time by. World: signal. */
#ifndef PA_AGENT_ARCH_AARCH64_TICKS_H
#define PA_AGENT_ARCH_AARCH64_TICKS_H

#include <stdint.h>

/* Without isb, as on x86-64: it may run ahead of loads before it. */
static inline uint64_t pa_arch_ticks(void)
{
	uint64_t ticks;

	__asm__ volatile("mrs %0, cntvct_el0" : "=r"(ticks));
	return ticks;
}

#endif
