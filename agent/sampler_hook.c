/* Exponential draws by integer arithmetic. Callers: heap_sampled_hook.c, tests. World: hook. */
#include "agent/sampler_hook.h"

#define FRACTION_BITS 32
#define LN2           UINT64_C(2977044472) /* ln 2 in units of 2^-32 */

/* xorshift64 (Marsaglia 2003, shifts 13, 7, 17), and a multiplication (the "star") for its weak low bits. */
static uint64_t next_random(uint64_t *state)
{
	uint64_t x = *state;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	*state = x;
	return x * UINT64_C(0x2545f4914f6cdd1d);
}

uint64_t pa_sampler_seed_hook(uint64_t from)
{
	from += UINT64_C(0x9e3779b97f4a7c15);
	from = (from ^ from >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	from = (from ^ from >> 27) * UINT64_C(0x94d049bb133111eb);
	from ^= from >> 31;
	return from ? from : 1;
}

/* The fraction bit by bit: squaring doubles a logarithm, and a square of two or more says that its next bit is set.
 * Some 130 cycles; a sample's walk takes several times that. */
uint64_t pa_sampler_log2_hook(uint64_t r)
{
	unsigned zeros = (unsigned)__builtin_clzll(r);
	uint64_t x = r << zeros; /* in [1, 2), one integer bit */
	uint64_t log = 63 - zeros;

	for (int i = 0; i < FRACTION_BITS; i++) {
		x = (uint64_t)((unsigned __int128)x * x >> 64); /* in [1, 4), two integer bits */
		log = log << 1 | x >> 63;
		if (!(x >> 63))
			x <<= 1;
	}
	return (UINT64_C(64) << FRACTION_BITS) - log;
}

uint64_t pa_sampler_draw_hook(uint64_t *random, uint64_t mean)
{
	uint64_t r = next_random(random);
	uint64_t minus_ln = (uint64_t)((unsigned __int128)pa_sampler_log2_hook(r ? r : 1) * LN2 >> FRACTION_BITS);

	return (uint64_t)((unsigned __int128)mean * minus_ln >> FRACTION_BITS) + 1;
}
