/* PostgreSQL's messages: recorded streams of psql and pgbench, cut anywhere, cut short, with losses; and the rare ones.
 */
#include "tests/unit/frame_told.h"

static const char *const recordings[] = {"postgres_simple", "postgres_extended", "postgres_prepared",
					 "postgres_pipeline", "postgres_refused"};

/* A message of the way's, appended to buf: type 0 is a packet without one. Returns the new length. */
static size_t put(uint8_t *buf, size_t len, uint8_t type, const void *body, size_t n)
{
	if (type)
		buf[len++] = type;
	buf[len++] = (uint8_t)((n + 4) >> 24);
	buf[len++] = (uint8_t)((n + 4) >> 16);
	buf[len++] = (uint8_t)((n + 4) >> 8);
	buf[len++] = (uint8_t)(n + 4);
	if (n)
		memcpy(buf + len, body, n);
	return len + n;
}

static void begin(struct pa_frame *f)
{
	uint8_t buf[64];
	size_t n = put(buf, 0, 0, "\0\3\0\0user\0me\0", 13);

	pa_frame_init(f, PA_PROTO_POSTGRES, PA_PROTO_UNSURE, false);
	feed(f, &told, PA_TO_SERVER, buf, n, 8);
	feed(f, &told, PA_TO_CLIENT, (const uint8_t *)"Z\0\0\0\5I", 6, 8);
	told_free(&told);
}

static void test_recordings_are_told_alike_however_they_are_cut(void **state)
{
	for (unsigned i = 0; i < sizeof(recordings) / sizeof(recordings[0]); i++) {
		struct streams s;
		struct pa_frame f;
		uint64_t bytes[2] = {0};
		char *whole;

		streams_load(&s, recordings[i]);
		pa_frame_init(&f, PA_PROTO_UNSURE, PA_PROTO_UNSURE, false);
		streams_feed(&f, &told, &s, 0, 1);
		assert_int_equal(pa_load_relaxed(&f.proto), PA_PROTO_POSTGRES);
		assert_int_equal(told.gaps + told.not_this + told.opaque, 0);
		for (size_t k = 0; k < s.nr; k++)
			bytes[s.list[k].way] += s.list[k].len;
		for (unsigned way = 0; way < 2; way++)
			assert_int_equal(told.total[way] + f.way[way].total, bytes[way]);
		whole = strdup(told.text);
		for (uint32_t seed = 0; seed < 40; seed++) {
			told_free(&told);
			pa_frame_init(&f, PA_PROTO_UNSURE, PA_PROTO_UNSURE, false);
			streams_feed(&f, &told, &s, 1 + seed * 7, seed);
			assert_string_equal(told.text, whole);
		}
		free(whole);
		told_free(&told);
		streams_free(&s);
	}
}

static void test_simple_queries_their_rows_and_errors(void **state)
{
	struct streams s;
	struct pa_frame f;

	streams_load(&s, "postgres_simple");
	pa_frame_init(&f, PA_PROTO_UNSURE, PA_PROTO_POSTGRES, false);
	streams_feed(&f, &told, &s, 0, 1);
	streams_free(&s);
	assert_int_equal(times("> 20 "), 16); /* statements of the script */
	assert_int_equal(times("< 36 "), 17); /* one ready each, and the first */
	assert_int_equal(times("count 2 value 0 [SELECT 2]"), 1);
	assert_int_equal(times("count 5 value 0 [COPY 5]"), 1);     /* copied out */
	assert_int_equal(times("[SERROR\\00VERROR\\00C22012]"), 1); /* division by zero: code, no message */
	assert_int_equal(times("[SNOTICE\\00VNOTICE\\00C00000]"), 1);
	assert_int_equal(times("value 84 []"), 2); /* in a transaction */
	assert_int_equal(times("value 69 []"), 1); /* in a failed one */
	assert_int_equal(times("database\\00postgres\\00"), 1);
}

/* The pipeline script: 40 statements, prepared in the first of two runs, then 2 times 40 executions in one batch each.
 */
static void test_a_pipeline_of_forty_is_seen_whole(void **state)
{
	struct streams s;
	struct pa_frame f;

	streams_load(&s, "postgres_pipeline");
	pa_frame_init(&f, PA_PROTO_UNSURE, PA_PROTO_POSTGRES, false);
	streams_feed(&f, &told, &s, 0, 1);
	streams_free(&s);
	assert_int_equal(times("> 22 "), 80);
	assert_int_equal(times("> 23 "), 80);
	assert_int_equal(times("count 1 value 0 [SELECT 1]"), 80);
	assert_int_equal(times("select 40::int as n;]"), 1);
}

static void test_a_bind_shows_names_and_no_parameters(void **state)
{
	static const uint8_t body[] = "portal\0name\0\0\1\0\0\0\1\0\0\0\6secret\0";
	uint8_t buf[64];
	struct pa_frame f;
	size_t n = put(buf, 0, 'B', body, sizeof(body) - 1);

	begin(&f);
	feed(&f, &told, PA_TO_SERVER, buf, n, 2);
	assert_int_equal(times("[portal\\00name]"), 1);
	assert_int_equal(times("secret"), 0);
}

static void test_passwords_are_stepped_over(void **state)
{
	uint8_t buf[64];
	struct pa_frame f;

	begin(&f);
	feed(&f, &told, PA_TO_SERVER, buf, put(buf, 0, 'p', "hunter2", 8), 2);
	assert_int_equal(told.events, 0);
	assert_int_equal(f.way[0].total, 13);
}

static void test_long_text_is_cut_at_its_limit_and_says_so(void **state)
{
	static uint8_t text[10000], buf[10100];
	struct pa_frame f;
	char *whole;

	memset(text, 'x', sizeof(text) - 1);
	for (size_t length = PA_FRAME_TEXT_MAX - 1; length <= PA_FRAME_TEXT_MAX + 1; length++) {
		size_t n = put(buf, 0, 'Q', text + sizeof(text) - 1 - length, length + 1);
		uint32_t seed = 1;

		begin(&f);
		feed(&f, &told, PA_TO_SERVER, buf, n, 2);
		assert_int_equal(times("> 20 4 "), length > PA_FRAME_TEXT_MAX); /* PA_FRAME_CUT */
		assert_int_equal(told.message[0].nr_bytes, length < PA_FRAME_TEXT_MAX ? length : PA_FRAME_TEXT_MAX);
		whole = strdup(told.text);
		begin(&f);
		feed_cut(&f, &told, PA_TO_SERVER, buf, n, 1, &seed);
		assert_string_equal(told.text, whole);
		free(whole);
	}
}

static void test_a_gigabyte_of_copy_is_stepped_over_without_being_looked_at(void **state)
{
	static const uint8_t head[] = {'d', 0x3f, 0xff, 0xff, 0xff};
	struct pa_frame f;

	begin(&f);
	feed(&f, &told, PA_TO_SERVER, head, sizeof(head), 2);
	feed(&f, &told, PA_TO_SERVER, NULL, 0x3ffffffb, 2);
	feed(&f, &told, PA_TO_SERVER, (const uint8_t *)"c\0\0\0\4", 5, 2);
	assert_string_equal(told.text, "> 27 0 total 1073741829 hash 0 count 1 value 0 []\n");
}

static void test_unseen_bytes_beyond_a_message_lose_the_way_until_it_is_found_again(void **state)
{
	uint8_t buf[64];
	struct pa_frame f;
	size_t n;

	begin(&f);
	feed(&f, &told, PA_TO_SERVER, NULL, 10, 2);
	n = put(buf, 0, 'Q', "select 1", 9);
	feed(&f, &told, PA_TO_SERVER, buf, n, 2);
	feed(&f, &told, PA_TO_SERVER, buf, n, 2);
	assert_int_equal(told.messages, 2);
	assert_int_equal(times("> 20 8 total 24 "), 1); /* PA_FRAME_GAP, and the lost bytes */
	assert_int_equal(times("> 20 0 total 14 "), 1);
	assert_int_equal(times("[select 1]\n"), 2);
}

static void test_the_answers_resume_at_ready_for_query(void **state)
{
	static const uint8_t rest[] = "ows \0\0\0\1C\0\0\0\15SELECT 1\0Z\0\0\0\5TC\0\0\0\13COMMIT\0Z\0\0\0\5I";
	struct pa_frame f;

	begin(&f);
	pa_frame_lost(&f, PA_TO_CLIENT);
	feed(&f, &told, PA_TO_CLIENT, rest, sizeof(rest) - 1, 2);
	assert_string_equal(told.text, "< 36 8 total 28 hash 0 count 0 value 84 []\n"
				       "< 30 0 total 12 hash 0 count 0 value 0 [COMMIT]\n"
				       "< 36 0 total 6 hash 0 count 0 value 73 []\n");
}

static void test_encryption_ends_what_can_be_seen(void **state)
{
	static const uint8_t ask[] = {0, 0, 0, 8, 4, 0xd2, 0x16, 0x2f};
	struct pa_frame f;

	pa_frame_init(&f, PA_PROTO_UNSURE, PA_PROTO_UNSURE, false);
	feed(&f, &told, PA_TO_SERVER, ask, 8, 2);
	feed(&f, &told, PA_TO_CLIENT, (const uint8_t *)"S", 1, 2);
	assert_int_equal(pa_load_relaxed(&f.proto), PA_PROTO_OPAQUE);
	assert_int_equal(told.opaque, 1);
	feed(&f, &told, PA_TO_SERVER, (const uint8_t *)"\x16\3\1 anything", 12, 2);
	assert_int_equal(told.messages, 2);
}

/* psql asks for GSS, then for TLS, is refused both, and goes on in clear: S is then a parameter's status. */
static void test_refused_encryption_goes_on_in_clear(void **state)
{
	static const uint8_t gss[] = {0, 0, 0, 8, 4, 0xd2, 0x16, 0x30}, ssl[] = {0, 0, 0, 8, 4, 0xd2, 0x16, 0x2f};
	uint8_t buf[64];
	struct pa_frame f;

	pa_frame_init(&f, PA_PROTO_UNSURE, PA_PROTO_UNSURE, false);
	feed(&f, &told, PA_TO_SERVER, gss, 8, 2);
	feed(&f, &told, PA_TO_CLIENT, (const uint8_t *)"N", 1, 2);
	feed(&f, &told, PA_TO_SERVER, ssl, 8, 2);
	feed(&f, &told, PA_TO_CLIENT, (const uint8_t *)"N", 1, 2);
	feed(&f, &told, PA_TO_SERVER, buf, put(buf, 0, 0, "\0\3\0\0user\0me\0", 13), 2);
	feed(&f, &told, PA_TO_CLIENT, buf, put(buf, 0, 'S', "a\0b", 4), 2);
	feed(&f, &told, PA_TO_CLIENT, (const uint8_t *)"Z\0\0\0\5I", 6, 2);
	assert_int_equal(times("> 18 "), 2);
	assert_int_equal(times("< 19 "), 2);
	assert_int_equal(times("value 73 []"), 1);
	assert_int_equal(told.gaps + told.not_this + told.opaque, 0);
}

static void test_garbage_is_given_up_after_some_attempts(void **state)
{
	static uint8_t noise[1 << 20];
	struct pa_frame f;
	uint32_t seed = 7;

	for (size_t i = 0; i < sizeof(noise); i++) {
		seed = seed * 1664525u + 1013904223u;
		noise[i] = (uint8_t)(seed >> 24);
	}
	begin(&f);
	for (unsigned i = 0; i < 8; i++)
		feed(&f, &told, PA_TO_CLIENT, noise, sizeof(noise), 8);
	assert_int_equal(pa_load_relaxed(&f.proto), PA_PROTO_NONE);
	assert_int_equal(told.not_this, 1);
	assert_true(told.messages < 100);
}

static void test_rows_date_from_the_first_of_them(void **state)
{
	static const uint8_t row[] = "D\0\0\0\6\0\0", end[] = "C\0\0\0\15SELECT 2\0";
	struct pa_frame_event list[8];
	struct pa_frame_out out = {list, 0, 8};
	struct pa_frame f;

	begin(&f);
	pa_frame_feed(&f, PA_TO_CLIENT, row, 7, 100, &out);
	pa_frame_feed(&f, PA_TO_CLIENT, row, 7, 200, &out);
	pa_frame_feed(&f, PA_TO_CLIENT, end, 14, 300, &out);
	assert_int_equal(out.nr, 1);
	assert_int_equal(list[0].first_ns, 100);
	assert_int_equal(list[0].last_ns, 300);
	assert_int_equal(list[0].count, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_teardown(test_recordings_are_told_alike_however_they_are_cut, reset),
	    cmocka_unit_test_teardown(test_simple_queries_their_rows_and_errors, reset),
	    cmocka_unit_test_teardown(test_a_pipeline_of_forty_is_seen_whole, reset),
	    cmocka_unit_test_teardown(test_a_bind_shows_names_and_no_parameters, reset),
	    cmocka_unit_test_teardown(test_passwords_are_stepped_over, reset),
	    cmocka_unit_test_teardown(test_long_text_is_cut_at_its_limit_and_says_so, reset),
	    cmocka_unit_test_teardown(test_a_gigabyte_of_copy_is_stepped_over_without_being_looked_at, reset),
	    cmocka_unit_test_teardown(test_unseen_bytes_beyond_a_message_lose_the_way_until_it_is_found_again, reset),
	    cmocka_unit_test_teardown(test_the_answers_resume_at_ready_for_query, reset),
	    cmocka_unit_test_teardown(test_encryption_ends_what_can_be_seen, reset),
	    cmocka_unit_test_teardown(test_refused_encryption_goes_on_in_clear, reset),
	    cmocka_unit_test_teardown(test_garbage_is_given_up_after_some_attempts, reset),
	    cmocka_unit_test_teardown(test_rows_date_from_the_first_of_them, reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
