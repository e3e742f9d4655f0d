/* The tables of a recording; perfagent-recording(5) explains each column. World: plain. */
#include "collector/store_schema.h"

#include <stdio.h>

#include "collector/store.h"

/* 64-bit values are stored as SQLite's signed integers, bit for bit: an address with the top bit set reads negative.
 * Ids are ours, so that what refers to a row can be written before or after it. No foreign keys, no indexes: writing
 * is what has to be cheap, and a report reads every table from end to end. */
/* clang-format off */
#define HEAP_SQL \
    "CREATE TABLE heap (process INTEGER PRIMARY KEY, mode INTEGER, flags INTEGER, mean INTEGER, calls INTEGER," \
    " bytes INTEGER, frees INTEGER, freed INTEGER, temporary INTEGER, unknown_frees INTEGER, own_bytes INTEGER," \
    " lost INTEGER, lost_frees INTEGER, uncertain_ns INTEGER, stalled_ns INTEGER, mapped_calls INTEGER," \
    " mapped_bytes INTEGER, unmapped_bytes INTEGER);" \
    "CREATE TABLE heap_lifetime (process INTEGER NOT NULL, class INTEGER NOT NULL, below_ns INTEGER, calls INTEGER," \
    " bytes INTEGER, PRIMARY KEY (process, class)) WITHOUT ROWID;" \
    "CREATE TABLE heap_thread (thread INTEGER PRIMARY KEY, calls INTEGER, bytes INTEGER, frees INTEGER," \
    " freed INTEGER);" \
    "CREATE TABLE heap_chunk (id INTEGER PRIMARY KEY, process INTEGER, first_ns INTEGER, last_ns INTEGER," \
    " stacks INTEGER, calls INTEGER, bytes INTEGER, frees INTEGER, freed INTEGER, data BLOB);" \
    "CREATE TABLE heap_peak (process INTEGER PRIMARY KEY, time_ns INTEGER, calls INTEGER, bytes INTEGER," \
    " stacks INTEGER);" \
    "CREATE TABLE heap_held (id INTEGER PRIMARY KEY, stacks INTEGER, data BLOB);" \
    "CREATE TABLE heap_point (id INTEGER PRIMARY KEY, process INTEGER, time_ns INTEGER, live_calls INTEGER," \
    " live_bytes INTEGER, rss_bytes INTEGER, libc_arena INTEGER, libc_mapped INTEGER, libc_used INTEGER," \
    " libc_unused INTEGER);"
#define LOOP_SQL \
    "CREATE TABLE loop (id INTEGER PRIMARY KEY, thread INTEGER, kind INTEGER, key INTEGER, frame INTEGER," \
    " watched INTEGER);" \
    "CREATE TABLE loop_chunk (id INTEGER PRIMARY KEY, loop INTEGER, first_ns INTEGER, last_ns INTEGER," \
    " iterations INTEGER, ready INTEGER, busy_ns INTEGER, wait_ns INTEGER, long_ns INTEGER, waited_ns INTEGER," \
    " max_ns INTEGER, lag BLOB);" \
    "CREATE TABLE loop_blocked (id INTEGER PRIMARY KEY, loop INTEGER, start_ns INTEGER, end_ns INTEGER," \
    " waited_ns INTEGER, wait_ns INTEGER, stack INTEGER, ready INTEGER);" \
    "CREATE TABLE loop_wait (id INTEGER PRIMARY KEY, thread INTEGER, kind INTEGER, stack INTEGER, waits INTEGER," \
    " total_ns INTEGER, max_ns INTEGER);"
#define TALK_SQL \
    "CREATE TABLE exchange (id INTEGER PRIMARY KEY, process INTEGER, role INTEGER, proto INTEGER, stack INTEGER," \
    " repeats INTEGER, repeated INTEGER, repeater INTEGER, peer TEXT, method TEXT, text TEXT, error TEXT);" \
    "CREATE TABLE exchange_chunk (id INTEGER PRIMARY KEY, exchange INTEGER, first_ns INTEGER, last_ns INTEGER," \
    " count INTEGER, errors INTEGER, lost INTEGER, rows INTEGER, sent_bytes INTEGER, received_bytes INTEGER," \
    " total_ns INTEGER, min_ns INTEGER, max_ns INTEGER, latency BLOB);" \
    "CREATE TABLE exchange_slow (id INTEGER PRIMARY KEY, exchange INTEGER, thread INTEGER, stack INTEGER," \
    " failed INTEGER, start_ns INTEGER, end_ns INTEGER, rows INTEGER);" \
    "CREATE TABLE pool (id INTEGER PRIMARY KEY, process INTEGER, proto INTEGER, stack INTEGER, opened INTEGER," \
    " closed INTEGER, failed INTEGER, errors INTEGER, open INTEGER, open_max INTEGER, active INTEGER," \
    " active_max INTEGER, in_tx INTEGER, in_tx_max INTEGER, open_ns INTEGER, active_ns INTEGER, in_tx_ns INTEGER," \
    " connect_ns INTEGER, peer TEXT);"
#define POOL_SQL \
    "CREATE TABLE pool_chunk (id INTEGER PRIMARY KEY, pool INTEGER, first_ns INTEGER, last_ns INTEGER, open INTEGER," \
    " active INTEGER, in_tx INTEGER, open_ns INTEGER, taken_ns INTEGER, used_ns INTEGER, full_ns INTEGER," \
    " short_ns INTEGER, waiting_ns INTEGER, short_times INTEGER, answered INTEGER);" \
    "CREATE TABLE pool_life (pool INTEGER PRIMARY KEY, shared INTEGER, known INTEGER, connects INTEGER," \
    " connect_ns INTEGER, connect_max_ns INTEGER, busy_connects INTEGER, lives INTEGER, life_max_ns INTEGER," \
    " timeouts INTEGER, resets INTEGER, abandoned INTEGER, connect BLOB, life BLOB);" \
    "CREATE TABLE pool_held (id INTEGER PRIMARY KEY, pool INTEGER, kind INTEGER, stack INTEGER, opened_ns INTEGER," \
    " since_ns INTEGER);"
#define REQUEST_SQL \
    "CREATE TABLE request_chunk (id INTEGER PRIMARY KEY, first_ns INTEGER, last_ns INTEGER, requests INTEGER," \
    " data BLOB);" \
    "CREATE TABLE exchange_within (id INTEGER PRIMARY KEY, exchange INTEGER, endpoint INTEGER, repeats INTEGER," \
    " repeated INTEGER, repeater INTEGER, count INTEGER, total_ns INTEGER);"
#define LOCK_SQL \
    "CREATE TABLE lock (id INTEGER PRIMARY KEY, process INTEGER, kind INTEGER, stack INTEGER, addresses INTEGER," \
    " holder INTEGER, holder_ns INTEGER, unfinished INTEGER);" \
    "CREATE TABLE lock_chunk (id INTEGER PRIMARY KEY, lock INTEGER, first_ns INTEGER, last_ns INTEGER, waits INTEGER," \
    " timed_out INTEGER, total_ns INTEGER, max_ns INTEGER, held INTEGER, held_ns INTEGER, held_max_ns INTEGER," \
    " latency BLOB);" \
    "CREATE TABLE lock_slow (id INTEGER PRIMARY KEY, lock INTEGER, thread INTEGER, holder INTEGER, stack INTEGER," \
    " start_ns INTEGER, end_ns INTEGER, address INTEGER);"
#define WALL_SQL \
    "CREATE TABLE wall (id INTEGER PRIMARY KEY, process INTEGER, thread INTEGER, stack INTEGER, looks INTEGER," \
    " ns INTEGER);"
/* clang-format on */

static const char schema_sql[] =
    "CREATE TABLE meta (key TEXT PRIMARY KEY NOT NULL, value TEXT NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE process (id INTEGER PRIMARY KEY, pid INTEGER, inner_pid INTEGER, parent INTEGER, start_ns INTEGER,"
    " end_ns INTEGER, cpu_ns INTEGER, agent_ns INTEGER, command TEXT, exe TEXT, how TEXT);"
    "CREATE TABLE thread (id INTEGER PRIMARY KEY, process INTEGER, tid INTEGER, start_ns INTEGER, end_ns INTEGER,"
    " cpu_ns INTEGER, period_ns INTEGER, start_frame INTEGER, name TEXT);"
    "CREATE TABLE module (id INTEGER PRIMARY KEY, path TEXT, build_id BLOB, symbols INTEGER);"
    "CREATE TABLE frame (id INTEGER PRIMARY KEY, module INTEGER, address INTEGER, name TEXT);"
    "CREATE TABLE stack (id INTEGER PRIMARY KEY, parent INTEGER, frame INTEGER);"
    "CREATE TABLE string (id INTEGER PRIMARY KEY, text TEXT NOT NULL);"
    "CREATE TABLE symbol (frame INTEGER NOT NULL, level INTEGER NOT NULL, function INTEGER, file INTEGER, line INTEGER,"
    " PRIMARY KEY (frame, level)) WITHOUT ROWID;"
    "CREATE TABLE sample_chunk (id INTEGER PRIMARY KEY, first_ns INTEGER, last_ns INTEGER, samples INTEGER,"
    " weight INTEGER, data BLOB);"
    "CREATE TABLE loss (process INTEGER NOT NULL, reason TEXT NOT NULL, count INTEGER, PRIMARY KEY (process, reason))"
    " WITHOUT ROWID;"
    "CREATE TABLE note (id INTEGER PRIMARY KEY, process INTEGER, time_ns INTEGER, text TEXT);"
    "CREATE VIEW symbol_text AS SELECT s.frame, s.level, f.text AS function, p.text AS file, s.line FROM symbol s"
    " LEFT JOIN string f ON f.id = s.function LEFT JOIN string p ON p.id = s.file;" HEAP_SQL LOOP_SQL TALK_SQL POOL_SQL
	REQUEST_SQL LOCK_SQL WALL_SQL;

static int set_pragma(sqlite3 *db, const char *name, int value)
{
	char sql[80];

	snprintf(sql, sizeof(sql), "PRAGMA %s = %d", name, value);
	return sqlite3_exec(db, sql, NULL, NULL, NULL);
}

int pa_schema_stamp(sqlite3 *db)
{
	int rc = set_pragma(db, "application_id", PA_STORE_APPLICATION_ID);

	return rc == SQLITE_OK ? set_pragma(db, "user_version", PA_STORE_SCHEMA) : rc;
}

/* A chunk is a blob over several pages and wastes half of the last one: with SQLite's own 4096 that is a tenth of all
 * bytes a sample takes. Smaller pages than this cost more in the other tables than they save here. */
#define PAGE_BYTES 2048

int pa_schema_create(sqlite3 *db)
{
	int rc = set_pragma(db, "page_size", PAGE_BYTES);

	if (rc == SQLITE_OK)
		rc = sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL);

	if (rc == SQLITE_OK)
		rc = pa_schema_stamp(db);
	if (rc == SQLITE_OK)
		rc = sqlite3_exec(db, schema_sql, NULL, NULL, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_exec(db, "COMMIT", NULL, NULL, NULL);
	if (rc != SQLITE_OK && !sqlite3_get_autocommit(db))
		sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL); /* the first error is the one to report */
	return rc;
}

const struct pa_migration *pa_schema_migrations(size_t *nr)
{
	static const struct pa_migration steps[] = {
	    {1, HEAP_SQL},
	    {2, LOOP_SQL},
	    {3, TALK_SQL},
	    {4, POOL_SQL REQUEST_SQL LOCK_SQL WALL_SQL},
	};

	*nr = sizeof(steps) / sizeof(steps[0]);
	return steps;
}

static int run_step(sqlite3 *db, const struct pa_migration *step)
{
	int rc = sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL);

	if (rc == SQLITE_OK)
		rc = sqlite3_exec(db, step->sql, NULL, NULL, NULL);
	if (rc == SQLITE_OK)
		rc = set_pragma(db, "user_version", step->from + 1);
	if (rc == SQLITE_OK)
		rc = sqlite3_exec(db, "COMMIT", NULL, NULL, NULL);
	if (rc != SQLITE_OK && !sqlite3_get_autocommit(db))
		sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
	return rc;
}

int pa_schema_migrate(sqlite3 *db, const struct pa_migration *steps, size_t nr, int from, int to)
{
	int rc = SQLITE_OK;

	for (size_t i = 0; i < nr && rc == SQLITE_OK && from < to; i++) {
		if (steps[i].from != from)
			continue;
		rc = run_step(db, &steps[i]);
		from += rc == SQLITE_OK;
	}
	return rc == SQLITE_OK && from < to ? SQLITE_MISMATCH : rc;
}
