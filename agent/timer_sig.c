/* POSIX timers on threads' CPU clocks. Callers: thread.c, cpu_sig.c. World: signal. */
#include "agent/timer_sig.h"

#include <signal.h>
#include <string.h>
#include <time.h>

#include "agent/sysdep.h"

/* The kernel's encoding of a thread's scheduler clock: ~tid << 3 | per thread (4) | CPUCLOCK_SCHED (2). */
static clockid_t thread_clock(uint32_t tid)
{
	return (clockid_t)(~tid << 3 | 6);
}

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec ts;

	if (pa_sys(SYS_clock_gettime, clock, &ts) < 0)
		return 0;
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

uint64_t pa_thread_cpu_sig(uint32_t tid)
{
	return clock_ns(thread_clock(tid));
}

uint64_t pa_process_cpu_sig(void)
{
	return clock_ns(CLOCK_PROCESS_CPUTIME_ID);
}

uint64_t pa_now_sig(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts); /* the vDSO: no system call */
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static struct timespec to_timespec(uint64_t ns)
{
	return (struct timespec){ .tv_sec = (time_t)(ns / 1000000000u), .tv_nsec = (long)(ns % 1000000000u) };
}

int pa_timer_arm_sig(struct pa_block *block, int signal)
{
	struct sigevent event;
	struct itimerspec when;
	int32_t id = -1;
	long ret;

	memset(&event, 0, sizeof(event));
	event.sigev_notify = SIGEV_THREAD_ID;
	event.sigev_signo = signal;
	event.sigev_value.sival_ptr = block;
	event._sigev_un._tid = (pid_t)block->tid;
	ret = pa_sys(SYS_timer_create, thread_clock(block->tid), &event, &id);
	if (ret < 0)
		return (int)ret;
	block->timer_signal = (uint32_t)signal;
	block->armed_cpu_ns = pa_thread_cpu_sig(block->tid);
	block->delivered = 0;
	/* the handler looks at the id: it must know the timer before the first tick */
	pa_store_release(&block->timer_id, id);
	when.it_value = to_timespec(block->first_ns);
	when.it_interval = to_timespec(block->period_ns);
	ret = pa_sys(SYS_timer_settime, id, 0, &when, NULL);
	if (ret < 0)
		pa_timer_disarm_sig(block);
	return (int)ret;
}

void pa_timer_disarm_sig(struct pa_block *block)
{
	int32_t id = pa_load_acquire(&block->timer_id);

	if (id < 0)
		return;
	pa_store_release(&block->timer_id, -1);
	pa_sys(SYS_timer_delete, id);
}

uint32_t pa_timer_undelivered_sig(const struct pa_block *block, uint64_t cpu_ns)
{
	uint64_t used, due;

	if (!block->period_ns || cpu_ns < block->armed_cpu_ns + block->first_ns)
		return 0;
	used = cpu_ns - block->armed_cpu_ns - block->first_ns;
	due = used / block->period_ns + 1;
	if (due <= block->delivered)
		return 0;
	due -= block->delivered;
	return due < UINT32_MAX ? (uint32_t)due : UINT32_MAX;
}
