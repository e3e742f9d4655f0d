/* The reference unwinder (PERFAGENT_UNWINDER): a second library loaded on request that walks with libunwind. The agent
 * holds nothing of it but one pointer. World: plain to load; the pointer is called in the signal world. */
#ifndef PA_AGENT_REFERENCE_H
#define PA_AGENT_REFERENCE_H

#include <stddef.h>
#include <stdint.h>
#include <ucontext.h>

/* Walks from an interrupted context into frames (encoding of struct pa_sample), at most max; returns how many and sets
 * *stop (enum pa_stop). */
typedef size_t pa_reference_walk_fn(const ucontext_t *uc, uint64_t *frames, size_t max, uint16_t *stop);

enum pa_unwinder {
	PA_UNWINDER_OWN = 0,
	PA_UNWINDER_REFERENCE = 1,
	PA_UNWINDER_COMPARE = 2,
};

extern enum pa_unwinder pa_unwinder;
extern pa_reference_walk_fn *pa_reference_walk;
extern void (*pa_reference_flush)(void); /* after dlclose; NULL without the engine */

/* Loads libperfagent-unwind.so from beside libperfagent.so when the variable's value asks for it. Errors: -ENOENT no
 * such library or no libunwind: the agent's own walker is used, HELLO says so; -EINVAL: unknown value, likewise. */
int pa_reference_init(const char *wanted);

#endif
