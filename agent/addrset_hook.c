/* The set of sampled addresses. Callers: heap_sampled_hook.c, tests. World: hook. */
#include "agent/addrset_hook.h"

#include <errno.h>
#include <stdalign.h>
#include <sys/mman.h>

#include "agent/hot.h"
#include "agent/sysdep.h"

struct bucket {
	alignas(64) _Atomic uint64_t keys[PA_ADDRSET_WAYS]; /* 0: free */
};

_Static_assert(sizeof(struct bucket) == 64, "a bucket is a line");

_Atomic uint8_t *pa_addrset_filter PA_HOT;
static struct bucket *buckets;
static _Atomic uint32_t nr_live;

int pa_addrset_init_hook(void)
{
	long at;

	if (pa_addrset_filter)
		return 0;
	at = pa_sys(SYS_mmap, 0, PA_ADDRSET_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
		    -1, 0);

	if (at < 0 && at > -4096)
		return (int)at;
	/* a huge page would make all of it resident with the first sample */
	pa_sys(SYS_madvise, at, PA_ADDRSET_BYTES, MADV_NOHUGEPAGE);
	pa_sys(SYS_madvise, at, PA_ADDRSET_BYTES, MADV_DONTDUMP);
	buckets = (struct bucket *)(at + (long)PA_ADDRSET_FILTER);
	/* for hooks that began when there was another session */
	__atomic_store_n(&pa_addrset_filter, (_Atomic uint8_t *)at, __ATOMIC_RELEASE);
	return 0;
}

/* Most programs have a few hundred samples alive: these stay on a few pages. When an address finds its buckets full,
 * more of the table comes into use; what is in it stays where it is, and is looked for at every size the table has had.
 */
#define NR_SIZES 3
static const uint32_t nr_buckets[NR_SIZES] = {UINT32_C(1) << 9, UINT32_C(1) << 13, PA_ADDRSET_BUCKETS};
static _Atomic uint32_t size_now;

/* Two buckets an address may be in: of two thirds full, one in some thousand finds both of them full. The second one is
 * never in what was the table before it grew, where all may be full. */
static struct bucket *bucket_of(uintptr_t address, uint32_t size, unsigned choice)
{
	uint64_t hash = (address >> 4) * UINT64_C(0x9e3779b97f4a7c15);
	uint32_t half = nr_buckets[size] / 2;

	return &buckets[choice ? half + (hash >> 32 & (half - 1)) : hash >> 48 & (nr_buckets[size] - 1)];
}

static void filter_up(uintptr_t address)
{
	_Atomic uint8_t *byte = &pa_addrset_filter[pa_addrset_slot(address)];
	uint8_t seen = pa_load_relaxed(byte);

	while (seen != PA_ADDRSET_STUCK && !atomic_compare_exchange_weak(byte, &seen, (uint8_t)(seen + 1)))
		;
}

static void filter_down(uintptr_t address)
{
	_Atomic uint8_t *byte = &pa_addrset_filter[pa_addrset_slot(address)];
	uint8_t seen = pa_load_relaxed(byte);

	while (seen != PA_ADDRSET_STUCK && seen != 0 && !atomic_compare_exchange_weak(byte, &seen, (uint8_t)(seen - 1)))
		;
}

static _Atomic uint64_t *find_in(struct bucket *b, uintptr_t address)
{
	for (unsigned i = 0; i < PA_ADDRSET_WAYS; i++) {
		if (pa_load_relaxed(&b->keys[i]) == address)
			return &b->keys[i];
	}
	return NULL;
}

static _Atomic uint64_t *find(uintptr_t address)
{
	_Atomic uint64_t *key = NULL;

	for (uint32_t size = pa_load_acquire(&size_now) + 1; size-- > 0 && !key;) {
		key = find_in(bucket_of(address, size, 0), address);
		key = key ? key : find_in(bucket_of(address, size, 1), address);
	}
	return key;
}

static bool put(struct bucket *b, uintptr_t address)
{
	for (unsigned i = 0; i < PA_ADDRSET_WAYS; i++) {
		if (pa_load_relaxed(&b->keys[i]) == 0 && pa_claim_u64(&b->keys[i], 0, address))
			return true;
	}
	return false;
}

static bool put_anywhere(uintptr_t address)
{
	for (uint32_t size = pa_load_acquire(&size_now); size < NR_SIZES; size++) {
		if (put(bucket_of(address, size, 0), address) || put(bucket_of(address, size, 1), address))
			return true;
		/* before what goes into the larger one can be looked for */
		pa_claim_u32(&size_now, size, size + 1 < NR_SIZES ? size + 1 : size);
	}
	return false;
}

int pa_addrset_add_hook(uintptr_t address)
{
	/* nobody else adds it: it is the caller's block */
	if (find(address))
		return -EEXIST;
	/* the filter first: whoever finds the address has passed it */
	filter_up(address);
	if (!put_anywhere(address)) {
		filter_down(address);
		return -ENOSPC;
	}
	pa_add_relaxed(&nr_live, 1);
	return 0;
}

bool pa_addrset_remove_hook(uintptr_t address)
{
	_Atomic uint64_t *key = find(address);

	if (!key || !pa_claim_u64(key, address, 0))
		return false;
	filter_down(address);
	pa_add_relaxed(&nr_live, UINT32_MAX);
	return true;
}

#define PAGE     4096u
#define NR_PAGES (PA_ADDRSET_FILTER / PAGE)

/* Pages of the filter with bytes that are to stay. */
static _Atomic uint8_t passing[NR_PAGES];

void pa_addrset_pass_hook(uintptr_t start, size_t bytes)
{
	for (uintptr_t at = start >> PA_ADDRSET_SHIFT << PA_ADDRSET_SHIFT; at < start + bytes;
	     at += 1 << PA_ADDRSET_SHIFT) {
		pa_store_relaxed(&passing[pa_addrset_slot(at) / PAGE], 1);
		pa_store_relaxed(&pa_addrset_filter[pa_addrset_slot(at)], PA_ADDRSET_STUCK);
	}
}

static void wipe_page(_Atomic uint8_t *page)
{
	for (uint32_t i = 0; i < PAGE; i++) {
		if (pa_load_relaxed(&page[i]) != PA_ADDRSET_STUCK)
			pa_store_relaxed(&page[i], 0);
	}
}

/* Whoever adds or takes out at this moment finds, or leaves, a byte that is too high or a key too many: both cost a
 * look and no more. A byte that says that memory is not libc's never goes: a free may be on its way to it. */
void pa_addrset_clear_sig(void)
{
	size_t from = 0;

	if (!pa_addrset_filter)
		return;
	for (uint32_t i = 0; i < NR_PAGES; i++) {
		if (!pa_load_relaxed(&passing[i]))
			continue;
		wipe_page(pa_addrset_filter + i * PAGE);
		pa_sys(SYS_madvise, pa_addrset_filter + from, i * PAGE - from, MADV_DONTNEED);
		from = (i + 1) * PAGE;
	}
	/* the table lies behind the filter */
	pa_sys(SYS_madvise, pa_addrset_filter + from, PA_ADDRSET_BYTES - from, MADV_DONTNEED);
	pa_store_relaxed(&nr_live, 0);
	pa_store_relaxed(&size_now, 0);
}

uint32_t pa_addrset_live_hook(void)
{
	return pa_load_relaxed(&nr_live);
}
