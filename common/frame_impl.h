/* What the framers share: a cursor over the bytes of one call, capturing, and the ends of messages. World: signal. */
#ifndef PA_COMMON_FRAME_IMPL_H
#define PA_COMMON_FRAME_IMPL_H

#include <string.h>

#include "common/atomics.h"
#include "common/frame.h"

/* Phases that all protocols have; their own begin at PA_PHASE_OWN. */
enum pa_frame_phase {
	PA_PHASE_START = 0, /* of the connection */
	PA_PHASE_SKIP,      /* `left` bytes that nobody looks at: the only phase that can take unseen bytes */
	PA_PHASE_LOST,      /* looking for the beginning of a message */
	PA_PHASE_OWN
};

/* pa_frame_way.flags */
#define PA_WAY_GAP       0x01 /* the next event says so */
#define PA_WAY_SENT      0x02 /* a piece of this message is out */
#define PA_WAY_TRUNCATED 0x04
#define PA_WAY_HASHED    0x08 /* what is captured is hashed */

/* pa_frame.last_way. A client that is lost itself begins nothing */
enum { PA_LAST_NOBODY = 0, PA_LAST_CLIENT, PA_LAST_SERVER };

#define PA_FRAME_ERRORS_MAX 8          /* then it is not this protocol */
#define PA_FRAME_LOST_MAX   (4u << 20) /* bytes looked through for a message, then the same */

struct pa_frame_cursor {
	const uint8_t *buf; /* NULL: unseen */
	size_t at;
	size_t len;
	uint64_t now_ns;
	struct pa_frame_out *out;
	const uint8_t *run; /* captured in this call and not reported yet */
	uint32_t nr_run;
};

static inline size_t pa_frame_avail(const struct pa_frame_cursor *c, uint64_t most)
{
	size_t n = c->len - c->at;

	return n < most ? n : (size_t)most;
}

/* A message begins at the cursor. */
static inline void pa_frame_begin(struct pa_frame_cursor *c, struct pa_frame_way *w)
{
	w->first_ns = c->now_ns;
	w->nr_head = 0;
	w->captured = 0;
	w->limit = 0;
	w->hash = 0;
	w->word = 0;
	w->kind = PA_FRAME_NOTHING;
	w->flags &= PA_WAY_GAP;
}

static inline void pa_frame_pass(struct pa_frame_cursor *c, struct pa_frame_way *w, size_t n)
{
	c->at += n;
	w->total += n;
}

/* Steps over what is left. True: nothing is left. */
static inline bool pa_frame_skip(struct pa_frame_cursor *c, struct pa_frame_way *w)
{
	size_t n = pa_frame_avail(c, w->left);

	pa_frame_pass(c, w, n);
	w->left -= n;
	return w->left == 0;
}

/* Collects the head of a message; true when `want` bytes stand in w->head. */
static inline bool pa_frame_collect(struct pa_frame_cursor *c, struct pa_frame_way *w, unsigned want)
{
	size_t n = pa_frame_avail(c, want - w->nr_head);

	/* nearly always all of it is here: what is copied beyond it does not count */
	if (!w->nr_head && n == want && want <= 8 && c->len - c->at >= 8) {
		memcpy(w->head, c->buf + c->at, 8);
		w->nr_head = (uint8_t)want;
		pa_frame_pass(c, w, want);
		return true;
	}
	memcpy(w->head + w->nr_head, c->buf + c->at, n);
	w->nr_head = (uint8_t)(w->nr_head + n);
	pa_frame_pass(c, w, n);
	return w->nr_head == want;
}

static inline uint32_t pa_frame_be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* Steps over n bytes that belong to the captured text, up to the limit of the kind. */
void pa_frame_take(struct pa_frame_cursor *c, struct pa_frame_way *w, size_t n);

/* Reports the end of a message. There is room: a step reports at most once. */
void pa_frame_emit(struct pa_frame_cursor *c, struct pa_frame_way *w, uint64_t count, uint64_t value, uint16_t flags);

/* The bytes at the cursor make no sense: look for a message, or give the protocol up. */
void pa_frame_garbage(struct pa_frame *f, struct pa_frame_cursor *c, struct pa_frame_way *w);

/* Nothing from here on can be read. */
void pa_frame_opaque(struct pa_frame *f, struct pa_frame_cursor *c, struct pa_frame_way *w, enum pa_opaque why);

/* Passes over n bytes while lost. After PA_FRAME_LOST_MAX of them the protocol is given up. */
void pa_frame_search(struct pa_frame *f, struct pa_frame_cursor *c, struct pa_frame_way *w, size_t n);

/* Begins to look for a message. */
void pa_frame_lose(struct pa_frame_way *w);

/* Bytes before the first `what` in n bytes at p; n when there is none. */
size_t pa_frame_span(const uint8_t *p, size_t n, uint8_t what);

/* One step of a protocol: takes at least one byte, reports at most once. */
void pa_frame_postgres(struct pa_frame *f, struct pa_frame_cursor *c, enum pa_way way);
void pa_frame_mysql(struct pa_frame *f, struct pa_frame_cursor *c, enum pa_way way);
void pa_frame_resp(struct pa_frame *f, struct pa_frame_cursor *c, enum pa_way way);
void pa_frame_http(struct pa_frame *f, struct pa_frame_cursor *c, enum pa_way way);
/* The message at the cursor, where it begins, if all of it is here and nothing about it is unusual. */
bool pa_frame_resp_whole(struct pa_frame_cursor *c, struct pa_frame_way *w, enum pa_way way);
void pa_frame_http_close(struct pa_frame *f, struct pa_frame_cursor *c, enum pa_way way);

#endif
