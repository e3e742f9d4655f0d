/* perfagentd: records every agent of its own user that connects, in the foreground, one recording per process tree.
 * World: plain. */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "collector/listener.h"
#include "collector/loop.h"
#include "collector/options.h"
#include "collector/proc.h"
#include "collector/recorder.h"
#include "common/wire.h"

#define EXIT_TROUBLE 2
#define TREES_MAX    256

/* One recording. */
struct tree {
	struct daemon *d;
	struct pa_recorder *recorder;
	char path[PATH_MAX];
	struct tree *next;
};

struct daemon {
	struct pa_loop *loop;
	struct pa_listener *listener;
	struct pa_watch signals;
	struct tree *trees;
	uint32_t nr_trees;
	struct tree *answering; /* whose grant is on its way */
	char socket[PATH_MAX];
	char data[PATH_MAX];
	const char *output; /* all in this one file */
	struct pa_options options;
	int status;
};

static const char usage_text[] =
    "usage: perfagentd [OPTION]...\n"
    "Records every program of the same user that runs with libperfagent.so, in the foreground.\n\n"
    "      --socket PATH  where agents connect ($XDG_RUNTIME_DIR/perfagent/collector.sock,\n"
    "                     for root /run/perfagent/collector.sock)\n"
    "      --data DIR     where recordings go ($XDG_STATE_HOME/perfagent, for root /var/lib/perfagent)\n"
    "  -o, --output FILE  one recording of everything, until the daemon is ended\n"
    "  -F, --rate HZ      samples per second of CPU time and thread, 1 to 10000 (default 99)\n"
    "      --mode LIST    what is recorded: cpu, memory (default cpu)\n"
    "      --heap HOW     sampled[:SIZE] or exact, then ,mmap: as of perfagent record\n"
    "      --help, --version\n";

static int complain(const char *what, const char *why)
{
	fprintf(stderr, "perfagentd: %s: %s\n", what, why);
	return EXIT_TROUBLE;
}

/* ---- recordings ------------------------------------------------------------------------------------------------ */

static void forget(struct tree *t)
{
	struct daemon *d = t->d;

	for (struct tree **at = &d->trees; *at; at = &(*at)->next) {
		if (*at == t) {
			*at = t->next;
			d->nr_trees--;
			break;
		}
	}
	free(t);
}

static void finish(struct tree *t)
{
	int err = pa_recorder_finish(t->recorder, 0);

	if (err) {
		complain(t->path, strerror(-err));
		t->d->status = EXIT_TROUBLE;
	}
	forget(t);
}

static void on_idle(void *arg)
{
	struct tree *t = arg;

	if (!t->d->output)
		finish(t);
}

static struct tree *open_tree(struct daemon *d, const char *path, const char *command, const struct pa_options *asked)
{
	struct tree *t = calloc(1, sizeof(*t));
	struct pa_recorder_options options = {.path = path,
					      .command = command,
					      .period_ns = 1000000000u / asked->rate_hz,
					      .modes = asked->modes,
					      .heap_mode = asked->heap_mode,
					      .heap_flags = asked->heap_flags,
					      .heap_mean = asked->heap_mean,
					      .file_later = !d->output,
					      .idle = on_idle,
					      .arg = t};
	char err[512];

	if (!t)
		return NULL;
	t->d = d;
	snprintf(t->path, sizeof(t->path), "%s", path);
	if (pa_recorder_open(d->loop, &options, &t->recorder, err, sizeof(err))) {
		complain("recording", err); /* the sentence names the file */
		free(t);
		return NULL;
	}
	t->next = d->trees;
	d->trees = t;
	d->nr_trees++;
	return t;
}

/* A name a target has chosen becomes part of a path: letters, digits and a few signs only. */
static void tame(char *name)
{
	for (char *c = name; *c; c++)
		if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+", *c))
			*c = '_';
}

static struct tree *tree_for(struct daemon *d, const struct pa_hello *hello, const struct pa_peer *peer)
{
	struct pa_options options = d->options;
	char path[PATH_MAX + 64], command[1024], name[32] = "", err[160];

	if (d->output)
		return d->trees;
	for (struct tree *t = d->trees; t; t = t->next)
		if (peer->pid && pa_recorder_knows(t->recorder, peer->pid))
			return t;
	if (d->nr_trees >= TREES_MAX)
		return NULL;
	/* the command line wins */
	options.fixed = options.given;
	if (pa_options_parse(&options, hello->options, hello->options_len, err, sizeof(err)))
		complain("PERFAGENT_OPTIONS of a client", err);
	snprintf(command, sizeof(command), "unknown");
	pa_proc_command(peer->pid, command, sizeof(command));
	pa_proc_comm(peer->pid, peer->pid, name, sizeof(name));
	tame(name);
	snprintf(path, sizeof(path), "%s/%s.%u.pfa", d->data, name[0] ? name : "unknown", peer->pid);
	return open_tree(d, path, command, &options);
}

static void on_hello(void *arg, const struct pa_hello *hello, struct pa_peer *peer, struct pa_grant *grant)
{
	struct daemon *d = arg;

	if (peer->uid != getuid()) {
		grant->status = PA_CONFIG_REFUSED_UID;
		return;
	}
	d->answering = tree_for(d, hello, peer);
	if (!d->answering) {
		grant->status = PA_CONFIG_REFUSED_BUSY;
		return;
	}
	pa_recorder_hello(d->answering->recorder, hello, peer, grant);
}

static void on_answered(void *arg, bool ok)
{
	struct daemon *d = arg;
	struct tree *t = d->answering;
	char err[512];

	if (!pa_recorder_create_file(t->recorder, err, sizeof(err))) {
		pa_recorder_answered(t->recorder, ok);
		return;
	}
	/* the session ends with it: the agent goes dormant */
	complain("recording", err);
	d->status = EXIT_TROUBLE;
	pa_recorder_abandon(t->recorder);
	forget(t);
}

static void on_signal(struct pa_watch *watch, uint32_t events)
{
	struct daemon *d = watch->arg;

	pa_loop_stop(d->loop);
}

/* ---- options --------------------------------------------------------------------------------------------------- */

/* Makes the directory, not its parents but those of ours. */
static int make_directory(const char *path, mode_t mode)
{
	char parent[PATH_MAX];
	char *slash;

	if (!mkdir(path, mode) || errno == EEXIST)
		return 0;
	snprintf(parent, sizeof(parent), "%s", path);
	slash = strrchr(parent, '/');
	if (errno != ENOENT || !slash || slash == parent)
		return -errno;
	*slash = 0;
	if (make_directory(parent, mode) || mkdir(path, mode))
		return -errno;
	return 0;
}

static bool default_paths(struct daemon *d)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR"), *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
	bool root = getuid() == 0;

	if (!d->socket[0] && root)
		snprintf(d->socket, sizeof(d->socket), "/run/perfagent/collector.sock");
	else if (!d->socket[0] && runtime && runtime[0] == '/')
		snprintf(d->socket, sizeof(d->socket), "%s/perfagent/collector.sock", runtime);
	if (!d->data[0] && root)
		snprintf(d->data, sizeof(d->data), "/var/lib/perfagent");
	else if (!d->data[0] && state && state[0] == '/')
		snprintf(d->data, sizeof(d->data), "%s/perfagent", state);
	else if (!d->data[0] && home)
		snprintf(d->data, sizeof(d->data), "%s/.local/state/perfagent", home);
	return d->socket[0] && (d->data[0] || d->output);
}

static int listen_for_agents(struct daemon *d)
{
	struct pa_listener_ops ops = {on_hello, on_answered, d};
	char directory[PATH_MAX];
	char *slash;
	mode_t mask;
	int err = 0;

	snprintf(directory, sizeof(directory), "%s", d->socket);
	slash = strrchr(directory, '/');
	if (d->socket[0] != '@' && slash && slash != directory) {
		*slash = 0;
		err = make_directory(directory, getuid() == 0 ? 0755 : 0700);
	}
	mask = umask(0177);
	if (!err)
		err = pa_listener_open(d->loop, d->socket, &ops, &d->listener);
	umask(mask);
	return err ? complain(d->socket, strerror(-err)) : 0;
}

static int watch_signals(struct daemon *d)
{
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* RLIMIT_FSIZE: the write's error says it */
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	d->signals = (struct pa_watch){.fd = signalfd(-1, &set, SFD_CLOEXEC), .fn = on_signal, .arg = d};
	if (d->signals.fd < 0 || pa_loop_watch(d->loop, &d->signals, EPOLLIN))
		return complain("cannot watch signals", strerror(errno));
	return 0;
}

static int start(struct daemon *d)
{
	struct rlimit files;
	int status, err;

	if (!default_paths(d))
		return complain("no place known for socket and data", "give --socket and --data");
	if (!getrlimit(RLIMIT_NOFILE, &files)) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	d->loop = pa_loop_new();
	if (!d->loop)
		return complain("cannot make an epoll set", strerror(errno));
	if (!d->output) {
		err = make_directory(d->data, 0700);
		if (!err && access(d->data, W_OK))
			err = -errno;
		if (err)
			return complain(d->data, strerror(-err));
	} else if (!open_tree(d, d->output, "perfagentd", &d->options)) {
		return EXIT_TROUBLE;
	}
	status = watch_signals(d);
	return status ? status : listen_for_agents(d);
}

enum { OPT_SOCKET = 256, OPT_DATA, OPT_MODE, OPT_HEAP, OPT_HELP, OPT_VERSION };

static const struct option long_options[] = {
    {"socket", required_argument, NULL, OPT_SOCKET},
    {"data", required_argument, NULL, OPT_DATA},
    {"output", required_argument, NULL, 'o'},
    {"rate", required_argument, NULL, 'F'},
    {"mode", required_argument, NULL, OPT_MODE},
    {"heap", required_argument, NULL, OPT_HEAP},
    {"help", no_argument, NULL, OPT_HELP},
    {"version", no_argument, NULL, OPT_VERSION},
    {NULL, 0, NULL, 0},
};

static int take_path(char *out, const char *value)
{
	if (!value[0] || strlen(value) >= PATH_MAX)
		return complain(value, "no usable path");
	strcpy(out, value);
	return -1;
}

static int take_word(struct daemon *d, const char *name, const char *value)
{
	char err[160];

	return pa_options_set(&d->options, name, value, err, sizeof(err)) ? complain(name, err) : -1;
}

/* -1: go on; else the exit status. */
static int take(struct daemon *d, int option, char **argv)
{
	switch (option) {
	case OPT_SOCKET:
		return take_path(d->socket, optarg);
	case OPT_DATA:
		return take_path(d->data, optarg);
	case 'o':
		d->output = optarg;
		return -1;
	case 'F':
		return take_word(d, "rate", optarg);
	case OPT_MODE:
		return take_word(d, "mode", optarg);
	case OPT_HEAP:
		return take_word(d, "heap", optarg);
	case OPT_HELP:
		fputs(usage_text, stdout);
		return 0;
	case OPT_VERSION:
		puts("perfagentd " PA_VERSION);
		return 0;
	default:
		return complain(argv[optind - 1], option == ':' ? "needs a value; see perfagentd --help"
								: "unknown option; see perfagentd --help");
	}
}

int main(int argc, char **argv)
{
	static struct daemon d = {.options = PA_OPTIONS_DEFAULT, .signals = {.fd = -1}};
	int option, status = -1;

	d.options.modes = PA_MODE_CPU;
	opterr = 0;
	while (status == -1 && (option = getopt_long(argc, argv, ":o:F:", long_options, NULL)) != -1)
		status = take(&d, option, argv);
	if (status == -1 && optind < argc)
		status = complain(argv[optind], "perfagentd takes options only");
	if (status != -1)
		return status;
	status = start(&d);
	if (!status) {
		pa_loop_run(d.loop);
		status = d.status;
	}
	pa_listener_close(d.listener);
	while (d.trees)
		finish(d.trees);
	if (d.status)
		status = d.status;
	pa_loop_free(d.loop);
	return status;
}
