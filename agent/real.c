/* Finding the real functions. World: hook (resolution happens at most once per name; the constructor does them all). */
#include "agent/real.h"

#include <dlfcn.h>

/* dlsym moved from libdl to libc in glibc 2.34. Bound to the old version, and weakly, so that a host with an older
 * glibc and no libdl starts all the same, only without us. */
#if defined(__x86_64__)
__asm__(".symver dlsym,dlsym@GLIBC_2.2.5");
#else
__asm__(".symver dlsym,dlsym@GLIBC_2.17");
#endif
extern __typeof__(dlsym) dlsym __attribute__((weak));

_Atomic(void *) pa_real_table[PA_REAL_NR] PA_HOT;

static const char *const names[PA_REAL_NR] = {
#define X(name) [PA_REAL_##name] = #name,
    PA_REAL_ROWS(X)
#undef X
};

void *pa_real_lookup(const char *name)
{
	return dlsym ? dlsym(RTLD_NEXT, name) : NULL;
}

void *pa_real_resolve(enum pa_real_name name)
{
	void *fn = pa_real_lookup(names[name]);

	if (fn)
		pa_store_relaxed(&pa_real_table[name], fn);
	return fn;
}

void pa_real_init(void)
{
	for (int i = 0; i < PA_REAL_NR; i++)
		pa_real_resolve((enum pa_real_name)i);
}
