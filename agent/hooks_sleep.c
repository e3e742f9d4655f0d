/* Sleeping. These matter where they keep an event loop from its events; elsewhere they pass. All are cancellation
 * points: see hooks_wait.c for how the hooks are made. World: hook. */
#include <time.h>
#include <unistd.h>

#include "agent/hooks_malloc.h"
#include "agent/wait_hook.h"

static inline struct pa_wait_call sleep_call(enum pa_real_name real)
{
	return (struct pa_wait_call){.real = pa_real_get(real), .place = {.kind = PA_WAIT_SLEEP}};
}

static PA_ASIDE int nanosleep_on(const struct timespec *wanted, struct timespec *left)
{
	PA_HEAP_CALLER(caller);
	struct pa_wait_call call = sleep_call(PA_REAL_nanosleep);
	int ret;

	pa_wait_begin_hook(&call, &caller);
	ret = PA_REAL(nanosleep)(wanted, left);
	pa_wait_end_hook(&call, &caller, 0, -1);
	return ret;
}

PA_EXPORT int nanosleep(const struct timespec *wanted, struct timespec *left)
{
	if (pa_waits_off())
		return PA_REAL(nanosleep)(wanted, left);
	return nanosleep_on(wanted, left);
}

static PA_ASIDE int clock_nanosleep_on(clockid_t clock, int flags, const struct timespec *wanted, struct timespec *left)
{
	PA_HEAP_CALLER(caller);
	struct pa_wait_call call = sleep_call(PA_REAL_clock_nanosleep);
	int ret;

	pa_wait_begin_hook(&call, &caller);
	ret = PA_REAL(clock_nanosleep)(clock, flags, wanted, left);
	pa_wait_end_hook(&call, &caller, 0, -1);
	return ret;
}

PA_EXPORT int clock_nanosleep(clockid_t clock, int flags, const struct timespec *wanted, struct timespec *left)
{
	if (pa_waits_off())
		return PA_REAL(clock_nanosleep)(clock, flags, wanted, left);
	return clock_nanosleep_on(clock, flags, wanted, left);
}

static PA_ASIDE unsigned sleep_on(unsigned seconds)
{
	PA_HEAP_CALLER(caller);
	struct pa_wait_call call = sleep_call(PA_REAL_sleep);
	unsigned left;

	pa_wait_begin_hook(&call, &caller);
	left = PA_REAL(sleep)(seconds);
	pa_wait_end_hook(&call, &caller, 0, -1);
	return left;
}

PA_EXPORT unsigned sleep(unsigned seconds)
{
	if (pa_waits_off())
		return PA_REAL(sleep)(seconds);
	return sleep_on(seconds);
}

static PA_ASIDE int usleep_on(useconds_t us)
{
	PA_HEAP_CALLER(caller);
	struct pa_wait_call call = sleep_call(PA_REAL_usleep);
	int ret;

	pa_wait_begin_hook(&call, &caller);
	ret = PA_REAL(usleep)(us);
	pa_wait_end_hook(&call, &caller, 0, -1);
	return ret;
}

PA_EXPORT int usleep(useconds_t us)
{
	if (pa_waits_off())
		return PA_REAL(usleep)(us);
	return usleep_on(us);
}
