#include "remote/snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "collector/proc.h"

#define STACK_MIN (16u << 10)

static void read_wchan(pid_t pid, pid_t tid, char *out, size_t size)
{
	char path[64];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/wchan", (int)pid, (int)tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd >= 0 ? read(fd, out, size - 1) : 0;
	if (fd >= 0)
		close(fd);
	out[n > 0 ? n : 0] = 0;
	if (!strcmp(out, "0"))
		out[0] = 0;
}

/* What /proc says of a thread; the state is that of this moment. */
static void describe(struct pa_snapshot_thread *t, pid_t pid)
{
	struct pa_proc_status status;

	t->inner_tid = t->tid;
	t->state = '?';
	t->syscall = -1;
	if (!pa_proc_status((uint32_t)t->tid, &status)) {
		t->inner_tid = (pid_t)status.inner_pid;
		t->state = status.state;
	}
	pa_proc_comm((uint32_t)pid, (uint32_t)t->tid, t->name, sizeof(t->name));
	read_wchan(pid, t->tid, t->wchan, sizeof(t->wchan));
}

static int compare_tids(const void *a, const void *b)
{
	const struct pa_snapshot_thread *x = a, *y = b;

	return (x->tid > y->tid) - (x->tid < y->tid);
}

static int append(void *arg, uint32_t tid)
{
	struct pa_snapshot *s = arg;
	struct pa_snapshot_thread *threads = reallocarray(s->threads, s->nr + 1, sizeof(*threads));

	if (!threads)
		return -ENOMEM;
	s->threads = threads;
	s->threads[s->nr] = (struct pa_snapshot_thread){.tid = (pid_t)tid, .hold = PA_HOLD_GONE};
	describe(&s->threads[s->nr++], s->pid);
	return 0;
}

/* The entry of a thread, made when it is met for the first time. NULL: out of memory. */
static struct pa_snapshot_thread *entry_of(struct pa_snapshot *s, size_t nr_sorted, pid_t tid)
{
	struct pa_snapshot_thread key = {.tid = tid}, *t;

	t = bsearch(&key, s->threads, nr_sorted, sizeof(key), compare_tids);
	if (!t && append(s, (uint32_t)tid) == 0)
		t = &s->threads[s->nr - 1];
	return t;
}

static int copy_thread(struct pa_snapshot_thread *t, const struct pa_stopped *stopped, size_t max)
{
	t->hold = stopped->hold;
	t->error = stopped->error;
	if (t->hold != PA_HOLD_STOPPED || t->error)
		return 0;
	t->registers = stopped->registers;
	t->syscall = pa_registers_syscall(&stopped->registers);
	/* by the thread's number: the memory of a process whose main thread has ended is not found by that one's */
	return pa_stack_copy(&t->stack, t->tid, pa_registers_sp(&stopped->registers), max);
}

struct job {
	struct pa_snapshot *s;
	int error;
};

static void *take(void *arg)
{
	struct job *job = arg;
	struct pa_snapshot *s = job->s;
	size_t nr_sorted = s->nr, max;
	struct pa_stopping stop;

	pa_stop_hurry();
	job->error = pa_stop_all(&stop, s->pid, PA_STOP_LIMIT_NS);
	max = stop.nr ? PA_SNAPSHOT_TOTAL / stop.nr : 0;
	max = max > PA_SNAPSHOT_STACK ? PA_SNAPSHOT_STACK : max < STACK_MIN ? STACK_MIN : max;
	for (size_t i = 0; !job->error && i < stop.nr; i++) {
		struct pa_snapshot_thread *t = entry_of(s, nr_sorted, stop.threads[i].tid);

		job->error = t ? copy_thread(t, &stop.threads[i], max) : -ENOMEM;
	}
	pa_stop_resume(&stop);
	s->stopped_ns = stop.ended_ns > stop.began_ns ? stop.ended_ns - stop.began_ns : 0;
	pa_stop_release(&stop);
	return NULL;
}

int pa_snapshot_take(struct pa_snapshot *s, pid_t pid)
{
	struct job job = {.s = s};
	pthread_t thread;
	int error;

	*s = (struct pa_snapshot){.pid = pid};
	error = pa_proc_threads((uint32_t)pid, append, s);
	if (error)
		return error == -ENOENT ? -ESRCH : error;
	qsort(s->threads, s->nr, sizeof(*s->threads), compare_tids);
	error = pthread_create(&thread, NULL, take, &job);
	if (error)
		return -error;
	pthread_join(thread, NULL);
	if (s->nr)
		qsort(s->threads, s->nr, sizeof(*s->threads), compare_tids);
	return job.error;
}

void pa_snapshot_free(struct pa_snapshot *s)
{
	for (size_t i = 0; i < s->nr; i++)
		pa_stack_copy_free(&s->threads[i].stack);
	free(s->threads);
	*s = (struct pa_snapshot){0};
}
