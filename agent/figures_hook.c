/* Asking mallinfo2. Callers: heap_sampled_hook.c, heap_exact_hook.c. World: hook. */
#include "agent/figures_hook.h"

#include <gnu/libc-version.h>
#include <malloc.h>
#include <stdbool.h>

#include "agent/heap_hook.h"
#include "agent/real.h"
#include "agent/ring_sig.h"
#include "agent/slots_sig.h"
#include "agent/timer_sig.h"
#include "agent/walk_sig.h"

#define EVERY_NS    1000000000u
#define TIMES_COST  1000u
#define TOO_LONG_NS 2000000u

typedef struct mallinfo2 mallinfo2_fn(void);

static mallinfo2_fn *ask;
static const char *single_threaded; /* libc's __libc_single_threaded */
static _Atomic uint64_t due_ns;
static _Atomic bool given_up;
static _Atomic bool locked; /* arenas may be, by a thread that is not here and will never unlock them */

/* 2.33 brought mallinfo2; a look-up of what is not there would allocate. */
static bool has_mallinfo2(void)
{
	const char *v = gnu_get_libc_version();
	unsigned minor = 0;

	if (v[0] != '2' || v[1] != '.')
		return v[0] > '2';
	for (v += 2; *v >= '0' && *v <= '9'; v++)
		minor = minor * 10 + (unsigned)(*v - '0');
	return minor >= 33;
}

void pa_figures_init(void)
{
	uint64_t start, end, start_next, end_next;
	void *fn = has_mallinfo2() ? pa_real_lookup("mallinfo2") : NULL;

	if (fn && pa_walk_module_at_sig((uint64_t)fn, &start, &end) &&
	    pa_walk_module_at_sig((uint64_t)pa_real_get(PA_REAL_malloc), &start_next, &end_next) && start == start_next)
		ask = (mallinfo2_fn *)fn;
	/* 2.32 brought it */
	single_threaded = ask ? pa_real_lookup("__libc_single_threaded") : NULL;
}

/* Whether the stack is known up to its end and has no signal handler on it. The room of a record that is never
 * committed serves for the frames. */
static __attribute__((noinline)) bool is_outside_handlers(struct pa_block *block)
{
	PA_HEAP_CALLER(here);
	struct pa_heap_sample *scratch = pa_ring_reserve(&block->hook_ring, sizeof(*scratch) + PA_FRAMES_LEAF * 8);
	size_t n;

	if (!scratch)
		return false;
	n = pa_walk_here_sig(here.pc, here.sp, here.fp, &block->stack, scratch->frames, PA_FRAMES_LEAF,
			     &block->hook_info);
	for (size_t i = 0; i < n; i++) {
		if (scratch->frames[i] & PA_FRAME_EXACT)
			return false;
	}
	return block->hook_info.stop == PA_STOP_END;
}

static void record(struct pa_block *block, uint64_t now_ns, uint64_t cost_ns, const struct mallinfo2 *info)
{
	struct pa_heap_figures *f =
	    pa_record_begin_sig(block, &block->hook_ring, PA_REC_HEAP_FIGURES, sizeof(*f), now_ns, 0);

	if (!f)
		return;
	f->arena = info->arena;
	f->mapped = info->hblkhd;
	f->used = info->uordblks;
	f->unused = info->fordblks;
	f->cost_ns = cost_ns;
	pa_ring_commit(&block->hook_ring);
}

static __attribute__((noinline)) void ask_and_record(struct pa_block *block, uint64_t now_ns)
{
	uint64_t before = pa_now_sig(), cost;
	struct mallinfo2 info = ask();

	cost = pa_now_sig() - before;
	record(block, before, cost, &info);
	if (cost > EVERY_NS / TIMES_COST)
		pa_store_relaxed(&due_ns, now_ns + cost * TIMES_COST);
	if (cost > TOO_LONG_NS && !pa_exchange(&given_up, true))
		pa_record_note_sig(block, &block->hook_ring, PA_NOTE_HEAP_FIGURES, cost, 0);
}

void pa_figures_forked_hook(bool unlocked)
{
	pa_store_relaxed(&locked, !unlocked && !(single_threaded && *single_threaded));
}

void pa_figures_maybe_hook(struct pa_block *block, uint64_t now_ns)
{
	uint64_t due = pa_load_relaxed(&due_ns);
	uint32_t before;

	if (!ask || now_ns < due || pa_load_relaxed(&locked) || pa_load_relaxed(&given_up) ||
	    !pa_claim_u64(&due_ns, due, now_ns + EVERY_NS) || !pa_session_enter_sig(block, &before))
		return;
	if (block->has_slot && is_outside_handlers(block))
		ask_and_record(block, now_ns);
	pa_session_leave_sig(block, before);
}
