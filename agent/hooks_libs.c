/* The libraries other than libc whose functions the agent stands in front of (libs_sig.h). World: hook. */
#include "agent/hooks_libs.h"

const struct pa_lib *const pa_libs_all[] = {&pa_lib_sqlite, &pa_lib_tls, NULL};
