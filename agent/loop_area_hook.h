/* Where the loops of threads are kept: cells of one mapping, one for each thread that waits as a loop would. What a
 * block points to is believed only as long as the cell points back and is of this session and this process.
 * World: hook. */
#ifndef PA_AGENT_LOOP_AREA_HOOK_H
#define PA_AGENT_LOOP_AREA_HOOK_H

#include <stdbool.h>

#include "agent/loop_hook.h"
#include "agent/thread.h"

#define PA_LOOP_CELLS 1024

/* A new session: nothing is known of any thread's loops. Errors: -errno: no memory. World: signal. */
int pa_loop_area_start_sig(void);

/* A forked child: the same, without a system call. World: signal. */
void pa_loop_area_forget_sig(void);

/* The loops of a thread. make: takes a cell for a thread that has none. NULL: none, or all are taken. */
struct pa_loops *pa_loop_area_of_hook(struct pa_block *block, bool make);

/* The thread's cell is for others. Idempotent. */
void pa_loop_area_release_hook(struct pa_block *block);

#endif
