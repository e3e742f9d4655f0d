/* libunwind's remote interface over slices, files and the memory of other processes. World: plain.
 * Source: libunwind-dynamic(3), unw_create_addr_space(3). */
#include "collector/unwind.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include <libunwind.h>

#include "collector/unwind_file.h"

#define PAGE_BYTES    4096u
#define READS_MAX     65536u /* of one step: CFI may hold expressions that loop */
#define NO_MODULE_KEY UINT64_MAX
#define MADE_TABLE    (UINT64_C(1) << 62) /* an address that no process has: the table we made ourselves */

/* Exported by libunwind for this purpose, but in none of its headers. */
extern int UNW_OBJ(dwarf_search_unwind_table)(unw_addr_space_t as, unw_word_t ip, unw_dyn_info_t *di,
					      unw_proc_info_t *pi, int need_unwind_info, void *arg);

struct pa_unwinder {
	struct pa_unwind_files *files;
	unw_addr_space_t space;
	uint64_t generation;

	/* of the call in progress */
	const struct pa_unwind_source *source;
	const uint64_t *regs;
	uint32_t nr_regs;
	const uint8_t *stack;
	uint64_t stack_start;
	uint64_t stack_len;
	struct pa_unwind_module module; /* the one found last; start == end: none */
	struct pa_unwind_table table;   /* the one that is being searched */
	unsigned reads;                 /* in this step */
	bool failed;                    /* a read, in this step */
	bool guessed;                   /* no unwind information: libunwind follows frame pointers */
	uint64_t page;                  /* address of page_bytes; 0: none */
	uint8_t page_bytes[PAGE_BYTES];
};

static bool find_module(struct pa_unwinder *u, uint64_t pc)
{
	if (pc >= u->module.start && pc < u->module.end)
		return true;
	if (u->source->find(u->source->arg, pc, &u->module) && pc >= u->module.start && pc < u->module.end)
		return true;
	u->module = (struct pa_unwind_module){0};
	return false;
}

static int read_file(struct pa_unwinder *u, uint64_t address, void *out, size_t len)
{
	struct pa_unwind_file *file = find_module(u, address) ? pa_unwind_files_get(u->files, &u->module) : NULL;

	return file ? pa_unwind_file_read(u->files, file, address - u->module.bias, out, len) : -EFAULT;
}

/* A word of the process's memory, by pages: a walk reads many neighbours. */
static int read_process(struct pa_unwinder *u, uint64_t address, void *out, size_t len)
{
	uint64_t page = address & ~(uint64_t)(PAGE_BYTES - 1);

	if (!u->source->read)
		return -EFAULT;
	if (page + PAGE_BYTES - address < len)
		return u->source->read(u->source->arg, address, out, len);
	if (page != u->page || !page) {
		u->page = 0;
		if (u->source->read(u->source->arg, page, u->page_bytes, PAGE_BYTES))
			return -EFAULT;
		u->page = page;
	}
	memcpy(out, u->page_bytes + (address - page), len);
	return 0;
}

/* A word of a table that is not in the process. */
static bool read_made(const struct pa_unwinder *u, uint64_t address, void *out, size_t len)
{
	uint64_t at = address - MADE_TABLE, bytes = u->table.nr * sizeof(*u->table.made);

	if (!u->table.made || address < MADE_TABLE || bytes < len || at > bytes - len)
		return false;
	memcpy(out, (const uint8_t *)u->table.made + at, len);
	return true;
}

static int access_mem(unw_addr_space_t as, unw_word_t address, unw_word_t *value, int write, void *arg)
{
	struct pa_unwinder *u = arg;
	uint64_t at = address - u->stack_start;

	if (write || ++u->reads > READS_MAX) {
		u->failed = true;
		return -UNW_EINVAL;
	}
	if (address >= u->stack_start && u->stack_len >= sizeof(*value) && at <= u->stack_len - sizeof(*value)) {
		memcpy(value, u->stack + at, sizeof(*value));
		return 0;
	}
	if (read_made(u, address, value, sizeof(*value)) || read_file(u, address, value, sizeof(*value)) == 0 ||
	    read_process(u, address, value, sizeof(*value)) == 0)
		return 0;
	u->failed = true;
	return -UNW_EINVAL;
}

static int access_reg(unw_addr_space_t as, unw_regnum_t reg, unw_word_t *value, int write, void *arg)
{
	struct pa_unwinder *u = arg;

	if (write || reg < 0 || (uint32_t)reg >= u->nr_regs)
		return -UNW_EBADREG;
	*value = u->regs[reg];
	return 0;
}

static int access_fpreg(unw_addr_space_t as, unw_regnum_t reg, unw_fpreg_t *value, int write, void *arg)
{
	return -UNW_EBADREG;
}

static int find_proc_info(unw_addr_space_t as, unw_word_t ip, unw_proc_info_t *info, int need_unwind_info, void *arg)
{
	struct pa_unwinder *u = arg;
	struct pa_unwind_file *file = find_module(u, ip) ? pa_unwind_files_get(u->files, &u->module) : NULL;
	unw_dyn_info_t di = {.format = UNW_INFO_FORMAT_REMOTE_TABLE};
	int ret = -UNW_ENOINFO;

	if (file && pa_unwind_file_table(file, &u->table)) {
		di.start_ip = u->module.start;
		di.end_ip = u->module.end;
		di.u.rti.segbase = u->table.hdr_vaddr + u->module.bias;
		di.u.rti.table_data = u->table.made ? MADE_TABLE : u->table.table_vaddr + u->module.bias;
		di.u.rti.table_len = u->table.nr * 8 / sizeof(unw_word_t);
		ret = UNW_OBJ(dwarf_search_unwind_table)(as, ip, &di, info, need_unwind_info, arg);
	}
	u->guessed = ret < 0;
	return ret;
}

static void put_unwind_info(unw_addr_space_t as, unw_proc_info_t *info, void *arg)
{
}

/* Code registered at run time would be listed in the target's memory, which we do not trust. */
static int get_dyn_info_list(unw_addr_space_t as, unw_word_t *list, void *arg)
{
	return -UNW_ENOINFO;
}

static int resume(unw_addr_space_t as, unw_cursor_t *cursor, void *arg)
{
	return -UNW_EINVAL;
}

struct pa_unwinder *pa_unwinder_new(struct pa_unwind_files *files)
{
	static unw_accessors_t accessors = {
	    .find_proc_info = find_proc_info,
	    .put_unwind_info = put_unwind_info,
	    .get_dyn_info_list_addr = get_dyn_info_list,
	    .access_mem = access_mem,
	    .access_reg = access_reg,
	    .access_fpreg = access_fpreg,
	    .resume = resume,
	};
	struct pa_unwinder *u = calloc(1, sizeof(*u));

	if (!u)
		return NULL;
	u->files = files;
	u->space = unw_create_addr_space(&accessors, 0);
	if (!u->space) {
		free(u);
		return NULL;
	}
	unw_set_caching_policy(u->space, UNW_CACHE_GLOBAL);
	return u;
}

void pa_unwinder_free(struct pa_unwinder *u)
{
	if (!u)
		return;
	unw_destroy_addr_space(u->space);
	free(u);
}

/* Why a step found no caller. */
static enum pa_stop judge(struct pa_unwinder *u, uint64_t pc, int ret)
{
	if (u->guessed)
		return find_module(u, pc) ? PA_STOP_NO_CFI : PA_STOP_JIT;
	if (u->failed)
		return PA_STOP_MEMORY;
	if (ret == 0)
		return PA_STOP_END;
	return ret == -UNW_ENOINFO ? PA_STOP_NO_CFI : PA_STOP_ROW;
}

/* One step; true when *pc and *sp are those of the caller (*signal: it was interrupted, it did not call), else *stop
 * says why not. A guess by frame pointers counts only when it leads into a module. */
static bool step(struct pa_unwinder *u, unw_cursor_t *cursor, uint64_t *pc, uint64_t *sp, bool *signal,
		 enum pa_stop *stop)
{
	unw_word_t new_pc = 0, new_sp = 0;
	int ret;

	u->reads = 0;
	u->failed = false;
	u->guessed = false;
	ret = unw_step(cursor);
	if (ret <= 0 || unw_get_reg(cursor, UNW_REG_IP, &new_pc) || unw_get_reg(cursor, UNW_REG_SP, &new_sp)) {
		*stop = judge(u, *pc, ret);
		return false;
	}
	if (new_pc == 0) {
		*stop = PA_STOP_END;
		return false;
	}
	/* libunwind knows what kind of frame it was once it has left it */
	*signal = unw_is_signal_frame(cursor) > 0;
	if ((new_sp <= *sp && !*signal) || new_pc >= PA_FRAME_EXACT || new_pc < PA_FRAME_PSEUDO_MAX) {
		*stop = PA_STOP_MEMORY;
		return false;
	}
	if (u->guessed && !find_module(u, new_pc)) {
		*stop = judge(u, *pc, ret);
		return false;
	}
	*pc = new_pc;
	*sp = new_sp;
	return true;
}

static size_t walk(struct pa_unwinder *u, uint64_t *frames, size_t max, enum pa_stop *stop)
{
	uint64_t pc = u->regs[u->nr_regs - 1], sp = 0;
	bool signal = true; /* the leaf was interrupted, and any stack pointer is above none */
	unw_cursor_t cursor;
	size_t nr = 0;

	*stop = PA_STOP_MEMORY;
	if (!max || unw_init_remote(&cursor, u->space, u) || unw_get_reg(&cursor, UNW_REG_SP, (unw_word_t *)&sp))
		return 0;
	for (;;) {
		frames[nr++] = pc | (signal ? PA_FRAME_EXACT : 0);
		if (nr == max) {
			*stop = PA_STOP_DEPTH;
			return nr;
		}
		if (!step(u, &cursor, &pc, &sp, &signal, stop))
			return nr;
	}
}

/* Forgets what the last call left behind: pages are another's by now, modules perhaps. */
static bool begin(struct pa_unwinder *u, const struct pa_unwind_source *source, const uint64_t *regs, uint32_t nr)
{
	if (nr < 2 || nr > PA_SLICE_REGS)
		return false;
	if (source->generation != u->generation)
		unw_flush_cache(u->space, 0, 0);
	u->generation = source->generation;
	u->source = source;
	u->regs = regs;
	u->nr_regs = nr;
	u->stack = NULL;
	u->stack_start = u->stack_len = 0;
	u->module = (struct pa_unwind_module){0};
	u->page = 0;
	return true;
}

size_t pa_unwind_slice(struct pa_unwinder *u, const struct pa_unwind_source *source, const struct pa_slice *slice,
		       uint64_t *frames, size_t max, enum pa_stop *stop)
{
	*stop = PA_STOP_MEMORY;
	if (!begin(u, source, slice->regs, slice->nr_regs))
		return 0;
	u->stack = slice->stack;
	u->stack_start = slice->stack_start;
	u->stack_len = slice->stack_len;
	return walk(u, frames, max, stop);
}

size_t pa_unwind_process(struct pa_unwinder *u, const struct pa_unwind_source *source,
			 const struct pa_unwind_registers *registers, uint64_t *frames, size_t max, enum pa_stop *stop)
{
	*stop = PA_STOP_MEMORY;
	return begin(u, source, registers->regs, registers->nr) ? walk(u, frames, max, stop) : 0;
}

int pa_unwind_read_process(pid_t pid, uint64_t address, void *out, size_t len)
{
	struct iovec here = {out, len}, there = {(void *)(uintptr_t)address, len};
	ssize_t n = process_vm_readv(pid, &here, 1, &there, 1, 0);

	if (n < 0)
		return -errno;
	return (size_t)n == len ? 0 : -EFAULT;
}

bool pa_unwind_find_in_list(const struct pa_unwind_list *list, uint64_t pc, struct pa_unwind_module *out)
{
	for (size_t i = 0; i < list->nr; i++) {
		if (pc >= list->modules[i].start && pc < list->modules[i].end) {
			*out = list->modules[i];
			return true;
		}
	}
	return false;
}
