/* A recording that is being written, as store_write.c and store_heap.c share it. World: plain. */
#ifndef PA_COLLECTOR_STORE_IMPL_H
#define PA_COLLECTOR_STORE_IMPL_H

#include "collector/store.h"
#include "collector/store_batch.h"
#include "collector/store_chunk.h"
#include "collector/store_heapchunk.h"
#include "collector/store_inuse.h"
#include "collector/store_target.h"
#include "collector/strings.h"

/* Bytes of rows that may wait while the disk is full: see store_write.c. */
#define PA_STORE_ROW_LIMIT    (UINT64_C(64) << 20)
#define PA_STORE_SAMPLE_LIMIT (UINT64_C(48) << 20)

struct pa_store {
	struct pa_target target;
	struct pa_inuse inuse;
	sqlite3 *db;
	struct pa_inserts inserts;
	struct pa_batch batch;
	struct pa_strings *strings;
	struct pa_store_sample samples[PA_CHUNK_SAMPLES]; /* of the chunk being filled */
	struct pa_store_sample scratch[PA_CHUNK_SAMPLES];
	uint8_t blob[PA_CHUNK_BYTES_MAX];
	uint8_t heap_blob[PA_HEAPCHUNK_BYTES_MAX];
	size_t nr_samples;
	uint64_t chunk; /* id of the chunk being filled */
	uint64_t nr_notes;
	uint64_t nr_heap_chunks; /* rows so far */
	uint64_t nr_heap_points;
	bool chunk_changed;
	bool failing;          /* the last commit failed: no early ones until one succeeds */
	bool ended;            /* the caller has put `ended` itself */
	uint64_t dropped_rows; /* for lack of memory while the disk was full, not yet told */
	uint64_t dropped_weight;
	uint64_t dropped_from_ns;
	uint64_t dropped_to_ns;
};

/* Ends the row being built and counts it when it found no room. Errors: as pa_batch_end. */
int pa_store_end_row(struct pa_store *s);
/* When much has come in, the second is not waited for. An error is not told here: nothing is lost yet, and the next
 * pa_store_commit meets it again. */
void pa_store_commit_early(struct pa_store *s);

#endif
