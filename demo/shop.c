/* The service: a queue of orders, a thread that fills it, workers that serve it, until the CPU budget is used up. */
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "shop.h"

#define WORKERS 3
#define QUEUE   16

static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	char text[QUEUE][TEXT_MAX];
	size_t head, tail;
	bool closed;
	unsigned long served;
	uint64_t signature;
} shop = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static double cpu_seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static uint64_t serve_order(const char *text)
{
	struct order order;
	char reply[TEXT_MAX];
	uint8_t packed[TEXT_MAX];
	size_t len;

	if (order_parse(text, &order) < 0)
		return 0;
	order_sort(&order);
	len = reply_write(&order, reply, sizeof(reply));
	len = reply_pack((const uint8_t *)reply, len, packed, sizeof(packed));
	return reply_sign(packed, len);
}

static bool take_order(char *text)
{
	bool got;

	pthread_mutex_lock(&shop.lock);
	while (shop.head == shop.tail && !shop.closed)
		pthread_cond_wait(&shop.changed, &shop.lock);
	got = shop.head != shop.tail;
	if (got)
		strcpy(text, shop.text[shop.tail++ % QUEUE]);
	pthread_cond_broadcast(&shop.changed);
	pthread_mutex_unlock(&shop.lock);
	return got;
}

static void *worker(void *arg)
{
	char text[TEXT_MAX];

	(void)arg;
	while (take_order(text)) {
		uint64_t signature = serve_order(text);

		pthread_mutex_lock(&shop.lock);
		shop.served++;
		shop.signature ^= signature;
		pthread_mutex_unlock(&shop.lock);
	}
	return NULL;
}

static void fill_queue(double budget)
{
	char text[TEXT_MAX];

	for (uint32_t seed = 1; cpu_seconds() < budget; seed++) {
		order_write(seed, text, sizeof(text));
		pthread_mutex_lock(&shop.lock);
		while (shop.head - shop.tail == QUEUE)
			pthread_cond_wait(&shop.changed, &shop.lock);
		strcpy(shop.text[shop.head++ % QUEUE], text);
		pthread_cond_broadcast(&shop.changed);
		pthread_mutex_unlock(&shop.lock);
	}
	pthread_mutex_lock(&shop.lock);
	shop.closed = true;
	pthread_cond_broadcast(&shop.changed);
	pthread_mutex_unlock(&shop.lock);
}

int main(int argc, char **argv)
{
	double budget = argc > 1 ? strtod(argv[1], NULL) : 5;
	pthread_t threads[WORKERS];

	if (budget <= 0) {
		fprintf(stderr, "usage: shop [CPU-SECONDS]\n");
		return 2;
	}
	for (int i = 0; i < WORKERS; i++) {
		if (pthread_create(&threads[i], NULL, worker, NULL)) {
			fprintf(stderr, "shop: no thread\n");
			return 1;
		}
		pthread_setname_np(threads[i], "shop-worker");
	}
	fill_queue(budget);
	for (int i = 0; i < WORKERS; i++)
		pthread_join(threads[i], NULL);
	printf("shop: %lu orders in %.1f s of CPU, signature %016llx\n", shop.served, cpu_seconds(),
	       (unsigned long long)shop.signature);
	return 0;
}
