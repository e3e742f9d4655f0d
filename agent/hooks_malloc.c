/* malloc, calloc, realloc, reallocarray and all ways to free. Results and errno are the real functions', always. In
 * PA_HEAP_EARLY hooks may touch neither thread-local storage nor anything that needs a relocation. World: hook. */
#include "agent/hooks_malloc.h"

#include <errno.h>
#include <stdlib.h>

#include "agent/addrset_hook.h"
#include "agent/arch/arch.h"

/* libc has these since 2.43, or for old programs only: hidden versions (arch/<cpu>/exports.map), which no dlsym and no
 * weak reference finds where libc has none. */
void pa_hook_free_sized(void *p, size_t size);
void pa_hook_free_aligned_sized(void *p, size_t align, size_t size);
void pa_hook_cfree(void *p);
#define EXPORT_VERSION(hook, version) __asm__(".symver " #hook ", " version ", remove")

/* ---- malloc ----------------------------------------------------------------------------------------------------- */

static PA_COLD void *malloc_early(size_t size)
{
	__typeof__(&malloc) real = (__typeof__(&malloc))pa_bootstrap_real_hook(PA_REAL_malloc);

	return real ? real(size) : pa_bootstrap_alloc_hook(0, size);
}

static PA_ASIDE void *malloc_on(size_t size)
{
	PA_HEAP_CALLER(caller);
	struct pa_alloc_call call;
	void *p;

	if (!pa_alloc_enter(&call))
		return PA_NEXT(malloc)(size);
	p = PA_NEXT(malloc)(size);
	pa_alloc_leave(&call);
	pa_alloc_count(&call, p, size, &caller);
	return p;
}

/* Sampled: bytes are counted before the call, so that nothing is left to do after it. Should the call fail, they were
 * none of the process of points, which has no memory and does not mind. */
PA_EXPORT void *malloc(size_t size)
{
	uint32_t mode;

	if (pa_heap_off())
		return PA_NEXT(malloc)(size);
	mode = pa_load_relaxed(&pa_heap_mode);
	if (PA_LIKELY(mode == PA_HEAP_SAMPLED)) {
		uint64_t weight = pa_heap_weight(size), left = pa_tls.heap_left;

		if (PA_LIKELY(weight < left)) {
			pa_tls.heap_left = left - weight;
			return PA_NEXT(malloc)(size);
		}
	}
	return mode == PA_HEAP_EARLY ? malloc_early(size) : malloc_on(size);
}

/* ---- free ------------------------------------------------------------------------------------------------------- */

static PA_COLD void free_early(void *p)
{
	__typeof__(&free) real;

	if (pa_bootstrap_owns_hook(p)) {
		pa_bootstrap_free_hook(p);
		return;
	}
	real = (__typeof__(&free))pa_bootstrap_real_hook(PA_REAL_free);
	if (real)
		real(p);
}

static PA_COLD void free_sampled(void *p)
{
	if (pa_bootstrap_owns_hook(p)) {
		pa_bootstrap_free_hook(p);
		return;
	}
	/* inside another hook, too: the address will be used again */
	pa_hook_begin(1);
	pa_sampled_free_hook(p);
	pa_tls.in_hook--;
	PA_NEXT(free)(p);
}

static PA_ASIDE void free_exact(void *p)
{
	if (pa_bootstrap_owns_hook(p)) {
		pa_bootstrap_free_hook(p);
		return;
	}
	if (!p || (pa_tls.in_hook && !pa_heap_resume_hook(__builtin_frame_address(0)))) {
		if (p)
			pa_heap_passed();
		PA_NEXT(free)(p);
		return;
	}
	pa_hook_begin(1);
	pa_exact_free_hook(p);
	pa_tls.in_hook += PA_HOOK_IN_REAL - 1;
	PA_NEXT(free)(p);
	pa_tls.in_hook -= PA_HOOK_IN_REAL;
}

static PA_COLD void free_command(void *p)
{
	uint32_t mode = pa_command_hook();

	if (mode == PA_HEAP_EXACT)
		free_exact(p);
	else if (mode == PA_HEAP_SAMPLED && pa_addrset_may_hold(p))
		free_sampled(p);
	else
		free_early(p);
}

static inline __attribute__((always_inline)) void free_any(void *p)
{
	uint32_t mode;

	if (pa_heap_off()) {
		PA_NEXT(free)(p);
		return;
	}
	mode = pa_load_relaxed(&pa_heap_mode);
	if (PA_LIKELY(mode == PA_HEAP_SAMPLED)) {
		if (PA_LIKELY(!pa_addrset_may_hold(p)))
			PA_NEXT(free)(p);
		else
			free_sampled(p);
	} else if (mode == PA_HEAP_EXACT) {
		free_exact(p);
	} else if (mode == PA_HEAP_EARLY) {
		free_early(p);
	} else {
		free_command(p);
	}
}

PA_EXPORT void free(void *p)
{
	free_any(p);
}

/* What is known of the block is a hint: free does the same. */
PA_EXPORT void pa_hook_free_sized(void *p, size_t size)
{
	free_any(p);
}

PA_EXPORT void pa_hook_free_aligned_sized(void *p, size_t align, size_t size)
{
	free_any(p);
}

PA_EXPORT void pa_hook_cfree(void *p)
{
	free_any(p);
}

EXPORT_VERSION(pa_hook_free_sized, "free_sized@GLIBC_2.43");
EXPORT_VERSION(pa_hook_free_aligned_sized, "free_aligned_sized@GLIBC_2.43");
EXPORT_VERSION(pa_hook_cfree, "cfree@" PA_ARCH_LIBC_FIRST);

/* ---- calloc ----------------------------------------------------------------------------------------------------- */

static void *calloc_early(size_t nr, size_t each)
{
	__typeof__(&calloc) real = (__typeof__(&calloc))pa_bootstrap_real_hook(PA_REAL_calloc);
	size_t size;

	if (real)
		return real(nr, each);
	return __builtin_mul_overflow(nr, each, &size) ? NULL : pa_bootstrap_alloc_hook(0, size);
}

static PA_ASIDE void *calloc_on(size_t nr, size_t each)
{
	PA_HEAP_CALLER(caller);
	struct pa_alloc_call call;
	void *p;

	if (pa_load_relaxed(&pa_heap_mode) == PA_HEAP_EARLY)
		return calloc_early(nr, each);
	if (!pa_alloc_enter(&call))
		return PA_NEXT(calloc)(nr, each);
	p = PA_NEXT(calloc)(nr, each);
	pa_alloc_leave(&call);
	pa_alloc_count(&call, p, nr * each, &caller);
	return p;
}

PA_EXPORT void *calloc(size_t nr, size_t each)
{
	if (pa_heap_off())
		return PA_NEXT(calloc)(nr, each);
	return calloc_on(nr, each);
}

/* ---- realloc ---------------------------------------------------------------------------------------------------- */

static void *realloc_to_nothing(void *p)
{
	__typeof__(&realloc) real = (__typeof__(&realloc))pa_bootstrap_real_hook(PA_REAL_realloc);

	return real ? real(p, 0) : p;
}

/* Before the agent is relocated there is no memcpy: the barrier keeps compilers from making one of the loop. */
static void copy_bytes(uint8_t *to, const uint8_t *from, size_t nr)
{
	for (size_t i = 0; i < nr; i++) {
		to[i] = from[i];
		__asm__("" : : : "memory");
	}
}

/* A pointer of the arena becomes one of the real heap; the arena's is not used again. */
static void *realloc_bootstrap(void *old, size_t size)
{
	size_t had = pa_bootstrap_size_hook(old);
	__typeof__(&malloc) real = (__typeof__(&malloc))pa_bootstrap_real_hook(PA_REAL_malloc);
	void *p;

	/* what becomes of no bytes is the real allocator's custom: it is asked with a block of its own */
	p = real ? real(size ? size : 1) : pa_bootstrap_alloc_hook(0, size);
	if (!p)
		return NULL;
	copy_bytes(p, old, had < size ? had : size);
	pa_bootstrap_free_hook(old);
	return real && !size ? realloc_to_nothing(p) : p;
}

static void *realloc_early(void *old, size_t size)
{
	__typeof__(&realloc) real = (__typeof__(&realloc))pa_bootstrap_real_hook(PA_REAL_realloc);

	if (old && pa_bootstrap_owns_hook(old))
		return realloc_bootstrap(old, size);
	if (real)
		return real(old, size);
	return old ? NULL : pa_bootstrap_alloc_hook(0, size);
}

/* What was known of the old block while the real call is on. */
struct renewed {
	bool sampled;
	uint64_t stamp;
};

static void renew_begin(const struct pa_alloc_call *call, const void *old, struct renewed *r)
{
	*r = (struct renewed){0};
	pa_tls.in_hook++;
	if (call->mode == PA_HEAP_EXACT)
		r->stamp = pa_exact_stamp_hook();
	else if (old && pa_addrset_may_hold(old))
		r->sampled = pa_sampled_take_hook(old, &r->stamp);
	pa_tls.in_hook--;
}

/* A result of NULL for no bytes: the real function took it for a free. */
static void renew_end(const struct pa_alloc_call *call, const void *old, const struct renewed *r, const void *p,
		      size_t size, const struct pa_caller *caller)
{
	if (call->mode == PA_HEAP_EXACT) {
		if (!p && (size || !old))
			return;
		pa_hook_begin(1);
		pa_exact_realloc_hook(old, r->stamp, p, size, caller);
		pa_tls.in_hook--;
		return;
	}
	if (r->sampled) {
		pa_hook_begin(1);
		if (p || !size)
			pa_sampled_freed_hook(old, r->stamp);
		else
			pa_sampled_keep_hook(old);
		pa_tls.in_hook--;
	}
	pa_alloc_count(call, p, size, caller);
}

static PA_ASIDE void *realloc_on(void *old, size_t size)
{
	PA_HEAP_CALLER(caller);
	struct pa_alloc_call call;
	struct renewed r;
	void *p;

	if (pa_load_relaxed(&pa_heap_mode) == PA_HEAP_EARLY)
		return realloc_early(old, size);
	if (old && pa_bootstrap_owns_hook(old))
		return realloc_bootstrap(old, size);
	if (!pa_alloc_enter(&call))
		return PA_NEXT(realloc)(old, size);
	renew_begin(&call, old, &r);
	p = PA_NEXT(realloc)(old, size);
	pa_alloc_leave(&call);
	renew_end(&call, old, &r, p, size, &caller);
	return p;
}

PA_EXPORT void *realloc(void *old, size_t size)
{
	if (pa_heap_off())
		return PA_NEXT(realloc)(old, size);
	return realloc_on(old, size);
}

/* Libc's is older than some libcs we run with, and calls realloc: ours, which passes through or does the work. */
static PA_COLD void *reallocarray_on(void *old, size_t nr, size_t each)
{
	PA_HEAP_CALLER(caller);
	__typeof__(&reallocarray) real = (__typeof__(&reallocarray))pa_bootstrap_real_hook(PA_REAL_reallocarray);
	struct pa_alloc_call call;
	struct renewed r;
	size_t size;
	void *p;
	bool fits = !__builtin_mul_overflow(nr, each, &size);

	if (!real || (old && pa_bootstrap_owns_hook(old))) {
		if (fits)
			return realloc_on(old, size);
		errno = ENOMEM;
		return NULL;
	}
	/* a product of 2^64 is not the 0 bytes that free the old block */
	if (!fits || !pa_alloc_enter(&call))
		return real(old, nr, each);
	renew_begin(&call, old, &r);
	p = real(old, nr, each);
	pa_alloc_leave(&call);
	renew_end(&call, old, &r, p, size, &caller);
	return p;
}

PA_EXPORT void *reallocarray(void *old, size_t nr, size_t each)
{
	if (pa_heap_off() && PA_NEXT(reallocarray))
		return PA_NEXT(reallocarray)(old, nr, each);
	return reallocarray_on(old, nr, each);
}
