/* Records of waits for locks, made by hand, through a recorder into a recording and a report. */
#include "tests/unit/lock_util.h"

#include "collector/recorder_impl.h"
#include "report/locks.h"
#include "tests/unit/fake_agent.h"

#define MS UINT64_C(1000000)

struct scene {
	struct pa_loop *loop;
	struct pa_recorder *r;
	struct fake_agent agent;
	struct fake_thread first, second; /* of the program; the first's rings are read first */
	uint64_t start_ns;
	char dir[64], file[80];
	struct pa_report *report;
};

static void quiet_idle(void *arg)
{
}

static int begin(void **state)
{
	struct scene *s = calloc(1, sizeof(*s));
	struct pa_hello hello = {.pid = 77, .tid = 77};
	struct pa_peer peer = {.pidfd = -1};
	struct pa_grant grant = {.memfd = -1};
	char err[300];

	if (!s)
		return -1;
	strcpy(s->dir, "/tmp/pa-locks.XXXXXX");
	if (!mkdtemp(s->dir))
		return -1;
	snprintf(s->file, sizeof(s->file), "%s/t.pfa", s->dir);
	struct pa_recorder_options options = {
	    .path = s->file, .command = "test", .period_ns = MS, .modes = PA_MODE_LOCK, .idle = quiet_idle};
	s->loop = pa_loop_new();
	if (!s->loop || pa_recorder_open(s->loop, &options, &s->r, err, sizeof(err)))
		return -1;
	pa_recorder_hello(s->r, &hello, &peer, &grant);
	if (grant.status != PA_CONFIG_OK || !fake_agent_map(&s->agent, grant.memfd, grant.file_size) ||
	    !fake_claim(&s->agent, &s->first, 77, 77, 0) || !fake_claim(&s->agent, &s->second, 77, 78, 1))
		return -1;
	pa_recorder_answered(s->r, true);
	s->start_ns = pa_now_ns() - 10000 * MS;
	*state = s;
	return 0;
}

static void look(struct scene *s)
{
	struct pa_drain_result result;

	pa_recorder_drain(s->r->sessions, &result);
}

/* Everything ends, and is reported. */
static const struct pa_report_locks *finish(struct scene *s)
{
	char err[300];

	look(s);
	for (struct pa_process *p = s->r->sessions->processes; p; p = p->next)
		pa_recorder_end_process(p, NULL);
	fake_agent_unmap(&s->agent);
	assert_int_equal(pa_recorder_finish(s->r, 0), 0);
	assert_int_equal(pa_report_load(s->file, &s->report, err, sizeof(err)), 0);
	assert_non_null(s->report->locks);
	return s->report->locks;
}

static int end(void **state)
{
	struct scene *s = *state;

	pa_report_free(s->report);
	pa_loop_free(s->loop);
	unlink(s->file);
	rmdir(s->dir);
	free(s);
	return 0;
}

/* At a place of its own for each `place`. */
static void put_wait(struct scene *s, struct fake_thread *t, unsigned ms, uint32_t order, unsigned kind, unsigned place,
		     uint32_t holder)
{
	struct pa_lock_wait *w =
	    fake_begin(&t->hook, PA_REC_LOCK_WAIT, sizeof(*w) + sizeof(uint64_t), s->start_ns + ms * MS);

	assert_non_null(w);
	w->tid = t->tid;
	w->order = order;
	w->address = 0x1000 + 16 * (place % 10);
	w->holder = holder;
	w->kind = (uint16_t)kind;
	w->nr_frames = 1;
	w->frames[0] = 0x100000 + 16 * place;
	pa_ring_commit(&t->hook);
}

/* released 0: it was not seen given back. Units: ms since the start. */
static void put_done(struct scene *s, struct fake_thread *t, uint32_t order, unsigned start, unsigned got,
		     unsigned released, unsigned outcome)
{
	struct pa_lock_done *d =
	    fake_begin(&t->hook, PA_REC_LOCK_DONE, sizeof(*d), s->start_ns + (released ? released : got) * MS);

	assert_non_null(d);
	d->tid = t->tid;
	d->order = order;
	d->start_ns = s->start_ns + start * MS;
	d->got_ns = s->start_ns + got * MS;
	d->released_ns = released ? s->start_ns + released * MS : 0;
	d->outcome = outcome;
	pa_ring_commit(&t->hook);
}

static void waits_of_a_place_add_up(void **state)
{
	struct scene *s = *state;
	const struct pa_report_locks *locks;

	for (uint32_t i = 1; i <= 40; i++) {
		put_wait(s, &s->first, i * 100, i, PA_LOCK_MUTEX, 1, 0);
		put_done(s, &s->first, i, i * 100, i * 100 + i, i * 100 + i + 5,
			 i % 4 ? PA_LOCK_GOT : PA_LOCK_TIMED_OUT);
		if (i % 10 == 0)
			look(s);
	}
	locks = finish(s);
	assert_int_equal(locks->nr_locks, 1);
	assert_int_equal(locks->locks[0]->waits, 40);
	assert_int_equal(locks->locks[0]->timed_out, 10);
	assert_int_equal(locks->locks[0]->total_ns, 40 * 41 / 2 * MS);
	assert_int_equal(locks->locks[0]->max_ns, 40 * MS);
	assert_int_equal(locks->locks[0]->held_ns, 40 * 5 * MS);
	assert_int_equal(locks->locks[0]->held_max_ns, 5 * MS);
	assert_int_equal(locks->locks[0]->slow, 40);
	assert_int_equal(locks->locks[0]->addresses, 1);
	assert_in_range(pa_lock_quantile(locks->locks[0], 500), 20 * MS * 98 / 100, 20 * MS * 102 / 100);
	assert_in_range(pa_lock_quantile(locks->locks[0], 950), 38 * MS * 98 / 100, 38 * MS * 102 / 100);
}

/* The second thread's ring is read after the first's, which waited for it. */
static void who_had_waited_for_it_is_found_in_a_ring_that_is_read_later(void **state)
{
	struct scene *s = *state;
	const struct pa_report_locks *locks;
	uint32_t stack;

	put_wait(s, &s->first, 10, 1, PA_LOCK_MUTEX, 1, 78);
	put_wait(s, &s->second, 1, 1, PA_LOCK_MUTEX, 11, 0);
	put_done(s, &s->second, 1, 1, 9, 30, PA_LOCK_GOT);
	put_done(s, &s->first, 1, 10, 30, 31, PA_LOCK_GOT);
	locks = finish(s);
	assert_int_equal(locks->nr_locks, 2);
	assert_int_equal(locks->locks[0]->total_ns, 20 * MS);
	assert_int_equal(pa_lock_holder(locks->locks[0], &stack), PA_HOLDER_WAITED);
	assert_int_equal(stack, locks->locks[1]->stack);
	assert_int_equal(pa_lock_holder(locks->locks[1], &stack), PA_HOLDER_UNKNOWN);
}

static void put_sample(struct scene *s, struct fake_thread *t, unsigned ms, uint64_t frame)
{
	struct pa_sample *sample = fake_begin(&t->signal, PA_REC_SAMPLE, sizeof(*sample) + 8, s->start_ns + ms * MS);

	assert_non_null(sample);
	sample->tid = t->tid;
	sample->weight = 1;
	sample->nr_frames = 1;
	sample->stop = 0;
	sample->self_ns = 0;
	sample->frames[0] = frame | PA_FRAME_EXACT;
	pa_ring_commit(&t->signal);
}

static void what_the_holder_did_is_in_its_samples_of_that_time(void **state)
{
	struct scene *s = *state;
	const struct pa_report_locks *locks;
	const struct pa_report_frame *frame;
	uint32_t stack;

	for (unsigned ms = 1; ms < 9; ms++)
		put_sample(s, &s->second, ms, 0x700000);
	for (unsigned ms = 11; ms < 15; ms++)
		put_sample(s, &s->second, ms, 0x800000);
	put_sample(s, &s->second, 16, 0x700000);
	look(s);
	put_wait(s, &s->first, 10, 1, PA_LOCK_WRITE, 1, 78);
	put_done(s, &s->first, 1, 10, 30, 31, PA_LOCK_GOT);
	locks = finish(s);
	assert_int_equal(locks->nr_locks, 1);
	assert_int_equal(pa_lock_holder(locks->locks[0], &stack), PA_HOLDER_SAMPLES);
	frame = &s->report->frames[s->report->stacks[stack].frame];
	assert_int_equal(frame->address & 0xffffff, 0x800000);
}

static void what_does_not_end_or_was_refused_is_no_wait(void **state)
{
	struct scene *s = *state;
	const struct pa_report_locks *locks;

	/* left by a jump: the next of that number finds it */
	put_wait(s, &s->first, 1, 1, PA_LOCK_CONDITION, 1, 0);
	put_wait(s, &s->first, 2, 33, PA_LOCK_CONDITION, 1, 0);
	put_done(s, &s->first, 33, 2, 3, 0, PA_LOCK_GOT);
	put_done(s, &s->first, 33, 2, 3, 0, PA_LOCK_GOT);
	put_done(s, &s->first, 1, 1, 3, 0, PA_LOCK_GOT);
	put_wait(s, &s->first, 4, 34, PA_LOCK_MUTEX, 2, 0);
	put_done(s, &s->first, 34, 4, 5, 0, PA_LOCK_REFUSED);
	put_wait(s, &s->first, 6, 35, PA_LOCK_JOIN, 3, 0);
	put_done(s, &s->first, 35, 6, 6, 0, PA_LOCK_GOT);
	/* still on at the end */
	put_wait(s, &s->second, 6, 1, PA_LOCK_SEMAPHORE, 4, 0);
	locks = finish(s);
	assert_int_equal(locks->nr_locks, 2);
	assert_int_equal(locks->locks[0]->kind, PA_LOCK_CONDITION);
	assert_int_equal(locks->locks[0]->waits, 1);
	assert_int_equal(locks->locks[0]->unfinished, 1);
	assert_int_equal(locks->locks[1]->kind, PA_LOCK_SEMAPHORE);
	assert_int_equal(locks->locks[1]->waits, 0);
	assert_int_equal(locks->locks[1]->unfinished, 1);
}

static void locks_are_counted_by_place_and_address(void **state)
{
	struct scene *s = *state;
	const struct pa_report_locks *locks;
	uint32_t order = 0;

	for (unsigned i = 0; i < 30; i++) {
		put_wait(s, &s->first, i, ++order, PA_LOCK_READ, 100 + i % 3, 0);
		put_done(s, &s->first, order, i, i + 1, i + 1, PA_LOCK_GOT);
	}
	locks = finish(s);
	assert_int_equal(locks->nr_locks, 3);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(locks->locks[i]->waits, 10);
		assert_int_equal(locks->locks[i]->addresses, 1);
	}
}

/* ---- rows -------------------------------------------------------------------------------------------------------- */

static void rows_of_locks_come_back_as_a_report(void **state)
{
	struct place *p = *state;
	struct pa_store *s = store_begin(p);
	struct pa_report *r;
	uint32_t stack;

	store_fill(s, 10);
	lock_fill(s);
	assert_int_equal(pa_store_put_meta_u64(s, "lock_slow_ns", LOCK_MS), 0);
	assert_int_equal(pa_store_close(s, true), 0);
	assert_int_equal(pa_report_load(p->file, &r, p->err, sizeof(p->err)), 0);
	assert_non_null(r->locks);
	assert_int_equal(r->locks->nr_locks, 2);
	assert_int_equal(r->locks->locks[0]->waits, 10);
	assert_int_equal(r->locks->locks[0]->total_ns, 168 * LOCK_MS);
	assert_int_equal(r->locks->locks[0]->max_ns, 150 * LOCK_MS);
	assert_int_equal(r->locks->locks[0]->held, 9);
	assert_int_equal(r->locks->locks[0]->slow, 1);
	assert_int_equal(pa_lock_holder(r->locks->locks[0], &stack), PA_HOLDER_WAITED);
	assert_int_equal(r->locks->locks[1]->kind, PA_LOCK_CONDITION);
	assert_int_equal(r->locks->locks[1]->timed_out, 1);
	assert_int_equal(r->locks->locks[1]->unfinished, 1);
	pa_report_free(r);
}

static void a_recording_without_locks_has_none(void **state)
{
	struct place *p = *state;
	struct pa_report *r;

	assert_int_equal(pa_report_load("tests/golden/schema-4.pfa", &r, p->err, sizeof(p->err)), 0);
	assert_null(r->locks);
	pa_report_free(r);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(waits_of_a_place_add_up),
	    CASE(who_had_waited_for_it_is_found_in_a_ring_that_is_read_later),
	    CASE(what_the_holder_did_is_in_its_samples_of_that_time),
	    CASE(what_does_not_end_or_was_refused_is_no_wait),
	    CASE(locks_are_counted_by_place_and_address),
	    cmocka_unit_test_setup_teardown(rows_of_locks_come_back_as_a_report, place_setup, place_teardown),
	    cmocka_unit_test_setup_teardown(a_recording_without_locks_has_none, place_setup, place_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
