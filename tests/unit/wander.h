/* Stacks that change at random: six functions with frames of different sizes call each other, and visit now and then.
 * Whoever includes this sets the two pointers, seeds rand, and begins with functions[rand() % FUNCTIONS](depth). */
#ifndef PA_TESTS_WANDER_H
#define PA_TESTS_WANDER_H

#include <stdbool.h>
#include <stdlib.h>

#define FUNCTIONS 6
static void (*const functions[FUNCTIONS])(unsigned depth);
static bool (*wander_goes_on)(void);
static void (*wander_visit)(void);
static volatile int wander_sink;

/* At each level: now and then a visit, now and then a few calls, frames of different sizes at the same places. */
static __attribute__((noinline)) void wander(unsigned depth, volatile char *room)
{
	room[0] = (char)depth;
	if (!wander_goes_on())
		return;
	if (rand() % 4 == 0 || depth == 0)
		wander_visit();
	for (int i = rand() % 3; depth > 0 && i >= 0; i--)
		functions[rand() % FUNCTIONS](depth - 1);
	wander_sink++;
}

#define FUNCTION(n, bytes)                                                                                             \
	static __attribute__((noinline)) void function##n(unsigned depth)                                              \
	{                                                                                                              \
		volatile char room[bytes];                                                                             \
		wander(depth, room);                                                                                   \
		wander_sink += room[0];                                                                                \
	}
FUNCTION(0, 8)
FUNCTION(1, 24)
FUNCTION(2, 24)
FUNCTION(3, 200)
FUNCTION(4, 8)
FUNCTION(5, 72)

static void (*const functions[FUNCTIONS])(unsigned depth) = {function0, function1, function2,
							     function3, function4, function5};

#endif
