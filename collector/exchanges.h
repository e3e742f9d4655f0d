/* Exchanges of a process, added up by their form: who asked whom for what, how often, and how long it took.
 * Callers: talks.c. World: plain. */
#ifndef PA_COLLECTOR_EXCHANGES_H
#define PA_COLLECTOR_EXCHANGES_H

#include <stdbool.h>
#include <stdint.h>

#include "collector/decode.h"
#include "collector/store_talk.h"

#define PA_EXCHANGE_FORMS_MAX 4096 /* of a process; others are added up as one form each role and protocol */
#define PA_EXCHANGE_TEXT_MAX  4096
#define PA_EXCHANGE_BUCKETS   1024
#define PA_EXCHANGE_SLOW_NS   UINT64_C(100000000)
#define PA_EXCHANGE_SLOW_MAX  20000 /* rows of a recording */

struct pa_form {
	struct pa_store_exchange row; /* its texts are ours */
	uint64_t key;
	uint64_t max_ns; /* of the one that row.stack is of */
	bool row_changed, changed;
	struct pa_store_exchange_chunk sums; /* since the last flush */
	uint64_t *counts;                    /* PA_LAG_BUCKETS; NULL: none yet */
	struct pa_form *chain;
};

struct pa_forms {
	struct pa_form *buckets[PA_EXCHANGE_BUCKETS];
	uint32_t nr;
};

/* Who exchanged it. */
struct pa_party {
	uint32_t process;
	enum pa_talk_role role;
	const char *peer; /* "": not known */
	uint32_t stack;
};

/* The form of an exchange, made when there is none. next_id: the last id given. NULL: memory. */
struct pa_form *pa_forms_of(struct pa_forms *forms, const struct pa_exchange *x, const struct pa_party *by,
			    uint32_t *next_id);
/* Adds it. Returns whether its answer was seen; *ns is then how long it took. */
bool pa_form_add(struct pa_form *f, const struct pa_exchange *x, const struct pa_party *by, uint64_t *ns);
/* What is new goes to the store. Errors: 0, or the first of the store's but -ENOSPC, after which it comes later. */
int pa_forms_flush(struct pa_forms *forms, struct pa_store *s);
void pa_forms_free(struct pa_forms *forms);

#endif
