/* Threads that start and end through libc. World: plain. */
#ifndef PA_AGENT_HOOKS_THREAD_H
#define PA_AGENT_HOOKS_THREAD_H

#include <stdbool.h>

/* Takes the thread-specific key that tells of a thread's end, while key numbers are still small enough for libc to
 * store a value without allocating. */
void pa_hooks_thread_init(void);

/* The end of the calling thread will be told of; so far it is one that was not seen to start. False: it will not.
 * World: hook. */
bool pa_hooks_thread_watch_hook(void);

#endif
