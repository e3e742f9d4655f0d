/* Loaded and unloaded by malloc_books: allocates, and is gone when its blocks are freed. */
#include <stdlib.h>

void *plug_make(size_t size);

static volatile unsigned made;

__attribute__((noinline)) void *plug_make(size_t size)
{
	void *p = malloc(size);

	made++;
	return p;
}
