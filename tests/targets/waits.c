/* Threads that wait, allocate or compute in functions of known names, and notice what a tracer does to them.
 *
 *   waits crowd N          N threads, all in crowd_wait called by crowd_middle, until stdin ends
 *   waits every            a thread in each kind of wait, until stdin ends; prints how often each one answered EINTR
 *   waits allocate N       N threads of malloc, realloc, free with contents checked, again and again the same, until
 * stdin ends; prints whether every turn had the same result. The main thread is one of them waits compute the same
 * with arithmetic in all kinds of registers waits pause            until stdin ends (the main thread reads it, another
 * pauses) waits deep N           N frames of deep_frame above a wait, each with a kilobyte of stack waits altstack
 * waits in a handler on an alternate signal stack
 */
#include <poll.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/select.h>
#include <sys/socket.h>

#include "tests/targets/target.h"

static atomic_bool finished;
static atomic_uint ready;

static void until_stdin_ends(unsigned threads)
{
	char byte;

	while (atomic_load(&ready) < threads)
		usleep(1000);
	printf("ready\n");
	fflush(stdout);
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
	atomic_store(&finished, true);
}

/* ---- crowd */

static int never[2];

static TARGET_NOINLINE void crowd_wait(void)
{
	struct pollfd p = {.fd = never[0], .events = POLLIN};

	atomic_fetch_add(&ready, 1);
	while (!atomic_load(&finished))
		poll(&p, 1, -1);
	target_sink++;
}

static TARGET_NOINLINE void crowd_middle(void)
{
	crowd_wait();
	target_sink++;
}

static void *crowd_thread(void *arg)
{
	prctl(PR_SET_NAME, "crowd");
	crowd_middle();
	return NULL;
}

static int crowd(int argc, char **argv)
{
	unsigned nr = argc > 1 ? (unsigned)atoi(argv[1]) : 1;
	pthread_t *threads = calloc(nr, sizeof(*threads));

	if (!threads || pipe(never))
		return 99;
	for (unsigned i = 0; i < nr; i++)
		if (pthread_create(&threads[i], NULL, crowd_thread, NULL))
			return 99;
	until_stdin_ends(nr);
	close(never[1]);
	for (unsigned i = 0; i < nr; i++)
		pthread_join(threads[i], NULL);
	printf("crowd %u\n", nr);
	free(threads);
	return 0;
}

/* ---- every kind of wait, 50 ms each; whoever sees EINTR counts it */

static atomic_ulong eintr[16], waits[16], early[16];
#define WAIT_MS 50

static int wait_poll(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, WAIT_MS);
}

static int wait_epoll(int fd)
{
	struct epoll_event e;

	return epoll_wait(fd, &e, 1, WAIT_MS);
}

static int wait_select(int fd)
{
	struct timeval tv = {.tv_usec = WAIT_MS * 1000};
	fd_set set;

	FD_ZERO(&set);
	FD_SET(fd, &set);
	return select(fd + 1, &set, NULL, NULL, &tv);
}

static int wait_nanosleep(int fd)
{
	struct timespec ts = {.tv_nsec = WAIT_MS * 1000000};

	return nanosleep(&ts, NULL);
}

static int wait_futex(int fd)
{
	struct timespec ts;
	sem_t sem;

	sem_init(&sem, 0, 0);
	clock_gettime(CLOCK_REALTIME, &ts);
	ts.tv_nsec += WAIT_MS * 1000000;
	ts.tv_sec += ts.tv_nsec / 1000000000;
	ts.tv_nsec %= 1000000000;
	return sem_timedwait(&sem, &ts);
}

static int wait_sigtimedwait(int fd)
{
	struct timespec ts = {.tv_nsec = WAIT_MS * 1000000};
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN + 5);
	return sigtimedwait(&set, NULL, &ts);
}

/* a socket with SO_RCVTIMEO is not begun again by the kernel */
static int wait_recv(int fd)
{
	char byte;

	return (int)recv(fd, &byte, 1, 0);
}

static const struct {
	const char *name;
	int (*wait)(int fd);
} kinds[] = {
    {"poll", wait_poll},           {"epoll", wait_epoll}, {"select", wait_select},
    {"nanosleep", wait_nanosleep}, {"futex", wait_futex}, {"sigtimedwait", wait_sigtimedwait},
    {"recv", wait_recv},
};
#define NR_KINDS (sizeof(kinds) / sizeof(kinds[0]))

static int descriptor_of(size_t kind)
{
	struct timeval tv = {.tv_usec = WAIT_MS * 1000};
	int pair[2], epoll;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
		exit(99);
	if (!strcmp(kinds[kind].name, "epoll")) {
		struct epoll_event e = {.events = EPOLLIN};

		epoll = epoll_create1(0);
		epoll_ctl(epoll, EPOLL_CTL_ADD, pair[0], &e);
		return epoll;
	}
	setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	return pair[0];
}

static void *every_thread(void *arg)
{
	size_t kind = (size_t)(uintptr_t)arg;
	int fd = descriptor_of(kind);

	prctl(PR_SET_NAME, kinds[kind].name);
	atomic_fetch_add(&ready, 1);
	while (!atomic_load(&finished)) {
		uint64_t begin = target_clock_ns(CLOCK_MONOTONIC);

		errno = 0;
		if (kinds[kind].wait(fd) < 0 && errno == EINTR)
			eintr[kind]++;
		if (target_clock_ns(CLOCK_MONOTONIC) - begin < (uint64_t)(WAIT_MS - 1) * 1000000)
			early[kind]++;
		waits[kind]++;
	}
	return NULL;
}

static int every(int argc, char **argv)
{
	pthread_t threads[NR_KINDS];

	for (size_t i = 0; i < NR_KINDS; i++)
		if (pthread_create(&threads[i], NULL, every_thread, (void *)(uintptr_t)i))
			return 99;
	until_stdin_ends(NR_KINDS);
	for (size_t i = 0; i < NR_KINDS; i++) {
		pthread_join(threads[i], NULL);
		printf("%s: waited %s, EINTR %lu, too early %lu\n", kinds[i].name, waits[i] ? "yes" : "no", eintr[i],
		       early[i]);
	}
	return 0;
}

static atomic_ulong turns, wrong;

/* ---- allocation with contents that tell of any damage */

#define BLOCKS 512

#define ROUNDS 50000

static TARGET_NOINLINE uint64_t allocate_rounds(uint64_t seed)
{
	unsigned char *blocks[BLOCKS] = {NULL};
	size_t sizes[BLOCKS] = {0};
	uint64_t x = seed, sum = 0;

	for (unsigned i = 0; i < ROUNDS; i++) {
		unsigned k;

		x = x * 6364136223846793005u + 1442695040888963407u;
		k = (unsigned)(x >> 48) % BLOCKS;
		if (blocks[k]) {
			if (blocks[k][0] != (unsigned char)k || blocks[k][sizes[k] - 1] != (unsigned char)sizes[k])
				abort();
			sum = sum * 31 + sizes[k];
		}
		if (x >> 40 & 1) {
			free(blocks[k]);
			blocks[k] = NULL;
		}
		/* mostly too large for the thread's own cache: the arena's lists are what an intruder would find half
		 * done */
		sizes[k] = (x >> 20) % (x >> 32 & 1023 ? 5000 : 200000) + 2;
		blocks[k] = realloc(blocks[k], sizes[k]);
		if (!blocks[k])
			abort();
		blocks[k][sizes[k] - 1] = (unsigned char)sizes[k];
		blocks[k][0] = (unsigned char)k;
	}
	for (unsigned k = 0; k < BLOCKS; k++)
		free(blocks[k]);
	return sum;
}

/* Whether somebody has closed stdin; asked between turns, so that a turn itself makes no system call of its own. */
static bool goes_on(void)
{
	struct pollfd p = {.fd = STDIN_FILENO, .events = POLLIN};

	return poll(&p, 1, 0) == 0;
}

static void *take_turns(void *arg)
{
	uint64_t (*turn)(uint64_t seed) = arg;
	uint64_t seed = atomic_fetch_add(&ready, 1) + 1, first = turn(seed);

	do {
		if (turn(seed) != first)
			wrong++;
		turns++;
	} while (goes_on());
	return NULL;
}

static int say_turns(const char *name)
{
	printf("%s: turns %s, wrong %lu\n", name, turns ? "yes" : "no", wrong);
	return 0;
}

/* With one thread libc takes no lock. */
static int allocate(int argc, char **argv)
{
	unsigned nr = argc > 1 ? (unsigned)atoi(argv[1]) : 1;
	pthread_t threads[64];

	printf("ready\n");
	fflush(stdout);
	for (unsigned i = 1; i < nr; i++)
		if (nr > 64 || pthread_create(&threads[i], NULL, take_turns, allocate_rounds))
			return 99;
	/* the main thread, too: none of them waits where it could be made to call */
	take_turns(allocate_rounds);
	for (unsigned i = 1; i < nr; i++)
		pthread_join(threads[i], NULL);
	return say_turns("allocate");
}

/* ---- arithmetic in every kind of register, and in the red zone of a leaf function; errno stays what it is */

static TARGET_NOINLINE uint64_t compute_leaf(uint64_t x)
{
	volatile uint64_t red[12];

	for (unsigned i = 0; i < 12; i++)
		red[i] = x * (i + 3);
	for (unsigned i = 0; i < 12; i++)
		x = (x ^ red[i]) * 0x9e3779b97f4a7c15u;
	return x;
}

static TARGET_NOINLINE uint64_t compute_rounds(uint64_t seed)
{
	volatile int *own_errno = &errno;
	double d = 1.0, e = 0.5;
	uint64_t x = seed, bits;

	*own_errno = EXDEV;
	for (unsigned i = 0; i < 1000000; i++) {
		x = compute_leaf(x + i);
		d = d * 1.0000001 + e;
		e = e * 0.999999 + (double)(x & 1023) * 1e-9;
	}
	d += e;
	memcpy(&bits, &d, sizeof(bits));
	if (*own_errno != EXDEV)
		wrong++;
	return x ^ bits;
}

static int compute(int argc, char **argv)
{
	printf("ready\n");
	fflush(stdout);
	take_turns(compute_rounds);
	return say_turns("compute");
}

/* ---- pause, deep, altstack */

static void *pause_thread(void *arg)
{
	atomic_fetch_add(&ready, 1);
	for (;;)
		pause();
	return NULL;
}

static int pausing(int argc, char **argv)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, pause_thread, NULL))
		return 99;
	until_stdin_ends(1);
	printf("end\n");
	return 0;
}

static volatile sig_atomic_t terminated;

static void on_term(int sig)
{
	terminated = 1;
}

static int block(int argc, char **argv)
{
	const char *kind = argc > 1 ? argv[1] : "pause";
	struct sigaction sa = {.sa_handler = on_term};
	struct timespec hour = {.tv_sec = 3600};
	struct pollfd none = {.fd = -1};
	int epoll = epoll_create1(0);
	unsigned long seen = 0;
	struct epoll_event e;
	sem_t sem;

	sem_init(&sem, 0, 0);
	sigaction(SIGTERM, &sa, NULL);
	printf("ready\n");
	fflush(stdout);
	while (!terminated) {
		int ret = !strcmp(kind, "epoll")   ? epoll_wait(epoll, &e, 1, -1)
			  : !strcmp(kind, "futex") ? sem_wait(&sem)
			  : !strcmp(kind, "poll")  ? poll(&none, 1, 3600000)
			  : !strcmp(kind, "sleep") ? nanosleep(&hour, NULL)
						   : pause();

		if (!terminated)
			seen += ret < 0 ? 1 : 1000;
	}
	printf("block: EINTR %lu\n", seen);
	return 0;
}

static TARGET_NOINLINE void deep_frame(unsigned left)
{
	volatile char room[1000];

	room[left % sizeof(room)] = 1;
	if (left)
		deep_frame(left - 1);
	else
		until_stdin_ends(0);
	room[0]++;
}

static int deep(int argc, char **argv)
{
	deep_frame(argc > 1 ? (unsigned)atoi(argv[1]) - 1 : 9);
	printf("end\n");
	return 0;
}

static TARGET_NOINLINE void altstack_handler(int sig)
{
	until_stdin_ends(0);
	target_sink++;
}

static TARGET_NOINLINE void altstack_raise(void)
{
	raise(SIGUSR1);
	target_sink++;
}

static int altstack(int argc, char **argv)
{
	stack_t stack = {.ss_sp = malloc(1 << 16), .ss_size = 1 << 16};
	struct sigaction sa = {.sa_handler = altstack_handler, .sa_flags = SA_ONSTACK};

	sigaltstack(&stack, NULL);
	sigaction(SIGUSR1, &sa, NULL);
	altstack_raise();
	printf("end\n");
	return 0;
}

static const struct target_mode modes[] = {
    {"crowd", crowd},   {"every", every}, {"allocate", allocate}, {"compute", compute},
    {"pause", pausing}, {"block", block}, {"deep", deep},         {"altstack", altstack},
};

int main(int argc, char **argv)
{
	for (size_t i = 0; argc > 1 && i < sizeof(modes) / sizeof(modes[0]); i++)
		if (!strcmp(argv[1], modes[i].name))
			return modes[i].run(argc - 1, argv + 1);
	return 99;
}
