/* Which leaks are known: one pattern a line, `leak:PATTERN`, matched against each function, file and module of a stack.
 * A pattern is a part of the name; * is anything, ^ and $ hold it to the beginning and the end. World: plain. */
#ifndef PA_REPORT_SUPPRESS_H
#define PA_REPORT_SUPPRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pa_report;

struct pa_suppression {
	char *pattern;
	const char *source; /* file as named, lent; NULL: built in */
	unsigned line;      /* of the file, from 1 */
	bool asker;         /* built in: only the function that asked for the memory (pa_heap_owner) is looked at, */
	const char *caller; /* and this must match the frame below it; NULL: whatever it is */
	uint64_t blocks, bytes; /* what it held back: filled in by whoever applies it (leaks.c) */
};

struct pa_suppressions {
	struct pa_suppression *rows;
	size_t nr, capacity;
};

/* Memory that libraries keep on purpose until the end: buffers of stdio, the reserve of the C++ library, locales, the
 * loader. Errors: -ENOMEM. */
int pa_suppressions_default(struct pa_suppressions *s);
/* Adds those of a file; # begins a comment line. source is lent for the life of s.
 * Errors: -errno with a sentence in err: cannot be read, or the line that is no suppression by its number. */
int pa_suppressions_read(struct pa_suppressions *s, const char *source, char *err, size_t err_size);
void pa_suppressions_fini(struct pa_suppressions *s);

bool pa_pattern_matches(const char *pattern, const char *text);

/* Per stack: number of the first suppression that matches a frame of it, from the leaf on, plus 1; 0: none.
 * Shapes: r->nr_stacks elements, the caller frees it. Errors: NULL: out of memory. */
uint32_t *pa_suppressions_apply(const struct pa_suppressions *s, const struct pa_report *r);

#endif
