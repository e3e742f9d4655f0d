/* Where hooks meet a request of a collector's (common/command.h). World: hook. */
#ifndef PA_AGENT_COMMAND_HOOK_H
#define PA_AGENT_COMMAND_HOOK_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/heap_hook.h"
#include "common/atomics.h"

/* pa_heap_mode says that there is something to do: does it, unless this hook is inside another one's work, or another
 * thread is at it. Returns the mode the hook is to act by: none above PA_HEAP_EARLY. errno stays. */
uint32_t pa_command_hook(void);

/* The same for hooks to which the mode is nothing. */
static inline void pa_command_look_hook(void)
{
	if (__builtin_expect(pa_load_relaxed(&pa_heap_mode) > PA_HEAP_EARLY, 0))
		pa_command_hook();
}

/* Whether the collector has ended the session; then it is given back. Shapes: busy: of this thread, NULL: none; it is
 * cleared first. */
bool pa_command_session_ended_hook(_Atomic uint32_t *busy);

#endif
