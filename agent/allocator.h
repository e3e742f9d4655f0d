/* Whether allocations come by our hooks at all. World: plain (constructor). */
#ifndef PA_AGENT_ALLOCATOR_H
#define PA_AGENT_ALLOCATOR_H

#include <stdbool.h>

/* Whether an object in front of ours in the order of symbol look-up defines malloc: the executable, or a library
 * preloaded before us. An executable that is not position independent and takes malloc's address has a symbol of that
 * name without defining it (its PLT entry, which leads to us): dlsym would take that for a definition. */
bool pa_allocator_is_in_front(void);

#endif
