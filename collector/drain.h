/* From the rings of a session to checked copies of records, handed to a table of handlers by record type.
 *
 * A pass copies what every ring holds (positions once into locals, checked, copied, tail moved), then looks at the
 * copies only. Records that change the meaning of others (modules) are handed out first, `early`; then each slot's two
 * rings merged by time. A ring that lies is never read again. World: plain. */
#ifndef PA_COLLECTOR_DRAIN_H
#define PA_COLLECTOR_DRAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "collector/session.h"
#include "common/wire.h"

/* Where a record came from. */
struct pa_drain_origin {
	uint32_t slot;
	uint32_t pid; /* inner, of the slot's owner */
	uint32_t tid; /* inner, of the slot's last owner that was a thread */
	bool hook;
};

typedef void (*pa_drain_fn)(void *arg, const struct pa_drain_origin *from, const struct pa_record *record);

struct pa_drain_sink {
	void *arg;
	/* NULL: records of that type are skipped */
	struct pa_drain_row {
		pa_drain_fn fn;
		bool early; /* before any record that is not */
	} rows[PA_REC_TYPES];
	/* the differences of a ring's counters since the last pass; only when any is not 0 */
	void (*counters)(void *arg, const struct pa_drain_origin *from, const struct pa_ring_counters *delta);
	/* a ring was given up: why is a phrase */
	void (*bad)(void *arg, const struct pa_drain_origin *from, const char *why);
};

struct pa_drain_result {
	uint64_t bytes;
	uint64_t records;
	uint32_t fill_permille; /* of the fullest ring as it was found */
	uint32_t owned;         /* slots with an owner */
};

struct pa_drain; /* the copy buffer */

/* Errors: NULL: out of memory. */
struct pa_drain *pa_drain_new(void);
void pa_drain_free(struct pa_drain *d);

/* Drains every ring of the session once, up to the heads as found, and frees slots whose thread has ended. */
void pa_drain_session(struct pa_drain *d, struct pa_session *s, const struct pa_drain_sink *sink,
		      struct pa_drain_result *result);

/* The same in parts: stops soon after the clock has reached until_ns, but never without having got on. Further calls go
 * on from there, with the same session until it is done; result is of this part only. Returns true: it is done. */
bool pa_drain_part(struct pa_drain *d, struct pa_session *s, const struct pa_drain_sink *sink, uint64_t until_ns,
		   struct pa_drain_result *result);
/* Forgets what is left of the parts: the session goes. */
void pa_drain_drop(struct pa_drain *d);

#endif
