/* Start of the walker: what the C library and the kernel offer. World: plain (constructor). */
#include <errno.h>

#include "agent/probe_sig.h"
#include "agent/real.h"
#include "agent/rules_sig.h"

int pa_walk_init(void)
{
	int (*finder)(void *, struct pa_find_object *) =
	    (int (*)(void *, struct pa_find_object *))pa_real_lookup("_dl_find_object");

	pa_probe_init();
	pa_rules_set_finder(finder);
	return finder ? 0 : -ENOSYS;
}
