/* Messages in a record: what is put is read again, as short as it should be; anybody's bytes are read within them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/message.h"

#define NOW UINT64_C(1000000)

static uint8_t buf[65536];

static void assert_same(const struct pa_frame_event *got, const struct pa_frame_event *e)
{
	assert_int_equal(got->kind, e->kind);
	assert_int_equal(got->flags, e->flags);
	assert_true(got->first_ns == e->first_ns && got->last_ns == NOW);
	assert_true(got->total == e->total && got->count == e->count && got->value == e->value);
	assert_int_equal(got->nr_bytes, e->nr_bytes);
	assert_memory_equal(got->bytes, e->bytes, e->nr_bytes);
}

static struct pa_message_cursor over(const struct pa_message_list *list)
{
	return (struct pa_message_cursor){.at = list->start, .end = list->end, .now_ns = NOW, .left = list->nr};
}

static void what_is_put_is_read(void **state)
{
	static uint8_t text[PA_FRAME_TEXT_MAX] = "select 1";
	const struct pa_frame_event list[] = {
	    {.kind = 1, .flags = PA_FRAME_FIRST, .first_ns = NOW, .bytes = text},
	    {.kind = 255, .flags = 0xffff, .first_ns = 0, .bytes = text, .nr_bytes = sizeof(text)},
	    {.kind = 20, .total = UINT64_MAX, .count = UINT64_MAX, .value = UINT64_MAX, .first_ns = NOW, .bytes = text},
	    {.kind = 20, .total = 127, .count = 128, .value = 1, .first_ns = NOW - 1, .bytes = text, .nr_bytes = 8},
	    {.kind = 96, .flags = PA_FRAME_FIRST, .value = '+', .first_ns = NOW, .bytes = text, .nr_bytes = 1},
	};
	struct pa_message_list out = {.start = buf, .end = buf};
	struct pa_message_cursor c;
	struct pa_frame_event got;

	for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
		uint8_t *before = out.end;

		pa_message_add(&out, &list[i], NOW);
		assert_true(out.end - before <= PA_ENTRY_MAX + list[i].nr_bytes);
	}
	c = over(&out);
	for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
		assert_true(pa_message_next(&c, &got));
		assert_same(&got, &list[i]);
	}
	assert_false(pa_message_next(&c, &got));
	assert_int_equal(c.left, 0);
	assert_ptr_equal(c.at, c.end);
}

static void the_usual_is_short(void **state)
{
	struct pa_frame_event ok = {.kind = PA_FRAME_RESP_REPLY,
				    .flags = PA_FRAME_FIRST,
				    .first_ns = NOW,
				    .total = 5,
				    .value = '+',
				    .nr_bytes = 2};

	ok.bytes = (const uint8_t *)"OK";
	assert_int_equal(pa_message_put(buf, &ok, NOW) - buf, 2 + 3 + 2);
	ok.bytes = NULL;
	ok.nr_bytes = 0;
	assert_int_equal(pa_message_put(buf, &ok, NOW) - buf, 2 + 2);
}

/* Fed by threads that send in no order: the younger one's first bytes may be older than the record. */
static void what_began_later_began_now(void **state)
{
	struct pa_frame_event e = {.kind = 20, .first_ns = NOW + 5}, got;
	struct pa_message_list out = {.start = buf, .end = buf};
	struct pa_message_cursor c;

	pa_message_add(&out, &e, NOW);
	c = over(&out);
	assert_true(pa_message_next(&c, &got));
	assert_true(got.first_ns == NOW && got.last_ns == NOW);
}

/* Runs of every length, of two kinds that alternate. */
static void repetitions_are_counted(void **state)
{
	struct pa_message_list out = {.start = buf, .end = buf};
	struct pa_message_cursor c;
	struct pa_frame_event e = {.kind = 98, .first_ns = NOW, .total = 5}, got;
	unsigned runs = 0;

	for (unsigned length = 1; out.nr + length <= PA_ENTRIES_MAX; length++, runs++)
		for (unsigned i = 0; i < length; i++) {
			e.value = length % 2;
			pa_message_add(&out, &e, NOW);
		}
	assert_true(out.end - out.start <= 7 * (int)runs);
	c = over(&out);
	for (unsigned length = 1; length <= runs; length++)
		for (unsigned i = 0; i < length; i++) {
			assert_true(pa_message_next(&c, &got));
			assert_int_equal(got.value, length % 2);
		}
	assert_false(pa_message_next(&c, &got));

	out = (struct pa_message_list){.start = buf, .end = buf};
	for (unsigned i = 0; i < PA_ENTRIES_MAX; i++)
		pa_message_add(&out, &e, NOW);
	c = over(&out);
	for (unsigned i = 0; i < PA_ENTRIES_MAX; i++)
		assert_true(pa_message_next(&c, &got));
	assert_false(pa_message_next(&c, &got));
}

/* Whether so many bytes hold no message. */
static void refuse(const char *bytes, size_t len)
{
	uint8_t *copy = malloc(len ? len : 1); /* ends where they end */
	struct pa_message_cursor c = {.at = copy, .end = copy + len, .now_ns = NOW, .left = 1};
	struct pa_frame_event e;

	assert_non_null(copy);
	memcpy(copy, bytes, len);
	assert_false(pa_message_next(&c, &e));
	assert_int_equal(c.left, 1);
	free(copy);
}

#define REFUSE(bytes) refuse(bytes, sizeof(bytes) - 1)

static void what_is_no_message_is_refused(void **state)
{
	REFUSE("");
	REFUSE("\x10");
	REFUSE("\x00\x01");                                             /* a count of nothing */
	REFUSE("\x10\x40");                                             /* nobody knows what that bit means */
	REFUSE("\x10\x04");                                             /* a number that is not there */
	REFUSE("\x10\x04\xff\xff");                                     /* one that does not end */
	REFUSE("\x10\x04\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02");     /* 2^64 and more */
	REFUSE("\x10\x04\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"); /* an eleventh byte */
	REFUSE("\x10\x20\x03"
	       "ab");                   /* text behind the end */
	REFUSE("\x10\x01\x80\x80\x04"); /* flags of 17 bits */
	REFUSE("\x10\x02\xc1\x84\x3d"); /* older than the clock: 1000001 */
}

static void a_count_that_lies_ends_with_the_messages(void **state)
{
	const uint8_t bytes[] = {16, 0, 0, 255};
	struct pa_message_cursor c = {.at = bytes, .end = bytes + sizeof(bytes), .now_ns = NOW, .left = 3};
	struct pa_frame_event e;

	for (int i = 0; i < 3; i++)
		assert_true(pa_message_next(&c, &e));
	assert_false(pa_message_next(&c, &e));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_is_put_is_read),           cmocka_unit_test(the_usual_is_short),
	    cmocka_unit_test(what_began_later_began_now),    cmocka_unit_test(repetitions_are_counted),
	    cmocka_unit_test(what_is_no_message_is_refused), cmocka_unit_test(a_count_that_lies_ends_with_the_messages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
