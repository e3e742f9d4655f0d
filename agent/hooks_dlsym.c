/* dlsym: what a program has loaded it uses by looking a name up in it, and that is when libraries in it are looked for
 * (libs_sig.h). The loader takes the caller of dlsym from the return address, as it does for dlopen (F1): the real
 * function is jumped to, after what we have to do. World: hook. */
#include <dlfcn.h>

#include "agent/hooks_malloc.h"
#include "agent/libs_sig.h"
#include "agent/real.h"
#include "agent/session.h"

static PA_COLD void look(void)
{
	if (pa_session_is_mine_hook())
		pa_libs_look_sig();
}

PA_EXPORT void *dlsym(void *restrict handle, const char *restrict name)
{
	__typeof__(&dlsym) real;

	if (__builtin_expect(pa_load_relaxed(&pa_libs_watched) != 0, 0))
		look();
	real = PA_REAL(dlsym);
	return real ? real(handle, name) : NULL;
}
