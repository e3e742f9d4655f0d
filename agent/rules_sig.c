/* The rule cache and the way to the modules' tables. World: signal. */
#include "agent/rules_sig.h"

#include "agent/hot.h"

#include <string.h>

#include "agent/arch/rule.h"
#include "agent/cfi_sig.h"

/* 512 KiB of zeroes: pages that no pc falls on are never touched. */
_Atomic uint64_t pa_rules_table[PA_RULES_WORDS];
_Atomic uint64_t pa_rules_blocks[PA_RULES_BLOCKS];
_Atomic uint32_t pa_rules_flushes PA_HOT;

static int (*find_object)(void *address, struct pa_find_object *result) PA_HOT;

void pa_rules_set_finder(int (*finder)(void *address, struct pa_find_object *result))
{
	find_object = finder;
}

static void clear_words(_Atomic uint64_t *words, unsigned nr)
{
	for (unsigned i = 0; i < nr; i++)
		if (pa_load_relaxed(&words[i]))
			pa_store_relaxed(&words[i], 0);
}

static void clear_table(void)
{
	clear_words(pa_rules_table, PA_RULES_WORDS);
	clear_words(pa_rules_blocks, PA_RULES_BLOCKS);
}

/* Generations come round after 255 flushes. Words of the one that is about to start anew go before it starts; words a
 * walk stored in between carry the one before, and go right after. */
void pa_walk_flush_sig(void)
{
	bool wraps = (pa_load_relaxed(&pa_rules_flushes) + 1) % 255 == 0;

	if (wraps)
		clear_table();
	pa_fetch_add_relaxed(&pa_rules_flushes, 1);
	if (wraps)
		clear_table();
}

/* Into the list of modules this walk met. Returns false when the list is full. */
static bool list_module(struct pa_walk_info *info, const struct pa_find_object *found)
{
	struct pa_walk_module *m = info->modules;
	struct pa_walk_module *end = m + info->nr_modules;

	for (; m < end; m++)
		if (m->start == (uint64_t)(uintptr_t)found->map_start && m->link_map == found->link_map)
			return true;
	if (info->nr_modules == PA_WALK_MODULES)
		return false;
	m->start = (uint64_t)(uintptr_t)found->map_start;
	m->end = (uint64_t)(uintptr_t)found->map_end;
	m->link_map = found->link_map;
	info->nr_modules++;
	return true;
}

bool pa_rules_find_module_sig(struct pa_rules *rules, uint64_t pc)
{
	struct pa_find_object found;

	if (pc - rules->start < rules->end - rules->start)
		return true;
	/* the loader's tables are stable memory, and looking takes no lock: made for unwinders in handlers */
	if (!find_object || find_object((void *)(uintptr_t)pc, &found) != 0)
		return false;
	rules->start = (uint64_t)(uintptr_t)found.map_start;
	rules->end = (uint64_t)(uintptr_t)found.map_end;
	rules->hdr = found.eh_frame;
	rules->listed = list_module(rules->info, &found);
	return pc - rules->start < rules->end - rules->start;
}

static bool readable(void *ctx, const void *at, size_t len)
{
	return pa_probe_range_sig(ctx, (uint64_t)(uintptr_t)at, len);
}

/* A flush between the lookup and the store may have swept the table already: then the word is taken back, because its
 * generation will come again. */
static void store(const struct pa_rules *rules, uint64_t lookup, uint32_t bits)
{
	_Atomic uint64_t *word = &pa_rules_table[pa_rules_index(lookup)];

	(void)pa_exchange(word, pa_rules_key(lookup, rules->generation) << PA_RULES_BITS | bits);
	if (pa_rules_generation_sig() != rules->generation)
		pa_store_relaxed(word, 0);
}

#define BLOCK	     (UINT64_C(1) << PA_RULES_BLOCK_SHIFT)
#define BLOCKS_ABOUT 16 /* on either side of the pc: half a KiB of a function at once */

/* Stores the rule for the blocks about lookup that lie in its range altogether. Returns whether lookup's own does. */
static bool store_blocks(const struct pa_rules *rules, uint64_t lookup, uint32_t bits)
{
	uint64_t own = lookup & ~(BLOCK - 1), lo = (rules->range[0] + BLOCK - 1) & ~(BLOCK - 1);
	uint64_t hi = rules->range[1] & ~(BLOCK - 1);

	if (lo < own - BLOCKS_ABOUT * BLOCK)
		lo = own - BLOCKS_ABOUT * BLOCK;
	if (hi > own + BLOCKS_ABOUT * BLOCK)
		hi = own + BLOCKS_ABOUT * BLOCK;
	for (uint64_t at = lo; at < hi; at += BLOCK)
		pa_store_relaxed(&pa_rules_blocks[pa_rules_block_index(at)],
				 pa_rules_block_key(at, rules->generation) << PA_RULES_BITS | bits);
	pa_fence();
	for (uint64_t at = lo; at < hi && pa_rules_generation_sig() != rules->generation; at += BLOCK)
		pa_store_relaxed(&pa_rules_blocks[pa_rules_block_index(at)], 0); /* as in store() */
	return own >= lo && own < hi;
}

#define REACH (UINT64_C(1) << 31) /* of the signed offsets in the tables */

/* The rule of a pc in the module found last. A module whose segments lie apart is known by one segment only, and its
 * tables lie elsewhere. */
static void read_tables(struct pa_rules *rules, uint64_t pc, bool exact, uint8_t follow, struct pa_rule *rule)
{
	struct pa_cfi_image image = {
	    .lo = (const uint8_t *)(uintptr_t)rules->start,
	    .hi = (const uint8_t *)(uintptr_t)rules->end,
	    .hdr = rules->hdr,
	    .readable = readable,
	    .ctx = &rules->pages,
	    .follow = follow,
	    .range = rules->range,
	};
	uint64_t hdr = (uint64_t)(uintptr_t)rules->hdr;

	if (image.hdr < image.lo || image.hdr >= image.hi) {
		image.lo = (const uint8_t *)(uintptr_t)(hdr > REACH + PA_RULES_PC_MIN ? hdr - REACH : PA_RULES_PC_MIN);
		image.hi = (const uint8_t *)(uintptr_t)(hdr + REACH - 1);
		image.guessed = true;
	}
	pa_cfi_rule_sig(&image, pc, exact, rule);
}

void pa_rules_work_out_sig(struct pa_rules *rules, uint64_t pc, bool exact, struct pa_rule *rule)
{
	uint64_t lookup = pc - !exact;
	uint32_t bits;

	*rule = (struct pa_rule){.kind = PA_RULE_NO_MODULE};
	rules->range[0] = rules->range[1] = 0;
	if (!pa_rules_find_module_sig(rules, lookup))
		return;
	if (pa_probe_is_quiet_sig())
		rule->kind = PA_RULE_QUIET;
	else if (!rules->hdr)
		rule->kind = PA_RULE_NO_CFI;
	else
		read_tables(rules, pc, exact, 0, rule);
	/* a module that found no place in the list is announced by a later walk, which must come this way again */
	if (rule->kind <= PA_RULE_ROW && rules->listed && pa_arch_rule_pack(rule, &bits) &&
	    !(rule->kind <= PA_RULE_FP && store_blocks(rules, lookup, bits)))
		store(rules, lookup, bits);
}

void pa_rules_follow_sig(struct pa_rules *rules, uint64_t pc, bool exact, uint8_t reg, struct pa_rule *rule)
{
	*rule = (struct pa_rule){.kind = PA_RULE_NO_MODULE};
	if (!pa_rules_find_module_sig(rules, pc - !exact))
		return;
	if (pa_probe_is_quiet_sig())
		rule->kind = PA_RULE_QUIET;
	else if (!rules->hdr)
		rule->kind = PA_RULE_NO_CFI;
	else
		read_tables(rules, pc, exact, reg + 1, rule);
}

bool pa_walk_module_at_sig(uint64_t address, uint64_t *start, uint64_t *end)
{
	struct pa_find_object found;

	if (!find_object || find_object((void *)(uintptr_t)address, &found) != 0)
		return false;
	*start = (uint64_t)(uintptr_t)found.map_start;
	*end = (uint64_t)(uintptr_t)found.map_end;
	return true;
}
