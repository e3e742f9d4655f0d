/* What framers do alike: which protocol it is, room for events, hashes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/frame_impl.h"
#include "tests/unit/frame_util.h"

static enum pa_proto detect(enum pa_way way, const char *bytes, size_t n, enum pa_proto hint)
{
	enum pa_proto proto = PA_PROTO_UNSURE;

	for (size_t i = 1; i <= n && i <= PA_FRAME_FIRST_MAX && proto == PA_PROTO_UNSURE; i++)
		proto = pa_frame_detect(way, (const uint8_t *)bytes, i, hint);
	return proto;
}

#define DETECT(way, bytes, hint) detect((way), (bytes), sizeof(bytes) - 1, (hint))

static void test_first_bytes_decide(void **state)
{
	const enum pa_proto none = PA_PROTO_UNSURE;

	assert_int_equal(DETECT(PA_TO_SERVER, "\0\0\0\x20\0\3\0\0user", none), PA_PROTO_POSTGRES);
	assert_int_equal(DETECT(PA_TO_SERVER, "\0\0\0\x08\x04\xd2\x16\x2f", none), PA_PROTO_POSTGRES);
	assert_int_equal(DETECT(PA_TO_CLIENT, "R\0\0\0\x08\0\0\0\0S", none), PA_PROTO_POSTGRES);
	assert_int_equal(DETECT(PA_TO_CLIENT,
				"\x4a\0\0\0\x0a"
				"5.5.5-10.11",
				none),
			 PA_PROTO_MYSQL);
	assert_int_equal(DETECT(PA_TO_CLIENT, "\x17\0\0\0\xff\x10\4Too many", none), PA_PROTO_MYSQL);
	assert_int_equal(DETECT(PA_TO_SERVER, "*2\r\n$3\r\nGET\r\n", none), PA_PROTO_RESP);
	assert_int_equal(DETECT(PA_TO_SERVER, "PING\r\n", PA_PROTO_RESP), PA_PROTO_RESP);
	assert_int_equal(DETECT(PA_TO_SERVER, "PING\r\n", none), PA_PROTO_UNSURE);
	assert_int_equal(DETECT(PA_TO_SERVER, "GET / HTTP/1.1\r\n", none), PA_PROTO_HTTP);
	assert_int_equal(DETECT(PA_TO_SERVER, "OPTIONS * HTTP/1.1", none), PA_PROTO_HTTP);
	assert_int_equal(DETECT(PA_TO_SERVER, "PRI * HTTP/2.0", none), PA_PROTO_HTTP);
	assert_int_equal(DETECT(PA_TO_CLIENT, "HTTP/1.1 200 OK", none), PA_PROTO_HTTP);
	assert_int_equal(DETECT(PA_TO_SERVER, "\x16\3\1\2\0\1\0\1\xfc\3\3", PA_PROTO_POSTGRES), PA_PROTO_OPAQUE);
	assert_int_equal(DETECT(PA_TO_SERVER, "SSH-2.0-OpenSSH_9.2", none), PA_PROTO_UNSURE);
}

static void test_content_goes_before_the_port(void **state)
{
	assert_int_equal(DETECT(PA_TO_SERVER, "POST / HTTP/1.1\r\n", PA_PROTO_POSTGRES), PA_PROTO_HTTP);
	assert_int_equal(DETECT(PA_TO_SERVER, "\0\0\0\x08\x04\xd2\x16\x2f", PA_PROTO_HTTP), PA_PROTO_POSTGRES);
}

static void test_ports_and_paths_hint(void **state)
{
	assert_int_equal(pa_frame_hint(5432, NULL), PA_PROTO_POSTGRES);
	assert_int_equal(pa_frame_hint(0, "/var/run/postgresql/.s.PGSQL.5432"), PA_PROTO_POSTGRES);
	assert_int_equal(pa_frame_hint(0, "/run/mysqld/mysqld.sock"), PA_PROTO_MYSQL);
	assert_int_equal(pa_frame_hint(0, "/run/redis.sock"), PA_PROTO_RESP);
	assert_int_equal(pa_frame_hint(8080, ""), PA_PROTO_HTTP);
	assert_int_equal(pa_frame_hint(22, "/run/other"), PA_PROTO_UNSURE);
}

static void test_what_is_none_of_them_is_said_once(void **state)
{
	struct told told = {0};
	struct pa_frame f;

	pa_frame_init(&f, PA_PROTO_UNSURE, PA_PROTO_UNSURE, false);
	feed(&f, &told, PA_TO_SERVER, (const uint8_t *)"SSH-2.0-OpenSSH_9.2\r\n", 21, 2);
	feed(&f, &told, PA_TO_CLIENT, (const uint8_t *)"SSH-2.0-OpenSSH_9.2\r\n", 21, 2);
	assert_int_equal(told.not_this, 1);
	assert_int_equal(told.messages, 1);
	assert_int_equal(pa_load_relaxed(&f.proto), PA_PROTO_NONE);
	told_free(&told);
}

static void test_a_full_list_stops_the_feeding_and_loses_nothing(void **state)
{
	static const char two[] = "GET /a HTTP/1.1\r\nHost: h\r\n\r\nGET /b HTTP/1.1\r\nHost: h\r\n\r\n";
	struct pa_frame_event list[3];
	struct pa_frame_out out = {list, 0, 1};
	struct pa_frame f;
	size_t at = 0;
	unsigned events = 0;

	pa_frame_init(&f, PA_PROTO_UNSURE, PA_PROTO_UNSURE, false);
	assert_int_equal(pa_frame_feed(&f, PA_TO_SERVER, two, sizeof(two) - 1, 1, &out), 0);
	out.max = 3;
	while (at < sizeof(two) - 1) {
		at += pa_frame_feed(&f, PA_TO_SERVER, two + at, sizeof(two) - 1 - at, 1, &out);
		for (uint32_t i = 0; i < out.nr; i++)
			events += !(list[i].flags & PA_FRAME_MORE);
		out.nr = 0;
	}
	assert_int_equal(events, 6);
}

static void test_a_connection_picked_up_on_its_way_begins_with_a_gap(void **state)
{
	static const uint8_t bytes[] = "middle of somethingQ\0\0\0\15select 2\0S\0\0\0\4";
	struct told told = {0};
	struct pa_frame f;

	pa_frame_init(&f, PA_PROTO_UNSURE, PA_PROTO_POSTGRES, true);
	feed(&f, &told, PA_TO_SERVER, bytes, sizeof(bytes) - 1, 4);
	assert_non_null(told.text);
	assert_int_equal(told.gaps, 1);
	assert_non_null(strstr(told.text, "[select 2]"));
	told_free(&told);
}

static void test_a_span_ends_at_the_first_hit(void **state)
{
	uint8_t bytes[40];

	for (size_t at = 0; at <= sizeof(bytes); at++) {
		memset(bytes, 0x81, sizeof(bytes));
		if (at < sizeof(bytes))
			bytes[at] = 1;
		for (size_t from = 0; from <= at; from++)
			assert_int_equal(pa_frame_span(bytes + from, sizeof(bytes) - from, 1), at - from);
	}
}

static void test_hashes_tell_texts_apart(void **state)
{
	uint64_t seen[512];
	char query[32];
	struct pa_frame f;

	for (unsigned i = 0; i < 512; i++) {
		struct pa_frame_event list[2];
		struct pa_frame_out out = {list, 0, 2};
		int n = snprintf(query + 5, sizeof(query) - 5, "select %u", i) + 1;

		memcpy(query, "Q\0\0\0", 4);
		query[4] = (char)(n + 4);
		pa_frame_init(&f, PA_PROTO_POSTGRES, PA_PROTO_UNSURE, false);
		f.way[0].phase = PA_PHASE_OWN;
		assert_int_equal(pa_frame_feed(&f, PA_TO_SERVER, query, (size_t)n + 5, 1, &out), n + 5);
		assert_int_equal(out.nr, 1);
		seen[i] = list[0].hash;
		for (unsigned k = 0; k < i; k++)
			assert_int_not_equal(seen[k], seen[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_first_bytes_decide),
	    cmocka_unit_test(test_content_goes_before_the_port),
	    cmocka_unit_test(test_ports_and_paths_hint),
	    cmocka_unit_test(test_what_is_none_of_them_is_said_once),
	    cmocka_unit_test(test_a_full_list_stops_the_feeding_and_loses_nothing),
	    cmocka_unit_test(test_a_connection_picked_up_on_its_way_begins_with_a_gap),
	    cmocka_unit_test(test_a_span_ends_at_the_first_hit),
	    cmocka_unit_test(test_hashes_tell_texts_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
