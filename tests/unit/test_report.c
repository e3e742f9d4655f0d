/* The model of a recording, its tables and its trees: every expected number was worked out by hand from the recording
 * that begin() and the cases write. */
#include "tests/unit/store_util.h"

#include "common/wire.h"
#include "report/escape.h"
#include "report/model.h"
#include "report/report.h"

#define PERIOD 10000000 /* 100 Hz */

/* One process with one thread, a module with full symbols and frames
 *   1 main (m.c:10)  2 recurse (m.c:30)  3 leaf (i.h:5) inlined into outer (m.c:22)  4 no name  5 main (m.c:11) */
static struct pa_store *begin(struct place *p)
{
	struct pa_store *s = store_begin(p);
	const struct pa_symbol main10 = {"main", "/s/m.c", 10}, main11 = {"main", "/s/m.c", 11};
	const struct pa_symbol recurse = {"recurse", "/s/m.c", 30};
	const struct pa_symbol inlined[] = {{"leaf", "/s/i.h", 5}, {"outer", "/s/m.c", 22}};

	assert_int_equal(pa_store_put_meta(s, "command", "/opt/a b"), 0);
	assert_int_equal(pa_store_put_meta(s, "ended", "2026-01-01T00:00:02Z"), 0);
	assert_int_equal(pa_store_put_meta_u64(s, "period_ns", PERIOD), 0);
	assert_int_equal(
	    pa_store_put_process(
		s, &(struct pa_store_process){.id = 1, .pid = 100, .command = "/opt/a b", .exe = "/opt/a", .how = ""}),
	    0);
	assert_int_equal(
	    pa_store_put_thread(s, &(struct pa_store_thread){.id = 1, .process = 1, .tid = 100, .name = "a"}), 0);
	assert_int_equal(
	    pa_store_put_module(s, &(struct pa_store_module){.id = 1, .path = "/opt/a", .symbols = PA_SYMBOLS_FULL}),
	    0);
	for (uint32_t i = 1; i <= 5; i++)
		assert_int_equal(pa_store_put_frame(s, i, 1, 0x1000 * i, NULL), 0);
	assert_int_equal(pa_store_put_symbols(s, 1, &main10, 1), 0);
	assert_int_equal(pa_store_put_symbols(s, 2, &recurse, 1), 0);
	assert_int_equal(pa_store_put_symbols(s, 3, inlined, 2), 0);
	assert_int_equal(pa_store_put_symbols(s, 5, &main11, 1), 0);
	return s;
}

static void stack(struct pa_store *s, uint32_t id, uint32_t parent, uint32_t frame)
{
	assert_int_equal(pa_store_put_stack(s, id, parent, frame), 0);
}

static void sample(struct pa_store *s, uint32_t thread, uint32_t at, uint32_t weight)
{
	static uint64_t now;
	assert_int_equal(pa_store_add_sample(s, thread, now += 1000, at, weight), 0);
}

static struct pa_report *load(struct place *p, struct pa_store *s)
{
	struct pa_report *r = NULL;
	assert_int_equal(pa_store_close(s, true), 0);
	int err = pa_report_load(p->file, &r, p->err, sizeof(p->err));
	if (err)
		print_error("%s\n", p->err);
	assert_int_equal(err, 0);
	return r;
}

static int table(const struct pa_report *r, enum pa_by by, struct pa_table *t)
{
	const struct pa_entries e = pa_cpu_entries(r);
	return pa_table_build(r, &e, by, t);
}

static int tree(const struct pa_report *r, const struct pa_tree_options *o, struct pa_tree *t)
{
	const struct pa_entries e = pa_cpu_entries(r);
	return pa_tree_build(r, &e, o, t);
}

static const struct pa_row *row(const struct pa_report *r, const struct pa_table *t, const char *function,
				uint32_t line)
{
	const struct pa_row *found = NULL;
	for (size_t i = 0; i < t->nr; i++) {
		if (strcmp(pa_text(r, t->rows[i].function), function) || (line && t->rows[i].line != line))
			continue;
		assert_null(found);
		found = &t->rows[i];
	}
	assert_non_null(found);
	return found;
}

static void expect(const struct pa_row *row, uint64_t self, uint64_t total)
{
	assert_int_equal(row->self.weight, self);
	assert_int_equal(row->total.weight, total);
	assert_int_equal(row->self.ns, self * PERIOD);
	assert_int_equal(row->total.ns, total * PERIOD);
}

static void recursion_counts_a_stack_once(void **state)
{
	struct pa_store *s = begin(*state);
	struct pa_table t;
	stack(s, 1, 0, 1); /* main */
	stack(s, 2, 1, 2); /* main recurse */
	stack(s, 3, 2, 2); /* main recurse recurse */
	stack(s, 4, 3, 1); /* main recurse recurse main */
	sample(s, 1, 2, 3);
	sample(s, 1, 3, 5);
	sample(s, 1, 4, 7);
	sample(s, 1, 1, 1);
	struct pa_report *r = load(*state, s);

	assert_int_equal(table(r, PA_BY_FUNCTION, &t), 0);
	assert_int_equal(t.nr, 2);
	expect(row(r, &t, "main", 0), 1 + 7, 16);
	expect(row(r, &t, "recurse", 0), 3 + 5, 15);
	assert_string_equal(pa_text(r, t.rows[0].function), "main"); /* 8 against 8: the larger total first */
	pa_table_fini(&t);
	pa_report_free(r);
}

static void inlined_frames_are_functions_of_their_own(void **state)
{
	struct pa_store *s = begin(*state);
	struct pa_table t;
	stack(s, 1, 0, 1);
	stack(s, 2, 1, 3); /* main outer leaf */
	stack(s, 3, 2, 2); /* main outer leaf recurse */
	sample(s, 1, 2, 4);
	sample(s, 1, 3, 6);
	struct pa_report *r = load(*state, s);

	assert_int_equal(table(r, PA_BY_FUNCTION, &t), 0);
	assert_int_equal(t.nr, 4);
	expect(row(r, &t, "leaf", 5), 4, 10);
	expect(row(r, &t, "outer", 22), 0, 10);
	expect(row(r, &t, "main", 10), 0, 10);
	expect(row(r, &t, "recurse", 30), 6, 6);
	pa_table_fini(&t);
	pa_report_free(r);
}

static void a_function_names_its_hottest_line_and_lines_are_told_apart(void **state)
{
	struct pa_store *s = begin(*state);
	struct pa_table t;
	stack(s, 1, 0, 1); /* main:10 */
	stack(s, 2, 0, 5); /* main:11 */
	stack(s, 3, 2, 1); /* main:11 main:10 */
	sample(s, 1, 1, 2);
	sample(s, 1, 2, 5);
	sample(s, 1, 3, 1);
	struct pa_report *r = load(*state, s);

	assert_int_equal(table(r, PA_BY_FUNCTION, &t), 0);
	assert_int_equal(t.nr, 1);
	expect(row(r, &t, "main", 11), 8, 8);
	assert_string_equal(pa_text(r, t.rows[0].file), "/s/m.c");
	pa_table_fini(&t);
	assert_int_equal(table(r, PA_BY_LINE, &t), 0);
	assert_int_equal(t.nr, 2);
	expect(row(r, &t, "main", 10), 3, 3);
	expect(row(r, &t, "main", 11), 5, 6);
	pa_table_fini(&t);
	pa_report_free(r);
}

static void modules_count_their_leaves_and_their_stacks(void **state)
{
	struct pa_store *s = begin(*state);
	struct pa_table t;
	assert_int_equal(
	    pa_store_put_module(s, &(struct pa_store_module){.id = 2, .path = "/lib/z", .symbols = PA_SYMBOLS_NONE}),
	    0);
	assert_int_equal(pa_store_put_frame(s, 6, 2, 0x1234, NULL), 0);
	assert_int_equal(pa_store_put_frame(s, 7, 0, PA_FRAME_UNSAMPLED, NULL), 0);
	stack(s, 1, 0, 1);
	stack(s, 2, 1, 6); /* a z */
	stack(s, 3, 2, 2); /* a z a: called back */
	stack(s, 4, 0, 7);
	sample(s, 1, 2, 3);
	sample(s, 1, 3, 4);
	sample(s, 1, 4, 2);
	struct pa_report *r = load(*state, s);

	assert_int_equal(table(r, PA_BY_MODULE, &t), 0);
	assert_int_equal(t.nr, 3);
	assert_string_equal(pa_text(r, r->modules[t.rows[0].module].path), "/opt/a");
	expect(&t.rows[0], 4, 7);
	assert_string_equal(pa_text(r, r->modules[t.rows[1].module].path), "/lib/z");
	expect(&t.rows[1], 3, 7);
	expect(row(r, &t, "[unsampled]", 0), 2, 2);
	pa_table_fini(&t);
	assert_int_equal(table(r, PA_BY_FUNCTION, &t), 0);
	expect(row(r, &t, "z+0x1234", 0), 3, 7);
	pa_table_fini(&t);
	assert_int_equal(r->modules[2].unnamed, 1);
	assert_true(pa_module_is_poor(&r->modules[2]));
	assert_false(pa_module_is_poor(&r->modules[1]));
	pa_report_free(r);
}

static void threads_and_processes_have_their_own_sums_and_periods(void **state)
{
	struct pa_store *s = begin(*state);
	struct pa_table t;
	assert_int_equal(
	    pa_store_put_process(s,
				 &(struct pa_store_process){
				     .id = 2, .pid = 101, .parent = 1, .command = "sh -c x", .exe = "", .how = ""}),
	    0);
	assert_int_equal(
	    pa_store_put_thread(
		s, &(struct pa_store_thread){.id = 2, .process = 1, .tid = 102, .name = "w", .period_ns = 4000000}),
	    0);
	assert_int_equal(
	    pa_store_put_thread(
		s, &(struct pa_store_thread){.id = 3, .process = 2, .tid = 101, .name = "sh", .cpu_ns = 9}),
	    0);
	stack(s, 1, 0, 1);
	stack(s, 2, 1, 2);
	sample(s, 1, 1, 1);
	sample(s, 2, 1, 10); /* at 250 Hz: 40 ms */
	sample(s, 3, 2, 2);
	sample(s, 3, 2, 3);
	struct pa_report *r = load(*state, s);

	assert_int_equal(r->nr_entries, 2); /* process 1 in main (both its threads), process 2 in main recurse */
	assert_int_equal(r->sum.weight, 16);
	assert_int_equal(r->sum.signals, 4);
	assert_int_equal(r->sum.ns, 6 * PERIOD + 40000000);
	assert_int_equal(r->processes[1].sum.ns, PERIOD + 40000000);
	assert_int_equal(r->processes[1].nr_threads, 2);
	assert_int_equal(r->processes[2].sum.weight, 5);
	assert_string_equal(pa_text(r, r->processes[2].comm), "sh");
	assert_int_equal(r->processes[2].parent, 1);
	assert_int_equal(table(r, PA_BY_THREAD, &t), 0);
	assert_int_equal(t.nr, 3);
	assert_int_equal(r->threads[t.rows[0].thread].tid, 101);
	assert_int_equal(t.rows[0].self.ns, 5 * PERIOD);
	assert_int_equal(r->threads[t.rows[1].thread].tid, 102);
	assert_int_equal(t.rows[1].self.ns, 40000000);
	pa_table_fini(&t);
	pa_report_free(r);
}

static void figures_tell_samples_from_what_is_missing(void **state)
{
	struct pa_store *s = begin(*state);
	struct pa_figures f;
	const struct pa_store_process p = {.id = 1,
					   .pid = 100,
					   .command = "/opt/a b",
					   .exe = "",
					   .how = "exit 0",
					   .cpu_ns = 123 * (uint64_t)PERIOD,
					   .agent_ns = PERIOD};
	assert_int_equal(pa_store_put_process(s, &p), 0);
	const uint32_t pseudo[] = {PA_FRAME_TRUNCATED, PA_FRAME_UNSAMPLED, PA_FRAME_SIGNAL_BLOCKED,
				   PA_FRAME_NO_UNWIND_INFO};
	for (uint32_t i = 0; i < 4; i++)
		assert_int_equal(pa_store_put_frame(s, 10 + i, 0, pseudo[i], NULL), 0);
	stack(s, 1, 0, 10); /* [truncated] main */
	stack(s, 2, 1, 1);
	stack(s, 3, 0, 11);
	stack(s, 4, 0, 12);
	stack(s, 5, 0, 13); /* [no unwind info] recurse */
	stack(s, 6, 5, 2);
	sample(s, 1, 2, 2);
	sample(s, 1, 3, 20);
	sample(s, 1, 4, 50);
	sample(s, 1, 6, 1);
	assert_int_equal(pa_store_add_loss(s, 1, "ring full", 4), 0);
	assert_int_equal(pa_store_add_loss(s, 1, "truncated", 2), 0);
	assert_int_equal(pa_store_add_loss(s, 1, "blocked", 50), 0);
	assert_int_equal(pa_store_add_loss(s, 1, "hook ring full", 9), 0);
	assert_int_equal(pa_store_add_loss(s, 0, "no slot", 1), 0);
	struct pa_report *r = load(*state, s);

	pa_figures_get(r, &f);
	assert_int_equal(f.expected, 123);
	assert_int_equal(f.delivered, 53);
	assert_int_equal(f.signals, 3);
	assert_int_equal(f.unsampled, 20);
	assert_int_equal(f.blocked, 50);
	assert_int_equal(f.truncated, 2);
	assert_int_equal(f.lost, 5);
	assert_int_equal(f.accounted_ns, 73 * (uint64_t)PERIOD);
	assert_int_equal(f.kernel_ns, 123 * (uint64_t)PERIOD);
	assert_int_equal(f.agent_ns, PERIOD);
	assert_true(r->clean);
	pa_report_free(r);
}

/* ---- trees ----------------------------------------------------------------------------------------------------------
 */

static char *folded(const struct pa_report *r, bool invert)
{
	const struct pa_report_options o = {.invert = invert};
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);
	assert_int_equal(pa_write_folded(r, &o, f), 0);
	fclose(f);
	return text;
}

static void folded_merges_by_name_and_sorts(void **state)
{
	struct pa_store *s = begin(*state);
	stack(s, 1, 0, 1);
	stack(s, 2, 0, 5); /* main again, from another address */
	stack(s, 3, 1, 3);
	stack(s, 4, 2, 3);
	stack(s, 5, 1, 2);
	sample(s, 1, 4, 1);
	sample(s, 1, 3, 2);
	sample(s, 1, 5, 4);
	sample(s, 1, 2, 8);
	struct pa_report *r = load(*state, s);

	char *text = folded(r, false);
	assert_string_equal(text, "main 8\nmain;outer;leaf 3\nmain;recurse 4\n");
	free(text);
	text = folded(r, true);
	assert_string_equal(text, "leaf;outer;main 3\nmain 8\nrecurse;main 4\n");
	free(text);
	pa_report_free(r);
}

static void several_processes_have_root_frames_and_hostile_names_one_line(void **state)
{
	struct pa_store *s = begin(*state);
	const struct pa_symbol hostile = {"a;b\nc </script> \xE2\x80\xAE", NULL, 0};
	assert_int_equal(
	    pa_store_put_process(s,
				 &(struct pa_store_process){
				     .id = 2, .pid = 7, .parent = 1, .command = "/bin/x;y z", .exe = "", .how = ""}),
	    0);
	assert_int_equal(pa_store_put_thread(s, &(struct pa_store_thread){.id = 2, .process = 2, .tid = 7, .name = ""}),
			 0);
	assert_int_equal(pa_store_put_frame(s, 6, 1, 0x9000, NULL), 0);
	assert_int_equal(pa_store_put_symbols(s, 6, &hostile, 1), 0);
	stack(s, 1, 0, 1);
	stack(s, 2, 1, 6);
	sample(s, 1, 1, 3);
	sample(s, 2, 2, 5);
	struct pa_report *r = load(*state, s);

	char *text = folded(r, false);
	assert_string_equal(text, "a (100);main 3\nx:y (7);main;a:b\\x0ac </script> \\u{202e} 5\n");
	free(text);
	pa_report_free(r);
}

static void what_a_recording_does_not_explain_keeps_its_samples(void **state)
{
	struct pa_store *s = begin(*state);
	assert_int_equal(pa_store_put_frame(s, 9, 0, UINT64_C(0x7f0000001234), NULL), 0);
	assert_int_equal(pa_store_put_frame(s, 10, 0, UINT64_C(0x7f0000005678), "LazyCompile:~f"), 0);
	stack(s, 1, 0, 9);
	stack(s, 2, 0, 10);
	stack(s, 3, 0, 4);
	stack(s, 4, 77777, 88888); /* neither exists */
	stack(s, 5, 5, 1);         /* its own parent */
	stack(s, 6, 4000000000u, 1);
	sample(s, 1, 1, 1);
	sample(s, 1, 2, 2);
	sample(s, 1, 3, 4);
	sample(s, 1, 4, 8);
	sample(s, 1, 5, 16);
	sample(s, 1, 6, 32);
	sample(s, 1, 99, 64);
	struct pa_report *r = load(*state, s);
	struct pa_table t;

	char *text = folded(r, false);
	assert_string_equal(text, "LazyCompile:~f 2\n[jit] 1\n[unknown] 72\na+0x4000 4\nmain 48\n");
	free(text);
	assert_int_equal(table(r, PA_BY_FUNCTION, &t), 0);
	uint64_t sum = 0;
	for (size_t i = 0; i < t.nr; i++)
		sum += t.rows[i].self.weight;
	assert_int_equal(sum, 127);
	expect(row(r, &t, "[unknown]", 0), 72, 72);
	pa_table_fini(&t);
	pa_report_free(r);
}

static void a_stack_without_an_end_is_cut(void **state)
{
	struct pa_store *s = begin(*state);
	const uint32_t deep = PA_REPORT_DEPTH_MAX + 1000;
	for (uint32_t i = 1; i <= deep; i++)
		stack(s, i, i - 1, i % 2 ? 1 : 2);
	sample(s, 1, deep, 3);
	sample(s, 1, deep - 1, 4);
	struct pa_report *r = load(*state, s);
	struct pa_tree t;
	const struct pa_tree_options o = {.language = PA_FOLDED};

	assert_int_equal(tree(r, &o, &t), 0);
	assert_int_equal(t.nr, PA_REPORT_DEPTH_MAX + 1);
	assert_int_equal(t.nodes[0].total.weight, 7);
	pa_tree_fini(&t);
	pa_report_free(r);
}

static void an_empty_recording_is_a_report(void **state)
{
	struct pa_store *s = store_begin(*state);
	struct pa_report *r = load(*state, s);
	struct pa_figures f;
	char *text = folded(r, false);

	assert_string_equal(text, "");
	free(text);
	pa_figures_get(r, &f);
	assert_int_equal(f.expected, 0);
	assert_string_equal(pa_report_name(r), "perfagent");
	pa_report_free(r);
}

static void the_name_of_a_command_is_fit_for_a_file(void **state)
{
	static const char *const names[][2] = {
	    {"/usr/bin/python3 x.py", "python3"}, {"./a.out", "a.out"}, {"../..", "_."}, {"-rf", "_rf"},
	    {"a\x1b[31m\n b", "a__31m_"},         {"/", "_"},
	};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct place *p = *state;
		remove(p->file);
		struct pa_store *s = store_begin(p);
		assert_int_equal(pa_store_put_meta(s, "command", names[i][0]), 0);
		struct pa_report *r = load(p, s);
		assert_string_equal(pa_report_name(r), names[i][1]);
		pa_report_free(r);
	}
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, place_setup, place_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(recursion_counts_a_stack_once),
	    CASE(inlined_frames_are_functions_of_their_own),
	    CASE(a_function_names_its_hottest_line_and_lines_are_told_apart),
	    CASE(modules_count_their_leaves_and_their_stacks),
	    CASE(threads_and_processes_have_their_own_sums_and_periods),
	    CASE(figures_tell_samples_from_what_is_missing),
	    CASE(folded_merges_by_name_and_sorts),
	    CASE(several_processes_have_root_frames_and_hostile_names_one_line),
	    CASE(what_a_recording_does_not_explain_keeps_its_samples),
	    CASE(a_stack_without_an_end_is_cut),
	    CASE(an_empty_recording_is_a_report),
	    CASE(the_name_of_a_command_is_fit_for_a_file),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
