/* Passes over the rings of sessions, in parts: a target that has filled its rings, or lies in them, must not keep the
 * loop from those who knock. One pass of a recording is under way at a time; what has to see all of it ends it. World:
 * plain.
 */
#include "collector/recorder_impl.h"

/* An agent waits 20 ms for its session. */
#define TURN_NS 4000000u

static void add(struct pa_drain_result *sum, const struct pa_drain_result *part)
{
	sum->bytes += part->bytes;
	sum->records += part->records;
	sum->owned += part->owned;
	if (part->fill_permille > sum->fill_permille)
		sum->fill_permille = part->fill_permille;
}

static void begin(struct pa_recording_session *rs)
{
	rs->pass_began_ns = pa_now_ns();
	rs->pass = (struct pa_drain_result){0};
	rs->slots_done = false;
	rs->recorder->open = rs;
	if (!rs->over)
		pa_heaps_look(rs);
}

/* Returns true: the pass is done. */
static bool go_on(struct pa_recording_session *rs, uint64_t until_ns)
{
	struct pa_recorder *r = rs->recorder;
	struct pa_drain_result part;
	bool done = rs->over;

	if (rs->over)
		pa_drain_drop(r->drain);
	r->draining = rs;
	r->recent = NULL;
	if (!done && !rs->slots_done) {
		rs->slots_done = pa_drain_part(r->drain, rs->s, &r->sink, until_ns, &part);
		add(&rs->pass, &part);
	}
	r->recent = NULL;
	if (!done && rs->slots_done)
		done = pa_heaps_play(rs, until_ns, &rs->pass);
	if (done) {
		pa_talks_pass(rs, rs->pass_began_ns);
		r->open = NULL;
	}
	r->draining = NULL;
	r->recent = NULL;
	return done;
}

void pa_recorder_end_pass(struct pa_recorder *r)
{
	if (r->open && !r->draining)
		go_on(r->open, UINT64_MAX);
}

void pa_recorder_drain_once(struct pa_recording_session *rs, struct pa_drain_result *result)
{
	pa_recorder_end_pass(rs->recorder);
	begin(rs);
	go_on(rs, UINT64_MAX);
	*result = rs->pass;
}

void pa_recorder_drain(struct pa_recording_session *rs, struct pa_drain_result *result)
{
	pa_recorder_end_pass(rs->recorder);
	pa_streams_receive(rs);
	pa_recorder_drain_once(rs, result);
}

void pa_recorder_drain_last(struct pa_recording_session *rs, struct pa_drain_result *result)
{
	*result = (struct pa_drain_result){0};
	if (rs->answered)
		pa_recorder_drain(rs, result);
	pa_heaps_losses(rs);
}

static bool drain_part(struct pa_recording_session *rs, uint64_t until_ns)
{
	if (rs->recorder->open != rs) {
		pa_recorder_end_pass(rs->recorder);
		pa_streams_receive(rs);
		begin(rs);
	}
	return go_on(rs, until_ns);
}

/* ---- ends ------------------------------------------------------------------------------------------------------ */

void pa_recorder_gone(struct pa_process *p)
{
	struct pa_recorder *r = p->recorder;

	if (p->ended || p->gone_ns)
		return;
	if (!p->session->answered) {
		pa_recorder_end_process(p, NULL);
		return;
	}
	p->gone_ns = pa_now_ns();
	p->session->nr_gone++;
	pa_recorder_unwatch(p);
	pa_loop_arm(r->loop, &r->drain_timer, 0);
}

/* Ends those that were gone before the latest pass began: all they wrote has been read. Returns false: not all of them,
 * the time is over. */
static bool end_some(struct pa_recording_session *rs, uint64_t until_ns)
{
	if (!rs->nr_gone)
		return true;
	pa_heaps_losses(rs);
	for (struct pa_process *p = rs->processes; p && rs->nr_gone; p = p->next) {
		if (p->ended || !p->gone_ns || p->gone_ns > rs->pass_began_ns)
			continue;
		pa_recorder_end_process(p, NULL);
		if (pa_now_ns() >= until_ns)
			return false;
	}
	return true;
}

void pa_recorder_end_gone(struct pa_recording_session *rs)
{
	struct pa_drain_result result;

	if (!rs->nr_gone)
		return;
	pa_recorder_drain_last(rs, &result);
	end_some(rs, UINT64_MAX);
}

/* ---- turns ----------------------------------------------------------------------------------------------------- */

static bool any_flush_due(const struct pa_recorder *r)
{
	for (const struct pa_recording_session *rs = r->sessions; rs; rs = rs->next)
		if (rs->flush_due)
			return true;
	return false;
}

static void commit_waiting(struct pa_recorder *r)
{
	if (!r->commit_due || any_flush_due(r))
		return;
	r->commit_due = false;
	pa_recorder_store(r, pa_store_commit_begin(r->store));
}

void pa_recorder_commit(struct pa_recorder *r)
{
	bool late = r->commit_due;

	r->commit_due = true;
	if (late || !any_flush_due(r)) {
		r->commit_due = false;
		pa_recorder_store(r, pa_store_commit_begin(r->store));
	}
}

static bool pass_and_ends(struct pa_recording_session *rs, uint64_t until_ns)
{
	struct pa_recorder *r = rs->recorder;

	if (!drain_part(rs, until_ns))
		return false;
	if (rs->pass.fill_permille > r->round_fill)
		r->round_fill = rs->pass.fill_permille;
	if (rs->flush_due) {
		pa_heaps_flush(rs);
		rs->flush_due = false;
		commit_waiting(r);
	}
	if (!end_some(rs, until_ns))
		return false;
	rs->round = r->round + 1;
	return true;
}

bool pa_recorder_turn(struct pa_recorder *r, uint32_t *fill_permille)
{
	uint64_t until_ns = pa_now_ns() + TURN_NS;

	if (r->open && !pass_and_ends(r->open, until_ns))
		return false;
	for (struct pa_recording_session *rs = r->sessions; rs; rs = rs->next) {
		if (!rs->answered || rs->round == r->round + 1)
			continue;
		if (pa_now_ns() >= until_ns || !pass_and_ends(rs, until_ns))
			return false;
	}
	*fill_permille = r->round_fill;
	r->round_fill = 0;
	r->round++;
	return true;
}

void pa_recorder_flush_heaps(struct pa_recording_session *rs)
{
	struct pa_recorder *r = rs->recorder;

	/* in the middle of a pass some events have been played, and others of the same time not yet */
	rs->flush_due = r->open || !drain_part(rs, pa_now_ns() + TURN_NS);
	if (!rs->flush_due)
		pa_heaps_flush(rs);
	else
		pa_loop_arm(r->loop, &r->drain_timer, 0);
}
