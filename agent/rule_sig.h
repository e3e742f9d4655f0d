/* The compact form of one row of unwind information: how to get from a frame to its caller. World: signal.
 *
 * A rule holds for one pc, so that whatever an expression does with the pc (PLT stubs) is already worked out. */
#ifndef PA_AGENT_RULE_SIG_H
#define PA_AGENT_RULE_SIG_H

#include <stdbool.h>
#include <stdint.h>

#define PA_RULE_KIND_BITS 3

enum pa_rule_kind {
	PA_RULE_SP = 0,       /* CFA = sp + cfa */
	PA_RULE_FP = 1,       /* CFA = fp + cfa */
	PA_RULE_DEREF_SP = 2, /* CFA = [sp + cfa] + add: hand-written code that keeps the old sp in its frame */
	PA_RULE_DEREF_FP = 3, /* CFA = [fp + cfa] + add: realigned stack */
	PA_RULE_SIGNAL = 4,   /* sp points at what the kernel pushed for a signal */
	PA_RULE_END = 5,      /* the outermost frame: the return address is undefined */
	PA_RULE_NO_CFI = 6,   /* a module, but nothing known about this pc */
	PA_RULE_ROW = 7,      /* something this form cannot express */
	/* from here on never in the cache */
	PA_RULE_REG = 8,        /* CFA = another register + cfa: only where all registers are known */
	PA_RULE_DEREF_REG = 9,  /* CFA = [another register + cfa] + add: likewise */
	PA_RULE_NO_MODULE = 10, /* pc in no module */
	PA_RULE_MEMORY = 11,    /* the unwind information is not readable (any more) */
	PA_RULE_QUIET = 12,     /* looking would take a system call */
};

/* Where a register of the caller is. */
enum pa_rule_how {
	PA_HOW_SAME = 0,    /* unchanged; for the return address: in the link register */
	PA_HOW_CFA = 1,     /* in memory at CFA + off */
	PA_HOW_UNDEF = 2,   /* not known */
	PA_HOW_FP = 3,      /* in memory at fp + off */
	PA_HOW_SP = 4,      /* in memory at sp + off */
	PA_HOW_REG = 5,     /* in register number off */
	PA_HOW_CFA_VAL = 6, /* is CFA + off itself */
};

struct pa_rule {
	uint8_t kind;   /* enum pa_rule_kind */
	uint8_t reg;    /* DWARF number, for REG and DEREF_REG */
	uint8_t fp_how; /* enum pa_rule_how */
	uint8_t ra_how;
	bool exact; /* the caller was interrupted, not calling: its pc is looked up as it is */
	int32_t cfa;
	int32_t add;
	int32_t fp;
	int32_t ra;
};

#endif
