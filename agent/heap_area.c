/* The heap rings of the session: checked and mapped by the handshake's helper while it has the descriptor. Callers:
 * handshake.c, attach_sig.c. World: signal. */
#include <errno.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "agent/heap_hook.h"
#include "agent/heap_ring_hook.h"
#include "agent/hot.h"
#include "agent/sysdep.h"

#define PAGE      4096u
#define RINGS_MAX 65536u
#define RING_MAX  (UINT32_C(1) << 30)

struct pa_heap_area pa_heap_area PA_HOT;

/* Bytes of all rings; 0: the classes make no sense. */
static uint64_t rings_bytes(const struct pa_heap_area *area)
{
	uint64_t bytes = 0;
	uint32_t nr = 0;

	for (unsigned k = 0; k < PA_HEAP_CLASSES; k++) {
		const struct pa_heap_class *c = &area->classes[k];

		if (!c->nr)
			continue;
		if (c->bytes < PAGE || c->bytes > RING_MAX || (c->bytes & (c->bytes - 1)) || c->nr > RINGS_MAX - nr)
			return 0;
		nr += c->nr;
		bytes += (uint64_t)c->nr * c->bytes;
	}
	return nr == area->nr ? bytes : 0;
}

/* Where the program may have only so much address space, the large rings at the front are left out. */
static uint64_t leave_out(struct pa_heap_area *area, uint64_t bytes)
{
	struct rlimit limit = {.rlim_cur = RLIM_INFINITY};
	uint64_t left_out = 0, most;

	pa_sys(SYS_prlimit64, 0, RLIMIT_AS, NULL, &limit);
	most = limit.rlim_cur == RLIM_INFINITY ? UINT64_MAX : limit.rlim_cur / PA_HEAP_LIMIT_PART;
	for (unsigned k = 0; k < PA_HEAP_CLASSES; k++) {
		for (uint32_t i = 0; i < area->classes[k].nr && bytes - left_out > most; i++) {
			left_out += area->classes[k].bytes;
			area->first++;
		}
	}
	return left_out;
}

static void *map(int fd, uint64_t offset, uint64_t bytes)
{
	long at = pa_sys(SYS_mmap, 0, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, offset);

	if (at < 0 && at > -(long)PAGE)
		return NULL;
	pa_sys(SYS_madvise, at, bytes, MADV_DONTDUMP);
	return (void *)at;
}

/* Where things lie in the file: read once from the shared page. */
struct place {
	uint64_t lines;
	uint64_t rings;
	uint64_t bytes; /* of all rings */
};

static int map_area(int fd, const struct place *place, struct pa_heap_area *area)
{
	uint64_t lines = (area->nr * sizeof(struct pa_heap_line) + PAGE - 1) & ~(uint64_t)(PAGE - 1);
	uint64_t left_out = leave_out(area, place->bytes);
	void *at;

	if (area->first == area->nr)
		return -ENOMEM;
	area->lines = map(fd, place->lines, lines);
	if (!area->lines)
		return -ENOMEM;
	at = map(fd, place->rings + left_out, place->bytes - left_out);
	if (!at) {
		pa_sys(SYS_munmap, area->lines, lines);
		area->lines = NULL;
		return -ENOMEM;
	}
	area->rings = (uintptr_t)at - left_out;
	return 0;
}

static bool makes_sense(int fd, const struct place *place, uint32_t nr)
{
	struct stat st;

	return place->bytes && place->lines % PAGE == 0 && place->rings % PAGE == 0 &&
	       place->lines >= PA_CONTROL_BYTES && place->lines < place->rings &&
	       place->rings - place->lines >= nr * sizeof(struct pa_heap_line) && pa_sys(SYS_fstat, fd, &st) == 0 &&
	       place->rings <= (uint64_t)st.st_size && place->bytes <= (uint64_t)st.st_size - place->rings;
}

int pa_heap_area_map_sig(int fd, const struct pa_control *control, struct pa_heap_area *out)
{
	struct place place = {.lines = control->heap_lines_offset, .rings = control->heap_rings_offset};
	struct pa_heap_area area = {.tsc = control->heap_flags & PA_HEAP_TSC};
	int err;

	if (!place.lines && !place.rings)
		return 0;
	for (unsigned k = 0; k < PA_HEAP_CLASSES; k++) {
		area.classes[k] = control->heap_classes[k];
		area.nr += area.classes[k].nr;
	}
	place.bytes = rings_bytes(&area);
	if (!makes_sense(fd, &place, area.nr))
		return -EPROTO;
	err = map_area(fd, &place, &area);
	if (!err)
		*out = area;
	return err;
}

void pa_heap_area_unmap_sig(const struct pa_heap_area *area)
{
	uint64_t lines = (area->nr * sizeof(struct pa_heap_line) + PAGE - 1) & ~(uint64_t)(PAGE - 1);
	uint64_t bytes = rings_bytes(area), left_out = 0;
	uint32_t nr = area->first;

	if (!area->lines)
		return;
	for (unsigned k = 0; k < PA_HEAP_CLASSES && nr; k++) {
		uint32_t of_class = nr < area->classes[k].nr ? nr : area->classes[k].nr;

		left_out += (uint64_t)of_class * area->classes[k].bytes;
		nr -= of_class;
	}
	pa_sys(SYS_munmap, area->lines, lines);
	if (left_out < bytes)
		pa_sys(SYS_munmap, area->rings + left_out, bytes - left_out);
}

void pa_heap_area_open_sig(const struct pa_heap_area *area)
{
	pa_heap_area = *area;
}

void pa_heap_area_bury_sig(void)
{
	pa_heap_area_unmap_sig(&pa_heap_area);
	pa_heap_area.lines = NULL;
}
