/* The bootstrap arena: a static one and, should that be used up, a few mapped ones. Callers: hooks_malloc.c,
 * hooks_memalign.c, heap_hook.c, init.c. World: hook. */
#include "agent/bootstrap_hook.h"

#include <stdalign.h>
#include <sys/mman.h>

#include "agent/sysdep.h"

#define STATIC_BYTES (256u << 10) /* of the zeroed segment: untouched pages cost nothing */
#define MAPPED_BYTES (1u << 20)
#define NR_ARENAS    16
#define ALIGN_MAX    4096u

/* In front of every block. The second word is what glibc's malloc has there for a block that is a mapping of its own:
 * its malloc_usable_size, which is not hooked because allocators' own bookkeeping (redis) calls it with every block,
 * then answers for ours as well. Source: glibc, malloc/malloc.c, struct malloc_chunk. */
struct head {
	size_t bytes;
	size_t chunk; /* bytes of both words and the block, a multiple of 8; IS_MMAPPED */
};

#define IS_MMAPPED 2u

/* start is written before used is; bytes of 0: not made yet. */
struct arena {
	_Atomic uintptr_t start;
	_Atomic size_t bytes;
	_Atomic size_t used;
};

static alignas(ALIGN_MAX) uint8_t memory[STATIC_BYTES];
static struct arena arenas[NR_ARENAS];
static _Atomic uint32_t nr_live;
static _Atomic uint32_t looking; /* how many look-ups are on */

void pa_bootstrap_hold_hook(bool on)
{
	pa_add_relaxed(&looking, on ? 1 : UINT32_MAX);
}

void *pa_bootstrap_real_hook(enum pa_real_name name)
{
	void *fn = pa_load_relaxed(&pa_real_table[name]);

	if (fn || !pa_claim_u32(&looking, 0, 1))
		return fn;
	fn = pa_real_resolve(name);
	pa_bootstrap_hold_hook(false);
	return fn;
}

static bool arena_make(struct arena *a, unsigned nr, size_t least)
{
	size_t bytes = least > MAPPED_BYTES ? (least + ALIGN_MAX - 1) & ~(size_t)(ALIGN_MAX - 1) : MAPPED_BYTES;
	uintptr_t none = 0;
	long at;

	if (nr == 0) {
		/* not in an initialiser: its address would need a relocation */
		pa_store_relaxed(&a->start, (uintptr_t)memory);
		pa_store_release(&a->bytes, sizeof(memory));
		return true;
	}
	at = pa_sys(SYS_mmap, 0, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (at < 0 && at > -4096)
		return false;
	/* another thread is at it: its arena has no size yet, and this block goes into the next one */
	if (!atomic_compare_exchange_strong(&a->start, &none, (uintptr_t)at)) {
		pa_sys(SYS_munmap, at, bytes);
		return true;
	}
	pa_store_release(&a->bytes, bytes);
	return true;
}

static void *arena_take(struct arena *a, size_t align, size_t bytes)
{
	size_t size = pa_load_acquire(&a->bytes), used = pa_load_relaxed(&a->used), at;
	uintptr_t start = pa_load_relaxed(&a->start);
	/* some for a block of none, or its address would be the one behind the arena's used part */
	size_t room = ((bytes ? bytes : 1) + 7) & ~(size_t)7;
	struct head *head;

	do {
		at = (used + sizeof(*head) + align - 1) & ~(align - 1);
		if (at >= size || room > size - at)
			return NULL;
	} while (!atomic_compare_exchange_weak(&a->used, &used, at + room));
	head = (struct head *)(start + at) - 1;
	head->bytes = bytes;
	head->chunk = (sizeof(*head) + room) | IS_MMAPPED;
	return head + 1;
}

void *pa_bootstrap_alloc_hook(size_t align, size_t bytes)
{
	void *p = NULL;

	align = align < 16 ? 16 : align;
	if (align > ALIGN_MAX || bytes > PTRDIFF_MAX / 2)
		return NULL;
	for (unsigned i = 0; i < NR_ARENAS && !p; i++) {
		if (!pa_load_acquire(&arenas[i].bytes) && !arena_make(&arenas[i], i, bytes + 2 * align))
			return NULL;
		p = arena_take(&arenas[i], align, bytes);
	}
	if (p)
		pa_add_relaxed(&nr_live, 1);
	return p;
}

bool pa_bootstrap_owns_hook(const void *p)
{
	if (!pa_load_relaxed(&arenas[0].bytes))
		return false;
	for (unsigned i = 0; i < NR_ARENAS; i++) {
		size_t used = pa_load_relaxed(&arenas[i].used);

		if ((uintptr_t)p - pa_load_relaxed(&arenas[i].start) < used)
			return true;
	}
	return false;
}

size_t pa_bootstrap_size_hook(const void *p)
{
	return ((const struct head *)p - 1)->bytes;
}

void pa_bootstrap_free_hook(const void *p)
{
	(void)p;
	pa_add_relaxed(&nr_live, UINT32_MAX);
}

bool pa_bootstrap_live_sig(void)
{
	return pa_load_relaxed(&nr_live) != 0;
}

void pa_bootstrap_each_hook(void (*fn)(uintptr_t start, size_t bytes))
{
	for (unsigned i = 0; i < NR_ARENAS; i++) {
		size_t used = pa_load_relaxed(&arenas[i].used);

		if (used)
			fn(pa_load_relaxed(&arenas[i].start), used);
	}
}
