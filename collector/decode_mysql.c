/* MySQL and MariaDB: one command, one answer, which several results may make up. World: plain. */
#include <string.h>

#include "collector/decode_impl.h"

#define STATUS_IN_TRANSACTION 0x1u
#define STATUS_MORE_RESULTS   0x8u

enum {
	COM_QUIT = 1,
	COM_QUERY = 3,
	COM_PREPARE = 0x16,
	COM_EXECUTE = 0x17,
	COM_LONG_DATA = 0x18,
	COM_CLOSE = 0x19,
	COM_BULK = 0xfa
};

static const char *const names[] = {
    [0x00] = "sleep",       [0x02] = "init db",     [0x04] = "field list",
    [0x05] = "create db",   [0x06] = "drop db",     [0x07] = "refresh",
    [0x08] = "shutdown",    [0x09] = "statistics",  [0x0a] = "processlist",
    [0x0c] = "kill",        [0x0d] = "debug",       [0x0e] = "ping",
    [0x11] = "change user", [0x12] = "binlog dump", [0x1a] = "reset statement",
    [0x1b] = "set option",  [0x1c] = "fetch",       [0x1f] = "reset connection",
};

static uint64_t statement_id(const struct pa_frame_event *e)
{
	uint64_t id = 0;

	for (uint32_t i = 0; i < 4 && i < e->nr_bytes; i++)
		id |= (uint64_t)e->bytes[i] << 8 * i;
	return id;
}

static void push_command(struct pa_decode *d, const struct pa_frame_event *e)
{
	const char *name = e->value < sizeof(names) / sizeof(names[0]) && names[e->value] ? names[e->value] : "command";

	pa_decode_push(d, PA_EXCHANGE_COMMAND, e, pa_decode_text_new(d, name, strlen(name), false));
}

static void on_command(struct pa_decode *d, const struct pa_frame_event *e)
{
	struct pa_decode_name *name = NULL;
	struct pa_pending *p;

	if (e->value == COM_CLOSE)
		pa_decode_name_drop(d, &d->statements, statement_id(e));
	if (e->value == COM_CLOSE || e->value == COM_QUIT || e->value == COM_LONG_DATA)
		return;
	/* a client speaks when it has its answer; the framer resumes there as well */
	pa_decode_restart(d, e);
	if (e->value == COM_QUERY || e->value == COM_PREPARE) {
		bool cut = e->flags & PA_FRAME_CUT;

		/* no text: attributes stood before it */
		pa_decode_push(d, e->value == COM_QUERY ? PA_EXCHANGE_QUERY : PA_EXCHANGE_PREPARE, e,
			       e->nr_bytes ? pa_decode_text_new(d, e->bytes, e->nr_bytes, cut) : NULL);
	} else if (e->value == COM_EXECUTE || e->value == COM_BULK) {
		name = pa_decode_name_get(&d->statements, statement_id(e));
		p = pa_decode_push(d, PA_EXCHANGE_QUERY, e, name ? pa_decode_text_get(name->text) : NULL);
		if (p)
			p->x.flags |= PA_EXCHANGE_PREPARED;
	} else {
		push_command(d, e);
	}
}

/* SQLSTATE, or the code in digits from servers and at moments without one. */
static void set_error(struct pa_pending *p, uint64_t value)
{
	unsigned code = (unsigned)(value & 0xffff), at = sizeof(p->error) - 1;

	p->x.flags |= PA_EXCHANGE_FAILED;
	p->error[5] = 0;
	for (unsigned i = 0; i < 5; i++)
		p->error[i] = (char)(value >> (16 + 8 * i));
	if (p->error[0])
		return;
	memset(p->error, 0, sizeof(p->error));
	do {
		p->error[--at] = (char)('0' + code % 10);
		code /= 10;
	} while (code);
	memmove(p->error, p->error + at, sizeof(p->error) - at);
}

static void on_answer(struct pa_decode *d, const struct pa_frame_event *e)
{
	struct pa_pending *p = pa_decode_at(d, 0);
	bool status = e->kind == PA_FRAME_MYSQL_OK || e->kind == PA_FRAME_MYSQL_ROWS;

	if (d->resync)
		return;
	if (status)
		d->tx = e->value & STATUS_IN_TRANSACTION ? 'T' : 'I';
	if (!p) {
		pa_decode_unmatched(d);
		return;
	}
	pa_decode_answer(d, p, e);
	if (p->x.kind != PA_EXCHANGE_CONNECT)
		p->x.rows += e->count;
	if (e->kind == PA_FRAME_MYSQL_ERROR)
		set_error(p, e->value);
	if (e->kind == PA_FRAME_MYSQL_PREPARED)
		pa_decode_name_set(d, &d->statements, e->value, pa_decode_text_get(p->text));
	if (!status || !(e->value & STATUS_MORE_RESULTS))
		pa_decode_pop(d);
}

void pa_decode_mysql(struct pa_decode *d, const struct pa_frame_event *e)
{
	if (e->kind == PA_FRAME_MYSQL_GREETING)
		d->resync = false;
	else if (e->kind == PA_FRAME_MYSQL_LOGIN)
		pa_decode_push(d, PA_EXCHANGE_CONNECT, e, NULL);
	else if (e->kind == PA_FRAME_MYSQL_COMMAND)
		on_command(d, e);
	else
		on_answer(d, e);
}
