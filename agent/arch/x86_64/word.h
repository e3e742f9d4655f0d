/* Looking at one word without taking it into a register: of what a hook costs while nothing is recorded, it is a fourth.
 * World: signal. */
#ifndef PA_AGENT_ARCH_X86_64_WORD_H
#define PA_AGENT_ARCH_X86_64_WORD_H

#include <stdbool.h>
#include <stdint.h>

/* As a relaxed load compared with 0. */
static inline bool pa_arch_is_zero(const _Atomic uint32_t *word)
{
	bool zero;

	__asm__("cmpl $0, %1" : "=@ccz"(zero) : "m"(*(const uint32_t *)word));
	return zero;
}

#endif
