/* Where the handler's own words lie. Between two ticks the host has used every cache and TLB entry there is: what a
 * tick costs is how many pages it touches, so the small variables it reads stand together, away from the large tables,
 * and it calls nothing in libc (whose code, linkage and data would be four more). World: signal. */
#ifndef PA_AGENT_HOT_H
#define PA_AGENT_HOT_H

#include <stddef.h>
#include <stdint.h>

#define PA_HOT __attribute__((section(".data.pa_hot")))

/* On the declaration of a variable that hooks read: without it compilers look up its address first (-fvisibility is for
 * definitions). */
#define PA_NEAR __attribute__((visibility("hidden")))

/* Copies words where a call of memcpy would leave our pages; the empty asm keeps compilers from making one of it.
 * Shapes: n words, not overlapping. */
static inline void pa_copy_words(uint64_t *to, const uint64_t *from, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		to[i] = from[i];
		__asm__ volatile("" : : : "memory");
	}
}

#endif
