/* aarch64: rules in the 25 bits a cache word has for them, and what only this machine's frames look like.
 * World: signal. */
#ifndef PA_AGENT_ARCH_AARCH64_RULE_H
#define PA_AGENT_ARCH_AARCH64_RULE_H

#include "agent/arch/aarch64/regs.h"
#include "agent/rule_sig.h"

#define PA_ARCH_RA_OFFSET      0
#define PA_ARCH_RA_IN_REGISTER 1 /* until it is saved, the return address is in x30 */
/* what the kernel pushed, seen from the sp in the signal trampoline: siginfo_t, then the context */
#define PA_ARCH_SIGNAL_UC  128
#define PA_ARCH_SIGNAL_CFA (-1) /* the trampoline's CFA is never an expression here */

/* kind:3 | where:2 | -fp/8:10 | cfa/16:10. where: 0 both in registers, 1 fp at CFA + fp and lr in the word above it
 * (stp x29, x30), 2 only lr saved, at CFA + fp. The stack pointer is always 16-aligned.
 * Returns false when the rule is wider than that: then it is worked out anew each time. */
static inline bool pa_arch_rule_pack(const struct pa_rule *r, uint32_t *bits)
{
	uint32_t where = 0;
	int32_t at = 0;

	if (r->kind >= PA_RULE_SIGNAL) {
		*bits = (uint32_t)r->kind << 22;
		return r->kind <= PA_RULE_ROW;
	}
	if (r->kind > PA_RULE_FP || r->exact || r->cfa % 16 || r->cfa < 0 || r->cfa > 1023 * 16)
		return false;
	if (r->ra_how == PA_HOW_CFA) {
		where = r->fp_how == PA_HOW_CFA && r->ra == r->fp + 8 ? 1 : 2;
		at = where == 1 ? r->fp : r->ra;
		if (where == 2 && r->fp_how != PA_HOW_SAME)
			return false;
	} else if (r->ra_how != PA_HOW_SAME || r->fp_how != PA_HOW_SAME) {
		return false;
	}
	if (at % 8 || at > 0 || at < -1023 * 8)
		return false;
	*bits = (uint32_t)r->kind << 22 | where << 20 | (uint32_t)(-at / 8) << 10 | (uint32_t)r->cfa / 16;
	return true;
}

static inline void pa_arch_rule_unpack(uint32_t bits, struct pa_rule *r)
{
	uint32_t where = bits >> 20 & 3;
	int32_t at = -(int32_t)(bits >> 10 & 1023) * 8;

	r->kind = (uint8_t)(bits >> 22 & 7);
	r->reg = 0;
	r->exact = false;
	r->cfa = (int32_t)(bits & 1023) * 16;
	r->add = 0;
	r->fp_how = where == 1 ? PA_HOW_CFA : PA_HOW_SAME;
	r->ra_how = where ? PA_HOW_CFA : PA_HOW_SAME;
	r->fp = at;
	r->ra = where == 1 ? at + 8 : at;
}

/* The fast half of unpacking: where a plain rule puts the CFA, the return address and the saved fp (0: unchanged).
 * False: any other rule. The slots are below the CFA; fp stays as it is when fp_at is 0. */
static inline bool pa_arch_rule_simple(uint32_t bits, uint64_t sp, uint64_t fp, uint64_t *cfa, uint64_t *ra_at,
				       uint64_t *fp_at)
{
	uint64_t at = (bits >> 10 & 1023) * 8;

	if (bits >> 22 > PA_RULE_FP || (bits >> 20 & 3) != 1 || at < 16)
		return false;
	*cfa = (bits >> 22 == PA_RULE_SP ? sp : fp) + (bits & 1023) * 16;
	*fp_at = *cfa - at;
	*ra_at = *fp_at + 8;
	return true;
}

/* Whether a plain rule has the CFA from the frame pointer. */
static inline bool pa_arch_rule_by_fp(uint32_t bits)
{
	return bits >> 22 == PA_RULE_FP;
}

/* Return addresses may be signed (pointer authentication): the signature is in bits a user address does not have. */
static inline uint64_t pa_arch_strip(uint64_t ra)
{
	return ra & ((UINT64_C(1) << PA_ARCH_VA_BITS) - 1);
}

#define PA_ARCH_CALL_BYTES 4

/* Whether the instruction before a return address is a call: bl, blr, blraa and its kin.
 * Shapes: code has PA_ARCH_CALL_BYTES bytes, the last one directly before the return address. */
static inline bool pa_arch_is_call(const uint8_t *code)
{
	uint32_t insn;

	__builtin_memcpy(&insn, code, sizeof(insn));
	return (insn & 0xfc000000) == 0x94000000 || (insn & 0xfffffc1f) == 0xd63f0000 ||
	       (insn & 0xfefff800) == 0xd63f0800;
}

#define PA_ARCH_TRAMPOLINE_BYTES 8

/* Whether a pc is at the signal trampoline: mov x8, #139; svc #0. */
static inline bool pa_arch_is_trampoline(const uint8_t *code)
{
	static const uint8_t want[PA_ARCH_TRAMPOLINE_BYTES] = {0x68, 0x11, 0x80, 0xd2, 0x01, 0x00, 0x00, 0xd4};

	return __builtin_memcmp(code, want, sizeof(want)) == 0;
}

#endif
