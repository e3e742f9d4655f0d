/* Allocations at an alignment. Which alignments and sizes are refused, and with what errno, differs between allocators
 * and versions: the real functions decide. World: hook. */
#include <errno.h>
#include <malloc.h>
#include <stdlib.h>

#include "agent/hooks_malloc.h"

#define PAGE 4096u

/* Before the real functions are known nobody can be asked: the arena's way is that of the standard. */
static void *early(size_t align, size_t size)
{
	return align & (align - 1) ? NULL : pa_bootstrap_alloc_hook(align, size);
}

static PA_COLD int posix_memalign_on(void **at, size_t align, size_t size)
{
	PA_HEAP_CALLER(caller);
	__typeof__(&posix_memalign) real = (__typeof__(&posix_memalign))pa_bootstrap_real_hook(PA_REAL_posix_memalign);
	struct pa_alloc_call call;
	int err;

	if (!real) {
		if (!align || align % sizeof(void *) || (align & (align - 1)))
			return EINVAL;
		*at = early(align, size);
		return *at ? 0 : ENOMEM;
	}
	if (!pa_alloc_enter(&call))
		return real(at, align, size);
	err = real(at, align, size);
	pa_alloc_leave(&call);
	if (!err)
		pa_alloc_count(&call, *at, size, &caller);
	return err;
}

PA_EXPORT int posix_memalign(void **at, size_t align, size_t size)
{
	if (pa_heap_off())
		return PA_NEXT(posix_memalign)(at, align, size);
	return posix_memalign_on(at, align, size);
}

typedef void *aligned_fn(size_t align, size_t size);

/* The two of the same form. */
static inline __attribute__((always_inline)) void *aligned_on(aligned_fn *real, size_t align, size_t size,
							      const struct pa_caller *caller)
{
	struct pa_alloc_call call;
	void *p;

	if (!real)
		return early(align, size);
	if (!pa_alloc_enter(&call))
		return real(align, size);
	p = real(align, size);
	pa_alloc_leave(&call);
	pa_alloc_count(&call, p, size, caller);
	return p;
}

static PA_COLD void *aligned_alloc_on(size_t align, size_t size)
{
	PA_HEAP_CALLER(caller);

	return aligned_on((aligned_fn *)pa_bootstrap_real_hook(PA_REAL_aligned_alloc), align, size, &caller);
}

PA_EXPORT void *aligned_alloc(size_t align, size_t size)
{
	if (pa_heap_off())
		return PA_NEXT(aligned_alloc)(align, size);
	return aligned_alloc_on(align, size);
}

static PA_COLD void *memalign_on(size_t align, size_t size)
{
	PA_HEAP_CALLER(caller);

	return aligned_on((aligned_fn *)pa_bootstrap_real_hook(PA_REAL_memalign), align, size, &caller);
}

PA_EXPORT void *memalign(size_t align, size_t size)
{
	if (pa_heap_off())
		return PA_NEXT(memalign)(align, size);
	return memalign_on(align, size);
}

typedef void *paged_fn(size_t size);

static inline __attribute__((always_inline)) void *paged_on(paged_fn *real, size_t size, const struct pa_caller *caller)
{
	struct pa_alloc_call call;
	void *p;

	if (!real)
		return early(PAGE, size);
	if (!pa_alloc_enter(&call))
		return real(size);
	p = real(size);
	pa_alloc_leave(&call);
	pa_alloc_count(&call, p, size, caller);
	return p;
}

static PA_COLD void *valloc_on(size_t size)
{
	PA_HEAP_CALLER(caller);

	return paged_on((paged_fn *)pa_bootstrap_real_hook(PA_REAL_valloc), size, &caller);
}

PA_EXPORT void *valloc(size_t size)
{
	if (pa_heap_off())
		return PA_NEXT(valloc)(size);
	return valloc_on(size);
}

static PA_COLD void *pvalloc_on(size_t size)
{
	PA_HEAP_CALLER(caller);

	return paged_on((paged_fn *)pa_bootstrap_real_hook(PA_REAL_pvalloc), size, &caller);
}

PA_EXPORT void *pvalloc(size_t size)
{
	if (pa_heap_off())
		return PA_NEXT(pvalloc)(size);
	return pvalloc_on(size);
}
