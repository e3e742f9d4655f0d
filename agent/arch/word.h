/* See ARCH/word.h. */
#ifndef PA_AGENT_ARCH_WORD_H
#define PA_AGENT_ARCH_WORD_H

#if defined(__x86_64__)
#include "agent/arch/x86_64/word.h"
#elif defined(__aarch64__)
#include "agent/arch/aarch64/word.h"
#endif

#endif
