/* Running the instructions of one frame description entry up to a pc: those of DWARF 5 section 6.4.2 and the GNU ones.
 * World: signal. */
#include "agent/cfi_sig.h"

#include "agent/arch/rule.h"
#include "agent/cursor_sig.h"

#define SAVED_ROWS 4 /* remember_state nests once in compiled code */

struct run {
	const struct pa_cfi_image *image;
	const struct pa_cfi_entry *entry;
	struct pa_cfi_row row;
	struct pa_cfi_row initial; /* as the CIE leaves it, for restore */
	struct pa_cfi_row saved[SAVED_ROWS];
	unsigned nr_saved;
	uint64_t loc;
	uint64_t row_from; /* where the present row begins */
	uint8_t fp_reg;    /* that the column of fp is about */
	bool bad;
};

static int column(const struct run *r, uint64_t reg)
{
	if (reg == r->fp_reg)
		return PA_CFI_FP;
	switch (reg) {
	case PA_ARCH_DWARF_RA:
		return PA_CFI_RA;
	case PA_ARCH_DWARF_SP:
		return PA_CFI_SP;
	default:
		return -1;
	}
}

static int32_t narrow(struct run *r, int64_t value)
{
	if (value != (int32_t)value)
		r->bad = true;
	return (int32_t)value;
}

/* A factored offset. */
static int32_t factored(struct run *r, int64_t value)
{
	int64_t product = 0;

	if (__builtin_mul_overflow(value, r->entry->data_align, &product))
		r->bad = true;
	return narrow(r, product);
}

static void set(struct run *r, uint64_t reg, enum pa_cfi_cell cell, int32_t value)
{
	int col = column(r, reg);

	if (col < 0)
		return;
	r->row.cell[col] = (uint8_t)cell;
	r->row.value[col] = value;
}

static void restore(struct run *r, uint64_t reg)
{
	int col = column(r, reg);

	if (col < 0)
		return;
	r->row.cell[col] = r->initial.cell[col];
	r->row.value[col] = r->initial.value[col];
}

/* Half of a CFA of register and offset: means nothing while the CFA is an expression, whose place must not change. */
static void change_cfa_half(struct run *r)
{
	if (r->row.cfa_reg == PA_CFA_EXPR)
		r->bad = true;
}

static void set_cfa_offset(struct run *r, int32_t offset)
{
	change_cfa_half(r);
	r->row.cfa_value = offset;
}

static void set_cfa_reg(struct run *r, uint64_t reg)
{
	r->row.cfa_reg = reg < PA_ARCH_NR_REGS ? (uint8_t)reg : PA_CFA_UNKNOWN;
}

/* Where the expression's length word stands; steps over the expression. */
static int32_t block(struct run *r, struct pa_cursor *c)
{
	int64_t place = c->at - r->image->hdr;

	pa_cursor_skip(c, pa_cursor_uleb(c));
	return narrow(r, place);
}

static void remember(struct run *r)
{
	if (r->nr_saved == SAVED_ROWS)
		r->bad = true;
	else
		r->saved[r->nr_saved++] = r->row;
}

static void recall(struct run *r)
{
	if (!r->nr_saved)
		r->bad = true;
	else
		r->row = r->saved[--r->nr_saved];
}

static void advance(struct run *r, uint64_t delta)
{
	r->loc += delta * r->entry->code_align;
}

static void set_loc(struct run *r, struct pa_cursor *c)
{
	uint64_t base = (uint64_t)(uintptr_t)c->at;

	if (r->entry->encoding == 0x1b) /* pcrel sdata4 */
		r->loc = base + (uint64_t)pa_cursor_s(c, 4);
	else if (r->entry->encoding == 0)
		r->loc = pa_cursor_u(c, 8);
	else
		r->bad = true;
}

/* The instructions that define the CFA. Returns false when op is none of them. */
static bool step_cfa(struct run *r, struct pa_cursor *c, uint8_t op)
{
	switch (op) {
	case 0x0c: /* def_cfa */
		set_cfa_reg(r, pa_cursor_uleb(c));
		r->row.cfa_value = narrow(r, (int64_t)pa_cursor_uleb(c));
		return true;
	case 0x0d: /* def_cfa_register */
		change_cfa_half(r);
		set_cfa_reg(r, pa_cursor_uleb(c));
		return true;
	case 0x0e: /* def_cfa_offset */
		set_cfa_offset(r, narrow(r, (int64_t)pa_cursor_uleb(c)));
		return true;
	case 0x0f: /* def_cfa_expression */
		r->row.cfa_reg = PA_CFA_EXPR;
		r->row.cfa_value = block(r, c);
		return true;
	case 0x12: /* def_cfa_sf */
		set_cfa_reg(r, pa_cursor_uleb(c));
		r->row.cfa_value = factored(r, pa_cursor_sleb(c));
		return true;
	case 0x13: /* def_cfa_offset_sf */
		set_cfa_offset(r, factored(r, pa_cursor_sleb(c)));
		return true;
	default:
		return false;
	}
}

/* The instructions that say where a register is. Returns false when op is none of them. */
static bool step_register(struct run *r, struct pa_cursor *c, uint8_t op)
{
	uint64_t reg;

	if (op < 0x05 || (op > 0x09 && op < 0x10) || op == 0x12 || op == 0x13 || (op > 0x16 && op != 0x2f))
		return false;
	reg = pa_cursor_uleb(c);
	switch (op) {
	case 0x05: /* offset_extended */
		set(r, reg, PA_CELL_OFFSET, factored(r, (int64_t)pa_cursor_uleb(c)));
		break;
	case 0x06: /* restore_extended */
		restore(r, reg);
		break;
	case 0x07: /* undefined */
		set(r, reg, PA_CELL_UNDEF, 0);
		break;
	case 0x08: /* same_value */
		set(r, reg, PA_CELL_SAME, 0);
		break;
	case 0x09: /* register */
		set(r, reg, PA_CELL_REG, narrow(r, (int64_t)pa_cursor_uleb(c)));
		break;
	case 0x10: /* expression */
		set(r, reg, PA_CELL_EXPR, block(r, c));
		break;
	case 0x11: /* offset_extended_sf */
		set(r, reg, PA_CELL_OFFSET, factored(r, pa_cursor_sleb(c)));
		break;
	case 0x14: /* val_offset */
		set(r, reg, PA_CELL_VAL_OFFSET, factored(r, (int64_t)pa_cursor_uleb(c)));
		break;
	case 0x15: /* val_offset_sf */
		set(r, reg, PA_CELL_VAL_OFFSET, factored(r, pa_cursor_sleb(c)));
		break;
	case 0x16: /* val_expression */
		set(r, reg, PA_CELL_OTHER, block(r, c));
		break;
	case 0x2f: /* GNU_negative_offset_extended */
		set(r, reg, PA_CELL_OFFSET, factored(r, -(int64_t)pa_cursor_uleb(c)));
		break;
	}
	return true;
}

static void step(struct run *r, struct pa_cursor *c)
{
	uint8_t op = (uint8_t)pa_cursor_u(c, 1);
	uint8_t low = op & 0x3f;

	if (op >> 6 == 1) {
		advance(r, low);
	} else if (op >> 6 == 2) {
		set(r, low, PA_CELL_OFFSET, factored(r, (int64_t)pa_cursor_uleb(c)));
	} else if (op >> 6 == 3) {
		restore(r, low);
	} else if (op == 0x01) {
		set_loc(r, c);
	} else if (op >= 0x02 && op <= 0x04) { /* advance_loc1, 2, 4 */
		advance(r, pa_cursor_u(c, (size_t)1 << (op - 2)));
	} else if (op == 0x0a) {
		remember(r);
	} else if (op == 0x0b) {
		recall(r);
	} else if (op == 0x2e) { /* GNU_args_size */
		pa_cursor_uleb(c);
	} else if (op == 0x2d && PA_ARCH_RA_IN_REGISTER) {
		/* negate_ra_state: a signature is stripped wherever there is one */
	} else if (op && !step_cfa(r, c, op) && !step_register(r, c, op)) {
		r->bad = true; /* unknown: its operands are, too */
	}
}

/* Runs code until it passes lookup: the instruction that does so changes nothing else. */
static void run(struct run *r, const uint8_t *code, const uint8_t *end, uint64_t lookup)
{
	struct pa_cursor c = {.at = code, .end = end};

	while (!r->bad && r->loc <= lookup && pa_cursor_left(&c)) {
		uint64_t before = r->loc;

		step(r, &c);
		r->bad |= c.bad;
		if (r->loc != before && r->loc <= lookup)
			r->row_from = r->loc;
	}
}

/* The row ends where the instruction that passed the lookup pc set the next one, or with the entry. */
static void tell_range(const struct run *r, uint64_t lookup)
{
	uint64_t to = r->loc > lookup ? r->loc : r->entry->pc_end;
	bool sane = !r->bad && r->row_from <= lookup && lookup < to && to <= r->entry->pc_end;

	r->image->range[0] = sane ? r->row_from : 0;
	r->image->range[1] = sane ? to : 0;
}

bool pa_cfi_run_sig(const struct pa_cfi_image *image, const struct pa_cfi_entry *entry, uint64_t lookup,
		    struct pa_cfi_row *row)
{
	struct run r;

	r.image = image;
	r.entry = entry;
	r.row = (struct pa_cfi_row){.cfa_reg = PA_CFA_UNKNOWN};
	r.initial = r.row;
	r.nr_saved = 0;
	r.loc = entry->pc_begin;
	r.row_from = 0;
	r.fp_reg = image->follow ? image->follow - 1 : PA_ARCH_DWARF_FP;
	r.bad = false;
	run(&r, entry->cie_code, entry->cie_end, UINT64_MAX);
	r.initial = r.row;
	r.nr_saved = 0;
	r.loc = r.row_from = entry->pc_begin;
	run(&r, entry->fde_code, entry->fde_end, lookup);
	*row = r.row;
	if (image->range)
		tell_range(&r, lookup);
	return !r.bad;
}
