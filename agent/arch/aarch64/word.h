/* Looking at one word. World: signal. */
#ifndef PA_AGENT_ARCH_AARCH64_WORD_H
#define PA_AGENT_ARCH_AARCH64_WORD_H

#include <stdbool.h>
#include <stdint.h>

#include "common/atomics.h"

/* As a relaxed load compared with 0. */
static inline bool pa_arch_is_zero(const _Atomic uint32_t *word)
{
	return pa_load_relaxed(word) == 0;
}

#endif
