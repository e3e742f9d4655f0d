/* Batches of a recording: filled in the collector's loop, written to the file by a thread (writers.h).
 *
 * While a hundred thousand new stacks are inserted, which takes some tenths of a second, rings of exact heaps would run
 * over: so nothing that fills a batch waits for one that is written. A batch that could not be written stays whole and
 * is the first one the next commit tries. World: plain. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "collector/store_impl.h"

#define EARLY_COMMIT (UINT64_C(8) << 20) /* bytes of rows that are not left waiting for the second to end */
/* So many that the writer is waited for: rows that find no room would be lost, though the disk has some. */
#define LATE_COMMIT (UINT64_C(24) << 20)

int pa_store_error(int rc)
{
	switch (rc & 0xff) {
	case SQLITE_OK:
		return 0;
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return -EBUSY;
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_READONLY:
	case SQLITE_PERM:
		return -EROFS;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return -EBADMSG;
	default:
		return -EIO;
	}
}

size_t pa_store_room(const struct pa_store *s, size_t limit)
{
	size_t taken = s->writing.batch.len;

	return limit > taken ? limit - taken : 0;
}

/* ---- ending a batch ---------------------------------------------------------------------------------------------- */

/* The gap a full disk has made, told in the first batch that can be filled again. */
static int put_gap(struct pa_store *s)
{
	const struct pa_store_gap *gap = &s->gap;
	char text[160];

	if (!gap->weight && !gap->rows)
		return 0;
	snprintf(text, sizeof(text),
		 "the recording could not be written for a while (disk full): %" PRIu64 " samples between %" PRIu64
		 " and %" PRIu64 " ns and %" PRIu64 " other rows are missing",
		 gap->weight, gap->from_ns, gap->to_ns, gap->rows);
	pa_batch_begin(&s->batch, PA_ROW_LOSS);
	pa_batch_int(&s->batch, 0);
	pa_batch_text(&s->batch, "disk full");
	pa_batch_int(&s->batch, gap->weight);
	pa_batch_end(&s->batch);
	pa_batch_begin(&s->batch, PA_ROW_NOTE);
	pa_batch_int(&s->batch, s->nr_notes + 1);
	pa_batch_int(&s->batch, 0);
	pa_batch_int(&s->batch, gap->from_ns);
	pa_batch_text(&s->batch, text);
	return pa_batch_end(&s->batch);
}

/* What has come in since the last batch becomes the one to be written. Errors: -ENOMEM: it stays where it is. */
static int hand_over(struct pa_store *s)
{
	struct pa_batch filled, spare = s->writing.batch;
	size_t before = s->batch.len;
	int err = 0;

	s->batch.limit = SIZE_MAX; /* the unfinished chunk and the gap are bounded and go even when the rest is full */
	if (s->chunk_changed && s->nr_samples)
		err = pa_store_put_chunk(s);
	if (!err)
		err = put_gap(s);
	if (err) {
		s->batch.len = s->batch.end = before;
		s->batch.limit = pa_store_room(s, PA_STORE_ROW_LIMIT);
		return err;
	}
	/* a slow recording's chunk is not written anew each second until it is full */
	if (s->nr_samples >= PA_CHUNK_ENOUGH) {
		s->chunk++;
		s->nr_samples = 0;
	}
	s->nr_notes += s->gap.weight || s->gap.rows;
	s->gap = (struct pa_store_gap){0};
	s->chunk_changed = false;
	filled = s->batch;
	s->batch = spare;
	s->writing.batch = filled;
	s->batch.limit = pa_store_room(s, PA_STORE_ROW_LIMIT);
	return 0;
}

static bool anything_new(const struct pa_store *s)
{
	return s->batch.len || s->chunk_changed || s->gap.weight || s->gap.rows;
}

/* ---- writing it -------------------------------------------------------------------------------------------------- */

static void write_batch(void *arg)
{
	struct pa_store *s = arg;

	s->writing.rc = SQLITE_PERM;
	if (!pa_owner_enter(&s->owner))
		return;
	s->writing.rc = pa_batch_apply(&s->writing.batch, &s->inserts, s->db);
	/* tables grow at their end: few of the pages that were read are needed again */
	sqlite3_db_release_memory(s->db);
	pa_owner_leave(&s->owner);
}

/* What came of writing. Errors: -errno: the batch is still there. */
static int take_result(struct pa_store *s)
{
	s->failing = s->writing.rc != SQLITE_OK;
	if (s->failing)
		return pa_store_error(s->writing.rc);
	/* not kept for the next second: a daemon has hundreds of recordings, whose first batch is the largest by far */
	pa_batch_fini(&s->writing.batch);
	s->batch.limit = pa_store_room(s, PA_STORE_ROW_LIMIT);
	return 0;
}

/* Waits for the thread. Errors: as take_result. */
static int join_writer(struct pa_store *s)
{
	pa_writers_wait(&s->writing.job);
	s->writing.running = false;
	return take_result(s);
}

static int write_here(struct pa_store *s)
{
	write_batch(s);
	return take_result(s);
}

/* Errors: false: nobody writes. */
static bool start_writing(struct pa_store *s)
{
	s->writing.job = (struct pa_writers_job){.run = write_batch, .arg = s};
	/* a library that was built for one thread only */
	s->writing.running = sqlite3_threadsafe() && pa_writers_start(&s->writing.job);
	return s->writing.running;
}

/* ---- commits ----------------------------------------------------------------------------------------------------- */

int pa_store_commit_begin(struct pa_store *s)
{
	struct pa_store_writing *w = &s->writing;
	int err = 0;

	if (w->running) {
		if (!pa_writers_done(&w->job))
			return 0;
		w->running = false;
		err = take_result(s);
	}
	if (!w->batch.len && anything_new(s)) {
		int refused = hand_over(s);

		err = err ? err : refused;
	}
	if (!w->batch.len || start_writing(s))
		return err;
	return write_here(s);
}

int pa_store_commit(struct pa_store *s)
{
	struct pa_store_writing *w = &s->writing;
	int err = 0;

	if (w->running)
		join_writer(s); /* what could not be written is tried again at once */
	if (w->batch.len)
		err = write_here(s);
	if (!err && anything_new(s))
		err = hand_over(s);
	if (!err && w->batch.len)
		err = write_here(s);
	return err;
}

void pa_store_commit_early(struct pa_store *s)
{
	if (s->batch.len <= EARLY_COMMIT || s->failing)
		return;
	if (s->batch.len > LATE_COMMIT && s->writing.running && join_writer(s))
		return;
	pa_store_commit_begin(s);
}
