#include "collector/pool_use.h"

#include <stdlib.h>

static void account(struct pa_pool_use *u, uint64_t until_ns)
{
	uint64_t ns = until_ns > u->until_ns ? until_ns - u->until_ns : 0;
	struct pa_store_pool_chunk *c = &u->sums;
	bool full = u->open > 0 && u->taken >= u->open, is_short = full && u->requests > u->taken;

	if (!ns)
		return;
	if (!c->first_ns)
		c->first_ns = u->until_ns ? u->until_ns : until_ns;
	c->last_ns = until_ns;
	if (!u->until_ns)
		ns = 0; /* its beginning */
	u->until_ns = until_ns;
	c->open_ns += ns * (uint64_t)(u->open > 0 ? u->open : 0);
	c->taken_ns += ns * (uint64_t)(u->taken > 0 ? u->taken : 0);
	c->used_ns += u->taken > 0 ? ns : 0;
	c->full_ns += full ? ns : 0;
	if (is_short) {
		c->short_ns += ns;
		c->waiting_ns += ns * (uint64_t)(u->requests - u->taken);
		c->short_times += !u->is_short;
	}
	u->is_short = is_short;
}

static void count_oldest(struct pa_pool_use *u)
{
	const struct pa_pool_step *s = &u->steps[u->first++ % PA_POOL_STEPS];

	account(u, s->time_ns);
	/* by what held until now */
	if (s->answered > 0 && u->is_short)
		u->sums.answered += (uint64_t)s->answered;
	u->open += s->open;
	u->taken += s->taken;
	u->requests += s->requests;
}

uint64_t pa_pool_use_step(struct pa_pool_use *u, const struct pa_pool_step *step)
{
	if (!u->steps && !(u->steps = calloc(PA_POOL_STEPS, sizeof(*u->steps))))
		return u->next; /* nothing is counted then */
	if (u->next - u->first == PA_POOL_STEPS)
		count_oldest(u);
	u->steps[u->next % PA_POOL_STEPS] = *step;
	return u->next++;
}

bool pa_pool_use_cancel(struct pa_pool_use *u, uint64_t number)
{
	if (number < u->first || number >= u->next)
		return false;
	u->steps[number % PA_POOL_STEPS].taken = 0;
	return true;
}

void pa_pool_use_until(struct pa_pool_use *u, uint64_t until_ns)
{
	while (u->first < u->next && u->steps[u->first % PA_POOL_STEPS].time_ns <= until_ns)
		count_oldest(u);
	/* nothing to tell of a pool that nobody uses: its time goes by */
	if (u->until_ns && !u->open && !u->taken && !u->requests && !u->sums.first_ns)
		u->until_ns = until_ns > u->until_ns ? until_ns : u->until_ns;
	else if (u->until_ns)
		account(u, until_ns);
}

bool pa_pool_use_take(struct pa_pool_use *u, struct pa_store_pool_chunk *sums)
{
	if (!u->sums.first_ns)
		return false;
	*sums = u->sums;
	sums->open = (uint64_t)(u->open > 0 ? u->open : 0);
	u->sums = (struct pa_store_pool_chunk){0};
	return true;
}

void pa_pool_use_free(struct pa_pool_use *u)
{
	free(u->steps);
	*u = (struct pa_pool_use){0};
}
