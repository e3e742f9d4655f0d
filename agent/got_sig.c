/* See got_sig.h. A module may be unloaded at any time, by our dlclose: that one and the undoing keep out of each
 * other's way by two words. Libc also unloads on its own (conversions, name services), never a module that the program
 * has loaded. World: signal. */
#include "agent/got_sig.h"

#include <errno.h>
#include <sys/mman.h>
#include <time.h>

#include "agent/command_sig.h"
#include "agent/libs_sig.h"
#include "agent/sysdep.h"
#include "agent/walk_sig.h"
#include "common/atomics.h"

#define PAUSE_NS 50000

static _Atomic uint32_t busy;       /* process in which the tables are being made or undone; 0: none */
static _Atomic uint32_t unloading;  /* threads inside dlclose */
static _Atomic uint32_t owed;       /* 1: undoing has to be done when they are out of it */
static struct pa_got_table *tables; /* of the holder of busy */

/* Whether somebody is at it; a forked child is not held up by a thread that it does not have. */
static bool is_busy(void)
{
	uint32_t holder = pa_load_acquire(&busy);

	if (holder && holder != (uint32_t)pa_sys(SYS_getpid)) {
		pa_claim_u32(&busy, holder, 0);
		return false;
	}
	return holder;
}

int pa_got_begin_sig(void)
{
	if (is_busy() || !pa_claim_u32(&busy, 0, (uint32_t)pa_sys(SYS_getpid)))
		return -EBUSY;
	pa_fence();
	if (pa_load_relaxed(&unloading) == 0)
		return 0;
	pa_store_release(&busy, 0);
	return -EBUSY;
}

void pa_got_end_sig(void)
{
	pa_store_release(&busy, 0);
}

void pa_got_keep_sig(struct pa_got_table *table)
{
	table->next = tables;
	tables = table;
	pa_add_relaxed(&pa_command.hooked, table->nr_slots);
	pa_store_relaxed(&owed, 0);
}

int pa_got_open_sig(const struct pa_got_module *module)
{
	uint64_t bytes = module->relro_end - module->relro_start;

	return bytes ? (int)pa_sys(SYS_mprotect, module->relro_start, bytes, PROT_READ | PROT_WRITE) : 0;
}

void pa_got_close_sig(const struct pa_got_module *module)
{
	uint64_t bytes = module->relro_end - module->relro_start;

	if (bytes)
		pa_sys(SYS_mprotect, module->relro_start, bytes, PROT_READ);
}

void pa_got_write_sig(uint64_t at, uint64_t value)
{
	pa_store_release((_Atomic uint64_t *)(uintptr_t)at, value);
}

uint32_t pa_got_put_back_sig(const struct pa_got_module *module, const struct pa_got_slot *slots)
{
	uint64_t start = 0, end = 0;
	uint32_t nr = 0;

	if (!pa_walk_module_at_sig(slots[module->first].at, &start, &end) || start != module->start ||
	    end != module->end || pa_got_open_sig(module) != 0)
		return 0;
	for (uint32_t i = module->first; i < module->first + module->nr; i++) {
		if (*(volatile uint64_t *)(uintptr_t)slots[i].at != slots[i].own)
			continue;
		pa_got_write_sig(slots[i].at, slots[i].was);
		nr++;
	}
	pa_got_close_sig(module);
	return nr;
}

/* The latest table first: an older one may tell of a module that has made room for another of the same size. */
uint32_t pa_got_unhook_sig(void)
{
	uint32_t nr = 0;

	if (!pa_got_is_late_sig())
		return 0;
	pa_store_relaxed(&owed, 1);
	if (pa_got_begin_sig() != 0)
		return 0;
	pa_store_relaxed(&owed, 0);
	while (tables) {
		struct pa_got_table *table = tables;

		for (uint32_t i = 0; i < table->nr_modules; i++)
			nr += pa_got_put_back_sig(&table->modules[i], table->slots);
		tables = table->next;
		pa_sys(SYS_munmap, table, table->bytes);
	}
	pa_store_relaxed(&pa_command.hooked, 0);
	pa_got_end_sig();
	return nr;
}

/* The tables are busy for as long as some pages take to be written, and never while their holder waits for anybody. It
 * may be of lower priority than we are: sleep, do not yield. */
void pa_got_unloading_sig(void)
{
	struct timespec ts = {.tv_nsec = PAUSE_NS};

	for (;;) {
		atomic_fetch_add_explicit(&unloading, 1, memory_order_seq_cst);
		if (!is_busy())
			return;
		atomic_fetch_sub_explicit(&unloading, 1, memory_order_seq_cst);
		pa_sys(SYS_nanosleep, &ts, NULL);
	}
}

void pa_got_unloaded_sig(void)
{
	uint32_t before = pa_load_relaxed(&unloading);

	/* 0: a destructor has forked, and this is the child */
	while (before && !pa_claim_u32(&unloading, before, before - 1))
		before = pa_load_relaxed(&unloading);
	if (before > 1)
		return;
	if (pa_load_relaxed(&owed))
		pa_got_unhook_sig();
	pa_libs_unloaded_sig();
}

void pa_got_forked_sig(void)
{
	pa_store_relaxed(&unloading, 0);
}
