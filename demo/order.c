/* Orders as text: a small writer and a parser for the one shape that occurs. */
#include <stdio.h>
#include <string.h>

#include "shop.h"

static const char *const fruit[] = {"pear", "apple", "quince", "medlar", "damson", "cherry", "plum", "mulberry"};

static uint32_t next_random(uint32_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 17;
	*state ^= *state << 5;
	return *state;
}

size_t order_write(uint32_t seed, char *text, size_t size)
{
	uint32_t state = seed * 2654435761u | 1, nr = 120 + next_random(&state) % 120;
	size_t n = (size_t)snprintf(text, size, "{\"customer\":%u,\"items\":[", seed);

	for (uint32_t i = 0; i < nr && n + 96 < size; i++) {
		uint32_t r = next_random(&state);

		n += (size_t)snprintf(text + n, size - n, "%s{\"name\":\"%s-%u\",\"quantity\":%u,\"price\":%u}",
				      i ? "," : "", fruit[r % 8], r >> 8 & 1023, 1 + (r >> 3) % 9,
				      10 + (r >> 7) % 9000);
	}
	return n + (size_t)snprintf(text + n, size - n, "]}");
}

static const char *skip_to(const char *at, char wanted)
{
	while (*at && *at != wanted)
		at++;
	return *at ? at + 1 : NULL;
}

static const char *parse_number(const char *at, uint64_t *value)
{
	*value = 0;
	for (; *at >= '0' && *at <= '9'; at++)
		*value = *value * 10 + (uint64_t)(*at - '0');
	return at;
}

static const char *parse_string(const char *at, char *out, size_t size)
{
	size_t n = 0;

	for (at = skip_to(at, '"'); at && *at && *at != '"'; at++)
		if (n + 1 < size)
			out[n++] = *at;
	out[n] = 0;
	return at;
}

static __attribute__((noinline)) const char *parse_item(const char *at, struct item *item)
{
	uint64_t value;

	at = skip_to(at, ':');
	at = at ? parse_string(at, item->name, sizeof(item->name)) : NULL;
	at = at ? skip_to(at, ':') : NULL;
	if (!at)
		return NULL;
	at = skip_to(parse_number(at, &value), ':');
	item->quantity = (uint32_t)value;
	return at ? parse_number(at, &item->price_cents) : NULL;
}

int order_parse(const char *text, struct order *out)
{
	const char *at = skip_to(text, ':');
	uint64_t customer;

	if (!at)
		return -1;
	at = skip_to(parse_number(at, &customer), '[');
	out->customer = (uint32_t)customer;
	for (out->nr_items = 0; at && out->nr_items < ITEMS_MAX; out->nr_items++) {
		at = parse_item(at, &out->items[out->nr_items]);
		at = at ? skip_to(at, '}') : NULL;
		if (at && *at == ']')
			return 0;
	}
	return -1;
}
