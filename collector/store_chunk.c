/* Packing and unpacking of sample chunks; the format stands in the header. World: plain. */
#include "collector/store_chunk.h"

#include <errno.h>
#include <string.h>

#include "collector/varint.h"

static int before(const struct pa_store_sample *a, const struct pa_store_sample *b)
{
	if (a->thread != b->thread)
		return a->thread < b->thread;
	return a->time_ns < b->time_ns;
}

/* Merges the sorted runs [0, mid) and [mid, nr) of `from` into `to`; equal elements keep their order. */
static void merge(const struct pa_store_sample *from, size_t mid, size_t nr, struct pa_store_sample *to)
{
	size_t a = 0, b = mid;

	for (size_t i = 0; i < nr; i++)
		to[i] = b == nr || (a < mid && !before(&from[b], &from[a])) ? from[a++] : from[b++];
}

/* A merge sort of our own because qsort is not stable, and samples of one instant must stay in order. */
static void sort(struct pa_store_sample *samples, size_t nr, struct pa_store_sample *scratch)
{
	for (size_t width = 1; width < nr; width *= 2) {
		for (size_t at = 0; at < nr; at += 2 * width) {
			size_t left = nr - at < width ? nr - at : width;
			size_t both = nr - at < 2 * width ? nr - at : 2 * width;

			merge(samples + at, left, both, scratch + at);
		}
		memcpy(samples, scratch, nr * sizeof(*samples));
	}
}

static size_t put_sample(uint8_t *out, const struct pa_store_sample *s, uint64_t before_us)
{
	size_t n = pa_varint_put(out, s->time_ns / PA_CHUNK_UNIT_NS - before_us);

	n += pa_varint_put(out + n, (uint64_t)s->stack << 1 | (s->weight != 1));
	if (s->weight != 1)
		n += pa_varint_put(out + n, s->weight);
	return n;
}

static size_t group_length(const struct pa_store_sample *samples, size_t nr)
{
	size_t n = 1;

	while (n < nr && samples[n].thread == samples[0].thread)
		n++;
	return n;
}

size_t pa_chunk_encode(struct pa_store_sample *samples, size_t nr, struct pa_store_sample *scratch, uint8_t *out)
{
	uint64_t base = UINT64_MAX;
	size_t n = 0;

	sort(samples, nr, scratch);
	for (size_t i = 0; i < nr; i++)
		base = samples[i].time_ns < base ? samples[i].time_ns : base;
	base /= PA_CHUNK_UNIT_NS;
	out[n++] = PA_CHUNK_VERSION;
	n += pa_varint_put(out + n, nr);
	n += pa_varint_put(out + n, base);
	for (size_t i = 0; i < nr;) {
		size_t end = i + group_length(samples + i, nr - i);
		uint64_t last = base;

		n += pa_varint_put(out + n, samples[i].thread);
		n += pa_varint_put(out + n, end - i);
		for (; i < end; i++) {
			n += put_sample(out + n, &samples[i], last);
			last = samples[i].time_ns / PA_CHUNK_UNIT_NS;
		}
	}
	return n;
}

static int get_sample(struct pa_cursor *c, uint64_t *us, struct pa_store_sample *out)
{
	uint64_t delta, stack, weight = 1;

	if (pa_varint_get(c, UINT64_MAX / PA_CHUNK_UNIT_NS - *us, &delta) ||
	    pa_varint_get(c, (uint64_t)UINT32_MAX << 1 | 1, &stack))
		return -EBADMSG;
	if ((stack & 1) && pa_varint_get(c, UINT32_MAX, &weight))
		return -EBADMSG;
	*us += delta;
	out->time_ns = *us * PA_CHUNK_UNIT_NS;
	out->stack = (uint32_t)(stack >> 1);
	out->weight = (uint32_t)weight;
	return 0;
}

static int get_group(struct pa_cursor *c, uint64_t base, size_t wanted, struct pa_store_sample *out, size_t *nr)
{
	uint64_t thread, count = 0, us = base;

	if (pa_varint_get(c, UINT32_MAX, &thread) || pa_varint_get(c, wanted - *nr, &count) || count == 0)
		return -EBADMSG;
	for (; count; count--) {
		out[*nr].thread = (uint32_t)thread;
		if (get_sample(c, &us, &out[*nr]))
			return -EBADMSG;
		(*nr)++;
	}
	return 0;
}

int pa_chunk_decode(const uint8_t *data, size_t len, struct pa_store_sample *out, size_t *nr, size_t *where)
{
	struct pa_cursor c = {.data = data, .len = len};
	uint64_t wanted = 0, base = 0;
	int err = 0;

	*nr = *where = 0;
	if (len == 0)
		return -EBADMSG;
	if (data[0] != PA_CHUNK_VERSION)
		return -EPROTONOSUPPORT;
	c.at = 1;
	if (pa_varint_get(&c, PA_CHUNK_SAMPLES, &wanted) || wanted == 0 ||
	    pa_varint_get(&c, UINT64_MAX / PA_CHUNK_UNIT_NS, &base))
		err = -EBADMSG;
	while (!err && *nr < wanted)
		err = get_group(&c, base, wanted, out, nr);
	if (!err && c.at != len)
		err = -EBADMSG;
	*where = c.at;
	return err;
}
