/* The tables of a recording and how older ones become today's. Callers: store_write.c, store_open.c, tests.
 * World: plain. */
#ifndef PA_COLLECTOR_STORE_SCHEMA_H
#define PA_COLLECTOR_STORE_SCHEMA_H

#include <sqlite3.h>
#include <stddef.h>

/* Makes the tables in an empty database and sets application_id and user_version. Errors: an SQLite result code. */
int pa_schema_create(sqlite3 *db);
/* Writes application_id and user_version (again). Errors: an SQLite result code. */
int pa_schema_stamp(sqlite3 *db);

/* One step: from schema `from` to from + 1, run in a transaction of its own on a private copy, never on the file of the
 * user. */
struct pa_migration {
	int from;
	const char *sql;
};

/* The steps that lead to PA_STORE_SCHEMA, ascending and without gaps. */
const struct pa_migration *pa_schema_migrations(size_t *nr);

/* Brings db from schema `from` to schema `to` by the given steps and writes user_version.
 * Errors: an SQLite result code; SQLITE_MISMATCH: a step is missing. The database is then at the last good step. */
int pa_schema_migrate(sqlite3 *db, const struct pa_migration *steps, size_t nr, int from, int to);

#endif
