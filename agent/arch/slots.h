/* Chooses the architecture's relocations. */
#ifndef PA_AGENT_ARCH_SLOTS_H
#define PA_AGENT_ARCH_SLOTS_H

#if defined(__x86_64__)
#include "agent/arch/x86_64/slots.h"
#elif defined(__aarch64__)
#include "agent/arch/aarch64/slots.h"
#endif

#endif
