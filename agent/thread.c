/* Threads entering and leaving, and the process-wide walks over all of them. World: hook. */
#include "agent/thread.h"

#include <errno.h>
#include <string.h>

#include "agent/arena.h"
#include "agent/heap_hook.h"
#include "agent/hooks_thread.h"
#include "agent/ring_sig.h"
#include "agent/session.h"
#include "agent/signal.h"
#include "agent/slots_sig.h"
#include "agent/stream_sig.h"
#include "agent/sysdep.h"
#include "agent/timer_sig.h"
#include "agent/wait_hook.h"

__thread struct pa_tls pa_tls __attribute__((tls_model("initial-exec")));

/* Uniform in 1..period: the phase of a thread's first tick. Source: splitmix64 over clock, tid and address; quality
 * beyond "unrelated to the program" is not needed. */
static uint64_t random_phase(const struct pa_block *block, uint64_t period_ns)
{
	uint64_t x = pa_now_sig() + ((uint64_t)block->tid << 32) + (uintptr_t)block;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
	x = (x ^ x >> 27) * 0x94d049bb133111ebu;
	x ^= x >> 31;
	return 1 + x % period_ns;
}

/* Whether this process has not yet said that it went without a timer. */
static bool first_refusal(uint32_t pid)
{
	static _Atomic uint32_t told_pid;
	uint32_t told = pa_load_relaxed(&told_pid);

	return told != pid && pa_claim_u32(&told_pid, told, pid);
}

/* A thread without a timer is accounted for all the same: at its end everything is undelivered. One note a process. */
static void refused(struct pa_block *block, int err)
{
	block->armed_cpu_ns = pa_thread_cpu_sig(block->tid);
	block->delivered = 0;
	if (first_refusal(block->pid))
		pa_record_note_sig(block, &block->hook_ring, PA_NOTE_TIMER_REFUSED, (uint64_t)-err, block->tid);
}

static void arm(struct pa_block *block)
{
	int signal = pa_signal_current_sig();
	int err;

	if (!signal || !pa_session_sampling_sig() || !pa_session_wants_cpu_sig())
		return;
	block->period_ns = pa_mapping.period_ns;
	block->first_ns = random_phase(block, block->period_ns);
	err = pa_timer_arm_sig(block, signal);
	if (err)
		refused(block, err);
}

/* Arms a block that others may look at; whoever else is at it does the same. */
static void arm_shared(struct pa_block *block)
{
	if (!pa_claim_u32(&block->state, PA_BLOCK_LIVE, PA_BLOCK_MOVING))
		return;
	if (pa_load_relaxed(&block->timer_id) < 0)
		arm(block);
	pa_store_release(&block->state, PA_BLOCK_LIVE);
}

static void put_away(struct pa_block *block)
{
	pa_timer_disarm_sig(block);
	pa_session_release_slot_hook(block);
	pa_arena_put_sig(block);
}

/* The block of a thread that ended without telling us: its timer would stay for ever. */
static void reap_raw(struct pa_block *block, void *arg)
{
	(void)arg;
	if (pa_load_relaxed(&block->state) != PA_BLOCK_LIVE || !block->raw ||
	    !pa_thread_is_gone_hook(block->pid, block->tid) ||
	    !pa_claim_u32(&block->state, PA_BLOCK_LIVE, PA_BLOCK_MOVING))
		return;
	put_away(block);
}

/* Blocks armed from the collector's list, ever: while there are none, nobody looks for them. */
static _Atomic uint32_t nr_raw;

struct search {
	uint32_t pid;
	uint32_t tid;
	bool found;
};

static void match(struct pa_block *block, void *arg)
{
	struct search *s = arg;

	s->found |= pa_load_relaxed(&block->state) != PA_BLOCK_FREE && pa_load_relaxed(&block->timer_id) >= 0 &&
		    block->pid == s->pid && block->tid == s->tid;
}

/* On a crowded machine a thread may be listed that only had no turn yet: it has entered by now, or was listed twice. A
 * second timer would count its time twice. */
static bool has_timer(uint32_t tid)
{
	struct search s = {.pid = (uint32_t)pa_sys(SYS_getpid), .tid = tid};

	pa_arena_each_sig(match, &s);
	return s.found;
}

/* The same the other way round: the thread enters, and was armed from the list before. */
static void replace_raw(struct pa_block *block, void *arg)
{
	const struct pa_block *own = arg;

	if (block == own || pa_load_relaxed(&block->state) != PA_BLOCK_LIVE || !block->raw || block->pid != own->pid ||
	    block->tid != own->tid || !pa_claim_u32(&block->state, PA_BLOCK_LIVE, PA_BLOCK_MOVING))
		return;
	put_away(block);
}

void pa_thread_enter_hook(struct pa_block *block)
{
	uint32_t before = 0;
	bool inside;

	if (!block)
		block = pa_arena_take_sig();
	if (!block) {
		pa_add_relaxed(&pa_mapping.control->lost_no_slot, 1);
		return;
	}
	block->pid = (uint32_t)pa_sys(SYS_getpid);
	block->tid = (uint32_t)pa_sys(SYS_gettid);
	memcpy(pa_tls.host_blocks, block->inherit_blocks, sizeof(pa_tls.host_blocks));
	pa_tls.block = block;
	inside = pa_session_enter_sig(block, &before);
	if (inside && pa_load_relaxed(&nr_raw))
		pa_arena_each_sig(replace_raw, block);
	pa_signal_thread_arm_hook();
	if (inside) {
		arm_shared(block);
		pa_session_leave_sig(block, before);
	}
}

/* ---- threads that were there before the session ----------------------------------------------------------------- */

static struct pa_stack_bounds main_stack;

void pa_thread_main_stack(struct pa_stack_bounds bounds)
{
	main_stack = bounds;
}

struct own {
	uint32_t tid;
	struct pa_block *block;
};

static void look_for_own(struct pa_block *block, void *arg)
{
	struct own *own = arg;

	if (pa_load_relaxed(&block->state) != PA_BLOCK_FREE && block->raw && block->tid == own->tid)
		own->block = block;
}

/* The thread's block, from the collector's list or a new one; nobody else puts the block of a thread that is alive
 * away. */
static struct pa_block *own_block(uint32_t pid, uint32_t tid)
{
	struct own own = {.tid = tid};

	if (pa_load_relaxed(&nr_raw))
		pa_arena_each_sig(look_for_own, &own);
	if (own.block)
		return own.block;
	own.block = pa_arena_take_sig();
	if (own.block) {
		own.block->pid = pid;
		own.block->tid = tid;
	}
	return own.block;
}

void pa_thread_adopt_hook(void)
{
	uint32_t pid, tid, before;
	struct pa_block *block;

	if (pa_tls.block || pa_tls.has_left || !pa_session_sampling_sig() || !pa_session_is_mine_hook())
		return;
	pid = (uint32_t)pa_sys(SYS_getpid);
	tid = (uint32_t)pa_sys(SYS_gettid);
	block = own_block(pid, tid);
	if (!block)
		return;
	if (!pa_session_enter_sig(block, &before)) {
		if (!block->raw)
			pa_arena_put_sig(block);
		return;
	}
	/* the main thread's are known; for others nobody can be asked: their walks look before they read */
	if (pid == tid) {
		block->stack.lo = main_stack.lo;
		__asm__ volatile("" : : : "memory");
		block->stack.hi = main_stack.hi;
	}
	block->raw = !pa_hooks_thread_watch_hook();
	if (block->raw)
		pa_add_relaxed(&nr_raw, 1);
	pa_tls.block = block;
	pa_signal_thread_arm_hook();
	arm_shared(block);
	pa_session_leave_sig(block, before);
}

static void arm_again(struct pa_block *block, void *arg)
{
	(void)arg;
	if (pa_load_relaxed(&block->state) != PA_BLOCK_LIVE || !block->tid)
		return;
	if (!pa_thread_is_gone_hook(block->pid, block->tid))
		arm_shared(block);
	else if (pa_claim_u32(&block->state, PA_BLOCK_LIVE, PA_BLOCK_MOVING))
		put_away(block);
}

void pa_thread_arm_all_sig(void)
{
	pa_arena_each_sig(arm_again, NULL);
}

bool pa_thread_arm_other_sig(uint32_t tid)
{
	struct pa_block *block;

	pa_arena_each_sig(reap_raw, NULL);
	if (has_timer(tid))
		return true;
	/* one that helped with a handshake is listed, too */
	if (pa_thread_is_gone_hook((uint32_t)pa_sys(SYS_getpid), tid))
		return false;
	pa_fetch_add_relaxed(&nr_raw, 1);
	block = pa_arena_take_sig();
	if (!block)
		return false;
	block->pid = (uint32_t)pa_sys(SYS_getpid);
	block->tid = tid;
	block->raw = true;
	arm(block);
	if (pa_load_relaxed(&block->timer_id) < 0) {
		pa_arena_put_sig(block);
		return false;
	}
	return true;
}

#define ARMS_PER_TICK 8

void pa_thread_arm_listed_sig(uint32_t pid)
{
	struct pa_control *control = pa_mapping.control;
	uint32_t seq = pa_load_acquire(&control->arm_seq);
	unsigned armed = 0;

	if (seq == pa_load_relaxed(&control->arm_done))
		return;
	for (unsigned i = 0; i < PA_ARM_MAX; i++) {
		uint64_t entry = pa_load_relaxed(&control->arm[i]);

		if (!entry || entry >> 32 != pid)
			continue;
		if (armed == ARMS_PER_TICK)
			return; /* the rest with the next tick */
		if (pa_claim_u64(&control->arm[i], entry, 0)) {
			pa_thread_arm_other_sig((uint32_t)entry);
			armed++;
		}
	}
	pa_store_release(&control->arm_done, seq);
}

static void write_end(struct pa_block *block)
{
	uint64_t cpu_ns = pa_thread_cpu_sig(block->tid);
	uint32_t undelivered = pa_timer_undelivered_sig(block, cpu_ns);
	struct pa_thread_end *end;

	/* a thread that never had a tick nor missed one says nothing: it needs no slot */
	if (!block->announced && !undelivered)
		return;
	end = pa_record_begin_sig(block, &block->hook_ring, PA_REC_THREAD_END, sizeof(*end), pa_now_sig(), undelivered);
	if (!end)
		return;
	end->tid = block->tid;
	end->undelivered = undelivered;
	end->start_routine = block->start_routine;
	end->cpu_ns = cpu_ns;
	pa_ring_commit(&block->hook_ring);
}

void pa_thread_leave_hook(void)
{
	struct pa_block *block = pa_tls.block;
	uint32_t before;

	/* under seccomp any system call of ours may be deadly */
	if (!block || pa_signal_retired_sig() || block->pid != (uint32_t)pa_sys(SYS_getpid))
		return;
	/* whoever moves timers at this moment should be done with ours first; it has four system calls to go */
	for (int i = 0; !pa_claim_u32(&block->state, PA_BLOCK_LIVE, PA_BLOCK_MOVING) && i < 1000; i++)
		pa_sys(SYS_sched_yield);
	pa_heap_thread_leave_hook();
	pa_tls.block = NULL;
	pa_tls.has_left = true;
	pa_timer_disarm_sig(block);
	if (pa_session_enter_sig(block, &before)) {
		pa_waits_flush_hook(block);
		write_end(block);
		pa_session_release_slot_hook(block);
		pa_session_leave_sig(block, before);
	}
	pa_waits_leave_hook(block);
	pa_arena_put_sig(block);
}

static void forget(struct pa_block *block, void *arg)
{
	if (block != arg && pa_load_relaxed(&block->state) != PA_BLOCK_FREE)
		pa_arena_put_sig(block);
}

void pa_thread_after_fork_hook(void)
{
	struct pa_block *block = pa_tls.block;

	pa_timer_forget_all_sig();
	pa_arena_each_sig(forget, block);
	if (!block && pa_session_open_sig())
		block = pa_arena_take_sig();
	if (!block)
		return;
	/* timers are not inherited; the slot is the parent's */
	pa_store_relaxed(&block->timer_id, -1);
	pa_store_relaxed(&block->state, PA_BLOCK_LIVE);
	block->has_slot = false;
	block->announced = false;
	block->tick_running = false;
	block->busy = 0;
	block->session = pa_load_relaxed(&pa_mapping.generation);
	block->raw = false;
	block->signal_out = NULL;
	block->delivered = 0;
	block->pid = (uint32_t)pa_sys(SYS_getpid);
	block->tid = (uint32_t)pa_sys(SYS_gettid);
	pa_tls.block = block;
	arm(block);
}

static void move_timer(struct pa_block *block, void *arg)
{
	int signal = *(int *)arg;
	uint64_t cpu_ns;
	uint32_t undelivered;

	if (pa_load_relaxed(&block->timer_id) < 0 || !pa_claim_u32(&block->state, PA_BLOCK_LIVE, PA_BLOCK_MOVING))
		return;
	pa_timer_disarm_sig(block);
	if (signal) {
		/* periods due so far and not delivered go along: the new timer starts as if they had been its own */
		cpu_ns = pa_thread_cpu_sig(block->tid);
		undelivered = pa_timer_undelivered_sig(block, cpu_ns);
		block->first_ns = random_phase(block, block->period_ns);
		if (pa_timer_arm_sig(block, signal) == 0 && undelivered)
			block->armed_cpu_ns -= undelivered * block->period_ns;
	}
	pa_store_release(&block->state, PA_BLOCK_LIVE);
}

void pa_thread_move_timers_sig(int signal)
{
	pa_arena_each_sig(move_timer, &signal);
}

static void give_up(struct pa_block *block, void *spared)
{
	if (block == spared || !pa_timer_excess_sig() || pa_load_relaxed(&block->timer_id) < 0 ||
	    !pa_claim_u32(&block->state, PA_BLOCK_LIVE, PA_BLOCK_MOVING))
		return;
	/* what was delivered stays counted: at the thread's end the rest is undelivered */
	pa_timer_disarm_sig(block);
	pa_store_release(&block->state, PA_BLOCK_LIVE);
}

void pa_thread_limit_timers_hook(uint64_t limit)
{
	struct pa_block *own = pa_tls.block;

	pa_timer_limit_sig(limit);
	if (!pa_timer_excess_sig())
		return;
	pa_arena_each_sig(give_up, own);
	if (!own)
		return;
	give_up(own, NULL);
	if (first_refusal(own->pid))
		pa_thread_note_sig(PA_NOTE_TIMER_REFUSED, EAGAIN, own->tid);
}

void pa_thread_process_end_hook(uint32_t kind)
{
	struct pa_block *block = pa_tls.block;
	struct pa_process_end *end;
	uint32_t before;

	if (!kind || !block || pa_tls.in_hook || !pa_session_is_mine_hook() || !pa_session_enter_sig(block, &before))
		return;
	pa_hook_begin(1);
	pa_waits_flush_hook(block);
	end = pa_record_begin_sig(block, &block->hook_ring, PA_REC_PROCESS_END, sizeof(*end), pa_now_sig(), 0);
	if (end) {
		end->pid = block->pid;
		end->kind = kind;
		end->cpu_ns = pa_process_cpu_sig();
		pa_ring_commit(&block->hook_ring);
	}
	pa_stream_goodbye_sig(block);
	pa_tls.in_hook--;
	pa_session_leave_sig(block, before);
}

void pa_thread_note_sig(uint32_t code, uint64_t a, uint64_t b)
{
	struct pa_block *block = pa_tls.block;
	uint32_t before;

	if (!block || !pa_session_enter_sig(block, &before))
		return;
	bool is_nested = pa_tls.in_hook != 0;

	pa_hook_begin(1);
	if (is_nested)
		pa_add_relaxed(&pa_mapping.control->hook_busy, 1);
	else
		pa_record_note_sig(block, &block->hook_ring, code, a, b);
	pa_tls.in_hook--;
	pa_session_leave_sig(block, before);
}
