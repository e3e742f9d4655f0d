/* Runs one command for the tests, with a deadline: supervise [-t SECONDS] [-o FILE] [-b] -- COMMAND ...
 *
 * It is the subreaper of everything the command leaves behind, so that daemons are waited for and nothing outlives a
 * test. On the deadline the stacks of all of them go to stderr (gdb) and all are killed. FILE then holds what the shell
 * cannot see: status=N raw="exit N"|"signal N [core]" hang=0|1 left=N wall_ms=N cpu_us=N. Exit status: the command's,
 * as a shell shows it, or 124 after a hang. -b: do not wait for what the command leaves behind, kill it and count it.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct run {
	pid_t child;
	bool ended;
	bool hang;
	int status;
	int left;
	struct timespec start, deadline;
};

static long elapsed_ms(const struct timespec *since)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (now.tv_sec - since->tv_sec) * 1000 + (now.tv_nsec - since->tv_nsec) / 1000000;
}

static pid_t parent_of(pid_t pid)
{
	char path[64], text[512], *end;
	int fd, len, ppid = 0;

	snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	len = (int)read(fd, text, sizeof text - 1);
	close(fd);
	if (len <= 0)
		return 0;
	text[len] = 0;
	end = strrchr(text, ')');
	if (!end || sscanf(end + 1, " %*c %d", &ppid) != 1)
		return 0;
	return ppid;
}

static bool descends(pid_t pid)
{
	for (int hops = 0; pid > 1 && hops < 64; hops++) {
		pid = parent_of(pid);
		if (pid == getpid())
			return true;
	}
	return false;
}

/* Calls fn for each living descendant; returns how many there were. */
static int each_descendant(void (*fn)(pid_t pid))
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;
	int nr = 0;

	if (!proc)
		return 0;
	while ((entry = readdir(proc))) {
		pid_t pid = atoi(entry->d_name);

		if (pid <= 1 || !descends(pid))
			continue;
		nr++;
		fn(pid);
	}
	closedir(proc);
	return nr;
}

static void kill_one(pid_t pid)
{
	kill(pid, SIGKILL);
}

static void stacks_of(pid_t pid)
{
	char command[256];

	snprintf(command, sizeof command,
		 "echo '--- pid %d:' >&2; tr '\\0' ' ' </proc/%d/cmdline >&2; echo >&2; grep -E '^(State|Threads|Sig)' "
		 "/proc/%d/status >&2; timeout 20 gdb -q -batch -p %d -ex 'thread apply all bt 14' >&2 2>/dev/null",
		 (int)pid, (int)pid, (int)pid, (int)pid);
	if (system(command) != 0)
		fprintf(stderr, "supervise: no stacks of %d\n", (int)pid);
}

/* Takes dead children until none is dead; returns false when no child is left at all. */
static bool reap(struct run *run)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG | __WALL)) > 0) {
		if (pid == run->child) {
			run->ended = true;
			run->status = status;
		}
	}
	return pid == 0;
}

static void kill_the_rest(struct run *run)
{
	for (int tries = 0; tries < 200; tries++) {
		int nr = each_descendant(kill_one);

		if (tries == 0)
			run->left = nr;
		if (!reap(run) && !nr)
			break;
		usleep(10000);
	}
}

static void wait_for_all(struct run *run, long limit_ms, bool kill_left)
{
	const struct timespec tick = {.tv_sec = 0, .tv_nsec = 100000000};
	sigset_t chld;

	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	while (reap(run)) {
		if (run->ended && kill_left)
			break;
		if (elapsed_ms(&run->start) >= limit_ms) {
			run->hang = true;
			fprintf(stderr, "supervise: no end after %ld ms\n", limit_ms);
			each_descendant(stacks_of);
			break;
		}
		sigtimedwait(&chld, NULL, &tick);
	}
	kill_the_rest(run);
}

static void report(const struct run *run, const char *path, int shown)
{
	FILE *out = fopen(path, "we");
	struct rusage use;

	if (!out) {
		fprintf(stderr, "supervise: %s: %s\n", path, strerror(errno));
		exit(125);
	}
	getrusage(RUSAGE_CHILDREN, &use);
	fprintf(out, "status=%d\n", shown);
	if (WIFSIGNALED(run->status))
		fprintf(out, "raw='signal %d%s'\n", WTERMSIG(run->status), WCOREDUMP(run->status) ? " core" : "");
	else
		fprintf(out, "raw='exit %d'\n", WEXITSTATUS(run->status));
	fprintf(out, "hang=%d\nleft=%d\nwall_ms=%ld\n", run->hang, run->left, elapsed_ms(&run->start));
	fprintf(out, "cpu_us=%lld\n",
		(use.ru_utime.tv_sec + use.ru_stime.tv_sec) * 1000000LL + use.ru_utime.tv_usec + use.ru_stime.tv_usec);
	if (fclose(out))
		exit(125);
}

static pid_t start(char **argv, const sigset_t *mask)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	close_range(3, ~0u, 0);
	sigprocmask(SIG_SETMASK, mask, NULL);
	execvp(argv[0], argv);
	fprintf(stderr, "supervise: %s: %s\n", argv[0], strerror(errno));
	_exit(errno == ENOENT ? 127 : 126);
}

int main(int argc, char **argv)
{
	struct run run = {0};
	const char *path = NULL;
	bool kill_left = false;
	sigset_t chld, old;
	long limit_ms = 20000;
	int opt, shown;

	while ((opt = getopt(argc, argv, "+t:o:b")) != -1) {
		if (opt == 't')
			limit_ms = atol(optarg) * 1000;
		else if (opt == 'o')
			path = optarg;
		else if (opt == 'b')
			kill_left = true;
		else
			return 125;
	}
	if (optind >= argc)
		return 125;
	prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	sigprocmask(SIG_BLOCK, &chld, &old);
	clock_gettime(CLOCK_MONOTONIC, &run.start);
	run.child = start(argv + optind, &old);
	if (run.child < 0)
		return 125;
	wait_for_all(&run, limit_ms, kill_left);
	shown = run.hang ? 124 : WIFSIGNALED(run.status) ? 128 + WTERMSIG(run.status) : WEXITSTATUS(run.status);
	if (path)
		report(&run, path, shown);
	return shown;
}
