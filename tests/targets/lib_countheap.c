/* Preloaded behind the agent: counts what reaches the C library, in a file that the program shares with whoever maps it
 * ($PA_COUNTHEAP), so that the figures stand whenever and however the program ends. All processes that inherit the
 * variable add to the same file. The second set of figures is from the moment just before the agent was initialised:
 * what was counted until then the agent cannot know.
 *
 * A realloc that succeeds is a free (of a block) and an allocation (of a block); free(NULL) and failures are nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t nr, size_t size);
extern void *__libc_realloc(void *p, size_t size);
extern void *__libc_memalign(size_t align, size_t size);
extern void *__libc_valloc(size_t size);
extern void *__libc_pvalloc(size_t size);
extern void __libc_free(void *p);

struct counts {
	_Atomic uint64_t calls, bytes, frees;
	_Atomic uint64_t calls_before, bytes_before, frees_before;
};

static struct counts own;
static struct counts *counts = &own;

static void *allocated(void *p, size_t size)
{
	if (p) {
		counts->calls++;
		counts->bytes += size;
	}
	return p;
}

/* The agent is the first of the preloads, so its constructor runs right after this. In a forked child this is not
 * called again: it adds to its parent's. */
__attribute__((constructor)) static void begin(void)
{
	const char *name = program_invocation_short_name, *wanted = getenv("PA_COUNTHEAP");
	size_t len = strlen(name);
	int fd = -1;
	struct counts *shared;

	if (wanted && !strncmp(wanted, name, len) && wanted[len] == '=')
		fd = open(wanted + len + 1, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	if (fd < 0 || ftruncate(fd, 4096) != 0)
		return;
	shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (shared == MAP_FAILED)
		return;
	shared->calls_before += own.calls;
	shared->bytes_before += own.bytes;
	shared->frees_before += own.frees;
	shared->calls += own.calls;
	shared->bytes += own.bytes;
	shared->frees += own.frees;
	counts = shared;
}

void *malloc(size_t size)
{
	return allocated(__libc_malloc(size), size);
}

void *calloc(size_t nr, size_t size)
{
	return allocated(__libc_calloc(nr, size), nr * size);
}

void *realloc(void *p, size_t size)
{
	void *q = __libc_realloc(p, size);

	counts->frees += p && (q || size == 0);
	return allocated(q, size);
}

void *reallocarray(void *p, size_t nr, size_t size)
{
	size_t bytes;

	if (__builtin_mul_overflow(nr, size, &bytes)) {
		errno = ENOMEM;
		return NULL;
	}
	return realloc(p, bytes);
}

void *memalign(size_t align, size_t size)
{
	return allocated(__libc_memalign(align, size), size);
}

void *aligned_alloc(size_t align, size_t size)
{
	return memalign(align, size);
}

void *valloc(size_t size)
{
	return allocated(__libc_valloc(size), size);
}

void *pvalloc(size_t size)
{
	return allocated(__libc_pvalloc(size), size);
}

int posix_memalign(void **out, size_t align, size_t size)
{
	int before = errno;
	void *p;

	if (align % sizeof(void *) || (align & (align - 1)) || !align)
		return EINVAL;
	p = memalign(align, size);
	errno = before;
	if (!p)
		return ENOMEM;
	*out = p;
	return 0;
}

void free(void *p)
{
	counts->frees += p != NULL;
	__libc_free(p);
}
