/* The index: module -> units -> functions and inlined bodies -> names and lines, each level made on first use.
 * Nothing in the file is trusted: entries are walked forward only, nesting is bounded. World: plain. */
#include "collector/dwarf.h"

#include <errno.h>
#include <stdlib.h>

#include <dwarf.h>

#define DEPTH_MAX  128   /* of entries within each other; deeper ones are left out */
#define RANGES_MAX 65536 /* of one entry */
#define NO_SCOPE   UINT32_MAX

/* A function with code, or a body inlined into one. */
struct scope {
	Dwarf_Die die;
	uint32_t parent; /* the scope this one was inlined into, NO_SCOPE for a function */
	uint32_t call_line;
	const char *call_file;
	const char *name; /* NULL until it was asked for, and when there is none */
	bool named;
	bool linked; /* the name is the one the linker sees, demangled */
};

struct unit {
	Dwarf_Die die; /* of the split unit when there is one */
	bool indexed;
	struct scope *scopes;
	size_t nr;
	size_t room;
	struct pa_ranges ranges; /* ids index scopes */
};

struct pa_dwarf {
	struct pa_names *names;
	const struct pa_ranges *code; /* only while the units are listed */
	struct unit *units;
	size_t nr;
	size_t room;
	struct pa_ranges ranges; /* ids index units */
};

/* ---- units ------------------------------------------------------------------------------------------------------ */

/* Adds the code ranges of an entry that begin in executable memory. Returns whether there were any. */
static bool add_ranges(struct pa_ranges *out, Dwarf_Die *die, const struct pa_ranges *code, uint32_t id, uint32_t rank)
{
	Dwarf_Addr base = 0, lo = 0, hi = 0;
	ptrdiff_t at = 0;
	size_t before = out->nr;

	for (size_t i = 0; i < RANGES_MAX && (at = dwarf_ranges(die, at, &base, &lo, &hi)) > 0; i++) {
		if (code && pa_ranges_find(code, lo) == PA_RANGE_NONE)
			continue;
		if (pa_ranges_add(out, (struct pa_range){lo, hi, id, rank}))
			break;
	}
	return out->nr > before;
}

static int add_unit(struct pa_dwarf *d, Dwarf_Die *die, Dwarf_Die *ranges_from)
{
	if (d->nr == d->room) {
		size_t room = d->room ? d->room * 2 : 64;
		struct unit *grown = reallocarray(d->units, room, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		d->units = grown;
		d->room = room;
	}
	if (add_ranges(&d->ranges, ranges_from, d->code, (uint32_t)d->nr, 0))
		d->units[d->nr++] = (struct unit){.die = *die};
	return 0;
}

static int list_units(struct pa_dwarf *d, Dwarf *dwarf)
{
	Dwarf_CU *cu = NULL;
	Dwarf_Die die, sub;
	uint8_t type = 0;
	int error = 0;

	while (!error && dwarf_get_units(dwarf, cu, &cu, NULL, &type, &die, &sub) == 0) {
		if (type == DW_UT_skeleton && dwarf_tag(&sub) != DW_TAG_invalid)
			error = add_unit(d, &sub, &die);
		else if (type == DW_UT_compile || type == DW_UT_skeleton)
			error = add_unit(d, &die, &die);
	}
	return error ? error : pa_ranges_flatten(&d->ranges);
}

struct pa_dwarf *pa_dwarf_new(Dwarf *dwarf, struct pa_names *names, const struct pa_ranges *code)
{
	struct pa_dwarf *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	d->names = names;
	d->code = code;
	if (list_units(d, dwarf)) {
		pa_dwarf_free(d);
		return NULL;
	}
	d->code = NULL;
	return d;
}

void pa_dwarf_free(struct pa_dwarf *d)
{
	if (!d)
		return;
	for (size_t i = 0; i < d->nr; i++) {
		pa_ranges_fini(&d->units[i].ranges);
		free(d->units[i].scopes);
	}
	free(d->units);
	pa_ranges_fini(&d->ranges);
	free(d);
}

bool pa_dwarf_covers_code(const struct pa_dwarf *d)
{
	return d->ranges.nr > 0;
}

/* ---- scopes of a unit ------------------------------------------------------------------------------------------- */

/* Where in the walk: the list of children being read, and the scope around it. */
struct level {
	Dwarf_Die die;
	uint32_t scope;
};

static bool may_hold_code(int tag)
{
	switch (tag) {
	case DW_TAG_subprogram:
	case DW_TAG_inlined_subroutine:
	case DW_TAG_lexical_block:
	case DW_TAG_try_block:
	case DW_TAG_catch_block:
	case DW_TAG_with_stmt:
	case DW_TAG_namespace:
	case DW_TAG_module:
	case DW_TAG_class_type:
	case DW_TAG_structure_type:
	case DW_TAG_union_type:
	case DW_TAG_interface_type:
	case DW_TAG_enumeration_type: /* Rust puts the methods of an enum into it */
	case DW_TAG_variant_part:
	case DW_TAG_entry_point:
		return true;
	default:
		return false;
	}
}

/* Adds die as a scope when it has code; *index is then its index, else around. Errors: 0 or -ENOMEM. */
static int add_scope(struct unit *u, Dwarf_Die *die, int tag, uint32_t around, uint32_t depth, uint32_t *index)
{
	*index = around;
	if (tag != DW_TAG_subprogram && tag != DW_TAG_inlined_subroutine)
		return 0;
	if (u->nr == u->room) {
		size_t room = u->room ? u->room * 2 : 64;
		struct scope *grown = reallocarray(u->scopes, room, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		u->scopes = grown;
		u->room = room;
	}
	if (!add_ranges(&u->ranges, die, NULL, (uint32_t)u->nr, depth))
		return 0;
	u->scopes[u->nr] = (struct scope){.die = *die, .parent = tag == DW_TAG_subprogram ? NO_SCOPE : around};
	*index = (uint32_t)u->nr++;
	return 0;
}

/* The next entry of the same list, if it really comes later: a forged sibling reference must not make a circle. */
static bool next_sibling(Dwarf_Die *die)
{
	Dwarf_Die next;

	if (dwarf_siblingof(die, &next) != 0 || (uintptr_t)next.addr <= (uintptr_t)die->addr)
		return false;
	*die = next;
	return true;
}

static bool first_child(Dwarf_Die *die, Dwarf_Die *child)
{
	return dwarf_haschildren(die) > 0 && dwarf_child(die, child) == 0 &&
	       (uintptr_t)child->addr > (uintptr_t)die->addr;
}

/* The pattern of an inlined function, whose entries have no code anywhere below. */
static bool is_abstract(Dwarf_Die *die, int tag, bool no_code)
{
	return no_code && tag == DW_TAG_subprogram && dwarf_hasattr(die, DW_AT_inline);
}

static int walk_unit(struct unit *u)
{
	struct level stack[DEPTH_MAX];
	size_t depth = 0;

	stack[0].scope = NO_SCOPE;
	if (!first_child(&u->die, &stack[0].die))
		return 0;
	for (;;) {
		struct level *here = &stack[depth];
		int tag = dwarf_tag(&here->die);
		uint32_t scope = here->scope;
		int error = 0;

		if (may_hold_code(tag)) {
			error = add_scope(u, &here->die, tag, here->scope, (uint32_t)depth, &scope);
			if (error)
				return error;
			if (depth + 1 < DEPTH_MAX && !is_abstract(&here->die, tag, scope == here->scope) &&
			    first_child(&here->die, &stack[depth + 1].die)) {
				stack[++depth].scope = scope;
				continue;
			}
		}
		while (!next_sibling(&stack[depth].die)) {
			if (depth-- == 0)
				return 0;
		}
	}
}

static int index_unit(struct unit *u)
{
	int error = walk_unit(u);

	u->indexed = true;
	if (!error)
		error = pa_ranges_flatten(&u->ranges);
	if (error) {
		pa_ranges_fini(&u->ranges);
		u->nr = 0;
	}
	return error;
}

/* ---- names and lines -------------------------------------------------------------------------------------------- */

static const char *string_attr(Dwarf_Die *die, unsigned name)
{
	Dwarf_Attribute attr;

	return dwarf_attr_integrate(die, name, &attr) ? dwarf_formstring(&attr) : NULL;
}

static const char *linkage_name(Dwarf_Die *die)
{
	const char *name = string_attr(die, DW_AT_linkage_name);

	return name ? name : string_attr(die, DW_AT_MIPS_linkage_name);
}

static uint32_t number_attr(Dwarf_Die *die, unsigned name)
{
	Dwarf_Attribute attr;
	Dwarf_Word value = 0;

	if (!dwarf_attr(die, name, &attr) || dwarf_formudata(&attr, &value))
		return 0;
	return value <= UINT32_MAX ? (uint32_t)value : 0;
}

static const char *call_file(struct pa_dwarf *d, struct unit *u, Dwarf_Die *die)
{
	uint32_t index = number_attr(die, DW_AT_call_file);
	Dwarf_Files *files;
	size_t nr;
	const char *raw;

	if (dwarf_getsrcfiles(&u->die, &files, &nr) || index >= nr)
		return NULL;
	raw = dwarf_filesrc(files, index, NULL, NULL);
	return raw ? pa_names_get(d->names, raw, false) : NULL;
}

static void name_scope(struct pa_dwarf *d, struct unit *u, struct scope *s)
{
	const char *raw = linkage_name(&s->die);

	s->named = true;
	s->linked = raw != NULL;
	if (!raw)
		raw = string_attr(&s->die, DW_AT_name);
	if (raw && raw[0])
		s->name = pa_names_get(d->names, raw, true);
	if (s->parent != NO_SCOPE) {
		s->call_line = number_attr(&s->die, DW_AT_call_line);
		s->call_file = call_file(d, u, &s->die);
	}
}

static void find_line(struct pa_dwarf *d, struct unit *u, uint64_t address, struct pa_symbol *out)
{
	Dwarf_Line *line = dwarf_getsrc_die(&u->die, address);
	const char *raw = line ? dwarf_linesrc(line, NULL, NULL) : NULL;
	int number = 0;

	out->file = raw ? pa_names_get(d->names, raw, false) : NULL;
	out->line = out->file && dwarf_lineno(line, &number) == 0 && number > 0 ? (uint32_t)number : 0;
}

/* The levels of a scope and those around it. One frame too many for out leaves out frames in the middle: the outermost
 * function is always there. */
static size_t list_levels(struct pa_dwarf *d, struct unit *u, uint32_t id, const char *outermost, struct pa_symbol *out,
			  size_t max)
{
	size_t nr = 0;

	while (id != NO_SCOPE) {
		struct scope *s = &u->scopes[id];
		size_t slot = nr < max ? nr : max - 1;

		if (!s->named)
			name_scope(d, u, s);
		if (s->parent == NO_SCOPE && outermost && !s->linked)
			out[slot].function = outermost;
		else
			out[slot].function = s->name ? s->name : "??";
		if (nr < max)
			nr++;
		if (nr < max && s->parent != NO_SCOPE) {
			out[nr].file = s->call_file;
			out[nr].line = s->call_line;
		} else if (s->parent != NO_SCOPE) {
			out[max - 1].file = s->call_file;
			out[max - 1].line = s->call_line;
		}
		id = s->parent;
	}
	return nr;
}

size_t pa_dwarf_find(struct pa_dwarf *d, uint64_t address, const char *outermost, struct pa_symbol *out, size_t max)
{
	uint32_t id = pa_ranges_find(&d->ranges, address);
	struct unit *u = id == PA_RANGE_NONE ? NULL : &d->units[id];

	if (!u || !max)
		return 0;
	if (!u->indexed && index_unit(u))
		return 0;
	id = pa_ranges_find(&u->ranges, address);
	if (id == PA_RANGE_NONE && !outermost)
		return 0;
	find_line(d, u, address, &out[0]);
	if (id != PA_RANGE_NONE)
		return list_levels(d, u, id, outermost, out, max);
	out[0].function = outermost;
	return 1;
}
