/* Packing and unpacking of heap chunks; the format stands in the header. World: plain. */
#include "collector/store_heapchunk.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <string.h>

static size_t put_float(uint8_t *out, double value)
{
	float f = value < FLT_MAX ? (float)value : FLT_MAX;
	uint32_t bits;

	memcpy(&bits, &f, sizeof(bits));
	for (int i = 0; i < 4; i++)
		out[i] = (uint8_t)(bits >> (8 * i));
	return 4;
}

static size_t put_head(uint8_t *out, size_t nr)
{
	out[0] = PA_HEAPCHUNK_VERSION;
	return 1 + pa_varint_put(out + 1, nr);
}

/* next: the lowest id that can come; moves past this one. */
static size_t put_stack(uint8_t *out, uint32_t stack, uint64_t *next)
{
	size_t n = pa_varint_put(out, stack - *next);

	*next = (uint64_t)stack + 1;
	return n;
}

static unsigned mask_of(const struct pa_store_heap_delta *d)
{
	unsigned mask = 0;

	if (d->calls || d->bytes)
		mask |= PA_HC_ALLOCATED;
	if ((d->frees || d->freed) && d->frees == d->calls && d->freed == d->bytes)
		mask |= PA_HC_ALL_FREED;
	else if (d->frees || d->freed)
		mask |= PA_HC_FREED;
	if (d->temporary || d->temporary_bytes)
		mask |= d->temporary == d->frees && d->temporary_bytes == d->freed ? PA_HC_ALL_TEMPORARY
										   : PA_HC_TEMPORARY;
	if (d->samples)
		mask |= PA_HC_SAMPLES;
	if (d->var_bytes > 0)
		mask |= PA_HC_VAR_BYTES;
	if (d->var_freed > 0)
		mask |= PA_HC_VAR_FREED;
	return mask;
}

static size_t put_delta(uint8_t *out, const struct pa_store_heap_delta *d)
{
	unsigned mask = mask_of(d);
	size_t n = 1;

	out[0] = (uint8_t)mask;
	if (mask & PA_HC_ALLOCATED) {
		n += pa_varint_put(out + n, d->calls);
		n += pa_varint_put(out + n, d->bytes);
	}
	if (mask & PA_HC_FREED) {
		n += pa_varint_put(out + n, d->frees);
		n += pa_varint_put(out + n, d->freed);
	}
	if (mask & PA_HC_TEMPORARY) {
		n += pa_varint_put(out + n, d->temporary);
		n += pa_varint_put(out + n, d->temporary_bytes);
	}
	if (mask & PA_HC_SAMPLES)
		n += pa_varint_put(out + n, d->samples);
	if (mask & PA_HC_VAR_BYTES)
		n += put_float(out + n, d->var_bytes);
	if (mask & PA_HC_VAR_FREED)
		n += put_float(out + n, d->var_freed);
	return n;
}

size_t pa_heapchunk_encode(const struct pa_store_heap_delta *deltas, size_t nr, uint8_t *out)
{
	size_t n = put_head(out, nr);
	uint64_t next = 0;

	for (size_t i = 0; i < nr; i++) {
		n += put_stack(out + n, deltas[i].stack, &next);
		n += put_delta(out + n, &deltas[i]);
	}
	return n;
}

size_t pa_heapheld_encode(const struct pa_store_heap_held *held, size_t nr, uint8_t *out)
{
	size_t n = put_head(out, nr);
	uint64_t next = 0;

	for (size_t i = 0; i < nr; i++) {
		n += put_stack(out + n, held[i].stack, &next);
		n += pa_varint_put(out + n, held[i].calls);
		n += pa_varint_put(out + n, held[i].bytes);
	}
	return n;
}

/* ---- reading: each returns 0 or -EBADMSG with the cursor at the first bad byte -------------------------------------
 */

static int get_head(struct pa_cursor *c, uint64_t *wanted)
{
	if (c->len == 0)
		return -EBADMSG;
	if (c->data[0] != PA_HEAPCHUNK_VERSION)
		return -EPROTONOSUPPORT;
	c->at = 1;
	if (pa_varint_get(c, PA_HEAPCHUNK_STACKS, wanted))
		return -EBADMSG;
	if (*wanted)
		return 0;
	c->at = 1;
	return -EBADMSG;
}

static int get_stack(struct pa_cursor *c, uint64_t *next, uint32_t *stack)
{
	uint64_t gap;

	if (*next > UINT32_MAX || pa_varint_get(c, UINT32_MAX - *next, &gap))
		return -EBADMSG;
	*stack = (uint32_t)(*next + gap);
	*next += gap + 1;
	return 0;
}

static int get_float(struct pa_cursor *c, double *value)
{
	uint32_t bits = 0;
	float f;

	if (c->len - c->at < 4)
		return -EBADMSG;
	for (int i = 0; i < 4; i++)
		bits |= (uint32_t)c->data[c->at + (size_t)i] << (8 * i);
	memcpy(&f, &bits, sizeof(f));
	if (!isfinite(f) || signbit(f))
		return -EBADMSG;
	*value = (double)f;
	c->at += 4;
	return 0;
}

static int get_mask(struct pa_cursor *c, unsigned *mask)
{
	if (c->at == c->len)
		return -EBADMSG;
	*mask = c->data[c->at];
	if ((*mask & PA_HC_FREED && *mask & PA_HC_ALL_FREED) ||
	    (*mask & PA_HC_TEMPORARY && *mask & PA_HC_ALL_TEMPORARY))
		return -EBADMSG;
	c->at++;
	return 0;
}

static int get_pair(struct pa_cursor *c, uint64_t *calls, uint64_t *bytes)
{
	return pa_varint_get(c, UINT64_MAX, calls) || pa_varint_get(c, UINT64_MAX, bytes) ? -EBADMSG : 0;
}

static int get_delta(struct pa_cursor *c, struct pa_store_heap_delta *d)
{
	unsigned mask;

	if (get_mask(c, &mask) || (mask & PA_HC_ALLOCATED && get_pair(c, &d->calls, &d->bytes)) ||
	    (mask & PA_HC_FREED && get_pair(c, &d->frees, &d->freed)))
		return -EBADMSG;
	if (mask & PA_HC_ALL_FREED) {
		d->frees = d->calls;
		d->freed = d->bytes;
	}
	if (mask & PA_HC_ALL_TEMPORARY) {
		d->temporary = d->frees;
		d->temporary_bytes = d->freed;
	}
	if ((mask & PA_HC_TEMPORARY && get_pair(c, &d->temporary, &d->temporary_bytes)) ||
	    (mask & PA_HC_SAMPLES && pa_varint_get(c, UINT64_MAX, &d->samples)) ||
	    (mask & PA_HC_VAR_BYTES && get_float(c, &d->var_bytes)) ||
	    (mask & PA_HC_VAR_FREED && get_float(c, &d->var_freed)))
		return -EBADMSG;
	return 0;
}

/* All stacks are there: nothing may follow. */
static int at_end(const struct pa_cursor *c)
{
	return c->at == c->len ? 0 : -EBADMSG;
}

int pa_heapchunk_decode(const uint8_t *data, size_t len, struct pa_store_heap_delta *out, size_t *nr, size_t *where)
{
	struct pa_cursor c = {.data = data, .len = len};
	uint64_t wanted = 0, next = 0;
	int err;

	*nr = 0;
	err = get_head(&c, &wanted);
	while (!err && *nr < wanted) {
		struct pa_store_heap_delta d = {0};

		if (get_stack(&c, &next, &d.stack) || get_delta(&c, &d))
			err = -EBADMSG;
		else
			out[(*nr)++] = d;
	}
	*where = c.at;
	return err ? err : at_end(&c);
}

int pa_heapheld_decode(const uint8_t *data, size_t len, struct pa_store_heap_held *out, size_t *nr, size_t *where)
{
	struct pa_cursor c = {.data = data, .len = len};
	uint64_t wanted = 0, next = 0;
	int err;

	*nr = 0;
	err = get_head(&c, &wanted);
	while (!err && *nr < wanted) {
		struct pa_store_heap_held h = {0};

		if (get_stack(&c, &next, &h.stack) || get_pair(&c, &h.calls, &h.bytes))
			err = -EBADMSG;
		else
			out[(*nr)++] = h;
	}
	*where = c.at;
	return err ? err : at_end(&c);
}
