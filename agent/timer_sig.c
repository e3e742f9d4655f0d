/* POSIX timers on threads' CPU clocks. Callers: thread.c, cpu_sig.c. World: signal. */
#include "agent/timer_sig.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "agent/hot.h"
#include "agent/sysdep.h"
#include "agent/vdso.h"

static pa_clock_fn *vdso_clock PA_HOT;

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

	if (!vdso_clock || vdso_clock(CLOCK_MONOTONIC, &ts) != 0)
		pa_sys(SYS_clock_gettime, CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static struct timespec to_timespec(uint64_t ns)
{
	return (struct timespec){.tv_sec = (time_t)(ns / 1000000000u), .tv_nsec = (long)(ns % 1000000000u)};
}

/* Timers of this process; each takes one of the user's queued signals (RLIMIT_SIGPENDING), of which the host needs its
 * own: we stop at half. */
static _Atomic uint32_t nr_armed PA_HOT;
static _Atomic uint32_t max_armed = UINT32_MAX;

void pa_timer_limit_sig(uint64_t limit)
{
	pa_store_relaxed(&max_armed, limit < UINT32_MAX ? (uint32_t)limit / 2 : UINT32_MAX);
}

bool pa_timer_excess_sig(void)
{
	return pa_load_relaxed(&nr_armed) > pa_load_relaxed(&max_armed);
}

void pa_timer_init(void)
{
	struct rlimit limit;

	vdso_clock = pa_vdso_clock();
	if (pa_sys(SYS_prlimit64, 0, RLIMIT_SIGPENDING, NULL, &limit) == 0)
		pa_timer_limit_sig(limit.rlim_cur);
}

void pa_timer_forget_all_sig(void)
{
	pa_store_relaxed(&nr_armed, 0);
}

static int start(struct pa_block *block, int32_t id)
{
	struct itimerspec when = {.it_value = to_timespec(block->first_ns),
				  .it_interval = to_timespec(block->period_ns)};

	return (int)pa_sys(SYS_timer_settime, id, 0, &when, NULL);
}

int pa_timer_arm_sig(struct pa_block *block, int signal)
{
	struct sigevent event;
	int32_t id = -1;
	int ret;

	if (pa_load_relaxed(&nr_armed) >= pa_load_relaxed(&max_armed))
		return -EAGAIN;
	memset(&event, 0, sizeof(event));
	event.sigev_notify = SIGEV_THREAD_ID;
	event.sigev_signo = signal;
	event.sigev_value.sival_ptr = block;
	event._sigev_un._tid = (pid_t)block->tid;
	ret = (int)pa_sys(SYS_timer_create, thread_clock(block->tid), &event, &id);
	if (ret < 0)
		return ret;
	pa_add_relaxed(&nr_armed, 1);
	block->timer_signal = (uint32_t)signal;
	block->armed_cpu_ns = pa_thread_cpu_sig(block->tid);
	block->delivered = 0;
	/* the handler looks at the id: it must know the timer before the first tick */
	pa_store_release(&block->timer_id, id);
	ret = start(block, id);
	if (ret < 0)
		pa_timer_disarm_sig(block);
	return ret;
}

void pa_timer_disarm_sig(struct pa_block *block)
{
	int32_t id = pa_load_acquire(&block->timer_id);

	if (id < 0)
		return;
	pa_store_release(&block->timer_id, -1);
	pa_sys(SYS_timer_delete, id);
	pa_add_relaxed(&nr_armed, (uint32_t)-1);
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
