/* The order of modules tells who came first. World: plain (constructor). */
#include <gnu/libc-version.h>
#include <link.h>
#include <stdint.h>

#include "agent/got.h"
#include "agent/got_sig.h"

static bool is_late;

void pa_got_set_late_sig(bool late)
{
	is_late = late;
}

bool pa_got_is_late_sig(void)
{
	return is_late;
}

struct search {
	uintptr_t libc; /* an address in it */
	bool libc_seen;
};

static bool covers(const struct dl_phdr_info *info, uintptr_t address)
{
	for (unsigned i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *ph = &info->dlpi_phdr[i];

		if (ph->p_type == PT_LOAD && address - (info->dlpi_addr + ph->p_vaddr) < ph->p_memsz)
			return true;
	}
	return false;
}

/* 1: we come now, 2: after libc. */
static int look(struct dl_phdr_info *info, size_t size, void *arg)
{
	extern const char __ehdr_start[] __attribute__((visibility("hidden")));
	struct search *search = arg;

	(void)size;
	if (info->dlpi_addr == (uintptr_t)__ehdr_start)
		return search->libc_seen ? 2 : 1;
	search->libc_seen = search->libc_seen || covers(info, search->libc);
	return 0;
}

bool pa_got_came_late(void)
{
	struct search search = {.libc = (uintptr_t)gnu_get_libc_version};

	return dl_iterate_phdr(look, &search) == 2;
}
