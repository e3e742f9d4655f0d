/* Programs of one subject each that keep their own books (books.h), into books.json. Deterministic: the same calls each
 * time, whatever the machine does; the programs whose order of calls is not are in malloc_storm.c. */
#include <dlfcn.h>
#include <malloc.h>
#include <setjmp.h>

#include "tests/targets/books.h"

#define SLOTS 2000

static struct block slots[SLOTS];

/* ---- all entry points, at random ---- */

BOOKED(mix_malloc, malloc(size))
BOOKED(mix_calloc, calloc(7, size / 7))
BOOKED(mix_array, reallocarray(NULL, size, 1))
BOOKED(mix_null, realloc(NULL, size))
BOOKED(mix_aligned, aligned_alloc(64, size))
BOOKED(mix_memalign, memalign(256, size))
BOOKED(mix_valloc, valloc(size))
BOOKED(mix_large, malloc(size))

/* posix_memalign reports through an argument */
static unsigned mix_posix_row;
static TARGET_NOINLINE struct block mix_posix(size_t size)
{
	void *p;
	int r = posix_memalign(&p, 32, size);

	return books_alloc(mix_posix_row, r ? NULL : p, size);
}
__attribute__((constructor)) static void mix_posix_enter(void)
{
	mix_posix_row = books_row("mix_posix");
}

static struct block mix_one(uint64_t r)
{
	size_t size = 1 + (r >> 8) % 700;

	switch (r % 128) {
	case 0:
		return mix_large(65536 + (r >> 8) % 900001);
	case 1:
		return mix_valloc(size * 5);
	case 2 ... 6:
		return mix_memalign(size);
	case 7 ... 12:
		return mix_aligned(size / 64 * 64 + 64);
	case 13 ... 20:
		return mix_posix(size);
	case 21 ... 30:
		return mix_array(size);
	case 31 ... 40:
		return mix_null(size);
	case 41 ... 60: /* asked for in sevens */
		return mix_calloc(size / 7 * 7 + 7);
	default:
		return mix_malloc(size);
	}
}

static int mode_mix(int argc, char **argv)
{
	unsigned steps = target_number(argc, argv, 1, 60000);
	uint64_t seed = target_number(argc, argv, 2, 1);

	for (unsigned i = 0; i < steps; i++) {
		uint64_t r = books_random(&seed);
		struct block *b = &slots[(r >> 40) % SLOTS];

		if (b->p)
			release(b);
		else
			*b = mix_one(r);
	}
	for (unsigned i = 0; i < SLOTS; i += 3)
		release(&slots[i]);
	books_write("books.json");
	printf("mix: %llu bytes at the highest\n", (unsigned long long)books_peak_all.bytes);
	return 0;
}

/* ---- realloc ---- */

BOOKED(chain_first, malloc(size))

/* What a realloc that succeeded does to the books: the old block is freed, a new one is allocated. */
static unsigned chain_grow_row, chain_shrink_row, chain_zero_row;
__attribute__((constructor)) static void chain_enter(void)
{
	chain_grow_row = books_row("chain_grow");
	chain_shrink_row = books_row("chain_shrink");
	chain_zero_row = books_row("chain_zero");
}

static TARGET_NOINLINE void chain_grow(struct block *b, size_t size)
{
	void *p = realloc(b->p, size);

	target_need(p != NULL, "realloc");
	books_free(b);
	*b = books_alloc(chain_grow_row, p, size);
}

static TARGET_NOINLINE void chain_shrink(struct block *b, size_t size)
{
	void *p = reallocarray(b->p, size, 1);

	target_need(p != NULL, "reallocarray");
	books_free(b);
	*b = books_alloc(chain_shrink_row, p, size);
}

/* glibc frees the block and returns NULL */
static TARGET_NOINLINE void chain_zero(struct block *b)
{
	void *p = realloc(b->p, 0);

	target_need(p == NULL, "realloc to 0 gave a block");
	books_free(b);
	b->p = NULL;
}

/* Fails: nothing has happened. */
static TARGET_NOINLINE void chain_fail(struct block *b, volatile size_t size)
{
	volatile size_t wide = (size_t)1 << 32;

	target_need(realloc(b->p, size) == NULL && reallocarray(b->p, size, 3) == NULL, "an absurd realloc succeeded");
	/* a product that is 0 in 64 bits */
	target_need(reallocarray(b->p, wide, wide) == NULL, "an absurd reallocarray succeeded");
	b->p[0]++;
}

static int mode_realloc(int argc, char **argv)
{
	uint64_t seed = 2;

	for (unsigned i = 0; i < 400; i++) {
		struct block *b = &slots[i], other;
		size_t size = 10 + books_random(&seed) % 50;

		*b = chain_first(size);
		for (unsigned k = 0; k < 5 + i % 20; k++) {
			chain_grow(b, size += size / 2 + k);
			if (k % 3 == 0)
				chain_fail(b, PTRDIFF_MAX - k);
			if (k % 4 == 1) { /* so that not every one of them is temporary */
				other = chain_first(24);
				chain_grow(b, size += 8);
				release(&other);
			}
		}
		if (i % 2)
			chain_shrink(b, size / 3);
		if (i % 5 == 0)
			chain_zero(b);
		else if (i % 5 == 1)
			release(b);
	}
	books_write("books.json");
	printf("realloc: %llu bytes at the highest\n", (unsigned long long)books_peak_all.bytes);
	return 0;
}

/* ---- zero sizes ---- */

BOOKED(zero_malloc, malloc(size))
BOOKED(zero_calloc, calloc(size, 8))

static int mode_zero(int argc, char **argv)
{
	for (unsigned i = 0; i < 1000; i++) {
		slots[i] = i % 2 ? zero_malloc(0) : zero_calloc(0);
		if (i % 4 == 0)
			release(&slots[i]);
	}
	books_write("books.json");
	printf("zero\n");
	return 0;
}

/* ---- temporary ---- */

BOOKED(freed_at_once, malloc(size))
BOOKED(freed_in_order, malloc(size))
BOOKED(freed_after_null, malloc(size))
BOOKED(freed_after_failure, malloc(size))
BOOKED(freed_after_other, malloc(size))

static int mode_temporary(int argc, char **argv)
{
	static void *(*volatile fails)(size_t) = malloc;
	unsigned rounds = target_number(argc, argv, 1, 20000);

	for (unsigned i = 0; i < rounds; i++) {
		struct block a, b;

		a = freed_at_once(100 + i % 50);
		release(&a);
		a = freed_in_order(40);
		b = freed_in_order(50);
		release(&a); /* b came last */
		release(&b);
		a = freed_after_null(60);
		free(NULL);
		release(&a);
		a = freed_after_failure(70);
		target_need(fails(PTRDIFF_MAX) == NULL, "malloc");
		release(&a);
		a = freed_after_other(80);
		b = freed_at_once(90);
		release(&b);
		release(&a);
	}
	books_write("books.json");
	printf("temporary\n");
	return 0;
}

/* ---- leaks ---- */

BOOKED(leak_many, malloc(size))
BOOKED(leak_large, malloc(size))
BOOKED(leak_none, malloc(size))

/* the same function from two callers */
static TARGET_NOINLINE void leak_left(unsigned i)
{
	slots[i] = leak_many(1999);
	target_sink++;
}

static TARGET_NOINLINE void leak_right(unsigned i)
{
	slots[i] = leak_many(499);
	target_sink++;
}

static int mode_leaks(int argc, char **argv)
{
	for (unsigned i = 0; i < 1000; i++) {
		struct block b = leak_none(300), lost;

		if (i % 4 == 0)
			leak_left(i);
		else
			leak_right(i);
		if (i % 400 == 0) {
			lost = leak_large(1999993);
			lost.p[0] = 1;
		}
		release(&b);
	}
	for (unsigned i = 500; i < 1000; i++)
		release(&slots[i]);
	books_write("books.json");
	printf("leaks\n");
	return 0;
}

/* ---- growth between moments ---- */

BOOKED(grow_steady, malloc(size))
BOOKED(grow_late, calloc(1, size))
BOOKED(grow_never, malloc(size))

/* Phases of equal length; the moments between them, CLOCK_MONOTONIC, go into times.txt. */
static int mode_growth(int argc, char **argv)
{
	unsigned ms = target_number(argc, argv, 1, 1200), phases = target_number(argc, argv, 2, 4), nr = 0;
	char line[64];
	int fd = open("times.txt", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	for (unsigned phase = 0; phase < phases; phase++) {
		for (unsigned i = 0; i < 100; i++) {
			struct block b = grow_never(70001);

			slots[nr++ % SLOTS] = grow_steady(1009);
			release(&b);
		}
		for (unsigned i = 0; i < 50 && phase * 2 >= phases; i++)
			slots[nr++ % SLOTS] = grow_late(20011);
		usleep(ms * 500);
		int n = snprintf(line, sizeof line, "%llu\n", (unsigned long long)target_clock_ns(CLOCK_MONOTONIC));
		target_need(write(fd, line, (size_t)n) == n, "times.txt");
		usleep(ms * 500);
	}
	close(fd);
	books_write("books.json");
	printf("growth\n");
	return 0;
}

/* ---- stacks ---- */

BOOKED(deep_4, malloc(size))
BOOKED(deep_32, malloc(size))
BOOKED(deep_200, malloc(size))
BOOKED(deep_600, malloc(size))

/* depth frames of its own, then the allocation */
static TARGET_NOINLINE struct block descend(unsigned depth, struct block (*at)(size_t), size_t size)
{
	struct block b = depth > 1 ? descend(depth - 1, at, size) : at(size);

	target_sink += depth;
	return b;
}

static int mode_deep(int argc, char **argv)
{
	static const struct {
		unsigned depth;
		struct block (*at)(size_t);
	} kinds[] = {{4, deep_4}, {32, deep_32}, {200, deep_200}, {600, deep_600}};
	unsigned rounds = target_number(argc, argv, 1, 3000);

	for (unsigned i = 0; i < rounds; i++)
		for (unsigned k = 0; k < 4; k++) {
			struct block *b = &slots[(i * 4 + k) % SLOTS];

			release(b);
			*b = descend(kinds[k].depth, kinds[k].at, 100 + k * 10 + i % 7);
		}
	books_write("books.json");
	printf("deep\n");
	return 0;
}

BOOKED(leaf_of_many, malloc(size))

static TARGET_NOINLINE struct block branch_left(unsigned bits, unsigned depth);
/* Two functions of two branches each: the path of 20 calls spells the number. */
static TARGET_NOINLINE struct block branch_right(unsigned bits, unsigned depth)
{
	struct block b;

	if (depth == 0)
		b = leaf_of_many(64);
	else if (bits & 1)
		b = branch_right(bits >> 1, depth - 1);
	else
		b = branch_left(bits >> 1, depth - 1);
	target_sink += bits;
	return b;
}

static TARGET_NOINLINE struct block branch_left(unsigned bits, unsigned depth)
{
	struct block b;

	if (depth == 0)
		b = leaf_of_many(64);
	else if (bits & 1)
		b = branch_right(bits >> 1, depth - 1);
	else
		b = branch_left(bits >> 1, depth - 1);
	target_sink += bits + 1;
	return b;
}

static int mode_stacks(int argc, char **argv)
{
	unsigned nr = target_number(argc, argv, 1, 1u << 20), depth = target_number(argc, argv, 2, 20);

	for (unsigned i = 0; i < nr; i++) {
		struct block b = branch_left(i, depth);

		if (i % 1024)
			release(&b);
	}
	books_write("books.json");
	printf("stacks\n");
	return 0;
}

BOOKED(jump_keep, malloc(size))
BOOKED(jump_drop, malloc(size))

static jmp_buf back;

static TARGET_NOINLINE void jump_down(unsigned depth, struct block *keep)
{
	struct block b;

	if (depth) {
		jump_down(depth - 1, keep);
		target_sink++;
		return;
	}
	b = jump_drop(333);
	*keep = jump_keep(444);
	release(&b);
	longjmp(back, 1);
}

static int mode_longjmp(int argc, char **argv)
{
	static volatile unsigned i;

	for (i = 0; i < 10000; i++) {
		release(&slots[i % SLOTS]);
		if (setjmp(back) == 0)
			jump_down(i % 40, &slots[i % SLOTS]);
	}
	books_write("books.json");
	printf("longjmp\n");
	return 0;
}

/* ---- a library that goes away ---- */

BOOKED(plug_beside, malloc(size))

static unsigned plug_row;
__attribute__((constructor)) static void plug_enter(void)
{
	plug_row = books_row("plug_make");
}

static int mode_dlclose(int argc, char **argv)
{
	char path[4096];
	ssize_t n = readlink("/proc/self/exe", path, sizeof path - 64);

	target_need(n > 0, "readlink");
	path[n] = 0;
	strcpy(strrchr(path, '/'), "/lib_mallocplug.so");
	books_others = books_no_peak = 1; /* the loader allocates, too */
	for (unsigned i = 0; i < 50; i++) {
		void *lib = dlopen(path, RTLD_NOW);
		void *(*make)(size_t) = (void *(*)(size_t))dlsym(lib, "plug_make");

		target_need(lib && make, "dlopen");
		for (unsigned k = 0; k < 30; k++) {
			struct block *b = &slots[(i * 30 + k) % 500];

			release(b);
			*b = books_alloc(plug_row, make(700 + k), 700 + k);
		}
		struct block b = plug_beside(100);

		release(&b);
		dlclose(lib);
	}
	books_write("books.json");
	printf("dlclose\n");
	return 0;
}

/* ---- for estimates: five functions of about 16 MiB each, sizes far below and far above the mean ---- */

BOOKED(est_tiny, malloc(size))
BOOKED(est_small, malloc(size))
BOOKED(est_medium, calloc(1, size))
BOOKED(est_large, malloc(size))
BOOKED(est_huge, malloc(size))

static int mode_estimate(int argc, char **argv)
{
	static const struct {
		struct block (*make)(size_t);
		unsigned calls, least, spread;
	} kinds[] = {{est_tiny, 400000, 24, 32},
		     {est_small, 40000, 200, 400},
		     {est_medium, 2000, 4000, 8000},
		     {est_large, 200, 50000, 60000},
		     {est_huge, 16, 900000, 300000}};
	uint64_t seed = target_number(argc, argv, 1, 1);

	for (unsigned k = 0; k < 5; k++)
		for (unsigned i = 0; i < kinds[k].calls; i++) {
			uint64_t r = books_random(&seed);
			struct block b = kinds[k].make(kinds[k].least + r % kinds[k].spread);

			if (i % 4) /* a quarter stays */
				release(&b);
		}
	books_write("books.json");
	printf("estimate\n");
	return 0;
}

static const struct target_mode modes[] = {
    {"mix", mode_mix},           {"realloc", mode_realloc}, {"zero", mode_zero},       {"temporary", mode_temporary},
    {"leaks", mode_leaks},       {"growth", mode_growth},   {"deep", mode_deep},       {"stacks", mode_stacks},
    {"estimate", mode_estimate}, {"longjmp", mode_longjmp}, {"dlclose", mode_dlclose}, {0},
};

int main(int argc, char **argv)
{
	books_begin();
	return target_main(modes, argc, argv);
}
