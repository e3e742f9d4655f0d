/* HTTP: a recorded stream of curl and nginx, cut anywhere; and by hand pipelines, interim answers, tunnels, odd heads.
 */
#include "tests/unit/frame_told.h"
static struct pa_frame frame;

static int set(void **state)
{
	pa_frame_init(&frame, PA_PROTO_HTTP, PA_PROTO_UNSURE, false);
	return 0;
}

static void ask(const char *text)
{
	feed(&frame, &told, PA_TO_SERVER, (const uint8_t *)text, strlen(text), 4);
}

static void answer(const char *text)
{
	feed(&frame, &told, PA_TO_CLIENT, (const uint8_t *)text, strlen(text), 4);
}

static void test_a_recording_is_told_alike_however_it_is_cut(void **state)
{
	struct streams s;
	uint64_t bytes[2] = {0};
	char *whole;

	streams_load(&s, "http_curl");
	pa_frame_init(&frame, PA_PROTO_UNSURE, PA_PROTO_UNSURE, false);
	streams_feed(&frame, &told, &s, 0, 1);
	assert_int_equal(pa_load_relaxed(&frame.proto), PA_PROTO_HTTP);
	assert_int_equal(told.gaps + told.not_this + told.opaque, 0);
	assert_int_equal(times("> 128 "), 10);
	assert_int_equal(times("> 131 "), 10);
	assert_int_equal(times("< 131 "), 10);
	assert_int_equal(times("< 131 0 total 6225 hash 0 count 6001 "), 1); /* by its length */
	assert_int_equal(times("< 131 0 total 327 hash 0 count 82 "), 1);    /* in chunks */
	assert_int_equal(times("> 131 0 total 139 hash 0 count 12 "), 1);    /* a request in chunks */
	assert_int_equal(times("[HEAD /big.txt HTTP/1.1]"), 1);
	whole = strdup(told.text);
	for (size_t k = 0; k < s.nr; k++)
		bytes[s.list[k].way] += s.list[k].len;
	for (uint32_t seed = 0; seed < 40; seed++) {
		told_free(&told);
		pa_frame_init(&frame, PA_PROTO_UNSURE, PA_PROTO_UNSURE, false);
		streams_feed(&frame, &told, &s, 1 + seed * 7, seed);
		assert_string_equal(told.text, whole);
		assert_int_equal(told.total[0] + frame.way[0].total, bytes[0]);
		assert_int_equal(told.total[1] + frame.way[1].total, bytes[1]);
	}
	free(whole);
	streams_free(&s);
}

static void test_pipelined_requests_and_their_answers(void **state)
{
	ask("GET /a HTTP/1.1\r\n\r\nHEAD /b HTTP/1.1\r\n\r\nPOST /c HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcGET /d "
	    "HTTP/1.1\r\n\r\n");
	assert_int_equal(times("> 131 "), 4);
	answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhiHTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n");
	answer("HTTP/1.1 404 Not Found\r\ncontent-length:1\r\n\r\nxHTTP/1.1 304 Not Modified\r\nContent-Length: "
	       "5\r\n\r\n");
	assert_int_equal(times("< 131 "), 4);
	assert_int_equal(told.gaps, 0);
}

static void test_nothing_of_a_head_is_shown_but_its_line_and_host(void **state)
{
	ask("GET /a HTTP/1.1\r\nCookie: secret\r\nHOST:  example.org \r\nAuthorization: secret\r\n\r\n");
	assert_int_equal(times("secret"), 0);
	assert_int_equal(times("> 129 0 total 37 hash 0 count 0 value 0 [example.org]"), 1);
}

static void test_an_interim_answer_is_not_the_answer(void **state)
{
	ask("PUT /a HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
	answer("HTTP/1.1 100 Continue\r\n\r\n");
	ask("ok");
	answer(
	    "HTTP/1.1 201 Created\r\nTransfer-Encoding: gzip, Chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nTrailer: t\r\n\r\n");
	assert_int_equal(times("value 100 []"), 1);
	assert_int_equal(times("value 201 []"), 1);
	assert_int_equal(times("< 131 "), 1);
	assert_int_equal(times("count 3 value 0 []"), 1);
}

static void test_an_answer_without_length_lasts_until_the_end(void **state)
{
	struct pa_frame_event event;
	struct pa_frame_out out = {&event, 0, 1};

	ask("GET /a HTTP/1.0\n\n");
	answer("HTTP/1.0 200 OK\n\nall that");
	answer("HTTP/1.1 there is");
	assert_int_equal(times("< 131 "), 0);
	pa_frame_close(&frame, PA_TO_CLIENT, ++told.now, &out);
	assert_int_equal(out.nr, 1);
	assert_int_equal(event.kind, PA_FRAME_HTTP_END);
	assert_int_equal(event.count, 25);
	assert_true(event.flags & PA_FRAME_CLOSED);
}

static void test_upgrades_tunnels_and_version_2_end_what_can_be_seen(void **state)
{
	ask("GET /ws HTTP/1.1\r\nUpgrade: websocket\r\n\r\n");
	answer("HTTP/1.1 101 Switching Protocols\r\n\r\n\x81\x05hello");
	assert_int_equal(times("< 2 0 total 34 hash 0 count 0 value 4 []"), 1);
	ask("\x81\x05hello");
	assert_int_equal(pa_load_relaxed(&frame.proto), PA_PROTO_OPAQUE);
	set(state);
	ask("CONNECT example.org:443 HTTP/1.1\r\n\r\n");
	answer("HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n");
	ask("CONNECT example.org:443 HTTP/1.1\r\n\r\n");
	answer("HTTP/1.1 200 Yes\r\n\r\n");
	assert_int_equal(pa_load_relaxed(&frame.proto), PA_PROTO_OPAQUE);
	pa_frame_init(&frame, PA_PROTO_UNSURE, PA_PROTO_UNSURE, false);
	ask("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
	assert_int_equal(pa_load_relaxed(&frame.proto), PA_PROTO_OPAQUE);
}

static void test_a_gigabyte_is_stepped_over_without_being_looked_at(void **state)
{
	ask("PUT /a HTTP/1.1\r\nContent-Length: 1073741824\r\n\r\n");
	feed(&frame, &told, PA_TO_SERVER, NULL, 1073741824, 2);
	ask("GET /b HTTP/1.1\r\n\r\n");
	assert_int_equal(times("count 1073741824 value 0 []"), 1);
	assert_int_equal(times("[GET /b HTTP/1.1]"), 1);
}

static void test_a_lost_way_resumes_at_a_first_line(void **state)
{
	pa_frame_lost(&frame, PA_TO_SERVER);
	ask("GET not one\r\nGET /in/a/body\r\nGET /b HTTP/1.1\r\n\r\n");
	assert_int_equal(told.messages, 2);
	assert_int_equal(times("> 128 8 total 46 hash 0 count 0 value 0 [GET /b HTTP/1.1]"), 1);
	pa_frame_lost(&frame, PA_TO_CLIENT);
	answer("HTTP is nice\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	assert_int_equal(times("< 130 8 "), 1);
}

static void test_heads_that_are_none_are_given_up(void **state)
{
	static const char *const bad[] = {
	    "GET / HTTP/3.1\r\n",
	    "GET / HTTP/1.1\r\nContent-Length: -1\r\n",
	    "GET / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n",
	    "GET / HTTP/1.1\r\nno field\r\n",
	    "get / HTTP/1.1\r\n",
	    "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nnot hex\r\n",
	    "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nxy\r\n",
	};

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		set(state);
		ask(bad[i]);
		assert_int_equal(frame.way[PA_TO_SERVER].errors, 1);
		told_free(&told);
	}
	set(state);
	for (unsigned i = 0; i < 20; i++)
		ask("GET / HTTP/9.9\r\n");
	assert_int_equal(told.not_this, 0); /* while lost, attempts are not errors */
}

static void test_long_targets_are_cut_and_endless_ones_given_up(void **state)
{
	static char line[80000];

	memcpy(line, "GET /", 5);
	memset(line + 5, 'x', 6000);
	memcpy(line + 6005, " HTTP/1.1\r\n\r\n", 14);
	ask(line);
	assert_int_equal(times("> 128 4 total 6016 "), 1);
	assert_int_equal(told.message[0].nr_bytes, 0); /* of the end */
	memset(line + 5, 'x', sizeof(line) - 6);
	ask(line);
	assert_int_equal(frame.way[PA_TO_SERVER].errors, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_a_recording_is_told_alike_however_it_is_cut, set, reset),
	    cmocka_unit_test_setup_teardown(test_pipelined_requests_and_their_answers, set, reset),
	    cmocka_unit_test_setup_teardown(test_nothing_of_a_head_is_shown_but_its_line_and_host, set, reset),
	    cmocka_unit_test_setup_teardown(test_an_interim_answer_is_not_the_answer, set, reset),
	    cmocka_unit_test_setup_teardown(test_an_answer_without_length_lasts_until_the_end, set, reset),
	    cmocka_unit_test_setup_teardown(test_upgrades_tunnels_and_version_2_end_what_can_be_seen, set, reset),
	    cmocka_unit_test_setup_teardown(test_a_gigabyte_is_stepped_over_without_being_looked_at, set, reset),
	    cmocka_unit_test_setup_teardown(test_a_lost_way_resumes_at_a_first_line, set, reset),
	    cmocka_unit_test_setup_teardown(test_heads_that_are_none_are_given_up, set, reset),
	    cmocka_unit_test_setup_teardown(test_long_targets_are_cut_and_endless_ones_given_up, set, reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
