/* What runs already when somebody attaches to it: attach_target MODE. It goes on until it is killed; what the test wants to
 * know of it stands in the file `counts`, one "name value" a line.
 *	busy N     N threads burn, three parts in heavy(), one in light(); no call that a hook would see
 *	idle       sleeps in epoll_wait; each wake-up burns a little. Interrupted calls are counted
 *	heap       allocates 4096 bytes at a time in keep() and gives back what give_back() allocated
 *	fork       forks a child that burns in of_the_child() for 100 ms, again and again
 *	exec       burns, and executes itself as "busy 1" when the file `go` is there
 *	blocked    burns with all signals blocked */
#include <errno.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "tests/targets/target.h"

static void put_counts(const char *format, unsigned long a, unsigned long b)
{
	FILE *out = fopen("counts.new", "w");

	target_need(out != NULL, "counts");
	fprintf(out, format, a, b);
	fclose(out);
	target_need(rename("counts.new", "counts") == 0, "counts");
}

TARGET_NOINLINE static void heavy(void)
{
	target_spin(300000);
	target_sink++;
}

TARGET_NOINLINE static void light(void)
{
	target_spin(100000);
	target_sink++;
}

static void *burn(void *arg)
{
	for (;;) {
		heavy();
		light();
	}
	return arg;
}

static int mode_busy(int argc, char **argv)
{
	int nr = argc > 1 ? atoi(argv[1]) : 1;
	pthread_t thread;

	for (int i = 1; i < nr; i++)
		target_need(pthread_create(&thread, NULL, burn, NULL) == 0, "pthread_create");
	put_counts("threads %lu\n", (unsigned long)nr, 0);
	burn(NULL);
	return 0;
}

static int mode_idle(int argc, char **argv)
{
	unsigned long wakes = 0, interrupted = 0;
	int ep = epoll_create1(0), fd = eventfd(0, 0);
	struct epoll_event event = {.events = EPOLLIN}, got;
	int ms = argc > 1 ? atoi(argv[1]) : 1000;

	target_need(ep >= 0 && fd >= 0 && !epoll_ctl(ep, EPOLL_CTL_ADD, fd, &event), "epoll");
	for (;;) {
		put_counts("wakes %lu\ninterrupted %lu\n", wakes, interrupted);
		if (epoll_wait(ep, &got, 1, ms) < 0)
			interrupted += errno == EINTR;
		wakes++;
		free(malloc(100));
		target_burn_ms(50);
	}
	return 0;
}

TARGET_NOINLINE static void *keep(void)
{
	char *p = malloc(4096);

	target_need(p != NULL, "malloc");
	p[0] = 1;
	return p;
}

TARGET_NOINLINE static void give_back(void)
{
	char *p = malloc(2048);

	target_need(p != NULL, "malloc");
	p[0] = 1;
	free(p);
}

static void *volatile kept[1 << 20];

static int mode_heap(int argc, char **argv)
{
	unsigned long nr = 0;

	for (; nr < 1000; nr++)
		kept[nr] = keep();
	put_counts("kept %lu\n", nr, 0);
	for (;;) {
		/* of the blocks of before some are freed while somebody looks */
		if (nr % 50 == 0 && nr / 50 < 1000) {
			free(kept[nr / 50]);
			kept[nr / 50] = NULL;
		}
		if (nr < 1u << 20)
			kept[nr++] = keep();
		give_back();
		usleep(1000);
	}
	return 0;
}

TARGET_NOINLINE static void of_the_child(void)
{
	target_burn_ms(100);
	target_sink++;
}

static int mode_fork(int argc, char **argv)
{
	unsigned long nr = 0;

	for (;;) {
		pid_t pid = fork();

		if (pid == 0) {
			of_the_child();
			_exit(0);
		}
		target_need(pid > 0 && waitpid(pid, NULL, 0) == pid, "fork");
		put_counts("children %lu\n", ++nr, 0);
	}
	return 0;
}

static int mode_exec(int argc, char **argv)
{
	put_counts("image %lu\n", 1, 0);
	while (access("go", F_OK))
		light();
	execl("/proc/self/exe", "attach_target", "busy", "1", (char *)NULL);
	return 1;
}

static int mode_blocked(int argc, char **argv)
{
	sigset_t all;

	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
	return mode_busy(1, argv);
}

static const struct target_mode modes[] = {
    {"busy", mode_busy}, {"idle", mode_idle},       {"heap", mode_heap}, {"fork", mode_fork},
    {"exec", mode_exec}, {"blocked", mode_blocked}, {NULL, NULL},
};

int main(int argc, char **argv)
{
	return target_main(modes, argc, argv);
}
