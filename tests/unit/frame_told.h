/* What the tests of one framer share: what has been told in this test, how often a text stands in it, and its end. */
#ifndef PA_TESTS_FRAME_TOLD_H
#define PA_TESTS_FRAME_TOLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/frame_util.h"

static struct told told;

static inline int reset(void **state)
{
	told_free(&told);
	return 0;
}

static inline unsigned times(const char *text)
{
	unsigned n = 0;

	for (const char *at = told.text; at && (at = strstr(at, text)); at++)
		n++;
	return n;
}

#endif
