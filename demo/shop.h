/* The demo service: orders come in as text, are parsed, priced, sorted, packed and signed. A job small enough to read
 * and busy enough to have hot spots. Not part of perfagent: it knows nothing of being profiled. */
#ifndef DEMO_SHOP_H
#define DEMO_SHOP_H

#include <stddef.h>
#include <stdint.h>

#define ITEMS_MAX 256
#define TEXT_MAX  16384

struct item {
	char name[24];
	uint32_t quantity;
	uint64_t price_cents;
};

struct order {
	uint32_t customer;
	size_t nr_items;
	struct item items[ITEMS_MAX];
};

/* order.c: {"customer":1,"items":[{"name":"pear","quantity":2,"price":199}, ...]} and back. */
size_t order_write(uint32_t seed, char *text, size_t size);
int order_parse(const char *text, struct order *out);

/* reply.c */
void order_sort(struct order *order);
size_t reply_write(const struct order *order, char *text, size_t size);
size_t reply_pack(const uint8_t *in, size_t len, uint8_t *out, size_t size);
uint64_t reply_sign(const uint8_t *data, size_t len);

#endif
