/* Processes that become another program, another user, a daemon, or leave for another root (rows R33-R38). */
#include <fcntl.h>
#include <grp.h>
#include <linux/close_range.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include "tests/targets/target.h"

static char *const none_argv[] = {"/nonexistent/program", NULL};

/* ---- exec ---- */

/* exec from a thread, with pending and blocked signals; the new image prints what it inherited */
static void *exec_thread(void *arg)
{
	target_burn_ms(30);
	execv(((char **)arg)[0], arg);
	return NULL;
}

static int mode_exec(int argc, char **argv)
{
	sigset_t set;
	pthread_t t;

	target_need(argc > 1, "exec PROGRAM ARGS");
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGUSR2, SIG_IGN);
	raise(SIGUSR1);
	target_burn_ms(60);
	target_need(pthread_create(&t, NULL, exec_thread, argv + 1) == 0, "pthread_create");
	pthread_join(t, NULL);
	target_need(0, "execv");
	return 1;
}

/* Masks, dispositions and what is pending, as the kernel says: by the raw words of /proc/self/status. */
static int mode_inherited(int argc, char **argv)
{
	FILE *f = fopen("/proc/self/status", "re");
	char line[256];

	target_need(f != NULL, "status");
	while (fgets(line, sizeof line, f))
		if (!strncmp(line, "SigIgn", 6) || !strncmp(line, "ShdPnd", 6) || !strncmp(line, "SigPnd", 6))
			fputs(line, stdout);
	fclose(f);
	target_burn_ms(60);
	return 0;
}

/* exec with the environment empty */
static int mode_no_env(int argc, char **argv)
{
	char *none[] = {NULL};

	target_burn_ms(30);
	execve(argv[1], argv + 1, none);
	return 1;
}

static int mode_exec_fails(int argc, char **argv)
{
	int wrong = 0;

	for (int i = 0; i < 50; i++) {
		errno = 0;
		wrong += execv("/nonexistent/program", none_argv) != -1 || errno != ENOENT;
		errno = 0;
		wrong += execv("/etc/passwd", none_argv) != -1 || errno != EACCES;
		target_burn_ms(4);
	}
	printf("failing execs wrong %d\n", wrong);
	return 0;
}

/* ---- daemons ---- */

static void close_all(const char *how)
{
	if (!strcmp(how, "loop"))
		for (int fd = 0; fd < 4096; fd++)
			close(fd);
	else if (!strcmp(how, "range"))
		close_range(0, ~0u, 0);
	else
		closefrom(0);
	target_need(open("/dev/null", O_RDWR) == 0 && dup(0) == 1 && dup(0) == 2, "/dev/null");
}

/* setsid, double fork, chdir /, umask, all descriptors closed: then works, and leaves its result in a file. */
static int mode_daemon(int argc, char **argv)
{
	const char *how = argc > 1 ? argv[1] : "loop";
	char dir[4096];
	FILE *f;
	int fd;

	target_need(getcwd(dir, sizeof dir - 32) != NULL, "getcwd");
	strcat(dir, "/daemon.txt");
	if (fork() == 0) {
		setsid();
		if (fork())
			_exit(0);
		if (chdir("/"))
			_exit(1);
		umask(027);
		close_all(how);
		target_burn_ms(250);
		fd = open(dir, O_WRONLY | O_CREAT | O_TRUNC, 0600);
		f = fdopen(dup(fd), "w");
		fprintf(f, "first descriptor %d\n", fd);
		_exit(fclose(f) ? 1 : 0);
	}
	printf("daemon started\n");
	return 0;
}

/* ---- socket activation: descriptors from 3 on are passed by number ---- */

static int mode_activated(int argc, char **argv)
{
	struct stat st;

	target_burn_ms(60);
	printf("LISTEN_FDS %s\n", getenv("LISTEN_FDS") ? getenv("LISTEN_FDS") : "none");
	for (int fd = 3; fd < 8; fd++)
		printf("fd %d: %s\n", fd,
		       fstat(fd, &st)         ? "closed"
		       : S_ISFIFO(st.st_mode) ? "fifo"
		       : S_ISREG(st.st_mode)  ? "file"
					      : "?");
	return 0;
}

static int mode_activate(int argc, char **argv)
{
	char *const args[] = {"procs", "activated", NULL};
	int fds[2];

	target_need(pipe(fds) == 0 && open("/etc/passwd", O_RDONLY) == 5, "descriptors");
	setenv("LISTEN_FDS", "3", 1);
	target_burn_ms(30);
	execv("/proc/self/exe", args);
	return 1;
}

/* ---- root, user ---- */

static int mode_chroot(int argc, char **argv)
{
	target_burn_ms(100);
	target_need(mkdir("root", 0755) == 0 && chroot("root") == 0 && chdir("/") == 0, "chroot");
	target_burn_ms(200);
	printf("in an empty root: %d\n", access("/proc", F_OK));
	return 0;
}

static int mode_setuid(int argc, char **argv)
{
	int status = -1;
	pid_t pid;

	target_burn_ms(100);
	target_need(setgroups(0, NULL) == 0 && setgid(65534) == 0 && setuid(65534) == 0, "setuid");
	target_burn_ms(200);
	pid = fork();
	if (pid == 0) {
		target_burn_ms(100);
		_exit(17);
	}
	target_wait(pid, &status);
	target_print_status("child as nobody", status);
	return 0;
}

static int mode_dumpable(int argc, char **argv)
{
	target_burn_ms(100);
	prctl(PR_SET_DUMPABLE, 0);
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	target_burn_ms(200);
	printf("dumpable %d\n", prctl(PR_GET_DUMPABLE));
	return 0;
}

static int mode_namespaces(int argc, char **argv)
{
	int r, status = -1;
	pid_t pid;

	target_burn_ms(100);
	r = unshare(CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS);
	printf("unshare %d\n", r);
	pid = fork();
	if (pid == 0) {
		target_burn_ms(150);
		_exit(getpid() == 1 ? 21 : 22);
	}
	target_wait(pid, &status);
	target_print_status("child", status);
	return 0;
}

static const struct target_mode modes[] = {
    {"exec", mode_exec},
    {"inherited", mode_inherited},
    {"no_env", mode_no_env},
    {"exec_fails", mode_exec_fails},
    {"daemon", mode_daemon},
    {"activated", mode_activated},
    {"activate", mode_activate},
    {"chroot", mode_chroot},
    {"setuid", mode_setuid},
    {"dumpable", mode_dumpable},
    {"namespaces", mode_namespaces},
    {0},
};

int main(int argc, char **argv)
{
	return target_main(modes, argc, argv);
}
