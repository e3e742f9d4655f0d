/* A row of unwind information as a rule. World: signal. */
#include "agent/cfi_sig.h"

#include "agent/arch/rule.h"
#include "agent/cursor_sig.h"

struct reader {
	const struct pa_cfi_image *image;
	const struct pa_cfi_row *row;
	bool signal; /* augmentation S */
};

static bool expression(const struct reader *r, int32_t place, uint64_t pc, struct pa_expr *e)
{
	struct pa_cursor c = {.at = r->image->hdr + place, .end = r->image->hi};
	uint64_t len = pa_cursor_uleb(&c);

	return !c.bad && len <= pa_cursor_left(&c) && pa_cfi_expr_sig(c.at, len, pc, e);
}

/* Whether the CFA is something a rule can say; e is its value where it is an expression. */
static bool put_cfa(const struct reader *r, uint64_t pc, struct pa_rule *rule, struct pa_expr *e)
{
	*e = (struct pa_expr){.form = PA_EXPR_REG, .reg = r->row->cfa_reg, .off = r->row->cfa_value};
	if (r->row->cfa_reg == PA_CFA_EXPR && !expression(r, r->row->cfa_value, pc, e))
		return false;
	if (e->form == PA_EXPR_CONST || e->reg >= PA_ARCH_NR_REGS || e->c != (int32_t)e->c)
		return false;
	rule->reg = e->reg;
	rule->cfa = e->off;
	rule->add = (int32_t)e->c;
	if (e->reg == PA_ARCH_DWARF_SP)
		rule->kind = e->form == PA_EXPR_REG ? PA_RULE_SP : PA_RULE_DEREF_SP;
	else if (e->reg == PA_ARCH_DWARF_FP)
		rule->kind = e->form == PA_EXPR_REG ? PA_RULE_FP : PA_RULE_DEREF_FP;
	else
		rule->kind = e->form == PA_EXPR_REG ? PA_RULE_REG : PA_RULE_DEREF_REG;
	if (rule->kind < PA_RULE_SIGNAL)
		rule->reg = 0;
	return true;
}

/* Where a saved register is; PA_HOW_UNDEF for what cannot be said. */
static uint8_t put_cell(const struct reader *r, enum pa_cfi_column col, uint64_t pc, const struct pa_expr *cfa,
			int32_t *off)
{
	struct pa_expr e;

	*off = r->row->value[col];
	switch (r->row->cell[col]) {
	case PA_CELL_SAME:
		*off = 0;
		return PA_HOW_SAME;
	case PA_CELL_OFFSET:
		return PA_HOW_CFA;
	case PA_CELL_VAL_OFFSET:
		return PA_HOW_CFA_VAL;
	case PA_CELL_REG:
		return *off >= 0 && *off < PA_ARCH_NR_REGS ? PA_HOW_REG : PA_HOW_UNDEF;
	case PA_CELL_EXPR:
		if (!expression(r, *off, pc, &e))
			break;
		*off = e.off;
		if (e.form == PA_EXPR_REG && e.reg == PA_ARCH_DWARF_FP)
			return PA_HOW_FP;
		if (e.form == PA_EXPR_REG && e.reg == PA_ARCH_DWARF_SP)
			return PA_HOW_SP;
		if (e.form != PA_EXPR_DEREF || cfa->form != PA_EXPR_DEREF || e.reg != cfa->reg || e.off != cfa->off)
			break;
		*off = (int32_t)(e.c - cfa->c); /* relative to the same saved value as the CFA */
		return e.c - cfa->c == *off ? PA_HOW_CFA : PA_HOW_UNDEF;
	}
	*off = 0;
	return PA_HOW_UNDEF;
}

/* What the kernel pushed for a signal: at its known place, whatever way the trampoline's CFI describes it. */
static bool is_signal(const struct reader *r, const struct pa_rule *rule)
{
	return r->signal && (PA_ARCH_RA_IN_REGISTER ||
			     (rule->kind == PA_RULE_DEREF_SP && !rule->add && rule->cfa == PA_ARCH_SIGNAL_CFA));
}

static void put(const struct reader *r, uint64_t pc, struct pa_rule *rule)
{
	bool sayable;
	struct pa_expr cfa;

	if (r->row->cell[PA_CFI_RA] == PA_CELL_UNDEF && !r->signal) {
		rule->kind = PA_RULE_END;
		return;
	}
	sayable = put_cfa(r, pc, rule, &cfa);
	if (is_signal(r, rule)) {
		*rule = (struct pa_rule){.kind = PA_RULE_SIGNAL};
		return;
	}
	rule->exact = r->signal;
	rule->fp_how = put_cell(r, PA_CFI_FP, pc, &cfa, &rule->fp);
	rule->ra_how = put_cell(r, PA_CFI_RA, pc, &cfa, &rule->ra);
	if (rule->ra_how == PA_HOW_UNDEF || (rule->ra_how == PA_HOW_SAME && !PA_ARCH_RA_IN_REGISTER))
		sayable = false;
	if (r->row->cell[PA_CFI_SP] != PA_CELL_SAME &&
	    (r->row->cell[PA_CFI_SP] != PA_CELL_VAL_OFFSET || r->row->value[PA_CFI_SP]))
		sayable = false; /* the caller's sp is not the CFA */
	if (!sayable)
		*rule = (struct pa_rule){.kind = PA_RULE_ROW};
}

void pa_cfi_put_sig(const struct pa_cfi_image *image, const struct pa_cfi_row *row, bool signal, uint64_t pc,
		    struct pa_rule *rule)
{
	struct reader r = {.image = image, .row = row, .signal = signal};

	put(&r, pc, rule);
}
