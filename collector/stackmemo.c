/* The memo of whole stacks; see stacks.h. World: plain.
 *
 * Two entries per hash, the one written longer ago is replaced. It begins small, because a daemon has hundreds, and
 * grows when half as many entries as it has sets were replaced. */
#include <stdlib.h>
#include <string.h>

#include "collector/stacks.h"

#define WAYS       2
#define FIRST_SETS 128
#define GROWTH     2

struct entry {
	uint64_t hash;
	uint64_t context;
	uint64_t *frames;
	uint32_t nr;
	uint32_t room; /* addresses `frames` has space for */
	uint32_t id;   /* 0: free */
	uint32_t age;  /* clock at the last put */
};

struct pa_stackmemo {
	struct entry *entries;
	size_t nr_sets; /* power of two */
	size_t max_sets;
	size_t replaced; /* since it grew */
	size_t max_frames;
	uint32_t clock;
};

struct pa_stackmemo *pa_stackmemo_new(size_t nr_entries, size_t max_frames)
{
	struct pa_stackmemo *m;
	size_t nr_sets = 1;

	if (!nr_entries || !max_frames || max_frames > UINT32_MAX || nr_entries > (size_t)1 << 30)
		return NULL;
	while (nr_sets * WAYS < nr_entries)
		nr_sets *= 2;
	m = calloc(1, sizeof(*m));
	if (!m)
		return NULL;
	m->nr_sets = nr_sets < FIRST_SETS ? nr_sets : FIRST_SETS;
	m->max_sets = nr_sets;
	m->max_frames = max_frames;
	m->entries = calloc(m->nr_sets * WAYS, sizeof(*m->entries));
	if (m->entries)
		return m;
	free(m);
	return NULL;
}

void pa_stackmemo_free(struct pa_stackmemo *m)
{
	if (!m)
		return;
	for (size_t i = 0; i < m->nr_sets * WAYS; i++)
		free(m->entries[i].frames);
	free(m->entries);
	free(m);
}

/* A multiply per address; the four lanes do not wait for each other. */
static uint64_t hash_frames(uint64_t context, const uint64_t *frames, size_t nr)
{
	static const uint64_t odd = UINT64_C(0x9e3779b97f4a7c15);
	uint64_t lane[4] = {context, nr, 1, 2};
	size_t i = 0;

	for (; i + 4 <= nr; i += 4)
		for (size_t k = 0; k < 4; k++) {
			lane[k] = (lane[k] ^ frames[i + k]) * odd;
			lane[k] ^= lane[k] >> 32;
		}
	for (; i < nr; i++) {
		lane[0] = (lane[0] ^ frames[i]) * odd;
		lane[0] ^= lane[0] >> 32;
	}
	for (size_t k = 1; k < 4; k++) {
		lane[0] = (lane[0] ^ lane[k]) * odd;
		lane[0] ^= lane[0] >> 32;
	}
	return lane[0];
}

static struct entry *set_of(const struct pa_stackmemo *m, uint64_t hash)
{
	return m->entries + (hash & (m->nr_sets - 1)) * WAYS;
}

static bool matches(const struct entry *e, uint64_t hash, uint64_t context, const uint64_t *frames, size_t nr)
{
	return e->id && e->hash == hash && e->context == context && e->nr == nr &&
	       !memcmp(e->frames, frames, nr * sizeof(*frames));
}

uint32_t pa_stackmemo_find(const struct pa_stackmemo *m, uint64_t context, const uint64_t *frames, size_t nr)
{
	uint64_t hash;
	const struct entry *set;

	if (nr == 0 || nr > m->max_frames)
		return 0;
	hash = hash_frames(context, frames, nr);
	set = set_of(m, hash);
	for (size_t i = 0; i < WAYS; i++)
		if (matches(&set[i], hash, context, frames, nr))
			return set[i].id;
	return 0;
}

/* The entry to overwrite: the same stack, a free one, or the older. */
static struct entry *victim(struct pa_stackmemo *m, uint64_t hash, uint64_t context, const uint64_t *frames, size_t nr)
{
	struct entry *set = set_of(m, hash), *oldest = &set[0];

	for (size_t i = 0; i < WAYS; i++) {
		if (!set[i].id || matches(&set[i], hash, context, frames, nr))
			return &set[i];
		if (m->clock - set[i].age > m->clock - oldest->age)
			oldest = &set[i];
	}
	return oldest;
}

static void move_entry(struct pa_stackmemo *m, const struct entry *e)
{
	struct entry *set = set_of(m, e->hash);

	for (size_t i = 0; i < WAYS; i++) {
		if (set[i].id)
			continue;
		set[i] = *e;
		return;
	}
	free(e->frames);
}

/* Without memory for it, it stays as it is. */
static void grow(struct pa_stackmemo *m)
{
	size_t nr_sets = m->nr_sets * GROWTH < m->max_sets ? m->nr_sets * GROWTH : m->max_sets;
	struct entry *old = m->entries, *entries = calloc(nr_sets * WAYS, sizeof(*entries));
	size_t nr_old = m->nr_sets * WAYS;

	m->replaced = 0;
	if (!entries)
		return;
	m->entries = entries;
	m->nr_sets = nr_sets;
	for (size_t i = 0; i < nr_old; i++) {
		if (old[i].id)
			move_entry(m, &old[i]);
		else
			free(old[i].frames);
	}
	free(old);
}

void pa_stackmemo_put(struct pa_stackmemo *m, uint64_t context, const uint64_t *frames, size_t nr, uint32_t id)
{
	uint64_t hash, *room;
	struct entry *e;

	if (nr == 0 || nr > m->max_frames || id == 0)
		return;
	hash = hash_frames(context, frames, nr);
	e = victim(m, hash, context, frames, nr);
	if (e->id && e->hash != hash && ++m->replaced > m->nr_sets / 2 && m->nr_sets < m->max_sets) {
		grow(m);
		e = victim(m, hash, context, frames, nr);
	}
	if (e->room < nr) {
		room = realloc(e->frames, nr * sizeof(*frames));
		if (!room)
			return;
		e->frames = room;
		e->room = (uint32_t)nr;
	}
	memcpy(e->frames, frames, nr * sizeof(*frames));
	e->hash = hash;
	e->context = context;
	e->nr = (uint32_t)nr;
	e->id = id;
	e->age = m->clock++;
}
