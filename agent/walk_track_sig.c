/* Following a register from an interrupted frame to the frame whose CFA is in it. World: signal. */
#include "agent/arch/rule.h"
#include "agent/walk_state_sig.h"

bool pa_walk_track_begin_sig(struct pa_walk *w, size_t *nr)
{
	struct pa_track *t = &w->track;
	uint8_t wanted = t->wanted;

	t->wanted = 0;
	/* every frame since the interrupted one is in the list, the present one included */
	if (!wanted || t->left || t->passes == PA_TRACK_PASSES || !w->regs || w->age > PA_TRACK_FRAMES || *nr <= w->age)
		return false;
	*nr -= w->age + 1;
	t->passes++;
	t->left = (uint16_t)(w->age + 1);
	t->reg = wanted - 1;
	t->value = pa_arch_reg(w->regs, t->reg);
	t->known = true;
	w->pc = pa_arch_pc(w->regs);
	w->sp = pa_arch_sp(w->regs);
	w->fp = pa_arch_fp(w->regs);
	w->exact = true;
	w->age = 0;
	return true;
}

void pa_walk_track_look_sig(struct pa_walk *w)
{
	struct pa_track *t = &w->track;
	struct pa_rule rule;

	t->how = PA_HOW_SAME;
	if (t->left == 1 || !t->known || !pa_rules_pc_ok(w->pc))
		return;
	pa_rules_follow_sig(&w->rules, w->pc, w->exact, t->reg, &rule);
	/* code without tables, or a frame that only a guess leads out of: assembly that leaves the register alone */
	if (rule.kind > PA_RULE_DEREF_FP && rule.kind != PA_RULE_REG && rule.kind != PA_RULE_DEREF_REG)
		return;
	t->how = rule.fp_how;
	t->at = (uint64_t)(int64_t)rule.fp;
	if (rule.fp_how == PA_HOW_SP || rule.fp_how == PA_HOW_FP) {
		t->how = PA_HOW_SP;
		t->at += rule.fp_how == PA_HOW_SP ? w->sp : w->fp;
	} else if (rule.fp_how == PA_HOW_REG) {
		t->known = w->regs && w->exact;
		t->value = t->known ? pa_arch_reg(w->regs, (unsigned)rule.fp) : 0;
		t->how = PA_HOW_SAME;
	}
}

void pa_walk_track_move_sig(struct pa_walk *w)
{
	struct pa_track *t = &w->track;

	t->left--;
	switch (t->how) {
	case PA_HOW_SAME:
		break;
	case PA_HOW_SP:
		t->known = t->known && pa_walk_load(w, t->at, &t->value);
		break;
	case PA_HOW_CFA: /* the CFA is the caller's sp */
		t->known = t->known && pa_walk_load(w, w->sp + t->at, &t->value);
		break;
	case PA_HOW_CFA_VAL:
		t->value = w->sp + t->at;
		break;
	default:
		t->known = false;
	}
}
