#include "collector/writers.h"

#include <pthread.h>
#include <signal.h>
#include <stddef.h>

#define THREADS_MAX 4 /* one that waits for a slow disk must not hold up all */
#define STACK_BYTES (512u << 10)

static struct {
	pthread_mutex_t lock;
	pthread_cond_t come, gone;
	struct pa_writers_job *first, **end;
	unsigned threads, idle, queued;
} writers = {.lock = PTHREAD_MUTEX_INITIALIZER,
	     .come = PTHREAD_COND_INITIALIZER,
	     .gone = PTHREAD_COND_INITIALIZER,
	     .end = &writers.first};

static void *work(void *unused)
{
	pthread_mutex_lock(&writers.lock);
	for (;;) {
		struct pa_writers_job *job = writers.first;

		if (!job) {
			writers.idle++;
			pthread_cond_wait(&writers.come, &writers.lock);
			writers.idle--;
			continue;
		}
		writers.queued--;
		writers.first = job->next;
		if (!writers.first)
			writers.end = &writers.first;
		pthread_mutex_unlock(&writers.lock);
		job->run(job->arg);
		pthread_mutex_lock(&writers.lock);
		job->done = true;
		pthread_cond_broadcast(&writers.gone);
	}
	return unused;
}

/* A child has none of the threads, and what they were at is its parent's. */
static void forget(void)
{
	pthread_mutex_init(&writers.lock, NULL);
	pthread_cond_init(&writers.come, NULL);
	pthread_cond_init(&writers.gone, NULL);
	writers.first = NULL;
	writers.end = &writers.first;
	writers.threads = writers.idle = writers.queued = 0;
}

static void watch_forks(void)
{
	pthread_atfork(NULL, NULL, forget);
}

/* With the lock. */
static bool add_thread(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	sigset_t all, old;
	pthread_attr_t attr;
	pthread_t thread;
	int error;

	pthread_once(&once, watch_forks);
	if (pthread_attr_init(&attr))
		return false;
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old); /* the collector's signals are not for these threads */
	error = pthread_create(&thread, &attr, work, NULL);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	writers.threads += !error;
	return !error;
}

bool pa_writers_start(struct pa_writers_job *job)
{
	bool taken;

	pthread_mutex_lock(&writers.lock);
	/* one that was woken counts as idle until it runs */
	if (writers.queued >= writers.idle && writers.threads < THREADS_MAX)
		add_thread();
	taken = writers.threads != 0;
	if (taken) {
		job->next = NULL;
		job->done = false;
		*writers.end = job;
		writers.end = &job->next;
		writers.queued++;
		pthread_cond_signal(&writers.come);
	}
	pthread_mutex_unlock(&writers.lock);
	return taken;
}

bool pa_writers_done(const struct pa_writers_job *job)
{
	bool done;

	pthread_mutex_lock(&writers.lock);
	done = job->done;
	pthread_mutex_unlock(&writers.lock);
	return done;
}

void pa_writers_wait(const struct pa_writers_job *job)
{
	pthread_mutex_lock(&writers.lock);
	while (!job->done)
		pthread_cond_wait(&writers.gone, &writers.lock);
	pthread_mutex_unlock(&writers.lock);
}
