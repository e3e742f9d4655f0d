/* Allocates when nobody expects it (rows R44, R50): while the loader still relocates this library (the resolver of an
 * indirect function; whatever is preloaded is not relocated then), in a constructor that runs before the agent's, and
 * in a destructor that runs after the agent's. Built with -fno-plt: a resolver may only call through slots that are
 * filled. */
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern void *mallocearly_constructed;
void *mallocearly_resolved(int which);
int mallocearly_one(void);

/* static, so that no relocation by name is needed to reach them */
static void *resolved[4];
static int usable;

static int one(void)
{
	return 1;
}

static int (*resolve_one(void))(void)
{
	resolved[0] = malloc(1111);
	resolved[1] = calloc(3, 1111);
	resolved[2] = realloc(malloc(50), 2222);
	usable = malloc_usable_size(resolved[0]) >= 1111;
	free(malloc(777));
	resolved[3] = malloc(0);
	return one;
}

__attribute__((visibility("hidden"))) int indirect_one(void) __attribute__((ifunc("resolve_one")));

int mallocearly_one(void)
{
	return indirect_one() + usable;
}

void *mallocearly_resolved(int which)
{
	return resolved[which];
}

void *mallocearly_constructed;

__attribute__((constructor)) static void early(void)
{
	char *p = malloc(3000);

	memset(p, 'c', 3000);
	mallocearly_constructed = p;
	for (int i = 0; i < 1000; i++)
		free(malloc((size_t)i));
}

__attribute__((destructor)) static void late(void)
{
	static const char text[] = "the library's destructor has allocated\n";
	void *p[100];

	for (int round = 0; round < 20; round++) {
		for (int i = 0; i < 100; i++)
			p[i] = i % 2 ? malloc((size_t)i * 100) : calloc(1, (size_t)i);
		for (int i = 0; i < 100; i++)
			free(p[i]);
	}
	if (write(1, text, sizeof text - 1) < 0)
		_exit(97);
}
