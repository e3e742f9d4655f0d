#include "report/suppress.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/heap_table.h"
#include "report/model.h"

/* A line of a file of suppressions is no longer than this. */
#define LINE_MAX_BYTES 4096

/* Does text begin with the pattern up to `end`? * matches anything. */
static bool begins(const char *pattern, const char *end, const char *text, bool whole)
{
	const char *star = NULL, *from = NULL;
	for (;;) {
		if (pattern == end && (!whole || !*text))
			return true;
		if (pattern < end && *pattern == '*') {
			star = ++pattern;
			from = text;
		} else if (pattern < end && *text && *pattern == *text) {
			pattern++;
			text++;
		} else if (star && *from) { /* the last * takes one more */
			pattern = star;
			text = ++from;
		} else {
			return false;
		}
	}
}

bool pa_pattern_matches(const char *pattern, const char *text)
{
	bool held = *pattern == '^';
	pattern += held;
	size_t len = strlen(pattern);
	bool whole = len && pattern[len - 1] == '$';
	const char *end = pattern + len - whole;
	do {
		if (begins(pattern, end, text, whole))
			return true;
	} while (!held && *text++);
	return false;
}

static int add(struct pa_suppressions *s, const char *pattern, size_t len, const char *source, unsigned line)
{
	char *copy = strndup(pattern, len);
	if (!copy || !pa_grow((void **)&s->rows, &s->capacity, s->nr, sizeof(*s->rows))) {
		free(copy);
		return -ENOMEM;
	}
	s->rows[s->nr++] = (struct pa_suppression){.pattern = copy, .source = source, .line = line};
	return 0;
}

/* Each is reachable when the program ends, and does not grow with what the program does. Only the function that asked
 * is looked at: constructors of the program's own libraries run below the loader, too. */
int pa_suppressions_default(struct pa_suppressions *s)
{
	static const struct {
		const char *asker, *caller;
	} known[] = {
	    {"_IO_file_doallocate$", NULL}, /* the buffer of a stream */
	    {"/libstdc++.so", "/ld-linux"}, /* its constructor: memory to throw bad_alloc with */
	    {"/ld-linux", NULL},            /* the loader's lists and what dlopen keeps */
	    {"^_dl_", NULL},                /* the same, linked statically */
	    {"^_nl_", NULL},                /* locales */
	    {"setlocale$", NULL},
	    {"newlocale$", NULL},
	    {"__gconv_", NULL},
	    {"^tzset_internal$", NULL}, /* the time zone */
	    {"__tzfile_read$", NULL},
	    {"__tzstring", NULL},
	    {"__nss_", NULL}, /* who answers getpwnam and the like, and the buffers of the latter */
	    {"^nss_", NULL},
	    {"^global_state_allocate$", NULL},
	    {"^getpw*$", NULL},
	    {"^getgr*$", NULL},
	    {"^gethostby*$", NULL},
	};
	int err = 0;
	for (size_t i = 0; !err && i < sizeof(known) / sizeof(known[0]); i++) {
		err = add(s, known[i].asker, strlen(known[i].asker), NULL, 0);
		if (err)
			break;
		s->rows[s->nr - 1].asker = true;
		s->rows[s->nr - 1].caller = known[i].caller;
	}
	return err;
}

/* Errors: -EINVAL: the line is none. */
static int take_line(struct pa_suppressions *s, char *line, const char *source, unsigned number)
{
	char *from = line + strspn(line, " \t"), *end = from + strlen(from);
	while (end > from && isspace((unsigned char)end[-1]))
		end--;
	if (from == end || *from == '#')
		return 0;
	if (strncmp(from, "leak:", 5))
		return -EINVAL;
	from += 5;
	/* what matches everything hides everything: surely a mistake */
	size_t plain = 0;
	for (const char *at = from; at < end; at++)
		plain += !strchr("*^$ \t", *at);
	return plain ? add(s, from, (size_t)(end - from), source, number) : -EINVAL;
}

int pa_suppressions_read(struct pa_suppressions *s, const char *source, char *err, size_t err_size)
{
	FILE *f = fopen(source, "re");
	char line[LINE_MAX_BYTES];
	unsigned number = 0;
	int status = f ? 0 : -errno;

	errno = 0;
	while (!status && fgets(line, sizeof(line), f)) {
		number++;
		size_t len = strlen(line);
		if (len + 1 == sizeof(line) && line[len - 1] != '\n')
			status = -E2BIG;
		else
			status = take_line(s, line, source, number);
	}
	if (!status && f && ferror(f))
		status = errno ? -errno : -EIO;
	if (status == -EINVAL)
		snprintf(err, err_size, "line %u is no suppression: leak:PATTERN, or # and a comment", number);
	else if (status == -E2BIG)
		snprintf(err, err_size, "line %u is longer than %d bytes", number, LINE_MAX_BYTES - 2);
	else if (status)
		snprintf(err, err_size, "cannot be read: %s", strerror(-status));
	if (f)
		fclose(f);
	return status;
}

void pa_suppressions_fini(struct pa_suppressions *s)
{
	for (size_t i = 0; i < s->nr; i++)
		free(s->rows[i].pattern);
	free(s->rows);
	*s = (struct pa_suppressions){0};
}

/* ---- applying -------------------------------------------------------------------------------------------------- */

/* Names are asked for once: known is (text) -> first matching row + 2. */
struct apply {
	const struct pa_suppressions *s;
	const struct pa_report *r;
	struct pa_map known;
};

static uint32_t of_text(struct apply *a, uint32_t text)
{
	uint32_t *at = pa_map_at(&a->known, text, 1);
	if (at && !*at) {
		const struct pa_suppression *rows = a->s->rows;
		size_t i = 0;
		while (i < a->s->nr && (rows[i].asker || !pa_pattern_matches(rows[i].pattern, pa_text(a->r, text))))
			i++;
		*at = (uint32_t)(i < a->s->nr ? i + 1 : 0) + 1;
	}
	return at ? *at - 1 : 0;
}

static uint32_t of_frame(struct apply *a, const struct pa_report_frame *f)
{
	for (uint32_t k = 0; k < f->nr; k++) {
		const struct pa_report_level *l = &a->r->levels[f->first + k];
		uint32_t hit = of_text(a, l->function);
		if (!hit && l->file)
			hit = of_text(a, l->file);
		if (hit)
			return hit;
	}
	return f->module ? of_text(a, a->r->modules[f->module].path) : 0;
}

static bool frame_matches(const struct pa_report *r, const char *pattern, const struct pa_report_frame *f)
{
	for (uint32_t k = 0; k < f->nr; k++)
		if (pa_pattern_matches(pattern, pa_text(r, r->levels[f->first + k].function)))
			return true;
	return f->module && pa_pattern_matches(pattern, pa_text(r, r->modules[f->module].path));
}

/* The built-in ones, for one stack. */
static uint32_t of_asker(const struct apply *a, uint32_t stack)
{
	const struct pa_report *r = a->r;
	uint32_t module;
	size_t level = pa_heap_owner(r, stack, &module);
	const struct pa_report_frame *f = &r->frames[r->stacks[stack].frame];

	while (r->stacks[stack].parent && (level < f->first || level >= f->first + f->nr)) {
		stack = r->stacks[stack].parent;
		f = &r->frames[r->stacks[stack].frame];
	}
	const struct pa_report_frame *below = &r->frames[r->stacks[r->stacks[stack].parent].frame];
	for (size_t i = 0; i < a->s->nr; i++) {
		const struct pa_suppression *row = &a->s->rows[i];
		if (row->asker && frame_matches(r, row->pattern, f) &&
		    (!row->caller || frame_matches(r, row->caller, below)))
			return (uint32_t)i + 1;
	}
	return 0;
}

uint32_t *pa_suppressions_apply(const struct pa_suppressions *s, const struct pa_report *r)
{
	struct apply a = {.s = s, .r = r};
	uint32_t *frames = calloc(r->nr_frames, sizeof(*frames));
	uint32_t *stacks = calloc(r->nr_stacks, sizeof(*stacks));
	bool fine = frames && stacks;
	if (fine) {
		for (size_t i = 0; i < r->nr_frames; i++)
			frames[i] = of_frame(&a, &r->frames[i]);
		/* parents come before their children */
		for (size_t i = 0; i < r->nr_stacks; i++) {
			uint32_t own = frames[r->stacks[i].frame];
			stacks[i] = own || !i ? own : stacks[r->stacks[i].parent];
		}
		for (size_t i = 0; i < r->heap.nr_held; i++) {
			uint32_t at = r->heap.held[i].stack;
			if (at && !stacks[at])
				stacks[at] = of_asker(&a, at);
		}
	}
	pa_map_fini(&a.known);
	free(frames);
	if (!fine)
		free(stacks);
	return fine ? stacks : NULL;
}
