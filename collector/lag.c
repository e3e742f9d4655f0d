#include "collector/lag.h"

#include "collector/varint.h"

#define VERSION   1
#define COUNT_MAX (UINT64_C(1) << 48)

uint32_t pa_lag_bucket(uint64_t ns)
{
	uint32_t octave;

	if (ns < PA_LAG_FLOOR_NS)
		ns = PA_LAG_FLOOR_NS;
	octave = 63u - (uint32_t)__builtin_clzll(ns);
	return ((octave - PA_LAG_OCTAVE) << PA_LAG_SUB_BITS) +
	       (uint32_t)(ns >> (octave - PA_LAG_SUB_BITS) & ((1u << PA_LAG_SUB_BITS) - 1));
}

uint64_t pa_lag_value(uint32_t bucket)
{
	uint32_t shift = PA_LAG_OCTAVE + (bucket >> PA_LAG_SUB_BITS) - PA_LAG_SUB_BITS;
	uint64_t steps = (1u << PA_LAG_SUB_BITS) + (bucket & ((1u << PA_LAG_SUB_BITS) - 1));

	return (steps << shift) + (UINT64_C(1) << (shift - 1));
}

static uint64_t total(const struct pa_lag *lag)
{
	uint64_t all = lag->small;

	for (uint32_t i = 0; i < PA_LAG_BUCKETS; i++)
		all += lag->counts[i];
	return all;
}

uint64_t pa_lag_quantile(const struct pa_lag *lag, uint32_t permille)
{
	uint64_t all = total(lag), seen = lag->small, value = 0;
	/* all * permille may not fit */
	uint64_t rank = all / 1000 * permille + (all % 1000 * permille + 999) / 1000;

	if (!all)
		return 0;
	if (!rank)
		rank = 1;
	if (rank <= seen)
		return lag->small_ns / lag->small;
	for (uint32_t i = 0; i < PA_LAG_BUCKETS && seen < rank; i++) {
		seen += lag->counts[i];
		value = pa_lag_value(i);
	}
	return value < lag->max_ns || !lag->max_ns ? value : lag->max_ns;
}

uint64_t pa_lag_from(const struct pa_lag *lag, uint64_t ns)
{
	uint64_t nr = 0;

	for (uint32_t i = pa_lag_bucket(ns); i < PA_LAG_BUCKETS; i++)
		nr += lag->counts[i];
	return nr;
}

size_t pa_lag_encode(const uint64_t counts[PA_LAG_BUCKETS], uint8_t *out)
{
	uint32_t next = 0;
	size_t at = 0;

	out[at++] = VERSION;
	for (uint32_t i = 0; i < PA_LAG_BUCKETS; i++) {
		if (!counts[i])
			continue;
		at += pa_varint_put(out + at, i - next);
		at += pa_varint_put(out + at, counts[i]);
		next = i + 1;
	}
	return at;
}

int pa_lag_decode(const uint8_t *data, size_t len, uint64_t counts[PA_LAG_BUCKETS])
{
	struct pa_cursor c = {data, len, 1};
	uint64_t gap, count, next = 0;

	if (!len)
		return -EBADMSG;
	if (data[0] != VERSION)
		return -EPROTONOSUPPORT;
	while (c.at < len) {
		if (next >= PA_LAG_BUCKETS || pa_varint_get(&c, PA_LAG_BUCKETS - 1 - next, &gap) ||
		    pa_varint_get(&c, COUNT_MAX, &count))
			return -EBADMSG;
		counts[next + gap] += count;
		next += gap + 1;
	}
	return 0;
}
