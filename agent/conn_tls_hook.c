/* See conn_tls_hook.h. Callers: hooks_tls.c. World: hook. */
#include "agent/conn_tls_hook.h"

#include "agent/area_hook.h"
#include "agent/conn_record_hook.h"
#include "agent/timer_sig.h"

#define NR_CELLS 2048
#define NR_WAYS  8 /* cells that one object may lie in */

/* key: 0 free, 1 being filled or emptied, else the object. */
struct cell {
	_Atomic uint64_t key;
	struct pa_conn conn;
};

static _Atomic uintptr_t cells;

static struct cell *area(void)
{
	return pa_area(&cells, NR_CELLS * sizeof(struct cell));
}

static struct cell *first_of(struct cell *all, const void *object)
{
	uint64_t h = (uint64_t)(uintptr_t)object * UINT64_C(0x9e3779b97f4a7c15);

	return &all[(h >> 32) % (NR_CELLS / NR_WAYS) * NR_WAYS];
}

static bool is_present(const struct cell *c, uint32_t pid)
{
	return c->conn.session == pa_conn_area_session_hook() && c->conn.pid == pid;
}

static struct cell *find(const void *object)
{
	struct cell *all = (struct cell *)pa_load_acquire(&cells), *c = all ? first_of(all, object) : NULL;

	for (uint32_t i = 0; c && i < NR_WAYS; i++)
		if (pa_load_acquire(&c[i].key) == (uint64_t)(uintptr_t)object)
			return &c[i];
	return NULL;
}

/* A cell for it, being filled: nobody else finds it. NULL: there is no room. */
static struct cell *make(const void *object, uint32_t pid)
{
	struct cell *all = area(), *c = all ? first_of(all, object) : NULL;

	for (uint32_t i = 0; c && i < NR_WAYS; i++) {
		uint64_t was = pa_load_acquire(&c[i].key);
		bool is_anothers = was && was != (uint64_t)(uintptr_t)object && is_present(&c[i], pid);

		if (was != 1 && !is_anothers && pa_claim_u64(&c[i].key, was, 1))
			return &c[i];
	}
	return NULL;
}

/* The object's own connection, made when there is none: one that was not made before our eyes has been at work. */
static struct pa_conn *own_of(struct pa_conn_at *at, const struct pa_tls_call *call)
{
	struct cell *c = find(call->object);
	bool is_new = c && is_present(c, at->block->pid);

	if (is_new && c->conn.id)
		return &c->conn;
	c = make(call->object, at->block->pid);
	if (!c)
		return NULL;
	pa_conn_init_hook(at, &c->conn, !call->is_server, PA_PROTO_UNSURE, !is_new);
	pa_store_relaxed(&c->conn.is_tls, 1);
	pa_conn_put_hook(at, &c->conn, -1, &(struct pa_conn_event){.event = PA_CONNECTION_FOUND});
	pa_store_release(&c->key, (uint64_t)(uintptr_t)call->object);
	return &c->conn;
}

void pa_tls_new_hook(const void *object, const struct pa_caller *caller)
{
	struct pa_conn_at at;
	struct cell *c;

	if (!pa_conn_enter_hook(&at, caller))
		return;
	c = make(object, at.block->pid);
	if (c) {
		c->conn.id = 0;
		c->conn.session = pa_conn_area_session_hook();
		c->conn.pid = at.block->pid;
		pa_store_release(&c->key, (uint64_t)(uintptr_t)object);
	}
	pa_conn_leave_hook(&at);
}

void pa_tls_begin_hook(struct pa_tls_call *call, const struct pa_caller *caller)
{
	struct pa_conn_at at;

	call->start_ns = pa_now_sig();
	if (call->fd < 0 || call->fd >= PA_CONN_FDS || !pa_conn_enter_hook(&at, caller))
		return;
	at.now_ns = call->start_ns;
	pa_conn_tls_hook(&at, call->fd);
	pa_conn_leave_hook(&at);
}

void pa_tls_moved_hook(const struct pa_tls_call *call, const void *buf, ssize_t n, const struct pa_caller *caller)
{
	struct iovec piece = {.iov_base = (void *)(uintptr_t)buf, .iov_len = n > 0 ? (size_t)n : 0};
	struct pa_transfer t = {.fd = call->fd, .sent = call->sent, .iov = &piece, .nr = 1, .n = n};
	struct pa_conn_at at;
	struct pa_conn *c;

	if (!call->start_ns || n <= 0 || pa_conns_off() || !pa_conn_enter_hook(&at, caller))
		return;
	at.now_ns = call->sent ? call->start_ns : pa_now_sig();
	c = call->fd >= 0 ? pa_conn_tls_hook(&at, call->fd) : own_of(&at, call);
	if (c)
		pa_conn_feed_hook(&at, c, c->is_client == call->sent ? PA_TO_SERVER : PA_TO_CLIENT, &t);
	pa_conn_leave_hook(&at);
}

void pa_tls_free_hook(const void *object, const struct pa_caller *caller)
{
	struct cell *c = find(object);
	struct pa_conn_at at;

	if (!c || !pa_conn_enter_hook(&at, caller))
		return;
	at.now_ns = pa_now_sig();
	if (is_present(c, at.block->pid) && pa_claim_u64(&c->key, (uint64_t)(uintptr_t)object, 1)) {
		if (c->conn.id)
			pa_conn_put_hook(&at, &c->conn, -1, &(struct pa_conn_event){.event = PA_CONNECTION_CLOSE});
		pa_store_release(&c->key, 0);
	}
	pa_conn_leave_hook(&at);
}
