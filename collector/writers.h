/* Threads that write recordings: a few for all of this process, made when they are needed. A daemon commits hundreds of
 * recordings a second; a thread for each of them was a fifth of what it did. World: plain. */
#ifndef PA_COLLECTOR_WRITERS_H
#define PA_COLLECTOR_WRITERS_H

#include <stdbool.h>

/* Something to be done. It stays where it is until it is done; one is handed over again only then. */
struct pa_writers_job {
	void (*run)(void *arg);
	void *arg;
	struct pa_writers_job *next; /* theirs */
	bool done;                   /* theirs: ask pa_writers_done */
};

/* Hands over a job; jobs begin in the order of their coming. Errors: false: no thread can be had, nothing was begun. */
bool pa_writers_start(struct pa_writers_job *job);
/* Whether it is done: what it wrote can be read. */
bool pa_writers_done(const struct pa_writers_job *job);
void pa_writers_wait(const struct pa_writers_job *job);

#endif
