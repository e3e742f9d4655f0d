/* Callers: conn_hook.c. World: hook. */
#include "agent/conn_area_hook.h"

#include <stddef.h>
#include <string.h>

#include "agent/area_hook.h"

#define CHUNK_BYTES (PA_CONN_CHUNK * sizeof(struct pa_conn))

_Atomic uint8_t pa_conn_kinds[PA_CONN_FDS];

static _Atomic uintptr_t chunks[PA_CONN_FDS / PA_CONN_CHUNK];
static _Atomic uint32_t session = 1;
static _Atomic uint32_t highest;
static _Atomic uint32_t last_id;

void pa_conn_area_start_sig(void)
{
	uint32_t nr = pa_load_relaxed(&highest);

	pa_add_relaxed(&session, 1);
	for (uint32_t i = 0; i < nr; i++)
		pa_store_relaxed(&pa_conn_kinds[i], PA_CONN_UNKNOWN);
	pa_store_relaxed(&highest, 0);
}

uint32_t pa_conn_area_session_hook(void)
{
	return pa_load_relaxed(&session);
}

struct pa_conn *pa_conn_peek_hook(int fd)
{
	struct pa_conn *chunk = (unsigned)fd < PA_CONN_FDS
				    ? (struct pa_conn *)pa_load_acquire(&chunks[(unsigned)fd / PA_CONN_CHUNK])
				    : NULL;

	return chunk ? &chunk[(unsigned)fd % PA_CONN_CHUNK] : NULL;
}

struct pa_conn *pa_conn_cell_hook(int fd)
{
	if ((unsigned)fd >= PA_CONN_FDS || !pa_area(&chunks[(unsigned)fd / PA_CONN_CHUNK], CHUNK_BYTES))
		return NULL;
	return pa_conn_peek_hook(fd);
}

void pa_conn_set_kind_hook(int fd, enum pa_conn_kind kind)
{
	uint32_t above = (uint32_t)fd + 1, seen = pa_load_relaxed(&highest);

	if ((unsigned)fd >= PA_CONN_FDS)
		return;
	while (seen < above && !pa_claim_u32(&highest, seen, above))
		seen = pa_load_relaxed(&highest);
	pa_store_relaxed(&pa_conn_kinds[fd], (uint8_t)kind);
}

int pa_conn_highest_hook(void)
{
	return (int)pa_load_relaxed(&highest);
}

uint32_t pa_conn_next_id_hook(void)
{
	return pa_fetch_add_relaxed(&last_id, 1) + 1;
}
