/* The life of the daemon; see daemon.h. World: plain. */
#include "daemon/daemon.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "daemon/attach.h"
#include "daemon/datadir.h"
#include "daemon/log.h"
#include "daemon/service.h"

#define TROUBLE 2

static int complain(const char *what, const char *why)
{
	pa_log(PA_LOG_ERROR, "%s: %s", what, why);
	return TROUBLE;
}

/* ---- settings anew ----------------------------------------------------------------------------------------------- */

static bool same_places(const struct pa_daemon_settings *a, const struct pa_daemon_settings *b)
{
	return (!b->socket[0] || !strcmp(a->socket, b->socket)) && (!b->data[0] || !strcmp(a->data, b->data)) &&
	       !strcmp(a->output, b->output);
}

/* Sessions go on as they are; agents that come from now on meet the new settings. */
static void reload(struct pa_daemon *d)
{
	struct pa_daemon_settings *now = malloc(sizeof(*now));
	char err[512] = "out of memory";

	pa_service_notify("RELOADING=1\nMONOTONIC_USEC=%" PRIu64, pa_now_ns() / 1000);
	if (!now || pa_daemon_settings_load(now, d->given, d->nr_given, err, sizeof(err))) {
		pa_log(PA_LOG_ERROR, "settings stay as they were: %s", err);
		free(now);
	} else {
		if (!same_places(d->settings, now))
			pa_log(PA_LOG_WARNING, "another socket, data directory or output takes a restart");
		memcpy(now->socket, d->settings->socket, sizeof(now->socket));
		memcpy(now->data, d->settings->data, sizeof(now->data));
		memcpy(now->output, d->settings->output, sizeof(now->output));
		free(d->settings);
		d->settings = now;
		pa_log(PA_LOG_INFO, "settings read anew");
		pa_daemon_watch_data(d);
	}
	pa_service_notify("READY=1");
}

/* ---- signals ----------------------------------------------------------------------------------------------------- */

static void on_signal(struct pa_watch *watch, uint32_t events)
{
	struct pa_daemon *d = watch->arg;
	struct signalfd_siginfo info;

	while (read(watch->fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		if (info.ssi_signo == SIGHUP)
			reload(d);
		else
			pa_loop_stop(d->loop);
	}
}

static int watch_signals(struct pa_daemon *d)
{
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* RLIMIT_FSIZE: the write's error says it */
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	d->signals = (struct pa_watch){.fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK), .fn = on_signal, .arg = d};
	if (d->signals.fd < 0 || pa_loop_watch(d->loop, &d->signals, EPOLLIN))
		return complain("cannot watch signals", strerror(errno));
	return 0;
}

/* ---- places ------------------------------------------------------------------------------------------------------ */

static bool default_paths(struct pa_daemon_settings *s)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR"), *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
	bool root = getuid() == 0;

	if (!s->socket[0] && root)
		snprintf(s->socket, sizeof(s->socket), "/run/perfagent/collector.sock");
	else if (!s->socket[0] && runtime && runtime[0] == '/')
		snprintf(s->socket, sizeof(s->socket), "%s/perfagent/collector.sock", runtime);
	if (!s->data[0] && root)
		snprintf(s->data, sizeof(s->data), "/var/lib/perfagent");
	else if (!s->data[0] && state && state[0] == '/')
		snprintf(s->data, sizeof(s->data), "%s/perfagent", state);
	else if (!s->data[0] && home)
		snprintf(s->data, sizeof(s->data), "%s/.local/state/perfagent", home);
	return s->socket[0] && (s->data[0] || s->output[0]);
}

/* Agents are told this path when they are attached; "" when it has none. */
static void path_of_socket(int fd, char *out, size_t size)
{
	struct sockaddr_un addr = {0};
	socklen_t len = sizeof(addr);

	out[0] = 0;
	if (!getsockname(fd, (struct sockaddr *)&addr, &len) && len > offsetof(struct sockaddr_un, sun_path))
		snprintf(out, size, "%.*s", (int)sizeof(addr.sun_path), addr.sun_path);
}

static int adopt_socket(struct pa_daemon *d, int fd, const struct pa_listener_ops *ops)
{
	int err;

	if (fd < 0)
		return complain("the socket that was handed over", fd == -E2BIG ? "there is more than one"
								   : fd == -EPROTOTYPE
								       ? "must be listening, of AF_UNIX, SOCK_SEQPACKET"
								       : strerror(-fd));
	path_of_socket(fd, d->settings->socket, sizeof(d->settings->socket));
	err = pa_listener_adopt(d->loop, fd, ops, &d->listener);
	return err ? complain("the socket that was handed over", strerror(-err)) : 0;
}

static int listen_for_agents(struct pa_daemon *d, int handed)
{
	struct pa_listener_ops ops = {pa_daemon_hello, pa_daemon_answered, d};
	const char *path = d->settings->socket;
	char directory[PATH_MAX];
	char *slash;
	mode_t mask;
	int err = 0;

	if (handed != -1)
		return adopt_socket(d, handed, &ops);
	snprintf(directory, sizeof(directory), "%s", path);
	slash = strrchr(directory, '/');
	mask = umask(0);
	if (path[0] != '@' && slash && slash != directory) {
		*slash = 0;
		err = pa_make_directory(directory, d->uid == 0 ? 0755 : 0700);
	}
	/* root answers everybody, and looks at who it is; connecting takes the right to write */
	umask(d->uid == 0 ? 0111 : 0177);
	if (!err)
		err = pa_listener_open(d->loop, path, &ops, &d->listener);
	umask(mask);
	return err ? complain(path, strerror(-err)) : 0;
}

static int open_data(struct pa_daemon *d)
{
	if (d->settings->output[0])
		return pa_daemon_open_output(d) ? 0 : TROUBLE;
	d->data_fd = pa_datadir_open(d->settings->data);
	if (d->data_fd < 0)
		return complain(d->settings->data,
				d->data_fd == -EPERM ? "is not ours alone to write to" : strerror(-d->data_fd));
	return 0;
}

/* ---- life -------------------------------------------------------------------------------------------------------- */

static void on_watchdog(struct pa_timer *timer)
{
	struct pa_daemon *d = timer->arg;

	pa_service_notify("WATCHDOG=1");
	pa_loop_arm(d->loop, timer, d->watchdog_ns);
}

static int start(struct pa_daemon *d)
{
	int handed = pa_service_socket(), status;
	struct rlimit files;

	if (!default_paths(d->settings) && (handed < 0 || !(d->settings->data[0] || d->settings->output[0])))
		return complain("no place known for socket and data", "give --socket and --data");
	if (!getrlimit(RLIMIT_NOFILE, &files)) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	umask(077);
	d->loop = pa_loop_new();
	if (!d->loop)
		return complain("cannot make an epoll set", strerror(errno));
	status = open_data(d);
	if (!status)
		status = watch_signals(d);
	if (!status)
		status = listen_for_agents(d, handed);
	if (status)
		return status;
	d->watchdog_ns = pa_service_watchdog_ns();
	d->watchdog_timer = (struct pa_timer){.fn = on_watchdog, .arg = d};
	if (d->watchdog_ns)
		pa_loop_arm(d->loop, &d->watchdog_timer, 0);
	pa_daemon_watch_data(d);
	pa_daemon_watch_age(d);
	pa_late_init(&d->late, d->loop, d->settings->socket);
	d->attach = pa_daemon_attach_new(d);
	if (!d->attach)
		return complain("looking for agents", "out of memory");
	pa_service_notify("READY=1\nSTATUS=listening on %s", d->settings->socket);
	return 0;
}

int pa_daemon_run(struct pa_daemon_settings *settings, const struct pa_setting *given, size_t nr_given)
{
	struct pa_daemon d = {.settings = settings,
			      .given = given,
			      .nr_given = nr_given,
			      .signals = {.fd = -1},
			      .data_fd = -1,
			      .uid = geteuid()};
	int status = start(&d);

	if (!status)
		status = pa_loop_run(d.loop) ? TROUBLE : 0;
	pa_service_notify("STOPPING=1");
	pa_late_fini(&d.late);
	pa_daemon_attach_free(d.attach);
	pa_listener_close(d.listener);
	pa_daemon_finish_all(&d);
	pa_loop_free(d.loop);
	free(d.settings);
	return status ? status : d.status;
}
