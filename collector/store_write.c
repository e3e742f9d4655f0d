/* Writing a recording: rows and samples are gathered in memory and go to the file at each commit (store_commit.c).
 * World: plain.
 *
 * When a commit fails (full disk, quota) the rows stay and the next commit tries again. Samples are refused from
 * PA_STORE_SAMPLE_LIMIT on and counted, other rows from PA_STORE_ROW_LIMIT on: a stack that is missing costs more than
 * a sample. */
#include "collector/store.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "collector/store_impl.h"
#include "collector/store_schema.h"
#include "collector/symbolize.h"

#define BUSY_MS 200 /* how long somebody else's lock may hold up a commit */

static int enter_wal(sqlite3 *db, bool *entered)
{
	sqlite3_stmt *stmt;
	int rc = sqlite3_prepare_v2(db, "PRAGMA journal_mode = WAL", -1, &stmt, NULL);

	*entered = false;
	if (rc != SQLITE_OK)
		return rc;
	rc = sqlite3_step(stmt);
	if (rc == SQLITE_ROW) {
		const char *mode = (const char *)sqlite3_column_text(stmt, 0);

		*entered = mode && !strcmp(mode, "wal");
	}
	rc = sqlite3_finalize(stmt);
	if (rc != SQLITE_OK || !*entered)
		return rc;
	/* A system that goes down may cost the last seconds but not the file; no sync at each commit. */
	rc = sqlite3_exec(db, "PRAGMA synchronous = NORMAL", NULL, NULL, NULL);
	/* The first write finds out whether the index can be shared here. */
	return rc == SQLITE_OK ? pa_schema_stamp(db) : rc;
}

static int open_database(struct pa_store *s, bool *wal)
{
	int rc = sqlite3_open_v2(s->target.work, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL);

	*wal = false;
	if (rc == SQLITE_OK)
		rc = sqlite3_busy_timeout(s->db, BUSY_MS);
	/* an index of the WAL in our own memory: in a mapped file whose owner cuts it off it would be a SIGBUS */
	if (rc == SQLITE_OK && s->owner.other)
		rc = sqlite3_exec(s->db, "PRAGMA locking_mode = EXCLUSIVE", NULL, NULL, NULL);
	/* Nothing is lost yet that a sync could save, and hundreds of services may be starting. */
	if (rc == SQLITE_OK)
		rc = sqlite3_exec(s->db, "PRAGMA synchronous = OFF", NULL, NULL, NULL);
	/* The header is written before WAL begins, so that a reader of the bare file can tell what it is. */
	if (rc == SQLITE_OK)
		rc = pa_schema_create(s->db);
	return rc == SQLITE_OK ? enter_wal(s->db, wal) : rc;
}

static void close_database(struct pa_store *s)
{
	pa_inserts_fini(&s->inserts);
	sqlite3_close(s->db);
	s->db = NULL;
}

/* Opens the file; where it cannot do WAL, a temporary instead. */
static int start(struct pa_store *s, const char *path, char *err, size_t err_size)
{
	bool wal;
	int rc = open_database(s, &wal);

	if (!s->target.dir && (rc != SQLITE_OK || !wal) && (rc & 0xff) != SQLITE_FULL) {
		int diverted;

		close_database(s);
		diverted = pa_target_divert(&s->target, err, err_size);
		if (diverted)
			return diverted;
		rc = open_database(s, &wal);
	}
	pa_inserts_init(&s->inserts, s->db);
	if (rc == SQLITE_OK)
		return pa_inuse_add(&s->inuse, s->target.work);
	snprintf(err, err_size, "%s: cannot create the recording: %s", path,
		 s->db ? sqlite3_errmsg(s->db) : "no memory");
	return pa_store_error(rc);
}

static int create_file(struct pa_store *s, const char *path, char *err, size_t err_size)
{
	int ret = pa_target_init(&s->target, path, err, err_size);

	if (ret)
		return ret;
	ret = start(s, path, err, err_size);
	if (ret) {
		close_database(s);
		pa_target_abandon(&s->target);
	}
	return ret;
}

int pa_store_create(const char *path, struct pa_store **out, char *err, size_t err_size)
{
	static const struct pa_owner ourselves;

	return pa_store_create_for(&ourselves, path, out, err, err_size);
}

int pa_store_create_for(const struct pa_owner *owner, const char *path, struct pa_store **out, char *err,
			size_t err_size)
{
	struct pa_store *s = calloc(1, sizeof(*s));
	int ret;

	*out = NULL;
	if (!s || !(s->strings = pa_strings_new())) {
		free(s);
		snprintf(err, err_size, "%s: out of memory", path);
		return -ENOMEM;
	}
	s->chunk = 1;
	s->batch.limit = PA_STORE_ROW_LIMIT;
	s->owner = *owner;
	snprintf(err, err_size, "%s: no right to act for user %u", path, owner->uid);
	ret = -EPERM;
	if (pa_owner_enter(owner)) {
		ret = create_file(s, path, err, err_size);
		pa_owner_leave(owner);
	}
	if (!ret) {
		*out = s;
		return 0;
	}
	pa_target_fini(&s->target);
	pa_strings_free(s->strings);
	free(s);
	return ret;
}

/* ---- rows -------------------------------------------------------------------------------------------------------- */

int pa_store_end_row(struct pa_store *s)
{
	int err = pa_batch_end(&s->batch);

	s->gap.rows += err == -ENOSPC;
	pa_store_commit_early(s);
	return err;
}

int pa_store_put_meta(struct pa_store *s, const char *key, const char *value)
{
	s->ended = s->ended || !strcmp(key, "ended");
	pa_batch_begin(&s->batch, PA_ROW_META);
	pa_batch_text(&s->batch, key);
	pa_batch_text(&s->batch, value ? value : "");
	return pa_store_end_row(s);
}

int pa_store_put_meta_u64(struct pa_store *s, const char *key, uint64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRIu64, value);
	return pa_store_put_meta(s, key, text);
}

int pa_store_put_process(struct pa_store *s, const struct pa_store_process *p)
{
	struct pa_batch *b = &s->batch;

	pa_batch_begin(b, PA_ROW_PROCESS);
	pa_batch_int(b, p->id);
	pa_batch_int(b, p->pid);
	pa_batch_int(b, p->inner_pid);
	pa_batch_int(b, p->parent);
	pa_batch_int(b, p->start_ns);
	pa_batch_int(b, p->end_ns);
	pa_batch_int(b, p->cpu_ns);
	pa_batch_int(b, p->agent_ns);
	pa_batch_text(b, p->command);
	pa_batch_text(b, p->exe);
	pa_batch_text(b, p->how);
	return pa_store_end_row(s);
}

int pa_store_put_thread(struct pa_store *s, const struct pa_store_thread *t)
{
	struct pa_batch *b = &s->batch;

	pa_batch_begin(b, PA_ROW_THREAD);
	pa_batch_int(b, t->id);
	pa_batch_int(b, t->process);
	pa_batch_int(b, t->tid);
	pa_batch_int(b, t->start_ns);
	pa_batch_int(b, t->end_ns);
	pa_batch_int(b, t->cpu_ns);
	pa_batch_int(b, t->period_ns);
	pa_batch_int(b, t->start_frame);
	pa_batch_text(b, t->name);
	return pa_store_end_row(s);
}

int pa_store_put_module(struct pa_store *s, const struct pa_store_module *m)
{
	struct pa_batch *b = &s->batch;

	pa_batch_begin(b, PA_ROW_MODULE);
	pa_batch_int(b, m->id);
	pa_batch_text(b, m->path);
	pa_batch_blob(b, m->build_id, m->build_id_len);
	pa_batch_int(b, m->symbols);
	return pa_store_end_row(s);
}

int pa_store_put_frame(struct pa_store *s, uint32_t id, uint32_t module, uint64_t address, const char *name)
{
	struct pa_batch *b = &s->batch;

	pa_batch_begin(b, PA_ROW_FRAME);
	pa_batch_int(b, id);
	pa_batch_int(b, module);
	pa_batch_int(b, address);
	pa_batch_text(b, name);
	return pa_store_end_row(s);
}

int pa_store_put_stack(struct pa_store *s, uint32_t id, uint32_t parent, uint32_t frame)
{
	struct pa_batch *b = &s->batch;

	pa_batch_begin(b, PA_ROW_STACK);
	pa_batch_int(b, id);
	pa_batch_int(b, parent);
	pa_batch_int(b, frame);
	return pa_store_end_row(s);
}

/* The number of a string, written when it is new; 0 stands for NULL. */
static int put_string(struct pa_store *s, const char *text, uint32_t *id)
{
	bool is_new;

	*id = 0;
	if (!text)
		return 0;
	*id = pa_strings_add(s->strings, text, &is_new);
	if (!*id)
		return -ENOMEM;
	if (!is_new)
		return 0;
	pa_batch_begin(&s->batch, PA_ROW_STRING);
	pa_batch_int(&s->batch, *id);
	pa_batch_text(&s->batch, text);
	return pa_store_end_row(s);
}

int pa_store_put_symbols(struct pa_store *s, uint32_t frame, const struct pa_symbol *levels, size_t nr)
{
	int err = 0;

	for (size_t i = 0; i < nr && !err; i++) {
		uint32_t function, file;

		err = put_string(s, levels[i].function, &function);
		if (!err)
			err = put_string(s, levels[i].file, &file);
		if (err)
			break;
		pa_batch_begin(&s->batch, PA_ROW_SYMBOL);
		pa_batch_int(&s->batch, frame);
		pa_batch_int(&s->batch, i);
		pa_batch_int(&s->batch, function);
		pa_batch_int(&s->batch, file);
		pa_batch_int(&s->batch, levels[i].line);
		err = pa_store_end_row(s);
	}
	return err;
}

int pa_store_add_loss(struct pa_store *s, uint32_t process, const char *reason, uint64_t count)
{
	pa_batch_begin(&s->batch, PA_ROW_LOSS);
	pa_batch_int(&s->batch, process);
	pa_batch_text(&s->batch, reason);
	pa_batch_int(&s->batch, count);
	return pa_store_end_row(s);
}

int pa_store_add_note(struct pa_store *s, uint32_t process, uint64_t time_ns, const char *text)
{
	pa_batch_begin(&s->batch, PA_ROW_NOTE);
	pa_batch_int(&s->batch, ++s->nr_notes);
	pa_batch_int(&s->batch, process);
	pa_batch_int(&s->batch, time_ns);
	pa_batch_text(&s->batch, text);
	return pa_store_end_row(s);
}

/* ---- samples ----------------------------------------------------------------------------------------------------- */

/* What a chunk is sorted and packed in: one for all recordings, of which a daemon has hundreds. */
static pthread_mutex_t packing = PTHREAD_MUTEX_INITIALIZER;
static struct pa_store_sample scratch[PA_CHUNK_SAMPLES];
static uint8_t blob[PA_CHUNK_BYTES_MAX];

int pa_store_put_chunk(struct pa_store *s)
{
	struct pa_batch *b = &s->batch;
	uint64_t first = UINT64_MAX, last = 0, weight = 0;

	for (size_t i = 0; i < s->nr_samples; i++) {
		first = s->samples[i].time_ns < first ? s->samples[i].time_ns : first;
		last = s->samples[i].time_ns > last ? s->samples[i].time_ns : last;
		weight += s->samples[i].weight;
	}
	pa_batch_begin(b, PA_ROW_CHUNK);
	pa_batch_int(b, s->chunk);
	pa_batch_int(b, first);
	pa_batch_int(b, last);
	pa_batch_int(b, s->nr_samples);
	pa_batch_int(b, weight);
	pthread_mutex_lock(&packing);
	pa_batch_blob(b, blob, pa_chunk_encode(s->samples, s->nr_samples, scratch, blob));
	pthread_mutex_unlock(&packing);
	return pa_batch_end(b);
}

static int drop_sample(struct pa_store *s, uint64_t time_ns, uint32_t weight)
{
	struct pa_store_gap *gap = &s->gap;

	if (!gap->weight || time_ns < gap->from_ns)
		gap->from_ns = time_ns;
	if (!gap->weight || time_ns > gap->to_ns)
		gap->to_ns = time_ns;
	gap->weight += weight;
	return -ENOSPC;
}

int pa_store_add_sample(struct pa_store *s, uint32_t thread, uint64_t time_ns, uint32_t stack, uint32_t weight)
{
	int err;

	if (s->nr_samples == PA_CHUNK_SAMPLES) {
		if (s->batch.len > pa_store_room(s, PA_STORE_SAMPLE_LIMIT))
			return drop_sample(s, time_ns, weight);
		err = pa_store_put_chunk(s);
		if (err)
			return drop_sample(s, time_ns, weight), err;
		s->chunk++;
		s->nr_samples = 0;
	}
	s->samples[s->nr_samples++] =
	    (struct pa_store_sample){.thread = thread, .time_ns = time_ns, .stack = stack, .weight = weight};
	s->chunk_changed = true;
	pa_store_commit_early(s);
	return 0;
}

/* ---- the end ----------------------------------------------------------------------------------------------------- */

static int put_ended(struct pa_store *s)
{
	struct timespec mono;
	char text[32];
	time_t now = time(NULL);
	struct tm tm;
	int err;

	if (s->ended)
		return 0;
	clock_gettime(CLOCK_MONOTONIC, &mono);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &tm));
	err = pa_store_put_meta(s, "ended", text);
	return err ? err
		   : pa_store_put_meta_u64(s, "ended_mono_ns",
					   (uint64_t)mono.tv_sec * 1000000000 + (uint64_t)mono.tv_nsec);
}

/* One file stays. A reader that has the file open right now may prevent that for a moment; then the journal stays too,
 * empty, and readers cope. */
static int leave_wal(struct pa_store *s)
{
	sqlite3_busy_timeout(s->db, 2000);
	return pa_store_error(
	    sqlite3_exec(s->db, "PRAGMA wal_checkpoint(TRUNCATE); PRAGMA journal_mode = DELETE", NULL, NULL, NULL));
}

int pa_store_close(struct pa_store *s, bool clean)
{
	int err, ret = clean ? put_ended(s) : 0;
	bool entered;

	err = pa_store_commit(s);
	ret = ret ? ret : err;
	entered = pa_owner_enter(&s->owner);
	err = entered ? leave_wal(s) : -EPERM;
	if (err && err != -EBUSY && !ret)
		ret = err;
	close_database(s);
	pa_inuse_remove(&s->inuse);
	err = pa_target_finish(&s->target);
	ret = ret ? ret : err;
	if (entered)
		pa_owner_leave(&s->owner);
	pa_target_fini(&s->target);
	pa_strings_free(s->strings);
	pa_batch_fini(&s->batch);
	pa_batch_fini(&s->writing.batch);
	free(s);
	return ret;
}
