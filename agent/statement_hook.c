/* See statement_hook.h. Callers: hooks_sqlite.c. World: hook. */
#include "agent/statement_hook.h"

#include <string.h>

#include "agent/announce_sig.h"
#include "agent/area_hook.h"
#include "agent/caller_hook.h"
#include "agent/conn_record_hook.h"
#include "agent/ring_sig.h"
#include "agent/slots_sig.h"
#include "agent/sysdep.h"
#include "agent/timer_sig.h"

#define NR_CELLS 2048
#define NR_WAYS  8    /* cells that one statement may lie in */
#define NR_KNOWN 4096 /* texts that share a word are written anew each time they take turns */

_Static_assert(sizeof(((struct pa_statement_open *)0)->frames) >= (PA_STATEMENT_FRAMES + 1 + PA_ROOT_FRAMES) * 8,
	       "pa_caller_walk_hook");

/* key: 0 free, 1 being filled or emptied, else the statement. */
struct cell {
	_Atomic uint64_t key;
	_Atomic uint32_t busy;
	uint32_t session;
	struct pa_statement_open open;
};

static _Atomic uintptr_t cells;
static _Atomic uint32_t session = 1;
static _Atomic uint64_t known[NR_KNOWN]; /* numbers of texts, mixed with the session */

void pa_statements_start_sig(void)
{
	pa_add_relaxed(&session, 1);
}

/* ---- texts ------------------------------------------------------------------------------------------------------- */

static uint64_t mix(uint64_t h)
{
	h ^= h >> 32;
	h *= UINT64_C(0x9e3779b97f4a7c15);
	return h ^ h >> 29;
}

static uint64_t number_of(const char *bytes, size_t nr, uint64_t seed)
{
	uint64_t h = mix(seed ^ nr), word;

	for (; nr >= sizeof(word); nr -= sizeof(word), bytes += sizeof(word)) {
		memcpy(&word, bytes, sizeof(word));
		h = mix(h ^ word);
	}
	word = 0;
	memcpy(&word, bytes, nr);
	return mix(h ^ word) | 1;
}

static _Atomic uint64_t *place_of(uint64_t number)
{
	return &known[mix(number) % NR_KNOWN];
}

static uint64_t mark_of(uint64_t number)
{
	return number ^ mix(pa_load_relaxed(&session));
}

static void put_text(uint64_t number, const char *bytes, size_t nr, uint16_t flags, uint64_t now_ns,
		     const struct pa_caller *caller)
{
	struct pa_statement_text *record;
	struct pa_conn_at at;

	if (!pa_conn_enter_hook(&at, caller))
		return;
	record = pa_wait_record_hook(at.block, PA_REC_STATEMENT_TEXT,
				     (uint32_t)(sizeof(*record) + ((nr + 7) & ~(size_t)7)), now_ns);
	if (record) {
		record->number = number;
		record->nr_bytes = (uint16_t)nr;
		record->flags = flags;
		record->reserved = 0;
		memcpy(record->bytes, bytes, nr);
		pa_ring_commit(&at.block->hook_ring);
		pa_store_release(place_of(number), mark_of(number));
	}
	pa_conn_leave_hook(&at);
}

static uint64_t name_text(const char *bytes, int64_t len, uint16_t flags, uint64_t now_ns,
			  const struct pa_caller *caller)
{
	size_t most = len >= 0 && len <= PA_STATEMENT_TEXT_MAX ? (size_t)len : PA_STATEMENT_TEXT_MAX + 1, nr;
	const char *end;
	uint64_t number;

	if (!bytes)
		return 0;
	end = memchr(bytes, 0, most);
	nr = end ? (size_t)(end - bytes) : most;
	if (nr > PA_STATEMENT_TEXT_MAX) {
		flags |= PA_STATEMENT_TEXT_CUT;
		nr = PA_STATEMENT_TEXT_MAX;
	}
	number = number_of(bytes, nr, flags);
	if (pa_load_acquire(place_of(number)) != mark_of(number))
		put_text(number, bytes, nr, flags, now_ns, caller);
	return number;
}

void pa_statement_text_hook(struct pa_statement_call *call, const char *text, int64_t len, const char *name,
			    const struct pa_caller *caller)
{
	call->text = name_text(text, len, 0, call->began_ns, caller);
	call->database = name_text(name, -1, PA_STATEMENT_TEXT_NAME, call->began_ns, caller);
}

/* ---- executions under way ---------------------------------------------------------------------------------------- */

static struct cell *area(void)
{
	return pa_area(&cells, NR_CELLS * sizeof(struct cell));
}

static struct cell *first_of(struct cell *all, const void *key)
{
	return &all[mix((uint64_t)(uintptr_t)key) % (NR_CELLS / NR_WAYS) * NR_WAYS];
}

/* Nobody else changes it until it is let go; it may have become another's since it was found. */
static bool claim(struct cell *c, const void *key)
{
	if (!pa_claim_u32(&c->busy, 0, 1))
		return false;
	if (pa_load_acquire(&c->key) == (uint64_t)(uintptr_t)key)
		return true;
	pa_store_release(&c->busy, 0);
	return false;
}

/* NULL: none of this session and process. */
static struct cell *find(const void *key)
{
	struct cell *all = (struct cell *)pa_load_acquire(&cells), *c;

	if (!all || !key)
		return NULL;
	c = first_of(all, key);
	for (uint32_t i = 0; i < NR_WAYS; i++)
		if (pa_load_acquire(&c[i].key) == (uint64_t)(uintptr_t)key && c[i].session == pa_load_relaxed(&session))
			return &c[i];
	return NULL;
}

/* A cell for it, being filled: nobody else finds it. NULL: there is no room. */
static struct cell *make(const void *key)
{
	struct cell *all = area(), *c;

	if (!all || !key)
		return NULL;
	c = first_of(all, key);
	for (uint32_t i = 0; i < NR_WAYS; i++) {
		uint64_t was = pa_load_acquire(&c[i].key);
		bool is_void = was > 1 &&
			       (c[i].session != pa_load_relaxed(&session) || was == (uint64_t)(uintptr_t)key);

		if ((was == 0 || is_void) && pa_claim_u64(&c[i].key, was, 1)) {
			pa_store_relaxed(&c[i].busy, 0);
			c[i].session = pa_load_relaxed(&session);
			return &c[i];
		}
	}
	return NULL;
}

/* ---- records ----------------------------------------------------------------------------------------------------- */

static struct pa_statement *begin_record(struct pa_conn_at *at, const struct pa_statement_open *o, uint32_t frames)
{
	struct pa_statement *record = pa_wait_record_hook(
	    at->block, PA_REC_STATEMENT, (uint32_t)(sizeof(*record) + frames * sizeof(uint64_t)), at->now_ns);

	if (!record)
		return NULL;
	record->tid = at->block->tid;
	record->kind = o->kind;
	record->flags = o->flags;
	record->start_ns = o->start_ns;
	record->last_ns = o->last_ns;
	record->library_ns = o->library_ns;
	record->busy_ns = o->busy_ns;
	record->rows = o->rows;
	record->text = o->text;
	record->database = o->database;
	record->error = o->error;
	record->nr_frames = o->nr_frames;
	record->stop = o->stop;
	return record;
}

/* It was one call: the stack is the caller's. */
static void put_whole(struct pa_conn_at *at, const struct pa_statement_open *o)
{
	struct pa_statement *record = begin_record(at, o, PA_FRAMES_MAX);

	if (!record)
		return;
	record->nr_frames = pa_caller_walk_hook(at->block, at->caller, record->frames, PA_FRAMES_LEAF, &record->stop);
	pa_record_end_short_sig(&at->block->hook_ring, &record->head,
				(uint32_t)(sizeof(*record) + record->nr_frames * sizeof(uint64_t)));
	pa_announce_walk_sig(at->block, &at->block->hook_info, at->now_ns);
}

static void put_open(struct pa_conn_at *at, const struct pa_statement_open *o)
{
	struct pa_statement *record = begin_record(at, o, o->nr_frames);

	if (!record)
		return;
	memcpy(record->frames, o->frames, o->nr_frames * sizeof(uint64_t));
	pa_ring_commit(&at->block->hook_ring);
}

/* ---- around the calls -------------------------------------------------------------------------------------------- */

bool pa_statement_begin_hook(struct pa_statement_call *call, uint16_t kind, const void *key)
{
	*call = (struct pa_statement_call){.key = key, .kind = kind, .began_ns = pa_now_sig()};
	return !find(key);
}

static void fill(struct pa_statement_open *o, const struct pa_statement_call *call, uint64_t now_ns)
{
	o->start_ns = call->began_ns;
	o->last_ns = now_ns;
	o->library_ns = now_ns > call->began_ns ? now_ns - call->began_ns : 0;
	o->busy_ns = 0;
	o->rows = 0;
	o->text = call->text;
	o->database = call->database;
	o->error = 0;
	o->kind = call->kind;
	o->flags = 0;
	o->nr_frames = 0;
	o->stop = 0;
}

static void turn_of(struct pa_statement_open *o, enum pa_statement_turn turn, int error)
{
	if (turn == PA_STATEMENT_ROW)
		o->rows++;
	if (turn == PA_STATEMENT_AGAIN)
		o->flags |= PA_STATEMENT_BUSY;
	o->error = error;
}

/* Its first call, and more will come. */
static void keep(struct pa_conn_at *at, const struct pa_statement_call *call, enum pa_statement_turn turn, int error)
{
	struct cell *c = make(call->key);

	if (!c) {
		pa_add_relaxed(&pa_mapping.control->waits_lost, 1);
		return;
	}
	fill(&c->open, call, at->now_ns);
	turn_of(&c->open, turn, error);
	c->open.nr_frames =
	    pa_caller_walk_hook(at->block, at->caller, c->open.frames, PA_STATEMENT_FRAMES, &c->open.stop);
	pa_store_release(&c->key, (uint64_t)(uintptr_t)call->key);
	pa_announce_walk_sig(at->block, &at->block->hook_info, at->now_ns);
}

static void go_on(struct pa_conn_at *at, struct cell *c, const struct pa_statement_call *call,
		  enum pa_statement_turn turn, int error)
{
	/* two threads in one statement: the library lets one of them wait, we do not */
	if (!claim(c, call->key))
		return;
	c->open.last_ns = at->now_ns;
	c->open.library_ns += at->now_ns > call->began_ns ? at->now_ns - call->began_ns : 0;
	turn_of(&c->open, turn, error);
	if (turn != PA_STATEMENT_OVER) {
		pa_store_release(&c->busy, 0);
		return;
	}
	put_open(at, &c->open);
	pa_store_release(&c->key, 0);
}

void pa_statement_end_hook(const struct pa_statement_call *call, enum pa_statement_turn turn, int error,
			   const struct pa_caller *caller)
{
	struct pa_conn_at at;
	struct cell *c;

	if (!call->began_ns || pa_statements_off() || !pa_conn_enter_hook(&at, caller))
		return;
	at.now_ns = pa_now_sig();
	c = find(call->key);
	if (c) {
		go_on(&at, c, call, turn, error);
	} else if (turn != PA_STATEMENT_OVER) {
		keep(&at, call, turn, error);
	} else {
		struct pa_statement_open o;

		fill(&o, call, at.now_ns);
		turn_of(&o, turn, error);
		put_whole(&at, &o);
	}
	pa_conn_leave_hook(&at);
}

bool pa_statement_take_hook(struct pa_statement_call *call, const void *key, struct pa_statement_open *open)
{
	struct cell *c = find(key);

	if (!c || !claim(c, key))
		return false;
	memcpy(open, &c->open, offsetof(struct pa_statement_open, frames) + c->open.nr_frames * sizeof(uint64_t));
	pa_store_release(&c->key, 0);
	*call = (struct pa_statement_call){.key = key, .began_ns = pa_now_sig()};
	return true;
}

void pa_statement_put_hook(const struct pa_statement_call *call, struct pa_statement_open *open,
			   const struct pa_caller *caller)
{
	struct pa_conn_at at;

	if (pa_statements_off() || !pa_conn_enter_hook(&at, caller))
		return;
	at.now_ns = pa_now_sig();
	open->library_ns += at.now_ns > call->began_ns ? at.now_ns - call->began_ns : 0;
	put_open(&at, open);
	pa_conn_leave_hook(&at);
}
