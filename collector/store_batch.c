/* Rows waiting for the next commit; see the header.
 *
 * A row in the buffer: u8 kind, u8 columns, then per column u8 tag and: 'i' u64; 't' and 'b' u32 length and bytes
 * (text with its end); 'n' nothing. Only this file reads and writes it. World: plain. */
#include "collector/store_batch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "collector/strings.h"

#define BATCH_MIN 65536

static const char *const insert_sql[PA_ROW_KINDS] = {
    [PA_ROW_META] = "INSERT OR REPLACE INTO meta VALUES (?,?)",
    [PA_ROW_PROCESS] = "INSERT OR REPLACE INTO process VALUES (?,?,?,?,?,?,?,?,?,?,?)",
    [PA_ROW_THREAD] = "INSERT OR REPLACE INTO thread VALUES (?,?,?,?,?,?,?,?,?)",
    [PA_ROW_MODULE] = "INSERT OR REPLACE INTO module VALUES (?,?,?,?)",
    [PA_ROW_FRAME] = "INSERT OR REPLACE INTO frame VALUES (?,?,?,?)",
    [PA_ROW_STACK] = "INSERT OR REPLACE INTO stack VALUES (?,?,?)",
    [PA_ROW_STRING] = "INSERT OR REPLACE INTO string VALUES (?,?)",
    [PA_ROW_SYMBOL] = "INSERT OR REPLACE INTO symbol VALUES (?,?,?,?,?)",
    [PA_ROW_CHUNK] = "INSERT OR REPLACE INTO sample_chunk VALUES (?,?,?,?,?,?)",
    [PA_ROW_LOSS] = "INSERT INTO loss VALUES (?,?,?) ON CONFLICT DO UPDATE SET count = count + excluded.count",
    [PA_ROW_NOTE] = "INSERT OR REPLACE INTO note VALUES (?,?,?,?)",
    [PA_ROW_HEAP] = "INSERT OR REPLACE INTO heap VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
    [PA_ROW_HEAP_LIFETIMES_GONE] = "DELETE FROM heap_lifetime WHERE process = ?",
    [PA_ROW_HEAP_LIFETIME] = "INSERT OR REPLACE INTO heap_lifetime VALUES (?,?,?,?,?)",
    [PA_ROW_HEAP_THREAD] = "INSERT OR REPLACE INTO heap_thread VALUES (?,?,?,?,?)",
    [PA_ROW_HEAP_CHUNK] = "INSERT OR REPLACE INTO heap_chunk VALUES (?,?,?,?,?,?,?,?,?,?)",
    [PA_ROW_HEAP_PEAK] = "INSERT OR REPLACE INTO heap_peak VALUES (?,?,?,?,?)",
    [PA_ROW_HEAP_HELD_GONE] = "DELETE FROM heap_held WHERE id BETWEEN ? AND ?",
    [PA_ROW_HEAP_HELD] = "INSERT OR REPLACE INTO heap_held VALUES (?,?,?)",
    [PA_ROW_HEAP_POINT] = "INSERT OR REPLACE INTO heap_point VALUES (?,?,?,?,?,?,?,?,?,?)",
    [PA_ROW_LOOP] = "INSERT OR REPLACE INTO loop VALUES (?,?,?,?,?,?)",
    [PA_ROW_LOOP_CHUNK] = "INSERT OR REPLACE INTO loop_chunk VALUES (?,?,?,?,?,?,?,?,?,?,?,?)",
    [PA_ROW_LOOP_BLOCKED] = "INSERT OR REPLACE INTO loop_blocked VALUES (?,?,?,?,?,?,?,?)",
    [PA_ROW_LOOP_WAIT] = "INSERT OR REPLACE INTO loop_wait VALUES (?,?,?,?,?,?,?)",
    [PA_ROW_EXCHANGE] = "INSERT OR REPLACE INTO exchange VALUES (?,?,?,?,?,?,?,?,?,?,?,?)",
    [PA_ROW_EXCHANGE_CHUNK] = "INSERT OR REPLACE INTO exchange_chunk VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
    [PA_ROW_EXCHANGE_SLOW] = "INSERT OR REPLACE INTO exchange_slow VALUES (?,?,?,?,?,?,?,?)",
    [PA_ROW_POOL] = "INSERT OR REPLACE INTO pool VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
    [PA_ROW_POOL_CHUNK] = "INSERT OR REPLACE INTO pool_chunk VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
    [PA_ROW_POOL_LIFE] = "INSERT OR REPLACE INTO pool_life VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
    [PA_ROW_POOL_HELD] = "INSERT OR REPLACE INTO pool_held VALUES (?,?,?,?,?,?)",
    [PA_ROW_EXCHANGE_WITHIN] = "INSERT OR REPLACE INTO exchange_within VALUES (?,?,?,?,?,?,?,?)",
    [PA_ROW_REQUEST_CHUNK] = "INSERT OR REPLACE INTO request_chunk VALUES (?,?,?,?,?)",
    [PA_ROW_LOCK] = "INSERT OR REPLACE INTO lock VALUES (?,?,?,?,?,?,?,?)",
    [PA_ROW_LOCK_CHUNK] = "INSERT OR REPLACE INTO lock_chunk VALUES (?,?,?,?,?,?,?,?,?,?,?,?)",
    [PA_ROW_LOCK_SLOW] = "INSERT OR REPLACE INTO lock_slow VALUES (?,?,?,?,?,?,?,?)",
    [PA_ROW_WALL] = "INSERT OR REPLACE INTO wall VALUES (?,?,?,?,?,?)",
};

static bool reserve(struct pa_batch *b, size_t bytes)
{
	size_t cap = b->cap ? b->cap : BATCH_MIN;
	uint8_t *data;

	if (b->err)
		return false;
	if (bytes > b->limit || b->end > b->limit - bytes) {
		b->err = -ENOSPC;
		return false;
	}
	while (cap < b->end + bytes)
		cap *= 2;
	if (cap == b->cap)
		return true;
	data = realloc(b->data, cap);
	if (!data) {
		b->err = -ENOMEM;
		return false;
	}
	b->data = data;
	b->cap = cap;
	return true;
}

static void put(struct pa_batch *b, const void *bytes, size_t len)
{
	memcpy(b->data + b->end, bytes, len);
	b->end += len;
}

void pa_batch_begin(struct pa_batch *b, enum pa_row kind)
{
	uint8_t head[2] = {(uint8_t)kind, 0};

	b->err = 0;
	b->end = b->len;
	if (reserve(b, sizeof(head)))
		put(b, head, sizeof(head));
}

static void column(struct pa_batch *b, char tag, const void *bytes, size_t len)
{
	if (!reserve(b, 1 + len))
		return;
	put(b, &tag, 1);
	if (len)
		put(b, bytes, len);
	b->data[b->len + 1]++;
}

void pa_batch_int(struct pa_batch *b, uint64_t value)
{
	column(b, 'i', &value, sizeof(value));
}

void pa_batch_blob(struct pa_batch *b, const void *data, size_t len)
{
	uint32_t len32 = (uint32_t)len;

	if (len > PA_TEXT_MAX * 4 && !b->err)
		b->err = -EMSGSIZE;
	if (!reserve(b, 1 + sizeof(len32) + len))
		return;
	column(b, 'b', &len32, sizeof(len32));
	if (len)
		put(b, data, len);
}

void pa_batch_text(struct pa_batch *b, const char *text)
{
	char clean[PA_TEXT_MAX + 1];
	uint32_t len;

	if (!text) {
		column(b, 'n', NULL, 0);
		return;
	}
	len = (uint32_t)pa_text_clean(text, clean);
	if (!reserve(b, 1 + sizeof(len) + len))
		return;
	column(b, 't', &len, sizeof(len));
	put(b, clean, len);
}

int pa_batch_end(struct pa_batch *b)
{
	if (!b->err)
		b->len = b->end;
	b->end = b->len;
	return b->err;
}

void pa_inserts_init(struct pa_inserts *in, sqlite3 *db)
{
	memset(in, 0, sizeof(*in));
	in->db = db;
}

void pa_inserts_fini(struct pa_inserts *in)
{
	for (int i = 0; i < PA_ROW_KINDS; i++) {
		sqlite3_finalize(in->stmt[i]);
		in->stmt[i] = NULL;
	}
}

/* Binds one column; returns the bytes it took. The buffer outlives the step, so nothing is copied. */
static size_t bind_column(sqlite3_stmt *stmt, int nr, const uint8_t *at, int *rc)
{
	uint64_t value;
	uint32_t len;

	switch (at[0]) {
	case 'i':
		memcpy(&value, at + 1, sizeof(value));
		*rc = sqlite3_bind_int64(stmt, nr, (sqlite3_int64)value);
		return 1 + sizeof(value);
	case 't':
	case 'b':
		memcpy(&len, at + 1, sizeof(len));
		if (at[0] == 't')
			*rc = sqlite3_bind_text(stmt, nr, (const char *)at + 5, (int)len, SQLITE_STATIC);
		else
			*rc = sqlite3_bind_blob(stmt, nr, at + 5, (int)len, SQLITE_STATIC);
		return 5 + (size_t)len;
	default:
		*rc = sqlite3_bind_null(stmt, nr);
		return 1;
	}
}

/* Made when its first row comes: most recordings need few of them, and each takes kilobytes. */
static sqlite3_stmt *statement(struct pa_inserts *in, int kind, int *rc)
{
	if (!in->stmt[kind] && *rc == SQLITE_OK)
		*rc =
		    sqlite3_prepare_v3(in->db, insert_sql[kind], -1, SQLITE_PREPARE_PERSISTENT, &in->stmt[kind], NULL);
	return in->stmt[kind];
}

static size_t apply_row(const uint8_t *row, struct pa_inserts *in, int *rc)
{
	sqlite3_stmt *stmt = statement(in, row[0], rc);
	size_t at = 2;

	for (int i = 1; i <= row[1] && *rc == SQLITE_OK; i++)
		at += bind_column(stmt, i, row + at, rc);
	if (*rc != SQLITE_OK)
		return at;
	*rc = sqlite3_step(stmt);
	if (*rc == SQLITE_DONE)
		*rc = SQLITE_OK;
	sqlite3_reset(stmt); /* repeats the error of the step */
	return at;
}

int pa_batch_apply(const struct pa_batch *b, struct pa_inserts *in, sqlite3 *db)
{
	int rc = sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL);

	for (size_t at = 0; at < b->len && rc == SQLITE_OK;)
		at += apply_row(b->data + at, in, &rc);
	if (rc == SQLITE_OK)
		rc = sqlite3_exec(db, "COMMIT", NULL, NULL, NULL);
	if (rc != SQLITE_OK && !sqlite3_get_autocommit(db))
		sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL); /* the first error is the one to report */
	return rc;
}

void pa_batch_fini(struct pa_batch *b)
{
	free(b->data);
	memset(b, 0, sizeof(*b));
}
