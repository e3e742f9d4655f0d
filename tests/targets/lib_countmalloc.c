/* Counts the calls of the allocator: preloaded beside the agent, it shows whether anything but the program allocates.
 */
#include <errno.h>
#include <stddef.h>

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t nr, size_t size);
extern void *__libc_realloc(void *p, size_t size);
extern void *__libc_memalign(size_t align, size_t size);
extern void __libc_free(void *p);
unsigned long countmalloc_calls(void);

static _Atomic unsigned long calls;

unsigned long countmalloc_calls(void)
{
	return calls;
}

void *malloc(size_t size)
{
	calls++;
	return __libc_malloc(size);
}

void *calloc(size_t nr, size_t size)
{
	calls++;
	return __libc_calloc(nr, size);
}

void *realloc(void *p, size_t size)
{
	calls++;
	return __libc_realloc(p, size);
}

void *aligned_alloc(size_t align, size_t size)
{
	calls++;
	return __libc_memalign(align, size);
}

void *memalign(size_t align, size_t size)
{
	calls++;
	return __libc_memalign(align, size);
}

int posix_memalign(void **out, size_t align, size_t size)
{
	calls++;
	*out = __libc_memalign(align, size);
	return *out ? 0 : ENOMEM;
}

void free(void *p)
{
	calls += p != NULL;
	__libc_free(p);
}
