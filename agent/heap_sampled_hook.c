/* The sampled heap engine: what happens with one allocation in half a megabyte, and with its free. Callers:
 * hooks_malloc.c, hooks_memalign.c, hooks_mmap.c. World: hook. */
#include "agent/heap_sampled_hook.h"

#include <errno.h>

#include "agent/addrset_hook.h"
#include "agent/announce_sig.h"
#include "agent/arena.h"
#include "agent/bootstrap_hook.h"
#include "agent/caller_hook.h"
#include "agent/command_hook.h"
#include "agent/figures_hook.h"
#include "agent/heap_hook.h"
#include "agent/hot.h"
#include "agent/ring_sig.h"
#include "agent/sampler_hook.h"
#include "agent/session.h"
#include "agent/slots_sig.h"
#include "agent/sysdep.h"
#include "agent/timer_sig.h"

#define SAMPLE_ROOM ((uint32_t)(sizeof(struct pa_heap_sample) + PA_FRAMES_MAX * sizeof(uint64_t)))
#define FREE_ROOM   4096u   /* of a hook ring: a sample leaves it to the frees */
#define LIVE_MAX    200000u /* sampled blocks alive at a time before the mean is raised */

static _Atomic uint64_t mean PA_HOT;
static _Atomic uint32_t raise_at = LIVE_MAX;

int pa_sampled_start_hook(void)
{
	struct pa_control *control = pa_mapping.control;
	uint64_t wanted = control->heap_mean;
	int err = pa_addrset_init_hook();

	if (err)
		return err;
	pa_store_relaxed(&raise_at, LIVE_MAX);
	pa_bootstrap_each_hook(pa_addrset_pass_hook);
	wanted = wanted < 1 ? 1 : wanted > PA_SAMPLER_MEAN_MAX ? PA_SAMPLER_MEAN_MAX : wanted;
	pa_store_relaxed(&mean, wanted);
	pa_store_relaxed(&control->heap_mean_now, wanted);
	pa_add_relaxed(&control->heap_own_bytes, PA_ADDRSET_BYTES);
	return 0;
}

void pa_sampled_forget_hook(void)
{
	pa_addrset_clear_sig();
	pa_tls.heap_left = 0;
	pa_tls.random = 0;
}

static void unrecorded(void)
{
	pa_add_relaxed(&pa_mapping.control->heap_unrecorded, 1);
}

/* This hook is inside another one's work on a ring. */
static bool is_nested(void)
{
	return (pa_tls.in_hook & (PA_HOOK_IN_REAL - 1)) > 1;
}

static void draw(void)
{
	pa_tls.heap_mean = pa_load_relaxed(&mean);
	if (!pa_tls.random)
		pa_tls.random = pa_sampler_seed_hook(pa_now_sig() ^ (uint64_t)(uintptr_t)&pa_tls << 16 ^
						     (uint64_t)pa_sys(SYS_gettid) << 40);
	pa_tls.heap_left = pa_sampler_draw_hook(&pa_tls.random, pa_tls.heap_mean);
}

/* ---- whose ring ------------------------------------------------------------------------------------------------- */

struct search {
	uint32_t tid;
	struct pa_block *found;
};

static void look_for_tid(struct pa_block *block, void *arg)
{
	struct search *s = arg;

	if (block->raw && block->tid == s->tid && pa_load_relaxed(&block->state) == PA_BLOCK_LIVE)
		s->found = block;
}

/* The calling thread's block. One that has told us of its end has none any more: its timer's, if the collector had it
 * armed, or one for this record alone. NULL: there is none. */
static struct pa_block *borrow(bool *borrowed)
{
	struct search s;

	*borrowed = false;
	pa_thread_adopt_hook();
	s.found = pa_tls.block;
	if (s.found)
		return s.found;
	s.tid = (uint32_t)pa_sys(SYS_gettid);
	pa_arena_each_sig(look_for_tid, &s);
	if (s.found) {
		pa_tls.block = s.found;
		return s.found;
	}
	s.found = pa_arena_take_sig();
	if (!s.found)
		return NULL;
	s.found->pid = (uint32_t)pa_sys(SYS_getpid);
	s.found->tid = s.tid;
	*borrowed = true;
	return s.found;
}

static void release(struct pa_block *block, bool borrowed)
{
	if (borrowed)
		pa_session_release_slot_hook(block);
}

static void give_back(struct pa_block *block, bool borrowed)
{
	if (borrowed)
		pa_arena_put_sig(block);
}

/* ---- allocations ------------------------------------------------------------------------------------------------ */

/* The set holds what it can: from now on there is one sample in twice as many bytes. */
static void raise_mean(struct pa_block *block)
{
	uint32_t live = pa_addrset_live_hook(), at = pa_load_relaxed(&raise_at);
	uint64_t now = pa_load_relaxed(&mean);

	if (live < at || now > PA_SAMPLER_MEAN_MAX / 2 || !pa_claim_u32(&raise_at, at, at + at / 8))
		return;
	pa_store_relaxed(&mean, now * 2);
	pa_store_relaxed(&pa_mapping.control->heap_mean_now, now * 2);
	pa_record_note_sig(block, &block->hook_ring, PA_NOTE_HEAP_MEAN, now * 2, live);
}

/* Whether a sample leaves the frees their room. A block without a slot has a ring of its own coming. */
static bool has_room(const struct pa_block *block)
{
	const struct pa_ring *ring = &block->hook_ring;
	uint64_t to_end, pad;

	if (!block->has_slot)
		return true;
	/* as pa_ring_reserve counts: a record does not wrap */
	to_end = ring->size - (ring->head & (ring->size - 1));
	pad = SAMPLE_ROOM > to_end ? to_end : 0;
	return ring->size - (ring->head - pa_load_acquire(&ring->in->tail)) >= pad + SAMPLE_ROOM + FREE_ROOM;
}

/* Writes the sample; false: it was not taken. */
static bool write_sample(struct pa_block *block, uint64_t now_ns, const void *p, size_t size, uint16_t flags,
			 const struct pa_caller *caller)
{
	struct pa_ring *ring = &block->hook_ring;
	struct pa_heap_sample *sample;

	if (!has_room(block) || pa_addrset_add_hook((uintptr_t)p) == -ENOSPC)
		return false;
	sample = pa_record_begin_sig(block, ring, PA_REC_HEAP_SAMPLE, SAMPLE_ROOM, now_ns, 0);
	if (!sample) {
		pa_addrset_remove_hook((uintptr_t)p);
		return false;
	}
	sample->head.flags = flags;
	sample->address = (uint64_t)(uintptr_t)p;
	sample->size = size;
	sample->mean = pa_tls.heap_mean;
	sample->tid = block->tid;
	sample->nr_frames = pa_caller_walk_hook(block, caller, sample->frames, PA_FRAMES_LEAF, &sample->stop);
	pa_record_end_short_sig(ring, &sample->head,
				(uint32_t)(sizeof(*sample) + sample->nr_frames * sizeof(uint64_t)));
	pa_announce_walk_sig(block, &block->hook_info, now_ns);
	return true;
}

static void take_sample(const void *p, size_t size, uint16_t flags, const struct pa_caller *caller)
{
	uint64_t now_ns = pa_now_sig();
	bool borrowed;
	struct pa_block *block = borrow(&borrowed);
	uint32_t before;

	if (!block) {
		unrecorded();
		return;
	}
	if (pa_session_enter_sig(block, &before)) {
		if (!write_sample(block, now_ns, p, size, flags, caller))
			unrecorded();
		raise_mean(block);
		if (!flags && size > PA_FIGURES_SIZE)
			pa_figures_maybe_hook(block, now_ns);
		release(block, borrowed);
		pa_session_leave_sig(block, before);
	}
	give_back(block, borrowed);
}

static void allocated(const void *p, size_t size, uint16_t flags, const struct pa_caller *caller)
{
	uint64_t weight = size + (size == 0);

	/* the call may have begun when another engine ran */
	if (!p || pa_command_session_ended_hook(NULL) || pa_load_relaxed(&pa_heap_mode) != PA_HEAP_SAMPLED)
		return;
	pa_session_adopt_hook();
	if (!pa_tls.heap_left) {
		draw();
		if (weight < pa_tls.heap_left) {
			pa_tls.heap_left -= weight;
			return;
		}
	}
	if (is_nested())
		unrecorded();
	else if (pa_session_sampling_sig())
		take_sample(p, size, flags, caller);
	draw();
}

void pa_sampled_alloc_hook(const void *p, size_t size, const struct pa_caller *caller)
{
	allocated(p, size, 0, caller);
}

void pa_sampled_map_hook(const void *p, size_t size, const struct pa_caller *caller)
{
	allocated(p, size, PA_HEAP_SAMPLE_MAPPED, caller);
}

/* ---- frees ------------------------------------------------------------------------------------------------------ */

/* A free that is lost leaves a block that lives for ever, so there is no condition but room. */
static void write_free(const void *p, uint64_t time_ns)
{
	struct pa_heap_free *record;
	struct pa_block *block;
	uint32_t before;
	bool borrowed;

	if (is_nested()) {
		unrecorded();
		return;
	}
	block = borrow(&borrowed);
	if (!block) {
		unrecorded();
		return;
	}
	if (pa_session_enter_sig(block, &before)) {
		record = pa_record_begin_sig(block, &block->hook_ring, PA_REC_HEAP_FREE, sizeof(*record), time_ns, 0);
		if (record) {
			record->address = (uint64_t)(uintptr_t)p;
			pa_ring_commit(&block->hook_ring);
		}
		release(block, borrowed);
		pa_session_leave_sig(block, before);
	}
	give_back(block, borrowed);
}

bool pa_sampled_take_hook(const void *p, uint64_t *time_ns)
{
	pa_session_adopt_hook();
	if (!pa_addrset_remove_hook((uintptr_t)p))
		return false;
	*time_ns = pa_now_sig();
	return true;
}

void pa_sampled_keep_hook(const void *p)
{
	/* its place may have been taken meanwhile */
	if (pa_addrset_add_hook((uintptr_t)p) == -ENOSPC)
		unrecorded();
}

void pa_sampled_freed_hook(const void *p, uint64_t time_ns)
{
	write_free(p, time_ns);
}

bool pa_sampled_free_hook(const void *p)
{
	uint64_t time_ns;

	if (!pa_sampled_take_hook(p, &time_ns))
		return false;
	write_free(p, time_ns);
	return true;
}
