/* Records and handshake messages as a peer may have written them: what is returned, what is refused. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/heapwire.h"
#include "common/lockwire.h"
#include "common/message.h"
#include "common/waitwire.h"

static union {
	uint64_t align;
	uint8_t bytes[PA_RECORD_MAX * 4];
} buf;

/* Appends a record of a type; the part behind the head is `fill`. Returns where it stands. */
static void *append(size_t *len, uint16_t type, uint32_t size, uint8_t fill)
{
	struct pa_record *r = (struct pa_record *)(buf.bytes + *len);

	memset(r, fill, size);
	r->size = size;
	r->type = type;
	*len += size;
	return r;
}

static void test_returns_each_record_once_in_order(void **state)
{
	const struct pa_record *r;
	size_t len = 0, offset = 0;

	append(&len, PA_REC_THREAD_START, sizeof(struct pa_thread_start), 0);
	append(&len, PA_REC_PROCESS_END, sizeof(struct pa_process_end), 0);
	append(&len, PA_REC_NOTE, sizeof(struct pa_note), 0);
	r = pa_wire_next(buf.bytes, len, &offset);
	assert_non_null(r);
	assert_int_equal(r->type, PA_REC_THREAD_START);
	r = pa_wire_next(buf.bytes, len, &offset);
	assert_non_null(r);
	assert_int_equal(r->type, PA_REC_PROCESS_END);
	r = pa_wire_next(buf.bytes, len, &offset);
	assert_non_null(r);
	assert_int_equal(r->type, PA_REC_NOTE);
	assert_null(pa_wire_next(buf.bytes, len, &offset));
	assert_int_equal(offset, len);
}

static void test_steps_over_fillers_of_eight_bytes_and_more(void **state)
{
	size_t len = 0, offset = 0;
	uint32_t *small = (uint32_t *)buf.bytes;

	small[0] = 8;
	small[1] = PA_REC_FILLER;
	len = 8;
	append(&len, PA_REC_FILLER, 32000, 0);
	append(&len, PA_REC_UNMAP, sizeof(struct pa_unmap), 0);
	((struct pa_unmap *)(buf.bytes + 8 + 32000))->end = 1;
	assert_ptr_equal(pa_wire_next(buf.bytes, len, &offset), buf.bytes + 8 + 32000);
	assert_null(pa_wire_next(buf.bytes, len, &offset));
	assert_int_equal(offset, len);
}

static void test_unknown_types_and_longer_records_are_stepped_over_by_size(void **state)
{
	const struct pa_record *r;
	size_t len = 0, offset = 0;

	append(&len, 999, 64, 0xff);
	append(&len, PA_REC_PROCESS_END, sizeof(struct pa_process_end) + 24, 0);
	r = pa_wire_next(buf.bytes, len, &offset);
	assert_int_equal(r->type, 999);
	r = pa_wire_next(buf.bytes, len, &offset);
	assert_int_equal(r->type, PA_REC_PROCESS_END);
	assert_int_equal(offset, len);
}

/* Whether a single record is refused and the cursor left before it. */
static bool refused(size_t len)
{
	size_t offset = 0;

	return pa_wire_next(buf.bytes, len, &offset) == NULL && offset < len;
}

static void test_refuses_sizes_that_cannot_be(void **state)
{
	struct pa_record *r = (struct pa_record *)buf.bytes;
	static const uint32_t sizes[] = {0, 7, 12, 41, 1u << 31, UINT32_MAX, UINT32_MAX - 7, 48};

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		memset(buf.bytes, 0, 64);
		r->size = sizes[i];
		r->type = PA_REC_NOTE;
		assert_true(refused(40)); /* 48 is behind the end, the rest is impossible */
	}
	r->size = 8; /* no room for its own head */
	assert_true(refused(40));
	r->size = PA_RECORD_MAX + 8;
	r->type = 999;
	assert_true(refused(PA_RECORD_MAX * 2));
}

static void test_refuses_records_shorter_than_their_type(void **state)
{
	static const uint32_t least[PA_REC_TYPES] = {
	    [PA_REC_SAMPLE] = sizeof(struct pa_sample),
	    [PA_REC_THREAD_START] = sizeof(struct pa_thread_start),
	    [PA_REC_THREAD_END] = sizeof(struct pa_thread_end),
	    [PA_REC_MODULE] = sizeof(struct pa_module),
	    [PA_REC_UNMAP] = sizeof(struct pa_unmap),
	    [PA_REC_PROCESS_END] = sizeof(struct pa_process_end),
	    [PA_REC_NOTE] = sizeof(struct pa_note),
	    [PA_REC_SLICE] = sizeof(struct pa_slice),
	    [PA_REC_HEAP_SAMPLE] = sizeof(struct pa_heap_sample),
	    [PA_REC_HEAP_FREE] = sizeof(struct pa_heap_free),
	    [PA_REC_HEAP_FIGURES] = sizeof(struct pa_heap_figures),
	    [PA_REC_LOOP] = sizeof(struct pa_loop),
	    [PA_REC_ITERATION] = sizeof(struct pa_iteration),
	    [PA_REC_WAIT] = sizeof(struct pa_wait),
	    [PA_REC_CONNECTION] = sizeof(struct pa_connection),
	    [PA_REC_MESSAGES] = sizeof(struct pa_conn_messages),
	    [PA_REC_LOCK_WAIT] = sizeof(struct pa_lock_wait),
	    [PA_REC_LOCK_DONE] = sizeof(struct pa_lock_done),
	    [PA_REC_STATEMENT] = sizeof(struct pa_statement),
	    [PA_REC_STATEMENT_TEXT] = sizeof(struct pa_statement_text),
	};

	for (uint16_t type = 1; type < PA_REC_TYPES; type++) {
		size_t len = 0;

		append(&len, type, least[type] - 8, 0);
		assert_true(refused(len));
	}
}

static void test_refuses_locks_that_cannot_be(void **state)
{
	struct pa_lock_wait *wait;
	struct pa_lock_done *done;
	size_t len = 0, offset = 0;

	wait = append(&len, PA_REC_LOCK_WAIT, sizeof(*wait) + 16, 0);
	wait->kind = PA_LOCK_JOIN;
	wait->order = 1;
	wait->nr_frames = 2;
	assert_non_null(pa_wire_next(buf.bytes, len, &offset));
	wait->nr_frames = 3;
	assert_true(refused(len));
	wait->nr_frames = 2;
	wait->kind = PA_LOCK_KINDS;
	assert_true(refused(len));
	wait->kind = PA_LOCK_MUTEX;
	wait->order = 0;
	assert_true(refused(len));

	len = offset = 0;
	done = append(&len, PA_REC_LOCK_DONE, sizeof(*done), 0);
	done->head.time_ns = 30;
	done->start_ns = 10;
	done->got_ns = 20;
	assert_non_null(pa_wire_next(buf.bytes, len, &offset));
	done->released_ns = 30;
	offset = 0;
	assert_non_null(pa_wire_next(buf.bytes, len, &offset));
	done->released_ns = 31;
	assert_true(refused(len));
	done->released_ns = 19;
	assert_true(refused(len));
	done->released_ns = 0;
	done->got_ns = 9;
	assert_true(refused(len));
	done->got_ns = 31;
	assert_true(refused(len));
	done->got_ns = 20;
	done->outcome = PA_LOCK_OUTCOMES;
	assert_true(refused(len));
}

static void test_refuses_waits_that_cannot_be(void **state)
{
	struct pa_wait *wait;
	struct pa_loop *loop;
	size_t len = 0, offset = 0;

	wait = append(&len, PA_REC_WAIT, sizeof(*wait) + 16, 0);
	wait->kind = PA_WAIT_SLEEP;
	wait->nr_frames = 2;
	wait->start_ns = wait->head.time_ns;
	assert_non_null(pa_wire_next(buf.bytes, len, &offset));
	wait->nr_frames = 3;
	assert_true(refused(len));
	wait->nr_frames = 0;
	wait->kind = PA_WAIT_KINDS;
	assert_true(refused(len));
	wait->kind = PA_WAIT_SLEEP;
	wait->start_ns = wait->head.time_ns + 1;
	assert_true(refused(len));

	len = offset = 0;
	loop = append(&len, PA_REC_LOOP, sizeof(*loop), 0);
	loop->kind = PA_WAIT_POLL;
	assert_non_null(pa_wire_next(buf.bytes, len, &offset));
	loop->kind = PA_WAIT_SLEEP;
	assert_true(refused(len));
}

static void test_refuses_statements_that_cannot_be(void **state)
{
	struct pa_statement *statement;
	struct pa_statement_text *text;
	size_t len = 0, offset = 0;

	statement = append(&len, PA_REC_STATEMENT, sizeof(*statement) + 8, 0);
	statement->nr_frames = 1;
	statement->start_ns = statement->head.time_ns;
	assert_non_null(pa_wire_next(buf.bytes, len, &offset));
	statement->nr_frames = 2;
	assert_true(refused(len));
	statement->nr_frames = UINT16_MAX;
	assert_true(refused(len));
	statement->nr_frames = 0;
	statement->start_ns = statement->head.time_ns + 1;
	assert_true(refused(len));

	len = offset = 0;
	text = append(&len, PA_REC_STATEMENT_TEXT, sizeof(*text) + 8, 0);
	text->nr_bytes = 8;
	assert_non_null(pa_wire_next(buf.bytes, len, &offset));
	text->nr_bytes = 9;
	assert_true(refused(len));
	text->nr_bytes = PA_STATEMENT_TEXT_MAX + 1;
	assert_true(refused(len));
}

static void test_refuses_messages_that_cannot_be(void **state)
{
	struct pa_conn_messages *messages;
	struct pa_connection *connection;
	size_t len = 0, offset = 0;

	messages = append(&len, PA_REC_MESSAGES, sizeof(*messages) + 24, 0);
	messages->connection = 1;
	messages->nr = 1;
	messages->nr_frames = 1;
	messages->nr_bytes = 16;
	assert_non_null(pa_wire_next(buf.bytes, len, &offset));
	messages->nr_bytes = 17;
	assert_true(refused(len));
	messages->nr_bytes = UINT16_MAX;
	assert_true(refused(len));
	messages->nr_bytes = 0;
	messages->nr = 0;
	assert_true(refused(len));
	messages->nr = PA_ENTRIES_MAX + 1;
	assert_true(refused(len));
	messages->nr = PA_ENTRIES_MAX;
	messages->way = 2;
	assert_true(refused(len));
	messages->way = 1;
	messages->connection = 0;
	assert_true(refused(len));
	messages->connection = 1;
	messages->stack = PA_CONN_STACKS + 1;
	assert_true(refused(len));

	len = offset = 0;
	connection = append(&len, PA_REC_CONNECTION, sizeof(*connection) + 8, 0);
	connection->connection = 1;
	connection->nr_frames = 1;
	connection->address_len = PA_ADDRESS_MAX;
	assert_non_null(pa_wire_next(buf.bytes, len, &offset));
	connection->address_len++;
	assert_true(refused(len));
	connection->address_len = 0;
	connection->nr_frames = 2;
	assert_true(refused(len));
}

static void test_refuses_counts_that_leave_the_record(void **state)
{
	struct pa_sample *sample;
	struct pa_module *module;
	struct pa_slice *slice;
	size_t len = 0, offset = 0;

	sample = append(&len, PA_REC_SAMPLE, sizeof(*sample) + 16, 0);
	sample->weight = 1;
	sample->nr_frames = 2;
	assert_non_null(pa_wire_next(buf.bytes, len, &offset));
	sample->nr_frames = 3;
	assert_true(refused(len));
	sample->nr_frames = 2;
	sample->weight = 0;
	assert_true(refused(len));

	len = 0;
	sample = append(&len, PA_REC_SAMPLE, sizeof(*sample) + 8 * (PA_FRAMES_MAX + 1), 0);
	sample->weight = 1;
	sample->nr_frames = PA_FRAMES_MAX + 1;
	assert_true(refused(len));

	len = offset = 0;
	module = append(&len, PA_REC_MODULE, sizeof(*module) + 8, 0);
	module->end = 1;
	module->path_len = 8;
	assert_non_null(pa_wire_next(buf.bytes, len, &offset));
	module->path_len = 9;
	assert_true(refused(len));
	module->path_len = 0;
	module->build_id_len = PA_BUILD_ID_MAX + 1;
	assert_true(refused(len));
	module->build_id_len = 0;
	module->end = module->start;
	assert_true(refused(len));

	len = offset = 0;
	slice = append(&len, PA_REC_SLICE, sizeof(*slice) + 64, 0);
	slice->stack_len = 64;
	assert_non_null(pa_wire_next(buf.bytes, len, &offset));
	slice->stack_len = 72;
	assert_true(refused(len));
	slice->stack_len = 63;
	assert_true(refused(len));
	slice->stack_len = 0;
	slice->nr_regs = PA_SLICE_REGS + 1;
	assert_true(refused(len));
}

static struct pa_hello good_hello(void)
{
	struct pa_hello hello = {
	    .head = {PA_WIRE_MAGIC, PA_WIRE_MAJOR, PA_WIRE_MINOR, sizeof(hello), PA_MSG_HELLO, 0}, .pid = 2, .tid = 2};

	return hello;
}

/* Records of heap rings: each by its least size, fillers stepped over, others returned. */
static void test_heap_records_are_checked(void **state)
{
	for (uint16_t type = 0; type < PA_HR_TYPES + 2; type++) {
		uint16_t least = type < PA_HR_TYPES && pa_heapwire_bytes[type] ? pa_heapwire_bytes[type] : 8;

		for (uint16_t size = 0; size <= 80; size++) {
			struct pa_heap_head heads[11] = {{.size = size, .type = type}};
			bool sound = size >= least && size % 8 == 0 && size <= PA_HEAP_RECORD_MAX;
			size_t offset = 0;

			assert_int_equal(pa_heapwire_next(heads, sizeof(heads), &offset) == heads,
					 sound && type != PA_HR_FILLER);
			if (sound && type != PA_HR_FILLER)
				assert_int_equal(offset, size);
			/* cut short it is none, and nothing is stepped over */
			offset = 0;
			if (size > 8)
				assert_null(pa_heapwire_next(heads, size - 8u, &offset));
			assert_true(offset == 0 || type == PA_HR_FILLER);
		}
	}
}

static void test_hello_is_checked(void **state)
{
	struct pa_hello hello = good_hello();

	assert_int_equal(pa_wire_check_hello(&hello, sizeof(hello)), 0);
	assert_int_equal(pa_wire_check_hello(&hello, sizeof(hello) - 1), -EPROTO);
	assert_int_equal(pa_wire_check_hello(&hello, 4), -EPROTO);
	hello.options_len = PA_OPTIONS_MAX + 1;
	assert_int_equal(pa_wire_check_hello(&hello, sizeof(hello)), -EPROTO);
	hello = good_hello();
	hello.head.magic ^= 1;
	assert_int_equal(pa_wire_check_hello(&hello, sizeof(hello)), -EPROTO);
	hello = good_hello();
	hello.pid = 0;
	assert_int_equal(pa_wire_check_hello(&hello, sizeof(hello)), -EPROTO);
	hello = good_hello();
	hello.head.type = PA_MSG_CONFIG;
	assert_int_equal(pa_wire_check_hello(&hello, sizeof(hello)), -EPROTO);
}

static void test_another_major_is_refused_whatever_its_size(void **state)
{
	struct pa_hello hello = good_hello();
	struct pa_config config = {
	    .head = {PA_WIRE_MAGIC, PA_WIRE_MAJOR, PA_WIRE_MINOR, sizeof(config), PA_MSG_CONFIG, 0},
	    .file_size = 1 << 20};

	hello.head.major++;
	assert_int_equal(pa_wire_check_hello(&hello, sizeof(hello)), -EPROTONOSUPPORT);
	assert_int_equal(pa_wire_check_hello(&hello, 20), -EPROTONOSUPPORT);
	hello = good_hello();
	hello.head.minor++; /* informative */
	assert_int_equal(pa_wire_check_hello(&hello, sizeof(hello)), 0);
	assert_int_equal(pa_wire_check_config(&config, sizeof(config)), 0);
	config.file_size = 100; /* not even a control page */
	assert_int_equal(pa_wire_check_config(&config, sizeof(config)), -EPROTO);
	config.head.major++;
	assert_int_equal(pa_wire_check_config(&config, sizeof(config)), -EPROTONOSUPPORT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_returns_each_record_once_in_order),
	    cmocka_unit_test(test_steps_over_fillers_of_eight_bytes_and_more),
	    cmocka_unit_test(test_unknown_types_and_longer_records_are_stepped_over_by_size),
	    cmocka_unit_test(test_refuses_sizes_that_cannot_be),
	    cmocka_unit_test(test_refuses_records_shorter_than_their_type),
	    cmocka_unit_test(test_refuses_waits_that_cannot_be),
	    cmocka_unit_test(test_refuses_locks_that_cannot_be),
	    cmocka_unit_test(test_refuses_messages_that_cannot_be),
	    cmocka_unit_test(test_refuses_statements_that_cannot_be),
	    cmocka_unit_test(test_refuses_counts_that_leave_the_record),
	    cmocka_unit_test(test_heap_records_are_checked),
	    cmocka_unit_test(test_hello_is_checked),
	    cmocka_unit_test(test_another_major_is_refused_whatever_its_size),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
