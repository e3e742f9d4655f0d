/* The collector's end of attaching, against a child that holds the note and answers as the test tells it to: how it is
 * found, asked, nudged, and left alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <elf.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "remote/agent.h"
#include "remote/agent_note.h"

/* ---- the note of this very program, as the agent's library bears it -------------------------------------------------
 */

extern struct pa_command fake_command;
extern _Atomic uint32_t fake_trigger;
struct pa_command fake_command;
_Atomic uint32_t fake_trigger;

__asm__(".pushsection .note.perfagent, \"a\", @note\n"
	".balign 4\n"
	".long 10, 16, 1\n"
	".asciz \"perfagent\"\n"
	".balign 4\n"
	"1: .long 1, 288\n"
	".quad fake_command - 1b\n"
	".popsection\n");

/* ---- a child that plays the agent -----------------------------------------------------------------------------------
 */

/* Between the test and the child. */
struct stage {
	_Atomic uint32_t ready;
	_Atomic uint32_t sleeps;      /* the child waits in pause() */
	_Atomic uint32_t interrupted; /* ... and was woken */
	_Atomic uint32_t taken;       /* requests worked off */
	_Atomic uint32_t kind;        /* of the last */
	_Atomic int32_t result;       /* to be answered */
	char path[PA_COMMAND_PATH_MAX];
};
static struct stage *stage;

static void take_request(void)
{
	fake_trigger = 0;
	if (fake_command.seq == fake_command.done)
		return;
	stage->kind = fake_command.kind;
	memcpy(stage->path, fake_command.path, sizeof(stage->path));
	fake_command.result = stage->result;
	if (fake_command.kind == PA_COMMAND_ATTACH && !stage->result)
		fake_command.state = PA_AGENT_ATTACHED;
	if (fake_command.kind == PA_COMMAND_DETACH)
		fake_command.state = PA_AGENT_DORMANT;
	stage->taken++;
	fake_command.done = fake_command.seq;
}

static void on_nudge(int sig, siginfo_t *info, void *context)
{
	if (info->si_code != SI_QUEUE || (uint64_t)(uintptr_t)info->si_value.sival_ptr != PA_NUDGE_VALUE)
		return;
	fake_command.nudged++;
	if (fake_trigger == PA_TRIGGER_COMMAND)
		take_request();
}

enum act { ACT_HOOKS, ACT_SPIN, ACT_BLOCKED, ACT_SLEEP };

/* Comes by a hook now and then; or never does, and runs or sleeps. */
static void play(enum act act)
{
	const struct timespec pause_1ms = {.tv_nsec = 1000000};
	struct sigaction action = {.sa_sigaction = on_nudge, .sa_flags = SA_SIGINFO | SA_RESTART};
	sigset_t all;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	fake_command.magic = PA_WIRE_MAGIC;
	fake_command.major = PA_COMMAND_MAJOR;
	fake_command.trigger = (uint64_t)(uintptr_t)&fake_trigger;
	fake_command.nudge = SIGURG;
	fake_command.pid = (uint32_t)getpid();
	fake_command.state = PA_AGENT_DORMANT;
	sigaction(SIGURG, &action, NULL);
	sigfillset(&all);
	if (act == ACT_BLOCKED)
		sigprocmask(SIG_BLOCK, &all, NULL);
	stage->sleeps = act == ACT_SLEEP;
	stage->ready = 1;
	for (;;) {
		if (act == ACT_SLEEP) {
			pause();
			stage->interrupted++;
		}
		if (act != ACT_HOOKS)
			continue;
		nanosleep(&pause_1ms, NULL);
		if (fake_trigger == PA_TRIGGER_COMMAND)
			take_request();
	}
}

static void ms(long n)
{
	const struct timespec t = {.tv_sec = n / 1000, .tv_nsec = n % 1000 * 1000000};

	nanosleep(&t, NULL);
}

static pid_t begin(enum act act)
{
	pid_t pid;

	memset(stage, 0, sizeof(*stage));
	pid = fork();
	if (pid == 0) {
		play(act);
		_exit(0);
	}
	assert_true(pid > 0);
	while (!stage->ready)
		ms(1);
	return pid;
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void find(pid_t pid, struct pa_agent *a)
{
	char why[PA_AGENT_WHY] = "";
	int err = pa_agent_find(pid, a, why, sizeof(why));

	if (err)
		print_error("%s\n", why);
	assert_int_equal(err, 0);
}

/* Steps until it is done, at most for some 2 s. */
static int steps(struct pa_agent *a)
{
	int err = -EINPROGRESS;

	for (int i = 0; i < 1000 && err == -EINPROGRESS; i++) {
		err = pa_agent_step(a);
		ms(2);
	}
	return err;
}

static const struct pa_agent_request attach = {PA_COMMAND_ATTACH, PA_COMMAND_IF_DORMANT, "@somewhere"};
static const struct pa_agent_request detach = {PA_COMMAND_DETACH, 0, NULL};

static int ask(struct pa_agent *a, const struct pa_agent_request *request)
{
	char why[PA_AGENT_WHY];

	return pa_agent_request(a, request, why, sizeof(why));
}

/* A word of the child's memory: the same addresses as ours. */
static void poke(pid_t pid, void *at, uint64_t value, size_t bytes)
{
	struct iovec local = {&value, bytes}, remote = {at, bytes};

	assert_int_equal(process_vm_writev(pid, &local, 1, &remote, 1, 0), (ssize_t)bytes);
}

static uint32_t peek(pid_t pid, void *at)
{
	uint32_t value = 0;
	struct iovec local = {&value, sizeof(value)}, remote = {at, sizeof(value)};

	assert_int_equal(process_vm_readv(pid, &local, 1, &remote, 1, 0), (ssize_t)sizeof(value));
	return value;
}

/* ---- asking ---------------------------------------------------------------------------------------------------------
 */

static void a_hook_takes_a_request_once(void **state)
{
	pid_t pid = begin(ACT_HOOKS);
	struct pa_agent_info info;
	struct pa_agent a;

	find(pid, &a);
	assert_int_equal(pa_agent_read(&a, &info), 0);
	assert_int_equal(info.state, PA_AGENT_DORMANT);
	assert_int_equal(info.uid, getuid());
	assert_false(info.copied);
	assert_int_equal(ask(&a, &attach), 0);
	assert_int_equal(steps(&a), 0);
	assert_int_equal(stage->taken, 1);
	assert_int_equal(stage->kind, PA_COMMAND_ATTACH);
	assert_string_equal(stage->path, "@somewhere");
	assert_int_equal(pa_agent_read(&a, &info), 0);
	assert_int_equal(info.state, PA_AGENT_ATTACHED);
	assert_int_equal(info.writer, getpid());
	assert_int_equal(ask(&a, &detach), 0);
	assert_int_equal(steps(&a), 0);
	assert_int_equal(stage->taken, 2);
	assert_int_equal(ask(&a, &detach), -EALREADY);
	end(pid);
}

static void a_result_is_passed_on(void **state)
{
	pid_t pid = begin(ACT_HOOKS);
	struct pa_agent a;

	find(pid, &a);
	stage->result = -ECONNREFUSED;
	assert_int_equal(ask(&a, &attach), 0);
	assert_int_equal(steps(&a), -ECONNREFUSED);
	/* "ask again" is done here, until there is another answer */
	stage->result = -EAGAIN;
	assert_int_equal(ask(&a, &attach), 0);
	for (int i = 0; i < 1000 && stage->taken < 4; i++) {
		assert_int_equal(pa_agent_step(&a), -EINPROGRESS);
		ms(2);
	}
	stage->result = 0;
	assert_int_equal(steps(&a), 0);
	assert_true(stage->taken >= 5);
	end(pid);
}

static void a_thread_that_runs_is_nudged(void **state)
{
	pid_t pid = begin(ACT_SPIN);
	struct pa_agent a;

	find(pid, &a);
	assert_int_equal(ask(&a, &attach), 0);
	assert_int_equal(steps(&a), 0);
	assert_int_equal(a.nudges, 1);
	assert_int_equal(stage->taken, 1);
	end(pid);
}

static void a_thread_that_sleeps_is_left_alone(void **state)
{
	pid_t pid = begin(ACT_SLEEP);
	struct pa_agent a;

	find(pid, &a);
	ms(20);
	assert_int_equal(ask(&a, &attach), 0);
	for (int i = 0; i < 400; i++) {
		assert_int_equal(pa_agent_step(&a), -EINPROGRESS);
		ms(1);
	}
	assert_int_equal(a.nudges, 0);
	assert_int_equal(stage->interrupted, 0);
	assert_true(pa_agent_pause_ns(&a) > PA_AGENT_STEP_NS);
	assert_int_equal(pa_agent_withdraw(&a), 0);
	assert_int_equal(peek(pid, (void *)&fake_trigger), 0);
	assert_int_equal(peek(pid, (void *)&fake_command.seq), peek(pid, (void *)&fake_command.done));
	end(pid);
}

static void a_thread_that_blocks_the_signal_is_not_nudged(void **state)
{
	pid_t pid = begin(ACT_BLOCKED);
	struct pa_agent a;

	find(pid, &a);
	assert_int_equal(ask(&a, &attach), 0);
	for (int i = 0; i < 300; i++) {
		assert_int_equal(pa_agent_step(&a), -EINPROGRESS);
		ms(1);
	}
	assert_int_equal(a.nudges, 0);
	end(pid);
}

static void a_request_of_somebody_who_is_gone_is_replaced(void **state)
{
	pid_t pid = begin(ACT_SLEEP), gone;
	struct pa_agent a;

	find(pid, &a);
	assert_int_equal(ask(&a, &attach), 0);
	gone = fork();
	if (gone == 0)
		_exit(0);
	assert_int_equal(waitpid(gone, NULL, 0), gone);
	poke(pid, &fake_command.writer, (uint64_t)gone, 4);
	assert_int_equal(pa_agent_step(&a), -ECANCELED);
	assert_int_equal(ask(&a, &attach), 0);
	assert_int_equal(pa_agent_step(&a), -EINPROGRESS);
	end(pid);
	assert_int_equal(pa_agent_step(&a), -ESRCH);
	assert_int_equal(pa_agent_withdraw(&a), -ESRCH);
}

static void states_that_cannot_be_attached_to(void **state)
{
	pid_t pid = begin(ACT_HOOKS);
	struct pa_agent_info info;
	char why[PA_AGENT_WHY];
	struct pa_agent a;

	find(pid, &a);
	poke(pid, (void *)&fake_command.state, PA_AGENT_LOADING, 4);
	assert_int_equal(ask(&a, &attach), -EAGAIN);
	poke(pid, (void *)&fake_command.state, PA_AGENT_QUIET, 4);
	assert_int_equal(ask(&a, &attach), -ENOTSUP);
	poke(pid, (void *)&fake_command.state, PA_AGENT_DISABLED, 4);
	assert_int_equal(ask(&a, &attach), -ENOTSUP);
	poke(pid, (void *)&fake_command.state, PA_AGENT_DORMANT, 4);
	poke(pid, (void *)&fake_command.pid, 1, 4);
	assert_int_equal(pa_agent_read(&a, &info), 0);
	assert_true(info.copied);
	assert_int_equal(stage->taken, 0);
	/* what is not an agent's any more is not written to */
	poke(pid, &fake_command.magic, 0x1234, 4);
	assert_int_equal(ask(&a, &attach), -ESRCH);
	poke(pid, &fake_command.magic, PA_WIRE_MAGIC, 4);
	poke(pid, &fake_command.major, 9, 4);
	assert_int_equal(ask(&a, &attach), -EPROTONOSUPPORT);
	assert_int_equal(pa_agent_find(pid, &a, why, sizeof(why)), -EPROTONOSUPPORT);
	poke(pid, &fake_command.major, PA_COMMAND_MAJOR, 4);
	poke(pid, &fake_command.trigger, 0x1000, 8);
	assert_int_equal(pa_agent_find(pid, &a, why, sizeof(why)), -EBADMSG);
	end(pid);
}

static void no_other_signal_is_ever_sent(void **state)
{
	struct pa_command c = {.magic = PA_WIRE_MAGIC, .major = PA_COMMAND_MAJOR, .state = PA_AGENT_DORMANT};
	struct pa_agent_info info;

	for (uint32_t sig = 0; sig < 70; sig++) {
		c.nudge = sig;
		pa_agent_inform(&c, 1, &info);
		assert_int_equal(info.nudge, sig == SIGURG || sig == SIGWINCH ? sig : 0);
	}
}

static void processes_without_an_agent(void **state)
{
	char why[PA_AGENT_WHY];
	struct pa_agent a;
	pid_t zombie = fork();

	if (zombie == 0)
		_exit(0);
	ms(50);
	assert_int_equal(pa_agent_find(zombie, &a, why, sizeof(why)), -ESRCH);
	waitpid(zombie, NULL, 0);
	assert_int_equal(pa_agent_find(zombie, &a, why, sizeof(why)), -ESRCH);
	assert_int_equal(pa_agent_find(getpid(), &a, why, sizeof(why)), -EINVAL);
	assert_int_equal(pa_agent_find(2, &a, why, sizeof(why)), -EINVAL);
}

static int note_pid(void *arg, const struct pa_agent *a, const struct pa_agent_info *info)
{
	return a->pid == *(pid_t *)arg ? 7 : 0;
}

static void all_agents_are_visited(void **state)
{
	pid_t pid = begin(ACT_SLEEP), none = -1;

	assert_int_equal(pa_agent_each(note_pid, &pid, NULL), 7);
	assert_int_equal(pa_agent_each(note_pid, &none, NULL), 0);
	end(pid);
}

/* ---- the note -------------------------------------------------------------------------------------------------------
 */

struct image {
	Elf64_Ehdr ehdr;
	Elf64_Phdr phdr[3];
	struct {
		Elf64_Nhdr head;
		char name[12];
		struct pa_agent_note note;
	} other, ours;
	char data[512];
};

static int read_image(void *arg, uint64_t address, void *out, size_t bytes)
{
	if (address < 0x10000 || address - 0x10000 > sizeof(struct image) ||
	    bytes > sizeof(struct image) - (address - 0x10000))
		return -EFAULT;
	memcpy(out, (char *)arg + (address - 0x10000), bytes);
	return 0;
}

static void make_image(struct image *i)
{
	*i = (struct image){
	    .ehdr = {.e_phoff = offsetof(struct image, phdr), .e_phnum = 3, .e_phentsize = sizeof(Elf64_Phdr)},
	    .phdr = {{.p_type = PT_LOAD, .p_flags = PF_R, .p_filesz = sizeof(*i), .p_memsz = sizeof(*i)},
		     {.p_type = PT_LOAD,
		      .p_flags = PF_R | PF_W,
		      .p_offset = offsetof(struct image, data),
		      .p_vaddr = offsetof(struct image, data),
		      .p_memsz = sizeof(i->data)},
		     {.p_type = PT_NOTE,
		      .p_vaddr = offsetof(struct image, other),
		      .p_filesz = 2 * sizeof(i->ours),
		      .p_memsz = 2 * sizeof(i->ours)}},
	    .other = {.head = {10, 16, 1}, .name = "perfAGENT"},
	    .ours = {.head = {10, 16, PA_NOTE_COMMAND},
		     .name = PA_NOTE_OWNER,
		     .note = {PA_COMMAND_MAJOR, sizeof(struct pa_command),
			      (int64_t)offsetof(struct image, data) - (int64_t)offsetof(struct image, ours.note)}}};
	memcpy(i->ehdr.e_ident, ELFMAG, SELFMAG);
	i->ehdr.e_ident[EI_CLASS] = ELFCLASS64;
	i->ehdr.e_ident[EI_DATA] = ELFDATA2LSB;
}

static int look(struct image *i, struct pa_note_found *found)
{
	return pa_note_find(0x10000, read_image, i, found);
}

static void a_note_is_found_and_bounded(void **state)
{
	struct pa_note_found found;
	struct image i;

	make_image(&i);
	assert_int_equal(look(&i, &found), 0);
	assert_int_equal(found.command, 0x10000 + offsetof(struct image, data));
	assert_true(pa_note_holds(&found, found.command, 4));
	assert_false(pa_note_holds(&found, found.command + 1, 4));
	assert_false(pa_note_holds(&found, found.command - 4, 4));
	assert_true(pa_note_holds(&found, found.data_end - 4, 4));
	assert_false(pa_note_holds(&found, found.data_end, 4));
	i.ours.note.command += 512 - (int64_t)sizeof(struct pa_command) + 8;
	assert_int_equal(look(&i, &found), -EBADMSG);
	i.ours.note.command -= 8;
	assert_int_equal(look(&i, &found), 0);
	i.ours.note.command = -(int64_t)offsetof(struct image, ours.note); /* the header: not writable */
	assert_int_equal(look(&i, &found), -EBADMSG);
	i.ours.note.command = INT64_MAX;
	assert_int_equal(look(&i, &found), -EBADMSG);
}

static void notes_that_are_none(void **state)
{
	struct pa_note_found found;
	struct image i;

	make_image(&i);
	i.ours.note.major = 2;
	assert_int_equal(look(&i, &found), -EPROTONOSUPPORT);
	assert_int_equal(found.major, 2);
	make_image(&i);
	i.ours.note.size = sizeof(struct pa_command) - 1;
	assert_int_equal(look(&i, &found), -EBADMSG);
	make_image(&i);
	i.other.head.n_descsz = UINT32_MAX;
	assert_int_equal(look(&i, &found), -ENOENT);
	make_image(&i);
	i.phdr[2].p_vaddr = UINT64_MAX - 8;
	assert_int_equal(look(&i, &found), -ENOENT);
	make_image(&i);
	i.ehdr.e_phnum = 65535;
	assert_int_equal(look(&i, &found), -ENOENT);
	make_image(&i);
	i.ehdr.e_ident[EI_CLASS] = ELFCLASS32;
	assert_int_equal(look(&i, &found), -ENOENT);
	assert_int_equal(pa_note_find(0x20000, read_image, &i, &found), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_hook_takes_a_request_once),
	    cmocka_unit_test(a_result_is_passed_on),
	    cmocka_unit_test(a_thread_that_runs_is_nudged),
	    cmocka_unit_test(a_thread_that_sleeps_is_left_alone),
	    cmocka_unit_test(a_thread_that_blocks_the_signal_is_not_nudged),
	    cmocka_unit_test(a_request_of_somebody_who_is_gone_is_replaced),
	    cmocka_unit_test(states_that_cannot_be_attached_to),
	    cmocka_unit_test(no_other_signal_is_ever_sent),
	    cmocka_unit_test(processes_without_an_agent),
	    cmocka_unit_test(all_agents_are_visited),
	    cmocka_unit_test(a_note_is_found_and_bounded),
	    cmocka_unit_test(notes_that_are_none),
	};

	stage = mmap(NULL, sizeof(*stage), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	return stage == MAP_FAILED ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
