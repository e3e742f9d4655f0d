/* From a hook's caller to the number of its stack. The walk itself is that of samples; what is special is that the end
 * of the remembered chain has its numbers already. World: hook. */
#include "agent/announce_sig.h"
#include "agent/heap_thread_hook.h"
#include "agent/rules_sig.h"
#include "agent/slots_sig.h"
#include "agent/timer_sig.h"

#define ROOT_WORTH_KEEPING 64

enum found { FOUND, FULL, NO_ROOM };

/* Without room for saying so nothing is forgotten: the event is lost, the next one tries again. */
static bool new_epoch(struct pa_heap_thread *t, uint32_t reason)
{
	struct pa_heap_epoch *epoch = pa_heap_thread_room(t, sizeof(*epoch), false, t->calm);

	if (!epoch)
		return false;
	pa_heap_head_set(epoch, sizeof(*epoch), PA_HR_EPOCH, 0);
	epoch->reason = reason;
	epoch->reserved = 0;
	pa_heap_ring_commit(&t->ring, sizeof(*epoch));
	pa_stackdict_clear_hook(&t->dict);
	t->valid = PA_HEAP_MEMO;
	t->leaf.pc = 0;
	return true;
}

static __attribute__((noinline)) enum found define(struct pa_heap_thread *t, uint32_t parent, uint64_t frame,
						   uint32_t *id)
{
	struct pa_heap_node *node;

	if (pa_stackdict_full(&t->dict) && !pa_stackdict_grow_hook(&t->dict))
		return FULL;
	node = pa_heap_thread_room(t, sizeof(*node), false, t->calm);
	if (!node)
		return NO_ROOM;
	*id = pa_stackdict_put_hook(&t->dict, parent, frame);
	pa_heap_head_set(node, sizeof(*node), PA_HR_NODE, 0);
	node->id = *id;
	node->parent = parent;
	node->frame = frame;
	pa_heap_ring_commit(&t->ring, sizeof(*node));
	return FOUND;
}

/* The node of a frame on a parent. */
static inline enum found node_of(struct pa_heap_thread *t, uint32_t parent, uint64_t frame, uint32_t *id)
{
	*id = pa_stackdict_get(&t->dict, parent, frame);
	return *id ? FOUND : define(t, parent, frame, id);
}

/* What stands below a walk that did not reach the root. */
static enum found node_of_stop(struct pa_heap_thread *t, uint32_t *node)
{
	static const uint16_t pseudo[PA_STOP_REASONS] = {
	    [PA_STOP_DEPTH] = PA_FRAME_TRUNCATED,
	    [PA_STOP_NO_CFI] = PA_FRAME_NO_UNWIND_INFO,
	    [PA_STOP_JIT] = PA_FRAME_JIT,
	    [PA_STOP_MEMORY] = PA_FRAME_TRUNCATED,
	    [PA_STOP_ROW] = PA_FRAME_NO_UNWIND_INFO,
	    [PA_STOP_FOREIGN] = PA_FRAME_FOREIGN,
	    [PA_STOP_QUIET] = PA_FRAME_TRUNCATED,
	};
	uint16_t stop = t->info.stop;
	enum found found = FOUND;

	*node = 0;
	for (uint32_t i = stop == PA_STOP_DEPTH ? t->nr_root : 0; i > 0 && found == FOUND; i--)
		found = node_of(t, *node, t->root[i - 1], node);
	return found == FOUND && pseudo[stop] ? node_of(t, *node, pseudo[stop], node) : found;
}

/* Numbers for the frames of the chain that have none yet, from the root. Returns how many frames of the walk they are.
 */
static enum found number_chain(struct pa_heap_thread *t, uint32_t *node, uint32_t *nr)
{
	const struct pa_memo *m = &t->memo;

	for (uint32_t i = t->valid; i > m->first; i--) {
		const struct pa_memo_frame *frame = &m->frames[i - 1];
		uint32_t parent = i < PA_HEAP_MEMO ? t->ids[i] : 0;
		enum found found;

		/* only the last may be without a pc: where a return address of 0 ended the walk */
		t->ids[i - 1] = 0;
		found = frame->pc ? node_of(t, parent, frame->pc, &t->ids[i - 1]) : FOUND;
		if (found != FOUND)
			return found;
		t->valid = i - 1;
	}
	*node = t->ids[m->first];
	*nr = pa_heap_chain_frames(t);
	return FOUND;
}

static enum found number(struct pa_heap_thread *t, uint32_t *node)
{
	uint32_t nr = 0;
	enum found found = t->memo.first < PA_HEAP_MEMO ? number_chain(t, node, &nr) : node_of_stop(t, node);

	for (uint32_t i = t->nr_frames - nr; i > 0 && found == FOUND; i--)
		found = node_of(t, *node, t->frames[i - 1], node);
	return found;
}

static void keep_root(struct pa_heap_thread *t)
{
	uint32_t nr = t->nr_frames, keep = nr < PA_ROOT_FRAMES ? nr : PA_ROOT_FRAMES;

	if (t->info.stop != PA_STOP_END || (t->nr_root && nr < ROOT_WORTH_KEEPING))
		return;
	for (uint32_t i = 0; i < keep; i++)
		t->root[i] = t->frames[nr - keep + i];
	t->nr_root = keep;
}

/* A walk of the general kind. */
static void walk(struct pa_heap_thread *t, const struct pa_caller *caller)
{
	struct pa_memo *m = &t->memo;
	uint32_t same, before;

	t->info.memo = m;
	t->nr_frames = (uint32_t)pa_walk_here_sig(caller->pc, caller->sp, caller->fp, &t->stack, t->frames,
						  PA_FRAMES_LEAF, &t->info);
	t->calm = PA_CALM_WALKED;
	/* a walk that met the old chain left `at` there; one that came to the root by itself left it at the end */
	same = m->first < PA_HEAP_MEMO ? m->at : PA_HEAP_MEMO;
	if (t->valid < same)
		t->valid = same;
	if (!pa_heap_chain_list_hook(t, same)) {
		pa_memo_drop(m);
		t->valid = PA_HEAP_MEMO;
	}
	/* the block's own rings may be those of an earlier session still */
	if (t->info.nr_modules && pa_tls.block && pa_session_enter_sig(pa_tls.block, &before)) {
		pa_announce_walk_sig(pa_tls.block, &t->info, pa_now_sig());
		pa_session_leave_sig(pa_tls.block, before);
	}
	keep_root(t);
}

/* What the next event is compared with, if the chain has all of this stack. */
static void remember(struct pa_heap_thread *t, const struct pa_caller *caller, uint32_t node)
{
	const struct pa_memo *m = &t->memo;
	const struct pa_memo_frame *leaf = &m->frames[m->first];

	if (m->first == PA_HEAP_MEMO || leaf->sp != caller->sp || leaf->pc != caller->pc || m->flushes != t->flushes)
		return;
	t->leaf = *caller;
	t->leaf_fp_mask = leaf->needs_fp ? UINT64_MAX : 0;
	t->leaf_node = node;
}

bool pa_heap_stack_hook(struct pa_heap_thread *t, const struct pa_caller *caller, uint32_t *node)
{
	uint32_t flushes = pa_load_relaxed(&pa_rules_flushes);
	enum found found;

	t->leaf.pc = 0;
	if (!pa_heap_chain_follow_hook(t, caller, flushes))
		walk(t, caller);
	if (flushes != t->flushes) {
		if (!new_epoch(t, 1))
			return false;
		t->flushes = flushes;
	}
	found = number(t, node);
	/* the dictionary has room for the deepest stack: the second time it is not full */
	if (found == FULL && new_epoch(t, 0))
		found = number(t, node);
	if (found == FOUND)
		remember(t, caller, *node);
	return found == FOUND;
}
