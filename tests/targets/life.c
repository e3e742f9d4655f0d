/* A program that keeps count of its own work where its end cannot reach it, changes what it is, and ends in every way.
 *
 *   life [-t THREADS] [-o ROW] [-w ROUNDS] BEFORE END US
 *
 * main and THREADS more (default 2) allocate and free; what each has done stands in life.bin of the working directory,
 * a row of 64 bytes for each, from ROW on: u64 allocations, u64 frees, both counted after the call came back. With -w
 * main does so much alone before anything else, and counts in the next row afterwards. BEFORE is done then, END at a
 * moment that nothing in the program announces, US microseconds later: BEFORE  none daemon chroot setuid filter strict
 * namespaces mounts dumpable END     kill (a timer of the kernel's: between any two instructions), and by main, after
 * the same time: segv abort term _exit exit exit_group quick_exit oom exec return never stdout is the same in every
 * run. */
#include <fcntl.h>
#include <grp.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "tests/targets/target.h"

#define ROWS 64

struct row {
	_Atomic uint64_t calls, frees;
	uint64_t pad[6];
};

struct choice {
	const char *name;
	void (*run)(void);
};

static struct row *rows;
static unsigned first_row, nr_threads = 2, us, rounds_before;
static uint64_t end_ns;
static char **program;
static volatile uintptr_t nowhere = 8;

/* ---- the work ---- */

static TARGET_NOINLINE char *life_make(struct row *row, size_t size)
{
	char *p = malloc(size);

	target_need(p != NULL, "malloc");
	p[0] = 1;
	row->calls++;
	return p;
}

static TARGET_NOINLINE void life_free(struct row *row, char *p)
{
	free(p);
	row->frees++;
}

/* A rate that a collector keeps up with on a crowded machine. */
static TARGET_NOINLINE void life_round(struct row *row, unsigned i)
{
	static __thread char *kept[16];
	char *p = life_make(row, 100 + i % 900);

	if (kept[i % 16])
		life_free(row, kept[i % 16]);
	kept[i % 16] = p;
	target_spin(2000);
}

static void work_before(void)
{
	for (unsigned i = 0; i < rounds_before; i++)
		life_round(&rows[first_row], i);
	first_row += rounds_before > 0;
}

static void *life_thread(void *arg)
{
	for (unsigned i = 0;; i++)
		life_round(&rows[first_row + (uintptr_t)arg], i);
	return NULL;
}

static void work_until_the_end(void)
{
	for (unsigned i = 0; end_ns == 0 || i % 16 || target_clock_ns(CLOCK_MONOTONIC) < end_ns; i++)
		life_round(&rows[first_row], i);
}

/* ---- what it becomes ---- */

static void say(const char *text)
{
	size_t len = strlen(text);

	target_need(write(1, text, len) == (ssize_t)len, "stdout");
}

static void be_nothing(void)
{
}

static void be_daemon(void)
{
	if (fork())
		_exit(0);
	setsid();
	if (fork())
		_exit(0);
	for (int fd = 3; fd < 4096; fd++)
		close(fd);
	target_need(chdir("/") == 0, "chdir");
}

static void be_in_chroot(void)
{
	target_need(mkdir("root", 0755) == 0 && chroot("root") == 0 && chdir("/") == 0, "chroot");
}

static void be_nobody(void)
{
	target_need(setgroups(0, NULL) == 0 && setgid(65534) == 0 && setuid(65534) == 0, "setuid");
}

/* The child goes on, its end is told as its own. */
static void go_on_in_a_child(void)
{
	pid_t pid = fork();
	int status;

	target_need(pid >= 0, "fork");
	if (!pid)
		return;
	target_wait(pid, &status);
	_exit(WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
}

/* Number 1 of its own process numbers cannot kill itself, so that it has a child. */
static void be_in_namespaces(void)
{
	target_need(unshare(CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC) == 0, "unshare");
	go_on_in_a_child();
	go_on_in_a_child();
}

/* The kernel's files are gone from sight: no /proc, no /sys. */
static void be_in_other_mounts(void)
{
	target_need(unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
			mount("none", "/proc", "tmpfs", 0, NULL) == 0,
		    "mounts");
}

static void be_undumpable(void)
{
	target_need(prctl(PR_SET_DUMPABLE, 0) == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, "prctl");
}

#define ALLOW(name) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##name, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

/* What malloc and every END need; anything else kills the process. */
static void be_filtered(void)
{
	static struct sock_filter allowed[] = {
	    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	    ALLOW(brk),
	    ALLOW(munmap),
	    ALLOW(madvise),
	    ALLOW(write),
	    ALLOW(exit),
	    ALLOW(exit_group),
	    ALLOW(rt_sigreturn),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	};
	static struct sock_fprog filter = {.len = sizeof allowed / sizeof *allowed, .filter = allowed};

	target_need(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
			prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0,
		    "seccomp");
}

static void be_strict(void)
{
	end_ns = 0; /* no clock any more */
	target_need(prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) == 0, "seccomp");
}

static const struct choice befores[] = {
    {"none", be_nothing},
    {"daemon", be_daemon},
    {"chroot", be_in_chroot},
    {"setuid", be_nobody},
    {"filter", be_filtered},
    {"strict", be_strict},
    {"namespaces", be_in_namespaces},
    {"mounts", be_in_other_mounts},
    {"dumpable", be_undumpable},
    {0},
};

/* ---- how it ends ---- */

static TARGET_NOINLINE void end_by_segv(void)
{
	*(volatile int *)nowhere = 1;
}

static void end_by_term(void)
{
	raise(SIGTERM);
}

static void end_by__exit(void)
{
	_exit(41);
}

static void end_by_exit(void)
{
	exit(42);
}

static void end_by_exit_group(void)
{
	syscall(SYS_exit_group, 43);
}

static void end_by_quick_exit(void)
{
	quick_exit(44);
}

/* Takes memory until the kernel ends it: of whoever has put a limit on this process's group. */
static void end_by_oom(void)
{
	for (;;) {
		char *p = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		target_need(p != MAP_FAILED, "mmap");
		for (size_t at = 0; at < 1 << 20; at += 4096)
			p[at] = 1;
	}
}

/* The same once more as a new image, which counts in rows of its own and is killed. */
static void end_by_exec(void)
{
	char row[16], time[16];

	snprintf(row, sizeof row, "%u", first_row + nr_threads + 1);
	snprintf(time, sizeof time, "%u", us);
	execl("/proc/self/exe", "life", "-t", "1", "-o", row, "none", "kill", time, (char *)NULL);
	target_need(0, "exec");
}

static void end_by_return(void)
{
}

static const struct choice ends[] = {
    {"kill", be_nothing},
    {"segv", end_by_segv},
    {"abort", abort},
    {"term", end_by_term},
    {"_exit", end_by__exit},
    {"exit", end_by_exit},
    {"oom", end_by_oom},
    {"exec", end_by_exec},
    {"return", end_by_return},
    {"never", be_nothing},
    {"exit_group", end_by_exit_group},
    {"quick_exit", end_by_quick_exit},
    {0},
};

static const struct choice *choose(const struct choice *from, const char *name)
{
	while (from->name && strcmp(from->name, name))
		from++;
	target_need(from->name != NULL, "no such BEFORE or END");
	return from;
}

/* SIGKILL at that time: armed after fork, which timers do not survive, and before anything is forbidden. */
static void arm_the_kill(void)
{
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGKILL};
	struct itimerspec at = {.it_value = {.tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000 + 1}};
	int timer;

	target_need(syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &timer) == 0 &&
			syscall(SYS_timer_settime, timer, 0, &at, NULL) == 0,
		    "timer");
}

static void map_rows(void)
{
	int fd = open("life.bin", O_RDWR | O_CREAT | O_CLOEXEC, 0644);

	target_need(fd >= 0 && ftruncate(fd, ROWS * sizeof(struct row)) == 0, "life.bin");
	rows = mmap(NULL, ROWS * sizeof(struct row), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	target_need(rows != MAP_FAILED, "mmap");
	close(fd);
}

static void options(int argc, char **argv)
{
	int opt;

	while ((opt = getopt(argc, argv, "+t:o:w:")) != -1) {
		if (opt == 't')
			nr_threads = (unsigned)atoi(optarg);
		else if (opt == 'o')
			first_row = (unsigned)atoi(optarg);
		else if (opt == 'w')
			rounds_before = (unsigned)atoi(optarg);
		else
			_exit(98);
	}
	program = argv + optind;
	target_need(argc - optind == 3 && first_row + 1 + nr_threads < ROWS,
		    "usage: life [-t N] [-o N] [-w N] BEFORE END US");
}

static bool forks(const struct choice *before)
{
	return before->run == be_daemon || before->run == be_in_namespaces;
}

int main(int argc, char **argv)
{
	const struct choice *before, *end;
	pthread_t thread;
	bool kill;

	options(argc, argv);
	before = choose(befores, program[0]);
	end = choose(ends, program[1]);
	us = (unsigned)strtoul(program[2], NULL, 10);
	kill = !strcmp(end->name, "kill");
	map_rows();
	free(malloc(1)); /* it asks the kernel for more the first time */
	work_before();
	say("begin\n");
	if (!kill && strcmp(end->name, "never"))
		end_ns = target_clock_ns(CLOCK_MONOTONIC) + us * UINT64_C(1000);
	if (forks(before))
		before->run();
	if (kill)
		arm_the_kill();
	if (!forks(before))
		before->run();
	for (uintptr_t i = 1; i <= nr_threads; i++)
		target_need(pthread_create(&thread, NULL, life_thread, (void *)i) == 0, "pthread_create");
	work_until_the_end();
	end->run();
	return 45;
}
