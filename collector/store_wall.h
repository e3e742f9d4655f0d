/* Stacks of threads that waited, in a recording: what wall.c writes and a report reads. World: plain. */
#ifndef PA_COLLECTOR_STORE_WALL_H
#define PA_COLLECTOR_STORE_WALL_H

#include <stdint.h>

#include "collector/store.h"

struct pa_store_wall {
	uint32_t id; /* from 1 */
	uint32_t process;
	uint32_t thread; /* 0: not known */
	uint32_t stack;
	uint64_t looks; /* how often it was seen there */
	uint64_t ns;    /* time these stand for */
};

/* As in store.h; replaces the row of the same id. */
int pa_store_put_wall(struct pa_store *s, const struct pa_store_wall *w);
int pa_recording_walls(struct pa_recording *r, int (*fn)(void *arg, const struct pa_store_wall *w), void *arg);

#endif
