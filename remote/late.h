/* Agents that came by themselves, and did not wait for the answer: at its start an agent's patience is 20 ms, and on a
 * busy machine that is over before it is our turn. They are asked to come once more. World: plain. */
#ifndef PA_REMOTE_LATE_H
#define PA_REMOTE_LATE_H

#include <stdbool.h>
#include <stddef.h>

#include "collector/loop.h"
#include "remote/agent.h"

#define PA_LATE_MAX 64 /* at a time; more go without, as all did that have no collector */

struct pa_late {
	struct pa_loop *loop;
	const char *socket; /* where they find us */
	struct pa_timer timer;
	struct {
		struct pa_agent agent;
		unsigned tries;
		bool asked;
	} list[PA_LATE_MAX];
	size_t nr;
};

/* The socket's name has to stay. */
void pa_late_init(struct pa_late *l, struct pa_loop *loop, const char *socket);
void pa_late_fini(struct pa_late *l);

/* That process, if it is the user's, is asked as soon as its agent can be. claimed: the number is what the client says
 * itself: nobody of another pid namespace can be meant by it. */
void pa_late_come(struct pa_late *l, uint32_t pid, uint32_t uid, bool claimed);

#endif
