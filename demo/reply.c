/* What is done with an order: sort it, write it out, pack the text, sign the packet. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shop.h"

#define WINDOW    64
#define MATCH_MIN 4
#define MATCH_MAX 255

static int compare_items(const void *a, const void *b)
{
	const struct item *x = a, *y = b;
	int by_name = strcmp(x->name, y->name);

	return by_name ? by_name : (x->price_cents > y->price_cents) - (x->price_cents < y->price_cents);
}

void order_sort(struct order *order)
{
	qsort(order->items, order->nr_items, sizeof(order->items[0]), compare_items);
}

size_t reply_write(const struct order *order, char *text, size_t size)
{
	size_t n = (size_t)snprintf(text, size, "customer %u\n", order->customer);
	uint64_t total = 0;

	for (size_t i = 0; i < order->nr_items && n + 96 < size; i++) {
		const struct item *item = &order->items[i];

		total += item->quantity * item->price_cents;
		n += (size_t)snprintf(text + n, size - n, "%-24s %4u x %8llu.%02llu\n", item->name, item->quantity,
				      (unsigned long long)item->price_cents / 100,
				      (unsigned long long)item->price_cents % 100);
	}
	return n + (size_t)snprintf(text + n, size - n, "total %llu\n", (unsigned long long)total);
}

/* The longest earlier run of the bytes at `at`: tries every distance, which is where the time goes. */
static __attribute__((noinline)) size_t longest_match(const uint8_t *in, size_t at, size_t len, size_t *distance)
{
	size_t best = 0, most = len - at < MATCH_MAX ? len - at : MATCH_MAX;

	for (size_t d = 1; d <= at && d < WINDOW; d++) {
		size_t n = 0;

		while (n < most && in[at + n] == in[at + n - d])
			n++;
		if (n > best) {
			best = n;
			*distance = d;
		}
	}
	return best;
}

size_t reply_pack(const uint8_t *in, size_t len, uint8_t *out, size_t size)
{
	size_t n = 0, distance = 0;

	for (size_t at = 0; at < len && n + 4 <= size;) {
		size_t run = longest_match(in, at, len, &distance);

		if (run < MATCH_MIN) {
			out[n++] = 0;
			out[n++] = in[at++];
			continue;
		}
		out[n++] = (uint8_t)run;
		out[n++] = (uint8_t)(distance >> 8);
		out[n++] = (uint8_t)distance;
		at += run;
	}
	return n;
}

/* A slow, many-round mix: FNV-1a over and over. */
__attribute__((noinline)) uint64_t reply_sign(const uint8_t *data, size_t len)
{
	uint64_t hash = 14695981039346656037u;

	for (int round = 0; round < 16; round++)
		for (size_t i = 0; i < len; i++)
			hash = (hash ^ data[i]) * 1099511628211u;
	return hash;
}
