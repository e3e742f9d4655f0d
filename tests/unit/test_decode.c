/* Exchanges of recorded connections, whole, cut, and with each event lost in turn; by hand pipelines, errors, bounds.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/decode_util.h"

static struct heard heard;
static struct pa_decode *decode;

static const struct {
	const char *name;
	enum pa_proto hint;
	unsigned exchanges;
} recordings[] = {
    {"postgres_simple", PA_PROTO_UNSURE, 17},  {"postgres_extended", PA_PROTO_UNSURE, 5},
    {"postgres_prepared", PA_PROTO_UNSURE, 9}, {"postgres_pipeline", PA_PROTO_UNSURE, 121},
    {"postgres_refused", PA_PROTO_UNSURE, 1},  {"mysql_text", PA_PROTO_UNSURE, 15},
    {"mysql_prepared", PA_PROTO_UNSURE, 9},    {"redis_resp2", PA_PROTO_UNSURE, 18},
    {"redis_resp3", PA_PROTO_UNSURE, 19},      {"redis_pipeline", PA_PROTO_UNSURE, 64},
    {"redis_inline", PA_PROTO_RESP, 4},        {"redis_pubsub", PA_PROTO_UNSURE, 4},
    {"http_curl", PA_PROTO_UNSURE, 10},
};

#define NR_RECORDINGS (sizeof(recordings) / sizeof(recordings[0]))

static int set(void **state)
{
	decode = pa_decode_new(hear, &heard);
	return !decode;
}

static int reset(void **state)
{
	pa_decode_free(decode);
	decode = NULL;
	heard_free(&heard);
	return 0;
}

/* A final event at a time in ms. */
static void event(enum pa_frame_kind kind, unsigned ms, const char *bytes, size_t n, uint64_t count, uint64_t value)
{
	bool server = (kind >= PA_FRAME_PG_PARSED && kind <= PA_FRAME_PG_READY) || kind == PA_FRAME_MYSQL_GREETING ||
		      (kind >= PA_FRAME_MYSQL_OK && kind <= PA_FRAME_MYSQL_OTHER) || kind == PA_FRAME_RESP_REPLY ||
		      kind == PA_FRAME_RESP_PUSH;
	struct pa_frame_event e = {.bytes = (const uint8_t *)bytes,
				   .nr_bytes = (uint32_t)n,
				   .kind = kind,
				   .flags = PA_FRAME_FIRST,
				   .first_ns = ms * UINT64_C(1000000),
				   .last_ns = ms * UINT64_C(1000000),
				   .total = 10,
				   .count = count,
				   .value = value};

	pa_decode_event(decode, server ? PA_TO_CLIENT : PA_TO_SERVER, &e);
}

#define EVENT(kind, ms, bytes) event((kind), (ms), (bytes), sizeof(bytes) - 1, 0, 0)
#define READY(ms, tx)          event(PA_FRAME_PG_READY, (ms), "", 0, 0, (tx))
#define MS(n)                  ((n)*UINT64_C(1000000))

static void test_recordings_give_their_exchanges_however_they_are_cut(void **state)
{
	struct pa_decode_counts counts;

	for (size_t i = 0; i < NR_RECORDINGS; i++) {
		char *whole;

		heard_free(&heard);
		hear_recording(&heard, &counts, recordings[i].name, recordings[i].hint, 0, NO_DROP);
		assert_int_equal(heard.nr, recordings[i].exchanges);
		assert_int_equal(counts.exchanges, recordings[i].exchanges);
		assert_int_equal(counts.gaps + counts.lost + counts.unmatched + counts.no_room + counts.malformed, 0);
		whole = strdup(heard.text.text);
		for (size_t cut = 1; cut < 1000; cut = cut * 2 + 1) {
			heard_free(&heard);
			hear_recording(&heard, &counts, recordings[i].name, recordings[i].hint, cut, NO_DROP);
			assert_string_equal(heard.text.text, whole);
		}
		free(whole);
	}
}

/* Whatever one loses, no answer is given to a wrong request, and it costs no more than what was under way. */
static void test_each_event_lost_in_turn_is_recovered_from(void **state)
{
	for (size_t i = 0; i < NR_RECORDINGS; i++) {
		unsigned most = strstr(recordings[i].name, "pipeline") ? 41 : 2, nr;
		struct pa_decode_counts counts;
		char *whole;

		heard_free(&heard);
		heard.brief = true;
		nr = hear_recording(&heard, &counts, recordings[i].name, recordings[i].hint, 0, NO_DROP);
		whole = strdup(heard.text.text);
		for (unsigned drop = 0; drop < nr; drop++) {
			heard_free(&heard);
			heard.brief = true;
			heard.among = whole;
			hear_recording(&heard, &counts, recordings[i].name, recordings[i].hint, 0, drop);
			assert_int_equal(heard.wrong, 0);
			assert_true(counts.gaps >= 1 && counts.gaps <= 2); /* a message in two pieces */
			assert_true(heard.nr + 2 >= recordings[i].exchanges && heard.nr <= recordings[i].exchanges);
			assert_true(heard.lost <= most);
		}
		free(whole);
	}
}

static void test_recordings_that_end_anywhere_leave_nothing_open(void **state)
{
	for (size_t i = 0; i < NR_RECORDINGS; i++) {
		struct streams s;

		streams_load(&s, recordings[i].name);
		for (size_t end = 0; end < s.nr; end++) {
			struct pa_frame f;
			unsigned nr = 0;

			set(state);
			pa_frame_init(&f, PA_PROTO_UNSURE, recordings[i].hint, false);
			for (size_t k = 0; k <= end; k++)
				hear_bytes(&f, decode, s.list[k].way, s.list[k].bytes,
					   k == end ? s.list[k].len / 2 : s.list[k].len, MS(k + 1), &nr, NO_DROP);
			pa_decode_close(decode, MS(s.nr));
			assert_true(heard.nr <= recordings[i].exchanges);
			reset(state);
		}
		streams_free(&s);
	}
}

static void test_a_pipeline_has_turns_and_its_own_parse_and_bind(void **state)
{
	EVENT(PA_FRAME_PG_PARSE, 1, "\0select 1");
	EVENT(PA_FRAME_PG_BIND, 2, "\0");
	EVENT(PA_FRAME_PG_EXECUTE, 3, "");
	EVENT(PA_FRAME_PG_BIND, 4, "\0");
	EVENT(PA_FRAME_PG_EXECUTE, 5, "");
	EVENT(PA_FRAME_PG_SYNC, 5, "");
	EVENT(PA_FRAME_PG_PARSED, 10, "");
	event(PA_FRAME_PG_COMPLETE, 10, "SELECT 7", 8, 7, 0);
	assert_int_equal(heard.nr, 0);
	event(PA_FRAME_PG_COMPLETE, 20, "SELECT 8", 8, 8, 0);
	READY(20, 'I');
	assert_int_equal(heard.nr, 2);
	assert_int_equal(heard.last.rows, 8);
	assert_int_equal(heard.last.start_ns, MS(4));
	assert_int_equal(heard.last.turn_ns, MS(10));
	assert_int_equal(heard.last.end_ns, MS(20));
	assert_true(heard.last.flags == (PA_EXCHANGE_PREPARED | PA_EXCHANGE_PIPELINED));
	assert_non_null(strstr(heard.text.text, "1 4 [select 1] 0 error '' rows 7 sent 30 received 10"));
}

static void test_an_error_skips_the_rest_of_its_batch(void **state)
{
	EVENT(PA_FRAME_PG_PARSE, 1, "s\0select 1");
	for (unsigned i = 0; i < 3; i++) {
		EVENT(PA_FRAME_PG_BIND, 2, "\0s");
		EVENT(PA_FRAME_PG_EXECUTE, 2, "");
	}
	EVENT(PA_FRAME_PG_SYNC, 2, "");
	EVENT(PA_FRAME_PG_QUERY, 2, "after");
	EVENT(PA_FRAME_PG_PARSED, 3, "");
	EVENT(PA_FRAME_PG_COMPLETE, 3, "SELECT 1");
	EVENT(PA_FRAME_PG_ERROR, 3, "SERROR\0VERROR\0C22012");
	READY(3, 'I');
	assert_int_equal(heard.nr, 4);
	assert_int_equal(heard.failed, 1);
	assert_int_equal(heard.skipped, 1);
	EVENT(PA_FRAME_PG_COMPLETE, 4, "SELECT 1");
	READY(4, 'I');
	assert_int_equal(heard.nr, 5);
	assert_int_equal(heard.skipped, 1);
	assert_int_equal(pa_decode_counts(decode)->unmatched, 0);
}

static void test_an_error_at_the_end_of_a_batch_is_the_last_statements(void **state)
{
	EVENT(PA_FRAME_PG_PARSE, 1, "\0insert");
	EVENT(PA_FRAME_PG_BIND, 1, "\0");
	EVENT(PA_FRAME_PG_EXECUTE, 1, "");
	EVENT(PA_FRAME_PG_SYNC, 1, "");
	EVENT(PA_FRAME_PG_PARSED, 2, "");
	EVENT(PA_FRAME_PG_COMPLETE, 2, "INSERT 0 1");
	EVENT(PA_FRAME_PG_ERROR, 3, "SERROR\0C23503");
	READY(3, 'I');
	assert_int_equal(heard.nr, 1);
	assert_non_null(strstr(heard.text.text, "error '23503'"));
}

static void test_a_syntax_error_is_the_querys(void **state)
{
	EVENT(PA_FRAME_PG_PARSE, 1, "\0selekt");
	EVENT(PA_FRAME_PG_BIND, 1, "\0");
	EVENT(PA_FRAME_PG_EXECUTE, 1, "");
	EVENT(PA_FRAME_PG_SYNC, 1, "");
	EVENT(PA_FRAME_PG_ERROR, 2, "SERROR\0VERROR\0C42601");
	READY(2, 'I');
	assert_int_equal(heard.nr, 1);
	assert_int_equal(heard.failed, 1);
	assert_non_null(strstr(heard.text.text, "[selekt] 0 error '42601'"));
}

static void test_names_stand_for_their_last_text(void **state)
{
	EVENT(PA_FRAME_PG_PARSE, 1, "s\0one");
	EVENT(PA_FRAME_PG_CLOSE, 1, "Ss");
	EVENT(PA_FRAME_PG_PARSE, 1, "s\0two");
	EVENT(PA_FRAME_PG_BIND, 1, "p\0s");
	EVENT(PA_FRAME_PG_EXECUTE, 1, "p");
	EVENT(PA_FRAME_PG_BIND, 1, "q\0unknown");
	EVENT(PA_FRAME_PG_EXECUTE, 1, "q");
	EVENT(PA_FRAME_PG_SYNC, 1, "");
	EVENT(PA_FRAME_PG_PARSED, 2, "");
	EVENT(PA_FRAME_PG_PARSED, 2, "");
	EVENT(PA_FRAME_PG_COMPLETE, 2, "SELECT 1");
	EVENT(PA_FRAME_PG_COMPLETE, 2, "SELECT 1");
	READY(2, 'I');
	assert_int_equal(heard.nr, 4);
	assert_non_null(strstr(heard.text.text, "1 84 [two]"));
	assert_true(heard.last.flags & PA_EXCHANGE_NO_TEXT);
}

static void test_what_waits_and_what_is_named_is_bounded(void **state)
{
	char name[16];

	for (unsigned i = 0; i < 6000; i++) {
		int n = snprintf(name, sizeof(name), "s%u", i) + 1;

		event(PA_FRAME_PG_PARSE, 1, name, (size_t)n, 0, 0);
	}
	assert_true(pa_decode_counts(decode)->no_room >= 6000 - 4096);
	pa_decode_close(decode, MS(2));
	assert_int_equal(heard.nr, 4096);
}

static void test_texts_are_bounded_and_given_back(void **state)
{
	static char text[PA_FRAME_TEXT_MAX];
	unsigned fit = 0;

	memset(text, 'x', sizeof(text));
	for (unsigned i = 0; i < 2000; i++)
		event(PA_FRAME_RESP_COMMAND, 1, text, sizeof(text), 0, 0);
	assert_true(pa_decode_counts(decode)->no_room > 900);
	for (unsigned i = 0; i < 2000; i++)
		event(PA_FRAME_RESP_REPLY, 2, "OK", 2, 0, '+');
	assert_int_equal(heard.nr, 2000);
	heard_free(&heard);
	for (unsigned i = 0; i < 10; i++) {
		event(PA_FRAME_RESP_COMMAND, 3, text, sizeof(text), 0, 0);
		event(PA_FRAME_RESP_REPLY, 3, "OK", 2, 0, '+');
		fit += !(heard.last.flags & PA_EXCHANGE_NO_TEXT);
	}
	assert_int_equal(fit, 10);
}

static void test_a_client_that_never_waits_is_in_step_after_a_silence(void **state)
{
	/* answers come while others are asked for: what a loss leaves cannot be told apart */
	EVENT(PA_FRAME_RESP_COMMAND, 1, "A");
	EVENT(PA_FRAME_RESP_COMMAND, 1, "B");
	event(PA_FRAME_RESP_REPLY, 2, "OK", 2, 0, '+');
	EVENT(PA_FRAME_RESP_COMMAND, 2, "C");
	pa_decode_lost(decode);
	event(PA_FRAME_RESP_REPLY, 3, "OK", 2, 0, '+');
	EVENT(PA_FRAME_RESP_COMMAND, 3, "D");
	event(PA_FRAME_RESP_REPLY, 3, "OK", 2, 0, '+');
	assert_int_equal(heard.nr, 1);
	EVENT(PA_FRAME_RESP_COMMAND, 30, "E");
	assert_int_equal(heard.lost, 3);
	event(PA_FRAME_RESP_REPLY, 31, "OK", 2, 0, '+');
	assert_int_equal(heard.nr, 5);
	assert_non_null(strstr(heard.text.text, "3 0 [E]"));
}

static void test_pieces_whose_beginning_was_lost_are_no_message(void **state)
{
	struct pa_frame_event e = {.kind = PA_FRAME_PG_QUERY, .bytes = (const uint8_t *)"rest", .nr_bytes = 4};

	pa_decode_event(decode, PA_TO_SERVER, &e);
	assert_int_equal(pa_decode_counts(decode)->malformed, 1);
	e.kind = 9999;
	e.flags = PA_FRAME_FIRST;
	pa_decode_event(decode, PA_TO_SERVER, &e);
	assert_int_equal(pa_decode_counts(decode)->malformed, 2);
	pa_decode_close(decode, 1);
	assert_int_equal(heard.nr, 0);
}

static void test_errors_of_mysql_without_state_show_their_code(void **state)
{
	event(PA_FRAME_MYSQL_COMMAND, 1, "x", 1, 0, 3);
	event(PA_FRAME_MYSQL_ERROR, 2, "", 0, 0, 1040);
	assert_non_null(strstr(heard.text.text, "error '1040'"));
}

static void test_a_switch_of_protocols_is_the_answer(void **state)
{
	struct pa_frame f;
	unsigned nr = 0;
	static const char ask[] = "GET /ws HTTP/1.1\r\nHost: h\r\n\r\n", answer[] = "HTTP/1.1 101 Switching\r\n\r\n";

	pa_frame_init(&f, PA_PROTO_UNSURE, PA_PROTO_UNSURE, false);
	hear_bytes(&f, decode, PA_TO_SERVER, (const uint8_t *)ask, sizeof(ask) - 1, 1, &nr, NO_DROP);
	hear_bytes(&f, decode, PA_TO_CLIENT, (const uint8_t *)answer, sizeof(answer) - 1, 2, &nr, NO_DROP);
	assert_int_equal(heard.nr, 1);
	assert_non_null(strstr(heard.text.text, "4 0 GET h [/ws] 101 "));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_teardown(test_recordings_give_their_exchanges_however_they_are_cut, reset),
	    cmocka_unit_test_teardown(test_each_event_lost_in_turn_is_recovered_from, reset),
	    cmocka_unit_test_teardown(test_recordings_that_end_anywhere_leave_nothing_open, reset),
	    cmocka_unit_test_setup_teardown(test_a_pipeline_has_turns_and_its_own_parse_and_bind, set, reset),
	    cmocka_unit_test_setup_teardown(test_an_error_skips_the_rest_of_its_batch, set, reset),
	    cmocka_unit_test_setup_teardown(test_an_error_at_the_end_of_a_batch_is_the_last_statements, set, reset),
	    cmocka_unit_test_setup_teardown(test_a_syntax_error_is_the_querys, set, reset),
	    cmocka_unit_test_setup_teardown(test_names_stand_for_their_last_text, set, reset),
	    cmocka_unit_test_setup_teardown(test_what_waits_and_what_is_named_is_bounded, set, reset),
	    cmocka_unit_test_setup_teardown(test_texts_are_bounded_and_given_back, set, reset),
	    cmocka_unit_test_setup_teardown(test_a_client_that_never_waits_is_in_step_after_a_silence, set, reset),
	    cmocka_unit_test_setup_teardown(test_pieces_whose_beginning_was_lost_are_no_message, set, reset),
	    cmocka_unit_test_setup_teardown(test_errors_of_mysql_without_state_show_their_code, set, reset),
	    cmocka_unit_test_setup_teardown(test_a_switch_of_protocols_is_the_answer, set, reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
