#include "tools/private_collector.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "collector/proc.h"
#include "tools/record_run.h"

void pa_private_complain(const char *what, const char *why)
{
	fprintf(stderr, "perfagent: %s: %s\n", what, why);
}

static bool failed(const char *what, int error)
{
	pa_private_complain(what, strerror(error));
	return false;
}

bool pa_private_begin(struct pa_private *p, void (*fn)(struct pa_watch *watch, uint32_t events), void *arg)
{
	sigset_t set;

	p->old_sigpipe = signal(SIGPIPE, SIG_IGN);
	/* a file that may not grow any more (RLIMIT_FSIZE) is an error to be told, not the end of the recorder */
	p->old_sigxfsz = signal(SIGXFSZ, SIG_IGN);
	p->loop = pa_loop_new();
	if (!p->loop)
		return failed("cannot make an epoll set", errno);
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGQUIT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, &p->old_mask);
	p->signals = (struct pa_watch){.fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK), .fn = fn, .arg = arg};
	if (p->signals.fd < 0 || pa_loop_watch(p->loop, &p->signals, EPOLLIN))
		return failed("cannot watch signals", errno);
	return true;
}

/* Abstract names are those of a network namespace. */
static bool shares_network(pid_t target)
{
	struct stat ours, its;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)target);
	return !target || stat("/proc/self/ns/net", &ours) || stat(path, &its) ||
	       (ours.st_ino == its.st_ino && ours.st_dev == its.st_dev);
}

/* In the target's own file system, and its own. Connecting by a path does not ask for the namespace of the network. */
static int listen_within(struct pa_private *p, pid_t target, const struct pa_listener_ops *ops)
{
	char path[sizeof(p->socket) + 32];
	int err;

	snprintf(path, sizeof(path), "/proc/%d/root%s", (int)target, p->socket);
	err = pa_listener_open(p->loop, path, ops, &p->listener);
	if (!err && (chmod(path, 0600) || chown(path, pa_proc_uid((uint32_t)target), (gid_t)-1)))
		err = -errno;
	return err;
}

bool pa_private_listen(struct pa_private *p, pid_t target, const struct pa_listener_ops *ops)
{
	bool near = shares_network(target);
	uint64_t random[2];
	int err;

	if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
		return failed("getrandom", errno);
	/* abstract: reachable from a chroot and after a change of user */
	snprintf(p->socket, sizeof(p->socket), "%sperfagent-%016lx%016lx", near ? "@" : "/tmp/", random[0], random[1]);
	err = near ? pa_listener_open(p->loop, p->socket, ops, &p->listener) : listen_within(p, target, ops);
	return err ? failed("cannot listen for the agent", -err) : true;
}

static void raise_file_limit(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files))
		return;
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
}

bool pa_private_record(struct pa_private *p, const struct pa_private_recording *what)
{
	struct pa_recorder_options options = {.path = p->path,
					      .command = what->command,
					      .period_ns = 1000000000u / what->options->rate_hz,
					      .modes = what->options->modes,
					      .heap_mode = what->options->heap_mode,
					      .heap_flags = what->options->heap_flags,
					      .heap_mean = what->options->heap_mean,
					      .loop_blocked_ns = what->options->loop_blocked_ns,
					      .idle = what->idle,
					      .arg = what->arg};
	char err[512];

	raise_file_limit();
	if (pa_record_name(what->output, what->program, what->pid, p->path, sizeof(p->path))) {
		pa_private_complain(what->output ? what->output : what->program, "the name is too long");
		return false;
	}
	if (pa_recorder_open(p->loop, &options, &p->recorder, err, sizeof(err))) {
		pa_private_complain("record", err); /* the sentence names the file */
		return false;
	}
	return true;
}

int pa_private_finish(struct pa_private *p, uint64_t tree_cpu_ns)
{
	int err;

	pa_listener_close(p->listener);
	p->listener = NULL;
	if (!p->recorder)
		return 0;
	p->samples = pa_recorder_samples(p->recorder);
	err = pa_recorder_finish(p->recorder, tree_cpu_ns);
	p->recorder = NULL;
	if (err)
		pa_private_complain(p->path, strerror(-err));
	return err;
}

void pa_private_close(struct pa_private *p)
{
	if (p->recorder)
		pa_recorder_abandon(p->recorder);
	p->recorder = NULL;
	pa_listener_close(p->listener);
	p->listener = NULL;
	if (p->signals.fd >= 0)
		close(p->signals.fd);
	p->signals.fd = -1;
	pa_loop_free(p->loop);
	p->loop = NULL;
}
