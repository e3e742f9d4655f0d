/* What `perfagent record` and the agent agree on about LD_PRELOAD. World: signal (pure).
 *
 * AddressSanitizer's runtime, as a library of its own, ends the program when another library comes before it in the
 * list of loaded libraries. So record puts it before the agent: "libasan.so.8::/usr/lib/libperfagent.so". The doubled
 * colon is an empty entry, which the loader skips; it tells this runtime, which came with the agent and goes with it,
 * from one that the program's user has put there. The shared runtimes of the other sanitizers (gcc 12: thread, leak,
 * undefined) do not mind.
 */
#ifndef PA_COMMON_PRELOAD_H
#define PA_COMMON_PRELOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#define PA_PRELOAD_MARK     "::"
#define PA_PRELOAD_NAME_MAX 64 /* bytes of a runtime's file name, the terminator included */

/* Whether a library (path of len bytes) is a runtime that insists on being first: gcc's, or clang's with
 * -shared-libasan (libclang_rt.asan-x86_64.so). */
static inline bool pa_preload_is_runtime(const char *path, size_t len)
{
	static const char *const names[] = {"libasan.so", "libclang_rt.asan"};

	for (size_t i = len; i > 0; i--) {
		if (path[i - 1] == '/') {
			path += i;
			len -= i;
			break;
		}
	}
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		if (len >= strlen(names[i]) && memcmp(path, names[i], strlen(names[i])) == 0)
			return true;
	}
	return false;
}

#endif
