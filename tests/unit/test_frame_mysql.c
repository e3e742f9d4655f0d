/* MySQL and MariaDB: recorded streams of the mariadb client and of statements prepared by libmariadb, cut anywhere; and
 * by hand what those do not show. */
#include "tests/unit/frame_told.h"

static const char *const recordings[] = {"mysql_text", "mysql_prepared"};

/* A packet of n bytes, number `seq` of its exchange. */
static void packet(struct pa_frame *f, enum pa_way way, unsigned seq, const void *body, size_t n)
{
	uint8_t head[4] = {(uint8_t)n, (uint8_t)(n >> 8), (uint8_t)(n >> 16), (uint8_t)seq};

	feed(f, &told, way, head, 4, 4);
	if (n)
		feed(f, &told, way, body, n, 4);
}

#define PACKET(f, way, seq, body) packet((f), (way), (seq), (body), sizeof(body) - 1)

/* A connection past its login, by a client of the capabilities. */
static void begin(struct pa_frame *f, uint32_t caps)
{
	uint8_t login[40] = {(uint8_t)(caps | 0), (uint8_t)((caps | 0x200) >> 8), (uint8_t)(caps >> 16),
			     (uint8_t)(caps >> 24)};

	pa_frame_init(f, PA_PROTO_MYSQL, PA_PROTO_UNSURE, false);
	PACKET(f, PA_TO_CLIENT, 0,
	       "\x0a"
	       "8.0.1\0and so on");
	packet(f, PA_TO_SERVER, 1, login, sizeof(login));
	PACKET(f, PA_TO_CLIENT, 2, "\0\0\0\2\0\0\0");
	told_free(&told);
}

static void load(const char *name)
{
	struct streams s;
	struct pa_frame f;

	streams_load(&s, name);
	pa_frame_init(&f, PA_PROTO_UNSURE, PA_PROTO_MYSQL, false);
	streams_feed(&f, &told, &s, 0, 1);
	streams_free(&s);
}

static void test_recordings_are_told_alike_however_they_are_cut(void **state)
{
	for (unsigned i = 0; i < sizeof(recordings) / sizeof(recordings[0]); i++) {
		struct streams s;
		struct pa_frame f;
		uint64_t bytes[2] = {0};
		char *whole;

		load(recordings[i]);
		assert_int_equal(told.gaps + told.not_this + told.opaque, 0);
		whole = strdup(told.text);
		streams_load(&s, recordings[i]);
		for (size_t k = 0; k < s.nr; k++)
			bytes[s.list[k].way] += s.list[k].len;
		for (uint32_t seed = 0; seed < 40; seed++) {
			told_free(&told);
			pa_frame_init(&f, PA_PROTO_UNSURE, PA_PROTO_UNSURE, false);
			streams_feed(&f, &told, &s, 1 + seed * 7, seed);
			assert_string_equal(told.text, whole);
			assert_int_equal(told.total[0] + f.way[0].total, bytes[0]);
			assert_int_equal(told.total[1] + f.way[1].total, bytes[1]);
		}
		free(whole);
		told_free(&told);
		streams_free(&s);
	}
}

static void test_text_queries_rows_errors_and_several_results(void **state)
{
	load("mysql_text");
	assert_int_equal(times("> 66 "), 15);
	assert_int_equal(times("count 3 value 2 []"), 1); /* inserted */
	assert_int_equal(times("< 68 0 total 139 hash 0 count 2 value 2 []"), 1);
	assert_int_equal(times("count 1 value 10 []"), 2);        /* two results of a procedure, more to come */
	assert_int_equal(times("< 69 "), 2);                      /* unknown column, unknown table */
	assert_int_equal(times("value 14129081741476894 []"), 1); /* 1054 42S22 */
}

static void test_prepared_statements_and_their_ids(void **state)
{
	load("mysql_prepared");
	assert_int_equal(times("value 22 [select 1 union select 2]"), 1);
	assert_int_equal(times("< 70 "), 2);
	assert_int_equal(times("value 23 [\\01\\00\\00\\00]"), 2);
	assert_int_equal(times("< 68 0 total 44 hash 0 count 2 value 34 []"), 2);
	assert_int_equal(times("value 25 [\\02\\00\\00\\00]"), 1);
}

static void test_a_result_set_of_the_old_kind_ends_with_the_second_eof(void **state)
{
	struct pa_frame f;

	begin(&f, 0);
	PACKET(&f, PA_TO_SERVER, 0, "\3select 1");
	PACKET(&f, PA_TO_CLIENT, 1, "\1");
	PACKET(&f, PA_TO_CLIENT, 2, "\3def a column");
	PACKET(&f, PA_TO_CLIENT, 3, "\xfe\0\0\2\0");
	PACKET(&f, PA_TO_CLIENT, 4,
	       "\1"
	       "1");
	PACKET(&f, PA_TO_CLIENT, 5, "\xfb");
	PACKET(&f, PA_TO_CLIENT, 6, "\xfe\0\0\3\0");
	assert_int_equal(times("count 2 value 3 []"), 1);
	assert_int_equal(told.messages, 2);
}

static void test_a_cursor_has_no_rows_until_they_are_fetched(void **state)
{
	struct pa_frame f;

	begin(&f, 0);
	PACKET(&f, PA_TO_SERVER, 0, "\x17\1\0\0\0\1\1\0\0\0");
	PACKET(&f, PA_TO_CLIENT, 1, "\1");
	PACKET(&f, PA_TO_CLIENT, 2, "\3def");
	PACKET(&f, PA_TO_CLIENT, 3, "\xfe\0\0\x42\0");
	PACKET(&f, PA_TO_SERVER, 0, "\x1c\1\0\0\0\2\0\0\0");
	PACKET(&f, PA_TO_CLIENT, 1, "\0\0\1");
	PACKET(&f, PA_TO_CLIENT, 2, "\xfe\0\0\x82\0");
	assert_int_equal(times("count 0 value 66 []"), 1);
	assert_int_equal(times("count 1 value 130 []"), 1);
}

static void test_statements_with_definitions_of_both_kinds(void **state)
{
	struct pa_frame f;

	begin(&f, 0);
	PACKET(&f, PA_TO_SERVER, 0, "\x16select ?");
	PACKET(&f, PA_TO_CLIENT, 1, "\0\7\0\0\0\1\0\1\0\0\0\0");
	PACKET(&f, PA_TO_CLIENT, 2, "\3def");
	PACKET(&f, PA_TO_CLIENT, 3, "\xfe\0\0\2\0");
	PACKET(&f, PA_TO_CLIENT, 4, "\3def");
	assert_int_equal(times("< 70 "), 0);
	PACKET(&f, PA_TO_CLIENT, 5, "\xfe\0\0\2\0");
	assert_int_equal(times("value 7 []"), 1);
	PACKET(&f, PA_TO_SERVER, 0, "\3do 1");
	PACKET(&f, PA_TO_CLIENT, 1, "\0\0\0\2\0\0\0");
	assert_int_equal(times("< 67 "), 1);
	assert_int_equal(told.gaps, 0);
}

static void test_texts_behind_query_attributes(void **state)
{
	struct pa_frame f;

	begin(&f, UINT32_C(1) << 27);
	PACKET(&f, PA_TO_SERVER, 0, "\3\0\1select 1");
	PACKET(&f, PA_TO_CLIENT, 1, "\0\0\0\2\0\0\0");
	PACKET(&f, PA_TO_SERVER, 0, "\3\1\1\0\1secretselect 1");
	assert_int_equal(times("value 3 [select 1]"), 1);
	assert_int_equal(times("value 3 []"), 1);
}

static void test_a_row_of_more_than_sixteen_megabytes_is_one(void **state)
{
	static uint8_t body[0xffffff];
	struct pa_frame f;

	begin(&f, UINT32_C(1) << 24);
	PACKET(&f, PA_TO_SERVER, 0, "\3select big");
	PACKET(&f, PA_TO_CLIENT, 1, "\1");
	PACKET(&f, PA_TO_CLIENT, 2, "\3def");
	memset(body, 0xfe, 9);
	packet(&f, PA_TO_CLIENT, 3, body, sizeof(body));
	PACKET(&f, PA_TO_CLIENT, 4, "\xfe the rest of it");
	PACKET(&f, PA_TO_CLIENT, 5, "\xfe\0\0\2\0\0\0");
	assert_int_equal(times("count 1 value 2 []"), 1);
}

static void test_a_long_query_in_two_packets_is_one(void **state)
{
	static uint8_t body[0xffffff] = {3};
	struct pa_frame f;

	begin(&f, 0);
	memset(body + 1, 'x', sizeof(body) - 1);
	packet(&f, PA_TO_SERVER, 0, body, sizeof(body));
	assert_int_equal(told.messages, 0);
	PACKET(&f, PA_TO_SERVER, 1, "");
	assert_int_equal(told.messages, 1);
	assert_int_equal(times("> 66 4 total 16777223 "), 1);
	PACKET(&f, PA_TO_SERVER, 0, "\x0e");
	assert_int_equal(told.messages, 2);
}

static void test_encryption_and_compression_end_what_can_be_seen(void **state)
{
	static const uint8_t ssl[32] = {0, 0x0a, 0, 0};
	struct pa_frame f;

	pa_frame_init(&f, PA_PROTO_UNSURE, PA_PROTO_UNSURE, false);
	PACKET(&f, PA_TO_CLIENT, 0,
	       "\x0a"
	       "8.0.1\0and so on");
	packet(&f, PA_TO_SERVER, 1, ssl, 32);
	assert_int_equal(pa_load_relaxed(&f.proto), PA_PROTO_OPAQUE);
	assert_int_equal(told.opaque, 1);
	begin(&f, 0x20);
	assert_int_equal(pa_load_relaxed(&f.proto), PA_PROTO_OPAQUE);
}

static void test_a_lost_way_resumes_when_the_other_has_spoken(void **state)
{
	struct pa_frame f;

	begin(&f, UINT32_C(1) << 24);
	PACKET(&f, PA_TO_SERVER, 0, "\3select 1");
	pa_frame_lost(&f, PA_TO_CLIENT);
	feed(&f, &told, PA_TO_CLIENT, (const uint8_t *)"anything", 8, 4);
	PACKET(&f, PA_TO_SERVER, 0, "\3do 2");
	PACKET(&f, PA_TO_CLIENT, 1, "\0\0\0\2\0\0\0");
	assert_int_equal(told.messages, 3);
	assert_int_equal(times("< 67 8 total 19 "), 1); /* PA_FRAME_GAP */
	/* a command that may have been missed: what follows it is passed over until the server has spoken */
	pa_frame_lost(&f, PA_TO_SERVER);
	PACKET(&f, PA_TO_SERVER, 0, "\3do 3");
	PACKET(&f, PA_TO_CLIENT, 1, "\0\0\0\2\0\0\0");
	assert_int_equal(told.messages, 3);
	PACKET(&f, PA_TO_SERVER, 0, "\3do 4");
	PACKET(&f, PA_TO_CLIENT, 1, "\0\0\0\2\0\0\0");
	assert_int_equal(times("[do 4]"), 1);
	assert_int_equal(told.messages, 5);
	assert_int_equal(f.way[PA_TO_CLIENT].errors, 0);
}

static void test_an_answer_nobody_asked_for_is_an_error_or_a_loss(void **state)
{
	struct pa_frame f;

	begin(&f, 0);
	PACKET(&f, PA_TO_CLIENT, 0, "\xff\x87\x07#70100Connection was killed");
	assert_int_equal(times("< 69 "), 1);
	PACKET(&f, PA_TO_CLIENT, 0, "\0\0\0\2\0\0\0");
	assert_int_equal(f.way[PA_TO_CLIENT].errors, 0);
	assert_int_equal(told.messages, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_teardown(test_recordings_are_told_alike_however_they_are_cut, reset),
	    cmocka_unit_test_teardown(test_text_queries_rows_errors_and_several_results, reset),
	    cmocka_unit_test_teardown(test_prepared_statements_and_their_ids, reset),
	    cmocka_unit_test_teardown(test_a_result_set_of_the_old_kind_ends_with_the_second_eof, reset),
	    cmocka_unit_test_teardown(test_a_cursor_has_no_rows_until_they_are_fetched, reset),
	    cmocka_unit_test_teardown(test_statements_with_definitions_of_both_kinds, reset),
	    cmocka_unit_test_teardown(test_texts_behind_query_attributes, reset),
	    cmocka_unit_test_teardown(test_a_row_of_more_than_sixteen_megabytes_is_one, reset),
	    cmocka_unit_test_teardown(test_a_long_query_in_two_packets_is_one, reset),
	    cmocka_unit_test_teardown(test_encryption_and_compression_end_what_can_be_seen, reset),
	    cmocka_unit_test_teardown(test_a_lost_way_resumes_when_the_other_has_spoken, reset),
	    cmocka_unit_test_teardown(test_an_answer_nobody_asked_for_is_an_error_or_a_loss, reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
