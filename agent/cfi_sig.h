/* From a module's .eh_frame_hdr and a pc to the compact rule of that pc. World: signal.
 *
 * Nothing read is trusted: a module may be cut short, corrupt or about to be unmapped. Every read goes through a
 * cursor that ends where the image, or the one entry being read, ends. */
#ifndef PA_AGENT_CFI_SIG_H
#define PA_AGENT_CFI_SIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/rule_sig.h"

struct pa_cfi_image {
	const uint8_t *lo; /* what belongs to the module: lo <= hdr < hi */
	const uint8_t *hi;
	const uint8_t *hdr; /* its .eh_frame_hdr */
	bool guessed;   /* lo and hi are only as far as tables can reach: the search table's end is asked for, too */
	uint8_t follow; /* 0, or 1 + another register that the column of fp is to be about */
	/* whether the bytes can be read now, asked once per entry; NULL: all of lo..hi can */
	bool (*readable)(void *ctx, const void *at, size_t len);
	void *ctx;
	_Atomic uint32_t
	    *hint; /* NULL, or where in the search table to begin; left where it ended. Anything may stand there */
	uint64_t
	    *range; /* NULL, or two words for the pcs the rule holds for: range[0] <= pc < range[1]; equal: pc only */
};

/* One FDE and its CIE, decoded as far as running them needs. */
struct pa_cfi_entry {
	const uint8_t *cie_code; /* instructions */
	const uint8_t *cie_end;
	const uint8_t *fde_code;
	const uint8_t *fde_end;
	uint64_t pc_begin;
	uint64_t pc_end;
	uint32_t code_align;
	int32_t data_align;
	uint8_t encoding; /* DW_EH_PE_* of the FDE's addresses */
	bool signal;      /* augmentation S */
	bool augmented;   /* augmentation z: the FDE has data before its instructions */
};

/* The rule of a pc. exact: look up pc itself; otherwise it is a return address and pc - 1 is looked up.
 * Shapes: rule is filled completely.
 * Errors: rule->kind is PA_RULE_NO_CFI (no entry covers it, or a table this cannot search), PA_RULE_ROW (an entry it
 * cannot express or that is damaged) or PA_RULE_MEMORY (image->readable said no).   World: signal.
 * Source: DWARF 5 section 6.4, Linux Standard Base 5.0 section 10.6 (.eh_frame, .eh_frame_hdr). */
void pa_cfi_rule_sig(const struct pa_cfi_image *image, uint64_t pc, bool exact, struct pa_rule *rule);

/* What the instructions of an entry leave at a pc (cfi_run_sig.c). Only three registers are followed. Kept small:
 * several of these stand on the stack of the interrupted thread. */
enum pa_cfi_column {
	PA_CFI_FP,
	PA_CFI_RA,
	PA_CFI_SP,
	PA_CFI_COLUMNS,
};

enum pa_cfi_cell {
	PA_CELL_SAME,
	PA_CELL_UNDEF,
	PA_CELL_OFFSET,     /* at CFA + value */
	PA_CELL_VAL_OFFSET, /* is CFA + value */
	PA_CELL_REG,        /* in register value */
	PA_CELL_EXPR,       /* at what the expression comes to; value: where it stands, from image->hdr */
	PA_CELL_OTHER,      /* a val_expression */
};

#define PA_CFA_EXPR    254 /* as cfa_reg: cfa_value is the place of an expression, from image->hdr */
#define PA_CFA_UNKNOWN 255

struct pa_cfi_row {
	uint8_t cfa_reg;              /* DWARF number, or one of the above */
	uint8_t cell[PA_CFI_COLUMNS]; /* enum pa_cfi_cell */
	int32_t cfa_value;
	int32_t value[PA_CFI_COLUMNS];
};

/* Runs the instructions of an entry up to a lookup pc. Sets image->range to the pcs the row holds for.
 * Errors: false: damaged, or instructions nobody knows; row is undefined.   World: signal. */
bool pa_cfi_run_sig(const struct pa_cfi_image *image, const struct pa_cfi_entry *entry, uint64_t lookup,
		    struct pa_cfi_row *row);

/* A row as a rule (cfi_put_sig.c); PA_RULE_ROW for one that no rule can say. pc: the frame's own, which expressions may
 * use. World: signal. */
void pa_cfi_put_sig(const struct pa_cfi_image *image, const struct pa_cfi_row *row, bool signal, uint64_t pc,
		    struct pa_rule *rule);

/* What an expression comes to, in terms of the frame's registers (cfi_expr_sig.c). */
enum pa_expr_form {
	PA_EXPR_CONST, /* c */
	PA_EXPR_REG,   /* reg + off */
	PA_EXPR_DEREF, /* [reg + off] + c */
};

struct pa_expr {
	uint8_t form; /* enum pa_expr_form */
	uint8_t reg;
	int32_t off;
	int64_t c;
};

/* Works out a DWARF expression without memory: the pc is known, other registers stay symbols.
 * Shapes: code holds len bytes.   Errors: false: damaged, or nothing the three forms can say.   World: signal. */
bool pa_cfi_expr_sig(const uint8_t *code, size_t len, uint64_t pc, struct pa_expr *result);

#endif
