/* Loading the reference unwinder on request. World: plain (constructor). */
#include "agent/reference.h"

#include <dlfcn.h>
#include <errno.h>
#include <string.h>

#include "agent/hot.h"
#include "agent/real.h"
#include "agent/session.h"
#include "agent/walk_sig.h"

#define LIBRARY "libperfagent-unwind.so"

enum pa_unwinder pa_unwinder PA_HOT;
pa_reference_walk_fn *pa_reference_walk PA_HOT;
void (*pa_reference_flush)(void);

/* The path of the library beside our own. Returns false when it does not fit. */
static bool beside_us(char *path, size_t size)
{
	typedef int dladdr_fn(const void *, Dl_info *);
	dladdr_fn *find = (dladdr_fn *)pa_real_lookup("dladdr");
	const char *slash;
	Dl_info info;
	size_t dir;

	if (!find || !find((const void *)(uintptr_t)pa_reference_init, &info) || !info.dli_fname)
		return false;
	slash = strrchr(info.dli_fname, '/');
	dir = slash ? (size_t)(slash + 1 - info.dli_fname) : 0;
	if (dir + sizeof(LIBRARY) > size)
		return false;
	memcpy(path, info.dli_fname, dir);
	memcpy(path + dir, LIBRARY, sizeof(LIBRARY));
	return true;
}

int pa_reference_init(const char *wanted)
{
	typedef void *dlopen_fn(const char *, int);
	typedef void *dlsym_fn(void *, const char *);
	dlopen_fn *open = (dlopen_fn *)pa_real_lookup("dlopen");
	dlsym_fn *sym = (dlsym_fn *)pa_real_lookup("dlsym");
	enum pa_unwinder mode = strcmp(wanted, "compare") == 0     ? PA_UNWINDER_COMPARE
				: strcmp(wanted, "libunwind") == 0 ? PA_UNWINDER_REFERENCE
								   : PA_UNWINDER_OWN;
	char path[512];
	int (*ready)(void);
	void *handle;

	if (mode == PA_UNWINDER_OWN)
		return -EINVAL;
	handle = open && sym && beside_us(path, sizeof(path)) ? open(path, RTLD_NOW | RTLD_LOCAL) : NULL;
	if (!handle)
		return -ENOENT;
	ready = (int (*)(void))sym(handle, "pa_unwind_ready");
	if (!ready || !ready())
		return -ENOENT;
	pa_reference_walk = (pa_reference_walk_fn *)sym(handle, "pa_unwind_walk");
	pa_reference_flush = (void (*)(void))sym(handle, "pa_unwind_flush");
	pa_unwinder = mode;
	return 0;
}
