/* Every entry point of the allocator in every edge case (rows R46-R48): what it returns, what errno is, how the block
 * lies, what it holds. The text holds no address, so that it must be the same bytes with the agent in any mode.
 * Blocks are never larger than asked for in a way that depends on chance: usable sizes are printed where they do not.
 */
#include <dlfcn.h>
#include <malloc.h>
#include <stdbool.h>
#include <stdint.h>

#include "tests/targets/target.h"

#define ERRNO_BEFORE 1234
#define NR(a)        (sizeof(a) / sizeof *(a))
#ifdef __aarch64__
#define FIRST_VERSION "GLIBC_2.17"
#else
#define FIRST_VERSION "GLIBC_2.2.5"
#endif

static const size_t sizes[] = {0,   1,    7,    8,    16,   23,    24,     25,     40,     64,
			       100, 1000, 1024, 1032, 4096, 65536, 131071, 131072, 1999993};
static const size_t absurd[] = {PTRDIFF_MAX, (size_t)PTRDIFF_MAX + 1, SIZE_MAX - 4096, SIZE_MAX - 1, SIZE_MAX};

/* The compiler must not know what these are: it removes a malloc that is freed, and warns of absurd sizes. */
static void *(*volatile p_malloc)(size_t) = malloc;
static void *(*volatile p_calloc)(size_t, size_t) = calloc;
static void *(*volatile p_realloc)(void *, size_t) = realloc;
static void *(*volatile p_reallocarray)(void *, size_t, size_t) = reallocarray;
static void *(*volatile p_aligned_alloc)(size_t, size_t) = aligned_alloc;
static void *(*volatile p_memalign)(size_t, size_t) = memalign;
static int (*volatile p_posix_memalign)(void **, size_t, size_t) = posix_memalign;
static void *(*volatile p_valloc)(size_t) = valloc;
static void *(*volatile p_pvalloc)(size_t) = pvalloc;
static void (*volatile p_free)(void *) = free;
static size_t (*volatile p_usable)(void *) = malloc_usable_size;

/* Whether all of the n bytes at p have this value. */
static bool all_bytes(const unsigned char *p, size_t n, unsigned char value)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] != value)
			return false;
	return true;
}

/* One line about a block: found at all, errno, alignment, usable for as much as was asked, and writable. Frees it. */
static void show(const char *what, size_t a, size_t b, void *p, size_t asked, size_t align)
{
	int got = errno;

	printf("%s(%zu, %zu): %s errno %d", what, a, b, p ? "block" : "null", got);
	if (p) {
		printf(" aligned %d usable %d", (uintptr_t)p % align == 0, p_usable(p) >= asked);
		memset(p, 0xa5, p_usable(p));
		errno = ERRNO_BEFORE;
		p_free(p);
		printf(" free leaves errno %d", errno == ERRNO_BEFORE);
	}
	printf("\n");
	errno = ERRNO_BEFORE;
}

static int mode_malloc(int argc, char **argv)
{
	errno = ERRNO_BEFORE;
	for (size_t i = 0; i < NR(sizes); i++) {
		show("malloc", sizes[i], 0, p_malloc(sizes[i]), sizes[i], 16);
		show("calloc", 1, sizes[i], p_calloc(1, sizes[i]), sizes[i], 16);
		show("realloc null", sizes[i], 0, p_realloc(NULL, sizes[i]), sizes[i], 16);
		show("reallocarray null", 3, sizes[i], p_reallocarray(NULL, 3, sizes[i]), 3 * sizes[i], 16);
	}
	for (size_t i = 0; i < NR(absurd); i++) {
		show("malloc", absurd[i], 0, p_malloc(absurd[i]), 0, 16);
		show("calloc", 1, absurd[i], p_calloc(1, absurd[i]), 0, 16);
		show("realloc null", absurd[i], 0, p_realloc(NULL, absurd[i]), 0, 16);
		show("valloc", absurd[i], 0, p_valloc(absurd[i]), 0, 4096);
		show("pvalloc", absurd[i], 0, p_pvalloc(absurd[i]), 0, 4096);
	}
	/* products that overflow, one of them to a small number */
	static const size_t products[][2] = {{SIZE_MAX, 2},
					     {2, SIZE_MAX},
					     {(size_t)1 << 32, (size_t)1 << 32},
					     {((size_t)1 << 32) + 1, ((size_t)1 << 32) - 1},
					     {SIZE_MAX / 2 + 1, 2},
					     {0, SIZE_MAX},
					     {SIZE_MAX, 0},
					     {0, 0},
					     {3, SIZE_MAX / 3}};
	for (size_t i = 0; i < NR(products); i++) {
		show("calloc", products[i][0], products[i][1], p_calloc(products[i][0], products[i][1]), 0, 16);
		show("reallocarray null", products[i][0], products[i][1],
		     p_reallocarray(NULL, products[i][0], products[i][1]), 0, 16);
	}
	p_free(NULL);
	printf("free(NULL): errno %d\n", errno);
	printf("usable size of NULL: %zu errno %d\n", p_usable(NULL), errno);
	return 0;
}

static int mode_aligned(int argc, char **argv)
{
	static const size_t aligns[] = {
	    0, 1, 2, 3, 4, 8, 12, 16, 24, 32, 48, 64, 100, 128, 4096, 65536, 1 << 21, SIZE_MAX / 2 + 1, SIZE_MAX};
	static const size_t lengths[] = {0, 1, 17, 64, 1000, 5000, 1999993, PTRDIFF_MAX, SIZE_MAX};

	errno = ERRNO_BEFORE;
	for (size_t i = 0; i < NR(aligns); i++)
		for (size_t k = 0; k < NR(lengths); k++) {
			size_t al = aligns[i], n = lengths[k];
			bool pow2 = al && !(al & (al - 1));
			size_t at_least = pow2 && al >= 16 ? al : 16;
			void *p = (void *)(uintptr_t)0x77;
			int r = p_posix_memalign(&p, al, n);

			printf("posix_memalign(%zu, %zu): %d errno %d out %s\n", al, n, r, errno,
			       p == (void *)(uintptr_t)0x77 ? "untouched"
			       : p                          ? "block"
							    : "null");
			if (r == 0)
				show("  its block", al, n, p, n, al);
			show("aligned_alloc", al, n, p_aligned_alloc(al, n), n, pow2 ? at_least : 16);
			/* memalign rounds an alignment up to a power of two */
			show("memalign", al, n, p_memalign(al, n), n, pow2 ? at_least : 16);
		}
	for (size_t i = 0; i < NR(sizes); i++) {
		show("valloc", sizes[i], 0, p_valloc(sizes[i]), sizes[i], 4096);
		show("pvalloc", sizes[i], 0, p_pvalloc(sizes[i]), (sizes[i] + 4095) / 4096 * 4096, 4096);
	}
	return 0;
}

/* Blocks change size: in place, by moving, by failing. What they hold stays. */
static int mode_realloc(int argc, char **argv)
{
	static const size_t steps[] = {10, 24, 25, 1000, 100, 1, 70000, 200000, 400000, 150000, 30, 1999993, 8};
	unsigned char *p = p_malloc(5), *q;
	size_t before = 5;

	memset(p, 0x5c, before);
	for (size_t i = 0; i < NR(steps); i++) {
		size_t kept = before < steps[i] ? before : steps[i];

		errno = ERRNO_BEFORE;
		q = i % 2 ? p_realloc(p, steps[i]) : p_reallocarray(p, 1, steps[i]);
		printf("realloc %zu -> %zu: %s errno %d kept %d", before, steps[i], q ? "block" : "null", errno,
		       q && all_bytes(q, kept, 0x5c));
		printf(" usable %d\n", p_usable(q) >= steps[i]);
		p = q;
		before = steps[i];
		memset(p, 0x5c, before);
	}
	for (size_t i = 0; i < NR(absurd); i++) {
		errno = ERRNO_BEFORE;
		q = p_realloc(p, absurd[i]);
		printf("realloc to %zu: %s errno %d, the old block holds %d\n", absurd[i], q ? "block" : "null", errno,
		       all_bytes(p, before, 0x5c));
		errno = ERRNO_BEFORE;
		q = p_reallocarray(p, absurd[i], 3);
		printf("reallocarray to 3 * %zu: %s errno %d, the old block holds %d\n", absurd[i],
		       q ? "block" : "null", errno, all_bytes(p, before, 0x5c));
	}
	/* freed by the first, so that the pointer is not used again */
	errno = ERRNO_BEFORE;
	q = p_realloc(p, 0);
	printf("realloc to 0: %s errno %d\n", q ? "block" : "null", errno);
	p_free(q);
	q = p_reallocarray(p_malloc(100), 0, 7);
	printf("reallocarray to 0 * 7: %s errno %d\n", q ? "block" : "null", errno);
	p_free(q);
	q = p_realloc(p_memalign(256, 300), 3000);
	printf("realloc of an aligned block: %s usable %d\n", q ? "block" : "null", p_usable(q) >= 3000);
	p_free(q);
	q = p_realloc(p_calloc(1, 0), 0);
	printf("realloc of an empty block to 0: %s errno %d\n", q ? "block" : "null", errno);
	p_free(q);
	return 0;
}

/* What was freed dirty comes back clean from calloc, and only from calloc. */
static int mode_calloc(int argc, char **argv)
{
	static const size_t lengths[] = {1, 24, 100, 500, 1032, 5000, 60000, 131072, 300000};

	for (size_t i = 0; i < NR(lengths); i++)
		for (int round = 0; round < 20; round++) {
			unsigned char *dirty = p_malloc(lengths[i]), *clean;

			memset(dirty, 0xee, p_usable(dirty));
			p_free(dirty);
			clean = p_calloc(round % 3 + 1, lengths[i] / (round % 3 + 1));
			if (!all_bytes(clean, lengths[i] / (round % 3 + 1) * (round % 3 + 1), 0))
				printf("calloc(%zu) is not clean\n", lengths[i]);
			memset(clean, 0xee, p_usable(clean));
			p_free(clean);
		}
	printf("calloc: clean\n");
	return 0;
}

/* The layout of the heap: exact usable sizes and the allocator's own figures after the same calls. */
static int mode_figures(int argc, char **argv)
{
	struct mallinfo2 info;
	void *blocks[200];

	for (size_t i = 0; i < NR(sizes); i++) {
		void *p = p_malloc(sizes[i]);

		printf("usable of malloc(%zu): %zu\n", sizes[i], p_usable(p));
		p_free(p);
	}
	for (size_t i = 0; i < NR(blocks); i++)
		blocks[i] = p_malloc(i * 37 % 3000);
	for (size_t i = 0; i < NR(blocks); i += 2)
		p_free(blocks[i]);
	info = mallinfo2();
	printf("arena %zu free chunks %zu mapped %zu/%zu used %zu unused %zu top %zu\n", info.arena, info.ordblks,
	       info.hblks, info.hblkhd, info.uordblks, info.fordblks, info.keepcost);
	printf("trim %d\n", malloc_trim(0));
	printf("trim %d\n", malloc_trim(1 << 20));
	printf("threshold %d\n", mallopt(M_MMAP_THRESHOLD, 4096));
	for (size_t i = 0; i < 10; i++)
		blocks[i * 2] = p_malloc(5000 + i);
	info = mallinfo2();
	printf("mapped %zu/%zu\n", info.hblks, info.hblkhd);
	printf("max mapped %d\n", mallopt(M_MMAP_MAX, 0));
	printf("perturb %d\n", mallopt(M_PERTURB, 0x5a));
	unsigned char *perturbed = p_malloc(64);
	printf("perturbed %d\n", all_bytes(perturbed, 64, 0xa5));
	p_free(perturbed);
	printf("bad option %d\n", mallopt(-4711, 1));
	for (size_t i = 0; i < 10; i++)
		p_free(blocks[i * 2]);
	fflush(stdout);
	malloc_stats(); /* to stderr */
	return 0;
}

/* Names that some C libraries have and others do not: whether they are found must not depend on the agent, which has
 * them all. Found by name, they must do what the C library's do. */
extern void cfree(void *p) __attribute__((weak));
extern void free_sized(void *p, size_t size) __attribute__((weak));
extern void free_aligned_sized(void *p, size_t align, size_t size) __attribute__((weak));

static int mode_names(int argc, char **argv)
{
	static const char *const names[] = {
	    "malloc",        "calloc",   "realloc", "free",    "reallocarray",       "posix_memalign",
	    "aligned_alloc", "memalign", "valloc",  "pvalloc", "malloc_usable_size", "mallinfo2",
	    "malloc_trim"};
	void (*old)(void *) = (void (*)(void *))dlsym(RTLD_DEFAULT, "cfree");
	void (*sized)(void *, size_t) = (void (*)(void *, size_t))dlsym(RTLD_DEFAULT, "free_sized");
	void (*aligned)(void *, size_t, size_t) =
	    (void (*)(void *, size_t, size_t))dlsym(RTLD_DEFAULT, "free_aligned_sized");

	for (size_t i = 0; i < NR(names); i++)
		printf("%s %d\n", names[i], dlsym(RTLD_DEFAULT, names[i]) != NULL);
	for (int i = 0; i < 3; i++) { /* a failed look-up allocates its message */
		int found = dlsym(RTLD_DEFAULT, "no_such_allocator") != NULL;

		printf("none %d, dlerror %d\n", found, dlerror() != NULL);
	}
	printf("by name: cfree %d free_sized %d free_aligned_sized %d\n", old != NULL, sized != NULL, aligned != NULL);
	printf("weak: cfree %d free_sized %d free_aligned_sized %d\n", cfree != NULL, free_sized != NULL,
	       free_aligned_sized != NULL);
	old = old ? old : (void (*)(void *))dlvsym(RTLD_DEFAULT, "cfree", FIRST_VERSION);
	printf("cfree by version %d\n", old != NULL);
	errno = ERRNO_BEFORE;
	for (int i = 0; i < 1000; i++) {
		if (old)
			old(p_malloc(100));
		if (sized) {
			sized(p_malloc(100), 100);
			sized(NULL, 0);
		}
		if (aligned) {
			aligned(p_aligned_alloc(64, 128), 64, 128);
			aligned(NULL, 64, 0);
		}
	}
	printf("errno %d used %d\n", errno, mallinfo2().uordblks < 100000);
	return 0;
}

static const struct target_mode modes[] = {
    {"malloc", mode_malloc},
    {"aligned", mode_aligned},
    {"realloc", mode_realloc},
    {"calloc", mode_calloc},
    {"figures", mode_figures},
    {"names", mode_names},
    {0},
};

int main(int argc, char **argv)
{
	return target_main(modes, argc, argv);
}
