#include "remote/inject.h"

#include <dlfcn.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>

#include "collector/loop.h"
#include "collector/modules.h"
#include "collector/proc.h"
#include "remote/access.h"
#include "remote/agent.h"
#include "remote/call.h"
#include "remote/inject_note.h"
#include "remote/safe.h"
#include "remote/snapshot.h"
#include "remote/stop.h"
#include "remote/walk.h"

#define STACK_BYTES   (512u << 10) /* of the call */
#define CALL_LIMIT_NS 2000000000u
#define PAUSE_MIN_NS  200000u
#define PAUSE_MAX_NS  5000000u
#define STACK_COPY    (8u << 10)
#define NR_CODES      4
#define CODE_BYTES    16
#define CODE_CHUNK    (256u << 10)

struct attempt {
	struct pa_injection *in;
	struct pa_walker *walker;
	struct pa_safety safety;
	struct pa_call_site site;
	uint64_t dlopen, errno_location;
	uint64_t base;                      /* of the library; 0: it is to be loaded */
	unsigned called;                    /* functions so far */
	uint8_t code[NR_CODES][CODE_BYTES]; /* see read_code */
	int bell;                           /* of struct pa_call */
	pid_t inner_pid;
	unsigned seen[PA_UNSAFE_VERDICTS]; /* threads, over all tries */
	int error;
};

static int decline(struct pa_injection *in, int error, const char *format, ...) __attribute__((format(printf, 3, 4)));

static int decline(struct pa_injection *in, int error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(in->why, sizeof(in->why), format, args);
	va_end(args);
	return error;
}

/* ---- before anything is stopped -------------------------------------------------------------------------------------
 */

struct search {
	ino_t inode;
	const char *name;
	uint64_t address; /* 0: by inode and name */
	uint64_t base;    /* of the file looked at */
};

/* 1: this is it, and base its first mapping. */
static int look_at_map(void *arg, const struct pa_proc_map *map)
{
	const char *slash = strrchr(map->path, '/');
	struct search *search = arg;

	if (map->path[0] == '/' && map->offset == 0)
		search->base = map->start;
	if (search->address)
		return search->address >= map->start && search->address < map->end;
	return map->offset == 0 && map->inode == search->inode && slash && !strcmp(slash + 1, search->name);
}

/* Whether the target has the library mapped, and where. Errors: -errno; -ENOENT: it does not see the file at all. */
static int find_library(const struct pa_injection *in, uint64_t *base)
{
	const char *slash = strrchr(in->library, '/');
	struct search search = {0};
	char path[4352];
	struct stat st;
	int found;

	snprintf(path, sizeof(path), "/proc/%d/root%s", (int)in->pid, in->library);
	if (!slash || in->library[0] != '/' || stat(path, &st))
		return -ENOENT;
	search.inode = st.st_ino;
	search.name = slash + 1;
	found = pa_proc_maps((uint32_t)in->pid, look_at_map, &search);
	*base = found == 1 ? search.base : 0;
	return found;
}

/* An agent that is there already may be another file than the one we would load, after an upgrade. */
static int find_agent(struct pa_injection *in, uint64_t *base)
{
	struct pa_agent agent;
	struct search search = {0};
	int error = pa_agent_find(in->pid, &agent, in->why, sizeof(in->why));

	if (error == -EPROTONOSUPPORT)
		return -EEXIST;
	if (error)
		return error == -ENOENT ? 0 : error;
	search.address = agent.command;
	if (pa_proc_maps((uint32_t)in->pid, look_at_map, &search) != 1)
		return decline(in, -ESRCH, "it has just ended");
	*base = search.base;
	return 1;
}

/* What stands behind a name of /proc/PID/status. */
static bool status_line(pid_t pid, const char *name, char *out, size_t size)
{
	char path[64], line[512];
	bool found = false;
	FILE *in;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	in = fopen(path, "re");
	while (in && !found && fgets(line, sizeof(line), in))
		found = !strncmp(line, name, strlen(name));
	if (in)
		fclose(in);
	snprintf(out, size, "%s", found ? line + strlen(name) : "");
	return found;
}

static bool has_shadow_stack(pid_t pid)
{
	char features[256];

	return status_line(pid, "x86_Thread_features:", features, sizeof(features)) && strstr(features, "shstk");
}

/* A signal that does nothing here: its default is to be ignored, and the program has no handler for it. */
static int choose_bell(pid_t pid)
{
	static const int candidates[] = {SIGURG, SIGWINCH, SIGCHLD};
	unsigned long long caught;
	char line[64];

	if (!status_line(pid, "SigCgt:", line, sizeof(line)) || sscanf(line, "%llx", &caught) != 1)
		return 0;
	for (size_t i = 0; i < sizeof(candidates) / sizeof(candidates[0]); i++)
		if (!(caught >> (candidates[i] - 1) & 1))
			return candidates[i];
	return 0;
}

/* Whether it is there already. Errors: 0, or why it cannot be loaded or need not be. */
static int check_library(struct attempt *a)
{
	struct pa_injection *in = a->in;
	int found = in->order ? find_agent(in, &a->base) : 0;

	if (found)
		return found < 0 ? found : 0;
	found = find_library(in, &a->base);
	if (found == -ENOENT)
		return decline(in, -ENOENT, "it does not see %s (another mount namespace or root?)", in->library);
	if (found == 1 && !in->order)
		return decline(in, -EEXIST, "%s is loaded already", in->library);
	if (found < 0)
		pa_access_explain(in->pid, found, in->why, sizeof(in->why));
	return found < 0 ? found : 0;
}

static int check_target(struct attempt *a)
{
	struct pa_injection *in = a->in;
	struct pa_proc_status status;
	int error = pa_access_check(in->pid, in->why, sizeof(in->why));

	if (error)
		return error;
	error = pa_proc_status((uint32_t)in->pid, &status);
	if (error)
		return decline(in, -ESRCH, "it has just ended");
	if (status.seccomp)
		return decline(in, -ENOTSUP,
			       "it has a seccomp filter, which may end it for a system call of the loader");
	if (status.state == 'T')
		return decline(in, -EAGAIN, "it is stopped: nothing can be called until it continues");
	if (has_shadow_stack(in->pid))
		return decline(in, -ENOTSUP, "it runs with a shadow stack, which a call from outside would not pass");
	a->bell = choose_bell(in->pid);
	a->inner_pid = (pid_t)status.inner_pid;
	return check_library(a);
}

/* The code of libc, read from the target itself. */
static void find_call_site(struct attempt *a)
{
	const struct pa_walker_module *m = &a->safety.libc_module;
	uint8_t *code = malloc(CODE_CHUNK);

	/* chunks overlap: what is looked for has some bytes */
	for (uint64_t at = m->start; code && at < m->end && !(a->site.sigreturn && a->site.syscall_return);
	     at += CODE_CHUNK - 16) {
		size_t len = m->end - at < CODE_CHUNK ? (size_t)(m->end - at) : CODE_CHUNK;

		if (pa_unwind_read_process(a->in->pid, at, code, len) == 0)
			pa_arch_call_site(&a->site, code, len, at);
	}
	free(code);
}

/* The code that is to be run, as it stands now: a program that executes another one has it elsewhere, or not at all. */
static int read_code(const struct attempt *a, uint8_t out[NR_CODES][CODE_BYTES])
{
	const uint64_t at[NR_CODES] = {a->site.sigreturn, a->site.syscall_return, a->dlopen, a->errno_location};
	int error = 0;

	for (size_t i = 0; i < NR_CODES && !error; i++)
		error = pa_unwind_read_process(a->in->pid, at[i], out[i], CODE_BYTES);
	return error;
}

static int learn(struct attempt *a)
{
	static const char *const names[] = {"dlopen", "__errno_location", NULL};
	struct pa_injection *in = a->in;
	struct pa_span found[2];
	int error;

	a->walker = pa_walker_new(in->pid, false);
	if (!a->walker) {
		error = -errno;
		pa_access_explain(in->pid, error, in->why, sizeof(in->why));
		return error;
	}
	if (pa_safety_learn(&a->safety, a->walker))
		return decline(in, -ENOTSUP, "it has no loader and no glibc (a static program, or another libc)");
	if (pa_symbols_find(&a->safety.libc_module, names, found) < 2)
		return decline(in, -ENOTSUP, "its libc has no dlopen (glibc older than 2.34)");
	a->dlopen = found[0].start;
	a->errno_location = found[1].start;
	find_call_site(a);
	if (!a->site.sigreturn || !a->site.syscall_return)
		return decline(in, -ENOTSUP,
			       "calls from outside are not possible on this processor, or with this libc");
	if (read_code(a, a->code))
		return decline(in, -ESRCH, "it has just ended");
	return 0;
}

/* Walks every stack once while the process runs: what the unwinder has to read from files is read before the stops. */
static void warm_up(struct attempt *a)
{
	struct pa_snapshot snapshot;
	struct pa_walk walk;

	if (pa_snapshot_take(&snapshot, a->in->pid) == 0)
		for (size_t i = 0; i < snapshot.nr; i++)
			if (snapshot.threads[i].hold == PA_HOLD_STOPPED && !snapshot.threads[i].error)
				pa_walker_walk(a->walker, &snapshot.threads[i].registers, &snapshot.threads[i].stack,
					       &walk);
	if (snapshot.stopped_ns > a->in->pause_max_ns)
		a->in->pause_max_ns = snapshot.stopped_ns;
	a->in->pause_sum_ns += snapshot.stopped_ns;
	pa_snapshot_free(&snapshot);
}

/* ---- one try --------------------------------------------------------------------------------------------------------
 */

static enum pa_verdict_of_thread judge(struct attempt *a, const struct pa_stopped *t)
{
	struct pa_stack_copy copy;
	struct pa_walk walk;

	/* not stopped: it sleeps where nothing can wake it, maybe below the loader */
	if (t->hold != PA_HOLD_STOPPED || t->error)
		return PA_UNSAFE_KERNEL;
	/* one read instead of one for each word; what lies beyond is read as it is */
	if (pa_stack_copy(&copy, t->tid, pa_registers_sp(&t->registers), STACK_COPY))
		return PA_UNSAFE_UNKNOWN;
	pa_walker_walk(a->walker, &t->registers, &copy, &walk);
	pa_stack_copy_free(&copy);
	return pa_safety_judge(&a->safety, &t->registers, &walk);
}

/* The best one is one that does not wait for a time, which would begin anew. */
static bool is_better(const struct pa_stopped *t, const struct pa_stopped *chosen)
{
	return !chosen || (pa_registers_timed(&chosen->registers) && !pa_registers_timed(&t->registers));
}

/* Whether the thread can go on with the wait that it is in after it has made other calls; with these registers. */
static bool can_go_on(const struct pa_stopped *t, struct pa_registers *with)
{
	uint8_t code[PA_REMOTE_CALL_BYTES];

	*with = t->registers;
	return !pa_registers_timed(with) ||
	       (!pa_unwind_read_process(t->tid, pa_registers_pc(with) - sizeof(code), code, sizeof(code)) &&
		pa_registers_begin_anew(with, code));
}

/* The thread that is to call; NULL: none can now. One that is inside the loader, or may be, rules out all. */
static struct pa_stopped *choose(struct attempt *a, struct pa_stopping *stop)
{
	struct pa_stopped *chosen = NULL;
	struct pa_registers with, chosen_with = {0};
	bool loader_busy = false;

	for (size_t i = 0; i < stop->nr; i++) {
		struct pa_stopped *t = &stop->threads[i];
		enum pa_verdict_of_thread verdict;

		if (t->hold == PA_HOLD_GONE)
			continue;
		verdict = judge(a, t);
		a->seen[verdict]++;
		loader_busy = loader_busy || verdict == PA_UNSAFE_LOADER || t->hold != PA_HOLD_STOPPED || t->error;
		if (verdict == PA_SAFE && !t->signal && is_better(t, chosen) && can_go_on(t, &with)) {
			chosen = t;
			chosen_with = with;
		}
	}
	if (loader_busy || !chosen)
		return NULL;
	chosen->registers = chosen_with;
	return chosen;
}

/* What is copied to the target. */
struct luggage {
	struct pa_inject_order order;
	char path[PATH_MAX];
};

static int give_order(struct attempt *a, struct pa_call *call)
{
	struct pa_injection *in = a->in;
	int error = pa_inject_note_find(in->pid, a->base, &call->function);

	if (error)
		return decline(in, error == -ENOENT ? -ENOEXEC : error, "%s is no agent that can be injected: %s",
			       in->library, strerror(-error));
	call->arguments[0] = call->data_at;
	return 1;
}

static int read_answer(struct attempt *a, const struct pa_call *call)
{
	struct pa_injection *in = a->in;
	int error = pa_unwind_read_process(in->pid, call->data_at, &in->answer, sizeof(in->answer));

	if (error)
		return decline(in, error, "what its agent answered cannot be read: %s", strerror(-error));
	if (in->answer.result > 0 || in->answer.result < -4095)
		return decline(in, -EPROTO, "its agent answered nonsense");
	if (in->answer.result == -EALREADY)
		return decline(in, -EALREADY, "it was started with the agent");
	if (in->answer.result)
		return decline(in, in->answer.result, "its agent could not put itself in front of libc: %s",
			       strerror(-in->answer.result));
	return 0;
}

/* dlopen, unless it is loaded; the order, if there is one; its answer. */
static int next_call(void *arg, struct pa_call *call)
{
	struct attempt *a = arg;
	struct pa_injection *in = a->in;

	switch (a->called++) {
	case 0:
		if (!a->base) {
			call->function = a->dlopen;
			call->arguments[0] = call->data_at + offsetof(struct luggage, path);
			call->arguments[1] = RTLD_NOW;
			return 1;
		}
		a->called++;
		return give_order(a, call);
	case 1:
		if (find_library(in, &a->base) != 1)
			return decline(in, -ENOEXEC, "its loader would not load %s", in->library);
		in->loaded = true;
		return in->order ? give_order(a, call) : 0;
	default:
		return read_answer(a, call);
	}
}

static int call_functions(struct attempt *a, struct pa_stopped *t)
{
	struct pa_injection *in = a->in;
	struct luggage luggage = {.order = {.magic = PA_WIRE_MAGIC, .kind = in->order}};
	struct pa_call call = {.tid = t->tid,
			       .registers = t->registers,
			       .site = &a->site,
			       .bell = a->bell,
			       .inner_pid = a->inner_pid,
			       .errno_location = a->errno_location,
			       .data = &luggage,
			       .data_bytes = sizeof(luggage),
			       .next = next_call,
			       .arg = a,
			       .stack_bytes = STACK_BYTES,
			       .limit_ns = CALL_LIMIT_NS};
	struct pa_proc_status status;
	uint8_t code[NR_CODES][CODE_BYTES];
	int error;

	/* it stands: what is true now stays so */
	if (read_code(a, code) || memcmp(code, a->code, sizeof(code)))
		return decline(in, -ESRCH, "it executes another program by now");
	if (pa_proc_status((uint32_t)t->tid, &status))
		call.bell = 0; /* it has been killed meanwhile */
	else
		call.inner_tid = (pid_t)status.inner_pid;
	strcpy(luggage.path, in->library); /* its length was looked at */
	a->called = 0;
	in->why[0] = 0;
	error = pa_call_run(&call);
	t->hold = PA_HOLD_FREE;
	in->tid = t->tid;
	in->called_ns = call.called_ns;
	if (!error || in->why[0])
		return error;
	switch (error) {
	case -ETIMEDOUT:
		return decline(in, error, "thread %d is loading %s for two seconds already, and was left to it",
			       (int)t->tid, in->library);
	case -EFAULT:
		return decline(in, error, "%s died of signal %d while it was loaded", in->library, call.signal);
	case -ESRCH:
		return decline(in, error, "it ended while %s was loaded", in->library);
	default:
		return decline(in, error, "thread %d could not be made to call: %s", (int)t->tid, strerror(-error));
	}
}

/* Errors: -EAGAIN: no safe thread now; all else is the end of it. */
static int try_once(struct attempt *a)
{
	struct pa_injection *in = a->in;
	struct pa_stopped *chosen = NULL;
	struct pa_stopping stop;
	uint64_t pause;
	int error = pa_stop_all(&stop, in->pid, PA_STOP_LIMIT_NS);

	in->tries++;
	if (!error)
		chosen = choose(a, &stop);
	for (size_t i = 0; i < stop.nr; i++)
		if (&stop.threads[i] != chosen)
			pa_stop_let_go(&stop, &stop.threads[i]);
	pause = pa_now_ns() - stop.began_ns;
	in->pause_sum_ns += pause;
	if (pause > in->pause_max_ns)
		in->pause_max_ns = pause;
	if (error == -ETIMEDOUT) {
		a->seen[PA_UNSAFE_KERNEL]++; /* none stopped: it may at another moment */
		error = -EAGAIN;
	} else if (error) {
		pa_access_explain(in->pid, error, in->why, sizeof(in->why));
	} else {
		error = chosen ? call_functions(a, chosen) : -EAGAIN;
	}
	pa_stop_release(&stop);
	return error;
}

static void rest(void)
{
	struct timespec ts = {0};
	uint32_t random = 0;

	/* of random length: a program that does everything in turns must not always be met at the same point */
	if (getrandom(&random, sizeof(random), GRND_NONBLOCK) < 0)
		random = (uint32_t)pa_now_ns();
	ts.tv_nsec = PAUSE_MIN_NS + random % (PAUSE_MAX_NS - PAUSE_MIN_NS);
	nanosleep(&ts, NULL);
}

/* "12 in libc, 3 in the loader" */
static void say_where(const struct attempt *a, char *out, size_t size)
{
	size_t len = 0;

	out[0] = 0;
	for (unsigned v = PA_SAFE; v < PA_UNSAFE_VERDICTS && len < size; v++)
		if (a->seen[v])
			len += (size_t)snprintf(out + len, size - len, "%s%u %s", len ? ", " : "", a->seen[v],
						pa_safety_name(v));
}

static void *try_once_here(void *arg)
{
	struct attempt *a = arg;

	pa_stop_hurry();
	a->error = try_once(a);
	return NULL;
}

/* In a thread of its own: when it ends the kernel lets go of what did not stop in time. The next try may then take hold
 * of it, which it could not as long as it had a tracer. */
static int try_apart(struct attempt *a)
{
	pthread_t thread;
	int error = -pthread_create(&thread, NULL, try_once_here, a);

	if (error)
		return decline(a->in, error, "%s", strerror(-error));
	pthread_join(thread, NULL);
	return a->error;
}

static int attempts(struct attempt *a)
{
	uint64_t limit = a->in->limit_ns ? a->in->limit_ns : PA_INJECT_LIMIT_NS, begin = pa_now_ns();
	char where[256];

	for (;;) {
		int error = try_apart(a);

		if (error != -EAGAIN)
			return error;
		if (pa_now_ns() - begin > limit)
			break;
		rest();
		pa_walker_rescan(a->walker);
	}
	say_where(a, where, sizeof(where));
	return decline(a->in, -EAGAIN, "no safe moment in %u tries; threads were found %s", a->in->tries, where);
}

int pa_inject_library(struct pa_injection *in)
{
	struct attempt *a = calloc(1, sizeof(*a));
	int error;

	if (!a)
		return decline(in, -ENOMEM, "out of memory");
	a->in = in;
	in->tid = 0;
	in->tries = 0;
	in->pause_max_ns = in->pause_sum_ns = in->called_ns = 0;
	in->why[0] = 0;
	in->loaded = false;
	memset(&in->answer, 0, sizeof(in->answer));
	error = strlen(in->library) < PATH_MAX ? check_target(a) : decline(in, -ENAMETOOLONG, "the path is too long");
	if (!error)
		error = learn(a);
	if (!error) {
		warm_up(a);
		error = attempts(a);
	}
	pa_walker_free(a->walker);
	free(a);
	return error;
}
