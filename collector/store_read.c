/* Reading a recording: one visit per table, each row checked before a report sees it. World: plain. */
#include "collector/store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/store_chunk.h"
#include "collector/store_open.h"
#include "collector/store_visit.h"

#define META_MAX 4096

/* ---- opening ----------------------------------------------------------------------------------------------------- */

/* Views and virtual tables (which have no root page) could run a query of the file's choice. */
static int check_tables(struct pa_recording *r)
{
	static const char sql[] =
	    "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND rootpage > 0 AND name IN"
	    " ('meta','process','thread','module','frame','stack','string','symbol','sample_chunk','loss','note',"
	    "'heap','heap_lifetime','heap_thread','heap_chunk','heap_peak','heap_held','heap_point')";
	sqlite3_stmt *stmt = NULL;
	int rc = sqlite3_prepare_v2(r->db, sql, -1, &stmt, NULL), nr = -1;

	if (rc == SQLITE_OK && sqlite3_step(stmt) == SQLITE_ROW)
		nr = sqlite3_column_int(stmt, 0);
	rc = sqlite3_finalize(stmt);
	if (rc != SQLITE_OK)
		return pa_recording_damaged(r, "sqlite_schema", sqlite3_errmsg(r->db));
	return nr == 18 ? 0 : pa_recording_damaged(r, "sqlite_schema", "tables are missing");
}

static int load_meta(struct pa_visited *row, void *arg)
{
	struct pa_recording *r = row->r;
	struct pa_store_meta *m = realloc(r->meta, (r->nr_meta + 1) * sizeof(*m));

	if (!m)
		return -ENOMEM;
	r->meta = m;
	m += r->nr_meta;
	m->key = strdup(pa_visited_text(row, 1));
	m->value = strdup(pa_visited_text(row, 2));
	r->nr_meta++;
	if (!m->key || !m->value)
		return -ENOMEM;
	return r->nr_meta > META_MAX ? pa_recording_damaged(r, "meta", "too many rows") : 0;
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
		ret =
		    pa_recording_visit(r, "meta", "SELECT row_number() OVER (), key, value FROM meta", load_meta, NULL);
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

static int each_process(struct pa_visited *row, void *arg)
{
	struct call *c = arg;
	struct pa_store_process p = {
	    .id = pa_visited_id(row, 0),
	    .pid = pa_visited_u32(row, 1),
	    .inner_pid = pa_visited_u32(row, 2),
	    .parent = pa_visited_u32(row, 3),
	    .start_ns = pa_visited_u64(row, 4),
	    .end_ns = pa_visited_u64(row, 5),
	    .cpu_ns = pa_visited_u64(row, 6),
	    .agent_ns = pa_visited_u64(row, 7),
	    .command = pa_visited_text(row, 8),
	    .exe = pa_visited_text(row, 9),
	    .how = pa_visited_text(row, 10),
	};

	return row->bad ? 0 : c->fn.process(c->arg, &p);
}

int pa_recording_processes(struct pa_recording *r, int (*fn)(void *arg, const struct pa_store_process *p), void *arg)
{
	struct call c = {.fn.process = fn, .arg = arg};

	return pa_recording_visit(
	    r, "process",
	    "SELECT id, pid, inner_pid, parent, start_ns, end_ns, cpu_ns, agent_ns, command, exe, how FROM process"
	    " ORDER BY id",
	    each_process, &c);
}

static int each_thread(struct pa_visited *row, void *arg)
{
	struct call *c = arg;
	struct pa_store_thread t = {
	    .id = pa_visited_id(row, 0),
	    .process = pa_visited_u32(row, 1),
	    .tid = pa_visited_u32(row, 2),
	    .start_ns = pa_visited_u64(row, 3),
	    .end_ns = pa_visited_u64(row, 4),
	    .cpu_ns = pa_visited_u64(row, 5),
	    .period_ns = pa_visited_u64(row, 6),
	    .start_frame = pa_visited_u32(row, 7),
	    .name = pa_visited_text(row, 8),
	};

	return row->bad ? 0 : c->fn.thread(c->arg, &t);
}

int pa_recording_threads(struct pa_recording *r, int (*fn)(void *arg, const struct pa_store_thread *t), void *arg)
{
	struct call c = {.fn.thread = fn, .arg = arg};

	return pa_recording_visit(
	    r, "thread",
	    "SELECT id, process, tid, start_ns, end_ns, cpu_ns, period_ns, start_frame, name FROM thread ORDER BY id",
	    each_thread, &c);
}

static int each_module(struct pa_visited *row, void *arg)
{
	struct call *c = arg;
	struct pa_store_module m = {
	    .id = pa_visited_id(row, 0),
	    .path = pa_visited_text(row, 1),
	    .build_id = sqlite3_column_blob(row->stmt, 2),
	    .build_id_len = (size_t)sqlite3_column_bytes(row->stmt, 2),
	    .symbols = pa_visited_u32(row, 3),
	};

	return row->bad ? 0 : c->fn.module(c->arg, &m);
}

int pa_recording_modules(struct pa_recording *r, int (*fn)(void *arg, const struct pa_store_module *m), void *arg)
{
	struct call c = {.fn.module = fn, .arg = arg};

	return pa_recording_visit(r, "module", "SELECT id, path, build_id, symbols FROM module ORDER BY id",
				  each_module, &c);
}

static int each_frame(struct pa_visited *row, void *arg)
{
	struct call *c = arg;
	struct pa_store_frame f = {
	    .id = pa_visited_id(row, 0),
	    .module = pa_visited_u32(row, 1),
	    .address = pa_visited_u64(row, 2),
	    .name = pa_visited_text_or_null(row, 3),
	};

	return row->bad ? 0 : c->fn.frame(c->arg, &f);
}

int pa_recording_frames(struct pa_recording *r, int (*fn)(void *arg, const struct pa_store_frame *f), void *arg)
{
	struct call c = {.fn.frame = fn, .arg = arg};

	return pa_recording_visit(r, "frame", "SELECT id, module, address, name FROM frame ORDER BY id", each_frame,
				  &c);
}

static int each_stack(struct pa_visited *row, void *arg)
{
	struct call *c = arg;
	uint32_t id = pa_visited_id(row, 0), parent = pa_visited_u32(row, 1), frame = pa_visited_u32(row, 2);

	return row->bad ? 0 : c->fn.stack(c->arg, id, parent, frame);
}

int pa_recording_stacks(struct pa_recording *r, int (*fn)(void *arg, uint32_t id, uint32_t parent, uint32_t frame),
			void *arg)
{
	struct call c = {.fn.stack = fn, .arg = arg};

	return pa_recording_visit(r, "stack", "SELECT id, parent, frame FROM stack ORDER BY id", each_stack, &c);
}

static int each_symbol(struct pa_visited *row, void *arg)
{
	struct call *c = arg;
	struct pa_store_symbol s = {
	    .frame = pa_visited_id(row, 1),
	    .level = pa_visited_u32(row, 2),
	    .function = pa_visited_text(row, 3),
	    .file = pa_visited_text_or_null(row, 4),
	    .line = pa_visited_u32(row, 5),
	};

	row->bad = row->bad || s.level > UINT16_MAX;
	return row->bad ? 0 : c->fn.symbol(c->arg, &s);
}

int pa_recording_symbols(struct pa_recording *r, int (*fn)(void *arg, const struct pa_store_symbol *s), void *arg)
{
	struct call c = {.fn.symbol = fn, .arg = arg};

	return pa_recording_visit(
	    r, "symbol",
	    "SELECT s.frame * 65536 + s.level, s.frame, s.level, f.text, p.text, s.line FROM symbol s"
	    " LEFT JOIN string f ON f.id = s.function LEFT JOIN string p ON p.id = s.file"
	    " ORDER BY s.frame, s.level",
	    each_symbol, &c);
}

/* A bad chunk gives what is whole in it, the others are not affected; the visit ends with the error. */
static int each_chunk(struct pa_visited *row, void *arg)
{
	struct call *c = arg;
	const uint8_t *data = sqlite3_column_blob(row->stmt, 2);
	size_t len = (size_t)sqlite3_column_bytes(row->stmt, 2), nr, where;
	int err = pa_chunk_decode(data, len, c->samples, &nr, &where), ret = 0;

	if (!err && nr != pa_visited_u64(row, 1))
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
	ret = pa_recording_visit(r, "sample_chunk", "SELECT id, samples, data FROM sample_chunk ORDER BY id",
				 each_chunk, &c);
	free(c.samples);
	return ret ? ret : c.later;
}

static int each_loss(struct pa_visited *row, void *arg)
{
	struct call *c = arg;
	uint32_t process = pa_visited_u32(row, 1);
	const char *reason = pa_visited_text(row, 2);

	return row->bad ? 0 : c->fn.loss(c->arg, process, reason, pa_visited_u64(row, 3));
}

int pa_recording_losses(struct pa_recording *r,
			int (*fn)(void *arg, uint32_t process, const char *reason, uint64_t count), void *arg)
{
	struct call c = {.fn.loss = fn, .arg = arg};

	return pa_recording_visit(
	    r, "loss", "SELECT row_number() OVER (), process, reason, count FROM loss ORDER BY process, reason",
	    each_loss, &c);
}

static int each_note(struct pa_visited *row, void *arg)
{
	struct call *c = arg;
	uint32_t process = pa_visited_u32(row, 1);
	const char *text = pa_visited_text(row, 3);

	return row->bad ? 0 : c->fn.note(c->arg, process, pa_visited_u64(row, 2), text);
}

int pa_recording_notes(struct pa_recording *r,
		       int (*fn)(void *arg, uint32_t process, uint64_t time_ns, const char *text), void *arg)
{
	struct call c = {.fn.note = fn, .arg = arg};

	return pa_recording_visit(r, "note", "SELECT id, process, time_ns, text FROM note ORDER BY id", each_note, &c);
}
