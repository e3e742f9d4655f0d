/* Chooses the architecture's folder; every folder has the same file names. */
#ifndef PA_AGENT_ARCH_H
#define PA_AGENT_ARCH_H

#if defined(__x86_64__)
#include "agent/arch/x86_64/regs.h"
#elif defined(__aarch64__)
#include "agent/arch/aarch64/regs.h"
#else
#error "no folder in agent/arch for this architecture"
#endif

#endif
