/* Programs with books (books.h) whose threads, processes and signals meet as chance has it: what each function did is
 * the same every time or is known at the end, and stands in books.json; a forked child's is books.N.json. */
#include <dlfcn.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/time.h>

#include "tests/targets/books.h"

#define THREADS_MAX 64

static pthread_t threads[THREADS_MAX];
static pthread_barrier_t barrier;
static unsigned nr_threads;

static void start_threads(unsigned nr, void *(*run)(void *))
{
	nr_threads = nr;
	books_threaded = books_others = books_no_peak = 1; /* libc makes a thread's dtv */
	for (uintptr_t i = 0; i < nr; i++)
		target_need(pthread_create(&threads[i], NULL, run, (void *)i) == 0, "pthread_create");
}

static void join_threads(void)
{
	for (unsigned i = 0; i < nr_threads; i++)
		pthread_join(threads[i], NULL);
}

/* ---- threads that free one another's blocks ---- */

BOOKED(producer_make, malloc(size))
BOOKED(consumer_make, calloc(1, size))
BOOKED(exchange_make, malloc(size))

#define FILL 1500

static struct block filled[8][FILL];
static struct block queue[64];
static unsigned queue_in, queue_out, queue_end;
static pthread_mutex_t queue_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t queue_moved = PTHREAD_COND_INITIALIZER;

/* All threads have come this far, and one of them adds up what is live. */
static void settle(void)
{
	books_merge();
	if (pthread_barrier_wait(&barrier) == PTHREAD_BARRIER_SERIAL_THREAD)
		books_settle();
	pthread_barrier_wait(&barrier);
}

static void queue_put(struct block b)
{
	pthread_mutex_lock(&queue_lock);
	while (queue_in - queue_out == 64)
		pthread_cond_wait(&queue_moved, &queue_lock);
	queue[queue_in++ % 64] = b;
	pthread_cond_broadcast(&queue_moved);
	pthread_mutex_unlock(&queue_lock);
}

static int queue_get(struct block *b)
{
	int got;

	pthread_mutex_lock(&queue_lock);
	while (queue_in == queue_out && !queue_end)
		pthread_cond_wait(&queue_moved, &queue_lock);
	got = queue_in != queue_out;
	if (got)
		*b = queue[queue_out++ % 64];
	pthread_cond_broadcast(&queue_moved);
	pthread_mutex_unlock(&queue_lock);
	return got;
}

/* Phases with nothing but allocations or nothing but frees between two barriers, so that the peak is at a barrier; then
 * half of the threads make what the other half frees, far below it. */
static void *cross_thread(void *arg)
{
	unsigned me = (unsigned)(uintptr_t)arg, next = (me + 1) % nr_threads;
	uint64_t seed = me + 100;

	for (unsigned i = 0; i < FILL; i++)
		filled[me][i] = exchange_make(100 + books_random(&seed) % 3000);
	settle();
	for (unsigned i = 0; i < FILL; i++)
		release(&filled[next][i]);
	settle();
	for (unsigned i = 0; i < FILL / 2; i++)
		filled[me][i] = exchange_make(50 + books_random(&seed) % 100);
	settle();
	for (unsigned i = 0; i < 20000; i++)
		if (me % 2 == 0)
			queue_put(producer_make(16 + books_random(&seed) % 300));
	pthread_barrier_wait(&barrier);
	books_merge();
	return NULL;
}

static void *cross_consumer(void *arg)
{
	struct block b, own;

	while (queue_get(&b)) {
		own = consumer_make(77);
		release(&b);
		release(&own); /* not the next call */
	}
	books_merge();
	return NULL;
}

static int mode_threads(int argc, char **argv)
{
	pthread_t consumers[2];

	pthread_barrier_init(&barrier, NULL, 4);
	start_threads(4, cross_thread);
	books_no_peak = 0;
	for (int i = 0; i < 2; i++)
		target_need(pthread_create(&consumers[i], NULL, cross_consumer, NULL) == 0, "pthread_create");
	join_threads();
	pthread_mutex_lock(&queue_lock);
	queue_end = 1;
	pthread_cond_broadcast(&queue_moved);
	pthread_mutex_unlock(&queue_lock);
	for (int i = 0; i < 2; i++)
		pthread_join(consumers[i], NULL);
	books_write("books.json");
	printf("threads: %llu bytes at the highest\n", (unsigned long long)books_peak_all.bytes);
	return 0;
}

/* ---- many threads, many allocations, freed by whoever comes by (R53) ---- */

BOOKED(storm_small, malloc(size))
BOOKED(storm_large, malloc(size))

#define STORM_SLOTS 4096

/* a block in the hands of one thread at a time: taken and put by exchanging the pointer to its description */
static struct block storm_blocks[THREADS_MAX][STORM_SLOTS * 2]; /* more than can be out of a thread's hands */
static _Atomic(struct block *) storm_slots[STORM_SLOTS];
static unsigned storm_calls;

static void *storm_thread(void *arg)
{
	unsigned me = (unsigned)(uintptr_t)arg, free_at = 0;
	uint64_t seed = me + 7000;

	for (unsigned i = 0; i < storm_calls; i++) {
		uint64_t r = books_random(&seed);
		struct block *b = &storm_blocks[me][free_at];

		/* the description is the thread's own again once its block has been taken out and freed */
		while (__atomic_load_n(&b->p, __ATOMIC_ACQUIRE)) {
			free_at = (free_at + 1) % (STORM_SLOTS * 2);
			b = &storm_blocks[me][free_at];
		}
		*b = r % 1000 == 0 ? storm_large(100000 + (r >> 20) % 1000) : storm_small(16 + (r >> 20) % 500);
		b = atomic_exchange(&storm_slots[(r >> 40) % STORM_SLOTS], b);
		if (b) {
			char *p = b->p;

			books_free(b);
			free(p);
			__atomic_store_n(&b->p, NULL, __ATOMIC_RELEASE);
		}
	}
	books_merge();
	return NULL;
}

static int mode_storm(int argc, char **argv)
{
	unsigned nr = target_number(argc, argv, 1, 16);

	storm_calls = target_number(argc, argv, 2, 40000);
	start_threads(nr, storm_thread);
	join_threads();
	for (unsigned i = 0; i < STORM_SLOTS; i += 2)
		if (storm_slots[i])
			release(storm_slots[i]);
	books_write("books.json");
	printf("storm: %llu allocations\n",
	       (unsigned long long)(books_sum.rows[storm_small_row].calls + books_sum.rows[storm_large_row].calls));
	return 0;
}

/* ---- threads that come and go, each leaving a block ---- */

BOOKED(churn_leak, malloc(size))
BOOKED(churn_free, malloc(size))

static void *churn_thread(void *arg)
{
	struct block a = churn_free(501), b = churn_leak(1009), c = churn_free(502);

	b.p[0] = 1;
	release(&a);
	release(&c);
	books_merge();
	return NULL;
}

static int mode_churn(int argc, char **argv)
{
	unsigned nr = target_number(argc, argv, 1, 2000);

	for (unsigned i = 0; i < nr; i += 8) {
		start_threads(8, churn_thread);
		join_threads();
	}
	books_write("books.json");
	printf("churn\n");
	return 0;
}

/* ---- a storm while libraries come and go (R3) ---- */

BOOKED(loader_make, malloc(size))

static _Atomic int loader_stop;
static char plug_path[8][4096];

static void *loader_allocates(void *arg)
{
	struct block mine[32] = {0};
	uint64_t seed = (uintptr_t)arg;

	while (!loader_stop) {
		uint64_t r = books_random(&seed);
		struct block *b = &mine[r % 32];

		release(b);
		*b = loader_make(16 + (r >> 10) % 2000);
	}
	for (int i = 0; i < 32; i++)
		release(&mine[i]);
	books_merge();
	return NULL;
}

static void *loader_loads(void *arg)
{
	unsigned i = (unsigned)(uintptr_t)arg;

	while (!loader_stop) {
		void *lib = dlopen(plug_path[i % 8], RTLD_NOW);
		int (*run)(unsigned) = lib ? (int (*)(unsigned))dlsym(lib, "plug_run") : NULL;

		target_need(run && run(100) == (int)(i % 8), "a plug-in");
		dlclose(lib);
		i += 2;
	}
	return NULL;
}

static void *loader_either(void *arg)
{
	return (uintptr_t)arg < 4 ? loader_allocates(arg) : loader_loads(arg);
}

static int mode_loader(int argc, char **argv)
{
	unsigned ms = target_number(argc, argv, 1, 1000);
	ssize_t n;

	for (int i = 0; i < 8; i++) {
		n = readlink("/proc/self/exe", plug_path[i], sizeof plug_path[i] - 64);
		target_need(n > 0, "readlink");
		plug_path[i][n] = 0;
		sprintf(strrchr(plug_path[i], '/'), "/plug%d.so", i);
	}
	start_threads(6, loader_either);
	usleep(ms * 1000);
	loader_stop = 1;
	join_threads();
	books_write("books.json");
	printf("loader\n");
	return 0;
}

/* ---- children ---- */

BOOKED(parent_keeps, malloc(size))
BOOKED(parent_frees, malloc(size))
BOOKED(child_keeps, malloc(size))
BOOKED(child_frees, malloc(size))
BOOKED(vfork_makes, malloc(size))

/* Whose books end here: the parent's columns do not belong to the child. */
static void forget_books(void)
{
	memset(&books_sum, 0, sizeof books_sum);
	memset(books_mine.rows, 0, sizeof books_mine.rows);
	memset(books_peaks, 0, sizeof books_peaks);
	books_peak_all = (struct books_peak){0};
	books_live_bytes = books_live_calls = 0;
	books_mine.serial = 0;
}

static void child(unsigned nr, struct block *inherited)
{
	char path[64];

	forget_books();
	for (unsigned i = 0; i < 100 + nr; i++) {
		struct block a = child_keeps(300 + nr), b = child_frees(50);

		a.p[0] = 1;
		release(&b);
	}
	free(inherited[nr].p); /* of a block that is known to the parent's books only */
	sprintf(path, "books.%u.json", nr);
	books_write(path);
	_exit((int)nr);
}

extern char **environ;

static int mode_fork(int argc, char **argv)
{
	static struct block kept[20];
	char *true_argv[] = {"true", NULL};
	int status;
	pid_t pid;

	for (unsigned i = 0; i < 20; i++) {
		struct block b = parent_frees(4000 + i);

		kept[i] = parent_keeps(1000 + i);
		pid = fork();
		if (pid == 0)
			child(i, kept);
		release(&b);
		target_need(target_wait(pid, &status) == pid, "fork");
		target_print_status("child", status);
	}
	/* what a vfork child allocates is in its parent's memory, and the parent frees it (R32) */
	for (unsigned i = 0; i < 20; i++) {
		static struct block b;

		pid = vfork();
		if (pid == 0) {
			b = vfork_makes(2000 + i);
			if (i % 2)
				execl("/nonexistent", "nonexistent", NULL);
			_exit(3);
		}
		target_need(target_wait(pid, &status) == pid, "vfork");
		if (i % 3)
			release(&b);
	}
	target_need(posix_spawnp(&pid, "true", NULL, NULL, true_argv, environ) == 0, "posix_spawn");
	target_need(target_wait(pid, &status) == pid, "posix_spawn");
	target_print_status("true", status);
	books_write("books.json");
	printf("fork\n");
	return 0;
}

/* ---- handlers that allocate (R25) ---- */

BOOKED(handler_makes, malloc(size))
BOOKED(fault_makes, calloc(size, 1))
BOOKED(between_handlers, malloc(size))

static volatile sig_atomic_t may_allocate;
static _Atomic unsigned nr_ticks;
static struct block handler_blocks[64];

/* The program allows this where it is not in the allocator itself. */
static void on_tick(int sig)
{
	if (!may_allocate)
		return;
	struct block *b = &handler_blocks[nr_ticks++ % 64];

	release(b);
	*b = handler_makes(123);
}

static char *fault_page;

static void on_fault(int sig, siginfo_t *info, void *context)
{
	struct block b = fault_makes(456);

	mprotect(fault_page, 4096, PROT_READ | PROT_WRITE);
	release(&b);
}

static int mode_signal(int argc, char **argv)
{
	struct sigaction tick = {.sa_handler = on_tick, .sa_flags = SA_RESTART};
	struct sigaction fault = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
	struct itimerval every = {.it_interval.tv_usec = 1000, .it_value.tv_usec = 1000};

	fault_page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	sigaction(SIGALRM, &tick, NULL);
	sigaction(SIGSEGV, &fault, NULL);
	setitimer(ITIMER_REAL, &every, NULL);
	for (unsigned i = 0; i < 1000; i++) {
		struct block b = between_handlers(64 + i);

		mprotect(fault_page, 4096, PROT_NONE);
		*(volatile char *)fault_page = 1;
		may_allocate = 1;
		raise(SIGALRM);
		target_spin(20000);
		may_allocate = 0;
		release(&b);
	}
	setitimer(ITIMER_REAL, &(struct itimerval){0}, NULL);
	books_write("books.json");
	printf("handler ran often: %d\n", nr_ticks >= 1000);
	return 0;
}

/* ---- no memory (R3, R54) ---- */

BOOKED(limited_make, malloc(size))
BOOKED(limited_calloc, calloc(1, size))

/* The program takes all it may have, is refused, frees it, and can have it again: twice as much as was left over is
 * never refused the second time. */
static int mode_limit(int argc, char **argv)
{
	static struct block blocks[4096];
	struct rlimit limit = {.rlim_cur = (rlim_t)target_number(argc, argv, 1, 400) << 20, .rlim_max = RLIM_INFINITY};

	target_need(setrlimit(RLIMIT_AS, &limit) == 0, "setrlimit");
	for (int round = 0; round < 5; round++) {
		unsigned nr = 0;

		errno = 0;
		for (; nr < 4096; nr++) {
			blocks[nr] = nr % 2 ? limited_make(1 << 20) : limited_calloc(1 << 20);
			if (!blocks[nr].p)
				break;
			blocks[nr].p[4096] = 1;
		}
		printf("round %d: refused %d errno %d, had %s\n", round, nr<4096, errno, nr> 100 ? "much" : "little");
		for (unsigned i = 0; i < nr; i++)
			release(&blocks[i]);
		for (unsigned i = 0; i < 1000; i++) {
			struct block b = limited_make(100 + i);

			release(&b);
		}
	}
	books_write("books.json");
	return 0;
}

/* ---- killed in the middle ---- */

BOOKED(killed_make, malloc(size))

/* Counts in a shared file what has been done: `counter.bin` holds calls and frees, each stored after it happened. */
static int mode_killed(int argc, char **argv)
{
	unsigned ms = target_number(argc, argv, 1, 300);
	uint64_t end = target_clock_ns(CLOCK_MONOTONIC) + (uint64_t)ms * 1000000u;
	int fd = open("counter.bin", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	_Atomic uint64_t *done;

	target_need(fd >= 0 && ftruncate(fd, 4096) == 0, "counter.bin");
	done = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	target_need(done != MAP_FAILED, "mmap");
	for (;;) {
		struct block a = killed_make(200), b;

		done[0]++;
		b = killed_make(300);
		done[0]++;
		release(&a);
		done[1]++;
		if (done[0] % 64)
			b.p[0] = 1;
		if (b.p[0] != 1) {
			release(&b);
			done[1]++;
		}
		target_spin(30); /* a rate that the collector keeps up with */
		if (done[0] % 256 == 0 && target_clock_ns(CLOCK_MONOTONIC) > end)
			raise(SIGKILL);
	}
	return 1;
}

/* ---- a steady storm, timed: how long did any single pair take? ---- */

BOOKED(timed_make, malloc(size))

/* What the kernel says this thread waited for a processor, ns: the machine's doing, nobody's here. */
static uint64_t waited_ns(int fd)
{
	unsigned long long ran, waited;
	char line[100];
	ssize_t n = pread(fd, line, sizeof line - 1, 0);

	line[n > 0 ? n : 0] = 0;
	return sscanf(line, "%llu %llu", &ran, &waited) == 2 ? waited : 0;
}

/* Pairs that took long: when each began, and how long. */
static struct {
	uint64_t at_ns, ns;
} holds[20000];
static size_t nr_holds;

static void hold_add(uint64_t at_ns, uint64_t ns)
{
	if (nr_holds < sizeof holds / sizeof *holds)
		holds[nr_holds++] = (__typeof__(holds[0])){at_ns, ns};
}

static void holds_write(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	char line[64];

	for (size_t i = 0; i < nr_holds; i++) {
		int n = snprintf(line, sizeof line, "%llu %llu\n", (unsigned long long)holds[i].at_ns,
				 (unsigned long long)holds[i].ns);

		target_need(write(fd, line, (size_t)n) == n, path);
	}
	close(fd);
}

/* For ms milliseconds of wall time, pairs as fast as they go. Into timed.txt: pairs, the longest one's nanoseconds of
 * wall time, the sum of all that took longer than 1 ms, and the wall time in all; into holds.txt each of these with its
 * time. The time the thread waited for a processor is left out of all. */
static int mode_timed(int argc, char **argv)
{
	uint64_t ms = target_number(argc, argv, 1, 2000), start = target_clock_ns(CLOCK_MONOTONIC),
		 end = start + ms * 1000000u;
	int fd = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC), n;
	uint64_t pairs = 0, longest = 0, held = 0, now = start, last, waited = waited_ns(fd);
	char line[200];

	for (; now < end; pairs++) {
		struct block b;

		last = now;
		b = timed_make(64);
		release(&b);
		now = target_clock_ns(CLOCK_MONOTONIC);
		if (now - last > 1000000u) {
			uint64_t w = waited_ns(fd), took = now - last;

			took = took > w - waited ? took - (w - waited) : 0;
			waited = w;
			longest = took > longest ? took : longest;
			held += took > 1000000u ? took : 0;
			if (took > 1000000u)
				hold_add(last, took);
			now = target_clock_ns(CLOCK_MONOTONIC);
		}
	}
	close(fd);
	fd = open("timed.txt", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	n = snprintf(line, sizeof line, "pairs=%llu\nlongest_ns=%llu\nheld_ns=%llu\nwall_ns=%llu\n",
		     (unsigned long long)pairs, (unsigned long long)longest, (unsigned long long)held,
		     (unsigned long long)(now - start));
	target_need(fd >= 0 && write(fd, line, (size_t)n) == n, "timed.txt");
	holds_write("holds.txt");
	books_write("books.json");
	printf("timed\n");
	return 0;
}

static const struct target_mode modes[] = {
    {"threads", mode_threads}, {"storm", mode_storm},
    {"churn", mode_churn},     {"loader", mode_loader},
    {"fork", mode_fork},       {"signal", mode_signal},
    {"limit", mode_limit},     {"killed", mode_killed},
    {"timed", mode_timed},     {0},
};

int main(int argc, char **argv)
{
	books_begin();
	return target_main(modes, argc, argv);
}
