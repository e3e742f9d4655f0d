/* Answers appear whole or not at all. */
#include "tools/options.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The temporary to remove when a signal ends us; set before the file exists, cleared after the rename. */
static char *volatile to_remove;

static void remove_temporary(int signo)
{
	if (to_remove)
		unlink(to_remove);
	signal(signo, SIG_DFL);
	raise(signo);
}

static void catch_signals(void)
{
	static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGXFSZ};
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
		struct sigaction now, ours = {.sa_handler = remove_temporary};
		if (!sigaction(signals[i], NULL, &now) && now.sa_handler == SIG_DFL)
			sigaction(signals[i], &ours, NULL);
	}
}

static FILE *open_temporary(struct pa_outfile *f)
{
	mode_t mask = umask(022);
	umask(mask);
	if (asprintf(&f->temporary, "%s.XXXXXX", f->target) < 0) {
		f->temporary = NULL;
		return NULL;
	}
	int fd = mkostemp(f->temporary, O_CLOEXEC);
	if (fd >= 0) {
		to_remove = f->temporary;
		catch_signals();
		fchmod(fd, 0666 & ~mask);
	}
	return fd >= 0 ? fdopen(fd, "w") : NULL;
}

static FILE *open_stream(struct pa_outfile *f)
{
	struct stat st;
	if (!f->path) {
		int fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
		if (fd >= 0 && (fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDONLY) {
			close(fd);
			errno = EBADF; /* closed: see main.c */
			return NULL;
		}
		return fd >= 0 ? fdopen(fd, "w") : NULL;
	}
	f->target = realpath(f->path, NULL);
	if (!f->target && !(f->target = strdup(f->path)))
		return NULL;
	if (!stat(f->target, &st) && !S_ISREG(st.st_mode))
		return fopen(f->target, "we");
	return open_temporary(f);
}

static void forget(struct pa_outfile *f)
{
	if (f->temporary)
		unlink(f->temporary);
	to_remove = NULL;
	free(f->temporary);
	free(f->target);
	f->temporary = f->target = NULL;
}

bool pa_outfile_open(struct pa_outfile *f, const char *path)
{
	*f = (struct pa_outfile){.path = path && strcmp(path, "-") ? path : NULL};
	signal(SIGPIPE, SIG_IGN); /* a reader that goes away is a write error here */
	f->stream = open_stream(f);
	if (f->stream)
		return true;
	pa_fail(f->path ? f->path : "standard output", "cannot be written: %s", strerror(errno));
	forget(f);
	return false;
}

/* Why an earlier write failed is known no more when the stream tells of it: a pipe says whether its reader has gone. */
static int late_error(FILE *stream)
{
	struct pollfd at = {.fd = fileno(stream), .events = POLLOUT};

	return poll(&at, 1, 0) > 0 && (at.revents & POLLERR) ? -EPIPE : -EIO;
}

int pa_outfile_close(struct pa_outfile *f, int err)
{
	errno = 0;
	if (!err && (fflush(f->stream) || ferror(f->stream)))
		err = errno ? -errno : late_error(f->stream);
	/* a full disk may show only here */
	if (fclose(f->stream) && !err)
		err = -errno;
	if (!err && f->temporary && rename(f->temporary, f->target))
		err = -errno;
	if (!err) {
		free(f->temporary);
		f->temporary = NULL; /* it is the file now */
	}
	forget(f);
	if (!err)
		return PA_EXIT_OK;
	return !f->path && err == -EPIPE
		   ? PA_EXIT_ERROR
		   : pa_fail(f->path ? f->path : "standard output", "cannot be written: %s", strerror(-err));
}
