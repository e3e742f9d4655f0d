/* Recordings: what the heap did is read as it was written, replaced where it says so, and damage is told. */
#include "tests/unit/heap_util.h"

#include <errno.h>
#include <sqlite3.h>

#include "collector/store_heapchunk.h"

/* All that a recording says about the heap, as text in the order of the visits. */
struct heard {
	char text[4096];
	size_t len;
};

__attribute__((format(printf, 2, 3))) static void hear(struct heard *h, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	h->len += (size_t)vsnprintf(h->text + h->len, sizeof(h->text) - h->len, format, args);
	va_end(args);
	assert_true(h->len < sizeof(h->text));
}

static int on_chunk(void *arg, uint32_t process, uint64_t first_ns, uint64_t last_ns,
		    const struct pa_store_heap_delta *deltas, size_t nr)
{
	hear(arg, "chunk %u %lu-%lu", process, first_ns, last_ns);
	for (size_t i = 0; i < nr; i++)
		hear(arg, " [%u %lu %lu %lu %lu %lu %lu %g %g]", deltas[i].stack, deltas[i].calls, deltas[i].bytes,
		     deltas[i].frees, deltas[i].freed, deltas[i].temporary, deltas[i].samples, deltas[i].var_bytes,
		     deltas[i].var_freed);
	hear(arg, "\n");
	return 0;
}

static int on_peak(void *arg, uint32_t process, uint64_t time_ns, uint64_t calls, uint64_t bytes,
		   const struct pa_store_heap_held *held, size_t nr)
{
	hear(arg, "peak %u %lu %lu %lu", process, time_ns, calls, bytes);
	for (size_t i = 0; i < nr; i++)
		hear(arg, " [%u %lu %lu]", held[i].stack, held[i].calls, held[i].bytes);
	hear(arg, "\n");
	return 0;
}

static int on_point(void *arg, const struct pa_store_heap_point *p)
{
	hear(arg, "point %u %lu %ld %ld %ld %ld %ld %ld %ld\n", p->process, p->time_ns, (long)p->live_calls,
	     (long)p->live_bytes, (long)p->rss_bytes, (long)p->libc_arena, (long)p->libc_mapped, (long)p->libc_used,
	     (long)p->libc_unused);
	return 0;
}

static int on_heap(void *arg, const struct pa_store_heap *h)
{
	hear(arg, "heap %u %u %u %lu %lu %lu %lu %lu %lu %lu %lu %lu %lu %lu %lu %lu %lu %lu\n", h->process, h->mode,
	     h->flags, h->mean, h->calls, h->bytes, h->frees, h->freed, h->temporary, h->unknown_frees, h->own_bytes,
	     h->lost, h->lost_frees, h->uncertain_ns, h->stalled_ns, h->mapped_calls, h->mapped_bytes,
	     h->unmapped_bytes);
	for (int i = 0; i < PA_HEAP_LIFETIMES; i++)
		hear(arg, " %lu/%lu", h->lifetime_calls[i], h->lifetime_bytes[i]);
	hear(arg, "\n");
	return 0;
}

static int on_thread(void *arg, const struct pa_store_heap_thread *t)
{
	hear(arg, "thread %u %lu %lu %lu %lu\n", t->thread, t->calls, t->bytes, t->frees, t->freed);
	return 0;
}

static void hear_all(struct pa_recording *r, struct heard *h)
{
	memset(h, 0, sizeof(*h));
	assert_int_equal(pa_recording_heap_chunks(r, on_chunk, h), 0);
	assert_int_equal(pa_recording_heap_peaks(r, on_peak, h), 0);
	assert_int_equal(pa_recording_heap_points(r, on_point, h), 0);
	assert_int_equal(pa_recording_heaps(r, on_heap, h), 0);
	assert_int_equal(pa_recording_heap_threads(r, on_thread, h), 0);
}

static void finish_and_hear(struct place *p, struct pa_store *s, struct heard *h)
{
	struct pa_recording *r;

	assert_int_equal(pa_store_close(s, true), 0);
	r = recording_begin(p);
	hear_all(r, h);
	pa_recording_close(r);
}

/* What heap_fill writes. */
static const char filled[] = "chunk 1 1000000000-2000000000 [1 1000 16000 1000 16000 900 0 0 0]"
			     " [2 10 41943040 1 5242880 0 0 0 0]\n"
			     "chunk 1 2000000000-3000000000 [2 0 0 2 5242880 2 0 0 0]\n"
			     "peak 1 1900000000 9 36700160 [2 9 36700160]\n"
			     "point 1 1500000000 9 36700160 52428800 -1 -1 -1 0\n"
			     "heap 1 2 0 0 1010 41959040 1003 10501760 902 7 65536 0 0 0 0 0 0 0\n"
			     " 1000/16000 0/0 0/0 0/0 0/0 0/0 0/0 3/10485760\n"
			     "thread 1 1010 41959040 1003 10501760\n";

static void every_heap_table_is_read_back(void **state)
{
	struct pa_store *s = store_begin(*state);
	struct heard h;

	heap_fill(s);
	finish_and_hear(*state, s, &h);
	assert_string_equal(h.text, filled);
}

static void golden_recording_of_schema_2_has_its_heap(void **state)
{
	struct pa_recording *r;
	struct heard h;
	char err[300] = "";
	int ret = pa_recording_open("tests/golden/schema-2.pfa", &r, err, sizeof(err));

	if (ret)
		print_error("%s\n", err);
	assert_int_equal(ret, 0);
	hear_all(r, &h);
	assert_string_equal(h.text, filled);
	pa_recording_close(r);
}

static void recording_of_schema_1_has_no_heap(void **state)
{
	struct pa_recording *r;
	struct heard h;
	char err[300] = "";

	assert_int_equal(pa_recording_open("tests/golden/schema-1.pfa", &r, err, sizeof(err)), 0);
	hear_all(r, &h);
	assert_string_equal(h.text, "");
	pa_recording_close(r);
}

/* Values at both ends of their ranges, and columns told apart. */
static void extreme_figures_survive(void **state)
{
	struct pa_store *s = store_begin(*state);
	struct pa_store_heap total = {.process = UINT32_MAX,
				      .mode = 1,
				      .flags = 3,
				      .mean = 4,
				      .calls = 5,
				      .bytes = 6,
				      .frees = 7,
				      .freed = 8,
				      .temporary = 9,
				      .unknown_frees = 10,
				      .own_bytes = 11,
				      .lost = 12,
				      .lost_frees = 13,
				      .uncertain_ns = 14,
				      .stalled_ns = 15,
				      .mapped_calls = 16,
				      .mapped_bytes = 17,
				      .unmapped_bytes = UINT64_MAX - 1};
	struct heard h;

	for (uint64_t i = 0; i < PA_HEAP_LIFETIMES; i++) {
		total.lifetime_calls[i] = 100 + i;
		total.lifetime_bytes[i] = 200 + i;
	}
	assert_int_equal(pa_store_put_heap(s, &total), 0);
	assert_int_equal(
	    pa_store_add_heap_point(s, &(struct pa_store_heap_point){UINT32_MAX, 2, 3, 4, 5, 6, 7, 8, UINT64_MAX - 1}),
	    0);
	assert_int_equal(pa_store_put_heap_thread(s, &(struct pa_store_heap_thread){UINT32_MAX, 1, 2, 3, UINT64_MAX}),
			 0);
	assert_int_equal(pa_store_put_heap_peak(s, UINT32_MAX, 1, 2, 3, NULL, 0), 0);
	finish_and_hear(*state, s, &h);
	assert_string_equal(h.text, "peak 4294967295 1 2 3\n"
				    "point 4294967295 2 3 4 5 6 7 8 -2\n"
				    "heap 4294967295 1 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18446744073709551614\n"
				    " 100/200 101/201 102/202 103/203 104/204 105/205 106/206 107/207\n"
				    "thread 4294967295 1 2 3 18446744073709551615\n");
}

static void totals_and_peaks_replace_those_before(void **state)
{
	struct pa_store *s = store_begin(*state);
	struct pa_store_heap_held *many = calloc(5000, sizeof(*many));
	struct pa_store_heap_held few[] = {{7, 1, 1}, {3, 2, 2}};
	struct pa_store_heap total = {.process = 1, .mode = 1, .mean = 524288, .calls = 5};
	struct heard h;

	assert_non_null(many);
	for (uint32_t i = 0; i < 5000; i++)
		many[i] = (struct pa_store_heap_held){5000 - i, 1, 1};
	assert_int_equal(pa_store_put_heap_peak(s, 1, 10, 5000, 5000, many, 5000), 0);
	total.lifetime_calls[3] = 9;
	assert_int_equal(pa_store_put_heap(s, &total), 0);
	assert_int_equal(pa_store_commit(s), 0);
	assert_int_equal(pa_store_put_heap_peak(s, 2, 30, 7, 7, few, 1), 0);
	assert_int_equal(pa_store_put_heap_peak(s, 3, 30, 7, 7, few, 1), 0);
	assert_int_equal(pa_store_put_heap_peak(s, 3, 40, 0, 0, NULL, 0), 0);
	assert_int_equal(pa_store_put_heap_peak(s, 1, 20, 3, 3, few, 2), 0);
	total.lifetime_calls[3] = 0;
	total.calls = 6;
	assert_int_equal(pa_store_put_heap(s, &total), 0);
	finish_and_hear(*state, s, &h);
	assert_string_equal(h.text, "peak 1 20 3 3 [3 2 2] [7 1 1]\n"
				    "peak 2 30 7 7 [7 1 1]\n"
				    "peak 3 40 0 0\n"
				    "heap 1 1 0 524288 6 0 0 0 0 0 0 0 0 0 0 0 0 0\n"
				    " 0/0 0/0 0/0 0/0 0/0 0/0 0/0 0/0\n");
	free(many);
}

static void a_stack_twice_is_refused(void **state)
{
	struct pa_store *s = store_begin(*state);
	struct pa_store_heap_delta deltas[] = {{.stack = 5, .calls = 1}, {.stack = 4}, {.stack = 5, .calls = 2}};
	struct pa_store_heap_held held[] = {{5, 1, 1}, {5, 2, 2}};
	struct heard h;

	assert_int_equal(pa_store_add_heap_chunk(s, 1, 1, 2, deltas, 3), -EINVAL);
	assert_int_equal(pa_store_put_heap_peak(s, 1, 1, 1, 1, held, 2), -EINVAL);
	assert_int_equal(pa_store_add_heap_chunk(s, 1, 1, 2, NULL, 0), 0);
	finish_and_hear(*state, s, &h);
	assert_string_equal(h.text, "");
}

/* ---- many stacks ------------------------------------------------------------------------------------------------- */

struct many {
	uint64_t nr, chunks, calls, last;
};

static int on_many(void *arg, uint32_t process, uint64_t first_ns, uint64_t last_ns,
		   const struct pa_store_heap_delta *deltas, size_t nr)
{
	struct many *m = arg;

	m->chunks++;
	assert_in_range(nr, 1, PA_HEAPCHUNK_STACKS);
	for (size_t i = 0; i < nr; i++) {
		assert_true(deltas[i].stack > m->last);
		m->last = deltas[i].stack;
		m->calls += deltas[i].calls;
	}
	m->nr += nr;
	return 0;
}

static int on_many_held(void *arg, uint32_t process, uint64_t time_ns, uint64_t calls, uint64_t bytes,
			const struct pa_store_heap_held *held, size_t nr)
{
	struct many *m = arg;

	m->chunks++;
	for (size_t i = 0; i < nr; i++)
		m->calls += held[i].calls;
	m->nr += nr;
	return 0;
}

#define MANY 100000

/* More stacks than one blob holds, and of a file no more than 64 bytes for each. */
static void a_hundred_thousand_stacks_come_back(void **state)
{
	struct place *p = *state;
	struct pa_store *s = store_begin(p);
	struct pa_store_heap_delta *deltas = calloc(MANY, sizeof(*deltas));
	struct pa_store_heap_held *held = calloc(MANY, sizeof(*held));
	struct many m = {0}, h = {0};
	struct pa_recording *r;
	struct stat st;

	assert_true(deltas && held);
	for (uint32_t i = 0; i < MANY; i++) {
		uint32_t stack = 1 + (i * 7919u) % 1000003u; /* a prime: no stack twice */
		deltas[i] = (struct pa_store_heap_delta){.stack = stack,
							 .calls = i,
							 .bytes = i * 1000,
							 .frees = i / 2,
							 .freed = i * 400,
							 .temporary = i / 3};
		held[i] = (struct pa_store_heap_held){stack, i, i * 1000};
	}
	assert_int_equal(pa_store_add_heap_chunk(s, 1, 1, 2, deltas, MANY), 0);
	assert_int_equal(pa_store_put_heap_peak(s, 1, 1, 1, 1, held, MANY), 0);
	assert_int_equal(pa_store_close(s, true), 0);
	r = recording_begin(p);
	assert_int_equal(pa_recording_heap_chunks(r, on_many, &m), 0);
	assert_int_equal(pa_recording_heap_peaks(r, on_many_held, &h), 0);
	pa_recording_close(r);
	assert_int_equal(m.nr, MANY);
	assert_int_equal(m.chunks, (MANY + PA_HEAPCHUNK_STACKS - 1) / PA_HEAPCHUNK_STACKS);
	assert_int_equal(m.calls, (uint64_t)MANY * (MANY - 1) / 2);
	assert_int_equal(h.nr, MANY);
	assert_int_equal(h.chunks, 1);
	assert_int_equal(h.calls, (uint64_t)MANY * (MANY - 1) / 2);
	assert_int_equal(stat(p->file, &st), 0);
	assert_in_range(st.st_size, 1, 64 * MANY);
	free(deltas);
	free(held);
}

/* ---- damage ------------------------------------------------------------------------------------------------------ */

static void run_sql(struct place *p, const char *sql)
{
	sqlite3 *db;

	assert_int_equal(sqlite3_open(p->file, &db), SQLITE_OK);
	if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
		print_error("%s\n", sqlite3_errmsg(db));
	assert_int_equal(sqlite3_errcode(db), SQLITE_OK);
	sqlite3_close(db);
}

/* A finished recording of heap_fill with that done to it. */
static struct pa_recording *damaged_by(struct place *p, const char *sql)
{
	struct pa_store *s = store_begin(p);

	heap_fill(s);
	assert_int_equal(pa_store_close(s, true), 0);
	run_sql(p, sql);
	return recording_begin(p);
}

static void a_bad_chunk_gives_what_is_whole_and_the_others(void **state)
{
	struct pa_recording *r =
	    damaged_by(*state, "UPDATE heap_chunk SET data = substr(data, 1, length(data) - 1) WHERE id = 1");
	struct heard h = {.len = 0};

	assert_int_equal(pa_recording_heap_chunks(r, on_chunk, &h), -EBADMSG);
	assert_string_equal(h.text, "chunk 1 1000000000-2000000000 [1 1000 16000 1000 16000 900 0 0 0]\n"
				    "chunk 1 2000000000-3000000000 [2 0 0 2 5242880 2 0 0 0]\n");
	assert_non_null(strstr(pa_recording_error(r), "heap chunk 1: byte"));
	pa_recording_close(r);
}

static void bad_rows_are_damage(void **state)
{
	struct heard h = {.len = 0};
	struct pa_recording *r = damaged_by(*state, "UPDATE heap_chunk SET stacks = 3 WHERE id = 1;"
						    "UPDATE heap_held SET data = x'0200';"
						    "UPDATE heap_point SET process = 4294967296;"
						    "UPDATE heap_lifetime SET class = 8 WHERE class = 7;"
						    "UPDATE heap_thread SET thread = 4294967296");

	assert_int_equal(pa_recording_heap_chunks(r, on_chunk, &h), -EBADMSG);
	h.len = 0;
	assert_int_equal(pa_recording_heap_peaks(r, on_peak, &h), -EPROTONOSUPPORT);
	assert_string_equal(h.text, "peak 1 1900000000 9 36700160\n");
	assert_non_null(strstr(pa_recording_error(r), "peak of process 1: byte 0 of 2"));
	assert_int_equal(pa_recording_heap_points(r, on_point, &h), -EBADMSG);
	assert_int_equal(pa_recording_heaps(r, on_heap, &h), -EBADMSG);
	assert_int_equal(pa_recording_heap_threads(r, on_thread, &h), -EBADMSG);
	pa_recording_close(r);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, place_setup, place_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(every_heap_table_is_read_back),
	    CASE(golden_recording_of_schema_2_has_its_heap),
	    CASE(recording_of_schema_1_has_no_heap),
	    CASE(extreme_figures_survive),
	    CASE(totals_and_peaks_replace_those_before),
	    CASE(a_stack_twice_is_refused),
	    CASE(a_hundred_thousand_stacks_come_back),
	    CASE(a_bad_chunk_gives_what_is_whole_and_the_others),
	    CASE(bad_rows_are_damage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
