/* The rule cache and the way to the modules' tables. World: signal. */
#include "agent/rules_sig.h"

#include "agent/hot.h"

#include <string.h>

#include "agent/arch/rule.h"
#include "agent/cfi_sig.h"

/* 512 KiB of zeroes: pages that no pc falls on are never touched. */
_Atomic uint64_t pa_rules_table[PA_RULES_WORDS];
_Atomic uint64_t pa_rules_small[1u << PA_RULES_SMALL_BITS];
_Atomic uint64_t pa_rules_large[1u << PA_RULES_LARGE_BITS];
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
	clear_words(pa_rules_small, 1u << PA_RULES_SMALL_BITS);
	clear_words(pa_rules_large, 1u << PA_RULES_LARGE_BITS);
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

/* A table of blocks, and how many on either side of a pc get their rule at once. */
struct blocks {
	_Atomic uint64_t *words;
	uint8_t shift;
	uint8_t bits;
	uint8_t about;
};

/* Stores the rule for the blocks about lookup that lie in its range altogether. Returns whether lookup's own does. */
static bool store_blocks(const struct pa_rules *rules, const struct blocks *b, uint64_t lookup, uint32_t bits)
{
	uint64_t own = lookup >> b->shift, last = (UINT64_C(1) << b->bits) - 1;
	uint64_t lo = (rules->range[0] + (UINT64_C(1) << b->shift) - 1) >> b->shift, hi = rules->range[1] >> b->shift;

	if (lo < own - b->about)
		lo = own - b->about;
	if (hi > own + b->about)
		hi = own + b->about;
	for (uint64_t i = lo; i < hi; i++)
		pa_store_relaxed(
		    &b->words[i & last],
		    pa_rules_block_key(i << b->shift, b->shift, b->bits, rules->generation) << PA_RULES_BITS | bits);
	pa_fence();
	for (uint64_t i = lo; i < hi && pa_rules_generation_sig() != rules->generation; i++)
		pa_store_relaxed(&b->words[i & last], 0); /* as in store() */
	return own >= lo && own < hi;
}

bool pa_rules_cached_large_sig(uint64_t lookup, uint64_t generation, uint32_t *bits)
{
	_Atomic uint64_t *small = &pa_rules_small[lookup >> PA_RULES_SMALL_SHIFT & ((1u << PA_RULES_SMALL_BITS) - 1)];

	if (!pa_rules_block_cached_sig(pa_rules_large, lookup, PA_RULES_LARGE_SHIFT, PA_RULES_LARGE_BITS, generation,
				       bits))
		return false;
	pa_store_relaxed(small, pa_rules_block_key(lookup, PA_RULES_SMALL_SHIFT, PA_RULES_SMALL_BITS, generation)
					<< PA_RULES_BITS |
				    *bits);
	pa_fence();
	if (pa_rules_generation_sig() != generation)
		pa_store_relaxed(small, 0); /* as in store() */
	return true;
}

static void store_all(const struct pa_rules *rules, uint64_t lookup, const struct pa_rule *rule, uint32_t bits)
{
	static const struct blocks small = {pa_rules_small, PA_RULES_SMALL_SHIFT, PA_RULES_SMALL_BITS, 8};
	static const struct blocks large = {pa_rules_large, PA_RULES_LARGE_SHIFT, PA_RULES_LARGE_BITS, 16};
	bool known = false;

	if (rule->kind <= PA_RULE_FP) {
		known = store_blocks(rules, &small, lookup, bits);
		known |= store_blocks(rules, &large, lookup, bits);
	}
	if (!known)
		store(rules, lookup, bits);
}

/* By stretches of 16 KiB of code: the index in its module's search table where a pc of it was found last. */
#define HINT_SHIFT 14

_Atomic uint32_t pa_rules_hints[PA_RULES_HINTS];

#define REACH (UINT64_C(1) << 31) /* of the signed offsets in the tables */

/* The rule of a pc in the module found last. A module whose segments lie apart is known by one segment only, and its
 * tables lie elsewhere. Inline: one stack frame less. */
static inline __attribute__((always_inline)) void read_tables(struct pa_rules *rules, uint64_t pc, bool exact,
							      uint8_t follow, struct pa_rule *rule)
{
	struct pa_cfi_image image = {
	    .lo = (const uint8_t *)(uintptr_t)rules->start,
	    .hi = (const uint8_t *)(uintptr_t)rules->end,
	    .hdr = rules->hdr,
	    .readable = readable,
	    .ctx = &rules->pages,
	    .follow = follow,
	    .hint = &pa_rules_hints[pc >> HINT_SHIFT & (PA_RULES_HINTS - 1)],
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

/* By the module that covers pc, as far as it can tell. False: there is none. */
static bool ask_module(struct pa_rules *rules, uint64_t pc, bool exact, uint8_t follow, struct pa_rule *rule)
{
	*rule = (struct pa_rule){.kind = PA_RULE_NO_MODULE};
	if (!pa_rules_find_module_sig(rules, pc - !exact))
		return false;
	if (pa_probe_is_quiet_sig())
		rule->kind = PA_RULE_QUIET;
	else if (!rules->hdr)
		rule->kind = PA_RULE_NO_CFI;
	else
		read_tables(rules, pc, exact, follow, rule);
	return true;
}

void pa_rules_work_out_sig(struct pa_rules *rules, uint64_t pc, bool exact, struct pa_rule *rule)
{
	uint64_t lookup = pc - !exact;
	uint32_t bits;

	rules->range[0] = rules->range[1] = 0;
	if (!ask_module(rules, pc, exact, 0, rule))
		return;
	/* a module that found no place in the list is announced by a later walk, which must come this way again */
	if (rule->kind <= PA_RULE_ROW && rules->listed && pa_arch_rule_pack(rule, &bits))
		store_all(rules, lookup, rule, bits);
}

void pa_rules_follow_sig(struct pa_rules *rules, uint64_t pc, bool exact, uint8_t reg, struct pa_rule *rule)
{
	ask_module(rules, pc, exact, reg + 1, rule);
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
