#include "collector/exchanges.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/normalize.h"
#include "collector/sums.h"

/* Times and sums of another process are believed as far as they can be true. */

/* ---- which form -------------------------------------------------------------------------------------------------- */

static enum pa_dialect dialect_of(uint32_t proto)
{
	return proto == PA_PROTO_MYSQL ? PA_SQL_MYSQL : proto == PA_PROTO_SQLITE ? PA_SQL_SQLITE : PA_SQL_POSTGRES;
}

static void text_of(const struct pa_exchange *x, char *out, size_t size, uint64_t *fingerprint)
{
	bool cut = x->flags & PA_EXCHANGE_CUT;

	*fingerprint = 0;
	if (x->flags & PA_EXCHANGE_NO_TEXT)
		snprintf(out, size, "[text not seen]");
	else if (x->kind == PA_EXCHANGE_HTTP)
		pa_normalize_path(x->text, x->text_len, out, size, fingerprint);
	else if (x->proto == PA_PROTO_RESP)
		pa_normalize_redis(x->text, x->text_len, x->flags & PA_EXCHANGE_INLINE, out, size, fingerprint);
	else
		pa_normalize_sql(dialect_of(x->proto), x->text, x->text_len, cut, out, size, fingerprint);
}

static uint64_t mix(uint64_t hash, const char *text)
{
	for (; *text; text++)
		hash = (hash ^ (uint8_t)*text) * UINT64_C(0x100000001b3);
	return (hash ^ 0xff) * UINT64_C(0x100000001b3);
}

static bool same(const char *a, const char *b)
{
	return strcmp(a ? a : "", b ? b : "") == 0;
}

static struct pa_form *find(const struct pa_forms *forms, uint64_t key, const struct pa_store_exchange *row)
{
	struct pa_form *f = forms->buckets[key % PA_EXCHANGE_BUCKETS];

	for (; f; f = f->chain)
		if (f->key == key && f->row.role == row->role && f->row.proto == row->proto &&
		    same(f->row.peer, row->peer) && same(f->row.method, row->method))
			return f;
	return NULL;
}

static void free_form(struct pa_form *f)
{
	free((char *)(uintptr_t)f->row.peer);
	free((char *)(uintptr_t)f->row.method);
	free((char *)(uintptr_t)f->row.text);
	free((char *)(uintptr_t)f->row.error);
	free(f->counts);
	free(f);
}

static struct pa_form *make(struct pa_forms *forms, uint64_t key, const struct pa_store_exchange *row)
{
	struct pa_form *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	f->key = key;
	f->row = *row;
	f->row.peer = row->peer ? strdup(row->peer) : NULL;
	f->row.method = row->method ? strdup(row->method) : NULL;
	f->row.text = strdup(row->text);
	f->counts = calloc(PA_LAG_BUCKETS, sizeof(*f->counts));
	if (!f->row.text || !f->counts || !f->row.peer != !row->peer || !f->row.method != !row->method) {
		free_form(f);
		return NULL;
	}
	f->chain = forms->buckets[key % PA_EXCHANGE_BUCKETS];
	forms->buckets[key % PA_EXCHANGE_BUCKETS] = f;
	forms->nr++;
	f->row_changed = true;
	return f;
}

static uint64_t key_of(uint64_t fingerprint, const struct pa_store_exchange *row)
{
	uint64_t hash = fingerprint * UINT64_C(0x9e3779b97f4a7c15) + row->role * 131 + row->proto;

	return mix(mix(hash, row->peer ? row->peer : ""), row->method ? row->method : "");
}

struct pa_form *pa_forms_of(struct pa_forms *forms, const struct pa_exchange *x, const struct pa_party *by,
			    uint32_t *next_id)
{
	char text[PA_EXCHANGE_TEXT_MAX];
	struct pa_store_exchange row = {.process = by->process, .role = by->role, .proto = x->proto, .text = text};
	struct pa_form *f;
	uint64_t fingerprint, key;

	text_of(x, text, sizeof(text), &fingerprint);
	/* whoever asks us is somebody else each time */
	row.peer = by->role == PA_ROLE_CLIENT && *by->peer ? by->peer : NULL;
	row.method = x->method && *x->method ? x->method : NULL;
	key = key_of(fingerprint, &row);
	f = find(forms, key, &row);
	if (f)
		return f;
	if (forms->nr >= PA_EXCHANGE_FORMS_MAX) {
		row.peer = row.method = NULL;
		row.text = "[other forms]";
		key = key_of(1, &row);
		f = find(forms, key, &row);
	}
	if (f)
		return f;
	row.id = *next_id + 1;
	f = make(forms, key, &row);
	*next_id += f != NULL;
	return f;
}

/* ---- sums -------------------------------------------------------------------------------------------------------- */

static void keep_error(struct pa_form *f, const struct pa_exchange *x)
{
	char text[64];

	if (x->flags & PA_EXCHANGE_UNANSWERED)
		snprintf(text, sizeof(text), "no answer");
	else if (x->kind == PA_EXCHANGE_HTTP)
		snprintf(text, sizeof(text), "%u", x->status);
	else
		snprintf(text, sizeof(text), "%s", x->error ? x->error : "");
	if (!*text || same(f->row.error, text))
		return;
	free((char *)(uintptr_t)f->row.error);
	f->row.error = strdup(text);
	f->row_changed = true;
}

static void spans(struct pa_form *f, uint64_t from_ns, uint64_t to_ns)
{
	if (!f->changed || from_ns < f->sums.first_ns)
		f->sums.first_ns = from_ns;
	if (!f->changed || to_ns > f->sums.last_ns)
		f->sums.last_ns = to_ns;
	f->changed = true;
}

static void add_latency(struct pa_form *f, uint64_t ns, uint32_t stack)
{
	f->counts[pa_latency_bucket(ns > PA_LATENCY_FLOOR_NS ? ns : PA_LATENCY_FLOOR_NS)]++;
	pa_sum(&f->sums.total_ns, ns);
	if (f->sums.count - f->sums.lost == 1 || ns < f->sums.min_ns)
		f->sums.min_ns = ns;
	if (ns > f->sums.max_ns)
		f->sums.max_ns = ns;
	if (stack && (!f->row.stack || ns > f->max_ns)) {
		f->row_changed |= f->row.stack != stack;
		f->row.stack = stack;
		f->max_ns = ns;
	}
}

bool pa_form_add(struct pa_form *f, const struct pa_exchange *x, const struct pa_party *by, uint64_t *ns)
{
	bool seen = !(x->flags & (PA_EXCHANGE_LOST | PA_EXCHANGE_UNANSWERED)) && x->end_ns;

	spans(f, x->start_ns, x->end_ns > x->start_ns ? x->end_ns : x->start_ns);
	f->sums.count++;
	f->sums.lost += !seen;
	if (x->flags & (PA_EXCHANGE_FAILED | PA_EXCHANGE_UNANSWERED)) {
		f->sums.errors++;
		keep_error(f, x);
	}
	if (!seen)
		return false;
	*ns = x->end_ns > x->turn_ns ? x->end_ns - x->turn_ns : 0;
	*ns = *ns < PA_LATENCY_MAX_NS ? *ns : PA_LATENCY_MAX_NS;
	add_latency(f, *ns, by->stack);
	pa_sum(&f->sums.rows, x->rows);
	pa_sum(&f->sums.sent_bytes, x->sent_bytes);
	pa_sum(&f->sums.received_bytes, x->received_bytes);
	return true;
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

static int flush_form(struct pa_form *f, struct pa_store *s)
{
	int err = 0;

	if (f->row_changed && !(err = pa_store_put_exchange(s, &f->row)))
		f->row_changed = false;
	if (!f->changed || err)
		return err;
	f->sums.exchange = f->row.id;
	f->sums.counts = f->counts;
	err = pa_store_add_exchange_chunk(s, &f->sums);
	/* a full disk: the sums go into a later chunk */
	if (err == -ENOSPC)
		return err;
	f->changed = false;
	f->sums = (struct pa_store_exchange_chunk){0};
	memset(f->counts, 0, PA_LAG_BUCKETS * sizeof(*f->counts));
	return err;
}

int pa_forms_flush(struct pa_forms *forms, struct pa_store *s)
{
	int first = 0;

	for (unsigned i = 0; i < PA_EXCHANGE_BUCKETS; i++) {
		for (struct pa_form *f = forms->buckets[i]; f; f = f->chain) {
			int err = flush_form(f, s);

			if (err != -ENOSPC && !first)
				first = err;
		}
	}
	return first;
}

void pa_forms_free(struct pa_forms *forms)
{
	for (unsigned i = 0; i < PA_EXCHANGE_BUCKETS; i++) {
		for (struct pa_form *f = forms->buckets[i], *next; f; f = next) {
			next = f->chain;
			free_form(f);
		}
		forms->buckets[i] = NULL;
	}
	forms->nr = 0;
}
