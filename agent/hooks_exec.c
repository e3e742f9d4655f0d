/* The exec family. The environment goes on as the host gave it, the agent in front of an LD_PRELOAD that the host made
 * anew. A program that could not load the agent gets one without it, so that no loader complains on the host's
 * terminal; so does one that a sanitizer's runtime would end because of the agent; and one that does not fit is tried
 * again without our words. A child of vfork comes here too: nothing process-wide is touched for it.
 *
 * Async-signal-safe where POSIX wants it: no lock, no allocation but the stack. World: hook. */
#include <alloca.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include "agent/exec_env_hook.h"
#include "agent/exec_probe_hook.h"
#include "agent/hooks_exec.h"
#include "agent/real.h"
#include "agent/session.h"
#include "agent/signal.h"
#include "agent/slots_sig.h"
#include "agent/stream_sig.h"
#include "agent/thread.h"

#define SOCKET "PERFAGENT_SOCKET="

enum exec_form {
	FORM_EXECVE,
	FORM_EXECVPE,
	FORM_FEXECVE,
	FORM_EXECVEAT,
};

struct exec_call {
	enum exec_form form;
	int fd;
	int flags;
	const char *file;
	char *const *argv;
	char *const *envp;
};

int execveat(int fd, const char *path, char *const argv[], char *const envp[], int flags);

static int call_real(const struct exec_call *call, char *const envp[])
{
	switch (call->form) {
	case FORM_EXECVPE:
		return PA_REAL(execvpe)(call->file, call->argv, envp);
	case FORM_FEXECVE:
		return PA_REAL(fexecve)(call->fd, call->argv, envp);
	case FORM_EXECVEAT:
		if (PA_REAL(execveat))
			return PA_REAL(execveat)(call->fd, call->file, call->argv, envp, call->flags);
		errno = ENOSYS;
		return -1;
	case FORM_EXECVE:
	default:
		return PA_REAL(execve)(call->file, call->argv, envp);
	}
}

/* Our entry as the loader found it, and whether a variable of ours led to the session. */
static struct {
	char entry[PATH_MAX];
	bool named;
} ours;

void pa_exec_remember_hook(char *const envp[])
{
	const char *entry;
	size_t len = pa_exec_env_ours_hook(envp, &entry);

	if (len && len < sizeof(ours.entry))
		memcpy(ours.entry, entry, len);
	ours.named = pa_exec_env_has_hook(envp, SOCKET);
}

static void note_refusal(const struct pa_exec_probe *probe)
{
	if (!probe->refused || !pa_session_is_mine_hook())
		return;
	pa_thread_note_sig(PA_NOTE_EXEC_DROPPED, probe->refused, probe->machine);
	pa_stream_goodbye_sig(pa_tls.block);
}

/* The host has made a list of its own: the recording goes on in front of it. Where there is none we stay out: a host
 * that wants an environment without gets one. */
static unsigned put_in(struct pa_exec_probe *probe, char *const envp[])
{
	if (!ours.entry[0] || !pa_session_open_sig())
		return 0;
	pa_exec_probe_hook(probe);
	if (!probe->machine) /* nothing that could be executed: shells try one folder after the other */
		return 0;
	if (!pa_exec_env_has_list_hook(envp) || (ours.named && !pa_exec_env_has_hook(envp, SOCKET)))
		probe->refused = PA_EXEC_ENVIRONMENT;
	else if (!probe->refused && pa_exec_env_lacks_runtime_hook(envp, probe->runtime))
		probe->refused = PA_EXEC_RUNTIME_FIRST;
	note_refusal(probe);
	return probe->refused ? 0 : PA_EXEC_PUT_AGENT;
}

bool pa_exec_env_change_hook(char *const envp[], unsigned take, char **copy, char *preload)
{
	if (take & PA_EXEC_PUT_AGENT)
		return pa_exec_env_with_hook(envp, ours.entry, copy, preload);
	return pa_exec_env_without_hook(envp, take, copy, preload);
}

unsigned pa_exec_take_hook(struct pa_exec_probe *probe, char *const envp[])
{
	unsigned take = PA_EXEC_TAKE_AGENT;

	/* under seccomp the look into the file may be deadly */
	if (pa_signal_retired_sig())
		return 0;
	if (!pa_exec_env_names_us_hook(envp))
		return put_in(probe, envp);
	pa_exec_probe_hook(probe);
	if (!probe->refused) {
		take = pa_exec_env_misfit_hook(envp, probe->runtime);
		probe->refused = take & PA_EXEC_TAKE_AGENT ? PA_EXEC_RUNTIME_FIRST : 0;
	}
	note_refusal(probe);
	return take;
}

static unsigned taken_out(const struct exec_call *call)
{
	struct pa_exec_probe probe = {
	    .dirfd = call->form == FORM_EXECVEAT || call->form == FORM_FEXECVE ? call->fd : AT_FDCWD,
	    .by_descriptor =
		call->form == FORM_FEXECVE ||
		(call->form == FORM_EXECVEAT && (call->flags & AT_EMPTY_PATH) && call->file && !*call->file),
	    .search = call->form == FORM_EXECVPE,
	    .file = call->file,
	};

	return pa_exec_take_hook(&probe, call->envp);
}

static __attribute__((noinline)) int call_changed(const struct exec_call *call, unsigned take)
{
	size_t nr = pa_exec_env_count_hook(call->envp);
	char preload[PA_EXEC_PRELOAD_MAX];
	char **copy;

	if (nr > PA_EXEC_ENV_MAX)
		return call_real(call, call->envp);
	copy = alloca((nr + 1) * sizeof(*copy));
	return call_real(call, pa_exec_env_change_hook(call->envp, take, copy, preload) ? copy : call->envp);
}

static int run(const struct exec_call *call)
{
	unsigned take;
	uint64_t mask;
	int ret, err;

	pa_session_adopt_hook();
	pa_thread_process_end_hook(PA_PROCESS_EXEC);
	mask = pa_signal_exec_mask_hook();
	take = taken_out(call);
	ret = take ? call_changed(call, take) : call_real(call, call->envp);
	if (errno == E2BIG && take == PA_EXEC_PUT_AGENT)
		ret = call_real(call, call->envp);
	else if (errno == E2BIG && pa_exec_env_names_us_hook(call->envp))
		ret = call_changed(call, PA_EXEC_TAKE_AGENT | PA_EXEC_TAKE_VARIABLES);
	err = errno;
	pa_signal_exec_failed_hook(mask);
	pa_thread_process_end_hook(0);
	errno = err;
	return ret;
}

static int run_path(const char *path, char *const argv[], char *const envp[])
{
	return run(&(struct exec_call){.form = FORM_EXECVE, .file = path, .argv = argv, .envp = envp});
}

static int run_search(const char *file, char *const argv[], char *const envp[])
{
	return run(&(struct exec_call){.form = FORM_EXECVPE, .file = file, .argv = argv, .envp = envp});
}

PA_EXPORT int execve(const char *path, char *const argv[], char *const envp[])
{
	return run_path(path, argv, envp);
}

PA_EXPORT int execv(const char *path, char *const argv[])
{
	return run_path(path, argv, environ);
}

PA_EXPORT int execvpe(const char *file, char *const argv[], char *const envp[])
{
	return run_search(file, argv, envp);
}

PA_EXPORT int execvp(const char *file, char *const argv[])
{
	return run_search(file, argv, environ);
}

PA_EXPORT int fexecve(int fd, char *const argv[], char *const envp[])
{
	return run(&(struct exec_call){.form = FORM_FEXECVE, .fd = fd, .argv = argv, .envp = envp});
}

PA_EXPORT int execveat(int fd, const char *path, char *const argv[], char *const envp[], int flags)
{
	return run(&(struct exec_call){
	    .form = FORM_EXECVEAT, .fd = fd, .file = path, .argv = argv, .envp = envp, .flags = flags});
}

/* The words of a variable argument list up to its NULL, that included. */
static size_t count_words(va_list words)
{
	size_t nr = 1;

	while (va_arg(words, char *))
		nr++;
	return nr;
}

/* libc's headers promise that the first word is no NULL; the kernel accepts one, and so do the real functions. */
static bool is_null(const char *word)
{
	__asm__("" : "+r"(word));
	return !word;
}

/* Fills argv with first and the words of the list; the list is left behind its NULL. */
#define COLLECT(argv, first, words)                                                                                    \
	do {                                                                                                           \
		size_t nr_words;                                                                                       \
		va_start(words, first);                                                                                \
		nr_words = is_null(first) ? 1 : 1 + count_words(words);                                                \
		va_end(words);                                                                                         \
		argv = alloca(nr_words * sizeof(*argv));                                                               \
		argv[0] = (char *)first;                                                                               \
		va_start(words, first);                                                                                \
		for (size_t word = 1; word < nr_words; word++)                                                         \
			argv[word] = va_arg(words, char *);                                                            \
	} while (0)

PA_EXPORT int execl(const char *path, const char *first, ...)
{
	va_list words;
	char **argv;

	COLLECT(argv, first, words);
	va_end(words);
	return run_path(path, argv, environ);
}

PA_EXPORT int execlp(const char *file, const char *first, ...)
{
	va_list words;
	char **argv;

	COLLECT(argv, first, words);
	va_end(words);
	return run_search(file, argv, environ);
}

PA_EXPORT int execle(const char *path, const char *first, ...)
{
	va_list words;
	char *const *envp;
	char **argv;

	COLLECT(argv, first, words);
	envp = va_arg(words, char *const *);
	va_end(words);
	return run_path(path, argv, envp);
}
