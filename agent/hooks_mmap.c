/* mmap, munmap, mremap, brk and sbrk, where mappings are wanted beside the allocator's blocks: what a program maps by
 * itself. What libc maps inside (for malloc, thread stacks, the loader) comes through no hook. World: hook. */
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "agent/addrset_hook.h"
#include "agent/hooks_malloc.h"
#include "agent/sysdep.h"

#define PAGE 4096u

/* libc declares it with "..."; the fifth argument is a word in a register either way */
void *pa_hook_mremap(void *old, size_t old_size, size_t size, int flags, void *at) __asm__("mremap");

typedef void *mremap_fn(void *old, size_t old_size, size_t size, int flags, void *at);
typedef void *mmap_fn(void *at, size_t size, int prot, int flags, int fd, off_t offset);

static inline bool maps_wanted(void)
{
	return __builtin_expect(pa_load_relaxed(&pa_heap_maps), 0);
}

static bool is_error(long result)
{
	return result < 0 && result > -4096;
}

/* Of a hook that no library is there for yet: the system call. */
static long call_system(long number, long a, long b, long c, long d, long e, long f)
{
	long ret = pa_sys(number, a, b, c, d, e, f);

	if (!is_error(ret))
		return ret;
	errno = (int)-ret;
	return -1;
}

static void count_map(const struct pa_alloc_call *call, const void *p, size_t size, const struct pa_caller *caller)
{
	if (call->mode == PA_HEAP_SAMPLED && pa_heap_weight(size) < pa_tls.heap_left) {
		pa_tls.heap_left -= pa_heap_weight(size);
		return;
	}
	pa_hook_begin(1);
	if (call->mode == PA_HEAP_SAMPLED)
		pa_sampled_map_hook(p, size, caller);
	else
		pa_exact_map_hook(p, size, caller);
	pa_tls.in_hook--;
}

/* Sampled: a mapping counts as gone when its first page is. */
static void count_unmap(const struct pa_alloc_call *call, const void *p, size_t size)
{
	pa_hook_begin(1);
	if (call->mode == PA_HEAP_EXACT)
		pa_exact_unmap_hook(p, size);
	else if (pa_addrset_may_hold(p))
		pa_sampled_free_hook(p);
	pa_tls.in_hook--;
}

static PA_COLD void *mmap_on(void *at, size_t size, int prot, int flags, int fd, off_t offset)
{
	PA_HEAP_CALLER(caller);
	mmap_fn *real = (mmap_fn *)pa_bootstrap_real_hook(PA_REAL_mmap);
	struct pa_alloc_call call;
	void *p;

	if (!real)
		return (void *)call_system(SYS_mmap, (long)at, (long)size, prot, flags, fd, offset);
	if (!maps_wanted() || !pa_alloc_enter(&call))
		return real(at, size, prot, flags, fd, offset);
	p = real(at, size, prot, flags, fd, offset);
	pa_alloc_leave(&call);
	if (p != MAP_FAILED)
		count_map(&call, p, size, &caller);
	return p;
}

PA_EXPORT void *mmap(void *at, size_t size, int prot, int flags, int fd, off_t offset)
{
	mmap_fn *real = PA_NEXT(mmap);

	if (PA_LIKELY(real && !maps_wanted()))
		return real(at, size, prot, flags, fd, offset);
	return mmap_on(at, size, prot, flags, fd, offset);
}

PA_EXPORT void *mmap64(void *at, size_t size, int prot, int flags, int fd, off64_t offset)
{
	mmap_fn *real = PA_NEXT(mmap64);

	if (PA_LIKELY(real && !maps_wanted()))
		return real(at, size, prot, flags, fd, offset);
	return mmap_on(at, size, prot, flags, fd, offset);
}

static PA_COLD int munmap_on(void *at, size_t size)
{
	__typeof__(&munmap) real = (__typeof__(&munmap))pa_bootstrap_real_hook(PA_REAL_munmap);
	struct pa_alloc_call call;
	int ret;

	if (!real)
		return (int)call_system(SYS_munmap, (long)at, (long)size, 0, 0, 0, 0);
	if (!maps_wanted() || !pa_alloc_enter(&call))
		return real(at, size);
	/* before the call, as of every free: the address may be another's right after it. It fails for bad arguments
	 * only */
	pa_alloc_leave(&call);
	if (size && !((uintptr_t)at % PAGE))
		count_unmap(&call, at, size);
	pa_hook_begin(PA_HOOK_IN_REAL);
	ret = real(at, size);
	pa_tls.in_hook -= PA_HOOK_IN_REAL;
	return ret;
}

PA_EXPORT int munmap(void *at, size_t size)
{
	__typeof__(&munmap) real = PA_NEXT(munmap);

	if (PA_LIKELY(real && !maps_wanted()))
		return real(at, size);
	return munmap_on(at, size);
}

/* Sampled: the old mapping is taken out before the call and goes back when that fails. */
static void *mremap_sampled(mremap_fn *real, struct pa_alloc_call *call, void *old, size_t old_size, size_t size,
			    int flags, void *at, const struct pa_caller *caller)
{
	uint64_t stamp = 0;
	bool taken;
	void *p;

	pa_tls.in_hook++;
	taken = old_size && pa_addrset_may_hold(old) && pa_sampled_take_hook(old, &stamp);
	pa_tls.in_hook--;
	p = real(old, old_size, size, flags, at);
	pa_alloc_leave(call);
	pa_hook_begin(1);
	if (taken && p == MAP_FAILED)
		pa_sampled_keep_hook(old);
	else if (taken)
		pa_sampled_freed_hook(old, stamp);
	pa_tls.in_hook--;
	if (p != MAP_FAILED)
		count_map(call, p, size, caller);
	return p;
}

static PA_COLD void *mremap_on(void *old, size_t old_size, size_t size, int flags, void *at)
{
	PA_HEAP_CALLER(caller);
	mremap_fn *real = (mremap_fn *)pa_bootstrap_real_hook(PA_REAL_mremap);
	struct pa_alloc_call call;
	void *p;

	if (!real)
		return (void *)call_system(SYS_mremap, (long)old, (long)old_size, (long)size, flags, (long)at, 0);
	if (!maps_wanted() || !pa_alloc_enter(&call))
		return real(old, old_size, size, flags, at);
	if (call.mode == PA_HEAP_SAMPLED)
		return mremap_sampled(real, &call, old, old_size, size, flags, at, &caller);
	p = real(old, old_size, size, flags, at);
	pa_alloc_leave(&call);
	if (p == MAP_FAILED)
		return p;
	/* the two records are as close together as they can be: what comes of the old addresses in between is seen in
	 * the wrong order. An old size of 0 makes a second mapping */
	pa_hook_begin(1);
	if (old_size)
		pa_exact_unmap_hook(old, old_size);
	pa_exact_map_hook(p, size, &caller);
	pa_tls.in_hook--;
	return p;
}

PA_EXPORT void *pa_hook_mremap(void *old, size_t old_size, size_t size, int flags, void *at)
{
	mremap_fn *real = (mremap_fn *)pa_load_relaxed(&pa_real_table[PA_REAL_mremap]);

	if (PA_LIKELY(real && !maps_wanted()))
		return real(old, old_size, size, flags, at);
	return mremap_on(old, old_size, size, flags, at);
}

/* The break has moved from `before` to `after`. */
static void count_break(const struct pa_alloc_call *call, uintptr_t before, uintptr_t after,
			const struct pa_caller *caller)
{
	if (after > before)
		count_map(call, (void *)before, after - before, caller);
	else if (after < before)
		count_unmap(call, (void *)after, before - after);
}

static uintptr_t current_break(void)
{
	return (uintptr_t)pa_sys(SYS_brk, 0);
}

static PA_COLD int brk_on(void *end)
{
	PA_HEAP_CALLER(caller);
	__typeof__(&brk) real = (__typeof__(&brk))pa_bootstrap_real_hook(PA_REAL_brk);
	struct pa_alloc_call call;
	uintptr_t before;
	int ret;

	if (!real) {
		errno = ENOMEM;
		return -1;
	}
	if (!maps_wanted() || !pa_alloc_enter(&call))
		return real(end);
	before = current_break();
	ret = real(end);
	pa_alloc_leave(&call);
	if (ret == 0)
		count_break(&call, before, (uintptr_t)end, &caller);
	return ret;
}

PA_EXPORT int brk(void *end)
{
	__typeof__(&brk) real = PA_NEXT(brk);

	if (PA_LIKELY(real && !maps_wanted()))
		return real(end);
	return brk_on(end);
}

static PA_COLD void *sbrk_on(intptr_t by)
{
	PA_HEAP_CALLER(caller);
	__typeof__(&sbrk) real = (__typeof__(&sbrk))pa_bootstrap_real_hook(PA_REAL_sbrk);
	struct pa_alloc_call call;
	void *p;

	if (!real) {
		errno = ENOMEM;
		return (void *)-1;
	}
	if (!maps_wanted() || !pa_alloc_enter(&call))
		return real(by);
	p = real(by);
	pa_alloc_leave(&call);
	if (p != (void *)-1)
		count_break(&call, (uintptr_t)p, (uintptr_t)p + (uintptr_t)by, &caller);
	return p;
}

PA_EXPORT void *sbrk(intptr_t by)
{
	__typeof__(&sbrk) real = PA_NEXT(sbrk);

	if (PA_LIKELY(real && !maps_wanted()))
		return real(by);
	return sbrk_on(by);
}
