/* The page probe: rt_sigprocmask with an operation that does not exist. The kernel copies the new mask in before it
 * looks at the operation: EFAULT says the page cannot be read, EINVAL that it can; no mask is changed either way.
 * World: signal. */
#include "agent/probe_sig.h"

#include <errno.h>
#include <sys/auxv.h>

#include "agent/hot.h"
#include "agent/sysdep.h"
#include "common/atomics.h"

#define NO_OPERATION (-1L)
#define MASK_BYTES   8

static uint64_t page_size PA_HOT = 4096;
static bool works PA_HOT;
static _Atomic(bool) quiet;

static bool answers(uint64_t addr, long want)
{
	return pa_sys(SYS_rt_sigprocmask, NO_OPERATION, addr, 0, MASK_BYTES) == want;
}

bool pa_probe_init(void)
{
	static const uint64_t here;
	unsigned long size = getauxval(AT_PAGESZ);

	if (size)
		page_size = size;
	/* an emulated kernel may look at the operation first: then EINVAL says nothing */
	works = answers((uint64_t)(uintptr_t)&here, -EINVAL) && answers(8, -EFAULT);
	return works;
}

void pa_probe_set_quiet_sig(bool on)
{
	pa_store_relaxed(&quiet, on);
}

bool pa_probe_is_quiet_sig(void)
{
	return pa_load_relaxed(&quiet);
}

static bool probe(struct pa_pages *pages, uint64_t page)
{
	if (!works || pa_load_relaxed(&quiet) || !answers(page, -EINVAL))
		return false;
	if (page == pages->hi) {
		pages->hi += page_size;
	} else if (page + page_size == pages->lo) {
		pages->lo = page;
	} else {
		pages->lo = page;
		pages->hi = page + page_size;
	}
	return true;
}

bool pa_probe_range_sig(struct pa_pages *pages, uint64_t addr, uint64_t len)
{
	uint64_t end = addr + len;

	if (end < addr || end >> 48)
		return false;
	for (uint64_t page = addr & ~(page_size - 1); page < end; page += page_size)
		if ((page < pages->lo || page >= pages->hi) && !probe(pages, page))
			return false;
	return true;
}
