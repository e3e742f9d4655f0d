/* What the signal functions answer, call by call, for SIGPROF, for the real-time signals and for others: the same with
 * and without the agent. The CPU is burned between the calls, so that ticks come in. */
#include <dlfcn.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/signalfd.h>
#include <sys/time.h>

#include "target.h"

#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

#define old_bit(sig) (1 << ((sig)-1)) /* for the functions of BSD */

typedef void handler_fn(int);
handler_fn *bsd_signal(int sig, handler_fn *handler);
handler_fn *ssignal(int sig, handler_fn *handler);
handler_fn *sysv_signal(int sig, handler_fn *handler);
int bsd_sigpause(int mask) __asm__("sigpause");

static volatile sig_atomic_t calls[65];
static volatile sig_atomic_t last_value;

static void count(int sig)
{
	calls[sig]++;
}

static void count_info(int sig, siginfo_t *info, void *context)
{
	(void)context;
	calls[sig]++;
	last_value = info->si_value.sival_int;
}

static void print_set(const char *what, const sigset_t *set)
{
	printf("%s:", what);
	for (int sig = 1; sig <= 64; sig++)
		if (sigismember(set, sig) == 1)
			printf(" %d", sig);
	printf("\n");
}

static void print_mask(const char *what)
{
	sigset_t now;

	sigemptyset(&now);
	target_need(pthread_sigmask(SIG_SETMASK, NULL, &now) == 0, "pthread_sigmask");
	print_set(what, &now);
	target_burn_ms(6);
}

static sigset_t set_of(int sig, int sig2)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, sig);
	if (sig2)
		sigaddset(&set, sig2);
	return set;
}

/* ---- masks ---- */

static void change(const char *what, int how, sigset_t set)
{
	sigset_t old;

	sigemptyset(&old);
	printf("%s: %d\n", what, sigprocmask(how, &set, &old));
	print_set(" before", &old);
	print_mask(" after");
}

static int run_masks(int argc, char **argv)
{
	sigset_t full, none, both, *volatile old = &both;
	int (*siggetmask_now)(void) = (int (*)(void))dlsym(RTLD_DEFAULT, "siggetmask");

	(void)argc, (void)argv;
	sigfillset(&full);
	sigemptyset(&none);
	print_mask("start");
	change("block PROF USR1", SIG_BLOCK, set_of(SIGPROF, SIGUSR1));
	change("unblock USR1", SIG_UNBLOCK, set_of(SIGUSR1, 0));
	change("unblock PROF", SIG_UNBLOCK, set_of(SIGPROF, 0));
	change("everything", SIG_SETMASK, full);
	change("nothing", SIG_SETMASK, none);
	for (int sig = SIGRTMIN; sig <= SIGRTMAX; sig++)
		change("one real-time signal", SIG_BLOCK, set_of(sig, 0));
	change("nothing", SIG_SETMASK, none);
	printf("bad how: %d %s\n", sigprocmask(77, &full, NULL), strerror(errno));
	printf("bad how: %s\n", strerror(pthread_sigmask(77, &full, NULL)));
	printf("bad how, no set: %d\n", sigprocmask(77, NULL, &both));
	print_set(" read", &both);
	both = set_of(SIGPROF, SIGTERM);
	printf("in place: %d\n", sigprocmask(SIG_SETMASK, &both, old));
	print_set(" read", &both);
	printf("sigblock %#x\n", (unsigned)sigblock(old_bit(SIGPROF) | old_bit(SIGHUP)));
	print_mask(" after");
	printf("sigsetmask %#x\n", (unsigned)sigsetmask(old_bit(SIGPROF)));
	print_mask(" after");
	printf("siggetmask %#x\n", (unsigned)siggetmask_now());
	printf("sigsetmask %#x\n", (unsigned)sigsetmask(0));
	printf("sighold %d %d\n", sighold(SIGPROF), sighold(SIGUSR2));
	print_mask(" after");
	printf("sigrelse %d %d\n", sigrelse(SIGPROF), sigrelse(SIGUSR2));
	print_mask(" after");
	printf("sighold of none %d %d\n", sighold(0), sighold(65));
	return 0;
}

/* ---- actions ---- */

static void print_action(int sig)
{
	struct sigaction now;

	memset(&now, 0, sizeof(now));
	if (sigaction(sig, NULL, &now) != 0) {
		printf("action %d: %s\n", sig, strerror(errno));
		return;
	}
	printf("action %d: %s flags %#x", sig,
	       now.sa_handler == SIG_DFL        ? "default"
	       : now.sa_handler == SIG_IGN      ? "ignore"
	       : now.sa_handler == count        ? "count"
	       : now.sa_sigaction == count_info ? "count_info"
						: "somebody's",
	       (unsigned)now.sa_flags);
	print_set(" mask", &now.sa_mask);
}

static const char *name_of(handler_fn *handler)
{
	return handler == SIG_ERR    ? "error"
	       : handler == SIG_DFL  ? "default"
	       : handler == SIG_IGN  ? "ignore"
	       : handler == SIG_HOLD ? "hold"
	       : handler == count    ? "count"
				     : "somebody's";
}

static void set_action(int sig, handler_fn *handler, int flags, sigset_t mask)
{
	struct sigaction act = {.sa_handler = handler, .sa_flags = flags, .sa_mask = mask};
	struct sigaction old;
	int ret;

	memset(&old, 0, sizeof(old));
	ret = sigaction(sig, &act, &old);
	printf("sigaction %d: %d, was %s flags %#x\n", sig, ret, name_of(old.sa_handler), (unsigned)old.sa_flags);
	print_action(sig);
	target_burn_ms(6);
}

/* argv[1] names the function that shows the first interest in SIGPROF */
static int run_actions(int argc, char **argv)
{
	const char *how = argc > 1 ? argv[1] : "sigaction";
	sigset_t none, full;

	sigemptyset(&none);
	sigfillset(&full);
	for (int sig = 1; sig <= 65; sig++)
		print_action(sig);
	set_action(SIGPROF, SIG_DFL, SA_RESTART | SA_NODEFER, set_of(SIGUSR1, SIGKILL));
	set_action(SIGPROF, SIG_DFL, 0, none);
	if (!strcmp(how, "sigaction")) {
		set_action(SIGPROF, count, SA_RESTART, none);
	} else {
		handler_fn *was = !strcmp(how, "signal")        ? signal(SIGPROF, count)
				  : !strcmp(how, "bsd_signal")  ? bsd_signal(SIGPROF, count)
				  : !strcmp(how, "ssignal")     ? ssignal(SIGPROF, count)
				  : !strcmp(how, "sysv_signal") ? sysv_signal(SIGPROF, count)
								: sigset(SIGPROF, count);
		printf("%s: was %s\n", how, name_of(was));
		print_action(SIGPROF);
	}
	target_burn_ms(40);
	printf("calls %d\n", calls[SIGPROF]);
	raise(SIGPROF);
	printf("calls %d\n", calls[SIGPROF]);
	set_action(SIGPROF, SIG_IGN, 0, none);
	raise(SIGPROF);
	set_action(SIGPROF, SIG_DFL, 0, full);
	for (int sig = SIGRTMIN; sig <= SIGRTMAX; sig++) {
		set_action(sig, count, SA_SIGINFO, full);
		raise(sig);
		printf("calls %d\n", calls[sig]);
	}
	target_burn_ms(40);
	for (int sig = SIGRTMIN; sig <= SIGRTMAX; sig++)
		set_action(sig, SIG_DFL, 0, none);
	return 0;
}

static int run_onstack(int argc, char **argv)
{
	stack_t stack = {.ss_sp = malloc(65536), .ss_size = 65536}, old;
	sigset_t none;

	(void)argc, (void)argv;
	sigemptyset(&none);
	printf("sigaltstack %d\n", sigaltstack(&stack, &old));
	printf("before: %#x, %zu\n", (unsigned)old.ss_flags, old.ss_size);
	set_action(SIGUSR1, count, SA_ONSTACK, none);
	set_action(SIGUSR1, count, SA_ONSTACK, set_of(SIGPROF, SIGUSR2));
	set_action(SIGUSR1, count, SA_ONSTACK, none);
	printf("signal: was %s\n", name_of(signal(SIGUSR1, count)));
	print_action(SIGUSR1);
	set_action(SIGUSR2, count, SA_ONSTACK, set_of(SIGPROF, 0));
	set_action(SIGPROF, count, SA_ONSTACK, none);
	print_action(SIGUSR1);
	print_action(SIGUSR2);
	stack.ss_size = MINSIGSTKSZ;
	printf("small: %d\n", sigaltstack(&stack, NULL));
	target_burn_ms(20);
	return 0;
}

static int run_old(int argc, char **argv)
{
	(void)argc, (void)argv;
	printf("sigset hold: %s\n", name_of(sigset(SIGPROF, SIG_HOLD)));
	print_mask(" after");
	printf("sigset hold: %s\n", name_of(sigset(SIGPROF, SIG_HOLD)));
	printf("sigset default: %s\n", name_of(sigset(SIGPROF, SIG_DFL)));
	print_mask(" after");
	printf("sigset hold: %s\n", name_of(sigset(SIGPROF, SIG_HOLD)));
	printf("sigset count: %s\n", name_of(sigset(SIGPROF, count)));
	print_mask(" after");
	print_action(SIGPROF);
	printf("sigset error: %s\n", name_of(sigset(SIGPROF, SIG_ERR)));
	printf("sigignore %d\n", sigignore(SIGPROF));
	print_action(SIGPROF);
	return 0;
}

/* A libc function that sets actions from inside libc. */
static int run_interrupt(int argc, char **argv)
{
	(void)argc, (void)argv;
	for (int on = 1; on >= 0; on--) {
		printf("siginterrupt %d %d\n", siginterrupt(SIGPROF, on), siginterrupt(SIGRTMAX - 3, on));
		target_burn_ms(40);
	}
	printf("signal: was %s\n", name_of(signal(SIGPROF, count)));
	print_action(SIGPROF);
	raise(SIGPROF);
	printf("calls %d\n", calls[SIGPROF]);
	return 0;
}

static int run_ignore(int argc, char **argv)
{
	(void)argc, (void)argv;
	printf("signal error: %s\n", name_of(signal(SIGPROF, SIG_ERR)));
	printf("sigignore %d\n", sigignore(SIGPROF));
	raise(SIGPROF);
	print_action(SIGPROF);
	target_burn_ms(40);
	return 0;
}

/* ---- signals that are sent ---- */

static int run_die(int argc, char **argv)
{
	const char *how = argc > 1 ? argv[1] : "raise";
	struct itimerval soon = {.it_value = {.tv_usec = 10000}};

	printf("dying by %s\n", how);
	fflush(stdout);
	target_burn_ms(20);
	if (!strcmp(how, "raise"))
		raise(SIGPROF);
	else if (!strcmp(how, "kill"))
		kill(getpid(), SIGPROF);
	else if (!strcmp(how, "realtime"))
		raise(SIGRTMAX - 3);
	else if (!strcmp(how, "held")) {
		sighold(SIGPROF);
		kill(getpid(), SIGPROF);
		printf("still alive\n");
		fflush(stdout);
		sigrelse(SIGPROF);
	} else
		setitimer(ITIMER_PROF, &soon, NULL);
	target_burn_ms(500);
	printf("survived\n");
	return 1;
}

static void *burner(void *ms)
{
	target_burn_ms((unsigned)(uintptr_t)ms);
	return NULL;
}

static void send_value(int sig, int value)
{
	union sigval v = {.sival_int = value};

	target_need(sigqueue(getpid(), sig, v) == 0, "sigqueue");
}

/* Blocked everywhere, sent, then taken by sigwaitinfo or handled after the unblocking: nothing is lost, values stay. */
static int run_sent(int argc, char **argv)
{
	struct timespec second = {.tv_sec = 5};
	struct sigaction act = {.sa_sigaction = count_info, .sa_flags = SA_SIGINFO};
	sigset_t all, pending, one;
	pthread_t threads[3];
	siginfo_t info;

	(void)argc, (void)argv;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, NULL);
	for (unsigned i = 0; i < 3; i++)
		target_need(pthread_create(&threads[i], NULL, burner, (void *)200) == 0, "pthread_create");
	target_burn_ms(30);
	send_value(SIGPROF, 1001);
	target_burn_ms(30);
	sigpending(&pending);
	printf("pending %d\n", sigismember(&pending, SIGPROF));
	one = set_of(SIGPROF, 0);
	printf("got %d", sigtimedwait(&one, &info, &second));
	printf(" value %d code %d\n", info.si_value.sival_int, info.si_code);
	for (int sig = SIGRTMIN; sig <= SIGRTMAX; sig++)
		send_value(sig, sig * 10);
	for (int sig = SIGRTMIN; sig <= SIGRTMAX; sig++) {
		one = set_of(sig, 0);
		printf("got %d", sigtimedwait(&one, &info, &second));
		printf(" value %d\n", info.si_value.sival_int);
	}
	send_value(SIGPROF, 1002);
	sigaction(SIGPROF, &act, NULL);
	printf("handled %d\n", calls[SIGPROF]);
	one = set_of(SIGPROF, 0);
	pthread_sigmask(SIG_UNBLOCK, &one, NULL);
	printf("handled %d value %d\n", calls[SIGPROF], last_value);
	for (unsigned i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	print_mask("mask");
	return 0;
}

/* ---- waits ---- */

static void *sender(void *tid)
{
	pthread_t to = *(pthread_t *)tid;

	for (int i = 0; i < 50; i++) {
		target_burn_ms(4);
		pthread_kill(to, SIGUSR1);
		while (calls[SIGUSR1] <= i)
			usleep(200);
	}
	return NULL;
}

/* Each wait returns for SIGUSR1 and for nothing else: as often as it was sent. */
static int run_suspend(int argc, char **argv)
{
	unsigned how = target_number(argc, argv, 1, 0);
	struct timespec long_time = {.tv_sec = 20};
	pthread_t self = pthread_self(), thread;
	sigset_t mask, usr1 = set_of(SIGUSR1, 0);
	int epfd = epoll_create1(0);
	struct epoll_event event;
	unsigned returns = 0;

	signal(SIGUSR1, count);
	pthread_sigmask(SIG_BLOCK, &usr1, NULL);
	target_need(pthread_create(&thread, NULL, sender, &self) == 0, "pthread_create");
	sigfillset(&mask);
	sigdelset(&mask, SIGUSR1);
	while (calls[SIGUSR1] < 50) {
		int before = calls[SIGUSR1], ret;

		target_burn_ms(2);
		ret = how == 0   ? sigsuspend(&mask)
		      : how == 1 ? ppoll(NULL, 0, &long_time, &mask)
		      : how == 2 ? pselect(0, NULL, NULL, NULL, &long_time, &mask)
		      : how == 3 ? epoll_pwait(epfd, &event, 1, 20000, &mask)
				 : bsd_sigpause(~old_bit(SIGUSR1));
		returns += ret == -1 && errno == EINTR;
		if (calls[SIGUSR1] == before)
			printf("returned for nothing\n");
	}
	pthread_join(thread, NULL);
	printf("returns %u\n", returns);
	print_mask("mask");
	return 0;
}

static void cleanup(void *what)
{
	printf("cleanup of %s\n", (const char *)what);
}

static void *waiter(void *arg)
{
	sigset_t all;
	int sig;

	sigfillset(&all);
	pthread_cleanup_push(cleanup, arg);
	if (!strcmp(arg, "sigwait"))
		sigwait(&all, &sig);
	else
		sigwaitinfo(&all, NULL);
	pthread_cleanup_pop(0);
	return NULL;
}

static int run_cancel(int argc, char **argv)
{
	static const char *const names[] = {"sigwait", "sigwaitinfo"};

	(void)argc, (void)argv;
	for (unsigned i = 0; i < 2; i++) {
		pthread_t thread;
		void *ret;

		target_need(pthread_create(&thread, NULL, waiter, (void *)names[i]) == 0, "pthread_create");
		target_burn_ms(20);
		pthread_cancel(thread);
		pthread_join(thread, &ret);
		printf("%s %s\n", names[i], ret == PTHREAD_CANCELED ? "cancelled" : "ended");
	}
	return 0;
}

/* ---- threads ---- */

static void *show_mask(void *what)
{
	print_mask(what);
	return NULL;
}

static void in_thread(const pthread_attr_t *attr, const char *what)
{
	pthread_t thread;

	target_need(pthread_create(&thread, attr, show_mask, (void *)what) == 0, "pthread_create");
	pthread_join(thread, NULL);
}

static int run_inherit(int argc, char **argv)
{
	sigset_t set = set_of(SIGPROF, SIGRTMAX - 3);
	pthread_attr_t attr;

	(void)argc, (void)argv;
	in_thread(NULL, "plain thread");
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	in_thread(NULL, "thread of a blocking one");
	pthread_attr_init(&attr);
	sigemptyset(&set);
	pthread_attr_setsigmask_np(&attr, &set);
	in_thread(&attr, "thread with an empty mask of its own");
	set = set_of(SIGPROF, 0);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	pthread_attr_setsigmask_np(&attr, &set);
	in_thread(&attr, "thread with a mask of its own");
	return 0;
}

static volatile int storm_over;

static void *storm_thread(void *seed)
{
	struct sigaction act = {.sa_handler = count};
	uint64_t x = (uintptr_t)seed;
	sigset_t set, old;

	while (!storm_over) {
		int sig = x % 3 ? SIGPROF : SIGRTMAX - 3 - (int)(x % 5);

		x = x * 6364136223846793005u + 1442695040888963407u;
		act.sa_handler = x >> 60 < 8 ? count : SIG_IGN;
		sigaction(sig, &act, NULL);
		sigfillset(&set);
		pthread_sigmask(x >> 59 & 1 ? SIG_BLOCK : SIG_UNBLOCK, &set, &old);
		target_spin(1000);
	}
	return NULL;
}

/* Several threads claim all our signals at the same time while ticks come in. */
static int run_storm(int argc, char **argv)
{
	pthread_t threads[4];

	(void)argc, (void)argv;
	for (unsigned i = 0; i < 4; i++)
		target_need(pthread_create(&threads[i], NULL, storm_thread, (void *)(uintptr_t)(i + 1)) == 0,
			    "pthread_create");
	target_burn_ms(400);
	storm_over = 1;
	for (unsigned i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	printf("calls %d\n", calls[SIGPROF]);
	return 0;
}

static const struct target_mode modes[] = {
    {"masks", run_masks},   {"actions", run_actions}, {"onstack", run_onstack},
    {"old", run_old},       {"ignore", run_ignore},   {"interrupt", run_interrupt},
    {"die", run_die},       {"sent", run_sent},       {"suspend", run_suspend},
    {"cancel", run_cancel}, {"inherit", run_inherit}, {"storm", run_storm},
    {NULL, NULL},
};

int main(int argc, char **argv)
{
	return target_main(modes, argc, argv);
}
