/* See libs_sig.h. World: plain (constructor). */
#include <link.h>
#include <sys/auxv.h>

#include "agent/libs_sig.h"
#include "agent/loaded_sig.h"
#include "agent/real.h"

extern const char __ehdr_start[] __attribute__((visibility("hidden")));

void pa_libs_init(void)
{
	pa_loaded_init(pa_real_lookup("_r_debug"), getauxval(AT_PAGESZ), __ehdr_start);
}
