/* A recording that goes on for days is one file an hour, so that the oldest hours can be dropped. The processes of one
 * that is old enough are asked to attach anew: the session they come with belongs to the next file, and the old one
 * ends. What sleeps comes when it wakes up; it has no samples in between.
 *
 * Not those with allocations: what was live on the heap would be unknown from then on. World: plain. */
#include <stdlib.h>
#include <string.h>

#include "common/wire.h"
#include "daemon/attach.h"
#include "daemon/daemon.h"
#include "daemon/log.h"

#define LOOK_NS  UINT64_C(1000000000)
#define LEAVE_NS UINT64_C(2000000000) /* for those that run to come over */

struct asking {
	struct pa_tree *t;
	bool refused;
};

static bool expect(struct pa_tree *t, uint32_t pid)
{
	uint32_t *expected = realloc(t->expected, (t->nr_expected + 1) * sizeof(*expected));

	if (!expected)
		return false;
	t->expected = expected;
	t->expected[t->nr_expected++] = pid;
	return true;
}

static void ask(void *arg, uint32_t pid)
{
	struct asking *a = arg;

	a->refused |= !expect(a->t, pid) || !pa_daemon_attach_anew(a->t->d->attach, pid);
}

static void begin(struct pa_tree *t, uint64_t now)
{
	struct asking a = {t, false};

	/* of those that the file before expected, who was not met has gone, or sleeps on */
	pa_recorder_each(t->recorder, ask, &a);
	if (a.refused) {
		pa_log(PA_LOG_WARNING, "%s: goes on: its processes cannot be asked to change to another file", t->path);
		t->opened_ns = now; /* and is tried again after the same time */
		return;
	}
	t->leaving_ns = now;
}

static void on_look(struct pa_timer *timer)
{
	struct pa_daemon *d = timer->arg;
	uint64_t now = pa_now_ns(), age = d->settings->roll_s * 1000000000u;

	for (struct pa_tree *t = d->trees, *next; t; t = next) {
		next = t->next;
		/* where all sleep nobody has come yet: it stays the last file until somebody does */
		if (t->succeeded && now - t->leaving_ns > LEAVE_NS) {
			pa_recorder_silence(t->recorder);
			pa_daemon_finish(t);
		} else if (age && !t->leaving_ns && !t->waits && now - t->opened_ns > age &&
			   !(t->modes & PA_MODE_MEMORY)) {
			begin(t, now);
		}
	}
	pa_loop_arm(d->loop, timer, LOOK_NS);
}

void pa_daemon_watch_age(struct pa_daemon *d)
{
	if (d->settings->output[0])
		return;
	d->roll_timer.fn = on_look;
	d->roll_timer.arg = d;
	pa_loop_arm(d->loop, &d->roll_timer, LOOK_NS);
}
