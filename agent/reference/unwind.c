/* The reference engine: libunwind behind the interface of agent/reference.h, in a library of its own so that the agent
 * needs and exports nothing for it. Loaded only for PERFAGENT_UNWINDER=libunwind or compare: it is the oracle of the
 * walker, not a mode for production (libunwind keeps two descriptors of a pipe and takes a mutex of its own).
 *
 * libunwind finds modules by dl_iterate_phdr, whose lock a handler must not wait for: its GOT slot for that name is
 * pointed at a function that answers from _dl_find_object while a walk is on. World: plain to load, signal to walk. */
#define UNW_LOCAL_ONLY
#include <dlfcn.h>
#include <elf.h>
#include <libunwind.h>
#include <link.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/wire.h"

#define LIBUNWIND "libunwind.so.8"
#define STR_(a)   #a
#define STR(a)    STR_(a)

size_t pa_unwind_walk(const ucontext_t *uc, uint64_t *frames, size_t max, uint16_t *stop)
    __attribute__((visibility("default")));
void pa_unwind_flush(void) __attribute__((visibility("default")));
int pa_unwind_ready(void) __attribute__((visibility("default")));

static struct {
	int (*init)(unw_cursor_t *, unw_context_t *, int);
	int (*step)(unw_cursor_t *);
	int (*get_reg)(unw_cursor_t *, int, unw_word_t *);
	int (*is_signal_frame)(unw_cursor_t *);
	void (*flush)(unw_addr_space_t, unw_word_t, unw_word_t);
	unw_addr_space_t *space;
} lib;

#if defined(__x86_64__)
__asm__(".symver dlsym,dlsym@GLIBC_2.2.5\n.symver dlopen,dlopen@GLIBC_2.2.5");
#else
__asm__(".symver dlsym,dlsym@GLIBC_2.17\n.symver dlopen,dlopen@GLIBC_2.17");
#endif

typedef int find_object_fn(void *, struct dl_find_object *);
typedef int iterate_fn(int (*)(struct dl_phdr_info *, size_t, void *), void *);

static find_object_fn *find_object;
static iterate_fn *real_iterate;

/* The pc whose module the walk in progress on this thread asks for; 0: no walk. */
static __thread uint64_t asked __attribute__((tls_model("initial-exec")));

/* What libunwind calls instead of dl_iterate_phdr. */
static int served_iterate(int (*callback)(struct dl_phdr_info *, size_t, void *), void *data)
{
	struct dl_find_object found;
	struct dl_phdr_info info;
	const ElfW(Ehdr) * elf;

	if (!asked)
		return real_iterate(callback, data);
	if (find_object((void *)(uintptr_t)asked, &found) != 0)
		return 0;
	elf = found.dlfo_map_start;
	memset(&info, 0, sizeof(info));
	info.dlpi_addr = found.dlfo_link_map ? found.dlfo_link_map->l_addr : (ElfW(Addr))elf;
	info.dlpi_name = "";
	info.dlpi_phdr = (const ElfW(Phdr) *)((const char *)elf + elf->e_phoff);
	info.dlpi_phnum = elf->e_phnum;
	return callback(&info, sizeof(info), data);
}

static bool set_slot(ElfW(Addr) * slot, ElfW(Addr) value)
{
	uintptr_t page = (uintptr_t)slot & ~((uintptr_t)sysconf(_SC_PAGESIZE) - 1);
	size_t bytes = (uintptr_t)(slot + 1) - page;

	/* left writable: whether it was, full RELRO or not, is not ours to find out */
	if (mprotect((void *)page, bytes, PROT_READ | PROT_WRITE) != 0)
		return false;
	*slot = value;
	return true;
}

/* Points every slot of one relocation table whose symbol is `name` at value. Returns how many. */
static unsigned patch_table(const struct link_map *map, const ElfW(Rela) * rela, size_t bytes,
			    const ElfW(Sym) * symbols, const char *strings, const char *name, ElfW(Addr) value)
{
	unsigned patched = 0;

	for (size_t i = 0; rela && i < bytes / sizeof(*rela); i++) {
		const ElfW(Sym) *symbol = &symbols[ELF64_R_SYM(rela[i].r_info)];

		if (ELF64_R_SYM(rela[i].r_info) && strcmp(strings + symbol->st_name, name) == 0)
			patched += set_slot((ElfW(Addr) *)(map->l_addr + rela[i].r_offset), value);
	}
	return patched;
}

static unsigned patch_import(const struct link_map *map, const char *name, ElfW(Addr) value)
{
	const ElfW(Rela) *jump = NULL, *rela = NULL;
	const ElfW(Sym) *symbols = NULL;
	const char *strings = NULL;
	size_t jump_bytes = 0, rela_bytes = 0;

	for (const ElfW(Dyn) *d = map->l_ld; d->d_tag != DT_NULL; d++) {
		if (d->d_tag == DT_JMPREL)
			jump = (const ElfW(Rela) *)d->d_un.d_ptr;
		else if (d->d_tag == DT_PLTRELSZ)
			jump_bytes = d->d_un.d_val;
		else if (d->d_tag == DT_RELA)
			rela = (const ElfW(Rela) *)d->d_un.d_ptr;
		else if (d->d_tag == DT_RELASZ)
			rela_bytes = d->d_un.d_val;
		else if (d->d_tag == DT_SYMTAB)
			symbols = (const ElfW(Sym) *)d->d_un.d_ptr;
		else if (d->d_tag == DT_STRTAB)
			strings = (const char *)d->d_un.d_ptr;
	}
	if (!symbols || !strings)
		return 0;
	return patch_table(map, jump, jump_bytes, symbols, strings, name, value) +
	       patch_table(map, rela, rela_bytes, symbols, strings, name, value);
}

/* A constructor cannot refuse to be loaded: lib.step stays NULL when anything is missing. */
__attribute__((constructor)) static void load(void)
{
	void *handle = dlopen(LIBUNWIND, RTLD_NOW | RTLD_LOCAL);

	find_object = (find_object_fn *)dlsym(RTLD_DEFAULT, "_dl_find_object");
	real_iterate = (iterate_fn *)dlsym(RTLD_DEFAULT, "dl_iterate_phdr");
	if (!handle || !find_object || !real_iterate ||
	    !patch_import(handle, "dl_iterate_phdr", (ElfW(Addr))served_iterate))
		return;
	*(void **)&lib.init = dlsym(handle, STR(UNW_OBJ(init_local2)));
	*(void **)&lib.get_reg = dlsym(handle, STR(UNW_OBJ(get_reg)));
	*(void **)&lib.is_signal_frame = dlsym(handle, STR(UNW_OBJ(is_signal_frame)));
	*(void **)&lib.flush = dlsym(handle, STR(UNW_ARCH_OBJ(flush_cache)));
	lib.space = dlsym(handle, STR(UNW_OBJ(local_addr_space)));
	if (lib.init && lib.get_reg && lib.is_signal_frame && lib.flush && lib.space)
		*(void **)&lib.step = dlsym(handle, STR(UNW_OBJ(step)));
}

static size_t walk(const ucontext_t *uc, uint64_t *frames, size_t max, uint16_t *stop)
{
	ucontext_t copy = *uc; /* libunwind may write into the context it is given */
	unw_cursor_t cursor;
	size_t nr = 0;
	bool exact = true;
	int ret;

	*stop = PA_STOP_NO_CFI;
	if (!lib.step || lib.init(&cursor, &copy, UNW_INIT_SIGNAL_FRAME) != 0)
		return 0;
	do {
		unw_word_t pc = 0;

		if (lib.get_reg(&cursor, UNW_REG_IP, &pc) != 0 || pc == 0) {
			*stop = PA_STOP_END;
			break;
		}
		if (nr == max) {
			*stop = PA_STOP_DEPTH;
			break;
		}
		frames[nr++] = exact ? pc | PA_FRAME_EXACT : pc;
		asked = exact ? pc : pc - 1;
		exact = lib.is_signal_frame(&cursor) > 0;
		ret = lib.step(&cursor);
		if (ret == 0)
			*stop = PA_STOP_END;
	} while (ret > 0);
	asked = 0;
	return nr;
}

size_t pa_unwind_walk(const ucontext_t *uc, uint64_t *frames, size_t max, uint16_t *stop)
{
	int before = PTHREAD_CANCEL_ENABLE;
	size_t nr;

	/* libunwind asks by write() and read() whether memory can be read: a cancelled thread would end there, in the
	 * middle of the handler */
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before);
	nr = walk(uc, frames, max, stop);
	pthread_setcancelstate(before, NULL);
	return nr;
}

void pa_unwind_flush(void)
{
	if (lib.step)
		lib.flush(*lib.space, 0, 0);
}

int pa_unwind_ready(void)
{
	return lib.step != NULL;
}
