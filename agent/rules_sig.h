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

/* Rules that hold for a whole block of code, most of every function: a pc that was never seen is known by its block,
 * small ones of 32 bytes asked first, large ones of 256 last: most pages a tick touches are cold. The same words, with
 * the block's number. Source: sizes by simulation over the look-ups of clang compiling C++ and of python3: 3.9 and 0.44
 * misses a tick with small blocks only, 2.7 and 0.38 with both, 2.3 and 0.31 were no row ever forgotten. */
#define PA_RULES_SMALL_SHIFT 5
#define PA_RULES_SMALL_BITS  14
#define PA_RULES_LARGE_SHIFT 8
#define PA_RULES_LARGE_BITS  13

extern _Atomic uint64_t pa_rules_small[1u << PA_RULES_SMALL_BITS];
extern _Atomic uint64_t pa_rules_large[1u << PA_RULES_LARGE_BITS];
extern _Atomic uint64_t pa_rules_table[PA_RULES_WORDS];
extern _Atomic uint32_t pa_rules_flushes;

/* Where searches of the modules' tables begin. Only hints: any value is right. */
#define PA_RULES_HINTS 8192u
extern _Atomic uint32_t pa_rules_hints[PA_RULES_HINTS];

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

/* What a word of a table of blocks has above the rule. Index and shift take at least 19 of 48 bits: the rest fits
 * beside the generation. */
static inline uint64_t pa_rules_block_key(uint64_t lookup, unsigned shift, unsigned bits, uint64_t generation)
{
	return generation << 31 | lookup >> (shift + bits);
}

static inline bool pa_rules_block_cached_sig(_Atomic uint64_t *table, uint64_t lookup, unsigned shift, unsigned bits,
					     uint64_t generation, uint32_t *rule)
{
	uint64_t word = pa_load_relaxed(&table[lookup >> shift & ((1u << bits) - 1)]);

	*rule = (uint32_t)word & ((1u << PA_RULES_BITS) - 1);
	return word >> PA_RULES_BITS == pa_rules_block_key(lookup, shift, bits, generation);
}

/* Asks the large blocks, and lets the small one know. */
bool pa_rules_cached_large_sig(uint64_t lookup, uint64_t generation, uint32_t *bits);

/* The cached rule of a lookup pc, packed; false: not there. */
static inline bool pa_rules_cached_sig(uint64_t lookup, uint64_t generation, uint32_t *bits)
{
	uint64_t word;

	if (pa_rules_block_cached_sig(pa_rules_small, lookup, PA_RULES_SMALL_SHIFT, PA_RULES_SMALL_BITS, generation,
				      bits))
		return true;
	word = pa_load_relaxed(&pa_rules_table[pa_rules_index(lookup)]);
	*bits = (uint32_t)word & ((1u << PA_RULES_BITS) - 1);
	return word >> PA_RULES_BITS == pa_rules_key(lookup, generation) ||
	       pa_rules_cached_large_sig(lookup, generation, bits);
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
