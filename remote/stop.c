#include "remote/stop.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "collector/loop.h"
#include "collector/proc.h"

#define ROUNDS_MAX   1000 /* of looking for new threads: a storm of short threads must come to an end */
#define LOOK_NS      20000u
#define THREADS_ROOM 64
#define SLACK_NS     1000
#define PRIORITY     (-20)

/* /proc lists threads in the order in which they were added here: the next one is nearly always where we look first. */
static bool is_known(const struct pa_stopping *s, pid_t tid, size_t *next)
{
	for (size_t i = 0; i < s->nr; i++) {
		size_t at = (*next + i) % s->nr;

		if (s->threads[at].tid == tid) {
			*next = at + 1;
			return true;
		}
	}
	return false;
}

static struct pa_stopped *add(struct pa_stopping *s, pid_t tid)
{
	if (s->nr == s->room) {
		size_t room = s->room ? s->room * 2 : THREADS_ROOM;
		struct pa_stopped *threads = realloc(s->threads, room * sizeof(*threads));

		if (!threads)
			return NULL;
		s->threads = threads;
		s->room = room;
	}
	s->threads[s->nr] = (struct pa_stopped){.tid = tid};
	return &s->threads[s->nr++];
}

/* Takes hold of one thread and asks it to stop, which it does at its next chance. */
static void ask(struct pa_stopped *t)
{
	if (ptrace(PTRACE_SEIZE, t->tid, NULL, NULL)) {
		t->error = errno;
		t->hold = errno == ESRCH ? PA_HOLD_GONE : PA_HOLD_REFUSED;
		return;
	}
	t->hold = ptrace(PTRACE_INTERRUPT, t->tid, NULL, NULL) ? PA_HOLD_GONE : PA_HOLD_ASKED;
}

struct search {
	struct pa_stopping *s;
	size_t found, next;
};

static int meet(void *arg, uint32_t tid)
{
	struct search *search = arg;
	struct pa_stopped *t;

	if (is_known(search->s, (pid_t)tid, &search->next))
		return 0;
	t = add(search->s, (pid_t)tid);
	if (!t)
		return -ENOMEM;
	search->found++;
	ask(t);
	return 0;
}

/* What a stop says. A signal that is on its way is kept: it goes along when the thread is let go. */
static void note_stop(struct pa_stopped *t, int status)
{
	if (!WIFSTOPPED(status)) {
		t->hold = PA_HOLD_GONE;
		return;
	}
	t->hold = PA_HOLD_STOPPED;
	t->signal = status >> 16 ? 0 : WSTOPSIG(status);
	t->error = -pa_registers_get(t->tid, &t->registers);
	if (!t->error && pa_registers_hide_stop(&t->registers))
		t->error = -pa_registers_set(t->tid, &t->registers);
}

static void look(struct pa_stopped *t)
{
	int status;
	pid_t got = waitpid(t->tid, &status, __WALL | WNOHANG);

	if (got == t->tid)
		note_stop(t, status);
	else if (got < 0 && errno == ECHILD)
		t->hold = PA_HOLD_GONE;
}

/* Linux reports a thread that waits in the kernel for what no signal ends (a disk, a vfork) as D. */
static bool is_asleep_for_good(const struct pa_stopped *t)
{
	struct pa_proc_status status;

	return !pa_proc_status((uint32_t)t->tid, &status) && status.state == 'D';
}

/* Until all that were asked have stopped, ended, or are given up. */
static void wait_for_all(struct pa_stopping *s, uint64_t limit_ns)
{
	static const struct timespec pause = {.tv_nsec = LOOK_NS};
	uint64_t begin = pa_now_ns();

	for (size_t first = 0;;) {
		uint64_t waited = pa_now_ns() - begin;
		bool open = false;

		for (size_t i = first; i < s->nr; i++) {
			struct pa_stopped *t = &s->threads[i];

			if (t->hold == PA_HOLD_ASKED)
				look(t);
			if (t->hold != PA_HOLD_ASKED)
				continue;
			if (waited > limit_ns || (waited > PA_STOP_ASLEEP_NS && is_asleep_for_good(t)))
				t->hold = PA_HOLD_LOST;
			else
				open = true;
		}
		if (!open)
			return;
		while (first < s->nr && s->threads[first].hold != PA_HOLD_ASKED)
			first++;
		nanosleep(&pause, NULL);
	}
}

static int judge(const struct pa_stopping *s)
{
	int error = -ESRCH;

	for (size_t i = 0; i < s->nr; i++) {
		const struct pa_stopped *t = &s->threads[i];

		if (t->hold == PA_HOLD_STOPPED)
			return 0;
		if (t->hold == PA_HOLD_LOST)
			error = -ETIMEDOUT;
		else if (t->hold == PA_HOLD_REFUSED && error != -ETIMEDOUT)
			error = -t->error;
	}
	return error;
}

void pa_stop_hurry(void)
{
	prctl(PR_SET_TIMERSLACK, SLACK_NS, 0, 0, 0);
	/* of this thread alone; refused without CAP_SYS_NICE, and then it is as quick as others */
	setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), PRIORITY);
}

int pa_stop_all(struct pa_stopping *s, pid_t pid, uint64_t limit_ns)
{
	uint64_t end;

	*s = (struct pa_stopping){.pid = pid, .began_ns = pa_now_ns()};
	end = s->began_ns + limit_ns;
	/* threads that are stopped make no new ones: a look that finds nothing new is the last */
	for (int round = 0; round < ROUNDS_MAX; round++) {
		struct search search = {.s = s};
		int error = pa_proc_threads((uint32_t)pid, meet, &search);
		uint64_t now = pa_now_ns();

		if (error == -ENOMEM || (error && !s->nr))
			return error == -ENOENT ? -ESRCH : error;
		if (!search.found)
			return judge(s);
		wait_for_all(s, now < end ? end - now : 0);
	}
	return -ETIMEDOUT;
}

void pa_stop_let_go(struct pa_stopping *s, struct pa_stopped *thread)
{
	if (thread->hold != PA_HOLD_STOPPED)
		return;
	ptrace(PTRACE_DETACH, thread->tid, NULL, (void *)(uintptr_t)thread->signal);
	thread->hold = PA_HOLD_FREE;
	s->ended_ns = pa_now_ns();
}

void pa_stop_resume(struct pa_stopping *s)
{
	for (size_t i = 0; i < s->nr; i++)
		pa_stop_let_go(s, &s->threads[i]);
}

void pa_stop_release(struct pa_stopping *s)
{
	pa_stop_resume(s);
	free(s->threads);
	s->threads = NULL;
	s->nr = s->room = 0;
}
