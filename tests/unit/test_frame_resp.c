/* Redis: recorded streams of both versions, pipelined, inline, subscribed; cut anywhere, with losses; and the rare. */
#include "tests/unit/frame_told.h"

static const char *const recordings[] = {"redis_resp2", "redis_resp3", "redis_pipeline", "redis_inline",
					 "redis_pubsub"};

static void say(struct pa_frame *f, enum pa_way way, const char *text)
{
	feed(f, &told, way, (const uint8_t *)text, strlen(text), 4);
}

static void load(const char *name)
{
	struct streams s;
	struct pa_frame f;

	streams_load(&s, name);
	pa_frame_init(&f, PA_PROTO_UNSURE, PA_PROTO_RESP, false);
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
			pa_frame_init(&f, PA_PROTO_UNSURE, PA_PROTO_RESP, false);
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

static void test_commands_show_name_and_first_argument(void **state)
{
	load("redis_resp2");
	assert_int_equal(times("> 96 "), 18);
	assert_int_equal(times("< 98 "), 18);
	assert_int_equal(times("count 3 value 0 [MGET\\0d\\0a$5\\0d\\0akey:1]"), 1);
	assert_int_equal(times("a value"), 0);
	assert_int_equal(times("value 43 [QUEUED]"), 2);
	assert_int_equal(times("value 45 [WRONGTYPE]"), 1);
	assert_int_equal(times("< 98 10 "), 2); /* PA_FRAME_FAILED */
}

static void test_maps_and_nested_answers_of_version_3(void **state)
{
	load("redis_resp3");
	assert_int_equal(times("> 96 "), 19);
	assert_int_equal(times("< 98 "), 19);
	assert_int_equal(times("count 7 value 37 []"), 1); /* HELLO */
	assert_int_equal(times("count 2 value 37 []"), 1); /* HGETALL */
}

static void test_a_pipeline_of_sixteen_is_seen_whole(void **state)
{
	load("redis_pipeline");
	assert_int_equal(times("[LPUSH\\0d\\0a$6\\0d\\0amylist]"), 64);
	assert_int_equal(times("value 58 []"), 64);
}

static void test_inline_commands_show_two_words(void **state)
{
	load("redis_inline");
	assert_int_equal(times("count 2 value 0 [SET inline]"), 1);
	assert_int_equal(times("count 1 value 0 [GET   inline]"), 1);
	assert_int_equal(times("> 97 "), 4);
}

static void test_subscriptions_and_messages_are_marked(void **state)
{
	struct pa_frame f;

	load("redis_pubsub");
	assert_int_equal(times("< 98 40 "), 4);
	assert_int_equal(times("< 98 20 "), 1);
	pa_frame_init(&f, PA_PROTO_RESP, PA_PROTO_UNSURE, false);
	say(&f, PA_TO_CLIENT,
	    ">3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nb\r\n>2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n");
	assert_int_equal(times("< 99 20 "), 2);
}

static void test_the_password_of_auth_is_not_shown(void **state)
{
	struct pa_frame f;

	pa_frame_init(&f, PA_PROTO_RESP, PA_PROTO_UNSURE, false);
	say(&f, PA_TO_SERVER, "*3\r\n$4\r\nauth\r\n$2\r\nme\r\n$7\r\nhunter2\r\nAUTH hunter2\r\n");
	assert_int_equal(times("hunter2"), 0);
	assert_int_equal(times("count 2 value 0 [auth]"), 1);
	assert_int_equal(times("count 1 value 0 [AUTH]"), 1);
}

static void test_half_a_gigabyte_is_stepped_over_without_being_looked_at(void **state)
{
	struct pa_frame f;

	pa_frame_init(&f, PA_PROTO_RESP, PA_PROTO_UNSURE, false);
	say(&f, PA_TO_SERVER, "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$536870912\r\n");
	feed(&f, &told, PA_TO_SERVER, NULL, 536870912, 2);
	say(&f, PA_TO_SERVER, "\r\n");
	assert_string_equal(told.text, "> 96 0 total 536870946 hash 0 count 2 value 0 [SET\\0d\\0a$1\\0d\\0ak]\n");
}

static void test_attributes_nulls_and_empty_aggregates(void **state)
{
	struct pa_frame f;

	pa_frame_init(&f, PA_PROTO_RESP, PA_PROTO_UNSURE, false);
	say(&f, PA_TO_CLIENT, "|1\r\n+ttl\r\n:3\r\n$2\r\nhi\r\n"); /* told of the string */
	say(&f, PA_TO_CLIENT, "*0\r\n*-1\r\n$-1\r\n$0\r\n\r\n_\r\n#t\r\n,1.5\r\n(123\r\n%0\r\n~1\r\n*2\r\n_\r\n_\r\n");
	say(&f, PA_TO_CLIENT, "*2\r\n|1\r\n+a\r\n+b\r\n:1\r\n:2\r\n!9\r\nERR wrong\r\n");
	assert_int_equal(told.messages, 13);
	assert_int_equal(told.gaps, 0);
	assert_int_equal(times("< 98 10 "), 1);
	assert_int_equal(times("value 33 [ERR]"), 1);
}

static void test_a_lost_way_resumes_at_a_command_that_is_one(void **state)
{
	struct pa_frame f;

	pa_frame_init(&f, PA_PROTO_RESP, PA_PROTO_UNSURE, false);
	pa_frame_lost(&f, PA_TO_SERVER);
	say(&f, PA_TO_SERVER, "lue\r\n*not one\r\n*x\r\n*1\r\n$4\r\nPING\r\n*1\r\n$4\r\nPING\r\n");
	assert_string_equal(told.text, "> 96 8 total 33 hash 0 count 0 value 0 [PING]\n"
				       "> 96 0 total 14 hash 0 count 0 value 0 [PING]\n");
}

static void test_garbage_is_given_up_after_some_attempts(void **state)
{
	struct pa_frame f;

	pa_frame_init(&f, PA_PROTO_RESP, PA_PROTO_UNSURE, false);
	for (unsigned i = 0; i < 9; i++)
		say(&f, PA_TO_CLIENT, "\x01\x02\r\n+OK\r\n\x03");
	assert_int_equal(told.not_this, 1);
	assert_int_equal(pa_load_relaxed(&f.proto), PA_PROTO_NONE);
}

static void test_impossible_lengths_are_no_messages(void **state)
{
	static const char *const bad[] = {
	    "$99999999999999\r\n", "$--1\r\n", "$-2\r\n", "$\r\n", "*1 \r\n", "$1x\r\n", "$1\rx"};

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct pa_frame f;

		pa_frame_init(&f, PA_PROTO_RESP, PA_PROTO_UNSURE, false);
		say(&f, PA_TO_CLIENT, bad[i]);
		assert_int_equal(f.way[PA_TO_CLIENT].errors, 1);
	}
}

static uint32_t seed;

static uint32_t draw(uint32_t below)
{
	seed = seed * 1664525u + 1013904223u;
	return (seed >> 8) % below;
}

/* A string of any bytes, often those that messages are made of. */
static size_t put_string(char *out, size_t len)
{
	static const char odd[] = "\r\n$*+-:|>0 message auth";
	size_t n = draw(8) ? draw(16) : draw(400);

	len += (size_t)sprintf(out + len, "$%zu\r\n", n);
	for (size_t i = 0; i < n; i++)
		out[len++] = draw(2) ? odd[draw(sizeof(odd) - 1)] : (char)draw(256);
	memcpy(out + len, "\r\n", 2);
	return len + 2;
}

static size_t put_answer(char *out, size_t len, unsigned depth)
{
	static const char *const plain[] = {"+OK\r\n",
					    "-ERR no such thing\r\n",
					    ":12\r\n",
					    "$-1\r\n",
					    "_\r\n",
					    "#t\r\n",
					    "*-1\r\n",
					    ",1.5\r\n",
					    "$7\r\nmessage\r\n",
					    "|1\r\n+a\r\n+b\r\n:1\r\n"};
	unsigned n = draw(5);

	if (draw(3) == 0)
		return len + (size_t)sprintf(out + len, "%s", plain[draw(sizeof(plain) / sizeof(plain[0]))]);
	if (depth == 3 || draw(2))
		return put_string(out, len);
	len += (size_t)sprintf(out + len, "%c%u\r\n", "*~>%"[draw(4)], n);
	for (n = out[len - 4] == '%' ? 2 * n : n; n; n--)
		len = put_answer(out, len, depth + 1);
	return len;
}

/* Messages that lie whole in a call take another way through the framer than those that do not. */
static void test_random_messages_are_told_alike_however_they_are_cut(void **state)
{
	static char bytes[1 << 18];
	struct pa_frame f;

	for (unsigned round = 0; round < 200; round++) {
		enum pa_way way = round % 2 ? PA_TO_CLIENT : PA_TO_SERVER;
		uint32_t cuts = round;
		size_t len = 0;
		char *whole;

		seed = round;
		for (unsigned i = 0; i < 20; i++) {
			unsigned n = 1 + draw(4);

			if (way == PA_TO_SERVER) {
				len += (size_t)sprintf(bytes + len, "*%u\r\n", n);
				while (n--)
					len = put_string(bytes, len);
			} else {
				len = put_answer(bytes, len, 0);
			}
		}
		pa_frame_init(&f, PA_PROTO_RESP, PA_PROTO_UNSURE, false);
		feed(&f, &told, way, (const uint8_t *)bytes, len, 64);
		assert_int_equal(told.gaps + told.not_this + f.way[way].errors, 0);
		assert_true(told.messages >= 20);
		whole = strdup(told.text);
		for (size_t most = 1; most <= 1000; most *= 10) {
			told_free(&told);
			pa_frame_init(&f, PA_PROTO_RESP, PA_PROTO_UNSURE, false);
			feed_cut(&f, &told, way, (const uint8_t *)bytes, len, most, &cuts);
			assert_string_equal(told.text, whole);
		}
		free(whole);
		told_free(&told);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_teardown(test_recordings_are_told_alike_however_they_are_cut, reset),
	    cmocka_unit_test_teardown(test_random_messages_are_told_alike_however_they_are_cut, reset),
	    cmocka_unit_test_teardown(test_commands_show_name_and_first_argument, reset),
	    cmocka_unit_test_teardown(test_maps_and_nested_answers_of_version_3, reset),
	    cmocka_unit_test_teardown(test_a_pipeline_of_sixteen_is_seen_whole, reset),
	    cmocka_unit_test_teardown(test_inline_commands_show_two_words, reset),
	    cmocka_unit_test_teardown(test_subscriptions_and_messages_are_marked, reset),
	    cmocka_unit_test_teardown(test_the_password_of_auth_is_not_shown, reset),
	    cmocka_unit_test_teardown(test_half_a_gigabyte_is_stepped_over_without_being_looked_at, reset),
	    cmocka_unit_test_teardown(test_attributes_nulls_and_empty_aggregates, reset),
	    cmocka_unit_test_teardown(test_a_lost_way_resumes_at_a_command_that_is_one, reset),
	    cmocka_unit_test_teardown(test_garbage_is_given_up_after_some_attempts, reset),
	    cmocka_unit_test_teardown(test_impossible_lengths_are_no_messages, reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
