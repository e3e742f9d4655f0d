/* What a program that allocates can see of a guest that watches its allocations: threads, descriptors, the allocator's
 * own figures, children, memory. Each mode allocates first and prints then; the bytes must be the same with the agent.
 */
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <malloc.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "tests/targets/books.h"
#include "tests/targets/smaps.h"

#define LIVE 3000

BOOKED(guest_make, malloc(size))
BOOKED(guest_clean, calloc(1, size))

/* Some 200 000 calls, the same each time. */
static TARGET_NOINLINE void allocate(uint64_t seed, unsigned calls)
{
	struct block live[LIVE] = {0};

	for (unsigned i = 0; i < calls; i++) {
		uint64_t r = books_random(&seed);
		struct block *b = &live[(r >> 40) % LIVE];

		release(b);
		*b = r % 3 ? guest_make(1 + (r >> 8) % 900) : guest_clean(1 + (r >> 8) % 5000);
	}
	for (unsigned i = 0; i < LIVE; i += 2)
		release(&live[i]);
}

static int count_entries(const char *dir)
{
	DIR *d = opendir(dir);
	int nr = 0;

	target_need(d != NULL, dir);
	for (struct dirent *e = readdir(d); e; e = readdir(d))
		nr += e->d_name[0] != '.';
	closedir(d);
	return nr;
}

static int mode_threads(int argc, char **argv)
{
	allocate(1, 200000);
	printf("threads %d, descriptors %d\n", count_entries("/proc/self/task"), count_entries("/proc/self/fd"));
	return 0;
}

/* With lib_countheap.so behind the agent: what reached the C library; and the heap's own figures, which show every byte
 * that somebody else took from it. */
static int mode_heap(int argc, char **argv)
{
	struct mallinfo2 info;

	allocate(2, 200000);
	info = mallinfo2();
	printf("arena %zu used %zu free %zu chunks %zu mapped %zu\n", info.arena, info.uordblks, info.fordblks,
	       info.ordblks, info.hblkhd);
	fflush(stdout);
	malloc_stats();
	return 0;
}

static void *thread(void *arg)
{
	allocate((uintptr_t)arg, 20000);
	books_merge();
	return NULL;
}

/* Threads one after the other, so that they use the same arenas each time. */
static int mode_heap_threads(int argc, char **argv)
{
	pthread_t t;

	books_threaded = 1;
	for (uintptr_t i = 0; i < 10; i++) {
		target_need(pthread_create(&t, NULL, thread, (void *)(i + 10)) == 0, "pthread_create");
		pthread_join(t, NULL);
	}
	/* not the bytes: the table of a thread's modules is longer by a library, whoever preloads one */
	printf("threads have ended\n");
	return 0;
}

static int mode_errno(int argc, char **argv)
{
	static void *(*volatile fails)(size_t) = malloc;
	unsigned long wrong = 0;
	void *p;

	for (int i = 0; i < 100000; i++) {
		errno = 1000 + i;
		p = malloc(1 + (size_t)i % 3000);
		wrong += errno != 1000 + i;
		p = realloc(p, 1 + (size_t)i % 5000);
		wrong += errno != 1000 + i;
		free(p);
		wrong += errno != 1000 + i;
		wrong += fails(PTRDIFF_MAX) != NULL || errno != ENOMEM;
	}
	printf("errno wrong %lu times\n", wrong);
	return 0;
}

static int mode_children(int argc, char **argv)
{
	struct rusage usage;
	int status;

	allocate(3, 200000);
	getrusage(RUSAGE_CHILDREN, &usage);
	printf("children %d errno %d, their CPU %ld, their size %ld\n", (int)waitpid(-1, &status, WNOHANG), errno,
	       usage.ru_utime.tv_sec * 1000000 + usage.ru_utime.tv_usec, usage.ru_maxrss);
	return 0;
}

/* Many live blocks, many stacks: what the engine keeps of them in this process is bounded. Sums over /proc/self/smaps
 * go into memory.txt; the rings are mappings of a memfd. */
static TARGET_NOINLINE void *spread(unsigned bits, unsigned depth)
{
	void *p = depth ? spread(bits >> 1, depth - 1) : malloc(24);

	target_sink += bits & 1 ? bits : 1;
	return p;
}

static TARGET_NOINLINE void *spread_other(unsigned bits, unsigned depth)
{
	void *p = bits & 1 ? spread(bits >> 1, depth - 1) : depth > 1 ? spread_other(bits >> 1, depth - 1) : malloc(24);

	target_sink += 3;
	return p;
}

static int mode_memory(int argc, char **argv)
{
	unsigned nr = target_number(argc, argv, 1, 1000000);
	int status;

	for (unsigned i = 0; i < nr; i++)
		*(unsigned *)spread_other(i, 1 + i % 40) = i;
	status = target_write_memory();
	printf("memory\n");
	return status;
}

static const struct target_mode modes[] = {
    {"threads", mode_threads},
    {"heap", mode_heap},
    {"heap_threads", mode_heap_threads},
    {"errno", mode_errno},
    {"children", mode_children},
    {"memory", mode_memory},
    {0},
};

int main(int argc, char **argv)
{
	return target_main(modes, argc, argv);
}
