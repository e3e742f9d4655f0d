#include "collector/session.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/atomics.h"

#define PAGE_BYTES 4096u

static bool ring_size_ok(uint32_t bytes)
{
	return bytes >= PAGE_BYTES && bytes <= (1u << 20) && (bytes & (bytes - 1)) == 0;
}

static bool heap_classes_ok(const struct pa_geometry *g)
{
	for (int i = 0; i < PA_HEAP_CLASSES; i++) {
		const struct pa_heap_class *c = &g->heap_classes[i];

		if (c->nr && (c->nr > 65536 || c->bytes < PAGE_BYTES || c->bytes > (16u << 20) ||
			      (c->bytes & (c->bytes - 1)) != 0))
			return false;
	}
	return true;
}

static bool geometry_ok(const struct pa_geometry *g)
{
	return g->nr_slots >= 1 && g->nr_slots <= 65536 && ring_size_ok(g->signal_ring_bytes) &&
	       ring_size_ok(g->hook_ring_bytes) && g->period_ns > 0 && heap_classes_ok(g);
}

static uint64_t up_to_page(uint64_t bytes)
{
	return (bytes + PAGE_BYTES - 1) & ~(uint64_t)(PAGE_BYTES - 1);
}

static void lay_out_heap(struct pa_session *s)
{
	for (int i = 0; i < PA_HEAP_CLASSES; i++)
		s->nr_heap_rings += s->geometry.heap_classes[i].nr;
	if (!s->nr_heap_rings)
		return;
	s->heap_lines_offset = up_to_page(s->file_size);
	s->heap_rings_offset = s->heap_lines_offset +
			       up_to_page((uint64_t)s->nr_heap_rings * sizeof(struct pa_heap_line));
	s->file_size = s->heap_rings_offset;
	for (int i = 0; i < PA_HEAP_CLASSES; i++)
		s->file_size += (uint64_t)s->geometry.heap_classes[i].nr * s->geometry.heap_classes[i].bytes;
}

static void lay_out(struct pa_session *s)
{
	const struct pa_geometry *g = &s->geometry;
	uint64_t slots_bytes = (uint64_t)g->nr_slots * sizeof(struct pa_slot);

	s->slots_offset = PA_CONTROL_BYTES;
	s->rings_offset = up_to_page(s->slots_offset + slots_bytes);
	s->file_size = s->rings_offset + (uint64_t)g->nr_slots * (g->signal_ring_bytes + g->hook_ring_bytes);
	lay_out_heap(s);
}

static void write_constants(struct pa_session *s)
{
	struct pa_control *c = s->control;

	c->magic = PA_WIRE_MAGIC;
	c->major = PA_WIRE_MAJOR;
	c->minor = PA_WIRE_MINOR;
	c->slot_bytes = sizeof(struct pa_slot);
	c->nr_slots = s->geometry.nr_slots;
	c->slots_offset = s->slots_offset;
	c->rings_offset = s->rings_offset;
	c->signal_ring_bytes = s->geometry.signal_ring_bytes;
	c->hook_ring_bytes = s->geometry.hook_ring_bytes;
	c->file_size = s->file_size;
	c->period_ns = s->geometry.period_ns;
	c->modes = s->geometry.modes;
	c->heap_flags = s->geometry.heap_flags;
	c->heap_mean = s->geometry.heap_mean ? s->geometry.heap_mean : 1;
	c->heap_lines_offset = s->heap_lines_offset;
	c->heap_rings_offset = s->heap_rings_offset;
	memcpy(c->heap_classes, s->geometry.heap_classes, sizeof(c->heap_classes));
	if (s->geometry.modes & PA_MODE_MEMORY)
		pa_store_relaxed(&c->heap_mode, s->geometry.heap_mode);
	pa_store_release(&c->state, PA_SESSION_SAMPLING);
}

/* A file that can be sealed, for an agent to map; else one of our own, for what agents send. -errno: neither. */
static int open_file(bool *shareable)
{
	static const char *const places[] = {"/dev/shm", "/tmp"};
	int fd = memfd_create(PA_SESSION_MEMFD_NAME, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int error = errno;

	*shareable = fd >= 0;
	for (size_t i = 0; fd < 0 && i < sizeof(places) / sizeof(places[0]) && (error == ENOSYS || error == EPERM); i++)
		fd = open(places[i], O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	return fd >= 0 ? fd : -error;
}

static int make_file(struct pa_session *s)
{
	struct stat st;
	void *map;

	s->fd = open_file(&s->shareable);
	if (s->fd < 0)
		return s->fd;
	if (ftruncate(s->fd, (off_t)s->file_size) || fstat(s->fd, &st))
		return -errno;
	s->inode = st.st_ino;
	s->maps_as = "memfd:" PA_SESSION_MEMFD_NAME;
	map = mmap(NULL, s->rings_offset, PROT_READ | PROT_WRITE, MAP_SHARED, s->fd, 0);
	if (map == MAP_FAILED)
		return -errno;
	s->control = map;
	s->slots = (struct pa_slot *)((char *)map + s->slots_offset);
	if (s->nr_heap_rings) {
		map = mmap(NULL, s->heap_rings_offset - s->heap_lines_offset, PROT_READ | PROT_WRITE, MAP_SHARED, s->fd,
			   (off_t)s->heap_lines_offset);
		if (map == MAP_FAILED)
			return -errno;
		s->heap_lines = map;
	}
	write_constants(s);
	/* sealed: no peer can make a read of ours raise SIGBUS by shrinking it */
	if (s->shareable && fcntl(s->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
		return -errno;
	return 0;
}

int pa_session_create(const struct pa_geometry *geometry, struct pa_session **out)
{
	struct pa_session *s;
	int err;

	if (!geometry_ok(geometry))
		return -EINVAL;
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->fd = -1;
	s->geometry = *geometry;
	lay_out(s);
	s->in = calloc(geometry->nr_slots, sizeof(*s->in));
	err = s->in ? make_file(s) : -ENOMEM;
	if (err) {
		pa_session_free(s);
		return err;
	}
	*out = s;
	return 0;
}

void pa_session_free(struct pa_session *s)
{
	if (!s)
		return;
	if (s->control) {
		pa_store_release(&s->control->state, PA_SESSION_ENDED);
		munmap(s->control, s->rings_offset);
	}
	if (s->heap_lines)
		munmap(s->heap_lines, s->heap_rings_offset - s->heap_lines_offset);
	if (s->fd >= 0)
		close(s->fd);
	free(s->in);
	free(s);
}

uint64_t pa_session_ring_offset(const struct pa_session *s, uint32_t slot, bool hook)
{
	uint64_t pair = (uint64_t)s->geometry.signal_ring_bytes + s->geometry.hook_ring_bytes;

	return s->rings_offset + slot * pair + (hook ? s->geometry.signal_ring_bytes : 0);
}

uint64_t pa_session_heap_ring(const struct pa_session *s, uint32_t ring, uint32_t *bytes)
{
	uint64_t at = s->heap_rings_offset;

	for (int i = 0; i < PA_HEAP_CLASSES; i++) {
		const struct pa_heap_class *c = &s->geometry.heap_classes[i];

		*bytes = c->bytes;
		if (ring < c->nr)
			return at + (uint64_t)ring * c->bytes;
		ring -= c->nr;
		at += (uint64_t)c->nr * c->bytes;
	}
	*bytes = 0;
	return 0;
}

/* Finds the next slots that lie on a written page. */
static bool next_extent(const struct pa_session *s, uint32_t from, struct pa_extent *out)
{
	off_t begin = (off_t)s->slots_offset, size = (off_t)sizeof(struct pa_slot);
	off_t end = begin + (off_t)s->geometry.nr_slots * size;
	off_t data = begin + from * size < end ? lseek(s->fd, begin + from * size, SEEK_DATA) : -1, hole;

	if (data < 0 || data >= end)
		return false;
	hole = lseek(s->fd, data, SEEK_HOLE);
	if (hole < 0 || hole > end)
		hole = end;
	/* pages hold whole slots and start at slots_offset: extents begin and end at a slot */
	*out = (struct pa_extent){(uint32_t)((data - begin) / size), (uint32_t)((hole - begin) / size)};
	return true;
}

/* Looking for extents takes two calls each: what was found holds for as long as the file has no further page. */
static void find_extents(struct pa_session *s)
{
	struct pa_extent e = {0, 0};
	struct stat st;

	/* before the search: a page that comes meanwhile is found next time, at the latest */
	if (fstat(s->fd, &st)) {
		s->nr_extents = 0;
		return;
	}
	if (s->nr_extents && s->extent_blocks == (uint64_t)st.st_blocks)
		return;
	s->extent_blocks = (uint64_t)st.st_blocks;
	for (s->nr_extents = 0; next_extent(s, e.end, &e); s->nr_extents++) {
		if (s->nr_extents == PA_SESSION_EXTENTS) {
			s->nr_extents = 0;
			return;
		}
		s->extents[s->nr_extents] = e;
	}
}

static bool visit(const struct pa_extent *e, uint32_t first, bool (*fn)(void *arg, uint32_t slot), void *arg)
{
	for (uint32_t slot = e->first > first ? e->first : first; slot < e->end; slot++)
		if (!fn(arg, slot))
			return false;
	return true;
}

bool pa_session_slots_from(struct pa_session *s, uint32_t first, bool (*fn)(void *arg, uint32_t slot), void *arg)
{
	struct pa_extent e = {0, first};

	find_extents(s);
	for (uint32_t i = 0; i < s->nr_extents; i++)
		if (!visit(&s->extents[i], first, fn, arg))
			return false;
	while (!s->nr_extents && next_extent(s, e.end, &e))
		if (!visit(&e, first, fn, arg))
			return false;
	return true;
}

struct each {
	void (*fn)(void *arg, uint32_t slot);
	void *arg;
};

static bool visit_each(void *arg, uint32_t slot)
{
	const struct each *each = arg;

	each->fn(each->arg, slot);
	return true;
}

void pa_session_each_slot(struct pa_session *s, void (*fn)(void *arg, uint32_t slot), void *arg)
{
	struct each each = {fn, arg};

	pa_session_slots_from(s, 0, visit_each, &each);
}

struct release {
	struct pa_session *s;
	uint32_t pid;
	uint32_t nr;
};

static void release_slot(void *arg, uint32_t slot)
{
	struct release *r = arg;
	_Atomic uint64_t *owner = &r->s->slots[slot].signal_in.owner;
	uint64_t now = pa_load_acquire(owner);

	if (now >> 32 != r->pid || now == 0)
		return;
	if (pa_claim_u64(owner, now, 0)) {
		r->s->in[slot].pid = 0;
		r->s->in[slot].tid = 0;
		r->nr++;
	}
}

uint32_t pa_session_release_pid(struct pa_session *s, uint32_t inner_pid)
{
	struct release r = {s, inner_pid, 0};

	pa_session_each_slot(s, release_slot, &r);
	return r.nr;
}

bool pa_session_arm(struct pa_session *s, uint32_t inner_pid, uint32_t inner_tid)
{
	uint64_t want = PA_OWNER(inner_pid, inner_tid);

	for (int i = 0; i < PA_ARM_MAX; i++)
		if (pa_load_relaxed(&s->control->arm[i]) == want)
			return true;
	for (int i = 0; i < PA_ARM_MAX; i++) {
		if (!pa_claim_u64(&s->control->arm[i], 0, want))
			continue;
		/* pairs with the acquire of the tick that compares arm_seq with arm_done: the entry is visible */
		pa_store_release(&s->control->arm_seq, pa_load_relaxed(&s->control->arm_seq) + 1);
		return true;
	}
	return false;
}

void pa_session_bump_cache(struct pa_session *s)
{
	pa_store_release(&s->control->cache_generation, pa_load_relaxed(&s->control->cache_generation) + 1);
}

void pa_session_set_state(struct pa_session *s, uint32_t state)
{
	pa_store_release(&s->control->state, state);
}
