/* The constructor: from "just loaded" to "dormant" or "sampling". Everything that may allocate or take a lock of the
 * loader's happens here or never. World: plain. */
#include <gnu/libc-version.h>
#include <stdint.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/resource.h>
#include <unistd.h>

#include "agent/attach_sig.h"
#include "agent/bootstrap_hook.h"
#include "agent/command_sig.h"
#include "agent/got_sig.h"
#include "agent/heap_hook.h"
#include "agent/hooks_exec.h"
#include "agent/hooks_thread.h"
#include "agent/libs_sig.h"
#include "agent/lock_hook.h"
#include "agent/nudge_sig.h"
#include "agent/real.h"
#include "agent/reference.h"
#include "agent/sandbox.h"
#include "agent/session.h"
#include "agent/signal.h"
#include "agent/slots_sig.h"
#include "agent/sysdep.h"
#include "agent/thread.h"
#include "agent/timer_sig.h"
#include "agent/wait_hook.h"
#include "agent/walk_sig.h"
#include "common/stream.h"

#define RUN_SOCKET           "/run/perfagent/collector.sock"
#define USER_SOCKET          "/perfagent/collector.sock"
#define DEADLINE_MS          20   /* a default socket: whoever listens there must be quick */
#define DEADLINE_PRIVATE_MS  1000 /* `record` waits for this very program: a busy machine may take its time */
#define MAIN_STACK_UNLIMITED (64ull << 20)

static const char *env_get(char *const *env, const char *name)
{
	size_t len = strlen(name);

	for (; env && *env; env++) {
		if (strncmp(*env, name, len) == 0 && (*env)[len] == '=')
			return *env + len + 1;
	}
	return NULL;
}

/* The main thread's stack: from what the kernel put at its top, above arguments and environment, down to its limit. */
static struct pa_stack_bounds main_stack(void)
{
	struct rlimit limit = {.rlim_cur = RLIM_INFINITY};
	uint64_t hi = getauxval(AT_RANDOM) & ~7ull;
	uint64_t bytes;

	pa_sys(SYS_prlimit64, 0, RLIMIT_STACK, NULL, &limit);
	bytes = limit.rlim_cur == RLIM_INFINITY ? MAIN_STACK_UNLIMITED : limit.rlim_cur;
	return (struct pa_stack_bounds){.lo = hi > bytes ? hi - bytes : 4096, .hi = hi};
}

static int connect_at(const struct pa_connect *how)
{
	struct pa_offer offer;
	int err = pa_session_connect(how, &offer);

	return err ? err : pa_attach_open_sig(&offer, how->path);
}

/* Tries the sockets in their order; the first that is named by the environment is the only one. */
static int connect_session(char *const *env, uint32_t flags)
{
	const char *named = env_get(env, "PERFAGENT_SOCKET");
	const char *runtime = env_get(env, "XDG_RUNTIME_DIR");
	struct pa_connect how = {
	    .path = named, .options = env_get(env, "PERFAGENT_OPTIONS"), .flags = flags, .deadline_ms = DEADLINE_MS};
	char path[108];

	if (named) {
		/* only a private collector listens on an abstract name */
		how.deadline_ms = named[0] == '@' ? DEADLINE_PRIVATE_MS : DEADLINE_MS;
		return connect_at(&how);
	}
	if (runtime && runtime[0] == '/' && strlen(runtime) + sizeof(USER_SOCKET) <= sizeof(path)) {
		strcpy(path, runtime);
		strcat(path, USER_SOCKET);
		how.path = path;
		if (connect_at(&how) == 0)
			return 0;
	}
	how.path = RUN_SOCKET;
	return connect_at(&how);
}

/* The records over the socket instead of through shared memory. */
static uint32_t choose_transport(char *const *env)
{
	const char *wanted = env_get(env, "PERFAGENT_TRANSPORT");

	return wanted && strcmp(wanted, "socket") == 0 ? PA_HELLO_STREAM : 0;
}

static uint32_t choose_unwinder(char *const *env)
{
	const char *wanted = env_get(env, "PERFAGENT_UNWINDER");

	if (wanted && *wanted)
		pa_reference_init(wanted);
	return pa_unwinder == PA_UNWINDER_REFERENCE ? PA_HELLO_REFERENCE
	       : pa_unwinder == PA_UNWINDER_COMPARE ? PA_HELLO_COMPARE
						    : 0;
}

static void start_sampling(bool has_find_object, uint64_t entered_ns)
{
	pa_thread_adopt_hook();
	pa_thread_note_sig(PA_NOTE_STARTED, pa_now_sig() - entered_ns, 0);
	if (!has_find_object)
		pa_thread_note_sig(PA_NOTE_NO_FIND_OBJECT, 0, 0);
	if (pa_session_wants_cpu_sig() && !pa_signal_current_sig())
		pa_thread_note_sig(PA_NOTE_NO_SIGNAL, 0, 0);
	pa_attach_tell_sig();
	if (pa_heap_true_sig() == PA_HEAP_START)
		pa_heap_start_hook();
}

/* What every later session needs and only the constructor may do. Returns whether there is _dl_find_object. */
static bool prepare(char *const *env)
{
	bool has_find_object;

	pa_timer_init();
	pa_hooks_thread_init();
	pa_exec_remember_hook(env);
	has_find_object = pa_walk_init() == 0;
	pa_libs_init();
	pa_heap_init();
	pa_thread_main_stack(main_stack());
	pa_signal_learn();
	return has_find_object;
}

/* glibc alone has it: under another libc the agent would not know what it stands in front of, and stays dormant. */
extern __typeof__(gnu_get_libc_version) gnu_get_libc_version __attribute__((weak));

/* Takes nothing from its arguments: other libcs pass none. */
__attribute__((constructor)) static void init(void)
{
	uint64_t entered_ns = pa_now_sig();
	char *const *env = environ;
	const char *disable = env_get(env, "PERFAGENT_DISABLE");
	bool has_find_object;
	uint32_t flags;

	if (!gnu_get_libc_version) {
		pa_command_init(PA_AGENT_DISABLED);
		return;
	}
	/* what the loader may allocate for a name that is not there is not the host's */
	pa_bootstrap_hold_hook(true);
	pa_real_init();
	pa_bootstrap_hold_hook(false);
	pa_heap_settle();
	pa_locks_settle();
	if ((disable && strcmp(disable, "0") != 0 && *disable) || !pa_sandbox_allows() ||
	    pa_session_state_init() != 0) {
		pa_command_init(PA_AGENT_DISABLED);
		return;
	}
	has_find_object = prepare(env);
	flags = choose_unwinder(env) | choose_transport(env) | (has_find_object ? 0 : PA_HELLO_NO_FIND_OBJECT);
	/* a later session is one of shared memory: a process that runs has threads, see pa_stream_open */
	pa_attach_init(flags & ~PA_HELLO_STREAM);
	/* in a program that runs already it is for whoever loaded us to say where to connect */
	if (!pa_got_is_late_sig() && connect_session(env, flags) == 0)
		start_sampling(has_find_object, entered_ns);
	pa_nudge_choose_sig(0);
	pa_command_init(pa_session_open_sig() ? PA_AGENT_ATTACHED : PA_AGENT_DORMANT);
}

/* Late in exit(): the exact CPU time goes on record. Nothing is torn down; destructors that come later still run. */
__attribute__((destructor)) static void fini(void)
{
	pa_thread_process_end_hook(PA_PROCESS_EXIT);
}
