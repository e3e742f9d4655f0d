/* An open recording, and one visit per table, each row checked before a report sees it.
 * Callers: store_read.c, store_heapread.c. World: plain. */
#ifndef PA_COLLECTOR_STORE_VISIT_H
#define PA_COLLECTOR_STORE_VISIT_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "collector/store.h"
#include "collector/strings.h"

struct pa_store_meta {
	char *key;
	char *value;
};

struct pa_recording {
	sqlite3 *db;
	struct pa_store_meta *meta;
	size_t nr_meta;
	char error[200];
	char text[6][PA_TEXT_MAX + 1]; /* strings of the current row, made clean again: the file may be anybody's */
};

/* One row on its way to the caller. */
struct pa_visited {
	struct pa_recording *r;
	sqlite3_stmt *stmt;
	bool bad;    /* a column was out of range */
	int strings; /* of r->text in use */
};

/* Columns of the row, counted from 0. What is out of range marks the row bad; an id is not 0. */
uint64_t pa_visited_u64(struct pa_visited *row, int column);
uint32_t pa_visited_u32(struct pa_visited *row, int column);
uint32_t pa_visited_id(struct pa_visited *row, int column);
/* Lent until the next row. NULL: SQL NULL; the second gives "" then. */
const char *pa_visited_text_or_null(struct pa_visited *row, int column);
const char *pa_visited_text(struct pa_visited *row, int column);

/* Notes what pa_recording_error says. Returns -EBADMSG. */
int pa_recording_damaged(struct pa_recording *r, const char *table, const char *why);

/* Steps through a query whose first column has to rise from row to row: a damaged tree may otherwise be walked for
 * ever. each: hands one row to the caller's function; what it returns ends the visit unless 0.
 * Errors: what each returned; -EBADMSG: damage, or a row marked bad; -ENOMEM. */
int pa_recording_visit(struct pa_recording *r, const char *table, const char *sql,
		       int (*each)(struct pa_visited *row, void *arg), void *arg);

#endif
