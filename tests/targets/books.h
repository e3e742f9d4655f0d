/* A program's own books about its allocations, kept without allocating: by function calls, bytes, frees, what was freed
 * at once, what is live, and who held the memory when the heap was highest. `perfagent record --heap=exact` has to
 * report the same to the byte.
 *
 * BOOKED(name) declares a function name() that allocates and books; each must be noinline, because the reports are
 * compared by function. What is what:
 *   calls, bytes     successful allocations and bytes asked for; a realloc is a free and an allocation
 *   temporary        frees that are the next heap call of the thread that allocated, of that very block; a free of NULL
 *                    and a call that fails are none
 *   peak             of the program's sum; of two equal ones the first. With several threads only where books_settle
 * says Blocks of one function freed by another thread still count on the function that allocated them. */
#ifndef PA_TESTS_BOOKS_H
#define PA_TESTS_BOOKS_H

#include <fcntl.h>

#include "tests/targets/target.h"

#define BOOKS_MAX 48

struct books_row {
	uint64_t calls, bytes, frees, freed, temporary;
};

struct books_peak {
	uint64_t calls, bytes;
};

/* One thread's; added up by books_merge. Differences live - freed may be negative in one thread. */
struct books_ledger {
	struct books_row rows[BOOKS_MAX];
	uint64_t serial; /* of the block allocated by the last heap call; 0: the last call was a free */
	uint64_t next;
};

struct block {
	char *p;
	size_t size;
	uint64_t serial; /* no two blocks of a program have the same */
	unsigned row;
};

static const char *books_names[BOOKS_MAX];
static unsigned books_nr;
static struct books_ledger books_sum;
static struct books_peak books_peaks[BOOKS_MAX], books_peak_all;
static uint64_t books_live_bytes; /* of a program with one thread */
static uint64_t books_live_calls;
static int books_threaded; /* the peak is that of the moments named by books_settle */
static int books_no_peak;  /* threads came to no such moment */
static int books_others; /* something beside the booked functions allocates: totals can only be compared by function */
static pthread_mutex_t books_lock = PTHREAD_MUTEX_INITIALIZER;
static _Atomic unsigned books_threads;
static __thread struct books_ledger books_mine;

/* The row of a function, by name; called once each, before there are threads. */
static inline unsigned books_row(const char *name)
{
	for (unsigned i = 0; i < books_nr; i++)
		if (!strcmp(books_names[i], name))
			return i;
	target_need(books_nr < BOOKS_MAX, "books are full");
	books_names[books_nr] = name;
	return books_nr++;
}

/* Which functions hold how much right now is what the peak was made of. */
static inline void books_take_peak(const struct books_ledger *l, uint64_t bytes, uint64_t calls)
{
	if (bytes <= books_peak_all.bytes)
		return;
	books_peak_all = (struct books_peak){calls, bytes};
	for (unsigned i = 0; i < books_nr; i++)
		books_peaks[i] =
		    (struct books_peak){l->rows[i].calls - l->rows[i].frees, l->rows[i].bytes - l->rows[i].freed};
}

static inline struct block books_alloc(unsigned row, void *p, size_t size)
{
	struct books_ledger *l = &books_mine;
	struct block b = {.p = p, .size = size, .row = row};

	if (!p)
		return b;
	if (!l->next)
		l->next = ((uint64_t)++books_threads << 40) + 1;
	b.serial = l->serial = l->next++;
	l->rows[row].calls++;
	l->rows[row].bytes += size;
	if (!books_threaded) {
		books_live_bytes += size;
		books_live_calls++;
		books_take_peak(l, books_live_bytes, books_live_calls);
	}
	return b;
}

/* Before or after the real free makes no difference to the books. */
static inline void books_free(const struct block *b)
{
	struct books_ledger *l = &books_mine;

	l->rows[b->row].frees++;
	l->rows[b->row].freed += b->size;
	l->rows[b->row].temporary += b->serial == l->serial;
	l->serial = 0;
	if (!books_threaded) {
		books_live_bytes -= b->size;
		books_live_calls--;
	}
}

static TARGET_NOINLINE void release(struct block *b)
{
	if (b->p) {
		books_free(b);
		free(b->p);
	}
	b->p = NULL;
}

/* A thread's books join the program's: at its end, or (others waiting at a barrier) at a moment that may be a peak. */
static inline void books_merge(void)
{
	pthread_mutex_lock(&books_lock);
	for (unsigned i = 0; i < BOOKS_MAX; i++) {
		struct books_row *to = &books_sum.rows[i], *from = &books_mine.rows[i];

		to->calls += from->calls;
		to->bytes += from->bytes;
		to->frees += from->frees;
		to->freed += from->freed;
		to->temporary += from->temporary;
	}
	memset(books_mine.rows, 0, sizeof books_mine.rows);
	pthread_mutex_unlock(&books_lock);
}

/* Every thread has merged and none allocates or frees: the sum now was not exceeded since the last settling. */
static inline void books_settle(void)
{
	uint64_t bytes = 0, calls = 0;

	for (unsigned i = 0; i < books_nr; i++) {
		bytes += books_sum.rows[i].bytes - books_sum.rows[i].freed;
		calls += books_sum.rows[i].calls - books_sum.rows[i].frees;
	}
	books_take_peak(&books_sum, bytes, calls);
}

static inline int books_format(char *to, size_t size, const struct books_row *r, const struct books_peak *peak)
{
	return snprintf(to, size,
			"{\"calls\": %llu, \"bytes\": %llu, \"frees\": %llu, \"freed\": %llu, \"temporary\": %llu, "
			"\"live\": %lld, \"live_calls\": %lld, \"peak\": %llu, \"peak_calls\": %llu}",
			(unsigned long long)r->calls, (unsigned long long)r->bytes, (unsigned long long)r->frees,
			(unsigned long long)r->freed, (unsigned long long)r->temporary,
			(long long)(r->bytes - r->freed), (long long)(r->calls - r->frees),
			(unsigned long long)peak->bytes, (unsigned long long)peak->calls);
}

static char books_text[32768];

/* The books as JSON into a file of the working directory. Allocates nothing; may be called again. */
static inline void books_write(const char *path)
{
	struct books_row all = {0};
	size_t at;
	int fd;

	books_merge();
	if (books_threaded)
		books_settle();
	at = (size_t)snprintf(books_text, sizeof books_text,
			      "{\"pid\": %d, \"others\": %s, \"peak_known\": %s, \"functions\": {", (int)getpid(),
			      books_others ? "true" : "false", books_no_peak ? "false" : "true");
	for (unsigned i = 0; i < books_nr; i++) {
		const struct books_row *r = &books_sum.rows[i];

		if (!r->calls)
			continue;
		at += (size_t)snprintf(books_text + at, sizeof books_text - at, "%s\n \"%s\": ", all.calls ? "," : "",
				       books_names[i]);
		at += (size_t)books_format(books_text + at, sizeof books_text - at, r, &books_peaks[i]);
		all.calls += r->calls;
		all.bytes += r->bytes;
		all.frees += r->frees;
		all.freed += r->freed;
		all.temporary += r->temporary;
	}
	at += (size_t)snprintf(books_text + at, sizeof books_text - at, "},\n \"total\": ");
	at += (size_t)books_format(books_text + at, sizeof books_text - at, &all, &books_peak_all);
	at += (size_t)snprintf(books_text + at, sizeof books_text - at, "}\n");
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	target_need(fd >= 0 && write(fd, books_text, at) == (ssize_t)at, path);
	close(fd);
	/* what the others of this process saw must not be counted twice */
	for (unsigned i = 0; i < BOOKS_MAX; i++)
		books_mine.rows[i] = (struct books_row){0};
}

/* stdout must not allocate a buffer: call first. */
static inline void books_begin(void)
{
	static char buffer[BUFSIZ];

	setvbuf(stdout, buffer, _IOFBF, sizeof buffer);
}

/* A function that allocates size bytes by `expression`, found in the books under its own name. */
#define BOOKED(name, expression)                                                                                       \
	static unsigned name##_row;                                                                                    \
	static TARGET_NOINLINE struct block name(size_t size)                                                          \
	{                                                                                                              \
		void *p = expression;                                                                                  \
                                                                                                                       \
		return books_alloc(name##_row, p, size);                                                               \
	}                                                                                                              \
	__attribute__((constructor)) static void name##_enter(void)                                                    \
	{                                                                                                              \
		name##_row = books_row(#name);                                                                         \
	}

/* The same seeds give the same calls, whoever runs the program. */
static inline uint64_t books_random(uint64_t *state)
{
	uint64_t x = *state += 0x9e3779b97f4a7c15u;

	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	return x ^ (x >> 31);
}

#endif
