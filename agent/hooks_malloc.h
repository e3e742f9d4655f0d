/* What the allocation hooks share: the way around a real call whose allocation counts. Fast ways stand in the hooks
 * themselves; these are for calls that happen seldom, or cost more anyway.
 *
 * The hook proper has a frame of its own (PA_HEAP_CALLER), reached by a jump, so that its caller is the host: these
 * files are compiled with optimisation in every build. World: hook. */
#ifndef PA_AGENT_HOOKS_MALLOC_H
#define PA_AGENT_HOOKS_MALLOC_H

#include "agent/arch/word.h"
#include "agent/bootstrap_hook.h"
#include "agent/command_hook.h"
#include "agent/heap_hook.h"
#include "agent/real.h"
#include "agent/slots_sig.h"
#include "agent/thread.h"

#define PA_COLD  __attribute__((noinline, noclone, cold))
#define PA_ASIDE __attribute__((noinline, noclone)) /* as well, but not seldom: exact mode comes this way each time */
#ifdef __clang__
#undef PA_COLD
#undef PA_ASIDE
#define PA_COLD  __attribute__((noinline, cold))
#define PA_ASIDE __attribute__((noinline))
#endif
#define PA_LIKELY(x) __builtin_expect(!!(x), 1)

/* The real function once the constructor has looked for it. */
#define PA_NEXT(name) ((__typeof__(&name))pa_load_relaxed(&pa_real_table[PA_REAL_##name]))

_Static_assert(PA_HEAP_OFF == 0, "off is what is looked at first");

static inline bool pa_heap_off(void)
{
	return PA_LIKELY(pa_arch_is_zero(&pa_heap_mode));
}

/* malloc(0) is an allocation, and counts as one byte. */
static inline uint64_t pa_heap_weight(size_t size)
{
	return size + (size == 0);
}

struct pa_alloc_call {
	uint32_t mode;
	uint64_t left; /* what real functions that call hooks of ours take of it is given back */
};

/* Something of ours is interrupted: what the interrupter does is not recorded, but counted. */
static inline void pa_heap_passed(void)
{
	if (pa_tls.in_hook & (PA_HOOK_IN_REAL - 1))
		pa_add_relaxed(&pa_mapping.control->heap_unrecorded, 1);
}

/* Before a real call. False: it is not to be recorded. */
static inline __attribute__((always_inline)) bool pa_alloc_enter(struct pa_alloc_call *call)
{
	call->mode = pa_load_relaxed(&pa_heap_mode);
	if (__builtin_expect(call->mode > PA_HEAP_EARLY, 0))
		call->mode = pa_command_hook();
	if (call->mode != PA_HEAP_SAMPLED && call->mode != PA_HEAP_EXACT)
		return false;
	if (pa_tls.in_hook && !pa_heap_resume_hook(__builtin_frame_address(0))) {
		pa_heap_passed();
		return false;
	}
	call->left = pa_tls.heap_left;
	pa_hook_begin(PA_HOOK_IN_REAL);
	return true;
}

/* After it. */
static inline void pa_alloc_leave(const struct pa_alloc_call *call)
{
	pa_tls.heap_left = call->left;
	pa_tls.in_hook -= PA_HOOK_IN_REAL;
}

/* An allocation counts: p NULL: it failed. */
static inline void pa_alloc_count(const struct pa_alloc_call *call, const void *p, size_t size,
				  const struct pa_caller *caller)
{
	if (!p)
		return;
	if (call->mode == PA_HEAP_SAMPLED && pa_heap_weight(size) < pa_tls.heap_left) {
		pa_tls.heap_left -= pa_heap_weight(size);
		return;
	}
	pa_hook_begin(1);
	if (call->mode == PA_HEAP_SAMPLED)
		pa_sampled_alloc_hook(p, size, caller);
	else
		pa_exact_alloc_hook(p, size, caller);
	pa_tls.in_hook--;
}

#endif
