#include "collector/heap_clock.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "collector/loop.h"
#include "collector/store.h"
#include "common/atomics.h"

#define READINGS 5

_Static_assert(sizeof(((struct pa_heap_clock *)0)->limits) / sizeof(uint64_t) == PA_HEAP_LIFETIMES,
	       "one limit a class");

#if defined(__x86_64__)
static uint64_t counter(void)
{
	uint32_t low, high;

	/* the fence: loads that follow happen later than the reading */
	__asm__ volatile("rdtsc\n\tlfence" : "=a"(low), "=d"(high) : : "memory");
	return (uint64_t)high << 32 | low;
}
#define HAS_COUNTER true
#else
static uint64_t counter(void)
{
	return pa_now_ns();
}
#define HAS_COUNTER false
#endif

bool pa_heap_clock_has_tsc(void)
{
	char name[16] = "";
	int fd = open("/sys/devices/system/clocksource/clocksource0/current_clocksource", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, name, sizeof(name) - 1) : -1;

	if (fd >= 0)
		close(fd);
	return HAS_COUNTER && n > 0 && strncmp(name, "tsc", 3) == 0 && (name[3] == '\n' || !name[3]);
}

static void set_limits(struct pa_heap_clock *c)
{
	uint32_t class = 0;

	for (int i = 0; i < PA_HEAP_LIFETIMES - 1; i++)
		c->limits[i] = (uint64_t)((double)pa_heap_lifetimes_ns[i] / c->ns_per_tick);
	c->limits[PA_HEAP_LIFETIMES - 1] = UINT64_MAX;
	for (int bit = 0; bit < 64; bit++) {
		while (class < PA_HEAP_LIFETIMES - 1 && UINT64_C(1) << bit >= c->limits[class])
			class ++;
		c->classes[bit] = (uint8_t) class;
	}
}

/* Both clocks at one moment: of some readings the one that took the least time. */
static void read_pair(const struct pa_heap_clock *c, uint64_t *ticks, uint64_t *ns)
{
	uint64_t least = UINT64_MAX;

	if (!c->tsc) {
		*ticks = *ns = pa_now_ns();
		return;
	}
	for (int i = 0; i < READINGS; i++) {
		uint64_t before = counter(), now = pa_now_ns(), took = counter() - before;

		if (took >= least)
			continue;
		least = took;
		*ticks = before + took / 2;
		*ns = now;
	}
}

void pa_heap_clock_init(struct pa_heap_clock *c, bool tsc)
{
	*c = (struct pa_heap_clock){.tsc = tsc, .ns_per_tick = 1};
	read_pair(c, &c->first_ticks, &c->first_ns);
	c->ticks = c->first_ticks;
	c->ns = c->first_ns;
	set_limits(c);
}

uint64_t pa_heap_clock_ticks(const struct pa_heap_clock *c)
{
	uint64_t now;

	if (c->tsc)
		return counter();
	now = pa_now_ns();
	pa_fence();
	return now;
}

void pa_heap_clock_update(struct pa_heap_clock *c)
{
	read_pair(c, &c->ticks, &c->ns);
	if (!c->tsc || c->ticks <= c->first_ticks || c->ns <= c->first_ns)
		return;
	c->ns_per_tick = (double)(c->ns - c->first_ns) / (double)(c->ticks - c->first_ticks);
	set_limits(c);
}

uint64_t pa_heap_clock_ns(const struct pa_heap_clock *c, uint64_t ticks)
{
	double distance = ((double)(int64_t)(ticks - c->ticks)) * c->ns_per_tick;
	double ns = (double)c->ns + distance;

	if (!c->tsc)
		return ticks;
	/* a stamp is a target's word: its time stays a time */
	return ns < 1         ? 1
	       : distance > 0 ? c->ns + (uint64_t)(distance < 1e15 ? distance : 1e15)
			      : c->ns - (uint64_t)-distance;
}
