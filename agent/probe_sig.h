/* Asking the kernel whether memory can be read, without reading it. World: signal. */
#ifndef PA_AGENT_PROBE_SIG_H
#define PA_AGENT_PROBE_SIG_H

#include <stdbool.h>
#include <stdint.h>

/* Pages a walk found readable: lo <= a < hi, whole pages. Valid for the length of a walk only. */
struct pa_pages {
	uint64_t lo;
	uint64_t hi;
};

/* Finds out whether the kernel answers as needed; until it was called, and when it does not, every probe says no.
 * Returns whether probes work.   World: plain (constructor). */
bool pa_probe_init(void);

/* No system call from now on (true), or again (false): every probe says no. */
void pa_probe_set_quiet_sig(bool quiet);
bool pa_probe_is_quiet_sig(void);

/* Whether addr .. addr + len - 1 can be read now. Asks once per page not in *pages, and adds to it.
 * Errors: false: unreadable, beyond user space, or no way to find out.   Source: 135 ns a page where a system call
 * costs 140 ns; process_vm_readv takes 1 290, mincore 900, a pipe 670. */
bool pa_probe_range_sig(struct pa_pages *pages, uint64_t addr, uint64_t len);

#endif
