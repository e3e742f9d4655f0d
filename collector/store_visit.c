/* Visits of a recording's tables; see the header. World: plain. */
#include "collector/store_visit.h"

#include <errno.h>
#include <stdio.h>

uint64_t pa_visited_u64(struct pa_visited *row, int column)
{
	return (uint64_t)sqlite3_column_int64(row->stmt, column);
}

uint32_t pa_visited_u32(struct pa_visited *row, int column)
{
	uint64_t value = pa_visited_u64(row, column);

	row->bad = row->bad || value > UINT32_MAX;
	return (uint32_t)value;
}

uint32_t pa_visited_id(struct pa_visited *row, int column)
{
	uint32_t id = pa_visited_u32(row, column);

	row->bad = row->bad || id == 0;
	return id;
}

const char *pa_visited_text_or_null(struct pa_visited *row, int column)
{
	const char *text = (const char *)sqlite3_column_text(row->stmt, column);
	char *clean = row->r->text[row->strings];

	if (!text)
		return NULL;
	row->strings++;
	pa_text_clean(text, clean);
	return clean;
}

const char *pa_visited_text(struct pa_visited *row, int column)
{
	const char *text = pa_visited_text_or_null(row, column);

	return text ? text : "";
}

int pa_recording_damaged(struct pa_recording *r, const char *table, const char *why)
{
	snprintf(r->error, sizeof(r->error), "the recording is damaged: table %s: %s", table, why);
	return -EBADMSG;
}

int pa_recording_visit(struct pa_recording *r, const char *table, const char *sql,
		       int (*each)(struct pa_visited *row, void *arg), void *arg)
{
	struct pa_visited row = {.r = r};
	sqlite3_int64 last = INT64_MIN;
	int rc = sqlite3_prepare_v2(r->db, sql, -1, &row.stmt, NULL), ret = 0;

	while (rc == SQLITE_OK && !ret && (rc = sqlite3_step(row.stmt)) == SQLITE_ROW) {
		sqlite3_int64 key = sqlite3_column_int64(row.stmt, 0);

		rc = SQLITE_OK;
		row.strings = 0;
		if (key <= last && last != INT64_MIN)
			ret = pa_recording_damaged(r, table, "rows out of order");
		else
			ret = each(&row, arg);
		last = key;
		if (row.bad)
			ret = pa_recording_damaged(r, table, "a value is out of range");
	}
	if (rc != SQLITE_OK && rc != SQLITE_DONE && !ret)
		ret = (rc & 0xff) == SQLITE_NOMEM ? -ENOMEM : pa_recording_damaged(r, table, sqlite3_errmsg(r->db));
	sqlite3_finalize(row.stmt);
	return ret;
}
