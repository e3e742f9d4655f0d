/* What no manual allows and programs do all the same: forks by the bare system call beside threads that allocate, forks
 * in a signal handler whose child goes on, jumps out of one. They work without the agent, and have to with it. */
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "tests/targets/books.h"

#define NR_BLOCKS 64

static volatile int stop;

/* Each size goes past the thread's cache: the arena is locked most of the time. */
static void *keep_arena_busy(void *arg)
{
	while (!stop) {
		void *p[32];

		for (unsigned i = 0; i < 32; i++)
			p[i] = malloc(20000 + i * 64);
		for (unsigned i = 0; i < 32; i++)
			free(p[i]);
	}
	return arg;
}

static void wait_all(unsigned *ended, unsigned *other)
{
	int status;

	while (wait(&status) > 0)
		*(WIFEXITED(status) && WEXITSTATUS(status) == 7 ? ended : other) += 1;
}

/* The child has the main thread's arena, which nobody else uses, and those of the others as they were: locked. It
 * allocates once libc's figures are due again. */
static void be_locked_child(void)
{
	alarm(5);
	usleep(1100000);
	for (unsigned i = 0; i < 50; i++) {
		char *volatile p = malloc(1 << 20);

		*p = 1;
		free(p);
	}
	_exit(7);
}

static int mode_locked(int argc, char **argv)
{
	unsigned ended = 0, other = 0;
	pthread_t threads[2];

	for (unsigned i = 0; i < 2; i++)
		target_need(pthread_create(&threads[i], NULL, keep_arena_busy, NULL) == 0, "pthread_create");
	for (unsigned i = 0; i < 20; i++) {
		usleep(1000);
		if (syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0) == 0)
			be_locked_child();
	}
	stop = 1;
	for (unsigned i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	wait_all(&ended, &other);
	printf("children: %u ended, %u otherwise\n", ended, other);
	return 0;
}

/* ---- forks in a handler ---- */

static void *blocks[NR_BLOCKS];
static volatile sig_atomic_t nr_forks, is_child;

static void fork_here(int sig)
{
	if (is_child || nr_forks >= 60)
		return;
	nr_forks++;
	if (fork() == 0) {
		is_child = 1;
		alarm(5);
	}
}

static void turn_over(void)
{
	for (unsigned i = 0; i < NR_BLOCKS; i++) {
		free(blocks[i]);
		blocks[i] = malloc(16 + i * 8);
	}
}

static void tick_every(long usec, void (*handler)(int))
{
	struct sigaction action = {.sa_handler = handler};
	struct itimerval every = {.it_interval.tv_usec = usec, .it_value.tv_usec = usec};

	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &every, NULL);
}

static int mode_handler(int argc, char **argv)
{
	unsigned ended = 0, other = 0;

	tick_every(3000, fork_here);
	while (nr_forks < 60 && !is_child)
		turn_over();
	for (unsigned i = 0; is_child && i < 1000; i++)
		turn_over();
	if (is_child)
		_exit(7);
	tick_every(0, SIG_IGN);
	wait_all(&ended, &other);
	printf("children: %u ended, %u otherwise\n", ended, other);
	return 0;
}

/* ---- jumps out of a handler ---- */

static sigjmp_buf again;
static volatile sig_atomic_t nr_jumps;

static void jump(int sig)
{
	nr_jumps++;
	siglongjmp(again, 1);
}

BOOKED(after_jumps, malloc(size))

/* Jumps leave calls in the middle that may be left there: of the kernel's memory, not of the allocator, whose state
 * would be torn. What comes after them counts (--heap=exact,mmap). */
static int mode_jumps(int argc, char **argv)
{
	sigsetjmp(again, 1);
	if (nr_jumps < 20) {
		tick_every(3000, jump);
		for (;;) {
			void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

			target_need(p != MAP_FAILED, "mmap");
			munmap(p, 4096);
		}
	}
	tick_every(0, SIG_IGN);
	for (unsigned i = 0; i < 1000; i++)
		after_jumps(100);
	printf("jumps: %d\n", (int)nr_jumps);
	return 0;
}

/* ---- a child that nobody waits for ---- */

BOOKED(orphan_makes, malloc(size))

/* When the collector finds the child it is gone, and its parent long before it. */
static int mode_orphan(int argc, char **argv)
{
	int lock[2];
	char byte;

	target_need(pipe(lock) == 0, "pipe");
	if (fork() == 0) {
		close(lock[1]);
		/* until the parent is gone, and has been seen to be */
		target_need(read(lock[0], &byte, 1) == 0, "read");
		usleep(200000);
		for (unsigned i = 0; i < 500; i++)
			orphan_makes(50);
		_exit(0);
	}
	printf("orphan\n");
	return 0;
}

static const struct target_mode modes[] = {
    {"orphan", mode_orphan}, {"locked", mode_locked}, {"handler", mode_handler}, {"jumps", mode_jumps}, {0},
};

int main(int argc, char **argv)
{
	books_begin();
	return target_main(modes, argc, argv);
}
