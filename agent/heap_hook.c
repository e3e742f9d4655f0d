/* Which heap engine runs in this process, and when it stops. Callers: init.c, session.c, thread.c. World: hook. */
#include "agent/heap_hook.h"

#include <signal.h>

#include "agent/addrset_hook.h"
#include "agent/allocator.h"
#include "agent/bootstrap_hook.h"
#include "agent/figures_hook.h"
#include "agent/heap_memory_hook.h"
#include "agent/heap_ring_hook.h"
#include "agent/heap_sampled_hook.h"
#include "agent/hot.h"
#include "agent/real.h"
#include "agent/session.h"
#include "agent/slots_sig.h"
#include "agent/sysdep.h"
#include "agent/thread.h"
#include "common/command.h"

_Atomic uint32_t pa_heap_mode PA_HOT = PA_HEAP_EARLY;
_Atomic bool pa_heap_maps PA_HOT;

/* What pa_heap_mode is but for a request. */
static _Atomic uint32_t true_mode PA_HOT = PA_HEAP_EARLY;

/* A request that is there stays there. */
static void show_mode(uint32_t mode)
{
	uint32_t seen = pa_load_relaxed(&pa_heap_mode);

	while (seen != PA_TRIGGER_COMMAND && !pa_claim_u32(&pa_heap_mode, seen, mode))
		seen = pa_load_relaxed(&pa_heap_mode);
}

void pa_heap_set_sig(uint32_t mode)
{
	bool recorded = mode == PA_HEAP_SAMPLED || mode == PA_HEAP_EXACT;

	if (mode == PA_HEAP_OFF && pa_bootstrap_live_sig())
		mode = PA_HEAP_EARLY;
	pa_store_relaxed(&pa_heap_maps, recorded && (pa_mapping.control->heap_flags & PA_HEAP_MMAP));
	pa_store_release(&true_mode, mode);
	show_mode(mode);
}

void pa_heap_restore_sig(void)
{
	uint32_t mode;

	do {
		mode = pa_load_acquire(&true_mode);
		pa_claim_u32(&pa_heap_mode, PA_TRIGGER_COMMAND, mode);
	} while (mode != pa_load_acquire(&true_mode));
}

uint32_t pa_heap_true_sig(void)
{
	return pa_load_acquire(&true_mode);
}

void pa_heap_settle(void)
{
	pa_heap_set_sig(PA_HEAP_OFF);
}

/* Defined by the runtimes of sanitizers, which check every block by themselves. Weak: looking for a name that is not
 * there would allocate. */
extern char __asan_init[] __attribute__((weak));
extern char __hwasan_init[] __attribute__((weak));
extern char __lsan_init[] __attribute__((weak));
extern char __msan_init[] __attribute__((weak));
extern char __tsan_init[] __attribute__((weak));

static bool has_sanitizer(void)
{
	return __asan_init || __hwasan_init || __lsan_init || __msan_init || __tsan_init;
}

static void decline(enum pa_heap_declined why)
{
	pa_thread_note_sig(PA_NOTE_HEAP_DECLINED, why, 0);
}

/* Why not, 0: it may be recorded. Who stands in front of us does not change. */
static uint32_t declined;

void pa_heap_init(void)
{
	if (has_sanitizer())
		declined = PA_HEAP_DECLINED_SANITIZER;
	else if (pa_allocator_is_in_front())
		declined = PA_HEAP_DECLINED_OWN;
	else
		pa_figures_init();
}

static bool wanted(uint32_t mode)
{
	return (pa_mapping.control->modes & PA_MODE_MEMORY) && (mode == PA_HEAP_SAMPLED || mode == PA_HEAP_EXACT);
}

void pa_heap_begin_sig(void)
{
	if (wanted(pa_load_relaxed(&pa_mapping.control->heap_mode)))
		pa_heap_set_sig(PA_HEAP_START);
}

void pa_heap_start_hook(void)
{
	uint32_t mode;

	if (!pa_claim_u32(&true_mode, PA_HEAP_START, PA_HEAP_OFF))
		return;
	pa_heap_set_sig(PA_HEAP_OFF);
	if (!pa_session_pin_sig())
		return;
	mode = pa_load_relaxed(&pa_mapping.control->heap_mode);
	pa_heap_memory_begin_hook();
	if (!wanted(mode))
		; /* the session has ended meanwhile */
	else if (declined)
		decline((enum pa_heap_declined)declined);
	else if (mode == PA_HEAP_EXACT ? !pa_heap_area.lines : pa_sampled_start_hook() != 0)
		decline(PA_HEAP_DECLINED_MEMORY);
	else
		pa_heap_set_sig(mode);
	pa_session_unpin_sig();
}

void pa_heap_after_fork_hook(void)
{
	uint32_t mode = pa_heap_true_sig();

	pa_figures_forked_hook(false);
	if (mode == PA_HEAP_SAMPLED)
		pa_sampled_forget_hook();
	else if (mode == PA_HEAP_EXACT)
		pa_exact_forget_hook();
}

void pa_heap_thread_leave_hook(void)
{
	if (pa_tls.heap)
		pa_exact_leave_hook();
}

void pa_heap_quiet_hook(void)
{
	if (pa_heap_true_sig() != PA_HEAP_EARLY)
		pa_heap_set_sig(PA_HEAP_OFF);
}

static bool is_on_stack(const struct pa_stack_bounds *stack, uint64_t fp)
{
	return fp >= stack->lo && fp + 16 <= stack->hi;
}

/* Frames of hooks lie the lower the later they began, as long as all are on the thread's own stack: a frame at or above
 * that of the hook at work has taken its place. But an alternate stack of signals may be part of the thread's. */
static bool is_in_place(const struct pa_stack_bounds *stack, uint64_t fp)
{
	stack_t alternate = {.ss_flags = SS_ONSTACK};

	if (fp < pa_tls.hook_fp || !is_on_stack(stack, fp))
		return false;
	pa_sys(SYS_sigaltstack, NULL, &alternate);
	return !(alternate.ss_flags & SS_ONSTACK);
}

bool pa_heap_resume_hook(const void *frame)
{
	const struct pa_block *block = pa_tls.block;

	if (!block || !is_on_stack(&block->stack, pa_tls.hook_fp))
		return false;
	if (*(const uint64_t *)(uintptr_t)(pa_tls.hook_fp + 8) == pa_tls.hook_ra &&
	    !is_in_place(&block->stack, (uint64_t)(uintptr_t)frame))
		return false;
	/* a vfork child has its parent's hook */
	if (!pa_session_is_mine_hook())
		return false;
	pa_tls.in_hook = 0;
	pa_tls.block->busy = 0;
	if (pa_tls.heap)
		pa_exact_abandon_hook();
	pa_add_relaxed(&pa_mapping.control->heap_unrecorded, 1);
	return true;
}
