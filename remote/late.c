#include "remote/late.h"

#include <errno.h>

#include "collector/proc.h"

#define PAUSE_NS  20000000u /* an agent that gave up waiting is soon one that can be asked */
#define TRIES_MAX 250

/* Whether it is over. */
static bool step(struct pa_late *l, size_t i)
{
	const struct pa_agent_request request = {PA_COMMAND_ATTACH, 0, l->socket};
	char why[PA_AGENT_WHY];
	struct pa_agent agent;
	int err;

	if (l->list[i].tries++ == TRIES_MAX)
		return true; /* a request stays: it is taken when the process wakes up */
	if (l->list[i].asked) {
		err = pa_agent_step(&l->list[i].agent);
		/* late again */
		l->list[i].asked = err != -ETIMEDOUT;
		return err != -EINPROGRESS && err != -ETIMEDOUT;
	}
	err = pa_agent_find(l->list[i].agent.pid, &agent, why, sizeof(why));
	if (!err)
		err = pa_agent_request(&agent, &request, why, sizeof(why));
	l->list[i].asked = !err;
	if (!err)
		l->list[i].agent = agent;
	return err && err != -EAGAIN;
}

static void on_timer(struct pa_timer *timer)
{
	struct pa_late *l = timer->arg;

	for (size_t i = 0; i < l->nr;) {
		if (step(l, i))
			l->list[i] = l->list[--l->nr];
		else
			i++;
	}
	if (l->nr)
		pa_loop_arm(l->loop, timer, PAUSE_NS);
}

void pa_late_init(struct pa_late *l, struct pa_loop *loop, const char *socket)
{
	*l = (struct pa_late){.loop = loop, .socket = socket, .timer = {.fn = on_timer, .arg = l}};
}

void pa_late_fini(struct pa_late *l)
{
	if (l->loop)
		pa_loop_disarm(l->loop, &l->timer);
	l->nr = 0;
}

void pa_late_come(struct pa_late *l, uint32_t pid, uint32_t uid, bool claimed)
{
	struct pa_proc_status status;

	/* the number may be the client's own word, and another process's by now */
	if (!l->loop || l->nr == PA_LATE_MAX || pa_proc_status(pid, &status) || status.uid != uid ||
	    (claimed && status.inner_pid != pid))
		return;
	l->list[l->nr].agent = (struct pa_agent){.pid = (pid_t)pid};
	l->list[l->nr].tries = 0;
	l->list[l->nr++].asked = false;
	if (!l->timer.on)
		pa_loop_arm(l->loop, &l->timer, PAUSE_NS);
}
