/* See got.h. World: plain, on a thread of the program that was made to call. */
#include "agent/got.h"

#include <elf.h>
#include <errno.h>
#include <link.h>
#include <stddef.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>

#include "agent/arch/slots.h"
#include "agent/got_sig.h"
#include "agent/real.h"
#include "agent/sysdep.h"
#include "agent/walk_sig.h"

#define EXPORT_BUCKETS 1024 /* of a table with open addressing, at most half full */

extern const char __ehdr_start[] __attribute__((visibility("hidden")));

/* What we export and where the program's calls of that name go. */
struct export
{
	const char *name;
	uint64_t own, real;
};

/* What of a module's dynamic section matters here. */
struct dynamic {
	const ElfW(Sym) * symbols;
	const char *strings;
	const uint32_t *sysv;
	const ElfW(Rela) * tables[2]; /* of calls, and of everything */
	size_t nr[2];
};

struct work {
	struct export exports[EXPORT_BUCKETS];
	struct pa_got_table *table; /* NULL: only count */
	uint32_t room_modules, room_slots;
	struct pa_inject_order *order;
	bool begun; /* pa_got_begin_sig has let us in */
};

/* ---- modules --------------------------------------------------------------------------------------------------- */

/* The loader has relocated these pointers in most objects, and not in the vDSO. */
static const void *pointer(const struct dl_phdr_info *info, ElfW(Addr) value)
{
	return (const void *)(value < info->dlpi_addr ? value + info->dlpi_addr : value);
}

static void read_dynamic(const struct dl_phdr_info *info, struct dynamic *d)
{
	const ElfW(Dyn) *dyn = NULL;

	for (unsigned i = 0; i < info->dlpi_phnum; i++) {
		if (info->dlpi_phdr[i].p_type == PT_DYNAMIC)
			dyn = (const ElfW(Dyn) *)(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr);
	}
	for (; dyn && dyn->d_tag != DT_NULL; dyn++) {
		switch (dyn->d_tag) {
		case DT_SYMTAB:
			d->symbols = pointer(info, dyn->d_un.d_ptr);
			break;
		case DT_STRTAB:
			d->strings = pointer(info, dyn->d_un.d_ptr);
			break;
		case DT_HASH:
			d->sysv = pointer(info, dyn->d_un.d_ptr);
			break;
		case DT_JMPREL:
			d->tables[0] = pointer(info, dyn->d_un.d_ptr);
			break;
		case DT_PLTRELSZ:
			d->nr[0] = dyn->d_un.d_val / sizeof(ElfW(Rela));
			break;
		case DT_RELA:
			d->tables[1] = pointer(info, dyn->d_un.d_ptr);
			break;
		case DT_RELASZ:
			d->nr[1] = dyn->d_un.d_val / sizeof(ElfW(Rela));
			break;
		}
	}
}

static void read_only_part(const struct dl_phdr_info *info, struct pa_got_module *module)
{
	uint64_t mask = ~(uint64_t)(getauxval(AT_PAGESZ) - 1);

	for (unsigned i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *ph = &info->dlpi_phdr[i];

		if (ph->p_type != PT_GNU_RELRO)
			continue;
		/* as the loader rounds it */
		module->relro_start = (info->dlpi_addr + ph->p_vaddr) & mask;
		module->relro_end = (info->dlpi_addr + ph->p_vaddr + ph->p_memsz) & mask;
		if (module->relro_end < module->relro_start)
			module->relro_end = module->relro_start;
	}
}

/* ---- what we export -------------------------------------------------------------------------------------------- */

static struct export *find_export(struct export *exports, const char *name)
{
	uint32_t hash = 5381;

	for (const char *c = name; *c; c++)
		hash = hash * 33 + (unsigned char)*c;
	for (uint32_t i = hash;; i++) {
		struct export *e = &exports[i % EXPORT_BUCKETS];

		if (!e->name || strcmp(e->name, name) == 0)
			return e;
	}
}

static int read_exports(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct work *work = arg;
	struct dynamic d = {0};

	(void)size;
	if (info->dlpi_addr != (uintptr_t)__ehdr_start)
		return 0;
	read_dynamic(info, &d);
	if (!d.symbols || !d.strings || !d.sysv || d.sysv[1] > EXPORT_BUCKETS / 2)
		return -ENOSYS;
	for (uint32_t i = 1; i < d.sysv[1]; i++) {
		const ElfW(Sym) *sym = &d.symbols[i];
		struct export *e;

		if (sym->st_shndx == SHN_UNDEF || ELF64_ST_TYPE(sym->st_info) != STT_FUNC)
			continue;
		e = find_export(work->exports, d.strings + sym->st_name);
		*e = (struct export){d.strings + sym->st_name, info->dlpi_addr + sym->st_value, 0};
	}
	return 1;
}

/* Looked up outside of the iteration: the loader's lock is not taken twice. */
static void find_real(struct work *work)
{
	for (uint32_t i = 0; i < EXPORT_BUCKETS; i++) {
		struct export *e = &work->exports[i];

		if (e->name)
			e->real = (uint64_t)pa_real_lookup(e->name);
	}
	/* a look-up that finds something takes the loader's complaint about one that did not back */
	pa_real_lookup("malloc");
}

/* ---- slots ----------------------------------------------------------------------------------------------------- */

/* A slot that has not been bound yet leads back into its own module, where the loader is asked. A module's own
 * definition may be meant by it, which then has to be the program's as well. */
static bool leads_to(const struct dl_phdr_info *info, const struct pa_got_module *module, const ElfW(Sym) * sym,
		     uint64_t value, uint64_t real)
{
	if (value == real)
		return true;
	return value >= module->start && value < module->end &&
	       (sym->st_shndx == SHN_UNDEF || info->dlpi_addr + sym->st_value == real);
}

static void add_slot(struct work *work, struct pa_got_module *module, const struct pa_got_slot *slot)
{
	struct pa_got_table *table = work->table;

	work->order->hooked++;
	module->nr++;
	if (table && table->nr_slots < work->room_slots)
		table->slots[table->nr_slots++] = *slot;
}

static void read_slots(struct work *work, const struct dl_phdr_info *info, const struct dynamic *d,
		       struct pa_got_module *module)
{
	for (unsigned t = 0; t < 2; t++) {
		for (size_t i = 0; d->tables[t] && i < d->nr[t]; i++) {
			const ElfW(Rela) *rela = &d->tables[t][i];
			const ElfW(Sym) *sym = &d->symbols[ELF64_R_SYM(rela->r_info)];
			uint32_t type = ELF64_R_TYPE(rela->r_info);
			uint64_t at = info->dlpi_addr + rela->r_offset, value;
			const struct export *e;

			if (type != PA_ARCH_JUMP_SLOT && type != PA_ARCH_GLOB_DAT)
				continue;
			e = find_export(work->exports, d->strings + sym->st_name);
			if (!e->name || !e->real || at % sizeof(value))
				continue;
			value = *(const volatile uint64_t *)(uintptr_t)at;
			if (value == e->own)
				work->order->before++;
			else if (!leads_to(info, module, sym, value, e->real))
				work->order->foreign++;
			else
				add_slot(work, module, &(struct pa_got_slot){at, value, e->own});
		}
	}
}

/* The slots just added to the table, one by one: each is right alone. */
static void write_slots(struct work *work, struct pa_got_module *module)
{
	struct pa_got_table *table = work->table;

	module->nr = table->nr_slots - module->first;
	if (!module->nr)
		return;
	if (table->nr_modules == work->room_modules || pa_got_open_sig(module) != 0) {
		work->order->refused += module->nr;
		table->nr_slots = module->first;
		return;
	}
	for (uint32_t i = 0; i < module->nr; i++)
		pa_got_write_sig(table->slots[module->first + i].at, table->slots[module->first + i].own);
	pa_got_close_sig(module);
	table->modules[table->nr_modules++] = *module;
}

/* Ours, the loader with its own ways, and the kernel's have no slots for us. */
static bool is_exempt(const struct dl_phdr_info *info)
{
	return info->dlpi_addr == (uintptr_t)__ehdr_start || info->dlpi_addr == getauxval(AT_BASE) ||
	       info->dlpi_addr == getauxval(AT_SYSINFO_EHDR);
}

static int visit(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct work *work = arg;
	struct pa_got_module module = {0};
	struct dynamic d = {0};

	(void)size;
	if (work->table && !work->begun) {
		int error = pa_got_begin_sig();

		if (error)
			return error;
		work->begun = true;
	}
	if (is_exempt(info))
		return 0;
	read_dynamic(info, &d);
	if (!d.symbols || !d.strings || !(d.tables[0] || d.tables[1]) ||
	    !pa_walk_module_at_sig((uint64_t)d.symbols, &module.start, &module.end))
		return 0;
	read_only_part(info, &module);
	work->order->modules++;
	module.first = work->table ? work->table->nr_slots : 0;
	read_slots(work, info, &d, &module);
	if (work->table)
		write_slots(work, &module);
	return 0;
}

/* ---- the order -------------------------------------------------------------------------------------------------- */

static struct pa_got_table *make_table(struct work *work)
{
	uint32_t modules = work->order->modules + 8, slots = work->order->hooked + 64; /* some may be loaded just now */
	size_t bytes = sizeof(struct pa_got_table) + modules * sizeof(struct pa_got_module) +
		       slots * sizeof(struct pa_got_slot);
	long at = pa_sys(SYS_mmap, 0, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct pa_got_table *table = (struct pa_got_table *)at;

	if (at < 0 && at > -4096)
		return NULL;
	table->bytes = bytes;
	table->modules = (struct pa_got_module *)(table + 1);
	table->slots = (struct pa_got_slot *)(table->modules + modules);
	work->room_modules = modules;
	work->room_slots = slots;
	return table;
}

/* Counts, makes a table, and goes through all modules again. */
static int hook(struct work *work)
{
	struct pa_inject_order *order = work->order;
	struct pa_got_table *table;
	uint64_t start, end;
	int error;

	if (!pa_walk_module_at_sig((uint64_t)__ehdr_start, &start, &end))
		return -ENOSYS;
	error = dl_iterate_phdr(read_exports, work);
	if (error != 1)
		return error ? error : -ENOSYS;
	find_real(work);
	dl_iterate_phdr(visit, work);
	table = make_table(work);
	if (!table)
		return -ENOMEM;
	work->table = table;
	order->modules = order->hooked = order->before = order->foreign = 0;
	error = dl_iterate_phdr(visit, work);
	order->hooked = table->nr_slots;
	if (error || !table->nr_slots)
		pa_sys(SYS_munmap, table, table->bytes);
	else
		pa_got_keep_sig(table);
	if (work->begun)
		pa_got_end_sig();
	return error;
}

static int work_off(struct pa_inject_order *order)
{
	static struct work work; /* one thread at a time is made to call: too large for its stack */

	if (order->magic != PA_WIRE_MAGIC)
		return -EPROTO;
	if (!pa_got_is_late_sig())
		return -EALREADY;
	order->modules = order->hooked = order->before = order->foreign = order->refused = 0;
	if (order->kind == PA_INJECT_UNHOOK) {
		pa_got_unhook_sig();
		return 0;
	}
	if (order->kind != PA_INJECT_HOOK)
		return -EINVAL;
	memset(&work, 0, sizeof(work));
	work.order = order;
	return hook(&work);
}

void pa_got_enter(struct pa_inject_order *order)
{
	order->result = work_off(order);
}

/* ---- the note, see note.c --------------------------------------------------------------------------------------- */

#define TEXT(x)  TEXT1(x)
#define TEXT1(x) #x

#define ORDER_BYTES 32
#define MAJOR       1
_Static_assert(sizeof(struct pa_inject_order) == ORDER_BYTES && PA_INJECT_MAJOR == MAJOR, "the note says so");
_Static_assert(sizeof(PA_NOTE_OWNER) == 10 && PA_NOTE_INJECT == 2, "the note says so");

__asm__("	.pushsection .note.perfagent, \"a\", %note\n"
	"	.balign 4\n"
	"	.long 10, 16, 2\n"
	"	.asciz \"" PA_NOTE_OWNER "\"\n"
	"	.balign 4\n"
	"1:	.long " TEXT(MAJOR) ", " TEXT(ORDER_BYTES) "\n"
							   "	.quad pa_got_enter - 1b\n"
							   "	.popsection\n");
