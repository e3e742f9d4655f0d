/* A program with an allocator of its own inside (row R49): a library that is preloaded is not asked, and must neither
 * hand out blocks that this one does not know nor claim to have seen what it did. OWN_BLOCK checks that every block
 * that comes back is ours. */
#include <malloc.h>
#include <sys/mman.h>

#include "tests/targets/target.h"

#define HEAP_BYTES ((size_t)256 << 20)
#define OWN_BLOCK  0x6f776e20626c6f63u

struct head {
	size_t size;
	uint64_t magic;
};

static char *heap;
static _Atomic size_t used;
static _Atomic uint64_t own_calls, foreign;

/* Never gives anything back: enough for a test. */
static void *take(size_t align, size_t size)
{
	size_t at;
	struct head *h;

	if (!heap) {
		heap =
		    mmap(NULL, HEAP_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (heap == MAP_FAILED)
			_exit(99);
	}
	own_calls++;
	if (size > HEAP_BYTES) {
		errno = ENOMEM;
		return NULL;
	}
	at = (used += size + align + sizeof *h + 16) - size - align;
	at = (at + align - 1) & ~(align - 1);
	h = (struct head *)(heap + at) - 1;
	h->size = size;
	h->magic = OWN_BLOCK;
	return h + 1;
}

static struct head *head_of(void *p)
{
	struct head *h =
	    (struct head *)((uintptr_t)p - sizeof *h); /* before the block, whatever the compiler thinks of it */

	if ((char *)p > heap && (char *)p < heap + HEAP_BYTES && h->magic == OWN_BLOCK)
		return h;
	foreign++;
	return NULL;
}

void *malloc(size_t size)
{
	return take(16, size);
}

void *calloc(size_t nr, size_t size)
{
	return nr && size > SIZE_MAX / nr ? NULL : take(16, nr * size);
}

void *realloc(void *p, size_t size)
{
	void *q = take(16, size);
	struct head *h = p ? head_of(p) : NULL;

	if (q && h)
		memcpy(q, p, h->size < size ? h->size : size);
	return q;
}

void *memalign(size_t align, size_t size)
{
	return take(align < 16 ? 16 : align, size);
}

void *aligned_alloc(size_t align, size_t size)
{
	return memalign(align, size);
}

int posix_memalign(void **out, size_t align, size_t size)
{
	*out = memalign(align, size);
	return *out ? 0 : ENOMEM;
}

size_t malloc_usable_size(void *p)
{
	struct head *h = p ? head_of(p) : NULL;

	return h ? h->size : 0;
}

void free(void *p)
{
	if (p)
		head_of(p);
}

static void *work(void *arg)
{
	for (unsigned i = 0; i < 2000; i++) {
		char *p = strdup("a text of the C library's making"), *q = NULL;
		void *aligned;

		p = realloc(p, 100 + i % 50);
		if (asprintf(&q, "%s %u", p, i) < 0 || posix_memalign(&aligned, 64, 300))
			_exit(97);
		free(p);
		free(q);
		free(aligned);
	}
	return NULL;
}

int main(void)
{
	pthread_t t[4];

	for (int i = 0; i < 4; i++)
		target_need(pthread_create(&t[i], NULL, work, NULL) == 0, "pthread_create");
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	target_burn_ms(30);
	printf("own calls %d, foreign blocks %llu\n", own_calls > 30000, (unsigned long long)foreign);
	return foreign != 0;
}
