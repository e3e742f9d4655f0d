/* Finding the real functions. World: hook (resolution happens at most once per name; the constructor does them all). */
#include "agent/real.h"

#include <dlfcn.h>
#include <stdint.h>
#include <string.h>

#include "agent/got.h"
#include "agent/got_sig.h"

/* dlvsym and dlsym moved from libdl to libc in glibc 2.34. Bound to the old version, and weakly, so that a host with an
 * older glibc and no libdl starts all the same, only without us. dlsym itself is interposed: the next one is asked for.
 */
#if defined(__x86_64__)
#define FIRST_VERSION "GLIBC_2.2.5"
#define COND_VERSION  "GLIBC_2.3.2"
#else
#define FIRST_VERSION "GLIBC_2.17"
#define COND_VERSION  "GLIBC_2.17"
#endif
__asm__(".symver dlvsym,dlvsym@" FIRST_VERSION);
extern __typeof__(dlvsym) dlvsym __attribute__((weak));

_Atomic(void *) pa_real_table[PA_REAL_NR] PA_HOT;

static const char *const names[PA_REAL_NR] = {
#define X(name) [PA_REAL_##name] = #name,
    PA_REAL_ROWS(X)
#undef X
};

static bool is_ours(const void *fn)
{
	extern const char __ehdr_start[] __attribute__((visibility("hidden")));
	extern const char _end[] __attribute__((visibility("hidden")));

	return (uintptr_t)fn >= (uintptr_t)__ehdr_start && (uintptr_t)fn < (uintptr_t)_end;
}

/* The only names of ours that libc has twice: of conditions of another size, too. A look-up by name alone finds those
 * in some releases; what others put in front of libc has no versions, and must not be passed by. */
static void *by_version(void *handle, const char *name)
{
	__typeof__(&dlsym) next = PA_REAL(dlsym);
	void *fn = next ? next(handle, name) : NULL, *newer;

	if (!fn || (strcmp(name, "pthread_cond_wait") != 0 && strcmp(name, "pthread_cond_timedwait") != 0) ||
	    fn != dlvsym(handle, name, FIRST_VERSION))
		return fn;
	newer = dlvsym(handle, name, COND_VERSION);
	return newer ? newer : fn;
}

/* Loaded late we are the last in the order of look-up: what comes first is what the program's calls lead to, be it
 * libc's, the program's own, or an allocator's that was preloaded. */
void *pa_real_lookup(const char *name)
{
	void *fn;

	if (!pa_got_is_late_sig())
		return by_version(RTLD_NEXT, name);
	fn = by_version(RTLD_DEFAULT, name);
	return is_ours(fn) ? NULL : fn;
}

static void *lookup_dlsym(void)
{
	void *fn;

	if (!dlvsym)
		return NULL;
	fn = dlvsym(pa_got_is_late_sig() ? RTLD_DEFAULT : RTLD_NEXT, "dlsym", FIRST_VERSION);
	return is_ours(fn) ? NULL : fn;
}

void *pa_real_resolve(enum pa_real_name name)
{
	void *fn = name == PA_REAL_dlsym ? lookup_dlsym() : pa_real_lookup(names[name]);

	if (fn)
		pa_store_relaxed(&pa_real_table[name], fn);
	return fn;
}

void pa_real_init(void)
{
	pa_got_set_late_sig(pa_got_came_late());
	for (int i = 0; i < PA_REAL_NR; i++)
		pa_real_resolve((enum pa_real_name)i);
}
