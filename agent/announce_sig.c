/* MODULE records. Two tables decide whether a module is new: a small one by address that answers nearly always, emptied
 * after a dlclose, and one by identity (address, extent, build-id) that is only ever added to, so that thousands of
 * reloads of the same library make one record. Callers: cpu_sig.c. World: signal. */
#include "agent/announce_sig.h"

#include <elf.h>
#include <link.h>
#include <string.h>

#include "agent/hot.h"
#include "agent/probe_sig.h"
#include "agent/ring_sig.h"
#include "agent/slots_sig.h"

#define NR_RECENT 256
#define NR_KNOWN  4096
#define PAGE      4096u

static _Atomic uint64_t recent[NR_RECENT];
static _Atomic uint64_t known[NR_KNOWN];
static _Atomic uint32_t recheck PA_HOT;

void pa_announce_recheck_sig(void)
{
	pa_add_relaxed(&recheck, 1);
}

void pa_announce_begin_sig(void)
{
	for (uint32_t i = 0; i < NR_KNOWN; i++)
		pa_store_relaxed(&known[i], 0);
	pa_announce_recheck_sig();
}

static bool readable(uint64_t address, uint64_t bytes)
{
	struct pa_pages none = {0, 0};

	return pa_probe_range_sig(&none, address, bytes);
}

static uint64_t mix(uint64_t hash, uint64_t value)
{
	hash = (hash ^ value) * 0x9e3779b97f4a7c15u;
	return hash ^ hash >> 29;
}

static uint32_t note_build_id(const uint8_t *note, uint64_t size, uint8_t *out)
{
	while (size >= sizeof(ElfW(Nhdr))) {
		ElfW(Nhdr) head;
		uint64_t name_bytes, desc_bytes;

		memcpy(&head, note, sizeof(head));
		name_bytes = ((uint64_t)head.n_namesz + 3) & ~3ull;
		desc_bytes = ((uint64_t)head.n_descsz + 3) & ~3ull;
		if (name_bytes + desc_bytes > size - sizeof(head))
			return 0;
		if (head.n_type == NT_GNU_BUILD_ID && head.n_namesz == 4 &&
		    memcmp(note + sizeof(head), "GNU", 4) == 0 && head.n_descsz <= PA_BUILD_ID_MAX) {
			memcpy(out, note + sizeof(head) + name_bytes, head.n_descsz);
			return head.n_descsz;
		}
		note += sizeof(head) + name_bytes + desc_bytes;
		size -= sizeof(head) + name_bytes + desc_bytes;
	}
	return 0;
}

uint32_t pa_build_id_sig(uint64_t start, uint64_t end, uint8_t *out)
{
	const ElfW(Ehdr) *elf = (const ElfW(Ehdr) *)start;
	const ElfW(Phdr) * ph;
	uint64_t first = UINT64_MAX;

	if (end - start < sizeof(*elf) || !readable(start, sizeof(*elf)) ||
	    memcmp(elf->e_ident, ELFMAG, SELFMAG) != 0 || elf->e_phoff > end - start || elf->e_phnum > 64 ||
	    elf->e_phoff + elf->e_phnum * sizeof(*ph) > end - start ||
	    !readable(start + elf->e_phoff, elf->e_phnum * sizeof(*ph)))
		return 0;
	ph = (const ElfW(Phdr) *)(start + elf->e_phoff);
	for (unsigned i = 0; i < elf->e_phnum; i++) {
		if (ph[i].p_type == PT_LOAD && first == UINT64_MAX)
			first = ph[i].p_vaddr & ~(uint64_t)(PAGE - 1);
	}
	for (unsigned i = 0; i < elf->e_phnum; i++) {
		uint64_t at = start + ph[i].p_vaddr - first;
		uint32_t len;

		if (ph[i].p_type != PT_NOTE || ph[i].p_memsz > PAGE || at < start || at + ph[i].p_memsz > end ||
		    !readable(at, ph[i].p_memsz))
			continue;
		len = note_build_id((const uint8_t *)at, ph[i].p_memsz, out);
		if (len)
			return len;
	}
	return 0;
}

/* Copies the loader's name of the module, at most PA_PATH_MAX - 1 bytes, page by probed page. */
static uint32_t copy_path(const struct link_map *map, char *out)
{
	const char *name;
	uint32_t n = 0;

	if (!map || !readable((uint64_t)map, sizeof(*map)))
		return 0;
	name = map->l_name;
	if (!name)
		return 0;
	while (n < PA_PATH_MAX - 1) {
		uint64_t at = (uint64_t)name + n;

		if ((n == 0 || at % PAGE == 0) && !readable(at, 1))
			break;
		if (!name[n])
			break;
		out[n] = name[n];
		n++;
	}
	return n;
}

static bool is_new(uint64_t identity)
{
	uint32_t at = (uint32_t)(identity % NR_KNOWN);

	for (uint32_t i = 0; i < 64; i++, at = (at + 1) % NR_KNOWN) {
		uint64_t seen = pa_load_relaxed(&known[at]);

		if (seen == identity)
			return false;
		if (seen == 0 && pa_claim_u64(&known[at], 0, identity))
			return true;
	}
	return true; /* a full neighbourhood: say it again rather than not at all */
}

static void forget(uint64_t identity)
{
	uint32_t at = (uint32_t)(identity % NR_KNOWN);

	for (uint32_t i = 0; i < 64; i++, at = (at + 1) % NR_KNOWN) {
		if (pa_claim_u64(&known[at], identity, 0))
			return;
	}
}

static uint64_t module_bias(const struct pa_walk_module *module)
{
	const struct link_map *map = module->link_map;

	if (map && readable((uint64_t)map, sizeof(*map)))
		return map->l_addr;
	return module->start;
}

static void announce(struct pa_block *block, struct pa_ring *ring, const struct pa_walk_module *module,
		     uint64_t time_ns)
{
	uint8_t build_id[PA_BUILD_ID_MAX] = {0};
	uint32_t len = pa_build_id_sig(module->start, module->end, build_id);
	uint64_t identity = mix(mix(1, module->start), module->end);
	struct pa_module *record;

	for (uint32_t i = 0; i + 8 <= len; i += 8) {
		uint64_t word;

		memcpy(&word, build_id + i, 8);
		identity = mix(identity, word);
	}
	if (!is_new(identity | 1))
		return;
	record = pa_record_begin_sig(block, ring, PA_REC_MODULE, sizeof(*record) + PA_PATH_MAX, time_ns, 0);
	if (!record) {
		forget(identity | 1);
		return;
	}
	record->start = module->start;
	record->end = module->end;
	record->bias = module_bias(module);
	record->build_id_len = len;
	memcpy(record->build_id, build_id, sizeof(build_id));
	memset(record->path, 0, PA_PATH_MAX);
	record->path_len = copy_path(module->link_map, record->path);
	pa_record_end_short_sig(ring, &record->head, (uint32_t)(sizeof(*record) + ((record->path_len + 7u) & ~7u)));
}

static void announce_all(struct pa_block *block, struct pa_ring *ring, const struct pa_walk_info *info,
			 uint64_t time_ns)
{
	uint32_t epoch = pa_load_relaxed(&recheck);

	for (uint32_t i = 0; i < info->nr_modules; i++) {
		const struct pa_walk_module *module = &info->modules[i];
		uint64_t key = mix(mix(epoch + 2ull, module->start), (uint64_t)module->link_map) | 1;
		_Atomic uint64_t *cell = &recent[key >> 8 & (NR_RECENT - 1)];

		if (pa_load_relaxed(cell) == key)
			continue;
		pa_store_relaxed(cell, key);
		announce(block, ring, module, time_ns);
	}
}

void pa_announce_modules_sig(struct pa_block *block, uint64_t time_ns)
{
	announce_all(block, &block->signal_ring, &block->info, time_ns);
}

void pa_announce_walk_sig(struct pa_block *block, const struct pa_walk_info *info, uint64_t time_ns)
{
	uint32_t before;

	if (!pa_session_enter_sig(block, &before))
		return;
	announce_all(block, &block->hook_ring, info, time_ns);
	pa_session_leave_sig(block, before);
}
