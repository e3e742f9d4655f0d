/* A shared area of heap rings in this process's own memory, a reader of it, and what the hooks of exact heap mode need
 * of a session. */
#ifndef PA_TESTS_HEAP_AREA_UTIL_H
#define PA_TESTS_HEAP_AREA_UTIL_H

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "agent/announce_sig.h"
#include "agent/command_hook.h"
#include "agent/figures_hook.h"
#include "agent/heap_ring_hook.h"
#include "agent/session.h"
#include "agent/slots_sig.h"
#include "agent/thread.h"

__thread struct pa_tls pa_tls __attribute__((tls_model("initial-exec")));
struct pa_mapping pa_mapping;
struct pa_heap_area pa_heap_area;

static struct pa_control area_control;
static uint64_t area_ticks; /* the clock, when it is not the TSC's turn */
static uint64_t area_step;  /* by which it goes on each time it is asked */
static bool area_is_mine = true;

void pa_session_adopt_hook(void)
{
}

void pa_thread_adopt_hook(void)
{
}

bool pa_session_pin_sig(void)
{
	return true;
}

void pa_session_unpin_sig(void)
{
}

bool pa_session_enter_sig(struct pa_block *block, uint32_t *before)
{
	(void)block;
	*before = 0;
	return true;
}

void pa_session_leave_sig(struct pa_block *block, uint32_t before)
{
	(void)block;
	(void)before;
}

bool pa_command_session_ended_hook(_Atomic uint32_t *busy)
{
	(void)busy;
	return false;
}

bool pa_session_is_mine_hook(void)
{
	return area_is_mine;
}

void pa_announce_walk_sig(struct pa_block *block, const struct pa_walk_info *info, uint64_t time_ns)
{
	(void)block;
	(void)info;
	(void)time_ns;
}

static unsigned area_figures; /* how often libc's figures were asked for */

void pa_figures_maybe_hook(struct pa_block *block, uint64_t now_ns)
{
	(void)block;
	(void)now_ns;
	area_figures++;
}

/* Without PA_HEAP_TSC rings are stamped with this. It also stands for nanoseconds. */
uint64_t pa_now_sig(void)
{
	return area_ticks += area_step;
}

static inline void area_make(uint32_t nr, uint32_t bytes)
{
	struct pa_heap_line *lines =
	    mmap(NULL, nr * sizeof(*lines), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	void *rings = mmap(NULL, (size_t)nr * bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (lines == MAP_FAILED || rings == MAP_FAILED)
		abort();
	memset(&area_control, 0, sizeof(area_control));
	pa_mapping.control = &area_control;
	pa_store_relaxed(&pa_mapping.generation, 1);
	area_ticks += 1000000000; /* what an earlier case found wanting may be tried again */
	pa_heap_area = (struct pa_heap_area){
	    .lines = lines, .rings = (uintptr_t)rings, .nr = nr, .classes = {{.nr = nr, .bytes = bytes}}};
	pa_tls.heap = NULL;
}

static inline void area_drop(void)
{
	munmap((void *)pa_heap_area.rings, (size_t)pa_heap_area.nr * pa_heap_area.classes[0].bytes);
	munmap(pa_heap_area.lines, pa_heap_area.nr * sizeof(struct pa_heap_line));
	pa_heap_area = (struct pa_heap_area){0};
}

/* The next record of a ring, stepped over: NULL when all has been read, or at something that is none. */
static inline const struct pa_heap_head *area_read(uint32_t i)
{
	struct pa_heap_line *line = &pa_heap_area.lines[i];
	uint64_t size = pa_heap_area.classes[0].bytes, tail = pa_load_relaxed(&line->in.tail);
	const struct pa_heap_head *head =
	    (const struct pa_heap_head *)(pa_heap_area.rings + i * size + (tail & (size - 1)));

	if (tail == pa_load_relaxed(&line->out.head) || head->size < 8 || head->size % 8 ||
	    head->size > PA_HEAP_RECORD_MAX || (tail & (size - 1)) + head->size > size)
		return NULL;
	pa_store_relaxed(&line->in.tail, tail + head->size);
	return head->type == PA_HR_FILLER ? area_read(i) : head;
}

#endif
