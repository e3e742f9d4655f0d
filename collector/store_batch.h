/* Rows waiting for the next commit. They are kept here, not in an open SQLite transaction, because a full disk makes
 * SQLite roll back all of it: from here the rows can be written again. Caller: store_write.c. World: plain. */
#ifndef PA_COLLECTOR_STORE_BATCH_H
#define PA_COLLECTOR_STORE_BATCH_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum pa_row {
	PA_ROW_META,
	PA_ROW_PROCESS,
	PA_ROW_THREAD,
	PA_ROW_MODULE,
	PA_ROW_FRAME,
	PA_ROW_STACK,
	PA_ROW_STRING,
	PA_ROW_SYMBOL,
	PA_ROW_CHUNK,
	PA_ROW_LOSS,
	PA_ROW_NOTE,
	PA_ROW_HEAP,
	PA_ROW_HEAP_LIFETIMES_GONE, /* one column, the process: what its row had goes */
	PA_ROW_HEAP_LIFETIME,
	PA_ROW_HEAP_THREAD,
	PA_ROW_HEAP_CHUNK,
	PA_ROW_HEAP_PEAK,
	PA_ROW_HEAP_HELD_GONE, /* two columns: its rows of heap_held from the first id to the last go */
	PA_ROW_HEAP_HELD,
	PA_ROW_HEAP_POINT,
	PA_ROW_LOOP,
	PA_ROW_LOOP_CHUNK,
	PA_ROW_LOOP_BLOCKED,
	PA_ROW_LOOP_WAIT,
	PA_ROW_EXCHANGE,
	PA_ROW_EXCHANGE_CHUNK,
	PA_ROW_EXCHANGE_SLOW,
	PA_ROW_POOL,
	PA_ROW_POOL_CHUNK,
	PA_ROW_POOL_LIFE,
	PA_ROW_POOL_HELD,
	PA_ROW_REQUEST_CHUNK,
	PA_ROW_LOCK,
	PA_ROW_LOCK_CHUNK,
	PA_ROW_LOCK_SLOW,
	PA_ROW_EXCHANGE_WITHIN,
	PA_ROW_WALL,
	PA_ROW_KINDS
};

/* Invariant: committed rows are [0, len); a row being built is [len, end), dropped as a whole when it fails. */
struct pa_batch {
	uint8_t *data;
	size_t len;
	size_t end;
	size_t cap;
	size_t limit; /* bytes a row may end at */
	int err;      /* of the row being built */
};

/* A row is built by begin, one call per column in the order of its INSERT, and end. */
void pa_batch_begin(struct pa_batch *b, enum pa_row kind);
void pa_batch_int(struct pa_batch *b, uint64_t value);
void pa_batch_text(struct pa_batch *b, const char *text); /* NULL becomes SQL NULL; bytes that are no UTF-8, U+FFFD */
void pa_batch_blob(struct pa_batch *b, const void *data, size_t len);
/* Errors: 0; -ENOSPC: the limit is reached; -ENOMEM. The row is then not there. */
int pa_batch_end(struct pa_batch *b);

/* The INSERTs of one connection, prepared as they are needed. */
struct pa_inserts {
	sqlite3 *db;
	sqlite3_stmt *stmt[PA_ROW_KINDS];
};

void pa_inserts_init(struct pa_inserts *in, sqlite3 *db);
void pa_inserts_fini(struct pa_inserts *in);

/* Writes all rows in one transaction. Errors: an SQLite result code; nothing was written then. */
int pa_batch_apply(const struct pa_batch *b, struct pa_inserts *in, sqlite3 *db);
void pa_batch_fini(struct pa_batch *b);

#endif
