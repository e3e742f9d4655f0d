/* The walker's oracle: preloaded into a program, it samples the main thread by CPU time and walks each sample twice,
 * with our walker and with libunwind, and counts how far they agree. Differing stacks are written to a file at exit.
 *
 * A test tool, not the agent: libunwind in a handler may deadlock in programs that load libraries; run-oracle has a
 * time limit. Environment: ORACLE_OUT (a file; the pid is appended), ORACLE_HZ. The functions of libunwind are
 * looked up by name, so that nothing of it is linked. */
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define UNW_LOCAL_ONLY
#include <libunwind.h>

#include "agent/walk_sig.h"
#include "common/atomics.h"

#define FRAMES      400
#define KEPT        400 /* differing stacks kept for the file */
#define KEPT_FRAMES 64

enum verdict {
	SAME,
	SHORTER,   /* ours ends first */
	LONGER,    /* libunwind ends first, or runs into no module and ends there */
	DIFFERENT, /* both go on, with other frames */
	NR_VERDICTS
};

struct kept {
	int verdict;
	int at; /* first differing frame */
	int stop;
	int nr_ours, nr_theirs, their_end;
	uint64_t ours[KEPT_FRAMES];
	uint64_t theirs[KEPT_FRAMES];
	uint64_t regs[3];
};

static int (*unw_init)(unw_cursor_t *, unw_context_t *, int);
static int (*unw_step_)(unw_cursor_t *);
static int (*unw_reg)(unw_cursor_t *, int, unw_word_t *);
static struct kept kept[KEPT];
static unsigned nr_kept;
static unsigned long counts[NR_VERDICTS];
static unsigned long stops[PA_STOP_REASONS];
static unsigned long depth_sum, samples;
static pid_t tid;
static uint64_t stack_hi;
static char out_name[400];

extern void *__libc_stack_end;

static int walk_theirs(ucontext_t *uc, uint64_t *pcs, int *end)
{
	static unw_cursor_t cursor;
	static unw_context_t copy;
	unw_word_t pc;
	int n = 0, ret;

	memcpy(&copy, uc, sizeof(copy)); /* libunwind may write into it */
	if (unw_init(&cursor, &copy, UNW_INIT_SIGNAL_FRAME))
		return 0;
	do {
		unw_reg(&cursor, UNW_REG_IP, &pc);
		if (!pc)
			break;
		pcs[n++] = pc;
		ret = unw_step_(&cursor);
		*end = ret;
	} while (ret > 0 && n < FRAMES);
	return n;
}

static void keep(int verdict, int at, const uint64_t *ours, int n, const uint64_t *theirs, int m, int end, int stop,
		 const ucontext_t *uc)
{
	struct kept *k = &kept[nr_kept];

	if (nr_kept == KEPT)
		return;
	nr_kept++;
	k->verdict = verdict;
	k->at = at;
	k->stop = stop;
	k->nr_ours = n;
	k->nr_theirs = m;
	k->their_end = end;
	memcpy(k->ours, ours, sizeof(uint64_t) * (size_t)(n < KEPT_FRAMES ? n : KEPT_FRAMES));
	memcpy(k->theirs, theirs, sizeof(uint64_t) * (size_t)(m < KEPT_FRAMES ? m : KEPT_FRAMES));
	k->regs[0] = (uint64_t)uc->uc_mcontext.gregs[REG_RSP];
	k->regs[1] = (uint64_t)uc->uc_mcontext.gregs[REG_RBP];
	k->regs[2] = (uint64_t)uc->uc_mcontext.gregs[REG_RIP];
}

/* libunwind went astray: the frame is its last one and in no module, which no stack begins in. */
static bool is_stray(const uint64_t *theirs, int at, int nr)
{
	uint64_t start, end;

	return at + 1 == nr && !pa_walk_module_at_sig(theirs[at], &start, &end);
}

static void compare(ucontext_t *uc)
{
	static uint64_t ours[FRAMES], theirs[FRAMES];
	static uint64_t page[4096 / sizeof(uint64_t)]; /* the walk before this one, as the agent remembers it */
	static struct pa_walk_info info = {.memo = (struct pa_memo *)page};
	struct pa_stack_bounds bounds = {(uint64_t)uc->uc_mcontext.gregs[REG_RSP], stack_hi};
	int n, m, i, end = 0, verdict = SAME;

	if (bounds.lo >= stack_hi || stack_hi - bounds.lo > (8u << 20))
		bounds.lo = bounds.hi = 0;
	n = (int)pa_walk_sig(uc, &bounds, ours, FRAMES, &info);
	m = walk_theirs(uc, theirs, &end);
	for (i = 0; i < n; i++)
		ours[i] &= ~PA_FRAME_EXACT;
	for (i = 0; i < n && i < m && ours[i] == theirs[i]; i++)
		;
	if (i < n || i < m)
		verdict = i == m || is_stray(theirs, i, m) ? LONGER : i == n ? SHORTER : DIFFERENT;
	samples++;
	depth_sum += (unsigned)n;
	counts[verdict]++;
	stops[info.stop]++;
	if (verdict != SAME)
		keep(verdict, i, ours, n, theirs, m, end, info.stop, uc);
}

static void handler(int sig, siginfo_t *info, void *context)
{
	static volatile sig_atomic_t busy;
	int saved = errno;

	if (!busy && syscall(SYS_gettid) == tid) {
		busy = 1;
		compare(context);
		busy = 0;
	}
	errno = saved;
}

static void print_frame(FILE *f, char mark, uint64_t pc)
{
	Dl_info where;

	if (dladdr((void *)(pc - 1), &where) && where.dli_fname)
		fprintf(f, "   %c %#llx %s+%#llx %s\n", mark, (unsigned long long)pc, where.dli_fname,
			(unsigned long long)(pc - (uint64_t)where.dli_fbase), where.dli_sname ? where.dli_sname : "");
	else
		fprintf(f, "   %c %#llx\n", mark, (unsigned long long)pc);
}

static void print_kept(FILE *f, const struct kept *k)
{
	static const char *const names[] = {"same", "shorter", "longer", "DIFFERENT"};
	int from = k->at > 2 ? k->at - 2 : 0;

	fprintf(f, "%s at %d: ours %d (stop %d), libunwind %d (%d), rsp %#llx rbp %#llx\n", names[k->verdict], k->at,
		k->nr_ours, k->stop, k->nr_theirs, k->their_end, (unsigned long long)k->regs[0],
		(unsigned long long)k->regs[1]);
	for (int i = from; i < k->nr_ours && i < k->at + 3 && i < KEPT_FRAMES; i++)
		print_frame(f, i < k->at ? '=' : '-', k->ours[i]);
	for (int i = k->at; i < k->nr_theirs && i < k->at + 3 && i < KEPT_FRAMES; i++)
		print_frame(f, '+', k->theirs[i]);
}

static __attribute__((destructor)) void report(void)
{
	char name[512];
	FILE *f;

	if (!samples || getpid() != tid)
		return;
	signal(SIGPROF, SIG_IGN);
	snprintf(name, sizeof(name), "%s.%d", out_name, (int)getpid());
	f = fopen(name, "w");
	if (!f)
		return;
	fprintf(f, "samples %lu depth %.1f same %lu (%.3f %%) shorter %lu longer %lu different %lu stops", samples,
		(double)depth_sum / (double)samples, counts[SAME], 100.0 * (double)counts[SAME] / (double)samples,
		counts[SHORTER], counts[LONGER], counts[DIFFERENT]);
	for (int i = 0; i < PA_STOP_REASONS; i++)
		fprintf(f, " %lu", stops[i]);
	fprintf(f, "\n");
	for (unsigned i = 0; i < nr_kept; i++)
		print_kept(f, &kept[i]);
	fclose(f);
}

static void start_timer(long hz)
{
	struct sigaction act = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_RESTART};
	struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGPROF};
	struct itimerspec spec = {.it_interval.tv_nsec = 1000000000 / hz, .it_value.tv_nsec = 1000000000 / hz};
	timer_t timer;

	event._sigev_un._tid = tid;
	sigaction(SIGPROF, &act, NULL);
	if (timer_create(CLOCK_THREAD_CPUTIME_ID, &event, &timer) == 0)
		timer_settime(timer, 0, &spec, NULL);
}

static __attribute__((constructor)) void begin(void)
{
	const char *hz = getenv("ORACLE_HZ");
	void *lib;

	if (getenv("ORACLE_OUT")) /* copied: servers overwrite their environment with a title */
		snprintf(out_name, sizeof(out_name), "%s", getenv("ORACLE_OUT"));
	lib = *out_name ? dlopen("libunwind.so.8", RTLD_NOW | RTLD_LOCAL) : NULL;
	if (!lib)
		return;
	unw_init = (int (*)(unw_cursor_t *, unw_context_t *, int))dlsym(lib, "_ULx86_64_init_local2");
	unw_step_ = (int (*)(unw_cursor_t *))dlsym(lib, "_ULx86_64_step");
	unw_reg = (int (*)(unw_cursor_t *, int, unw_word_t *))dlsym(lib, "_ULx86_64_get_reg");
	tid = (pid_t)syscall(SYS_gettid);
	stack_hi = (uint64_t)__libc_stack_end;
	if (unw_init && unw_step_ && unw_reg && pa_walk_init() == 0)
		start_timer(hz ? atol(hz) : 250);
}
