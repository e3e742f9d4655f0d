/* A signal that reaches a thread in a wait would end that wait with EINTR: what is signalled must be running, and be so
 * for long enough that it does not fall asleep in the microseconds between look and signal. World: plain. */
#include "remote/nudge.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LOOK_MAX 64

struct thread_look {
	bool ready;      /* state R, the signal caught, not blocked and not pending */
	uint64_t sleeps; /* voluntary context switches */
};

static uint64_t number_after(const char *text, const char *name, int base)
{
	const char *at = strstr(text, name);

	return at ? strtoull(at + strlen(name), NULL, base) : 0;
}

static bool look_at(pid_t pid, uint32_t tid, int signal, struct thread_look *out)
{
	uint64_t bit = UINT64_C(1) << (signal - 1);
	char path[64], text[4096];
	const char *state;
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/task/%u/status", (int)pid, tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;
	if (fd >= 0)
		close(fd);
	if (n <= 0)
		return false;
	text[n] = 0;
	/* "\n" before each name: the first line is the thread's name, any bytes but a newline */
	state = strstr(text, "\nState:\t");
	out->sleeps = number_after(text, "\nvoluntary_ctxt_switches:\t", 10);
	out->ready = state && state[8] == 'R' && number_after(text, "\nSigCgt:\t", 16) & bit &&
		     !((number_after(text, "\nSigBlk:\t", 16) | number_after(text, "\nSigPnd:\t", 16) |
			number_after(text, "\nShdPnd:\t", 16)) &
		       bit);
	return true;
}

static bool send(const struct pa_agent *a, uint32_t tid, int signal)
{
	siginfo_t info;

	memset(&info, 0, sizeof(info));
	info.si_signo = signal;
	info.si_code = SI_QUEUE;
	info.si_pid = getpid();
	info.si_uid = getuid();
	info.si_value.sival_ptr = (void *)(uintptr_t)PA_NUDGE_VALUE;
	return syscall(SYS_rt_tgsigqueueinfo, a->pid, (pid_t)tid, signal, &info) == 0;
}

/* Those that were running at the last look: the first that has run ever since is nudged. */
static bool nudge_runner(struct pa_agent *a, int signal, bool patient)
{
	struct thread_look now;

	for (uint32_t i = 0; i < a->nr_runners; i++) {
		const struct pa_agent_runner *r = &a->runners[i];

		if (look_at(a->pid, r->tid, signal, &now) && now.ready && (!patient || now.sleeps == r->sleeps) &&
		    send(a, r->tid, signal))
			return true;
	}
	return false;
}

static void remember_runners(struct pa_agent *a, int signal)
{
	struct thread_look now;
	struct dirent *entry;
	char path[64];
	uint32_t tid = 0, at = 0, looked = 0;
	DIR *dir;

	a->nr_runners = 0;
	snprintf(path, sizeof(path), "/proc/%d/task", (int)a->pid);
	dir = opendir(path);
	while (dir && looked < LOOK_MAX && a->nr_runners < PA_AGENT_CANDIDATES && (entry = readdir(dir))) {
		tid = (uint32_t)strtoul(entry->d_name, NULL, 10);
		if (!tid || at++ < a->looked)
			continue;
		looked++;
		if (look_at(a->pid, tid, signal, &now) && now.ready)
			a->runners[a->nr_runners++] = (struct pa_agent_runner){tid, now.sleeps};
	}
	/* on from there next time; after the last one from the first */
	a->looked = looked < LOOK_MAX && a->nr_runners < PA_AGENT_CANDIDATES ? 0 : a->looked + looked;
	if (dir)
		closedir(dir);
}

bool pa_nudge_look(struct pa_agent *a, int signal, bool patient)
{
	bool sent = nudge_runner(a, signal, patient);

	if (sent)
		a->nr_runners = 0;
	else
		remember_runners(a, signal);
	return sent;
}
