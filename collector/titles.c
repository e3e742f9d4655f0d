/* What processes call themselves. A worker of a prefork server is forked with the title of its parent and takes its own
 * a moment later ("postgres: checkpointer", "nginx: worker process"): the command line is read again as long as the
 * process lives, soon at first and then now and then, and for the last time when it says goodbye. World: plain. */
#include <string.h>

#include "collector/proc.h"
#include "collector/recorder_impl.h"

#define MS 1000000u

/* 0.2, 1 and 5 s after it was met, then for good: 500 processes are 50 readings a second, of some 10 us each. */
static const uint64_t waits_ns[] = {200u * MS, 800u * MS, 4000u * (uint64_t)MS, 10000u * (uint64_t)MS};

#define LAST_WAIT (sizeof(waits_ns) / sizeof(waits_ns[0]) - 1)

/* Its title by now, when that differs from the one we have. Nothing is to be had of what has gone, and of a zombie. */
static bool read_title(struct pa_process *p, char *title, size_t size)
{
	p->titled_ns = pa_now_ns();
	if (!p->pid || p->ended || p->replaced || p->left)
		return false;
	return !pa_proc_command(p->pid, title, size) && title[0] && strcmp(title, p->command) != 0;
}

/* Whether /proc shows the image we know, and not the next one of the same pid. */
static bool is_same_image(const struct pa_process *p)
{
	char exe[sizeof(p->exe)];

	return !pa_proc_exe(p->pid, exe, sizeof(exe)) && strcmp(exe, p->exe) == 0;
}

void pa_titles_look(struct pa_process *p)
{
	char title[sizeof(p->command)];
	struct pa_drain_result result;

	if (pa_now_ns() - p->titled_ns < waits_ns[p->nr_titled])
		return;
	if (p->nr_titled < LAST_WAIT)
		p->nr_titled++;
	if (!read_title(p, title, sizeof(title)))
		return;
	/* an exec says so before it happens: what is in the rings by now is about the image that had this title */
	pa_recorder_drain(p->session, &result);
	if (p->ended || pa_recorder_left_by_exec(p) || !is_same_image(p))
		return;
	memcpy(p->command, title, sizeof(title));
}

void pa_titles_goodbye(struct pa_process *p)
{
	char title[sizeof(p->command)];

	if (read_title(p, title, sizeof(title)) && is_same_image(p))
		memcpy(p->command, title, sizeof(title));
}
