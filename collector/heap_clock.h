/* The clock of heap rings: the processor's counter where the kernel keeps time by it, else CLOCK_MONOTONIC. World:
 * plain. */
#ifndef PA_COLLECTOR_HEAP_CLOCK_H
#define PA_COLLECTOR_HEAP_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

struct pa_heap_clock {
	bool tsc;
	double ns_per_tick;
	uint64_t first_ticks, first_ns; /* the first pair: the rate is measured from it */
	uint64_t ticks, ns;             /* the latest one: times are told from it */
	uint64_t limits[8];             /* pa_heap_lifetimes_ns in ticks */
	uint8_t classes[64];            /* of a time by its highest bit: the class of the smallest such time */
};

/* tsc: the agent stamps with the counter (PA_HEAP_TSC). Units: the rate is good to about a ten-thousandth a millisecond
 * later, and becomes better. */
void pa_heap_clock_init(struct pa_heap_clock *c, bool tsc);
/* Whether this kernel keeps time by the counter. */
bool pa_heap_clock_has_tsc(void);

/* Now, in ticks. What is loaded after it in the program is loaded later. */
uint64_t pa_heap_clock_ticks(const struct pa_heap_clock *c);
/* Takes another pair, now and then. */
void pa_heap_clock_update(struct pa_heap_clock *c);
/* CLOCK_MONOTONIC of a stamp. */
uint64_t pa_heap_clock_ns(const struct pa_heap_clock *c, uint64_t ticks);
/* The class of a lifetime, see pa_heap_lifetimes_ns. */
static inline uint32_t pa_heap_clock_class(const struct pa_heap_clock *c, uint64_t ticks)
{
	/* classes are decades: within one power of two lies at most one limit */
	uint32_t class;

	ticks &= INT64_MAX; /* so that nothing reaches the last limit */
	class = c->classes[63 - __builtin_clzll(ticks | 1)];

	return class + (ticks >= c->limits[class]);
}

#endif
