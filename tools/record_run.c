#include "tools/record_run.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "collector/proc.h"
#include "common/preload.h"
#include "remote/late.h"
#include "tools/private_collector.h"
#include "tools/program.h"

struct run {
	const struct pa_record_run *asked;
	struct pa_private private;
	char library[PATH_MAX];
	char runtime[PA_PRELOAD_NAME_MAX]; /* to be loaded before it, "": none */
	bool no_preload;                   /* the command would fail with it in LD_PRELOAD */
	char command[4096];
	pid_t child;
	int go[2];      /* parent -> child: run; closed: do not */
	int trouble[2]; /* child -> parent: errno of exec */
	struct pa_watch child_watch;
	struct pa_timer duration;
	struct pa_late late;
	uint32_t answering_pid, answering_uid; /* whose grant is on its way */
	bool answering_claimed;
	bool child_gone;
	bool connected;
	int interrupts;
	int status; /* exit status of ours */
	uint64_t tree_cpu_ns;
	bool written;
};

static int complain(const char *what, const char *why)
{
	pa_private_complain(what, why);
	return PA_EXIT_TROUBLE;
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

int pa_record_name(const char *template, const char *command, uint32_t pid, char *out, size_t size)
{
	char host[256] = "localhost", number[16];
	size_t used = 0;

	if (!template) {
		int n = snprintf(out, size, "%s.%u.pfa", base_name(command), pid);

		return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
	}
	gethostname(host, sizeof(host) - 1);
	snprintf(number, sizeof(number), "%u", pid);
	for (const char *at = template; *at; at++) {
		char one[2] = {*at, 0};
		const char *text = one;

		if (at[0] == '%' && (at[1] == 'p' || at[1] == 'h' || at[1] == '%')) {
			at++;
			text = *at == 'p' ? number : *at == 'h' ? host : "%";
		}
		if (used + strlen(text) >= size)
			return -ENAMETOOLONG;
		memcpy(out + used, text, strlen(text));
		used += strlen(text);
	}
	out[used] = 0;
	return 0;
}

int pa_record_library(char *out, size_t size)
{
	char exe[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);

	if (n > 0) {
		exe[n] = 0;
		*strrchr(exe, '/') = 0;
		if (snprintf(out, size, "%s/libperfagent.so", exe) < (int)size && access(out, R_OK) == 0)
			return 0;
	}
	snprintf(out, size, "%s/libperfagent.so", PA_LIBDIR);
	return access(out, R_OK) == 0 ? 0 : -ENOENT;
}

/* ---- the command ----------------------------------------------------------------------------------------------- */

/* What the command bears in LD_PRELOAD: a runtime it insists on having before every other library, or nothing of ours.
 * glibc's loader skips what it cannot load, musl's ends the program; the agent leaves it out likewise when the program
 * executes another. */
static void examine_command(struct run *run)
{
	struct pa_program program;
	char path[PATH_MAX];

	if (pa_program_find(run->asked->argv[0], path) || pa_program_examine(path, &program))
		return;
	strcpy(run->runtime, program.runtime);
	run->no_preload = program.musl;
}

static void set_preload(const struct run *run)
{
	const char *old = getenv("LD_PRELOAD");
	size_t first;
	char *value;
	int n;

	old = old ? old + strspn(old, ": ") : "";
	first = strcspn(old, ": ");
	/* first, so that allocations and calls reach the agent before anybody else's library; only a runtime that ends
	 * the program otherwise comes before it: the user's, or the one that the command needs */
	if (pa_preload_is_runtime(old, first))
		n = asprintf(&value, "%.*s:%s%s", (int)first, old, run->library, old + first);
	else
		n = asprintf(&value, "%s%s%s%s%s", run->runtime, run->runtime[0] ? PA_PRELOAD_MARK : "", run->library,
			     old[0] ? ":" : "", old);
	if (n > 0) {
		setenv("LD_PRELOAD", value, 1);
		free(value);
	}
}

/* In the child: waits for the word, then becomes the command. Never returns. */
static void become_command(struct run *run)
{
	char word;
	int error;

	close(run->go[1]);
	close(run->trouble[0]);
	if (read(run->go[0], &word, 1) != 1)
		_exit(PA_EXIT_TROUBLE);
	sigprocmask(SIG_SETMASK, &run->private.old_mask, NULL);
	signal(SIGPIPE, run->private.old_sigpipe);
	signal(SIGXFSZ, run->private.old_sigxfsz);
	setenv("PERFAGENT_SOCKET", run->private.socket, 1);
	if (!run->no_preload)
		set_preload(run);
	execvp(run->asked->argv[0], run->asked->argv);
	error = errno;
	if (write(run->trouble[1], &error, sizeof(error)) != (ssize_t)sizeof(error))
		_exit(PA_EXIT_TROUBLE);
	_exit(error == ENOENT ? PA_EXIT_NOT_FOUND : PA_EXIT_CANNOT_RUN);
}

static int fork_child(struct run *run)
{
	if (pipe2(run->go, O_CLOEXEC) || pipe2(run->trouble, O_CLOEXEC))
		return complain("cannot make a pipe", strerror(errno));
	run->child = fork();
	if (run->child < 0)
		return complain("cannot fork", strerror(errno));
	if (run->child == 0)
		become_command(run);
	close(run->go[0]);
	close(run->trouble[1]);
	run->go[0] = run->trouble[1] = -1;
	return 0;
}

/* Lets the child go on and waits for its exec. Returns 0 or an exit status. */
static int release_child(struct run *run)
{
	int error = 0;
	ssize_t n;

	if (write(run->go[1], "g", 1) != 1)
		return complain("the command", "ended before it began");
	close(run->go[1]);
	run->go[1] = -1;
	do
		n = read(run->trouble[0], &error, sizeof(error));
	while (n < 0 && errno == EINTR);
	if (n != (ssize_t)sizeof(error))
		return 0;
	complain(run->asked->argv[0], strerror(error));
	return error == ENOENT ? PA_EXIT_NOT_FOUND : PA_EXIT_CANNOT_RUN;
}

static void discard_child(struct run *run)
{
	if (run->child <= 0)
		return;
	if (run->go[1] >= 0)
		close(run->go[1]);
	waitpid(run->child, NULL, 0);
}

/* ---- events ---------------------------------------------------------------------------------------------------- */

static void end_recording(struct run *run)
{
	if (!run->private.recorder)
		return;
	pa_loop_disarm(run->private.loop, &run->duration);
	if (!run->connected)
		pa_recorder_note(run->private.recorder,
				 "the command never loaded the agent: statically linked, setuid, "
				 "or for another libc or machine");
	if (run->child_gone)
		pa_recorder_meta_u64(run->private.recorder, "exit_status", (uint64_t)run->status);
	run->written = pa_private_finish(&run->private, run->tree_cpu_ns) == 0;
}

static void maybe_end(struct run *run)
{
	if (!run->child_gone)
		return;
	if (run->private.recorder && !pa_recorder_is_idle(run->private.recorder))
		return;
	end_recording(run);
	pa_loop_stop(run->private.loop);
}

static void on_idle(void *arg)
{
	maybe_end(arg);
}

static uint64_t rusage_ns(const struct rusage *ru)
{
	return ((uint64_t)ru->ru_utime.tv_sec + (uint64_t)ru->ru_stime.tv_sec) * 1000000000u +
	       ((uint64_t)ru->ru_utime.tv_usec + (uint64_t)ru->ru_stime.tv_usec) * 1000u;
}

static void on_child(struct pa_watch *watch, uint32_t events)
{
	struct run *run = watch->arg;
	struct rusage ru;
	siginfo_t info = {0};
	char how[32];
	int status;

	if (waitid(P_PID, (id_t)run->child, &info, WEXITED | WNOHANG | WNOWAIT) || info.si_pid != run->child)
		return;
	run->status = info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
	snprintf(how, sizeof(how), "%s %d", info.si_code == CLD_EXITED ? "exit" : "signal", info.si_status);
	/* while it is a zombie its CPU clock can still be read */
	if (run->private.recorder)
		pa_recorder_reaping(run->private.recorder, (uint32_t)run->child, how);
	pa_loop_unwatch(run->private.loop, watch);
	close(watch->fd);
	watch->fd = -1;
	if (wait4(run->child, &status, 0, &ru) == run->child)
		run->tree_cpu_ns = rusage_ns(&ru);
	run->child_gone = true;
	if (run->private.recorder)
		pa_recorder_settle(run->private.recorder);
	else
		maybe_end(run);
}

static void on_signal(struct pa_watch *watch, uint32_t events)
{
	struct run *run = watch->arg;
	struct signalfd_siginfo info;

	while (read(watch->fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		int sig = (int)info.ssi_signo;

		if (sig == SIGTERM || sig == SIGHUP) {
			if (!run->child_gone)
				kill(run->child, sig);
			continue;
		}
		/* the terminal has sent it to the command as well: the first is the command's alone */
		if (sig == SIGINT && ++run->interrupts >= 2) {
			end_recording(run);
			if (!run->child_gone)
				run->status = 128 + SIGINT;
			pa_loop_stop(run->private.loop);
			return;
		}
	}
}

static void on_duration(struct pa_timer *timer)
{
	struct run *run = timer->arg;

	end_recording(run);
	maybe_end(run);
}

static void on_hello(void *arg, const struct pa_hello *hello, struct pa_peer *peer, struct pa_grant *grant)
{
	struct run *run = arg;

	/* the name of the socket is no secret (/proc/net/unix): others than our own user must come from the command */
	if (peer->uid != getuid() && !pa_proc_descends(peer->pid, (uint32_t)run->child) &&
	    !pa_recorder_knows(run->private.recorder, peer->pid)) {
		grant->status = PA_CONFIG_REFUSED_UID;
		return;
	}
	/* one that has gone already is no more known to the kernel: its word is taken for where to look */
	run->answering_pid = peer->pid ? peer->pid : hello->pid;
	run->answering_claimed = !peer->pid;
	run->answering_uid = peer->uid;
	pa_recorder_hello(run->private.recorder, hello, peer, grant);
}

static void on_answered(void *arg, bool ok)
{
	struct run *run = arg;

	run->connected |= ok;
	pa_recorder_answered(run->private.recorder, ok);
	if (!ok)
		pa_late_come(&run->late, run->answering_pid, run->answering_uid, run->answering_claimed);
}

/* ---- beginning and end ----------------------------------------------------------------------------------------- */

static int watch_child(struct run *run)
{
	run->child_watch =
	    (struct pa_watch){.fd = (int)syscall(SYS_pidfd_open, run->child, 0), .fn = on_child, .arg = run};
	if (run->child_watch.fd < 0 || pa_loop_watch(run->private.loop, &run->child_watch, EPOLLIN))
		return complain("cannot watch the command", strerror(errno));
	return 0;
}

static bool open_recording(struct run *run)
{
	const struct pa_private_recording what = {.output = run->asked->output,
						  .program = run->asked->argv[0],
						  .command = run->command,
						  .pid = (uint32_t)run->child,
						  .options = &run->asked->options,
						  .idle = on_idle,
						  .arg = run};

	return pa_private_record(&run->private, &what);
}

static void join_command(struct run *run)
{
	size_t used = 0;

	for (char **arg = run->asked->argv; *arg && used < sizeof(run->command); arg++)
		used +=
		    (size_t)snprintf(run->command + used, sizeof(run->command) - used, "%s%s", used ? " " : "", *arg);
}

/* Everything that can fail does so before the command runs. Returns 0 or an exit status. */
static int prepare(struct run *run)
{
	const struct pa_listener_ops ops = {on_hello, on_answered, run};
	int status;

	/* the recorder must not record itself, nor what it may start */
	unsetenv("PERFAGENT_SOCKET");
	if (pa_record_library(run->library, sizeof(run->library)))
		return complain(run->library, "the agent is not there; is perfagent installed completely?");
	examine_command(run);
	/* the socket before the fork: the child tells its name to the agent */
	if (!pa_private_begin(&run->private, on_signal, run) || !pa_private_listen(&run->private, 0, &ops))
		return PA_EXIT_TROUBLE;
	pa_late_init(&run->late, run->private.loop, run->private.socket);
	status = fork_child(run); /* before the limit of descriptors is raised: it is the command's */
	if (status)
		return status;
	return open_recording(run) ? 0 : PA_EXIT_TROUBLE;
}

static void clean_up(struct run *run)
{
	if (run->trouble[0] >= 0)
		close(run->trouble[0]);
	pa_late_fini(&run->late);
	pa_private_close(&run->private);
}

static void last_words(const struct run *run)
{
	/* what failed is said always, hints only to a person */
	if (!run->connected)
		fprintf(stderr,
			"perfagent: %s: it never loaded the agent, nothing was recorded; try: perfagent doctor %s\n",
			run->asked->argv[0], run->asked->argv[0]);
	else if (run->written && !run->asked->quiet && isatty(STDERR_FILENO))
		fprintf(stderr, "perfagent: %lu samples in %s, now run: perfagent report -i %s\n",
			(unsigned long)run->private.samples, run->private.path, run->private.path);
}

int pa_record_run(const struct pa_record_run *asked)
{
	struct run run = {
	    .asked = asked, .private = PA_PRIVATE_INIT, .go = {-1, -1}, .trouble = {-1, -1}, .child_watch = {.fd = -1}};
	int status;

	join_command(&run);
	status = prepare(&run);
	if (!status)
		status = watch_child(&run);
	if (!status)
		status = release_child(&run);
	if (status) {
		discard_child(&run);
		clean_up(&run);
		return status;
	}
	if (asked->duration_ns) {
		run.duration = (struct pa_timer){.fn = on_duration, .arg = &run};
		pa_loop_arm(run.private.loop, &run.duration, asked->duration_ns);
	}
	pa_loop_run(run.private.loop);
	last_words(&run);
	clean_up(&run);
	return run.status;
}
