#include "tools/detach.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "collector/loop.h"

static int keep(struct pa_detaching *d, const struct pa_agent *agent)
{
	if (d->nr == d->max) {
		size_t max = d->max ? 2 * d->max : 16;
		struct pa_agent *agents = reallocarray(d->agents, max, sizeof(*agents));

		if (!agents)
			return -ENOMEM;
		d->agents = agents;
		d->max = max;
	}
	d->agents[d->nr++] = *agent;
	return 0;
}

int pa_detaching_add(struct pa_detaching *d, pid_t pid, const char *path, char *why, size_t size)
{
	const struct pa_agent_request request = {.kind = PA_COMMAND_DETACH};
	struct pa_agent_info info;
	struct pa_agent agent;
	int err = pa_agent_find(pid, &agent, why, size);

	if (!err && path) {
		err = pa_agent_read(&agent, &info);
		if (!err && (info.state != PA_AGENT_ATTACHED || strcmp(info.session_path, path) != 0))
			return 0;
	}
	if (!err)
		err = pa_agent_request(&agent, &request, why, size);
	return err ? err : keep(d, &agent);
}

size_t pa_detaching_wait(struct pa_detaching *d, uint64_t limit_ns)
{
	uint64_t until = pa_now_ns() + limit_ns;
	const struct timespec pause = {.tv_nsec = (long)PA_AGENT_STEP_NS};

	for (;;) {
		size_t left = 0;

		for (size_t i = 0; i < d->nr; i++)
			if (pa_agent_step(&d->agents[i]) == -EINPROGRESS)
				d->agents[left++] = d->agents[i];
		d->nr = left;
		if (!left || pa_now_ns() >= until)
			return left;
		nanosleep(&pause, NULL);
	}
}

void pa_detaching_fini(struct pa_detaching *d)
{
	free(d->agents);
	*d = (struct pa_detaching){0};
}
