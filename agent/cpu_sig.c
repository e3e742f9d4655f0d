/* The sampling handler: a tick of a thread's CPU clock into one SAMPLE record. It calls nothing in libc, so errno stays
 * what it was. World: signal. */
#include <signal.h>
#include <string.h>

#include "agent/announce_sig.h"
#include "agent/arena.h"
#include "agent/command_sig.h"
#include "agent/hot.h"
#include "agent/reference.h"
#include "agent/ring_sig.h"
#include "agent/session.h"
#include "agent/signal.h"
#include "agent/slots_sig.h"
#include "agent/sysdep.h"
#include "agent/timer_sig.h"
#include "agent/walk_sig.h"

#define TICK_NS            4000000u /* the kernel looks at CPU timers in its tick; 4 ms is the common one */
#define LATE_PERIODS       3
#define ROOT_WORTH_KEEPING 64
#define SAMPLE_ROOM        (sizeof(struct pa_sample) + PA_FRAMES_MAX * sizeof(uint64_t))

/* The block whose own, present timer sent this tick; NULL otherwise. *ours: it came from a timer of the agent. */
static struct pa_block *block_of(const siginfo_t *info, bool *ours)
{
	struct pa_block *block = info->si_value.sival_ptr;

	*ours = info->si_code == SI_TIMER && pa_arena_owns_sig(block);
	if (!*ours || info->si_timerid != pa_load_acquire(&block->timer_id))
		return NULL;
	return block;
}

/* A tick that comes late sat behind a blocked signal, or the thread was in one long system call: then the pc is just
 * behind the call's instruction and the time is the call's. Lateness alone shows nothing: the kernel looks at CPU
 * timers in its tick only, and threads that share a CPU use it between the ticks too, ten periods and more on a crowded
 * machine. It counts where rt_sigprocmask has just returned, or where the host has handlers that run with our signal
 * blocked. */
static bool was_blocked(uint64_t late_ns, uint64_t period_ns, const ucontext_t *uc)
{
	uint64_t unit = period_ns > TICK_NS ? period_ns : TICK_NS;
	enum pa_arch_behind behind;

	if (late_ns <= LATE_PERIODS * unit)
		return false;
	behind = pa_arch_behind_call(uc);
	return behind == PA_BEHIND_SIGMASK || (behind == PA_BEHIND_NOTHING && pa_signal_handlers_block_sig());
}

static void keep_root(struct pa_block *block, const uint64_t *frames, uint16_t nr)
{
	uint32_t keep = nr < PA_ROOT_FRAMES ? nr : PA_ROOT_FRAMES;

	if (block->nr_root && nr < ROOT_WORTH_KEEPING)
		return;
	pa_copy_words(block->root, frames + nr - keep, keep);
	block->nr_root = keep;
}

/* Ends the frame list of a walk: the remembered root under a cut, or the present root to be remembered. */
static uint16_t finish_frames(struct pa_block *block, uint64_t *frames, uint16_t nr, uint16_t stop)
{
	if (stop == PA_STOP_END)
		keep_root(block, frames, nr);
	if (stop != PA_STOP_DEPTH)
		return nr;
	pa_bump(&block->signal_out->truncated, 1);
	frames[nr++] = PA_FRAME_TRUNCATED;
	pa_copy_words(frames + nr, block->root, block->nr_root);
	return (uint16_t)(nr + block->nr_root);
}

static void walk(struct pa_block *block, struct pa_sample *sample, const ucontext_t *uc, bool reference)
{
	uint16_t nr, stop;

	if (reference) {
		nr = (uint16_t)pa_reference_walk(uc, sample->frames, PA_FRAMES_LEAF, &stop);
		sample->head.flags |= pa_unwinder == PA_UNWINDER_COMPARE ? PA_SAMPLE_REFERENCE : 0;
	} else {
		nr = (uint16_t)pa_walk_sig(uc, &block->stack, sample->frames, PA_FRAMES_LEAF, &block->info);
		stop = block->info.stop;
		sample->head.flags |= block->info.foreign ? PA_SAMPLE_FOREIGN : 0;
	}
	sample->stop = stop;
	sample->nr_frames = finish_frames(block, sample->frames, nr, stop);
}

/* Registers and raw stack for the collector's unwinder, when at least half the ring is free: a slice must not cost
 * other samples their room. Returns whether it was written. */
static bool write_slice(struct pa_block *block, uint64_t time_ns, const ucontext_t *uc)
{
	struct pa_ring *ring = &block->signal_ring;
	uint64_t sp = pa_arch_sp(uc);
	uint64_t from = sp - PA_ARCH_RED_ZONE;
	uint64_t used = ring->head - pa_load_relaxed(&ring->in->tail);
	struct pa_slice *slice;
	uint64_t len;

	if (used > ring->size / 2 || sp < block->stack.lo + PA_ARCH_RED_ZONE || sp >= block->stack.hi)
		return false;
	len = (block->stack.hi - from) & ~7ull;
	if (len > PA_SLICE_MAX)
		len = PA_SLICE_MAX;
	slice = pa_record_begin_sig(block, ring, PA_REC_SLICE, (uint32_t)(sizeof(*slice) + len), time_ns, 0);
	if (!slice)
		return false;
	slice->tid = block->tid;
	slice->nr_regs = PA_ARCH_NR_REGS;
	slice->stack_len = (uint32_t)len;
	slice->reserved = 0;
	slice->stack_start = from;
	memset(slice->regs, 0, sizeof(slice->regs));
	pa_arch_regs(uc, slice->regs);
	memcpy(slice->stack, (const void *)from, len);
	pa_ring_commit(ring);
	return true;
}

static struct pa_sample *begin_sample(struct pa_block *block, uint64_t time_ns, uint32_t weight)
{
	struct pa_sample *sample =
	    pa_record_begin_sig(block, &block->signal_ring, PA_REC_SAMPLE, SAMPLE_ROOM, time_ns, weight);

	if (!sample)
		return NULL;
	sample->tid = block->tid;
	sample->weight = weight;
	sample->self_ns = block->last_self_ns;
	return sample;
}

static void end_sample(struct pa_block *block, struct pa_sample *sample, uint16_t nr_frames)
{
	pa_record_end_short_sig(&block->signal_ring, &sample->head,
				(uint32_t)(sizeof(*sample) + nr_frames * sizeof(uint64_t)));
}

static void take_sample(struct pa_block *block, uint64_t time_ns, uint32_t weight, uint16_t flags, const ucontext_t *uc)
{
	bool reference = pa_unwinder == PA_UNWINDER_REFERENCE;
	struct pa_sample *sample = begin_sample(block, time_ns, weight);

	if (!sample)
		return;
	walk(block, sample, uc, reference);
	if (sample->stop == PA_STOP_ROW && !reference && write_slice(block, time_ns, uc)) {
		/* the reservation was given up for the slice, which has to stand first: walk again behind it */
		flags |= PA_SAMPLE_SLICE;
		sample = begin_sample(block, time_ns, weight);
		if (!sample)
			return;
		walk(block, sample, uc, false);
	}
	sample->head.flags |= flags;
	end_sample(block, sample, sample->nr_frames);
	if (!reference)
		pa_announce_modules_sig(block, time_ns);
	if (pa_unwinder == PA_UNWINDER_COMPARE) {
		sample = begin_sample(block, time_ns, 0);
		if (sample) {
			walk(block, sample, uc, true);
			end_sample(block, sample, sample->nr_frames);
		}
	}
}

/* The collector saw the maps change without a dlclose of the host's (libc unloads modules by itself). */
static void follow_generation(void)
{
	static _Atomic uint32_t seen PA_HOT;
	uint32_t now = pa_load_relaxed(&pa_mapping.control->cache_generation);
	uint32_t before = pa_load_relaxed(&seen);

	if (now != before && pa_claim_u32(&seen, before, now)) {
		pa_walk_flush_sig();
		pa_announce_recheck_sig();
	}
}

static void tick(struct pa_block *block, uint32_t weight, const ucontext_t *uc)
{
	uint64_t start = pa_now_sig();
	uint64_t late_ns = (weight - 1) * block->period_ns;
	uint16_t flags = was_blocked(late_ns, block->period_ns, uc) ? PA_SAMPLE_BLOCKED : 0;

	block->delivered += weight;
	if (!pa_session_sampling_sig()) {
		pa_timer_disarm_sig(block);
		return;
	}
	if (!pa_session_follow_sig(block))
		return;
	follow_generation();
	take_sample(block, start, weight, flags, uc);
	pa_thread_arm_listed_sig(block->pid);
	if (block->signal_out) {
		uint64_t self_ns = pa_now_sig() - start;

		pa_bump(&block->signal_out->ticks, 1);
		pa_bump(&block->signal_out->self_ns, self_ns);
		block->last_self_ns = self_ns < UINT32_MAX ? (uint32_t)self_ns : UINT32_MAX;
	}
}

/* Apart: what it needs would be kept in the handler's frame beneath the walk. */
static __attribute__((noinline)) void end_tick(struct pa_block *block)
{
	pa_store_release(&block->tick_running, false);
	if (__builtin_expect(pa_session_ended_sig(), 0))
		pa_command_ended_sig();
}

void pa_cpu_handler_sig(int sig, siginfo_t *info, void *context)
{
	bool ours;
	struct pa_block *block = block_of(info, &ours);

	if (block && !pa_load_relaxed(&block->tick_running)) {
		pa_store_relaxed(&block->tick_running, true);
		pa_signal_tick_sig(context);
		tick(block, 1 + (uint32_t)(info->si_overrun > 0 ? info->si_overrun : 0), context);
		end_tick(block);
	} else if (!ours) {
		pa_signal_foreign_sig(sig, info, context);
	}
}
