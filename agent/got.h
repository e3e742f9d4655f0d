/* Putting the agent's functions in front of libc's in a program that runs already: every loaded module has a table of
 * slots through which it calls other modules' functions, and slots of functions that the agent has, too, are made to
 * lead to the agent's. Modules that are loaded later keep calling libc until the next order. World: plain, on a thread
 * that is nowhere near a lock of libc's (remote/safe.h). */
#ifndef PA_AGENT_GOT_H
#define PA_AGENT_GOT_H

#include <stdbool.h>

#include "common/inject.h"

/* Whether libc was loaded before us: whoever calls a function that both have gets libc's. World: plain (constructor).
 */
bool pa_got_came_late(void);

/* Works off an order; called from outside. The agent's own functions are found in its dynamic symbols: what it exports
 * is what it stands in front of. */
void pa_got_enter(struct pa_inject_order *order);

#endif
