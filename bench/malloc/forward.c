/* The floor of every hook on malloc: a library in front of libc that does nothing but call the next function in line.
 */
#include <dlfcn.h>
#include <errno.h>
#include <stddef.h>

void *malloc(size_t size);
void free(void *p);
void *calloc(size_t nr, size_t size);
void *realloc(void *p, size_t size);

/* libc's own names, so that nothing has to be looked up while the program starts */
extern void *__libc_malloc(size_t size);
extern void __libc_free(void *p);
extern void *__libc_calloc(size_t nr, size_t size);
extern void *__libc_realloc(void *p, size_t size);

static void *(*real_malloc)(size_t) = __libc_malloc;
static void (*real_free)(void *) = __libc_free;
static void *(*real_calloc)(size_t, size_t) = __libc_calloc;
static void *(*real_realloc)(void *, size_t) = __libc_realloc;

void *malloc(size_t size)
{
	return real_malloc(size);
}

void free(void *p)
{
	real_free(p);
}

void *calloc(size_t nr, size_t size)
{
	return real_calloc(nr, size);
}

void *realloc(void *p, size_t size)
{
	return real_realloc(p, size);
}

__attribute__((constructor)) static void init(void)
{
	real_malloc = dlsym(RTLD_NEXT, "malloc");
	real_free = dlsym(RTLD_NEXT, "free");
	real_calloc = dlsym(RTLD_NEXT, "calloc");
	real_realloc = dlsym(RTLD_NEXT, "realloc");
}
