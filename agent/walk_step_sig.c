/* Steps of the walker that follow no rule of a module: signal frames, and code without unwind information.
 * World: signal. */
#include <errno.h>

#include "agent/arch/rule.h"
#include "agent/walk_state_sig.h"

/* Copies code bytes out. False: they cannot be read. */
static PA_RAW_READ bool read_code(struct pa_walk *w, uint64_t at, uint8_t *copy, uint64_t len)
{
	const volatile uint8_t *code = (const volatile uint8_t *)(uintptr_t)at;

	if (!pa_probe_range_sig(&w->rules.pages, at, len))
		return false;
	for (uint64_t i = 0; i < len; i++)
		copy[i] = code[i];
	return true;
}

bool pa_walk_follows_call_sig(struct pa_walk *w, uint64_t ra)
{
	uint8_t code[PA_ARCH_CALL_BYTES];

	return pa_rules_pc_ok(ra) && read_code(w, ra - sizeof(code), code, sizeof(code)) && pa_arch_is_call(code);
}

int pa_walk_step_signal_sig(struct pa_walk *w)
{
	const ucontext_t *uc = (const ucontext_t *)(uintptr_t)(w->sp + PA_ARCH_SIGNAL_UC);
	uint64_t at = (uint64_t)(uintptr_t)&uc->uc_mcontext, sp;
	bool same_stack;

	/* its own pages, or bytes of the known stack: then sp being inside is not enough */
	if ((w->sp & 7) || w->sp < w->free_lo || at + sizeof(uc->uc_mcontext) > w->free_hi)
		if ((w->sp & 7) || !pa_probe_range_sig(&w->pages, at, sizeof(uc->uc_mcontext)))
			return PA_STOP_MEMORY;
	sp = pa_arch_sp(uc);
	same_stack = sp >= w->free_lo && sp < w->free_hi;
	if (same_stack && sp <= w->sp)
		return PA_STOP_MEMORY;
	w->pc = pa_arch_pc(uc);
	w->sp = sp;
	w->fp = pa_arch_fp(uc);
	w->regs = uc;
	w->age = 0;
	w->exact = true;
	if (!same_stack)
		pa_walk_enter_stack_sig(w);
	return PA_WALK_GO_ON;
}

static bool is_trampoline(struct pa_walk *w)
{
	uint8_t code[PA_ARCH_TRAMPOLINE_BYTES];

	return read_code(w, w->pc, code, sizeof(code)) && pa_arch_is_trampoline(code);
}

/* The frame record: [fp] the caller's fp, [fp + 8] the return address. */
static bool step_frame_pointer(struct pa_walk *w)
{
	uint64_t fp = w->fp, next_fp, ra;

	if ((fp & 7) || fp < w->sp || fp - w->sp > PA_WALK_FOREIGN_BYTES || fp + 16 > w->limit)
		return false;
	if (!pa_walk_load(w, fp, &next_fp) || !pa_walk_load(w, fp + 8, &ra))
		return false;
	ra = pa_arch_strip(ra);
	if (ra && !pa_walk_follows_call_sig(w, ra))
		return false;
	if (!ra && next_fp) /* the outermost frame record is all zero */
		return false;
	w->pc = ra;
	w->sp = fp + 16;
	w->fp = next_fp;
	return true;
}

/* An interrupted function that has pushed nothing: its return address is on top of the stack, or in its register. */
static bool step_leaf(struct pa_walk *w)
{
	uint64_t ra;

	if (PA_ARCH_RA_IN_REGISTER)
		ra = w->regs && w->exact ? pa_arch_reg(w->regs, PA_ARCH_DWARF_RA) : 0;
	else if (!pa_walk_load(w, w->sp, &ra))
		return false;
	ra = pa_arch_strip(ra);
	if (!ra || !pa_walk_follows_call_sig(w, ra) || !pa_rules_find_module_sig(&w->rules, ra - 1))
		return false;
	w->pc = ra;
	w->sp += PA_ARCH_RA_IN_REGISTER ? 0 : 8;
	return true;
}

/* A return address that no call left was put there by who made the stack (makecontext, fibres): the outermost frame. */
static bool is_planted(struct pa_walk *w)
{
	uint8_t code[PA_ARCH_CALL_BYTES];

	return !w->exact && read_code(w, w->pc - sizeof(code), code, sizeof(code)) && !pa_arch_is_call(code);
}

int pa_walk_step_guess_sig(struct pa_walk *w, int otherwise)
{
	if (is_trampoline(w))
		return pa_walk_step_signal_sig(w);
	if (!step_frame_pointer(w) && !(w->exact && step_leaf(w)))
		return is_planted(w) ? PA_STOP_END : otherwise;
	w->exact = false;
	w->age++;
	return w->pc ? PA_WALK_GO_ON : PA_STOP_END;
}
