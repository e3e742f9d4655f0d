/* The rules of pcs: a cache of the process, and behind it the modules' own unwind tables. World: signal.
 *
 * One word per entry, so that there is nothing to tear and nothing to lock; who loses a race has worked out a rule for
 * nothing. Rules are those of the lookup pc: pc - 1 for a return address, pc itself where a thread was interrupted. */
#ifndef PA_AGENT_RULES_SIG_H
#define PA_AGENT_RULES_SIG_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/arch/arch.h"
#include "agent/probe_sig.h"
#include "agent/rule_sig.h"
#include "agent/walk_sig.h"
#include "common/atomics.h"

#define PA_RULES_WORDS 65536u
#define PA_RULES_BITS                                                                                                  \
	25 /* of a word that hold the rule; above: generation, 8 bits, and the pc's bits 16 and up, 31                 \
	    */
#define PA_RULES_PC_MIN 65536u /* below the lowest address anything is mapped at; makes a zero word match nothing */

/* Rules that hold for a whole block of code, most of every function: a pc that was never seen is known by its block. Small
 * enough to stay in a cache between two ticks, so it is asked first. The same words, with the block's number. */
#define PA_RULES_BLOCK_SHIFT 5
#define PA_RULES_BLOCKS	     8192u

extern _Atomic uint64_t pa_rules_table[PA_RULES_WORDS];
extern _Atomic uint64_t pa_rules_blocks[PA_RULES_BLOCKS];
extern _Atomic uint32_t pa_rules_flushes;

/* What a walk keeps between its lookups. */
struct pa_rules {
	uint64_t generation; /* 1..255, read before the first lookup: a rule found later is never stored as newer */
	uint64_t start;      /* the module found last; start == end: none yet */
	uint64_t end;
	const uint8_t *hdr;    /* its .eh_frame_hdr, NULL: none */
	bool listed;           /* it stands in info->modules */
	uint64_t range[2];     /* the pcs the rule worked out last holds for; equal: its own only */
	struct pa_pages pages; /* of unwind information and code */
	struct pa_walk_info *info;
};

/* As struct dl_find_object of glibc >= 2.35 on the machines supported; libc's own may be missing at build time. */
struct pa_find_object {
	uint64_t flags;
	void *map_start;
	void *map_end;
	void *link_map;
	void *eh_frame; /* PT_GNU_EH_FRAME */
	uint64_t reserved[7];
};

/* Who knows the modules: 0 when address is in one, -1 otherwise; as _dl_find_object, which is the usual one.
 * NULL: nobody; then every pc is in no module. World: plain. */
void pa_rules_set_finder(int (*finder)(void *address, struct pa_find_object *result));

static inline uint64_t pa_rules_generation_sig(void)
{
	return 1 + pa_load_relaxed(&pa_rules_flushes) % 255;
}

static inline uint32_t pa_rules_index(uint64_t lookup)
{
	return (uint32_t)(lookup >> PA_ARCH_PC_SHIFT) % PA_RULES_WORDS;
}

static inline uint64_t pa_rules_key(uint64_t lookup, uint64_t generation)
{
	return generation << 31 | lookup >> (16 + PA_ARCH_PC_SHIFT);
}

/* Whether a pc can be code at all, and its bits fit the key. */
static inline bool pa_rules_pc_ok(uint64_t pc)
{
	return pc - PA_RULES_PC_MIN < (UINT64_C(1) << PA_ARCH_VA_BITS) - PA_RULES_PC_MIN;
}

static inline uint32_t pa_rules_block_index(uint64_t lookup)
{
	return (uint32_t)(lookup >> PA_RULES_BLOCK_SHIFT) % PA_RULES_BLOCKS;
}

/* 13 bits of index, 5 of block: what is left of 48 fits beside the generation. */
static inline uint64_t pa_rules_block_key(uint64_t lookup, uint64_t generation)
{
	return generation << 31 | lookup >> (PA_RULES_BLOCK_SHIFT + 13);
}

/* The cached rule of a lookup pc, packed; false: not there. */
static inline bool pa_rules_cached_sig(uint64_t lookup, uint64_t generation, uint32_t *bits)
{
	uint64_t word = pa_load_relaxed(&pa_rules_blocks[pa_rules_block_index(lookup)]);

	if (word >> PA_RULES_BITS == pa_rules_block_key(lookup, generation)) {
		*bits = (uint32_t)word & ((1u << PA_RULES_BITS) - 1);
		return true;
	}
	word = pa_load_relaxed(&pa_rules_table[pa_rules_index(lookup)]);
	*bits = (uint32_t)word & ((1u << PA_RULES_BITS) - 1);
	return word >> PA_RULES_BITS == pa_rules_key(lookup, generation);
}

/* Works a rule out from the module's tables, lists the module in info->modules, and stores the rule if it may be.
 * Shapes: pa_rules_pc_ok(pc); rule is filled completely.   Errors: see the kinds behind PA_RULE_NO_CFI. */
void pa_rules_work_out_sig(struct pa_rules *rules, uint64_t pc, bool exact, struct pa_rule *rule);

/* Where the caller's value of another register is: rule->fp_how and rule->fp tell it, as they do of fp. Stores nothing.
 * Shapes: as above; reg < PA_ARCH_NR_REGS.   Errors: rule->kind as above. */
void pa_rules_follow_sig(struct pa_rules *rules, uint64_t pc, bool exact, uint8_t reg, struct pa_rule *rule);

/* Whether a pc is in a module; remembers it as the one found last. */
bool pa_rules_find_module_sig(struct pa_rules *rules, uint64_t pc);

#endif
