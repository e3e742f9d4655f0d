/* Callers: conn_record_hook.c. World: hook. */
#include "agent/conn_stack_hook.h"

#include <string.h>
#include <sys/mman.h>

#include "agent/caller_hook.h"
#include "agent/rules_sig.h"
#include "agent/slots_sig.h"
#include "agent/sysdep.h"
#include "agent/walk_state_sig.h"
#include "common/atomics.h"

#define CHUNK 64 /* threads that share a mapping */

static _Atomic(uint8_t *) chunks[65536 / CHUNK];

/* ---- memory: of a thread's slot, taken with its neighbours', never given back ------------------------------------ */

static uint8_t *take_chunk(_Atomic(uint8_t *) *place)
{
	const size_t bytes = CHUNK * PA_SAID_BYTES;
	uint8_t *none = NULL;
	long at =
	    pa_sys(SYS_mmap, 0, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (at < 0 && at > -4096)
		return NULL;
	if (!atomic_compare_exchange_strong_explicit(place, &none, (uint8_t *)at, memory_order_acq_rel,
						     memory_order_acquire))
		pa_sys(SYS_munmap, at, bytes);
	return pa_load_acquire(place);
}

/* Numbers hold as long as the session, and remembered words as long as the modules that are loaded. */
static struct pa_said *said_of(const struct pa_block *block)
{
	_Atomic(uint8_t *) *place = &chunks[block->slot / CHUNK % (sizeof(chunks) / sizeof(chunks[0]))];
	uint8_t *chunk = pa_load_acquire(place);
	uint32_t session = pa_load_relaxed(&pa_mapping.generation), flushes = pa_load_relaxed(&pa_rules_flushes);
	struct pa_said *said;

	if (!chunk)
		chunk = take_chunk(place);
	if (!chunk)
		return NULL;
	said = (struct pa_said *)(void *)(chunk + block->slot % CHUNK * PA_SAID_BYTES);
	if (said->session != session || said->flushes != flushes || said->pid != block->pid ||
	    said->tid != block->tid) {
		memset(said, 0, sizeof(*said));
		said->session = session;
		said->flushes = flushes;
		said->pid = block->pid;
		said->tid = block->tid;
	}
	return said;
}

/* ---- callers ----------------------------------------------------------------------------------------------------- */

static PA_RAW_READ bool is_unchanged(const struct pa_said_caller *c)
{
	const uint64_t *stack = (const uint64_t *)(uintptr_t)c->sp;
	uint64_t differs = 0;

	for (uint32_t i = 0; i < c->nr; i++)
		differs |= stack[c->at[i]] ^ c->words[i];
	return !differs;
}

static uint16_t find_caller(const struct pa_said *said, const struct pa_caller *caller)
{
	for (unsigned i = 0; i < PA_SAID_CALLERS; i++) {
		const struct pa_said_caller *c = &said->callers[i];

		if (c->number && c->sp == caller->sp && c->pc == caller->pc && (!c->needs_fp || c->fp == caller->fp) &&
		    is_unchanged(c))
			return c->number;
	}
	return 0;
}

/* False: it lies elsewhere, or is one too many. */
static bool add_word(struct pa_said_caller *c, uint64_t at, uint64_t value)
{
	uint64_t offset = (at - c->sp) / sizeof(uint64_t);

	if (at < c->sp || offset > UINT16_MAX || c->nr == PA_SAID_WORDS)
		return false;
	c->at[c->nr] = (uint16_t)offset;
	c->words[c->nr++] = value;
	return true;
}

/* What the walk read that has just ended, if all of it was plain. */
static struct pa_said_caller *learn(struct pa_said *said, const struct pa_caller *caller)
{
	const struct pa_memo *m = &said->memo;
	struct pa_said_caller *c = &said->callers[said->next % PA_SAID_CALLERS];
	const struct pa_memo_frame *leaf = &m->frames[m->first];

	if (m->first >= m->capacity || leaf->sp != caller->sp || leaf->pc != caller->pc)
		return NULL;
	said->next++;
	*c = (struct pa_said_caller){.pc = caller->pc, .sp = caller->sp, .fp = caller->fp, .needs_fp = leaf->needs_fp};
	for (uint32_t i = m->first; i < m->capacity && m->frames[i].kind == PA_MEMO_PLAIN; i++) {
		const struct pa_memo_frame *f = &m->frames[i], *up = f + 1;

		if (!add_word(c, up->sp + (uint64_t)((int64_t)f->ra_at * 8), up->pc) ||
		    (f->fp_at && up->needs_fp && !add_word(c, up->sp + (uint64_t)((int64_t)f->fp_at * 8), up->fp)))
			return NULL;
	}
	return c;
}

/* ---- numbers ----------------------------------------------------------------------------------------------------- */

static uint64_t hash_frames(const uint64_t *frames, uint32_t nr, uint16_t stop)
{
	uint64_t hash = stop;

	for (uint32_t i = 0; i < nr; i++) {
		hash = (hash ^ frames[i]) * UINT64_C(0x9e3779b97f4a7c15);
		hash ^= hash >> 29;
	}
	return hash | 1;
}

uint16_t pa_conn_stack_hook(struct pa_block *block, const struct pa_caller *caller, uint64_t *frames,
			    uint16_t *nr_frames, uint16_t *stop, struct pa_said_news *news)
{
	struct pa_said *said = said_of(block);
	uint16_t number = said ? find_caller(said, caller) : 0;
	uint64_t hash;

	*news = (struct pa_said_news){0};
	*nr_frames = *stop = 0;
	if (number)
		return number;
	block->hook_info.memo = said ? &said->memo : NULL;
	*nr_frames = pa_caller_walk_hook(block, caller, frames, PA_FRAMES_LEAF, stop);
	block->hook_info.memo = NULL;
	if (!said)
		return 0;
	hash = hash_frames(frames, *nr_frames, *stop);
	number = (uint16_t)((hash >> 32) % PA_CONN_STACKS + 1);
	*news = (struct pa_said_news){.said = said, .caller = learn(said, caller), .number = number};
	if (said->hashes[number - 1] == hash)
		*nr_frames = *stop = 0;
	else
		news->defines = hash;
	return number;
}

void pa_conn_stack_said_hook(struct pa_said_news *news)
{
	struct pa_said *said = news->said;

	news->said = NULL;
	if (news->defines) {
		said->hashes[news->number - 1] = news->defines;
		for (unsigned i = 0; i < PA_SAID_CALLERS; i++)
			if (said->callers[i].number == news->number)
				said->callers[i].number = 0;
	}
	if (news->caller)
		news->caller->number = news->number;
}
