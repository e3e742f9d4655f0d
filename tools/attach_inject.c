#include "tools/attach_inject.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "remote/agent.h"
#include "tools/detach.h"
#include "tools/options.h"
#include "tools/record_run.h"

#define MS      1e6
#define UNDO_NS UINT64_C(1000000000) /* for a process that runs; one that sleeps does it when it wakes up */

bool pa_attach_inject(struct pa_attach_inject *a, pid_t pid, const char *subject)
{
	int error;

	a->hooked = false;
	if (pa_record_library(a->library, sizeof(a->library))) {
		pa_fail("libperfagent.so", "it is neither beside perfagent nor in %s", a->library);
		return false;
	}
	a->injection = (struct pa_injection){.pid = pid, .library = a->library, .order = PA_INJECT_HOOK};
	error = pa_inject_library(&a->injection);
	if (error == -EALREADY)
		return true;
	if (error) {
		pa_fail(subject, "%s", a->injection.why);
		return false;
	}
	a->hooked = true;
	return true;
}

void pa_attach_inject_tell(const struct pa_attach_inject *a, struct pa_recorder *recorder, bool quiet)
{
	const struct pa_injection *in = &a->injection;
	char text[512];

	if (!a->hooked)
		return;
	snprintf(text, sizeof(text),
		 "the agent was injected: all threads stood still for %.1f ms (%u %s, the longest %.1f ms), thread %d "
		 "was kept for %.1f ms; %" PRIu32 " slots of %" PRIu32 " modules lead to it%s",
		 (double)in->pause_sum_ns / MS, in->tries + 1, in->tries ? "stops" : "stop",
		 (double)in->pause_max_ns / MS, (int)in->tid, (double)in->called_ns / MS,
		 in->answer.hooked + in->answer.before, in->answer.modules,
		 in->answer.refused ? "; some could not be written" : "");
	pa_recorder_note(recorder, text);
	if (!quiet && isatty(STDERR_FILENO))
		fprintf(stderr, "perfagent: %s\n", text);
}

static bool is_used(const struct pa_attach_inject *a)
{
	struct pa_agent agent;
	struct pa_agent_info info;
	char why[PA_AGENT_WHY];

	return pa_agent_find(a->injection.pid, &agent, why, sizeof(why)) || pa_agent_read(&agent, &info) ||
	       info.state == PA_AGENT_ATTACHED || !info.hooked;
}

void pa_attach_inject_undo(struct pa_attach_inject *a)
{
	struct pa_detaching detaching = {0};
	char why[PA_AGENT_WHY];

	/* a session that it may have by now is another's: that one takes the hooks out when it ends */
	if (!a->hooked || is_used(a) || pa_detaching_add(&detaching, a->injection.pid, NULL, why, sizeof(why)))
		return;
	pa_detaching_wait(&detaching, UNDO_NS);
	pa_detaching_fini(&detaching);
}
