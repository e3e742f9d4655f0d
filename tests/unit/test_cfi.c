/* Unwind tables into rules: hand-made instruction bytes with the rules they stand for, and damage of every kind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "tests/unit/cfi_util.h"

#define FP PA_ARCH_DWARF_FP
#define SP PA_ARCH_DWARF_SP
#define RA PA_ARCH_DWARF_RA

#define CODE(...) (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__})

static struct pa_rule rule_of(const char *aug, const uint8_t *code, size_t len, uint64_t offset)
{
	struct image im;
	struct pa_rule rule;

	image_build(&im, aug, code, len);
	image_rule(&im, offset, &rule);
	return rule;
}

static void push_and_frame_pointer_change_the_rule_at_their_pcs(void **state)
{
	static const uint8_t code[] = {
	    0x41,      0x0e, 16,              /* pc + 1: CFA = sp + 16 */
	    0x80 | FP, 2,                     /* fp at CFA - 16 */
	    0x02,      3,    0x0d, FP,        /* pc + 4: CFA = fp + 16 */
	    0x03,      0x10, 0,    0x0a,      /* pc + 20: remember */
	    0x0c,      SP,   8,    0xc0 | FP, /* leave, ret */
	    0x41,      0x0b,                  /* pc + 21: as before */
	};
	struct pa_rule r = rule_of("zR", code, sizeof(code), 0);

	assert_int_equal(r.kind, PA_RULE_SP);
	assert_int_equal(r.cfa, 8);
	assert_int_equal(r.fp_how, PA_HOW_SAME);
	r = rule_of("zR", code, sizeof(code), 1);
	assert_int_equal(r.kind, PA_RULE_SP);
	assert_int_equal(r.cfa, 16);
	assert_int_equal(r.fp_how, PA_HOW_CFA);
	assert_int_equal(r.fp, -16);
	r = rule_of("zR", code, sizeof(code), 4);
	assert_int_equal(r.kind, PA_RULE_FP);
	assert_int_equal(r.cfa, 16);
	assert_int_equal(r.fp, -16);
	r = rule_of("zR", code, sizeof(code), 20);
	assert_int_equal(r.kind, PA_RULE_SP);
	assert_int_equal(r.cfa, 8);
	assert_int_equal(r.fp_how, PA_HOW_SAME);
	r = rule_of("zR", code, sizeof(code), 21);
	assert_int_equal(r.kind, PA_RULE_FP);
	assert_int_equal(r.fp, -16);
}

static void return_addresses_are_looked_up_one_byte_before(void **state)
{
	static const uint8_t code[] = {0x44, 0x0e, 32};
	struct image im;
	struct pa_rule rule;
	struct pa_cfi_image cfi = {.lo = im.bytes, .hdr = im.bytes};
	uint64_t pc = (uint64_t)(uintptr_t)im.bytes + CODE_DISTANCE;

	image_build(&im, "zR", code, sizeof(code));
	cfi.hi = im.bytes + im.len;
	pa_cfi_rule_sig(&cfi, pc + 4, false, &rule);
	assert_int_equal(rule.cfa, 8);
	pa_cfi_rule_sig(&cfi, pc + 4, true, &rule);
	assert_int_equal(rule.cfa, 32);
	pa_cfi_rule_sig(&cfi, pc + CODE_BYTES, false, &rule); /* a call that does not return is the last instruction */
	assert_int_equal(rule.cfa, 32);
	pa_cfi_rule_sig(&cfi, pc + CODE_BYTES, true, &rule);
	assert_int_equal(rule.kind, PA_RULE_NO_CFI);
	pa_cfi_rule_sig(&cfi, pc - 1, true, &rule);
	assert_int_equal(rule.kind, PA_RULE_NO_CFI);
}

static void signed_and_long_operands_count(void **state)
{
	struct pa_rule r = rule_of("zR", CODE(0x12, SP, 0x7e, 0x11, FP, 3), 0); /* CFA = sp + 16, fp at CFA - 24 */

	assert_int_equal(r.cfa, 16);
	assert_int_equal(r.fp, -24);
	r = rule_of("zR", CODE(0x13, 0x7d, 0x05, FP, 4, 0x2e, 0x80, 0x01), 0);
	assert_int_equal(r.cfa, 24);
	assert_int_equal(r.fp, -32);
	r = rule_of("zR", CODE(0x2f, FP, 2), 0); /* GNU_negative_offset_extended */
	assert_int_equal(r.fp, 16);
	r = rule_of("zR", CODE(0x0e, 0x80, 0x80, 0x04), 0);
	assert_int_equal(r.cfa, 65536);
	r = rule_of("zR", CODE(0x04, 0, 1, 0, 0, 0x0e, 64), 0xff); /* advance_loc4 past the pc */
	assert_int_equal(r.cfa, 8);
}

static void registers_in_registers_and_unknown_ones(void **state)
{
	struct pa_rule r = rule_of("zR", CODE(0x09, FP, 3), 0);

	assert_int_equal(r.fp_how, PA_HOW_REG);
	assert_int_equal(r.fp, 3);
	assert_int_equal(rule_of("zR", CODE(0x07, FP), 0).fp_how, PA_HOW_UNDEF);
	assert_int_equal(rule_of("zR", CODE(0x80 | FP, 2, 0x08, FP), 0).fp_how, PA_HOW_SAME);
	assert_int_equal(rule_of("zR", CODE(0x80 | FP, 2, 0x06, FP), 0).fp_how, PA_HOW_SAME);
	assert_int_equal(rule_of("zR", CODE(0x14, FP, 2), 0).fp_how, PA_HOW_CFA_VAL);
	assert_int_equal(rule_of("zR", CODE(0x15, FP, 2), 0).fp, -16);
	assert_int_equal(rule_of("zR", CODE(0x16, FP, 2, 0x70, 0), 0).fp_how, PA_HOW_UNDEF);
	assert_int_equal(rule_of("zR", CODE(0x80 | 3, 2), 0).fp_how, PA_HOW_SAME); /* somebody else's register */
	r = rule_of("zR", CODE(0x0d, 0), 0);
	assert_int_equal(r.kind, PA_RULE_REG);
	assert_int_equal(r.reg, 0);
	assert_int_equal(rule_of("zR", CODE(0x09, SP, 3), 0).kind, PA_RULE_ROW); /* longjmp */
	assert_int_equal(rule_of("zR", CODE(0x07, RA), 0).kind, PA_RULE_END);
}

#if defined(__x86_64__)
static void plt_stubs_are_worked_out_for_their_pc(void **state)
{
	/* breg7 8, breg16 0, lit15, and, litN, ge, lit3, shl, plus: ld's lazy PLT has 11, with IBT 10 or 9 */
	for (unsigned n = 9; n <= 11; n++) {
		const uint8_t code[] = {0x0f, 11,   0x77, 8,   0x80, 0, 0x3f, 0x1a, (uint8_t)(0x30 + n),
					0x2a, 0x33, 0x24, 0x22};
		struct image im;
		struct pa_rule r;
		struct pa_cfi_image cfi = {.lo = im.bytes, .hdr = im.bytes};
		uint64_t pc;

		image_build(&im, "zR", code, sizeof(code));
		cfi.hi = im.bytes + im.len;
		pc = ((uint64_t)(uintptr_t)im.bytes + CODE_DISTANCE + 32) & ~UINT64_C(15);
		for (unsigned i = 0; i < 16; i++) {
			pa_cfi_rule_sig(&cfi, pc + i, true, &r);
			assert_int_equal(r.kind, PA_RULE_SP);
			assert_int_equal(r.cfa, i >= n ? 16 : 8);
		}
	}
}

static void realigned_stacks_and_saved_stack_pointers(void **state)
{
	/* def_cfa_expression breg6 -8, deref; expression rbp at breg6 0 */
	struct pa_rule r = rule_of("zR", CODE(0x0f, 3, 0x76, 0x78, 0x06, 0x10, 6, 2, 0x76, 0), 0);

	assert_int_equal(r.kind, PA_RULE_DEREF_FP);
	assert_int_equal(r.cfa, -8);
	assert_int_equal(r.add, 0);
	assert_int_equal(r.fp_how, PA_HOW_FP);
	assert_int_equal(r.fp, 0);
	/* breg7 112, deref, plus_uconst 8, rbp at CFA - 24 */
	r = rule_of("zR", CODE(0x0f, 6, 0x77, 0xf0, 0x00, 0x06, 0x23, 8, 0x86, 3), 0);
	assert_int_equal(r.kind, PA_RULE_DEREF_SP);
	assert_int_equal(r.cfa, 112);
	assert_int_equal(r.add, 8);
	assert_int_equal(r.fp, -24);
	/* rbp by an expression over the same saved word: 16 below it, 24 below the CFA */
	r = rule_of("zR", CODE(0x0f, 5, 0x77, 40, 0x06, 0x23, 8, 0x10, 6, 5, 0x77, 40, 0x06, 0x40, 0x1c), 0);
	assert_int_equal(r.fp_how, PA_HOW_CFA);
	assert_int_equal(r.fp, -24);
	r = rule_of("zR", CODE(0x0f, 3, 0x79, 8, 0x06), 0);
	assert_int_equal(r.kind, PA_RULE_DEREF_REG);
	assert_int_equal(r.reg, 9);
}

static void signal_frames_are_known_by_their_place(void **state)
{
	static const uint8_t code[] = {0x0f, 4, 0x77, 0xa0, 0x01, 0x06, 0x10, 16, 3, 0x77, 0xa8, 0x01};
	struct pa_rule r = rule_of("zRS", code, sizeof(code), 0);

	assert_int_equal(r.kind, PA_RULE_SIGNAL);
	assert_int_not_equal(rule_of("zR", code, sizeof(code), 0).kind, PA_RULE_SIGNAL);
	r = rule_of("zRS", CODE(0x0e, 64), 0); /* an interrupted caller, but an ordinary frame */
	assert_int_equal(r.kind, PA_RULE_SP);
	assert_true(r.exact);
}

static void assert_same_rule(const struct pa_rule *a, const struct pa_rule *b)
{
	assert_int_equal(a->kind, b->kind);
	assert_int_equal(a->exact, b->exact);
	assert_int_equal(a->cfa, b->cfa);
	assert_int_equal(a->add, b->add);
	assert_int_equal(a->fp_how, b->fp_how);
	assert_int_equal(a->fp, b->fp);
	assert_int_equal(a->ra_how, b->ra_how);
	assert_int_equal(a->ra, b->ra);
}

static void rules_survive_being_packed_or_refuse(void **state)
{
	struct pa_rule r = {.kind = PA_RULE_SP, .ra_how = PA_HOW_CFA, .ra = -8}, back;
	uint32_t bits;

	for (r.kind = PA_RULE_SP; r.kind <= PA_RULE_FP; r.kind++) {
		for (r.cfa = -300000; r.cfa <= 300000; r.cfa += 4) {
			for (int fp = 0; fp <= 70; fp += 7) {
				r.fp_how = fp ? PA_HOW_CFA : PA_HOW_SAME;
				r.fp = -8 * fp;
				if (!pa_arch_rule_pack(&r, &bits)) {
					assert_true(r.cfa % 8 || r.cfa < -262144 || r.cfa > 262136 || fp > 62);
					continue;
				}
				pa_arch_rule_unpack(bits, &back);
				assert_same_rule(&r, &back);
			}
		}
	}
	r = (struct pa_rule){.kind = PA_RULE_SP, .ra_how = PA_HOW_CFA, .ra = -16, .cfa = 24};
	assert_false(pa_arch_rule_pack(&r, &bits));
	r = (struct pa_rule){.kind = PA_RULE_SP, .ra_how = PA_HOW_CFA, .ra = -8, .cfa = 24, .exact = true};
	assert_false(pa_arch_rule_pack(&r, &bits));
	r = (struct pa_rule){.kind = PA_RULE_REG, .ra_how = PA_HOW_CFA, .ra = -8, .cfa = 24};
	assert_false(pa_arch_rule_pack(&r, &bits));
}
#endif

static void what_cannot_be_said_is_a_row(void **state)
{
	static const struct {
		uint8_t len;
		uint8_t code[12];
	} cases[] = {
	    {1, {0x3d}},                                  /* unknown instruction */
	    {1, {0x0b}},                                  /* restore_state without remember_state */
	    {5, {0x0a, 0x0a, 0x0a, 0x0a, 0x0a}},          /* more levels than kept */
	    {2, {0x0f, 100}},                             /* expression longer than the entry */
	    {3, {0x0f, 1, 0x22}},                         /* plus on an empty stack */
	    {3, {0x0f, 1, 0x06}},                         /* deref on an empty stack */
	    {4, {0x0f, 2, 0x30, 0x06}},                   /* deref of a constant */
	    {7, {0x0f, 5, 0x31, 0x31, 0x31, 0x31, 0x31}}, /* deeper than the machine */
	    {5, {0x0f, 3, 0x28, 0, 0}},                   /* a branch */
	    {3, {0x0f, 1, 0x35}},                         /* CFA is a constant */
	    {5, {0x0f, 1, 0x77, 0x0e, 8}},                /* an offset where the CFA is an expression */
	    {2, {0x0d, 200}},                             /* no such register */
	    {6, {0x0e, 0xff, 0xff, 0xff, 0xff, 0x7f}},    /* an offset no frame has */
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(rule_of("zR", cases[i].code, cases[i].len, 0).kind, PA_RULE_ROW);
}

static void unknown_augmentations_and_tables_are_refused(void **state)
{
	static const uint8_t code[] = {0x0e, 16};
	struct image im;
	struct pa_rule r;

	assert_int_equal(rule_of("zRX", code, sizeof(code), 0).kind, PA_RULE_ROW);
	assert_int_equal(rule_of("eh", code, sizeof(code), 0).kind, PA_RULE_ROW);
	for (size_t i = 0; i < 4; i++) {
		static const uint8_t wrong[4] = {2, 0x15, 0x43, 0x1b}; /* version, encodings of pointer, count, table */

		image_build(&im, "zR", code, sizeof(code));
		im.bytes[i] = wrong[i];
		image_rule(&im, 0, &r);
		assert_int_equal(r.kind, PA_RULE_NO_CFI);
	}
	image_build(&im, "zR", code, sizeof(code));
	patch32(&im, 8, 0); /* an empty table */
	image_rule(&im, 0, &r);
	assert_int_equal(r.kind, PA_RULE_NO_CFI);
	patch32(&im, 8, 0xffffffff);
	image_rule(&im, 0, &r);
	assert_int_equal(r.kind, PA_RULE_NO_CFI);
}

static void images_cut_anywhere_are_refused(void **state)
{
	static const uint8_t code[] = {0x41, 0x0e, 16, 0x80 | FP, 2, 0x43, 0x0d, FP, 0x10, FP, 2, 0x70 | 6, 0};
	struct image im;
	struct pa_rule r;

	image_build(&im, "zR", code, sizeof(code));
	for (size_t len = 1; len < im.len; len++) {
		image_rule_cut(&im, len, 16, &r);
		assert_true(r.kind == PA_RULE_NO_CFI || r.kind == PA_RULE_ROW);
	}
	image_rule(&im, 16, &r);
	assert_int_equal(r.kind, PA_RULE_FP);
}

static void any_byte_may_be_wrong(void **state)
{
	static const uint8_t code[] = {0x41, 0x0e, 16, 0x80 | FP, 2, 0x43, 0x0d, FP, 0x10, FP, 2, 0x70 | 6, 0};
	struct image im;
	struct pa_rule r;

	for (size_t at = 0;; at++) {
		image_build(&im, "zR", code, sizeof(code));
		if (at == im.len)
			break;
		for (unsigned bad = 0; bad < 256; bad++) {
			im.bytes[at] = (uint8_t)bad;
			image_rule(&im, 16, &r);
			assert_true(r.kind <= PA_RULE_DEREF_REG);
		}
	}
}

static bool refuse(void *ctx, const void *at, size_t len)
{
	int *left = ctx;

	return (*left)-- > 0;
}

static void unreadable_tables_are_told_from_missing_ones(void **state)
{
	static const uint8_t code[] = {0x0e, 16};
	struct image im;
	struct pa_rule r;
	int allowed, left;
	struct pa_cfi_image cfi = {.lo = im.bytes, .hdr = im.bytes, .readable = refuse, .ctx = &left};

	image_build(&im, "zR", code, sizeof(code));
	cfi.hi = im.bytes + im.len;
	for (allowed = 0;; allowed++) {
		left = allowed;
		pa_cfi_rule_sig(&cfi, (uint64_t)(uintptr_t)im.bytes + CODE_DISTANCE, true, &r);
		if (r.kind == PA_RULE_SP)
			break;
		assert_int_equal(r.kind, PA_RULE_MEMORY);
		assert_true(allowed < 10);
	}
	assert_int_equal(allowed, 5); /* the header, and head and body of two entries */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(push_and_frame_pointer_change_the_rule_at_their_pcs),
		cmocka_unit_test(return_addresses_are_looked_up_one_byte_before),
		cmocka_unit_test(signed_and_long_operands_count),
		cmocka_unit_test(registers_in_registers_and_unknown_ones),
#if defined(__x86_64__)
		cmocka_unit_test(plt_stubs_are_worked_out_for_their_pc),
		cmocka_unit_test(realigned_stacks_and_saved_stack_pointers),
		cmocka_unit_test(signal_frames_are_known_by_their_place),
		cmocka_unit_test(rules_survive_being_packed_or_refuse),
#endif
		cmocka_unit_test(what_cannot_be_said_is_a_row),
		cmocka_unit_test(unknown_augmentations_and_tables_are_refused),
		cmocka_unit_test(images_cut_anywhere_are_refused),
		cmocka_unit_test(any_byte_may_be_wrong),
		cmocka_unit_test(unreadable_tables_are_told_from_missing_ones),
	};

	return cmocka_run_group_tests_name("cfi", tests, NULL, NULL);
}
