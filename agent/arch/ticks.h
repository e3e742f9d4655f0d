/* Chooses the architecture's counter. */
#ifndef PA_AGENT_ARCH_TICKS_H
#define PA_AGENT_ARCH_TICKS_H

#if defined(__x86_64__)
#include "agent/arch/x86_64/ticks.h"
#elif defined(__aarch64__)
#include "agent/arch/aarch64/ticks.h"
#else
#error "no folder in agent/arch for this architecture"
#endif

#endif
