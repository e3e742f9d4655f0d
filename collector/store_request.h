/* Requests that a program handled, in a recording: which thread read each, from when to when. Many, so that they are
 * packed: a chunk is a blob of `requests` times varint exchange, varint thread, varint start_ns less the chunk's
 * first_ns, varint length, varint flags. World: plain. */
#ifndef PA_COLLECTOR_STORE_REQUEST_H
#define PA_COLLECTOR_STORE_REQUEST_H

#include <stdint.h>

#include "collector/store.h"

#define PA_REQUESTS_CHUNK 1024    /* of a blob, at most */
#define PA_REQUESTS_MAX   2000000 /* of a recording */

#define PA_REQUEST_UNSURE 1u /* its end was not seen */

struct pa_store_request {
	uint32_t exchange; /* its method and path */
	uint32_t thread;   /* that read it */
	uint32_t flags;    /* PA_REQUEST_* */
	uint64_t start_ns, end_ns;
};

/* Shapes: nr <= PA_REQUESTS_CHUNK, in any order. Errors: 0 or -errno. */
int pa_store_add_requests(struct pa_store *s, const struct pa_store_request *list, size_t nr);
int pa_recording_requests(struct pa_recording *r, int (*fn)(void *arg, const struct pa_store_request *q), void *arg);

#endif
