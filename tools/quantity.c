#include "tools/quantity.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "tools/options.h"

#define TIME_MAX_S 3155760000.0 /* 100 years */

/* A decimal number without sign, exponent, hexadecimal digits or words, as people write them. */
static bool number(const char **at, double *value)
{
	const char *from = *at;
	size_t digits = strspn(from, "0123456789"), len = digits;
	if (from[len] == '.') {
		size_t more = strspn(from + len + 1, "0123456789");
		digits += more;
		len += 1 + more;
	}
	if (!digits || len > 40)
		return false;
	char text[48];
	memcpy(text, from, len);
	text[len] = 0;
	*value = strtod(text, NULL);
	*at += len;
	return true;
}

struct unit {
	const char *name;
	double factor;
};

static const struct unit *unit_at(const char **at, const struct unit *units)
{
	for (; units->name; units++) {
		size_t len = strlen(units->name);
		if (!strncasecmp(*at, units->name, len) && !isalpha((unsigned char)(*at)[len])) {
			*at += len;
			return units;
		}
	}
	return NULL;
}

bool pa_parse_time(const char *option, const char *text, uint64_t *ns)
{
	static const struct unit units[] = {{"h", 3600}, {"min", 60}, {"m", 60}, {"s", 1}, {"ms", 1e-3}, {NULL, 0}};
	const char *at = text;
	double value, sum = 0, before = 1e9;
	bool fine = *text;
	while (fine && *at) {
		fine = number(&at, &value);
		const struct unit *unit = fine && *at ? unit_at(&at, units) : NULL;
		double factor = unit ? unit->factor : 1;
		/* a number without a unit stands alone; hours, minutes and seconds come in that order */
		fine = fine && (unit || (!*at && before > 1e8)) && factor < before;
		before = factor;
		sum += value * factor;
	}
	if (!fine || sum > TIME_MAX_S) {
		pa_fail(option, "'%s' is no time: seconds, or as 1m30s", text);
		return false;
	}
	*ns = (uint64_t)(sum * 1e9 + 0.5);
	return true;
}

bool pa_parse_bytes(const char *option, const char *text, uint64_t *bytes)
{
	static const struct unit units[] = {
	    {"b", 1},
	    {"k", 1024.},
	    {"kb", 1024.},
	    {"kib", 1024.},
	    {"m", 1048576.},
	    {"mb", 1048576.},
	    {"mib", 1048576.},
	    {"g", 1073741824.},
	    {"gb", 1073741824.},
	    {"gib", 1073741824.},
	    {"t", 1099511627776.},
	    {"tb", 1099511627776.},
	    {"tib", 1099511627776.},
	    {NULL, 0},
	};
	const char *at = text;
	double value = 0;
	bool fine = number(&at, &value);
	if (fine && *at) {
		const struct unit *unit = unit_at(&at, units);
		fine = unit && !*at;
		value *= unit ? unit->factor : 1;
	}
	if (!fine || value >= 9.2e18) {
		pa_fail(option, "'%s' is no size: bytes, or as 64k, 100MB, 1.5GiB", text);
		return false;
	}
	*bytes = (uint64_t)(value + 0.5);
	return true;
}
