/* When the next allocation is sampled: every byte allocated is a point of a Poisson process with a rate of one in
 * `mean` bytes, so the bytes up to the next point are exponential, and an allocation of n bytes holds a point with
 * probability 1 - exp(-n / mean) whatever came before it. Integers only: the agent links no libm. World: hook. */
#ifndef PA_AGENT_SAMPLER_HOOK_H
#define PA_AGENT_SAMPLER_HOOK_H

#include <stdint.h>

#define PA_SAMPLER_MEAN_MAX (UINT64_C(1) << 48)

/* -log2(r / 2^64).   Shapes: r > 0.   Units: 2^-32; exact to within 2^-26. */
uint64_t pa_sampler_log2_hook(uint64_t r);

/* Bytes up to and with the next point. Moves *random on; seed it with pa_sampler_seed_hook first.
 * Shapes: mean 1..PA_SAMPLER_MEAN_MAX.   Returns >= 1. */
uint64_t pa_sampler_draw_hook(uint64_t *random, uint64_t mean);

/* A state of the generator, never 0, from anything that differs from thread to thread.
 * Source: the finalizer of splitmix64 (Steele, Lea, Flood 2014). */
uint64_t pa_sampler_seed_hook(uint64_t from);

#endif
