#include "report/quantity.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

/* Three figures; four where the next unit has not begun. */
static char *scaled(char *to, const char *sign, uint64_t value, double base, const char *const *units, size_t nr)
{
	double v = (double)value;
	size_t unit = 0;
	while (unit + 1 < nr && v >= base) {
		v /= base;
		unit++;
	}
	/* 1023.96 must not become 1024.0 of the same unit */
	if (unit && unit + 1 < nr && v >= base - 0.5) {
		v /= base;
		unit++;
	}
	int decimals = !unit ? 0 : v < 9.995 ? 2 : v < 99.95 ? 1 : 0;
	snprintf(to, PA_QUANTITY_MAX, "%s%.*f%s", sign, decimals, v, units[unit]);
	return to;
}

static const char *const sizes[] = {" B", " KiB", " MiB", " GiB", " TiB", " PiB"};
#define NR_SIZES (sizeof(sizes) / sizeof(sizes[0]))

char *pa_size_text(char *to, uint64_t bytes)
{
	return scaled(to, "", bytes, 1024, sizes, NR_SIZES);
}

static uint64_t magnitude(int64_t value)
{
	return value < 0 ? -(uint64_t)value : (uint64_t)value;
}

char *pa_change_text(char *to, int64_t bytes)
{
	return scaled(to, bytes < 0 ? "-" : bytes ? "+" : "", magnitude(bytes), 1024, sizes, NR_SIZES);
}

char *pa_count_text(char *to, uint64_t count)
{
	static const char *const units[] = {"", " k", " M", " G", " T", " P", " E"};
	if (count < 100000000)
		snprintf(to, PA_QUANTITY_MAX, "%" PRIu64, count);
	else
		scaled(to, "", count, 1000, units, sizeof(units) / sizeof(units[0]));
	return to;
}

char *pa_count_change_text(char *to, int64_t count)
{
	snprintf(to, PA_QUANTITY_MAX, "%s%" PRIu64, count < 0 ? "-" : count ? "+" : "", magnitude(count));
	return to;
}

char *pa_time_text(char *to, uint64_t ns)
{
	if (!ns)
		snprintf(to, PA_QUANTITY_MAX, "0 s");
	else if (ns < 1000000)
		snprintf(to, PA_QUANTITY_MAX, "%" PRIu64 " us", ns / 1000);
	else if (ns < UINT64_C(60000000000))
		snprintf(to, PA_QUANTITY_MAX, "%.3f s", (double)ns / 1e9);
	else
		snprintf(to, PA_QUANTITY_MAX, "%" PRIu64 "m%04.1fs", ns / UINT64_C(60000000000),
			 (double)(ns % UINT64_C(60000000000) / UINT64_C(100000000)) / 10);
	return to;
}

uint64_t pa_interval(double variance)
{
	double half = variance > 0 ? 1.96 * sqrt(variance) : 0;
	return half < 1.8e19 ? (uint64_t)(half + 0.5) : UINT64_MAX;
}
