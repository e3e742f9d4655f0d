/* Batches of the socket transport applied to a session, and the words that go back. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "collector/drain.h"
#include "collector/stream.h"
#include "common/atomics.h"

#define RING 4096u

static const struct pa_geometry geometry = {
    .nr_slots = 8, .signal_ring_bytes = RING, .hook_ring_bytes = RING, .period_ns = 1000000, .modes = PA_MODE_CPU};

struct packet {
	struct pa_stream_batch batch;
	uint8_t data[2 * RING];
};

static int setup(void **state)
{
	struct pa_session *s = NULL;

	assert_int_equal(pa_session_create(&geometry, &s), 0);
	*state = s;
	return 0;
}

static int teardown(void **state)
{
	pa_session_free(*state);
	return 0;
}

/* `nr` notes with codes from `code` on, from the given position of the hook ring of slot 1. */
static size_t make_notes(struct packet *p, uint64_t position, uint32_t code, unsigned nr)
{
	memset(p, 0, sizeof(*p));
	pa_stream_head(&p->batch.head, PA_MSG_BATCH, (uint32_t)(sizeof(p->batch) + nr * sizeof(struct pa_note)));
	p->batch.slot = 1;
	p->batch.ring = PA_STREAM_HOOK;
	p->batch.position = position;
	p->batch.bytes = (uint32_t)(nr * sizeof(struct pa_note));
	p->batch.owner = PA_OWNER(70, 71);
	for (unsigned i = 0; i < nr; i++) {
		struct pa_note *n = (struct pa_note *)p->data + i;

		n->head = (struct pa_record){.size = sizeof(*n), .type = PA_REC_NOTE, .time_ns = code + i + 1};
		n->code = code + i;
		n->tid = 71;
	}
	return p->batch.head.size;
}

static uint32_t codes[256];
static unsigned nr_codes;

static void on_note(void *arg, const struct pa_drain_origin *from, const struct pa_record *record)
{
	assert_int_equal(from->pid, 70);
	assert_int_equal(from->tid, 71);
	assert_true(nr_codes < 256);
	codes[nr_codes++] = ((const struct pa_note *)record)->code;
}

static void drain(struct pa_session *s)
{
	struct pa_drain_sink sink = {.rows = {[PA_REC_NOTE] = {on_note, false}}};
	struct pa_drain_result result;
	struct pa_drain *d = pa_drain_new();

	assert_non_null(d);
	pa_drain_session(d, s, &sink, &result);
	pa_drain_free(d);
}

static void expect_codes(unsigned nr)
{
	assert_int_equal(nr_codes, nr);
	for (unsigned i = 0; i < nr; i++)
		assert_int_equal(codes[i], i);
	nr_codes = 0;
}

static void test_a_batch_is_drained_like_a_ring(void **state)
{
	struct packet p;

	nr_codes = 0;
	assert_int_equal(pa_stream_apply(*state, &p, make_notes(&p, 0, 0, 3)), 0);
	assert_int_equal(pa_stream_apply(*state, &p, make_notes(&p, 3 * sizeof(struct pa_note), 3, 2)), 0);
	drain(*state);
	expect_codes(5);
}

static void test_what_was_sent_twice_is_taken_once(void **state)
{
	struct packet p;

	nr_codes = 0;
	assert_int_equal(pa_stream_apply(*state, &p, make_notes(&p, 0, 0, 3)), 0);
	assert_int_equal(pa_stream_apply(*state, &p, make_notes(&p, 0, 0, 2)), 0);
	/* begins in what is known and goes on */
	assert_int_equal(pa_stream_apply(*state, &p, make_notes(&p, sizeof(struct pa_note), 1, 4)), 0);
	drain(*state);
	expect_codes(5);
}

static void test_a_gap_ends_it(void **state)
{
	struct packet p;

	assert_int_equal(pa_stream_apply(*state, &p, make_notes(&p, 0, 0, 1)), 0);
	assert_int_equal(pa_stream_apply(*state, &p, make_notes(&p, 2 * sizeof(struct pa_note), 2, 1)), -EPROTO);
}

static void test_a_full_ring_asks_for_a_drain_and_wraps(void **state)
{
	const unsigned most = RING / sizeof(struct pa_note);
	struct packet p;
	uint64_t at = 0;

	nr_codes = 0;
	/* whole laps: a record does not wrap */
	assert_int_equal(RING % sizeof(struct pa_note), RING - most * sizeof(struct pa_note));
	at = (uint64_t)(most - 1) * sizeof(struct pa_note);
	assert_int_equal(pa_stream_apply(*state, &p, make_notes(&p, 0, 0, most - 1)), 0);
	assert_int_equal(pa_stream_apply(*state, &p, make_notes(&p, at, most - 1, 3)), -EAGAIN);
	drain(*state);
	expect_codes(most - 1);
	assert_int_equal(pa_stream_apply(*state, &p, make_notes(&p, at, 0, 3)), 0);
	drain(*state);
	expect_codes(3);
	/* more than any ring holds */
	at += 3 * sizeof(struct pa_note);
	assert_int_equal(pa_stream_apply(*state, &p, make_notes(&p, at, 0, most + 1)), -EPROTO);
}

static void test_counters_never_go_back(void **state)
{
	struct pa_session *s = *state;
	struct packet p;

	make_notes(&p, 0, 0, 0);
	p.batch.counters.lost_full = 7;
	p.batch.figures.lost_no_slot = 9;
	assert_int_equal(pa_stream_apply(s, &p, sizeof(p.batch)), 0);
	p.batch.counters.lost_full = 3;
	p.batch.figures.lost_no_slot = 4;
	assert_int_equal(pa_stream_apply(s, &p, sizeof(p.batch)), 0);
	assert_int_equal(pa_load_relaxed(&s->slots[1].hook.lost_full), 7);
	assert_int_equal(pa_load_relaxed(&s->control->lost_no_slot), 9);
}

static void refused(struct pa_session *s, const struct packet *good, size_t offset, uint32_t value)
{
	struct packet bad = *good;

	memcpy((uint8_t *)&bad + offset, &value, sizeof(value));
	assert_int_equal(pa_stream_apply(s, &bad, good->batch.head.size), -EPROTO);
}

static void test_what_makes_no_sense_is_refused(void **state)
{
	struct packet p;
	size_t len = make_notes(&p, 0, 0, 2);

	refused(*state, &p, offsetof(struct pa_stream_batch, head.magic), 1);
	refused(*state, &p, offsetof(struct pa_stream_batch, head.type), PA_MSG_WORDS);
	refused(*state, &p, offsetof(struct pa_stream_batch, head.size), (uint32_t)len + 8);
	refused(*state, &p, offsetof(struct pa_stream_batch, slot), geometry.nr_slots);
	refused(*state, &p, offsetof(struct pa_stream_batch, ring), 2);
	refused(*state, &p, offsetof(struct pa_stream_batch, position), 4);
	refused(*state, &p, offsetof(struct pa_stream_batch, position) + 4, 0x7fffffff);
	refused(*state, &p, offsetof(struct pa_stream_batch, bytes), 8);
	refused(*state, &p, offsetof(struct pa_stream_batch, owner) + 4, 0);
	assert_int_equal(pa_stream_apply(*state, &p, len - 1), -EPROTO);
	assert_int_equal(pa_stream_apply(*state, &p, 8), -EPROTO);
	assert_int_equal(pa_stream_apply(*state, &p, len), 0);
}

/* ---- the connection --------------------------------------------------------------------------------------------- */

static void on_full(void *arg)
{
	drain(arg);
}

struct connected {
	struct pa_loop *loop;
	struct pa_streamed *st;
	int agent; /* its end */
};

static void begin(struct connected *c, struct pa_session *s)
{
	struct pa_stream_ops ops = {on_full, s};
	struct pa_stream_layout layout;
	int pair[2];

	c->loop = pa_loop_new();
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair), 0);
	assert_int_equal(pa_streamed_new(c->loop, s, pair[0], &ops, &c->st), 0);
	close(pair[0]);
	c->agent = pair[1];
	assert_int_equal(pa_streamed_start(c->st), 0);
	assert_int_equal(recv(c->agent, &layout, sizeof(layout), 0), sizeof(layout));
	assert_int_equal(layout.control.nr_slots, geometry.nr_slots);
}

static void end(struct connected *c)
{
	pa_streamed_free(c->st);
	pa_loop_free(c->loop);
	close(c->agent);
}

static void test_words_go_back_once(void **state)
{
	struct pa_stream_words w;
	struct connected c;

	begin(&c, *state);
	pa_streamed_push(c.st);
	assert_int_equal(recv(c.agent, &w, sizeof(w), 0), -1);
	assert_true(pa_session_arm(*state, 5, 6));
	pa_session_bump_cache(*state);
	pa_streamed_gone(c.st, 77);
	pa_streamed_push(c.st);
	assert_int_equal(recv(c.agent, &w, sizeof(w), 0), sizeof(w));
	assert_true(pa_stream_words_ok(&w, sizeof(w)));
	assert_int_equal(w.state, PA_SESSION_SAMPLING);
	assert_int_equal(w.cache_generation, 1);
	assert_int_equal(w.nr_arm, 1);
	assert_true(w.arm[0] == PA_OWNER(5, 6));
	assert_int_equal(w.nr_gone, 1);
	assert_int_equal(w.gone[0], 77);
	pa_streamed_push(c.st);
	assert_int_equal(recv(c.agent, &w, sizeof(w), 0), -1);
	end(&c);
}

static void test_a_full_ring_is_drained_on_the_way(void **state)
{
	const unsigned most = RING / sizeof(struct pa_note);
	struct connected c;
	struct packet p;
	size_t len;

	nr_codes = 0;
	begin(&c, *state);
	len = make_notes(&p, 0, 0, most - 1);
	assert_int_equal(send(c.agent, &p, len, 0), len);
	len = make_notes(&p, (most - 1) * sizeof(struct pa_note), most - 1, 3);
	assert_int_equal(send(c.agent, &p, len, 0), len);
	pa_streamed_receive(c.st);
	drain(*state);
	expect_codes(most + 2);
	assert_true(pa_streamed_is_open(c.st));
	end(&c);
}

static void test_nonsense_and_a_hangup_end_it(void **state)
{
	struct connected c;
	struct packet p;
	size_t len = make_notes(&p, 8, 0, 1);

	begin(&c, *state);
	assert_int_equal(send(c.agent, &p, len, 0), len);
	pa_streamed_receive(c.st);
	assert_false(pa_streamed_is_open(c.st));
	assert_true(pa_streamed_is_bad(c.st));
	assert_int_equal(send(c.agent, &p, len, MSG_NOSIGNAL), -1);
	end(&c);
	begin(&c, *state);
	close(c.agent);
	pa_streamed_receive(c.st);
	assert_false(pa_streamed_is_open(c.st));
	assert_false(pa_streamed_is_bad(c.st));
	c.agent = -1;
	end(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_a_batch_is_drained_like_a_ring, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_what_was_sent_twice_is_taken_once, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_a_gap_ends_it, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_a_full_ring_asks_for_a_drain_and_wraps, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_counters_never_go_back, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_what_makes_no_sense_is_refused, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_words_go_back_once, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_a_full_ring_is_drained_on_the_way, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_nonsense_and_a_hangup_end_it, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
