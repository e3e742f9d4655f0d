/* Sums of what targets say: they stay at their limit instead of wrapping. World: plain. */
#ifndef PA_COLLECTOR_SUMS_H
#define PA_COLLECTOR_SUMS_H

#include <stdint.h>

#define PA_SUM_MAX (UINT64_C(1) << 62) /* fits SQLite's integers; two of them can be added */

static inline void pa_sum(uint64_t *sum, uint64_t value)
{
	*sum = value < PA_SUM_MAX && *sum < PA_SUM_MAX - value ? *sum + value : PA_SUM_MAX;
}

#endif
