/* Owners of slots that nobody has ever seen: what a session that names thousands of them costs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "collector/recorder_impl.h"
#include "tests/unit/fake_agent.h"

#define OWNERS 2000
#define PASSES 20

struct fixture {
	struct pa_loop *loop;
	struct pa_recorder *r;
	struct pa_recording_session *rs;
	struct fake_agent agent;
	char path[64];
	uint64_t began_ns;
};

static void idle(void *arg)
{
}

/* One more session, of this very process. */
static struct pa_recording_session *join(struct fixture *f, struct fake_agent *agent)
{
	struct pa_hello hello = {.pid = (uint32_t)getpid(), .tid = (uint32_t)getpid()};
	struct pa_peer peer = {.pid = (uint32_t)getpid(), .pidfd = -1};
	struct pa_grant grant = {.memfd = -1};

	pa_recorder_hello(f->r, &hello, &peer, &grant);
	assert_int_equal(grant.status, PA_CONFIG_OK);
	assert_true(fake_agent_map(agent, grant.memfd, grant.file_size));
	pa_recorder_answered(f->r, true);
	return f->r->sessions;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct pa_recorder_options options = {.command = "test", .period_ns = 1000000, .idle = idle};
	char err[256];

	assert_non_null(f);
	snprintf(f->path, sizeof(f->path), "/tmp/pa-find-%d.pfa", (int)getpid());
	options.path = f->path;
	f->loop = pa_loop_new();
	assert_non_null(f->loop);
	assert_int_equal(pa_recorder_open(f->loop, &options, &f->r, err, sizeof(err)), 0);
	f->rs = join(f, &f->agent);
	f->began_ns = pa_now_ns();
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	fake_agent_unmap(&f->agent);
	assert_int_equal(pa_recorder_finish(f->r, 0), 0);
	pa_loop_free(f->loop);
	unlink(f->path);
	free(f);
	return 0;
}

/* A number that no process has: of one that is gone, or so high that the kernel has not come there. */
static uint32_t nobody(uint32_t i)
{
	uint32_t pid = PA_SESSION_PID_MAX - 1 - i;
	char path[32];

	for (;; pid -= OWNERS) {
		snprintf(path, sizeof(path), "/proc/%u", pid);
		if (access(path, F_OK))
			return pid;
	}
}

static void claim_all(struct fixture *f, uint32_t (*number)(uint32_t i))
{
	for (uint32_t i = 0; i < OWNERS; i++) {
		struct fake_thread t;

		assert_true(fake_claim(&f->agent, &t, number(i), 1, i));
		pa_bump(&t.slot->signal.lost_weight, 1);
		fake_note(&t.hook, pa_now_ns(), i);
	}
}

/* What time allows: neither more processes nor more looks, however often they come. */
static uint64_t allowed(const struct fixture *f)
{
	return PA_UNSEEN_BURST + (pa_now_ns() - f->began_ns) / PA_UNSEEN_NS + 1;
}

static void test_invented_owners_cost_a_bounded_number_of_looks(void **state)
{
	struct fixture *f = *state;
	struct pa_drain_result result;
	uint64_t looks;

	claim_all(f, nobody);
	f->began_ns = pa_now_ns(); /* what was saved up by then is the burst */
	pa_recorder_drain(f->rs, &result);
	looks = f->rs->owners.looks;
	assert_in_range(looks, 1, OWNERS);
	assert_in_range(f->rs->nr_processes, 2, 1 + OWNERS);
	/* again and again: who is known is not looked for */
	for (uint32_t i = 0; i < OWNERS; i++)
		pa_bump(&f->agent.slots[i].signal.lost_weight, 1);
	pa_recorder_drain(f->rs, &result);
	assert_in_range(f->rs->owners.looks, looks, OWNERS);
	/* others each time */
	for (uint32_t pass = 1; pass <= PASSES; pass++) {
		for (uint32_t i = 0; i < OWNERS; i++) {
			pa_store_release(&f->agent.slots[i].signal_in.owner, PA_OWNER(nobody(pass * OWNERS + i), 1));
			pa_bump(&f->agent.slots[i].signal.lost_weight, 1);
		}
		pa_recorder_drain(f->rs, &result);
		assert_true(f->rs->owners.looks <= allowed(f));
		assert_true(f->rs->nr_processes <= 1 + allowed(f));
	}
	assert_true(f->rs->owners.nr_refused > 0 || allowed(f) >= PASSES * OWNERS);
	assert_false(f->rs->over); /* they may have lived */
}

static void test_those_that_end_together_are_ended_by_one_pass(void **state)
{
	struct fixture *f = *state;
	struct pa_drain_result result;
	struct fake_thread t;
	uint32_t nr, live = 0;

	claim_all(f, nobody);
	pa_recorder_drain(f->rs, &result);
	for (struct pa_process *p = f->rs->processes; p; p = p->next)
		if (p->inner_pid != (uint32_t)getpid())
			pa_recorder_gone(p);
	nr = f->rs->nr_gone;
	assert_true(nr >= 1);
	assert_int_equal(f->rs->nr_live, nr + 1);
	/* what they wrote last is read before */
	assert_true(fake_claim(&f->agent, &t, (uint32_t)getpid(), (uint32_t)getpid(), OWNERS));
	fake_note(&t.hook, pa_now_ns(), 1);
	pa_recorder_end_gone(f->rs);
	assert_int_equal(f->rs->nr_gone, 0);
	assert_int_equal(f->rs->nr_live, 1);
	assert_int_equal(f->rs->pass.records, 1);
	for (struct pa_process *p = f->rs->processes; p; p = p->next)
		live += !p->ended;
	assert_int_equal(live, 1);
}

static uint32_t impossible(uint32_t i)
{
	return PA_SESSION_PID_MAX + 1 + i * 1000003u % 1000000000u;
}

static void test_owners_that_cannot_be_end_that_session_only(void **state)
{
	struct fixture *f = *state;
	struct pa_drain_result result;
	struct pa_recording_session *other;
	struct fake_agent agent;
	struct fake_thread t;

	claim_all(f, impossible);
	pa_recorder_drain(f->rs, &result);
	assert_int_equal(f->rs->owners.looks, 0);
	assert_int_equal(f->rs->nr_processes, 1);
	assert_true(f->rs->over);
	assert_int_equal(pa_load_relaxed(&f->agent.control->state), PA_SESSION_ENDED);
	/* nothing more is read of it, and others are */
	assert_true(fake_claim(&f->agent, &t, (uint32_t)getpid(), (uint32_t)getpid(), OWNERS));
	fake_note(&t.hook, pa_now_ns(), 1);
	pa_recorder_drain(f->rs, &result);
	assert_int_equal(result.records, 0);
	other = join(f, &agent);
	assert_ptr_not_equal(other, f->rs);
	assert_true(fake_claim(&agent, &t, (uint32_t)getpid(), (uint32_t)getpid(), 0));
	fake_note(&t.hook, pa_now_ns(), 1);
	pa_recorder_drain(other, &result);
	assert_int_equal(result.records, 1);
	fake_agent_unmap(&agent);
}

/* A slot or two that were overwritten are given up, the session goes on. */
static uint32_t one_in_a_hundred(uint32_t i)
{
	return i % 100 ? (uint32_t)getpid() : impossible(i);
}

static void test_a_few_impossible_owners_end_their_slots_only(void **state)
{
	struct fixture *f = *state;
	struct pa_drain_result result;

	claim_all(f, one_in_a_hundred);
	pa_recorder_drain(f->rs, &result);
	assert_false(f->rs->over);
	assert_int_equal(result.records, OWNERS - OWNERS / 100);
	pa_recorder_drain(f->rs, &result);
	assert_int_equal(f->rs->owners.nr_impossible, OWNERS / 100);
	assert_int_equal(f->rs->owners.looks, 0);
}

/* A forked child is found at once, and costs nothing of what the unseen may. */
static void test_a_child_that_lives_is_found(void **state)
{
	struct fixture *f = *state;
	struct pa_drain_result result;
	struct fake_thread t;
	int pipes[2], status;
	pid_t child;

	assert_int_equal(pipe(pipes), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		char c;

		close(pipes[1]);
		_exit(read(pipes[0], &c, 1) != 0);
	}
	assert_true(fake_claim(&f->agent, &t, (uint32_t)child, (uint32_t)child, 0));
	fake_note(&t.hook, pa_now_ns(), 1);
	pa_recorder_drain(f->rs, &result);
	assert_int_equal(f->rs->nr_processes, 2);
	assert_int_equal(f->rs->processes->pid, child);
	assert_int_equal(f->rs->owners.looks, 1);
	assert_int_equal(f->rs->owners.tokens, PA_UNSEEN_BURST);
	close(pipes[1]);
	assert_int_equal(waitpid(child, &status, 0), child);
	close(pipes[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_invented_owners_cost_a_bounded_number_of_looks, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_those_that_end_together_are_ended_by_one_pass, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_owners_that_cannot_be_end_that_session_only, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_a_few_impossible_owners_end_their_slots_only, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_a_child_that_lives_is_found, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
