/* grow SECONDS KIND: a program whose heap grows by 999983 bytes every 20 ms (leaking), or stays (steady): it then frees
 * what it allocates. Half as much is allocated before it says "ready". */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/targets/target.h"

#define BLOCK 999983

static void *volatile kept;

__attribute__((noinline)) static void keep_more(void)
{
	void **p = malloc(BLOCK);
	*p = kept;
	kept = p;
}

__attribute__((noinline)) static void keep_nothing(void)
{
	char *p = malloc(BLOCK);
	memset(p, 1, BLOCK);
	kept = p;
	free(p);
}

int main(int argc, char **argv)
{
	const struct timespec pause = {.tv_nsec = 20000000};
	long turns = argc > 1 ? atol(argv[1]) * 50 : 0;
	int leaking = argc > 2 && !strcmp(argv[2], "leaking");

	for (int i = 0; i < 25; i++)
		keep_more();
	void *before = kept;
	puts("ready");
	fflush(stdout);
	for (long i = 0; i < turns; i++) {
		if (leaking)
			keep_more();
		else
			keep_nothing();
		nanosleep(&pause, NULL);
	}
	if (!leaking)
		kept = before;
	return 0;
}
