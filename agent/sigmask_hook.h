/* Arithmetic of virtual signal masks: what goes to the kernel and what the host believes. Pure functions on words in
 * the kernel's format (bit n-1 is signal n). World: hook. */
#ifndef PA_AGENT_SIGMASK_HOOK_H
#define PA_AGENT_SIGMASK_HOOK_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

struct pa_sigmask_plan {
	uint64_t kernel; /* the set to call with */
	uint64_t belief; /* what the host believes blocked of the filtered signals after a call that succeeds */
};

/* Plans a change of a thread's mask.
 * Shapes: belief is a part of filtered. pinned: the filtered signals must stay as they are in the kernel, whatever that
 * is for BLOCK and UNBLOCK, blocked for SETMASK (the thread runs on an alternate stack, F4).
 * Errors: none; a `how` that is none leaves set and belief as they are: the kernel refuses it. */
struct pa_sigmask_plan pa_sigmask_plan_hook(int how, uint64_t set, uint64_t filtered, uint64_t belief, bool pinned);

/* Whether a set somebody waits for is "everything", not an interest in a single real-time signal. */
bool pa_sigmask_all_realtime_hook(uint64_t set);

/* The first word of libc's sigset_t is the kernel's mask. */
static inline uint64_t pa_sigset_get(const sigset_t *set)
{
	uint64_t mask;

	memcpy(&mask, set, sizeof(mask));
	return mask;
}

static inline void pa_sigset_put(sigset_t *set, uint64_t mask)
{
	memcpy(set, &mask, sizeof(mask));
}

#endif
