/* DWARF expressions in unwind tables, worked out symbolically: those that occur (PLT stubs, realigned stacks, signal
 * frames, assembly that saves the old sp in its frame) come to [reg + off] + c, reg + off or a constant, because the pc
 * is known. World: signal. */
#include "agent/arch/arch.h"
#include "agent/cfi_sig.h"
#include "agent/cursor_sig.h"

#define DEPTH 3 /* what PLT stubs need */

struct machine {
	struct pa_expr stack[DEPTH];
	unsigned depth;
	bool bad;
};

static void push(struct machine *m, struct pa_expr value)
{
	if (m->depth == DEPTH)
		m->bad = true;
	else
		m->stack[m->depth++] = value;
}

static struct pa_expr pop(struct machine *m)
{
	if (m->depth)
		return m->stack[--m->depth];
	m->bad = true;
	return (struct pa_expr){0};
}

static void push_const(struct machine *m, int64_t c)
{
	push(m, (struct pa_expr){.form = PA_EXPR_CONST, .c = c});
}

/* Adds a constant to whatever form the value has. */
static void push_sum(struct machine *m, struct pa_expr value, int64_t c)
{
	int64_t off;

	if (value.form != PA_EXPR_REG) {
		value.c = (int64_t)((uint64_t)value.c + (uint64_t)c);
	} else if (__builtin_add_overflow(c, value.off, &off) || off != (int32_t)off) {
		m->bad = true;
	} else {
		value.off = (int32_t)off;
	}
	push(m, value);
}

static void push_reg(struct machine *m, uint64_t reg, int64_t off, uint64_t pc)
{
	struct pa_expr value = {.form = PA_EXPR_REG, .reg = (uint8_t)reg};

	if (reg == PA_ARCH_NR_REGS - 1) { /* the pc stands last in both machines' numbering */
		push_const(m, (int64_t)(pc + (uint64_t)off));
	} else if (reg >= PA_ARCH_NR_REGS) {
		m->bad = true;
	} else {
		push_sum(m, value, off);
	}
}

static void deref(struct machine *m)
{
	struct pa_expr value = pop(m);

	if (value.form != PA_EXPR_REG)
		m->bad = true;
	value.form = PA_EXPR_DEREF;
	push(m, value);
}

/* Operations on two constants. */
static bool fold(uint8_t op, int64_t a, int64_t b, int64_t *result)
{
	uint64_t ua = (uint64_t)a, ub = (uint64_t)b;

	switch (op) {
	case 0x1a: /* and */
		*result = a & b;
		return true;
	case 0x21: /* or */
		*result = a | b;
		return true;
	case 0x24: /* shl */
		*result = ub < 64 ? (int64_t)(ua << ub) : 0;
		return true;
	case 0x25: /* shr */
		*result = ub < 64 ? (int64_t)(ua >> ub) : 0;
		return true;
	case 0x29:
		*result = a == b;
		return true;
	case 0x2a:
		*result = a >= b;
		return true;
	case 0x2b:
		*result = a > b;
		return true;
	case 0x2c:
		*result = a <= b;
		return true;
	case 0x2d:
		*result = a < b;
		return true;
	case 0x2e:
		*result = a != b;
		return true;
	default:
		return false;
	}
}

static void binary(struct machine *m, uint8_t op)
{
	struct pa_expr b = pop(m), a = pop(m);
	int64_t result = 0;

	if (op == 0x22 && b.form == PA_EXPR_CONST) { /* plus */
		push_sum(m, a, b.c);
	} else if (op == 0x22 && a.form == PA_EXPR_CONST) {
		push_sum(m, b, a.c);
	} else if (op == 0x1c && b.form == PA_EXPR_CONST) { /* minus */
		push_sum(m, a, (int64_t)(0 - (uint64_t)b.c));
	} else {
		if (a.form != PA_EXPR_CONST || b.form != PA_EXPR_CONST || !fold(op, a.c, b.c, &result))
			m->bad = true;
		push_const(m, result);
	}
}

static void step(struct machine *m, struct pa_cursor *c, uint64_t pc)
{
	uint8_t op = (uint8_t)pa_cursor_u(c, 1);
	uint64_t reg;

	if (op >= 0x30 && op <= 0x4f) { /* lit0..31 */
		push_const(m, op - 0x30);
	} else if (op >= 0x70 && op <= 0x8f) { /* breg0..31 */
		push_reg(m, op - 0x70, pa_cursor_sleb(c), pc);
	} else if (op == 0x92) { /* bregx */
		reg = pa_cursor_uleb(c);
		push_reg(m, reg, pa_cursor_sleb(c), pc);
	} else if (op >= 0x08 && op <= 0x0f) { /* const1u, 1s, 2u .. 8s */
		size_t size = (size_t)1 << ((op - 0x08) / 2);

		push_const(m, op & 1 ? pa_cursor_s(c, size) : (int64_t)pa_cursor_u(c, size));
	} else if (op == 0x10) { /* constu */
		push_const(m, (int64_t)pa_cursor_uleb(c));
	} else if (op == 0x11) { /* consts */
		push_const(m, pa_cursor_sleb(c));
	} else if (op == 0x06) {
		deref(m);
	} else if (op == 0x23) { /* plus_uconst */
		push_sum(m, pop(m), (int64_t)pa_cursor_uleb(c));
	} else if (op != 0x96) { /* nop */
		binary(m, op);
	}
}

bool pa_cfi_expr_sig(const uint8_t *code, size_t len, uint64_t pc, struct pa_expr *result)
{
	struct pa_cursor c = {.at = code, .end = code + len};
	struct machine m = {.depth = 0};

	while (!m.bad && !c.bad && pa_cursor_left(&c))
		step(&m, &c, pc);
	*result = pop(&m);
	return !m.bad && !c.bad;
}
