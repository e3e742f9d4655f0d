/* x86-64: rules in the 25 bits a cache word has for them, and what only this machine's frames look like.
 * World: signal. */
#ifndef PA_AGENT_ARCH_X86_64_RULE_H
#define PA_AGENT_ARCH_X86_64_RULE_H

#include <stddef.h>

#include "agent/arch/x86_64/regs.h"
#include "agent/rule_sig.h"

#define PA_ARCH_RA_OFFSET      (-8) /* where a call leaves the return address, from the CFA */
#define PA_ARCH_RA_IN_REGISTER 0
/* what the kernel pushed, seen from the sp in the signal trampoline: its own return address is gone by then */
#define PA_ARCH_SIGNAL_UC  0
#define PA_ARCH_SIGNAL_CFA ((int32_t)offsetof(ucontext_t, uc_mcontext.gregs[REG_RSP]))

/* kind:3 | -fp/8:6 (0 unchanged, 63 undefined) | cfa/8:16. DEREF_SP: add is 8. DEREF_FP: add is 0, fp at [fp].
 * Returns false when the rule is wider than that: then it is worked out anew each time. */
static inline bool pa_arch_rule_pack(const struct pa_rule *r, uint32_t *bits)
{
	uint32_t fp = 0;

	if (r->kind >= PA_RULE_SIGNAL) {
		*bits = (uint32_t)r->kind << 22;
		return r->kind <= PA_RULE_ROW;
	}
	if (r->exact || r->ra_how != PA_HOW_CFA || r->ra != PA_ARCH_RA_OFFSET || r->cfa % 8)
		return false;
	if (r->cfa < -32768 * 8 || r->cfa > 32767 * 8)
		return false;
	if (r->add != (r->kind == PA_RULE_DEREF_SP ? 8 : 0))
		return false;
	if (r->kind == PA_RULE_DEREF_FP) {
		if (r->fp_how != PA_HOW_FP || r->fp)
			return false;
	} else if (r->fp_how == PA_HOW_CFA) {
		if (r->fp % 8 || r->fp > -8 || r->fp < -62 * 8)
			return false;
		fp = (uint32_t)(-r->fp / 8);
	} else if (r->fp_how == PA_HOW_UNDEF) {
		fp = 63;
	} else if (r->fp_how != PA_HOW_SAME) {
		return false;
	}
	*bits = (uint32_t)r->kind << 22 | fp << 16 | (uint16_t)(r->cfa / 8);
	return true;
}

static inline void pa_arch_rule_unpack(uint32_t bits, struct pa_rule *r)
{
	uint32_t fp = bits >> 16 & 63;

	r->kind = (uint8_t)(bits >> 22 & 7);
	r->reg = 0;
	r->exact = false;
	r->cfa = (int16_t)bits * 8;
	r->add = r->kind == PA_RULE_DEREF_SP ? 8 : 0;
	r->ra_how = PA_HOW_CFA;
	r->ra = PA_ARCH_RA_OFFSET;
	r->fp_how = fp == 0 ? PA_HOW_SAME : fp == 63 ? PA_HOW_UNDEF : PA_HOW_CFA;
	r->fp = -(int32_t)fp * 8;
	if (r->kind == PA_RULE_DEREF_FP) {
		r->fp_how = PA_HOW_FP;
		r->fp = 0;
	}
}

/* The fast half of unpacking: where a plain rule puts the CFA, the return address and the saved fp (0: unchanged).
 * False: any other rule. The slots are below the CFA; fp stays as it is when fp_at is 0. */
static inline bool pa_arch_rule_simple(uint32_t bits, uint64_t sp, uint64_t fp, uint64_t *cfa, uint64_t *ra_at,
				       uint64_t *fp_at)
{
	uint64_t saved = bits >> 16 & 63;

	if (bits >> 22 > PA_RULE_FP || saved == 63)
		return false;
	*cfa = (bits >> 22 == PA_RULE_SP ? sp : fp) + (uint64_t)((int64_t)(int16_t)bits * 8);
	*ra_at = *cfa - 8;
	*fp_at = saved ? *cfa - saved * 8 : 0;
	return true;
}

/* Whether a plain rule has the CFA from the frame pointer. */
static inline bool pa_arch_rule_by_fp(uint32_t bits)
{
	return bits >> 22 == PA_RULE_FP;
}

static inline uint64_t pa_arch_strip(uint64_t ra)
{
	return ra;
}

#define PA_ARCH_CALL_BYTES 7 /* the longest call instruction looked for */

/* Whether the bytes before a return address end in a call: e8 rel32, or ff /2 in any of its lengths.
 * Shapes: code has PA_ARCH_CALL_BYTES bytes, the last one directly before the return address. */
static inline bool pa_arch_is_call(const uint8_t *code)
{
	static const uint8_t lengths[] = {2, 3, 4, 6, 7};
	const uint8_t *end = code + PA_ARCH_CALL_BYTES;

	if (end[-5] == 0xe8)
		return true;
	for (unsigned i = 0; i < sizeof(lengths); i++)
		if (end[-lengths[i]] == 0xff && (end[1 - lengths[i]] & 0x38) == 0x10)
			return true;
	return false;
}

#define PA_ARCH_TRAMPOLINE_BYTES 9

/* Whether a pc is at a signal trampoline without unwind information: mov $15,%rax; syscall. */
static inline bool pa_arch_is_trampoline(const uint8_t *code)
{
	static const uint8_t want[PA_ARCH_TRAMPOLINE_BYTES] = {0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05};

	return __builtin_memcmp(code, want, sizeof(want)) == 0;
}

#endif
