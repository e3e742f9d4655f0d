/* Reading a recording: one visit per table, each row checked before a report sees it. World: plain. */
#include "collector/store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/store_chunk.h"
#include "collector/store_open.h"
#include "collector/strings.h"

#define META_MAX 4096

struct meta {
	char *key;
	char *value;
};

struct pa_recording {
	sqlite3 *db;
	struct meta *meta;
	size_t nr_meta;
	char error[200];
	char text[6][PA_TEXT_MAX + 1]; /* strings of the current row, made clean again: the file may be anybody's */
};

/* ---- rows -------------------------------------------------------------------------------------------------------- */

/* One row on its way to the caller. */
struct row {
	struct pa_recording *r;
	sqlite3_stmt *stmt;
	bool bad;    /* a column was out of range */
	int strings; /* of r->text in use */
};

static uint64_t get_u64(struct row *row, int column)
{
	return (uint64_t)sqlite3_column_int64(row->stmt, column);
}

static uint32_t get_u32(struct row *row, int column)
{
	uint64_t value = get_u64(row, column);

	row->bad = row->bad || value > UINT32_MAX;
	return (uint32_t)value;
}

static uint32_t get_id(struct row *row, int column)
{
	uint32_t id = get_u32(row, column);

	row->bad = row->bad || id == 0;
	return id;
}

static const char *get_text_or_null(struct row *row, int column)
{
	const char *text = (const char *)sqlite3_column_text(row->stmt, column);
	char *clean = row->r->text[row->strings];

	if (!text)
		return NULL;
	row->strings++;
	pa_text_clean(text, clean);
	return clean;
}

static const char *get_text(struct row *row, int column)
{
	const char *text = get_text_or_null(row, column);

	return text ? text : "";
}

static int damaged(struct pa_recording *r, const char *table, const char *why)
{
	snprintf(r->error, sizeof(r->error), "the recording is damaged: table %s: %s", table, why);
	return -EBADMSG;
}

/* Steps through a query whose first column has to rise from row to row: a damaged tree may otherwise be walked for
 * ever. each: hands one row to the caller's function; what it returns ends the visit unless 0. */
static int visit(struct pa_recording *r, const char *table, const char *sql, int (*each)(struct row *row, void *arg),
		 void *arg)
{
	struct row row = {.r = r};
	sqlite3_int64 last = INT64_MIN;
	int rc = sqlite3_prepare_v2(r->db, sql, -1, &row.stmt, NULL), ret = 0;

	while (rc == SQLITE_OK && !ret && (rc = sqlite3_step(row.stmt)) == SQLITE_ROW) {
		sqlite3_int64 key = sqlite3_column_int64(row.stmt, 0);

		rc = SQLITE_OK;
		row.strings = 0;
		if (key <= last && last != INT64_MIN)
			ret = damaged(r, table, "rows out of order");
		else
			ret = each(&row, arg);
		last = key;
		if (row.bad)
			ret = damaged(r, table, "a value is out of range");
	}
	if (rc != SQLITE_OK && rc != SQLITE_DONE && !ret)
		ret = (rc & 0xff) == SQLITE_NOMEM ? -ENOMEM : damaged(r, table, sqlite3_errmsg(r->db));
	sqlite3_finalize(row.stmt);
	return ret;
}

/* ---- opening ----------------------------------------------------------------------------------------------------- */

/* Views and virtual tables (which have no root page) could run a query of the file's choice. */
static int check_tables(struct pa_recording *r)
{
	static const char sql[] =
	    "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND rootpage > 0 AND name IN"
	    " ('meta','process','thread','module','frame','stack','string','symbol','sample_chunk','loss','note')";
	sqlite3_stmt *stmt = NULL;
	int rc = sqlite3_prepare_v2(r->db, sql, -1, &stmt, NULL), nr = -1;

	if (rc == SQLITE_OK && sqlite3_step(stmt) == SQLITE_ROW)
		nr = sqlite3_column_int(stmt, 0);
	rc = sqlite3_finalize(stmt);
	if (rc != SQLITE_OK)
		return damaged(r, "sqlite_schema", sqlite3_errmsg(r->db));
	return nr == 11 ? 0 : damaged(r, "sqlite_schema", "tables are missing");
}

static int load_meta(struct row *row, void *arg)
{
	struct pa_recording *r = row->r;
	struct meta *m = realloc(r->meta, (r->nr_meta + 1) * sizeof(*m));

	if (!m)
		return -ENOMEM;
	r->meta = m;
	m += r->nr_meta;
	m->key = strdup(get_text(row, 1));
	m->value = strdup(get_text(row, 2));
	r->nr_meta++;
	if (!m->key || !m->value)
		return -ENOMEM;
	return r->nr_meta > META_MAX ? damaged(r, "meta", "too many rows") : 0;
}

int pa_recording_open(const char *path, struct pa_recording **out, char *err, size_t err_size)
{
	struct pa_recording *r = calloc(1, sizeof(*r));
	int ret;

	*out = NULL;
	if (!r) {
		snprintf(err, err_size, "%s: out of memory", path);
		return -ENOMEM;
	}
	ret = pa_recording_connect(path, &r->db, err, err_size);
	if (ret) {
		free(r);
		return ret;
	}
	ret = check_tables(r);
	if (!ret)
		ret = visit(r, "meta", "SELECT row_number() OVER (), key, value FROM meta", load_meta, NULL);
	if (!ret) {
		*out = r;
		return 0;
	}
	snprintf(err, err_size, "%s: %s", path, ret == -EBADMSG ? r->error : strerror(-ret));
	pa_recording_close(r);
	return ret;
}

void pa_recording_close(struct pa_recording *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < r->nr_meta; i++) {
		free(r->meta[i].key);
		free(r->meta[i].value);
	}
	free(r->meta);
	sqlite3_close(r->db);
	free(r);
}

const char *pa_recording_error(const struct pa_recording *r)
{
	return r->error;
}

const char *pa_recording_meta(struct pa_recording *r, const char *key)
{
	for (size_t i = 0; i < r->nr_meta; i++)
		if (!strcmp(r->meta[i].key, key))
			return r->meta[i].value;
	return NULL;
}

uint64_t pa_recording_meta_u64(struct pa_recording *r, const char *key, uint64_t otherwise)
{
	const char *text = pa_recording_meta(r, key);
	char *end;
	uint64_t value;

	if (!text || text[0] < '0' || text[0] > '9')
		return otherwise;
	errno = 0;
	value = strtoull(text, &end, 10);
	return errno || *end ? otherwise : value;
}

/* ---- tables ------------------------------------------------------------------------------------------------------ */

struct call {
	union {
		int (*process)(void *arg, const struct pa_store_process *p);
		int (*thread)(void *arg, const struct pa_store_thread *t);
		int (*module)(void *arg, const struct pa_store_module *m);
		int (*frame)(void *arg, const struct pa_store_frame *f);
		int (*stack)(void *arg, uint32_t id, uint32_t parent, uint32_t frame);
		int (*symbol)(void *arg, const struct pa_store_symbol *s);
		int (*sample)(void *arg, const struct pa_store_sample *s);
		int (*loss)(void *arg, uint32_t process, const char *reason, uint64_t count);
		int (*note)(void *arg, uint32_t process, uint64_t time_ns, const char *text);
	} fn;
	void *arg;
	int later; /* what to return after everything that is whole was visited */
	struct pa_store_sample *samples;
};

static int each_process(struct row *row, void *arg)
{
	struct call *c = arg;
	struct pa_store_process p = {
	    .id = get_id(row, 0),
	    .pid = get_u32(row, 1),
	    .inner_pid = get_u32(row, 2),
	    .parent = get_u32(row, 3),
	    .start_ns = get_u64(row, 4),
	    .end_ns = get_u64(row, 5),
	    .cpu_ns = get_u64(row, 6),
	    .agent_ns = get_u64(row, 7),
	    .command = get_text(row, 8),
	    .exe = get_text(row, 9),
	    .how = get_text(row, 10),
	};

	return row->bad ? 0 : c->fn.process(c->arg, &p);
}

int pa_recording_processes(struct pa_recording *r, int (*fn)(void *arg, const struct pa_store_process *p), void *arg)
{
	struct call c = {.fn.process = fn, .arg = arg};

	return visit(
	    r, "process",
	    "SELECT id, pid, inner_pid, parent, start_ns, end_ns, cpu_ns, agent_ns, command, exe, how FROM process"
	    " ORDER BY id",
	    each_process, &c);
}

static int each_thread(struct row *row, void *arg)
{
	struct call *c = arg;
	struct pa_store_thread t = {
	    .id = get_id(row, 0),
	    .process = get_u32(row, 1),
	    .tid = get_u32(row, 2),
	    .start_ns = get_u64(row, 3),
	    .end_ns = get_u64(row, 4),
	    .cpu_ns = get_u64(row, 5),
	    .period_ns = get_u64(row, 6),
	    .start_frame = get_u32(row, 7),
	    .name = get_text(row, 8),
	};

	return row->bad ? 0 : c->fn.thread(c->arg, &t);
}

int pa_recording_threads(struct pa_recording *r, int (*fn)(void *arg, const struct pa_store_thread *t), void *arg)
{
	struct call c = {.fn.thread = fn, .arg = arg};

	return visit(
	    r, "thread",
	    "SELECT id, process, tid, start_ns, end_ns, cpu_ns, period_ns, start_frame, name FROM thread ORDER BY id",
	    each_thread, &c);
}

static int each_module(struct row *row, void *arg)
{
	struct call *c = arg;
	struct pa_store_module m = {
	    .id = get_id(row, 0),
	    .path = get_text(row, 1),
	    .build_id = sqlite3_column_blob(row->stmt, 2),
	    .build_id_len = (size_t)sqlite3_column_bytes(row->stmt, 2),
	    .symbols = get_u32(row, 3),
	};

	return row->bad ? 0 : c->fn.module(c->arg, &m);
}

int pa_recording_modules(struct pa_recording *r, int (*fn)(void *arg, const struct pa_store_module *m), void *arg)
{
	struct call c = {.fn.module = fn, .arg = arg};

	return visit(r, "module", "SELECT id, path, build_id, symbols FROM module ORDER BY id", each_module, &c);
}

static int each_frame(struct row *row, void *arg)
{
	struct call *c = arg;
	struct pa_store_frame f = {
	    .id = get_id(row, 0),
	    .module = get_u32(row, 1),
	    .address = get_u64(row, 2),
	    .name = get_text_or_null(row, 3),
	};

	return row->bad ? 0 : c->fn.frame(c->arg, &f);
}

int pa_recording_frames(struct pa_recording *r, int (*fn)(void *arg, const struct pa_store_frame *f), void *arg)
{
	struct call c = {.fn.frame = fn, .arg = arg};

	return visit(r, "frame", "SELECT id, module, address, name FROM frame ORDER BY id", each_frame, &c);
}

static int each_stack(struct row *row, void *arg)
{
	struct call *c = arg;
	uint32_t id = get_id(row, 0), parent = get_u32(row, 1), frame = get_u32(row, 2);

	return row->bad ? 0 : c->fn.stack(c->arg, id, parent, frame);
}

int pa_recording_stacks(struct pa_recording *r, int (*fn)(void *arg, uint32_t id, uint32_t parent, uint32_t frame),
			void *arg)
{
	struct call c = {.fn.stack = fn, .arg = arg};

	return visit(r, "stack", "SELECT id, parent, frame FROM stack ORDER BY id", each_stack, &c);
}

static int each_symbol(struct row *row, void *arg)
{
	struct call *c = arg;
	struct pa_store_symbol s = {
	    .frame = get_id(row, 1),
	    .level = get_u32(row, 2),
	    .function = get_text(row, 3),
	    .file = get_text_or_null(row, 4),
	    .line = get_u32(row, 5),
	};

	row->bad = row->bad || s.level > UINT16_MAX;
	return row->bad ? 0 : c->fn.symbol(c->arg, &s);
}

int pa_recording_symbols(struct pa_recording *r, int (*fn)(void *arg, const struct pa_store_symbol *s), void *arg)
{
	struct call c = {.fn.symbol = fn, .arg = arg};

	return visit(r, "symbol",
		     "SELECT s.frame * 65536 + s.level, s.frame, s.level, f.text, p.text, s.line FROM symbol s"
		     " LEFT JOIN string f ON f.id = s.function LEFT JOIN string p ON p.id = s.file"
		     " ORDER BY s.frame, s.level",
		     each_symbol, &c);
}

/* A bad chunk gives what is whole in it, the others are not affected; the visit ends with the error. */
static int each_chunk(struct row *row, void *arg)
{
	struct call *c = arg;
	const uint8_t *data = sqlite3_column_blob(row->stmt, 2);
	size_t len = (size_t)sqlite3_column_bytes(row->stmt, 2), nr, where;
	int err = pa_chunk_decode(data, len, c->samples, &nr, &where), ret = 0;

	if (!err && nr != get_u64(row, 1))
		err = -EBADMSG;
	if (err && !c->later) {
		snprintf(row->r->error, sizeof(row->r->error),
			 "the recording is damaged: sample chunk %lld: byte %zu of %zu makes no sense, %zu of %lld "
			 "samples read",
			 sqlite3_column_int64(row->stmt, 0), where, len, nr, sqlite3_column_int64(row->stmt, 1));
		c->later = err;
	}
	for (size_t i = 0; i < nr && !ret; i++)
		ret = c->fn.sample(c->arg, &c->samples[i]);
	return ret;
}

int pa_recording_samples(struct pa_recording *r, int (*fn)(void *arg, const struct pa_store_sample *s), void *arg)
{
	struct call c = {.fn.sample = fn, .arg = arg};
	int ret;

	c.samples = calloc(PA_CHUNK_SAMPLES, sizeof(*c.samples));
	if (!c.samples)
		return -ENOMEM;
	ret = visit(r, "sample_chunk", "SELECT id, samples, data FROM sample_chunk ORDER BY id", each_chunk, &c);
	free(c.samples);
	return ret ? ret : c.later;
}

static int each_loss(struct row *row, void *arg)
{
	struct call *c = arg;
	uint32_t process = get_u32(row, 1);
	const char *reason = get_text(row, 2);

	return row->bad ? 0 : c->fn.loss(c->arg, process, reason, get_u64(row, 3));
}

int pa_recording_losses(struct pa_recording *r,
			int (*fn)(void *arg, uint32_t process, const char *reason, uint64_t count), void *arg)
{
	struct call c = {.fn.loss = fn, .arg = arg};

	return visit(r, "loss",
		     "SELECT row_number() OVER (), process, reason, count FROM loss ORDER BY process, reason",
		     each_loss, &c);
}

static int each_note(struct row *row, void *arg)
{
	struct call *c = arg;
	uint32_t process = get_u32(row, 1);
	const char *text = get_text(row, 3);

	return row->bad ? 0 : c->fn.note(c->arg, process, get_u64(row, 2), text);
}

int pa_recording_notes(struct pa_recording *r,
		       int (*fn)(void *arg, uint32_t process, uint64_t time_ns, const char *text), void *arg)
{
	struct call c = {.fn.note = fn, .arg = arg};

	return visit(r, "note", "SELECT id, process, time_ns, text FROM note ORDER BY id", each_note, &c);
}
