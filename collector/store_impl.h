/* A recording that is being written, as store_write.c and store_heap.c share it. World: plain. */
#ifndef PA_COLLECTOR_STORE_IMPL_H
#define PA_COLLECTOR_STORE_IMPL_H

#include "collector/owner.h"
#include "collector/store.h"
#include "collector/store_batch.h"
#include "collector/store_chunk.h"
#include "collector/store_heapchunk.h"
#include "collector/store_inuse.h"
#include "collector/store_target.h"
#include "collector/strings.h"
#include "collector/writers.h"

/* Bytes of rows that may wait while the disk is full: see store_write.c. */
#define PA_STORE_ROW_LIMIT    (UINT64_C(64) << 20)
#define PA_STORE_SAMPLE_LIMIT (UINT64_C(48) << 20)

/* What found no room while the disk was full, and has not been told yet. */
struct pa_store_gap {
	uint64_t rows, weight; /* weight: of samples, from_ns to to_ns */
	uint64_t from_ns, to_ns;
};

/* The batch on its way to the file: see store_commit.c. */
struct pa_store_writing {
	struct pa_batch batch; /* empty: none */
	struct pa_writers_job job;
	bool running; /* the job is to be waited for; db, inserts and batch are its own until then */
	int rc;       /* of SQLite */
};

struct pa_store {
	struct pa_owner owner;
	struct pa_target target;
	struct pa_inuse inuse;
	sqlite3 *db;
	struct pa_inserts inserts;
	struct pa_batch batch; /* being filled */
	struct pa_store_writing writing;
	struct pa_strings *strings;
	struct pa_store_sample samples[PA_CHUNK_SAMPLES]; /* of the chunk being filled */
	uint8_t heap_blob[PA_HEAPCHUNK_BYTES_MAX];
	size_t nr_samples;
	uint64_t chunk; /* id of the chunk being filled */
	uint64_t nr_notes;
	uint64_t nr_heap_chunks; /* rows so far */
	uint64_t nr_heap_points;
	uint64_t nr_loop_chunks, nr_loop_blocked;
	uint64_t nr_exchange_chunks, nr_exchange_slow;
	uint64_t nr_pool_chunks, nr_request_chunks;
	uint64_t nr_lock_chunks, nr_lock_slow;
	bool chunk_changed;
	bool failing; /* the last commit failed: no early ones until one succeeds */
	bool ended;   /* the caller has put `ended` itself */
	struct pa_store_gap gap;
};

/* Ends the row being built and counts it when it found no room. Errors: as pa_batch_end. */
int pa_store_end_row(struct pa_store *s);
/* Puts the chunk as it is now into the batch; the row of the same id is replaced when it has grown by then. Errors: as
 * pa_batch_end. */
int pa_store_put_chunk(struct pa_store *s);
/* How many bytes of rows the batch may hold for now, when all that wait may be `limit`. */
size_t pa_store_room(const struct pa_store *s, size_t limit);
int pa_store_error(int rc); /* 0 or -errno for a result code of SQLite */
/* When much has come in, the second is not waited for. An error is not told here: nothing is lost yet, and the next
 * commit meets it again. */
void pa_store_commit_early(struct pa_store *s);

#endif
