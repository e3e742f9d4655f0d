/* What a report says about the heap: every expected number was worked out by hand from the chunks that the cases
 * write. Times of a recording start at 100 s. */
#include "tests/unit/heap_util.h"

#include <errno.h>
#include <fcntl.h>

#include "report/model.h"
#include "report/report.h"

#define START    UINT64_C(100000000000)
#define S(since) (START + (uint64_t)((since)*1e9))

/* Processes 1 and 2 (threads 1 and 2), stacks 1: main, 2: main keep, 3: main churn. */
static struct pa_store *begin(struct place *p)
{
	static const char *const names[] = {"main", "keep", "churn"};
	struct pa_store *s = store_begin(p);

	assert_int_equal(pa_store_put_meta(s, "command", "a"), 0);
	assert_int_equal(pa_store_put_meta_u64(s, "started_mono_ns", START), 0);
	assert_int_equal(pa_store_put_meta_u64(s, "period_ns", 10000000), 0);
	for (uint32_t i = 1; i <= 2; i++) {
		const struct pa_store_process process = {
		    .id = i, .pid = 100 + i, .start_ns = START, .command = "a", .exe = "", .how = ""};
		assert_int_equal(pa_store_put_process(s, &process), 0);
		assert_int_equal(pa_store_put_thread(
				     s, &(struct pa_store_thread){.id = i, .process = i, .tid = 100 + i, .name = "a"}),
				 0);
	}
	assert_int_equal(pa_store_put_module(s, &(struct pa_store_module){.id = 1, .path = "/a", .symbols = 1}), 0);
	for (uint32_t i = 1; i <= 3; i++) {
		assert_int_equal(pa_store_put_frame(s, i, 1, 0x1000 * i, NULL), 0);
		assert_int_equal(pa_store_put_symbols(s, i, &(struct pa_symbol){names[i - 1], "a.c", i}, 1), 0);
		assert_int_equal(pa_store_put_stack(s, i, i > 1, i), 0);
	}
	return s;
}

static struct pa_store_heap_delta delta(uint32_t stack, uint64_t calls, uint64_t bytes, uint64_t frees, uint64_t freed,
					uint64_t temporary)
{
	return (struct pa_store_heap_delta){.stack = stack,
					    .calls = calls,
					    .bytes = bytes,
					    .frees = frees,
					    .freed = freed,
					    .temporary = temporary,
					    .temporary_bytes = temporary * 100};
}

#define NONE delta(0, 0, 0, 0, 0, 0)

static void chunk(struct pa_store *s, uint32_t process, double from, double to, struct pa_store_heap_delta a,
		  struct pa_store_heap_delta b)
{
	struct pa_store_heap_delta deltas[] = {a, b};
	assert_int_equal(pa_store_add_heap_chunk(s, process, S(from), S(to), deltas, b.stack ? 2 : 1), 0);
}

static void exact(struct pa_store *s, uint32_t process)
{
	assert_int_equal(
	    pa_store_put_heap(s, &(struct pa_store_heap){.process = process, .mode = PA_HEAP_EXACT, .own_bytes = 7}),
	    0);
}

static struct pa_report *load(struct place *p, struct pa_store *s, double from, double to)
{
	const struct pa_report_window w = {.from_ns = (uint64_t)(from * 1e9),
					   .to_ns = to > 0 ? (uint64_t)(to * 1e9) : UINT64_MAX};
	struct pa_report *r = NULL;
	if (s) {
		assert_int_equal(pa_store_put_meta(s, "ended", "2026-01-01T00:00:09Z"), 0);
		assert_int_equal(pa_store_close(s, true), 0);
	}
	int err = pa_report_load_window(p->file, from || to ? &w : NULL, &r, p->err, sizeof(p->err));
	if (err)
		print_error("%s\n", p->err);
	assert_int_equal(err, 0);
	return r;
}

/* What a stack (id) of a process (id) held; all zero when it is not there. */
static struct pa_heap_sum sum_of(const struct pa_report *r, uint32_t process, uint32_t stack)
{
	struct pa_heap_sum found = {0};
	int times = 0;
	for (size_t i = 0; i < r->heap.nr_held; i++) {
		const struct pa_report_held *h = &r->heap.held[i];
		if (r->processes[h->process].id == process && r->stacks[h->stack].id == stack && ++times)
			found = h->sum;
	}
	assert_in_range(times, 0, 1);
	return found;
}

#define EXPECT_ALLOCATED(sum, c, b, f, fb, t)                                                                          \
	do {                                                                                                           \
		const struct pa_heap_sum x = sum;                                                                      \
		assert_int_equal(x.calls, c);                                                                          \
		assert_int_equal(x.bytes, b);                                                                          \
		assert_int_equal(x.frees, f);                                                                          \
		assert_int_equal(x.freed, fb);                                                                         \
		assert_int_equal(x.temporary, t);                                                                      \
	} while (0)
#define EXPECT_LIVE(sum, lc, l, bc, b, pc, p)                                                                          \
	do {                                                                                                           \
		const struct pa_heap_sum x = sum;                                                                      \
		assert_int_equal(x.live_calls, lc);                                                                    \
		assert_int_equal(x.live, l);                                                                           \
		assert_int_equal(x.before_calls, bc);                                                                  \
		assert_int_equal(x.before, b);                                                                         \
		assert_int_equal(x.peak_calls, pc);                                                                    \
		assert_int_equal(x.peak, p);                                                                           \
	} while (0)

/* Process 1 by second:    1          2          3          4
 *   keep  allocated    2/200      3/300          -      1/1000
 *   keep  freed            -          -      4/350           -
 *   keep  live         2/200      5/500      1/150      2/1150
 *   churn allocated   10/1000   10/1000    50/5000           -
 *   churn freed       10/1000     8/800    52/5200           -       (temporary 9, 7, 40)
 *   churn live           0/0      2/200        0/0         0/0
 *   all   live           200        700        150        1150
 * The peak was at 3.5 s: 2/1150 of keep and 3/3000 of churn that came and went in between; 1 s of churn's last chunk.
 */
static void four_seconds(struct pa_store *s)
{
	struct pa_store_heap_held held[] = {{2, 2, 1150}, {3, 3, 3000}};
	exact(s, 1);
	chunk(s, 1, 0, 1, delta(2, 2, 200, 0, 0, 0), delta(3, 10, 1000, 10, 1000, 9));
	chunk(s, 1, 1, 2, delta(2, 3, 300, 0, 0, 0), delta(3, 10, 1000, 8, 800, 7));
	chunk(s, 1, 2, 3, delta(2, 0, 0, 4, 350, 0), delta(3, 50, 5000, 52, 5200, 40));
	chunk(s, 1, 3, 4, delta(2, 1, 1000, 0, 0, 0), NONE);
	assert_int_equal(pa_store_put_heap_peak(s, 1, S(3.5), 5, 4150, held, 2), 0);
}

static void a_whole_recording_adds_up_by_stack(void **state)
{
	struct pa_store *s = begin(*state);
	four_seconds(s);
	struct pa_report *r = load(*state, s, 0, 0);
	const struct pa_report_heap *h = &r->heap;

	assert_true(h->recorded);
	assert_false(h->estimated);
	assert_false(h->uncertain);
	assert_int_equal(h->nr_held, 2);
	EXPECT_ALLOCATED(sum_of(r, 1, 2), 6, 1500, 4, 350, 0);
	EXPECT_LIVE(sum_of(r, 1, 2), 2, 1150, 0, 0, 2, 1150);
	EXPECT_ALLOCATED(sum_of(r, 1, 3), 70, 7000, 70, 7000, 56);
	EXPECT_LIVE(sum_of(r, 1, 3), 0, 0, 0, 0, 3, 3000);
	EXPECT_ALLOCATED(h->sum, 76, 8500, 74, 7350, 56);
	EXPECT_LIVE(h->sum, 2, 1150, 0, 0, 5, 4150);
	assert_int_equal(h->nr_processes, 1);
	assert_int_equal(r->processes[h->processes[0].process].pid, 101);
	assert_int_equal(h->processes[0].mode, PA_HEAP_EXACT);
	assert_int_equal(h->processes[0].own_bytes, 7);
	assert_int_equal(h->processes[0].peak, 4150);
	assert_int_equal(h->processes[0].peak_calls, 5);
	assert_int_equal(h->processes[0].peak_ns, S(3.5));
	assert_false(h->processes[0].peak_approximate);
	EXPECT_LIVE(h->processes[0].sum, 2, 1150, 0, 0, 5, 4150);
	assert_int_equal(r->duration_ns, UINT64_C(4000000000));
	pa_report_free(r);
}

/* From 1 s to 3 s: chunks 2 and 3. The exact peak is outside; of the chunk ends the highest is 700 at 2 s. */
static void a_window_has_a_before_and_an_approximate_peak(void **state)
{
	struct pa_store *s = begin(*state);
	four_seconds(s);
	struct pa_report *r = load(*state, s, 1, 3);

	EXPECT_ALLOCATED(sum_of(r, 1, 2), 3, 300, 4, 350, 0);
	EXPECT_LIVE(sum_of(r, 1, 2), 1, 150, 2, 200, 5, 500);
	EXPECT_ALLOCATED(sum_of(r, 1, 3), 60, 6000, 60, 6000, 47);
	EXPECT_LIVE(sum_of(r, 1, 3), 0, 0, 0, 0, 2, 200);
	assert_true(r->heap.processes[0].peak_approximate);
	assert_int_equal(r->heap.processes[0].peak, 700);
	assert_int_equal(r->heap.step_ns, 0);
	assert_int_equal(r->heap.processes[0].peak_calls, 7);
	assert_int_equal(r->heap.processes[0].peak_ns, S(2));
	assert_int_equal(r->duration_ns, UINT64_C(4000000000)); /* of the recording */
	pa_report_free(r);
}

/* From 3.2 s: the exact peak is inside, and what keep held before it is neither its allocation nor lost. Churn was over
 * by then but for the peak. */
static void a_chunk_counts_by_its_end(void **state)
{
	struct pa_store *s = begin(*state);
	four_seconds(s);
	struct pa_report *r = load(*state, s, 3.2, 0);

	EXPECT_ALLOCATED(sum_of(r, 1, 2), 1, 1000, 0, 0, 0);
	EXPECT_LIVE(sum_of(r, 1, 2), 2, 1150, 1, 150, 2, 1150);
	EXPECT_ALLOCATED(sum_of(r, 1, 3), 0, 0, 0, 0, 0);
	EXPECT_LIVE(sum_of(r, 1, 3), 0, 0, 0, 0, 3, 3000);
	assert_int_equal(r->heap.processes[0].peak, 4150);
	assert_false(r->heap.processes[0].peak_approximate);
	assert_int_equal(r->heap.step_ns, 1000000000); /* chunk 4 lies on the edge */
	pa_report_free(r);

	r = load(*state, NULL, 0, 3.9); /* the last chunk ends after it, the peak does not */
	EXPECT_ALLOCATED(sum_of(r, 1, 2), 5, 500, 4, 350, 0);
	EXPECT_LIVE(sum_of(r, 1, 2), 1, 150, 0, 0, 2, 1150);
	pa_report_free(r);
}

/* Nothing happens between 2.2 and 2.8 s: the heap stands as chunk 2 left it, at 700 from the window's start on. */
static void a_quiet_window_has_the_level_it_began_with(void **state)
{
	struct pa_store *s = begin(*state);
	four_seconds(s);
	struct pa_report *r = load(*state, s, 2.2, 2.8);

	EXPECT_ALLOCATED(r->heap.sum, 0, 0, 0, 0, 0);
	EXPECT_LIVE(r->heap.sum, 7, 700, 7, 700, 7, 700);
	assert_int_equal(r->heap.processes[0].peak_ns, S(2.2));
	pa_report_free(r);
}

static void a_shrinking_window_peaks_at_its_start(void **state)
{
	struct pa_store *s = begin(*state);
	four_seconds(s);
	struct pa_report *r = load(*state, s, 2, 3);

	EXPECT_LIVE(r->heap.sum, 1, 150, 7, 700, 7, 700);
	assert_int_equal(r->heap.processes[0].peak_ns, S(2));
	pa_report_free(r);

	r = load(*state, NULL, 3, 3.4); /* the 700 were over when it began */
	EXPECT_LIVE(r->heap.sum, 1, 150, 1, 150, 1, 150);
	assert_int_equal(r->heap.nr_held, 1); /* nothing of churn */
	pa_report_free(r);
}

/* 1000 stacks hold 100 bytes each; then, in one chunk of two parts, 2048 others take 10 each and the first are freed:
 * in between was no moment. */
static void parts_of_a_chunk_are_one_moment(void **state)
{
	struct pa_store *s = begin(*state);
	struct pa_store_heap_delta deltas[3048];
	for (uint32_t i = 0; i < 1000; i++)
		deltas[i] = delta(3001 + i, 1, 100, 0, 0, 0);
	assert_int_equal(pa_store_add_heap_chunk(s, 1, S(0), S(1), deltas, 1000), 0);
	for (uint32_t i = 0; i < 3048; i++)
		deltas[i] = i < 2048 ? delta(1 + i, 1, 10, 0, 0, 0) : delta(3001 + i - 2048, 0, 0, 1, 100, 0);
	assert_int_equal(pa_store_add_heap_chunk(s, 1, S(1), S(2), deltas, 3048), 0);
	struct pa_report *r = load(*state, s, 0, 0);

	assert_int_equal(r->heap.sum.live, 20480);
	assert_int_equal(r->heap.processes[0].peak, 100000);
	pa_report_free(r);
}

/* Cut off at 4 s with the peak as it was written at 2 s: the 1150 at the end are higher. */
static void a_peak_that_was_cut_off_is_approximated(void **state)
{
	struct place *p = *state;
	struct pa_store *s = begin(p);
	struct pa_store_heap_held held[] = {{2, 5, 500}, {3, 3, 300}};
	four_seconds(s);
	assert_int_equal(pa_store_put_heap_peak(s, 1, S(1.7), 8, 800, held, 2), 0);
	assert_int_equal(pa_store_close(s, false), 0);
	struct pa_report *r = load(p, NULL, 0, 0);

	assert_false(r->clean);
	assert_true(r->heap.processes[0].peak_approximate);
	assert_int_equal(r->heap.processes[0].peak, 1150);
	EXPECT_LIVE(sum_of(r, 1, 2), 2, 1150, 0, 0, 2, 1150);
	EXPECT_LIVE(sum_of(r, 1, 3), 0, 0, 0, 0, 0, 0);
	pa_report_free(r);

	r = load(p, NULL, 0, 2.5); /* 800 is more than the 700 at 2 s: it counts */
	assert_false(r->heap.processes[0].peak_approximate);
	EXPECT_LIVE(sum_of(r, 1, 3), 2, 200, 0, 0, 3, 300);
	pa_report_free(r);
}

static void processes_are_told_apart_and_threads_are_whole(void **state)
{
	struct pa_store *s = begin(*state);
	struct pa_store_heap_held held[] = {{2, 1, 10}};
	four_seconds(s);
	chunk(s, 2, 0, 1, delta(2, 1, 10, 0, 0, 0), NONE);
	chunk(s, 2, 1, 2, delta(2, 0, 0, 1, 10, 0), NONE);
	assert_int_equal(pa_store_put_heap_peak(s, 2, S(0.5), 1, 10, held, 1), 0);
	const struct pa_store_heap two = {
	    .process = 2, .mode = PA_HEAP_EXACT, .calls = 3, .temporary = 2, .lost = 5, .uncertain_ns = S(1.5)};
	assert_int_equal(pa_store_put_heap(s, &two), 0);
	assert_int_equal(pa_store_put_heap_thread(s, &(struct pa_store_heap_thread){2, 3, 30, 4, 40}), 0);
	struct pa_report *r = load(*state, s, 0, 0);

	EXPECT_LIVE(sum_of(r, 2, 2), 0, 0, 0, 0, 1, 10);
	EXPECT_LIVE(sum_of(r, 1, 2), 2, 1150, 0, 0, 2, 1150);
	assert_int_equal(r->heap.nr_processes, 2);
	assert_int_equal(r->processes[r->heap.processes[1].process].id, 2);
	EXPECT_ALLOCATED(r->heap.processes[1].sum, 3, 10, 1, 10, 2); /* calls and temporary: what its own row says */
	EXPECT_ALLOCATED(r->heap.sum, 79, 8510, 75, 7360, 58);
	assert_true(r->heap.uncertain);
	assert_int_equal(r->heap.nr_threads, 1);
	assert_int_equal(r->threads[r->heap.threads[0].thread].tid, 102);
	assert_int_equal(r->heap.threads[0].freed, 40);
	pa_report_free(r);

	r = load(*state, NULL, 0, 1.2); /* nothing was lost by then */
	assert_false(r->heap.uncertain);
	EXPECT_ALLOCATED(r->heap.processes[1].sum, 1, 10, 0, 0, 0);
	pa_report_free(r);
}

/* Three samples at a mean of 1000 with a variance of 4000 each, one of them freed later: what is live has the variance
 * of the other two. */
static void variances_leave_with_their_blocks(void **state)
{
	struct pa_store *s = begin(*state);
	const struct pa_store_heap sampled = {.process = 1, .mode = PA_HEAP_SAMPLED, .mean = 1000};
	struct pa_store_heap_delta first[] = {
	    {.stack = 2, .calls = 30, .bytes = 3300, .samples = 3, .var_bytes = 12000},
	    {.stack = 3,
	     .calls = 1,
	     .bytes = 7,
	     .frees = 1,
	     .freed = 7,
	     .samples = 1,
	     .var_bytes = 0.1,
	     .var_freed = 0.1}};
	struct pa_store_heap_delta second[] = {{.stack = 2, .frees = 10, .freed = 1100, .var_freed = 4000}};
	assert_int_equal(pa_store_put_heap(s, &sampled), 0);
	assert_int_equal(pa_store_add_heap_chunk(s, 1, S(0), S(1), first, 2), 0);
	assert_int_equal(pa_store_add_heap_chunk(s, 1, S(1), S(2), second, 1), 0);
	struct pa_report *r = load(*state, s, 0, 0);

	assert_true(r->heap.estimated);
	assert_int_equal(sum_of(r, 1, 2).samples, 3);
	assert_true(sum_of(r, 1, 2).var_bytes == 12000);
	assert_true(sum_of(r, 1, 2).var_live == 8000);
	assert_true(sum_of(r, 1, 3).var_live == 0);
	assert_true(r->heap.sum.var_live == 8000);
	assert_int_equal(r->heap.sum.samples, 4);
	pa_report_free(r);

	r = load(*state, NULL, 1, 0);
	assert_true(sum_of(r, 1, 2).var_bytes == 0);
	assert_true(sum_of(r, 1, 2).var_live == 8000);
	pa_report_free(r);
}

static void points_are_in_order_and_of_the_window(void **state)
{
	struct pa_store *s = begin(*state);
	const double at[] = {3, 1, 2, 2};
	exact(s, 1);
	for (uint32_t i = 0; i < 4; i++) {
		const struct pa_store_heap_point point = {
		    .process = 2 - i % 2, .time_ns = S(at[i]), .live_bytes = i, .rss_bytes = UINT64_MAX};
		assert_int_equal(pa_store_add_heap_point(s, &point), 0);
	}
	struct pa_report *r = load(*state, s, 0, 0);

	assert_int_equal(r->heap.nr_points, 4);
	assert_int_equal(r->heap.points[0].live_bytes, 1);
	assert_int_equal(r->heap.points[1].live_bytes, 3); /* process 1 before process 2 */
	assert_int_equal(r->heap.points[2].live_bytes, 2);
	assert_int_equal(r->heap.points[3].live_bytes, 0);
	assert_int_equal(r->processes[r->heap.points[3].process].id, 2);
	assert_true(r->heap.points[3].rss_bytes == UINT64_MAX);
	pa_report_free(r);

	r = load(*state, NULL, 1.5, 2.5);
	assert_int_equal(r->heap.nr_points, 2);
	pa_report_free(r);
}

/* The report says that it is of a part, and compares nothing of it with figures of the whole. */
static void expect_text(const struct pa_report *r, const char *first, const char *second)
{
	const struct pa_report_options o = {0};
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);
	assert_int_equal(pa_write_text(r, &o, f), 0);
	fclose(f);
	if (!strstr(text, first) || !strstr(text, second) || strstr(text, "expected"))
		print_error("%s\n", text);
	assert_non_null(strstr(text, first));
	assert_non_null(strstr(text, second));
	assert_null(strstr(text, "expected"));
	free(text);
}

static void cpu_samples_have_a_window_too(void **state)
{
	struct pa_store *s = begin(*state);
	const double at[] = {0, 0.5, 1, 1.5, 2};
	for (uint32_t i = 0; i < 5; i++)
		assert_int_equal(pa_store_add_sample(s, 1, S(at[i]), 2, 1u << i), 0);
	struct pa_report *r = load(*state, s, 0, 0);
	assert_int_equal(r->sum.weight, 31);
	assert_false(r->heap.recorded);
	pa_report_free(r);

	r = load(*state, NULL, 0.5, 1.5); /* its start counts, its end does not */
	expect_text(r, "window     0.500 s to 1.500 s", "6 in the window");
	assert_int_equal(r->sum.weight, 2 + 4);
	assert_int_equal(r->processes[1].sum.weight, 6);
	assert_int_equal(r->threads[1].sum.weight, 6);
	assert_int_equal(r->modules[1].self.weight, 6);
	assert_int_equal(r->nr_entries, 1);
	assert_int_equal(r->duration_ns, UINT64_C(2000000000));
	pa_report_free(r);

	r = load(*state, NULL, 5, 0); /* nothing is left */
	assert_int_equal(r->sum.weight, 0);
	assert_int_equal(r->nr_entries, 0);
	pa_report_free(r);
}

/* ---- trouble ----------------------------------------------------------------------------------------------------- */

/* A process, a thread and a stack that are not in the recording, and more freed than allocated. */
static void what_is_not_explained_stays_under_unknown(void **state)
{
	struct pa_store *s = begin(*state);
	chunk(s, 77, 0, 1, delta(2, 1, 100, 0, 0, 0), delta(99, 2, 200, 0, 0, 0));
	chunk(s, 78, 1, 2, delta(99, 0, 0, 3, 1000, 0), NONE);
	assert_int_equal(pa_store_put_heap_thread(s, &(struct pa_store_heap_thread){99, 1, 2, 3, 4}), 0);
	struct pa_report *r = load(*state, s, 0, 0);

	assert_true(r->heap.recorded);
	assert_int_equal(r->heap.nr_processes, 1);
	assert_int_equal(r->heap.processes[0].process, 0);
	EXPECT_LIVE(sum_of(r, 0, 2), 1, 100, 0, 0, 1, 100);
	EXPECT_LIVE(sum_of(r, 0, 0), -1, -800, 0, 0, 2, 200);
	EXPECT_LIVE(r->heap.sum, 0, -700, 0, 0, 3, 300);
	assert_int_equal(r->heap.threads[0].thread, 0);
	pa_report_free(r);
}

/* Whatever one byte of the file says, as a whole and as a window: a report or an error, and nothing that the outputs
 * would trip over. */
static void flipped_bits_do_no_harm(void **state)
{
	struct place *p = *state;
	const struct pa_report_window w = {.from_ns = 1000000000, .to_ns = 3000000000};
	const struct pa_report_options o = {.by = "function"};
	struct pa_store *s = begin(p);
	struct stat st;
	uint8_t byte;
	int fd, loaded = 0;
	four_seconds(s);
	assert_int_equal(pa_store_close(s, true), 0);
	assert_int_equal(stat(p->file, &st), 0);
	fd = open(p->file, O_RDWR);
	assert_true(fd >= 0);
	for (off_t at = 0; at < st.st_size; at += 53) {
		struct pa_report *r = NULL;
		char *text = NULL;
		size_t size;
		assert_int_equal(pread(fd, &byte, 1, at), 1);
		byte ^= 0x41;
		assert_int_equal(pwrite(fd, &byte, 1, at), 1);
		if (!pa_report_load_window(p->file, at % 2 ? &w : NULL, &r, p->err, sizeof(p->err))) {
			FILE *f = open_memstream(&text, &size);
			assert_int_equal(pa_write_json(r, &o, f), 0);
			fclose(f);
			free(text);
			pa_report_free(r);
			loaded++;
		}
		byte ^= 0x41;
		assert_int_equal(pwrite(fd, &byte, 1, at), 1);
	}
	close(fd);
	assert_true(loaded > 100);
}

static void recordings_of_schema_1_have_no_heap(void **state)
{
	struct place *p = *state;
	struct pa_report *r = NULL;
	assert_int_equal(pa_report_load("tests/golden/schema-1.pfa", &r, p->err, sizeof(p->err)), 0);
	assert_false(r->heap.recorded);
	assert_int_equal(r->heap.nr_held + r->heap.nr_processes + r->heap.nr_points, 0);
	assert_int_equal(r->sum.weight, 300);
	pa_report_free(r);
}

static void a_golden_recording_has_its_heap(void **state)
{
	struct place *p = *state;
	struct pa_report *r = NULL;
	assert_int_equal(pa_report_load("tests/golden/schema-2.pfa", &r, p->err, sizeof(p->err)), 0);
	EXPECT_ALLOCATED(r->heap.sum, 1010, 40 * HEAP_MB + 16000, 1003, 10 * HEAP_MB + 16000, 902);
	EXPECT_LIVE(r->heap.sum, 7, 30 * HEAP_MB, 0, 0, 9, 35 * HEAP_MB);
	pa_report_free(r);
}

/* ---- entries ----------------------------------------------------------------------------------------------------- */

/* As "process:stack=value ..." */
static void expect_entries(const struct pa_report *r, enum pa_heap_kind kind, enum pa_heap_unit unit, const char *text)
{
	struct pa_report_entry *entries;
	char got[200] = "";
	size_t nr, len = 0;
	assert_int_equal(pa_heap_entries(r, kind, unit, &entries, &nr), 0);
	for (size_t i = 0; i < nr; i++) {
		assert_int_equal(entries[i].sum.ns, entries[i].sum.weight);
		len += (size_t)snprintf(got + len, sizeof(got) - len, " %u:%u=%lu", r->processes[entries[i].process].id,
					r->stacks[entries[i].stack].id, entries[i].sum.weight);
	}
	assert_string_equal(got, text);
	free(entries);
}

static void entries_have_what_is_above_nothing(void **state)
{
	struct pa_store *s = begin(*state);
	struct pa_report_entry *entries;
	size_t nr;
	four_seconds(s);
	struct pa_report *r = load(*state, s, 1, 3);

	expect_entries(r, PA_HEAP_ALLOC, PA_HEAP_BYTES, " 1:2=300 1:3=6000");
	expect_entries(r, PA_HEAP_ALLOC, PA_HEAP_CALLS, " 1:2=3 1:3=60");
	expect_entries(r, PA_HEAP_LIVE, PA_HEAP_BYTES, " 1:2=150");
	expect_entries(r, PA_HEAP_LIVE, PA_HEAP_CALLS, " 1:2=1");
	expect_entries(r, PA_HEAP_PEAK, PA_HEAP_BYTES, " 1:2=500 1:3=200");
	expect_entries(r, PA_HEAP_PEAK, PA_HEAP_CALLS, " 1:2=5 1:3=2");
	expect_entries(r, PA_HEAP_TEMPORARY, PA_HEAP_CALLS, " 1:3=47");
	expect_entries(r, PA_HEAP_GROWTH, PA_HEAP_BYTES, ""); /* keep shrank from 200 to 150 */
	expect_entries(r, PA_HEAP_FREED, PA_HEAP_BYTES, " 1:2=350 1:3=6000");
	expect_entries(r, PA_HEAP_TEMPORARY, PA_HEAP_BYTES, " 1:3=4700");
	assert_int_equal(pa_heap_entries(r, PA_HEAP_KINDS, PA_HEAP_BYTES, &entries, &nr), -EINVAL);
	pa_report_free(r);

	r = load(*state, NULL, 3, 0);
	expect_entries(r, PA_HEAP_GROWTH, PA_HEAP_BYTES, " 1:2=1000");
	expect_entries(r, PA_HEAP_GROWTH, PA_HEAP_CALLS, " 1:2=1");
	pa_report_free(r);
}

static void kinds_are_found_by_name(void **state)
{
	static const char *const names[] = {"alloc", "live", "peak", "temporary", "growth", "freed"};
	(void)state;
	for (int i = 0; i < PA_HEAP_KINDS; i++)
		assert_int_equal(pa_heap_kind_find(names[i]), i);
	assert_int_equal(pa_heap_kind_find("cpu"), PA_HEAP_KINDS);
}

/* A tree and a table of bytes at the peak: main 4150, of it keep 1150 and churn 3000. */
static void trees_and_tables_are_made_of_entries(void **state)
{
	struct pa_store *s = begin(*state);
	struct pa_entries e = {.unit = PA_UNIT_BYTES};
	struct pa_report_entry *entries;
	struct pa_tree tree;
	struct pa_table t;
	four_seconds(s);
	assert_int_equal(pa_store_add_sample(s, 2, S(1), 1, 1), 0); /* CPU of another process makes no frame here */
	struct pa_report *r = load(*state, s, 0, 0);

	assert_int_equal(pa_heap_entries(r, PA_HEAP_PEAK, PA_HEAP_BYTES, &entries, &e.nr), 0);
	e.entries = entries;
	assert_int_equal(pa_tree_build(r, &e, &(struct pa_tree_options){0}, &tree), 0);
	assert_int_equal(tree.nr, 4); /* all, main, churn, keep */
	assert_int_equal(tree.nodes[0].total.weight, 4150);
	assert_int_equal(tree.nodes[tree.nodes[0].first].total.weight, 4150);
	pa_tree_fini(&tree);
	assert_int_equal(pa_table_build(r, &e, PA_BY_FUNCTION, &t), 0);
	assert_int_equal(t.nr, 3);
	assert_string_equal(pa_text(r, t.rows[0].function), "churn");
	assert_int_equal(t.rows[0].self.weight, 3000);
	assert_string_equal(pa_text(r, t.rows[2].function), "main");
	assert_int_equal(t.rows[2].self.weight, 0);
	assert_int_equal(t.rows[2].total.weight, 4150);
	pa_table_fini(&t);
	assert_int_equal(pa_table_build(r, &e, PA_BY_THREAD, &t), -EINVAL);
	free(entries);
	pa_report_free(r);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, place_setup, place_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(a_whole_recording_adds_up_by_stack),
	    CASE(a_window_has_a_before_and_an_approximate_peak),
	    CASE(a_chunk_counts_by_its_end),
	    CASE(a_quiet_window_has_the_level_it_began_with),
	    CASE(a_shrinking_window_peaks_at_its_start),
	    CASE(parts_of_a_chunk_are_one_moment),
	    CASE(a_peak_that_was_cut_off_is_approximated),
	    CASE(processes_are_told_apart_and_threads_are_whole),
	    CASE(variances_leave_with_their_blocks),
	    CASE(points_are_in_order_and_of_the_window),
	    CASE(cpu_samples_have_a_window_too),
	    CASE(what_is_not_explained_stays_under_unknown),
	    CASE(flipped_bits_do_no_harm),
	    CASE(recordings_of_schema_1_have_no_heap),
	    CASE(a_golden_recording_has_its_heap),
	    CASE(entries_have_what_is_above_nothing),
	    CASE(kinds_are_found_by_name),
	    CASE(trees_and_tables_are_made_of_entries),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
