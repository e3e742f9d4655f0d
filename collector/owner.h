/* Whose a file is. A daemon of root's writes each user's recordings with that user's rights on files, and with no more:
 * the directory is the user's own, so any name in it may be a trap. World: plain. */
#ifndef PA_COLLECTOR_OWNER_H
#define PA_COLLECTOR_OWNER_H

#include <stdbool.h>
#include <stdint.h>

struct pa_owner {
	bool other; /* than who we are; false: nothing is done */
	uint32_t uid, gid;
};

/* Makes this thread open, create and remove files as the owner; false: it could not (CAP_SETUID, CAP_SETGID).
 * Every true is followed by pa_owner_leave in the same thread; not to be nested.
 * Source: setfsuid(2): of one thread, and it takes the capabilities on files along. */
bool pa_owner_enter(const struct pa_owner *o);
void pa_owner_leave(const struct pa_owner *o);

#endif
