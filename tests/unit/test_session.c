/* The memfd a session hands out, what the collector does to it, and the listener that hands it out. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "collector/listener.h"
#include "collector/process.h"
#include "collector/session.h"
#include "tests/unit/fake_agent.h"

static const struct pa_geometry geometry = {.nr_slots = PA_SESSION_SLOTS,
					    .signal_ring_bytes = PA_SESSION_SIGNAL_RING,
					    .hook_ring_bytes = PA_SESSION_HOOK_RING,
					    .period_ns = 10101010};

static int setup(void **state)
{
	struct pa_session *s = NULL;

	assert_int_equal(pa_session_create(&geometry, &s), 0);
	*state = s;
	return 0;
}

static int teardown(void **state)
{
	pa_session_free(*state);
	return 0;
}

static void test_the_file_is_sealed_sized_and_sparse(void **state)
{
	struct pa_session *s = *state;
	struct stat st;

	assert_int_equal(fstat(s->fd, &st), 0);
	assert_int_equal(st.st_size, s->file_size);
	assert_true(st.st_blocks * 512 < 64 * 1024); /* nobody has written but us */
	assert_int_equal(fcntl(s->fd, F_GET_SEALS), F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
	assert_int_equal(ftruncate(s->fd, 4096), -1);
	assert_int_equal(errno, EPERM);
}

static void test_the_control_page_says_where_everything_is(void **state)
{
	struct pa_session *s = *state;
	struct fake_agent a;

	assert_true(fake_agent_map(&a, s->fd, s->file_size));
	assert_int_equal(a.control->magic, PA_WIRE_MAGIC);
	assert_int_equal(a.control->major, PA_WIRE_MAJOR);
	assert_int_equal(a.control->slot_bytes, sizeof(struct pa_slot));
	assert_int_equal(a.control->nr_slots, PA_SESSION_SLOTS);
	assert_int_equal(a.control->file_size, s->file_size);
	assert_int_equal(a.control->period_ns, 10101010);
	assert_int_equal(pa_load_relaxed(&a.control->state), PA_SESSION_SAMPLING);
	assert_int_equal(a.control->rings_offset % 4096, 0);
	assert_int_equal(pa_session_ring_offset(s, 1, true),
			 a.control->rings_offset + 2 * PA_SESSION_SIGNAL_RING + PA_SESSION_HOOK_RING);
	assert_true(pa_session_ring_offset(s, PA_SESSION_SLOTS - 1, true) + PA_SESSION_HOOK_RING == s->file_size);
	fake_agent_unmap(&a);
}

static void test_refuses_geometry_that_cannot_work(void **state)
{
	static const struct pa_geometry wrong[] = {
	    {.nr_slots = 0, .signal_ring_bytes = 65536, .hook_ring_bytes = 32768, .period_ns = 1},
	    {.nr_slots = 1, .signal_ring_bytes = 65535, .hook_ring_bytes = 32768, .period_ns = 1},
	    {.nr_slots = 1, .signal_ring_bytes = 65536, .hook_ring_bytes = 2048, .period_ns = 1},
	    {.nr_slots = 1, .signal_ring_bytes = 65536, .hook_ring_bytes = 32768, .period_ns = 0},
	    {.nr_slots = 1u << 20, .signal_ring_bytes = 65536, .hook_ring_bytes = 32768, .period_ns = 1}};
	struct pa_session *s = NULL;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_int_equal(pa_session_create(&wrong[i], &s), -EINVAL);
}

static void count_slot(void *arg, uint32_t slot)
{
	(*(uint32_t *)arg)++;
}

static void test_slots_nobody_wrote_are_not_visited_nor_allocated(void **state)
{
	struct pa_session *s = *state;
	struct fake_agent a;
	struct fake_thread t;
	struct stat st;
	uint32_t nr = 0;

	pa_session_each_slot(s, count_slot, &nr);
	assert_int_equal(nr, 0);
	assert_true(fake_agent_map(&a, s->fd, s->file_size));
	assert_true(fake_claim(&a, &t, 1, 1, 1000));
	pa_session_each_slot(s, count_slot, &nr);
	assert_int_equal(nr, 4096 / sizeof(struct pa_slot));
	assert_int_equal(fstat(s->fd, &st), 0);
	assert_true(st.st_blocks * 512 <= 4 * 4096);
	fake_agent_unmap(&a);
}

static void test_releases_the_slots_of_a_process_that_is_gone(void **state)
{
	struct pa_session *s = *state;
	struct fake_agent a;
	struct fake_thread one, two, other;

	assert_true(fake_agent_map(&a, s->fd, s->file_size));
	assert_true(fake_claim(&a, &one, 5, 5, 0));
	assert_true(fake_claim(&a, &two, 5, 6, 0));
	assert_true(fake_claim(&a, &other, 6, 6, 0));
	assert_int_equal(pa_session_release_pid(s, 5), 2);
	assert_true(pa_load_relaxed(&one.slot->signal_in.owner) == 0);
	assert_true(pa_load_relaxed(&other.slot->signal_in.owner) == PA_OWNER(6, 6));
	fake_agent_unmap(&a);
}

static void test_arm_list_takes_each_thread_once_and_says_when_it_is_full(void **state)
{
	struct pa_session *s = *state;

	for (uint32_t i = 1; i <= PA_ARM_MAX; i++)
		assert_true(pa_session_arm(s, 1, i));
	assert_int_equal(pa_load_relaxed(&s->control->arm_seq), PA_ARM_MAX);
	assert_true(pa_session_arm(s, 1, 3)); /* is there */
	assert_false(pa_session_arm(s, 1, PA_ARM_MAX + 1));
	pa_store_release(&s->control->arm[7], 0); /* a tick has taken it */
	assert_true(pa_session_arm(s, 1, PA_ARM_MAX + 1));
}

/* ---- the listener ---- */

struct served {
	struct pa_loop *loop;
	struct pa_session *s;
	struct pa_peer peer;
	int hellos, answers;
	struct pa_timer end;
};

static void on_hello(void *arg, const struct pa_hello *hello, struct pa_peer *peer, struct pa_grant *grant)
{
	struct served *served = arg;

	served->hellos++;
	served->peer = *peer;
	grant->status = PA_CONFIG_OK;
	grant->memfd = served->s->fd;
	grant->file_size = served->s->file_size;
}

static void on_answered(void *arg, bool ok)
{
	struct served *served = arg;

	served->answers += ok;
}

static void on_end(struct pa_timer *timer)
{
	pa_loop_stop(timer->arg);
}

static int connect_to(const char *name)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	memcpy(addr.sun_path + 1, name + 1, strlen(name) - 1);
	assert_int_equal(
	    connect(fd, (struct sockaddr *)&addr, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name))),
	    0);
	return fd;
}

/* Lets the listener work for a moment. */
static void serve(struct served *served, uint64_t ns)
{
	served->end = (struct pa_timer){.fn = on_end, .arg = served->loop};
	pa_loop_arm(served->loop, &served->end, ns);
	assert_int_equal(pa_loop_run(served->loop), 0);
}

static struct pa_config ask(struct served *served, const char *name, struct pa_hello hello, size_t len, int *memfd)
{
	union {
		char buf[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	struct pa_config config = {.status = 999};
	struct iovec iov = {&config, sizeof(config)};
	struct msghdr msg = {
	    .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.buf, .msg_controllen = sizeof(control)};
	int fd = connect_to(name);

	assert_int_equal(send(fd, &hello, len, 0), len);
	serve(served, 20000000);
	assert_int_equal(recvmsg(fd, &msg, MSG_CMSG_CLOEXEC), sizeof(config));
	*memfd = -1;
	if (CMSG_FIRSTHDR(&msg))
		memcpy(memfd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(int));
	close(fd);
	return config;
}

static struct pa_hello hello_of_mine(void)
{
	struct pa_hello hello = {.head = {PA_WIRE_MAGIC, PA_WIRE_MAJOR, PA_WIRE_MINOR, sizeof(hello), PA_MSG_HELLO, 0},
				 .pid = (uint32_t)getpid(),
				 .tid = (uint32_t)getpid()};

	return hello;
}

static void test_listener_answers_with_the_file_or_a_reason(void **state)
{
	struct served served = {.s = *state, .loop = pa_loop_new()};
	struct pa_listener_ops ops = {on_hello, on_answered, &served};
	struct pa_hello hello = hello_of_mine();
	struct pa_listener *l = NULL;
	struct pa_config config;
	struct stat st;
	char name[64];
	int memfd;

	snprintf(name, sizeof(name), "@perfagent-test-%d", getpid());
	assert_int_equal(pa_listener_open(served.loop, name, &ops, &l), 0);
	config = ask(&served, name, hello, sizeof(hello), &memfd);
	assert_int_equal(config.status, PA_CONFIG_OK);
	assert_int_equal(pa_wire_check_config(&config, sizeof(config)), 0);
	assert_int_equal(fstat(memfd, &st), 0);
	assert_int_equal(st.st_ino, served.s->inode);
	assert_int_equal(served.peer.pid, getpid());
	assert_int_equal(served.answers, 1);
	close(memfd);

	hello.head.major++;
	config = ask(&served, name, hello, sizeof(hello), &memfd);
	assert_int_equal(config.status, PA_CONFIG_REFUSED_VERSION);
	assert_int_equal(config.head.major, PA_WIRE_MAJOR); /* both are named: ours is here */
	assert_int_equal(memfd, -1);
	hello = hello_of_mine();
	config = ask(&served, name, hello, 40, &memfd);
	assert_int_equal(config.status, PA_CONFIG_REFUSED_BAD);
	assert_int_equal(served.hellos, 1);
	assert_int_equal(pa_listener_rejected(l), 2);
	pa_listener_close(l);
	pa_loop_free(served.loop);
}

static void test_listener_drops_clients_that_say_nothing(void **state)
{
	struct served served = {.s = *state, .loop = pa_loop_new()};
	struct pa_listener_ops ops = {on_hello, on_answered, &served};
	struct pa_listener *l = NULL;
	char name[64], byte;
	int fd;

	snprintf(name, sizeof(name), "@perfagent-test2-%d", getpid());
	assert_int_equal(pa_listener_open(served.loop, name, &ops, &l), 0);
	fd = connect_to(name);
	serve(&served, 200000000);
	assert_int_equal(recv(fd, &byte, 1, 0), -1);
	assert_int_equal(errno, EAGAIN);
	serve(&served, 1500000000);
	assert_int_equal(recv(fd, &byte, 1, 0), 0);
	assert_int_equal(pa_listener_rejected(l), 1);
	close(fd);
	/* and many more than it keeps */
	for (int i = 0; i < 2 * PA_LISTENER_CLIENTS; i++) {
		close(connect_to(name));
		if (i % 64 == 0)
			serve(&served, 5000000);
	}
	assert_int_equal(served.hellos, 0);
	pa_listener_close(l);
	pa_loop_free(served.loop);
}

static void test_listener_refuses_names_it_cannot_use(void **state)
{
	struct pa_loop *loop = pa_loop_new();
	struct pa_listener_ops ops = {on_hello, on_answered, NULL};
	struct pa_listener *l = NULL, *second = NULL;
	char name[200], dir[] = "/tmp/pa-listener-XXXXXX";

	memset(name, 'a', sizeof(name) - 1);
	name[0] = '/';
	name[sizeof(name) - 1] = 0;
	assert_int_equal(pa_listener_open(loop, name, &ops, &l), -ENAMETOOLONG);
	assert_int_equal(pa_listener_open(loop, "", &ops, &l), -EINVAL);
	assert_non_null(mkdtemp(dir));
	snprintf(name, sizeof(name), "%s/s", dir);
	assert_int_equal(pa_listener_open(loop, name, &ops, &l), 0);
	assert_int_equal(pa_listener_open(loop, name, &ops, &second), -EADDRINUSE);
	pa_listener_close(l);
	assert_int_equal(access(name, F_OK), -1);
	rmdir(dir);
	pa_loop_free(loop);
}

/* ---- accounting ---- */

#define PERIOD 10000000u

static void test_missing_periods_are_what_chance_cannot_explain(void **state)
{
	struct pa_process *p = calloc(1, sizeof(*p));
	struct pa_thread *t;

	p->perfmap_fd = -1;
	t = pa_process_add_thread(p, 5);
	assert_ptr_equal(pa_process_thread(p, 5), t);
	t->announced = true;
	t->period_ns = PERIOD;
	t->armed_cpu_ns = p->early_ns = 3 * PERIOD;
	p->nr_armed = 1;
	pa_process_weigh(p, t, 95);
	p->cpu_base_ns = 50 * PERIOD; /* an image before this one */
	p->cpu_ns = 50 * PERIOD + 3 * PERIOD + 96 * PERIOD;
	assert_int_equal(pa_process_missing(p, PERIOD), 0); /* one period is always under way */
	p->cpu_ns += 100 * PERIOD;
	assert_int_equal(pa_process_missing(p, PERIOD), 101);
	t->cpu_ns = 3 * PERIOD + 96 * PERIOD;
	assert_int_equal(pa_thread_missing(t, PERIOD), 0);
	t->cpu_ns = 3 * PERIOD + 120 * PERIOD;
	assert_int_equal(pa_thread_missing(t, PERIOD), 25);
	t->announced = false; /* nobody knows since when */
	assert_int_equal(pa_thread_missing(t, PERIOD), 0);
	pa_process_fini(p);
	free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_the_file_is_sealed_sized_and_sparse, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_the_control_page_says_where_everything_is, setup, teardown),
	    cmocka_unit_test(test_refuses_geometry_that_cannot_work),
	    cmocka_unit_test_setup_teardown(test_slots_nobody_wrote_are_not_visited_nor_allocated, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_releases_the_slots_of_a_process_that_is_gone, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_arm_list_takes_each_thread_once_and_says_when_it_is_full, setup,
					    teardown),
	    cmocka_unit_test_setup_teardown(test_listener_answers_with_the_file_or_a_reason, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_listener_drops_clients_that_say_nothing, setup, teardown),
	    cmocka_unit_test(test_listener_refuses_names_it_cannot_use),
	    cmocka_unit_test(test_missing_periods_are_what_chance_cannot_explain),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
