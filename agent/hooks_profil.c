/* libc's own profiler (programs built with -pg, profil): it takes SIGPROF and ITIMER_PROF inside libc, past the other
 * hooks, so we give way when it is called. World: hook. */
#include <signal.h>
#include <sys/gmon.h>
#include <sys/profil.h>
#include <unistd.h>

#include "agent/real.h"
#include "agent/session.h"
#include "agent/signal.h"

void moncontrol(int on); /* no header has it any more */

static void give_way(void)
{
	pa_session_adopt_hook();
	if (pa_signal_is_ours_sig(SIGPROF) && pa_session_is_mine_hook())
		pa_signal_yield_hook(SIGPROF);
}

PA_EXPORT void __monstartup(unsigned long low, unsigned long high)
{
	give_way();
	PA_REAL(__monstartup)(low, high);
}

PA_EXPORT void monstartup(unsigned long low, unsigned long high)
{
	give_way();
	PA_REAL(monstartup)(low, high);
}

PA_EXPORT void moncontrol(int on)
{
	give_way();
	PA_REAL(moncontrol)(on);
}

PA_EXPORT int profil(unsigned short *buffer, size_t size, size_t offset, unsigned int scale)
{
	give_way();
	return PA_REAL(profil)(buffer, size, offset, scale);
}

PA_EXPORT int sprofil(struct prof *regions, int nr, struct timeval *resolution, unsigned int flags)
{
	give_way();
	return PA_REAL(sprofil)(regions, nr, resolution, flags);
}
