/* The stack walker. Per frame: a cached rule, a check that the frame lies higher on a stack that may be read, one or
 * two loads. Everything else is cold and out of line. World: signal. */
#include "agent/walk_sig.h"

#include <errno.h>
#include <string.h>

#include "agent/arch/rule.h"
#include "agent/memo_sig.h"
#include "agent/walk_state_sig.h"

void pa_walk_enter_stack_sig(struct pa_walk *w)
{
	if (w->sp >= w->bounds_lo && w->sp < w->bounds_hi) {
		w->free_lo = w->sp & ~UINT64_C(7);
		w->free_hi = w->bounds_hi & ~UINT64_C(7);
		w->limit = w->bounds_hi;
	} else {
		w->free_lo = w->free_hi = 0;
		w->memo = NULL; /* readability is asked for here, not known: nothing of it is remembered */
		w->limit = w->sp + PA_WALK_FOREIGN_BYTES;
		w->rules.info->foreign = true;
	}
}

PA_RAW_READ bool pa_walk_load_foreign_sig(struct pa_walk *w, uint64_t addr, uint64_t *value)
{
	if ((addr & 7) || !pa_probe_range_sig(&w->pages, addr, 8))
		return false;
	*value = *(const uint64_t *)(uintptr_t)addr;
	return true;
}

/* A register of the caller; false: its memory cannot be read, or nobody knows the register. */
static inline bool fetch(struct pa_walk *w, unsigned how, int32_t off, uint64_t cfa, uint64_t same, uint64_t *value)
{
	switch (how) {
	case PA_HOW_SAME:
		*value = same;
		return true;
	case PA_HOW_CFA:
		return pa_walk_load(w, cfa + (uint64_t)(int64_t)off, value);
	case PA_HOW_FP:
		return pa_walk_load(w, w->fp + (uint64_t)(int64_t)off, value);
	case PA_HOW_SP:
		return pa_walk_load(w, w->sp + (uint64_t)(int64_t)off, value);
	case PA_HOW_CFA_VAL:
		*value = cfa + (uint64_t)(int64_t)off;
		return true;
	case PA_HOW_REG:
		*value = w->regs ? pa_arch_reg(w->regs, (unsigned)off) : 0;
		return w->regs && w->exact;
	default:
		*value = 0; /* unknown: a later frame that needs it finds no stack there */
		return true;
	}
}

/* The base of a rule's CFA. False: a register that nobody knows. Its place is looked for then, see walk_frames. */
static inline bool base(struct pa_walk *w, const struct pa_rule *rule, uint64_t *value)
{
	if (rule->kind == PA_RULE_SP || rule->kind == PA_RULE_DEREF_SP) {
		*value = w->sp;
	} else if (rule->kind == PA_RULE_FP || rule->kind == PA_RULE_DEREF_FP) {
		*value = w->fp;
	} else if (w->regs && w->age == 0) {
		*value = pa_arch_reg(w->regs, rule->reg);
	} else if (w->track.left && w->track.known && w->track.reg == rule->reg) {
		*value = w->track.value;
	} else {
		w->track.wanted = rule->reg + 1;
		return false;
	}
	return true;
}

/* Goes to the caller by a rule that has a CFA. */
static int step_rule(struct pa_walk *w, const struct pa_rule *rule)
{
	bool deref = rule->kind == PA_RULE_DEREF_SP || rule->kind == PA_RULE_DEREF_FP ||
		     rule->kind == PA_RULE_DEREF_REG;
	uint64_t cfa, ra, fp, lr = 0;

	if (!base(w, rule, &cfa))
		return PA_STOP_ROW;
	cfa += (uint64_t)(int64_t)rule->cfa;
	if (deref && !pa_walk_load(w, cfa, &cfa))
		return PA_STOP_MEMORY;
	cfa += (uint64_t)(int64_t)rule->add;
	/* frames lie higher and higher; only one that has pushed nothing, its return address in a register, may not */
	if ((cfa & 7) || cfa < w->sp || (cfa == w->sp && !(w->exact && rule->ra_how != PA_HOW_CFA)))
		return PA_STOP_MEMORY;
	if (cfa > w->limit)
		return w->free_hi ? PA_STOP_MEMORY : PA_STOP_FOREIGN;
	if (PA_ARCH_RA_IN_REGISTER && rule->ra_how == PA_HOW_SAME) {
		if (!w->regs || !w->exact)
			return PA_STOP_MEMORY;
		lr = pa_arch_reg(w->regs, PA_ARCH_DWARF_RA);
	}
	if (!fetch(w, rule->ra_how, rule->ra, cfa, lr, &ra) || !fetch(w, rule->fp_how, rule->fp, cfa, w->fp, &fp))
		return PA_STOP_MEMORY;
	w->pc = pa_arch_strip(ra);
	w->sp = cfa;
	w->fp = fp;
	w->exact = rule->exact;
	if (rule->exact)
		w->regs = NULL;
	w->age++;
	return PA_WALK_GO_ON;
}

/* By any rule that has a CFA. Where it is in another register that was followed from a frame further down, the result
 * has to follow a call: not all assembly says where it put its caller's registers. */
static int step_other(struct pa_walk *w, const struct pa_rule *rule)
{
	uint64_t pc = w->pc, sp = w->sp, fp = w->fp;
	bool sure = w->exact || rule->kind <= PA_RULE_DEREF_FP;
	int stop = step_rule(w, rule);

	if (stop != PA_WALK_GO_ON)
		return sure ? stop : PA_STOP_ROW;
	if (sure || pa_walk_follows_call_sig(w, w->pc))
		return PA_WALK_GO_ON;
	w->pc = pc;
	w->sp = sp;
	w->fp = fp;
	return PA_STOP_ROW;
}

/* Everything that is not a plain rule. */
static __attribute__((noinline)) int step_rare(struct pa_walk *w, const struct pa_rule *rule)
{
	switch (rule->kind) {
	case PA_RULE_SIGNAL:
		return pa_walk_step_signal_sig(w);
	case PA_RULE_END:
		return PA_STOP_END;
	case PA_RULE_NO_CFI:
		return pa_walk_step_guess_sig(w, PA_STOP_NO_CFI);
	case PA_RULE_NO_MODULE:
		return pa_walk_step_guess_sig(w, PA_STOP_JIT);
	case PA_RULE_ROW:
		return PA_STOP_ROW;
	case PA_RULE_QUIET:
		return PA_STOP_QUIET;
	case PA_RULE_MEMORY:
		return PA_STOP_MEMORY;
	default:
		return step_other(w, rule);
	}
}

/* Whether a pc that is in no module can be code at all: a return address of a damaged stack is not recorded. */
static bool can_be_code(struct pa_walk *w, const struct pa_rule *rule)
{
	return rule->kind != PA_RULE_NO_MODULE || w->exact || pa_probe_range_sig(&w->rules.pages, w->pc - 1, 1);
}

static __attribute__((noinline)) int step_uncached(struct pa_walk *w, uint64_t *frame)
{
	struct pa_rule rule;

	pa_rules_work_out_sig(&w->rules, w->pc, w->exact, &rule);
	if (!can_be_code(w, &rule))
		return PA_STOP_MEMORY;
	*frame = w->pc | (w->exact ? PA_FRAME_EXACT : 0);
	return step_rare(w, &rule);
}

/* One frame: records it, goes to its caller. *frame stays 0 when there is nothing to record. */
static inline int step(struct pa_walk *w, uint64_t *frame)
{
	struct pa_rule rule;
	uint32_t bits;

	if (!pa_rules_pc_ok(w->pc))
		return PA_STOP_MEMORY;
	if (__builtin_expect(!pa_rules_cached_sig(w->pc - !w->exact, w->rules.generation, &bits), 0))
		return step_uncached(w, frame);
	*frame = w->pc | (w->exact ? PA_FRAME_EXACT : 0);
	pa_arch_rule_unpack(bits, &rule);
	if (__builtin_expect(rule.kind > PA_RULE_DEREF_FP, 0))
		return step_rare(w, &rule);
	return step_rule(w, &rule);
}

static inline void note_simple(struct pa_memo *memo, uint64_t pc, uint64_t sp, uint64_t fp, uint64_t cfa,
			       uint64_t ra_at, uint64_t fp_at, bool by_fp)
{
	struct pa_memo_frame frame = {.pc = pc, .sp = sp, .fp = fp, .by_fp = by_fp};
	int64_t ra_off = (int64_t)(ra_at - cfa) / 8, fp_off = fp_at ? (int64_t)(fp_at - cfa) / 8 : 0;

	frame.ra_at = (int16_t)ra_off;
	frame.fp_at = (int16_t)fp_off;
	if (frame.ra_at == ra_off && frame.fp_at == fp_off)
		pa_memo_note(memo, &frame);
	else
		pa_memo_restart(memo);
}

/* Most frames of most stacks: a cached rule of sp or fp plus something, its caller's registers in memory that can be
 * read: of the known stack, or of the pages of a foreign one that were asked for. Goes on as far as that holds and
 * checks what step() checks; whatever does not hold is left to step(). Out of line: its variables would lie on the
 * interrupted thread's stack below those of the tables' reader. */
static PA_RAW_READ __attribute__((noinline)) size_t walk_simple(struct pa_walk *w, uint64_t *frames, size_t n,
								size_t max)
{
	struct pa_memo *memo = w->memo;
	const uint64_t lo = w->free_hi ? w->free_lo : w->pages.lo, generation = w->rules.generation;
	const uint64_t hi = w->free_hi ? w->free_hi : w->pages.hi < w->limit ? w->pages.hi : w->limit;
	uint64_t pc = w->pc, sp = w->sp, fp = w->fp;
	size_t before = n;

	while (n < max && !((pc - 1) >> PA_ARCH_VA_BITS)) {
		uint64_t cfa, ra_at, fp_at, frame_fp = fp;
		uint32_t bits;

		if (memo && pa_memo_meets(memo, pc, sp, fp)) {
			n = pa_memo_replay(memo, frames, n, max, lo, hi, &pc, &sp, &fp, &w->ended);
			if (w->ended || n == max)
				break;
			frame_fp = fp;
		}
		if (!pa_rules_cached_sig(pc - 1, generation, &bits) ||
		    !pa_arch_rule_simple(bits, sp, fp, &cfa, &ra_at, &fp_at))
			break;
		if (cfa <= sp || cfa > hi || (cfa & 7) || ra_at < lo)
			break;
		if (fp_at) {
			if (fp_at < lo)
				break;
			fp = *(const uint64_t *)(uintptr_t)fp_at;
		}
		frames[n++] = pc;
		if (memo)
			note_simple(memo, pc, sp, frame_fp, cfa, ra_at, fp_at, pa_arch_rule_by_fp(bits));
		pc = pa_arch_strip(*(const uint64_t *)(uintptr_t)ra_at);
		sp = cfa;
	}
	w->pc = pc;
	w->sp = sp;
	w->fp = fp;
	w->age += (unsigned)(n - before);
	return n;
}

/* A return address of 0. Who makes a stack of his own ends it so. The thread's known stack begins in functions that are
 * outermost by their unwind information, or whose frame record is zero; anywhere else it is being rewritten at this
 * moment (an exception on its way), and the rest is missing. */
static int end_of_zero(const struct pa_walk *w)
{
	return w->free_hi ? PA_STOP_MEMORY : PA_STOP_END;
}

static int walk_frames(struct pa_walk *w, uint64_t *frames, size_t max, size_t *nr)
{
	size_t n = 0;
	int stop;

	for (;;) {
		if (!w->exact && !w->track.left)
			n = walk_simple(w, frames, n, max);
		*nr = n;
		if (w->ended)
			return PA_STOP_END;
		if (!w->pc)
			return end_of_zero(w);
		if (n == max)
			return PA_STOP_DEPTH;
		frames[n] = 0;
		if (w->track.left)
			pa_walk_track_look_sig(w);
		stop = step(w, &frames[n]);
		n += frames[n] != 0;
		*nr = n;
		if (stop == PA_STOP_ROW && pa_walk_track_begin_sig(w, &n))
			continue;
		if (stop != PA_WALK_GO_ON)
			return stop;
		if (w->track.left)
			pa_walk_track_move_sig(w);
		if (w->memo)
			pa_memo_restart(w->memo);
	}
}

/* Whether the outermost frame is that by its rule: without one the frame pointer was asked, too. */
static bool ends_by_rule(const struct pa_walk *w)
{
	struct pa_rule rule;
	uint32_t bits;

	if (!w->pc)
		return true;
	if (!pa_rules_cached_sig(w->pc - 1, w->rules.generation, &bits))
		return false;
	pa_arch_rule_unpack(bits, &rule);
	return rule.kind == PA_RULE_END;
}

/* What of this walk the next one may rely on. */
static void remember(const struct pa_walk *w, struct pa_memo *memo, int stop)
{
	struct pa_memo_frame last = {.pc = w->pc, .sp = w->sp, .fp = w->fp, .kind = PA_MEMO_END};

	if (w->ended)
		return; /* the memo has joined the two */
	if (stop == PA_STOP_END && !w->exact && w->memo) {
		last.by_fp = !ends_by_rule(w);
		pa_memo_finish(memo, &last);
	} else {
		pa_memo_drop(memo);
	}
}

/* w comes with its registers. */
static size_t walk(struct pa_walk *w, const struct pa_stack_bounds *bounds, uint64_t *frames, size_t max)
{
	struct pa_walk_info *info = w->rules.info;
	size_t n;
	int stop;

	info->nr_modules = 0;
	info->foreign = false;
	w->age = 0;
	w->bounds_lo = bounds->lo;
	w->bounds_hi = bounds->hi;
	w->pages = w->rules.pages = (struct pa_pages){0, 0};
	w->rules.start = w->rules.end = 0;
	w->rules.generation = pa_rules_generation_sig();
	w->ended = false;
	w->track = (struct pa_track){0};
	w->memo = PA_ARCH_RA_IN_REGISTER ? NULL : info->memo;
	if (w->memo)
		pa_memo_begin(w->memo, pa_load_relaxed(&pa_rules_flushes));
	pa_walk_enter_stack_sig(w);
	stop = walk_frames(w, frames, max, &n);
	if (info->memo && !PA_ARCH_RA_IN_REGISTER)
		remember(w, info->memo, stop);
	if (stop == PA_STOP_MEMORY && pa_probe_is_quiet_sig())
		stop = PA_STOP_QUIET;
	info->nr_frames = (uint16_t)n;
	info->stop = (uint16_t)stop;
	info->pc = w->pc;
	info->sp = w->sp;
	info->fp = w->fp;
	return n;
}

size_t pa_walk_sig(const ucontext_t *uc, const struct pa_stack_bounds *bounds, uint64_t *frames, size_t max,
		   struct pa_walk_info *info)
{
	struct pa_walk *w = (struct pa_walk *)info->scratch;

	w->pc = pa_arch_pc(uc);
	w->sp = pa_arch_sp(uc);
	w->fp = pa_arch_fp(uc);
	w->exact = true;
	w->regs = uc;
	w->rules.info = info;
	return walk(w, bounds, frames, max);
}

size_t pa_walk_here_sig(uint64_t pc, uint64_t sp, uint64_t fp, const struct pa_stack_bounds *bounds, uint64_t *frames,
			size_t max, struct pa_walk_info *info)
{
	struct pa_walk *w = (struct pa_walk *)info->scratch;

	w->pc = pc;
	w->sp = sp;
	w->fp = fp;
	w->exact = false;
	w->regs = NULL;
	w->rules.info = info;
	return walk(w, bounds, frames, max);
}

void pa_walk_set_quiet_sig(bool quiet)
{
	pa_probe_set_quiet_sig(quiet);
}
