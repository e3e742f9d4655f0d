/* Finding and decoding the one frame description entry that covers a pc. World: signal. */
#include "agent/cfi_sig.h"

#include "agent/arch/arch.h"
#include "agent/cursor_sig.h"
#include "common/atomics.h"

#define PE_OMIT     0xff
#define PE_FORMAT   0x0f
#define PE_RELATIVE 0x70
#define PE_PCREL    0x10
#define PE_INDIRECT 0x80
#define PAIR_BYTES  8
#define PE_TABLE    0x3b /* datarel | sdata4: what every linker writes, and all a binary search can use */

/* An entry longer than this is taken for damage: it bounds the work in a handler. */
#define ENTRY_MAX (256u << 10)

static bool readable(const struct pa_cfi_image *image, const void *at, size_t len)
{
	return !image->readable || image->readable(image->ctx, at, len);
}

/* Bytes of an encoded pointer; 0: a variable length or an unknown one. */
static size_t encoded_size(uint8_t encoding)
{
	switch (encoding & PE_FORMAT) {
	case 0x02:
	case 0x0a:
		return 2;
	case 0x03:
	case 0x0b:
		return 4;
	case 0x00:
	case 0x04:
	case 0x0c:
		return 8;
	default:
		return 0;
	}
}

/* Reads an address in one of the encodings FDEs use; marks the cursor for any other. */
static uint64_t encoded(struct pa_cursor *c, uint8_t encoding)
{
	uint64_t base = 0;
	size_t size = encoded_size(encoding);

	if ((encoding & PE_RELATIVE) == PE_PCREL)
		base = (uint64_t)(uintptr_t)c->at;
	else if (encoding & (PE_RELATIVE | PE_INDIRECT))
		c->bad = true;
	if (!size || (encoding & PE_INDIRECT)) {
		c->bad = true;
		return 0;
	}
	return base + (uint64_t)(encoding & 0x08 ? pa_cursor_s(c, size) : (int64_t)pa_cursor_u(c, size));
}

/* The search table: pairs of a function's start and its FDE, both relative to the header. */
struct table {
	const uint8_t *at;
	uint64_t nr;
	int64_t pc; /* relative, too */
};

static bool starts_behind(const struct table *t, uint64_t i)
{
	int32_t start;

	__builtin_memcpy(&start, t->at + i * PAIR_BYTES, sizeof(start));
	return start > t->pc;
}

/* Narrows low..high about an index where a pc nearby was found, in growing steps: a few lines of one page, where
 * halving the whole table of a large module touches a page at nearly every step. */
static void narrow(const struct table *t, uint64_t from, uint64_t *low, uint64_t *high)
{
	uint64_t step = 4;

	if (from >= t->nr)
		return;
	if (starts_behind(t, from)) {
		*high = from;
		for (; *high - *low > step && starts_behind(t, *high - step); step *= 2)
			*high -= step;
		if (*high - *low > step)
			*low = *high - step + 1;
	} else {
		*low = from + 1;
		for (; *high - *low > step && !starts_behind(t, *low + step); step *= 2)
			*low += step + 1;
		if (*high - *low > step)
			*high = *low + step;
	}
}

/* The first entry that starts behind pc. */
static uint64_t first_behind(const struct table *t, _Atomic uint32_t *hint)
{
	uint64_t low = 0, high = t->nr;

	if (hint)
		narrow(t, pa_load_relaxed(hint), &low, &high);
	while (low < high) {
		uint64_t mid = low + (high - low) / 2;

		if (starts_behind(t, mid))
			high = mid;
		else
			low = mid + 1;
	}
	if (hint && low)
		pa_store_relaxed(hint, (uint32_t)(low - 1));
	return low;
}

/* The FDE that the sorted table names for a pc; NULL: none, or a table of another form. */
static const uint8_t *search(const struct pa_cfi_image *image, uint64_t pc)
{
	struct pa_cursor c = {.at = image->hdr, .end = image->hi};
	uint64_t base = (uint64_t)(uintptr_t)image->hdr;
	uint8_t version = (uint8_t)pa_cursor_u(&c, 1);
	uint8_t frame_enc = (uint8_t)pa_cursor_u(&c, 1);
	uint8_t count_enc = (uint8_t)pa_cursor_u(&c, 1);
	uint8_t table_enc = (uint8_t)pa_cursor_u(&c, 1);
	struct table t = {.pc = (int64_t)(pc - base)};
	uint64_t i, offset;
	int32_t fde;

	if (c.bad || version != 1 || table_enc != PE_TABLE || count_enc & ~PE_FORMAT || !encoded_size(count_enc))
		return NULL;
	if (frame_enc != PE_OMIT) {
		if (!encoded_size(frame_enc))
			return NULL;
		pa_cursor_skip(&c, encoded_size(frame_enc));
	}
	t.nr = pa_cursor_u(&c, encoded_size(count_enc));
	t.at = c.at;
	if (c.bad || !t.nr || t.nr > pa_cursor_left(&c) / PAIR_BYTES)
		return NULL;
	if (image->guessed && !readable(image, t.at + (t.nr - 1) * PAIR_BYTES, PAIR_BYTES))
		return NULL;
	i = first_behind(&t, image->hint);
	if (!i)
		return NULL;
	__builtin_memcpy(&fde, t.at + (i - 1) * PAIR_BYTES + sizeof(fde), sizeof(fde));
	offset = base + (uint64_t)(int64_t)fde - (uint64_t)(uintptr_t)image->lo;
	if (offset >= (uint64_t)(image->hi - image->lo))
		return NULL;
	return image->lo + offset;
}

/* Opens the entry at `at`: a cursor over what follows its length word. Returns 0, or the rule kind that says why not.
 */
static int open_entry(const struct pa_cfi_image *image, const uint8_t *at, struct pa_cursor *c)
{
	uint64_t len;

	*c = (struct pa_cursor){.at = at, .end = image->hi};
	if (pa_cursor_left(c) < 8)
		return PA_RULE_ROW;
	if (!readable(image, at, 8))
		return PA_RULE_MEMORY;
	len = pa_cursor_u(c, 4);
	if (len < 4 || len > ENTRY_MAX || len > pa_cursor_left(c)) /* the 64-bit form is among these */
		return PA_RULE_ROW;
	if (!readable(image, at, 4 + len))
		return PA_RULE_MEMORY;
	c->end = c->at + len;
	return 0;
}

/* The letters behind the z of an augmentation string, against the data they announce. */
static bool read_augmentation(struct pa_cursor *letters, struct pa_cursor *data, struct pa_cfi_entry *e)
{
	for (;;) {
		switch (pa_cursor_u(letters, 1)) {
		case 0:
			return !letters->bad && !data->bad;
		case 'R':
			e->encoding = (uint8_t)pa_cursor_u(data, 1);
			break;
		case 'L':
			pa_cursor_skip(data, 1);
			break;
		case 'P': {
			size_t size = encoded_size((uint8_t)pa_cursor_u(data, 1));

			if (!size)
				return false;
			pa_cursor_skip(data, size);
			break;
		}
		case 'S':
			e->signal = true;
			break;
		case 'B': /* aarch64: signed with key B; the signature is stripped either way */
		case 'G': /* aarch64: tagged stack memory */
			break;
		default:
			return false;
		}
	}
}

static int read_cie(const struct pa_cfi_image *image, const uint8_t *at, struct pa_cfi_entry *e)
{
	struct pa_cursor c, letters, data;
	uint64_t version, ra, len, code_align;
	int64_t data_align;
	int err = open_entry(image, at, &c);

	if (err)
		return err;
	if (pa_cursor_u(&c, 4) != 0) /* the mark of a CIE */
		return PA_RULE_ROW;
	version = pa_cursor_u(&c, 1);
	letters = c;
	while (pa_cursor_u(&c, 1))
		;
	if (c.bad || (version != 1 && version != 3))
		return PA_RULE_ROW;
	code_align = pa_cursor_uleb(&c);
	data_align = pa_cursor_sleb(&c);
	e->code_align = (uint32_t)code_align;
	e->data_align = (int32_t)data_align;
	ra = version == 1 ? pa_cursor_u(&c, 1) : pa_cursor_uleb(&c);
	e->encoding = 0;
	e->signal = false;
	e->augmented = *letters.at == 'z';
	if (c.bad || ra != PA_ARCH_DWARF_RA || e->code_align != code_align || e->data_align != data_align)
		return PA_RULE_ROW;
	if (e->augmented) {
		pa_cursor_skip(&letters, 1);
		len = pa_cursor_uleb(&c);
		data = c;
		pa_cursor_skip(&c, len);
		data.end = c.at;
		if (c.bad || !read_augmentation(&letters, &data, e))
			return PA_RULE_ROW;
	} else if (*letters.at) {
		return PA_RULE_ROW;
	}
	e->cie_code = c.at;
	e->cie_end = c.end;
	return 0;
}

static int read_fde(const struct pa_cfi_image *image, const uint8_t *at, uint64_t pc, struct pa_cfi_entry *e)
{
	struct pa_cursor c;
	const uint8_t *id_at;
	uint64_t id, range;
	int err = open_entry(image, at, &c);

	if (err)
		return err;
	id_at = c.at;
	id = pa_cursor_u(&c, 4);
	if (!id || id > (uint64_t)(id_at - image->lo))
		return PA_RULE_ROW;
	err = read_cie(image, id_at - id, e);
	if (err)
		return err;
	e->pc_begin = encoded(&c, e->encoding);
	range = encoded(&c, e->encoding & PE_FORMAT);
	if (c.bad)
		return PA_RULE_ROW;
	if (pc - e->pc_begin >= range)
		return PA_RULE_NO_CFI; /* a gap between two functions */
	e->pc_end = e->pc_begin + range;
	e->fde_code = c.at;
	e->fde_end = c.end;
	return 0;
}

/* The FDE's augmentation data (the LSDA) stands before its instructions when the CIE's string begins with z. */
static bool skip_fde_augmentation(struct pa_cfi_entry *e)
{
	struct pa_cursor c = {.at = e->fde_code, .end = e->fde_end};

	if (!e->augmented)
		return true;
	pa_cursor_skip(&c, pa_cursor_uleb(&c));
	e->fde_code = c.at;
	return !c.bad;
}

/* Everything up to running the entry, out of line so that its stack is free again before that. */
static __attribute__((noinline)) int prepare(const struct pa_cfi_image *image, uint64_t lookup, struct pa_cfi_entry *e)
{
	const uint8_t *fde;
	int err;

	if (!readable(image, image->hdr, 12))
		return PA_RULE_MEMORY;
	fde = search(image, lookup);
	if (!fde)
		return PA_RULE_NO_CFI;
	err = read_fde(image, fde, lookup, e);
	return err || skip_fde_augmentation(e) ? err : PA_RULE_ROW;
}

static bool uses_expression(const struct pa_cfi_row *row)
{
	if (row->cfa_reg == PA_CFA_EXPR)
		return true;
	for (int i = 0; i < PA_CFI_COLUMNS; i++) {
		if (row->cell[i] == PA_CELL_EXPR || row->cell[i] == PA_CELL_OTHER)
			return true;
	}
	return false;
}

void pa_cfi_rule_sig(const struct pa_cfi_image *image, uint64_t pc, bool exact, struct pa_rule *rule)
{
	struct pa_cfi_entry entry;
	struct pa_cfi_row row;
	int err = prepare(image, pc - !exact, &entry);

	if (!err && !pa_cfi_run_sig(image, &entry, pc - !exact, &row))
		err = PA_RULE_ROW;
	*rule = (struct pa_rule){.kind = (uint8_t)err};
	/* an expression may use the pc: its rule is good for this one */
	if (image->range && (err || uses_expression(&row)))
		image->range[0] = image->range[1] = 0;
	if (!err)
		pa_cfi_put_sig(image, &row, entry.signal, pc, rule);
}
