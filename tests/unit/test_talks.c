/* Records of connections and messages, made by hand, through a recorder into a recording. */
#include "tests/unit/store_util.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/un.h>

#include "collector/store_request.h"
#include "collector/store_talk.h"
#include "collector/talks_impl.h"
#include "common/waitwire.h"
#include "report/talks.h"
#include "tests/unit/fake_agent.h"

#define MS UINT64_C(1000000)

struct scene {
	struct pa_loop *loop;
	struct pa_recorder *r;
	struct fake_agent agent;
	struct fake_thread first, second; /* of the program; the first's rings are read first */
	uint64_t start_ns;
	char dir[64], file[80];
};

static void quiet_idle(void *arg)
{
}

static int begin(void **state)
{
	struct scene *s = calloc(1, sizeof(*s));
	struct pa_hello hello = {.pid = 77, .tid = 77};
	struct pa_peer peer = {.pidfd = -1};
	struct pa_grant grant = {.memfd = -1};
	char err[300];

	if (!s)
		return -1;
	strcpy(s->dir, "/tmp/pa-talks.XXXXXX");
	if (!mkdtemp(s->dir))
		return -1;
	snprintf(s->file, sizeof(s->file), "%s/t.pfa", s->dir);
	struct pa_recorder_options options = {.path = s->file,
					      .command = "test",
					      .period_ns = MS,
					      .modes = PA_MODE_DB | PA_MODE_HTTP | PA_MODE_LOOP,
					      .idle = quiet_idle};
	s->loop = pa_loop_new();
	if (!s->loop || pa_recorder_open(s->loop, &options, &s->r, err, sizeof(err)))
		return -1;
	pa_recorder_hello(s->r, &hello, &peer, &grant);
	if (grant.status != PA_CONFIG_OK || !fake_agent_map(&s->agent, grant.memfd, grant.file_size) ||
	    !fake_claim(&s->agent, &s->first, 77, 77, 0) || !fake_claim(&s->agent, &s->second, 77, 78, 1))
		return -1;
	pa_recorder_answered(s->r, true);
	s->start_ns = pa_now_ns() - 10000 * MS;
	*state = s;
	return 0;
}

static void look(struct scene *s)
{
	struct pa_drain_result result;

	pa_recorder_drain(s->r->sessions, &result);
}

/* Everything ends; the recording can be read. */
static void finish(struct scene *s)
{
	look(s);
	if (!s->r)
		return;
	for (struct pa_process *p = s->r->sessions->processes; p; p = p->next)
		pa_recorder_end_process(p, NULL);
	fake_agent_unmap(&s->agent);
	assert_int_equal(pa_recorder_finish(s->r, 0), 0);
	s->r = NULL;
}

static int end(void **state)
{
	struct scene *s = *state;

	pa_loop_free(s->loop);
	unlink(s->file);
	rmdir(s->dir);
	free(s);
	return 0;
}

/* ---- records ----------------------------------------------------------------------------------------------------- */

static void put_connection(struct scene *s, struct fake_thread *t, unsigned ms, uint32_t number, unsigned event,
			   unsigned flags, int error)
{
	struct pa_connection *c = fake_begin(&t->hook, PA_REC_CONNECTION, sizeof(*c), s->start_ns + ms * MS);
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(6379), .sin_addr = {htonl(INADDR_LOOPBACK)}};

	assert_non_null(c);
	c->connection = number;
	c->tid = t->tid;
	c->event = (uint16_t)event;
	c->flags = (uint16_t)flags;
	c->error = error;
	c->start_ns = c->head.time_ns - MS;
	c->address_len = sizeof(to);
	memcpy(c->address, &to, sizeof(to));
	pa_ring_commit(&t->hook);
}

struct said {
	uint32_t connection, order;
	enum pa_way way;
	enum pa_frame_kind kind;
	enum pa_proto proto;
	const char *text;
	uint64_t value;
};

static struct pa_conn_messages *begin_messages(struct fake_thread *t, uint32_t bytes, uint64_t time_ns)
{
	uint32_t size = (uint32_t)sizeof(struct pa_conn_messages) + ((bytes + 7) & ~7u);
	struct pa_conn_messages *m = fake_begin(&t->hook, PA_REC_MESSAGES, size, time_ns);

	if (m)
		m->tid = t->tid;
	return m;
}

/* `nr` times the same, by a stack of one frame if there is one. */
static struct pa_conn_messages *put_all(struct scene *s, struct fake_thread *t, unsigned ms, struct said said,
					unsigned nr, uint64_t frame)
{
	uint32_t len = said.text ? (uint32_t)strlen(said.text) : 0;
	struct pa_conn_messages *m = begin_messages(t, 8 + PA_ENTRY_MAX + len, s->start_ns + ms * MS);
	struct pa_frame_event e = {.bytes = (const uint8_t *)said.text,
				   .nr_bytes = len,
				   .kind = said.kind,
				   .flags = PA_FRAME_FIRST,
				   .total = 20,
				   .value = said.value};
	struct pa_message_list list = {0};

	assert_non_null(m);
	m->frames[0] = frame;
	m->nr_frames = frame != 0;
	list.start = list.end = (uint8_t *)(m->frames + m->nr_frames);
	e.first_ns = m->head.time_ns;
	for (unsigned i = 0; i < nr; i++)
		pa_message_add(&list, &e, m->head.time_ns);
	m->connection = said.connection;
	m->order = said.order;
	m->nr = (uint16_t)list.nr;
	m->way = said.way;
	m->proto = said.proto;
	m->nr_bytes = (uint16_t)(list.end - list.start);
	pa_ring_commit(&t->hook);
	return m;
}

static void put_messages(struct scene *s, struct fake_thread *t, unsigned ms, struct said said, unsigned nr)
{
	put_all(s, t, ms, said, nr, 0);
}

static struct pa_conn_messages *put_message_of(struct scene *s, struct fake_thread *t, unsigned ms, struct said said,
					       uint64_t frame)
{
	return put_all(s, t, ms, said, 1, frame);
}

static struct pa_conn_messages *put_message(struct scene *s, struct fake_thread *t, unsigned ms, struct said said)
{
	return put_all(s, t, ms, said, 1, 0);
}

#define COMMAND(number, at, words)                                                                                     \
	((struct said){.connection = (number),                                                                         \
		       .order = (at),                                                                                  \
		       .way = PA_TO_SERVER,                                                                            \
		       .kind = PA_FRAME_RESP_COMMAND,                                                                  \
		       .proto = PA_PROTO_RESP,                                                                         \
		       .text = (words)})
#define REPLY(number, at)                                                                                              \
	((struct said){.connection = (number),                                                                         \
		       .order = (at),                                                                                  \
		       .way = PA_TO_CLIENT,                                                                            \
		       .kind = PA_FRAME_RESP_REPLY,                                                                    \
		       .proto = PA_PROTO_RESP,                                                                         \
		       .value = '+'})
#define GET "GET\r\n$5\r\nkey:1"

/* ---- what was recorded ------------------------------------------------------------------------------------------- */

struct found {
	size_t forms, pools, slow;
	uint32_t stacks[8]; /* of the slow ones */
	uint64_t count, lost, errors, total_ns, max_ns;
	uint32_t repeats, repeated;
	char text[128], peer[128], error[32];
	struct pa_store_pool pool;
	bool other;
	struct pa_store_exchange_within within[4]; /* the first */
	size_t nr_within;
	struct pa_store_request requests[4];
	size_t nr_requests;
};

static int see_form(void *arg, const struct pa_store_exchange *e)
{
	struct found *f = arg;

	f->forms++;
	f->repeats = e->repeats > f->repeats ? e->repeats : f->repeats;
	f->repeated += e->repeated;
	f->other |= strcmp(e->text, "[other forms]") == 0;
	snprintf(f->text, sizeof(f->text), "%s", e->text);
	snprintf(f->peer, sizeof(f->peer), "%s", e->peer ? e->peer : "");
	snprintf(f->error, sizeof(f->error), "%s", e->error ? e->error : "");
	return 0;
}

static int see_chunk(void *arg, const struct pa_store_exchange_chunk *c)
{
	struct found *f = arg;
	uint64_t all = 0;

	for (uint32_t i = 0; i < PA_LAG_BUCKETS; i++)
		all += c->counts[i];
	assert_int_equal(all, c->count - c->lost);
	assert_true(c->first_ns <= c->last_ns && c->min_ns <= c->max_ns);
	f->count += c->count;
	f->lost += c->lost;
	f->errors += c->errors;
	f->total_ns += c->total_ns;
	f->max_ns = c->max_ns > f->max_ns ? c->max_ns : f->max_ns;
	return 0;
}

static int see_slow(void *arg, const struct pa_store_exchange_slow *e)
{
	struct found *f = arg;

	assert_true(e->end_ns - e->start_ns >= PA_EXCHANGE_SLOW_NS);
	if (f->slow < 8)
		f->stacks[f->slow] = e->stack;
	f->slow++;
	return 0;
}

static int see_pool(void *arg, const struct pa_store_pool *p)
{
	struct found *f = arg;

	f->pools++;
	f->pool = *p;
	return 0;
}

static int see_within(void *arg, const struct pa_store_exchange_within *w)
{
	struct found *f = arg;

	if (f->nr_within < 4)
		f->within[f->nr_within] = *w;
	f->nr_within++;
	return 0;
}

static int see_request(void *arg, const struct pa_store_request *q)
{
	struct found *f = arg;

	if (f->nr_requests < 4)
		f->requests[f->nr_requests] = *q;
	f->nr_requests++;
	return 0;
}

static struct found read_back(struct scene *s)
{
	struct pa_recording *rec;
	struct found f = {0};
	char err[300];

	finish(s);
	assert_int_equal(pa_recording_open(s->file, &rec, err, sizeof(err)), 0);
	assert_int_equal(pa_recording_exchanges(rec, see_form, &f), 0);
	assert_int_equal(pa_recording_exchange_chunks(rec, see_chunk, &f), 0);
	assert_int_equal(pa_recording_exchange_slow(rec, see_slow, &f), 0);
	assert_int_equal(pa_recording_pools(rec, see_pool, &f), 0);
	assert_int_equal(pa_recording_exchange_within(rec, see_within, &f), 0);
	assert_int_equal(pa_recording_requests(rec, see_request, &f), 0);
	pa_recording_close(rec);
	return f;
}

/* ---- cases ------------------------------------------------------------------------------------------------------- */

static void answers_in_a_ring_that_is_read_before_are_put_behind_their_requests(void **state)
{
	struct scene *s = *state;
	struct found f;

	put_connection(s, &s->second, 1, 1, PA_CONNECTION_CONNECT, PA_CONNECTION_CLIENT, 0);
	for (unsigned i = 0; i < 10; i++) {
		put_message(s, &s->second, 10 + 10 * i, COMMAND(1, i, GET));
		put_message(s, &s->first, 13 + 10 * i, REPLY(1, i));
	}
	look(s);
	put_message(s, &s->second, 200, COMMAND(1, 10, GET));
	put_message(s, &s->first, 320, REPLY(1, 10));
	put_connection(s, &s->first, 400, 1, PA_CONNECTION_CLOSE, PA_CONNECTION_CLIENT, 0);
	f = read_back(s);
	assert_int_equal(f.forms, 1);
	assert_string_equal(f.text, "GET key:{id}");
	assert_string_equal(f.peer, "127.0.0.1:6379");
	assert_int_equal(f.count, 11);
	assert_int_equal(f.lost + f.errors, 0);
	assert_int_equal(f.total_ns, 150 * MS);
	assert_int_equal(f.max_ns, 120 * MS);
	assert_int_equal(f.slow, 1);
	assert_int_equal(f.pools, 1);
	assert_int_equal(f.pool.opened, 1);
	assert_int_equal(f.pool.closed, 1);
	assert_int_equal(f.pool.active_ns, 150 * MS);
	assert_int_equal(f.pool.open_ns, 399 * MS);
	assert_int_equal(f.pool.connect_ns, MS);
}

static void messages_of_one_record_are_all_there(void **state)
{
	struct scene *s = *state;
	struct found f;

	put_connection(s, &s->first, 1, 1, PA_CONNECTION_CONNECT, PA_CONNECTION_CLIENT, 0);
	put_messages(s, &s->first, 10, COMMAND(1, 0, GET), 200);
	put_messages(s, &s->first, 12, REPLY(1, 0), 150);
	put_messages(s, &s->first, 14, REPLY(1, 150), 50);
	put_message(s, &s->first, 20, COMMAND(1, 200, GET));
	put_message(s, &s->first, 22, REPLY(1, 200));
	f = read_back(s);
	assert_int_equal(f.count, 201);
	assert_int_equal(f.lost + f.errors, 0);
	assert_int_equal(f.pool.active, 0);
}

static int see_loss(void *arg, uint32_t process, const char *reason, uint64_t count)
{
	if (strcmp(reason, "exchange messages that make no sense") == 0)
		*(uint64_t *)arg += count;
	return 0;
}

static void messages_that_a_record_promises_and_has_not_are_lost(void **state)
{
	struct scene *s = *state;
	struct pa_recording *rec;
	struct found f;
	uint64_t lost = 0;
	char err[300];

	put_connection(s, &s->first, 1, 1, PA_CONNECTION_CONNECT, PA_CONNECTION_CLIENT, 0);
	put_message(s, &s->first, 10, COMMAND(1, 0, GET))->nr = 4;
	put_message(s, &s->first, 12, REPLY(1, 0));
	put_message(s, &s->first, 20, COMMAND(1, 4, GET));
	put_message(s, &s->first, 22, REPLY(1, 1));
	put_message(s, &s->first, 30, COMMAND(1, 5, GET));
	f = read_back(s);
	assert_true(f.count >= 2 && f.count <= 3);
	assert_int_equal(pa_recording_open(s->file, &rec, err, sizeof(err)), 0);
	assert_int_equal(pa_recording_losses(rec, see_loss, &lost), 0);
	pa_recording_close(rec);
	assert_int_equal(lost, 3);
}

/* A stack by its number: with frames, without them, by another thread, and anew. */
static void stacks_have_their_frames_once(void **state)
{
	static const struct by {
		uint64_t frame;
		bool second;
	} by[] = {{0x401000, false}, {0, false}, {0, true}, {0x402000, false}, {0, false}};
	struct scene *s = *state;
	struct pa_conn_messages *m;
	struct found f;

	put_connection(s, &s->first, 1, 1, PA_CONNECTION_CONNECT, PA_CONNECTION_CLIENT, 0);
	for (unsigned i = 0; i < 5; i++) {
		m = put_message_of(s, by[i].second ? &s->second : &s->first, 1000 * i + 10, COMMAND(1, i, GET),
				   by[i].frame);
		m->stack = 7;
		put_message(s, &s->first, 1000 * i + 210, REPLY(1, i));
	}
	f = read_back(s);
	assert_int_equal(f.count, 5);
	assert_int_equal(f.slow, 5);
	assert_true(f.stacks[0] && f.stacks[0] == f.stacks[1]);
	assert_int_equal(f.stacks[2], 0);
	assert_true(f.stacks[3] && f.stacks[3] != f.stacks[0]);
	assert_int_equal(f.stacks[4], f.stacks[3]);
}

static void what_is_missing_is_a_gap_and_nothing_is_matched_across_it(void **state)
{
	struct scene *s = *state;
	struct found f;

	put_connection(s, &s->first, 1, 1, PA_CONNECTION_CONNECT, PA_CONNECTION_CLIENT, 0);
	put_message(s, &s->first, 10, COMMAND(1, 0, GET));
	put_message(s, &s->first, 12, REPLY(1, 0));
	put_message(s, &s->first, 20, COMMAND(1, 1, GET));
	/* its answer and the next request did not find room */
	put_message(s, &s->first, 500, REPLY(1, 2));
	put_message(s, &s->first, 600, COMMAND(1, 3, GET));
	put_message(s, &s->first, 602, REPLY(1, 3));
	put_connection(s, &s->first, 700, 1, PA_CONNECTION_CLOSE, PA_CONNECTION_CLIENT, 0);
	f = read_back(s);
	assert_int_equal(f.count, 3);
	assert_int_equal(f.lost, 1);
	assert_int_equal(f.total_ns, 4 * MS);
	assert_int_equal(f.slow, 0);
	assert_int_equal(f.pool.active, 0);
}

static void a_connection_that_ends_leaves_its_request_unanswered(void **state)
{
	struct scene *s = *state;
	struct found f;

	put_connection(s, &s->first, 1, 1, PA_CONNECTION_CONNECT, PA_CONNECTION_CLIENT, 0);
	put_message(s, &s->first, 10, COMMAND(1, 0, GET));
	put_connection(s, &s->first, 30, 1, PA_CONNECTION_CLOSE, PA_CONNECTION_CLIENT, ECONNRESET);
	put_connection(s, &s->first, 40, 2, PA_CONNECTION_CONNECT, PA_CONNECTION_CLIENT, ECONNREFUSED);
	/* open to the end */
	put_connection(s, &s->first, 50, 3, PA_CONNECTION_CONNECT, PA_CONNECTION_CLIENT, 0);
	f = read_back(s);
	assert_int_equal(f.count, 1);
	assert_int_equal(f.errors, 1);
	assert_int_equal(f.lost, 1);
	assert_string_equal(f.error, "no answer");
	assert_int_equal(f.pool.opened, 2);
	assert_int_equal(f.pool.closed, 1);
	assert_int_equal(f.pool.failed, 1);
	assert_int_equal(f.pool.errors, 1);
	assert_int_equal(f.pool.open, 1);
	assert_int_equal(f.pool.open_max, 1);
}

/* Later than the look at the rings began: maybe something before it is in a ring that was read already. */
static void what_is_younger_than_a_look_waits_for_the_next(void **state)
{
	struct scene *s = *state;

	s->start_ns = pa_now_ns() + 60000 * MS;
	put_connection(s, &s->first, 1, 1, PA_CONNECTION_CONNECT, PA_CONNECTION_CLIENT, 0);
	look(s);
	assert_int_equal(s->r->talks->nr, 1);
	put_message(s, &s->first, 10, COMMAND(1, 0, GET));
	look(s);
	assert_int_equal(s->r->talks->nr, 1);
	look(s);
	assert_int_equal(s->r->talks->nr, 0);
	assert_int_equal(s->r->talks->bytes, 0);
	assert_int_equal(read_back(s).count, 1);
}

#define PG(at, to, what, words, number)                                                                                \
	((struct said){.connection = 1,                                                                                \
		       .order = (at),                                                                                  \
		       .way = (to),                                                                                    \
		       .kind = (what),                                                                                 \
		       .proto = PA_PROTO_POSTGRES,                                                                     \
		       .text = (words),                                                                                \
		       .value = (number)})

static void transactions_left_open_are_counted(void **state)
{
	struct scene *s = *state;
	struct found f;

	put_connection(s, &s->first, 1, 1, PA_CONNECTION_FOUND, PA_CONNECTION_CLIENT, 0);
	put_message(s, &s->first, 10, PG(0, PA_TO_SERVER, PA_FRAME_PG_QUERY, "begin", 0));
	put_message(s, &s->first, 20, PG(0, PA_TO_CLIENT, PA_FRAME_PG_COMPLETE, "BEGIN", 0));
	put_message(s, &s->first, 20, PG(1, PA_TO_CLIENT, PA_FRAME_PG_READY, NULL, 'T'));
	put_message(s, &s->first, 50, PG(1, PA_TO_SERVER, PA_FRAME_PG_QUERY, "commit", 0));
	put_message(s, &s->first, 60, PG(2, PA_TO_CLIENT, PA_FRAME_PG_COMPLETE, "COMMIT", 0));
	put_message(s, &s->first, 60, PG(3, PA_TO_CLIENT, PA_FRAME_PG_READY, NULL, 'I'));
	put_connection(s, &s->first, 100, 1, PA_CONNECTION_CLOSE, PA_CONNECTION_CLIENT, 0);
	f = read_back(s);
	assert_int_equal(f.count, 2);
	assert_int_equal(f.pool.in_tx_max, 1);
	assert_int_equal(f.pool.in_tx, 0);
	assert_int_equal(f.pool.in_tx_ns, 30 * MS);
	assert_int_equal(f.pool.active_ns, 20 * MS);
}

#define HTTP(number, at, to, what, words, status)                                                                      \
	((struct said){.connection = (number),                                                                         \
		       .order = (at),                                                                                  \
		       .way = (to),                                                                                    \
		       .kind = (what),                                                                                 \
		       .proto = PA_PROTO_HTTP,                                                                         \
		       .text = (words),                                                                                \
		       .value = (status)})

/* Two requests, one after the other or at the same time, each asking as often as it says. */
static void handle(struct scene *s, bool at_once)
{
	uint32_t order = 0;

	put_connection(s, &s->first, 1, 1, PA_CONNECTION_CONNECT, PA_CONNECTION_CLIENT, 0);
	for (uint32_t number = 2; number < 4; number++)
		put_connection(s, &s->first, 2, number, PA_CONNECTION_ACCEPT, 0, 0);
	for (uint32_t number = 2; number < 4; number++) {
		unsigned ms = number * 100;

		put_message(s, &s->first, ms,
			    HTTP(number, 0, PA_TO_SERVER, PA_FRAME_HTTP_REQUEST, "GET /x HTTP/1.1", 0));
		put_message(s, &s->first, ms, HTTP(number, 1, PA_TO_SERVER, PA_FRAME_HTTP_END, NULL, 0));
		if (at_once && number == 2)
			continue;
		for (uint32_t i = 0; i < (number == 3 ? 11 : 10); i++, order++) {
			put_message(s, &s->first, ms + 1 + 2 * i, COMMAND(1, order, GET));
			put_message(s, &s->first, ms + 2 + 2 * i, REPLY(1, order));
		}
		for (uint32_t done = at_once ? 2 : number; done <= number; done++) {
			put_message(s, &s->first, ms + 50,
				    HTTP(done, 0, PA_TO_CLIENT, PA_FRAME_HTTP_RESPONSE, NULL, 200));
			put_message(s, &s->first, ms + 50, HTTP(done, 1, PA_TO_CLIENT, PA_FRAME_HTTP_END, NULL, 0));
		}
	}
}

static void what_is_asked_many_times_in_a_request_is_told(void **state)
{
	struct scene *s = *state;
	struct found f;

	handle(s, false);
	f = read_back(s);
	assert_int_equal(f.count, 23);
	assert_int_equal(f.repeats, 11);
	assert_int_equal(f.repeated, 1);
	/* both requests are of one form, and so is what they ask */
	assert_int_equal(f.nr_within, 1);
	assert_int_equal(f.within[0].count, 21);
	assert_int_equal(f.within[0].total_ns, 21 * MS);
	assert_int_equal(f.within[0].repeats, 11);
	assert_int_equal(f.within[0].repeated, 1);
	assert_true(f.within[0].endpoint && f.within[0].endpoint != f.within[0].exchange);
	assert_int_equal(f.nr_requests, 2);
	assert_int_equal(f.requests[0].exchange, f.within[0].endpoint);
	assert_int_equal(f.requests[0].start_ns, s->start_ns + 200 * MS);
	assert_int_equal(f.requests[0].end_ns, s->start_ns + 250 * MS);
	assert_int_equal(f.requests[0].flags, 0);
	assert_true(f.requests[0].thread);
}

static void put_iteration(struct scene *s, unsigned from_ms, unsigned to_ms)
{
	struct pa_iteration *it = fake_begin(&s->first.hook, PA_REC_ITERATION, sizeof(*it), s->start_ns + to_ms * MS);

	assert_non_null(it);
	it->tid = s->first.tid;
	it->kind = PA_WAIT_EPOLL;
	it->key = 3;
	it->start_ns = s->start_ns + from_ms * MS;
	pa_ring_commit(&s->first.hook);
}

/* Asked and answered within one: ten are not many, eleven are; what is answered after its end is not of it. */
static void what_is_asked_many_times_in_an_iteration_is_told(void **state)
{
	struct scene *s = *state;
	struct found f;
	uint32_t order = 0;

	put_connection(s, &s->first, 1, 1, PA_CONNECTION_CONNECT, PA_CONNECTION_CLIENT, 0);
	put_message(s, &s->first, 2, COMMAND(1, order, GET));
	put_message(s, &s->first, 3, REPLY(1, order++));
	/* iterations are looked at once something was said */
	look(s);
	put_iteration(s, 4, 50);
	for (unsigned nr = 10; nr <= 12; nr++) {
		unsigned ms = nr * 100;

		for (unsigned i = 0; i < nr; i++, order++) {
			put_message(s, &s->first, ms + 1 + 2 * i, COMMAND(1, order, GET));
			put_message(s, &s->first, ms + 2 + 2 * i, REPLY(1, order));
		}
		put_iteration(s, ms, ms + 24);
	}
	f = read_back(s);
	assert_int_equal(f.nr_within, 1);
	assert_int_equal(f.within[0].endpoint, 0);
	assert_int_equal(f.within[0].repeats, 12);
	assert_int_equal(f.within[0].repeated, 2);
	assert_int_equal(f.repeated, 0);
}

static void a_thread_with_two_requests_tells_nothing_of_either(void **state)
{
	struct scene *s = *state;
	struct found f;

	handle(s, true);
	f = read_back(s);
	assert_int_equal(f.count, 13);
	assert_int_equal(f.repeated, 0);
	assert_int_equal(f.nr_within, 0);
	assert_int_equal(f.nr_requests, 2);
	assert_true(f.requests[0].end_ns > f.requests[1].start_ns);
}

static void forms_beyond_the_limit_are_one(void **state)
{
	struct scene *s = *state;
	struct found f;

	put_connection(s, &s->first, 1, 1, PA_CONNECTION_CONNECT, PA_CONNECTION_CLIENT, 0);
	for (uint32_t i = 0; i < PA_EXCHANGE_FORMS_MAX + 500; i++) {
		char text[64];

		snprintf(text, sizeof(text), "select a%c%c%c from t", 'a' + i % 26, 'a' + i / 26 % 26, 'a' + i / 676);
		put_message(s, &s->first, 10 + 2 * i, PG(2 * i, PA_TO_SERVER, PA_FRAME_PG_QUERY, text, 0));
		put_message(s, &s->first, 11 + 2 * i, PG(2 * i, PA_TO_CLIENT, PA_FRAME_PG_COMPLETE, "SELECT 1", 0));
		put_message(s, &s->first, 11 + 2 * i, PG(2 * i + 1, PA_TO_CLIENT, PA_FRAME_PG_READY, NULL, 'I'));
		if (i % 100 == 99)
			look(s);
	}
	f = read_back(s);
	assert_true(f.other);
	assert_int_equal(f.forms, PA_EXCHANGE_FORMS_MAX + 1);
	assert_int_equal(f.count, PA_EXCHANGE_FORMS_MAX + 500);
}

/* ---- anybody's records ------------------------------------------------------------------------------------------- */

static uint64_t next_random(uint64_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return *x;
}

static void fill_any(uint8_t *out, uint32_t len, uint64_t *x)
{
	for (uint32_t i = 0; i < len; i++)
		out[i] = (uint8_t)(next_random(x) % 3 ? 'a' + next_random(x) % 26 : next_random(x));
}

static void put_any(struct scene *s, struct fake_thread *t, uint64_t *x)
{
	static const uint16_t kinds[] = {1, 16, 64, 96, 128};
	uint8_t text[64];
	uint32_t nr = 1 + next_random(x) % 4;
	struct pa_conn_messages *m =
	    begin_messages(t, nr * (PA_ENTRY_MAX + 64), next_random(x) >> (next_random(x) % 64));
	struct pa_message_list list;

	if (!m)
		return;
	list = (struct pa_message_list){.start = (uint8_t *)m->frames, .end = (uint8_t *)m->frames};
	for (uint32_t i = 0; i < nr; i++) {
		struct pa_frame_event e = {.bytes = text, .nr_bytes = next_random(x) % 64};

		fill_any(text, e.nr_bytes, x);
		e.kind = (uint16_t)(kinds[next_random(x) % 5] + next_random(x) % 30);
		e.flags = (uint16_t)(next_random(x) % 512);
		e.first_ns = m->head.time_ns - next_random(x) % (m->head.time_ns + 1);
		e.total = next_random(x);
		e.count = next_random(x);
		e.value = next_random(x) % 2 ? next_random(x) : next_random(x) % 300;
		pa_message_add(&list, &e, m->head.time_ns);
	}
	m->connection = 1 + (uint32_t)(next_random(x) % (next_random(x) % 2 ? 8 : 40000));
	m->tid = (uint32_t)next_random(x);
	m->order = (uint32_t)(next_random(x) % 3);
	m->nr = (uint16_t)(next_random(x) % 8 ? nr : 1 + next_random(x) % PA_ENTRIES_MAX);
	m->way = next_random(x) % 2;
	m->proto = (uint8_t)next_random(x);
	m->nr_bytes = (uint16_t)(list.end - list.start);
	m->stack = next_random(x) % (PA_CONN_STACKS + 1);
	if (next_random(x) % 16 == 0)
		fill_any(list.start, m->nr_bytes, x);
	pa_ring_commit(&t->hook);
}

static void anybodys_messages_stay_within_bounds(void **state)
{
	struct scene *s = *state;
	uint64_t x = 88172645463325252u;
	struct found f;

	for (unsigned i = 0; i < 120000; i++) {
		put_any(s, i % 2 ? &s->first : &s->second, &x);
		if (i % 7 == 0)
			put_connection(s, &s->first, i, 1 + (uint32_t)(next_random(&x) % 40000),
				       1 + (unsigned)(next_random(&x) % 7), (unsigned)(next_random(&x) % 2),
				       next_random(&x) % 3 ? 0 : ECONNREFUSED);
		if (i % 500 == 499)
			look(s);
	}
	look(s);
	look(s);
	assert_true(s->r->sessions->processes->talks->nr_conns <= PA_TALKS_CONNS_MAX);
	assert_true(s->r->talks->decode_bytes <= PA_TALKS_DECODE_MAX);
	assert_int_equal(s->r->talks->bytes, 0);
	f = read_back(s);
	assert_true(f.count > 1000 && f.forms > 100 && f.pools >= 1);
}

static void addresses_become_text(void **state)
{
	struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons(80)};
	struct sockaddr_un path = {.sun_family = AF_UNIX, .sun_path = "/run/x.sock"};
	char text[PA_PEER_MAX];

	inet_pton(AF_INET6, "2001:db8::1", &six.sin6_addr);
	pa_talk_peer((uint8_t *)&six, sizeof(six), text);
	assert_string_equal(text, "[2001:db8::1]:80");
	assert_int_equal(pa_talk_port((uint8_t *)&six, sizeof(six)), 80);
	inet_pton(AF_INET6, "::ffff:10.1.2.3", &six.sin6_addr);
	pa_talk_peer((uint8_t *)&six, sizeof(six), text);
	assert_string_equal(text, "10.1.2.3:80");
	pa_talk_peer((uint8_t *)&six, 7, text);
	assert_string_equal(text, "");
	pa_talk_peer((uint8_t *)&path, sizeof(path), text);
	assert_string_equal(text, "/run/x.sock");
	assert_int_equal(pa_talk_port((uint8_t *)&path, sizeof(path)), 0);
	memcpy(path.sun_path, "\0bus", 4);
	pa_talk_peer((uint8_t *)&path, offsetof(struct sockaddr_un, sun_path) + 4, text);
	assert_string_equal(text, "@bus");
	memset(path.sun_path, 'x', sizeof(path.sun_path));
	pa_talk_peer((uint8_t *)&path, sizeof(path), text);
	assert_int_equal(strlen(text), sizeof(path.sun_path));
	pa_talk_peer((uint8_t *)&path, 1, text);
	assert_string_equal(text, "");
}

/* ---- the report's side ------------------------------------------------------------------------------------------- */

static void golden_recording_of_schema_4_has_its_exchanges(void **state)
{
	const struct pa_report_exchange **list;
	struct pa_report *r;
	char err[300];
	size_t nr;

	assert_int_equal(pa_report_load("tests/golden/schema-4.pfa", &r, err, sizeof(err)), 0);
	assert_true(r->talks && r->talks->db && r->talks->http);
	assert_int_equal(pa_talks_select(r, PA_TALK_QUERIES, &list, &nr), 0);
	assert_int_equal(nr, 1);
	assert_string_equal(pa_text(r, list[0]->text), "select ?");
	assert_string_equal(pa_text(r, list[0]->error), "42601");
	assert_int_equal(list[0]->count, 10);
	assert_int_equal(list[0]->lost, 1);
	assert_int_equal(list[0]->slow, 1);
	assert_int_equal(list[0]->rows, 19);
	assert_int_equal(list[0]->repeated, 3);
	assert_int_equal(list[0]->min_ns, 2 * MS);
	assert_int_equal(pa_exchange_mean(list[0]), (16 + 150) * MS / 9);
	/* within half a bucket; the largest is known */
	assert_in_range(pa_exchange_quantile(list[0], 500), 2 * MS, 2 * MS * 103 / 100);
	assert_in_range(pa_exchange_quantile(list[0], 990), 150 * MS * 98 / 100, 150 * MS);
	free(list);
	/* nothing of it was answered in the recording's time */
	assert_int_equal(pa_talks_select(r, PA_TALK_ENDPOINTS, &list, &nr), 0);
	assert_int_equal(nr, 0);
	free(list);
	assert_int_equal(r->talks->nr_pools, 1);
	assert_int_equal(r->talks->pools[0].sums.open_max, 4);
	assert_string_equal(pa_text(r, r->talks->pools[0].peer), "127.0.0.1:5432");
	pa_report_free(r);
	assert_int_equal(pa_report_load("tests/golden/schema-3.pfa", &r, err, sizeof(err)), 0);
	assert_null(r->talks);
	pa_report_free(r);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(answers_in_a_ring_that_is_read_before_are_put_behind_their_requests),
	    CASE(messages_of_one_record_are_all_there),
	    CASE(messages_that_a_record_promises_and_has_not_are_lost),
	    CASE(stacks_have_their_frames_once),
	    CASE(what_is_missing_is_a_gap_and_nothing_is_matched_across_it),
	    CASE(a_connection_that_ends_leaves_its_request_unanswered),
	    CASE(what_is_younger_than_a_look_waits_for_the_next),
	    CASE(transactions_left_open_are_counted),
	    CASE(what_is_asked_many_times_in_a_request_is_told),
	    CASE(what_is_asked_many_times_in_an_iteration_is_told),
	    CASE(a_thread_with_two_requests_tells_nothing_of_either),
	    CASE(forms_beyond_the_limit_are_one),
	    CASE(anybodys_messages_stay_within_bounds),
	    cmocka_unit_test(addresses_become_text),
	    cmocka_unit_test(golden_recording_of_schema_4_has_its_exchanges),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
