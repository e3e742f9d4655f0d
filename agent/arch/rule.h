/* Chooses the architecture's form of a packed rule. */
#ifndef PA_AGENT_ARCH_RULE_H
#define PA_AGENT_ARCH_RULE_H

#if defined(__x86_64__)
#include "agent/arch/x86_64/rule.h"
#elif defined(__aarch64__)
#include "agent/arch/aarch64/rule.h"
#else
#error "no folder in agent/arch for this architecture"
#endif

#endif
