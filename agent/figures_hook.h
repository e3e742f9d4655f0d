/* What the C library says of its heap: mallinfo2, now and then. It takes the lock of every arena in turn, so it is
 * asked only where none of them can be held further down on this thread's stack: right after a real allocation that
 * goes past the thread's cache has returned, and not inside a signal handler. World: hook. */
#ifndef PA_AGENT_FIGURES_HOOK_H
#define PA_AGENT_FIGURES_HOOK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/thread.h"

/* An allocation of more bytes than this is not served by a thread's cache (tcache). Source: glibc, MAX_TCACHE_SIZE. */
#define PA_FIGURES_SIZE 1032

/* Whether the next malloc in line is the C library's, and its mallinfo2 there. World: plain. */
void pa_figures_init(void);

/* Asks and writes HEAP_FIGURES into the block's hook ring, if it is time: once a second, and at most a thousandth of
 * the time. The caller holds pa_tls.in_hook, and a real allocation of more than PA_FIGURES_SIZE bytes has just
 * returned. */
void pa_figures_maybe_hook(struct pa_block *block, uint64_t now_ns);

/* In a forked child. unlocked: libc's fork made it, which leaves no arena locked. Any other way may have copied locks
 * that another thread held, and with them nothing is asked. World: hook. */
void pa_figures_forked_hook(bool unlocked);

#endif
