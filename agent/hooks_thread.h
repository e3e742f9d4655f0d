/* Threads that start and end through libc. World: plain. */
#ifndef PA_AGENT_HOOKS_THREAD_H
#define PA_AGENT_HOOKS_THREAD_H

/* Takes the thread-specific key that tells of a thread's end, while key numbers are still small enough for libc to
 * store a value without allocating. */
void pa_hooks_thread_init(void);

/* The main thread may end before the process does. */
void pa_hooks_thread_watch_main(void);

#endif
