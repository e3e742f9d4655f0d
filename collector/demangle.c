/* libiberty's demangler inside three bounds: the output is cut by leaving from its callback, recursion by its own limit
 * or a stack that is large enough for the longest name let in, and time by a thread that can be cancelled.
 * Leaving in the middle is safe because the callback interface allocates nothing but stack. World: plain. */
#include "collector/demangle.h"

#include <ctype.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <libiberty/demangle.h>

#define SHORT_MAX      1024         /* libiberty's own limit when it guards its recursion */
#define HELPER_STACK   (256u << 20) /* 8 KiB of name, each byte a level, and tables of templates times scopes */
#define REFERENCES_MAX 24           /* back references a name may have to be demangled without a clock */
#define NAME_CPU_NS    50000000L    /* of one name */
#define TROUBLE_CPU_NS 1000000000L  /* of all names that ran into NAME_CPU_NS */

struct job {
	const char *name;
	int options;
	char *out; /* PA_NAME_MAX bytes, not terminated */
	size_t len;
	jmp_buf full;
	bool done;
	sem_t finished;
};

/* A cancelled thread leaves its frames without returning: AddressSanitizer must not mark them, or it takes what runs on
 * that stack afterwards (the end of the thread) for an overflow. */
#define MAY_BE_CANCELLED __attribute__((no_sanitize("address")))

MAY_BE_CANCELLED static void take_output(const char *text, size_t len, void *opaque)
{
	struct job *job = opaque;
	size_t room = PA_NAME_MAX - job->len;

	if (len) /* pieces of nothing come without an address */
		memcpy(job->out + job->len, text, len < room ? len : room);
	job->len += len < room ? len : room;
	if (len >= room)
		longjmp(job->full, 1);
}

/* The hash that ends a Rust name of the old scheme: 17h and 16 hexadecimal digits, then E and perhaps a suffix. */
MAY_BE_CANCELLED static bool is_rust_legacy(const char *name)
{
	const char *hash = strstr(name, "17h");

	while (hash && strspn(hash + 3, "0123456789abcdef") != 16)
		hash = strstr(hash + 1, "17h");
	return hash && hash[19] == 'E';
}

MAY_BE_CANCELLED static void run(struct job *job)
{
	int ok;

	if (setjmp(job->full)) {
		job->done = true;
		return;
	}
	if (job->name[1] == 'R' || is_rust_legacy(job->name))
		ok = rust_demangle_callback(job->name, job->options, take_output, job);
	else
		ok = cplus_demangle_v3_callback(job->name, job->options, take_output, job);
	job->done = ok;
}

MAY_BE_CANCELLED static void *run_in_thread(void *arg)
{
	struct job *job = arg;
	int old;

	pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &old);
	run(job);
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &old);
	sem_post(&job->finished);
	return NULL;
}

static int start_helper(pthread_t *thread, struct job *job)
{
	pthread_attr_t attr;
	sigset_t all, old;
	int error = pthread_attr_init(&attr);

	if (error)
		return error;
	sigfillset(&all);
	error = pthread_attr_setstacksize(&attr, HELPER_STACK);
	pthread_sigmask(SIG_SETMASK, &all, &old); /* the collector's signals are not for this thread */
	if (!error)
		error = pthread_create(thread, &attr, run_in_thread, job);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	return error;
}

static long thread_cpu_ns(pthread_t thread)
{
	clockid_t clock;
	struct timespec t;

	if (pthread_getcpuclockid(thread, &clock) || clock_gettime(clock, &t))
		return 0;
	return t.tv_sec * 1000000000L + t.tv_nsec;
}

static bool wait_a_moment(sem_t *finished)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_nsec += 20000000;
	t.tv_sec += t.tv_nsec / 1000000000;
	t.tv_nsec %= 1000000000;
	return sem_clockwait(finished, CLOCK_MONOTONIC, &t) == 0;
}

/* The clock is CPU time of the helper, so that a busy machine changes no name. */
static void run_with_clock(struct job *job)
{
	static _Atomic long trouble_ns;
	pthread_t thread;

	if (trouble_ns > TROUBLE_CPU_NS || sem_init(&job->finished, 0, 0))
		return;
	if (start_helper(&thread, job) == 0) {
		while (!wait_a_moment(&job->finished)) {
			long used_ns = thread_cpu_ns(thread);

			if (used_ns > NAME_CPU_NS) {
				trouble_ns += used_ns;
				pthread_cancel(thread);
				break;
			}
		}
		pthread_join(thread, NULL);
	}
	sem_destroy(&job->finished);
}

/* What can take more than linear time is a name whose parts are referred to again, level by level: n references make
 * at most 3^(n/3) copies. */
static size_t count_references(const char *name)
{
	size_t nr = 0;

	for (const char *c = name; c[0] && c[1]; c++) {
		bool digit = isdigit((unsigned char)c[1]) || isupper((unsigned char)c[1]) || c[1] == '_';

		nr += (*c == 'S' || *c == 'T') && digit;
	}
	return nr;
}

/* A suffix that a compiler put behind a name, with its number: ".part.0", ".123". */
static size_t suffix_length(const char *s)
{
	static const char *const words[] = {"cold", "part", "isra", "constprop", "llvm", "lto_priv", "localalias"};
	size_t len = 1;

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		size_t word = strlen(words[i]);

		if (strncmp(s + 1, words[i], word) == 0) {
			len += word;
			break;
		}
	}
	if (len > 1 && s[len] == '.' && isdigit((unsigned char)s[len + 1]))
		len++;
	else if (len > 1)
		return len;
	len += strspn(s + len, "0123456789");
	return len > 1 ? len : 0;
}

static bool only_suffixes(const char *s)
{
	while (*s == '.') {
		size_t len = suffix_length(s);

		if (!len)
			return false;
		s += len;
	}
	return !*s || *s == '@';
}

size_t pa_name_base_length(const char *name)
{
	size_t len = strnlen(name, PA_MANGLED_MAX + 1);

	for (size_t i = 1; i < len; i++) {
		if (name[i] == '@' && strcmp(name + i, "@plt"))
			return i;
		if (name[i] == '.' && only_suffixes(name + i))
			return i;
	}
	return len;
}

size_t pa_demangle(const char *name, char *out)
{
	char text[PA_NAME_MAX], mangled[PA_MANGLED_MAX + 1];
	struct job job = {.name = mangled, .options = DMGL_PARAMS | DMGL_ANSI, .out = text};
	size_t len = pa_name_base_length(name);

	if (len <= PA_MANGLED_MAX && name[0] == '_' && (name[1] == 'Z' || name[1] == 'R')) {
		memcpy(mangled, name, len);
		mangled[len] = 0;
		if (len < SHORT_MAX && count_references(mangled) <= REFERENCES_MAX) {
			run(&job);
		} else {
			job.options |= DMGL_NO_RECURSE_LIMIT;
			run_with_clock(&job);
		}
	}
	return job.done ? pa_name_clean(text, job.len, out) : pa_name_clean(name, len, out);
}

/* The length of the UTF-8 sequence at s, 0 when it is none: overlong forms, surrogates and values above 10FFFF are
 * refused by the range of the second byte. Source: Unicode 15, table 3-7. */
static size_t sequence_length(const unsigned char *s, size_t len)
{
	static const struct {
		unsigned char first, last, low, high;
		size_t len;
	} rows[] = {
	    {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3}, {0xe1, 0xec, 0x80, 0xbf, 3},
	    {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3}, {0xf0, 0xf0, 0x90, 0xbf, 4},
	    {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
	};

	if (s[0] < 0x80)
		return s[0] >= 0x20 && s[0] != 0x7f;
	for (size_t r = 0; r < sizeof(rows) / sizeof(rows[0]); r++) {
		if (s[0] < rows[r].first || s[0] > rows[r].last || len < rows[r].len)
			continue;
		if (s[1] < rows[r].low || s[1] > rows[r].high || (s[0] == 0xc2 && s[1] < 0xa0)) /* C1 controls */
			return 0;
		for (size_t i = 2; i < rows[r].len; i++) {
			if ((s[i] & 0xc0) != 0x80)
				return 0;
		}
		return rows[r].len;
	}
	return 0;
}

size_t pa_name_clean(const char *text, size_t len, char *out)
{
	size_t used = 0;

	for (size_t i = 0; i < len && used < PA_NAME_MAX - 1;) {
		size_t n = sequence_length((const unsigned char *)text + i, len - i);

		if (n > PA_NAME_MAX - 1 - used)
			break;
		if (n)
			memcpy(out + used, text + i, n);
		else
			out[used] = '?';
		used += n ? n : 1;
		i += n ? n : 1;
	}
	out[used] = 0;
	return used;
}
