/* posix_spawn: what hooks_exec.c does for exec, for a child that libc makes. The child takes over the caller's mask
 * unless the attributes have one, so the caller's is the one the host believes in for as long as the call takes. World:
 * hook. */
#include <alloca.h>
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>

#include "agent/exec_env_hook.h"
#include "agent/hooks_exec.h"
#include "agent/real.h"
#include "agent/session.h"
#include "agent/signal.h"

typedef int spawn_fn(pid_t *pid, const char *file, const posix_spawn_file_actions_t *actions,
		     const posix_spawnattr_t *attr, char *const argv[], char *const envp[]);

struct spawn_call {
	spawn_fn *real;
	pid_t *pid;
	const char *file;
	const posix_spawn_file_actions_t *actions;
	const posix_spawnattr_t *attr;
	char *const *argv;
	char *const *envp;
};

static int call_real(const struct spawn_call *call, char *const envp[])
{
	return call->real(call->pid, call->file, call->actions, call->attr, call->argv, envp);
}

static __attribute__((noinline)) int call_changed(const struct spawn_call *call, unsigned take)
{
	size_t nr = pa_exec_env_count_hook(call->envp);
	char preload[PA_EXEC_PRELOAD_MAX];
	char **copy;

	if (nr > PA_EXEC_ENV_MAX)
		return call_real(call, call->envp);
	copy = alloca((nr + 1) * sizeof(*copy));
	return call_real(call, pa_exec_env_change_hook(call->envp, take, copy, preload) ? copy : call->envp);
}

static int run(const struct spawn_call *call, bool search)
{
	struct pa_exec_probe probe = {.dirfd = AT_FDCWD, .search = search, .file = call->file};
	int saved = errno;
	uint64_t mask;
	unsigned take;
	int err;

	pa_session_adopt_hook();
	take = pa_exec_take_hook(&probe, call->envp);
	mask = pa_signal_exec_mask_hook();
	errno = saved;
	err = take ? call_changed(call, take) : call_real(call, call->envp);
	if (err == E2BIG && take == PA_EXEC_PUT_AGENT)
		err = call_real(call, call->envp);
	else if (err == E2BIG && pa_exec_env_names_us_hook(call->envp))
		err = call_changed(call, PA_EXEC_TAKE_AGENT | PA_EXEC_TAKE_VARIABLES);
	pa_signal_exec_failed_hook(mask);
	return err;
}

PA_EXPORT int posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
			  const posix_spawnattr_t *attr, char *const argv[], char *const envp[])
{
	return run(&(struct spawn_call){PA_REAL(posix_spawn), pid, path, actions, attr, argv, envp}, false);
}

PA_EXPORT int posix_spawnp(pid_t *pid, const char *file, const posix_spawn_file_actions_t *actions,
			   const posix_spawnattr_t *attr, char *const argv[], char *const envp[])
{
	return run(&(struct spawn_call){PA_REAL(posix_spawnp), pid, file, actions, attr, argv, envp}, true);
}
