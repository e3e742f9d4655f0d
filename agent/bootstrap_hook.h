/* Memory for who asks before the real functions can be found: resolvers of indirect functions, which run while the
 * agent itself is not relocated yet, and the loader when a look-up of ours makes it allocate. Handed out once, never
 * used again; recognised by address for ever. Nothing here needs a relocation or thread-local storage.
 * World: hook. */
#ifndef PA_AGENT_BOOTSTRAP_HOOK_H
#define PA_AGENT_BOOTSTRAP_HOOK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/real.h"

/* The real function, or NULL: it is being looked for (by this very thread, further down, or another), or cannot be
 * found yet. */
void *pa_bootstrap_real_hook(enum pa_real_name name);

/* While on, pa_bootstrap_real_hook finds nothing: what the loader allocates for our look-ups is not the host's. */
void pa_bootstrap_hold_hook(bool on);

/* Zeroed memory. Shapes: align a power of two, at most 4096 rounded up to 16. Errors: NULL: no memory. */
void *pa_bootstrap_alloc_hook(size_t align, size_t bytes);

/* Whether p was handed out here. */
bool pa_bootstrap_owns_hook(const void *p);
/* Bytes asked for, of a p that was. */
size_t pa_bootstrap_size_hook(const void *p);
/* p will not be used any more. */
void pa_bootstrap_free_hook(const void *p);

/* Whether anything handed out may still be in use. */
bool pa_bootstrap_live_sig(void);
/* Calls fn for each range of addresses handed out so far. */
void pa_bootstrap_each_hook(void (*fn)(uintptr_t start, size_t bytes));

#endif
