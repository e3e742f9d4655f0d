/* Exact mode where its engine is not linked: declined. World: hook. */
#include <errno.h>

#include "agent/heap_hook.h"

#define ABSENT __attribute__((weak))

ABSENT void pa_exact_alloc_hook(const void *p, size_t size, const struct pa_caller *caller)
{
}

ABSENT void pa_exact_free_hook(const void *p)
{
}

ABSENT uint64_t pa_exact_stamp_hook(void)
{
	return 0;
}

ABSENT void pa_exact_realloc_hook(const void *old, uint64_t stamp, const void *p, size_t size,
				  const struct pa_caller *caller)
{
}

ABSENT void pa_exact_map_hook(const void *p, size_t size, const struct pa_caller *caller)
{
}

ABSENT void pa_exact_unmap_hook(const void *p, size_t size)
{
}

ABSENT void pa_exact_leave_hook(void)
{
}

ABSENT void pa_exact_forget_hook(void)
{
}

ABSENT bool pa_exact_has_rings(void)
{
	return false;
}

ABSENT int pa_exact_map_rings(int fd, const struct pa_control *control)
{
	return -ENOSYS;
}
